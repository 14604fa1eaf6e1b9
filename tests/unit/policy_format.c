/* policy_format - the one layout: comments stay, a second pass changes nothing, nor does the meaning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>

#include "policy/compile.h"
#include "policy_env.h"

#define FORMATTED_MAX ((size_t)1 << 20)

static enum sp_status
format(struct sp_span text, struct buf *to)
{
	struct policy_diag d;
	enum sp_status st;

	policy_diag_init(&d);
	st = policy_format("x.policy", text, to, &d);
	assert_int_equal(st == SP_OK, d.errors == 0);
	policy_diag_fini(&d);
	return st;
}

static void
assert_formats(const char *text, const char *expected)
{
	struct buf once, twice;

	buf_init(&once, FORMATTED_MAX);
	buf_init(&twice, FORMATTED_MAX);
	assert_int_equal(format(span_str(text), &once), SP_OK);
	assert_string_equal(buf_cstr(&once), expected);
	assert_int_equal(format(buf_span(&once), &twice), SP_OK);
	assert_string_equal(buf_cstr(&twice), expected);
	buf_fini(&once);
	buf_fini(&twice);
}

static void
test_rules(void **state)
{
	(void)state;
	assert_formats("policy 1\nrules{accept}", "policy 1\nrules { accept }\n");
	assert_formats("policy 1\nrules { a: if tls.active reject b : if auth.user\n defer  accept }",
		"policy 1\nrules {\n  a : if tls.active reject\n  b : if auth.user\n      defer\n  accept\n}\n");
	assert_formats("policy 1\nrules {\n a : if tls.active\nreject\n long : if auth.user defer\n# c\n x : score 1\naccept }",
		"policy 1\nrules {\n  a    : if tls.active\n      reject\n  long : if auth.user defer\n  # c\n  x : score 1\n  accept\n}\n");
	assert_formats("policy 1\nrules {\nlong : if(tls.active)and not( auth.user ) reject 550 \"a  b\"\n"
		       "x : if message.header( \"A\" )~/a  \"b/i or client.ip in(192.0.2.1 ,10.0.0.0/8) score -1\n\n\n\n"
		       "y : if t[ mail.domain ]>3 accept\n\n\n}\n\n\n",
		"policy 1\nrules {\n  long : if (tls.active) and not (auth.user) reject 550 \"a  b\"\n"
		"  x    : if message.header(\"A\") ~ /a  \"b/i or client.ip in (192.0.2.1, 10.0.0.0/8) score -1\n\n"
		"  y : if t[mail.domain] > 3 accept\n}\n");
}

static void
test_blocks(void **state)
{
	(void)state;
	assert_formats("policy 1\n\n\nlisten   [::]:25{relay to a.example ,b.example}\nuser  x\n",
		"policy 1\n\nlisten [::]:25 { relay to a.example, b.example }\nuser x\n");
	assert_formats("policy 1\nfilter rate   { per_client : key client.ip 60/min burst 120\n"
		       "                x : key a.b,\n c.d 5/s }\ntable a: net{ }\ntable long : domain->size file \"x\"\ndefault 5M\n",
		"policy 1\nfilter rate {\n  per_client : key client.ip 60/min burst 120\n  x          : key a.b,\n      c.d 5/s\n}\n"
		"table a    : net { }\ntable long : domain -> size file \"x\"\n  default 5M\n");
	assert_formats("policy 1\nfilter probe\n{ file /a/b  pattern /x  y/i }\n",
		"policy 1\nfilter probe { file /a/b pattern /x  y/i }\n");
}

static void
test_comments(void **state)
{
	(void)state;
	assert_formats("# top\npolicy 1     # version  \n\n# before\nrules   {  # open\n# in\n a : if tls.active reject# behind\naccept}# end\n# last",
		"# top\npolicy 1  # version\n\n# before\nrules {  # open\n  # in\n  a : if tls.active reject  # behind\n"
		"  accept\n}  # end\n# last\n");
	assert_formats("policy 1\r\nrules {\r\n\taccept # x\r\n}\r\n", "policy 1\nrules {\n  accept  # x\n}\n");
}

static void
test_refused(void **state)
{
	static const char *const bad[] = { "", "policy 1\nrules { a : if reject }\n", "policy 1\nrules { accept\n",
		"policy 1\nlisten x { a \"b }\n", "policy 1\n}\n", "policy 2\nrules { accept }\n", "policy 1\n = \n" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf b;

		buf_init(&b, FORMATTED_MAX);
		assert_int_equal(format(span_str(bad[i]), &b), SP_INVALID);
		assert_int_equal(b.len, 0);
		buf_fini(&b);
	}
}

/* The tokens of both texts are the same but for where they stand. */
static void
assert_same_tokens(const char *name, struct sp_span a, struct sp_span b)
{
	struct lexer la, lb;
	struct token ta, tb;

	lex_init(&la, 0, a);
	lex_init(&lb, 0, b);
	la.comments = lb.comments = true;
	do {
		ta = lex_next(&la);
		tb = lex_next(&lb);
		if (ta.kind == TOKEN_COMMENT && tb.kind == TOKEN_COMMENT)
			continue;
		if (ta.kind != tb.kind || !span_eq(ta.text, tb.text))
			fail_msg("%s:%u: '%.*s' became '%.*s'", name, ta.at.line, (int)ta.text.len, ta.text.ptr, (int)tb.text.len,
				tb.text.ptr);
	} while (ta.kind != TOKEN_END);
}

static void
check_file(const char *path, size_t *formatted)
{
	static char text[1 << 16];
	struct buf once, twice;
	FILE *from = fopen(path, "r");
	struct sp_span whole;

	assert_non_null(from);
	whole = span_of(text, fread(text, 1, sizeof(text), from));
	fclose(from);
	buf_init(&once, FORMATTED_MAX);
	buf_init(&twice, FORMATTED_MAX);
	if (format(whole, &once) == SP_OK) {
		assert_same_tokens(path, whole, buf_span(&once));
		assert_int_equal(format(buf_span(&once), &twice), SP_OK);
		assert_string_equal(buf_cstr(&once), buf_cstr(&twice));
		(*formatted)++;
	}
	buf_fini(&once);
	buf_fini(&twice);
}

static void
test_files(void **state)
{
	glob_t found = { 0 };
	size_t formatted = 0;

	(void)state;
	assert_int_equal(glob(SALLYPORT_SOURCE "/tests/policy/*.policy", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check_file(found.gl_pathv[i], &formatted);
	assert_true(formatted > 50);
	globfree(&found);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
