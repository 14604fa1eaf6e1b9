/* relay_send.c - DATA, the message, the dot: what the backend does, what it has then, what the
 * client is told. */
#include "tests/unit/relay_env.h"

#include <stdlib.h>

#define LOST "connection to the mail server was lost, try again later"
#define MUTE "mail server does not answer, try again later"
#define ODD "mail server gave a reply out of place, try again later"
#define MESSAGE "Subject: x\r\n\r\n..dot\r\n"

/* One recipient and MESSAGE (or a large one): the reply, the outcome, and how many dots the backend
 * saw. */
struct row {
	struct fake_profile profile;
	const char *reply;
	enum relay_outcome outcome;
	unsigned dots;
	const char *fault;
};

static const struct row *present;

static void
one_message(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	assert_string_equal(env_send(e, MESSAGE), present->reply);
	assert_int_equal(e->outcome, present->outcome);
	if (present->fault == NULL)
		assert_null(relay_facts(e->relay)->fault);
	else
		assert_string_equal(relay_facts(e->relay)->fault, present->fault);
}

static const struct row rows[] = {
	{ { .dot = NULL }, "250 2.0.0 Ok: queued as FAKE1", RELAY_ANSWERED, 1, NULL },
	{ { .bytewise = true }, "250 2.0.0 Ok: queued as FAKE1", RELAY_ANSWERED, 1, NULL },
	/* DATA */
	{ { .data = "!silent" }, "451 4.4.2 " MUTE, RELAY_NOT_SENT, 0, "timeout" },
	{ { .data = "!drip" }, "451 4.4.2 " MUTE, RELAY_NOT_SENT, 0, "timeout" },
	{ { .data = "!eof" }, "451 4.4.2 " LOST, RELAY_NOT_SENT, 0, "closed" },
	{ { .data = "!rst" }, "451 4.4.2 " LOST, RELAY_NOT_SENT, 0, "closed" },
	{ { .data = "421 4.3.2 down!eof" }, "451 4.3.2 down", RELAY_NOT_SENT, 0, "421" },
	{ { .data = "451 4.7.1 later" }, "451 4.7.1 later", RELAY_NOT_SENT, 0, NULL },
	{ { .data = "554 5.5.1 no" }, "554 5.5.1 no", RELAY_NOT_SENT, 0, NULL },
	{ { .data = "250 ok" }, "451 4.3.0 " ODD, RELAY_NOT_SENT, 0, "garbage" },
	{ { .data = "what" }, "451 4.3.0 " ODD, RELAY_NOT_SENT, 0, "garbage" },
	/* an answer to the message before there was one */
	{ { .data = "354 go\r\n250 2.0.0 queued" }, "451 4.3.0 " ODD, RELAY_NOT_SENT, 0,
		"garbage" },
	{ { .data = "354 go\r\n550 5.7.1 no" }, "550 5.7.1 no", RELAY_NOT_SENT, 0, NULL },
	{ { .data = "354 go\r\n421 down" }, "451 4.3.2 down", RELAY_NOT_SENT, 0, NULL },
	/* the dot */
	{ { .dot = "!silent" }, "451 4.4.2 " MUTE, RELAY_UNKNOWN, 1, "timeout" },
	{ { .dot = "!drip" }, "451 4.4.2 " MUTE, RELAY_UNKNOWN, 1, "timeout" },
	{ { .dot = "!eof" }, "451 4.4.2 " LOST, RELAY_UNKNOWN, 1, "closed" },
	{ { .dot = "!rst" }, "451 4.4.2 " LOST, RELAY_UNKNOWN, 1, "closed" },
	{ { .dot = "421 4.3.0 oops!eof" }, "451 4.3.0 oops", RELAY_ANSWERED, 1, "421" },
	{ { .dot = "452 4.3.1 full" }, "452 4.3.1 full", RELAY_ANSWERED, 1, NULL },
	{ { .dot = "554 5.6.0 bad" }, "554 5.6.0 bad", RELAY_ANSWERED, 1, NULL },
	{ { .dot = "354 more" }, "451 4.3.0 " ODD, RELAY_UNKNOWN, 1, "garbage" },
	{ { .dot = "abc" }, "451 4.3.0 " ODD, RELAY_UNKNOWN, 1, "garbage" },
	{ { .dot = "250 a\r\n250 b" }, "250 2.0.0 a", RELAY_ANSWERED, 1, NULL },
};

static void
each_fault_has_its_reply(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct env e;
		present = &rows[i];
		env_init(&e, &present->profile, 1);
		if (present->fault != NULL && strcmp(present->fault, "timeout") == 0)
			e.config.timeouts.data = e.config.timeouts.dot = 20000;
		env_run(&e, one_message);
		assert_int_equal(e.fake.dots, present->dots);
		assert_int_equal(e.fake.connections, 1);
	}
}

static void
whole(struct env *e)
{
	env_begin(e);
	(void)env_rcpt(e, "one@example.com");
	assert_string_equal(env_send(e, MESSAGE), "250 2.0.0 Ok: queued as FAKE1");
	assert_true(span_eq(buf_span(&e->fake.message), SPAN_LIT(MESSAGE)));
	assert_true(span_eq(relay_facts(e->relay)->queue_id, SPAN_LIT("FAKE1")));
	assert_true(relay_facts(e->relay)->dot_ns > 0);
	assert_true(relay_facts(e->relay)->reply_ns > relay_facts(e->relay)->dot_ns);
	assert_true(relay_facts(e->relay)->connect_ns > 0);
	assert_int_equal(relay_accepted(e->relay), 0);
	env_begin(e);
	(void)env_rcpt(e, "one@example.com");
	assert_string_equal(env_send(e, ""), "250 2.0.0 Ok: queued as FAKE1");
	assert_int_equal(e->fake.message.len, 0);
	assert_int_equal(e->fake.dots, 2);
	assert_int_equal(fake_count(&e->fake, "RSET"), 0);
}

static void
arrives_as_it_was_sent(void **state)
{
	static const struct fake_profile usual = { 0 };

	(void)state;
	env_try(&usual, whole);
}

/* ---- large messages -------------------------------------------------------------------------- */

static int64_t large_octets;

/* Lines with dots in all places, of lengths that meet every edge, and the head of one line before
 * it. */
static struct spool *
large_spool(struct buf *copy)
{
	struct spool *s = spool_new();

	assert_non_null(s);
	buf_init(copy, 1 << 24);
	buf_add_str(copy, "Cut: away\r\n");
	for (unsigned n = 0; (int64_t)copy->len < large_octets; n++) {
		buf_add_str(copy, n % 3 == 0 ? ".." : n % 3 == 1 ? "a." : "");
		for (unsigned i = 0; i < n * 7 % 131; i++)
			buf_add_char(copy, (char)('!' + (n + i) % 90));
		buf_add_str(copy, "\r\n");
	}
	assert_int_equal(spool_write(s, buf_span(copy)), SP_OK);
	assert_int_equal(spool_seal(s), SP_OK);
	return s;
}

static void
large(struct env *e)
{
	struct buf copy;

	e->message.spool = large_spool(&copy);
	e->message.from = 11;
	env_begin(e);
	(void)env_rcpt(e, "one@example.com");
	assert_string_equal(env_send(e, "Received: here\r\n"), "250 2.0.0 Ok: queued as FAKE1");
	assert_int_equal(e->fake.message.len, copy.len - 11 + 16);
	assert_memory_equal(e->fake.message.ptr, "Received: here\r\n", 16);
	assert_memory_equal(e->fake.message.ptr + 16, copy.ptr + 11, copy.len - 11);
	assert_int_equal(e->fake.dots, 1);
	spool_free(&e->message.spool);
	buf_fini(&copy);
}

/* In memory and in a file, below and above the size that goes in one write, and at its edge. */
static void
large_ones_arrive_whole(void **state)
{
	static const int64_t sizes[] = { 100, 16200, 16350, 16384, 16500, 70000, 200000, 300000,
		3 << 20 };
	static const struct fake_profile usual = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		large_octets = sizes[i];
		env_try(&usual, large);
	}
}

/* ---- no dot ---------------------------------------------------------------------------------- */

static bool
never(void *arg)
{
	++*(unsigned *)arg;
	return false;
}

static void
uncommitted(struct env *e)
{
	struct buf copy;
	unsigned asked = 0;

	e->message.spool = large_spool(&copy);
	e->message.commit = never;
	e->message.arg = &asked;
	env_begin(e);
	(void)env_rcpt(e, "one@example.com");
	assert_string_equal(env_send(e, ""), "451 4.3.0 not passed on in time, try again later");
	assert_int_equal(e->outcome, RELAY_NOT_SENT);
	assert_int_equal(asked, 1);
	assert_int_equal(fake_count(&e->fake, "DATA\n"), 1);
	assert_string_equal(relay_facts(e->relay)->fault, "commit");
	spool_free(&e->message.spool);
	buf_fini(&copy);
}

static void
without_commit_there_is_no_dot(void **state)
{
	static const int64_t sizes[] = { 100, 70000, 1 << 20 };
	static const struct fake_profile usual = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct env e;
		large_octets = sizes[i];
		env_init(&e, &usual, 1);
		env_run(&e, uncommitted);
		assert_int_equal(e.fake.dots, 0);
		assert_int_equal(e.fake.quits, 0);
	}
}

/* Sends a large message to a backend that misbehaves in its middle. */
static void
interrupted(struct env *e)
{
	struct buf copy;

	e->message.spool = large_spool(&copy);
	env_begin(e);
	(void)env_rcpt(e, "one@example.com");
	(void)env_send(e, "");
	spool_free(&e->message.spool);
	buf_fini(&copy);
}

static const struct row middles[] = {
	/* R07: says so and stays, or closes; F08 */
	{ { .early = "550 5.7.1 enough", .early_after = 100000 }, "550 5.7.1 enough",
		RELAY_NOT_SENT, 0, NULL },
	{ { .early = "452 4.3.1 full", .early_after = 100000 }, "452 4.3.1 full", RELAY_NOT_SENT, 0,
		NULL },
	{ { .early = "421 4.3.2 down", .early_after = 100000 }, "451 4.3.2 down", RELAY_NOT_SENT, 0,
		NULL },
	{ { .early = "250 2.0.0 queued", .early_after = 100000 }, "451 4.3.0 " ODD, RELAY_NOT_SENT,
		0, "garbage" },
	{ { .early = "xyz", .early_after = 100000 }, "451 4.3.0 " ODD, RELAY_NOT_SENT, 0,
		"garbage" },
	/* F04, F05 */
	{ { .early = "!eof", .early_after = 100000 }, "451 4.4.2 " LOST, RELAY_NOT_SENT, 0,
		"closed" },
	{ { .early = "!rst", .early_after = 100000 }, "451 4.4.2 " LOST, RELAY_NOT_SENT, 0,
		"closed" },
	/* F13: reads no more */
	{ { .stop_after = 100000 }, "451 4.4.2 " MUTE, RELAY_NOT_SENT, 0, "timeout" },
};

static void
faults_in_the_middle(void **state)
{
	(void)state;
	large_octets = 4 << 20; /* more than the kernel buffers */
	for (size_t i = 0; i < sizeof(middles) / sizeof(middles[0]); i++) {
		struct env e;
		env_init(&e, &middles[i].profile, 1);
		if (middles[i].profile.stop_after > 0)
			e.config.timeouts.block = 20000;
		env_run(&e, interrupted);
		assert_string_equal(e.text, middles[i].reply);
		/* it stopped soon: what came after is what lay in the kernel */
		assert_true(e.fake.data_octets < large_octets / 4);
		assert_int_equal(e.outcome, middles[i].outcome);
		assert_int_equal(e.fake.dots, 0);
		assert_int_equal(e.fake.connections, 1);
	}
}

/* ---- the wait for the reply --------------------------------------------------------------------
 */

static void
told_by_then(struct env *e)
{
	int64_t start = rt_now_ms();

	env_begin(e);
	(void)env_rcpt(e, "one@example.com");
	e->message.reply_deadline_ms = rt_deadline(5000);
	assert_string_equal(env_send(e, MESSAGE), "451 4.4.2 " MUTE);
	assert_int_equal(e->outcome, RELAY_UNKNOWN);
	assert_in_range(rt_now_ms() - start, 5000, 500000);
}

/* F12 */
static void
the_client_is_answered_in_time(void **state)
{
	static const struct fake_profile mute = { .dot = "!silent" };

	(void)state;
	env_try(&mute, told_by_then);
}

static void
past_the_budget(struct env *e)
{
	struct relay_envelope envelope = { .sender = SPAN_LIT("a@example.org"), .size = -1 };

	assert_int_equal(relay_begin(e->relay, &envelope, rt_deadline(1000000)), SP_OK);
	(void)env_rcpt(e, "one@example.com");
	assert_string_equal(env_send(e, MESSAGE), "250 2.0.0 Ok: queued as FAKE1");
	assert_int_equal(relay_begin(e->relay, &envelope, rt_deadline(0)), SP_OK);
	assert_string_equal(env_rcpt(e, "one@example.com"), "451 4.4.2 " MUTE);
	assert_string_equal(env_send(e, MESSAGE), "451 4.4.2 " MUTE);
	assert_int_equal(e->outcome, RELAY_NOT_SENT);
}

static void
a_failed_transaction_stays_failed(void **state)
{
	static const struct fake_profile usual = { 0 };

	(void)state;
	env_try(&usual, past_the_budget);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			each_fault_has_its_reply, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(arrives_as_it_was_sent, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(large_ones_arrive_whole, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			without_commit_there_is_no_dot, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(faults_in_the_middle, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			the_client_is_answered_in_time, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			a_failed_transaction_stays_failed, env_set_up, env_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
