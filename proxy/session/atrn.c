/*
 * atrn.c - ATRN for clients that may fetch their mail, "atrn from": at the backend's 250 the two ends change roles, and what
 * flows from the backend to the client then goes through the same engine under the rules of an "atrn" block (RFC 2645).
 *
 * The client's session ends with its 250.  A session of its own then serves the backend as a client, with a relay whose only
 * connection is the client's stream.  TLS stays on either side as it was.
 */
#include "proxy/session/session_priv.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"
#include "proxy/session/log.h"

enum { ATRN_OK = 250, BANNER_MS = 60000 };

static bool
listed(const struct session *s)
{
	return s->config->atrn != NULL && policy_setting_has_ip(s->config->block, "atrn from", &s->ip) &&
		(s->config->withhold & EXT_BIT(EXT_ATRN)) == 0;
}

/* Before the login, too, as in RFC 2645 6: clients look for it in the first EHLO reply. */
bool
session_atrn_may(const struct session *s, const struct relay_offer *backend)
{
	return listed(s) && relay_offers(backend, EXT_ATRN);
}

/* RFC 2645 5.2.1: domains with commas between them, or none. */
static bool
are_domains(struct sp_span list)
{
	while (list.len > 0) {
		size_t end = span_find(list, ',');

		if (!address_domain_ok(span_head(list, end)) || end + 1 == list.len)
			return false;
		list = span_from(list, end + 1);
	}
	return true;
}

struct command_error
session_atrn_check(const struct session *s, const struct command *c)
{
	if (!listed(s))
		return (struct command_error){ 502, "5.5.1", "this command is not offered here" };
	if (!session_authenticated(s))
		return (struct command_error){ 530, "5.7.0", "authentication is needed first" };
	if (!are_domains(c->argument))
		return (struct command_error){ 501, "5.5.4", "syntax: ATRN [domain,domain,...]" };
	return (struct command_error){ 0, NULL, NULL };
}

static void
log_atrn(const struct session *s, struct sp_span domains, const struct relay_reply *reply)
{
	log_begin("atrn");
	log_text("conn", span_str(s->id));
	log_text("user", span_str(s->login.user));
	log_text("domains", domains);
	log_int("code", reply->code);
	log_text("reply", reply->text);
	log_end();
}

/* What the client has said before our 250 was not meant for the role that it has afterwards. */
static void
turn(struct session *s)
{
	stream_consume(s->stream, s->line_used);
	s->line_used = 0;
	s->done = true;
	if (!stream_quiet(s->stream)) {
		session_reply(s, 554, "5.5.0", "protocol error: wait for the reply to this command");
		s->end = "synchronization";
		return;
	}
	session_reply(s, ATRN_OK, NULL, "OK now reversing the connection");
	s->end = "atrn";
	if (session_flush(s))
		s->turned = relay_turn(s->relay);
}

void
session_atrn(struct session *s, const struct command *c)
{
	struct relay_reply reply;

	if (!session_auth_ready(s))
		return;
	relay_atrn(s->relay, c->argument, &reply);
	log_atrn(s, c->argument, &reply);
	if (reply.code == ATRN_OK)
		turn(s);
	else
		session_reply_span(s, reply.code, reply.enhanced[0] != '\0' ? reply.enhanced : NULL, reply.text);
}

/* ---- after it ----------------------------------------------------------------------------------- */

/* The client that is to take the mail must have greeted us. */
static struct session_refusal
admit(void *arg, const struct sp_ip *backend)
{
	(void)backend;
	if (!relay_backend_offer(arg).known)
		return (struct session_refusal){ "4.4.1", "the other end does not take the mail, try again later" };
	return (struct session_refusal){ NULL, NULL };
}

static struct relay_backend *
client_backend(struct session *s)
{
	struct relay_config config = { .name = "atrn", .helo = s->config->atrn->hostname, .timeouts = relay_timeouts_default };
	struct stream *client = s->stream;
	char ip[46], peer[64];

	(void)span_from_ip(&s->ip, ip);
	snprintf(peer, sizeof(peer), s->ip.family == 6 ? "[%s]:%u" : "%s:%u", ip, s->port);
	s->stream = NULL;
	return relay_backend_given(&config, client, peer, rt_deadline(BANNER_MS));
}

void
atrn_serve(struct session *s)
{
	struct relay_backend *b = client_backend(s);
	struct session_start start = { .config = s->config->atrn, .backend = b, .backends = &b, .admit = admit, .arg = b,
		.turned = s->id };

	net_remote(stream_fd(s->turned), &start.ip, &start.port);
	if (b != NULL)
		session_serve(s->turned, &start);
	else
		stream_free(&s->turned);
	s->turned = NULL;
	relay_backend_free(&b);
}
