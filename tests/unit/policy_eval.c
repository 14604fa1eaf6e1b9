/* policy_eval.c - evaluation: verdicts, stages, the kinds of not knowing, effects and texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy_eval_env.h"

#define RULES(text) "policy 1\nfilter probe { }\nrules {\n" text "}\n"

static void
test_first_wins(void **state)
{
	struct eval_env w;
	struct policy_verdict v;

	(void)state;
	eval_env_init(&w, RULES("a : if client.port == 1 reject 550 5.7.1 \"first\"\n"
				"b : if client.port > 0 reject 554 5.7.2 \"second\"\n"
				"c : if client.port > 0 defer 451 4.7.1 \"third\"\n accept\n"));
	set_number(&w, "client.port", 2);
	v = eval_env_stage(&w, SP_CONNECT);
	assert_int_equal(v.verdict, POLICY_REJECT);
	assert_int_equal(v.code, 554);
	assert_span(v.enhanced, "5.7.2");
	assert_span(v.text, "second");
	assert_span(policy_rule_name(v.rule), "b");
	assert_int_equal(v.stage, SP_CONNECT);
	assert_false(v.unknown);
	assert_int_equal(outcome_of(&w, "a"), POLICY_RULE_NO);
	assert_int_equal(outcome_of(&w, "b"), POLICY_RULE_FIRED);
	assert_int_equal(outcome_of(&w, "c"), POLICY_RULE_SKIPPED);
	set_number(&w, "client.port", 1);
	v = eval_env_stage(&w, SP_EOM); /* once given, it stays */
	assert_span(v.text, "second");
	assert_int_equal(v.stage, SP_CONNECT);
	eval_env_fini(&w);
}

/* An open accept above makes a reject wait, an open reject does not. */
static void
test_waits(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, RULES("ok : if probe.pass accept\n r : if client.port == 1 reject 550 5.7.1 \"r\"\n accept\n"));
	set_number(&w, "client.port", 1);
	set_bool(&w, "probe.pass", false);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_UNDECIDED);
	assert_int_equal(outcome_of(&w, "r"), POLICY_RULE_WAITS);
	assert_int_equal(eval_env_stage(&w, SP_HEADER).verdict, POLICY_UNDECIDED);
	assert_int_equal(eval_env_stage(&w, SP_EOM).verdict, POLICY_REJECT);
	eval_env_fini(&w);

	eval_env_init(&w, RULES("x : if probe.pass reject 550 5.7.1 \"x\"\n r : if client.port == 1 reject 550 5.7.1 \"r\"\n"
				" accept\n"));
	set_number(&w, "client.port", 1);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_REJECT);
	assert_int_equal(outcome_of(&w, "x"), POLICY_RULE_SKIPPED);
	eval_env_fini(&w);

	eval_env_init(&w, RULES("x : if probe.pass tag \"t\" on unknown accept\n"
				"r : if client.port == 1 reject 550 5.7.1 \"r\"\n accept\n"));
	set_number(&w, "client.port", 1);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_UNDECIDED);
	assert_int_equal(eval_env_stage(&w, SP_EOM).verdict, POLICY_ACCEPT);
	eval_env_fini(&w);
}

/* "false and X" is false whatever X will be; the fact is not even asked for. */
static void
test_early_no(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, RULES("ok : if client.port == 9 and probe.pass accept\n"
				"r : if probe.pass or client.port == 1 reject 550 5.7.1 \"r\"\n accept\n"));
	set_number(&w, "client.port", 1);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_REJECT);
	assert_int_equal(outcome_of(&w, "ok"), POLICY_RULE_NO);
	assert_true(w.asked > 0);
	eval_env_fini(&w);
}

static void
test_unknown(void **state)
{
	struct eval_env w;
	struct policy_verdict v;

	(void)state;
	eval_env_init(&w, RULES("a : if probe.pass reject 550 5.7.1 \"a\"\n accept\n"));
	v = eval_env_stage(&w, SP_EOM);
	assert_int_equal(v.verdict, POLICY_DEFER);
	assert_int_equal(v.code, 451);
	assert_span(v.enhanced, "4.7.1");
	assert_true(v.unknown);
	assert_span(policy_rule_name(v.rule), "a");
	assert_int_equal(outcome_of(&w, "a"), POLICY_RULE_UNKNOWN);
	eval_env_fini(&w);

	eval_env_init(&w, RULES("a : if not probe.pass reject 550 5.7.1 \"a\" on unknown skip\n"
				"b : if probe.pass or client.port == 1 tag \"t\" on unknown reject 554 5.7.9 \"b {client.port}\"\n"
				"accept\n"));
	set_number(&w, "client.port", 2);
	v = eval_env_stage(&w, SP_EOM);
	assert_int_equal(v.verdict, POLICY_REJECT);
	assert_span(v.text, "b 2");
	assert_true(v.unknown);
	assert_int_equal(outcome_of(&w, "a"), POLICY_RULE_UNKNOWN);
	assert_int_equal(w.acted.len, 0);
	eval_env_fini(&w);
}

/* Pending beats unknown: a rule waits for what may still decide it. */
static void
test_pending_and_unknown(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, RULES("a : if probe.seen and probe.pass reject 550 5.7.1 \"a\"\n accept\n"));
	set_bool(&w, "probe.pass", false);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_UNDECIDED);
	assert_int_equal(outcome_of(&w, "a"), POLICY_RULE_WAITS);
	assert_int_equal(eval_env_stage(&w, SP_EOM).verdict, POLICY_ACCEPT);
	assert_int_equal(outcome_of(&w, "a"), POLICY_RULE_NO);
	eval_env_fini(&w);
}

/* An accept must not pass over an accept above whose fact may come out as unknown. */
static void
test_accept_is_careful(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, RULES("a : if probe.pass accept\n b : if client.port == 1 accept\n reject 550 5.7.1 \"no\"\n"));
	set_number(&w, "client.port", 1);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_UNDECIDED);
	assert_int_equal(eval_env_stage(&w, SP_EOM).verdict, POLICY_DEFER);
	eval_env_fini(&w);

	eval_env_init(&w, RULES("a : if probe.pass accept on unknown skip\n b : if client.port == 1 accept\n"
				"reject 550 5.7.1 \"no\"\n"));
	set_number(&w, "client.port", 1);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_ACCEPT);
	eval_env_fini(&w);
}

static void
test_absent(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, RULES("a : if probe.seen reject 550 5.7.1 \"a\"\n b : if not probe.seen reject 550 5.7.1 \"b\"\n"
				"c : if probe.seen or client.port == 1 reject 550 5.7.1 \"c\"\n accept\n"));
	eval_env_set(&w, "probe.seen", POLICY_ABSENT);
	set_number(&w, "client.port", 2);
	assert_int_equal(eval_env_stage(&w, SP_EOM).verdict, POLICY_ACCEPT);
	assert_int_equal(outcome_of(&w, "a"), POLICY_RULE_NO);
	assert_int_equal(outcome_of(&w, "b"), POLICY_RULE_NO);
	assert_int_equal(outcome_of(&w, "c"), POLICY_RULE_NO);
	eval_env_fini(&w);
}

#define SCAN(text) "policy 1\nfilter scan { socket \"unix:/x\" }\nrules {\n" text "}\n"

static void
test_on_demand(void **state)
{
	static const char text[] = SCAN("s : if client.port == 1 filter scan\n"
					"v : if scan.virus reject 550 5.7.1 \"virus {scan.name}\"\n accept\n");
	struct eval_env w;
	struct policy_verdict v;

	(void)state;
	eval_env_init(&w, text); /* not run: absent, whatever the host would say */
	set_number(&w, "client.port", 2);
	set_bool(&w, "scan.virus", true);
	assert_int_equal(eval_env_stage(&w, SP_EOM).verdict, POLICY_ACCEPT);
	assert_int_equal(outcome_of(&w, "v"), POLICY_RULE_NO);
	assert_int_equal(w.acted.len, 0);
	eval_env_fini(&w);

	eval_env_init(&w, text); /* run: known in the same call */
	set_number(&w, "client.port", 1);
	set_bool(&w, "scan.virus", true);
	set_text(&w, "scan.name", "Eicar");
	v = eval_env_stage(&w, SP_EOM);
	assert_int_equal(v.verdict, POLICY_REJECT);
	assert_span(v.text, "virus Eicar");
	assert_string_equal(buf_cstr(&w.acted), "filter [scan] []\n");
	eval_env_fini(&w);

	eval_env_init(&w, text); /* run and failed: the rule that ran it is unknown */
	set_number(&w, "client.port", 1);
	w.act_status = SP_TIMEOUT;
	v = eval_env_stage(&w, SP_EOM);
	assert_int_equal(v.verdict, POLICY_DEFER);
	assert_span(policy_rule_name(v.rule), "s");
	assert_int_equal(outcome_of(&w, "s"), POLICY_RULE_UNKNOWN);
	eval_env_fini(&w);
}

/* A failed action is not tried again while its rule's verdict has to wait. */
static void
test_act_once(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, SCAN("s : filter scan on unknown reject 550 5.7.1 \"from {mail.domain}\"\n"
			       "v : if scan.virus reject 550 5.7.1 \"v\"\n accept\n"));
	w.act_status = SP_TEMPFAIL;
	set_text(&w, "mail.domain", "example.org");
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_UNDECIDED);
	assert_int_equal(eval_env_stage(&w, SP_HELO).verdict, POLICY_UNDECIDED);
	assert_span(eval_env_stage(&w, SP_MAIL).text, "from example.org");
	assert_string_equal(buf_cstr(&w.acted), "filter [scan] []\n");
	eval_env_fini(&w);
}

static void
test_pin(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, RULES("a : if client.port == 1 reject 550 5.7.1 \"a\" at rcpt\n"
				"b : if client.port == 9 reject 550 5.7.1 \"b\" at rcpt\n accept\n"));
	set_number(&w, "client.port", 1);
	assert_int_equal(eval_env_stage(&w, SP_MAIL).verdict, POLICY_UNDECIDED);
	assert_int_equal(outcome_of(&w, "a"), POLICY_RULE_WAITS);
	assert_int_equal(outcome_of(&w, "b"), POLICY_RULE_WAITS); /* even a plain no */
	assert_int_equal(eval_env_stage(&w, SP_RCPT).verdict, POLICY_REJECT);
	eval_env_fini(&w);
}

static void
test_shadow(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, RULES("a : if client.port == 1 reject 550 5.7.1 \"a\" shadow\n"
				"u : if probe.seen accept shadow\n"
				"t : tag \"t\" shadow\n l : if probe.pass reject 550 5.7.1 \"l\" shadow\n"
				"b : if tagged \"t\" reject 550 5.7.1 \"b\"\n c : if client.port == 1 defer 450 4.7.1 \"c\"\n"
				"accept\n"));
	set_number(&w, "client.port", 1);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_DEFER);
	assert_int_equal(outcome_of(&w, "a"), POLICY_RULE_FIRED);
	assert_int_equal(outcome_of(&w, "u"), POLICY_RULE_UNKNOWN);
	assert_int_equal(outcome_of(&w, "t"), POLICY_RULE_FIRED);
	assert_int_equal(outcome_of(&w, "l"), POLICY_RULE_SKIPPED);
	assert_int_equal(outcome_of(&w, "b"), POLICY_RULE_NO);
	assert_int_equal(w.acted.len, 0);
	eval_env_fini(&w);
}

static void
test_effects(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, RULES("h : add-header \"X-Port\" \"p {client.port}\"\n"
				"g : if probe.seen remove-header \"X-Spam\"\n"
				"l : log \"from {mail.address}\"\n"
				"r : if probe.result == fail reject 550 5.7.1 \"r\"\n"
				"t : tag \"late\"\n accept\n"));
	set_number(&w, "client.port", 25);
	set_bool(&w, "probe.seen", true);
	set_text(&w, "mail.address", "a@b\r\nc");
	set_number(&w, "probe.result", 2);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_UNDECIDED);
	assert_string_equal(buf_cstr(&w.acted), "add-header [X-Port] [p 25]\nremove-header [X-Spam] []\n");
	assert_int_equal(eval_env_stage(&w, SP_MAIL).verdict, POLICY_ACCEPT);
	assert_string_equal(buf_cstr(&w.acted),
		"add-header [X-Port] [p 25]\nremove-header [X-Spam] []\nlog [] [from a@b??c]\ntag [late] []\n");
	eval_env_fini(&w);
}

/* A rule reads the score and the tags of rules above, and waits for those that are open. */
static void
test_score_and_tag(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, RULES("a : if client.port == 1 score 2.5\n"
				"low : if score >= 5.0 reject 550 5.7.1 \"low\"\n"
				"b : if probe.count > 3 score 2.5\n t : if client.port == 1 tag \"t\"\n"
				"high : if score >= 5.0 and tagged \"t\" reject 550 5.7.1 \"high\"\n"
				"c : score 100.0\n accept\n"));
	set_number(&w, "client.port", 1);
	set_number(&w, "probe.count", 4);
	assert_int_equal(eval_env_stage(&w, SP_DATA).verdict, POLICY_UNDECIDED);
	assert_int_equal(outcome_of(&w, "low"), POLICY_RULE_NO);
	assert_int_equal(outcome_of(&w, "high"), POLICY_RULE_WAITS);
	assert_true(policy_eval_score(w.e) > 2.4 && policy_eval_score(w.e) < 2.6);
	assert_int_equal(eval_env_stage(&w, SP_HEADER).verdict, POLICY_REJECT);
	assert_int_equal(outcome_of(&w, "high"), POLICY_RULE_FIRED);
	eval_env_fini(&w);
}

static void
test_tables(void **state)
{
	static const char text[] = "policy 1\ntable blocked : net { 10.0.0.0/8, 2001:db8::/32 }\n"
				   "table limit : domain -> size { example.com -> 1K, .example.com -> 2K } default 4K\n"
				   "table signers : domain { bank.example }\nfilter probe { }\nrules {\n"
				   "net : if client.ip in blocked reject 554 5.7.1 \"net\"\n"
				   "big : if mail.size > limit[mail.domain] reject 552 5.3.4 \"big\"\n"
				   "sig : if probe.domains in signers reject 550 5.7.1 \"sig\"\n"
				   "has : if probe.domains == shop.example reject 550 5.7.1 \"has\"\n"
				   "day : if time.weekday in (saturday, sunday) defer 450 4.7.1 \"day\"\n accept\n}\n";
	static const struct sp_span bank[] = { { "x.example", 9 }, { "bank.example", 12 } };
	static const struct sp_span shop[] = { { "SHOP.example", 12 } };
	static const struct {
		const char *ip, *domain;
		int64_t size, day;
		const struct sp_span *signers;
		const char *rule;
	} rows[] = {
		{ "10.1.2.3", "a.example", 1, 1, NULL, "net" },
		{ "2001:db8::1", "a.example", 1, 1, NULL, "net" },
		{ "192.0.2.1", "example.com", 1024, 1, NULL, "accept" },
		{ "192.0.2.1", "Example.com", 1025, 1, NULL, "big" },
		{ "192.0.2.1", "a.example.com", 2048, 1, NULL, "accept" },
		{ "192.0.2.1", "a.example.com", 2049, 1, NULL, "big" },
		{ "192.0.2.1", "example.org", 4096, 1, NULL, "accept" },
		{ "192.0.2.1", "example.org", 4097, 1, NULL, "big" },
		{ "192.0.2.1", "example.org", 1, 1, bank, "sig" },
		{ "192.0.2.1", "example.org", 1, 1, shop, "has" },
		{ "192.0.2.1", "example.org", 1, 0, NULL, "day" },
		{ "192.0.2.1", "example.org", 1, 6, NULL, "day" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct eval_env w;
		struct sp_value *set;
		struct policy_verdict v;

		eval_env_init(&w, text);
		set_ip(&w, "client.ip", rows[i].ip);
		set_text(&w, "mail.domain", rows[i].domain);
		set_number(&w, "mail.size", rows[i].size);
		set_number(&w, "time.weekday", rows[i].day);
		set = eval_env_set(&w, "probe.domains", POLICY_KNOWN);
		set->u.set.items = rows[i].signers;
		set->u.set.count = rows[i].signers == bank ? 2 : rows[i].signers == shop ? 1 : 0;
		v = eval_env_stage(&w, SP_EOM);
		assert_span(policy_rule_name(v.rule), rows[i].rule);
		eval_env_fini(&w);
	}
}

static void
test_match(void **state)
{
	struct eval_env w;
	char many[3000];

	(void)state;
	eval_env_init(&w, RULES("m : if message.header(\"Subject\") ~ /win(ner)?!/i reject 550 5.7.1 \"m\"\n"
				"n : if client.helo !~ /^[a-z.]+$/ reject 550 5.7.1 \"n\"\n accept\n"));
	set_text(&w, "message.header(\"Subject\")", "You are the WINNER!");
	set_text(&w, "client.helo", "mx.example");
	assert_span(policy_rule_name(eval_env_stage(&w, SP_EOM).rule), "m");
	eval_env_fini(&w);

	/* what takes too long is unknown, not "no match" */
	eval_env_init(&w, RULES("m : if client.helo ~ /^(a+)+b?(a+)+$/ reject 550 5.7.1 \"m\"\n accept\n"));
	memset(many, 'a', sizeof(many));
	many[sizeof(many) - 2] = '!';
	many[sizeof(many) - 1] = '\0';
	set_text(&w, "client.helo", many);
	assert_int_equal(eval_env_stage(&w, SP_EOM).verdict, POLICY_DEFER);
	assert_int_equal(outcome_of(&w, "m"), POLICY_RULE_UNKNOWN);
	eval_env_fini(&w);
}

/* Texts: one line of printable ASCII, at most 480 octets, "-" for what is not known. */
static void
test_text(void **state)
{
	struct eval_env w;
	struct policy_verdict v;
	char many[2000];

	(void)state;
	eval_env_init(&w, RULES("a : if client.port == 1 reject 550 5.7.1 \"{client.helo}, {client.name}, {client.ip}\"\n"
				"accept\n"));
	set_number(&w, "client.port", 1);
	set_text(&w, "client.helo", "a\r\n250 ok\tb\x80\xff");
	set_ip(&w, "client.ip", "2001:db8::1");
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_UNDECIDED); /* waits for HELO */
	v = eval_env_stage(&w, SP_HELO);
	assert_span(v.text, "a??250 ok b??, -, 2001:db8::1");
	eval_env_fini(&w);

	memset(many, 'x', sizeof(many));
	for (size_t len = 478; len <= 480; len++) {
		eval_env_init(&w, RULES("a : reject 550 5.7.1 \"a{client.helo}b\"\n"));
		many[len] = '\0';
		set_text(&w, "client.helo", many);
		v = eval_env_stage(&w, SP_HELO);
		assert_int_equal(v.text.len, 480);
		assert_int_equal(v.text.ptr[479], len == 478 ? 'b' : 'x');
		many[len] = 'x';
		eval_env_fini(&w);
	}
}

/* A copy goes on by itself. */
static void
test_fork(void **state)
{
	struct eval_env w;
	struct policy_eval *other;
	struct policy_verdict v;

	(void)state;
	eval_env_init(&w, RULES("s : score 1.0\n a : if rcpt.domain == a.example reject 550 5.7.1 \"a\"\n accept\n"));
	assert_int_equal(eval_env_stage(&w, SP_MAIL).verdict, POLICY_UNDECIDED);
	other = policy_eval_fork(w.e, w.arena);
	assert_non_null(other);
	set_text(&w, "rcpt.domain", "a.example");
	v = policy_eval_stage(other, SP_RCPT, &w.host);
	assert_int_equal(v.verdict, POLICY_REJECT);
	assert_int_equal(outcome_of(&w, "a"), POLICY_RULE_WAITS);
	set_text(&w, "rcpt.domain", "b.example");
	assert_int_equal(eval_env_stage(&w, SP_RCPT).verdict, POLICY_ACCEPT);
	assert_true(policy_eval_score(other) > 0.5);
	other = policy_eval_fork(w.e, w.arena);
	assert_int_equal(policy_eval_stage(other, SP_EOM, &w.host).verdict, POLICY_ACCEPT);
	eval_env_fini(&w);
}

/* The host may hold back facts of one recipient until the end, where they are unknown at worst. */
static void
test_held_back(void **state)
{
	struct eval_env w;

	(void)state;
	eval_env_init(&w, RULES("a : if rcpt.domain == a.example and message.size > 1K reject 550 5.7.1 \"a\"\n accept\n"));
	eval_env_set(&w, "rcpt.domain", POLICY_PENDING);
	set_number(&w, "message.size", 2000);
	assert_int_equal(eval_env_stage(&w, SP_HEADER).verdict, POLICY_UNDECIDED);
	assert_int_equal(eval_env_stage(&w, SP_EOM).verdict, POLICY_DEFER);
	assert_int_equal(outcome_of(&w, "a"), POLICY_RULE_UNKNOWN);
	eval_env_fini(&w);
}

/* A thousand operands need no more stack than two. */
static void
test_long_chain(void **state)
{
	struct eval_env w;
	struct buf text;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_add_str(&text, "policy 1\nrules {\na : if client.port == 0");
	for (int i = 1; i < 1000; i++)
		buf_printf(&text, " or client.port == %d", i);
	buf_add_str(&text, " reject 550 5.7.1 \"a\"\naccept\n}\n");
	eval_env_init(&w, buf_cstr(&text));
	set_number(&w, "client.port", 999);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_REJECT);
	eval_env_fini(&w);
	eval_env_init(&w, buf_cstr(&text));
	set_number(&w, "client.port", 1000);
	assert_int_equal(eval_env_stage(&w, SP_CONNECT).verdict, POLICY_ACCEPT);
	eval_env_fini(&w);
	buf_fini(&text);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_wins),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_early_no),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_pending_and_unknown),
		cmocka_unit_test(test_accept_is_careful),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_act_once),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_effects),
		cmocka_unit_test(test_score_and_tag),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_held_back),
		cmocka_unit_test(test_long_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
