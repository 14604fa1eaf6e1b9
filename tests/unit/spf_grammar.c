/*
 * spf_grammar.c - which records are SPF records, what their terms say, and what libspf2 gets of them.
 */
#include "tests/unit/filter_host.h"

#include "spf/check_priv.h"

static struct sp_span
span(const char *text)
{
	return box_span(text);
}

static void
test_versions(void **state)
{
	static const char *const good[] = { "v=spf1", "v=spf1 ", "V=SPF1 -all", "v=spf1 garbage" };
	static const char *const bad[] = { "", "v=spf", "v=spf10", "v=spf1-all", " v=spf1", "v=spf1\t", "v=spf2.0/pra" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(record_is_spf(span(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(record_is_spf(span(bad[i])));
	assert_false(record_is_spf((struct sp_span){ "v=spf1\0", 7 }));
}

static const char *const terms_good[] = { "all", "-ALL", "?all", "a", "A:b.org", "a/0", "a/32//128", "a//0", "a:b.org/24//64",
	"a:b/24.org", "a:b.org/24/a.org", "mx", "mx:%{d}/24", "ptr", "ptr:b.org", "ip4:1.2.3.4", "ip4:1.2.3.4/0", "IP4:1.2.3.4/32",
	"ip6:::", "ip6:::/0", "ip6:2001:db8::1/128", "ip6:::ffff:1.2.3.4", "ip6:1:2:3:4:5:6:7:8/64", "exists:%{i}._spf.%{d2}",
	"exists:%{l1r+-}.%%.%_.%-.org", "exists:%{ir}", "include:b.org", "include:b.org.", "include:b.o-g", "include:b.0x",
	"redirect=b.org", "exp=%{d}", "exp=e.%{D9R,/}", "moo=", "a=", "moo=%{t}/%{r}%{c}", "a.b-c_d=x", "include=b.org",
	"a:foo:bar/baz.org", "a:!#$&'()*+,;<>?@[]^`{|}~.org" };

static const char *const terms_bad[] = { "al", "all.", "all:", "all:b.org", "all/8", "+-all", "++a", "-", "a:", "a:/24", "=",
	"a:b", "a:b.", "a:.", "a:1.2.3.4", "a:b.1", "a:b.-c", "a:b.c-", "a:b.c_d", "a:b.org/33", "a:b.org/24/64", "a:b.org//129",
	"a/", "a//", "a/08", "a/1a", "a///64", "a/24//", "a b:c", "mx:", "mx/-1", "ptr/24", "ptr:", "ip4", "ip4:", "ip4:b.org",
	"ip4:1.2.3", "ip4:1.2.3.04", "ip4:1.2.3.256", "ip4:1.2.3.4/33", "ip4:1.2.3.4/032", "ip4:1.2.3.4//32", "ip4:1.2.3.4/",
	"ip4:::1", "ip6:1.2.3.4", "ip6:::1/129", "ip6:::1/", "ip6::1", "ip6:1:2:3:4:5:6:7:8:9", "exists", "exists:", "exists:b.org/24",
	"include", "include:", "include:b.org/24", "include:%", "include:%{", "include:%{}", "include:%{a}", "include:%{d", "include:%{d}.",
	"include:%{c}", "include:%{t}", "include:%{r}", "include:%{d0}", "include:%{d-r}", "include:%{drr}", "include:%{d;}",
	"include:%(d).org", "include:%a.org", "redirect=", "redirect:b.org", "-redirect=b.org", "exp=", "exp=%{d}b", "1a=b", "-a=b",
	"moo=%", "moo=%{x}", "a:b\xc3\xa4.org", "a:b\x7f.org", "ip4:1.2.3.4\x01", "moo=\t" };

/* Reads "v=spf1 TERM". */
static enum sp_status
check(const char *term, size_t len)
{
	char text[RECORD_MAX + 100] = "v=spf1 ";

	memcpy(text + 7, term, len);
	return record_check((struct sp_span){ text, 7 + len });
}

static void
test_terms(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(terms_good) / sizeof(terms_good[0]); i++)
		if (check(terms_good[i], strlen(terms_good[i])) != SP_OK)
			fail_msg("refused: %s", terms_good[i]);
	for (size_t i = 0; i < sizeof(terms_bad) / sizeof(terms_bad[0]); i++)
		if (check(terms_bad[i], strlen(terms_bad[i])) != SP_INVALID)
			fail_msg("taken: %s", terms_bad[i]);
	assert_int_equal(check("ip4:1.2.3.4\0", 12), SP_INVALID);
	assert_int_equal(check("a:b\0.org", 8), SP_INVALID);
	assert_int_equal(check("\0", 1), SP_INVALID);
	assert_int_equal(check("", 0), SP_OK);
	assert_int_equal(check("  a   -all  ", 12), SP_OK);
}

static void
test_twice(void **state)
{
	(void)state;
	assert_int_equal(record_check(span("v=spf1 redirect=a.org exp=b.org moo=1 moo=2 -all -all")), SP_OK);
	assert_int_equal(record_check(span("v=spf1 redirect=a.org REDIRECT=b.org")), SP_INVALID);
	assert_int_equal(record_check(span("v=spf1 exp=a.org -all Exp=a.org")), SP_INVALID);
	assert_int_equal(record_check(span("v=spf1 -all x")), SP_INVALID);
}

static void
test_limits(void **state)
{
	char text[RECORD_MAX + 2];

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "v=spf1 x=", 9);
	memset(text + 9, 'y', RECORD_TERM_MAX - 1);
	assert_int_equal(record_check((struct sp_span){ text, 7 + RECORD_TERM_MAX }), SP_OK);
	assert_int_equal(record_check((struct sp_span){ text, RECORD_MAX }), SP_LIMIT);
	text[7 + RECORD_TERM_MAX] = ' ';
	assert_int_equal(record_check((struct sp_span){ text, RECORD_MAX }), SP_OK);
	assert_int_equal(record_check((struct sp_span){ text, RECORD_MAX + 1 }), SP_LIMIT);
}

static void
test_what_terms_say(void **state)
{
	struct record r;
	struct term t;

	(void)state;
	record_init(&r, span("v=spf1 ~a:b.org/24//64 ?mx//7 ip6:2001:db8::/32 -include:%{d}.x redirect=y.org"));
	assert_int_equal(record_next(&r, &t), SP_OK);
	assert_true(t.kind == TERM_A && t.qualifier == '~' && t.bits4 == 24 && t.bits6 == 64 && text_is(t.domain, TEXT("b.org")));
	assert_int_equal(record_next(&r, &t), SP_OK);
	assert_true(t.kind == TERM_MX && t.qualifier == '?' && t.bits4 == 32 && t.bits6 == 7 && t.domain.len == 0);
	assert_int_equal(record_next(&r, &t), SP_OK);
	assert_true(t.kind == TERM_IP6 && t.qualifier == '+' && t.net.bits == 32 && t.net.ip.family == 6 && t.net.ip.bytes[1] == 1);
	assert_int_equal(record_next(&r, &t), SP_OK);
	assert_true(t.kind == TERM_INCLUDE && t.qualifier == '-' && text_is(t.domain, TEXT("%{d}.x")));
	assert_int_equal(record_next(&r, &t), SP_OK);
	assert_true(t.kind == TERM_REDIRECT && t.qualifier == '\0' && text_is(t.domain, TEXT("y.org")));
	assert_int_equal(record_next(&r, &t), SP_NONE);
	/* a '/' of a name is no length, nor one before it */
	record_init(&r, span("v=spf1 a:b.org/24/a.org"));
	assert_int_equal(record_next(&r, &t), SP_OK);
	assert_true(t.bits4 == 32 && text_is(t.domain, TEXT("b.org/24/a.org")));
}

static void
test_networks(void **state)
{
	static const struct {
		struct sp_ip ip, net;
		unsigned bits;
		bool within;
	} cases[] = {
		{ { 4, { 10, 1, 2, 3 } }, { 4, { 10, 1, 2, 3 } }, 32, true },
		{ { 4, { 10, 1, 2, 3 } }, { 4, { 10, 1, 2, 2 } }, 32, false },
		{ { 4, { 10, 1, 2, 3 } }, { 4, { 10, 1, 2, 2 } }, 31, true },
		{ { 4, { 10, 1, 2, 3 } }, { 4, { 10, 1, 2, 128 } }, 25, false },
		{ { 4, { 10, 1, 2, 3 } }, { 4, { 10, 1, 2, 127 } }, 25, true },
		{ { 4, { 10, 1, 2, 3 } }, { 4, { 200, 1, 2, 3 } }, 0, true },
		{ { 4, { 10, 1, 2, 3 } }, { 6, { 10, 1, 2, 3 } }, 0, false },
		{ { 6, { 1, [15] = 1 } }, { 6, { 1, [15] = 1 } }, 128, true },
		{ { 6, { 1, [15] = 1 } }, { 6, { 1, [15] = 2 } }, 127, false },
		{ { 6, { 1, [15] = 2 } }, { 6, { 1, [15] = 3 } }, 127, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(term_ip_within(&cases[i].ip, &cases[i].net, cases[i].bits), cases[i].within);
}

static void
test_rewriting(void **state)
{
	static const struct {
		const char *record, *text;
		size_t mechanisms;
	} cases[] = {
		{ "v=spf1", "v=spf1", 0 },
		{ "v=spf1 -all", "v=spf1 -all", 1 },
		{ "V=SPF1 ~ALL a mx", "v=spf1 ~all", 1 },
		{ "v=spf1 ip4:10.0.0.0/8 a -all", "v=spf1 +all", 1 },
		{ "v=spf1 ?ip4:10.0.0.0/8", "v=spf1 ?all", 1 },
		{ "v=spf1 ip4:192.0.2.0/24 ip6:::/0 -all", "v=spf1 -all", 1 },
		{ "v=spf1 a -mx:b.org/0 ?ptr ~exists:%{i}.org", "v=spf1 +exists:1.t -exists:2.t ?exists:3.t ~exists:4.t", 4 },
		{ "v=spf1 redirect=b.org include:c.org a", "v=spf1 +include:1.t +exists:2.t redirect=3.t", 3 },
		{ "v=spf1 redirect=b.org exp=e.org moo=x.y -all", "v=spf1 -all", 1 },
		{ "v=spf1 redirect=b.org ip4:10.1.2.3", "v=spf1 +all", 1 },
		{ "v=spf1 a a a a a a a a a a a a a redirect=b.org",
			"v=spf1 +exists:1.t +exists:2.t +exists:3.t +exists:4.t +exists:5.t +exists:6.t +exists:7.t +exists:8.t "
			"+exists:9.t +exists:10.t +exists:11.t", 11 },
	};
	static struct check c;
	struct check_input in = { .client = { 4, { 10, 1, 2, 3 } } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char memory[CHECK_LIBRARY_MAX];
		struct writer w;

		c = (struct check){ .in = &in, .frame_count = 1, .entry_count = 1 };
		writer_init(&w, memory, sizeof(memory));
		assert_int_equal(rewrite_record(&c, 0, span(cases[i].record), &w), cases[i].mechanisms);
		assert_false(w.full);
		assert_int_equal(w.len, strlen(cases[i].text));
		assert_memory_equal(memory, cases[i].text, w.len);
		assert_true(rewrite_entry(&c, span("1.t")) == (c.entry_count > 1 ? &c.entries[1] : NULL));
	}
	/* the longest that can be: all numbers of three digits, and still below what libspf2 bears */
	c = (struct check){ .in = &in, .frame_count = 1, .entry_count = CHECK_ENTRIES_MAX - 11 };
	{
		char memory[CHECK_LIBRARY_MAX];
		struct writer w;

		writer_init(&w, memory, sizeof(memory));
		assert_int_equal(rewrite_record(&c, 0, span("v=spf1 include:a.org include:a.org include:a.org include:a.org "
			"include:a.org include:a.org include:a.org include:a.org include:a.org include:a.org redirect=b.org"), &w), 11);
		assert_false(w.full);
	}
}

static void
test_numbers(void **state)
{
	static const char *const bad[] = { "", ".t", "t", "0", "0.", "0.t.", "0.T", "-1.t", "x.t", "2.t", "0.tt" };
	static struct check c = { .entry_count = 2 };

	(void)state;
	assert_ptr_equal(rewrite_entry(&c, span("0.t")), &c.entries[0]);
	assert_ptr_equal(rewrite_entry(&c, span("1.t")), &c.entries[1]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(rewrite_entry(&c, span(bad[i])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_terms),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_what_terms_say),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_rewriting),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
