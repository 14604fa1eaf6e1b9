/*
 * mailauth_tags.c - tag lists: what is one, what is none, and its limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "mailauth/tags.h"
#include "mailauth/text.h"

static void
test_good(void **state)
{
	struct tags t;
	struct sp_span v;

	(void)state;
	assert_int_equal(tags_parse(&t, TEXT(" v=1; a = rsa-sha256;\r\n\td=example.org; h=; b=ab=\r\n cd== ; ")), SP_OK);
	assert_int_equal(t.count, 5);
	assert_true(tags_get(&t, "v", &v) && text_is(v, TEXT("1")));
	assert_true(tags_get(&t, "a", &v) && text_is(v, TEXT("rsa-sha256")));
	assert_true(tags_get(&t, "d", &v) && text_is(v, TEXT("example.org")));
	assert_true(tags_get(&t, "h", &v) && v.len == 0);
	assert_true(tags_get(&t, "b", &v) && text_is(v, TEXT("ab=\r\n cd==")));
	assert_false(tags_get(&t, "V", &v)); /* names have case */
	assert_false(tags_get(&t, "x", &v));
	assert_int_equal(tags_parse(&t, TEXT("p=1;P=2")), SP_OK);
	assert_int_equal(tags_parse(&t, TEXT("a_1=x")), SP_OK);
}

static void
test_bad(void **state)
{
	static const char *const bad[] = { "", " ", ";", "a", "a=1;;b=2", ";a=1", "a=1;b", "=1", "a=1;a=2", "1a=x", "_a=x",
		"a b=1", "a-b=1", "a=\x7f", "a=\xc3\xa4", "a=1\r\n2", "a=1\n 2", "a=1\r 2", "a=1;;", "a=\001" };
	struct tags t;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (tags_parse(&t, text_of(bad[i])) != SP_INVALID)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(tags_parse(&t, TEXT("a=x\0y")), SP_INVALID);
	assert_int_equal(tags_parse(&t, (struct sp_span){ NULL, 0 }), SP_INVALID);
}

static void
test_limit(void **state)
{
	char text[TAGS_MAX * 8 + 8];
	struct writer w;
	struct tags t;

	(void)state;
	writer_init(&w, text, sizeof(text));
	for (size_t i = 0; i < TAGS_MAX; i++)
		writer_printf(&w, "t%zu=%zu;", i, i);
	assert_int_equal(tags_parse(&t, writer_text(&w)), SP_OK);
	assert_int_equal(t.count, TAGS_MAX);
	writer_printf(&w, "x=1");
	assert_int_equal(tags_parse(&t, writer_text(&w)), SP_LIMIT);
}

static void
test_squeeze(void **state)
{
	char memory[4];
	struct sp_span ret;

	(void)state;
	assert_true(tags_squeeze(TEXT(" a\r\n\tb c d "), memory, sizeof(memory), &ret));
	assert_true(text_is(ret, TEXT("abcd")));
	assert_false(tags_squeeze(TEXT("abcd e"), memory, sizeof(memory), &ret));
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limit), cmocka_unit_test(test_squeeze) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
