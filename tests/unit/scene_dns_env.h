/*
 * scene_dns_env.h - a fake server, the resolver that asks it, and a coroutine between them, for tests of dns.h.
 */
#ifndef TESTS_UNIT_SCENE_DNS_ENV_H
#define TESTS_UNIT_SCENE_DNS_ENV_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/kit/span.h"
#include "proxy/dns/dns.h"
#include "proxy/rt/rt.h"
#include "proxy/test/fakedns.h"

static struct fakedns *server;
static struct arena *arena;
static struct dns_config config;
static char resolvers[128];

static inline void
add(const char *name, const char *type, const char *value)
{
	assert_int_equal(fakedns_add(server, span_str(name), span_str(type), span_str(value)), SP_OK);
}

static inline size_t
asked(const char *name)
{
	return fakedns_asked(server, span_str(name));
}

static inline int64_t
soon(void)
{
	return rt_deadline(20000);
}

static inline enum sp_status
ask_a(const char *name, struct sp_addrs *ret)
{
	return dns_a(span_str(name), soon(), arena, ret);
}

static inline enum sp_status
ask_txt(const char *name, struct sp_names *ret)
{
	return dns_txt(span_str(name), soon(), arena, ret);
}

static inline void
assert_ip(const struct sp_ip *ip, const char *text)
{
	char buffer[46];
	struct sp_span got = span_from_ip(ip, buffer);

	assert_int_equal(got.len, strlen(text));
	assert_memory_equal(got.ptr, text, got.len);
}

static inline void
assert_span(struct sp_span got, const char *text)
{
	assert_int_equal(got.len, strlen(text));
	if (got.len > 0)
		assert_memory_equal(got.ptr, text, got.len);
}

/* Runs fn in a coroutine with a server and the resolver, and to the end of the loop. */
struct scene {
	void (*fn)(void);
	bool keep_dns; /* fn ends it */
};

static inline void
scene_co(void *arg)
{
	const struct scene *s = arg;

	s->fn();
	if (!s->keep_dns)
		dns_fini();
	fakedns_free(&server);
}

static inline void
scene_run(void (*fn)(void), bool keep_dns)
{
	struct scene s = { fn, keep_dns };
	uint16_t port;

	assert_int_equal(rt_init(), SP_OK);
	server = fakedns_new();
	assert_non_null(server);
	port = fakedns_start(server);
	assert_int_not_equal(port, 0);
	if (config.resolvers == NULL) {
		snprintf(resolvers, sizeof(resolvers), "127.0.0.1:%u", port);
		config.resolvers = resolvers;
	} else {
		/* "%" in it stands for the port */
		char pattern[8];
		struct sp_span p = span_str(config.resolvers);
		size_t at = span_find(p, '%');

		snprintf(pattern, sizeof(pattern), "%u", port);
		snprintf(resolvers, sizeof(resolvers), "%.*s%s%s", (int)at, p.ptr, at < p.len ? pattern : "",
			at < p.len ? p.ptr + at + 1 : "");
		config.resolvers = resolvers;
	}
	assert_int_equal(dns_init(&config), SP_OK);
	arena = arena_new(4096, 1 << 20);
	assert_non_null(arena);
	assert_int_equal(co_start(scene_co, &s, NULL), SP_OK);
	rt_run();
	assert_null(server);
	assert_int_equal(co_count(), 0);
	arena_free(&arena);
	rt_fini();
	config = (struct dns_config){ 0 };
}

static inline void
run(void (*fn)(void))
{
	scene_run(fn, false);
}

#endif
