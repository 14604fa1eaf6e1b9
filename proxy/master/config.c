/*
 * config.c - a compiled policy's blocks as the structs that listeners, backends, DNS and spool want.
 *
 * Also the checks that the compiler cannot make: each listener has a backend, and none is an open relay: a listener
 * beyond loopback must say "relay to" or "relay for", since the backend sees our address and may trust it.
 */
#include "proxy/master/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/inspect/inspect.h"
#include "proxy/inspect/loader.h"
#include "proxy/master/names.h"
#include "proxy/master/programs.h"
#include "proxy/master/services.h"

enum { ARENA_BLOCK = 4096, ARENA_MAX = 16 << 20 };

const struct policy_env *
config_env(void)
{
	static struct policy_env env;

	env = (struct policy_env){ .spaces = inspect_spaces, .blocks = config_blocks, .filter_find = loader_find,
		.filter_names = loader_names, .host = &inspect_host, .shared = loader_shared, .program = programs_endpoint };
	return &env;
}

/* ---- backends ------------------------------------------------------------------------------- */

static const char *
sink_folder(struct config *c, const struct policy_block *b)
{
	const char *folder = policy_setting_text(b, "maildir", 0).ptr;
	char temp[] = "/tmp/sallyport-sink-XXXXXX";

	if (folder != NULL || !span_eq(policy_block_name(b), SPAN_LIT("sink")) ||
		policy_setting_count(b, "address") > 0 || policy_setting_given(b, "mx"))
		return folder;
	if (mkdtemp(temp) == NULL)
		return NULL;
	fprintf(stderr, "sallyport: backend sink files mail in %s\n", temp);
	return arena_strdup(c->arena, span_str(temp));
}

static void
backend_endpoints(struct config *c, const struct policy_block *b, struct relay_config *r, struct policy_diag *d)
{
	size_t count = policy_setting_count(b, "address");
	struct net_endpoint *list = arena_alloc(c->arena, (count + 1) * sizeof(*list));

	if (list == NULL)
		return;
	if (c->override.backend != NULL) {
		r->endpoint_count = net_endpoint_parse(span_str(c->override.backend), 25, list) == SP_OK;
		r->endpoints = list;
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (net_endpoint_parse(policy_setting_text(b, "address", i), 25, &list[i]) != SP_OK)
			policy_diag_at(d, c->policy, policy_setting_place(b, "address"), false,
				"'%s' is no address:port", policy_setting_text(b, "address", i).ptr);
	r->endpoints = list;
	r->endpoint_count = count;
}

static void
backend_timeouts(const struct policy_block *b, struct relay_timeouts *t)
{
	int64_t reply = policy_setting_int(b, "reply timeout");

	*t = relay_timeouts_default;
	t->connect = policy_setting_int(b, "connect timeout");
	t->mail = t->rcpt = reply;
	t->banner = t->ehlo = t->data = reply / 2;
}

/* Then a backend may be nothing but the way in which the servers behind the gateway are spoken to. */
static bool
any_transparent(const struct policy *p)
{
	const struct policy_block *b;

	for (size_t i = 0; (b = policy_block(p, "listen", i)) != NULL; i++)
		if (policy_setting_int(b, "transparent") != 0)
			return true;
	return false;
}

/* A unix socket has no address that could be the client's. */
static void
backend_source(struct config *c, const struct policy_block *b, const struct relay_config *r, struct policy_diag *d)
{
	for (size_t i = 0; r->as_client && i < r->endpoint_count; i++)
		if (r->endpoints[i].kind == NET_UNIX)
			policy_diag_at(d, c->policy, policy_setting_place(b, "source"), false,
				"backend '%s' cannot see the client's address by a unix socket", r->name);
}

static void
backend_build(struct config *c, size_t index, bool quiet, struct policy_diag *d)
{
	const struct policy_block *b = policy_block(c->policy, "backend", index);
	struct relay_config *r = &c->backends[index].relay;
	int ways;

	r->name = policy_block_name(b).ptr;
	r->helo = names_host(&(struct names){ c->arena, c->policy, d }, b, "helo");
	r->lmtp = policy_setting_int(b, "protocol") == 1;
	r->mx = policy_setting_text(b, "mx", 0).ptr;
	r->sink = quiet ? policy_setting_text(b, "maildir", 0).ptr : sink_folder(c, b);
	r->xclient = policy_setting_int(b, "xclient") != 0;
	r->xforward = policy_setting_int(b, "xforward") != 0;
	r->proxy = (int)policy_setting_int(b, "proxy protocol");
	r->as_client = policy_setting_int(b, "source") == 1;
	r->pool = (size_t)policy_setting_int(b, "pool");
	r->pool_idle_ms = policy_setting_int(b, "pool idle");
	backend_timeouts(b, &r->timeouts);
	backend_endpoints(c, b, r, d);
	backend_source(c, b, r, d);
	config_backend_tls(c, b, r, d);
	if (c->override.backend != NULL) {
		r->mx = r->sink = NULL;
		return;
	}
	ways = (r->endpoint_count > 0) + (r->mx != NULL) + policy_setting_given(b, "maildir");
	if (ways == 0 && !span_eq(policy_block_name(b), SPAN_LIT("sink")) && !any_transparent(c->policy))
		policy_diag_at(d, c->policy, policy_block_place(b), false,
			"backend '%s' needs an address, an mx or a maildir", r->name);
	else if (ways > 1)
		policy_diag_at(d, c->policy, policy_block_place(b), false,
			"backend '%s' takes one of address, mx and maildir", r->name);
}

/* ---- listeners ------------------------------------------------------------------------------ */

static void
listener_limits(const struct policy_block *b, struct config_listener *l)
{
	struct session_config *s = &l->session;

	s->limits = (struct session_limits){
		.message_size = policy_setting_int(b, "max message"),
		.header_size = (size_t)policy_setting_int(b, "max header"),
		.text_line = (size_t)policy_setting_int(b, "max line"),
		.recipients = (size_t)policy_setting_int(b, "max recipients"),
		.errors = (unsigned)policy_setting_int(b, "max errors"),
		.junk = (unsigned)policy_setting_int(b, "max junk"),
		.bad_recipients = (unsigned)policy_setting_int(b, "max bad recipients"),
		.hops = (unsigned)policy_setting_int(b, "max hops"),
	};
	s->timeouts = (struct session_timeouts){
		.command = policy_setting_int(b, "command timeout"),
		.block = policy_setting_int(b, "data timeout"),
		.slow = 60000,
		.min_rate = policy_setting_int(b, "min data rate"),
		.commit = policy_setting_int(b, "commit deadline"),
		.reply = 590000,
		.filters = policy_setting_int(b, "filter budget"),
		.dns = policy_setting_int(b, "dns budget"),
		.greet = policy_setting_int(b, "greet delay"),
	};
	l->connections = (unsigned)policy_setting_int(b, "max connections");
	l->per_client = (unsigned)policy_setting_int(b, "max connections per client");
}

/* Which backend it names, or the first. */
static void
listener_backend(struct config *c, const struct policy_block *b, struct config_listener *l, struct policy_diag *d)
{
	struct sp_span name = policy_setting_count(b, "backend") == 0 ? (struct sp_span){ NULL, 0 }
								      : policy_setting_text(b, "backend", 0);

	if (c->backend_count == 0)
		policy_diag_at(d, c->policy, policy_block_place(b), false,
			"this listener has no backend: add 'backend mail { address 127.0.0.1:10025 }'");
	for (size_t i = 0; name.len > 0 && i < c->backend_count; i++)
		if (span_eq(policy_block_name(policy_block(c->policy, "backend", i)), name))
			l->backend = i;
}

/* As written, too: where it listens for this run does not make the file a better one. And a proxy on loopback speaks for
 * others. */
static bool
open_to_others(const struct config_listener *l)
{
	struct net_endpoint written;

	return policy_setting_given(l->session.block, "proxy protocol from") ||
		policy_setting_given(l->session.block, "xclient from") || l->transparent || !net_endpoint_is_loopback(&l->endpoint) ||
		(net_endpoint_parse(l->session.listener, 0, &written) == SP_OK && !net_endpoint_is_loopback(&written));
}

/* An open relay cannot be written. */
static void
listener_relay(struct config *c, const struct policy_block *b, struct config_listener *l, struct policy_diag *d)
{
	bool given = policy_setting_given(b, "relay to") || policy_setting_given(b, "relay for") || l->session.auth.relays ||
		policy_setting_given(b, "relay for certificates") || policy_setting_int(b, "relay as backend") != 0;

	l->open = open_to_others(l);
	l->session.relay_all = !given;
	if (!given && l->open)
		policy_diag_at(d, c->policy, policy_block_place(b), false,
			"listener '%s' is open to others and says nothing about relaying: add 'relay to example.com' "
			"(the domains you serve)", policy_block_name(b).ptr);
}

/* The extensions that a setting names, all of them of those that it may name. */
static uint32_t
extension_set(struct config *c, const struct policy_block *b, const char *key, uint32_t allowed, struct policy_diag *d)
{
	uint32_t set = 0;

	for (size_t i = 0; i < policy_setting_count(b, key); i++) {
		enum extension e = extension_find(policy_setting_text(b, key, i));

		if (e == EXTENSIONS)
			policy_diag_at(d, c->policy, policy_setting_place(b, key), false,
				"'%s' is no extension that we know", policy_setting_text(b, key, i).ptr);
		else if ((allowed & EXT_BIT(e)) == 0)
			policy_diag_at(d, c->policy, policy_setting_place(b, key), false,
				"%s is offered without being asked for, where the backend has it", extension_keyword(e));
		else
			set |= EXT_BIT(e);
	}
	return set;
}

void
config_session(struct config *c, const struct policy_block *b, struct config_listener *l, struct policy_diag *d)
{
	const struct names names = { c->arena, c->policy, d };
	struct session_config *s = &l->session;

	s->listener = policy_block_name(b);
	s->policy = c->policy;
	s->block = b;
	s->generation = c->generation;
	config_naming(c, b, s, d);
	s->hostname = s->hostname_backend ? names_system(c->arena) : names_host(&names, b, "hostname");
	s->auth_id = names_auth_id(&names, b, s->hostname);
	s->write_results = policy_setting_int(b, "authentication results") != 0;
	s->several_from = policy_setting_int(b, "several from") != 0;
	s->space = policy_setting_int(b, "bare line ends") == 1;
	s->relay_late = policy_setting_int(b, "relay") == 1;
	s->quoted_local = policy_setting_int(b, "quoted local part") != 0;
	s->withhold = extension_set(c, b, "withhold", UINT32_MAX, d);
	s->pass = extension_set(c, b, "pass", EXTENSIONS_ON_REQUEST, d);
	listener_limits(b, l);
}

static void
listener_build(struct config *c, size_t index, struct policy_diag *d)
{
	const struct policy_block *b = policy_block(c->policy, "listen", index);
	struct config_listener *l = &c->listeners[index];
	struct session_config *s = &l->session;

	config_session(c, b, l, d);
	s->trust_proxy = c->override.trust_proxy;
	l->transparent = policy_setting_int(b, "transparent") != 0;
	if (net_endpoint_parse(c->override.listen != NULL ? span_str(c->override.listen) : s->listener, 0, &l->endpoint) != SP_OK || l->endpoint.kind == NET_HOST) {
		policy_diag_at(d, c->policy, policy_block_place(b), false,
			"'%s' is no address:port to listen on", s->listener.ptr);
		return;
	}
	if (l->transparent && span_starts(s->listener, SPAN_LIT("unix:")))
		policy_diag_at(d, c->policy, policy_setting_place(b, "transparent"), false,
			"no other server's clients come to a unix socket");
	listener_backend(c, b, l, d);
	config_logins(c, b, l, d);
	listener_relay(c, b, l, d);
	config_listener_tls(c, b, l, d);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void
program_build(struct config *c)
{
	const struct policy_block *b = policy_block(c->policy, "", 0);

	c->dns = services_dns(c->policy, c->arena);
	if (c->override.resolver != NULL)
		c->dns.resolvers = c->override.resolver;
	c->log = c->override.log != NULL ? c->override.log : policy_setting_text(b, "log", 0).ptr;
	c->log_format = policy_setting_int(b, "log format") == 1 ? LOG_JSON : LOG_LOGFMT;
	c->user = policy_setting_text(b, "user", 0).ptr;
	c->workers = (unsigned)policy_setting_int(b, "workers");
	c->drain_ms = policy_setting_int(b, "drain");
	c->hurry_ms = policy_setting_int(b, "stop");
	c->spool = services_spool(c->policy);
}

static size_t
count_blocks(const struct policy *p, const char *kind)
{
	size_t n = 0;

	while (policy_block(p, kind, n) != NULL)
		n++;
	return n;
}

static struct config *
config_build(struct policy *policy, unsigned generation, const struct config_override *o, struct policy_diag *d)
{
	struct arena *arena = policy == NULL ? NULL : arena_new(ARENA_BLOCK, ARENA_MAX);
	struct config *c = arena == NULL ? NULL : arena_alloc(arena, sizeof(*c));

	if (c == NULL) {
		arena_free(&arena);
		policy_free(&policy);
		return NULL;
	}
	c->policy = policy;
	c->arena = arena;
	c->generation = generation;
	if (o != NULL)
		c->override = *o;
	c->backend_count = count_blocks(policy, "backend");
	c->listener_count = count_blocks(policy, "listen");
	c->backends = arena_alloc(arena, (c->backend_count + 1) * sizeof(*c->backends));
	c->listeners = arena_alloc(arena, (c->listener_count + 1) * sizeof(*c->listeners));
	program_build(c);
	for (size_t i = 0; i < c->backend_count; i++)
		backend_build(c, i, generation == 0, d);
	for (size_t i = 0; i < c->listener_count; i++)
		listener_build(c, i, d);
	config_routes(c, d);
	config_atrn(c, d);
	if (d->errors > 0)
		config_free(&c);
	return c;
}

struct config *
config_load(const char *path, unsigned generation, const struct config_override *o, struct policy_diag *d)
{
	return config_build(policy_compile(path, config_env(), d), generation, o, d);
}

struct config *
config_load_text(const char *name, struct sp_span text, unsigned generation, struct policy_diag *d)
{
	return config_build(policy_compile_text(name, text, config_env(), d), generation, NULL, d);
}

void
config_free(struct config **c)
{
	struct arena *arena;

	if (*c == NULL)
		return;
	config_tls_free(*c);
	policy_free(&(*c)->policy);
	arena = (*c)->arena; /* *c lives in it */
	arena_free(&arena);
	*c = NULL;
}

void
config_shadow(struct config *c)
{
	for (size_t i = 0; i < c->listener_count; i++)
		c->listeners[i].session.shadow = true;
	for (size_t i = 0; i < c->atrn_count; i++)
		c->atrns[i].session.shadow = true;
}
