/*
 * relay.c - the envelope of a transaction at the backend: MAIL, RCPT, NOOP while it waits, and all
 * of it once more when the connection was lost (RFC 5321 3.3, 4.5.3.2; RFC 2920; CASES F03-F10,
 * F16, R02, R05, R06).
 *
 * A struct relay owns its connection while it has one, the transaction's arena, and the text of the
 * last answer. A connection that it holds is always between two commands; one that is not is closed
 * at once.
 */
#include "proxy/relay/relay_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/net/tls.h"

enum {
	RELAY_ARENA = 4194304, /* all recipients of a transaction */
	RELAY_CLIENT = 8192,   /* what is known of the client */
	RELAY_NOOP_WAIT_MS = 30000,
	RELAY_VERB_MS = 280000 /* a client waits 300 s for the reply to MAIL or RCPT */
};

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
	if (b->only)
		given_take(r);
	return r;
}

void
relay_free(struct relay **r)
{
	if (*r == NULL)
		return;
	if ((*r)->login == LOGIN_GOING)
		conn_free(&(*r)->conn);
	if ((*r)->conn != NULL && ((*r)->conn->alone || introduce_binds(&(*r)->backend->config)))
		conn_quit(&(*r)->conn);
	else if ((*r)->conn != NULL)
		backend_give((*r)->backend, &(*r)->conn);
	(*r)->backend->relays--;
	answer_fini(&(*r)->answer);
	arena_free(&(*r)->arena);
	arena_free(&(*r)->client_arena);
	free(*r);
	*r = NULL;
}

/* True: all texts are in the arena now. */
static bool
client_copy(struct relay_client *to, const struct relay_client *from, struct arena *a)
{
	*to = *from;
	to->name = arena_copy(a, from->name);
	to->helo = arena_copy(a, from->helo);
	to->user = arena_copy(a, from->user);
	return to->name.ptr != NULL && to->helo.ptr != NULL && to->user.ptr != NULL;
}

enum sp_status
relay_introduce(struct relay *r, const struct relay_client *c)
{
	const struct relay_client *old = &r->client;
	bool same = old->ip.family == c->ip.family && memcmp(old->ip.bytes, c->ip.bytes, sizeof(c->ip.bytes)) == 0 &&
		old->port == c->port && old->local_port == c->local_port && old->local_ip.family == c->local_ip.family &&
		memcmp(old->local_ip.bytes, c->local_ip.bytes, sizeof(c->local_ip.bytes)) == 0 && old->esmtp == c->esmtp && old->tls == c->tls && old->name_unknown == c->name_unknown &&
		span_eq(old->name, c->name) &&
		span_eq(old->helo, c->helo) && span_eq(old->user, c->user);

	if (same)
		return SP_OK;
	if (r->conn != NULL && r->login != LOGIN_DONE && introduce_binds(&r->backend->config))
		conn_quit(&r->conn);
	arena_free(&r->client_arena);
	r->client = (struct relay_client){ 0 };
	r->client_arena = arena_new(512, RELAY_CLIENT);
	return r->client_arena != NULL && client_copy(&r->client, c, r->client_arena) ? SP_OK : SP_SYSTEM;
}

/* An address that could end our command line early never gets this far; it is looked at once more
 * all the same. */
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
	if (!path_ok(e->sender) || !path_ok(e->params))
		return SP_INVALID;
	if (r->arena == NULL)
		r->arena = arena_new(2048, RELAY_ARENA);
	if (r->arena == NULL)
		return SP_SYSTEM;
	arena_reset(r->arena);
	r->envelope = *e;
	r->envelope.sender = arena_copy(r->arena, e->sender);
	r->envelope.params = arena_copy(r->arena, e->params);
	r->envelope.ident = arena_copy(r->arena, e->ident);
	if (r->envelope.sender.ptr == NULL || r->envelope.params.ptr == NULL)
		return SP_SYSTEM;
	r->deadline_ms = deadline_ms;
	r->results = NULL;
	r->facts = (struct relay_facts){ .name = r->backend->config.name, .peer = "-" };
	return SP_OK;
}

void
relay_limit(struct relay *r, int64_t deadline_ms)
{
	r->deadline_ms = deadline_ms;
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

/* A backend that knows whose connection it is may have refused that client alone; of itself the probes tell. Else one client
 * that it does not like would have it spared for all. */
static bool
meant_for_client(const struct relay *r, enum relay_fault fault)
{
	return introduce_binds(&r->backend->config) && (fault == FAULT_BUSY || fault == FAULT_GREETING);
}

void
relay_fail(struct relay *r, enum relay_fault fault)
{
	r->failed = true;
	r->facts.fault = fault_word(fault);
	if (!meant_for_client(r, fault))
		health_failed(r->backend, fault);
	if (fault != FAULT_EXTENSION)
		conn_free(&r->conn);
}

enum relay_fault
relay_ask(struct relay *r, struct sp_span verb, struct sp_span argument)
{
	int64_t deadline = rt_deadline(r->backend->config.timeouts.mail);
	enum relay_fault fault = conn_write(r->conn, verb, deadline);

	if (fault == FAULT_NONE && argument.len > 0)
		fault = conn_write(r->conn, SPAN_LIT(" "), deadline);
	if (fault == FAULT_NONE && argument.len > 0)
		fault = conn_write(r->conn, argument, deadline);
	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, SPAN_LIT("\r\n"), deadline);
	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, deadline);
	if (fault == FAULT_NONE)
		fault = conn_reply(r->conn, deadline);
	return fault;
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

static bool
relay_lacks(const struct relay *r, uint32_t needs)
{
	return r->conn != NULL && (needs & ~r->conn->offer.extensions) != 0;
}

bool
relay_need(struct relay *r, uint32_t needs)
{
	if (r->open && relay_lacks(r, needs))
		return false;
	r->envelope.needs |= needs;
	return true;
}

/* The connection of the last transaction, or an idle one, or (or if fresh) a new one. */
static enum relay_fault
relay_connect(struct relay *r, bool fresh, int64_t limit_ms)
{
	enum relay_fault fault;
	int64_t start;

	if (login_bars(r, fresh))
		return FAULT_CLOSED;
	if (r->conn != NULL && (fresh || conn_stirred(r->conn)))
		conn_free(&r->conn);
	if (r->conn == NULL && !fresh && !introduce_binds(&r->backend->config))
		r->conn = backend_take(r->backend);
	if (relay_lacks(r, r->envelope.needs) && r->login == LOGIN_NONE)
		conn_quit(&r->conn); /* the backend may have learnt it since */
	r->facts.reused = r->conn != NULL;
	if (r->conn == NULL) {
		start = rt_now_ns();
		fault = backend_open(&(struct opening){ r->backend, &r->client, limit_ms, &r->answer }, &r->conn);
		r->facts.connect_ns += rt_now_ns() - start;
		r->facts.tls_error = fault == FAULT_TLS ? r->backend->tls_error : NULL;
		if (fault != FAULT_NONE)
			return fault;
	}
	r->facts.tls = stream_tls_version(r->conn->stream);
	(void)snprintf(r->facts.peer, sizeof(r->facts.peer), "%s", r->conn->peer);
	if (relay_lacks(r, r->envelope.needs)) {
		answer_fault(&r->answer, FAULT_EXTENSION);
		return FAULT_EXTENSION;
	}
	return FAULT_NONE;
}

/* Until MAIL is answered nothing has been promised, so a connection that was idle may turn out
 * dead, once. */
static bool
relay_may_replace(const struct relay *r, enum relay_fault fault)
{
	return r->facts.reused && !r->mail_answered &&
	       (fault == FAULT_CLOSED || fault == FAULT_BUSY);
}

static enum relay_fault
relay_open(struct relay *r, struct rcpt *rcpt, int64_t limit_ms)
{
	enum relay_fault fault = relay_connect(r, false, limit_ms);

	if (fault != FAULT_NONE)
		return fault;
	r->mail_answered = false;
	fault = batch_run(
		r, (struct batch){ .rset = r->conn->dirty, .mail = true, .rcpt = rcpt }, limit_ms);
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
rcpt_new(struct relay *r, struct sp_span address, struct sp_span params)
{
	struct rcpt *rcpt;

	if (!path_ok(address) || !path_ok(params)) {
		answer_own(&r->answer, 501, "5.1.3", SPAN_LIT("bad recipient address"));
		return NULL;
	}
	rcpt = r->arena != NULL ? arena_alloc(r->arena, sizeof(*rcpt)) : NULL;
	if (rcpt != NULL) {
		rcpt->address = arena_copy(r->arena, address);
		rcpt->params = arena_copy(r->arena, params);
	}
	if (rcpt == NULL || rcpt->address.ptr == NULL || rcpt->params.ptr == NULL) {
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
relay_rcpt(struct relay *r, struct sp_span address, struct sp_span params, struct relay_reply *ret)
{
	enum relay_fault fault = FAULT_NONE;
	struct rcpt *rcpt;

	if (r->failed || (rcpt = rcpt_new(r, address, params)) == NULL) {
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
