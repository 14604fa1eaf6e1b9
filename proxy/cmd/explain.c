/*
 * explain.c - "sallyport explain": one imagined transaction, the verdict, and every rule's part in it.
 *
 * The same proxy/inspect that serves real sessions is asked stage by stage; no listener is opened, no backend
 * is asked, and shared state (rates) is only looked at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/cmd/cmd.h"
#include "proxy/inspect/inspect.h"
#include "proxy/master/config.h"
#include "proxy/rt/rt.h"
#include "proxy/smtp/data.h"

enum { RCPTS = 100, MESSAGE_MAX = 64 << 20, FILTERS_MS = 60000 };

static const char explain_usage[] =
	"usage: sallyport explain [option ...] POLICY [FILE.eml]\n"
	"\n"
	"Says what POLICY would do with one message and why: the verdict in one line, then each rule with its place, the\n"
	"values that it read, and yes, no or unknown.  Nothing is sent and nothing is counted; DNS is asked.\n"
	"\n"
	"  --client IP     the client's address (127.0.0.1)\n"
	"  --helo NAME     its HELO name (localhost)\n"
	"  --from A        the sender, \"\" for <> (sender@example.com)\n"
	"  --to B          a recipient; may be given up to 100 times (recipient@example.com)\n"
	"  --user NAME     as if authenticated by this name\n"
	"  --listener A:P  as if on this listener (the policy's first)\n"
	"  --json          one JSON object\n"
	"\n"
	"FILE.eml (- for standard input) may have LF or CR LF line ends; without it the message is empty.\n"
	"Exit status: 0 accept or discard, 1 the policy has errors, 2 usage, 3 reject, 4 defer.\n";

struct explain {
	const char *client, *helo, *from, *user, *listener;
	const char *to[RCPTS];
	size_t to_count;
	bool to_given, json;
	struct config *config;
	struct buf message; /* CR LF line ends, dots not stuffed */
	int status;
};

static int
verdict_status(enum policy_class c)
{
	return c == POLICY_REJECT ? 3 : c == POLICY_DEFER ? 4 : 0;
}

static bool
stops(const struct policy_verdict *v)
{
	return v->verdict == POLICY_REJECT || v->verdict == POLICY_DEFER;
}

/* ---- authentication results ------------------------------------------------------------------ */

static void
add_string(struct buf *to, struct sp_span s)
{
	buf_add_char(to, '"');
	buf_add_quoted(to, s);
	buf_add_char(to, '"');
}

/* {"method":"spf","result":"pass","reason":"","properties":{"smtp.mailfrom":"example.org"}} */
static void
add_result(struct buf *to, const struct sp_auth_result *r)
{
	buf_printf(to, "{\"method\":\"%s\",\"result\":\"%s\",\"reason\":", r->method, r->result);
	add_string(to, r->reason);
	buf_add_str(to, ",\"properties\":{");
	for (size_t n = 0; n < r->prop_count; n++) {
		buf_printf(to, "%s\"%s.%s\":", n > 0 ? "," : "", r->props[n].ptype, r->props[n].name);
		add_string(to, r->props[n].value);
	}
	buf_add_str(to, "}}");
}

/* Members to follow those of the verdict. */
static void
results_json(struct inspect *i, struct buf *to)
{
	struct sp_auth_result r;

	buf_add_str(to, ",\"results\":[");
	for (size_t n = 0; inspect_result(i, n, &r) == SP_OK; n++) {
		if (n > 0)
			buf_add_char(to, ',');
		add_result(to, &r);
	}
	buf_add_str(to, "],\"authentication_results\":");
	add_string(to, inspect_results_text(i));
}

static void
results_text(struct inspect *i, struct buf *to)
{
	struct sp_span text = inspect_results_text(i);

	if (text.len == 0)
		return;
	buf_add_str(to, "authentication results: ");
	for (size_t n = 0; n < text.len; n++)
		if (text.ptr[n] != '\r')
			buf_add_char(to, text.ptr[n]);
	buf_add_char(to, '\n');
}

/* The policy's own account, and behind it, in JSON within its object, the results. */
static void
explain_print(struct explain *x, struct inspect *i, const struct policy_verdict *v)
{
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	struct buf results;

	x->status = verdict_status(v->verdict);
	if (to == NULL)
		return;
	policy_explain(inspect_eval(i), v, inspect_policy_host(i), x->json, to);
	buf_init(&results, MESSAGE_MAX);
	if (x->json)
		results_json(i, &results);
	else
		results_text(i, &results);
	fclose(to);
	if (x->json && len >= 2 && memcmp(text + len - 2, "}\n", 2) == 0)
		printf("%.*s%s}\n", (int)(len - 2), text, buf_cstr(&results));
	else
		printf("%s%s", text, buf_cstr(&results));
	buf_fini(&results);
	free(text);
}

/* ---- stages --------------------------------------------------------------------------------- */

static bool
address_arg(const char *text, bool null_ok, struct address *ret)
{
	if (null_ok && *text == '\0') {
		*ret = (struct address){ .text = SPAN_LIT("") };
		return true;
	}
	if (address_parse_bare(span_str(text), ret) == ADDRESS_OK)
		return true;
	fprintf(stderr, "sallyport explain: '%s' is no address\n", text);
	return false;
}

/* The listener that --listener names, or the first. */
static const struct session_config *
explain_listener(const struct explain *x)
{
	for (size_t i = 0; i < x->config->listener_count; i++)
		if (span_eq(x->config->listeners[i].session.listener, span_str(x->listener)))
			return &x->config->listeners[i].session;
	return NULL;
}

/* No rule speaks of relaying, so the rules' verdict alone would mislead. */
static void
explain_relaying(const struct explain *x, const struct sp_ip *client)
{
	const struct session_config *listener = explain_listener(x);

	for (size_t n = 0; listener != NULL && n < x->to_count; n++) {
		struct address rcpt = { 0 };

		(void)address_parse_bare(span_str(x->to[n]), &rcpt); /* checked before */
		if (!(x->user != NULL && listener->auth.relays) && !session_may_relay(listener, client, &rcpt))
			fprintf(x->json ? stderr : stdout, "before any rule: <%s> is refused, 550 5.7.1 relaying denied: its "
				"domain is not in 'relay to' of listener %s, nor the client in 'relay for'\n",
				x->to[n], x->listener);
	}
}

/* Nor does one of this. */
static void
explain_authors(const struct explain *x, const struct inspect *i)
{
	const struct session_config *listener = explain_listener(x);

	if ((inspect_header_faults(i) & HEADER_SEVERAL_FROM) && listener != NULL && !listener->several_from)
		fprintf(x->json ? stderr : stdout, "before any rule: the message is refused, 550 5.7.1 more than one From field: "
			"'several from' of listener %s is no\n", x->listener);
}

/* Where there are several backends: which of them gets it. */
static void
explain_route(const struct explain *x, const struct inspect *i, const struct address *rcpt)
{
	const struct session_config *listener = explain_listener(x);
	struct sp_span named = inspect_backend(i), name;

	if (listener == NULL || listener->route_count < 2 || x->user != NULL)
		return;
	name = policy_block_name(listener->routes[session_route_of(listener, named, rcpt->domain)]->block);
	fprintf(x->json ? stderr : stdout, "recipient <%.*s>: to backend %.*s\n", (int)rcpt->text.len, rcpt->text.ptr,
		(int)name.len, name.ptr);
}

static struct policy_verdict
explain_rcpts(struct explain *x, struct inspect *i)
{
	struct policy_verdict v = { 0 };
	size_t accepted = 0;

	for (size_t n = 0; n < x->to_count; n++) {
		struct address rcpt = { 0 };

		(void)address_parse_bare(span_str(x->to[n]), &rcpt); /* checked before */
		v = inspect_rcpt(i, &rcpt, rt_deadline(FILTERS_MS));
		if (stops(&v) && x->to_count > 1 && !x->json)
			printf("recipient <%s>: %s\n", x->to[n], policy_class_name(v.verdict));
		if (stops(&v) && n + 1 == x->to_count && accepted == 0)
			return v;
		if (!stops(&v))
			explain_route(x, i, &rcpt);
		inspect_rcpt_result(i, !stops(&v));
		accepted += !stops(&v);
	}
	return (struct policy_verdict){ 0 };
}

static struct policy_verdict
explain_message(struct explain *x, struct inspect *i)
{
	struct spool *spool = spool_new();
	struct policy_verdict v = inspect_data(i, rt_deadline(FILTERS_MS));
	struct sp_span rest = buf_span(&x->message);

	if (spool == NULL)
		return (struct policy_verdict){ .verdict = POLICY_DEFER, .code = 451, .stage = SP_DATA,
			.enhanced = SPAN_LIT("4.3.0"), .text = SPAN_LIT("out of memory") };
	while (!stops(&v) && rest.len > 0) { /* line by line: dots are stuffed for the spool's wire form */
		size_t len = span_find(rest, '\n') + 1;
		struct sp_span line = span_head(rest, len);

		if (line.ptr[0] == '.')
			(void)spool_write(spool, SPAN_LIT("."));
		(void)spool_write(spool, line);
		(void)inspect_content(i, line);
		rest = span_from(rest, line.len);
	}
	(void)spool_seal(spool);
	if (!stops(&v))
		v = inspect_end(i, spool);
	explain_authors(x, i);
	spool_free(&spool);
	return v;
}

static struct policy_verdict
explain_stages(struct explain *x, struct inspect *i)
{
	struct command_path mail = { .size = -1 };
	struct policy_verdict v = inspect_connect(i, rt_deadline(FILTERS_MS));

	(void)address_arg(x->from, true, &mail.address);
	mail.smtputf8 = mail.address.utf8;
	if (!stops(&v))
		v = inspect_helo(i, span_str(x->helo), true, rt_deadline(FILTERS_MS));
	if (x->user != NULL)
		inspect_auth(i, span_str(x->user), SPAN_LIT("PLAIN"));
	if (!stops(&v))
		v = inspect_mail(i, &mail, FILTERS_MS);
	if (!stops(&v))
		v = explain_rcpts(x, i);
	if (!stops(&v))
		v = explain_message(x, i);
	return v;
}

static void
explain_run(void *arg)
{
	struct explain *x = arg;
	struct inspect_client client = { .dry_run = true, .port = 25025, .connections = 1, .listener = span_str(x->listener) };
	struct policy_verdict v;
	struct inspect *i;

	(void)span_to_ip(span_str(x->client), &client.ip); /* checked before */
	if (explain_listener(x) != NULL) {
		client.auth_id = explain_listener(x)->auth_id;
		client.dns_ms = explain_listener(x)->timeouts.dns;
	}
	if (x->to_given)
		explain_relaying(x, &client.ip);
	i = inspect_new(x->config->policy, &client);
	if (i != NULL) {
		v = explain_stages(x, i);
		explain_print(x, i, &v);
	}
	inspect_free(&i);
	rt_stop();
}

/* ---- arguments ------------------------------------------------------------------------------ */

/* LF alone becomes CR LF; the last line gets its end. */
static bool
crlf_lines(struct buf *message)
{
	struct buf out;
	char last = '\n';

	buf_init(&out, 2 * MESSAGE_MAX);
	for (size_t i = 0; i < message->len; i++) {
		char c = message->ptr[i];

		if (c == '\n' && last != '\r')
			buf_add_char(&out, '\r');
		buf_add_char(&out, c);
		last = c;
	}
	if (last != '\n')
		buf_add_str(&out, "\r\n");
	buf_fini(message);
	*message = out;
	return buf_status(&out) == SP_OK;
}

static bool
explain_check(struct explain *x)
{
	struct sp_ip ip;
	struct address a;

	if (span_to_ip(span_str(x->client), &ip) != SP_OK) {
		cmd_usage_error(&cmd_explain, "--client takes an IP address, not '%s'", x->client);
		return false;
	}
	if (!address_helo_ok(span_str(x->helo))) {
		cmd_usage_error(&cmd_explain, "--helo takes a host name, not '%s'", x->helo);
		return false;
	}
	for (size_t i = 0; i < x->to_count; i++)
		if (!address_arg(x->to[i], false, &a))
			return false;
	return address_arg(x->from, true, &a);
}

static int
explain_policy(struct explain *x, const char *path)
{
	struct policy_diag d;

	policy_diag_init(&d);
	x->config = config_load(path, 0, NULL, &d);
	if (x->config == NULL)
		fputs(buf_cstr(&d.text), stderr);
	policy_diag_fini(&d);
	if (x->config == NULL)
		return 1;
	if (x->listener == NULL)
		x->listener = x->config->listener_count > 0 ? x->config->listeners[0].session.listener.ptr : "none";
	if (rt_init() != SP_OK || dns_init(&x->config->dns) != SP_OK)
		return 2;
	spool_configure(&x->config->spool);
	x->status = 2;
	if (co_start(explain_run, x, NULL) == SP_OK)
		rt_run();
	dns_fini();
	rt_fini();
	config_free(&x->config);
	return x->status;
}

static bool
explain_option(struct explain *x, int opt)
{
	switch (opt) {
	case 'c':
		x->client = optarg;
		return true;
	case 'h':
		x->helo = optarg;
		return true;
	case 'f':
		x->from = optarg;
		return true;
	case 'u':
		x->user = optarg;
		return true;
	case 'l':
		x->listener = optarg;
		return true;
	case 'j':
		x->json = true;
		return true;
	case 't':
		if (x->to_count == RCPTS)
			return false;
		x->to[x->to_count++] = optarg;
		x->to_given = true;
		return true;
	default:
		return false;
	}
}

static int
explain_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "client", required_argument, NULL, 'c' }, { "helo", required_argument, NULL, 'h' },
		{ "from", required_argument, NULL, 'f' }, { "to", required_argument, NULL, 't' },
		{ "user", required_argument, NULL, 'u' }, { "listener", required_argument, NULL, 'l' },
		{ "json", no_argument, NULL, 'j' }, { 0 }
	};
	struct explain x = { .client = "127.0.0.1", .helo = "localhost", .from = "sender@example.com" };
	int opt, status;

	buf_init(&x.message, MESSAGE_MAX);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!explain_option(&x, opt))
			return cmd_usage_error(&cmd_explain, "wrong option");
	if (optind != argc - 1 && optind != argc - 2)
		return cmd_usage_error(&cmd_explain, "a policy file is expected, and at most one message");
	if (x.to_count == 0)
		x.to[x.to_count++] = "recipient@example.com";
	if (!explain_check(&x) || (optind == argc - 2 && !cmd_read_file(argv[argc - 1], MESSAGE_MAX, &x.message)))
		return 2;
	if (!crlf_lines(&x.message))
		return cmd_usage_error(&cmd_explain, "the message is too big");
	status = explain_policy(&x, argv[optind]);
	buf_fini(&x.message);
	return status;
}

const struct cmd cmd_explain = { "explain", "say what a policy would do with a message, and why", explain_usage,
	explain_main };
