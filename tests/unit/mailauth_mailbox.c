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
		"j\xc3\xb6@example.org", "joe@ex\xc3\xa4mple.org", "joe@legit.com'a.attack.com", "joe@x.com(.example.com",
		"Joe: <joe@example.org>", "joe@example.org;", "<joe@example.org>,\\<a@b.c>",
		/* encoded words, which some decode before they look for an address */
		"=?utf-8?q?admin=40legit.example=3E=2C?=x@attack.example", "<=?x?q?admin=40legit.example?=@attack.example>",
		"\"=?utf-8?b?PGFkbWluQGxlZ2l0LmV4YW1wbGU+?=\"@attack.example", "a.=?x?q?=40?=.b@attack.example",
		/* comments within an address, which some do not know */
		"x(@legit.example)@attack.example", "x@(admin@legit.example)attack.example", "< (x) >",
		"<(admin@legit.example>)x@attack.example>", "<x@attack.example(<admin@legit.example>)>",
		"\"j\xc3\xb6\"@example.org" };

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
		cmocka_unit_test(test_several), cmocka_unit_test(test_invalid) };

	(void)argv;
	if (argc > 1)
		return drive();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
