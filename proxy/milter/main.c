/*
 * main.c - "sallyport-milter [option ...] POLICY": filters and policy of the gateway, for a mail server that has a milter slot.
 *
 * The main thread is libmilter's until a signal ends it; the loop has a thread of its own (loop.c).
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libmilter/mfapi.h>

#include "policy/kit/span.h"
#include "proxy/master/privilege.h"
#include "proxy/milter/config.h"
#include "proxy/milter/guest.h"
#include "proxy/milter/loop.h"

static const char usage[] =
	"usage: sallyport-milter [option ...] POLICY\n"
	"\n"
	"Serves a mail server as a milter, with the filters and rules of POLICY, in the foreground.\n"
	"\n"
	"  -p SOCKET   where the mail server asks: 127.0.0.1:8891, unix:/path, or as libmilter writes it, inet:8891@127.0.0.1\n"
	"  --check     compile POLICY, show all of its errors, and serve nobody\n"
	"  --shadow    the whole policy only reports: no rule refuses or edits anything\n"
	"  --help      this text\n"
	"  --version   print the version\n"
	"\n"
	"SIGTERM ends it.  SIGUSR1 reopens the log file.  After a change of POLICY it is started again.\n"
	"Manual: sallyport-milter(8)\n";

struct options {
	const char *socket, *path;
	bool check, shadow;
};

static int
usage_error(const char *what)
{
	fprintf(stderr, "sallyport-milter: %s; --help shows how\n", what);
	return 2;
}

/* ---- the socket ----------------------------------------------------------------------------- */

/* The path of a unix socket; null: it is none. */
static const char *
socket_path(const char *socket)
{
	const char *colon = strchr(socket, ':');

	return span_starts(span_str(socket), SPAN_LIT("inet")) || colon == NULL ? NULL : colon + 1;
}

/* Only its owner and its group may connect to a unix socket: whoever can, can have mail judged. */
static bool
give_socket(const struct milter_config *c)
{
	const char *path = socket_path(c->socket);
	const struct passwd *pw = c->user != NULL ? getpwnam(c->user) : NULL;
	const struct group *gr = c->socket_group != NULL ? getgrnam(c->socket_group) : NULL;
	uid_t owner = pw != NULL && geteuid() == 0 ? pw->pw_uid : (uid_t)-1;
	gid_t group = gr != NULL ? gr->gr_gid : pw != NULL && geteuid() == 0 ? pw->pw_gid : (gid_t)-1;

	if (c->socket_group != NULL && gr == NULL) {
		fprintf(stderr, "sallyport-milter: no group named '%s'\n", c->socket_group);
		return false;
	}
	if (path == NULL || (chmod(path, 0660) == 0 && chown(path, owner, group) == 0))
		return true;
	fprintf(stderr, "sallyport-milter: cannot give %s away: %s\n", path, strerror(errno));
	return false;
}

/* ---- running -------------------------------------------------------------------------------- */

static int
serve(const struct milter_config *c)
{
	mode_t mask = umask(0117);
	bool open;
	int status;

	if (c->socket == NULL)
		return usage_error("the policy names no 'socket', and there is no -p");
	if (geteuid() == 0 && c->user == NULL)
		return usage_error("it does not run as root: let the policy name an account with 'user'");
	if (log_open(c->log, c->log_format) != SP_OK) {
		fprintf(stderr, "sallyport-milter: cannot open log %s: %s\n", c->log, strerror(errno));
		return 2;
	}
	open = guest_open(c) && give_socket(c);
	umask(mask);
	if (!open || !privilege_drop(c->user, false))
		return 2;
	if (geteuid() == 0)
		return usage_error("it does not run as root: let 'user' name another account");
	privilege_limit();
	if (!loop_start(c))
		return 2;
	status = smfi_main();
	loop_stop();
	return status == MI_SUCCESS ? 0 : 2;
}

static struct milter_config *
load(const struct options *o)
{
	struct policy_diag d;
	struct milter_config *c;

	policy_diag_init(&d);
	c = milter_config_load(o->path, &d);
	if (d.text.len > 0)
		fputs(buf_cstr(&d.text), stderr);
	if (c == NULL)
		fprintf(stderr, "%s: %u error%s, %u warning%s\n", o->path, d.errors, d.errors == 1 ? "" : "s", d.warnings,
			d.warnings == 1 ? "" : "s");
	policy_diag_fini(&d);
	return c;
}

static int
run(const struct options *o)
{
	struct milter_config *c;
	int status = 0;

	if (access(o->path, R_OK) != 0) {
		fprintf(stderr, "sallyport-milter: cannot read %s: %s\n", o->path, strerror(errno));
		return 2;
	}
	c = load(o);
	if (c == NULL)
		return 1;
	c->shadow = o->shadow;
	if (o->socket != NULL)
		c->socket = milter_config_socket(c, o->socket);
	if (o->socket != NULL && c->socket == NULL)
		status = usage_error("-p takes address:port, unix:/path, or inet:port@address");
	else if (o->check)
		printf("%s: ok: %zu rules, %zu filters\n", o->path, policy_rule_count(c->policy), policy_filter_count(c->policy));
	else
		status = serve(c);
	milter_config_free(&c);
	return status;
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = { { "check", no_argument, NULL, 'c' }, { "shadow", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { 0 } };
	struct options o = { 0 };
	int opt;

	while ((opt = getopt_long(argc, argv, "p:", longs, NULL)) != -1) {
		if (opt == 'h')
			return fputs(usage, stdout) < 0;
		if (opt == 'v')
			return printf("sallyport-milter %s\n", SALLYPORT_VERSION) < 0;
		if (opt != 'p' && opt != 'c' && opt != 's')
			return usage_error("wrong option");
		if (opt == 'p')
			o.socket = optarg;
		o.check = o.check || opt == 'c';
		o.shadow = o.shadow || opt == 's';
	}
	if (optind != argc - 1)
		return usage_error("one policy file is expected");
	o.path = argv[optind];
	return run(&o);
}
