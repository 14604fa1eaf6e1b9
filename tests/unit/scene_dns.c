/*
 * scene_dns.c - dns.h against the fake server, over real sockets: each type, each way to fail, deadlines, TCP.
 */
#include "scene_dns_env.h"

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
	static const char *const bad[] = { "", ".", "..", ".a", "a..b", "a\tb", "a\\.b", "a\x80.b",
		"\x7f", "a\r\n.b" };
	struct sp_addrs addrs;
	char label[66], name[260];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ask_a(bad[i], &addrs), SP_INVALID);
	assert_int_equal(dns_a(span_of("a\0b", 3), soon(), arena, &addrs), SP_INVALID);
	assert_int_equal(ask_a("a b", &addrs), SP_NONE);
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
	assert_int_equal(fakedns_asked(server, SPAN_LIT("*")), 3);
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

/* ---- the fake server itself ----------------------------------------------------------------------------- */

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
	static const char *const bad[][3] = { { "a\tb", "A", "192.0.2.1" }, { "a", "A", "2001:db8::1" },
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
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_zone_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
