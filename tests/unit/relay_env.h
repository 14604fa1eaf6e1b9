/*
 * relay_env.h - what the relay's tests share: a fake backend, a relay to it, and replies as one
 * line of text.
 *
 * The clock runs a hundred times too fast: a time-out of 120 s takes 1.2 s.
 */
#ifndef TESTS_UNIT_RELAY_ENV_H
#define TESTS_UNIT_RELAY_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/relay/relay.h"
#include "proxy/rt/rt.h"
#include "tests/support/backend.h"

struct env {
	struct fake_backend fake;
	struct relay_config config;
	struct relay_backend *backend;
	struct relay *relay;
	void (*fn)(struct env *);
	struct relay_message message; /* what env_send() sends besides its text */
	enum relay_outcome outcome;
	char text[512];
};

static inline int
env_set_up(void **state)
{
	(void)state;
	rt_clock_scale(100.);
	return rt_init() == SP_OK ? 0 : -1;
}

static inline int
env_tear_down(void **state)
{
	(void)state;
	assert_int_equal(co_count(), 0);
	rt_fini();
	return 0;
}

static inline const char *
env_reply(struct env *e, const struct relay_reply *reply)
{
	(void)snprintf(e->text, sizeof(e->text), "%d %s %.*s", reply->code, reply->enhanced,
		(int)reply->text.len, reply->text.len > 0 ? reply->text.ptr : "");
	return e->text;
}

static inline void
env_begin(struct env *e)
{
	struct relay_envelope envelope = { .sender = SPAN_LIT("a@example.org"), .size = -1 };

	assert_int_equal(relay_begin(e->relay, &envelope, rt_deadline(1000000)), SP_OK);
}

/* The reply as "CODE ENHANCED text". */
static inline const char *
env_rcpt(struct env *e, const char *address)
{
	struct relay_reply reply;

	relay_rcpt(e->relay, span_str(address), span_of(NULL, 0), &reply);
	return env_reply(e, &reply);
}

static inline const char *
env_send(struct env *e, const char *text)
{
	struct relay_reply reply;

	e->message.head = span_str(text);
	if (e->message.reply_deadline_ms == 0)
		e->message.reply_deadline_ms = rt_deadline(590000);
	e->outcome = relay_send(e->relay, &e->message, &reply);
	return env_reply(e, &reply);
}

static inline void
env_main(void *arg)
{
	struct env *e = arg;

	e->backend = relay_backend_new(&e->config);
	assert_non_null(e->backend);
	e->relay = relay_new(e->backend);
	assert_non_null(e->relay);
	e->fn(e);
	relay_free(&e->relay);
	relay_backend_free(&e->backend);
	fake_stop(&e->fake);
}

/* A configuration with the fake as its one address, the default time-outs, and no pool. */
static inline void
env_init(struct env *e, const struct fake_profile *profiles, size_t count)
{
	*e = (struct env){ .relay = NULL };
	assert_true(fake_start(&e->fake, profiles, count));
	e->config = (struct relay_config){ .name = "fake",
		.helo = "gate.example",
		.endpoints = &e->fake.endpoint,
		.endpoint_count = 1,
		.pool_idle_ms = 30000,
		.timeouts = relay_timeouts_default };
}

static inline void
env_run(struct env *e, void (*fn)(struct env *))
{
	e->fn = fn;
	assert_int_equal(co_start(env_main, e, NULL), SP_OK);
	rt_run();
	fake_fini(&e->fake);
}

static inline void
env_try(const struct fake_profile *profile, void (*fn)(struct env *))
{
	struct env e;

	env_init(&e, profile, 1);
	env_run(&e, fn);
}

#endif
