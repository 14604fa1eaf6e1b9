/* relay_again.c - an envelope that is said once more, and otherwise, on the connection that has the first one; and until when. */
#include "tests/unit/relay_env.h"

static void
begin(struct env *e, const char *sender, int64_t deadline_ms)
{
	struct relay_envelope envelope = { .sender = span_str(sender), .size = -1 };

	assert_int_equal(relay_begin(e->relay, &envelope, deadline_ms), SP_OK);
}

static void
otherwise(struct env *e)
{
	begin(e, "a@example.org", rt_deadline(1000000));
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	assert_string_equal(env_rcpt(e, "two@example.com"), "250 2.1.5 Ok");
	begin(e, "b@example.org", rt_deadline(1000000));
	assert_int_equal(relay_accepted(e->relay), 0);
	assert_string_equal(env_rcpt(e, "two@example.com"), "250 2.1.5 Ok");
	assert_string_equal(env_rcpt(e, "three@example.com"), "250 2.1.5 Ok");
	assert_int_equal(relay_accepted(e->relay), 2);
	(void)env_send(e, "Subject: x\r\n\r\n");
	assert_int_equal(e->outcome, RELAY_ANSWERED);
}

static void
one_connection_one_message(void **state)
{
	static const struct fake_profile usual = { 0 };
	struct env e;

	(void)state;
	env_init(&e, &usual, 1);
	e.fn = otherwise;
	assert_int_equal(co_start(env_main, &e, NULL), SP_OK);
	rt_run();
	assert_int_equal(e.fake.connections, 1);
	assert_int_equal(fake_count(&e.fake, "RSET\n"), 1);
	assert_int_equal(fake_count(&e.fake, "MAIL FROM:<a@example.org>\n"), 1);
	assert_int_equal(fake_count(&e.fake, "MAIL FROM:<b@example.org>\n"), 1);
	assert_int_equal(fake_count(&e.fake, "RCPT TO:<one@example.com>\n"), 1);
	assert_int_equal(fake_count(&e.fake, "RCPT TO:<two@example.com>\n"), 2);
	assert_int_equal(e.fake.dots, 1);
	fake_fini(&e.fake);
}

/* The connection goes when it is told to forget: before MAIL is answered nothing was promised. */
static void
lost_when_it_is_reset(void **state)
{
	static const struct fake_profile profiles[] = { { .rset = "!eof" }, { .banner = NULL } };
	struct env e;

	(void)state;
	env_init(&e, profiles, 2);
	e.fn = otherwise;
	assert_int_equal(co_start(env_main, &e, NULL), SP_OK);
	rt_run();
	assert_int_equal(e.fake.connections, 2);
	assert_int_equal(fake_count(&e.fake, "RCPT TO:<one@example.com>\n"), 1);
	assert_int_equal(e.fake.dots, 1);
	fake_fini(&e.fake);
}

static void
sender_or_recipient(struct env *e)
{
	begin(e, "a@example.org", rt_deadline(1000000));
	(void)env_rcpt(e, "bad@example.com");
	assert_int_equal(relay_facts(e->relay)->sender_refused, e->text[0] == '4');
}

/* Who refuses MAIL speaks for each recipient, so the replies alone do not tell. */
static void
who_was_refused(void **state)
{
	static const struct fake_profile sender = { .mail = "450 4.1.8 not him" }, recipient = { .rcpt_bad = "550 5.1.1 not her" };

	(void)state;
	env_try(&sender, sender_or_recipient);
	env_try(&recipient, sender_or_recipient);
}

static void
until_then(struct env *e)
{
	begin(e, "a@example.org", rt_deadline(100000));
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	relay_limit(e->relay, rt_deadline(1000000));
	assert_int_equal(co_sleep(110000), SP_OK);
	assert_string_equal(env_rcpt(e, "two@example.com"), "250 2.1.5 Ok");
	begin(e, "b@example.org", rt_deadline(-1));
	assert_string_equal(env_rcpt(e, "one@example.com"), "451 4.4.2 mail server does not answer, try again later");
	assert_string_equal(relay_facts(e->relay)->fault, "timeout");
	(void)env_send(e, "Subject: x\r\n\r\n");
	assert_int_equal(e->outcome, RELAY_NOT_SENT);
}

static void
the_last_word_on_time(void **state)
{
	static const struct fake_profile usual = { 0 };

	(void)state;
	env_try(&usual, until_then);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_connection_one_message),
		cmocka_unit_test(lost_when_it_is_reset),
		cmocka_unit_test(who_was_refused),
		cmocka_unit_test(the_last_word_on_time),
	};

	return cmocka_run_group_tests(tests, env_set_up, env_tear_down);
}
