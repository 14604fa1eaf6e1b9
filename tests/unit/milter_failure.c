/*
 * What becomes of a client's mail when the milter fails (CASES F24 to F27): at each command, in each way; and what later ones
 * make of that: the breaker, how many may ask at once, how long it takes.
 */
#include "tests/unit/milter_host.h"

enum { FACT_VERDICT };

struct way {
	const char *name;
	struct sp_span send;
	bool close;
	enum sp_status status;
};
static const struct way *
ways(size_t *count)
{
	static struct way list[24];
	size_t n = 0;

	list[n++] = (struct way){ "close", { 0 }, true, SP_GONE };
	list[n++] = (struct way){ "silence", { 0 }, false, SP_TIMEOUT };
	list[n++] = (struct way){ "half a packet", { "\0\0\0\5c", 5 }, true, SP_GONE };
	list[n++] = (struct way){ "half a packet, then silence", { "\0\0", 2 }, false, SP_TIMEOUT };
	list[n++] = (struct way){ "no length", { "\0\0\0\0", 4 }, false, SP_INVALID };
	list[n++] = (struct way){ "a huge length", { "\177\377\377\377c", 5 }, false, SP_INVALID };
	list[n++] = (struct way){ "a negative length", { "\377\377\377\377c", 5 }, false, SP_INVALID };
	list[n++] = (struct way){ "text", { "550 no\r\n", 8 }, false, SP_INVALID };
	list[n++] = (struct way){ "an unknown letter", PACK('z', ""), false, SP_INVALID };
	list[n++] = (struct way){ "data where none is", PACK('c', "x"), false, SP_INVALID };
	list[n++] = (struct way){ "accept with data", PACK('a', "\0"), false, SP_INVALID };
	list[n++] = (struct way){ "a reply code without its NUL", PACK('y', "550 5.7.1 no"), false, SP_INVALID };
	list[n++] = (struct way){ "a reply code that accepts", PACK('y', "250 2.0.0 yes\0"), false, SP_INVALID };
	list[n++] = (struct way){ "an empty reply code", PACK('y', "\0"), false, SP_INVALID };
	list[n++] = (struct way){ "a negotiation", PACK('O', "\0\0\0\6\0\0\0\0\0\0\0\0"), false, SP_INVALID };
	list[n++] = (struct way){ "shutdown", PACK('4', ""), false, SP_GONE };
	list[n++] = (struct way){ "conn-fail", PACK('f', ""), false, SP_GONE };
	list[n++] = (struct way){ "a field without its value", PACK('h', "X-A\0"), false, SP_INVALID };
	list[n++] = (struct way){ "skip, which was not agreed on", PACK('s', ""), false, SP_INVALID };
	*count = n;
	return list;
}

static void
test_each(void **state)
{
	size_t count;
	const struct way *w = ways(&count);

	(void)state;
	for (const char *on = "MRTLNBE"; *on != '\0'; on++)
		for (size_t i = 0; i < count; i++) {
			const struct deed deeds[] = { { *on, 1, w[i].send, w[i].close, false }, { 0 } };
			struct use u;
			enum sp_status st;

			hub_reset(deeds);
			use_init(&u, NULL);
			st = use_message(&u);
			if (st != w[i].status)
				fail_msg("%s at %c: status %d", w[i].name, *on, st);
			assert_int_equal(use_eom(&u, ""), st); /* and so it stays */
			assert_null(box_fact(&u.box, -1, FACT_VERDICT));
			assert_int_equal(hub.refusals, 0);
			assert_int_equal(hub.closes, 1);
			use_reset(&u);
			assert_int_equal(use_mail(&u, "a", ""), SP_OK); /* a fresh one, and all of it again */
			assert_int_equal(hub.connects, 2);
			assert_non_null(strstr(hub.said, "2 Hmx|\n2 M<a>|\n"));
			assert_int_equal(u.conf.pool->failed, 1);
			use_close(&u);
			use_fini(&u, NULL);
		}
}

/* Before MAIL it is no failure yet; at MAIL it is. */
static void
test_early(void **state)
{
	size_t count;
	const struct way *w = ways(&count);

	(void)state;
	for (const char *on = "OCH"; *on != '\0'; on++)
		for (size_t i = 0; i < count; i++) {
			const struct deed once[] = { { *on, 1, w[i].send, w[i].close, false }, { 0 } };
			const struct deed ever[] = { { *on, 0, w[i].send, w[i].close, false }, { 0 } };
			struct use u;
			enum sp_status st;

			if (*on == 'O' && w[i].send.len > 4 && w[i].send.ptr[4] == 'O')
				continue; /* that is what is expected */
			hub_reset(once);
			use_init(&u, NULL);
			assert_int_equal(use_message(&u), SP_OK);
			assert_int_equal(hub.connects, 2);
			use_close(&u);
			pool_fini(u.conf.pool);
			hub_reset(ever);
			st = use_message(&u);
			assert_true(st == w[i].status || (*on == 'O' && st == SP_INVALID)); /* there it has no meaning */
			assert_int_equal(hub.connects, 2);
			use_close(&u);
			assert_int_equal(u.conf.pool->active, 0);
			use_fini(&u, NULL);
		}
}

static void
test_unreachable(void **state)
{
	struct use u;

	(void)state;
	hub_reset(NULL);
	use_init(&u, NULL);
	hub.connect_status = SP_TEMPFAIL;
	assert_int_equal(use_message(&u), SP_TEMPFAIL);
	use_close(&u);
	hub.connect_status = SP_NONE; /* its name has no address */
	assert_int_equal(use_message(&u), SP_TEMPFAIL);
	use_close(&u);
	hub.connect_status = SP_OK;
	u.box.now_ms += POOL_WINDOW_MS;
	assert_int_equal(use_message(&u), SP_OK);
	use_close(&u);
	use_fini(&u, NULL);
}

static void
test_versions(void **state)
{
	static const struct {
		uint32_t version, actions;
	} wrong[] = { { 0, 0 }, { 1, 0 }, { 7, 0 }, { 0x80000006, 0 }, { 6, 0x200 }, { 6, 0xffffffff } };
	struct use u;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		hub_reset(NULL);
		hub.options.version = wrong[i].version;
		hub.options.actions = wrong[i].actions;
		use_init(&u, NULL);
		assert_int_equal(use_message(&u), SP_INVALID);
		use_close(&u);
		use_fini(&u, NULL);
	}
}

/* It answers where it had said that it would not: whatever came next would be taken for another answer. */
static void
test_answer_unasked(void **state)
{
	const struct deed deeds[] = { { 'H', 0, hub_join(PACK('c', ""), PACK('a', "")), false, false }, { 0 } };
	struct use u;

	(void)state;
	hub_reset(deeds);
	hub.whole_reads = true;
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_INVALID);
	assert_null(strstr(hub.said, " M"));
	use_close(&u);
	use_fini(&u, NULL);
}

/* It dies in the middle of its edits. */
static void
test_edits_half(void **state)
{
	const struct sp_span edits = hub_join(PACK('h', "X-A\0one\0"), hub_join(PACK('e', "<c@d>\0"), PACK('-', "<b@example.com>\0")));
	const struct deed dies[] = { { 'E', 1, edits, true, false }, { 0 } };
	const struct deed odd[] = { { 'E', 1, hub_join(edits, PACK('h', "X-B\0")), false, false }, { 0 } };
	struct use u;

	(void)state;
	for (int i = 0; i < 2; i++) {
		hub_reset(i == 0 ? dies : odd);
		use_init(&u, NULL);
		assert_int_equal(use_message(&u), i == 0 ? SP_GONE : SP_INVALID);
		assert_string_equal(hub_fields_get(), "@ | Subject: hello");
		assert_string_equal(hub.envelope, "");
		use_close(&u);
		use_fini(&u, NULL);
	}
}

/* ---- the breaker --------------------------------------------------------------------------------------- */

/* One failing connect; true: it was tried. */
static bool
try(struct use *u)
{
	unsigned before = hub.connects;
	bool tried;
	enum sp_status st = use_mail(u, "a", "");

	assert_true(st != SP_OK);
	tried = hub.connects != before;
	use_close(u);
	return tried;
}

static void
test_breaker(void **state)
{
	const struct deed deeds[] = { { 'O', 0, { 0 }, true, false }, { 0 } };
	int64_t rest = POOL_REST_MS;
	struct use u;

	(void)state;
	hub_reset(deeds);
	use_init(&u, NULL);
	for (unsigned i = 0; i + 1 < POOL_FAILURES; i++) { /* with a pause, these do not count together */
		assert_true(try(&u));
		u.box.now_ms += 1000;
	}
	u.box.now_ms += POOL_WINDOW_MS;
	for (unsigned i = 0; i < POOL_FAILURES; i++)
		assert_true(try(&u));
	for (unsigned i = 0; i < 8; i++) {
		assert_false(try(&u));
		u.box.now_ms += rest - 1;
		assert_false(try(&u));
		u.box.now_ms += 1;
		assert_true(try(&u)); /* one may */
		assert_false(try(&u));
		rest = rest * 2 < POOL_REST_MAX_MS ? rest * 2 : POOL_REST_MAX_MS;
	}
	u.box.now_ms += rest;
	u.conf.pool->probing = true; /* another session is trying now */
	assert_false(try(&u));
	u.conf.pool->probing = false;
	hub.deeds = NULL;
	assert_int_equal(use_mail(&u, "a", ""), SP_OK);
	assert_false(u.conf.pool->resting);
	hub.last->closed = true;
	assert_int_equal(use_rcpt(&u, "b"), SP_GONE); /* on trial: one is enough */
	assert_true(u.conf.pool->resting);
	use_close(&u);
	u.box.now_ms += POOL_REST_MAX_MS;
	assert_int_equal(use_message(&u), SP_OK);
	use_close(&u);
	hub.deeds = deeds; /* all is well: it takes five again, and the first rest is short */
	pool_fini(u.conf.pool);
	for (unsigned i = 0; i < POOL_FAILURES; i++)
		assert_true(try(&u));
	assert_int_equal(u.conf.pool->rest_ms, POOL_REST_MS);
	use_fini(&u, NULL);
}

/* ---- how many at once ------------------------------------------------------------------------------------ */

static void
test_places(void **state)
{
	struct use u, v;

	(void)state;
	hub_reset(NULL);
	use_init(&u, NULL);
	use_init(&v, &u);
	u.conf.connections = v.conf.connections = 1;
	u.conf.queue = v.conf.queue = 0;
	assert_int_equal(use_mail(&u, "a", ""), SP_OK);
	assert_int_equal(use_mail(&v, "a", ""), SP_LIMIT);
	assert_int_equal(hub.waits, 0);
	use_close(&v);
	v.conf.queue = 1;
	hub.wait_status = SP_TIMEOUT;
	assert_int_equal(use_mail(&v, "a", ""), SP_TIMEOUT);
	assert_int_equal(hub.waits, 1);
	use_close(&v);
	u.conf.pool->waiting = 1; /* somebody else does */
	assert_int_equal(use_mail(&v, "a", ""), SP_LIMIT);
	use_close(&v);
	u.conf.pool->waiting = 0;
	hub.wait_status = SP_OK;
	hub.wait_frees = u.conf.pool;
	assert_int_equal(use_mail(&v, "a", ""), SP_OK);
	assert_int_equal(u.conf.pool->waiting, 0);
	u.conf.pool->active++; /* the one that was taken away from u */
	use_close(&v);
	use_close(&u);
	assert_int_equal(u.conf.pool->active, 0);
	assert_int_equal(u.conf.pool->failed, 0);
	use_fini(&v, &u);
	use_fini(&u, NULL);
}

static void
test_histogram(void **state)
{
	struct use u;
	struct pool *p;

	(void)state;
	hub_reset(NULL);
	use_init(&u, NULL);
	p = u.conf.pool;
	for (unsigned i = 0; i < 98; i++)
		pool_succeeded(&u.box.ctx, 3);
	pool_succeeded(&u.box.ctx, 1000);
	pool_succeeded(&u.box.ctx, INT64_MAX);
	assert_int_equal(pool_percentile(p, 50), 4);
	assert_int_equal(pool_percentile(p, 98), 4);
	assert_int_equal(pool_percentile(p, 99), 1024);
	assert_int_equal(pool_percentile(p, 100), 1 << (POOL_BUCKETS - 1));
	pool_report(&u.box.ctx, false);
	assert_string_equal(u.box.logs, "");
	u.box.now_ms += 600001;
	pool_report(&u.box.ctx, false);
	assert_string_equal(u.box.logs, "calls 100, failures 0, half of them within 4 ms, 99% within 1024 ms\n");
	u.box.now_ms += 600001;
	pool_report(&u.box.ctx, true); /* nothing new */
	assert_string_equal(u.box.logs, "calls 100, failures 0, half of them within 4 ms, 99% within 1024 ms\n");
	use_fini(&u, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_answer_unasked),
		cmocka_unit_test(test_edits_half),
		cmocka_unit_test(test_breaker),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_histogram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
