/*
 * secure.c - the TLS settings of listeners and backends as contexts, and what of them cannot be.
 *
 * A context is made whole before the policy that names it is taken, so a bad new certificate never replaces a good one.
 */
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/master/config.h"
#include "proxy/net/tls.h"

enum { WHY = 512 };

static int64_t
setting_word(const struct policy_block *b, const char *key, int64_t fallback)
{
	return policy_setting_given(b, key) ? policy_setting_int(b, key) : fallback;
}

/* ---- listeners ------------------------------------------------------------------------------ */

enum { LISTENER_OFF, LISTENER_MAY, LISTENER_REQUIRE };

/* The files, certificate and key of one number together. */
static bool
listener_pairs(struct config *c, const struct policy_block *b, struct tls_pair *to, size_t *ret_count, struct policy_diag *d)
{
	size_t certs = policy_setting_count(b, "tls certificate"), keys = policy_setting_count(b, "tls key");
	const char *more = certs > keys ? "tls certificate" : "tls key";

	*ret_count = 0;
	if (certs != keys) {
		policy_diag_at(d, c->policy, policy_setting_place(b, more), false,
			"'tls certificate' and 'tls key' go together: each certificate has its key, in the same order");
		return false;
	}
	if (certs > TLS_PAIRS) {
		policy_diag_at(d, c->policy, policy_setting_place(b, more), false, "more than %d certificates", TLS_PAIRS);
		return false;
	}
	for (size_t i = 0; i < certs; i++)
		to[i] = (struct tls_pair){ policy_setting_text(b, "tls certificate", i).ptr, policy_setting_text(b, "tls key", i).ptr };
	*ret_count = certs;
	return true;
}

static void
listener_expired(struct config *c, const struct policy_block *b, const struct tls_context *tls, const struct tls_server *from,
	struct policy_diag *d)
{
	for (size_t i = 0; i < from->count; i++)
		if (tls_server_expired(tls, i))
			policy_diag_at(d, c->policy, policy_setting_place(b, "tls certificate"), true,
				"%s: the certificate has expired", from->pairs[i].certificate);
}

/* Settings that have no meaning, given the others. False: an error has been added. */
static bool
listener_sound(struct config *c, const struct policy_block *b, const struct tls_server *from, int64_t mode, struct policy_diag *d)
{
	if (mode != LISTENER_OFF && from->count == 0) {
		policy_diag_at(d, c->policy, policy_setting_place(b, "tls"), false,
			"TLS needs a certificate: add 'tls certificate' and 'tls key'");
		return false;
	}
	if (mode == LISTENER_OFF && policy_setting_int(b, "tls implicit") != 0) {
		policy_diag_at(d, c->policy, policy_setting_place(b, "tls implicit"), false,
			"implicit TLS needs a certificate, and no 'tls off'");
		return false;
	}
	if (from->ask == TLS_ASK_REQUIRE && from->ca == NULL) {
		policy_diag_at(d, c->policy, policy_setting_place(b, "tls client certificate"), false,
			"who vouches for clients' certificates? add 'tls ca \"FILE\"'");
		return false;
	}
	return true;
}

void
config_listener_tls(struct config *c, const struct policy_block *b, struct config_listener *l, struct policy_diag *d)
{
	struct tls_pair pairs[TLS_PAIRS];
	struct tls_server from = { .pairs = pairs, .ask = (enum tls_ask)policy_setting_int(b, "tls client certificate"),
		.ca = policy_setting_text(b, "tls ca", 0).ptr, .min = (enum tls_min)policy_setting_int(b, "tls min") };
	int64_t mode;
	char why[WHY];

	if (!listener_pairs(c, b, pairs, &from.count, d))
		return;
	mode = setting_word(b, "tls", from.count > 0 ? LISTENER_MAY : LISTENER_OFF);
	if (!listener_sound(c, b, &from, mode, d) || mode == LISTENER_OFF)
		return;
	l->session.tls = tls_server_new(&from, why, sizeof(why));
	if (l->session.tls == NULL) {
		policy_diag_at(d, c->policy, policy_setting_place(b, "tls certificate"), false, "%s", why);
		return;
	}
	l->session.tls_required = mode == LISTENER_REQUIRE;
	l->session.tls_implicit = policy_setting_int(b, "tls implicit") != 0;
	listener_expired(c, b, l->session.tls, &from, d);
}

/* ---- backends ------------------------------------------------------------------------------- */

enum { BACKEND_VERIFY = RELAY_TLS_REQUIRE + 1 };

/* The name that the server's certificate must have: as given, or the only name in its address. */
static const char *
backend_name(struct config *c, const struct policy_block *b, const struct relay_config *r)
{
	struct net_endpoint e;

	if (policy_setting_given(b, "tls name"))
		return policy_setting_text(b, "tls name", 0).ptr;
	if (policy_setting_count(b, "address") != 1 ||
		net_endpoint_parse(policy_setting_text(b, "address", 0), r->lmtp ? 24 : 25, &e) != SP_OK || e.kind != NET_HOST)
		return NULL;
	return arena_strdup(c->arena, span_str(e.text));
}

static bool
backend_pins(struct config *c, const struct policy_block *b, unsigned char (*to)[TLS_DIGEST], size_t *ret_count, struct policy_diag *d)
{
	size_t count = policy_setting_count(b, "tls fingerprint");

	*ret_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (i == TLS_PINS || tls_pin_parse(policy_setting_text(b, "tls fingerprint", i), to[i]) != SP_OK) {
			policy_diag_at(d, c->policy, policy_setting_place(b, "tls fingerprint"), false,
				"a fingerprint is \"sha256:\" and 64 hex digits; %d of them at most", TLS_PINS);
			return false;
		}
	}
	*ret_count = count;
	return true;
}

/* Settings that have no meaning, given the others. False: an error has been added. */
static bool
backend_sound(struct config *c, const struct policy_block *b, const struct tls_client *from, int64_t mode, struct policy_diag *d)
{
	static const char *const strict[] = { "tls ca", "tls fingerprint" };

	for (size_t i = 0; mode != BACKEND_VERIFY && i < sizeof(strict) / sizeof(strict[0]); i++)
		if (policy_setting_given(b, strict[i])) {
			policy_diag_at(d, c->policy, policy_setting_place(b, strict[i]), false, "'%s' goes with 'tls verify'", strict[i]);
			return false;
		}
	if (mode == RELAY_TLS_OFF && policy_setting_int(b, "tls implicit") != 0) {
		policy_diag_at(d, c->policy, policy_setting_place(b, "tls implicit"), false,
			"implicit TLS goes with 'tls require' or 'tls verify'");
		return false;
	}
	if (from->verify && from->pin_count == 0 && from->name == NULL) {
		policy_diag_at(d, c->policy, policy_setting_place(b, "tls"), false,
			"which name has the certificate? add 'tls name mail.example.com', or 'tls fingerprint'");
		return false;
	}
	return true;
}

void
config_backend_tls(struct config *c, const struct policy_block *b, struct relay_config *r, struct policy_diag *d)
{
	int64_t mode = policy_setting_int(b, "tls");
	unsigned char pins[TLS_PINS][TLS_DIGEST];
	struct tls_client from = { .name = backend_name(c, b, r), .verify = mode == BACKEND_VERIFY,
		.ca = policy_setting_text(b, "tls ca", 0).ptr, .pins = (const unsigned char (*)[TLS_DIGEST])pins,
		.min = (enum tls_min)policy_setting_int(b, "tls min") };
	char why[WHY];

	if (!backend_pins(c, b, pins, &from.pin_count, d) || !backend_sound(c, b, &from, mode, d) || mode == RELAY_TLS_OFF)
		return;
	r->tls = mode == RELAY_TLS_MAY ? RELAY_TLS_MAY : RELAY_TLS_REQUIRE;
	r->tls_implicit = policy_setting_int(b, "tls implicit") != 0;
	r->tls_context = tls_client_new(&from, why, sizeof(why));
	if (r->tls_context == NULL)
		policy_diag_at(d, c->policy, policy_setting_place(b, "tls"), false, "%s", why);
}

/* ---- the end -------------------------------------------------------------------------------- */

void
config_tls_free(struct config *c)
{
	for (size_t i = 0; i < c->listener_count; i++)
		tls_context_free(&c->listeners[i].session.tls);
	for (size_t i = 0; i < c->backend_count; i++)
		tls_context_free(&c->backends[i].relay.tls_context);
}
