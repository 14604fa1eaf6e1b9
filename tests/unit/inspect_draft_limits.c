/* The draft: what may not be written, limits, what is left in the spool; and edits at random. */
#include "tests/unit/inspect_draft_words.h"

/* ---- octets ------------------------------------------------------------------------------------------- */

/* What nobody has touched is sent from the spool; a head that is not written anew holds only what stands above. */
static void
not_written_anew(void **state)
{
	static const struct {
		const char *script;
		bool anew;
	} cases[] = {
		{ "i0 A: 1", false }, { "iT A: 1", false }, { "i0 A: 1;i1 B: 2;r0 C: 3", false }, { "i2 A: 1;d2", false }, { "", false },
		{ "i1 A: 1", true }, { "iE A: 1", true }, { "d0", true }, { "r4 X: 3", true },
	};

	(void)state;
	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct inspect_output out;
		struct world w;

		scripts[0] = cases[n].script;
		scripts[1] = scripts[2] = NULL;
		world_init(&w, POLICY);
		world_envelope(&w);
		assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
		assert_int_equal(inspect_apply(w.in, SPAN_LIT("Received: by us\r\n"), &out), SP_OK);
		assert_int_equal(out.from > 0, cases[n].anew);
		world_fini(&w);
	}
}

/* ---- what is refused ------------------------------------------------------------------------------------ */

static struct sp_span refused_field;

static enum sp_status
refused_insert(struct sp_ctx *ctx)
{
	assert_int_equal(sp_draft_insert(ctx, 0, SPAN_LIT("Good: 1")), SP_OK);
	assert_int_equal(sp_draft_insert(ctx, 0, refused_field), SP_INVALID);
	assert_non_null(strstr(logged, "filter one: edit refused: a header field that may not be written"));
	return SP_OK;
}

static enum sp_status
refused_replace(struct sp_ctx *ctx)
{
	assert_int_equal(sp_draft_replace(ctx, 0, refused_field), SP_INVALID);
	return SP_GONE;
}

/* A filter that has not noticed is no filter that may go on; one that says it has failed has edited nothing. */
static void
check_refused(enum sp_status (*fn)(struct sp_ctx *), enum sp_status st)
{
	struct world w;

	scripts[1] = scripts[2] = NULL;
	world_init(&w, POLICY);
	instead = fn;
	world_envelope(&w);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), st);
	if (st == SP_OK)
		assert_memory_equal(w.wire, "Received: by us\r\nFrom: a\r\nX: 1\r\n", 32);
	instead = NULL;
	world_fini(&w);
}

static void
fields_that_may_not_be_written(void **state)
{
	static char line[1100];
	static const struct sp_span bad[] = {
		{ "", 0 }, { "A", 1 }, { ":", 1 }, { ": x", 3 }, { "A B: x", 6 }, { "A : x", 5 }, { " A: x", 5 }, { "A: x\r\nB: y", 10 },
		{ "A: x\ny", 6 }, { "A: x\ry", 6 }, { "A: x\r\n", 6 }, { "A: x\r\n \r\n y", 11 }, { "A: x\0y", 6 }, { "A\0: x", 5 }, { "\xc3\xa4: x", 5 },
		{ "A: x\r\n\r\n y", 10 }, { "A\r\n : x", 7 }, { "A: x\n y", 7 }, { line, 999 },
	};

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "A: ", 3);
	for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
		refused_field = bad[n];
		check_refused(refused_insert, SP_INVALID);
		check_refused(refused_replace, SP_OK);
	}
}

static enum sp_status
at_the_limits(struct sp_ctx *ctx)
{
	static char line[998 + 3 + 998];
	struct sp_header h;

	memset(line, 'x', sizeof(line));
	memcpy(line, "A: ", 3);
	assert_int_equal(sp_draft_insert(ctx, 0, span_of(line, 998)), SP_OK);
	memcpy(line + 998, "\r\n ", 3);
	assert_int_equal(sp_draft_replace(ctx, 0, span_of(line, 998 + 2 + 998)), SP_OK);
	assert_int_equal(sp_draft_get(ctx, 0, &h), SP_OK);
	assert_int_equal(h.field.len, 998 + 2 + 998);
	assert_int_equal(sp_draft_replace(ctx, 0, span_of(line, 998 + 3 + 998)), SP_INVALID);
	assert_int_equal(sp_draft_replace(ctx, 6, SPAN_LIT("A: x")), SP_NONE);
	assert_int_equal(sp_draft_remove(ctx, 6), SP_NONE);
	assert_int_equal(sp_draft_remove(ctx, SP_DRAFT_TOP), SP_NONE);
	assert_int_equal(sp_draft_remove(ctx, SP_DRAFT_END), SP_NONE);
	return SP_GONE;
}

static enum sp_status
too_many_edits(struct sp_ctx *ctx)
{
	for (int n = 0; n < 10000; n++) {
		assert_int_equal(sp_draft_insert(ctx, 0, SPAN_LIT("A: x")), SP_OK);
		assert_int_equal(sp_draft_remove(ctx, 0), SP_OK);
	}
	assert_int_equal(sp_draft_remove(ctx, 0), SP_LIMIT);
	return SP_OK;
}

static enum sp_status
too_many_octets(struct sp_ctx *ctx)
{
	static char line[512];

	memset(line, 'x', sizeof(line));
	memcpy(line, "A: ", 3);
	for (int n = 0; n < 512; n++)
		assert_int_equal(sp_draft_insert(ctx, SP_DRAFT_END, span_of(line, 512)), SP_OK);
	assert_int_equal(sp_draft_insert(ctx, 0, SPAN_LIT("A:")), SP_LIMIT);
	return SP_OK;
}

static void
limits(void **state)
{
	(void)state;
	check_refused(at_the_limits, SP_OK);
	check_refused(too_many_edits, SP_LIMIT);
	check_refused(too_many_octets, SP_LIMIT);
}

/* Before the message is complete there is no draft. */
static enum sp_status
too_early(struct sp_ctx *ctx)
{
	struct sp_header h;
	struct sp_mail mail;
	struct sp_rcpt rcpt;
	struct sp_span s;

	assert_int_equal(sp_draft_get(ctx, 0, &h), SP_INVALID);
	assert_int_equal(sp_draft_body(ctx, 0, &s), SP_INVALID);
	assert_int_equal(sp_draft_sender(ctx, &mail), SP_INVALID);
	assert_int_equal(sp_draft_rcpt(ctx, 0, &rcpt), SP_INVALID);
	assert_int_equal(sp_draft_insert(ctx, 0, SPAN_LIT("A: x")), SP_INVALID);
	assert_int_equal(sp_rcpt_insert(ctx, SPAN_LIT("a@example.org"), SPAN_LIT("")), SP_INVALID);
	return SP_OK;
}

static void
at_the_end_only(void **state)
{
	(void)state;
	early = too_early;
	check_refused(NULL, SP_INVALID);
	early = NULL;
}

/* ---- at random, against a list of strings ---------------------------------------------------------------- */

enum { MODEL_MAX = 256, FIELD = 24 };

static struct model {
	char fields[MODEL_MAX][FIELD]; /* "" is where our own fields stand */
	size_t count;
} model;
static uint32_t seed;

static unsigned
random_below(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* Where the field of that index stands; past the last: the end. */
static size_t
model_at(size_t index)
{
	size_t at = 0;

	while (at < model.count && (model.fields[at][0] == '\0' || index-- > 0))
		at++;
	return at;
}

static void
model_put(size_t at, const char *field)
{
	assert_true(model.count < MODEL_MAX);
	memmove(model.fields[at + 1], model.fields[at], (model.count - at) * FIELD);
	snprintf(model.fields[at], FIELD, "%s", field);
	model.count++;
}

static void
model_text(char *to, const char *own)
{
	size_t used = 0;

	to[0] = '\0';
	for (size_t n = 0; n < model.count; n++)
		if (model.fields[n][0] != '\0' || own[0] != '\0')
			used += (size_t)snprintf(to + used, TEXT - used, "%s%s", used > 0 ? "|" : "",
				model.fields[n][0] != '\0' ? model.fields[n] : own);
}

static void
random_edit(struct sp_ctx *ctx)
{
	size_t visible = model.count - 1, index = random_below((unsigned)visible + 1);
	char field[FIELD];

	snprintf(field, sizeof(field), "N%u: %u", random_below(10), random_below(1000));
	if (index == visible || visible < 2 || random_below(3) == 0) {
		index = random_below(5) == 0 ? SP_DRAFT_TOP : random_below(5) == 0 ? SP_DRAFT_END : index;
		assert_int_equal(sp_draft_insert(ctx, index, span_str(field)), SP_OK);
		model_put(index == SP_DRAFT_TOP ? 0 : model_at(index), field);
	} else if (random_below(2) == 0) {
		assert_int_equal(sp_draft_replace(ctx, index, span_str(field)), SP_OK);
		snprintf(model.fields[model_at(index)], FIELD, "%s", field);
	} else {
		size_t at = model_at(index);

		assert_int_equal(sp_draft_remove(ctx, index), SP_OK);
		memmove(model.fields[at], model.fields[at + 1], (model.count - at - 1) * FIELD);
		model.count--;
	}
}

/* A filter may fail at its end: then all is as it was. */
static enum sp_status
random_word(struct sp_ctx *ctx, struct sp_span word)
{
	const struct model before = model;
	char now[TEXT], want[TEXT];

	(void)word;
	for (unsigned n = random_below(20); n > 0; n--) {
		random_edit(ctx);
		see(ctx, now);
		model_text(want, "");
		assert_string_equal(now, want);
	}
	if (random_below(4) != 0)
		return SP_OK;
	hooks_fail(use_of(ctx));
	model = before;
	return SP_OK;
}

static void
at_random(void **state)
{
	char want[TEXT], now[TEXT];

	(void)state;
	run_word = random_word;
	scripts[0] = scripts[1] = scripts[2] = "x";
	for (unsigned n = 1; n <= 200; n++) {
		struct world w;

		seed = n;
		model.count = 0;
		for (const char *const *f = (const char *const[]){ "", "A: 1", "B: 2", "A: 3", "C: 4", NULL }; *f != NULL; f++)
			model_put(model.count, *f);
		world_init(&w, POLICY);
		world_envelope(&w);
		assert_int_equal(world_message(&w, "A: 1\r\nB: 2\r\nA: 3\r\nC: 4\r\n\r\nbody\r\n.\r\n", 0), POLICY_ACCEPT);
		assert_int_equal(world_apply(&w), SP_OK);
		flatten(w.wire, now);
		model_text(want, "Received: by us");
		assert_string_equal(now, want);
		world_fini(&w);
	}
	run_word = draft_word;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_written_anew),
		cmocka_unit_test(fields_that_may_not_be_written),
		cmocka_unit_test(limits),
		cmocka_unit_test(at_the_end_only),
		cmocka_unit_test(at_random),
	};

	env_modules = script_modules;
	run_word = draft_word;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
