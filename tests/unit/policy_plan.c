/* policy_plan.c - stage inference and the plan that is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/policy_priv.h"
#include "policy_env.h"

static const struct policy_rule *
rule(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->rule_count; i++)
		if (span_eq(p->rules[i]->name, span_str(name)))
			return p->rules[i];
	fail_msg("no rule %s", name);
	return NULL;
}

static void
check(const struct policy *p, const char *name, enum sp_stage known, enum sp_stage fires, const char *waits_for)
{
	const struct policy_rule *r = rule(p, name);

	if (r->known != known || r->fires != fires)
		fail_msg("%s: known at %s, fires at %s", name, policy_stage_name(r->known), policy_stage_name(r->fires));
	if (waits_for == NULL)
		assert_null(r->waits_for);
	else
		assert_ptr_equal(r->waits_for, rule(p, waits_for));
}

static void
test_stages(void **state)
{
	struct policy *p = env_compile("policy 1\nfilter probe { }\nrules {\n"
				       "net  : if client.port == 1 reject 550 5.7.1 \"net\"\n"
				       "helo : if client.helo == \"x\" or client.port == 2 defer 450 4.7.1 \"h\"\n"
				       "text : if client.port == 3 reject 550 5.7.1 \"for {mail.domain}\"\n"
				       "ok   : if probe.count > 1 accept\n"
				       "late : if client.port == 4 reject 550 5.7.1 \"late\"\n"
				       "head : if probe.pass add-header \"X\" \"y\"\n"
				       "tag1 : if client.port == 5 tag \"t\"\n"
				       "tagd : if tagged \"t\" reject 550 5.7.1 \"t\"\n"
				       "pin  : if client.port == 6 reject 550 5.7.1 \"p\" at data\n"
				       "sh   : if client.port == 7 reject 550 5.7.1 \"s\" shadow\n"
				       "unk  : if client.port == 8 tag \"u\" on unknown reject 550 5.7.1 \"{probe.score}\"\n"
				       "last : accept\n}\n");

	(void)state;
	assert_non_null(p);
	check(p, "net", SP_CONNECT, SP_CONNECT, NULL);
	check(p, "helo", SP_HELO, SP_HELO, NULL);
	check(p, "text", SP_MAIL, SP_MAIL, NULL); /* waits for its text; helo is settled by then */
	check(p, "ok", SP_HEADER, SP_HEADER, NULL);
	check(p, "late", SP_CONNECT, SP_HEADER, "ok");
	check(p, "head", SP_EOM, SP_EOM, NULL);
	check(p, "tag1", SP_CONNECT, SP_HEADER, "ok");
	check(p, "tagd", SP_HEADER, SP_HEADER, NULL); /* known when tag1 has had its effect */
	check(p, "pin", SP_DATA, SP_HEADER, "ok");
	check(p, "sh", SP_CONNECT, SP_CONNECT, NULL); /* shadow rules wait for nobody */
	check(p, "unk", SP_EOM, SP_EOM, NULL);
	check(p, "last", SP_CONNECT, SP_EOM, "unk");
	assert_int_equal(rule(p, "text")->read_count, 2);
	assert_false(policy_reads_rcpt(p));
	policy_free(&p);
}

static void
test_same_class(void **state)
{
	struct policy *p = env_compile("policy 1\nfilter probe { }\nrules {\n"
				       "a : if probe.pass reject 550 5.7.1 \"a\"\n"
				       "b : if client.port == 1 reject 550 5.7.1 \"b\"\n"
				       "c : if client.port == 1 defer 450 4.7.1 \"c\"\n"
				       "d : if probe.pass reject 550 5.7.1 \"d\" on unknown accept\n"
				       "e : if client.port == 1 reject 550 5.7.1 \"e\"\n accept\n}\n");

	(void)state;
	assert_non_null(p);
	check(p, "b", SP_CONNECT, SP_CONNECT, NULL);
	check(p, "c", SP_CONNECT, SP_EOM, "a");
	check(p, "e", SP_CONNECT, SP_EOM, "d"); /* d may accept when it does not know */
	policy_free(&p);
}

/* Accepts wait for accepts whose facts may be unknown, unless those say that they skip then. */
static void
test_careful(void **state)
{
	struct policy *p = env_compile("policy 1\nfilter probe { }\nrules {\n"
				       "a : if probe.count > 1 accept\n"
				       "b : if client.port == 1 accept\n"
				       "c : if client.port == 1 discard\n accept\n}\n");

	(void)state;
	assert_non_null(p);
	check(p, "b", SP_CONNECT, SP_HEADER, "a");
	policy_free(&p);
	p = env_compile("policy 1\nfilter probe { }\nrules {\n"
			"a : if probe.count > 1 accept on unknown skip\n"
			"b : if client.port == 1 accept\n"
			"l : if probe.pass log \"l\"\n"
			"c : if client.port == 2 accept\n accept\n}\n");
	assert_non_null(p);
	check(p, "b", SP_CONNECT, SP_CONNECT, NULL);
	check(p, "c", SP_CONNECT, SP_EOM, "l"); /* what is accepted has had all effects above */
	policy_free(&p);
}

static void
test_on_demand(void **state)
{
	struct policy *p = env_compile("policy 1\nfilter probe { }\nfilter scan { socket \"x\" }\nrules {\n"
				       "s : if probe.name == \"x\" filter scan\n"
				       "v : if scan.virus reject 550 5.7.1 \"v\"\n accept\n}\n");

	(void)state;
	assert_non_null(p);
	check(p, "s", SP_RCPT, SP_RCPT, NULL);
	check(p, "v", SP_EOM, SP_EOM, NULL);
	assert_true(rule(p, "s")->reads_rcpt); /* a filter's fact of the RCPT stage */
	assert_true(rule(p, "v")->reads_rcpt); /* and so is what follows from it */
	assert_true(policy_reads_rcpt(p));
	policy_free(&p);
}

static void
test_reads_rcpt(void **state)
{
	static const struct {
		const char *rules;
		bool reads;
	} rows[] = {
		{ "a : if rcpt.domain == x.example reject 550 5.7.1 \"a\"\n", false },
		{ "a : if rcpt.domain == x.example and message.size > 1K reject 550 5.7.1 \"a\"\n", true },
		{ "a : if message.size > 1K reject 550 5.7.1 \"for {rcpt.address}\"\n", true },
		{ "o : if message.size > 1K accept\n a : if rcpt.domain == x.example reject 550 5.7.1 \"a\"\n", true },
		/* unknown, it would defer, and for that the open reject must be waited for */
		{ "o : if message.size > 1K reject 550 5.7.1 \"o\"\n"
		  "a : if rcpt.domain == x.example reject 550 5.7.1 \"a\"\n",
			true },
		{ "o : if message.size > 1K reject 550 5.7.1 \"o\"\n"
		  "a : if rcpt.domain == x.example reject 550 5.7.1 \"a\" on unknown skip\n",
			false },
		{ "t : if rcpt.domain == x.example tag \"t\"\n"
		  "a : if tagged \"t\" and message.size > 1K reject 550 5.7.1 \"a\"\n",
			true },
		{ "a : if rcpt.domain == x.example and message.size > 1K reject 550 5.7.1 \"a\" shadow\n", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy *p;
		struct buf text;

		buf_init(&text, 4096);
		buf_printf(&text, "policy 1\nrules {\n%saccept\n}\n", rows[i].rules);
		p = env_compile(buf_cstr(&text));
		assert_non_null(p);
		if (policy_reads_rcpt(p) != rows[i].reads)
			fail_msg("row %zu", i);
		policy_free(&p);
		buf_fini(&text);
	}
}

static void
test_unreachable(void **state)
{
	struct policy *p = env_compile("policy 1\nrules {\n a : reject 550 5.7.1 \"a\" shadow\n b : tag \"t\"\n c : accept\n"
				       " d : defer 450 4.7.1 \"d\"\n}\n");
	const struct policy_rule *by = NULL;

	(void)state;
	assert_non_null(p);
	assert_false(plan_unreachable(p, rule(p, "b"), &by));
	assert_false(plan_unreachable(p, rule(p, "c"), &by));
	assert_true(plan_unreachable(p, rule(p, "d"), &by));
	assert_ptr_equal(by, rule(p, "c"));
	policy_free(&p);
}

static void
test_print(void **state)
{
	static const char want[] =
		"connect\n"
		"  net     reject 554 5.7.1           if client.ip in blocked                              test.policy:5\n"
		"          reads client.ip (connect)\n"
		"helo\n"
		"  no rule\n"
		"mail\n"
		"  fail    add-header \"X-SPF\" shadow  if probe.result in (fail, softfail)                  test.policy:9\n"
		"          reads probe.result (mail)\n"
		"rcpt\n"
		"  no rule\n"
		"data\n"
		"  no rule\n"
		"header\n"
		"  ok      accept                     if message.header(\"List-Id\") ~ /example/i            test.policy:6\n"
		"          reads message.header(\"List-Id\") (header)\n"
		"  port    reject 550 5.7.1           if not (client.port == 25 or client.port == 587)     test.policy:7\n"
		"          reads client.port (connect)\n"
		"          pinned at helo\n"
		"          known at helo, waits for 'ok' (test.policy:6), which may still accept\n"
		"eom\n"
		"  big     reject 552 5.3.4           if message.size > limit[rcpt.domain] or score < 2.5  test.policy:8\n"
		"          reads rcpt.domain (rcpt), message.size (eom); judged for each recipient\n"
		"  accept  accept                     always                                               test.policy:10\n"
		"          known at connect, waits for 'big' (test.policy:8), which may still reject\n";
	struct policy *p = env_compile("policy 1\ntable blocked : net { 10.0.0.0/8 }\n"
				       "table limit : domain -> size { a.example -> 1M } default 25M\nfilter probe { } rules {\n"
				       "net  : if client.ip in blocked reject 554 5.7.1 \"net\"\n"
				       "ok   : if message.header(\"List-Id\") ~ /example/i accept\n"
				       "port : if not (client.port == 25 or client.port == 587) reject 550 5.7.1 \"p\" at helo\n"
				       "big  : if message.size > limit[rcpt.domain] or score < 2.5 reject 552 5.3.4 \"big\"\n"
				       "fail : if probe.result in (fail, softfail) add-header \"X-SPF\" \"fail\" shadow\n"
				       "accept }\n");
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	(void)state;
	assert_non_null(p);
	assert_non_null(to);
	policy_plan(p, to);
	fclose(to);
	assert_string_equal(text, want);
	free(text);
	policy_free(&p);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stages),
		cmocka_unit_test(test_same_class),
		cmocka_unit_test(test_careful),
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_reads_rcpt),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
