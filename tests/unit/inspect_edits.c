/* Edits: what goes on to the backend, octet by octet, and what is refused. */
#include "tests/unit/inspect_env.h"

#define EDIT "policy 1\nfilter edit\nrules {\n r : if edit.done reject 550 5.7.1 \"no\" on unknown skip\n accept\n}\n"
#define TRACE "Received: by us\r\n"
#define MESSAGE "From: a\r\nX: 1\r\nSubject: s\r\nx: 2\r\n folded\r\nX: 3\r\n\r\n..one\r\ntwo\r\n.\r\n"
#define BODY "..one\r\ntwo\r\n"

static void
check(const char *policy, enum sp_status (*fn)(struct sp_ctx *), const char *message, const char *want)
{
	struct world w;

	world_init(&w, policy);
	edit_fn = fn;
	world_envelope(&w);
	assert_int_equal(world_message(&w, message, 6), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), SP_OK);
	assert_string_equal(w.wire, want);
	world_fini(&w);
}

/* The edit is refused: nothing goes on. */
static void
check_refused(enum sp_status (*fn)(struct sp_ctx *), enum sp_status st)
{
	struct world w;

	world_init(&w, EDIT);
	edit_fn = fn;
	world_envelope(&w);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), st);
	assert_non_null(strstr(logged, "filter edit: edit refused: "));
	world_fini(&w);
}

/* ---- header ------------------------------------------------------------------------------------ */

static enum sp_status
do_nothing(struct sp_ctx *ctx)
{
	(void)ctx;
	return SP_OK;
}

static enum sp_status
do_add(struct sp_ctx *ctx)
{
	sp_header_add(ctx, "A", SPAN_LIT("1"));
	ctx->host->header_insert(ctx, 0, ".B", SPAN_LIT(" 2\r\n\t.3"));
	return SP_OK;
}

static enum sp_status
do_insert(struct sp_ctx *ctx)
{
	ctx->host->header_insert(ctx, 1, "A", SPAN_LIT("1"));
	ctx->host->header_insert(ctx, 99, "Last", SPAN_LIT("x"));
	ctx->host->header_insert(ctx, 1, "B", SPAN_LIT("2"));
	return SP_OK;
}

static enum sp_status
do_replace_second(struct sp_ctx *ctx)
{
	assert_int_equal(ctx->host->header_replace(ctx, "X", 1, SPAN_LIT("new")), SP_OK);
	assert_int_equal(ctx->host->header_replace(ctx, "X", 3, SPAN_LIT("new")), SP_NONE);
	assert_int_equal(ctx->host->header_replace(ctx, "Y", -1, SPAN_LIT("new")), SP_NONE);
	return SP_OK;
}

static enum sp_status
do_remove_all(struct sp_ctx *ctx)
{
	return sp_header_remove(ctx, "x", -1);
}

/* Numbered as they came, so ascending order leaves nothing out (H03). */
static enum sp_status
do_remove_one_by_one(struct sp_ctx *ctx)
{
	for (int n = 0; n < 3; n++)
		assert_int_equal(sp_header_remove(ctx, "X", n), SP_OK);
	assert_int_equal(sp_header_remove(ctx, "X", 3), SP_NONE);
	return SP_OK;
}

static enum sp_status
do_remove_last(struct sp_ctx *ctx)
{
	return sp_header_remove(ctx, "X", 2);
}

static void
header_edits(void **state)
{
	(void)state;
	check(EDIT, do_nothing, MESSAGE, TRACE "From: a\r\nX: 1\r\nSubject: s\r\nx: 2\r\n folded\r\nX: 3\r\n\r\n" BODY);
	check(EDIT, do_add, MESSAGE,
		TRACE "A: 1\r\n..B: 2\r\n\t.3\r\nFrom: a\r\nX: 1\r\nSubject: s\r\nx: 2\r\n folded\r\nX: 3\r\n\r\n" BODY);
	check(EDIT, do_insert, MESSAGE, TRACE
		"From: a\r\nA: 1\r\nB: 2\r\nX: 1\r\nSubject: s\r\nx: 2\r\n folded\r\nX: 3\r\nLast: x\r\n\r\n" BODY);
	check(EDIT, do_replace_second, MESSAGE, TRACE "From: a\r\nX: 1\r\nSubject: s\r\nx: new\r\nX: 3\r\n\r\n" BODY);
	check(EDIT, do_remove_all, MESSAGE, TRACE "From: a\r\nSubject: s\r\n\r\n" BODY);
	check(EDIT, do_remove_one_by_one, MESSAGE, TRACE "From: a\r\nSubject: s\r\n\r\n" BODY);
	check(EDIT, do_remove_last, MESSAGE, TRACE "From: a\r\nX: 1\r\nSubject: s\r\nx: 2\r\n folded\r\n\r\n" BODY);
}

/* Where the body begins on the wire: stuffed and unstuffed dots in the header and at its end. */
static void
wire_offset(void **state)
{
	(void)state;
	check(EDIT, do_remove_all, "..A: 1\r\nX: 1\r\n..B: 2\r\n\r\n..\r\n.\r\n", TRACE "..A: 1\r\n..B: 2\r\n\r\n..\r\n");
	check(EDIT, do_remove_all, ".X: 1\r\n.A: 2\r\n\r\nbody\r\n.\r\n", TRACE "A: 2\r\n\r\nbody\r\n");
	check(EDIT, do_remove_all, "X: 1\r\n\r\n.\r\n", TRACE "\r\n");
	check(EDIT, do_remove_all, "X: 1\r\n.\r\n", TRACE);
	/* no empty line: the body begins with the first line that is no field */
	check(EDIT, do_remove_all, "X: 1\r\nA: 2\r\nno field\r\n.\r\n", TRACE "A: 2\r\n\r\nno field\r\n");
	check(EDIT, do_remove_all, "X: 1\r\nA: 2\r\n..no field\r\n.\r\n", TRACE "A: 2\r\n\r\n..no field\r\n");
}

/* The same line, untouched: nobody is to look for fields behind it, where we have not. */
static void
empty_line(void **state)
{
	(void)state;
	check(EDIT, do_nothing, "A: 1\r\n b\r\nno field\r\nFrom: x\r\n\r\n..\r\n.\r\n",
		TRACE "A: 1\r\n b\r\n\r\nno field\r\nFrom: x\r\n\r\n..\r\n");
	check(EDIT, do_nothing, "..A: 1\r\nname\r\n.\r\n", TRACE "..A: 1\r\n\r\nname\r\n");
	check(EDIT, do_nothing, "A: 1\r\n..\r\n.\r\n", TRACE "A: 1\r\n\r\n..\r\n");
	check(EDIT, do_nothing, "A: 1\r\n.\r\n", TRACE "A: 1\r\n");
	check(EDIT, do_nothing, "A: 1\r\n\r\n.\r\n", TRACE "A: 1\r\n\r\n");
}

/* A message without a header: its first line is not to fold into our field, nor to be taken for one. */
static void
no_header(void **state)
{
	(void)state;
	check(EDIT, do_add, " text\r\nmore\r\n.\r\n", TRACE "A: 1\r\n..B: 2\r\n\t.3\r\n\r\n text\r\nmore\r\n");
	check(EDIT, do_nothing, "\ttext\r\n.\r\n", TRACE "\r\n\ttext\r\n");
	check(EDIT, do_nothing, "text\r\n.\r\n", TRACE "\r\ntext\r\n");
	check(EDIT, do_nothing, "..text\r\n.\r\n", TRACE "\r\n..text\r\n");
	check(EDIT, do_nothing, "\r\ntext\r\n.\r\n", TRACE "\r\ntext\r\n");
	check(EDIT, do_nothing, ".\r\n", TRACE);
}

/* 20 copies among others, each way of removing them. */
static void
many_copies(void **state)
{
	char message[2048] = "", want[2048] = TRACE;

	(void)state;
	for (int n = 0; n < 20; n++) {
		snprintf(message + strlen(message), sizeof(message) - strlen(message), "X: %d\r\nY: %d\r\n", n, n);
		snprintf(want + strlen(want), sizeof(want) - strlen(want), "Y: %d\r\n", n);
	}
	snprintf(message + strlen(message), sizeof(message) - strlen(message), "\r\nb\r\n.\r\n");
	snprintf(want + strlen(want), sizeof(want) - strlen(want), "\r\nb\r\n");
	check(EDIT, do_remove_all, message, want);
}

/* ---- policy ------------------------------------------------------------------------------------- */

static void
policy_edits(void **state)
{
	(void)state;
	check("policy 1\nrules {\n a : if client.ip == 192.0.2.1 add-header \"X-A\" \"{client.helo}\"\n"
		" b : if message.size > 1 add-header \"X-B\" \"for {rcpt.local}\"\n d : remove-header \"X\"\n accept\n}\n",
		NULL, MESSAGE, TRACE "X-A: mx.example.org\r\nX-B: for bob\r\nFrom: a\r\nSubject: s\r\n\r\n" BODY);
	/* the filters' first; what a filter put in place of a field goes with the field */
	check("policy 1\nfilter edit\nrules {\n a : add-header \"X-A\" \"1\"\n d : remove-header \"Subject\"\n"
		" r : if edit.done reject 550 5.7.1 \"no\" on unknown skip\n accept\n}\n",
		do_add, MESSAGE, TRACE "A: 1\r\n..B: 2\r\n\t.3\r\nX-A: 1\r\nFrom: a\r\nX: 1\r\nx: 2\r\n folded\r\nX: 3\r\n\r\n" BODY);
}

/* A rule that fires for several recipients adds once. */
static void
policy_adds_once(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "policy 1\nrules {\n late : if message.size > 1 and rcpt.domain == example.com add-header \"L\" \"1\"\n"
		" early : if rcpt.local == \"ann\" add-header \"E\" \"2\"\n"
		" lost : if rcpt.local == \"gone\" add-header \"G\" \"3\"\n"
		" no : if rcpt.local == \"gone\" reject 550 5.1.1 \"gone\"\n accept\n}\n");
	world_connect(&w);
	world_mail(&w, "a@example.org", -1);
	world_rcpt(&w, "bob@example.com");
	world_rcpt(&w, "ann@example.com");
	assert_int_equal(world_rcpt(&w, "gone@example.com"), POLICY_REJECT);
	inspect_data(w.in, RT_NEVER);
	assert_int_equal(world_message(&w, "S: x\r\n\r\n.\r\n", 0), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), SP_OK);
	assert_string_equal(w.wire, TRACE "L: 1\r\nE: 2\r\nS: x\r\n\r\n");
	world_fini(&w);
}

/* Whatever a client puts into a value, one field comes out. */
static void
values_are_one_line(void **state)
{
	static const char policy[] = "policy 1\nrules {\n a : add-header \"X\" \"<{message.header(\\\"S\\\")}>\"\n accept\n}\n";
	static char message[4096];
	struct world w;
	size_t len;

	(void)state;
	check(policy, NULL, "S: a\r\n\tb\x01" "c\r\n\r\n.\r\n", TRACE "X: <a b?c>\r\nS: a\r\n\tb\x01" "c\r\n\r\n");
	check(policy, NULL, "T: x\r\n\r\n.\r\n", TRACE "X: <>\r\nT: x\r\n\r\n");
	/* longer than a line may be: cut */
	memcpy(message, "S: ", 3);
	memset(message + 3, 'y', 2000);
	snprintf(message + 2003, 20, "\r\n\r\n.\r\n");
	world_init(&w, policy);
	world_envelope(&w);
	assert_int_equal(world_message(&w, message, 0), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), SP_OK);
	len = strcspn(strstr(w.wire, "X: "), "\r");
	assert_true(len > 500 && len <= 998);
	world_fini(&w);
}

/* ---- the body ------------------------------------------------------------------------------------- */

static enum sp_status
do_body(struct sp_ctx *ctx)
{
	static const char text[] = ".dot\r\n\r\n..two\r\nend\r\n";

	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_int_equal(ctx->host->body_replace(ctx, span_of(text + n, 1)), SP_OK);
	assert_int_equal(ctx->host->body_replace(ctx, SPAN_LIT("last\r\n.\r\n")), SP_OK);
	return SP_OK;
}

static enum sp_status
do_empty_body(struct sp_ctx *ctx)
{
	return ctx->host->body_replace(ctx, SPAN_LIT(""));
}

static void
body_edits(void **state)
{
	(void)state;
	check(EDIT, do_body, MESSAGE, TRACE "From: a\r\nX: 1\r\nSubject: s\r\nx: 2\r\n folded\r\nX: 3\r\n\r\n"
		"..dot\r\n\r\n...two\r\nend\r\nlast\r\n..\r\n");
	check(EDIT, do_body, "A: b\r\n.\r\n", TRACE "A: b\r\n\r\n..dot\r\n\r\n...two\r\nend\r\nlast\r\n..\r\n");
	check(EDIT, do_empty_body, "A: b\r\n\r\ntext\r\n.\r\n", TRACE "A: b\r\n\r\n");
}

/* Any offset gives what stands there. */
static enum sp_status
do_read(struct sp_ctx *ctx)
{
	static const char want[] = ".one\r\ntwo\r\n.\r\n..x\r\n";
	size_t len = sizeof(want) - 1;
	struct sp_header h;
	struct sp_span piece;

	for (size_t from = 0; from < len; from++) {
		size_t at = len - 1 - from; /* backwards, too */

		assert_int_equal(sp_body_get(ctx, (int64_t)at, &piece), SP_OK);
		assert_true(piece.len > 0 && piece.len <= len - at);
		assert_memory_equal(piece.ptr, want + at, piece.len);
	}
	for (size_t at = 0; at < len; at += piece.len) {
		assert_int_equal(sp_body_get(ctx, (int64_t)at, &piece), SP_OK);
		assert_memory_equal(piece.ptr, want + at, piece.len);
	}
	assert_int_equal(sp_body_get(ctx, (int64_t)len, &piece), SP_NONE);
	assert_int_equal(sp_body_get(ctx, -1, &piece), SP_INVALID);
	assert_int_equal(sp_header_get(ctx, 1, &h), SP_OK);
	assert_true(span_eq(h.field, SPAN_LIT("B: 2\r\n 3")) && span_eq(h.value, SPAN_LIT(" 2\r\n 3")));
	assert_int_equal(sp_header_get(ctx, 2, &h), SP_NONE);
	return SP_OK;
}

static void
reading_back(void **state)
{
	static const char message[] = "A: 1\r\nB: 2\r\n 3\r\n\r\n..one\r\ntwo\r\n..\r\n...x\r\n.\r\n";

	(void)state;
	check(EDIT, do_read, message, TRACE "A: 1\r\nB: 2\r\n 3\r\n\r\n..one\r\ntwo\r\n..\r\n...x\r\n");
}

/* ---- refused ---------------------------------------------------------------------------------------- */

static enum sp_status
bad_name(struct sp_ctx *ctx)
{
	sp_header_add(ctx, "Good", SPAN_LIT("x"));
	assert_int_equal(sp_header_add(ctx, "A B", SPAN_LIT("x")), SP_INVALID);
	return SP_OK;
}

static enum sp_status
bad_value(struct sp_ctx *ctx)
{
	assert_int_equal(sp_header_add(ctx, "A", SPAN_LIT("x\r\nB: y")), SP_INVALID);
	return SP_OK;
}

static enum sp_status
bad_nul(struct sp_ctx *ctx)
{
	assert_int_equal(ctx->host->header_replace(ctx, "X", 0, SPAN_LIT("x\0y")), SP_INVALID);
	return SP_OK;
}

static enum sp_status
bad_body_lf(struct sp_ctx *ctx)
{
	assert_int_equal(ctx->host->body_replace(ctx, SPAN_LIT("a\r")), SP_OK);
	assert_int_equal(ctx->host->body_replace(ctx, SPAN_LIT("\nb\nc\r\n")), SP_INVALID);
	return SP_OK;
}

static enum sp_status
bad_body_cr(struct sp_ctx *ctx)
{
	assert_int_equal(ctx->host->body_replace(ctx, SPAN_LIT("a\r")), SP_OK);
	assert_int_equal(ctx->host->body_replace(ctx, SPAN_LIT("b\r\n")), SP_INVALID);
	return SP_OK;
}

static enum sp_status
bad_body_smuggle(struct sp_ctx *ctx)
{
	assert_int_equal(ctx->host->body_replace(ctx, SPAN_LIT("a\r\n.\r\rb\r\n")), SP_INVALID);
	return SP_OK;
}

static enum sp_status
bad_body_end(struct sp_ctx *ctx)
{
	assert_int_equal(ctx->host->body_replace(ctx, SPAN_LIT("a\r\nb")), SP_OK);
	return SP_OK;
}

static enum sp_status
bad_sender(struct sp_ctx *ctx)
{
	assert_int_equal(ctx->host->sender_replace(ctx, SPAN_LIT("x@y..example")), SP_INVALID);
	return SP_OK;
}

static enum sp_status
too_many(struct sp_ctx *ctx)
{
	enum sp_status st = SP_OK;
	static char value[900];

	memset(value, 'v', sizeof(value));
	for (int n = 0; n < 290 && st == SP_OK; n++)
		st = sp_header_add(ctx, "A", span_of(value, sizeof(value)));
	assert_int_equal(st, SP_OK);
	assert_int_equal(sp_header_add(ctx, "A", span_of(value, sizeof(value))), SP_LIMIT);
	return SP_OK;
}

static void
refused(void **state)
{
	(void)state;
	check_refused(bad_name, SP_INVALID);
	check_refused(bad_value, SP_INVALID);
	check_refused(bad_nul, SP_INVALID);
	check_refused(bad_body_lf, SP_INVALID);
	check_refused(bad_body_cr, SP_INVALID);
	check_refused(bad_body_smuggle, SP_INVALID);
	check_refused(bad_body_end, SP_INVALID);
	check_refused(bad_sender, SP_INVALID);
	check_refused(too_many, SP_LIMIT);
}

/* A filter that fails half-way has edited nothing; the policy says what that means. */
static enum sp_status
fail_half_way(struct sp_ctx *ctx)
{
	sp_header_add(ctx, "A", SPAN_LIT("1"));
	sp_header_remove(ctx, "X", -1);
	ctx->host->body_replace(ctx, SPAN_LIT("half"));
	return SP_GONE;
}

static void
failed_edits_nothing(void **state)
{
	(void)state;
	check(EDIT, fail_half_way, MESSAGE, TRACE "From: a\r\nX: 1\r\nSubject: s\r\nx: 2\r\n folded\r\nX: 3\r\n\r\n" BODY);
}

/* Nor does it when it failed at the header and goes on as if nothing had happened. */
static enum sp_status
edit_all_the_same(struct sp_ctx *ctx)
{
	sp_header_add(ctx, "A", SPAN_LIT("1"));
	ctx->host->body_replace(ctx, SPAN_LIT("new\r\n"));
	return SP_OK;
}

static void
failed_before_edits_nothing(void **state)
{
	(void)state;
	edit_eoh = SP_TEMPFAIL;
	check(EDIT, edit_all_the_same, MESSAGE, TRACE "From: a\r\nX: 1\r\nSubject: s\r\nx: 2\r\n folded\r\nX: 3\r\n\r\n" BODY);
	edit_eoh = SP_OK;
}

/* Under "run --shadow" nothing is settled early and nothing is edited. */
static void
whole_policy_in_shadow(void **state)
{
	const struct inspect_client c = { .ip = { 4, { 192, 0, 2, 1 } }, .listener = SPAN_LIT("*:25"), .shadow = true };
	struct world w;

	(void)state;
	world_init(&w, "policy 1\nrules {\n a : add-header \"A\" \"1\"\n r : if message.has_header(\"X\") reject 550 5.7.1 \"no\"\n"
		" accept\n}\n");
	inspect_free(&w.in);
	w.in = inspect_new(w.policy, &c);
	world_envelope(&w);
	inspect_content(w.in, SPAN_LIT("X: 1\r\n\r\n"));
	assert_false(inspect_settled(w.in));
	inspect_reset(w.in);
	world_envelope(&w);
	assert_int_equal(world_message(&w, "X: 1\r\n\r\nb\r\n.\r\n", 0), POLICY_REJECT);
	assert_int_equal(world_apply(&w), SP_OK);
	assert_string_equal(w.wire, TRACE "X: 1\r\n\r\nb\r\n");
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_edits),
		cmocka_unit_test(wire_offset),
		cmocka_unit_test(empty_line),
		cmocka_unit_test(no_header),
		cmocka_unit_test(many_copies),
		cmocka_unit_test(policy_edits),
		cmocka_unit_test(policy_adds_once),
		cmocka_unit_test(values_are_one_line),
		cmocka_unit_test(body_edits),
		cmocka_unit_test(reading_back),
		cmocka_unit_test(refused),
		cmocka_unit_test(failed_edits_nothing),
		cmocka_unit_test(failed_before_edits_nothing),
		cmocka_unit_test(whole_policy_in_shadow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
