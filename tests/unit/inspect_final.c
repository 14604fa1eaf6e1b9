/* on_final: what it sees, what it may do, and what becomes of the message when it fails. */
#include "tests/unit/inspect_auth_env.h"

#define MESSAGE "From: a\r\nX: 1\r\nSubject: s\r\n folded\r\n\r\n..one\r\ntwo\r\n.\r\n"
#define CAME "From: a\r\nX: 1\r\nSubject: s\r\n folded\r\n\r\n..one\r\ntwo\r\n"
#define SIGN "policy 1\nfilter sign\n"
#define AR "Authentication-Results: mx.example.com"

static char fields[4096], text[4096]; /* what it saw */
static enum sp_status final_status;

static void
set_up(void)
{
	env_client = (struct inspect_client){ .auth_id = "mx.example.com", .write_results = true };
	script = NULL;
	final_status = SP_OK;
	fields[0] = text[0] = '\0';
}

/* All fields as "field|", each checked against its parts, and the body in pieces. */
static void
look(struct sp_ctx *ctx)
{
	struct sp_header h;
	struct sp_span piece;
	int64_t at = 0;

	fields[0] = text[0] = '\0';
	for (size_t n = 0; sp_header_get(ctx, n, &h) == SP_OK; n++) {
		assert_int_equal(h.index, n);
		assert_true(span_eq(h.name, span_head(h.field, h.name.len)));
		assert_int_equal(h.field.ptr[span_find(h.field, ':')], ':');
		assert_true(span_eq(h.value, span_from(h.field, span_find(h.field, ':') + 1)));
		snprintf(fields + strlen(fields), sizeof(fields) - strlen(fields), "%.*s|", (int)h.field.len, h.field.ptr);
	}
	for (; sp_body_get(ctx, at, &piece) == SP_OK; at += (int64_t)piece.len)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s", (int)piece.len, piece.ptr);
	assert_int_equal(sp_body_get(ctx, at, &piece), SP_NONE);
	assert_int_equal(sp_body_get(ctx, -1, &piece), SP_INVALID);
}

static enum sp_status
put(struct sp_ctx *ctx, const char *name, const char *value)
{
	return ctx->host->header_insert(ctx, 0, name, span_str(value));
}

/* ---- what it sees ------------------------------------------------------------------------------------- */

static enum sp_status
sign(struct sp_ctx *ctx, char who, char hook)
{
	if (who != 's' || hook != 'f')
		return SP_OK;
	look(ctx);
	assert_int_equal(put(ctx, "Sig", "1"), SP_OK);
	assert_int_equal(put(ctx, "Seal", "\r\n\t.2"), SP_OK);
	return final_status;
}

static void
sees_the_message_as_it_goes_on(void **state)
{
	(void)state;
	set_up();
	script = sign;
	auth_check(SIGN ACCEPT, MESSAGE, "Seal:\r\n\t.2\r\nSig: 1\r\n" TRACE CAME, "+Sig,+Seal");
	assert_string_equal(fields, "Received: by us|From: a|X: 1|Subject: s\r\n folded|");
	assert_string_equal(text, ".one\r\ntwo\r\n");
	/* no header, no body, neither */
	auth_check(SIGN ACCEPT, "text\r\n.\r\n", "Seal:\r\n\t.2\r\nSig: 1\r\n" TRACE "\r\ntext\r\n", "+Sig,+Seal,+empty-line");
	assert_string_equal(fields, "Received: by us|");
	assert_string_equal(text, "text\r\n");
	auth_check(SIGN ACCEPT, "A: 1\r\nno field\r\n\r\nB: 2\r\n.\r\n",
		"Seal:\r\n\t.2\r\nSig: 1\r\n" TRACE "A: 1\r\n\r\nno field\r\n\r\nB: 2\r\n", "+Sig,+Seal,+empty-line");
	assert_string_equal(fields, "Received: by us|A: 1|");
	assert_string_equal(text, "no field\r\n\r\nB: 2\r\n");
	auth_check(SIGN ACCEPT, "A: 1\r\n.\r\n", "Seal:\r\n\t.2\r\nSig: 1\r\n" TRACE "A: 1\r\n", "+Sig,+Seal");
	assert_string_equal(fields, "Received: by us|A: 1|");
	assert_string_equal(text, "");
	auth_check(SIGN ACCEPT, " x\r\n.\r\n", "Seal:\r\n\t.2\r\nSig: 1\r\n" TRACE "\r\n x\r\n", "+Sig,+Seal,+empty-line");
	assert_string_equal(text, " x\r\n");
}

/* Rules' and filters' edits are seen as they go on; forged fields are not. */
static enum sp_status
all_edits(struct sp_ctx *ctx)
{
	assert_int_equal(sp_header_add(ctx, "Added", SPAN_LIT("1")), SP_OK);
	assert_int_equal(ctx->host->header_insert(ctx, 1, "Between", SPAN_LIT(" 2")), SP_OK);
	assert_int_equal(ctx->host->header_replace(ctx, "Subject", 0, SPAN_LIT("new")), SP_OK);
	assert_int_equal(sp_header_remove(ctx, "X", 0), SP_OK);
	return SP_OK;
}

static enum sp_status
body_too(struct sp_ctx *ctx)
{
	assert_int_equal(ctx->host->body_replace(ctx, SPAN_LIT("new\r\n.bo")), SP_OK);
	assert_int_equal(ctx->host->body_replace(ctx, SPAN_LIT("dy\r\n")), SP_OK);
	return all_edits(ctx);
}

static const char edits_policy[] = "policy 1\nfilter sign\nfilter edit\n"
				   "rules {\n r : if edit.done reject 550 5.7.1 \"no\" on unknown skip\n"
				   " a : add-header \"Rule\" \"3\"\n d : remove-header \"Gone\"\n accept\n}\n";

static void
edited(enum sp_status (*fn)(struct sp_ctx *), const char *want)
{
	struct world w;

	env_modules = auth_modules;
	world_init(&w, edits_policy);
	edit_fn = fn;
	world_envelope(&w);
	assert_int_equal(world_message(&w, "Gone: 0\r\nAuthentication-Results: mx.example.com; x=pass\r\n" MESSAGE, 5), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), SP_OK);
	assert_string_equal(w.wire, want);
	world_fini(&w);
}

#define EDITED "Seal:\r\n\t.2\r\nSig: 1\r\n" TRACE "Added: 1\r\nRule: 3\r\nBetween: 2\r\nFrom: a\r\nSubject: new\r\n\r\n"
#define EDITED_FIELDS "Received: by us|Added: 1|Rule: 3|Between: 2|From: a|Subject: new|"

static void
sees_edits(void **state)
{
	(void)state;
	set_up();
	script = sign;
	edited(all_edits, EDITED "..one\r\ntwo\r\n");
	assert_string_equal(fields, EDITED_FIELDS);
	assert_string_equal(text, ".one\r\ntwo\r\n");
	edited(body_too, EDITED "new\r\n..body\r\n");
	assert_string_equal(fields, EDITED_FIELDS);
	assert_string_equal(text, "new\r\n.body\r\n");
}

/* From the middle, backwards, and again: the body is where it was. */
static enum sp_status
reads_about(struct sp_ctx *ctx, char who, char hook)
{
	static const char body[] = ".one\r\ntwo\r\n";
	struct sp_span piece;

	if (who != 's' || hook != 'f')
		return SP_OK;
	for (int64_t at = (int64_t)sizeof(body) - 2; at >= 0; at--) {
		assert_int_equal(sp_body_get(ctx, at, &piece), SP_OK);
		assert_memory_equal(piece.ptr, body + at, piece.len);
	}
	return SP_OK;
}

static void
reads_the_body_from_anywhere(void **state)
{
	(void)state;
	set_up();
	script = reads_about;
	auth_check(SIGN ACCEPT, MESSAGE, TRACE CAME, "");
}

/* ---- several of them, and results ------------------------------------------------------------------------ */

static enum sp_status
three(struct sp_ctx *ctx, char who, char hook)
{
	struct sp_header h;

	if (who == '1' && hook == 'e')
		return auth_add(ctx, "spf", "smtp", "helo", "x y");
	if (hook != 'f')
		return SP_OK;
	look(ctx);
	assert_true(span_eq(ctx->host->results_text(ctx), SPAN_LIT("mx.example.com;\r\n\tspf=pass smtp.helo=\"x y\"")));
	if (who == '1')
		assert_string_equal(fields, AR ";\r\n\tspf=pass smtp.helo=\"x y\"|Received: by us|A: 1|");
	if (who == '2')
		assert_string_equal(fields, "First: 1|" AR ";\r\n\tspf=pass smtp.helo=\"x y\"|Received: by us|A: 1|");
	assert_int_equal(sp_header_get(ctx, 0, &h), SP_OK);
	if (who == 's')
		assert_true(span_eq(h.field, SPAN_LIT("Second: 2")));
	return who == '1' ? put(ctx, "First", "1") : who == '2' ? put(ctx, "Second", "2") : SP_OK;
}

static void
one_after_another(void **state)
{
	(void)state;
	set_up();
	script = three;
	auth_check(BOTH ACCEPT, "A: 1\r\n\r\n.\r\n",
		"Second: 2\r\nFirst: 1\r\n" AR ";\r\n\tspf=pass smtp.helo=\"x y\"\r\n" TRACE "A: 1\r\n\r\n",
		"+Authentication-Results,+First,+Second");
}

/* ---- who is called ------------------------------------------------------------------------------------------ */

static char called[16];

static enum sp_status
who_is_called(struct sp_ctx *ctx, char who, char hook)
{
	(void)ctx;
	if (hook == 'f')
		snprintf(called + strlen(called), sizeof(called) - strlen(called), "%c", who);
	return who == '1' && hook == 'e' ? final_status : SP_OK;
}

static void
check_called(const char *policy, const char *want)
{
	struct world w;

	called[0] = '\0';
	auth_begin(&w, policy, MESSAGE);
	assert_int_equal(world_apply(&w), SP_OK);
	assert_string_equal(called, want);
	world_fini(&w);
}

static void
who_takes_part(void **state)
{
	(void)state;
	set_up();
	script = who_is_called;
	check_called(BOTH ACCEPT, "12s");
	final_status = SP_NONE; /* it need not be called any more */
	check_called(BOTH ACCEPT, "2s");
	final_status = SP_TEMPFAIL; /* it has failed, but may be the one that signs: it knows whether that matters */
	check_called(BOTH ACCEPT, "12s");
	final_status = SP_OK;
	check_called(SIGN "rules {\n a : if message.size > 3 filter sign\n accept\n}\n", "s");
	check_called(SIGN "rules {\n a : if message.size > 3M filter sign\n accept\n}\n", "");
	check_called("policy 1\nfilter sign\nfilter first\nrules {\n a : if mail.domain == \"example.org\" filter sign\n accept\n}\n",
		"s1");
	env_client.shadow = true;
	check_called(BOTH ACCEPT, "");
}

/* ---- what goes wrong ------------------------------------------------------------------------------------------ */

static void
check_failed(const char *policy, enum sp_status want, const char *log)
{
	struct world w;
	struct buf note;

	auth_begin(&w, policy, MESSAGE);
	assert_int_equal(world_apply(&w), want);
	assert_string_equal(logged, log);
	buf_init(&note, 1024);
	inspect_notes(w.in, &(struct inspect_notes){ .edits = &note });
	assert_string_equal(buf_cstr(&note), "");
	buf_fini(&note);
	world_fini(&w);
}

static void
failing_defers(void **state)
{
	static const enum sp_status all[] = { SP_NONE, SP_TEMPFAIL, SP_TIMEOUT, SP_GONE, SP_LIMIT, SP_INVALID, SP_CANCELED,
		SP_SYSTEM };

	(void)state;
	set_up();
	script = sign;
	for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
		final_status = all[n];
		check_failed(SIGN ACCEPT, all[n], "filter sign: the message is deferred: its last hook failed");
	}
}

static int wrong; /* which of the edits that are refused */

static enum sp_status
wrong_edit(struct sp_ctx *ctx, char who, char hook)
{
	const struct sp_host *h = ctx->host;
	enum sp_status st = SP_OK;

	if (who != 's' || hook != 'f')
		return SP_OK;
	assert_int_equal(put(ctx, "Sig", "1"), SP_OK);
	switch (wrong) {
	case 0:
		st = sp_header_add(ctx, "A", SPAN_LIT("1"));
		break;
	case 1:
		st = h->header_insert(ctx, 1, "A", SPAN_LIT("1"));
		break;
	case 2:
		st = h->header_replace(ctx, "From", 0, SPAN_LIT("1"));
		break;
	case 3:
		st = sp_header_remove(ctx, "From", -1);
		break;
	case 4:
		st = h->body_replace(ctx, SPAN_LIT("x\r\n"));
		break;
	case 5:
		st = h->sender_replace(ctx, SPAN_LIT("x@example.org"));
		break;
	case 6:
		st = put(ctx, "A", "x\r\ny");
		break;
	default:
		st = put(ctx, "A b", "x");
		break;
	}
	assert_int_equal(st, SP_INVALID);
	return SP_OK; /* it does not tell: the message does not go on all the same */
}

static void
only_on_top(void **state)
{
	static const char *const logs[] = { "on_final may only insert on top", "on_final may only insert on top",
		"on_final may only insert on top", "on_final may only insert on top", "on_final may only insert on top",
		"the envelope can be changed in on_eom only", "a header field that may not be written",
		"a header field that may not be written" };

	(void)state;
	set_up();
	script = wrong_edit;
	for (wrong = 0; wrong < 8; wrong++) {
		char log[128];

		snprintf(log, sizeof(log), "filter sign: edit refused: %s", logs[wrong]);
		check_failed(SIGN ACCEPT, SP_INVALID, log);
	}
}

static enum sp_status
many_on_top(struct sp_ctx *ctx, char who, char hook)
{
	if (who != 's' || hook != 'f')
		return SP_OK;
	for (int n = 0; n < 64; n++)
		assert_int_equal(put(ctx, "A", "1"), SP_OK);
	return wrong == 0 ? SP_OK : put(ctx, "A", "1");
}

static enum sp_status
large_on_top(struct sp_ctx *ctx, char who, char hook)
{
	static char value[256 * 1024];

	if (who != 's' || hook != 'f')
		return SP_OK;
	memset(value, 'x', sizeof(value));
	for (size_t n = 500; n + 3 < sizeof(value); n += 500)
		memcpy(value + n, "\r\n ", 3);
	assert_int_equal(ctx->host->header_insert(ctx, 0, "A", span_of(value, sizeof(value) - 1)), SP_OK);
	return put(ctx, "B", "");
}

static void
limits(void **state)
{
	struct world w;

	(void)state;
	set_up();
	script = many_on_top;
	wrong = 0;
	auth_begin(&w, SIGN ACCEPT, MESSAGE);
	assert_int_equal(world_apply(&w), SP_OK);
	assert_memory_equal(w.wire, "A: 1\r\nA: 1\r\n", 12);
	world_fini(&w);
	wrong = 1;
	check_failed(SIGN ACCEPT, SP_LIMIT, "filter sign: the message is deferred: its last hook failed");
	script = large_on_top;
	check_failed(SIGN ACCEPT, SP_LIMIT, "filter sign: the message is deferred: its last hook failed");
}

static enum sp_status
too_late(struct sp_ctx *ctx, char who, char hook)
{
	if (who == '1' && hook == 'f') {
		assert_int_equal(auth_add(ctx, "spf", "smtp", "helo", "x"), SP_INVALID);
		assert_string_equal(logged, "filter first: result refused: they are written before on_final");
		sp_fact_bool(ctx, 0, true);
		assert_string_equal(logged, "filter first: first.done: set too late");
	}
	return SP_OK;
}

static void
facts_and_results_are_settled(void **state)
{
	(void)state;
	set_up();
	script = too_late;
	auth_check("policy 1\nfilter first\nrules {\n r : if first.done reject 550 5.7.1 \"no\" on unknown skip\n accept\n}\n",
		MESSAGE, AR "; none\r\n" TRACE CAME, "+Authentication-Results");
}

/* No time is left of the transaction's budget: earlier hooks are not called, but who signs says what that means. */
static enum sp_status
no_time(struct sp_ctx *ctx, char who, char hook)
{
	if (hook == 'c')
		return SP_OK;
	assert_int_equal(hook, 'f');
	return who == 's' ? put(ctx, "Sig", "1") : final_status;
}

static void
check_no_time(enum sp_status want)
{
	struct world w;
	struct command_path mail = { .size = -1 };

	env_modules = auth_modules;
	world_init(&w, BOTH ACCEPT);
	script = no_time;
	world_connect(&w);
	world_helo(&w, "mx.example.org");
	assert_int_equal(address_parse_bare(SPAN_LIT("a@example.org"), &mail.address), ADDRESS_OK);
	inspect_mail(w.in, &mail, 0);
	world_rcpt(&w, "bob@example.com");
	inspect_data(w.in, RT_NEVER);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), want);
	if (want == SP_OK)
		assert_string_equal(w.wire, "Sig: 1\r\n" AR "; none\r\n" TRACE CAME);
	world_fini(&w);
}

static void
no_time_left(void **state)
{
	(void)state;
	set_up();
	check_no_time(SP_OK);
	final_status = SP_TIMEOUT;
	check_no_time(SP_TIMEOUT);
}

/* No memory is left to write the fields with: nothing goes on. */
static enum sp_status
takes_all(struct sp_ctx *ctx, char who, char hook)
{
	for (size_t size = 1 << 20; who == '1' && hook == 'e' && size > 0; size /= 2)
		while (sp_alloc(ctx, size) != NULL)
			;
	return SP_OK;
}

static void
no_memory(void **state)
{
	struct world w;

	(void)state;
	set_up();
	script = takes_all;
	auth_begin(&w, BOTH ACCEPT, MESSAGE);
	assert_int_equal(world_apply(&w), SP_SYSTEM);
	world_fini(&w);
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

static enum sp_status
sleeps(struct sp_ctx *ctx, char who, char hook)
{
	if (who != 's' || hook != 'f')
		return SP_OK;
	assert_int_equal(sp_sleep(ctx, 20), SP_OK);
	return put(ctx, "Sig", "1");
}

static void
in_a_coroutine(void *arg)
{
	(void)arg;
	auth_check(SIGN ACCEPT, MESSAGE, "Sig: 1\r\n" TRACE CAME, "+Sig");
	rt_stop();
}

static void
waits(void **state)
{
	(void)state;
	set_up();
	script = sleeps;
	assert_int_equal(rt_init(), SP_OK);
	assert_int_equal(co_start(in_a_coroutine, NULL, NULL), SP_OK);
	rt_run();
	rt_fini();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sees_the_message_as_it_goes_on),
		cmocka_unit_test(sees_edits),
		cmocka_unit_test(reads_the_body_from_anywhere),
		cmocka_unit_test(one_after_another),
		cmocka_unit_test(who_takes_part),
		cmocka_unit_test(failing_defers),
		cmocka_unit_test(only_on_top),
		cmocka_unit_test(limits),
		cmocka_unit_test(facts_and_results_are_settled),
		cmocka_unit_test(no_time_left),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
