/*
 * message.c - DATA, from 354 to the reply to the final dot; and what becomes of a message, whichever way it came.
 *
 * The octets go through the data parser into the spool and past the filters; at the client's dot the verdict falls;
 * only then does the backend see DATA, and just before our own dot we look once more whether the client is
 * there and the commit deadline has not passed (RFC 5321 4.1.1.4, 4.5.3.2; RFC 1047; CASES A.1, A.6, B.1).
 */
#include "proxy/session/upload.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"
#include "proxy/smtp/fault.h"

/* ---- judging -------------------------------------------------------------------------------- */

static struct command_error
upload_fault(const struct upload *u)
{
	const struct session *s = u->s;
	struct command_error e = fault_reply(u->parser.faults, inspect_header_faults(s->inspect), s->config->several_from);

	if (e.code == 0 && inspect_received(s->inspect) > s->config->limits.hops)
		e = (struct command_error){ 554, "5.4.6", "too many hops: this mail is in a loop" };
	if (e.code == 0 && u->parser.sink_status != SP_OK)
		e = (struct command_error){ 452, "4.3.1", "not enough disk space, try again later" };
	return e;
}

static struct sp_span
trace_header(const struct session *s)
{
	char ip[46], date[64] = "";
	time_t now = time(NULL);
	struct tm tm;
	const struct transaction *tx = s->tx;
	const char *with = !s->esmtp ? "SMTP" : session_encrypted(s) ? "ESMTPS" : "ESMTP";
	char *text;

	if (!s->config->received)
		return SPAN_LIT("");
	if (tx->mail.smtputf8)
		with = session_encrypted(s) ? "UTF8SMTPS" : "UTF8SMTP"; /* RFC 6531 4.3 */
	if (gmtime_r(&now, &tm) != NULL)
		strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	text = arena_printf(tx->arena, "Received: from %s ([%s%s])\r\n\tby %s (Sallyport) with %s%s id %s%s%.*s;\r\n\t%s\r\n",
		s->helo, s->ip.family == 6 ? "IPv6:" : "", span_from_ip(&s->ip, ip).ptr, session_hostname(s), with,
		session_authenticated(s) ? "A" : "", tx->id, tx->accepted == 1 ? "\r\n\tfor " : "", tx->accepted == 1 ? (int)tx->rcpts.len : 0,
		tx->rcpts.ptr != NULL ? tx->rcpts.ptr : "", date);
	return span_str(text);
}

/* ---- committing ----------------------------------------------------------------------------- */

const char *
message_withheld(const struct session *s)
{
	if (session_hurrying() || co_cancelled())
		return "drain";
	if (rt_now_ms() > s->tx->dot_ms + s->config->timeouts.commit)
		return "limit";
	return stream_peer_gone(s->stream) ? "client" : NULL;
}

/* Asked by the relay just before our final dot (P8). */
static bool
commit(void *arg)
{
	struct session *s = arg;

	s->tx->withheld_by = message_withheld(s);
	s->past_dot = s->tx->withheld_by == NULL;
	return s->past_dot;
}

static void
upload_deliver(struct upload *u)
{
	struct session *s = u->s;
	struct inspect_output out;
	struct relay_reply reply;
	struct relay_message m = { .commit = commit, .arg = s,
		.reply_deadline_ms = s->tx->dot_ms + s->config->timeouts.reply };
	struct sp_span trace = trace_header(s);
	enum relay_outcome outcome;

	if (trace.ptr == NULL || submission_complete(s) != SP_OK || inspect_apply(s->inspect, trace, &out) != SP_OK) {
		if (co_cancelled()) /* while a filter was signing */
			transaction_reply(s, 451, "4.3.2", SPAN_LIT("closing for maintenance, try again later"), "drain");
		else
			transaction_reply(s, 451, "4.3.0", SPAN_LIT("an edit of the message failed"), "filter");
		return;
	}
	m.head = out.head;
	m.spool = out.body != NULL ? out.body : u->spool;
	m.from = out.from;
	m.unended = u->chunks.whole && !u->chunks.ended && out.body == NULL && out.from < spool_size(u->spool);
	if (!replay_envelope(s))
		return;
	outcome = relay_send(s->relay, &m, &reply);
	s->past_dot = false;
	s->tx->dup = outcome == RELAY_UNKNOWN;
	session_results(s);
	if (prdr_answer(s, outcome, &reply))
		return;
	if (outcome == RELAY_ANSWERED && reply_class(reply.code) == 2) {
		s->tx->code = reply.code;
		s->tx->by = "backend";
		s->tx->reply = arena_copy(s->tx->arena, reply.text);
		s->tx->outcome = "accept";
		s->accepted++;
		s->junk = 0;
		session_reply_span(s, reply.code, reply.enhanced, reply.text);
	} else {
		const char *by = "backend";

		if (outcome == RELAY_NOT_SENT && s->tx->withheld_by != NULL)
			by = s->tx->withheld_by;
		else if (outcome == RELAY_NOT_SENT && co_cancelled())
			by = "drain"; /* before the relay came to ask */
		transaction_reply(s, reply.code, reply.enhanced, reply.text, by);
		if (outcome == RELAY_UNKNOWN)
			s->tx->outcome = "unknown";
		else if (strcmp(by, "client") == 0)
			s->tx->outcome = "abort";
	}
}

static void
upload_judge(struct upload *u)
{
	struct session *s = u->s;
	struct command_error fault = upload_fault(u);
	struct policy_verdict v;

	if (fault.code == 0)
		fault = submission_check_message(s);
	if (fault.code == 0 && spool_seal(u->spool) != SP_OK)
		fault = (struct command_error){ 452, "4.3.1", "not enough disk space, try again later" };
	if (fault.code != 0) {
		transaction_reply(s, fault.code, fault.enhanced, span_str(fault.text), "limit");
		return;
	}
	v = inspect_end(s->inspect, u->spool);
	s->tx->verdict = v;
	s->tx->split = prdr_splits(s);
	if (s->tx->split && v.verdict != POLICY_ACCEPT) {
		prdr_refuse(s);
	} else if (verdict_stops(s, &v)) {
		session_reply_verdict(s, &v);
	} else if (v.verdict == POLICY_DISCARD && !s->config->shadow) {
		session_reply_verdict(s, &v);
		s->tx->outcome = "discard";
	} else {
		upload_deliver(u);
	}
}

void
upload_finish(struct upload *u)
{
	struct session *s = u->s;
	bool gone;

	s->tx->dot_ns = rt_now_ns();
	s->tx->dot_ms = rt_now_ms();
	s->tx->octets = u->parser.octets;
	s->tx->spaced = u->parser.noted;
	s->tx->stage = SP_EOM;
	upload_judge(u);
	s->tx->done_ns = rt_now_ns();
	gone = stream_peer_gone(s->stream); /* the kernel takes our reply even so */
	if ((!session_flush(s) || gone) && strcmp(s->tx->outcome, "accept") == 0)
		s->tx->dup = true; /* the backend has it, the client does not know */
}

/* ---- DATA ----------------------------------------------------------------------------------- */

/* Reads to the true end of data; false: the connection is of no more use. */
static bool
data_receive(struct upload *u)
{
	const struct data_sink sink = upload_sink(u);
	struct stream *stream = u->s->stream;
	bool end = false;

	while (!end) {
		size_t used;

		if (!upload_more(u, u->s->config->timeouts.block))
			return false;
		end = data_feed(&u->parser, stream_input(stream), &sink, &used);
		stream_consume(stream, used);
	}
	return true;
}

static void
data_run(struct session *s)
{
	if (!upload_begin(s, false))
		return;
	session_reply(s, 354, NULL, "go ahead, end with a dot on a line of its own");
	if (session_flush(s) && data_receive(s->tx->upload))
		upload_finish(s->tx->upload);
}

void
session_data(struct session *s, const struct command *c)
{
	struct policy_verdict v;

	(void)c;
	if (s->state == STATE_MAIL) {
		session_error(s, 554, "5.5.1", "no valid recipients");
		return;
	}
	if (s->tx->mail.body_binary) { /* RFC 3030 3 */
		session_error(s, 503, "5.5.1", "a binary message comes by BDAT");
		return;
	}
	stream_consume(s->stream, s->line_used);
	s->line_used = 0;
	s->tx->stage = SP_DATA;
	v = inspect_data(s->inspect, rt_deadline(s->config->timeouts.filters));
	if (verdict_stops(s, &v))
		session_reply_verdict(s, &v);
	else
		data_run(s);
	transaction_end(s);
}
