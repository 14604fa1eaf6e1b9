/*
 * routing.c - which backend a recipient goes to: the one that a rule names, else the one that says "for" its domain, else the
 * listener's.
 *
 * A transaction has one backend, that of its first recipient; those who belong elsewhere are told 451 and come again by
 * themselves, so that the reply to the final dot is always one backend's own (RFC 5321 3.3, 4.2.4).  The same goes
 * for a backend with a reply for each recipient (RFC 2033): it gets one at a time, unless it is told to take them together.
 */
#include "proxy/session/session_priv.h"

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/session/log.h"

enum { DOMAIN_MAX = 256 };

/* A listener's own may be another for each client ("transparent"). */
static struct relay_backend *
backend_of(const struct session *s, size_t route)
{
	return route == s->config->route ? s->backend : s->backends[route];
}

/* The backend that serves the domain; the first in the file counts. */
static size_t
route_of_domain(const struct session_config *c, struct sp_span domain)
{
	char text[DOMAIN_MAX];

	if (domain.len == 0 || domain.len >= sizeof(text))
		return c->route;
	domain = address_domain_fold(domain, text);
	for (size_t i = 0; i < c->route_count; i++)
		if (policy_setting_has_domain(c->routes[i]->block, "for", domain))
			return i;
	return c->route;
}

size_t
session_route_of(const struct session_config *c, struct sp_span named, struct sp_span domain)
{
	for (size_t i = 0; named.len > 0 && i < c->route_count; i++)
		if (span_eq(policy_block_name(c->routes[i]->block), named))
			return i;
	return route_of_domain(c, domain);
}

static size_t
route_of(const struct session *s, const struct address *rcpt)
{
	if (session_authenticated(s)) /* another would not know him */
		return s->config->route;
	return session_route_of(s->config, inspect_backend(s->inspect), rcpt->domain);
}

static struct command_error
spared(const struct session *s, size_t route)
{
	const char *text = relay_backend_spared(backend_of(s, route));

	return text == NULL ? (struct command_error){ 0, NULL, NULL } : (struct command_error){ 451, "4.3.2", text };
}

/* Can mail of this listener be meant for it?  A place for quarantine need not offer what others do: what it lacks shows when a
 * message is to go there. */
static bool
may_go(const struct session *s, size_t route)
{
	const struct session_config *c = s->config;
	const struct policy_block *b = c->routes[route]->block;

	return route == c->route || policy_setting_given(b, "for") ||
		policy_chooses(c->policy, policy_block_name(b));
}

struct command_error
session_backend_spared(const struct session *s)
{
	for (size_t i = 0; i < s->config->route_count; i++)
		if (i != s->config->route && may_go(s, i))
			return (struct command_error){ 0, NULL, NULL };
	return spared(s, s->config->route);
}

struct command_error
session_route(struct session *s, const struct address *rcpt)
{
	struct transaction *tx = s->tx;
	size_t route = route_of(s, rcpt);
	struct command_error e = spared(s, route);

	if (e.code != 0)
		return e;
	if (tx->accepted > 0 && tx->routed && route != tx->route)
		return (struct command_error){ 451, "4.3.0", "in another transaction, please" };
	if (tx->accepted > 0 && s->config->routes[route]->alone && !tx->mail.prdr)
		return (struct command_error){ 452, "4.5.3", "one recipient at a time, please" };
	if (tx->routed && route != tx->route && tx->relay_begun) {
		relay_abort(s->relay); /* it has taken none so far */
		tx->relay_begun = false;
	}
	tx->routed = true;
	tx->route = route;
	return (struct command_error){ 0, NULL, NULL };
}

static struct relay *
relay_to(struct session *s, size_t route)
{
	if (s->relay != NULL && s->relay_route != route)
		relay_free(&s->relay);
	if (s->relay == NULL)
		s->relay = relay_new(backend_of(s, route));
	s->relay_route = route;
	return s->relay;
}

struct relay *
session_relay(struct session *s)
{
	return relay_to(s, s->tx->route);
}

struct command_error
session_quarantine(struct session *s, struct sp_span backend)
{
	struct transaction *tx = s->tx;
	size_t route = 0;
	struct command_error e;

	while (route < s->config->route_count && !span_eq(policy_block_name(s->config->routes[route]->block), backend))
		route++;
	MUST(route < s->config->route_count);
	tx->quarantine = backend;
	if (tx->routed && route == tx->route)
		return (struct command_error){ 0, NULL, NULL };
	if (tx->relay_begun)
		relay_abort(s->relay);
	tx->relay_begun = false;
	e = spared(s, route);
	if (e.code != 0)
		return e;
	tx->aside = s->relay; /* it may be the one that the client has logged in on */
	tx->aside_route = s->relay_route;
	s->relay = NULL;
	tx->route = route;
	return e;
}

void
session_quarantine_end(struct session *s)
{
	if (s->tx->aside == NULL)
		return;
	relay_free(&s->relay);
	s->relay = s->tx->aside;
	s->relay_route = s->tx->aside_route;
}

bool
session_relay_own(struct session *s)
{
	return relay_to(s, s->config->route) != NULL && client_tell(s, s->relay);
}

/* ---- several replies -------------------------------------------------------------------------- */

void
session_results(struct session *s)
{
	struct relay_result r;

	if (!relay_facts(s->relay)->partly)
		return;
	s->tx->dup = true; /* some have it, and the client will send it again or tell his user that they have not */
	for (size_t i = 0; relay_result(s->relay, i, &r) == SP_OK; i++) {
		log_begin("recipient");
		log_text("tx", span_str(s->tx->id));
		log_text("to", r.address);
		log_int("code", r.code);
		log_text("by", SPAN_LIT("backend"));
		log_text("rule", SPAN_LIT(""));
		log_text("reply", r.text);
		log_end();
	}
}

/* ---- what they offer -------------------------------------------------------------------------- */

/* The smaller of two limits; 0: there is none. */
static int64_t
narrower(int64_t a, int64_t b)
{
	return a == 0 || (b > 0 && b < a) ? b : a;
}

static void
offer_narrow(struct relay_offer *to, const struct relay_offer *by)
{
	to->extensions &= by->extensions | EXT_BIT(EXT_AUTH) | EXT_BIT(EXT_ETRN) | EXT_BIT(EXT_ATRN) | EXT_BIT(EXT_LIMITS);
	to->size_max = narrower(to->size_max, by->size_max);
	to->mail_max = narrower(to->mail_max, by->mail_max);
	to->rcpt_max = narrower(to->rcpt_max, by->rcpt_max);
	to->domain_max = narrower(to->domain_max, by->domain_max);
}

/* Where a mail goes is seen at RCPT only, but what it may be is said at EHLO.  AUTH and such are the listener's own backend's.
 * One that could not be asked yet takes nothing away: it takes no mail either. */
struct relay_offer
session_offer(const struct session *s)
{
	struct relay_offer offer = relay_backend_offer(s->backend);

	for (size_t i = 0; i < s->config->route_count; i++) {
		struct relay_offer other;

		if (i == s->config->route || !may_go(s, i))
			continue;
		other = relay_backend_offer(s->backends[i]);
		if (other.known)
			offer_narrow(&offer, &other);
	}
	return offer;
}
