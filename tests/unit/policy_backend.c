/* policy_backend.c - the verb "backend": when it fires, for whom it waits, and what it asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/policy_priv.h"
#include "policy_eval_env.h"

#define HEAD "policy 1\nbackend one { address 127.0.0.1:1 }\nbackend two { address 127.0.0.1:2 }\nfilter probe { }\nrules {\n"

static void
fires(const char *rules, const char *name, enum sp_stage stage)
{
	char text[2048];
	struct policy *p;
	const struct policy_rule *r = NULL;

	snprintf(text, sizeof(text), HEAD "%s\n accept\n}\n", rules);
	p = env_compile(text);
	assert_non_null(p);
	for (size_t i = 0; i < p->rule_count; i++)
		if (span_eq(p->rules[i]->name, span_str(name)))
			r = p->rules[i];
	assert_non_null(r);
	assert_int_equal(r->fires, stage);
	policy_free(&p);
}

static void
test_fires(void **state)
{
	(void)state;
	fires("a : if client.port == 1 backend two", "a", SP_CONNECT);
	fires("a : if rcpt.domain == example.com backend two", "a", SP_RCPT);
	/* a refusal above makes it moot, a note above is none of its business */
	fires("r : if message.size > 1M reject\n a : if client.port == 1 backend two", "a", SP_CONNECT);
	fires("r : if message.size > 1M defer\n a : if mail.domain == example.com backend two", "a", SP_MAIL);
	fires("r : if message.size > 1M tag t\n a : if mail.domain == example.com backend two", "a", SP_MAIL);
	/* an accept above would pass it over */
	fires("r : if mail.domain == example.net accept\n a : if client.port == 1 backend two", "a", SP_MAIL);
	fires("r : if mail.domain == example.net reject on unknown accept\n a : if client.port == 1 backend two", "a", SP_MAIL);
	fires("r : if message.size > 1M accept shadow\n a : if client.port == 1 backend two", "a", SP_CONNECT);
	/* and an accept below must not pass over it */
	fires("a : if rcpt.domain == example.com backend two\n b : if client.port == 1 accept", "b", SP_RCPT);
}

static void
refused(const char *rules, const char *what)
{
	struct policy_diag d;
	struct policy *p;
	char text[2048];

	snprintf(text, sizeof(text), HEAD "%s\n accept\n}\n", rules);
	policy_diag_init(&d);
	p = policy_compile_text("test.policy", span_str(text), &test_env, &d);
	assert_null(p);
	assert_int_equal(d.errors, 1);
	if (strstr(buf_cstr(&d.text), what) == NULL)
		fail_msg("'%s' is not in: %s", what, buf_cstr(&d.text));
	policy_diag_fini(&d);
}

static void
test_too_late(void **state)
{
	(void)state;
	refused("a : if message.size > 1M backend two", "'message.size' is not known before eom");
	refused("a : if probe.score > 1.0 backend two", "'probe.score' is not known before ");
	refused("a : if client.port == 1 backend two at header", "rule 'a' is not decided before header");
	refused("s : if message.size > 1M score 5.0\n a : if score > 1.0 backend two", "rule 'a' is not decided before eom");
	refused("r : if message.size > 1M accept\n a : if client.port == 1 backend two", "must wait until eom for rule 'r'");
	refused("a : if client.port == 1 backend tow", "did you mean 'two'?");
}

static void
test_acts(void **state)
{
	struct eval_env w;
	struct policy_verdict v;

	(void)state;
	eval_env_init(&w, HEAD "late : if message.size > 1M reject\n"
		"a : if client.port == 1 backend two\n b : if client.port == 2 backend one\n"
		"c : if client.port == 1 backend one shadow\n d : if client.helo == \"x\" backend one\n accept\n}\n");
	set_number(&w, "client.port", 1);
	v = policy_eval_stage(w.e, SP_CONNECT, &w.host);
	assert_int_equal(v.verdict, POLICY_UNDECIDED);
	assert_string_equal(buf_cstr(&w.acted), "backend [two] []\n");
	assert_true(policy_routes_to(w.p, SPAN_LIT("two")));
	assert_true(policy_routes_to(w.p, SPAN_LIT("one")));
	assert_false(policy_routes_to(w.p, SPAN_LIT("three")));
	eval_env_fini(&w);
}

static void
test_shadow_routes_nowhere(void **state)
{
	struct policy *p = env_compile(HEAD "c : if client.port == 1 backend one shadow\n accept\n}\n");

	(void)state;
	assert_non_null(p);
	assert_false(policy_routes_to(p, SPAN_LIT("one")));
	policy_free(&p);
}

/* A place for quarantine gets mail, but no recipient is meant for it: it need not offer what others do. */
static void
test_quarantine_chooses_nothing(void **state)
{
	struct policy *p = env_compile(HEAD "q : if client.port == 1 quarantine one\n b : if client.port == 2 backend two\n accept\n}\n");

	(void)state;
	assert_non_null(p);
	assert_true(policy_routes_to(p, SPAN_LIT("one")) && policy_routes_to(p, SPAN_LIT("two")));
	assert_false(policy_chooses(p, SPAN_LIT("one")));
	assert_true(policy_chooses(p, SPAN_LIT("two")));
	policy_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fires),
		cmocka_unit_test(test_too_late),
		cmocka_unit_test(test_acts),
		cmocka_unit_test(test_shadow_routes_nowhere),
		cmocka_unit_test(test_quarantine_chooses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
