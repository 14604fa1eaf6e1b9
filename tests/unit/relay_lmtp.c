/* relay_lmtp.c - LMTP backends: the greeting, a reply for each recipient, and what is made of them. */
#include "tests/unit/relay_env.h"

#define MESSAGE "Subject: x\r\n\r\nx\r\n"

static void
lmtp(const struct fake_profile *profile, void (*fn)(struct env *))
{
	struct env e;

	env_init(&e, profile, 1);
	e.config.lmtp = true;
	env_run(&e, fn);
}

static void
three(struct env *e)
{
	env_begin(e);
	(void)env_rcpt(e, "one@example.com");
	(void)env_rcpt(e, "two@example.com");
	(void)env_rcpt(e, "three@example.com");
	assert_int_equal(relay_accepted(e->relay), 3);
}

static void
folded(struct env *e, const char *want, enum relay_outcome outcome, bool partly)
{
	three(e);
	assert_string_equal(env_send(e, MESSAGE), want);
	assert_int_equal(e->outcome, outcome);
	assert_int_equal(relay_facts(e->relay)->partly, partly);
}

/* Each is given to lmtp() with replies to the dot. */
static void
all_agree(struct env *e)
{
	folded(e, "250 2.1.5 one", RELAY_ANSWERED, false);
	assert_int_equal(fake_count(&e->fake, "LHLO gate.example"), 1);
	assert_int_equal(fake_count(&e->fake, "EHLO"), 0);
	env_begin(e); /* no reply is left over */
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
}

static void
one_full(struct env *e)
{
	struct relay_result r;
	const int codes[] = { 250, 452, 550 };

	folded(e, "452 4.2.2 two is full", RELAY_ANSWERED, true);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(relay_result(e->relay, i, &r), SP_OK);
		assert_int_equal(r.code, codes[i]);
	}
	assert_true(span_eq(r.address, SPAN_LIT("three@example.com")));
	assert_int_equal(relay_result(e->relay, 3, &r), SP_NONE);
	env_begin(e);
	assert_int_equal(relay_result(e->relay, 0, &r), SP_NONE);
}

static void
one_gone(struct env *e)
{
	folded(e, "550 5.1.1 three is gone", RELAY_ANSWERED, true);
}

static void
none(struct env *e)
{
	folded(e, "451 4.2.0 two", RELAY_ANSWERED, false);
}

static void
lost(struct env *e)
{
	folded(e, "451 4.4.2 connection to the mail server was lost, try again later", RELAY_UNKNOWN, true);
}

static void
lost_at_once(struct env *e)
{
	folded(e, "451 4.4.2 connection to the mail server was lost, try again later", RELAY_UNKNOWN, false);
}

static void
a_354(struct env *e)
{
	folded(e, "451 4.3.0 mail server gave a reply out of place, try again later", RELAY_UNKNOWN, true);
}

static void
a_goodbye(struct env *e)
{
	folded(e, "451 4.3.2 bye", RELAY_ANSWERED, true);
}

static void
replies_are_folded(void **state)
{
	(void)state;
	lmtp(&(struct fake_profile){ .dot = "250 2.1.5 one\r\n250 2.1.5 two\r\n250 2.1.5 three" }, all_agree);
	lmtp(&(struct fake_profile){ .dot = "250 2.1.5 one\r\n452 4.2.2 two is full\r\n550 5.1.1 three is gone" }, one_full);
	lmtp(&(struct fake_profile){ .dot = "250 2.1.5 one\r\n250 2.1.5 two\r\n550 5.1.1 three is gone" }, one_gone);
	lmtp(&(struct fake_profile){ .dot = "550 5.1.1 one\r\n451 4.2.0 two\r\n550 5.1.1 three" }, none);
}

static void
what_is_missing_is_not_known(void **state)
{
	(void)state;
	lmtp(&(struct fake_profile){ .dot = "250 2.1.5 one\r\n250 2.1.5 two!eof" }, lost);
	lmtp(&(struct fake_profile){ .dot = "!eof" }, lost_at_once);
	lmtp(&(struct fake_profile){ .dot = "250 2.1.5 one\r\n354 go on\r\n250 2.1.5 three" }, a_354);
	lmtp(&(struct fake_profile){ .dot = "250 2.1.5 one\r\n421 4.3.2 bye!eof" }, a_goodbye);
}

static void
not_greeted(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"),
		"451 4.3.5 mail server does not take our connection, try again later");
	assert_int_equal(fake_count(&e->fake, "HELO"), 0);
}

static void
there_is_no_helo(void **state)
{
	(void)state;
	lmtp(&(struct fake_profile){ .ehlo = "500 5.5.1 what?" }, not_greeted);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(replies_are_folded, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(what_is_missing_is_not_known, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(there_is_no_helo, env_set_up, env_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
