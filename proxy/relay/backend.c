/*
 * backend.c - one backend of one worker: its configuration, what it offers, its idle connections.
 *
 * The pool is a stack: the connection used last is the least likely to have been timed out, and
 * those that are not needed grow old at its bottom.  The configuration is copied into the backend's
 * own arena.
 */
#include "proxy/relay/relay_priv.h"

#include <stdlib.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

enum {
	BACKEND_ARENA = 1048576,
	BACKEND_ENDPOINTS = 1024,
	PROBE_HOLD_MS = 5000, /* no second probe so soon after one that failed */
	PROBE_MS = 60000
};

const struct relay_timeouts relay_timeouts_default = {
	.connect = 10000,
	.banner = 60000,
	.ehlo = 60000,
	.mail = 120000,
	.rcpt = 120000,
	.data = 60000,
	.block = 180000,
	.dot = 590000,
	.quit = 5000,
};

static const char *
backend_text(struct relay_backend *b, const char *text)
{
	return text != NULL ? arena_strdup(b->arena, span_str(text)) : NULL;
}

static bool
backend_configure(struct relay_backend *b, const struct relay_config *c)
{
	struct net_endpoint *endpoints;

	b->config = *c;
	b->config.name = backend_text(b, c->name);
	b->config.helo = backend_text(b, c->helo);
	b->config.mx = backend_text(b, c->mx);
	b->config.sink = backend_text(b, c->sink);
	if (c->endpoint_count > BACKEND_ENDPOINTS)
		return false;
	endpoints = arena_alloc(b->arena, c->endpoint_count * sizeof(*endpoints));
	if (endpoints == NULL)
		return false;
	if (c->endpoint_count > 0)
		memcpy(endpoints, c->endpoints, c->endpoint_count * sizeof(*endpoints));
	b->config.endpoints = endpoints;
	return (b->config.name != NULL || c->name == NULL) &&
	       (b->config.helo != NULL || c->helo == NULL) &&
	       (b->config.mx != NULL || c->mx == NULL) &&
	       (b->config.sink != NULL || c->sink == NULL);
}

struct relay_backend *
relay_backend_new(const struct relay_config *c)
{
	struct relay_backend *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->arena = arena_new(4096, BACKEND_ARENA);
	if (b->arena == NULL || !backend_configure(b, c)) {
		arena_free(&b->arena);
		free(b);
		return NULL;
	}
	if (b->config.helo == NULL)
		b->config.helo = "localhost";
	if (b->config.sink != NULL)
		b->offer = (struct relay_offer){ .known = true,
			.extensions = EXT_BIT(EXT_PIPELINING) | EXT_BIT(EXT_8BITMIME) | EXT_BIT(EXT_ENHANCED) | EXT_BIT(EXT_SIZE) };
	return b;
}

void
relay_backend_free(struct relay_backend **b)
{
	struct conn *c;

	if (*b == NULL)
		return;
	MUST((*b)->relays == 0);
	while ((c = (*b)->idle) != NULL) {
		(*b)->idle = c->next;
		conn_quit(&c);
	}
	conn_quit(&(*b)->given);
	arena_free(&(*b)->arena);
	free(*b);
	*b = NULL;
}

void
relay_backend_sweep(struct relay_backend *b)
{
	struct conn **at = &b->idle, *c;
	int64_t now = rt_now_ms();

	while ((c = *at) != NULL) {
		if (now - c->idle_ms <= b->config.pool_idle_ms) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		b->idle_count--;
		conn_quit(&c);
	}
}

struct conn *
backend_take(struct relay_backend *b)
{
	struct conn *c;

	while ((c = b->idle) != NULL) {
		b->idle = c->next;
		b->idle_count--;
		if (rt_now_ms() - c->idle_ms > b->config.pool_idle_ms)
			conn_quit(&c);
		else if (conn_stirred(c))
			conn_free(&c); /* its goodbye, or it has gone */
		else
			return c;
	}
	return NULL;
}

void
backend_give(struct relay_backend *b, struct conn **c)
{
	if (b->idle_count >= b->config.pool) {
		conn_quit(c);
		return;
	}
	(*c)->idle_ms = rt_now_ms();
	(*c)->next = b->idle;
	b->idle = *c;
	b->idle_count++;
	*c = NULL;
}

struct relay_offer
relay_backend_offer(const struct relay_backend *b)
{
	return b->offer;
}

struct sp_span
relay_backend_banner(const struct relay_backend *b)
{
	return span_str(b->banner);
}

void
relay_backend_probe(struct relay_backend *b, int64_t max_age_ms)
{
	int64_t deadline = rt_deadline(PROBE_MS), began = rt_now_ms();
	enum relay_fault fault;
	struct answer why;
	struct conn *c = NULL;

	if (b->config.sink != NULL || b->config.maintenance || rt_now_ms() < b->quiet_until)
		return;
	if (b->offer.known && !b->spared && rt_now_ms() - b->asked_ms < max_age_ms)
		return;
	if (b->probing)
		return;
	b->probing = true;
	answer_init(&why);
	fault = backend_open(&(struct opening){ b, NULL, deadline, &why }, &c);
	if (fault == FAULT_NONE)
		health_probed(b, rt_now_ms() - began);
	else
		health_failed(b, fault);
	if (fault != FAULT_NONE)
		b->quiet_until = rt_deadline(PROBE_HOLD_MS);
	else if (introduce_binds(&b->config))
		conn_quit(&c);
	else
		backend_give(b, &c);
	answer_fini(&why);
	b->probing = false;
	rt_event_wake_all(&b->probed);
}

void
relay_backend_await(struct relay_backend *b, int64_t deadline_ms)
{
	while (!b->offer.known && b->probing)
		if (rt_event_wait(&b->probed, deadline_ms) != SP_OK)
			return;
}
