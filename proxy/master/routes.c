/*
 * routes.c - what the backends' blocks say of whom they serve and how, told to the listeners; and what of it cannot be.
 *
 * RFC 2033 5: LMTP has no business on port 25, where a server would take us for one that relays.
 */
#include "proxy/master/config.h"

#include "policy/kit/span.h"

enum { SMTP_PORT = 25 };

static void
check_lmtp(struct config *c, const struct policy_block *b, const struct relay_config *r, struct policy_diag *d)
{
	if (r->mx != NULL)
		policy_diag_at(d, c->policy, policy_setting_place(b, "mx"), false,
			"MX hosts speak SMTP: 'protocol lmtp' needs an address");
	for (size_t i = 0; i < r->endpoint_count; i++)
		if (r->endpoints[i].kind != NET_UNIX && r->endpoints[i].port == SMTP_PORT && c->override.backend == NULL) {
			policy_diag_at(d, c->policy, policy_setting_place(b, "address"), false,
				"port 25 is for SMTP: LMTP is spoken on another one, or over a unix socket");
			break;
		}
}

static void
route_build(struct config *c, size_t index, struct policy_diag *d)
{
	const struct policy_block *b = policy_block(c->policy, "backend", index);
	struct config_backend *to = &c->backends[index];
	bool together = policy_setting_int(b, "recipients together") != 0;

	to->route.block = b;
	to->relay.maintenance = policy_setting_int(b, "maintenance") != 0;
	to->relay.max_failures = (unsigned)policy_setting_int(b, "max failures");
	to->relay.high_latency_ms = policy_setting_int(b, "high latency");
	to->route.lmtp = to->relay.lmtp;
	to->route.alone = to->relay.lmtp && !together;
	if (to->relay.lmtp)
		check_lmtp(c, b, &to->relay, d);
	else if (policy_setting_given(b, "recipients together"))
		policy_diag_at(d, c->policy, policy_setting_place(b, "recipients together"), true,
			"SMTP has one reply for all recipients: this has a meaning with 'protocol lmtp' only");
}

/* Can mail of this listener go to that backend? */
static bool
may_go(const struct config *c, const struct config_listener *l, size_t backend)
{
	const struct policy_block *b = c->backends[backend].route.block;

	return backend == l->backend || policy_setting_given(b, "for") || policy_routes_to(c->policy, policy_block_name(b));
}

/* A server that sees our address may well relay for it, so only one that sees the client's can be left to judge. */
static void
check_relaying(struct config *c, struct config_listener *l, struct policy_diag *d)
{
	const struct policy_block *b = l->session.block;

	if (policy_setting_given(b, "relay for certificates") && policy_setting_int(b, "tls client certificate") == 0)
		policy_diag_at(d, c->policy, policy_setting_place(b, "relay for certificates"), false,
			"no client is asked for a certificate: add 'tls client certificate ask'");
	if (policy_setting_int(b, "relay as backend") == 0)
		return;
	l->session.relay_as_backend = true;
	for (size_t i = 0; i < c->backend_count; i++) {
		const struct relay_config *r = &c->backends[i].relay;

		if (!may_go(c, l, i) || r->xclient || r->proxy != 0 || r->as_client || r->sink != NULL)
			continue;
		l->session.relay_as_backend = false;
		l->session.relay_all = true; /* for programs of this machine */
		if (l->open)
			policy_diag_at(d, c->policy, policy_setting_place(b, "relay as backend"), false,
				"backend '%s' sees our address instead of the client's, and may relay for it: it needs 'xclient yes', "
				"'proxy protocol' or 'source client'; or write 'relay to' (the domains you serve)", r->name);
	}
}

void
config_routes(struct config *c, struct policy_diag *d)
{
	c->routes = arena_alloc(c->arena, (c->backend_count + 1) * sizeof(*c->routes));
	if (c->routes == NULL) {
		policy_diag_at(d, c->policy, policy_block_place(policy_block(c->policy, "", 0)), false, "out of memory");
		return;
	}
	for (size_t i = 0; i < c->backend_count; i++) {
		route_build(c, i, d);
		c->routes[i] = &c->backends[i].route;
	}
	for (size_t i = 0; i < c->listener_count; i++) {
		struct session_config *s = &c->listeners[i].session;

		s->routes = c->routes;
		s->route_count = c->backend_count;
		s->route = c->listeners[i].backend;
		check_relaying(c, &c->listeners[i], d);
	}
}
