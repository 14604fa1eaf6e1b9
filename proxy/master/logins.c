/*
 * logins.c - AUTH and submission as a listener's settings say, and what of that cannot be.
 */
#include "proxy/master/config.h"
#include "proxy/smtp/sasl.h"

#include "policy/kit/span.h"

static void
mechanisms_check(const struct config *c, const struct policy_block *b, struct policy_diag *d)
{
	for (size_t i = 0; i < policy_setting_count(b, "auth mechanisms"); i++)
		if (!sasl_mechanism_ok(policy_setting_text(b, "auth mechanisms", i)))
			policy_diag_at(d, c->policy, policy_setting_place(b, "auth mechanisms"), false,
				"'%s' is no mechanism's name", policy_setting_text(b, "auth mechanisms", i).ptr);
}

/* On another machine, and not surely by TLS. */
static bool
in_the_clear(const struct relay_config *r)
{
	bool remote = r->mx != NULL;

	for (size_t i = 0; i < r->endpoint_count; i++)
		remote = remote || !net_endpoint_is_loopback(&r->endpoints[i]);
	return remote && r->tls != RELAY_TLS_REQUIRE;
}

void
config_logins(const struct config *c, const struct policy_block *b, struct config_listener *l, struct policy_diag *d)
{
	struct session_auth *ret = &l->session.auth;

	*ret = (struct session_auth){
		.mode = AUTH_OFF,
		.plaintext = policy_setting_int(b, "auth plaintext") != 0,
		.submission = policy_setting_int(b, "submission") != 0,
		.owned = policy_setting_given(b, "senders"),
		.max_failures = (unsigned)policy_setting_int(b, "max auth failures"),
		.max_client_failures = (unsigned)policy_setting_int(b, "max auth failures per client"),
	};
	if (policy_setting_int(b, "auth") == 2 || ret->submission)
		ret->mode = AUTH_REQUIRE;
	else if (policy_setting_int(b, "auth") == 1)
		ret->mode = AUTH_OFFER;
	ret->relays = ret->submission || policy_setting_int(b, "relay for authenticated") != 0;
	mechanisms_check(c, b, d);
	if (ret->mode == AUTH_OFF && (ret->relays || ret->owned))
		policy_diag_at(d, c->policy, policy_setting_place(b, ret->owned ? "senders" : "relay for authenticated"), false,
			"nobody can log in here: add 'auth offer'");
	if (ret->mode != AUTH_OFF && !ret->plaintext &&
		(!policy_setting_given(b, "tls certificate") || (policy_setting_given(b, "tls") && policy_setting_int(b, "tls") == 0)))
		policy_diag_at(d, c->policy, policy_setting_place(b, ret->submission ? "submission" : "auth"), false,
			"AUTH is offered under TLS only: add 'tls certificate' and 'tls key', or 'auth plaintext yes'");
	if (ret->mode != AUTH_OFF && l->backend < c->backend_count && in_the_clear(&c->backends[l->backend].relay))
		policy_diag_at(d, c->policy, policy_setting_place(b, ret->submission ? "submission" : "auth"), true,
			"passwords go to backend '%s' in the clear: let it say 'tls verify'", c->backends[l->backend].relay.name);
}
