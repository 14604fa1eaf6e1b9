/*
 * mailauth_text.c - spans and the bounded writer of the modules that authenticate mail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mailauth/text.h"

static void
test_compare(void **state)
{
	(void)state;
	assert_true(text_is(TEXT("a"), TEXT("a")));
	assert_false(text_is(TEXT("a"), TEXT("A")));
	assert_true(text_same(TEXT("aZ-"), TEXT("Az-")));
	assert_false(text_same(TEXT("@"), TEXT("`")));
	assert_true(text_is((struct sp_span){ NULL, 0 }, TEXT("")));
	assert_true(text_ends(TEXT("a.COM"), TEXT(".com")));
	assert_false(text_ends(TEXT("om"), TEXT("com")));
}

static void
test_pieces(void **state)
{
	struct sp_span s = TEXT("a::b:"), piece;

	(void)state;
	assert_true(text_cut(&s, ':', &piece) && text_is(piece, TEXT("a")));
	assert_true(text_cut(&s, ':', &piece) && text_is(piece, TEXT("")));
	assert_true(text_cut(&s, ':', &piece) && text_is(piece, TEXT("b")));
	assert_true(text_cut(&s, ':', &piece) && text_is(piece, TEXT("")));
	assert_false(text_cut(&s, ':', &piece));
	assert_true(text_is(text_trim(TEXT(" \r\n\ta b\t ")), TEXT("a b")));
	assert_int_equal(text_trim(TEXT(" \t")).len, 0);
	assert_int_equal(text_find(TEXT("ab"), 'c'), 2);
	assert_true(text_is(text_head(TEXT("ab"), 5), TEXT("ab")));
	assert_int_equal(text_from(TEXT("ab"), 5).len, 0);
	assert_null(text_from((struct sp_span){ NULL, 0 }, 1).ptr);
}

static void
test_number(void **state)
{
	uint64_t n = 7;

	(void)state;
	assert_int_equal(text_number(TEXT("0100"), 100, &n), SP_OK);
	assert_int_equal(n, 100);
	assert_int_equal(text_number(TEXT("101"), 100, &n), SP_LIMIT);
	assert_int_equal(text_number(TEXT("18446744073709551615"), UINT64_MAX, &n), SP_OK);
	assert_true(n == UINT64_MAX);
	assert_int_equal(text_number(TEXT("18446744073709551616"), UINT64_MAX, &n), SP_LIMIT);
	assert_int_equal(text_number(TEXT(""), 100, &n), SP_INVALID);
	assert_int_equal(text_number(TEXT("-1"), 100, &n), SP_INVALID);
	assert_int_equal(text_number(TEXT("1 "), 100, &n), SP_INVALID);
	assert_int_equal(text_number(TEXT("9"), 5, &n), SP_LIMIT);
}

static void
test_writer(void **state)
{
	char memory[8], large[600];
	struct writer w;

	(void)state;
	writer_init(&w, memory, sizeof(memory));
	writer_add(&w, TEXT("abc"));
	writer_char(&w, '-');
	writer_printf(&w, "%d", 1234);
	assert_false(w.full);
	assert_true(text_is(writer_text(&w), TEXT("abc-1234")));
	writer_char(&w, 'x');
	assert_true(w.full);
	assert_true(text_is(writer_text(&w), TEXT("abc-1234")));
	writer_init(&w, large, sizeof(large));
	writer_printf(&w, "%511s", "");
	assert_false(w.full);
	writer_init(&w, large, sizeof(large));
	writer_printf(&w, "%512s", "");
	assert_true(w.full);
	writer_add(&w, TEXT("x"));
	assert_int_equal(w.len, 0); /* nothing more once it was full */
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_compare), cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_number), cmocka_unit_test(test_writer) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
