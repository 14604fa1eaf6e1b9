/*
 * inspect_rate.c - the module "rate": GCRA, keys, the shared table, what is unknown and what is
 * absent.
 */
#include "tests/unit/filter_host.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filters/rate/rate.c"
#include "filters/rate/table.c"

/* 60 a minute, burst 3, by one key. */
struct world {
	struct sp_fact_ref ref, ref2;
	const struct sp_fact_ref *refs[2];
	struct rate_entry entry;
	struct sp_entry entries[1];
	struct rate_conf conf;
	struct box box;
};

static void
set_ip(struct sp_fact_ref *ref, uint8_t family, const char *bytes)
{
	ref->status = SP_OK;
	ref->value = (struct sp_value){ .type = SP_IP };
	ref->value.u.ip.family = family;
	memcpy(ref->value.u.ip.bytes, bytes, family == 4 ? 4 : 16);
}

static void
set_text(struct sp_fact_ref *ref, enum sp_type type, const char *text)
{
	ref->status = SP_OK;
	ref->value = (struct sp_value){ .type = type };
	ref->value.u.text = box_span(text);
}

static enum sp_status
world_load(struct world *w, enum count count, enum sp_stage keys)
{
	w->refs[0] = &w->ref;
	w->refs[1] = &w->ref2;
	w->conf.entries = 1024;
	if (w->entry.key.count == 0)
		w->entry.key = (struct sp_keys){ w->refs, 1 };
	if (w->entry.rate.count == 0)
		w->entry.rate = (struct sp_rate){ 60, 60000, 0 };
	if (w->entry.burst == 0)
		w->entry.burst = 3;
	w->entry.count = count;
	w->entry.v4 = 32;
	w->entry.v6 = 64;
	w->entries[0] =
		(struct sp_entry){ "per_key", &w->entry, rate_entry_stage(&w->entry, keys) };
	return box_init(&w->box, &sp_filter_rate, &w->conf, w->entries, 1);
}

static void
world_new(struct world *w)
{
	memset(w, 0, sizeof(*w));
	set_ip(&w->ref, 4, "\x0a\x00\x00\x01");
	assert_int_equal(world_load(w, COUNT_MESSAGES, SP_CONNECT), SP_OK);
}

/* One message: is it over? */
static bool
message_over(struct world *w)
{
	w->box.stated_count = 0;
	assert_int_equal(box_mail(&w->box, -1), SP_OK);
	assert_non_null(box_fact(&w->box, 0, FACT_OVER));
	return box_fact(&w->box, 0, FACT_OVER)->u.boolean;
}

static void
test_burst_then_rate(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	for (int i = 0; i < 3; i++)
		assert_false(message_over(&w));
	assert_true(box_fact(&w.box, 0, FACT_LEVEL)->u.real == 1.0);
	assert_true(message_over(&w)); /* the fourth is one beyond the burst */
	w.box.now_ms += 999;
	assert_true(message_over(&w));
	w.box.now_ms += 1; /* what was over was not counted: one second buys one event */
	assert_false(message_over(&w));
	assert_true(message_over(&w));
	w.box.now_ms += 3600000; /* a long rest buys no more than the burst */
	for (int i = 0; i < 3; i++)
		assert_false(message_over(&w));
	assert_true(message_over(&w));
	box_fini(&w.box, &w.conf, w.entries);
}

static void
test_default_burst_is_count(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	w.entry.burst = 0;
	for (int i = 0; i < 60; i++)
		assert_false(message_over(&w));
	assert_true(message_over(&w));
	box_fini(&w.box, &w.conf, w.entries);
}

static void
test_extreme_rates(void **state)
{
	static const struct sp_rate rates[] = { { 1, 86400000, 0 }, { UINT64_MAX, 1, 0 },
		{ 1, UINT64_MAX, 0 }, { 1000000000, 1000, UINT64_MAX } };
	struct rate_entry e = { .burst = 1000000000 };

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct rate_limit limit;

		e.rate = rates[i];
		limit = rate_limit_of(&e);
		assert_true(limit.step >= 1 && limit.room >= limit.step);
		assert_true(limit.room <= INT64_MAX / 4);
	}
}

static void
test_keys_are_apart(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	for (int i = 0; i < 3; i++)
		assert_false(message_over(&w));
	assert_true(message_over(&w));
	set_ip(&w.ref, 4, "\x0a\x00\x00\x02");
	assert_false(message_over(&w));
	box_fini(&w.box, &w.conf, w.entries);
}

static void
test_prefixes(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	set_ip(&w.ref, 6, "\x20\x01\x0d\xb8\0\0\0\1\0\0\0\0\0\0\0\1");
	for (int i = 0; i < 3; i++)
		assert_false(message_over(&w));
	set_ip(&w.ref, 6, "\x20\x01\x0d\xb8\0\0\0\1\xff\xff\xff\xff\xff\xff\xff\xff");
	assert_true(message_over(&w)); /* the same /64 */
	set_ip(&w.ref, 6, "\x20\x01\x0d\xb8\0\0\0\2\0\0\0\0\0\0\0\1");
	assert_false(message_over(&w));
	w.entry.v4 = 25;
	set_ip(&w.ref, 4, "\x0a\x00\x00\x80");
	for (int i = 0; i < 3; i++)
		assert_false(message_over(&w));
	set_ip(&w.ref, 4, "\x0a\x00\x00\xff");
	assert_true(message_over(&w)); /* the same /25 */
	set_ip(&w.ref, 4, "\x0a\x00\x00\x7f");
	assert_false(message_over(&w));
	box_fini(&w.box, &w.conf, w.entries);
}

static void
test_several_facts_and_case(void **state)
{
	struct world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.entry.key = (struct sp_keys){ w.refs, 2 };
	set_text(&w.ref, SP_STRING, "a");
	set_text(&w.ref2, SP_DOMAIN, "bc.example");
	assert_int_equal(world_load(&w, COUNT_MESSAGES, SP_MAIL), SP_OK);
	for (int i = 0; i < 3; i++)
		assert_false(message_over(&w));
	set_text(&w.ref2, SP_DOMAIN, "BC.Example");
	assert_true(message_over(&w)); /* domains have no case */
	set_text(&w.ref, SP_STRING, "A");
	assert_false(message_over(&w)); /* strings have */
	set_text(&w.ref, SP_STRING, "ab");
	set_text(&w.ref2, SP_DOMAIN, "c.example");
	assert_false(message_over(&w)); /* parts do not run together */
	box_fini(&w.box, &w.conf, w.entries);
}

static void
test_unknown_and_absent(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	w.ref.status = SP_TEMPFAIL;
	assert_int_equal(box_mail(&w.box, -1), SP_OK);
	assert_null(box_fact(&w.box, 0, FACT_OVER)); /* never "not over" */
	w.ref.status = SP_NONE;
	for (int i = 0; i < 10; i++)
		assert_false(message_over(&w));
	w.box.stated_count = 0;
	set_text(&w.ref, SP_STRING, "");
	w.ref.value.u.text = (struct sp_span){ w.box.errors, KEY_MAX };
	assert_int_equal(box_mail(&w.box, -1), SP_OK);
	assert_null(box_fact(&w.box, 0, FACT_OVER));
	assert_string_equal(
		w.box.logs, "per_key: a key of more than 1024 octets cannot be counted\n");
	box_fini(&w.box, &w.conf, w.entries);
}

static void
test_dry_run_leaves_no_trace(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	w.box.ctx.dry_run = true;
	for (int i = 0; i < 10; i++)
		assert_false(message_over(&w));
	w.box.ctx.dry_run = false;
	for (int i = 0; i < 3; i++)
		assert_false(message_over(&w));
	w.box.ctx.dry_run = true;
	assert_true(message_over(&w));
	box_fini(&w.box, &w.conf, w.entries);
}

static void
test_connections_count_once(void **state)
{
	struct world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	set_text(&w.ref, SP_STRING, "mx.example");
	assert_int_equal(world_load(&w, COUNT_CONNECTIONS, SP_HELO), SP_OK);
	for (int session = 0; session < 4; session++) {
		struct rate_session fresh = { NULL, NULL };

		memcpy(w.box.ctx.session, &fresh, sizeof(fresh));
		assert_int_equal(box_connect(&w.box), SP_OK);
		assert_null(box_fact(&w.box, 0, FACT_OVER));
		for (int again = 0; again < 5; again++) {
			assert_int_equal(box_helo(&w.box, "mx.example"), SP_OK);
			assert_int_equal(box_fact(&w.box, 0, FACT_OVER)->u.boolean, session == 3);
		}
	}
	box_fini(&w.box, &w.conf, w.entries);
}

static void
test_recipients(void **state)
{
	struct world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	set_ip(&w.ref, 4, "\x0a\x00\x00\x01");
	assert_int_equal(world_load(&w, COUNT_RECIPIENTS, SP_CONNECT), SP_OK);
	assert_int_equal(box_mail(&w.box, -1), SP_OK);
	assert_null(box_fact(&w.box, 0, FACT_OVER));
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(box_rcpt(&w.box, "b@example.com", i), SP_OK);
		assert_int_equal(box_fact(&w.box, 0, FACT_OVER)->u.boolean, i == 3);
	}
	box_fini(&w.box, &w.conf, w.entries);
}

static void
test_stages(void **state)
{
	struct rate_entry e = { .count = COUNT_CONNECTIONS };

	(void)state;
	assert_int_equal(rate_entry_stage(&e, SP_CONNECT), SP_CONNECT);
	assert_int_equal(rate_entry_stage(&e, SP_HELO), SP_HELO);
	e.count = COUNT_MESSAGES;
	assert_int_equal(rate_entry_stage(&e, SP_CONNECT), SP_MAIL);
	assert_int_equal(rate_entry_stage(&e, SP_EOM), SP_EOM);
	e.count = COUNT_RECIPIENTS;
	assert_int_equal(rate_entry_stage(&e, SP_MAIL), SP_RCPT);
}

static void
test_refused_at_load(void **state)
{
	struct world w;

	(void)state;
	memset(&w, 0, sizeof(w));
	assert_int_equal(world_load(&w, COUNT_CONNECTIONS, SP_MAIL), SP_INVALID);
	assert_string_equal(w.box.errors, "per_key: connections are counted by facts known at "
					  "connect or helo; its key is known later\n");
	box_fini(&w.box, &w.conf, w.entries);
	memset(&w, 0, sizeof(w));
	assert_int_equal(world_load(&w, COUNT_RECIPIENTS, SP_EOM), SP_INVALID);
	box_fini(&w.box, &w.conf, w.entries);
	memset(&w, 0, sizeof(w));
	w.entry.rate = (struct sp_rate){ 1, 0, 0 };
	assert_int_equal(world_load(&w, COUNT_MESSAGES, SP_MAIL), SP_INVALID);
	assert_string_equal(w.box.errors, "per_key: a rate of nothing is always exceeded\n");
	box_fini(&w.box, &w.conf, w.entries);
}

/* A second load finds the table as the first left it: this is what a reload does. */
static void
test_survives_reload(void **state)
{
	struct world w;
	struct sp_load load = { &w.box };

	(void)state;
	world_new(&w);
	for (int i = 0; i < 3; i++)
		assert_false(message_over(&w));
	w.conf.table = NULL;
	assert_int_equal(rate_load(&load, &box_host, &w.conf, w.entries, 1), SP_OK);
	assert_true(message_over(&w));
	box_fini(&w.box, &w.conf, w.entries);
}

/* Reference vector of the SipHash paper: key 00..0f, input 00..0e. */
static void
test_siphash_vector(void **state)
{
	const uint64_t key[2] = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };
	unsigned char in[15];

	(void)state;
	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)i;
	assert_true(siphash(key, in, sizeof(in)) == UINT64_C(0xa129ca6149be45e5));
}

/* A flood of other keys does not wash out one that is over. */
static void
test_flood_keeps_the_guilty(void **state)
{
	struct rate_table *t = calloc(1, rate_table_size(1024));
	const struct rate_limit limit = { 1000000000, 100000000000 };
	uint64_t guilty;

	(void)state;
	assert_int_equal(rate_table_init(t, 1024), SP_OK);
	guilty = rate_table_hash(t, "guilty", 6);
	for (int i = 0; i < 100; i++)
		assert_false(rate_table_add(t, guilty, limit, 5000, false).over);
	assert_true(rate_table_add(t, guilty, limit, 5000, false).over);
	for (uint32_t i = 0; i < 200000; i++)
		assert_false(
			rate_table_add(t, rate_table_hash(t, &i, sizeof(i)), limit, 5000, false)
				.over);
	assert_true(rate_table_add(t, guilty, limit, 5000, false).over);
	free(t);
}

/* Four processes add to one key at once: exactly the burst passes. */
static void
test_workers_share(void **state)
{
	size_t size = rate_table_size(64);
	struct {
		_Atomic int passed;
	} *sum = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct rate_table *t =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct rate_limit limit = { 1000000000, 5000 * INT64_C(1000000000) };
	pid_t child[4];

	(void)state;
	assert_int_equal(rate_table_init(t, 64), SP_OK);
	rate_table_add(
		t, 7, limit, 1, false); /* the slot exists: two at once never take it twice */
	for (int c = 0; c < 4; c++) {
		child[c] = fork();
		if (child[c] == 0) {
			for (int i = 0; i < 5000; i++)
				atomic_fetch_add(
					&sum->passed, !rate_table_add(t, 7, limit, 1, false).over);
			_exit(0);
		}
	}
	for (int c = 0; c < 4; c++)
		assert_int_equal(waitpid(child[c], NULL, 0), child[c]);
	assert_int_equal(sum->passed, 4999);
	munmap(t, size);
	munmap(sum, 4096);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_then_rate),
		cmocka_unit_test(test_default_burst_is_count),
		cmocka_unit_test(test_extreme_rates),
		cmocka_unit_test(test_keys_are_apart),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_several_facts_and_case),
		cmocka_unit_test(test_unknown_and_absent),
		cmocka_unit_test(test_dry_run_leaves_no_trace),
		cmocka_unit_test(test_connections_count_once),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_stages),
		cmocka_unit_test(test_refused_at_load),
		cmocka_unit_test(test_survives_reload),
		cmocka_unit_test(test_siphash_vector),
		cmocka_unit_test(test_flood_keeps_the_guilty),
		cmocka_unit_test(test_workers_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
