/* kit_buf.c - buffers: their maximum, their failing that sticks, and quoting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/kit/buf.h"
#include "policy/kit/span.h"

static void
test_add(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_string_equal(buf_cstr(&b), "");
	assert_int_equal(buf_add(&b, SPAN_LIT("ab")), SP_OK);
	assert_int_equal(buf_add(&b, span_of(NULL, 0)), SP_OK);
	assert_int_equal(buf_add_char(&b, 'c'), SP_OK);
	assert_int_equal(buf_printf(&b, "%d-%s", 5, "x"), SP_OK);
	assert_int_equal(buf_add_str(&b, NULL), SP_OK);
	assert_string_equal(buf_cstr(&b), "abc5-x");
	assert_int_equal(buf_span(&b).len, 6);
	buf_consume(&b, 0);
	buf_consume(&b, 2);
	assert_string_equal(buf_cstr(&b), "c5-x");
	buf_consume(&b, 4);
	assert_string_equal(buf_cstr(&b), "");
	buf_fini(&b);
	buf_fini(&b);
}

static void
test_zeroed(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_fini(&b);
	assert_int_equal(buf_add_char(&b, 'x'), SP_LIMIT);
	buf_fini(&b);
}

/* Exactly the maximum fits; one more does not, and then nothing does until it is cleared. */
static void
test_limit(void **state)
{
	static const size_t maxima[] = { 1, 127, 128, 129, 4096 };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < sizeof(maxima) / sizeof(maxima[0]); i++) {
		buf_init(&b, maxima[i]);
		for (size_t n = 0; n < maxima[i]; n++)
			assert_int_equal(buf_add_char(&b, 'x'), SP_OK);
		assert_int_equal(buf_add(&b, span_of(NULL, 0)), SP_OK);
		assert_int_equal(buf_add_char(&b, 'y'), SP_LIMIT);
		assert_int_equal(buf_status(&b), SP_LIMIT);
		assert_int_equal(b.len, maxima[i]);
		buf_consume(&b, 1);
		assert_int_equal(buf_add_char(&b, 'y'), SP_LIMIT);
		assert_int_equal(buf_cstr(&b)[b.len], '\0');
		buf_clear(&b);
		assert_int_equal(buf_add_char(&b, 'y'), SP_OK);
		buf_fini(&b);
	}
	buf_init(&b, 4);
	assert_int_equal(buf_add_str(&b, "12345"), SP_LIMIT);
	assert_int_equal(b.len, 0);
	buf_clear(&b);
	assert_int_equal(buf_printf(&b, "%d", 12345), SP_LIMIT);
	buf_clear(&b);
	assert_int_equal(buf_printf(&b, "%d", 1234), SP_OK);
	assert_null(buf_room(&b, 1));
	buf_clear(&b);
	assert_int_equal(buf_add(&b, span_of("x", SIZE_MAX)), SP_LIMIT);
	buf_fini(&b);
}

static void
test_room(void **state)
{
	struct buf b;
	char *at;

	(void)state;
	buf_init(&b, 300);
	buf_add_str(&b, "head ");
	at = buf_room(&b, 295);
	assert_non_null(at);
	memset(at, 'x', 295);
	buf_added(&b, 295);
	assert_int_equal(b.len, 300);
	assert_true(span_starts(buf_span(&b), SPAN_LIT("head x")));
	assert_null(buf_room(&b, 1));
	buf_fini(&b);
}

static void
quotes(struct sp_span in, const char *out)
{
	struct buf b;

	buf_init(&b, 1000);
	assert_int_equal(buf_add_quoted(&b, in), SP_OK);
	assert_string_equal(buf_cstr(&b), out);
	buf_fini(&b);
}

static void
test_quoted(void **state)
{
	(void)state;
	quotes(SPAN_LIT("plain"), "plain");
	quotes(SPAN_LIT("a\"b\\c"), "a\\\"b\\\\c");
	quotes(SPAN_LIT("\r\n\t\0\x7f"), "\\u000d\\u000a\\u0009\\u0000\\u007f");
	quotes(SPAN_LIT("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x93\xa7"), "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x93\xa7");
	quotes(SPAN_LIT("\xe4"), "\\u00e4");                               /* Latin-1 */
	quotes(SPAN_LIT("\xc3"), "\\u00c3");                               /* cut off */
	quotes(SPAN_LIT("\xc0\xaf"), "\\u00c0\\u00af");                    /* overlong */
	quotes(SPAN_LIT("\xe0\x80\xaf"), "\\u00e0\\u0080\\u00af");         /* overlong */
	quotes(SPAN_LIT("\xed\xa0\x80"), "\\u00ed\\u00a0\\u0080");         /* a surrogate */
	quotes(SPAN_LIT("\xf4\x90\x80\x80"), "\\u00f4\\u0090\\u0080\\u0080"); /* beyond U+10FFFF */
	quotes(SPAN_LIT("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf");
	quotes(SPAN_LIT("\xe2\x82x"), "\\u00e2\\u0082x");
}

static void
test_quoted_limit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 6);
	assert_int_equal(buf_add_quoted(&b, SPAN_LIT("\n")), SP_OK);
	buf_fini(&b);
	buf_init(&b, 5);
	assert_int_equal(buf_add_quoted(&b, SPAN_LIT("\n")), SP_LIMIT);
	buf_fini(&b);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_zeroed),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_quoted),
		cmocka_unit_test(test_quoted_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
