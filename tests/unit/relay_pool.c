/* relay_pool.c - connections that are used again, and those that die meanwhile. */
#include "tests/unit/relay_env.h"

#define MESSAGE "Subject: x\r\n\r\nx\r\n"
#define QUEUED "250 2.0.0 Ok: queued as FAKE1"
#define UNASKED "451 4.4.2 mail server spoke unasked, try again later"

static const struct fake_profile usual = { 0 };

/* One message, start to end, by the relay that there is. */
static void
message(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	assert_string_equal(env_send(e, MESSAGE), QUEUED);
}

static void
next_session(struct env *e)
{
	relay_free(&e->relay);
	e->relay = relay_new(e->backend);
	assert_non_null(e->relay);
}

static void
pooled(const struct fake_profile *profiles, size_t count, void (*fn)(struct env *))
{
	struct env e;

	env_init(&e, profiles, count);
	e.config.pool = 2;
	env_run(&e, fn);
}

/* ---- reuse ----------------------------------------------------------------------------------- */

static void
two_sessions(struct env *e)
{
	message(e);
	assert_false(relay_facts(e->relay)->reused);
	message(e);
	assert_true(relay_facts(e->relay)->reused);
	assert_int_equal(relay_facts(e->relay)->connect_ns, 0);
	next_session(e);
	message(e);
	assert_true(relay_facts(e->relay)->reused);
	assert_int_equal(e->fake.connections, 1);
	assert_int_equal(e->fake.dots, 3);
	assert_int_equal(fake_count(&e->fake, "RSET"), 0);
	assert_int_equal(e->fake.quits, 0);
}

static void
a_connection_serves_again(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, &usual, 1);
	e.config.pool = 2;
	env_run(&e, two_sessions);
	assert_int_equal(e.fake.quits, 1); /* by relay_backend_free() */
}

static void
not_pooled(struct env *e)
{
	message(e);
	next_session(e);
	message(e);
	assert_int_equal(e->fake.connections, 2);
}

static void
without_a_pool_each_session_has_its_own(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, &usual, 1);
	env_run(&e, not_pooled);
	assert_int_equal(e.fake.quits, 2);
}

static void
await_quits(struct env *e, unsigned count)
{
	int64_t end = rt_deadline(1000000);

	while (e->fake.quits < count && rt_now_ms() < end)
		(void)co_sleep(100);
	assert_int_equal(e->fake.quits, count);
}

static void
full_pool(struct env *e)
{
	struct relay *relays[3];

	for (size_t i = 0; i < 3; i++) {
		relays[i] = e->relay = relay_new(e->backend);
		message(e);
	}
	assert_int_equal(e->fake.connections, 3);
	for (size_t i = 0; i < 3; i++)
		relay_free(&relays[i]);
	await_quits(e, 1);
	relay_backend_sweep(e->backend);
	assert_int_equal(e->fake.quits, 1);
	(void)co_sleep(e->config.pool_idle_ms + 1000);
	relay_backend_sweep(e->backend);
	await_quits(e, 3);
	e->relay = relay_new(e->backend);
	message(e);
	assert_int_equal(e->fake.connections, 4);
}

/* The relay that env_main() made stays idle; three more fill a pool of two. */
static void
full_pool_main(struct env *e)
{
	struct relay *first = e->relay;

	full_pool(e);
	relay_free(&first);
}

static void
the_pool_has_a_limit_and_an_age(void **state)
{
	(void)state;
	pooled(&usual, 1, full_pool_main);
}

/* ---- what was left open -------------------------------------------------------------------------
 */

static void
aborted(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	relay_abort(e->relay);
	assert_int_equal(relay_accepted(e->relay), 0);
	assert_int_equal(fake_count(&e->fake, "RSET"), 0);
	next_session(e);
	message(e);
	assert_int_equal(fake_count(&e->fake, "RSET\n"), 1);
	message(e);
	assert_int_equal(fake_count(&e->fake, "RSET\n"), 1);
}

static void
an_open_transaction_is_reset_with_the_next(void **state)
{
	static const struct fake_profile plain = { .ehlo = "250 fake" };
	struct env e;

	(void)state;
	env_init(&e, &usual, 1);
	e.config.pool = 2;
	env_run(&e, aborted);
	assert_int_equal(e.fake.batch, 3);
	assert_int_equal(e.fake.connections, 1);
	env_init(&e, &plain, 1);
	e.config.pool = 2;
	env_run(&e, aborted);
	assert_int_equal(e.fake.batch, 1);
	assert_int_equal(e.fake.connections, 1);
}

/* ---- dead while idle ----------------------------------------------------------------------------
 */

static void
replaced(struct env *e)
{
	message(e);
	next_session(e);
	message(e);
	assert_int_equal(e->fake.connections, 2);
	assert_false(relay_facts(e->relay)->reused);
	assert_null(relay_facts(e->relay)->fault);
}

static void
replaced_in_session(struct env *e)
{
	message(e);
	message(e);
	assert_int_equal(e->fake.connections, 2);
}

/* It said goodbye, spoke unasked, or went. */
static void
a_dead_idle_connection_is_passed_over(void **state)
{
	static const struct fake_profile left[][2] = {
		{ { .dot = QUEUED "\r\n421 4.4.2 bye!eof" }, { 0 } },
		{ { .dot = QUEUED "\r\n421 4.4.2 bye" }, { 0 } },
		{ { .dot = QUEUED "\r\n250 again" }, { 0 } },
		{ { .dot = QUEUED "!eof" }, { 0 } },
		{ { .dot = QUEUED "!rst" }, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		pooled(left[i], 2, replaced);
		pooled(left[i], 2, replaced_in_session);
	}
}

/* It goes, or says 421, only when it is spoken to. */
static void
a_reused_connection_that_fails_at_once_is_replaced(void **state)
{
	/* the second MAIL on the first connection comes with a RSET, since the first was given up
	 */
	static const struct fake_profile falls[][2] = {
		{ { .rset = "!eof" }, { 0 } },
		{ { .rset = "421 4.4.2 timeout!eof" }, { 0 } },
		{ { .rset = "!rst" }, { 0 } },
		{ { .rset = "250 ok\r\n421 4.4.2 timeout!eof" }, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(falls) / sizeof(falls[0]); i++) {
		struct env e;
		env_init(&e, falls[i], 2);
		e.config.pool = 2;
		env_run(&e, aborted);
		assert_int_equal(e.fake.connections, 2);
	}
}

static void
fails_twice(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	relay_abort(e->relay);
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "451 4.3.2 still going");
	assert_int_equal(e->fake.connections, 2);
}

static void
it_is_replaced_only_once(void **state)
{
	static const struct fake_profile falls[] = { { .rset = "!eof" },
		{ .mail = "421 still going!eof" } };

	(void)state;
	pooled(falls, 2, fails_twice);
}

/* ---- replay
 * -------------------------------------------------------------------------------------- */

static const char *replay_reply;
static const char *replay_fault;

static void
long_upload(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	assert_string_equal(env_rcpt(e, "bad@example.com"), "550 5.1.1 unknown");
	assert_string_equal(env_rcpt(e, "two@example.com"), "250 2.1.5 Ok");
	for (int i = 0; i < 5; i++) {
		relay_tick(e->relay);
		(void)co_sleep(30000);
	}
	assert_int_equal(relay_accepted(e->relay), 2);
	(void)env_send(e, MESSAGE);
	assert_string_equal(e->text, replay_reply);
	assert_int_equal(relay_facts(e->relay)->replayed, e->fake.connections > 1);
	if (replay_fault != NULL)
		assert_string_equal(relay_facts(e->relay)->fault, replay_fault);
}

static void
uploads(const struct fake_profile *profiles, const char *reply, const char *fault,
	unsigned connections)
{
	struct env e;

	replay_reply = reply;
	replay_fault = fault;
	env_init(&e, profiles, 2);
	env_run(&e, long_upload);
	assert_int_equal(e.fake.connections, connections);
	assert_true(e.fake.dots <= 1);
}

static void
noops(struct env *e)
{
	long_upload(e);
	assert_in_range(fake_count(&e->fake, "NOOP\n"), 2, 3);
}

static void
noop_keeps_it_waiting(void **state)
{
	static const struct fake_profile patient = { .rcpt_bad = "550 5.1.1 unknown",
		.patience_ms = 90000 };

	(void)state;
	replay_reply = QUEUED;
	replay_fault = NULL;
	env_try(&patient, noops);
}

#define IMPATIENT                                                                                  \
	{                                                                                          \
		.rcpt_bad = "550 5.1.1 unknown", .patience_ms = 30000                              \
	}

static void
a_lost_envelope_is_said_again(void **state)
{
	static const struct fake_profile changed[][2] = {
		{ IMPATIENT, { .mail = "450 4.7.1 later" } },
		{ IMPATIENT, { .rcpt = "450 4.7.1 later" } },
		{ IMPATIENT, { .rcpt_next = "550 5.1.1 unknown" } },
	};
	static const struct fake_profile same[] = { IMPATIENT,
		{ .rcpt_bad = "550 5.1.1 asked again" } };
	static const struct fake_profile worse[] = { IMPATIENT,
		{ .banner = "421 4.3.2 down!eof" } };
	static const struct fake_profile noop[] = {
		{ .rcpt_bad = "550 5.1.1 unknown", .noop = "!eof" }, { 0 }
	};
	static const struct fake_profile data[] = {
		{ .rcpt_bad = "550 5.1.1 unknown", .data = "421 4.4.2 timeout!eof" }, { 0 }
	};
	static const struct fake_profile unasked[] = {
		{ .rcpt_bad = "550 5.1.1 unknown", .noop = "250 ok\r\n250 ok" }, { 0 }
	};

	(void)state;
	uploads(same, QUEUED, NULL, 2);
	uploads(noop, QUEUED, NULL, 2);
	for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++)
		uploads(changed[i], "451 4.3.0 mail server changed its mind, try again later",
			"replay", 2);
	uploads(worse, "451 4.3.2 down", "421", 2);
	uploads(unasked, QUEUED, NULL, 2);
	/* NOOP was answered not long ago: then DATA's own fault is passed on */
	uploads(data, "451 4.4.2 timeout", "421", 1);
}

static void
reused_then_data(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	relay_abort(e->relay);
	message(e);
	assert_true(relay_facts(e->relay)->replayed);
	assert_int_equal(e->fake.connections, 2);
}

static void
a_reused_connection_that_dies_at_data_is_replayed(void **state)
{
	static const struct fake_profile falls[] = { { .data = "!eof" }, { 0 } };

	(void)state;
	pooled(falls, 2, reused_then_data);
}

static void
spoken_before_data(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	assert_string_equal(env_send(e, MESSAGE), UNASKED);
	assert_int_equal(fake_count(&e->fake, "DATA"), 0);
	assert_int_equal(e->fake.connections, 1);
}

/* R02 */
static void
a_reply_too_many_ends_the_transaction(void **state)
{
	static const struct fake_profile twice = { .rcpt = "250 2.1.5 Ok\r\n250 2.0.0 queued" };

	(void)state;
	pooled(&twice, 1, spoken_before_data);
}

static void
many(struct env *e)
{
	char address[32];

	env_begin(e);
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(address, sizeof(address), "r%u@example.com", i);
		assert_string_equal(env_rcpt(e, address), "250 2.1.5 Ok");
	}
	for (unsigned i = 0; i < 3; i++) {
		relay_tick(e->relay);
		(void)co_sleep(30000);
	}
	assert_string_equal(env_send(e, MESSAGE), QUEUED);
	assert_true(relay_facts(e->relay)->replayed);
	assert_int_equal(fake_count(&e->fake, "RCPT"), 400);
	assert_in_range(e->fake.batch, 10, 51);
}

static void
many_recipients_are_replayed_in_windows(void **state)
{
	static const struct fake_profile falls[] = { { .noop = "!eof" }, { 0 } };

	(void)state;
	pooled(falls, 2, many);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_connection_serves_again, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			without_a_pool_each_session_has_its_own, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			the_pool_has_a_limit_and_an_age, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			an_open_transaction_is_reset_with_the_next, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			a_dead_idle_connection_is_passed_over, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(a_reused_connection_that_fails_at_once_is_replaced,
			env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			it_is_replaced_only_once, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(noop_keeps_it_waiting, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			a_lost_envelope_is_said_again, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(a_reused_connection_that_dies_at_data_is_replayed,
			env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			a_reply_too_many_ends_the_transaction, env_set_up, env_tear_down),
		cmocka_unit_test_setup_teardown(
			many_recipients_are_replayed_in_windows, env_set_up, env_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
