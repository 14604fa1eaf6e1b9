/* gateway_crowd.c - one IPv4 address or one IPv6 /64 is one client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/master/crowd.h"

static struct sp_ip
ip(const char *text)
{
	struct sp_ip out;

	assert_int_equal(span_to_ip(span_str(text), &out), SP_OK);
	return out;
}

static void
test_counts(void **state)
{
	struct crowd *c = crowd_new();
	struct sp_ip a = ip("192.0.2.1"), b = ip("192.0.2.2");

	(void)state;
	assert_int_equal(crowd_enter(c, &a), 1);
	assert_int_equal(crowd_enter(c, &a), 2);
	assert_int_equal(crowd_enter(c, &b), 1);
	crowd_leave(c, &a);
	assert_int_equal(crowd_enter(c, &a), 2);
	crowd_leave(c, &a);
	crowd_leave(c, &a);
	crowd_leave(c, &a); /* nobody is left: no effect */
	assert_int_equal(crowd_enter(c, &a), 1);
	crowd_free(&c);
	assert_null(c);
	crowd_free(&c);
}

static void
test_v6_by_64(void **state)
{
	struct crowd *c = crowd_new();
	struct sp_ip a = ip("2001:db8:0:1::1"), same = ip("2001:db8:0:1:ffff::9"), other = ip("2001:db8:0:2::1");

	(void)state;
	assert_int_equal(crowd_enter(c, &a), 1);
	assert_int_equal(crowd_enter(c, &same), 2);
	assert_int_equal(crowd_enter(c, &other), 1);
	crowd_free(&c);
}

static void
test_many(void **state)
{
	struct crowd *c = crowd_new();

	(void)state;
	for (int round = 1; round <= 2; round++)
		for (uint32_t i = 0; i < 50000; i++) {
			struct sp_ip one = { .family = 4, .bytes = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };

			assert_int_equal(crowd_enter(c, &one), round);
		}
	crowd_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_v6_by_64),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
