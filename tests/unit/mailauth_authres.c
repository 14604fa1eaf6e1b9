/*
 * mailauth_authres.c - reading Authentication-Results as ARC carries them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mailauth/authres.h"
#include "mailauth/text.h"

static void
test_several_results(void **state)
{
	struct sp_span value = TEXT(" (c) mx.example.org 1 (v;)\r\n\t; spf=pass (a; \"b) smtp.mailfrom=a.example;\r\n"
				    " dkim = fail reason=\"no; key\" header.d=b.example header.b = \"ab=\" header.i=\"a b\"@b.example;"
				    " dkim/1=pass header . d (x) = c.example; dmarc=none");
	struct authres_item item;
	struct authres a;
	struct sp_span v;

	(void)state;
	assert_int_equal(authres_init(&a, value), SP_OK);
	assert_true(text_is(a.id, TEXT("mx.example.org")));
	assert_int_equal(authres_next(&a, &item), SP_OK);
	assert_true(text_is(item.method, TEXT("spf")) && text_is(item.result, TEXT("pass")));
	assert_true(authres_prop(&item, "smtp", "mailfrom", &v) && text_is(v, TEXT("a.example")));
	assert_false(authres_prop(&item, "smtp", "helo", &v));
	assert_int_equal(authres_next(&a, &item), SP_OK);
	assert_true(text_is(item.method, TEXT("dkim")) && text_is(item.result, TEXT("fail")));
	assert_true(authres_prop(&item, "HEADER", "D", &v) && text_is(v, TEXT("b.example")));
	assert_true(authres_prop(&item, "header", "b", &v) && text_is(v, TEXT("ab=")));
	assert_true(authres_prop(&item, "header", "i", &v) && text_is(v, TEXT("\"a b\"@b.example")));
	assert_int_equal(authres_next(&a, &item), SP_OK);
	assert_true(text_is(item.method, TEXT("dkim")) && text_is(item.result, TEXT("pass")));
	assert_true(authres_prop(&item, "header", "d", &v) && text_is(v, TEXT("c.example")));
	assert_int_equal(authres_next(&a, &item), SP_OK);
	assert_true(text_is(item.method, TEXT("dmarc")) && text_is(item.result, TEXT("none")));
	assert_false(authres_prop(&item, "header", "from", &v));
	assert_int_equal(authres_next(&a, &item), SP_NONE);
	assert_int_equal(authres_next(&a, &item), SP_NONE);
}

static void
test_no_results(void **state)
{
	static const char *const values[] = { "mx.example.org", "mx.example.org;", "mx.example.org; none",
		"\"mx.example.org\" 1 ; NONE (x)", "mx.example.org; (x) " };
	struct authres_item item;
	struct authres a;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		assert_int_equal(authres_init(&a, text_of(values[i])), SP_OK);
		assert_true(text_is(a.id, TEXT("mx.example.org")));
		assert_int_equal(authres_next(&a, &item), SP_NONE);
	}
}

static void
test_no_id(void **state)
{
	static const char *const values[] = { "", " (x)", "; spf=pass", "(x", "\"x", "a b; spf=pass", "spf=pass; dkim=pass",
		"@", "a@b.example; none" };
	struct authres a;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		if (authres_init(&a, text_of(values[i])) != SP_INVALID)
			fail_msg("taken: %s", values[i]);
}

/* Nothing is read behind a fault: what another wrote there may be anything. */
static void
test_malformed_results(void **state)
{
	static const char *const values[] = { "id; spf", "id; spf=", "id; =pass", "id; spf pass; dkim=pass",
		"id; spf=pass (x; dkim=pass", "id; spf=pass smtp.mailfrom=\"x; dkim=pass", "id; ; dkim=pass", "id; none; dkim=pass",
		"id; spf=pass!; dkim=pass", "id; spf/x=pass" };
	struct authres_item item;
	struct authres a;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		assert_int_equal(authres_init(&a, text_of(values[i])), SP_OK);
		if (authres_next(&a, &item) != SP_INVALID)
			fail_msg("taken: %s", values[i]);
		assert_int_equal(authres_next(&a, &item), SP_NONE);
	}
}

static void
test_malformed_props(void **state)
{
	static const char *const props[] = { "header", "header.", "header.d", "header.d=", ".d=x", "header.=x",
		"header.x=y header", "header..d=x", "header.d x" };
	struct sp_span v;

	(void)state;
	for (size_t i = 0; i < sizeof(props) / sizeof(*props); i++) {
		struct authres_item item = { TEXT("dkim"), TEXT("pass"), text_of(props[i]) };

		assert_false(authres_prop(&item, "header", "d", &v));
	}
}

/* What a sender writes into a quoted value or a comment is no property. */
static void
test_hidden_props(void **state)
{
	struct authres_item item = { TEXT("dkim"), TEXT("fail"),
		TEXT("reason=\"header.d=evil.example\" (header.d=evil.example) header.s=\"\\\" header.d=evil.example\" header.d=ok.example") };
	struct sp_span v;

	(void)state;
	assert_true(authres_prop(&item, "header", "d", &v) && text_is(v, TEXT("ok.example")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_several_results), cmocka_unit_test(test_no_results),
		cmocka_unit_test(test_no_id), cmocka_unit_test(test_malformed_results), cmocka_unit_test(test_malformed_props),
		cmocka_unit_test(test_hidden_props) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
