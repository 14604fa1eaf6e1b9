/* Refused logins of each client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"
#include "proxy/session/session_priv.h"

static struct sp_ip
ip_of(const char *text)
{
	struct sp_ip ip;

	assert_int_equal(span_to_ip(span_str(text), &ip), SP_OK);
	return ip;
}

static void
test_clients(void **state)
{
	struct sp_ip a = ip_of("192.0.2.1"), b = ip_of("192.0.2.2"), net = ip_of("2001:db8::1"), same = ip_of("2001:db8:0:0:ffff::9"),
		other = ip_of("2001:db8:0:1::1");

	(void)state;
	assert_int_equal(guesses_count(&a), 0);
	guesses_note(&a);
	guesses_note(&a);
	guesses_note(&net);
	assert_int_equal(guesses_count(&a), 2);
	assert_int_equal(guesses_count(&b), 0);
	assert_int_equal(guesses_count(&same), 1);
	assert_int_equal(guesses_count(&other), 0);
}

/* However many there are: the last one is known, and so are some of those before. */
static void
test_many(void **state)
{
	unsigned known = 0;

	(void)state;
	for (unsigned n = 0; n < 100000; n++) {
		struct sp_ip ip = { .family = 4, .bytes = { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };

		guesses_note(&ip);
		assert_int_equal(guesses_count(&ip), 1);
	}
	for (unsigned n = 0; n < 100000; n++) {
		struct sp_ip ip = { .family = 4, .bytes = { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };

		known += guesses_count(&ip);
	}
	assert_in_range(known, 4000, 4096);
}

/* A machine that has run for 4 seconds has run for more than an hour by a clock that is so much faster. */
static void
test_an_hour_later(void **state)
{
	struct sp_ip ip = ip_of("203.0.113.1");

	(void)state;
	while (rt_now_ms() < 4000)
		;
	guesses_note(&ip);
	guesses_note(&ip);
	assert_int_equal(guesses_count(&ip), 2);
	rt_clock_scale(1000.);
	assert_int_equal(guesses_count(&ip), 0);
	guesses_note(&ip);
	assert_int_equal(guesses_count(&ip), 1);
	rt_clock_scale(1.);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_an_hour_later),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
