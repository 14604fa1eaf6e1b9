/*
 * secure.c - TLS to the backend: at once, or by STARTTLS (RFC 3207; RFC 8314 3).
 *
 * The server must be silent between its 220 and our first octet of TLS, so whatever lies there then is not its own (CASES
 * T06).  A handshake that fails is the end of the connection, also where TLS is only to be used if offered: nothing is ever
 * said in the clear to a server that has tried and failed (CASES T07, F14).
 */
#include "proxy/relay/relay_priv.h"

#include "policy/kit/span.h"
#include "proxy/net/tls.h"

enum { HANDSHAKE_MS = 30000 };

static enum relay_fault
secure_failed(const struct opening *o, enum relay_fault fault, const char *why)
{
	if (fault == FAULT_TLS)
		o->backend->tls_error = why;
	answer_fault(o->why, fault);
	return fault;
}

static enum relay_fault
secure_shake(const struct opening *o, struct conn *c)
{
	int64_t deadline = earlier(o->deadline_ms, rt_deadline(HANDSHAKE_MS));

	if (stream_pending(c->stream))
		return secure_failed(o, FAULT_DESYNC, NULL);
	switch (stream_tls_connect(c->stream, o->backend->config.tls_context, deadline)) {
	case SP_OK:
		return FAULT_NONE;
	case SP_CANCELED:
	case SP_SYSTEM:
		return secure_failed(o, FAULT_LOCAL, NULL);
	case SP_INVALID:
		return secure_failed(o, FAULT_DESYNC, NULL);
	case SP_NONE:
	case SP_TEMPFAIL:
	case SP_TIMEOUT:
	case SP_LIMIT:
	case SP_GONE:
		break;
	}
	return secure_failed(o, FAULT_TLS, stream_tls_error(c->stream));
}

enum relay_fault
secure_first(const struct opening *o, struct conn *c)
{
	const struct relay_config *config = &o->backend->config;

	return config->tls != RELAY_TLS_OFF && config->tls_implicit ? secure_shake(o, c) : FAULT_NONE;
}

/* Asks for TLS; the reply is then the last. */
static enum relay_fault
secure_ask(const struct opening *o, struct conn *c)
{
	int64_t deadline = earlier(o->deadline_ms, rt_deadline(o->backend->config.timeouts.ehlo));
	enum relay_fault fault = conn_quiet(c);

	if (fault == FAULT_NONE)
		fault = conn_write(c, SPAN_LIT("STARTTLS\r\n"), deadline);
	if (fault == FAULT_NONE)
		fault = conn_flush(c, deadline);
	if (fault == FAULT_NONE)
		fault = conn_reply(c, deadline);
	if (fault == FAULT_NONE && reply_class(conn_last(c)->code) == 3)
		fault = FAULT_GARBAGE;
	if (fault == FAULT_NONE && conn_last(c)->code == 421)
		fault = FAULT_BUSY;
	return fault == FAULT_NONE ? FAULT_NONE : secure_failed(o, fault, NULL);
}

enum relay_fault
secure_greeted(const struct opening *o, struct conn *c, bool *ret_again)
{
	const struct relay_config *config = &o->backend->config;
	enum relay_fault fault;

	*ret_again = false;
	if (config->tls == RELAY_TLS_OFF || stream_tls_version(c->stream) != NULL)
		return FAULT_NONE;
	if (!relay_offers(&c->offer, EXT_STARTTLS))
		return config->tls == RELAY_TLS_MAY ? FAULT_NONE : secure_failed(o, FAULT_TLS, "STARTTLS is not offered");
	fault = secure_ask(o, c);
	if (fault != FAULT_NONE)
		return fault;
	if (reply_class(conn_last(c)->code) != 2)
		return config->tls == RELAY_TLS_MAY ? FAULT_NONE : secure_failed(o, FAULT_TLS, "STARTTLS is refused");
	*ret_again = true;
	return secure_shake(o, c);
}
