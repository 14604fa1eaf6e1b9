/* Authentication results: who may add what, how they are written, and which fields that came are taken for forged. */
#include "tests/unit/inspect_auth_env.h"

#define MESSAGE "From: a\r\n\r\nbody\r\n.\r\n"
#define CAME "From: a\r\n\r\nbody\r\n"
#define AR "Authentication-Results: mx.example.com"

static void
set_up(void)
{
	env_client = (struct inspect_client){ .auth_id = "mx.example.com", .write_results = true };
	script = NULL;
}

/* ---- order and visibility ------------------------------------------------------------------------- */

static void
assert_results(struct sp_ctx *ctx, const char *want)
{
	struct sp_auth_result r;
	char got[256] = "";

	for (size_t n = 0; sp_result_get(ctx, n, &r) == SP_OK; n++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s.%.*s ", r.method, (int)r.props[0].value.len,
			r.props[0].value.ptr);
	assert_string_equal(got, want);
}

/* The second speaks early, the first late. */
static enum sp_status
two_filters(struct sp_ctx *ctx, char who, char hook)
{
	if (who == '2' && hook == 'm')
		assert_int_equal(auth_add(ctx, "spf", "smtp", "mailfrom", "2m"), SP_OK);
	if (who == '1' && hook == 'e') {
		assert_int_equal(auth_add(ctx, "dkim", "header", "d", "1e"), SP_OK);
		assert_int_equal(auth_add(ctx, "dkim", "header", "d", "1e2"), SP_OK);
		assert_results(ctx, "dkim.1e dkim.1e2 ");
	}
	if (who == '2' && hook == 'e') {
		assert_results(ctx, "dkim.1e dkim.1e2 spf.2m ");
		assert_int_equal(auth_add(ctx, "arc", "header", "d", "2e"), SP_OK);
		assert_results(ctx, "dkim.1e dkim.1e2 spf.2m arc.2e ");
		assert_true(span_eq(ctx->host->auth_id(ctx), SPAN_LIT("mx.example.com")));
	}
	return SP_OK;
}

#define ALL_FOUR ";\r\n\tdkim=pass header.d=1e;\r\n\tdkim=pass header.d=1e2;\r\n\tspf=pass smtp.mailfrom=2m;\r\n\tarc=pass header.d=2e"

static void
order_of_the_file(void **state)
{
	(void)state;
	set_up();
	script = two_filters;
	auth_check(BOTH ACCEPT, MESSAGE, AR ALL_FOUR "\r\n" TRACE CAME, "+Authentication-Results");
}

/* What was stated of one message is not stated of the next. */
static void
forgotten_with_the_transaction(void **state)
{
	struct world w;

	(void)state;
	set_up();
	script = two_filters;
	auth_begin(&w, BOTH ACCEPT, MESSAGE);
	assert_true(span_eq(inspect_results_text(w.in), SPAN_LIT("mx.example.com" ALL_FOUR)));
	inspect_reset(w.in);
	assert_null(inspect_results_text(w.in).ptr);
	script = NULL;
	world_mail(&w, "a@example.org", -1);
	world_rcpt(&w, "bob@example.com");
	inspect_data(w.in, RT_NEVER);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_null(inspect_results_text(w.in).ptr);
	assert_int_equal(world_apply(&w), SP_OK);
	assert_string_equal(w.wire, AR "; none\r\n" TRACE CAME);
	world_fini(&w);
}

/* ---- whose results count ---------------------------------------------------------------------------- */

static enum sp_status
first_fails_late(struct sp_ctx *ctx, char who, char hook)
{
	if (hook == 'm')
		assert_int_equal(auth_add(ctx, "spf", "smtp", "helo", who == '1' ? "one" : "two"), SP_OK);
	if (hook == 'e' && who == '2')
		assert_results(ctx, "spf.two ");
	return hook == 'e' && who == '1' ? SP_TEMPFAIL : SP_OK;
}

static enum sp_status
both_fail(struct sp_ctx *ctx, char who, char hook)
{
	(void)who;
	if (hook == 'm')
		return SP_TEMPFAIL;
	if (hook == 'e')
		assert_int_equal(auth_add(ctx, "spf", "smtp", "helo", "x"), SP_OK); /* of no use: it has failed */
	return SP_OK;
}

static enum sp_status
done_early(struct sp_ctx *ctx, char who, char hook)
{
	if (who == '1' && hook == 'm')
		assert_int_equal(auth_add(ctx, "spf", "smtp", "helo", "x"), SP_OK);
	assert_false(who == '1' && hook == 'e');
	return who == '1' && hook == 'm' ? SP_NONE : SP_OK; /* none: no later hook need be called */
}

static void
failed_ones_do_not_count(void **state)
{
	(void)state;
	set_up();
	script = first_fails_late;
	auth_check(BOTH ACCEPT, MESSAGE, AR ";\r\n\tspf=pass smtp.helo=two\r\n" TRACE CAME, "+Authentication-Results");
	script = both_fail;
	auth_check(BOTH ACCEPT, MESSAGE, AR "; none\r\n" TRACE CAME, "+Authentication-Results");
	script = done_early;
	auth_check(BOTH ACCEPT, MESSAGE, AR ";\r\n\tspf=pass smtp.helo=x\r\n" TRACE CAME, "+Authentication-Results");
}

static enum sp_status
second_states(struct sp_ctx *ctx, char who, char hook)
{
	if (who == '2' && hook == 'e')
		assert_int_equal(auth_add(ctx, "dkim", "header", "d", "example.org"), SP_OK);
	return SP_OK;
}

static enum sp_status
early_and_late(struct sp_ctx *ctx, char who, char hook)
{
	if ((who == '2' && hook == 'm') || (who == '1' && hook == 'e'))
		return auth_add(ctx, "dkim", "header", "d", who == '1' ? "one" : "two");
	return SP_OK;
}

#define DKIM AR ";\r\n\tdkim=pass header.d=example.org\r\n"
#define DEMAND "policy 1\nfilter second\nrules {\n"

static void
when_it_is_written(void **state)
{
	(void)state;
	set_up();
	auth_check("policy 1\nfilter sign\n" ACCEPT, MESSAGE, TRACE CAME, "");
	auth_check("policy 1\n" ACCEPT, MESSAGE, TRACE CAME, "");
	auth_check("policy 1\nfilter first\n" ACCEPT, MESSAGE, AR "; none\r\n" TRACE CAME, "+Authentication-Results");
	script = second_states;
	auth_check("policy 1\nfilter second\n" ACCEPT, MESSAGE, DKIM TRACE CAME, "+Authentication-Results");
	/* called for, at three stages, or not */
	auth_check(DEMAND " a : filter second\n accept\n}\n", MESSAGE, DKIM TRACE CAME, "+Authentication-Results");
	auth_check(DEMAND " a : if mail.domain == \"example.org\" filter second\n accept\n}\n", MESSAGE, DKIM TRACE CAME,
		"+Authentication-Results");
	auth_check(DEMAND " a : if message.size > 3 filter second\n accept\n}\n", MESSAGE, DKIM TRACE CAME,
		"+Authentication-Results");
	auth_check(DEMAND " a : if message.size > 3M filter second\n accept\n}\n", MESSAGE, TRACE CAME, "");
	script = NULL; /* one that was called for and stated nothing, as a signer */
	auth_check(DEMAND " a : filter second\n accept\n}\n", MESSAGE, TRACE CAME, "");
	script = second_states;
	env_client.write_results = false;
	auth_check("policy 1\nfilter second\n" ACCEPT, MESSAGE, TRACE CAME, "");
	env_client = (struct inspect_client){ .write_results = true };
	auth_check("policy 1\nfilter second\n" ACCEPT, MESSAGE,
		"Authentication-Results: localhost;\r\n\tdkim=pass header.d=example.org\r\n" TRACE CAME, "+Authentication-Results");
	env_client = (struct inspect_client){ .auth_id = "mx.example.com", .write_results = true, .shadow = true };
	auth_check("policy 1\nfilter second\n" ACCEPT, MESSAGE, TRACE CAME, "");
}

/* A filter that is called for at the end catches up, and still stands where the file has it. */
static void
called_for_at_the_end(void **state)
{
	(void)state;
	set_up();
	script = early_and_late;
	auth_check("policy 1\nfilter first\nfilter second\nrules {\n a : if message.size > 3 filter first\n accept\n}\n",
		MESSAGE, AR ";\r\n\tdkim=pass header.d=one;\r\n\tdkim=pass header.d=two\r\n" TRACE CAME, "+Authentication-Results");
	auth_check("policy 1\nfilter first\nfilter second\nrules {\n a : if message.size > 3 filter second\n"
		" b : if message.size > 4 filter first\n accept\n}\n",
		MESSAGE, AR ";\r\n\tdkim=pass header.d=one;\r\n\tdkim=pass header.d=two\r\n" TRACE CAME, "+Authentication-Results");
}

static enum sp_status
states_at_rcpt(struct sp_ctx *ctx, char who, char hook)
{
	(void)who;
	return hook == 'r' ? auth_add(ctx, "x-rcpt", "smtp", "rcptto", "somebody") : SP_OK;
}

/* Only a recipient whom the backend then refused had called for it: what it stated goes with him. */
static void
forgotten_with_the_recipient(void **state)
{
	struct world w;

	(void)state;
	set_up();
	env_modules = auth_modules;
	world_init(&w, DEMAND " a : if rcpt.local == \"carl\" filter second\n accept\n}\n");
	script = states_at_rcpt;
	world_connect(&w);
	world_helo(&w, "mx.example.org");
	world_mail(&w, "a@example.org", -1);
	for (int turn = 0; turn < 2; turn++) {
		struct address a;

		assert_int_equal(address_parse_bare(SPAN_LIT("carl@example.com"), &a), ADDRESS_OK);
		inspect_rcpt(w.in, &a, RT_NEVER);
		assert_true(span_eq(inspect_results_text(w.in),
			SPAN_LIT("mx.example.com;\r\n\tx-rcpt=pass smtp.rcptto=somebody")));
		inspect_rcpt_result(w.in, false);
		assert_null(inspect_results_text(w.in).ptr);
	}
	world_rcpt(&w, "bob@example.com");
	inspect_data(w.in, RT_NEVER);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), SP_OK);
	assert_string_equal(w.wire, TRACE CAME);
	world_fini(&w);
}

/* ---- what is refused ----------------------------------------------------------------------------------- */

static const char *const bad_words[] = { "", "a b", "a=b", "a.b", "a_b", "d-", "a;b", "a\r\nb", "\xc3\xa4",
	"abcdefghijklmnopqrstuvwxyz0123456" };

static enum sp_status
adds_wrong_ones(struct sp_ctx *ctx, char who, char hook)
{
	struct sp_auth_prop many[17];
	struct sp_auth_result r = { "x", "pass", SPAN_LIT(""), many, 17 };

	if (hook == 'c')
		assert_int_equal(auth_add(ctx, "spf", "smtp", "helo", "x"), SP_INVALID); /* there is no message yet */
	if (who != '1' || hook != 'e')
		return SP_OK;
	for (size_t n = 0; n < sizeof(bad_words) / sizeof(bad_words[0]); n++) {
		const struct sp_auth_result bad = { "x", bad_words[n], SPAN_LIT(""), NULL, 0 };

		logged[0] = '\0';
		assert_int_equal(auth_add(ctx, bad_words[n], "smtp", "helo", "x"), SP_INVALID);
		assert_int_equal(auth_add(ctx, "x", bad_words[n], "helo", "x"), SP_INVALID);
		assert_int_equal(auth_add(ctx, "x", "smtp", bad_words[n], "x"), SP_INVALID);
		assert_int_equal(sp_result_add(ctx, &bad), SP_INVALID);
		assert_string_equal(logged, "filter first: result refused: a method or result that is no keyword");
	}
	for (size_t n = 0; n < 17; n++)
		many[n] = (struct sp_auth_prop){ "x", "y", SPAN_LIT("z") };
	assert_int_equal(sp_result_add(ctx, &r), SP_INVALID);
	r.prop_count = 16;
	for (int n = 0; n < 64; n++)
		assert_int_equal(sp_result_add(ctx, &r), SP_OK);
	assert_int_equal(sp_result_add(ctx, &r), SP_LIMIT);
	assert_string_equal(logged, "filter first: result refused: more than 64 of them");
	return SP_OK;
}

static void
refused(void **state)
{
	struct world w;
	struct sp_auth_result r;

	(void)state;
	set_up();
	script = adds_wrong_ones;
	auth_begin(&w, BOTH ACCEPT, MESSAGE);
	assert_int_equal(inspect_result(w.in, 63, &r), SP_OK);
	assert_int_equal(inspect_result(w.in, 64, &r), SP_NONE);
	world_fini(&w);
}

/* ---- how values are written -------------------------------------------------------------------------------- */

static const struct value_case {
	struct sp_span value;
	const char *as_value, *as_reason;
} values[] = {
	{ SPAN_LIT("example.org"), "example.org", "example.org" },
	{ SPAN_LIT("rsa-sha256"), "rsa-sha256", "rsa-sha256" },
	{ SPAN_LIT("a@example.org"), "a@example.org", "\"a@example.org\"" },
	{ SPAN_LIT("@example.org"), "@example.org", "\"@example.org\"" },
	{ SPAN_LIT("prvs=1/x+y.z@example.org"), "prvs=1/x+y.z@example.org", "\"prvs=1/x+y.z@example.org\"" },
	{ SPAN_LIT("a..b@example.org"), "\"a..b@example.org\"", "\"a..b@example.org\"" },
	{ SPAN_LIT(".a@example.org"), "\".a@example.org\"", NULL },
	{ SPAN_LIT("a.@example.org"), "\"a.@example.org\"", NULL },
	{ SPAN_LIT("a@b@example.org"), "\"a@b@example.org\"", NULL },
	{ SPAN_LIT("a@"), "\"a@\"", NULL },
	{ SPAN_LIT("a@[192.0.2.1]"), "\"a@[192.0.2.1]\"", NULL },
	{ SPAN_LIT("a;dmarc=pass@example.org"), "\"a;dmarc=pass@example.org\"", NULL },
	{ SPAN_LIT("\"a b\"@example.org"), "\"\\\"a b\\\"@example.org\"", NULL },
	{ SPAN_LIT("a(c)@example.org"), "\"a(c)@example.org\"", NULL },
	{ SPAN_LIT("x; dmarc=pass"), "\"x; dmarc=pass\"", "\"x; dmarc=pass\"" },
	{ SPAN_LIT("x\" ; dmarc=pass"), "\"x\\\" ; dmarc=pass\"", "\"x\\\" ; dmarc=pass\"" },
	{ SPAN_LIT("x\\"), "\"x\\\\\"", "\"x\\\\\"" },
	{ SPAN_LIT("x\r\nEvil: y"), "\"x??Evil: y\"", "\"x??Evil: y\"" },
	{ SPAN_LIT("x\0y\t\x7f\x1f"), "\"x?y???\"", "\"x?y???\"" },
	{ SPAN_LIT("b\xc3\xa4r"), "\"b??r\"", "\"b??r\"" },
	{ SPAN_LIT("2001:db8::1"), "\"2001:db8::1\"", NULL },
	{ SPAN_LIT("192.0.2.1"), "192.0.2.1", NULL },
	{ SPAN_LIT("ab+/cd=="), "\"ab+/cd==\"", NULL },
	{ SPAN_LIT(""), "\"\"", NULL },
	{ SPAN_LIT(" "), "\" \"", NULL },
};
static const struct value_case *value_now;

static enum sp_status
states_value(struct sp_ctx *ctx, char who, char hook)
{
	const struct sp_auth_prop prop = { "smtp", "mailfrom", value_now->value };
	const struct sp_auth_result r = { "spf", "softfail", value_now->as_reason != NULL ? value_now->value : SPAN_LIT(""),
		&prop, 1 };

	return who == '1' && hook == 'e' ? sp_result_add(ctx, &r) : SP_OK;
}

static void
values_are_encoded(void **state)
{
	(void)state;
	set_up();
	script = states_value;
	for (size_t n = 0; n < sizeof(values) / sizeof(values[0]); n++) {
		const struct value_case *v = &values[n];
		char want[512];

		value_now = v;
		snprintf(want, sizeof(want), AR ";\r\n\tspf=softfail%s%s smtp.mailfrom=%s\r\n" TRACE CAME,
			v->as_reason != NULL ? " reason=" : "", v->as_reason != NULL ? v->as_reason : "", v->as_value);
		auth_check("policy 1\nfilter first\n" ACCEPT, MESSAGE, want, "+Authentication-Results");
	}
}

static char long_value[300];

static enum sp_status
states_long_ones(struct sp_ctx *ctx, char who, char hook)
{
	struct sp_auth_prop props[16];
	const struct sp_auth_result r = { "x", "pass", span_of(long_value, sizeof(long_value)), props, 16 };

	for (size_t n = 0; n < 16; n++)
		props[n] = (struct sp_auth_prop){ "policy", "abcdefghijklmnopqrstuvwxyz012345", span_of(long_value, 300) };
	for (int n = 0; who == '1' && hook == 'e' && n < 64; n++)
		assert_int_equal(sp_result_add(ctx, &r), SP_OK);
	return SP_OK;
}

static void
values_are_cut(void **state)
{
	struct world w;
	struct inspect_output out;
	char want[700], wide[600];
	size_t lines = 0;

	(void)state;
	set_up();
	script = states_long_ones;
	memset(long_value, 'x', sizeof(long_value));
	snprintf(want, sizeof(want), "\treason=%.253s...\r\n\tpolicy.abcdefghijklmnopqrstuvwxyz012345=%.253s...\r\n", long_value,
		long_value);
	auth_begin(&w, "policy 1\nfilter first\n" ACCEPT, MESSAGE);
	assert_int_equal(inspect_apply(w.in, SPAN_LIT(TRACE), &out), SP_OK);
	assert_non_null(memmem(out.head.ptr, out.head.len, want, strlen(want)));
	world_fini(&w);

	memset(long_value, '"', sizeof(long_value));
	for (size_t n = 0; n < 253; n++)
		memcpy(wide + 2 * n, "\\\"", 2);
	snprintf(want, sizeof(want), "=\"%.60s", wide);
	auth_begin(&w, "policy 1\nfilter first\n" ACCEPT, MESSAGE);
	assert_int_equal(inspect_apply(w.in, SPAN_LIT(TRACE), &out), SP_OK);
	assert_non_null(memmem(out.head.ptr, out.head.len, want, strlen(want)));
	for (struct sp_span rest = out.head; rest.len > 0; lines++) {
		size_t lf = span_find(rest, '\n');

		assert_in_range(lf, 1, 999);
		rest = span_from(rest, lf + 1);
	}
	assert_in_range(lines, 64 * 17, 64 * 18 + 5);
	world_fini(&w);
}

/* ---- forged ones ------------------------------------------------------------------------------------------ */

#define F "Authentication-Results:"
#define GONE(field) \
	auth_check("policy 1\n" ACCEPT, "A: 1\r\n" field "\r\nB: 2\r\n\r\n..x\r\n.\r\n", \
		TRACE "A: 1\r\nB: 2\r\n\r\n..x\r\n", "-Authentication-Results")
#define STAYS(field) \
	auth_check("policy 1\n" ACCEPT, "A: 1\r\n" field "\r\nB: 2\r\n\r\n..x\r\n.\r\n", \
		TRACE "A: 1\r\n" field "\r\nB: 2\r\n\r\n..x\r\n", "")

static void
H03_forged(void **state)
{
	(void)state;
	set_up();
	for (int turn = 0; turn < 3; turn++) {
		env_client.write_results = turn == 0;
		env_client.shadow = turn == 2; /* it is our own duty, not the policy's */
		GONE(F " mx.example.com; dmarc=pass");
		GONE(F "mx.example.com;dmarc=pass");
		GONE("AUTHENTICATION-results: MX.EXAMPLE.COM; dmarc=pass");
		GONE(F " \"mx.example.com\"; dmarc=pass");
		GONE(F " \"mx.\\example.com\" 1; dmarc=pass");
		GONE(F " (c (d) \\() mx.example.com; dmarc=pass");
		GONE(F "\r\n\tmx.example.com;\r\n\tdmarc=pass");
		GONE(F " mx.example.com 1; dmarc=pass");
		GONE(F " (never ends mx.example.com; dmarc=pass");
		GONE(F);
		STAYS(F " mx.example.org; dmarc=pass");
		STAYS(F " mx.example.com.example.org; dmarc=pass");
		STAYS(F " (mx.example.com)\r\n  Other.Example  1 ; \t dmarc=pass ");
		STAYS("X-" F " mx.example.com; dmarc=pass");
		STAYS("ARC-" F " i=1; mx.example.com; dmarc=pass");
	}
}

/* Every number of copies among others (CVE-2022-48521 left every second one). */
static void
H03_copies(void **state)
{
	(void)state;
	set_up();
	for (size_t copies = 1; copies <= 1000; copies = copies == 20 ? 1000 : copies + 1) {
		struct buf message, want;
		char edits[64] = "-Authentication-Results";

		buf_init(&message, 1 << 20);
		buf_init(&want, 1 << 20);
		buf_add_str(&want, TRACE);
		for (size_t n = 0; n < copies; n++) {
			buf_printf(&message, F " mx.example.com; dmarc=pass policy.n=%zu\r\n", n);
			if (copies == 1000 || n % 3 != 0)
				continue;
			buf_printf(&message, F " other.example; dmarc=pass policy.n=%zu\r\n", n);
			buf_printf(&want, F " other.example; dmarc=pass policy.n=%zu\r\n", n);
		}
		buf_add_str(&message, "\r\nbody\r\n.\r\n");
		buf_add_str(&want, "\r\nbody\r\n");
		if (copies > 1)
			snprintf(edits, sizeof(edits), "-Authentication-Results*%zu", copies);
		auth_check("policy 1\n" ACCEPT, buf_cstr(&message), buf_cstr(&want), edits);
		buf_fini(&message);
		buf_fini(&want);
	}
}

/* Ours stands where the forged ones were, and edits of filters and rules go on as ever. */
static enum sp_status
edits_forged(struct sp_ctx *ctx)
{
	assert_int_equal(ctx->host->header_replace(ctx, "Authentication-Results", -1, SPAN_LIT("mx.example.com; dkim=pass")),
		SP_OK);
	return sp_header_remove(ctx, "X", -1);
}

static void
forged_among_edits(void **state)
{
	struct world w;

	(void)state;
	set_up();
	script = second_states;
	env_modules = auth_modules;
	world_init(&w, "policy 1\nfilter edit\nfilter second\nrules {\n r : if edit.done reject 550 5.7.1 \"no\" on unknown skip\n"
		" a : add-header \"Y\" \"2\"\n d : remove-header \"Z\"\n accept\n}\n");
	edit_fn = edits_forged;
	world_envelope(&w);
	assert_int_equal(world_message(&w, F " mx.example.com; dkim=pass\r\nX: 1\r\n" F " other; x=fail\r\nZ: 1\r\n\r\nb\r\n.\r\n", 0),
		POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), SP_OK);
	assert_string_equal(w.wire, DKIM TRACE "Y: 2\r\n" F " mx.example.com; dkim=pass\r\n\r\nb\r\n");
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_of_the_file),
		cmocka_unit_test(forgotten_with_the_transaction),
		cmocka_unit_test(failed_ones_do_not_count),
		cmocka_unit_test(when_it_is_written),
		cmocka_unit_test(called_for_at_the_end),
		cmocka_unit_test(forgotten_with_the_recipient),
		cmocka_unit_test(refused),
		cmocka_unit_test(values_are_encoded),
		cmocka_unit_test(values_are_cut),
		cmocka_unit_test(H03_forged),
		cmocka_unit_test(H03_copies),
		cmocka_unit_test(forged_among_edits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
