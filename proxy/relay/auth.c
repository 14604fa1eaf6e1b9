/*
 * auth.c - AUTH passed through to the backend, line by line (RFC 4954).
 *
 * Nothing of an exchange is kept here, and nothing of it is understood but its ends.  A connection on which AUTH was said is
 * this client's alone: it is never pooled, and once the backend has said 235 no other takes its place, since the
 * client cannot log in on that.
 */
#include "proxy/relay/relay_priv.h"

#include "policy/kit/span.h"
#include "proxy/smtp/sasl.h"

enum {
	AUTH_OK = 235,
	AUTH_CHALLENGE = 334,
	AUTH_ENCRYPT = 538, /* between us and the backend: nothing that the client could mend */
	AUTH_CONNECT_MS = 60000
};

static const char lost_text[] = "the mail server cannot be asked, try to log in again later";

static void
auth_failed(struct relay *r)
{
	conn_free(&r->conn);
	r->login = LOGIN_NONE;
	answer_own(&r->answer, 454, "4.7.0", span_str(lost_text));
}

static enum relay_fault
auth_connect(struct relay *r)
{
	if (r->conn != NULL && conn_stirred(r->conn))
		conn_free(&r->conn);
	if (r->conn != NULL && r->conn->dirty) /* there it is in a transaction */
		conn_quit(&r->conn);
	if (r->conn == NULL && r->backend->config.sink == NULL)
		(void)backend_open(&(struct opening){ r->backend, &r->client, rt_deadline(AUTH_CONNECT_MS), &r->answer }, &r->conn);
	return r->conn != NULL && relay_offers(&r->conn->offer, EXT_AUTH) ? FAULT_NONE : FAULT_EXTENSION;
}

/* One line of base64, short enough for the client to be told. */
static bool
challenge_ok(const struct smtp_reply *reply)
{
	return reply->lines == 1 && reply->text.len <= SASL_LINE - 4 && sasl_base64_ok(buf_span(&reply->text));
}

/* What the backend said to a line of the exchange. */
static enum relay_fault
auth_take(struct relay *r, bool cancelled)
{
	const struct smtp_reply *reply = conn_last(r->conn);

	if (reply->code == AUTH_CHALLENGE && challenge_ok(reply) && !cancelled) {
		answer_own(&r->answer, AUTH_CHALLENGE, "", buf_span(&reply->text));
		return FAULT_NONE;
	}
	if (reply->code == 421 || reply->code == AUTH_ENCRYPT)
		return FAULT_BUSY;
	/* any other that is no refusal may mean that somebody is logged in there */
	if (reply_class(reply->code) < 4 && (reply->code != AUTH_OK || cancelled))
		return FAULT_GARBAGE;
	r->login = reply->code == AUTH_OK ? LOGIN_DONE : LOGIN_NONE;
	answer_backend(&r->answer, reply);
	return FAULT_NONE;
}

/* Sends what is queued, and takes the reply. */
static void
auth_ask(struct relay *r, enum relay_fault fault, bool cancelled, struct relay_reply *ret)
{
	int64_t deadline = rt_deadline(r->backend->config.timeouts.mail);

	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, deadline);
	if (fault == FAULT_NONE)
		fault = conn_reply(r->conn, deadline);
	if (fault == FAULT_NONE)
		fault = auth_take(r, cancelled);
	if (fault != FAULT_NONE)
		auth_failed(r);
	answer_out(&r->answer, ret);
}

static enum relay_fault
auth_write(struct relay *r, struct sp_span text)
{
	return conn_write(r->conn, text, rt_deadline(r->backend->config.timeouts.mail));
}

void
relay_auth_begin(struct relay *r, struct sp_span mechanism, struct sp_span initial, struct relay_reply *ret)
{
	enum relay_fault fault = auth_connect(r);

	if (fault == FAULT_NONE) /* a 235 that lies there already is no answer to this */
		fault = conn_quiet(r->conn);
	if (fault == FAULT_NONE) {
		r->login = LOGIN_GOING;
		r->conn->alone = true;
		fault = auth_write(r, SPAN_LIT("AUTH "));
	}
	if (fault == FAULT_NONE)
		fault = auth_write(r, mechanism);
	if (fault == FAULT_NONE && initial.ptr != NULL)
		fault = auth_write(r, SPAN_LIT(" "));
	if (fault == FAULT_NONE && initial.ptr != NULL)
		fault = auth_write(r, initial);
	if (fault == FAULT_NONE)
		fault = auth_write(r, SPAN_LIT("\r\n"));
	auth_ask(r, fault, false, ret);
}

void
relay_auth_continue(struct relay *r, struct sp_span answer, struct relay_reply *ret)
{
	enum relay_fault fault = r->conn != NULL ? conn_quiet(r->conn) : FAULT_CLOSED;

	if (fault == FAULT_NONE)
		fault = auth_write(r, answer);
	if (fault == FAULT_NONE)
		fault = auth_write(r, SPAN_LIT("\r\n"));
	auth_ask(r, fault, span_eq(answer, SPAN_LIT("*")), ret);
}

bool
relay_auth_lost(struct relay *r)
{
	return r->login == LOGIN_DONE && (r->conn == NULL || conn_stirred(r->conn));
}

bool
login_bars(struct relay *r, bool fresh)
{
	if (r->login != LOGIN_DONE || !(fresh || relay_auth_lost(r)))
		return false;
	conn_free(&r->conn);
	if (r->backend->only)
		answer_own(&r->answer, 451, "4.4.1", SPAN_LIT("the other end has closed the connection"));
	else
		answer_own(&r->answer, 451, "4.7.0", SPAN_LIT("the mail server has closed the connection that you had logged in on"));
	return true;
}
