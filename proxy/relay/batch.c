/*
 * batch.c - MAIL and RCPT on the wire: one by one, or ahead of their replies where the backend
 * offered PIPELINING (RFC 2920 3.1), each reply held against what its command can have (RFC
 * 5321 4.3.2; CASES R02, R05).
 *
 * A batch is a place in the list of commands: one runs ahead and is sent, one follows and is
 * answered.
 */
#include "proxy/relay/relay_priv.h"

#include <stdio.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

enum { BATCH_WINDOW = 50 }; /* commands sent ahead of their replies */

enum verb { VERB_RSET, VERB_MAIL, VERB_RCPT };

static bool
batch_more(const struct batch *b)
{
	return b->rset || b->mail || b->rcpt != NULL;
}

static enum verb
batch_take(struct batch *b, struct rcpt **ret)
{
	if (b->rset) {
		b->rset = false;
		return VERB_RSET;
	}
	if (b->mail) {
		b->mail = false;
		return VERB_MAIL;
	}
	MUST(b->rcpt != NULL);
	*ret = b->rcpt;
	b->rcpt = b->rcpt->next;
	return VERB_RCPT;
}

static enum relay_fault
write_mail(struct relay *r, int64_t limit_ms)
{
	const struct relay_envelope *e = &r->envelope;
	const struct relay_offer *offer = &r->conn->offer;
	char text[64];
	int n;
	enum relay_fault fault;

	/* set before a single octet can have left */
	r->conn->dirty = true;
	r->mail_answered = false;
	n = snprintf(text, sizeof(text), ">");
	if (relay_offers(offer, EXT_SIZE) && e->size >= 0)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " SIZE=%lld", (long long)e->size);
	if (relay_offers(offer, EXT_8BITMIME) && e->body != NULL)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " BODY=%s", e->body);
	if (relay_offers(offer, EXT_PRDR) && e->each)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " PRDR");
	fault = conn_write(r->conn, SPAN_LIT("MAIL FROM:<"), limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, e->sender, limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, span_of(text, (size_t)n), limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, e->params, limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, SPAN_LIT("\r\n"), limit_ms);
	return fault;
}

static enum relay_fault
write_verb(struct relay *r, enum verb verb, const struct rcpt *rcpt, int64_t limit_ms)
{
	enum relay_fault fault;

	if (verb == VERB_RSET)
		return conn_write(r->conn, SPAN_LIT("RSET\r\n"), limit_ms);
	if (verb == VERB_MAIL)
		return write_mail(r, limit_ms);
	fault = conn_write(r->conn, SPAN_LIT("RCPT TO:<"), limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, rcpt->address, limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, SPAN_LIT(">"), limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, rcpt->params, limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, SPAN_LIT("\r\n"), limit_ms);
	return fault;
}

/* Sends what may be sent at once; *ret_sent commands now wait for their replies. */
static enum relay_fault
batch_send(struct relay *r, struct batch *send, size_t *ret_sent, int64_t limit_ms)
{
	int64_t deadline = earlier(limit_ms, rt_deadline(r->backend->config.timeouts.mail));
	size_t most = relay_offers(&r->conn->offer, EXT_PIPELINING) ? BATCH_WINDOW : 1;
	struct rcpt *rcpt = NULL;
	enum relay_fault fault;

	/* where a transaction begins, relay_connect() has looked into the kernel already */
	if (send->mail)
		fault = stream_input(r->conn->stream).len > 0 ? FAULT_DESYNC : FAULT_NONE;
	else
		fault = conn_quiet(r->conn);
	*ret_sent = 0;
	while (fault == FAULT_NONE && batch_more(send) && *ret_sent < most) {
		enum verb verb = batch_take(send, &rcpt);
		fault = write_verb(r, verb, rcpt, deadline);
		++*ret_sent;
	}
	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, deadline);
	if (fault == FAULT_BUSY)
		answer_backend(&r->answer, conn_last(r->conn));
	else if (fault != FAULT_NONE)
		answer_fault(&r->answer, fault);
	return fault;
}

/* The reply to one command: its class must be one that the command can have (RFC 5321 4.3.2). */
static enum relay_fault
batch_reply(struct relay *r, enum verb verb, struct rcpt *rcpt, int64_t limit_ms)
{
	const struct relay_timeouts *t = &r->backend->config.timeouts;
	int64_t began = rt_now_ms();
	enum relay_fault fault = relay_await(r, verb == VERB_RCPT ? t->rcpt : t->mail, limit_ms);
	int class;

	if (fault != FAULT_NONE)
		return fault;
	class = reply_class(conn_last(r->conn)->code);
	if (class == 3 || (verb == VERB_RSET && class != 2)) {
		answer_fault(&r->answer, FAULT_GARBAGE);
		return FAULT_GARBAGE;
	}
	if (verb == VERB_RSET)
		return FAULT_NONE;
	answer_backend(&r->answer, conn_last(r->conn));
	if (verb == VERB_RCPT) {
		rcpt->code = r->answer.code;
		return FAULT_NONE;
	}
	health_answered(r->backend, r->answer.code, rt_now_ms() - began);
	r->mail_answered = true;
	r->open = class == 2;
	r->failed = !r->open;
	r->facts.sender_refused = r->failed;
	return FAULT_NONE;
}

/* After a refused MAIL: the replies to the RCPTs that were sent with it mean nothing. */
static void
batch_drain(struct relay *r, size_t count, int64_t limit_ms)
{
	int64_t deadline = earlier(limit_ms, rt_deadline(r->backend->config.timeouts.rcpt));

	for (; count > 0; count--) {
		if (conn_reply(r->conn, deadline) == FAULT_NONE && conn_last(r->conn)->code != 421)
			continue;
		conn_free(&r->conn);
		return;
	}
}

enum relay_fault
batch_run(struct relay *r, struct batch send, int64_t limit_ms)
{
	struct batch answer = send;
	struct rcpt *rcpt = NULL;
	enum relay_fault fault = FAULT_NONE;
	size_t sent = 0;

	if (send.mail) {
		fault = introduce_mail(r, limit_ms);
		send.rset = answer.rset = send.rset && r->conn->dirty;
	}
	while (fault == FAULT_NONE && batch_more(&answer)) {
		fault = batch_send(r, &send, &sent, limit_ms);
		if (fault != FAULT_NONE)
			return fault;
		for (; sent > 0; sent--) {
			enum verb verb = batch_take(&answer, &rcpt);
			fault = batch_reply(r, verb, rcpt, limit_ms);
			if (fault != FAULT_NONE)
				return fault;
			if (r->failed) {
				batch_drain(r, sent - 1, limit_ms);
				return FAULT_NONE;
			}
		}
	}
	return fault;
}
