/*
 * smtp_parameter.c - parameters of MAIL and RCPT: taken where their extension was offered, never with a value that the next server
 * could stumble over, and passed on as sent (AD11).
 */
#include "proxy/smtp/parameter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/kit/span.h"

static struct command_path path;

static int
code_of(bool mail, const char *params, uint32_t offered, bool utf8)
{
	const struct command_limits limits = { .mail = mail, .offered = offered, .utf8 = utf8 };
	char text[2048];

	(void)snprintf(text, sizeof(text), "%s:<a@b> %s", mail ? "FROM" : "TO", params);
	path = (struct command_path){ 0 };
	return command_parse_path(span_str(text), &limits, &path).code;
}

#define MAIL(params) code_of(true, params, UINT32_MAX, false)
#define RCPT(params) code_of(false, params, UINT32_MAX, false)
#define TAKEN 0

static void
extensions(void **state)
{
	static const struct {
		bool mail;
		const char *params;
		enum extension needs;
	} rows[] = {
		{ true, "SMTPUTF8", EXT_SMTPUTF8 }, { true, "RET=FULL", EXT_DSN }, { true, "ENVID=x", EXT_DSN },
		{ true, "AUTH=<>", EXT_AUTH }, { true, "BY=1;R", EXT_DELIVERBY }, { true, "MT-PRIORITY=1", EXT_MT_PRIORITY },
		{ true, "REQUIRETLS", EXT_REQUIRETLS }, { true, "HOLDFOR=1", EXT_FUTURERELEASE },
		{ true, "HOLDUNTIL=2026-12-01T00:00:00Z", EXT_FUTURERELEASE }, { true, "BODY=8BITMIME", EXT_8BITMIME },
		{ false, "NOTIFY=NEVER", EXT_DSN }, { false, "ORCPT=rfc822;a@b", EXT_DSN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(code_of(rows[i].mail, rows[i].params, EXT_BIT(rows[i].needs), false), TAKEN);
		assert_int_equal(path.needs, EXT_BIT(rows[i].needs));
		assert_int_equal(code_of(rows[i].mail, rows[i].params, ~EXT_BIT(rows[i].needs), false), 555);
		assert_int_equal(code_of(!rows[i].mail, rows[i].params, UINT32_MAX, false), 555);
	}
	assert_int_equal(MAIL("X-OWN=1"), 555);
	assert_int_equal(RCPT("X-OWN=1"), 555);
	assert_int_equal(MAIL("SIZE=5 BODY=7BIT"), TAKEN);
	assert_int_equal(path.needs, 0);
}

static void
binary(void **state)
{
	const uint32_t both = EXT_BIT(EXT_BINARYMIME) | EXT_BIT(EXT_CHUNKING);

	(void)state;
	assert_int_equal(MAIL("BODY=BINARYMIME"), TAKEN);
	assert_true(path.body_given && path.body_binary && !path.body_8bit && path.needs == both);
	assert_int_equal(code_of(true, "BODY=BINARYMIME", ~EXT_BIT(EXT_BINARYMIME), false), 501);
	assert_int_equal(code_of(true, "BODY=BINARYMIME", ~EXT_BIT(EXT_CHUNKING), false), 501);
}

static void
xtext(void **state)
{
	static const char *const good[] = { "a", "!~", "a+2Bb", "+20", "+3D+7E", "QQ314159" };
	static const char *const bad[] = { "a+00b", "+0A", "+0D", "a+0d+0aRCPT", "a+", "a+2", "a+2b", "+GG", "+7F", "+80", "+FF",
		"+1B", "+09", "a=b", "\x01" };

	(void)state;
	assert_true(parameter_is_xtext(SPAN_LIT("")));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(parameter_is_xtext(span_str(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(parameter_is_xtext(span_str(bad[i])));
	assert_false(parameter_is_xtext(SPAN_LIT("a b")));
	assert_false(parameter_is_xtext(SPAN_LIT("\xc3\xa4")));
	assert_false(parameter_is_xtext(span_of("+2B", 2))); /* not an octet beyond the end is read */
}

static void
check_all(bool mail, const char *const *good, const char *const *bad)
{
	for (; *good != NULL; good++)
		if (code_of(mail, *good, UINT32_MAX, false) != TAKEN)
			fail_msg("%s was not taken", *good);
	for (; *bad != NULL; bad++)
		if (code_of(mail, *bad, UINT32_MAX, false) != 501)
			fail_msg("%s was taken", *bad);
}

static void
values_of_mail(void **state)
{
	static const char *const good[] = { "RET=FULL", "ret=hdrs", "ENVID=QQ314159", "ENVID=a+2Bb", "AUTH=<>", "AUTH=e+3Dmc2@example.com",
		"SMTPUTF8", "BY=120;R", "BY=+120;N", "BY=-120;NT", "BY=0;N", "BY=999999999;RT", "MT-PRIORITY=0", "MT-PRIORITY=9",
		"MT-PRIORITY=-9", "REQUIRETLS", "HOLDFOR=1", "HOLDFOR=999999999", "HOLDUNTIL=2026-12-01t00:00:00z",
		"HOLDUNTIL=2026-12-01T00:00:00-11:30", NULL };
	static const char *const bad[] = { "RET=X", "RET", "RET=", "RET=FULL RET=HDRS", "ENVID=", "ENVID", "ENVID=a+00b", "ENVID=a+0Db",
		"ENVID=a=b", "AUTH=+0A", "AUTH=", "AUTH", "SMTPUTF8=1", "SMTPUTF8=", "BY=0;R", "BY=-1;R", "BY=1;X", "BY=1", "BY=;R", "BY=1;",
		"BY=1000000000;R", "BY=--1;N", "BY=1;RTT", "MT-PRIORITY=10", "MT-PRIORITY=-0", "MT-PRIORITY=+1", "MT-PRIORITY=-",
		"MT-PRIORITY=", "MT-PRIORITY", "REQUIRETLS=1", "HOLDFOR=0", "HOLDFOR=-1", "HOLDFOR=1000000000", "HOLDFOR",
		"HOLDFOR=1 HOLDUNTIL=2026-12-01T00:00:00Z", "HOLDUNTIL=2026-12-01T00:00:00", "HOLDUNTIL=2026-12-01",
		"HOLDUNTIL=2026-12-01T00:00:00+1:00", "HOLDUNTIL=x", "HOLDUNTIL", NULL };
	char text[256] = "ENVID=";

	(void)state;
	check_all(true, good, bad);
	memset(text + 6, 'x', 100);
	assert_int_equal(MAIL(text), TAKEN);
	text[106] = 'x';
	assert_int_equal(MAIL(text), 501);
}

static void
values_of_rcpt(void **state)
{
	static const char *const good[] = { "NOTIFY=NEVER", "NOTIFY=success,FAILURE,Delay", "NOTIFY=DELAY", "ORCPT=rfc822;a@b.example",
		"ORCPT=rfc822;Bob+2Bx@example.com", "ORCPT=x-local;+20", "ORCPT=utf-8;\\x{E4}@b.example", "ORCPT=utf-8;a+2Bb@c.example",
		"ORCPT=rfc822;+CE+B4@example.com", "NOTIFY=NEVER ORCPT=rfc822;a@b", NULL };
	static const char *const bad[] = { "NOTIFY", "NOTIFY=", "NOTIFY=X", "NOTIFY=NEVER,SUCCESS", "NOTIFY=SUCCESS,NEVER",
		"NOTIFY=SUCCESS,", "NOTIFY=,SUCCESS", "NOTIFY=SUCCESS,,DELAY", "ORCPT", "ORCPT=", "ORCPT=rfc822", "ORCPT=rfc822;",
		"ORCPT=;a@b", "ORCPT=rfc822;a+0d+0aRCPT", "ORCPT=rfc822;a+0D+0ARCPT", "ORCPT=rfc822;a+00", "ORCPT=rfc822;a+7F", "ORCPT=rf_c;a", "ORCPT=utf-8;\\x{D}",
		"ORCPT=utf-8;\\x{0D}", "ORCPT=utf-8;\\x{00000A}", "ORCPT=utf-8;\\x{}", "ORCPT=utf-8;\\x{E4", "ORCPT=utf-8;\\x{D800}",
		"ORCPT=utf-8;\\x{110000}", "ORCPT=utf-8;\\x{2028}", "ORCPT=utf-8;\\xE4", "ORCPT=utf-8;+0A", "ORCPT=utf-8;\xc3\xa4@b",
		NULL };
	char text[600] = "ORCPT=rfc822;";

	(void)state;
	check_all(false, good, bad);
	memset(text + 13, 'x', 493);
	assert_int_equal(RCPT(text), TAKEN);
	text[506] = 'x';
	assert_int_equal(RCPT(text), 501);
}

/* RFC 6533: an original recipient in UTF-8 comes only in a transaction with SMTPUTF8. */
static void
original_recipient_in_utf8(void **state)
{
	(void)state;
	assert_int_equal(code_of(false, "ORCPT=utf-8;\xc3\xa4@b", UINT32_MAX, true), TAKEN);
	assert_int_equal(code_of(false, "ORCPT=rfc822;\xc3\xa4@b", UINT32_MAX, true), 501);
	assert_int_equal(code_of(false, "ORCPT=utf-8;\xc2\x85@b", UINT32_MAX, true), 501);
	assert_int_equal(code_of(false, "ORCPT=utf-8;\xff@b", UINT32_MAX, true), 501);
	assert_int_equal(code_of(false, "NOTIFY=\xc3\xa4", UINT32_MAX, true), 501);
}

static void
check_text(bool mail, const char *params, const char *want)
{
	struct arena *a = arena_new(1024, 65536);
	struct sp_span got;

	assert_int_equal(code_of(mail, params, UINT32_MAX, false), TAKEN);
	got = parameter_text(a, span_str(params), mail);
	if (!span_eq(got, span_str(want)))
		fail_msg("'%s' became '%.*s'", params, (int)got.len, got.ptr);
	arena_free(&a);
}

static void
what_goes_on(void **state)
{
	(void)state;
	check_text(true, "", "");
	check_text(true, "SIZE=5 BODY=8BITMIME", "");
	check_text(true, "RET=hdrs", " RET=hdrs");
	check_text(true, "  SIZE=5   RET=HDRS  BODY=7BIT   ENVID=x+2By ", " RET=HDRS ENVID=x+2By");
	check_text(true, "SMTPUTF8 REQUIRETLS", " SMTPUTF8 REQUIRETLS");
	check_text(false, "notify=Never   ORCPT=rfc822;a@b", " notify=Never ORCPT=rfc822;a@b");
}

static void
no_memory(void **state)
{
	struct arena *a = arena_new(64, 64);

	(void)state;
	while (arena_alloc(a, 1) != NULL)
		;
	assert_null(parameter_text(a, SPAN_LIT("RET=FULL"), true).ptr);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extensions),
		cmocka_unit_test(binary),
		cmocka_unit_test(xtext),
		cmocka_unit_test(values_of_mail),
		cmocka_unit_test(values_of_rcpt),
		cmocka_unit_test(original_recipient_in_utf8),
		cmocka_unit_test(what_goes_on),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
