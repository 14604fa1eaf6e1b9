/*
 * atrn.c - atrn blocks: listeners without an address, whose client is the backend and whose backend is the client (RFC 2645).
 *
 * A session there has one way for its mail, the connection that the client has logged in on: it can be no open relay,
 * and what would send its mail elsewhere, or is for clients that connect to us, has no meaning.
 */
#include "proxy/master/config.h"

#include "policy/kit/span.h"

static const char *const meaningless[] = { "backend", "relay for authenticated", "relay for certificates", "relay as backend", "auth",
	"auth plaintext", "auth mechanisms", "submission", "senders", "proxy protocol from", "xclient from", "transparent", "etrn from",
	"atrn from", "atrn listener", "tls", "tls certificate", "tls key", "tls implicit", "tls client certificate", "tls ca",
	"max connections", "max connections per client" };

static void
check_meaning(const struct config *c, const struct policy_block *b, struct policy_diag *d)
{
	for (size_t i = 0; i < sizeof(meaningless) / sizeof(meaningless[0]); i++)
		if (policy_setting_given(b, meaningless[i]))
			policy_diag_at(d, c->policy, policy_setting_place(b, meaningless[i]), false,
				"'%s' has no meaning in an atrn block: the connections are those of the listener", meaningless[i]);
}

/* Nothing said of relaying: what the backend has for the client, it may bring. */
static void
atrn_build(struct config *c, size_t index, struct policy_diag *d)
{
	const struct policy_block *b = policy_block(c->policy, "atrn", index);
	struct config_listener *l = &c->atrns[index];
	struct session_route *route = arena_alloc(c->arena, sizeof(*route));
	const struct session_route **routes = arena_alloc(c->arena, sizeof(*routes));

	if (route == NULL || routes == NULL) {
		policy_diag_at(d, c->policy, policy_block_place(b), false, "out of memory");
		return;
	}
	check_meaning(c, b, d);
	config_session(c, b, l, d);
	*route = (struct session_route){ .block = c->routes[0]->block };
	routes[0] = route;
	l->session.routes = routes;
	l->session.route_count = 1;
	l->session.relay_as_backend = !policy_setting_given(b, "relay to") && !policy_setting_given(b, "relay for");
}

static void
listener_atrn(struct config *c, struct config_listener *l, struct policy_diag *d)
{
	const struct policy_block *b = l->session.block;
	struct sp_span name = policy_setting_count(b, "atrn listener") == 0 ? (struct sp_span){ NULL, 0 }
									   : policy_setting_text(b, "atrn listener", 0);

	if (!policy_setting_given(b, "atrn from"))
		return;
	if (c->atrn_count == 0)
		policy_diag_at(d, c->policy, policy_setting_place(b, "atrn from"), false,
			"which rules does that mail pass? add 'atrn NAME { }', a block with settings as in listen");
	if (l->session.auth.mode == AUTH_OFF)
		policy_diag_at(d, c->policy, policy_setting_place(b, "atrn from"), false, "nobody can log in here: add 'auth offer'");
	for (size_t i = 0; i < c->atrn_count; i++)
		if (name.len == 0 ? i == 0 : span_eq(c->atrns[i].session.listener, name))
			l->session.atrn = &c->atrns[i].session;
}

void
config_atrn(struct config *c, struct policy_diag *d)
{
	size_t count = 0;

	while (policy_block(c->policy, "atrn", count) != NULL)
		count++;
	c->atrns = arena_alloc(c->arena, (count + 1) * sizeof(*c->atrns));
	if (c->atrns == NULL || c->backend_count == 0 || c->routes == NULL)
		return;
	c->atrn_count = count;
	for (size_t i = 0; i < count; i++)
		atrn_build(c, i, d);
	for (size_t i = 0; i < c->listener_count; i++)
		listener_atrn(c, &c->listeners[i], d);
}
