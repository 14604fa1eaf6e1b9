/*
 * scene_dns.c - dns.h against the fake server, over real sockets: each type, each way to fail, merging,
 * deadlines, cancelling, the cache.
 */
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

static void
add(const char *name, const char *type, const char *value)
{
	assert_int_equal(fakedns_add(server, span_str(name), span_str(type), span_str(value)), SP_OK);
}

static size_t
asked(const char *name)
{
	return fakedns_asked(server, span_str(name));
}

static int64_t
soon(void)
{
	return rt_deadline(20000);
}

static enum sp_status
ask_a(const char *name, struct sp_addrs *ret)
{
	return dns_a(span_str(name), soon(), arena, ret);
}

static enum sp_status
ask_txt(const char *name, struct sp_names *ret)
{
	return dns_txt(span_str(name), soon(), arena, ret);
}

static void
assert_ip(const struct sp_ip *ip, const char *text)
{
	char buffer[46];
	struct sp_span got = span_from_ip(ip, buffer);

	assert_int_equal(got.len, strlen(text));
	assert_memory_equal(got.ptr, text, got.len);
}

static void
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

static void
scene_co(void *arg)
{
	const struct scene *s = arg;

	s->fn();
	if (!s->keep_dns)
		dns_fini();
	fakedns_free(&server);
}

static void
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

static void
run(void (*fn)(void))
{
	scene_run(fn, false);
}

/* ---- types --------------------------------------------------------------------------------------- */

static void
types(void)
{
	struct sp_addrs addrs;
	struct sp_names names;
	struct sp_mxs mxs;
	struct sp_ip ip = { 4, { 192, 0, 2, 7 } }, ip6;

	add("a.test", "A", "192.0.2.1");
	add("a.test", "A", "192.0.2.2");
	add("a.test", "AAAA", "2001:db8::1");
	add("txt.test", "TXT", "v=spf1 -all");
	add("txt.test", "TXT", "");
	add("mx.test", "MX", "20 b.mx.test");
	add("mx.test", "MX", "10 a.mx.test");
	add("null.test", "MX", "0 .");
	add("192.0.2.7", "PTR", "Host.Test");
	add("2001:db8::7", "PTR", "six.test");

	assert_int_equal(ask_a("A.Test.", &addrs), SP_OK);
	assert_int_equal(addrs.count, 2);
	assert_ip(&addrs.items[0], "192.0.2.1");
	assert_ip(&addrs.items[1], "192.0.2.2");
	assert_int_equal(dns_aaaa(SPAN_LIT("a.test"), soon(), arena, &addrs), SP_OK);
	assert_int_equal(addrs.count, 1);
	assert_ip(&addrs.items[0], "2001:db8::1");
	assert_int_equal(dns_addrs(SPAN_LIT("a.test"), soon(), arena, &addrs), SP_OK);
	assert_int_equal(addrs.count, 3);
	assert_int_equal(asked("a.test"), 2);

	assert_int_equal(ask_txt("txt.test", &names), SP_OK);
	assert_int_equal(names.count, 2);
	assert_span(names.items[0], "v=spf1 -all");
	assert_span(names.items[1], "");
	assert_int_equal(dns_mx(SPAN_LIT("mx.test"), soon(), arena, &mxs), SP_OK);
	assert_int_equal(mxs.count, 2);
	assert_int_equal(mxs.items[0].preference, 10);
	assert_span(mxs.items[0].name, "a.mx.test");
	assert_span(mxs.items[1].name, "b.mx.test");
	assert_int_equal(dns_mx(SPAN_LIT("null.test"), soon(), arena, &mxs), SP_OK);
	assert_int_equal(mxs.count, 1);
	assert_span(mxs.items[0].name, "");

	assert_int_equal(dns_ptr(&ip, soon(), arena, &names), SP_OK);
	assert_span(names.items[0], "host.test");
	assert_int_equal(span_to_ip(SPAN_LIT("2001:db8::7"), &ip6), SP_OK);
	assert_int_equal(dns_ptr(&ip6, soon(), arena, &names), SP_OK);
	assert_span(names.items[0], "six.test");
	ip.family = 0;
	assert_int_equal(dns_ptr(&ip, soon(), arena, &names), SP_INVALID);
}

static void
test_types(void **state)
{
	(void)state;
	run(types);
}

static void
families(void)
{
	struct sp_addrs addrs;

	add("four.test", "A", "192.0.2.1");
	add("six.test", "AAAA", "2001:db8::1");
	add("mapped.test", "CNAME", "six.test");
	add("none.test", "TXT", "x");
	assert_int_equal(dns_addrs(SPAN_LIT("four.test"), soon(), arena, &addrs), SP_OK);
	assert_int_equal(addrs.count, 1);
	assert_int_equal(dns_addrs(SPAN_LIT("mapped.test"), soon(), arena, &addrs), SP_OK);
	assert_int_equal(addrs.count, 1);
	assert_ip(&addrs.items[0], "2001:db8::1");
	assert_int_equal(dns_addrs(SPAN_LIT("none.test"), soon(), arena, &addrs), SP_NONE);
	assert_int_equal(dns_addrs(SPAN_LIT("nowhere.test"), soon(), arena, &addrs), SP_NONE);
	assert_int_equal(fakedns_fail(server, SPAN_LIT("bad.test"), FAKEDNS_SERVFAIL), SP_OK);
	assert_int_equal(dns_addrs(SPAN_LIT("bad.test"), soon(), arena, &addrs), SP_TEMPFAIL);
}

static void
test_families(void **state)
{
	(void)state;
	run(families);
}

static void
cnames(void)
{
	struct sp_addrs addrs;
	struct sp_names names;

	add("www.test", "CNAME", "b.test");
	add("b.test", "CNAME", "c.test");
	add("c.test", "A", "192.0.2.3");
	add("loop.test", "CNAME", "pool.test");
	add("pool.test", "CNAME", "loop.test");
	add("dangling.test", "CNAME", "nowhere.test");
	assert_int_equal(ask_a("www.test", &addrs), SP_OK);
	assert_int_equal(addrs.count, 1);
	assert_ip(&addrs.items[0], "192.0.2.3");
	assert_int_equal(ask_txt("www.test", &names), SP_NONE);
	assert_int_equal(ask_a("loop.test", &addrs), SP_TEMPFAIL);
	assert_int_equal(ask_a("dangling.test", &addrs), SP_NONE);
}

static void
test_cnames(void **state)
{
	(void)state;
	run(cnames);
}

static void
octets(void)
{
	struct sp_names names;
	char big[700];

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)i;
	assert_int_equal(fakedns_add(server, SPAN_LIT("big.test"), SPAN_LIT("txt"), span_of(big, sizeof(big))),
		SP_OK);
	assert_int_equal(ask_txt("big.test", &names), SP_OK);
	assert_int_equal(names.count, 1);
	assert_int_equal(names.items[0].len, sizeof(big));
	assert_memory_equal(names.items[0].ptr, big, sizeof(big));
}

static void
test_octets(void **state)
{
	(void)state;
	run(octets);
}

static void
refused_names(void)
{
	static const char *const bad[] = { "", ".", "..", ".a", "a..b", "a b", "a\tb", "a\\.b", "a\x80.b",
		"\x7f", "a\r\n.b" };
	struct sp_addrs addrs;
	char label[66], name[260];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ask_a(bad[i], &addrs), SP_INVALID);
	assert_int_equal(dns_a(span_of("a\0b", 3), soon(), arena, &addrs), SP_INVALID);
	memset(label, 'a', sizeof(label));
	label[64] = '\0';
	assert_int_equal(ask_a(label, &addrs), SP_INVALID);
	label[63] = '\0';
	assert_int_equal(ask_a(label, &addrs), SP_NONE);
	/* 253 is the longest, with a trailing dot as well */
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	assert_int_equal(dns_a(span_of(name, 253), soon(), arena, &addrs), SP_NONE);
	assert_int_equal(dns_a(span_of(name, 254), soon(), arena, &addrs), SP_INVALID);
	assert_int_equal(fakedns_asked(server, SPAN_LIT("*")), 2);
}

static void
test_refused_names(void **state)
{
	(void)state;
	run(refused_names);
}

/* ---- failures ------------------------------------------------------------------------------------- */

static void
failures(void)
{
	struct sp_addrs addrs;

	add("x.test", "A", "192.0.2.1");
	fakedns_fail(server, SPAN_LIT("servfail.test"), FAKEDNS_SERVFAIL);
	fakedns_fail(server, SPAN_LIT("refused.test"), FAKEDNS_REFUSED);
	fakedns_fail(server, SPAN_LIT("garbage.test"), FAKEDNS_GARBAGE);
	fakedns_fail(server, SPAN_LIT("silent.test"), FAKEDNS_TIMEOUT);
	fakedns_fail(server, SPAN_LIT("nodata.test"), FAKEDNS_NODATA);
	fakedns_fail(server, SPAN_LIT("nx.test"), FAKEDNS_NXDOMAIN);
	assert_int_equal(ask_a("servfail.test", &addrs), SP_TEMPFAIL);
	assert_int_equal(ask_a("refused.test", &addrs), SP_TEMPFAIL);
	assert_int_equal(ask_a("garbage.test", &addrs), SP_TEMPFAIL);
	assert_int_equal(ask_a("nodata.test", &addrs), SP_NONE);
	assert_int_equal(ask_a("nx.test", &addrs), SP_NONE);
	assert_int_equal(ask_a("silent.test", &addrs), SP_TIMEOUT);
	assert_int_equal(asked("silent.test"), 3); /* tries */
	assert_int_equal(dns_stats().failed, 4);
	/* an answered failure is not asked again at once, nor is silence */
	assert_int_equal(ask_a("servfail.test", &addrs), SP_TEMPFAIL);
	assert_int_equal(asked("servfail.test"), 1);
	assert_int_equal(ask_a("silent.test", &addrs), SP_TIMEOUT);
	assert_int_equal(asked("silent.test"), 3);
}

static void
test_failures(void **state)
{
	(void)state;
	config.timeout_ms = 300;
	config.tries = 3;
	run(failures);
}

static void
deadline(void)
{
	struct sp_addrs addrs;
	int64_t start = rt_now_ms();

	fakedns_fail(server, SPAN_LIT("silent.test"), FAKEDNS_TIMEOUT);
	assert_int_equal(dns_a(SPAN_LIT("silent.test"), rt_deadline(80), arena, &addrs), SP_TIMEOUT);
	assert_true(rt_now_ms() - start >= 80);
	assert_true(rt_now_ms() - start < 2000);
	assert_int_equal(dns_a(SPAN_LIT("silent.test"), rt_now_ms(), arena, &addrs), SP_TIMEOUT);
	add("known.test", "A", "192.0.2.1");
	assert_int_equal(ask_a("known.test", &addrs), SP_OK);
	/* what is known needs no time */
	assert_int_equal(dns_a(SPAN_LIT("known.test"), rt_now_ms(), arena, &addrs), SP_OK);
}

static void
test_deadline(void **state)
{
	(void)state;
	run(deadline);
}

static void
dead_server(void)
{
	struct sp_addrs addrs;

	add("x.test", "A", "192.0.2.1");
	assert_int_equal(ask_a("x.test", &addrs), SP_OK);
}

/* Nobody listens on the first: the second is asked at once. */
static void
test_second_server(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char pattern[64];

	(void)state;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	/* bound, but it never answers: the first try runs into its time */
	snprintf(pattern, sizeof(pattern), "127.0.0.1:%u,127.0.0.1:%%", ntohs(sin.sin_port));
	config.resolvers = pattern;
	config.timeout_ms = 60;
	run(dead_server);
	/* not bound any more: refused */
	close(fd);
	snprintf(pattern, sizeof(pattern), "127.0.0.1:%u,127.0.0.1:%%", ntohs(sin.sin_port));
	config.resolvers = pattern;
	config.timeout_ms = 15000;
	run(dead_server);
}

static void
test_bad_resolvers(void **state)
{
	static const char *const bad[] = { "", "nonsense", "127.0.0.1:53,what", "127.0.0.1:53:53",
		"127.0.0.1,", ",127.0.0.1", "unix:/x", "*:53", "host.test:53", "127.0.0.1:0x35", "127.0.0.1:0" };

	(void)state;
	assert_int_equal(rt_init(), SP_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct dns_config c = { .resolvers = bad[i] };

		assert_int_equal(dns_init(&c), SP_INVALID);
		dns_fini();
	}
	assert_int_equal(dns_init(&(struct dns_config){ .resolvers = NULL }), SP_OK);
	dns_fini();
	dns_fini();
	rt_fini();
}

static void
no_edns(void)
{
	struct sp_addrs addrs;

	add("old.test", "A", "192.0.2.1");
	fakedns_fail(server, SPAN_LIT("old.test"), FAKEDNS_NOEDNS);
	assert_int_equal(ask_a("old.test", &addrs), SP_OK);
	assert_int_equal(asked("old.test"), 2);
}

static void
test_no_edns(void **state)
{
	(void)state;
	run(no_edns);
}

/* ---- TCP -------------------------------------------------------------------------------------------- */

static void
truncated(void)
{
	struct sp_addrs addrs;
	struct sp_names names;
	static char huge[20000];

	add("cut.test", "A", "192.0.2.1");
	fakedns_fail(server, SPAN_LIT("cut.test"), FAKEDNS_TRUNCATED);
	assert_int_equal(ask_a("cut.test", &addrs), SP_OK);
	assert_int_equal(addrs.count, 1);
	assert_int_equal(fakedns_asked_tcp(server), 1);
	/* larger than what UDP takes */
	memset(huge, 'h', sizeof(huge));
	assert_int_equal(
		fakedns_add(server, SPAN_LIT("huge.test"), SPAN_LIT("TXT"), span_of(huge, sizeof(huge))), SP_OK);
	assert_int_equal(ask_txt("huge.test", &names), SP_OK);
	assert_int_equal(names.items[0].len, sizeof(huge));
	assert_int_equal(fakedns_asked_tcp(server), 2);
	/* and one that never comes over TCP */
	fakedns_fail(server, SPAN_LIT("slow.test"), FAKEDNS_TRUNCATED);
	fakedns_delay(server, SPAN_LIT("slow.test"), 600);
	assert_int_equal(dns_a(SPAN_LIT("slow.test"), rt_deadline(1000), arena, &addrs), SP_TIMEOUT);
	assert_int_equal(fakedns_asked_tcp(server), 3);
}

static void
test_truncated(void **state)
{
	(void)state;
	run(truncated);
}

/* ---- merging ------------------------------------------------------------------------------------------ */

struct asker {
	const char *name;
	int64_t ms;
	enum sp_status st;
	size_t count;
	bool done;
};

static size_t askers_left;

static void
asker_co(void *arg)
{
	struct asker *k = arg;
	struct arena *own = arena_new(512, 65536);
	struct sp_addrs addrs = { NULL, 0 };

	k->st = dns_a(span_str(k->name), rt_deadline(k->ms), own, &addrs);
	k->count = addrs.count;
	k->done = true;
	askers_left--;
	arena_free(&own);
}

static struct co *
asker_start(struct asker *k)
{
	struct co *co;

	askers_left++;
	assert_int_equal(co_start(asker_co, k, &co), SP_OK);
	return co;
}

static void
askers_wait(void)
{
	while (askers_left > 0)
		co_sleep(5);
}

static void
merged(void)
{
	struct asker many[50], hasty = { .name = "late.test", .ms = 40 };
	struct dns_stats stats;

	add("late.test", "A", "192.0.2.1");
	fakedns_delay(server, SPAN_LIT("late.test"), 400);
	/* the first asks, and goes before the answer comes */
	asker_start(&hasty);
	for (size_t i = 0; i < 50; i++) {
		many[i] = (struct asker){ .name = "Late.TEST", .ms = 20000 };
		asker_start(&many[i]);
	}
	askers_wait();
	assert_int_equal(hasty.st, SP_TIMEOUT);
	for (size_t i = 0; i < 50; i++) {
		assert_int_equal(many[i].st, SP_OK);
		assert_int_equal(many[i].count, 1);
	}
	assert_int_equal(asked("late.test"), 1);
	stats = dns_stats();
	assert_int_equal(stats.questions, 51);
	assert_int_equal(stats.merged, 50);
	assert_int_equal(stats.sent, 1);
	assert_int_equal(stats.entries, 1);
}

static void
test_merged(void **state)
{
	(void)state;
	run(merged);
}

/* Who began the question leaves; the others drive its further tries. */
static void
driven(void)
{
	struct asker first = { .name = "silent.test", .ms = 20000 }, second = first;
	struct co *co;

	fakedns_fail(server, SPAN_LIT("silent.test"), FAKEDNS_TIMEOUT);
	co = asker_start(&first);
	asker_start(&second);
	co_sleep(20);
	co_cancel(co);
	askers_wait();
	assert_int_equal(first.st, SP_CANCELED);
	assert_int_equal(second.st, SP_TIMEOUT);
	assert_int_equal(asked("silent.test"), 2);
}

static void
test_driven(void **state)
{
	(void)state;
	config.timeout_ms = 80;
	config.tries = 2;
	run(driven);
}

/* When the last has left, the question is gone: the late answer finds nobody, the next one asks anew. */
static void
abandoned(void)
{
	struct sp_addrs addrs;

	add("late.test", "A", "192.0.2.1");
	fakedns_delay(server, SPAN_LIT("late.test"), 250);
	assert_int_equal(dns_a(SPAN_LIT("late.test"), rt_deadline(20), arena, &addrs), SP_TIMEOUT);
	co_sleep(300);
	assert_int_equal(dns_stats().entries, 0);
	assert_int_equal(ask_a("late.test", &addrs), SP_OK);
	assert_int_equal(asked("late.test"), 2);
}

static void
test_abandoned(void **state)
{
	(void)state;
	run(abandoned);
}

static void
fini_in_flight(void)
{
	struct asker a = { .name = "silent.test", .ms = 20000 }, b = a, c = { .name = "cut.test", .ms = 20000 };

	fakedns_fail(server, SPAN_LIT("silent.test"), FAKEDNS_TIMEOUT);
	fakedns_fail(server, SPAN_LIT("cut.test"), FAKEDNS_TRUNCATED);
	fakedns_delay(server, SPAN_LIT("cut.test"), 200);
	asker_start(&a);
	asker_start(&b);
	asker_start(&c);
	while (fakedns_asked_tcp(server) == 0)
		co_sleep(5);
	dns_fini();
	askers_wait();
	assert_int_equal(a.st, SP_CANCELED);
	assert_int_equal(b.st, SP_CANCELED);
	assert_int_equal(c.st, SP_CANCELED);
}

static void
test_fini_in_flight(void **state)
{
	(void)state;
	scene_run(fini_in_flight, true);
}

/* ---- the cache ------------------------------------------------------------------------------------------ */

static void
cached(void)
{
	struct sp_addrs addrs;

	fakedns_ttl(server, 1);
	add("a.test", "A", "192.0.2.1");
	assert_int_equal(ask_a("a.test", &addrs), SP_OK);
	assert_int_equal(ask_a("A.TEST", &addrs), SP_OK);
	assert_int_equal(ask_a("none.test", &addrs), SP_NONE);
	assert_int_equal(ask_a("none.test", &addrs), SP_NONE);
	assert_int_equal(asked("a.test"), 1);
	assert_int_equal(asked("none.test"), 1);
	assert_int_equal(dns_stats().hits, 2);
	co_sleep(1100);
	assert_int_equal(ask_a("a.test", &addrs), SP_OK);
	assert_int_equal(ask_a("none.test", &addrs), SP_NONE);
	assert_int_equal(asked("a.test"), 2);
	assert_int_equal(asked("none.test"), 2);
	/* TTL 0 is for those who wait, and no longer */
	fakedns_ttl(server, 0);
	add("zero.test", "A", "192.0.2.1");
	assert_int_equal(ask_a("zero.test", &addrs), SP_OK);
	assert_int_equal(ask_a("zero.test", &addrs), SP_OK);
	assert_int_equal(asked("zero.test"), 2);
	assert_int_equal(dns_stats().entries, 2);
}

static void
test_cached(void **state)
{
	(void)state;
	run(cached);
}

static void
bounded(void)
{
	struct sp_addrs addrs;
	char name[32];

	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		add(name, "A", "192.0.2.1");
		assert_int_equal(ask_a(name, &addrs), SP_OK);
		/* the first is used again and again, and stays */
		assert_int_equal(ask_a("n0.test", &addrs), SP_OK);
		assert_true(dns_stats().entries <= 4);
	}
	assert_int_equal(asked("n0.test"), 1);
	assert_int_equal(ask_a("n5.test", &addrs), SP_OK);
	assert_int_equal(asked("n5.test"), 1);
	assert_int_equal(ask_a("n1.test", &addrs), SP_OK);
	assert_int_equal(asked("n1.test"), 2);
}

static void
test_bounded(void **state)
{
	(void)state;
	config.cache_entries = 4;
	run(bounded);
}

static void
bounded_octets(void)
{
	struct sp_names names;
	static char big[3000];
	char name[32];

	memset(big, 'x', sizeof(big));
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		assert_int_equal(
			fakedns_add(server, span_str(name), SPAN_LIT("TXT"), span_of(big, sizeof(big))), SP_OK);
		assert_int_equal(ask_txt(name, &names), SP_OK);
	}
	/* four entries' worth of octets hold but one of these */
	assert_int_equal(dns_stats().entries, 1);
}

static void
test_bounded_octets(void **state)
{
	(void)state;
	config.cache_entries = 4;
	run(bounded_octets);
}

static void
small_arena(void)
{
	struct arena *tiny = arena_new(16, 16);
	struct sp_addrs addrs;
	struct sp_names names;
	struct sp_mxs mxs;

	add("x.test", "A", "192.0.2.1");
	add("x.test", "TXT", "twenty octets of text");
	add("x.test", "MX", "10 mx.x.test");
	assert_int_equal(dns_a(SPAN_LIT("x.test"), soon(), tiny, &addrs), SP_LIMIT);
	assert_int_equal(dns_txt(SPAN_LIT("x.test"), soon(), tiny, &names), SP_LIMIT);
	assert_int_equal(dns_mx(SPAN_LIT("x.test"), soon(), tiny, &mxs), SP_LIMIT);
	arena_free(&tiny);
}

static void
test_small_arena(void **state)
{
	(void)state;
	run(small_arena);
}

/* Equal preferences come in every order, unequal ones never. */
static void
mx_order(void)
{
	struct sp_mxs mxs;
	int first_seen[3] = { 0 };

	add("m.test", "MX", "20 c.test");
	add("m.test", "MX", "10 x0.test");
	add("m.test", "MX", "10 x1.test");
	add("m.test", "MX", "10 x2.test");
	for (int i = 0; i < 200; i++) {
		assert_int_equal(dns_mx(SPAN_LIT("m.test"), soon(), arena, &mxs), SP_OK);
		assert_int_equal(mxs.count, 4);
		assert_span(mxs.items[3].name, "c.test");
		first_seen[mxs.items[0].name.ptr[1] - '0']++;
	}
	for (int i = 0; i < 3; i++)
		assert_true(first_seen[i] > 20);
}

static void
test_mx_order(void **state)
{
	(void)state;
	run(mx_order);
}

/* A resolver of our own that only looks at where questions come from. */
static int listener;

static void
ports(void)
{
	struct asker a = { .name = "a.test", .ms = 390 }, b = { .name = "b.test", .ms = 390 };
	struct sockaddr_in from[4];
	char query[4][600];

	asker_start(&a);
	asker_start(&b);
	askers_wait();
	/* two of each, the tries of one question as unlike as two questions */
	for (int i = 0; i < 4; i++) {
		socklen_t len = sizeof(from[i]);

		assert_true(recvfrom(listener, query[i], sizeof(query[i]), MSG_DONTWAIT,
				    (struct sockaddr *)&from[i], &len)
			    > 12);
	}
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < i; j++)
			assert_int_not_equal(from[i].sin_port, from[j].sin_port);
	assert_true(memcmp(query[0], query[1], 2) != 0 || memcmp(query[1], query[2], 2) != 0);
}

static void
test_ports(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	char text[64];

	(void)state;
	listener = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(sin.sin_port));
	config.resolvers = text;
	config.timeout_ms = 200;
	run(ports);
	close(listener);
}

static void
burst(void)
{
	static struct asker many[300];
	static char names[300][16];

	for (size_t i = 0; i < 300; i++) {
		snprintf(names[i], sizeof(names[i]), "b%zu.test", i);
		add(names[i], "A", "192.0.2.1");
		many[i] = (struct asker){ .name = names[i], .ms = 20000 };
		asker_start(&many[i]);
	}
	askers_wait();
	for (size_t i = 0; i < 300; i++)
		assert_int_equal(many[i].st, SP_OK);
	assert_int_equal(dns_stats().entries, 300);
}

static void
test_burst(void **state)
{
	(void)state;
	run(burst);
}

static void
test_kinds(void **state)
{
	enum fakedns_kind kind;

	(void)state;
	assert_int_equal(fakedns_kind_parse(SPAN_LIT("ServFail"), &kind), SP_OK);
	assert_int_equal(kind, FAKEDNS_SERVFAIL);
	assert_int_equal(fakedns_kind_parse(SPAN_LIT("servfai"), &kind), SP_INVALID);
}

static void
zone_refuses(void)
{
	static const char *const bad[][3] = { { "a b", "A", "192.0.2.1" }, { "a", "A", "2001:db8::1" },
		{ "a", "AAAA", "192.0.2.1" }, { "a", "SRV", "x" }, { "a", "MX", "mx.test" },
		{ "a", "MX", "65536 mx.test" }, { "a", "MX", "10 a..b" }, { "a", "CNAME", "." } };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			fakedns_add(server, span_str(bad[i][0]), span_str(bad[i][1]), span_str(bad[i][2])),
			SP_INVALID);
}

static void
test_zone_refuses(void **state)
{
	(void)state;
	run(zone_refuses);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_cnames),
		cmocka_unit_test(test_octets),
		cmocka_unit_test(test_refused_names),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_second_server),
		cmocka_unit_test(test_bad_resolvers),
		cmocka_unit_test(test_no_edns),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_merged),
		cmocka_unit_test(test_driven),
		cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_fini_in_flight),
		cmocka_unit_test(test_cached),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_bounded_octets),
		cmocka_unit_test(test_small_arena),
		cmocka_unit_test(test_mx_order),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_zone_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
