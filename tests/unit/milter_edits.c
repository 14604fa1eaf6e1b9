/*
 * What a milter does to a message: where fields go, what becomes of body and envelope, and what it may not do.
 */
#include "tests/unit/milter_host.h"

#define BASE "@ | R: r | A: 1 | B: b | a: 2 | S: s"

/* The milter's packets at the end of a message; the status of the last hook. */
static enum sp_status
edit(struct sp_span packets, uint32_t protocol)
{
	const struct deed deeds[] = { { 'E', 0, packets, false, false }, { 0 } };
	struct use u;
	enum sp_status st;

	hub_reset(deeds);
	hub.options.protocol = protocol;
	hub_fields_set(BASE);
	use_init(&u, NULL);
	st = use_message(&u);
	use_close(&u);
	use_fini(&u, NULL);
	return st;
}

static struct sp_span
done(struct sp_span packets)
{
	return hub_join(packets, PACK('c', ""));
}

#define ADD(name, value) PACK('h', name "\0" value "\0")
#define INSERT(n, name, value) PACK('i', "\0\0\0" n name "\0" value "\0")
#define CHANGE(n, name, value) PACK('m', "\0\0\0" n name "\0" value "\0")

static void
test_fields(void **state)
{
	const struct {
		struct sp_span one, two;
		const char *fields;
	} cases[] = {
		{ ADD("X", "v"), { 0 }, BASE " | X: v" },
		{ ADD("X", ""), { 0 }, BASE " | X: " },
		{ ADD("X", "one\n\ttwo\r\n three\n"), { 0 }, BASE " | X: one^~\ttwo^~ three" },
		{ INSERT("\0", "X", "v"), { 0 }, "X: v | " BASE },
		{ INSERT("\1", "X", "v"), { 0 }, "@ | X: v | R: r | A: 1 | B: b | a: 2 | S: s" },
		{ INSERT("\2", "X", "v"), { 0 }, "@ | R: r | X: v | A: 1 | B: b | a: 2 | S: s" },
		{ INSERT("\5", "X", "v"), { 0 }, "@ | R: r | A: 1 | B: b | a: 2 | X: v | S: s" },
		{ INSERT("\6", "X", "v"), { 0 }, BASE " | X: v" },
		{ INSERT("\177", "X", "v"), { 0 }, BASE " | X: v" },
		{ INSERT("\0", "X", "v"), INSERT("\0", "X", "w"), "X: w | X: v | " BASE },
		{ INSERT("\0", "X", "v"), INSERT("\1", "X", "w"), "X: v | X: w | " BASE },
		{ INSERT("\1", "X", "v"), INSERT("\1", "X", "w"), "@ | X: w | X: v | R: r | A: 1 | B: b | a: 2 | S: s" },
		{ INSERT("\0", "X", "v"), CHANGE("\1", "X", "w"), "X: w | " BASE },
		{ INSERT("\0", "X", "v"), CHANGE("\1", "X", ""), BASE },
		{ CHANGE("\1", "A", "9"), { 0 }, "@ | R: r | A: 9 | B: b | a: 2 | S: s" },
		{ CHANGE("\0", "A", "9"), { 0 }, "@ | R: r | A: 9 | B: b | a: 2 | S: s" },
		{ CHANGE("\2", "A", "9"), { 0 }, "@ | R: r | A: 1 | B: b | A: 9 | S: s" },
		{ CHANGE("\3", "A", "9"), { 0 }, BASE " | A: 9" },
		{ CHANGE("\1", "X", "9"), { 0 }, BASE " | X: 9" },
		{ CHANGE("\1", "A", ""), { 0 }, "@ | R: r | B: b | a: 2 | S: s" },
		{ CHANGE("\2", "A", ""), { 0 }, "@ | R: r | A: 1 | B: b | S: s" },
		{ CHANGE("\3", "A", ""), { 0 }, BASE },
		{ CHANGE("\1", "X", ""), { 0 }, BASE },
		{ CHANGE("\1", "A", ""), CHANGE("\1", "A", ""), "@ | R: r | B: b | S: s" },
		{ CHANGE("\1", "A", ""), CHANGE("\1", "A", "9"), "@ | R: r | B: b | A: 9 | S: s" },
		{ CHANGE("\1", "A", ""), INSERT("\3", "X", "v"), "@ | R: r | B: b | X: v | a: 2 | S: s" },
		{ CHANGE("\1", "A", "8"), CHANGE("\1", "A", "9"), "@ | R: r | A: 9 | B: b | a: 2 | S: s" },
		{ ADD("X", "v"), CHANGE("\1", "X", "w"), BASE " | X: w" },
		{ ADD("X", "v"), CHANGE("\1", "X", ""), BASE },
		{ ADD("X", "v"), INSERT("\177", "Y", "w"), BASE " | X: v | Y: w" },
		{ CHANGE("\1", "S", ""), ADD("X", "v"), "@ | R: r | A: 1 | B: b | a: 2 | X: v" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(edit(done(cases[i].two.len > 0 ? hub_join(cases[i].one, cases[i].two) : cases[i].one), 0), SP_OK);
		assert_string_equal(hub_fields_get(), cases[i].fields);
	}
	assert_int_equal(edit(done(hub_join(ADD("X", "v"), CHANGE("\1", "A", " 9"))), SMFIP_HDR_LEADSPC), SP_OK);
	assert_string_equal(hub_fields_get(), "@ | R: r | A: 9 | B: b | a: 2 | S: s | X:v");
}

/* Lines that are longer than lines may be. */
static void
test_long_fields(void **state)
{
	static char packet[3000], want[3200];
	size_t len;

	(void)state;
	memset(packet, 'x', sizeof(packet));
	memcpy(packet, "X\0", 2);
	packet[2 + 1200] = '\0';
	assert_int_equal(edit(done(hub_pack('h', packet, 2 + 1200 + 1)), 0), SP_OK);
	len = (size_t)snprintf(want, sizeof(want), BASE " | X: %.995s^~ %.205s", packet + 2, packet + 2);
	assert_true(len < sizeof(want));
	assert_string_equal(hub_fields_get(), want);

	packet[2 + 700] = ' ';
	assert_int_equal(edit(done(hub_pack('h', packet, 2 + 1200 + 1)), 0), SP_OK);
	snprintf(want, sizeof(want), BASE " | X: %.700s^~ %.499s", packet + 2, packet + 2);
	assert_string_equal(hub_fields_get(), want);

	packet[2 + 700] = 'x'; /* just as long as a line may be, and a fold of its own */
	packet[2 + 995] = '\n';
	packet[2 + 996] = '\t';
	assert_int_equal(edit(done(hub_pack('h', packet, 2 + 1200 + 1)), 0), SP_OK);
	snprintf(want, sizeof(want), BASE " | X: %.995s^~?%.203s", packet + 2, packet + 2);
	*strchr(want, '?') = '\t';
	assert_string_equal(hub_fields_get(), want);
}

static void
test_envelope(void **state)
{
	(void)state;
	assert_int_equal(edit(done(hub_join(hub_join(PACK('e', "<n@e>\0SIZE=1 X=y\0"), PACK('e', " n@e \0")),
				      hub_join(PACK('+', "<c@d>\0"), PACK('2', "e@f\0NOTIFY=NEVER\0")))), 0), SP_OK);
	assert_string_equal(hub.envelope, "=n@e[SIZE=1 X=y] =n@e[] +c@d[] +e@f[NOTIFY=NEVER] ");
	assert_int_equal(edit(done(hub_join(PACK('-', "<b@example.com>\0"), PACK('-', "<none@x>\0"))), 0), SP_OK);
	assert_string_equal(hub.envelope, "-b@example.com[] -none@x[] ");
	assert_int_equal(edit(done(hub_join(PACK('e', "<>\0"), PACK('+', "<>\0"))), 0), SP_OK); /* nobody is added */
	assert_string_equal(hub.envelope, "=[] ");
}

static void
test_body(void **state)
{
	(void)state;
	assert_int_equal(edit(done(hub_join(PACK('b', "one\r\ntw"), PACK('b', "o\r\n"))), 0), SP_OK);
	assert_int_equal(hub.body_len, 10);
	assert_memory_equal(hub.body, "one\r\ntwo\r\n", 10);
	assert_int_equal(edit(done(hub_join(hub_join(PACK('b', "one\r\n"), ADD("X", "v")), PACK('b', "two"))), 0), SP_OK);
	assert_memory_equal(hub.body, "one\r\ntwo\r\n", 10); /* a line end is added */
	assert_int_equal(hub.body_len, 10);
	assert_int_equal(edit(done(PACK('b', "")), 0), SP_OK);
	assert_int_equal(hub.body_len, 0);
	assert_int_equal(edit(done(PACK('b', "one\ntwo\r\n")), 0), SP_INVALID);
}

/* An edit that it has not asked leave for. */
static void
test_leave(void **state)
{
	const struct {
		uint32_t action;
		struct sp_span packet;
	} cases[] = { { SMFIF_ADDHDRS, ADD("X", "v") }, { SMFIF_ADDHDRS, INSERT("\0", "X", "v") }, { SMFIF_CHGHDRS, CHANGE("\1", "A", "9") },
		{ SMFIF_CHGBODY, PACK('b', "x\r\n") }, { SMFIF_ADDRCPT, PACK('+', "<a@b>\0") }, { SMFIF_ADDRCPT_PAR, PACK('2', "<a@b>\0") },
		{ SMFIF_DELRCPT, PACK('-', "<a@b>\0") }, { SMFIF_CHGFROM, PACK('e', "<a@b>\0") }, { SMFIF_QUARANTINE, PACK('q', "x\0") } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct deed deeds[] = { { 'E', 0, done(cases[i].packet), false, false }, { 0 } };
		struct use u;

		hub_reset(deeds);
		hub.wanted = true;
		use_init(&u, NULL);
		hub.options.actions = cases[i].action;
		assert_int_equal(use_message(&u), SP_OK);
		use_close(&u);
		pool_fini(u.conf.pool);
		hub.options.actions = SMFI_CURR_ACTS & ~cases[i].action;
		assert_int_equal(use_message(&u), SP_INVALID);
		use_close(&u);
		use_fini(&u, NULL);
	}
}

/* Edits belong to the end of a message. */
static void
test_too_early(void **state)
{
	(void)state;
	for (const char *on = "MRTLNB"; *on != '\0'; on++) {
		const struct deed deeds[] = { { *on, 0, done(ADD("X", "v")), false, false }, { 0 } };
		struct use u;

		hub_reset(deeds);
		use_init(&u, NULL);
		assert_int_equal(use_message(&u), SP_INVALID);
		use_close(&u);
		use_fini(&u, NULL);
	}
}

/* The host does not take it. */
static void
test_refused(void **state)
{
	const struct deed deeds[] = { { 'E', 0, done(hub_join(ADD("X", "v"), INSERT("\0", "Y", "w"))), false, false }, { 0 } };
	struct use u;

	(void)state;
	hub_reset(deeds);
	hub.edit_status = SP_INVALID;
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_INVALID);
	assert_non_null(strstr(u.box.logs, "refused"));
	assert_int_equal(hub.closes, 1);
	use_close(&u);
	use_fini(&u, NULL);
}

static void
test_too_many(void **state)
{
	static char packets[1001 * 12];
	struct deed deeds[] = { { 'E', 0, { packets, 0 }, false, false }, { 0 } };
	struct sp_span one = PACK('h', "X\0v\0");
	struct use u;

	(void)state;
	for (unsigned i = 0; i < 1001; i++) {
		memcpy(packets + deeds[0].send.len, one.ptr, one.len);
		deeds[0].send.len += one.len;
	}
	hub_reset(deeds);
	use_init(&u, NULL);
	assert_int_equal(use_message(&u), SP_LIMIT);
	use_close(&u);
	use_fini(&u, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_long_fields),
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_body),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_too_early),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
