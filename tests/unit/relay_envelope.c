/* relay_envelope.c - connecting, greeting, MAIL and RCPT: what the backend does, and what the
 * client is told. */
#include "tests/unit/relay_env.h"

#define LOST "connection to the mail server was lost, try again later"
#define MUTE "mail server does not answer, try again later"
#define ODD "mail server gave a reply out of place, try again later"

/* One backend, two recipients: the replies to both, and which word the log gets. */
struct row {
	struct fake_profile profile;
	const char *first, *second, *fault;
};

static const struct row *present;

static void
two_recipients(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), present->first);
	assert_string_equal(env_rcpt(e, "two@example.com"), present->second);
	if (present->fault == NULL)
		assert_null(relay_facts(e->relay)->fault);
	else
		assert_string_equal(relay_facts(e->relay)->fault, present->fault);
}

/* No pipelining here: each command waits for its reply, so each fault strikes where it is meant to.
 */
#define PLAIN .ehlo = "250-fake\r\n250 8BITMIME"

static const struct row rows[] = {
	{ { .banner = NULL }, "250 2.1.5 Ok", "250 2.1.5 Ok", NULL },
	{ { .bytewise = true }, "250 2.1.5 Ok", "250 2.1.5 Ok", NULL },
	/* F03: silent; in connect, EHLO, MAIL, RCPT */
	{ { .banner = "!silent" }, "451 4.4.2 " MUTE, "451 4.4.2 " MUTE, "timeout" },
	{ { .ehlo = "!silent" }, "451 4.4.2 " MUTE, "451 4.4.2 " MUTE, "timeout" },
	{ { PLAIN, .mail = "!silent" }, "451 4.4.2 " MUTE, "451 4.4.2 " MUTE, "timeout" },
	{ { PLAIN, .rcpt = "!silent" }, "451 4.4.2 " MUTE, "451 4.4.2 " MUTE, "timeout" },
	{ { PLAIN, .rcpt_next = "!silent" }, "250 2.1.5 Ok", "451 4.4.2 " MUTE, "timeout" },
	/* F04, F05: closed, reset */
	{ { .banner = "!eof" }, "451 4.4.2 " LOST, "451 4.4.2 " LOST, "closed" },
	{ { .ehlo = "!rst" }, "451 4.4.2 " LOST, "451 4.4.2 " LOST, "closed" },
	{ { .mail = "!eof" }, "451 4.4.2 " LOST, "451 4.4.2 " LOST, "closed" },
	{ { .mail = "!rst" }, "451 4.4.2 " LOST, "451 4.4.2 " LOST, "closed" },
	{ { .rcpt = "!eof" }, "451 4.4.2 " LOST, "451 4.4.2 " LOST, "closed" },
	{ { .rcpt_next = "!rst" }, "250 2.1.5 Ok", "451 4.4.2 " LOST, "closed" },
	/* F06, R06: 421 */
	{ { .banner = "421 4.7.0 busy!eof" }, "451 4.7.0 busy", "451 4.7.0 busy", "421" },
	{ { .banner = "421 busy!eof" }, "451 4.3.2 busy", "451 4.3.2 busy", "421" },
	{ { .ehlo = "421 busy!eof" }, "451 4.3.2 busy", "451 4.3.2 busy", "421" },
	{ { .mail = "421 going down!eof" }, "451 4.3.2 going down", "451 4.3.2 going down", "421" },
	{ { .rcpt_next = "421 4.3.2 down!eof" }, "250 2.1.5 Ok", "451 4.3.2 down", "421" },
	/* F07: 4xx */
	{ { .banner = "450 4.7.1 later" }, "451 4.7.1 later", "451 4.7.1 later", "greeting" },
	{ { .ehlo = "452 full" }, "451 4.3.2 full", "451 4.3.2 full", "greeting" },
	{ { .mail = "450 4.7.1 greylisted" }, "450 4.7.1 greylisted", "450 4.7.1 greylisted",
		NULL },
	{ { .rcpt = "450 4.2.0 a", .rcpt_next = "250 2.1.5 b" }, "450 4.2.0 a", "250 2.1.5 b",
		NULL },
	{ { .rcpt_next = "450 4.2.0 a" }, "250 2.1.5 Ok", "450 4.2.0 a", NULL },
	/* F08: 5xx */
	{ { .banner = "554 5.7.1 not you" },
		"451 4.3.5 mail server does not take our connection, try again later",
		"451 4.3.5 mail server does not take our connection, try again later", "greeting" },
	{ { .ehlo = "500 what?", .helo = "550 no" },
		"451 4.3.5 mail server does not take our connection, try again later",
		"451 4.3.5 mail server does not take our connection, try again later", "greeting" },
	{ { .mail = "550 5.7.1 no" }, "550 5.7.1 no", "550 5.7.1 no", NULL },
	{ { .mail = "550 5.7.1 no", .rcpt = "503 5.5.1 first MAIL" }, "550 5.7.1 no",
		"550 5.7.1 no", NULL },
	{ { .mail = "550 5.7.1 no", .rcpt = "!eof" }, "550 5.7.1 no", "550 5.7.1 no", NULL },
	{ { .rcpt = "550 5.1.1 unknown", .rcpt_next = "250 ok" }, "550 5.1.1 unknown",
		"250 2.0.0 ok", NULL },
	/* F09, R03, R05: not a reply, or not one of this class */
	{ { .banner = "hello" }, "451 4.3.0 " ODD, "451 4.3.0 " ODD, "garbage" },
	{ { .banner = "354 go on" }, "451 4.3.0 " ODD, "451 4.3.0 " ODD, "garbage" },
	{ { .ehlo = "250-x\r\n550 y" }, "451 4.3.0 " ODD, "451 4.3.0 " ODD, "garbage" },
	{ { .mail = "354 go on" }, "451 4.3.0 " ODD, "451 4.3.0 " ODD, "garbage" },
	{ { .mail = "2500 x" }, "451 4.3.0 " ODD, "451 4.3.0 " ODD, "garbage" },
	{ { .mail = "25" }, "451 4.3.0 " ODD, "451 4.3.0 " ODD, "garbage" },
	{ { .mail = "999 x" }, "451 4.3.0 " ODD, "451 4.3.0 " ODD, "garbage" },
	{ { .mail = "000 x" }, "451 4.3.0 " ODD, "451 4.3.0 " ODD, "garbage" },
	{ { .mail = "250-!eof" }, "451 4.4.2 " LOST, "451 4.4.2 " LOST, "closed" },
	{ { .rcpt = "354 go on" }, "451 4.3.0 " ODD, "451 4.3.0 " ODD, "garbage" },
	{ { .rcpt_next = "abc" }, "250 2.1.5 Ok", "451 4.3.0 " ODD, "garbage" },
	{ { .rcpt = "250" }, "250 2.0.0 ", "250 2.0.0 ", NULL },
	/* F10: an octet a second */
	{ { .banner = "!drip" }, "451 4.4.2 " MUTE, "451 4.4.2 " MUTE, "timeout" },
	{ { PLAIN, .rcpt = "!drip" }, "451 4.4.2 " MUTE, "451 4.4.2 " MUTE, "timeout" },
	/* R02: an answer too many */
	{ { .ehlo = "250 fake\r\n250 fake" },
		"451 4.4.2 mail server spoke unasked, try again later",
		"451 4.4.2 mail server spoke unasked, try again later", "desync" },
	{ { .rcpt = "250 2.1.5 Ok\r\n250 2.0.0 queued" }, "250 2.1.5 Ok",
		"451 4.4.2 mail server spoke unasked, try again later", "desync" },
	/* R04: text made safe; enhanced codes of another class are not believed */
	{ { .rcpt = "550 a\tb\x01\xe4 c", .rcpt_next = "550-5.1.1 a\r\n550 5.1.1 b" },
		"550 5.0.0 a?b?? c", "550 5.1.1 a\nb", NULL },
	{ { .rcpt = "550 2.1.5 no" }, "550 5.0.0 2.1.5 no", "550 5.0.0 2.1.5 no", NULL },
};

static void
each_fault_has_its_reply(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct env e;
		present = &rows[i];
		env_init(&e, &present->profile, 1);
		if (present->fault != NULL && strcmp(present->fault, "timeout") == 0) {
			e.config.timeouts.banner = e.config.timeouts.ehlo = 20000;
			e.config.timeouts.mail = e.config.timeouts.rcpt = 20000;
		}
		env_run(&e, two_recipients);
		assert_int_equal(e.fake.connections, 1);
	}
}

static void
refused(struct env *e)
{
	fake_stop(&e->fake);
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"),
		"451 4.4.1 mail server cannot be reached, try again later");
	assert_string_equal(relay_facts(e->relay)->fault, "refused");
}

static void
f01_refused_connection(void **state)
{
	static const struct fake_profile usual = { 0 };

	(void)state;
	env_try(&usual, refused);
}

static struct fake_backend *other;

static void
next_address(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	assert_string_equal(relay_facts(e->relay)->peer, e->fake.endpoint.text);
	fake_stop(other);
}

/* The first address refuses, the second is busy, the third takes it. */
static void
addresses_are_tried_in_order(void **state)
{
	static const struct fake_profile usual = { 0 }, busy = { .banner = "421 busy!eof" };
	struct fake_backend dead, full;
	struct net_endpoint endpoints[3];
	struct env e;

	(void)state;
	env_init(&e, &usual, 1);
	assert_true(fake_start(&dead, &usual, 1));
	fake_stop(&dead);
	assert_true(fake_start(&full, &busy, 1));
	endpoints[0] = dead.endpoint;
	endpoints[1] = full.endpoint;
	endpoints[2] = e.fake.endpoint;
	e.config.endpoints = endpoints;
	e.config.endpoint_count = 3;
	other = &full;
	env_run(&e, next_address);
	assert_int_equal(full.connections, 1);
	assert_int_equal(e.fake.connections, 1);
	fake_fini(&full);
	fake_fini(&dead);
}

static void
eight_bit(struct env *e)
{
	struct relay_envelope envelope = {
		.sender = SPAN_LIT(""), .size = 1234, .params = SPAN_LIT(" BODY=8BITMIME"), .needs = EXT_BIT(EXT_8BITMIME)
	};

	assert_int_equal(relay_begin(e->relay, &envelope, rt_deadline(1000000)), SP_OK);
	(void)env_rcpt(e, "one@example.com");
}

static void
parameters_go_where_they_were_offered(void **state)
{
	static const struct fake_profile full = { 0 }, none = { .ehlo = "250 fake" },
					 eight = { .ehlo = "250-fake\r\n250 8bitmime" };
	struct env e;

	(void)state;
	env_init(&e, &full, 1);
	env_run(&e, eight_bit);
	assert_string_equal(e.text, "250 2.1.5 Ok");

	env_init(&e, &eight, 1);
	env_run(&e, eight_bit);
	assert_string_equal(e.text, "250 2.1.5 Ok");

	/* F16 */
	env_init(&e, &none, 1);
	env_run(&e, eight_bit);
	assert_string_equal(
		e.text, "451 4.3.0 mail server no longer offers what this mail needs, try again later");
}

static void
mail_lines(struct env *e)
{
	eight_bit(e);
	assert_int_equal(fake_count(&e->fake, "MAIL FROM:<> SIZE=1234 BODY=8BITMIME\n"), 1);
}

static void
mail_line_is_written_in_full(void **state)
{
	static const struct fake_profile full = { 0 };

	(void)state;
	env_try(&full, mail_lines);
}

static void
one_recipient(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	assert_int_equal(relay_accepted(e->relay), 1);
}

static void
pipelining_only_where_offered(void **state)
{
	static const struct fake_profile with = { 0 }, without = { .ehlo = "250-fake\r\n250 SIZE" };
	struct env e;

	(void)state;
	env_init(&e, &with, 1);
	env_run(&e, one_recipient);
	assert_int_equal(e.fake.batch, 2);
	env_init(&e, &without, 1);
	env_run(&e, one_recipient);
	assert_int_equal(e.fake.batch, 1);
}

static void
helo(struct env *e)
{
	struct relay_offer offer;

	one_recipient(e);
	assert_int_equal(fake_count(&e->fake, "EHLO gate.example\n"), 1);
	assert_int_equal(fake_count(&e->fake, "HELO gate.example\n"), 1);
	offer = relay_backend_offer(e->backend);
	assert_true(offer.known && offer.extensions == 0);
}

static void
helo_where_ehlo_is_unknown(void **state)
{
	static const struct fake_profile old = { .ehlo = "502 5.5.1 unknown" };

	(void)state;
	env_try(&old, helo);
}

static void
probe(struct env *e)
{
	struct relay_offer offer = relay_backend_offer(e->backend);

	assert_false(offer.known);
	relay_backend_probe(e->backend, 60000);
	offer = relay_backend_offer(e->backend);
	assert_true(offer.known && relay_offers(&offer, EXT_PIPELINING) && relay_offers(&offer, EXT_SIZE));
	assert_int_equal(offer.size_max, 123);
	relay_backend_probe(e->backend, 60000);
	assert_int_equal(e->fake.connections, 1);
	one_recipient(e);
}

/* R08: thousands of keywords; what matters comes early, and the rest is thrown away. */
static void
r08_endless_offer(void **state)
{
	struct fake_profile profile = { 0 };
	struct buf ehlo;

	(void)state;
	buf_init(&ehlo, 1 << 20);
	buf_add_str(&ehlo,
		"250-fake\r\n250-PIPELINING\r\n250-SIZE 123\r\n250-SIZE 99999999999999999999\r\n");
	for (int i = 0; i < 10000; i++)
		buf_printf(&ehlo, "250-X-KEYWORD-%d\r\n", i);
	buf_add_str(&ehlo, "250 X-END");
	profile.ehlo = buf_cstr(&ehlo);
	env_try(&profile, probe);
	buf_fini(&ehlo);
}

static void
unsafe_address(struct env *e)
{
	struct relay_envelope envelope = { .sender = SPAN_LIT("a\r\nDATA") };

	assert_int_equal(relay_begin(e->relay, &envelope, rt_deadline(1000)), SP_INVALID);
	env_begin(e);
	assert_string_equal(env_rcpt(e, "b\r\nDATA"), "501 5.1.3 bad recipient address");
	assert_int_equal(e->fake.connections, 0);
}

static void
an_address_cannot_end_the_line(void **state)
{
	static const struct fake_profile usual = { 0 };

	(void)state;
	env_try(&usual, unsafe_address);
}

static void
budget(struct env *e)
{
	struct relay_envelope envelope = { .sender = SPAN_LIT("a@example.org"), .size = -1 };
	int64_t start = rt_now_ms();

	assert_int_equal(relay_begin(e->relay, &envelope, rt_deadline(30000)), SP_OK);
	assert_string_equal(env_rcpt(e, "one@example.com"), "451 4.4.2 " MUTE);
	assert_in_range(rt_now_ms() - start, 30000, 100000);
}

static void
the_budget_ends_every_wait(void **state)
{
	static const struct fake_profile mute = { .mail = "!silent" };

	(void)state;
	env_try(&mute, budget);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			each_fault_has_its_reply, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(f01_refused_connection, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			addresses_are_tried_in_order, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			parameters_go_where_they_were_offered, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			mail_line_is_written_in_full, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			pipelining_only_where_offered, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			helo_where_ehlo_is_unknown, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(r08_endless_offer, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			an_address_cannot_end_the_line, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			the_budget_ends_every_wait, env_set_up, env_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
