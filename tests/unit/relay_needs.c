/*
 * relay_needs.c - what a mail needs of the backend: asked of the connection that it would go on, and what EHLO says beside (F16;
 * RFC 9422, 8689).
 */
#include "tests/unit/relay_env.h"

static const struct fake_profile plain = { .ehlo = "250-fake\r\n250 PIPELINING" };

static enum sp_status
begin(struct env *e, uint32_t needs, const char *body, const char *params)
{
	struct relay_envelope envelope = { .sender = SPAN_LIT("a@example.org"), .size = -1, .params = span_str(params),
		.body = body, .needs = needs };

	return relay_begin(e->relay, &envelope, rt_deadline(1000000));
}

static void
two_mails(struct env *e)
{
	assert_int_equal(begin(e, 0, NULL, ""), SP_OK);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	relay_abort(e->relay);
	assert_int_equal(begin(e, EXT_BIT(EXT_SMTPUTF8), NULL, " SMTPUTF8"), SP_OK);
	(void)env_rcpt(e, "two@example.com");
}

/* The connection of the last mail is from before the backend knew it: another one has it. */
static void
learnt_since(void **state)
{
	static const struct fake_profile profiles[] = { { .ehlo = "250 fake" }, { .ehlo = "250-fake\r\n250 smtputf8" } };
	struct env e;

	(void)state;
	env_init(&e, profiles, 2);
	env_run(&e, two_mails);
	assert_string_equal(e.text, "250 2.1.5 Ok");
	assert_int_equal(e.fake.connections, 2);
}

static void
not_learnt(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, &plain, 1);
	env_run(&e, two_mails);
	assert_string_equal(e.text, "451 4.3.0 mail server no longer offers what this mail needs, try again later");
	assert_int_equal(e.fake.connections, 2);
}

static void
later_recipient(struct env *e)
{
	assert_int_equal(begin(e, 0, NULL, ""), SP_OK);
	assert_true(relay_need(e->relay, 0));
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	assert_false(relay_need(e->relay, EXT_BIT(EXT_DSN)));
	assert_true(relay_need(e->relay, EXT_BIT(EXT_PIPELINING)));
	assert_string_equal(env_rcpt(e, "two@example.com"), "250 2.1.5 Ok"); /* the first one's fault is not its own */
	assert_int_equal(relay_accepted(e->relay), 2);
}

static void
a_recipient_may_need_more(void **state)
{
	(void)state;
	env_try(&plain, later_recipient);
}

static void
first_recipient(struct env *e)
{
	assert_int_equal(begin(e, 0, NULL, ""), SP_OK);
	assert_true(relay_need(e->relay, EXT_BIT(EXT_DSN))); /* nobody knows yet */
	assert_string_equal(env_rcpt(e, "one@example.com"),
		"451 4.3.0 mail server no longer offers what this mail needs, try again later");
	assert_int_equal(fake_count(&e->fake, "MAIL FROM:<a@example.org>\n"), 0);
}

static void
the_first_decides_for_the_mail(void **state)
{
	(void)state;
	env_try(&plain, first_recipient);
}

static void
seven_bit(struct env *e)
{
	assert_int_equal(begin(e, 0, "7BIT", " RET=HDRS"), SP_OK);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
}

static void
seven_bit_said(struct env *e)
{
	seven_bit(e);
	assert_int_equal(fake_count(&e->fake, "MAIL FROM:<a@example.org> BODY=7BIT RET=HDRS\n"), 1);
}

static void
seven_bit_unsaid(struct env *e)
{
	seven_bit(e);
	assert_int_equal(fake_count(&e->fake, "MAIL FROM:<a@example.org> RET=HDRS\n"), 1);
}

/* Without 8BITMIME there is nothing else, so it need not be said. */
static void
seven_bit_goes_without_saying(void **state)
{
	static const struct fake_profile eight = { .ehlo = "250-fake\r\n250 8BITMIME" };

	(void)state;
	env_try(&eight, seven_bit_said);
	env_try(&plain, seven_bit_unsaid);
}

static void
offers(struct env *e)
{
	struct relay_offer offer;

	seven_bit(e);
	offer = relay_backend_offer(e->backend);
	assert_string_equal(offer.deliverby, "240");
	assert_string_equal(offer.futurerelease, "86400 2026-12-31T00:00:00Z");
	assert_string_equal(offer.mt_priority, ""); /* that would be said on to clients */
	assert_true(offer.rcpt_max == 20 && offer.mail_max == 0 && offer.domain_max == 3);
	assert_true(relay_offers(&offer, EXT_LIMITS) && relay_offers(&offer, EXT_MT_PRIORITY));
	assert_false(relay_offers(&offer, EXT_REQUIRETLS)); /* without TLS it promises nothing */
}

static void
what_ehlo_says(void **state)
{
	static const struct fake_profile full = { .ehlo = "250-fake\r\n250-DELIVERBY 240\r\n250-MT-PRIORITY a<b>\r\n"
							  "250-FUTURERELEASE 86400 2026-12-31T00:00:00Z\r\n250-REQUIRETLS\r\n"
							  "250 LIMITS RCPTMAX=20 MAILMAX=x RCPTDOMAINMAX=3 X=7 MAILMAX" };

	(void)state;
	env_try(&full, offers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(learnt_since, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(not_learnt, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(a_recipient_may_need_more, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(the_first_decides_for_the_mail, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(seven_bit_goes_without_saying, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(what_ehlo_says, env_set_up, env_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
