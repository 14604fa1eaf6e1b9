/* rt_proxy1.c - PROXY v1 lines: Y03 and Y05, each of its parts wrong by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/net/proxy.h"

static void
test_good(void **state)
{
	struct proxy_ends ends;
	char text[46];

	(void)state;
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY TCP4 192.0.2.1 203.0.113.9 40000 25"), &ends), SP_OK);
	assert_string_equal(span_from_ip(&ends.ip, text).ptr, "192.0.2.1");
	assert_int_equal(ends.port, 40000);
	assert_string_equal(span_from_ip(&ends.local_ip, text).ptr, "203.0.113.9");
	assert_int_equal(ends.local_port, 25);
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY TCP6 2001:db8::1 ::1 0 65535"), &ends), SP_OK);
	assert_string_equal(span_from_ip(&ends.ip, text).ptr, "2001:db8::1");
	assert_int_equal(ends.port, 0);
}

static void
test_y05_mapped(void **state)
{
	struct proxy_ends ends;

	(void)state;
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY TCP6 ::ffff:127.0.0.1 ::1 1 2"), &ends), SP_OK);
	assert_int_equal(ends.ip.family, 4);
	assert_int_equal(ends.ip.bytes[0], 127);
}

static void
test_unknown(void **state)
{
	struct proxy_ends ends;

	(void)state;
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY UNKNOWN"), &ends), SP_NONE);
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY UNKNOWN ffff::1 x 1 2"), &ends), SP_NONE);
	assert_int_equal(proxy1_parse(SPAN_LIT("PROXY UNKNOWNX"), &ends), SP_INVALID);
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
	struct proxy_ends ends;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (proxy1_parse(span_str(bad[i]), &ends) != SP_INVALID)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(proxy1_parse(span_of("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2", 36), &ends), SP_INVALID);
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
