/*
 * kit_idna.c - UTF-8 read strictly (RFC 3629) and names folded for comparison (RFC 5891).
 */
#include "policy/kit/idna.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "policy/kit/utf8.h"

static void
characters(void **state)
{
	uint32_t code = 0;

	(void)state;
	assert_int_equal(utf8_next(SPAN_LIT("a"), &code), 1);
	assert_int_equal(code, 'a');
	assert_int_equal(utf8_next(SPAN_LIT("\xc3\xa4x"), &code), 2);
	assert_int_equal(code, 0xe4);
	assert_int_equal(utf8_next(SPAN_LIT("\xe2\x82\xac"), &code), 3);
	assert_int_equal(code, 0x20ac);
	assert_int_equal(utf8_next(SPAN_LIT("\xf4\x8f\xbf\xbf"), &code), 4);
	assert_int_equal(code, 0x10ffff);
}

static void
what_is_no_character(void **state)
{
	static const struct sp_span wrong[] = { { "", 0 }, { "\x80", 1 }, { "\xbf", 1 }, { "\xc0\xaf", 2 }, { "\xc1\xbf", 2 },
		{ "\xe0\x80\xaf", 3 }, { "\xe0\x9f\xbf", 3 }, { "\xed\xa0\x80", 3 }, { "\xed\xbf\xbf", 3 },
		{ "\xf0\x8f\xbf\xbf", 4 }, { "\xf4\x90\x80\x80", 4 }, { "\xf8\x88\x80\x80\x80", 5 }, { "\xff", 1 },
		{ "\xc3", 1 }, { "\xe2\x82", 2 }, { "\xc3(", 2 } };
	uint32_t code = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(utf8_next(wrong[i], &code), 0);
		assert_true(wrong[i].len == 0 || !utf8_is_plain(wrong[i]));
	}
}

static void
controls(void **state)
{
	(void)state;
	assert_true(utf8_is_plain(SPAN_LIT("a \xc3\xa4\xe7\x8e\x8b")));
	assert_false(utf8_is_plain(SPAN_LIT("a\x01")));
	assert_false(utf8_is_plain(SPAN_LIT("a\x7f")));
	assert_false(utf8_is_plain(SPAN_LIT("a\xc2\x85")));     /* next line, of C1 */
	assert_false(utf8_is_plain(SPAN_LIT("a\xe2\x80\xa8"))); /* line separator */
	assert_true(utf8_is_ascii(SPAN_LIT("a\x7f")));
	assert_false(utf8_is_ascii(SPAN_LIT("\xc3\xa4")));
}

static void
folds(const char *name, const char *want)
{
	char to[DOMAIN_OCTETS];
	struct sp_span got = { NULL, 0 };

	assert_int_equal(idna_fold(span_str(name), to, &got), SP_OK);
	if (!span_eq(got, span_str(want)))
		fail_msg("%s became %.*s", name, (int)got.len, got.ptr);
}

static void
names(void **state)
{
	(void)state;
	folds("Example.COM", "example.com");
	folds("Example.COM.", "example.com");
	folds(".Example.com", ".example.com");
	folds("", "");
	folds("xn--BCHER-kva.example", "xn--bcher-kva.example");
	folds("b\xc3\xbc" "cher.example", "xn--bcher-kva.example");
	folds("B\xc3\x9c" "CHER.Example", "xn--bcher-kva.example");
	folds("bu\xcc\x88" "cher.example", "xn--bcher-kva.example"); /* u and a combining mark: the same name */
	folds("fa\xc3\x9f.de", "xn--fa-hia.de");
	folds("\xcf\x80\xce\xb1\xcf\x81\xce\xac\xce\xb4\xce\xb5\xce\xb9\xce\xb3\xce\xbc\xce\xb1.\xce\xb4\xce\xbf\xce\xba\xce\xb9\xce\xbc\xce\xae",
		"xn--hxajbheg2az3al.xn--jxalpdlp");
	folds("\xd0\xb8\xd1\x81\xd0\xbf\xd1\x8b\xd1\x82\xd0\xb0\xd0\xbd\xd0\xb8\xd0\xb5", "xn--80akhbyknj4f");
	folds("\xe4\xbe\x8b\xe5\xad\x90.\xe6\xb5\x8b\xe8\xaf\x95", "xn--fsqu00a.xn--0zwm56d");
	folds("a.\xe4\xbe\x8b\xe5\xad\x90.c", "a.xn--fsqu00a.c");
}

static void
faults(const char *name, enum sp_status want)
{
	char to[DOMAIN_OCTETS];
	struct sp_span got = { NULL, 0 };

	assert_int_equal(idna_fold(span_str(name), to, &got), want);
	assert_null(got.ptr);
}

/* What one reader could take for another name than we do is no name. */
static void
what_is_no_name(void **state)
{
	char text[300] = "";

	(void)state;
	faults("a\xe3\x80\x82" "b", SP_INVALID);          /* ideographic full stop */
	faults("a\xef\xbc\x8e" "b", SP_INVALID);          /* full-width full stop */
	faults("\xef\xbd\x81" "bc.example", SP_INVALID);  /* full-width a */
	faults("a\xe2\x80\x8b" "b.example", SP_INVALID);  /* zero width space: mapped to nothing */
	faults("\xc2\xad.example", SP_INVALID);           /* soft hyphen alone */
	faults("a\xc2\x85.example", SP_INVALID);
	faults("\xff.example", SP_INVALID);
	faults("\xe2\x98\x83\xcc.example", SP_INVALID);
	faults("\xcc\x88" "a.example", SP_INVALID);       /* begins with a combining mark */
	memset(text, 'a', 256);
	faults(text, SP_LIMIT);
	memset(text, 0, sizeof(text));
	for (int i = 0; i < 64; i++)
		memcpy(text + i * 4, "aaa.", 4);
	text[255] = '\0';
	folds(text, text);
	text[255] = 'x';
	faults(text, SP_LIMIT);
}

/* More than 63 octets are no label, once they are encoded. */
static void
long_labels(void **state)
{
	(void)state;
	faults("\xe4\xbe\x8b\xe5\xad\x90" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", SP_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters),
		cmocka_unit_test(what_is_no_character),
		cmocka_unit_test(controls),
		cmocka_unit_test(names),
		cmocka_unit_test(what_is_no_name),
		cmocka_unit_test(long_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
