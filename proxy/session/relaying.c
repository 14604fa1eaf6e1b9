/*
 * relaying.c - who may send to whom: settled before any rule, closed by default (RFC 5321 7.8, RFC 2505).
 */
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/session/session_priv.h"
#include "proxy/smtp/address.h"

/* A local part that asks the next host to route on: user%other@ours, other!user@ours.  The full-width and small forms count,
 * too: a host that maps them (NFKC) reads the ASCII ones. */
static bool
routes_on(struct sp_span local)
{
	static const char *const marks[] = { "%", "!", "@", "\xef\xbc\x85", "\xef\xbc\x81", "\xef\xbc\xa0", "\xef\xb9\xaa",
		"\xef\xb9\x97", "\xef\xb9\xab" };

	for (size_t i = 0; local.len > 0 && i < sizeof(marks) / sizeof(marks[0]); i++)
		if (memmem(local.ptr, local.len, marks[i], strlen(marks[i])) != NULL)
			return true;
	return false;
}

/* On this machine: a peer on loopback may speak for a client that is not. */
static bool
is_local(const struct sp_ip *ip)
{
	const struct net_endpoint e = { .kind = ip->family == 0 ? NET_UNIX : NET_IP, .ip = *ip };

	return net_endpoint_is_loopback(&e);
}

bool
session_may_relay(const struct session_config *c, const struct sp_ip *ip, const struct address *rcpt)
{
	char text[256];
	struct sp_span domain;

	if (c->relay_as_backend || policy_setting_has_ip(c->block, "relay for", ip))
		return true;
	if (routes_on(rcpt->local))
		return false;
	if ((c->relay_all && is_local(ip)) || rcpt->domain.len == 0) /* <postmaster> is always ours */
		return true;
	if (rcpt->domain.len >= sizeof(text))
		return false;
	domain = address_domain_fold(rcpt->domain, text);
	return policy_setting_has_domain(c->block, "relay to", domain);
}

bool
session_may_relay_by(const struct session_config *c, struct sp_span fingerprint)
{
	return fingerprint.len > 0 && policy_setting_find(c->block, "relay for certificates", fingerprint).ptr != NULL;
}

/* It need not be vouched for by anybody: its fingerprint says that it is the very one. */
static bool
certificate_opens(const struct session *s)
{
	struct tls_peer peer;

	return policy_setting_given(s->config->block, "relay for certificates") &&
		starttls_client_certificate(s, &peer) && session_may_relay_by(s->config, span_str(peer.fingerprint));
}

bool
session_relays(const struct session *s, const struct address *rcpt)
{
	return (s->config->auth.relays && session_user(s).len > 0) || session_may_relay(s->config, &s->ip, rcpt) ||
		certificate_opens(s);
}
