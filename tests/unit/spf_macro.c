/*
 * spf_macro.c - what macros stand for, and how names and explanations are cut.
 */
#include "tests/unit/filter_host.h"

#include "mailauth/text.h"
#include "spf/macro.h"

static unsigned names_asked;

static struct sp_span
client_name(void *arg, struct sp_span domain)
{
	(void)domain;
	names_asked++;
	return text_of(arg);
}

/* The example of RFC 7208 section 7.4. */
static struct macro_values
values(bool v6)
{
	static char name[] = "mx.example.org";
	struct macro_values v = { .client = { 4, { 192, 0, 2, 3 } },
		.local = TEXT("strong-bad"),
		.sender_domain = TEXT("email.example.com"),
		.domain = TEXT("email.example.com"),
		.helo = TEXT("helo_1.example.com"),
		.receiver = TEXT("mx.example.net"),
		.time = 1234567890,
		.client_name = client_name,
		.arg = name };

	if (v6)
		v.client = (struct sp_ip){ 6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 0xcb } };
	return v;
}

static void
test_letters(void **state)
{
	static const struct {
		bool v6;
		const char *text, *expect;
	} cases[] = {
		{ false, "", "" },
		{ false, "plain text.", "plain text." },
		{ false, "%%%_%-", "% %20" },
		{ false, "%{s}", "strong-bad@email.example.com" },
		{ false, "%{o}", "email.example.com" },
		{ false, "%{d}", "email.example.com" },
		{ false, "%{d4}", "email.example.com" },
		{ false, "%{d3}", "email.example.com" },
		{ false, "%{d2}", "example.com" },
		{ false, "%{d1}", "com" },
		{ false, "%{d99999999999999999999}", "email.example.com" },
		{ false, "%{dr}", "com.example.email" },
		{ false, "%{d2r}", "example.email" },
		{ false, "%{d1R}", "email" },
		{ false, "%{l}", "strong-bad" },
		{ false, "%{l-}", "strong.bad" },
		{ false, "%{lr}", "strong-bad" },
		{ false, "%{lr-}", "bad.strong" },
		{ false, "%{l1r-}", "strong" },
		{ false, "%{s1@}", NULL },
		{ false, "%{h_}", "helo.1.example.com" },
		{ false, "%{i}", "192.0.2.3" },
		{ false, "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com" },
		{ true, "%{ir}.%{v}._spf.%{d2}",
			"B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com" },
		{ false, "%{c} %{r} %{t} %{h} %{p}", "192.0.2.3 mx.example.net 1234567890 helo_1.example.com mx.example.org" },
		{ true, "%{c}", "2001:db8::cb" },
		{ false, "%{S}", "strong-bad%40email.example.com" },
		{ false, "%{d-.}", "email.example.com" },
		{ false, "%{d-}", "email.example.com" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct macro_values v = values(cases[i].v6);
		struct sp_span text;
		char memory[400];
		size_t end;

		assert_int_equal(macro_check(box_span(cases[i].text), MACRO_EXPLAIN, &end), cases[i].expect != NULL);
		if (cases[i].expect == NULL)
			continue;
		text = macro_explanation(&v, box_span(cases[i].text), memory, sizeof(memory));
		if (!text_is(text, box_span(cases[i].expect)))
			fail_msg("%s became %.*s", cases[i].text, (int)text.len, text.ptr);
	}
}

static void
test_lazy(void **state)
{
	struct macro_values v = values(false);
	char memory[100];

	(void)state;
	names_asked = 0;
	macro_explanation(&v, TEXT("%{s} %{d}"), memory, sizeof(memory));
	assert_int_equal(names_asked, 0);
	macro_explanation(&v, TEXT("%{p}"), memory, sizeof(memory));
	assert_int_equal(names_asked, 1);
}

static void
test_url(void **state)
{
	struct macro_values v = values(false);
	char memory[100];

	(void)state;
	v.local = (struct sp_span){ "a/b c\0\xff~-_.Z9", 13 };
	assert_true(text_is(macro_explanation(&v, TEXT("%{L+}"), memory, sizeof(memory)), TEXT("a%2Fb%20c%00%FF~-_.Z9")));
	assert_true(text_is(macro_explanation(&v, TEXT("%{L/}"), memory, sizeof(memory)), TEXT("a.b%20c%00%FF~-_.Z9")));
}

static void
test_uses(void **state)
{
	size_t end;

	(void)state;
	assert_true(macro_check(TEXT("%{r}"), MACRO_ANY, &end));
	assert_false(macro_check(TEXT("%{r}"), MACRO_DOMAIN, &end));
	assert_false(macro_check(TEXT("a b"), MACRO_ANY, &end));
	assert_true(macro_check(TEXT("a b"), MACRO_EXPLAIN, &end));
	assert_false(macro_check(TEXT("a\tb"), MACRO_EXPLAIN, &end));
	assert_false(macro_check((struct sp_span){ "a\0b", 3 }, MACRO_EXPLAIN, &end));
	assert_false(macro_check((struct sp_span){ "%{\0}", 4 }, MACRO_EXPLAIN, &end));
	assert_false(macro_check((struct sp_span){ "%{d\0}", 5 }, MACRO_EXPLAIN, &end));
	assert_false(macro_check((struct sp_span){ "%\0", 2 }, MACRO_EXPLAIN, &end));
	assert_true(macro_check(TEXT("a%{d}b%%c"), MACRO_DOMAIN, &end));
	assert_int_equal(end, 8);
	assert_true(macro_check(TEXT("abc"), MACRO_DOMAIN, &end));
	assert_int_equal(end, 0);
}

/* A name of many labels is cut to the last 253 octets that begin a label. */
static void
test_names_are_cut(void **state)
{
	struct macro_values v = values(false);
	char label[64], memory[MACRO_DOMAIN_ROOM], spec[481] = "";
	struct sp_span name;

	(void)state;
	assert_true(text_is(macro_domain(&v, TEXT("a.%{d}."), memory), TEXT("a.email.example.com")));
	v.domain = TEXT("12345678.abc"); /* 13 with its dot */
	for (size_t i = 0; i < 100; i++)
		memcpy(spec + 4 * i, "%{d}", 5);
	name = macro_domain(&v, box_span(spec), memory); /* one long run: 12345678.abc12345678.abc... */
	assert_in_range(name.len, 200, MACRO_DOMAIN_MAX);
	assert_true(text_ends(name, TEXT(".abc12345678.abc")));
	assert_true(text_is(text_head(name, 4), TEXT("abc1")));
	memset(label, 'x', 63);
	label[63] = '\0';
	v.local = (struct sp_span){ label, 63 };
	assert_int_equal(macro_domain(&v, TEXT("%{l}.%{l}.%{l}.%{l}"), memory).len, 3 * 63 + 2);
	assert_int_equal(macro_domain(&v, TEXT("%{l}.%{l}.%{l}.abc.%{l1}"), memory).len, 63 + 1 + 3 + 1 + 2 * 63 + 1);
	/* no dot at all: nothing is left */
	assert_int_equal(macro_domain(&v, TEXT("%{l}%{l}%{l}%{l}%{l}"), memory).len, 0);
	for (size_t i = 0; i < 100; i++)
		memcpy(spec + 4 * i, "%{l}", 5);
	assert_int_equal(macro_domain(&v, box_span(spec), memory).len, 0);
	/* 253 fits, 254 does not */
	v.local = (struct sp_span){ label, 61 };
	assert_int_equal(macro_domain(&v, TEXT("%{l}.%{l}.%{l}.%{l}.abcde"), memory).len, 253);
	assert_int_equal(macro_domain(&v, TEXT("%{l}.%{l}.%{l}.%{l}.abcdef"), memory).len, 254 - 62);
}

static void
test_explanations_are_cut(void **state)
{
	struct macro_values v = values(false);
	char memory[16];

	(void)state;
	assert_true(text_is(macro_explanation(&v, TEXT("%{s}%{s}"), memory, 10), TEXT("strong-bad")));
	assert_int_equal(macro_explanation(&v, TEXT("%{s}"), memory, 0).len, 0);
}

/* A value above what is looked at, all of it delimiters. */
static void
test_long_value(void **state)
{
	struct macro_values v = values(false);
	char dots[2000], memory[1024];

	(void)state;
	memset(dots, '.', sizeof(dots));
	v.helo = (struct sp_span){ dots, sizeof(dots) };
	assert_int_equal(macro_explanation(&v, TEXT("%{h}"), memory, sizeof(memory)).len, 512);
	assert_int_equal(macro_explanation(&v, TEXT("%{hr}"), memory, sizeof(memory)).len, 512);
	assert_int_equal(macro_explanation(&v, TEXT("%{h2}"), memory, sizeof(memory)).len, 1);
	v.helo = (struct sp_span){ NULL, 0 };
	assert_int_equal(macro_explanation(&v, TEXT("%{h}%{h3r}"), memory, sizeof(memory)).len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_letters),
		cmocka_unit_test(test_lazy),
		cmocka_unit_test(test_url),
		cmocka_unit_test(test_uses),
		cmocka_unit_test(test_names_are_cut),
		cmocka_unit_test(test_explanations_are_cut),
		cmocka_unit_test(test_long_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
