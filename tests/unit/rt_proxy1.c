/* rt_proxy1.c - PROXY v1 lines: Y03 and Y05, each of its parts wrong by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/net/proxy1.h"

static void
test_good(void **state)
{
	struct sp_ip ip;
	uint16_t port;
	char text[46];

	(void)state;
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY TCP4 192.0.2.1 203.0.113.9 40000 25"), &ip, &port), SP_OK);
	assert_string_equal(span_from_ip(&ip, text).ptr, "192.0.2.1");
	assert_int_equal(port, 40000);
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY TCP6 2001:db8::1 ::1 0 65535"), &ip, &port), SP_OK);
	assert_string_equal(span_from_ip(&ip, text).ptr, "2001:db8::1");
	assert_int_equal(port, 0);
}

static void
test_y05_mapped(void **state)
{
	struct sp_ip ip;
	uint16_t port;

	(void)state;
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY TCP6 ::ffff:127.0.0.1 ::1 1 2"), &ip, &port), SP_OK);
	assert_int_equal(ip.family, 4);
	assert_int_equal(ip.bytes[0], 127);
}

static void
test_unknown(void **state)
{
	struct sp_ip ip;
	uint16_t port;

	(void)state;
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY UNKNOWN"), &ip, &port), SP_NONE);
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY UNKNOWN ffff::1 x 1 2"), &ip, &port), SP_NONE);
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY UNKNOWNX"), &ip, &port), SP_INVALID);
}

static void
test_y03_bad(void **state)
{
	static const char *const bad[] = {
		"", "PROXY", "PROXY ", "EHLO x", "proxy TCP4 192.0.2.1 192.0.2.2 1 2", "PROXY TCP5 192.0.2.1 192.0.2.2 1 2",
		"PROXY TCP4 192.0.2.1 192.0.2.2 70000 2", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2",
		"PROXY TCP4 1.2.3 192.0.2.2 1 2", "PROXY TCP4 192.0.2.1 192.0.2.2 1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3",
		"PROXY TCP4 192.0.2.1  192.0.2.2 1 2", "PROXY TCP4 2001:db8::1 ::1 1 2", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2",
		"PROXY TCP6 fe80::1%eth0 ::1 1 2", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 ", "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2",
		" PROXY TCP4 192.0.2.1 192.0.2.2 1 2", "PROXY TCP4 192.0.2.1 192.0.2.2 1 x",
	};
	struct sp_ip ip;
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (proxy1_parse(span_str(bad[i]), &ip, &port) != SP_INVALID)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(proxy1_parse(span_of("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2", 36), &ip, &port), SP_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_y05_mapped),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_y03_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
