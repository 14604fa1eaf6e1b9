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
		cmocka_unit_test(test_fold), cmocka_unit_test(test_within), cmocka_unit_test(test_parent) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
