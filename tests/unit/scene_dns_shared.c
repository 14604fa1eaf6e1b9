/*
 * scene_dns_shared.c - dns.h against the fake server: what questions share with each other, in flight and in the cache.
 */
#include "scene_dns_env.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
