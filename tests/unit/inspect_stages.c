/* The facts, hooks and verdicts of each stage, on demand and for several recipients. */
#include "tests/unit/inspect_env.h"

#include <malloc.h>

#define MESSAGE "From: a\r\nSubject: hello\r\n  world\r\n\r\none\r\n..two\r\n.\r\n"

/* ---- facts of the program itself -------------------------------------------------------------- */

struct fact_case {
	const char *condition;
	enum sp_stage stage;
};

static const struct fact_case fact_cases[] = {
	{ "client.ip == 192.0.2.1", SP_CONNECT },
	{ "client.port == 4711", SP_CONNECT },
	{ "listener.name == \"*:25\"", SP_CONNECT },
	{ "time.hour >= 0 and time.hour < 24", SP_CONNECT },
	{ "time.weekday in (mon, tue, wed, thu, fri, sat, sun)", SP_CONNECT },
	{ "client.helo == \"mx.example.org\"", SP_HELO },
	{ "not tls.active and tls.version == \"\" and tls.cipher == \"\"", SP_MAIL },
	{ "auth.user == \"\"", SP_MAIL },
	{ "mail.address == a@example.org", SP_MAIL },
	{ "mail.local == \"a\" and mail.domain == example.org", SP_MAIL },
	{ "rcpt.address == bob@example.com", SP_RCPT },
	{ "rcpt.local == \"bob\" and rcpt.domain == example.com and rcpt.count == 1", SP_RCPT },
	{ "message.header(\"Subject\") == \"hello  world\"", SP_HEADER },
	{ "message.header(\"subject\") == \"hello  world\" and message.header(\"X\") == \"\"", SP_HEADER },
	{ "message.has_header(\"from\") and not message.has_header(\"To\")", SP_HEADER },
	{ "message.header_count == 2 and message.received == 0", SP_HEADER },
	{ "message.header_size == 36", SP_HEADER },
	{ "message.size == 47", SP_EOM },
};

/* Each condition is true, and decides at its stage, neither before nor after. */
static void
host_facts(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(fact_cases) / sizeof(fact_cases[0]); n++) {
		struct world w;
		char text[512];

		snprintf(text, sizeof(text), "policy 1\nrules {\n r : if %s reject 550 5.7.1 \"no\"\n accept\n}\n",
			fact_cases[n].condition);
		world_init(&w, text);
		for (int stage = SP_CONNECT; stage <= SP_EOM; stage++) {
			if (stage == SP_CONNECT)
				world_connect(&w);
			else if (stage == SP_HELO)
				world_helo(&w, "mx.example.org");
			else if (stage == SP_MAIL)
				world_mail(&w, "a@Example.ORG", -1);
			else if (stage == SP_RCPT)
				world_rcpt(&w, "bob@Example.com");
			else if (stage == SP_DATA)
				w.verdict = inspect_data(w.in, RT_NEVER);
			else if (stage == SP_HEADER)
				world_message(&w, MESSAGE, 0);
			if (w.verdict.verdict == POLICY_REJECT)
				break;
		}
		if (w.verdict.verdict != POLICY_REJECT || w.verdict.stage != fact_cases[n].stage)
			fail_msg("%s at stage %d", fact_cases[n].condition, (int)w.verdict.stage);
		assert_int_equal(w.verdict.code, 550);
		world_fini(&w);
	}
}

/* Without SIZE= a rule on it does not fire, whichever way it asks. */
static void
declared_size(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "policy 1\nrules {\n big : if mail.size > 1M reject 552 5.3.4 \"big\"\n"
		" small : if mail.size <= 1M reject 550 5.7.1 \"small\"\n accept\n}\n");
	assert_int_equal(world_mail(&w, "a@b.example", 2 << 20), POLICY_REJECT);
	assert_string_equal(world_rule(&w), "big");
	assert_int_equal(world_mail(&w, "a@b.example", 5), POLICY_REJECT);
	assert_string_equal(world_rule(&w), "small");
	assert_int_equal(world_mail(&w, "", -1), POLICY_ACCEPT);
	world_fini(&w);
}

static void
tls_and_user(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "policy 1\nrules {\n t : if tls.active and tls.version == \"TLSv1.3\" and tls.cipher == \"X\" and "
		"auth.user == \"eve\" and client.helo == \"\" reject 550 5.7.1 \"no\"\n accept\n}\n");
	world_connect(&w);
	world_helo(&w, "before");
	inspect_tls(w.in, SPAN_LIT("TLSv1.3"), SPAN_LIT("X"));
	inspect_auth(w.in, SPAN_LIT("eve"), SPAN_LIT("PLAIN"));
	assert_int_equal(world_mail(&w, "a@b.example", -1), POLICY_REJECT);
	assert_string_equal(world_rule(&w), "t");
	world_fini(&w);
}

/* ---- filters ------------------------------------------------------------------------------------- */

#define WATCHED(rule) "policy 1\nfilter watch\nrules {\n r : if " rule " reject 550 5.7.1 \"no\"\n accept\n}\n"

static const struct fact_case filter_cases[] = {
	{ WATCHED("watch.connect == 192.0.2.1"), SP_CONNECT },
	{ WATCHED("watch.helo == \"mx.example.org\""), SP_HELO },
	{ WATCHED("watch.mail == example.org"), SP_MAIL },
	{ WATCHED("watch.rcpt == \"bob\""), SP_RCPT },
	{ WATCHED("watch.header == 2"), SP_HEADER },
	{ WATCHED("not watch.eom and watch.word == good"), SP_EOM },
};

static void
run_until_refused(struct world *w)
{
	if (world_connect(w) == POLICY_UNDECIDED && world_helo(w, "mx.example.org") == POLICY_UNDECIDED &&
		world_mail(w, "a@example.org", -1) == POLICY_UNDECIDED &&
		world_rcpt(w, "bob@example.com") == POLICY_UNDECIDED) {
		inspect_data(w->in, RT_NEVER);
		world_message(w, MESSAGE, 7);
	}
}

static void
filter_facts(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(filter_cases) / sizeof(filter_cases[0]); n++) {
		struct world w;

		world_init(&w, filter_cases[n].condition);
		run_until_refused(&w);
		assert_int_equal(w.verdict.verdict, POLICY_REJECT);
		assert_int_equal(w.verdict.stage, filter_cases[n].stage);
		world_fini(&w);
	}
}

/* A fact that was not set by the end of its stage is unknown: 451, unless the rule says otherwise. */
static void
unset_is_unknown(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(filter_cases) / sizeof(filter_cases[0]); n++) {
		struct world w;

		world_init(&w, filter_cases[n].condition);
		watch_silent = true;
		watch_status[filter_cases[n].stage] = n % 2 ? SP_TEMPFAIL : SP_OK;
		run_until_refused(&w);
		if (w.verdict.verdict != POLICY_DEFER)
			fail_msg("%s: %s", filter_cases[n].condition, policy_class_name(w.verdict.verdict));
		assert_true(w.verdict.unknown);
		assert_int_equal(w.verdict.code / 100, 4);
		assert_int_equal(w.verdict.stage, filter_cases[n].stage);
		world_fini(&w);
	}
}

static void
all_hooks_in_order(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, WATCHED("watch.eom"));
	world_envelope(&w);
	assert_int_equal(world_message(&w, MESSAGE, 3), POLICY_ACCEPT);
	inspect_free(&w.in);
	assert_string_equal(seen, "connect helo1 mail rcpt(0:bob) data From Subject eoh(36) "
		"eom(47,one\r\n.two\r\n) reset close ");
	world_fini(&w);
}

/* SP_NONE: not called again in this transaction, but in the next. */
static void
none_skips(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, WATCHED("watch.eom"));
	watch_status[SP_MAIL] = SP_NONE;
	world_envelope(&w);
	watch_status[SP_MAIL] = SP_OK;
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_DEFER);
	assert_string_equal(seen, "connect helo1 mail ");
	seen[0] = '\0';
	world_mail(&w, "a@example.org", -1);
	world_rcpt(&w, "bob@example.com");
	assert_string_equal(seen, "reset mail rcpt(0:bob) ");
	world_fini(&w);
}

/* Not wanted by any rule: never called. */
static void
unwanted_is_not_called(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "policy 1\nfilter watch\nrules {\n accept\n}\n");
	world_envelope(&w);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_string_equal(seen, "");
	world_fini(&w);
}

static void
ehlo_again(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, WATCHED("watch.helo == \"bad\" or watch.connect == 10.0.0.1"));
	world_connect(&w);
	assert_int_equal(world_helo(&w, "bad"), POLICY_REJECT);
	assert_int_equal(world_helo(&w, "good"), POLICY_ACCEPT);
	assert_int_equal(world_helo(&w, "bad"), POLICY_REJECT);
	watch_silent = true;
	assert_int_equal(world_helo(&w, "bad"), POLICY_DEFER);
	assert_string_equal(seen, "connect helo1 helo2 helo3 helo4 ");
	world_fini(&w);
}

/* ---- time ----------------------------------------------------------------------------------------- */

static void
budget_used_up(void **state)
{
	struct world w;
	struct command_path mail = { .size = -1 };

	(void)state;
	world_init(&w, WATCHED("watch.mail == example.org"));
	world_connect(&w);
	w.verdict = inspect_mail(w.in, &mail, 0);
	assert_int_equal(w.verdict.verdict, POLICY_DEFER);
	assert_true(w.verdict.unknown);
	assert_string_equal(seen, "connect ");
	assert_non_null(strstr(logged, "filter watch: "));
	world_fini(&w);
}

/* ---- on demand ------------------------------------------------------------------------------------- */

/* Whenever it is called for, it sees the same. */
static void
demand_catches_up(void **state)
{
	static const char *const calls[] = {
		"client.ip == 192.0.2.1", "client.helo == \"mx.example.org\"", "mail.local == \"a\"", "rcpt.local == \"bob\"",
		"message.header_count == 2", "message.size == 47"
	};

	(void)state;
	for (size_t n = 0; n < sizeof(calls) / sizeof(calls[0]); n++) {
		struct world w;
		char text[512];

		snprintf(text, sizeof(text), "policy 1\nfilter watch\nrules {\n scan : if %s filter watch\n"
			" found : if watch.word == good reject 550 5.7.1 \"no\"\n accept\n}\n", calls[n]);
		world_init(&w, text);
		world_envelope(&w);
		assert_int_equal(world_message(&w, MESSAGE, 5), POLICY_REJECT);
		inspect_free(&w.in);
		assert_string_equal(seen, n < 2 ? "connect helo1 mail rcpt(0:bob) data From Subject eoh(36) "
			"eom(47,one\r\n.two\r\n) reset close " : "connect helo1 mail rcpt(0:bob) data From Subject eoh(36) "
			"eom(47,one\r\n.two\r\n) reset close! ");
		world_fini(&w);
	}
}

static void
demand_not_made(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "policy 1\nfilter watch\nrules {\n scan : if mail.local == \"x\" filter watch\n"
		" found : if watch.word == good reject 550 5.7.1 \"no\"\n"
		" other : if watch.word == bad reject 550 5.7.1 \"no\"\n accept\n}\n");
	world_envelope(&w);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_string_equal(seen, "");
	world_fini(&w);
}

#define SCAN_FOR_ANN "policy 1\nfilter watch\nrules {\n scan : if rcpt.local == \"ann\" filter watch\n" \
	" found : if watch.word == good reject 550 5.7.1 \"for {rcpt.local}\"\n accept\n}\n"

/* Called for by one recipient: its facts are absent for the others. */
static void
demand_of_one_recipient(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SCAN_FOR_ANN);
	world_connect(&w);
	world_mail(&w, "a@example.org", -1);
	world_rcpt(&w, "bob@example.com");
	world_rcpt(&w, "ann@example.com");
	world_rcpt(&w, "cyd@example.com");
	inspect_data(w.in, RT_NEVER);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_REJECT);
	assert_int_equal(w.verdict.text.len, 7);
	assert_memory_equal(w.verdict.text.ptr, "for ann", 7);
	assert_non_null(strstr(seen, "connect mail rcpt(0:bob) rcpt(1:ann) rcpt(2:cyd) data "));
	world_fini(&w);
}

/* The backend refused the one who called for it: it is ended, and begins anew for the next. */
static void
demand_released(void **state)
{
	struct world w;
	struct address a;

	(void)state;
	world_init(&w, SCAN_FOR_ANN);
	world_connect(&w);
	world_mail(&w, "a@example.org", -1);
	world_rcpt(&w, "bob@example.com");
	assert_int_equal(address_parse_bare(SPAN_LIT("ann@example.com"), &a), ADDRESS_OK);
	inspect_rcpt(w.in, &a, RT_NEVER);
	inspect_rcpt_result(w.in, false);
	assert_string_equal(seen, "connect mail rcpt(0:bob) rcpt(1:ann) reset close! ");
	inspect_data(w.in, RT_NEVER);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_string_equal(seen, "connect mail rcpt(0:bob) rcpt(1:ann) reset close! ");
	world_fini(&w);
}

/* What it said for a recipient who was refused is forgotten with it: when it cannot say any more, it is unknown. */
static void
demand_released_says_nothing(void **state)
{
	struct world w;
	struct address a;
	struct policy_verdict v;

	(void)state;
	world_init(&w, "policy 1\nfilter watch\nrules {\n scan : if rcpt.local == \"ann\" filter watch\n"
		" found : if watch.mail == \"example.org\" reject 550 5.7.1 \"known\"\n accept\n}\n");
	world_connect(&w);
	world_mail(&w, "a@example.org", -1);
	assert_int_equal(address_parse_bare(SPAN_LIT("ann@example.com"), &a), ADDRESS_OK);
	v = inspect_rcpt(w.in, &a, RT_NEVER);
	assert_int_equal(v.verdict, POLICY_REJECT);
	inspect_rcpt_result(w.in, false);
	watch_silent = true;
	v = inspect_rcpt(w.in, &a, RT_NEVER);
	watch_silent = false;
	assert_int_equal(v.verdict, POLICY_DEFER);
	assert_true(v.unknown);
	world_fini(&w);
}

/* ---- recipients -------------------------------------------------------------------------------------- */

#define BY_RCPT "policy 1\nrules {\n" \
	" vip  : if rcpt.local == \"vip\" accept\n" \
	" drop : if rcpt.local == \"drop\" discard\n" \
	" wait : if rcpt.local == \"wait\" and message.size > 10 defer 451 4.7.1 \"wait for {rcpt.local}\"\n" \
	" hard : if rcpt.local == \"hard\" and message.size > 10 reject 550 5.7.1 \"no to {rcpt.local}\"\n" \
	" early : if rcpt.local == \"early\" reject 550 5.1.1 \"early\"\n" \
	" accept\n}\n"

static const struct rcpt_case {
	const char *rcpts[4];
	enum policy_class verdict;
	const char *rule;
} rcpt_cases[] = {
	{ { "bob" }, POLICY_ACCEPT, "accept" },
	{ { "bob", "wait" }, POLICY_DEFER, "wait" },
	{ { "wait", "hard", "bob" }, POLICY_REJECT, "hard" },
	{ { "hard", "wait", "vip" }, POLICY_REJECT, "hard" },
	{ { "vip", "wait" }, POLICY_DEFER, "wait" },
	{ { "drop" }, POLICY_DISCARD, "drop" },
	{ { "drop", "drop" }, POLICY_DISCARD, "drop" },
	{ { "drop", "vip" }, POLICY_ACCEPT, "vip" }, /* or the mail of vip would vanish */
	{ { "drop", "wait" }, POLICY_DEFER, "wait" },
	{ { "early", "vip" }, POLICY_ACCEPT, "vip" },
	{ { "early", "hard" }, POLICY_REJECT, "hard" },
};

static void
strictest_speaks(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(rcpt_cases) / sizeof(rcpt_cases[0]); n++) {
		const struct rcpt_case *c = &rcpt_cases[n];
		struct world w;

		world_init(&w, BY_RCPT);
		world_connect(&w);
		world_mail(&w, "a@example.org", -1);
		for (size_t r = 0; r < 4 && c->rcpts[r] != NULL; r++) {
			char address[64];

			snprintf(address, sizeof(address), "%s@example.com", c->rcpts[r]);
			world_rcpt(&w, address);
			assert_int_equal(w.verdict.verdict == POLICY_REJECT, strcmp(c->rcpts[r], "early") == 0);
		}
		inspect_data(w.in, RT_NEVER);
		assert_int_equal(world_message(&w, MESSAGE, 0), c->verdict);
		if (c->verdict != POLICY_ACCEPT || strcmp(c->rule, "accept") != 0)
			assert_string_equal(world_rule(&w), c->rule);
		world_fini(&w);
	}
}

/* No recipient was taken: still a verdict. */
static void
nobody_left(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, BY_RCPT);
	world_connect(&w);
	world_mail(&w, "a@example.org", -1);
	inspect_data(w.in, RT_NEVER);
	world_message(&w, MESSAGE, 0);
	assert_int_not_equal(w.verdict.verdict, POLICY_UNDECIDED);
	inspect_reset(w.in);
	w.verdict = inspect_end(w.in, NULL);
	assert_int_equal(w.verdict.verdict, POLICY_DEFER);
	assert_null(w.verdict.rule);
	assert_int_equal(w.verdict.code, 451);
	world_fini(&w);
}

/* ---- settled at the header ------------------------------------------------------------------------------ */

static void
settled_at_header(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "policy 1\nfilter watch\nrules {\n h : if message.header(\"Subject\") ~ /hello/ reject 550 5.7.1 \"no\"\n"
		" v : if watch.eom reject 550 5.7.1 \"no\"\n accept\n}\n");
	world_envelope(&w);
	inspect_content(w.in, SPAN_LIT("Subject: hello\r\n"));
	assert_false(inspect_settled(w.in));
	inspect_content(w.in, SPAN_LIT("\r\nbody"));
	assert_true(inspect_settled(w.in));
	inspect_content(w.in, SPAN_LIT("more\r\n"));
	w.verdict = inspect_end(w.in, NULL);
	assert_int_equal(w.verdict.verdict, POLICY_REJECT);
	assert_int_equal(w.verdict.stage, SP_HEADER);
	assert_null(strstr(seen, "eom"));
	inspect_reset(w.in);
	assert_false(inspect_settled(w.in));
	world_fini(&w);
}

/* With a second recipient for whom nothing is decided, a refusal that is not final settles nothing. */
static void
settled_for_all(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "policy 1\nrules {\n h : if message.header_count == 1 and rcpt.local == \"ann\" defer 451 4.7.1 \"later\"\n"
		" b : if message.size > 5 and rcpt.local == \"bob\" reject 550 5.7.1 \"no\"\n accept\n}\n");
	world_connect(&w);
	world_mail(&w, "a@example.org", -1);
	world_rcpt(&w, "ann@example.com");
	world_rcpt(&w, "bob@example.com");
	inspect_data(w.in, RT_NEVER);
	inspect_content(w.in, SPAN_LIT("Subject: hello\r\n\r\n"));
	assert_false(inspect_settled(w.in));
	w.verdict = inspect_end(w.in, NULL);
	assert_int_equal(w.verdict.verdict, POLICY_REJECT);
	assert_string_equal(world_rule(&w), "b");
	world_fini(&w);
}

/* ---- the header ---------------------------------------------------------------------------------------- */

static void
header_limits(void **state)
{
	struct world w;
	static char big[300 * 1024];

	(void)state;
	world_init(&w, "policy 1\nrules {\n accept\n}\n");
	world_envelope(&w);
	memset(big, 'x', sizeof(big));
	inspect_content(w.in, SPAN_LIT("Subject: "));
	inspect_content(w.in, span_of(big, sizeof(big)));
	assert_true(inspect_header_faults(w.in) & HEADER_TOO_BIG);
	inspect_reset(w.in);
	assert_int_equal(inspect_header_faults(w.in), 0);
	world_envelope(&w);
	for (int n = 0; n <= 10000; n++)
		inspect_content(w.in, SPAN_LIT("A:\r\n"));
	assert_true(inspect_header_faults(w.in) & HEADER_TOO_MANY);
	world_envelope(&w);
	inspect_content(w.in, SPAN_LIT("Received: a\r\nFrom : b\r\nreceived: c\r\n\r\nReceived: d\r\n"));
	assert_int_equal(inspect_received(w.in), 2);
	assert_true(inspect_header_faults(w.in) & HEADER_BAD_NAME);
	world_fini(&w);
}

/* ---- for the log -------------------------------------------------------------------------------------------- */

static void
notes(void **state)
{
	struct world w;
	struct buf rules, tags, logs, edits;
	struct inspect_notes to = { &rules, &tags, &logs, &edits };

	(void)state;
	world_init(&w, "policy 1\nrules {\n mark : if client.port == 4711 add-header \"X-Mark\" \"yes {mail.domain}\"\n"
		" t : tag \"seen\"\n l : log \"from {mail.domain}\"\n s : score 2.5\n"
		" sh : if mail.local == \"a\" reject 550 5.7.1 \"no\" shadow\n accept\n}\n");
	buf_init(&rules, 1000);
	buf_init(&tags, 1000);
	buf_init(&logs, 1000);
	buf_init(&edits, 1000);
	world_envelope(&w);
	assert_int_equal(world_message(&w, "Message-ID: <1@x>\r\n\r\n.\r\n", 0), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), SP_OK);
	inspect_notes(w.in, &to);
	assert_string_equal(buf_cstr(&rules), "mark,t,l,s,sh(shadow)");
	assert_string_equal(buf_cstr(&tags), "seen");
	assert_string_equal(buf_cstr(&logs), "from example.org");
	assert_string_equal(buf_cstr(&edits), "+X-Mark");
	assert_true(inspect_score(w.in) > 2.4 && inspect_score(w.in) < 2.6);
	assert_true(span_eq(inspect_message_id(w.in), SPAN_LIT("<1@x>")));
	assert_non_null(inspect_eval(w.in));
	inspect_reset(w.in);
	assert_int_equal(inspect_message_id(w.in).len, 0);
	buf_fini(&rules);
	buf_fini(&tags);
	buf_fini(&logs);
	buf_fini(&edits);
	world_fini(&w);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* An idle session after EHLO is small, and is so again after a transaction. */
static void
idle_memory(void **state)
{
	enum { SESSIONS = 64, MOST = 1536 };
	struct policy *p = env_policy("policy 1\nrules {\n a : if client.ip == 10.0.0.1 reject 550 5.7.1 \"no\"\n"
		" b : if message.size > 10M reject 552 5.3.4 \"big\"\n accept\n}\n");
	const struct inspect_client c = { .ip = { 4, { 192, 0, 2, 1 } }, .listener = SPAN_LIT("*:25") };
	struct command_path mail = { .size = -1 };
	struct inspect *in[SESSIONS];
	size_t before, after;

	(void)state;
	before = mallinfo2().uordblks;
	for (size_t n = 0; n < SESSIONS; n++) {
		in[n] = inspect_new(p, &c);
		inspect_connect(in[n], RT_NEVER);
		inspect_helo(in[n], SPAN_LIT("mx.example.org"), true, RT_NEVER);
		inspect_mail(in[n], &mail, 1000);
		inspect_reset(in[n]);
	}
	after = mallinfo2().uordblks;
	for (size_t n = 0; n < SESSIONS; n++)
		inspect_free(&in[n]);
	policy_free(&p);
	if (after == before)
		skip(); /* a sanitizer's heap does not count */
	print_message("%zu octets for an idle session\n", (after - before) / SESSIONS);
	assert_true((after - before) / SESSIONS < MOST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_facts),
		cmocka_unit_test(declared_size),
		cmocka_unit_test(tls_and_user),
		cmocka_unit_test(filter_facts),
		cmocka_unit_test(unset_is_unknown),
		cmocka_unit_test(all_hooks_in_order),
		cmocka_unit_test(none_skips),
		cmocka_unit_test(unwanted_is_not_called),
		cmocka_unit_test(ehlo_again),
		cmocka_unit_test(budget_used_up),
		cmocka_unit_test(demand_catches_up),
		cmocka_unit_test(demand_not_made),
		cmocka_unit_test(demand_of_one_recipient),
		cmocka_unit_test(demand_released),
		cmocka_unit_test(demand_released_says_nothing),
		cmocka_unit_test(strictest_speaks),
		cmocka_unit_test(nobody_left),
		cmocka_unit_test(settled_at_header),
		cmocka_unit_test(settled_for_all),
		cmocka_unit_test(header_limits),
		cmocka_unit_test(notes),
		cmocka_unit_test(idle_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
