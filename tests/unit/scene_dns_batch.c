/*
 * scene_dns_batch.c - dns.h against the fake server: several texts asked for at once.
 */
#include "scene_dns_env.h"

static struct sp_span
name_of(size_t n)
{
	static char text[DNS_BATCH_MAX + 1][32];

	snprintf(text[n], sizeof(text[n]), "n%zu.test", n);
	return span_str(text[n]);
}

static enum sp_status
ask(const struct sp_span *names, size_t count, int64_t ms, struct sp_texts *ret)
{
	return dns_texts(&(struct dns_batch){ names, count }, rt_deadline(ms), arena, ret);
}

/* Each answer takes 300 ms; all together take no longer, and each has its own status. */
static void
together(void)
{
	struct sp_span names[DNS_BATCH_MAX + 1];
	struct sp_texts texts[DNS_BATCH_MAX + 1] = { 0 };
	int64_t began = rt_now_ms();

	for (size_t n = 0; n <= DNS_BATCH_MAX; n++) {
		names[n] = name_of(n);
		if (n % 4 == 1)
			continue; /* there is none of that name */
		add(names[n].ptr, "TXT", names[n].ptr);
		fakedns_delay(server, names[n], 300);
		if (n % 4 == 2)
			fakedns_fail(server, names[n], FAKEDNS_SERVFAIL);
	}
	assert_int_equal(ask(names, DNS_BATCH_MAX + 1, 20000, texts), SP_LIMIT);
	assert_int_equal(dns_stats().questions, 0);
	names[7] = SPAN_LIT("no..name");
	names[11] = names[8];
	assert_int_equal(ask(names, DNS_BATCH_MAX, 20000, texts), SP_OK);
	assert_true(rt_now_ms() - began < 3000);
	for (size_t n = 0; n < DNS_BATCH_MAX; n++) {
		assert_int_equal(texts[n].status, n == 7 ? SP_INVALID : n % 4 == 1 ? SP_NONE : n % 4 == 2 ? SP_TEMPFAIL : SP_OK);
		if (texts[n].status != SP_OK)
			continue;
		assert_int_equal(texts[n].names.count, 1);
		assert_true(span_eq(texts[n].names.items[0], names[n]));
	}
	assert_int_equal(asked("n8.test"), 1); /* twice in the batch, and merged */
	assert_int_equal(dns_stats().merged, 1);
	assert_int_equal(ask(names, 0, 20000, texts), SP_OK);
}

static void
test_together(void **state)
{
	(void)state;
	run(together);
}

/* Silent ones are driven through their tries while another is waited for; what came is there all the same. */
static void
some_silent(void)
{
	const struct sp_span names[] = { name_of(0), name_of(1), name_of(2), name_of(3) };
	struct sp_texts texts[4];
	int64_t began = rt_now_ms();

	add("n1.test", "TXT", "one");
	for (size_t n = 0; n < 4; n++)
		if (n != 1)
			fakedns_fail(server, names[n], FAKEDNS_TIMEOUT);
	assert_int_equal(ask(names, 4, 20000, texts), SP_OK);
	for (size_t n = 0; n < 4; n++)
		assert_int_equal(texts[n].status, n == 1 ? SP_OK : SP_TIMEOUT);
	assert_span(texts[1].names.items[0], "one");
	assert_int_equal(asked("n0.test"), 2);
	assert_int_equal(asked("n3.test"), 2);
	/* three that were silent twice, one after another, would have taken 1800 ms */
	assert_true(rt_now_ms() - began < 1500);
}

static void
test_some_silent(void **state)
{
	(void)state;
	config.timeout_ms = 300;
	config.tries = 2;
	run(some_silent);
}

/* The deadline passes: what is there is given, nothing is left behind. */
static void
deadline(void)
{
	const struct sp_span names[] = { name_of(0), name_of(1), name_of(2) };
	struct sp_texts texts[3];

	add("n0.test", "TXT", "zero");
	add("n1.test", "TXT", "one");
	add("n2.test", "TXT", "two");
	fakedns_delay(server, names[1], 400);
	assert_int_equal(ask(names, 1, 20000, texts), SP_OK); /* it is in the cache now */
	assert_int_equal(ask(names, 2, 50, texts), SP_OK);
	assert_int_equal(texts[0].status, SP_OK);
	assert_int_equal(texts[1].status, SP_TIMEOUT);
	assert_int_equal(ask(names, 2, -1, texts), SP_OK);
	assert_int_equal(texts[0].status, SP_OK);
	assert_int_equal(texts[1].status, SP_TIMEOUT);
	co_sleep(450); /* the late answer finds nobody */
	assert_int_equal(ask(names, 3, 20000, texts), SP_OK);
	for (size_t n = 0; n < 3; n++)
		assert_int_equal(texts[n].status, SP_OK);
}

static void
test_deadline(void **state)
{
	(void)state;
	run(deadline);
}

static void
full_arena(void)
{
	const struct sp_span names[] = { name_of(0), name_of(1) };
	struct sp_texts texts[2];
	struct arena *small = arena_new(256, 256), *kept = arena;
	char text[256];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	add("n0.test", "TXT", text);
	add("n1.test", "TXT", "one");
	arena = small;
	assert_int_equal(ask(names, 2, 20000, texts), SP_OK);
	arena = kept;
	assert_int_equal(texts[0].status, SP_LIMIT);
	assert_int_equal(texts[1].status, SP_OK);
	arena_free(&small);
}

static void
test_full_arena(void **state)
{
	(void)state;
	run(full_arena);
}

static struct sp_texts canceled[2];

static void
canceled_co(void *arg)
{
	const struct sp_span names[] = { name_of(0), name_of(1) };

	(void)arg;
	assert_int_equal(ask(names, 2, 20000, canceled), SP_OK);
}

static void
cancel(void)
{
	struct co *co;

	fakedns_fail(server, name_of(0), FAKEDNS_TIMEOUT);
	fakedns_fail(server, name_of(1), FAKEDNS_TIMEOUT);
	assert_int_equal(co_start(canceled_co, NULL, &co), SP_OK);
	co_sleep(20);
	co_cancel(co);
	while (co_count() > 1)
		co_sleep(5);
	assert_int_equal(canceled[0].status, SP_CANCELED);
	assert_int_equal(canceled[1].status, SP_CANCELED);
}

static void
test_cancel(void **state)
{
	(void)state;
	run(cancel);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_some_silent),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_full_arena),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
