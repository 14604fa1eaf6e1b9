/*
 * route.c - the addresses of a backend in the order in which they are tried (RFC 5321 5.1, RFC
 * 7505).
 *
 * Names are looked up only when their turn comes.  The arena is the route's own and goes with it.
 */
#include "proxy/relay/relay_priv.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/dns/dns.h"

enum {
	ROUTE_ARENA = 65536,
	ROUTE_MXS = 8, /* hosts tried; a domain may name any number */
	SMTP_PORT = 25
};

void
route_init(struct route *r, const struct relay_config *config)
{
	*r = (struct route){ .config = config, .fault = FAULT_NONE };
}

void
route_fini(struct route *r)
{
	arena_free(&r->arena);
}

static enum relay_fault
route_fault(enum sp_status st)
{
	switch (st) {
	case SP_OK:
		return FAULT_NONE;
	case SP_NONE:
	case SP_INVALID:
		return FAULT_NOROUTE;
	case SP_CANCELED:
		return FAULT_LOCAL;
	default:
		return FAULT_DNS;
	}
}

static bool
route_arena(struct route *r)
{
	if (r->arena == NULL)
		r->arena = arena_new(4096, ROUTE_ARENA);
	if (r->arena == NULL)
		r->fault = FAULT_LOCAL;
	return r->arena != NULL;
}

static void
route_look_up(struct route *r, struct sp_span name, uint16_t port, int64_t deadline_ms)
{
	enum relay_fault fault;

	r->addrs = (struct sp_addrs){ 0 };
	r->addr = 0;
	r->port = port;
	if (!route_arena(r))
		return;
	fault = route_fault(dns_addrs(name, deadline_ms, r->arena, &r->addrs));
	if (fault != FAULT_NONE) {
		r->addrs = (struct sp_addrs){ 0 };
		r->fault = fault;
	}
}

/* The domain's MX hosts; without any, the domain itself; "." means that it takes no mail. */
static void
route_ask_mx(struct route *r, int64_t deadline_ms)
{
	enum sp_status st;

	r->mx_asked = true;
	if (!route_arena(r))
		return;
	st = dns_mx(span_str(r->config->mx), deadline_ms, r->arena, &r->mxs);
	if (st == SP_NONE) {
		r->mxs = (struct sp_mxs){ 0 };
		route_look_up(r, span_str(r->config->mx), SMTP_PORT, deadline_ms);
	} else if (st != SP_OK) {
		r->mxs = (struct sp_mxs){ 0 };
		r->fault = route_fault(st);
	} else if (r->mxs.count == 1 && (r->mxs.items[0].name.len == 0 ||
						span_eq(r->mxs.items[0].name, SPAN_LIT(".")))) {
		r->mxs.count = 0;
		r->fault = FAULT_NOROUTE;
	}
}

static bool
route_next_mx(struct route *r, int64_t deadline_ms)
{
	if (!r->mx_asked) {
		route_ask_mx(r, deadline_ms);
		return true;
	}
	if (r->host >= r->mxs.count || r->host >= ROUTE_MXS)
		return false;
	route_look_up(r, r->mxs.items[r->host++].name, SMTP_PORT, deadline_ms);
	return true;
}

static bool
route_next_addr(struct route *r, struct net_endpoint *ret)
{
	char text[46];

	if (r->addr >= r->addrs.count)
		return false;
	*ret = (struct net_endpoint){
		.kind = NET_IP, .ip = r->addrs.items[r->addr++], .port = r->port
	};
	(void)span_from_ip(&ret->ip, text);
	(void)snprintf(ret->text, sizeof(ret->text), ret->ip.family == 6 ? "[%s]:%u" : "%s:%u",
		text, (unsigned)r->port);
	return true;
}

bool
route_next(struct route *r, int64_t deadline_ms, struct net_endpoint *ret)
{
	const struct net_endpoint *e;

	for (;;) {
		if (route_next_addr(r, ret))
			return true;
		if (r->config->mx != NULL) {
			if (!route_next_mx(r, deadline_ms))
				return false;
			continue;
		}
		if (r->host >= r->config->endpoint_count)
			return false;
		e = &r->config->endpoints[r->host++];
		if (e->kind != NET_HOST) {
			*ret = *e;
			return true;
		}
		route_look_up(r, span_str(e->text), e->port, deadline_ms);
	}
}
