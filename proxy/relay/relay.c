/*
 * relay.c - the envelope of a transaction at the backend: MAIL, RCPT, NOOP while it waits, and all of it once more
 * when the connection was lost (RFC 5321 3.3, 4.5.3.2; RFC 2920; CASES F03-F10, F16, R02, R05, R06).
 *
 * A struct relay owns its connection while it has one, the transaction's arena, and the text of the last answer.
 * A connection that it holds is always between two commands; one that is not is closed at once.
 */
#include "proxy/relay/relay_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

enum {
	RELAY_ARENA = 4194304, /* all recipients of a transaction */
	RELAY_WINDOW = 50,     /* commands sent ahead of their replies */
	RELAY_NOOP_WAIT_MS = 30000,
	RELAY_VERB_MS = 280000 /* a client waits 300 s for the reply to MAIL or RCPT */
};

enum verb { VERB_RSET, VERB_MAIL, VERB_RCPT };

/* What of an envelope is still to be sent, or still to be answered. */
struct batch {
	bool rset, mail;
	struct rcpt *rcpt; /* this one and those after it */
};

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

struct relay *
relay_new(struct relay_backend *b)
{
	struct relay *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->backend = b;
	answer_init(&r->answer);
	r->last = &r->first;
	(void)snprintf(r->facts.peer, sizeof(r->facts.peer), "-");
	b->relays++;
	return r;
}

void
relay_free(struct relay **r)
{
	if (*r == NULL)
		return;
	if ((*r)->conn != NULL)
		backend_give((*r)->backend, &(*r)->conn);
	(*r)->backend->relays--;
	answer_fini(&(*r)->answer);
	arena_free(&(*r)->arena);
	free(*r);
	*r = NULL;
}

/* An address that could end our command line early never gets this far; it is looked at once more all the same. */
static bool
path_ok(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
			return false;
	return true;
}

enum sp_status
relay_begin(struct relay *r, const struct relay_envelope *e, int64_t deadline_ms)
{
	relay_abort(r);
	if (!path_ok(e->sender))
		return SP_INVALID;
	if (r->arena == NULL)
		r->arena = arena_new(2048, RELAY_ARENA);
	if (r->arena == NULL)
		return SP_SYSTEM;
	arena_reset(r->arena);
	r->envelope = *e;
	r->envelope.sender = arena_copy(r->arena, e->sender);
	if (r->envelope.sender.ptr == NULL)
		return SP_SYSTEM;
	r->deadline_ms = deadline_ms;
	r->facts = (struct relay_facts){ .peer = "-" };
	return SP_OK;
}

void
relay_abort(struct relay *r)
{
	r->first = NULL;
	r->last = &r->first;
	r->accepted = 0;
	r->open = false;
	r->failed = false;
}

size_t
relay_accepted(const struct relay *r)
{
	return r->accepted;
}

const struct relay_facts *
relay_facts(const struct relay *r)
{
	return &r->facts;
}

void
relay_fail(struct relay *r, enum relay_fault fault)
{
	r->failed = true;
	r->facts.fault = fault_word(fault);
	if (fault != FAULT_EXTENSION)
		conn_free(&r->conn);
}

enum relay_fault
relay_await(struct relay *r, int64_t timeout_ms, int64_t limit_ms)
{
	enum relay_fault fault = conn_reply(r->conn, earlier(limit_ms, rt_deadline(timeout_ms)));

	if (fault != FAULT_NONE) {
		answer_fault(&r->answer, fault);
		return fault;
	}
	r->spoke_ms = rt_now_ms();
	if (conn_last(r->conn)->code != 421)
		return FAULT_NONE;
	answer_backend(&r->answer, conn_last(r->conn));
	return FAULT_BUSY;
}

static enum relay_fault
write_mail(struct relay *r, int64_t limit_ms)
{
	const struct relay_envelope *e = &r->envelope;
	const struct relay_offer *offer = &r->conn->offer;
	char text[64];
	int n = 0;
	enum relay_fault fault;

	/* set before a single octet can have left */
	r->conn->dirty = true;
	r->mail_answered = false;
	if (offer->size && e->size >= 0)
		n = snprintf(text, sizeof(text), "> SIZE=%lld", (long long)e->size);
	else
		n = snprintf(text, sizeof(text), ">");
	if (offer->eightbit && e->body_given)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " BODY=%s", e->body_8bit ? "8BITMIME" : "7BIT");
	n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
	fault = conn_write(r->conn, SPAN_LIT("MAIL FROM:<"), limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, e->sender, limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, span_of(text, (size_t)n), limit_ms);
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
		fault = conn_write(r->conn, SPAN_LIT(">\r\n"), limit_ms);
	return fault;
}

/* Sends what may be sent at once; *ret_sent commands now wait for their replies. */
static enum relay_fault
batch_send(struct relay *r, struct batch *send, size_t *ret_sent, int64_t limit_ms)
{
	int64_t deadline = earlier(limit_ms, rt_deadline(r->backend->config.timeouts.mail));
	size_t most = r->conn->offer.pipelining ? RELAY_WINDOW : 1;
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
	r->mail_answered = true;
	r->open = class == 2;
	r->failed = !r->open;
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

/* Sends the batch and takes its replies; stops at a refused MAIL (r->failed is then set, and no fault returned). */
static enum relay_fault
batch_run(struct relay *r, struct batch send, int64_t limit_ms)
{
	struct batch answer = send;
	struct rcpt *rcpt = NULL;
	enum relay_fault fault = FAULT_NONE;
	size_t sent = 0;

	while (batch_more(&answer)) {
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
	return FAULT_NONE;
}

/* The connection of the last transaction, or an idle one, or (or if fresh) a new one. */
static enum relay_fault
relay_connect(struct relay *r, bool fresh, int64_t limit_ms)
{
	enum relay_fault fault;
	int64_t start;

	if (r->conn != NULL && (fresh || conn_stirred(r->conn)))
		conn_free(&r->conn);
	if (r->conn == NULL && !fresh)
		r->conn = backend_take(r->backend);
	r->facts.reused = r->conn != NULL;
	if (r->conn == NULL) {
		start = rt_now_ns();
		fault = backend_open(r->backend, limit_ms, &r->answer, &r->conn);
		r->facts.connect_ns += rt_now_ns() - start;
		if (fault != FAULT_NONE)
			return fault;
	}
	(void)snprintf(r->facts.peer, sizeof(r->facts.peer), "%s", r->conn->peer);
	if (r->envelope.body_given && r->envelope.body_8bit && !r->conn->offer.eightbit) {
		answer_fault(&r->answer, FAULT_EXTENSION);
		return FAULT_EXTENSION;
	}
	return FAULT_NONE;
}

/* Until MAIL is answered nothing has been promised, so a connection that was idle may turn out dead, once. */
static bool
relay_may_replace(const struct relay *r, enum relay_fault fault)
{
	return r->facts.reused && !r->mail_answered && (fault == FAULT_CLOSED || fault == FAULT_BUSY);
}

static enum relay_fault
relay_open(struct relay *r, struct rcpt *rcpt, int64_t limit_ms)
{
	enum relay_fault fault = relay_connect(r, false, limit_ms);

	if (fault != FAULT_NONE)
		return fault;
	r->mail_answered = false;
	fault = batch_run(r, (struct batch){ .rset = r->conn->dirty, .mail = true, .rcpt = rcpt }, limit_ms);
	if (fault == FAULT_NONE || !relay_may_replace(r, fault))
		return fault;
	fault = relay_connect(r, true, limit_ms);
	if (fault == FAULT_NONE)
		fault = batch_run(r, (struct batch){ .mail = true, .rcpt = rcpt }, limit_ms);
	return fault;
}

enum relay_fault
relay_replay(struct relay *r, int64_t limit_ms)
{
	enum relay_fault fault;
	bool same;

	conn_free(&r->conn);
	r->facts.replayed = true;
	fault = relay_connect(r, true, limit_ms);
	if (fault == FAULT_NONE)
		fault = batch_run(r, (struct batch){ .mail = true, .rcpt = r->first }, limit_ms);
	if (fault != FAULT_NONE)
		return fault;
	same = !r->failed;
	for (const struct rcpt *rcpt = r->first; rcpt != NULL; rcpt = rcpt->next)
		same = same && reply_class(rcpt->code) == 2;
	if (same)
		return FAULT_NONE;
	answer_fault(&r->answer, FAULT_REPLAY);
	return FAULT_REPLAY;
}

static struct rcpt *
rcpt_new(struct relay *r, struct sp_span address)
{
	struct rcpt *rcpt;

	if (!path_ok(address)) {
		answer_own(&r->answer, 501, "5.1.3", SPAN_LIT("bad recipient address"));
		return NULL;
	}
	rcpt = r->arena != NULL ? arena_alloc(r->arena, sizeof(*rcpt)) : NULL;
	if (rcpt != NULL)
		rcpt->address = arena_copy(r->arena, address);
	if (rcpt == NULL || rcpt->address.ptr == NULL) {
		answer_own(&r->answer, 452, "4.5.3", SPAN_LIT("too many recipients"));
		return NULL;
	}
	return rcpt;
}

static enum relay_fault
relay_rcpt_send(struct relay *r, struct rcpt *rcpt)
{
	int64_t limit = earlier(r->deadline_ms, rt_deadline(RELAY_VERB_MS));
	enum relay_fault fault = FAULT_NONE;

	if (!r->open)
		return relay_open(r, rcpt, limit);
	if (r->conn == NULL)
		fault = relay_replay(r, limit);
	if (fault == FAULT_NONE)
		fault = batch_run(r, (struct batch){ .rcpt = rcpt }, limit);
	return fault;
}

void
relay_rcpt(struct relay *r, struct sp_span address, struct relay_reply *ret)
{
	enum relay_fault fault = FAULT_NONE;
	struct rcpt *rcpt;

	if (r->failed || (rcpt = rcpt_new(r, address)) == NULL) {
		answer_out(&r->answer, ret);
		return;
	}
	if (r->backend->config.sink != NULL)
		sink_rcpt(r, rcpt);
	else
		fault = relay_rcpt_send(r, rcpt);
	if (fault != FAULT_NONE) {
		relay_fail(r, fault);
	} else if (!r->failed && reply_class(rcpt->code) == 2) {
		*r->last = rcpt;
		r->last = &rcpt->next;
		r->accepted++;
	}
	answer_out(&r->answer, ret);
}

/* The NOOP of a long upload; what went wrong, if anything did. */
static enum relay_fault
relay_noop(struct relay *r)
{
	int64_t deadline = earlier(r->deadline_ms, rt_deadline(RELAY_NOOP_WAIT_MS));
	enum relay_fault fault = conn_quiet(r->conn);

	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, SPAN_LIT("NOOP\r\n"), deadline);
	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, deadline);
	if (fault == FAULT_NONE)
		fault = relay_await(r, RELAY_NOOP_WAIT_MS, deadline);
	if (fault == FAULT_NONE && reply_class(conn_last(r->conn)->code) != 2)
		fault = FAULT_GARBAGE;
	return fault;
}

void
relay_tick(struct relay *r)
{
	if (!r->open || r->failed || r->conn == NULL || rt_now_ms() - r->spoke_ms < RELAY_NOOP_MS)
		return;
	if (relay_noop(r) != FAULT_NONE)
		conn_free(&r->conn); /* relay_send() will notice */
}
