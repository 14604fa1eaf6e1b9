/*
 * mailauth_domain.c - what is a domain, its folded form, what is below what.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mailauth/domain.h"
#include "mailauth/text.h"

static void
test_ok(void **state)
{
	static const char *const good[] = { "example.com", "A.b", "_dmarc.example.com", "xn--85x722f.xn--fiqs8s", "1.2" };
	static const char *const bad[] = { "", ".", "com", "com.", "example.com.", ".example.com", "a..b",
		"legitimate.com'a.attack.com", "example.net(.example.com", "a b.com", "a\r\n.com", "\xc3\xa4.com",
		"a.com,b.com", "a@b.com", "[1.2.3.4]" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(domain_ok(text_of(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(domain_ok(text_of(bad[i])));
	assert_false(domain_ok(TEXT("selector._domainkey.attack.com.\0.any")));
	assert_false(domain_ok(TEXT("a.b\0")));
	assert_false(domain_ok((struct sp_span){ NULL, 0 }));
}

static void
test_limits(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'a', sizeof(name));
	name[63] = name[127] = name[191] = '.';
	assert_true(domain_ok((struct sp_span){ name, 253 }));
	assert_false(domain_ok((struct sp_span){ name, 254 }));
	name[63] = 'a';
	name[64] = '.';
	assert_false(domain_ok((struct sp_span){ name, 100 }));
}

static void
test_fold(void **state)
{
	char memory[DOMAIN_MAX + 1];
	struct sp_span ret;

	(void)state;
	assert_int_equal(domain_fold(TEXT("Mail.EXAMPLE.com."), memory, &ret), SP_OK);
	assert_true(text_is(ret, TEXT("mail.example.com")));
	assert_string_equal(memory, "mail.example.com");
	assert_int_equal(domain_fold(TEXT("example.com.."), memory, &ret), SP_INVALID);
	assert_int_equal(domain_fold(TEXT("com."), memory, &ret), SP_INVALID);
	assert_int_equal(domain_fold(TEXT(""), memory, &ret), SP_INVALID);
}

static void
test_fold_utf8(void **state)
{
	static const struct {
		const char *name, *folded;
	} good[] = {
		{ "Mail.EXAMPLE.com.", "mail.example.com" },
		{ "b\303\274cher.example", "xn--bcher-kva.example" },
		{ "B\303\234CHER.Example.", "xn--bcher-kva.example" },
		{ "bu\314\210cher.example", "xn--bcher-kva.example" },
		{ "fa\303\237.de", "xn--fa-hia.de" },
		{ "\317\200\316\261\317\201\316\254\316\264\316\265\316\271\316\263\316\274\316\261.\316\264\316\277\316\272\316\271\316\274\316\256", "xn--hxajbheg2az3al.xn--jxalpdlp" },
		{ "a.\344\276\213\345\255\220.\346\270\254\350\251\246.c", "a.xn--fsqu00a.xn--g6w251d.c" },
		{ "\320\277\321\200\320\270\320\274\320\265\321\200.\321\200\321\204", "xn--e1afmkfd.xn--p1ai" },
		{ "xn--BCHER-kva.example", "xn--bcher-kva.example" },
	};
	static const char *const bad[] = {
		"\303\274",
		"\303\274..example",
		".\303\274.example",
		"\303\274.example..",
		"\357\275\201bc.example",
		"\357\275\201\303\274.example",
		"a\343\200\202b.example",
		"\303\274\343\200\202example.org",
		"\303\274\357\274\216example.org",
		"a\342\200\213\303\274.example",
		"\303\274\302\255.example",
		"a\302\205\303\274.example",
		"\377.example",
		"b\303.example",
		"\300\257b.example",
		"\355\240\200.example",
		"\364\220\200\200.example",
		"\314\210a.example",
		"\342\230\203\342\200\256.example",
		"a!\303\274.example",
		"\303\274 b.example",
		"-\303\274.example",
		"\340\244\225\340\245\215\342\200\215\340\244\267.example",
		"\342\222\266.example",
		"\342\204\252.example",
		"\303\274aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example",
	};
	char memory[DOMAIN_MAX + 1];
	struct sp_span ret;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(domain_fold_utf8(text_of(good[i].name), memory, &ret), SP_OK);
		assert_string_equal(memory, good[i].folded);
		assert_int_equal(ret.len, strlen(memory));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (domain_fold_utf8(text_of(bad[i]), memory, &ret) != SP_INVALID)
			fail_msg("%s became %s", bad[i], memory);
	assert_int_equal(domain_fold_utf8(TEXT("\303\274\0.example"), memory, &ret), SP_INVALID);
}

/* 253 octets as A-labels, which are more than what was written: the 254th is too much. */
static void
test_fold_utf8_limits(void **state)
{
	char name[300] = "\303\274."; /* xn--tda. */
	char memory[DOMAIN_MAX + 1];
	struct sp_span ret;

	(void)state;
	memset(name + 3, 'a', 246);
	name[50] = name[100] = name[150] = name[200] = '.';
	assert_int_equal(domain_fold_utf8((struct sp_span){ name, 3 + 245 }, memory, &ret), SP_OK);
	assert_int_equal(ret.len, 253);
	assert_int_equal(domain_fold_utf8((struct sp_span){ name, 3 + 246 }, memory, &ret), SP_INVALID);
}

static void
test_within(void **state)
{
	(void)state;
	assert_true(domain_within(TEXT("a.Example.com"), TEXT("example.COM")));
	assert_true(domain_within(TEXT("example.com"), TEXT("example.com")));
	assert_false(domain_within(TEXT("badexample.com"), TEXT("example.com")));
	assert_false(domain_within(TEXT("example.com"), TEXT("a.example.com")));
	assert_false(domain_within(TEXT("example.com"), TEXT("")));
}

static void
test_parent(void **state)
{
	(void)state;
	assert_true(text_is(domain_parent(TEXT("a.b.c")), TEXT("b.c")));
	assert_int_equal(domain_parent(TEXT("com")).len, 0);
	assert_int_equal(domain_parent(TEXT("")).len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ok), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_fold), cmocka_unit_test(test_fold_utf8),
		cmocka_unit_test(test_fold_utf8_limits), cmocka_unit_test(test_within), cmocka_unit_test(test_parent) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
