/* kit_span.c - spans: cutting, comparing, and reading numbers, addresses and nets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/kit/span.h"

#define S(s) SPAN_LIT(s)

static void
test_cut(void **state)
{
	struct sp_span s = S("abc");

	(void)state;
	assert_true(span_eq(span_from(s, 1), S("bc")));
	assert_int_equal(span_from(s, 3).len, 0);
	assert_int_equal(span_from(s, 4).len, 0);
	assert_int_equal(span_from(s, SIZE_MAX).len, 0);
	assert_true(span_eq(span_head(s, 2), S("ab")));
	assert_true(span_eq(span_head(s, 9), s));
	assert_int_equal(span_str(NULL).len, 0);
	assert_true(span_eq(span_trim(S(" \t a b\t ")), S("a b")));
	assert_int_equal(span_trim(S(" \t ")).len, 0);
	assert_int_equal(span_trim(span_of(NULL, 0)).len, 0);
}

static void
test_compare(void **state)
{
	(void)state;
	assert_true(span_eq(span_of(NULL, 0), S("")));
	assert_false(span_eq(S("a"), S("A")));
	assert_true(span_ieq(S("a-Z[@"), S("A-z[@")));
	assert_false(span_ieq(S("["), S("{"))); /* letters only: these differ by the same bit */
	assert_false(span_ieq(S("\xe4"), S("\xc4")));
	assert_false(span_ieq(S("ab"), S("a")));
	assert_true(span_cmp(S("a"), S("b")) < 0);
	assert_true(span_cmp(S("ab"), S("a")) > 0);
	assert_true(span_cmp(S("\xff"), S("a")) > 0);
	assert_int_equal(span_cmp(S(""), span_of(NULL, 0)), 0);
	assert_true(span_starts(S("abc"), S("ab")));
	assert_false(span_starts(S("abc"), S("Ab")));
	assert_false(span_starts(S("a"), S("ab")));
	assert_true(span_istarts(S("ABc"), S("ab")));
	assert_true(span_iends(S("mx.EXAMPLE"), S(".example")));
	assert_false(span_iends(S("example"), S(".example")));
	assert_true(span_iends(S("x"), S("")));
}

static void
test_find(void **state)
{
	(void)state;
	assert_int_equal(span_find(S("a@b@c"), '@'), 1);
	assert_int_equal(span_rfind(S("a@b@c"), '@'), 3);
	assert_int_equal(span_find(S("abc"), '@'), 3);
	assert_int_equal(span_rfind(S("abc"), '@'), 3);
	assert_int_equal(span_find(span_of(NULL, 0), '@'), 0);
	assert_int_equal(span_rfind(S("@"), '@'), 0);
	assert_int_equal(span_find(S("a\0b"), '\0'), 1);
}

static void
test_number(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		enum sp_status st;
		uint64_t n;
	} rows[] = {
		{ "0", 0, SP_OK, 0 },
		{ "1", 0, SP_LIMIT, 0 },
		{ "255", 255, SP_OK, 255 },
		{ "256", 255, SP_LIMIT, 0 },
		{ "999", 255, SP_LIMIT, 0 },
		{ "007", 7, SP_OK, 7 },
		{ "9", 5, SP_LIMIT, 0 },
		{ "18446744073709551615", UINT64_MAX, SP_OK, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, SP_LIMIT, 0 },
		{ "99999999999999999999999", UINT64_MAX, SP_LIMIT, 0 },
		{ "", 9, SP_INVALID, 0 },
		{ "-1", 9, SP_INVALID, 0 },
		{ "+1", 9, SP_INVALID, 0 },
		{ " 1", 9, SP_INVALID, 0 },
		{ "1 ", 9, SP_INVALID, 0 },
		{ "0x1", 9, SP_INVALID, 0 },
		{ "999999999999999999999a", 9, SP_INVALID, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t n = 77;
		enum sp_status st = span_to_u64(span_str(rows[i].text), rows[i].max, &n);

		if (st != rows[i].st || n != (st == SP_OK ? rows[i].n : 77))
			fail_msg("'%s': status %d, %llu", rows[i].text, st, (unsigned long long)n);
	}
}

/* What the text reads as, written again; "" when it is refused. */
static void
test_ip(void **state)
{
	static const char *const rows[][2] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "2001:DB8::1", "2001:db8::1" },
		{ "::", "::" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "::FFFF:c000:201", "192.0.2.1" },
		{ "::192.0.2.1", "::192.0.2.1" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
		{ "256.0.0.1", "" },
		{ "192.0.2", "" },
		{ "192.0.2.1.1", "" },
		{ "192.0.02.1", "" },
		{ "192.0.2.1 ", "" },
		{ " 192.0.2.1", "" },
		{ "1::2::3", "" },
		{ "12345::", "" },
		{ "[::1]", "" },
		{ "fe80::1%eth0", "" },
		{ "", "" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sp_ip ip = { 0 };
		char text[46] = "";

		if (span_to_ip(span_str(rows[i][0]), &ip) == SP_OK)
			span_from_ip(&ip, text);
		if (strcmp(text, rows[i][1]) != 0)
			fail_msg("'%s' reads as '%s'", rows[i][0], text);
	}
	assert_int_equal(span_to_ip(S("192.0.2.1\0x"), &(struct sp_ip){ 0 }), SP_INVALID);
}

static void
test_ip_none(void **state)
{
	struct sp_ip none = { 0 }, four = { 4, { 127, 0, 0, 1 } }, six = { 6, { 127, 0, 0, 1 } };
	char text[46];

	(void)state;
	assert_true(span_eq(span_from_ip(&none, text), S("unknown")));
	assert_false(ip_eq(&four, &six));
	six.bytes[15] = 1;
	four.bytes[15] = 9; /* beyond an IPv4 address: of no account */
	assert_true(ip_eq(&four, &(struct sp_ip){ 4, { 127, 0, 0, 1 } }));
	assert_false(ip_eq(&six, &(struct sp_ip){ 6, { 127, 0, 0, 1 } }));
}

static void
test_net(void **state)
{
	static const struct {
		const char *net, *inside, *outside; /* inside null: refused */
	} rows[] = {
		{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
		{ "10.0.0.0/9", "10.127.255.255", "10.128.0.0" },
		{ "0.0.0.0/0", "255.1.2.3", "::1" },
		{ "192.0.2.1", "192.0.2.1", "192.0.2.0" },
		{ "192.0.2.1/32", "192.0.2.1", "192.0.2.2" },
		{ "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::" },
		{ "::/0", "ffff::1", "0.0.0.0" },
		{ "::1/128", "::1", "::2" },
		{ "10.0.0.1/8", NULL, NULL },
		{ "10.0.0.0/33", NULL, NULL },
		{ "::/129", NULL, NULL },
		{ "::1/127", NULL, NULL },
		{ "10.0.0.0/", NULL, NULL },
		{ "10.0.0.0/-1", NULL, NULL },
		{ "10.0.0.0/8/8", NULL, NULL },
		{ "/8", NULL, NULL },
		{ "", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sp_net net;
		struct sp_ip in, out;
		enum sp_status st = span_to_net(span_str(rows[i].net), &net);

		if ((st == SP_OK) != (rows[i].inside != NULL))
			fail_msg("%s: status %d", rows[i].net, st);
		if (st != SP_OK)
			continue;
		assert_int_equal(span_to_ip(span_str(rows[i].inside), &in), SP_OK);
		assert_int_equal(span_to_ip(span_str(rows[i].outside), &out), SP_OK);
		if (!net_has(&net, &in) || net_has(&net, &out))
			fail_msg("%s", rows[i].net);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_ip),
		cmocka_unit_test(test_ip_none),
		cmocka_unit_test(test_net),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
