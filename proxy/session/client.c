/*
 * client.c - who the client is: the peer, or whom a peer that may speak for others names by the PROXY protocol or by XCLIENT;
 * and what of that the backend is told.
 *
 * CASES X01, Y01, Y02, Y06.
 */
#include "proxy/session/session_priv.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/net/proxy.h"
#include "proxy/rt/rt.h"
#include "proxy/session/log.h"

enum { PROXY_HEADER_MS = 5000, ALARM_MS = 60000 };

/* May this peer say by a PROXY header who its client is? */
static bool
speaks_for_others(const struct session_config *c, const struct sp_ip *peer)
{
	return (c->trust_proxy.ip.family != 0 && net_has(&c->trust_proxy, peer)) ||
		policy_setting_has_ip(c->block, "proxy protocol from", peer);
}

/* Nothing is said before a whole valid header has come from a peer that speaks for others (CASES Y02). */
static bool
read_header(struct session *s)
{
	struct proxy_ends ends;
	enum sp_status st = proxy_read(s->stream, rt_deadline(PROXY_HEADER_MS), &ends);

	if (st == SP_OK) {
		s->ip = ends.ip;
		s->port = ends.port;
		s->local_ip = ends.local_ip;
		s->local_port = ends.local_port;
	} else if (st != SP_NONE) {
		s->done = s->peer_gone = true;
		s->end = "proxy-line";
		return false;
	}
	return true;
}

bool
client_open(struct session *s)
{
	net_local(stream_fd(s->stream), &s->local_ip, &s->local_port);
	if (speaks_for_others(s->config, &s->ip) && !read_header(s))
		return false;
	/* by who it is before it says so itself: a client behind a proxy has no say because the proxy has one */
	s->given.may = policy_setting_has_ip(s->config->block, "xclient from", &s->ip);
	return true;
}

/* It is not guessed at what the peer may have meant (CASES Y01). */
void
session_stray_header(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 500, "5.5.2", "no PROXY header is expected from you");
	s->done = true;
	s->end = "proxy-line";
}

bool
session_may_xclient(const struct session *s)
{
	return s->given.may;
}

void
client_note_helo(struct session *s, struct sp_span name)
{
	if (s->given.helo[0] != '\0')
		name = span_str(s->given.helo);
	snprintf(s->helo, sizeof(s->helo), "%.*s", (int)name.len, name.ptr);
}

bool
client_tell(struct session *s, struct relay *r)
{
	struct relay_client c = { .ip = s->ip, .port = s->port, .local_ip = s->local_ip, .local_port = s->local_port,
		.helo = span_str(s->helo), .user = inspect_user(s->inspect), .tls = session_encrypted(s),
		.esmtp = s->given.helo[0] != '\0' ? s->given.esmtp : s->esmtp };

	if (!relay_names_client(r))
		return true;
	c.name_unknown = inspect_client_name(s->inspect, rt_deadline(s->config->timeouts.filters), &c.name) != SP_OK;
	return relay_introduce(r, &c) == SP_OK;
}

/* Such a backend gets no mail at all, so somebody should hear of it (CASES X05). */
void
client_alarm(const struct session *s)
{
	static int64_t said_ms;
	const struct relay_facts *f = s->tx->relay_begun ? relay_facts(s->relay) : NULL;

	if (f == NULL || f->fault == NULL || strcmp(f->fault, "introduce") != 0)
		return;
	if (said_ms != 0 && rt_now_ms() - said_ms < ALARM_MS)
		return;
	said_ms = rt_now_ms();
	log_message(SP_LOG_ERROR, "backend %s cannot be told who the client is: its mail is deferred", f->name);
}
