/*
 * mailauth_mailbox.c - who a From field says it is from: one strict mailbox, or nothing is concluded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "mailauth/mailbox.h"
#include "mailauth/text.h"

static void
expect(struct sp_span value, enum mailbox_count count, const char *domain)
{
	char memory[DOMAIN_MAX + 1];
	struct sp_span ret = { NULL, 0 };
	enum mailbox_count got = mailbox_domain(value, memory, &ret);

	if (got != count)
		fail_msg("%.*s: %d instead of %d", (int)value.len, value.ptr, (int)got, (int)count);
	if (count == MAILBOX_ONE && !text_is(ret, text_of(domain)))
		fail_msg("%.*s: %.*s", (int)value.len, value.ptr, (int)ret.len, ret.ptr);
}

static void
test_one(void **state)
{
	static const struct {
		const char *value, *domain;
	} cases[] = { { " a@example.org", "example.org" }, { "a@Example.ORG", "example.org" },
		{ "Joe <joe@example.org>", "example.org" }, { "Joe Q. Public <a.b+c@example.org>", "example.org" },
		{ "\"a@evil.example\" <joe@example.org>", "example.org" },
		{ "\"<a@evil.example>,\" <joe@example.org>", "example.org" },
		{ "(a@evil.example) joe @\r\n example.org (x(y\\))) (,)", "example.org" },
		{ "\r\n Joe\r\n\t<joe@example.org>\r\n ", "example.org" },
		{ "\"joe smith\"@example.org", "example.org" }, { "\"a\\\"@x\"@example.org", "example.org" },
		{ "=?utf-8?q?=3Ca=40evil=2Eexample=3E?= <joe@example.org>", "example.org" },
		{ "J\xc3\xb6rg <joe@example.org>", "example.org" }, { "\"J\xf6rg\" <joe@example.org>", "example.org" },
		{ "<joe@example.org>", "example.org" }, { "< joe@example.org > (Joe)", "example.org" },
		{ "joe+a=b?=c@example.org", "example.org" }, { "D'Marco <u@blah.com>", "blah.com" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect(text_of(cases[i].value), MAILBOX_ONE, cases[i].domain);
}

static void
test_one_utf8(void **state)
{
	static const struct {
		const char *value, *domain;
	} cases[] = {
		{ "j\303\266@example.org", "example.org" },
		{ "\"j\303\266 x\"@example.org", "example.org" },
		{ "joe@ex\303\244mple.org", "xn--exmple-cua.org" },
		{ "\317\207\317\201\316\256\317\203\317\204\316\267\317\202@\317\200\316\261\317\201\316\254\316\264\316\265\316\271\316\263\316\274\316\261.gr", "xn--hxajbheg2az3al.gr" },
		{ "\320\230\320\262\320\260\320\275 <\320\270\320\262\320\260\320\275.\321\201\320\265\321\200\320\263\320\265\320\265\320\262@\320\237\320\240\320\230\320\234\320\225\320\240.\321\200\321\204>", "xn--e1afmkfd.xn--p1ai" },
		{ "\"\347\224\250\346\210\267\" <\347\224\250\346\210\267@\344\276\213\345\255\220.\345\271\277\345\221\212> (\344\276\213)", "xn--fsqu00a.xn--4rr70v" },
		{ "joe@mail.B\303\274cher.Example", "mail.xn--bcher-kva.example" },
		{ "\340\244\205\340\244\234\340\244\257 @\r\n \340\244\241\340\244\276\340\244\237\340\244\276.\340\244\255\340\244\276\340\244\260\340\244\244", "xn--c2bd1gb.xn--h2brj9c" },
		{ "\360\237\230\200@example.org", "example.org" },
		{ "\303\266@xn--BCHER-kva.example", "xn--bcher-kva.example" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect(text_of(cases[i].value), MAILBOX_ONE, cases[i].domain);
	expect(TEXT("\303\266@\303\274.example, a@example.org"), MAILBOX_SEVERAL, NULL);
	expect(TEXT("\320\223: \303\266@\303\274.example;"), MAILBOX_SEVERAL, NULL);
}

/* Not UTF-8; not seen, or taken for something else; no name of IDNA's. */
static void
test_invalid_utf8(void **state)
{
	static const char *const values[] = {
		"j\366@example.org",
		"j\303@example.org",
		"j\300\257@example.org",
		"j\355\240\200@example.org",
		"j\364\220\200\200@example.org",
		"\"j\366\"@example.org",
		"\"\\\303\266\"@example.org",
		"j\302\205@example.org",
		"j\302\240@example.org",
		"j\343\200\200@example.org",
		"j\342\200\213@example.org",
		"\342\200\256j@example.org",
		"j\342\201\246@example.org",
		"\357\273\277j@example.org",
		"\"j\342\200\215\303\266\"@example.org",
		"j\302\255\303\266@example.org",
		"admin\357\274\240legit.example@attack.example",
		"a\357\274\234b@attack.example",
		"a\315\276b@attack.example",
		"a\357\274\214b@attack.example",
		"<\314\270a@attack.example>",
		"j\357\277\275@example.org",
		"j\363\240\201\201@example.org",
		"j\360\237\277\277@example.org",
		"joe@\357\275\201ttack.example",
		"joe@attack\343\200\202example.org",
		"joe@attack\357\274\216example",
		"joe@\377.example",
		"joe@\303\274\342\200\213.example",
		"joe@-\303\274.example",
		"joe@\303\274",
		"joe@.\303\274.example",
		"joe@\303\274.example.",
		"joe@\314\210a.example",
		"joe@\303\274!.example",
		"=?utf-8?q?\303\266?=@attack.example",
		"\303\266(@legit.example)@attack.example",
		"<@\303\274.example:joe@example.org>",
		"\303\266@\303\274@example.org",
		"joe\357\274\240example.org",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		expect(text_of(values[i]), MAILBOX_INVALID, NULL);
}

static void
test_none(void **state)
{
	static const char *const values[] = { "", " ", "(only a comment)", "<>", " Joe <>", "< >", "Undisclosed:;",
		"Some group : (none) ;" };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		expect(text_of(values[i]), MAILBOX_NONE, NULL);
}

static void
test_several(void **state)
{
	static const char *const values[] = { "a@b.example, c@d.example", "a@b.example,c@b.example",
		"admin@legit.example,<second@attack.example>", "<a@b.example> , Joe <c@d.example>", "G: a@b.example;",
		"G: a@b.example, c@d.example;", "G:;, a@b.example", "a@b.example,G:;", "<>,<>" };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		expect(text_of(values[i]), MAILBOX_SEVERAL, NULL);
}

/* The first six: CASES H02. */
static void
test_invalid(void **state)
{
	static const char *const values[] = { "=?utf-8?B?PGFkbWluQGxlZ2l0LmV4YW1wbGU+?=,<second@attack.example>",
		"<admin@legit.example>\\,<second@attack.example>", "<@attack.example,@any.example:admin@legit.example>",
		"<any@attack.example>admin@legit.example", "admin@legit.example<second@attack.example>",
		"PGFkbWluQGxlZ2l0LmV4YW1wbGU+,<second@attack.example>", "Joe", "joe@", "@example.org", "joe@[192.0.2.1]",
		"joe@example", "joe@example.org.", "joe@.example.org", "joe@example..org", ".joe@example.org",
		"j..oe@example.org", "joe.@example.org", "a@b@example.org", "a b@example.org", "joe@exam ple.org",
		"joe@ex_(x", "\"joe@example.org", "<joe@example.org", "joe@example.org>", "<<joe@example.org>>",
		"<joe@example.org> x", ",joe@example.org", "joe@example.org,", "a@b.example,,c@d.example", "a@b.com <c@d.com>",
		"G: a@b.example", "G: x;", "G:; x", ":;", ";", "G: H:;;", "\"x\" joe@example.org", "joe@example.org\r\n",
		"joe\n@example.org", "Joe\r <joe@example.org>", "\"a\rb\" <joe@example.org>", "(\001) joe@example.org",
		"joe@legit.com'a.attack.com", "joe@x.com(.example.com",
		"Joe: <joe@example.org>", "joe@example.org;", "<joe@example.org>,\\<a@b.c>",
		/* encoded words, which some decode before they look for an address */
		"=?utf-8?q?admin=40legit.example=3E=2C?=x@attack.example", "<=?x?q?admin=40legit.example?=@attack.example>",
		"\"=?utf-8?b?PGFkbWluQGxlZ2l0LmV4YW1wbGU+?=\"@attack.example", "a.=?x?q?=40?=.b@attack.example",
		/* comments within an address, which some do not know */
		"x(@legit.example)@attack.example", "x@(admin@legit.example)attack.example", "< (x) >",
		"<(admin@legit.example>)x@attack.example>", "<x@attack.example(<admin@legit.example>)>" };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		expect(text_of(values[i]), MAILBOX_INVALID, NULL);
	expect(TEXT("joe@example.org\0"), MAILBOX_INVALID, NULL);
	expect(TEXT("Joe\0<x@y.z> <joe@example.org>"), MAILBOX_INVALID, NULL);
	expect(TEXT("\"a\0b\" <joe@example.org>"), MAILBOX_INVALID, NULL);
}

/* Says of each line in hexadecimal who it is from, "0 domain" or another count; for a suite. */
static int
drive(void)
{
	char line[4096], value[2048], memory[DOMAIN_MAX + 1];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		struct sp_span domain = { "", 0 };
		unsigned octet;
		size_t len = 0;

		while (sscanf(line + 2 * len, "%2x", &octet) == 1)
			value[len++] = (char)octet;
		printf("%d", (int)mailbox_domain((struct sp_span){ value, len }, memory, &domain));
		printf(" %.*s\n", (int)domain.len, domain.ptr);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_one), cmocka_unit_test(test_none),
		cmocka_unit_test(test_several), cmocka_unit_test(test_invalid), cmocka_unit_test(test_one_utf8),
		cmocka_unit_test(test_invalid_utf8) };

	(void)argv;
	if (argc > 1)
		return drive();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
