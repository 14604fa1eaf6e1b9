/*
 * atrn.c - ATRN passed to the backend, and what comes after its 250: the two ends change roles (RFC 2645).
 *
 * The backend's stream leaves its relay, to be served as a client's.  The client's becomes the only connection of a backend made
 * for it, which has no address: once that is lost there is no other.
 */
#include "proxy/relay/relay_priv.h"

#include <stdlib.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

enum { ATRN_OK = 250 };

/* A transaction that ended here may be open there still. */
static enum relay_fault
atrn_clean(struct relay *r)
{
	enum relay_fault fault = FAULT_NONE;

	if (r->login != LOGIN_DONE || relay_auth_lost(r))
		return FAULT_CLOSED;
	if (!r->conn->dirty)
		return FAULT_NONE;
	fault = relay_ask(r, SPAN_LIT("RSET"), (struct sp_span){ NULL, 0 });
	if (fault == FAULT_NONE && reply_class(conn_last(r->conn)->code) != 2)
		fault = FAULT_GARBAGE;
	r->conn->dirty = false;
	return fault;
}

/* A refusal leaves all as it was.  250 must be the last that it says before we speak as a server does. */
static enum relay_fault
atrn_take(const struct relay *r)
{
	int code = conn_last(r->conn)->code;

	if (code == 421)
		return FAULT_BUSY;
	if (code == ATRN_OK)
		return conn_stirred(r->conn) ? FAULT_DESYNC : FAULT_NONE;
	return reply_class(code) >= 4 ? FAULT_NONE : FAULT_GARBAGE;
}

void
relay_atrn(struct relay *r, struct sp_span domains, struct relay_reply *ret)
{
	enum relay_fault fault = atrn_clean(r);

	if (fault == FAULT_NONE)
		fault = relay_ask(r, SPAN_LIT("ATRN"), domains);
	if (fault == FAULT_NONE)
		fault = atrn_take(r);
	if (fault == FAULT_NONE) {
		answer_backend(&r->answer, conn_last(r->conn));
		if (conn_last(r->conn)->code == ATRN_OK)
			r->login = LOGIN_GOING; /* whatever happens next, it takes no command of ours any more */
	} else {
		conn_free(&r->conn);
		answer_own(&r->answer, 451, "4.4.1", SPAN_LIT("the mail server cannot be asked, try again later"));
	}
	answer_out(&r->answer, ret);
}

struct stream *
relay_turn(struct relay *r)
{
	struct stream *s;

	MUST(r->conn != NULL && r->login == LOGIN_GOING);
	s = r->conn->stream;
	r->conn->stream = NULL;
	conn_free(&r->conn);
	r->login = LOGIN_NONE;
	return s;
}

/* ---- the client as a backend ------------------------------------------------------------------ */

static void
given_greet(struct relay_backend *b, struct conn **c, int64_t deadline_ms)
{
	struct answer why;
	enum relay_fault fault;

	answer_init(&why);
	fault = open_greet(&(struct opening){ b, NULL, deadline_ms, &why }, *c);
	if (fault == FAULT_NONE) {
		b->offer = (*c)->offer;
		b->asked_ms = rt_now_ms();
		(*c)->alone = true;
		b->given = *c;
		*c = NULL;
	} else if (fault == FAULT_GREETING) {
		conn_quit(c);
	} else {
		conn_free(c);
	}
	answer_fini(&why);
}

struct relay_backend *
relay_backend_given(const struct relay_config *config, struct stream *s, const char *peer, int64_t deadline_ms)
{
	struct conn *c = conn_new(s, peer);
	struct relay_backend *b = relay_backend_new(config);

	if (b == NULL || c == NULL) {
		conn_free(&c);
		relay_backend_free(&b);
		return NULL;
	}
	b->only = true;
	given_greet(b, &c, deadline_ms);
	return b;
}

void
given_take(struct relay *r)
{
	r->conn = r->backend->given;
	r->backend->given = NULL;
	r->login = LOGIN_DONE;
}
