/*
 * inspect_rules.c - the module "rules": its file, its limits, its windows.
 */
#include "tests/unit/filter_host.h"

#include <unistd.h>

#include "filters/rules/rules.c"
#include "tests/unit/rules_text.h"

static struct sp_value
fact(const struct box *box, unsigned which)
{
	const struct sp_value *v = box_fact(box, -1, which);

	assert_non_null(v);
	return *v;
}

/* ---- the file ------------------------------------------------------------------------------- */

static void
assert_faults(const char *text, const char *want)
{
	struct faults faults = { "" };
	struct rules_report report = { faults_add, &faults };
	enum sp_status st;
	struct rule_set *set = rule_set_new(box_span(text), &report, &st);

	assert_string_equal(faults.text, want);
	assert_int_equal(st, want[0] == '\0' ? SP_OK : SP_INVALID);
	assert_int_equal(set == NULL, want[0] != '\0');
	rule_set_free(&set);
}

static void
test_file_good(void **state)
{
	static const char text[] = "# comment\r\n\r\n"
				   "SUBJ_X 2.5 header Subject /vi\\/agra/i # why\r\n"
				   "ANY\t-1\theader\t*\t/x(?#)y/\n"
				   "  B_1  0.000001 body /a b#c/imsx";
	struct rule_list list;
	struct faults faults = { "" };
	struct rules_report report = { faults_add, &faults };

	(void)state;
	assert_int_equal(rules_parse(box_span(text), &list, &report), SP_OK);
	assert_int_equal(list.count, 3);
	assert_memory_equal(list.items[0].name.ptr, "SUBJ_X", 6);
	assert_true(list.items[0].score == 2.5 && list.items[1].score == -1);
	assert_memory_equal(list.items[0].field.ptr, "Subject", 7);
	assert_int_equal(list.items[0].pattern.len, strlen("vi\\/agra"));
	assert_true(list.items[0].caseless && !list.items[0].dotall);
	assert_int_equal(list.items[0].line, 3);
	assert_int_equal(list.items[0].column, 28);
	assert_int_equal(list.items[1].field.len, 0);
	assert_true(list.items[2].extended && list.items[2].multiline && list.items[2].dotall);
	assert_int_equal(list.items[2].where, RULE_BODY);
	rule_list_fini(&list);
	assert_faults("", "");
	assert_faults(text, "");
}

/* Every fault of a file in one run, each at its place. */
static void
test_file_faults(void **state)
{
	(void)state;
	assert_faults("9A 1 body /x/\nA- 1 body /x/\n",
		"1:1: a rule's name has letters, digits and '_' only, a letter first\n"
		"2:2: a rule's name has letters, digits and '_' only, a letter first\n");
	assert_faults("A x body /x/\nB 1. body /x/\nC .5 body /x/\nD 1234567 body /x/\nE\nF - body "
		      "/x/\nG 1e3 body /x/\n",
		"1:3: expected a score such as 2.5 or -1\n2:3: expected a score such as 2.5 or -1\n"
		"3:3: expected a score such as 2.5 or -1\n4:3: expected a score such as 2.5 or -1\n"
		"5:2: expected a score such as 2.5 or -1\n6:3: expected a score such as 2.5 or -1\n"
		"7:3: expected a score such as 2.5 or -1\n");
	assert_faults("A 1 boddy /x/\nB 1 header /x/\nC 1 header Subject: /x/\nD 1 body x\nE 1 "
		      "body /x\nF 1 body /x\\/\n",
		"1:5: expected 'header' or 'body'\n"
		"2:12: expected the name of a header field, or '*' for all\n"
		"3:12: a header field has no such name; it is written without its colon\n"
		"4:10: expected an expression between slashes\n"
		"5:10: this expression has no slash at its end\n"
		"6:10: this expression has no slash at its end\n");
	assert_faults("A 1 body /x/iq\nB 1 body /x/ i\n",
		"1:14: the flags of an expression are i, m, s and x\n"
		"2:14: nothing may follow an expression but a comment\n");
	assert_faults("A 1 body /x/\nB 1 body /y/\nA 2 body /z/\n",
		"3:1: 'A' is already the name of the rule in line 1\n");
}

static void
test_file_expression_faults(void **state)
{
	(void)state;
	assert_faults(
		"A 1 body /a(b/\nOK 1 body /x/\nB 1 header Subject /x[y/\nC 1 body /*/ \nD oops\n",
		"5:3: expected a score such as 2.5 or -1\n"
		"1:14: this is no expression: missing closing parenthesis\n"
		"3:24: this is no expression: missing terminating ] for character class\n"
		"4:11: this is no expression: quantifier does not follow a repeatable item\n");
	assert_faults("A 1 body /(*UTF)x/\n",
		"1:17: this is no expression: using UTF is disabled by the application\n");
}

static void
test_file_limits(void **state)
{
	const size_t room = RULES_MAX * 32 + 64;
	char *text = calloc(1, room), name[RULES_NAME_MAX + 2];
	size_t len = 0;

	(void)state;
	for (int i = 0; i < RULES_MAX; i++)
		len = append(text, room, len, "R%d 1 body /abcd%d/\n", i, i);
	assert_faults(text, "");
	append(text, room, len, "ONE_MORE 1 body /x/");
	assert_faults(text, "10001:1: a file has at most 10000 rules\n");
	memset(name, 'N', sizeof(name));
	name[RULES_NAME_MAX] = '\0';
	append(text, room, 0, "%s 1 body /x/", name);
	assert_faults(text, "");
	name[RULES_NAME_MAX] = 'N';
	name[RULES_NAME_MAX + 1] = '\0';
	append(text, room, 0, "%s 1 body /x/", name);
	assert_faults(text, "1:1: a rule's name has at most 64 characters\n");
	memset(text, 'x', RULES_LINE_MAX);
	memcpy(text, "A 1 body /", 10);
	text[RULES_LINE_MAX - 1] = '/';
	text[RULES_LINE_MAX] = '\0';
	assert_faults(text, "");
	text[RULES_LINE_MAX - 1] = 'x';
	memcpy(text + RULES_LINE_MAX, "/", 2);
	assert_faults(text, "1:1: a line has at most 8192 octets\n");
	free(text);
}

/* ---- the module ----------------------------------------------------------------------------- */

struct world {
	struct rules_conf conf;
	struct box box;
	char path[64];
};

static enum sp_status
world_load(struct world *w, const char *rules)
{
	int fd;

	memset(w, 0, sizeof(*w));
	snprintf(w->path, sizeof(w->path), "/tmp/sallyport-rules-XXXXXX");
	fd = mkstemp(w->path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, rules, strlen(rules)), strlen(rules));
	close(fd);
	w->conf.file = w->path;
	w->conf.body_limit = 1 << 20;
	w->conf.time_limit = 10000;
	return box_init(&w->box, &sp_filter_rules, &w->conf, NULL, 0);
}

static void
world_fini(struct world *w)
{
	box_fini(&w->box, &w->conf, NULL);
	unlink(w->path);
}

static enum sp_status
message(struct world *w, const char *text)
{
	w->box.stated_count = 0;
	return box_message(&w->box, box_span(text));
}

static void
assert_hits(struct world *w, const char *text, const char *hits)
{
	struct sp_value v;

	assert_int_equal(message(w, text), SP_OK);
	v = fact(&w->box, FACT_HITS);
	assert_int_equal(v.u.text.len, strlen(hits));
	assert_memory_equal(v.u.text.ptr, hits, strlen(hits));
}

static void
test_header_and_body(void **state)
{
	struct world w;

	(void)state;
	assert_int_equal(world_load(&w, "SUBJ 3.0 header subject /^viagra now$/i\n"
					"ANY -0.5 header * /^X-[a-z]+: spammer/i\n"
					"BODY 2.25 body /unsubscribe.{0,40}casino/is\n"
					"LINE 1 body /^hello$/m\n"
					"EMPTY 1 header X-Empty /^$/\n"),
		SP_OK);
	assert_hits(&w,
		"Subject:  Viagra\r\n now \r\nX-Mailer: "
		"Spammer\r\n\r\nx\r\nhello\r\nUnsubscribe\r\n casino\r\n",
		"SUBJ,ANY,BODY,LINE");
	assert_true(fact(&w.box, FACT_SCORE).u.real == 5.75);
	assert_int_equal(fact(&w.box, FACT_COUNT).u.integer, 4);
	assert_hits(&w, "X-Subject: viagra now\r\n\r\n", "");
	assert_true(fact(&w.box, FACT_SCORE).u.real == 0.0);
	assert_hits(&w, "X-Empty:\r\nFrom: viagra now\r\n\r\nviagra now\r\n", "EMPTY");
	assert_hits(&w, "Subject: a\r\nSUBJECT: viagra now\r\n", "SUBJ");
	assert_hits(&w, "", "");
	world_fini(&w);
}

static void
test_load_errors(void **state)
{
	struct world w;
	char want[256];

	(void)state;
	assert_int_equal(world_load(&w, "A 1 body /(/\n\nB x\n"), SP_INVALID);
	snprintf(want, sizeof(want),
		"%s:3:3: expected a score such as 2.5 or -1\n%s:1:12: this is no expression: "
		"missing closing parenthesis\n",
		w.path, w.path);
	assert_string_equal(w.box.errors, want);
	unlink(w.path);
	w.box.errors[0] = '\0';
	assert_int_equal(
		rules_load(&(struct sp_load){ &w.box }, &box_host, &w.conf, NULL, 0), SP_INVALID);
	snprintf(want, sizeof(want), "%s:0:0: it cannot be read: No such file or directory\n",
		w.path);
	assert_string_equal(w.box.errors, want);
	box_fini(&w.box, &w.conf, NULL);
}

/* SL07: an expression that reaches a limit is unknown, never "no match". */
static void
test_bomb_is_unknown(void **state)
{
	struct world w;
	char text[256] = "Subject: ";

	(void)state;
	assert_int_equal(
		world_load(&w, "GOOD 1 header Subject /aaa/\nBOMB 1 header Subject /^(a+)+$/\n"),
		SP_OK);
	memset(text + 9, 'a', 60);
	memcpy(text + 69, "b\r\n\r\n", 6);
	assert_int_equal(message(&w, text), SP_LIMIT);
	assert_int_equal(w.box.stated_count, 0);
	assert_string_equal(w.box.logs, "rule BOMB: match limit exceeded\n");
	memcpy(text + 20, "\r\n\r\n", 5);
	assert_hits(&w, text, "GOOD,BOMB");
	world_fini(&w);
}

/* A text that keeps below the match limit at each start still has only the time for one message. */
static void
test_time_limit(void **state)
{
	struct world w;
	char *text = malloc(600000);
	size_t len = 5;

	(void)state;
	memcpy(text, "A:\r\n\r\n", 6);
	len = 6;
	while (len < 400000) {
		memcpy(text + len, "aaaaaaaaaaaaab", 14);
		len += 14;
	}
	text[len] = '\0';
	assert_int_equal(world_load(&w, "SLOW 1 body /(a+)+$/\n"), SP_OK);
	w.conf.time_limit = 20;
	assert_int_equal(message(&w, text), SP_LIMIT);
	assert_int_equal(w.box.stated_count, 0);
	assert_string_equal(w.box.logs, "rule SLOW: the time for one message is used up\n");
	world_fini(&w);
	free(text);
}

/* Deep recursion overflows the JIT's stack: the interpreter then answers, by its own limits. */
static void
test_jit_stack_overflow(void **state)
{
	struct world w;
	char *text = malloc(300000);

	(void)state;
	memcpy(text, "A:\r\n\r\n", 6);
	memset(text + 6, '(', 20000);
	memset(text + 20006, ')', 20000);
	text[40006] = '\0';
	assert_int_equal(world_load(&w, "DEEP 1 body /^(\\((?1)*\\))$/\n"), SP_OK);
	assert_int_equal(message(&w, text), SP_LIMIT);
	assert_int_equal(w.box.stated_count, 0);
	assert_string_equal(w.box.logs,
		"rule DEEP: matching depth limit exceeded\n"); /* the interpreter's word */
	assert_hits(&w, "A:\r\n\r\n((()()))", "DEEP");
	world_fini(&w);
	free(text);
}

/* ---- windows -------------------------------------------------------------------------------- */

/* The same text is found wherever it stands, in whatever pieces the body comes. */
static void
test_windows(void **state)
{
	static const size_t pieces[] = { 0, 1000, 16384, 65537 };
	const size_t total = 300000;
	char *text = malloc(total + 1);
	struct world w;

	(void)state;
	assert_int_equal(
		world_load(&w,
			"SPAN 1 body /needle.{0,2000}thread/s\nBEHIND 1 body /(?<=\\nxxx)needle/\n"
			"START 1 body /\\Aneedle/\nEND 1 body /thread\\r\\n\\z/\nLAST 1 body "
			"/thread$/\n"
			"NEVER 1 body /needle(?!x)/\n"),
		SP_OK);
	for (size_t p = 0; p < 4; p++)
		for (size_t at = 65536 - 3000;
			at<290000; at += at % 65536> 60000 || at % 65536 < 6000 ? 211 : 9973) {
			memset(text, 'x', total);
			memcpy(text, "A:\r\n\r\n", 6);
			memcpy(text + at - 4, "\nxxxneedlex", 11);
			memcpy(text + at + 1200, "thread", 6);
			text[total] = '\0';
			w.box.piece = pieces[p];
			assert_hits(&w, text, "SPAN,BEHIND");
		}
	memcpy(text + 6, "needlex", 7);
	memcpy(text + total - 8, "thread\r\n", 8);
	assert_hits(&w, text, "SPAN,BEHIND,START,END,LAST");
	world_fini(&w);
	free(text);
}

static void
test_window_edges(void **state)
{
	struct world w;
	char *text;

	(void)state;
	assert_int_equal(world_load(&w, "END 1 body /end\\z/\n"), SP_OK);
	text = malloc(RULES_WINDOW * 3);
	for (size_t len = RULES_WINDOW - 2; len < RULES_WINDOW + 3; len++) {
		memset(text, 'x', len + 6);
		memcpy(text, "A:\r\n\r\n", 6);
		memcpy(text + 6 + len - 3, "end", 4);
		assert_hits(&w, text, "END");
	}
	free(text);
	world_fini(&w);
}

static void
test_body_limit(void **state)
{
	struct world w;
	char *text = malloc(200100);

	(void)state;
	assert_int_equal(world_load(&w, "N 1 body /needle/\n"), SP_OK);
	memset(text, 'x', 200000);
	memcpy(text, "A:\r\n\r\n", 6);
	memcpy(text + 6 + 99994, "needle", 6);
	text[200000] = '\0';
	w.conf.body_limit = 100000;
	assert_hits(&w, text, "N");
	w.conf.body_limit = 99999;
	assert_hits(&w, text, "");
	w.conf.body_limit = 0;
	assert_hits(&w, text, "");
	world_fini(&w);
	free(text);
}

static void
test_many_hits_are_cut(void **state)
{
	struct world w;
	char *rules = calloc(1, 200 * 64);
	struct sp_value v;
	size_t len = 0;

	(void)state;
	for (int i = 0; i < 200; i++)
		len = append(rules, 200 * 64, len, "A_RATHER_LONG_NAME_%03d 1 body /x/\n", i);
	assert_int_equal(world_load(&w, rules), SP_OK);
	assert_int_equal(message(&w, "A:\r\n\r\nx"), SP_OK);
	assert_int_equal(fact(&w.box, FACT_COUNT).u.integer, 200);
	v = fact(&w.box, FACT_HITS);
	assert_true(v.u.text.len <= HITS_MAX);
	assert_memory_equal(v.u.text.ptr + v.u.text.len - 4, ",...", 4);
	world_fini(&w);
	free(rules);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_good),
		cmocka_unit_test(test_file_faults),
		cmocka_unit_test(test_file_expression_faults),
		cmocka_unit_test(test_file_limits),
		cmocka_unit_test(test_header_and_body),
		cmocka_unit_test(test_load_errors),
		cmocka_unit_test(test_bomb_is_unknown),
		cmocka_unit_test(test_time_limit),
		cmocka_unit_test(test_jit_stack_overflow),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_window_edges),
		cmocka_unit_test(test_body_limit),
		cmocka_unit_test(test_many_hits_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
