/*
 * policy.c - "sallyport check", "plan", "facts" and "fmt": what can be said of a policy without running it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy/kit/span.h"
#include "proxy/cmd/cmd.h"
#include "proxy/inspect/loader.h"
#include "proxy/master/config.h"

enum { POLICY_MAX = 1 << 20 };

static bool
readable(const char *path)
{
	if (access(path, R_OK) == 0)
		return true;
	fprintf(stderr, "sallyport: cannot read %s: %s\n", path, strerror(errno));
	return false;
}

/* ---- check ---------------------------------------------------------------------------------- */

static const char check_usage[] =
	"usage: sallyport check [-q] POLICY\n"
	"\n"
	"Compiles POLICY with all that it includes, its tables and modules, and opens nothing else.\n"
	"All errors are shown in one run, and each backend that cannot see who the client is.  Exit status: 0 it can run, 1 it has errors, 2 it could not be read.\n"
	"\n"
	"  -q   say nothing when it can run\n";

static void
print_counts(const struct config *c, const struct policy_diag *d, const char *path)
{
	printf("%s: ok: %zu rules, %zu filters, %zu listeners, %zu backends, %u warning%s\n", path,
		policy_rule_count(c->policy), policy_filter_count(c->policy), c->listener_count, c->backend_count,
		d->warnings, d->warnings == 1 ? "" : "s");
}

/* To be seen as a client at somebody else's address is no fault, but what most backends log, limit and trust. */
static void
print_unseen(const struct config *c, const char *path)
{
	for (size_t i = 0; i < c->backend_count; i++) {
		const struct relay_config *r = &c->backends[i].relay;
		bool server = r->endpoint_count > 0 || r->mx != NULL;

		if (server && !r->xclient && !r->xforward && r->proxy == 0 && !r->as_client)
			printf("%s: note: backend '%s' sees the gateway's address as every client's: 'xclient yes', 'proxy protocol v2' or "
			       "'source client' shows it the client's own, 'xforward yes' does in its log\n", path, r->name);
	}
}

static int
check_file(const char *path, bool quiet)
{
	struct policy_diag d;
	struct config *c;
	int status;

	policy_diag_init(&d);
	c = config_load(path, 0, NULL, &d);
	fputs(buf_cstr(&d.text), stderr);
	status = c == NULL;
	if (c != NULL && !quiet) {
		print_counts(c, &d, path);
		print_unseen(c, path);
	} else if (c == NULL) {
		fprintf(stderr, "%s: %u error%s, %u warning%s\n", path, d.errors, d.errors == 1 ? "" : "s", d.warnings,
			d.warnings == 1 ? "" : "s");
	}
	config_free(&c);
	policy_diag_fini(&d);
	return status;
}

static int
check_main(int argc, char **argv)
{
	const char *path;
	bool quiet = false;
	int opt;

	while ((opt = getopt(argc, argv, "q")) != -1) {
		if (opt != 'q')
			return cmd_usage_error(&cmd_check, "wrong option");
		quiet = true;
	}
	path = cmd_one_path(&cmd_check, argc, argv);
	return path == NULL || !readable(path) ? 2 : check_file(path, quiet);
}

const struct cmd cmd_check = { "check", "compile a policy and show all of its errors", check_usage, check_main };

/* ---- plan ----------------------------------------------------------------------------------- */

static const char plan_usage[] =
	"usage: sallyport plan POLICY\n"
	"\n"
	"For each stage of a session, the rules that are decided there, the facts that they read, and the rules above that they\n"
	"must wait for.\n";

static int
plan_main(int argc, char **argv)
{
	const char *path;
	struct policy_diag d;
	struct config *c;

	if (getopt(argc, argv, "") != -1)
		return cmd_usage_error(&cmd_plan, "wrong option");
	path = cmd_one_path(&cmd_plan, argc, argv);
	if (path == NULL || !readable(path))
		return 2;
	policy_diag_init(&d);
	c = config_load(path, 0, NULL, &d);
	if (c == NULL)
		fputs(buf_cstr(&d.text), stderr);
	else
		policy_plan(c->policy, stdout);
	policy_diag_fini(&d);
	if (c == NULL)
		return 1;
	config_free(&c);
	return 0;
}

const struct cmd cmd_plan = { "plan", "show at which stage each rule is decided", plan_usage, plan_main };

/* ---- facts ---------------------------------------------------------------------------------- */

static const char facts_usage[] =
	"usage: sallyport facts [MODULE ...]\n"
	"\n"
	"Lists all facts that a rule may read: name, type, the stage from which it is known, and what it means.\n"
	"With module names, theirs alone; without, the gateway's own and those of all modules found.\n";

static int
facts_main(int argc, char **argv)
{
	if (getopt(argc, argv, "") != -1)
		return cmd_usage_error(&cmd_facts, "wrong option");
	for (int i = optind; i < argc; i++) {
		const struct sp_filter *module;
		const char *error;

		if (loader_find(NULL, argv[i], &module, &error) != SP_OK) {
			fprintf(stderr, "sallyport: %s\n", error);
			return 1;
		}
	}
	policy_facts(config_env(), optind < argc ? (const char *const *)&argv[optind] : loader_names(NULL), stdout);
	return 0;
}

const struct cmd cmd_facts = { "facts", "list the facts that rules may read", facts_usage, facts_main };

/* ---- fmt ------------------------------------------------------------------------------------ */

static const char fmt_usage[] =
	"usage: sallyport fmt [-w] POLICY\n"
	"\n"
	"Prints POLICY in the one canonical layout; comments stay.  A file that does not parse is left alone.\n"
	"\n"
	"  -w   write it back to the file instead\n";

/* The new text stands complete under another name before it takes the file's place. */
static bool
write_back(const char *path, struct sp_span text)
{
	char temp[4096];
	FILE *to;
	bool ok;

	if (snprintf(temp, sizeof(temp), "%s.new", path) >= (int)sizeof(temp))
		return false;
	to = fopen(temp, "wxe");
	if (to == NULL)
		return false;
	ok = fwrite(text.ptr, 1, text.len, to) == text.len;
	ok = fclose(to) == 0 && ok;
	ok = ok && rename(temp, path) == 0;
	if (!ok)
		unlink(temp);
	return ok;
}

static int
fmt_file(const char *path, bool write)
{
	struct policy_diag d;
	struct buf text, out;
	int status = 0;

	if (!cmd_read_file(path, POLICY_MAX, &text))
		return 2;
	policy_diag_init(&d);
	buf_init(&out, 4 * POLICY_MAX);
	if (policy_format(path, buf_span(&text), &out, &d) != SP_OK) {
		fputs(buf_cstr(&d.text), stderr);
		status = 1;
	} else if (!write) {
		fwrite(out.ptr, 1, out.len, stdout);
	} else if (!span_eq(buf_span(&out), buf_span(&text)) && !write_back(path, buf_span(&out))) {
		fprintf(stderr, "sallyport: cannot write %s: %s\n", path, strerror(errno));
		status = 2;
	}
	buf_fini(&out);
	buf_fini(&text);
	policy_diag_fini(&d);
	return status;
}

static int
fmt_main(int argc, char **argv)
{
	const char *path;
	bool write = false;
	int opt;

	while ((opt = getopt(argc, argv, "w")) != -1) {
		if (opt != 'w')
			return cmd_usage_error(&cmd_fmt, "wrong option");
		write = true;
	}
	path = cmd_one_path(&cmd_fmt, argc, argv);
	return path == NULL ? 2 : fmt_file(path, write);
}

const struct cmd cmd_fmt = { "fmt", "lay a policy file out canonically", fmt_usage, fmt_main };
