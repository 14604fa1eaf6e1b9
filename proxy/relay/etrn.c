/*
 * etrn.c - ETRN passed to the backend, outside of a transaction (RFC 1985).
 *
 * It starts the backend's queue and carries no mail here, so it may go over any connection that is between two transactions.
 */
#include "proxy/relay/relay_priv.h"

#include "policy/kit/span.h"

enum { ETRN_CONNECT_MS = 60000, ETRN_CANNOT = 458 };

/* On a login's connection, the only one there is, a transaction that ended here may be open still. */
static enum relay_fault
etrn_clean(struct relay *r)
{
	int64_t deadline = rt_deadline(r->backend->config.timeouts.mail);
	enum relay_fault fault;

	if (!r->conn->dirty)
		return FAULT_NONE;
	fault = conn_write(r->conn, SPAN_LIT("RSET\r\n"), deadline);
	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, deadline);
	if (fault == FAULT_NONE)
		fault = conn_reply(r->conn, deadline);
	if (fault == FAULT_NONE && reply_class(conn_last(r->conn)->code) != 2)
		fault = FAULT_GARBAGE;
	r->conn->dirty = false;
	if (fault != FAULT_NONE)
		conn_free(&r->conn);
	return fault;
}

static enum relay_fault
etrn_connect(struct relay *r)
{
	if (r->conn != NULL && r->login != LOGIN_DONE && (conn_stirred(r->conn) || r->conn->dirty))
		conn_free(&r->conn);
	if (r->conn == NULL && r->login != LOGIN_DONE && r->backend->config.sink == NULL)
		(void)backend_open(&(struct opening){ r->backend, &r->client, rt_deadline(ETRN_CONNECT_MS), &r->answer }, &r->conn);
	if (r->conn != NULL && conn_quiet(r->conn) != FAULT_NONE)
		conn_free(&r->conn); /* whatever it said, no later command's reply is looked for behind it */
	if (r->conn == NULL)
		return FAULT_CLOSED;
	return relay_offers(&r->conn->offer, EXT_ETRN) ? etrn_clean(r) : FAULT_EXTENSION;
}

void
relay_etrn(struct relay *r, struct sp_span node, struct relay_reply *ret)
{
	enum relay_fault fault = etrn_connect(r);
	int class = 0;

	if (fault == FAULT_NONE) {
		fault = relay_ask(r, SPAN_LIT("ETRN"), node);
		class = fault == FAULT_NONE ? reply_class(conn_last(r->conn)->code) : 0;
		if (class < 2 || class == 3 || conn_last(r->conn)->code == 421)
			conn_free(&r->conn);
	}
	if (r->conn != NULL && class != 0)
		answer_backend(&r->answer, conn_last(r->conn));
	else
		answer_own(&r->answer, ETRN_CANNOT, "4.4.1", SPAN_LIT("the mail server cannot be asked, try again later"));
	answer_out(&r->answer, ret);
}
