/*
 * policy_senders.c - what policies need that ask who sent a message: tables handed to modules, filters that state
 * results and read those above, sets of domains and enums in conditions and texts, and what is deferred once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy_eval_env.h"

static const char tables[] = "policy 1\n"
			     "table own    : net              { 127.0.0.0/8, 2001:db8::/32 }\n"
			     "table hosts  : domain -> string { example.com -> \"a\", .example.net -> \"b\" }\n"
			     "table people : address          { boss@example.com, @example.org }\n"
			     "table words  : string           { Word }\n";

static struct policy *
compile(const char *filters)
{
	char text[2048];

	snprintf(text, sizeof(text), "%s%s\nrules { accept }\n", tables, filters);
	return env_compile(text);
}

static unsigned
warnings_of(const char *text)
{
	struct policy_diag d;
	struct policy *p;
	unsigned warnings;

	policy_diag_init(&d);
	p = policy_compile_text("t", span_str(text), &test_env, &d);
	assert_non_null(p);
	warnings = d.warnings;
	policy_free(&p);
	policy_diag_fini(&d);
	return warnings;
}

/* ---- tables of modules ------------------------------------------------------------------------ */

static bool
has_text(const struct sp_table *t, enum sp_type type, const char *text)
{
	struct sp_value key = { type, { .text = span_str(text) } };

	return policy_table_has(t, &key);
}

static bool
has_ip(const struct sp_table *t, const char *text)
{
	struct sp_value key = { SP_IP, { .ip = { 0 } } };

	assert_int_equal(span_to_ip(span_str(text), &key.u.ip), SP_OK);
	return policy_table_has(t, &key);
}

static void
test_table_has(void **state)
{
	struct policy *p = compile("filter guard { nets own names hosts people people words words any hosts }");
	const struct env_guard *g = policy_filter(p, 0)->conf;

	(void)state;
	assert_true(g->local); /* it can be asked in load() */
	assert_true(has_ip(g->nets, "127.1.2.3") && has_ip(g->nets, "2001:db8::1"));
	assert_false(has_ip(g->nets, "128.0.0.1") || has_ip(g->nets, "2001:db9::1"));
	assert_true(has_text(g->names, SP_DOMAIN, "example.com") && has_text(g->names, SP_DOMAIN, "EXAMPLE.com"));
	assert_false(has_text(g->names, SP_DOMAIN, "a.example.com") || has_text(g->names, SP_DOMAIN, "example.net"));
	assert_true(has_text(g->names, SP_DOMAIN, "a.b.example.net"));
	assert_true(has_text(g->people, SP_ADDRESS, "boss@EXAMPLE.com") && has_text(g->people, SP_ADDRESS, "a@example.org"));
	assert_false(has_text(g->people, SP_ADDRESS, "a@example.com"));
	assert_true(has_text(g->words, SP_STRING, "Word"));
	assert_false(has_text(g->words, SP_STRING, "word"));
	assert_ptr_equal(g->any, g->names);
	policy_free(&p);
}

static void
test_table_of_set(void **state)
{
	static const struct sp_span items[] = { { "other.example", 13 }, { "example.com", 11 } };
	struct sp_value key = { SP_DOMAINS, { .set = { items, 2 } } };
	struct policy *p = compile("filter guard { names hosts }");
	const struct env_guard *g = policy_filter(p, 0)->conf;

	(void)state;
	assert_true(policy_table_has(g->names, &key));
	key.u.set.count = 1;
	assert_false(policy_table_has(g->names, &key));
	key.u.set.count = 0;
	assert_false(policy_table_has(g->names, &key));
	policy_free(&p);
}

/* A key of another type is in no table, and nothing is in none. */
static void
test_table_other_key(void **state)
{
	struct policy *p = compile("filter guard { nets own names hosts people people words words }");
	const struct env_guard *g = policy_filter(p, 0)->conf;

	(void)state;
	assert_false(has_text(g->nets, SP_STRING, "127.0.0.1"));
	assert_false(has_ip(g->names, "127.0.0.1"));
	assert_false(has_text(g->names, SP_ADDRESS, "example.com"));
	assert_false(has_text(g->people, SP_STRING, "boss@example.com"));
	assert_false(has_text(g->words, SP_DOMAIN, "Word"));
	assert_false(has_ip(NULL, "127.0.0.1"));
	policy_free(&p);
}

static void
test_none(void **state)
{
	struct policy *p = compile("filter guard\nfilter guard b { nets none names none any none file none }\n"
				   "filter guard c { file \"none\" }");
	const struct env_guard *g;
	char path[4200], cwd[4096];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		g = policy_filter(p, i)->conf;
		assert_null(g->nets);
		assert_null(g->names);
		assert_null(g->any);
		assert_null(g->file);
		assert_false(g->local);
	}
	g = policy_filter(p, 2)->conf;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(path, sizeof(path), "%s/none", cwd);
	assert_string_equal(g->file, path); /* a file of that name is put in quotes */
	policy_free(&p);
}

/* ---- filters that state results ------------------------------------------------------------------- */

#define JUDGE "table signers : domain { example.com }\nfilter guard\nfilter probe { }\nfilter judge { keys signers }\n"

static void
test_states_results(void **state)
{
	struct policy *p = compile(JUDGE "filter judge spare { keys hosts }");

	(void)state;
	assert_false(policy_filter(p, 1)->wanted);
	assert_true(policy_filter(p, 2)->wanted); /* though no rule reads it */
	assert_true(policy_filter(p, 3)->wanted);
	assert_false(policy_filter(p, 2)->on_demand);
	policy_free(&p);

	p = env_compile("policy 1\n" JUDGE "rules { a : if client.port == 1 filter judge\n accept }\n");
	assert_true(policy_filter(p, 2)->on_demand && policy_filter(p, 2)->wanted);
	policy_free(&p);
}

/* Its own module, named in "after", is no reason to stand below itself. */
static void
test_after(void **state)
{
	(void)state;
	assert_int_equal(warnings_of("policy 1\n" JUDGE "filter judge two { keys signers }\n"
				     "rules { a : if probe.seen reject accept }"), 0);
	/* one word for each module that is missing, at the first use */
	assert_int_equal(warnings_of("policy 1\ntable signers : domain { example.com }\nfilter judge { keys signers }\n"
				     "filter judge two { keys signers }\nrules { accept }"), 2);
}

/* ---- conditions and texts --------------------------------------------------------------------------- */

static void
set_domains(struct eval_env *w, const char *fact, const struct sp_span *items, size_t count)
{
	struct sp_value *v = eval_env_set(w, fact, POLICY_KNOWN);

	v->u.set.items = items;
	v->u.set.count = count;
}

static enum policy_class
verdict_of_set(const char *condition, const struct sp_span *items, size_t count)
{
	struct eval_env w;
	enum policy_class verdict;
	char text[1024];

	/* rule b uses the table whatever the condition is */
	snprintf(text, sizeof(text), "policy 1\ntable lists : domain { lists.example, .lists.example }\nfilter probe { }\n"
				     "rules { a : if %s reject 550 5.7.1 \"x\"\n b : if mail.domain in lists accept\n accept }\n",
		condition);
	eval_env_init(&w, text);
	set_domains(&w, "probe.domains", items, count);
	set_text(&w, "mail.domain", "Example.com");
	verdict = eval_env_stage(&w, SP_EOM).verdict;
	eval_env_fini(&w);
	return verdict;
}

static void
test_sets(void **state)
{
	static const struct sp_span two[] = { { "b.lists.example", 15 }, { "example.com", 11 } };

	(void)state;
	assert_int_equal(verdict_of_set("probe.domains in lists", two, 2), POLICY_REJECT);
	assert_int_equal(verdict_of_set("probe.domains not in lists", two, 2), POLICY_ACCEPT);
	assert_int_equal(verdict_of_set("probe.domains in lists", two + 1, 1), POLICY_ACCEPT);
	assert_int_equal(verdict_of_set("probe.domains not in lists", two, 0), POLICY_REJECT);
	assert_int_equal(verdict_of_set("mail.domain in probe.domains", two, 2), POLICY_REJECT);
	assert_int_equal(verdict_of_set("mail.domain in probe.domains", two, 1), POLICY_ACCEPT);
	assert_int_equal(verdict_of_set("mail.domain in probe.domains", two, 0), POLICY_ACCEPT);
	assert_int_equal(verdict_of_set("probe.domains in (example.org, example.com)", two, 2), POLICY_REJECT);
	assert_int_equal(verdict_of_set("probe.domains in (example.org, example.com)", two, 1), POLICY_ACCEPT);
	assert_int_equal(verdict_of_set("probe.domains == mail.domain", two, 2), POLICY_REJECT);
	assert_int_equal(verdict_of_set("not probe.domains", two, 0), POLICY_REJECT);
}

static enum policy_class
verdict_of_result(const char *condition, int64_t result)
{
	struct eval_env w;
	enum policy_class verdict;
	char text[1024];

	snprintf(text, sizeof(text), "policy 1\nfilter probe { }\nrules { a : if %s reject 550 5.7.1 \"x\"\n accept }\n", condition);
	eval_env_init(&w, text);
	set_number(&w, "probe.result", result);
	set_text(&w, "auth.user", "");
	verdict = eval_env_stage(&w, SP_EOM).verdict;
	eval_env_fini(&w);
	return verdict;
}

/* none neutral pass fail softfail temperror permerror */
static void
test_enums(void **state)
{
	(void)state;
	assert_int_equal(verdict_of_result("probe.result in (fail, softfail)", 3), POLICY_REJECT);
	assert_int_equal(verdict_of_result("probe.result in (fail, softfail)", 4), POLICY_REJECT);
	assert_int_equal(verdict_of_result("probe.result in (fail, softfail)", 2), POLICY_ACCEPT);
	assert_int_equal(verdict_of_result("probe.result not in (fail, softfail)", 2), POLICY_REJECT);
	assert_int_equal(verdict_of_result("probe.result != pass and auth.user == \"\"", 5), POLICY_REJECT);
	assert_int_equal(verdict_of_result("probe.result != pass and auth.user != \"\"", 5), POLICY_ACCEPT);
}

static void
test_texts(void **state)
{
	static const struct sp_span two[] = { { "example.org", 11 }, { "example.com", 11 } };
	struct eval_env w;

	(void)state;
	eval_env_init(&w, "policy 1\nfilter probe { }\n"
			  "rules { reject 550 5.7.1 \"SPF {probe.result}, DKIM {probe.domains}, both {probe.pass}\" }\n");
	set_number(&w, "probe.result", 4);
	set_domains(&w, "probe.domains", two, 2);
	eval_env_set(&w, "probe.pass", POLICY_UNKNOWN);
	assert_span(eval_env_stage(&w, SP_EOM).text, "SPF softfail, DKIM example.org, example.com, both -");
	eval_env_fini(&w);
}

/* ---- deferred once ------------------------------------------------------------------------------------ */

static const char once[] = "policy 1\nfilter probe { }\n"
			   "filter rate once { retry : key client.ip, mail.address 1/4h }\n"
			   "rules {\n"
			   "  ask  : if probe.pass filter once\n"
			   "  wait : if probe.pass and not once.retry.over defer 451 4.4.3 \"later\"\n"
			   "  accept\n}\n";

static enum policy_class
verdict_once(bool pass, bool over)
{
	struct eval_env w;
	enum policy_class verdict;

	eval_env_init(&w, once);
	set_bool(&w, "probe.pass", pass);
	set_bool(&w, "once.retry.over", over);
	assert_int_equal(eval_env_stage(&w, SP_HEADER).verdict, POLICY_UNDECIDED);
	verdict = eval_env_stage(&w, SP_EOM).verdict;
	assert_string_equal(buf_cstr(&w.acted), pass ? "filter [once] []\n" : "");
	eval_env_fini(&w);
	return verdict;
}

static void
test_deferred_once(void **state)
{
	struct policy *p = env_compile(once);
	const struct env_rate_entry *e = policy_filter(p, 1)->entries[0].conf;

	(void)state;
	assert_int_equal(e->rate.count, 1);
	assert_int_equal(e->rate.period_ms, 4 * 3600 * 1000);
	assert_int_equal(policy_filter(p, 1)->entries[0].stage, SP_MAIL);
	policy_free(&p);
	assert_int_equal(verdict_once(true, false), POLICY_DEFER);
	assert_int_equal(verdict_once(true, true), POLICY_ACCEPT);
	assert_int_equal(verdict_once(false, false), POLICY_ACCEPT); /* not asked for: does not apply */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_has),
		cmocka_unit_test(test_table_of_set),
		cmocka_unit_test(test_table_other_key),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_states_results),
		cmocka_unit_test(test_after),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_enums),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_deferred_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
