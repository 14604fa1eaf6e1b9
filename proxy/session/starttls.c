/*
 * starttls.c - TLS with the client: at once or by STARTTLS, and what may not be said before it.
 *
 * The handshake suspends this session only.  What was learnt in the clear is forgotten (RFC 3207 4.2), and input that came
 * before it ends the connection (CASES T01, T02).  Implicit TLS: RFC 8314 3.3.
 */
#include "proxy/session/session_priv.h"

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"

enum { HANDSHAKE_MS = 30000, HANDSHAKE_CROWDED_MS = 10000 };

static const struct command_error no_error;

/* ---- the handshake -------------------------------------------------------------------------- */

bool
starttls_client_certificate(const struct session *s, struct tls_peer *ret)
{
	return !s->given.addressed && stream_tls_peer(s->stream, ret);
}

void
starttls_facts(struct session *s)
{
	struct tls_peer peer;

	if (!session_encrypted(s))
		return;
	inspect_tls(s->inspect, span_str(stream_tls_version(s->stream)), span_str(stream_tls_cipher(s->stream)));
	inspect_tls_bits(s->inspect, stream_tls_bits(s->stream));
	if (!starttls_client_certificate(s, &peer))
		return;
	inspect_tls_client(s->inspect, span_str(peer.fingerprint), span_str(peer.subject), peer.verified);
	inspect_tls_issuer(s->inspect, span_str(peer.issuer));
}

/* After a failure the stream can carry nothing, so nothing is said. */
static bool
shake_hands(struct session *s, enum sp_status (*accept)(struct stream *, struct tls_context *, int64_t))
{
	int64_t deadline = rt_deadline(session_is_crowded(s) ? HANDSHAKE_CROWDED_MS : HANDSHAKE_MS);
	enum sp_status st = accept(s->stream, s->config->tls, deadline);

	if (st == SP_OK) {
		starttls_facts(s);
		return true;
	}
	s->tls_error = stream_tls_error(s->stream);
	s->done = s->peer_gone = true;
	s->end = "tls";
	return false;
}

bool
session_secure_first(struct session *s)
{
	s->peer_gone = false;
	return !s->config->tls_implicit || shake_hands(s, stream_tls_accept_first);
}

/* ---- STARTTLS ------------------------------------------------------------------------------- */

struct command_error
starttls_check(const struct session *s, const struct command *c)
{
	if (session_encrypted(s))
		return (struct command_error){ 503, "5.5.1", "the connection is encrypted already" };
	if (session_authenticated(s)) /* what was learnt in the clear would have to be forgotten */
		return (struct command_error){ 503, "5.5.1", "you have logged in already" };
	if (s->config->tls == NULL)
		return (struct command_error){ 502, "5.5.1", "TLS is not to be had here" };
	if (c->argument.len > 0)
		return (struct command_error){ 501, "5.5.4", "this command takes no argument" };
	return no_error;
}

void
starttls_proceed(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 220, "2.0.0", "go ahead");
	stream_consume(s->stream, s->line_used);
	s->line_used = 0;
	if (!session_flush(s) || !shake_hands(s, stream_tls_accept))
		return;
	s->state = STATE_NEW;
	s->offered = 0;
	s->helo[0] = '\0';
}

/* ---- what must wait for it ------------------------------------------------------------------ */

struct command_error
starttls_check_mail(const struct session *s, const struct command *c)
{
	(void)c;
	if (s->config->tls_required && !session_encrypted(s))
		return (struct command_error){ 530, "5.7.0", "TLS is needed here: say STARTTLS first" };
	return no_error;
}
