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
	to->route.alone = to->relay.lmtp && !together;
	if (to->relay.lmtp)
		check_lmtp(c, b, &to->relay, d);
	else if (policy_setting_given(b, "recipients together"))
		policy_diag_at(d, c->policy, policy_setting_place(b, "recipients together"), true,
			"SMTP has one reply for all recipients: this has a meaning with 'protocol lmtp' only");
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
	}
}
