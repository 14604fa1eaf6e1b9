/* policy_lex - tokens of the policy language, their places, and what is said of bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/compile.h"

struct expected {
	enum token_kind kind;
	const char *text;
};

static void
assert_tokens(const char *text, const struct expected *e, size_t count)
{
	struct lexer l;

	lex_init(&l, 0, span_str(text));
	for (size_t i = 0; i < count; i++) {
		struct token t = lex_next(&l);

		if (t.kind != e[i].kind || (e[i].text != NULL && !span_eq(t.text, span_str(e[i].text))))
			fail_msg("%s: token %zu is %s '%.*s', expected %s '%s'", text, i, lex_kind_name(t.kind), (int)t.text.len,
				t.text.ptr, lex_kind_name(e[i].kind), e[i].text != NULL ? e[i].text : "");
	}
	assert_int_equal(lex_next(&l).kind, TOKEN_END);
}
#define ASSERT_TOKENS(text, ...) \
	assert_tokens(text, (const struct expected[]){ __VA_ARGS__ }, \
		sizeof((const struct expected[]){ __VA_ARGS__ }) / sizeof(struct expected))

#define WORD(s) { TOKEN_WORD, s }

static void
test_words(void **state)
{
	(void)state;
	ASSERT_TOKENS("policy 1", WORD("policy"), WORD("1"));
	ASSERT_TOKENS("add-header 25M 60/min -2.5 100ms", WORD("add-header"), WORD("25M"), WORD("60/min"), WORD("-2.5"),
		WORD("100ms"));
	ASSERT_TOKENS(".example.com * @example.org a@b.c", WORD(".example.com"), WORD("*"), WORD("@example.org"), WORD("a@b.c"));
	ASSERT_TOKENS("a#comment\n# more\nb", WORD("a"), WORD("b"));
	ASSERT_TOKENS("", { TOKEN_END, NULL });
	ASSERT_TOKENS("\xef\xbb\xbf" "a", WORD("a"));
}

static void
test_colons(void **state)
{
	(void)state;
	ASSERT_TOKENS("net : if", WORD("net"), { TOKEN_COLON, NULL }, WORD("if"));
	ASSERT_TOKENS("net: if", WORD("net"), { TOKEN_COLON, NULL }, WORD("if"));
	ASSERT_TOKENS("net :if", WORD("net"), { TOKEN_COLON, NULL }, WORD("if"));
	ASSERT_TOKENS("net:\n", WORD("net"), { TOKEN_COLON, NULL });
	ASSERT_TOKENS("0.0.0.0:25 [::]:25 unix:/run/x", WORD("0.0.0.0:25"), WORD("[::]:25"), WORD("unix:/run/x"));
	ASSERT_TOKENS(":: ::1 2001:db8:: ::/0", WORD("::"), WORD("::1"), WORD("2001:db8::"), WORD("::/0"));
	ASSERT_TOKENS("{[::1]:25}", { TOKEN_LBRACE, NULL }, WORD("[::1]:25"), { TOKEN_RBRACE, NULL });
}

static void
test_symbols(void **state)
{
	(void)state;
	ASSERT_TOKENS("a==b", WORD("a"), { TOKEN_EQ, NULL }, WORD("b"));
	ASSERT_TOKENS("a!=b<c<=d>e>=f", WORD("a"), { TOKEN_NE, NULL }, WORD("b"), { TOKEN_LT, NULL }, WORD("c"),
		{ TOKEN_LE, NULL }, WORD("d"), { TOKEN_GT, NULL }, WORD("e"), { TOKEN_GE, NULL }, WORD("f"));
	ASSERT_TOKENS("domain->size", WORD("domain"), { TOKEN_ARROW, NULL }, WORD("size"));
	ASSERT_TOKENS("t[rcpt.domain]", WORD("t"), { TOKEN_LBRACKET, NULL }, WORD("rcpt.domain"), { TOKEN_RBRACKET, NULL });
	ASSERT_TOKENS("f(\"x\",y)", WORD("f"), { TOKEN_LPAREN, NULL }, { TOKEN_STRING, "x" }, { TOKEN_COMMA, NULL }, WORD("y"),
		{ TOKEN_RPAREN, NULL });
	ASSERT_TOKENS("a !~ ~ -> }", WORD("a"), { TOKEN_NOT_MATCH, NULL }, { TOKEN_MATCH, NULL }, { TOKEN_ARROW, NULL },
		{ TOKEN_RBRACE, NULL });
}

static void
test_strings(void **state)
{
	(void)state;
	ASSERT_TOKENS("\"a # b\" c", { TOKEN_STRING, "a # b" }, WORD("c"));
	ASSERT_TOKENS("\"a\\\"b\\\\\"", { TOKEN_STRING, "a\\\"b\\\\" });
	ASSERT_TOKENS("\"\"", { TOKEN_STRING, "" });
	ASSERT_TOKENS("\"open\nb", { TOKEN_ERROR, NULL }, WORD("b"));
	ASSERT_TOKENS("\"bad \\n escape\" x\nb", { TOKEN_ERROR, NULL }, WORD("b"));
	ASSERT_TOKENS("\"ends in \\", { TOKEN_ERROR, NULL });
	ASSERT_TOKENS("\"crlf\r\nb", { TOKEN_ERROR, NULL }, WORD("b"));
}

static void
test_errors(void **state)
{
	(void)state;
	ASSERT_TOKENS("a = b", WORD("a"), { TOKEN_ERROR, NULL }, WORD("b"));
	ASSERT_TOKENS("! b", { TOKEN_ERROR, NULL }, WORD("b"));
	ASSERT_TOKENS("&& ||", { TOKEN_ERROR, NULL }, { TOKEN_ERROR, NULL });
	ASSERT_TOKENS("\xc3", { TOKEN_ERROR, NULL });
}

static void
test_places(void **state)
{
	struct lexer l;
	struct token t;

	(void)state;
	lex_init(&l, 3, span_str("a\r\n\t bc # x\n\n  \"d\""));
	t = lex_next(&l);
	assert_true(t.first);
	assert_int_equal(t.at.file, 3);
	assert_int_equal(t.at.line, 1);
	assert_int_equal(t.at.column, 1);
	t = lex_next(&l);
	assert_true(t.first);
	assert_int_equal(t.newlines, 1);
	assert_int_equal(t.at.line, 2);
	assert_int_equal(t.at.column, 3);
	assert_int_equal(t.at.len, 2);
	t = lex_next(&l);
	assert_int_equal(t.newlines, 2);
	assert_int_equal(t.at.line, 4);
	assert_int_equal(t.at.column, 3);
	assert_int_equal(t.at.len, 3);
	assert_false(lex_next(&l).first);
}

/* A slash begins a word until the parser knows better. */
static void
test_regex(void **state)
{
	struct lexer l;
	struct token t;

	(void)state;
	lex_init(&l, 0, span_str("~ /a \"b\\/ c/im d"));
	lex_next(&l);
	t = lex_next(&l);
	assert_int_equal(t.kind, TOKEN_WORD);
	t = lex_regex(&l, &t);
	assert_int_equal(t.kind, TOKEN_REGEX);
	assert_true(span_eq(t.text, SPAN_LIT("/a \"b\\/ c/im")));
	assert_int_equal(t.at.column, 3);
	t = lex_next(&l);
	assert_true(lex_is_word(&t, "d"));

	lex_init(&l, 0, span_str("/open\nx"));
	t = lex_next(&l);
	assert_int_equal(lex_regex(&l, &t).kind, TOKEN_ERROR);
	lex_init(&l, 0, span_str("/var/spool.d x/y"));
	t = lex_next(&l);
	t = lex_regex_maybe(&l, &t);
	assert_true(lex_is_word(&t, "/var/spool.d"));
}

static void
test_comments(void **state)
{
	struct lexer l;
	struct token t;

	(void)state;
	lex_init(&l, 0, span_str("a # one\r\n# two"));
	l.comments = true;
	lex_next(&l);
	t = lex_next(&l);
	assert_int_equal(t.kind, TOKEN_COMMENT);
	assert_true(span_eq(t.text, SPAN_LIT("# one")));
	t = lex_next(&l);
	assert_int_equal(t.newlines, 1);
	assert_true(span_eq(t.text, SPAN_LIT("# two")));
	assert_int_equal(lex_next(&l).kind, TOKEN_END);
}

static void
test_names(void **state)
{
	(void)state;
	assert_true(lex_is_name(SPAN_LIT("per_client-2")));
	assert_false(lex_is_name(SPAN_LIT("2nd")));
	assert_false(lex_is_name(SPAN_LIT("a.b")));
	assert_false(lex_is_name(SPAN_LIT("")));
	assert_false(lex_is_name(SPAN_LIT("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm")));
	assert_true(lex_is_name(SPAN_LIT("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_colons),
		cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_regex),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
