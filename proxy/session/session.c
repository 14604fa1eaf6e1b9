/*
 * session.c - a session's life: banner, command lines, limits, farewell.
 *
 * The session struct lives on its coroutine's stack; what a transaction needs lives in that transaction's arena.
 * RFC 5321 3.1 (opening), 3.8 (421), 4.5.3.2 (time-outs); CASES A.3, A.6.
 */
#include "proxy/session/session_priv.h"

#include <sys/random.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/rt/rt.h"
#include "proxy/session/log.h"

enum { REPLY_SCRATCH = 65536, STRICT_FAULTS = 3, CROWDED_SHARE = 5 };

/* All sessions of this worker, so that draining can reach them. */
struct member {
	struct member *next, **self;
	struct co *co;
	const struct session *session;
};
static struct member *members;
static bool draining, hurrying;

void
session_id(char to[static SESSION_TXID])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	static uint64_t state;
	uint64_t z;

	if (state == 0)
		MUST(getrandom(&state, sizeof(state), 0) == sizeof(state));
	z = state += 0x9e3779b97f4a7c15u; /* a Weyl sequence, mixed: distinct for 2^64 steps */
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	for (int i = 0; i < SESSION_TXID - 1; i++, z >>= 5)
		to[i] = digits[z & 31];
	to[SESSION_TXID - 1] = '\0';
}

int64_t
session_command_deadline(const struct session *s)
{
	int64_t usual = s->config->timeouts.command;

	return rt_deadline(session_is_crowded(s) ? usual / CROWDED_SHARE : usual);
}

bool
session_is_crowded(const struct session *s)
{
	return s->start->crowded != NULL && s->start->crowded(s->start->arg);
}

/* ---- replies -------------------------------------------------------------------------------- */

void
session_reply_span(struct session *s, int code, const char *enhanced, struct sp_span text)
{
	enum sp_status st;

	buf_clear(&s->reply);
	reply_add(&s->reply, code, enhanced, text);
	st = buf_status(&s->reply); /* without its reply the next one would pass for this command's */
	if (st == SP_OK && !s->peer_gone)
		st = stream_write(s->stream, buf_span(&s->reply), rt_deadline(s->config->timeouts.command));
	if (st != SP_OK)
		s->peer_gone = s->done = true;
	if (s->reply.room > 1024)
		buf_fini(&s->reply);
}

void
session_reply(struct session *s, int code, const char *enhanced, const char *text)
{
	session_reply_span(s, code, enhanced, span_str(text));
}

bool
session_flush(struct session *s)
{
	if (!s->peer_gone && stream_flush(s->stream, rt_deadline(s->config->timeouts.command)) != SP_OK) {
		s->peer_gone = s->done = true;
		s->end = "client-gone";
	}
	return !s->peer_gone;
}

void
session_goodbye(struct session *s, const char *enhanced, const char *text, const char *why)
{
	char line[256 + REPLY_TEXT];

	snprintf(line, sizeof(line), "%.255s %s", session_hostname(s), text);
	session_reply(s, 421, enhanced, line);
	s->done = true;
	s->end = why;
}

void
session_error(struct session *s, int code, const char *enhanced, const char *text)
{
	if (++s->errors > s->config->limits.errors) {
		session_goodbye(s, "4.7.0", "too many errors", "errors");
		return;
	}
	session_reply(s, code, enhanced, text);
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void
strict_fault(struct session *s, const char *text)
{
	session_error(s, 500, "5.5.2", text);
	if (!s->done && ++s->strict_faults >= STRICT_FAULTS) {
		s->done = true;
		s->end = "bad-lines";
	}
}

/* Octets of the command that has been waited for since began_ms.  A crowded listener waits for a fifth of the time only; it may
 * become one meanwhile, so that is looked at again after each fifth. */
static enum sp_status
await_input(struct session *s, int64_t began_ms)
{
	int64_t most = s->config->timeouts.command, slice = most / CROWDED_SHARE + 1, until;
	enum sp_status st;

	do {
		until = ((rt_now_ms() - began_ms) / slice + 1) * slice;
		until = began_ms + (until < most ? until : most);
		if (s->tx == NULL)
			st = draining ? SP_CANCELED : stream_fill_interruptible(s->stream, until);
		else
			st = stream_fill(s->stream, until);
	} while (st == SP_TIMEOUT && until < began_ms + most && !session_is_crowded(s));
	return st;
}

/* Waits for octets of the next command; false: the session is over. */
static bool
more_input(struct session *s, int64_t began_ms)
{
	enum sp_status st;

	if (!session_flush(s))
		return false;
	st = await_input(s, began_ms);
	if (st == SP_OK)
		return true;
	if (st == SP_CANCELED)
		session_goodbye(s, "4.3.2", "closing for maintenance, try again later", "drain");
	else if (st == SP_TIMEOUT)
		session_goodbye(s, "4.4.2", "timed out waiting for a command", "timeout");
	else
		s->end = s->end != NULL ? s->end : "client-gone";
	s->peer_gone |= st == SP_GONE;
	s->done = true;
	return false;
}

/* An over-long line: told once, thrown away up to twice the limit, then the end (CASES P08). */
static void
long_line(struct session *s, bool first)
{
	if (first)
		session_error(s, 500, "5.5.2", "line too long");
	if (!s->done && s->lines.skipped > 2 * s->line_max) {
		s->done = true;
		s->end = "line-limit";
	}
}

/* The line was a faulty one, and told so. Behind a BDAT come octets that are no commands, nobody knows how many (CASES B02). */
static void
end_before_chunk(struct session *s)
{
	if (s->done)
		return;
	s->done = true;
	s->end = "bdat";
}

/* One line's worth of input is looked at; true: line is a command line of *used octets. */
static bool
take_line(struct session *s, struct sp_span *line, size_t *used, bool *starved)
{
	bool skipping = s->lines.skipped > 0, chunk = !skipping && span_istarts(stream_input(s->stream), SPAN_LIT("BDAT"));

	*starved = false;
	if (!skipping)
		s->line_max = session_line_max(s);
	switch (line_next(&s->lines, stream_input(s->stream), s->line_max, line, used)) {
	case LINE_OK:
		if (!skipping)
			return true;
		break;
	case LINE_MORE:
		*starved = *used == 0;
		if (skipping)
			long_line(s, false);
		break;
	case LINE_LONG:
		long_line(s, !skipping);
		break;
	case LINE_BARE_LF:
		session_error(s, 500, "5.5.2", "bare LF in a command: lines end in CR LF");
		break;
	case LINE_BARE_CR:
		strict_fault(s, "bare CR in a command: lines end in CR LF");
		break;
	case LINE_NUL:
		strict_fault(s, "NUL in a command");
		break;
	}
	if (chunk && !*starved)
		end_before_chunk(s);
	stream_consume(s->stream, *used);
	return false;
}

static void
command_loop(struct session *s)
{
	int64_t began_ms = rt_now_ms();

	while (!s->done) {
		struct sp_span line;
		size_t used;
		bool starved;

		if (draining && s->tx == NULL) {
			session_goodbye(s, "4.3.2", "closing for maintenance, try again later", "drain");
		} else if (take_line(s, &line, &used, &starved)) {
			s->line_used = used;
			session_command(s, line);
			stream_consume(s->stream, s->line_used);
			s->line_used = 0;
			began_ms = rt_now_ms();
		} else if (starved && !s->done) {
			(void)more_input(s, began_ms);
		}
	}
}

/* ---- the opening ---------------------------------------------------------------------------- */

/* The client must wait for our banner (RFC 5321 3.1); what comes before it is not read as commands. */
static bool
spoke_first(struct session *s)
{
	if (s->config->timeouts.greet > 0 &&
		stream_fill_interruptible(s->stream, rt_deadline(s->config->timeouts.greet)) == SP_GONE) {
		s->done = s->peer_gone = true;
		s->end = "client-gone";
		return false;
	}
	if (stream_quiet(s->stream) || stream_peer_gone(s->stream))
		return false;
	session_reply(s, 554, "5.5.0", "protocol error: you spoke before the greeting");
	s->done = true;
	s->end = "pregreet";
	return true;
}

static void
refuse_connection(struct session *s, const struct policy_verdict *v)
{
	s->banner_rule = v->rule != NULL ? policy_rule_name(v->rule) : s->banner_rule;
	s->verdict = v->verdict;
	if (v->verdict == POLICY_DEFER) {
		char text[REPLY_TEXT];

		snprintf(text, sizeof(text), "%.*s", (int)v->text.len, v->text.ptr);
		session_goodbye(s, "4.7.0", text, "policy");
		return;
	}
	session_reply_span(s, 554, "5.7.1", v->text);
	s->state = STATE_REFUSED;
	s->banner_code = 554;
}

static void
greet(struct session *s)
{
	struct policy_verdict v;

	v = inspect_connect(s->inspect, rt_deadline(s->config->timeouts.filters));
	if (verdict_stops(s, &v)) {
		refuse_connection(s, &v);
		return;
	}
	session_banner(s);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void
member_join(struct member *m, const struct session *s)
{
	*m = (struct member){ .next = members, .self = &members, .co = co_self(), .session = s };
	if (members != NULL)
		members->self = &m->next;
	members = m;
}

static void
member_leave(struct member *m)
{
	*m->self = m->next;
	if (m->next != NULL)
		m->next->self = m->self;
}

/* Who the client is, is known: may it come in? Else it has been told. */
static bool
enter(struct session *s)
{
	struct session_refusal refusal = s->start->admit(s->start->arg, &s->ip);

	if (refusal.text != NULL) {
		session_goodbye(s, refusal.enhanced, refusal.text, "refused");
		return false;
	}
	if (draining) {
		session_goodbye(s, "4.3.2", "closing for maintenance, try again later", "drain");
		return false;
	}
	s->inspect = inspect_new(s->config->policy,
		&(struct inspect_client){ .ip = s->ip, .port = s->port, .listener = s->config->listener,
			.local_ip = s->local_ip, .local_port = s->local_port, .hostname = session_hostname(s),
			.auth_id = s->config->auth_id, .write_results = s->config->write_results,
			.name = s->given.named ? s->given.name : NULL, .name_unknown = s->given.name_unknown,
			.dns_ms = s->config->timeouts.dns,
			.connections = s->start->connections != NULL ? s->start->connections(s->start->arg) : 1,
			.header_octets = s->config->limits.header_size, .shadow = s->config->shadow });
	if (s->inspect == NULL) {
		session_goodbye(s, "4.3.0", "out of memory, try again later", "memory");
		return false;
	}
	return true;
}

void
session_restart(struct session *s, bool anew)
{
	if (anew) {
		inspect_free(&s->inspect);
		if (!enter(s))
			return;
		starttls_facts(s);
	}
	inspect_auth(s->inspect, span_str(s->given.login), s->given.login[0] != '\0' ? SPAN_LIT("XCLIENT") : SPAN_LIT(""));
	if (anew)
		greet(s);
	else
		session_banner(s);
}

static void
session_run(struct session *s)
{
	if (!client_open(s) || !enter(s) || !session_secure_first(s))
		return;
	if (s->start->turned != NULL)
		starttls_facts(s);
	if (!spoke_first(s) && !s->done)
		greet(s);
	command_loop(s);
}

void
session_serve(struct stream *stream, const struct session_start *start)
{
	struct session s = {
		.config = start->config,
		.start = start,
		.backend = start->backend,
		.backends = start->backends,
		.relay_route = start->config->route,
		.stream = stream,
		.state = STATE_NEW,
		.ip = start->ip,
		.port = start->port,
		.begin_ns = rt_now_ns(),
		.peer_gone = start->config->tls_implicit, /* nobody understands us before the handshake */
	};
	struct member m;

	session_id(s.id);
	buf_init(&s.reply, REPLY_SCRATCH);
	member_join(&m, &s);
	session_run(&s);
	transaction_end(&s);
	(void)session_flush(&s);
	member_leave(&m);
	account_connection(&s);
	relay_free(&s.relay);
	inspect_free(&s.inspect);
	buf_fini(&s.reply);
	if (s.turned != NULL)
		atrn_serve(&s);
	stream_free(&s.stream);
}

void
session_drain(void)
{
	draining = true;
	for (struct member *m = members; m != NULL; m = m->next)
		co_interrupt(m->co);
}

bool
session_draining(void)
{
	return draining;
}

bool
session_hurrying(void)
{
	return hurrying;
}

void
session_hurry(void)
{
	hurrying = true;
	for (struct member *m = members; m != NULL; m = m->next)
		if (!m->session->past_dot)
			co_cancel(m->co);
}
