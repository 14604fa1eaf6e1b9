/*
 * milter_probe.c - "sallyport milter-probe SOCKET [FILE.eml]": one session against a milter, printed line by line, for who writes
 * or sets up a milter.  No policy, no gateway: only what a mail server would say, and what comes back.
 */
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/cmd/cmd.h"
#include "proxy/cmd/milter_probe_priv.h"

enum { MESSAGE_MAX = 64 << 20, LIST_MAX = 65536, TIMEOUT_S = 60 };

static const char probe_usage[] =
	"usage: sallyport milter-probe [option ...] SOCKET [FILE.eml]\n"
	"\n"
	"Runs one session against a milter, with a made-up message or that of the file (\"-\": standard input), and prints what\n"
	"is said: the negotiation, the macros asked for at each stage, each answer and edit, and the times.  Nothing is delivered.\n"
	"\n"
	"SOCKET is unix:/path, local:/path, /path, host:port, or inet:port@host.\n"
	"\n"
	"  --client ADDRESS      the client's address (192.0.2.1)\n"
	"  --client-name NAME    and its name (client.example.org)\n"
	"  --helo NAME           what it says at EHLO (its name)\n"
	"  --from ADDRESS        the sender (sender@example.org); \"\" for <>\n"
	"  --to ADDRESS          a recipient; may be given many times (recipient@example.com)\n"
	"  --macro NAME=VALUE    a macro's value; may be given many times\n"
	"  --version N           offer no more than this version of the protocol, 2 to 6 (6)\n"
	"  --timeout SECONDS     how long each answer is waited for (60)\n"
	"\n"
	"Exit status: 0 the milter accepts the message, 1 it refuses, defers, discards or quarantines it, 2 usage, or nothing listens\n"
	"there, 3 it was silent or broke the protocol.\n";

/* ---- the message ---------------------------------------------------------------------------- */

static bool
is_field(struct sp_span line)
{
	size_t colon = span_find(line, ':');

	for (size_t i = 0; i < colon; i++)
		if (line.ptr[i] <= ' ' || line.ptr[i] > '~')
			return false;
	return colon > 0 && colon < line.len;
}

/* One line off the front, without its end; either kind of line end will do. */
static struct sp_span
take_line(struct sp_span *text)
{
	struct sp_span line = span_head(*text, span_find(*text, '\n'));

	*text = span_from(*text, line.len + 1);
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* The header ends at an empty line, or before the first line that cannot be in one; "From " of a mailbox is left out. */
static bool
split_message(struct probe *p, struct sp_span text)
{
	struct sp_span line, rest = text;

	if (span_starts(text, SPAN_LIT("From ")))
		(void)take_line(&text);
	while (text.len > 0) {
		rest = text;
		line = take_line(&rest);
		if (!is_field(line) && (p->header.len == 0 || line.len == 0 || (line.ptr[0] != ' ' && line.ptr[0] != '\t')))
			break;
		buf_add(&p->header, line);
		buf_add_char(&p->header, '\n');
		text = rest;
	}
	if (text.len > 0 && (text.ptr[0] == '\n' || span_starts(text, SPAN_LIT("\r\n"))))
		(void)take_line(&text);
	while (text.len > 0) {
		buf_add(&p->body, take_line(&text));
		buf_add_str(&p->body, "\r\n");
	}
	return buf_status(&p->header) == SP_OK && buf_status(&p->body) == SP_OK;
}

static bool
make_message(struct probe *p)
{
	time_t now = time(NULL);
	struct tm tm;
	char date[64];

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	buf_printf(&p->header, "Date: %s\nFrom: <%s>\nTo: <%s>\nMessage-ID: <probe.%lld@gateway.example.com>\nSubject: a message made up "
		"by sallyport milter-probe\n", date, p->from[0] != '\0' ? p->from : "postmaster@example.org", p->to[0], (long long)now);
	buf_add_str(&p->body, "Hello,\r\n\r\nthis is a message to see what a milter makes of it.\r\n");
	return buf_status(&p->header) == SP_OK;
}

static bool
read_message(struct probe *p, const char *path)
{
	struct buf text;
	bool ok = cmd_read_file(path, MESSAGE_MAX, &text) && split_message(p, buf_span(&text));

	buf_fini(&text);
	return ok;
}

/* ---- the connection ------------------------------------------------------------------------- */

/* Names are looked up by the system, and their first address is taken. */
static bool
look_up(struct net_endpoint *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all;
	char host[NI_MAXHOST];
	bool ok;

	if (getaddrinfo(e->text, NULL, &hints, &all) != 0)
		return false;
	ok = getnameinfo(all->ai_addr, all->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST) == 0 &&
		span_to_ip(span_str(host), &e->ip) == SP_OK;
	freeaddrinfo(all);
	e->kind = NET_IP;
	return ok;
}

/* Those of ours, and those of libmilter. */
static bool
parse_socket(const char *text, struct net_endpoint *ret)
{
	struct sp_span s = span_str(text);
	char own[300];
	size_t at;

	if (span_starts(s, SPAN_LIT("inet:")) || span_starts(s, SPAN_LIT("inet6:"))) {
		s = span_from(s, span_find(s, ':') + 1);
		at = span_find(s, '@');
		snprintf(own, sizeof(own), at == s.len ? "127.0.0.1:%.*s%.*s" : memchr(s.ptr, ':', s.len) != NULL ? "[%.*s]:%.*s" : "%.*s:%.*s",
			(int)span_from(s, at + 1).len, at == s.len ? "" : s.ptr + at + 1, (int)at, s.ptr);
		return net_endpoint_parse(span_str(own), 0, ret) == SP_OK;
	}
	if (text[0] == '/')
		snprintf(own, sizeof(own), "unix:%s", text);
	else if (span_starts(s, SPAN_LIT("local:")))
		snprintf(own, sizeof(own), "unix:%s", text + 6);
	else
		snprintf(own, sizeof(own), "%s", text);
	return net_endpoint_parse(span_str(own), 0, ret) == SP_OK;
}

static int
no_connection(const struct probe *p, const struct net_endpoint *e, enum sp_status st)
{
	if (e->kind == NET_UNIX && access(e->text, F_OK) != 0)
		fprintf(stderr, "sallyport milter-probe: there is no socket at %s\n", p->socket);
	else if (e->kind == NET_UNIX && access(e->text, W_OK) != 0)
		fprintf(stderr, "sallyport milter-probe: this user may not connect to %s\n", p->socket);
	else if (st == SP_TIMEOUT)
		fprintf(stderr, "sallyport milter-probe: no connection to %s in time\n", p->socket);
	else
		fprintf(stderr, "sallyport milter-probe: nothing listens at %s\n", p->socket);
	return 2;
}

struct session {
	struct probe *probe;
	struct net_endpoint endpoint;
	int status;
};

static void
run_session(void *arg)
{
	struct session *s = arg;
	struct probe *p = s->probe;
	enum sp_status st = stream_connect(&s->endpoint, rt_deadline(p->timeout_ms), &p->stream);

	if (st != SP_OK) {
		s->status = no_connection(p, &s->endpoint, st);
	} else {
		p->start_ns = rt_now_ns();
		printf("       ms\n");
		probe_show(p, ' ', "connected", span_str(p->socket));
		probe_talk(p);
		printf("result: %s, %zu %s\n", p->verdict, p->edits, p->edits == 1 ? "edit" : "edits");
		s->status = (int)p->result;
		stream_free(&p->stream);
	}
	rt_stop();
}

static int
run_probe(struct probe *p)
{
	struct session s = { .probe = p };

	if (!parse_socket(p->socket, &s.endpoint))
		return cmd_usage_error(&cmd_milter_probe, "'%s' is no socket: unix:/path, host:port or inet:port@host is expected", p->socket);
	if (s.endpoint.kind == NET_HOST && !look_up(&s.endpoint)) {
		fprintf(stderr, "sallyport milter-probe: no address is known for %s\n", p->socket);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (rt_init() != SP_OK || co_start(run_session, &s, NULL) != SP_OK) {
		fprintf(stderr, "sallyport milter-probe: no memory\n");
		return 2;
	}
	rt_run();
	rt_fini();
	return s.status;
}

/* ---- options -------------------------------------------------------------------------------- */

static const char *
probe_option(struct probe *p, int opt)
{
	uint64_t n;

	switch (opt) {
	case 'c':
		return span_to_ip(span_str(optarg), &p->client) == SP_OK ? NULL : "--client takes an address";
	case 'n':
		p->client_name = optarg;
		return NULL;
	case 'h':
		p->helo = optarg;
		return NULL;
	case 'f':
		p->from = optarg;
		return NULL;
	case 't':
		if (p->to_count == PROBE_RCPTS)
			return "too many recipients";
		p->to[p->to_count++] = optarg;
		return NULL;
	case 'm':
		if (p->macro_count == PROBE_MACROS || strchr(optarg, '=') == NULL)
			return "--macro takes NAME=VALUE, 64 of them at most";
		p->macros[p->macro_count++] = optarg;
		return NULL;
	case 'v':
		if (span_to_u64(span_str(optarg), WIRE_VERSION_MAX, &n) != SP_OK || n < WIRE_VERSION_MIN)
			return "--version takes a number from 2 to 6";
		p->version = (uint32_t)n;
		return NULL;
	case 's':
		if (span_to_u64(span_str(optarg), 86400, &n) != SP_OK || n == 0)
			return "--timeout takes seconds";
		p->timeout_ms = (int64_t)n * 1000;
		return NULL;
	default:
		return "wrong option";
	}
}

static void
probe_init(struct probe *p)
{
	*p = (struct probe){ .client_name = "client.example.org", .from = "sender@example.org", .version = WIRE_VERSION_MAX,
		.timeout_ms = TIMEOUT_S * 1000 };
	(void)span_to_ip(SPAN_LIT("192.0.2.1"), &p->client);
	buf_init(&p->header, MESSAGE_MAX);
	buf_init(&p->body, 2 * MESSAGE_MAX);
	buf_init(&p->in, PROBE_PACKET + STREAM_INPUT);
	buf_init(&p->scratch, PROBE_PACKET);
	wire_out_init(&p->out, PROBE_PACKET);
	for (size_t i = 0; i < WIRE_STAGES; i++)
		buf_init(&p->lists[i], LIST_MAX);
}

static void
probe_fini(struct probe *p)
{
	buf_fini(&p->header);
	buf_fini(&p->body);
	buf_fini(&p->in);
	buf_fini(&p->scratch);
	wire_out_fini(&p->out);
	for (size_t i = 0; i < WIRE_STAGES; i++)
		buf_fini(&p->lists[i]);
}

static int
probe_main(int argc, char **argv)
{
	static const struct option options[] = { { "client", required_argument, NULL, 'c' }, { "client-name", required_argument, NULL, 'n' },
		{ "helo", required_argument, NULL, 'h' }, { "from", required_argument, NULL, 'f' }, { "to", required_argument, NULL, 't' },
		{ "macro", required_argument, NULL, 'm' }, { "version", required_argument, NULL, 'v' },
		{ "timeout", required_argument, NULL, 's' }, { NULL, 0, NULL, 0 } };
	struct probe p;
	const char *wrong = NULL;
	int opt, status;

	probe_init(&p);
	while (wrong == NULL && (opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		wrong = probe_option(&p, opt);
	if (wrong == NULL && (optind == argc || optind < argc - 2))
		wrong = "a socket is expected, and one message at most";
	if (wrong != NULL)
		return cmd_usage_error(&cmd_milter_probe, "%s", wrong);
	p.socket = argv[optind];
	if (p.helo == NULL)
		p.helo = p.client_name;
	if (p.to_count == 0)
		p.to[p.to_count++] = "recipient@example.com";
	status = (optind == argc - 1 ? make_message(&p) : read_message(&p, argv[optind + 1])) ? run_probe(&p) : 2;
	probe_fini(&p);
	return status;
}

const struct cmd cmd_milter_probe = {
	.name = "milter-probe", .summary = "run one session against a milter and print it", .usage = probe_usage, .run = probe_main,
};
