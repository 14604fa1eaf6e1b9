/*
 * everything.c - a milter that makes whatever edits it is told to, and writes down what it was shown.
 *
 *   everything [-l FILE] [-m] [-s] [-e EDIT] ... SOCKET
 *
 *   -e EDIT   an edit of every message; may be given many times
 *   -l FILE   one line for each call: "N CALL ...", N counts connections from 1; octets beyond print are escaped
 *   -m        with -l: the macros too, "N macro CALL NAME=VALUE"
 *   -s        asks for header values with the blank behind the colon (SMFIP_HDR_LEADSPC); those it sets then need one, too
 *
 * A message has edits of its own in its header, one a field, done behind those of the command line, in their order:
 *
 *   X-Test-Edit: insert 0 Subject another one
 *
 * An EDIT is one of these; words are divided by one blank, what is written TEXT goes to the end, may be empty or begin with
 * blanks, and may hold \r \n \t \s (a blank) \\ \xHH.  The fold of a long field is one blank.
 *
 *   add NAME TEXT              smfi_addheader
 *   insert INDEX NAME TEXT     smfi_insheader
 *   change INDEX NAME TEXT     smfi_chgheader; an empty TEXT deletes the field, too
 *   delete INDEX NAME          smfi_chgheader without a value
 *   from ADDRESS [ARGUMENTS]   smfi_chgfrom
 *   rcpt ADDRESS [ARGUMENTS]   smfi_addrcpt, or smfi_addrcpt_par with arguments
 *   unrcpt ADDRESS             smfi_delrcpt
 *   body TEXT                  smfi_replacebody; each further one is a further piece
 *   fill N                     smfi_replacebody with N octets of lines
 *   quarantine TEXT            smfi_quarantine
 *   progress                   smfi_progress
 *   VERDICT                    the answer to the end of the message, the last one counts: continue accept reject tempfail discard,
 *                              or reply CODE ENHANCED TEXT, lines of TEXT divided by \n
 *
 * An edit that cannot be read, or that libmilter refuses, defers the message: 451 4.3.0 "edit: ...".
 */
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

enum { EDITS = 256 };

static char *own_edits[EDITS];
static size_t own_count;
static FILE *log_file;
static bool log_macros, leading_space;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

/* One connection's; libmilter keeps it. */
struct visit {
	unsigned number;
	char *edits[EDITS];
	size_t count;
	uint64_t body_octets, body_hash;
};

/* ---- what it was shown ---------------------------------------------------------------------- */

static void
put_escaped(const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\\' || c < ' ' || c > '~')
			fprintf(log_file, c == '\\' ? "\\\\" : "\\x%02x", c);
		else
			putc(c, log_file);
	}
}

static void
note_macros(SMFICTX *ctx, unsigned number, const char *call)
{
	static const char *const names[] = { "_", "i", "j", "v", "{auth_authen}", "{auth_author}", "{auth_ssf}", "{auth_type}",
		"{cert_issuer}", "{cert_subject}", "{cipher}", "{cipher_bits}", "{client_addr}", "{client_connections}",
		"{client_name}", "{client_port}", "{client_ptr}", "{client_resolve}", "{daemon_addr}", "{daemon_name}",
		"{daemon_port}", "{if_addr}", "{if_name}", "{mail_addr}", "{mail_host}", "{mail_mailer}", "{msg_id}", "{nbadrcpts}", "{nrcpts}",
		"{ntries}", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}", "{tls_version}", "{verify}" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char name[32];
		const char *value;

		snprintf(name, sizeof(name), "%s", names[i]);
		value = smfi_getsymval(ctx, name);
		if (value == NULL)
			continue;
		fprintf(log_file, "%u macro %s %s=", number, call, names[i]);
		put_escaped(value);
		putc('\n', log_file);
	}
}

/* One line; texts up to a null are divided by a blank. */
static void
note(SMFICTX *ctx, const char *call, ...)
{
	const struct visit *v = smfi_getpriv(ctx);
	unsigned number = v == NULL ? 0 : v->number;
	const char *text;
	va_list ap;

	if (log_file == NULL)
		return;
	pthread_mutex_lock(&log_lock);
	if (log_macros)
		note_macros(ctx, number, call);
	fprintf(log_file, "%u %s", number, call);
	va_start(ap, call);
	while ((text = va_arg(ap, const char *)) != NULL) {
		putc(' ', log_file);
		put_escaped(text);
	}
	va_end(ap);
	putc('\n', log_file);
	fflush(log_file);
	pthread_mutex_unlock(&log_lock);
}

static void
note_words(SMFICTX *ctx, const char *call, char **words)
{
	char line[4096] = "";
	size_t at = 0;

	for (; *words != NULL && at < sizeof(line); words++)
		at += (size_t)snprintf(line + at, sizeof(line) - at, "%s%s", at > 0 ? " " : "", *words);
	note(ctx, call, line, NULL);
}

/* ---- edits ---------------------------------------------------------------------------------- */

static void
forget_message(struct visit *v)
{
	for (size_t i = 0; i < v->count; i++)
		free(v->edits[i]);
	v->count = 0;
	v->body_octets = 0;
	v->body_hash = UINT64_C(14695981039346656037);
}

static bool
fill_body(SMFICTX *ctx, int octets)
{
	static unsigned char lines[65535];

	for (size_t i = 0; i < sizeof(lines); i++)
		lines[i] = (unsigned char)(i % 65 == 63 ? '\r' : i % 65 == 64 ? '\n' : 'a' + i % 26);
	for (int left = octets, n; left > 0; left -= n) {
		n = left < 65000 ? left : 65000; /* whole lines */
		if (smfi_replacebody(ctx, lines, n) != MI_SUCCESS)
			return false;
	}
	return true;
}

/* add insert change delete */
static bool
edit_header(SMFICTX *ctx, const char *verb, char *rest)
{
	int index = 0;
	char *name;

	if (strcmp(verb, "add") != 0 && !milter_number(milter_word(&rest), &index))
		return false;
	name = milter_word(&rest);
	milter_unescape(name);
	milter_unescape(rest);
	if (strcmp(verb, "add") == 0)
		return smfi_addheader(ctx, name, rest) == MI_SUCCESS;
	if (strcmp(verb, "insert") == 0)
		return smfi_insheader(ctx, index, name, rest) == MI_SUCCESS;
	return smfi_chgheader(ctx, name, index, strcmp(verb, "change") == 0 ? rest : NULL) == MI_SUCCESS;
}

/* from rcpt unrcpt */
static bool
edit_envelope(SMFICTX *ctx, const char *verb, char *rest)
{
	char *address = milter_word(&rest), *args = *rest == '\0' ? NULL : rest;

	milter_unescape(address);
	if (strcmp(verb, "from") == 0)
		return smfi_chgfrom(ctx, address, args) == MI_SUCCESS;
	if (strcmp(verb, "unrcpt") == 0)
		return smfi_delrcpt(ctx, address) == MI_SUCCESS;
	return (args == NULL ? smfi_addrcpt(ctx, address) : smfi_addrcpt_par(ctx, address, args)) == MI_SUCCESS;
}

/* Makes it, or takes it as the verdict; text is written into. */
static bool
edit(SMFICTX *ctx, char *text, sfsistat *verdict)
{
	char *rest = text, *verb;
	int n;

	if (milter_verdict(ctx, text, verdict))
		return true;
	verb = milter_word(&rest);
	if (strcmp(verb, "add") == 0 || strcmp(verb, "insert") == 0 || strcmp(verb, "change") == 0 || strcmp(verb, "delete") == 0)
		return edit_header(ctx, verb, rest);
	if (strcmp(verb, "from") == 0 || strcmp(verb, "rcpt") == 0 || strcmp(verb, "unrcpt") == 0)
		return edit_envelope(ctx, verb, rest);
	if (strcmp(verb, "progress") == 0)
		return smfi_progress(ctx) == MI_SUCCESS;
	if (strcmp(verb, "fill") == 0)
		return milter_number(rest, &n) && fill_body(ctx, n);
	milter_unescape(rest);
	if (strcmp(verb, "quarantine") == 0)
		return smfi_quarantine(ctx, rest) == MI_SUCCESS;
	return strcmp(verb, "body") == 0 &&
		smfi_replacebody(ctx, (unsigned char *)rest, (int)strlen(rest)) == MI_SUCCESS;
}

/* A copy is edited, since words are cut off in place. */
static bool
edit_copy(SMFICTX *ctx, const char *text, sfsistat *verdict)
{
	char *copy = strdup(text);
	bool ok = copy != NULL && edit(ctx, copy, verdict);
	free(copy);
	if (!ok) {
		char line[512];

		snprintf(line, sizeof(line), "edit: %.400s", text);
		note(ctx, "failed", text, NULL);
		(void)smfi_setreply(ctx, "451", "4.3.0", line);
		*verdict = SMFIS_TEMPFAIL;
	}
	return ok;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static sfsistat
on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	static unsigned connections;
	struct visit *v = calloc(1, sizeof(*v));
	char from[NI_MAXHOST] = "unknown", port[NI_MAXSERV] = "0";

	if (v == NULL)
		return SMFIS_TEMPFAIL;
	v->number = __atomic_add_fetch(&connections, 1, __ATOMIC_RELAXED);
	forget_message(v);
	smfi_setpriv(ctx, v);
	if (address != NULL)
		(void)getnameinfo(address, address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in), from,
			sizeof(from), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	note(ctx, "connect", host, from, NULL); /* without the port, which is another each time */
	return SMFIS_CONTINUE;
}

static sfsistat
on_helo(SMFICTX *ctx, char *name)
{
	note(ctx, "helo", name, NULL);
	return SMFIS_CONTINUE;
}

static sfsistat
on_mail(SMFICTX *ctx, char **words)
{
	forget_message(smfi_getpriv(ctx));
	note_words(ctx, "mail", words);
	return SMFIS_CONTINUE;
}

static sfsistat
on_rcpt(SMFICTX *ctx, char **words)
{
	note_words(ctx, "rcpt", words);
	return SMFIS_CONTINUE;
}

static sfsistat
on_data(SMFICTX *ctx)
{
	note(ctx, "data", NULL);
	return SMFIS_CONTINUE;
}

/* Folds are one blank. */
static char *
unfold(const char *value)
{
	char *out = malloc(strlen(value) + 1), *to = out;

	while (*value == ' ')
		value++;
	for (; out != NULL && *value != '\0'; value++)
		if (*value != '\r' && *value != '\n')
			*to++ = *value == '\t' && value[-1] == '\n' ? ' ' : *value;
	if (out != NULL)
		*to = '\0';
	return out;
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	struct visit *v = smfi_getpriv(ctx);

	note(ctx, "header", name, value, NULL);
	if (strcasecmp(name, "X-Test-Edit") == 0 && v->count < EDITS && (v->edits[v->count] = unfold(value)) != NULL)
		v->count++;
	return SMFIS_CONTINUE;
}

static sfsistat
on_eoh(SMFICTX *ctx)
{
	note(ctx, "eoh", NULL);
	return SMFIS_CONTINUE;
}

/* FNV-1a, so that pieces may end anywhere. */
static sfsistat
on_body(SMFICTX *ctx, unsigned char *octets, size_t len)
{
	struct visit *v = smfi_getpriv(ctx);

	for (size_t i = 0; i < len; i++)
		v->body_hash = (v->body_hash ^ octets[i]) * UINT64_C(1099511628211);
	v->body_octets += len;
	return SMFIS_CONTINUE;
}

static sfsistat
on_eom(SMFICTX *ctx)
{
	struct visit *v = smfi_getpriv(ctx);
	sfsistat verdict = SMFIS_CONTINUE;
	char line[64];
	bool ok = true;

	snprintf(line, sizeof(line), "%" PRIu64 " %016" PRIx64, v->body_octets, v->body_hash);
	note(ctx, "eom", line, NULL);
	for (size_t i = 0; ok && i < own_count; i++)
		ok = edit_copy(ctx, own_edits[i], &verdict);
	for (size_t i = 0; ok && i < v->count; i++)
		ok = edit_copy(ctx, v->edits[i], &verdict);
	forget_message(v);
	return verdict;
}

static sfsistat
on_abort(SMFICTX *ctx)
{
	note(ctx, "abort", NULL);
	if (smfi_getpriv(ctx) != NULL)
		forget_message(smfi_getpriv(ctx));
	return SMFIS_CONTINUE;
}

static sfsistat
on_close(SMFICTX *ctx)
{
	struct visit *v = smfi_getpriv(ctx);

	note(ctx, "close", NULL);
	if (v != NULL)
		forget_message(v);
	free(v);
	smfi_setpriv(ctx, NULL);
	return SMFIS_CONTINUE;
}

static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long more, unsigned long most,
	unsigned long *want_actions, unsigned long *want_steps, unsigned long *want_more, unsigned long *want_most)
{
	(void)ctx, (void)more, (void)most;
	*want_actions = actions;
	*want_steps = steps & (leading_space ? SMFIP_HDR_LEADSPC : 0);
	*want_more = *want_most = 0;
	return SMFIS_CONTINUE;
}

int
main(int argc, char **argv)
{
	struct smfiDesc d = { .xxfi_name = "everything", .xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_CHGBODY | SMFIF_ADDRCPT | SMFIF_ADDRCPT_PAR | SMFIF_DELRCPT |
			SMFIF_QUARANTINE | SMFIF_CHGFROM,
		.xxfi_connect = on_connect, .xxfi_helo = on_helo, .xxfi_envfrom = on_mail, .xxfi_envrcpt = on_rcpt,
		.xxfi_header = on_header, .xxfi_eoh = on_eoh, .xxfi_body = on_body, .xxfi_eom = on_eom, .xxfi_abort = on_abort,
		.xxfi_close = on_close, .xxfi_data = on_data, .xxfi_negotiate = on_negotiate };
	int o;

	while ((o = getopt(argc, argv, "l:mse:")) != -1) {
		if (o == 'l')
			log_file = fopen(optarg, "ae");
		else if (o == 'e' && own_count < EDITS)
			own_edits[own_count++] = optarg;
		log_macros |= o == 'm';
		leading_space |= o == 's';
		if (o == '?' || (o == 'l' && log_file == NULL))
			return 2;
	}
	if (optind != argc - 1) {
		fprintf(stderr, "usage: everything [-l FILE] [-m] [-s] [-e EDIT] ... SOCKET\n");
		return 2;
	}
	return milter_serve(argv[optind], &d);
}
