/* policy_said.c - rules whose filter decides, and quarantine: when they decide, for whom others wait, what is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/eval.h"
#include "policy_eval_env.h"

/* What the filter says. */
static enum policy_known word;
static struct policy_said said;
static unsigned asked;

static enum policy_known
say(void *arg, size_t filter, struct policy_said *ret)
{
	const struct eval_env *w = arg;

	asked++;
	assert_true(span_eq(policy_filter(w->p, filter)->name, SPAN_LIT("scan")));
	if (word == POLICY_KNOWN)
		*ret = said;
	return word;
}

static void
begin(struct eval_env *w, const char *rules)
{
	char text[2048];

	snprintf(text, sizeof(text), "policy 1\nbackend jail { address 127.0.0.1:26 }\nfilter probe\nfilter arbiter scan\nrules {\n%s}\n",
		rules);
	eval_env_init(w, text);
	w->host.said = say;
	asked = 0;
	word = POLICY_PENDING;
	said = (struct policy_said){ POLICY_REJECT, 554, SPAN_LIT("5.7.9"), SPAN_LIT("first\nsecond") };
}

static enum policy_class
at(struct eval_env *w, enum sp_stage stage)
{
	return eval_env_stage(w, stage).verdict;
}

static void
test_word(void **state)
{
	struct eval_env w;
	struct policy_verdict v;

	(void)state;
	begin(&w, "scan : filter scan\naccept\n");
	assert_int_equal(at(&w, SP_CONNECT), POLICY_UNDECIDED);
	assert_string_equal(buf_cstr(&w.acted), "filter [scan] []\n");
	assert_int_equal(at(&w, SP_MAIL), POLICY_UNDECIDED);
	assert_int_equal(asked, 2);
	word = POLICY_KNOWN;
	v = eval_env_stage(&w, SP_HEADER);
	assert_int_equal(v.verdict, POLICY_REJECT);
	assert_int_equal(v.code, 554);
	assert_int_equal(v.stage, SP_HEADER);
	assert_false(v.unknown);
	assert_span(v.enhanced, "5.7.9");
	assert_span(v.text, "first\nsecond");
	assert_span(policy_rule_name(v.rule), "scan");
	assert_int_equal(outcome_of(&w, "scan"), POLICY_RULE_FIRED);
	assert_int_equal(outcome_of(&w, "accept"), POLICY_RULE_SKIPPED);
	assert_string_equal(buf_cstr(&w.acted), "filter [scan] []\n"); /* called once */
	eval_env_fini(&w);
}

static void
test_silent(void **state)
{
	struct eval_env w;

	(void)state;
	begin(&w, "scan : filter scan\nmark : add-header \"X\" \"y\"\naccept\n");
	for (enum sp_stage s = SP_CONNECT; s < SP_EOM; s++)
		assert_int_equal(at(&w, s), POLICY_UNDECIDED);
	assert_int_equal(outcome_of(&w, "scan"), POLICY_RULE_WAITS);
	assert_int_equal(outcome_of(&w, "mark"), POLICY_RULE_FIRED); /* does not wait for it */
	assert_int_equal(at(&w, SP_EOM), POLICY_ACCEPT);
	assert_int_equal(outcome_of(&w, "scan"), POLICY_RULE_FIRED);
	eval_env_fini(&w);
	begin(&w, "scan : filter scan\naccept\n");
	w.host.said = NULL;
	assert_int_equal(at(&w, SP_CONNECT), POLICY_UNDECIDED);
	assert_int_equal(at(&w, SP_EOM), POLICY_ACCEPT);
	eval_env_fini(&w);
}

static void
test_failed(void **state)
{
	static const struct {
		const char *rules;
		enum policy_class verdict;
		int code;
	} cases[] = {
		{ "scan : filter scan\naccept\n", POLICY_DEFER, 451 },
		{ "scan : filter scan on unknown skip\naccept\n", POLICY_ACCEPT, 250 },
		{ "scan : filter scan on unknown reject 550 5.7.1 \"no\"\naccept\n", POLICY_REJECT, 550 },
		{ "scan : filter scan on unknown accept\nlast : reject 550 5.7.1 \"no\"\n", POLICY_ACCEPT, 250 },
		{ "scan : filter scan on unknown discard\naccept\n", POLICY_DISCARD, 250 },
	};
	struct eval_env w;
	struct policy_verdict v;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(&w, cases[i].rules);
		assert_int_equal(at(&w, SP_MAIL), POLICY_UNDECIDED);
		word = POLICY_UNKNOWN;
		eval_env_stage(&w, SP_DATA);
		v = eval_env_stage(&w, SP_EOM);
		assert_int_equal(v.verdict, cases[i].verdict);
		assert_int_equal(v.code, cases[i].code);
		assert_int_equal(v.unknown, i != 1);
		assert_int_equal(outcome_of(&w, "scan"), POLICY_RULE_UNKNOWN);
		eval_env_fini(&w);
	}
}

/* Refusals below do not wait for the word; what lets the message pass does, discard as well. */
static void
test_below(void **state)
{
	struct eval_env w;

	(void)state;
	begin(&w, "scan : filter scan\nnet : if client.port == 1 reject 550 5.7.1 \"net\"\naccept\n");
	set_number(&w, "client.port", 1);
	assert_int_equal(at(&w, SP_CONNECT), POLICY_REJECT);
	assert_int_equal(outcome_of(&w, "scan"), POLICY_RULE_FIRED); /* it was called */
	eval_env_fini(&w);
	begin(&w, "scan : filter scan\nbin : if client.port == 1 discard\naccept\n");
	set_number(&w, "client.port", 1);
	assert_int_equal(at(&w, SP_CONNECT), POLICY_UNDECIDED);
	said.verdict = POLICY_DEFER;
	word = POLICY_KNOWN;
	assert_int_equal(at(&w, SP_MAIL), POLICY_DEFER);
	eval_env_fini(&w);
}

/* Rules above that could still decide otherwise come first. */
static void
test_above(void **state)
{
	struct eval_env w;

	(void)state;
	begin(&w, "good : if probe.result == pass discard\nscan : filter scan at connect\naccept\n");
	set_number(&w, "probe.result", 1);
	assert_int_equal(at(&w, SP_CONNECT), POLICY_UNDECIDED);
	assert_string_equal(buf_cstr(&w.acted), ""); /* not called: a verdict above may be the last word */
	word = POLICY_KNOWN;
	assert_int_equal(at(&w, SP_MAIL), POLICY_REJECT);
	eval_env_fini(&w);
}

/* Facts of the filter can be read as soon as it was called, and a word of one recipient is his alone. */
static void
test_facts_and_forks(void **state)
{
	struct eval_env w;
	struct policy_eval *other;

	(void)state;
	begin(&w, "scan : filter scan\nheld : if scan.kept != \"\" quarantine jail\naccept\n");
	assert_true(policy_reads_rcpt(w.p));
	assert_true(policy_routes_to(w.p, SPAN_LIT("jail")));
	assert_int_equal(at(&w, SP_MAIL), POLICY_UNDECIDED);
	other = policy_eval_fork(w.e, w.arena);
	word = POLICY_KNOWN;
	assert_int_equal(at(&w, SP_RCPT), POLICY_REJECT);
	word = POLICY_PENDING;
	w.e = other;
	set_text(&w, "scan.kept", "spam");
	assert_int_equal(at(&w, SP_RCPT), POLICY_UNDECIDED);
	assert_int_equal(at(&w, SP_EOM), POLICY_ACCEPT);
	assert_span(w.e->verdict.backend, "jail");
	assert_span(policy_rule_name(w.e->verdict.rule), "held");
	eval_env_fini(&w);
}

static void
test_shadow(void **state)
{
	struct eval_env w;

	(void)state;
	begin(&w, "scan : filter scan shadow\naccept\n");
	word = POLICY_KNOWN;
	assert_int_equal(at(&w, SP_CONNECT), POLICY_ACCEPT);
	assert_string_equal(buf_cstr(&w.acted), "");
	assert_int_equal(asked, 0);
	assert_false(policy_reads_rcpt(w.p));
	eval_env_fini(&w);
}

/* One that only states facts is like any other. */
static void
test_not_obeyed(void **state)
{
	struct policy *p = env_compile("policy 1\nfilter arbiter scan { obey no }\nrules {\nscan : filter scan\nq : if scan.kept != \"\" defer\naccept\n}\n");

	(void)state;
	assert_non_null(p);
	assert_false(p->rules[0]->awaits);
	assert_false(policy_reads_rcpt(p));
	policy_free(&p);
}

/* A message that goes elsewhere is not one that is accepted: neither may come before the other. */
static void
test_quarantine_order(void **state)
{
	struct eval_env w;

	(void)state;
	begin(&w, "own : if probe.result == pass accept\nheld : if client.port == 1 quarantine jail\naccept\n");
	set_number(&w, "client.port", 1);
	set_number(&w, "probe.result", 2);
	assert_int_equal(at(&w, SP_CONNECT), POLICY_UNDECIDED);
	assert_int_equal(at(&w, SP_MAIL), POLICY_ACCEPT);
	assert_int_equal(w.e->verdict.backend.len, 0);
	eval_env_fini(&w);
	begin(&w, "held : if probe.result == fail quarantine jail\nown : if client.port == 1 accept\naccept\n");
	set_number(&w, "client.port", 1);
	set_number(&w, "probe.result", 3);
	assert_int_equal(at(&w, SP_CONNECT), POLICY_UNDECIDED);
	assert_int_equal(at(&w, SP_MAIL), POLICY_ACCEPT);
	assert_span(w.e->verdict.backend, "jail");
	eval_env_fini(&w);
}

/* ---- what is printed ------------------------------------------------------------------------------ */

static void
test_plan(void **state)
{
	static const char want[] =
		"connect\n"
		"  scan    filter scan       always               test.policy:6\n"
		"          decides until eom\n"
		"  net     reject 550 5.7.1  if client.port == 1  test.policy:7\n"
		"          reads client.port (connect)\n"
		"helo\n  no rule\nmail\n  no rule\nrcpt\n  no rule\ndata\n  no rule\nheader\n  no rule\n"
		"eom\n"
		"  bin     discard           if client.port == 2  test.policy:8\n"
		"          reads client.port (connect)\n"
		"          known at connect, waits for 'scan' (test.policy:6), which decides until eom\n"
		"  held    quarantine jail   if scan.kept != \"\"   test.policy:9\n"
		"          reads scan.kept (eom)\n"
		"  late    reject 550 5.7.1  if client.port == 3  test.policy:10\n"
		"          reads client.port (connect)\n"
		"          known at connect, waits for 'held' (test.policy:9), which may still quarantine\n"
		"  accept  accept            always               test.policy:11\n"
		"          known at connect, waits for 'held' (test.policy:9), which may still quarantine\n";
	struct eval_env w;
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	(void)state;
	assert_non_null(to);
	begin(&w, "scan : filter scan\nnet : if client.port == 1 reject 550 5.7.1 \"n\"\nbin : if client.port == 2 discard\n"
		  "held : if scan.kept != \"\" quarantine jail\nlate : if client.port == 3 reject 550 5.7.1 \"l\"\naccept\n");
	policy_plan(w.p, to);
	fclose(to);
	assert_string_equal(text, want);
	free(text);
	eval_env_fini(&w);
}

static char *
explained(struct eval_env *w, bool json)
{
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	struct policy_verdict v;

	assert_non_null(to);
	v = eval_env_stage(w, SP_EOM);
	policy_explain(w->e, &v, &w->host, json, to);
	fclose(to);
	return text;
}

static void
assert_begins(char *text, const char *with)
{
	if (strncmp(text, with, strlen(with)) != 0)
		fail_msg("'%s' does not begin with '%s'", text, with);
	free(text);
}

static void
test_explain(void **state)
{
	struct eval_env w;

	(void)state;
	begin(&w, "scan : filter scan\naccept\n");
	word = POLICY_KNOWN;
	assert_begins(explained(&w, false), "reject 554 5.7.9 \"first\\u000asecond\" by rule scan (test.policy:6) at eom\n");
	eval_env_fini(&w);
	begin(&w, "scan : filter scan\naccept\n");
	word = POLICY_UNKNOWN;
	assert_begins(explained(&w, false),
		"defer 451 4.7.1 \"cannot be decided now, try again later\" by rule scan (test.policy:6) at eom, since the filter could not say\n");
	eval_env_fini(&w);
	begin(&w, "held : quarantine jail\n");
	assert_begins(explained(&w, false), "quarantine jail by rule held (test.policy:6) at eom\n  held  YES  always -> quarantine jail  test.policy:6\n");
	eval_env_fini(&w);
	begin(&w, "held : quarantine jail\n");
	assert_begins(explained(&w, true),
		"{\"verdict\":\"accept\",\"code\":250,\"enhanced\":\"2.0.0\",\"text\":\"accepted\",\"backend\":\"jail\",\"rule\":\"held\"");
	eval_env_fini(&w);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_word),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_above),
		cmocka_unit_test(test_facts_and_forks),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_not_obeyed),
		cmocka_unit_test(test_quarantine_order),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_explain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
