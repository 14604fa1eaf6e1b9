/* smtp_xclient.c - the attributes of XCLIENT in and out: X02. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/smtp/xclient.h"

static void
test_offer(void **state)
{
	(void)state;
	assert_int_equal(xclient_offer(SPAN_LIT("NAME ADDR")), XCLIENT_BIT(XCLIENT_NAME) | XCLIENT_BIT(XCLIENT_ADDR));
	assert_int_equal(xclient_offer(SPAN_LIT("  helo\tREVERSE_NAME  Login ")), XCLIENT_BIT(XCLIENT_LOGIN));
	assert_int_equal(xclient_offer(SPAN_LIT("")), 0);
}

static void
test_good(void **state)
{
	struct xclient x;
	char text[46];

	(void)state;
	assert_int_equal(xclient_parse(SPAN_LIT("NAME=mail.example.org ADDR=192.0.2.7 PORT=40007 PROTO=smtp HELO=[192.0.2.8] "
						"LOGIN=a+20b+2B+c3+A4 DESTADDR=IPV6:2001:db8::25 DESTPORT=25"), &x), SP_OK);
	assert_int_equal(x.given, (1u << XCLIENT_IDENT) - 1);
	assert_string_equal(x.name, "mail.example.org");
	assert_string_equal(x.helo, "[192.0.2.8]");
	assert_string_equal(x.login, "a b+\xc3\xa4");
	assert_string_equal(span_from_ip(&x.ip, text).ptr, "192.0.2.7");
	assert_string_equal(span_from_ip(&x.dest_ip, text).ptr, "2001:db8::25");
	assert_int_equal(x.port, 40007);
	assert_int_equal(x.dest_port, 25);
	assert_false(x.esmtp);
	assert_int_equal(xclient_parse(SPAN_LIT("NAME=[tempunavail] DESTADDR=[UNAVAILABLE] LOGIN=[UNAVAILABLE]"), &x), SP_OK);
	assert_true(x.name_unknown);
	assert_int_equal(x.dest_ip.family, 0);
	assert_string_equal(x.login, "");
	assert_true(x.esmtp);
}

static void
test_x02_bad(void **state)
{
	static const char *const bad[] = {
		"", " ", "ADDR", "=", "ADDR=", "ADDR=[UNAVAILABLE]", "ADDR=[TEMPUNAVAIL]", "ADDR=192.0.2", "ADDR=2001:db8::1",
		"ADDR=IPV6:", "ADDR=IPV6:192.0.2.1", "ADDR=192.0.2.1 ADDR=192.0.2.1", "PORT=65536", "PORT=-1", "PORT=", "PORT=x",
		"PORT=[TEMPUNAVAIL]", "PROTO=LMTP", "NAME=a+0D+0Ab", "NAME=a+20b", "NAME=-", "NAME=a..b", "NAME=[192.0.2.1]", "HELO=a+09b",
		"LOGIN=+00", "LOGIN=+7F", "LOGIN=+", "LOGIN=+4", "LOGIN=+4g", "LOGIN=a=b", "LOGIN=a\x80", "LOGIN=+A4", "LOGIN=a+C2+85", "LOGIN=+E2+80+A8", "LOGIN=a\tb", "IDENT=x",
		"SOURCE=LOCAL", "IDENT=[UNAVAILABLE]", "COLOUR=red", "NAME=a.example.org COLOUR=red",
	};
	struct xclient x;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (xclient_parse(span_str(bad[i]), &x) != SP_INVALID)
			fail_msg("'%s' was taken", bad[i]);
}

static void
test_x02_long(void **state)
{
	char line[512] = "LOGIN=";
	struct xclient x;

	(void)state;
	memset(line + 6, 'x', 256);
	assert_int_equal(xclient_parse(span_of(line, 6 + 255), &x), SP_OK);
	assert_int_equal(strlen(x.login), 255);
	assert_int_equal(xclient_parse(span_of(line, 6 + 256), &x), SP_INVALID);
}

static void
assert_added(struct sp_span value, const char *text)
{
	struct buf b;

	buf_init(&b, 4096);
	xclient_add(&b, XCLIENT_NAME, value);
	assert_string_equal(buf_cstr(&b), text);
	buf_fini(&b);
}

static void
test_x02_out(void **state)
{
	char all[300], text[300];

	(void)state;
	assert_added(SPAN_LIT("mail.example.org"), " NAME=mail.example.org");
	assert_added(SPAN_LIT("a b+c=\xc3\xa4"), " NAME=a+20b+2Bc+3D+C3+A4");
	assert_added(SPAN_LIT(""), " NAME=[UNAVAILABLE]");
	assert_added(SPAN_LIT("evil\r\nMAIL"), " NAME=[UNAVAILABLE]");
	assert_added(SPAN_LIT("evil\0"), " NAME=[UNAVAILABLE]");
	assert_added(SPAN_LIT("evil\x7f"), " NAME=[UNAVAILABLE]");
	memset(all, 'x', sizeof(all));
	snprintf(text, sizeof(text), " NAME=%.255s", all);
	assert_added(span_of(all, 255), text);
	assert_added(span_of(all, 256), " NAME=[UNAVAILABLE]");
	assert_added(span_of(all, 300), " NAME=[UNAVAILABLE]");
	memset(all, '+', sizeof(all));
	assert_added(span_of(all, 86), " NAME=[UNAVAILABLE]"); /* 258 as xtext */
}

static void
test_out_ip(void **state)
{
	struct sp_ip ip = { .family = 0 };
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	xclient_add_ip(&b, XCLIENT_ADDR, &ip);
	assert_int_equal(span_to_ip(SPAN_LIT("192.0.2.1"), &ip), SP_OK);
	xclient_add_ip(&b, XCLIENT_ADDR, &ip);
	assert_int_equal(span_to_ip(SPAN_LIT("2001:db8::1"), &ip), SP_OK);
	xclient_add_ip(&b, XCLIENT_DESTADDR, &ip);
	assert_string_equal(buf_cstr(&b), " ADDR=[UNAVAILABLE] ADDR=192.0.2.1 DESTADDR=IPV6:2001:db8::1");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_x02_bad),
		cmocka_unit_test(test_x02_long),
		cmocka_unit_test(test_x02_out),
		cmocka_unit_test(test_out_ip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
