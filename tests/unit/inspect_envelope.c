/*
 * Sender, recipients and body as filters edit them.
 *
 * A word of a script: "=a@x|b@y NOTIFY=NEVER" the envelope is this, sender first; "s a@x PARAMS", "+b@y PARAMS", "-b@y".
 * For bodies: "bTEXT" the body is read as TEXT, "wTEXT" one is written; "/" stands for CRLF.
 */
#include "tests/unit/inspect_scripts.h"

#define CAME "a@example.org|bob@example.com|ann@Example.NET"
#define MESSAGE "A: 1\r\n\r\nbody\r\n.\r\n"

enum { TEXT = 4096 };

/* ---- the words ---------------------------------------------------------------------------------------- */

static void
see_path(char *to, const char *before, struct sp_span address, struct sp_span params)
{
	size_t used = strlen(to);

	snprintf(to + used, TEXT - used, "%s%.*s%s%.*s", before, (int)address.len, address.ptr, params.len > 0 ? " " : "",
		(int)params.len, params.len > 0 ? params.ptr : "");
}

static void
see(struct sp_ctx *ctx, char *to)
{
	struct sp_mail mail;
	struct sp_rcpt rcpt;
	size_t n = 0;

	to[0] = '\0';
	assert_int_equal(sp_draft_sender(ctx, &mail), SP_OK);
	see_path(to, "", mail.address, mail.params);
	for (; sp_draft_rcpt(ctx, n, &rcpt) == SP_OK; n++) {
		assert_int_equal(rcpt.index, n);
		assert_true(rcpt.address.len == rcpt.local.len + (rcpt.domain.len > 0) + rcpt.domain.len);
		see_path(to, "|", rcpt.address, rcpt.params);
	}
	assert_int_equal(sp_draft_rcpt(ctx, n, &rcpt), SP_NONE);
}

/* "/" is a CRLF. */
static struct sp_span
lines(struct sp_span from, char *to)
{
	size_t used = 0;

	for (size_t n = 0; n < from.len; n++)
		used += (size_t)snprintf(to + used, TEXT - used, "%s", from.ptr[n] == '/' ? "\r\n" : (char[]){ from.ptr[n], '\0' });
	return span_of(to, used);
}

static enum sp_status
body_is(struct sp_ctx *ctx, struct sp_span want)
{
	char now[TEXT];
	struct sp_span piece;
	size_t used = 0;
	enum sp_status st;

	while ((st = sp_draft_body(ctx, (int64_t)used, &piece)) == SP_OK) {
		assert_true(piece.len > 0 && used + piece.len < TEXT);
		memcpy(now + used, piece.ptr, piece.len);
		used += piece.len;
	}
	assert_true(span_eq(span_of(now, used), want));
	return st == SP_NONE ? SP_OK : st;
}

static enum sp_status
envelope_word(struct sp_ctx *ctx, struct sp_span word)
{
	struct sp_span rest = span_from(word, word.ptr[0] == 's' ? 2 : 1);
	struct sp_span address = span_head(rest, span_find(rest, ' ')), params = span_from(rest, address.len + 1);
	char text[TEXT], now[TEXT];

	switch (word.ptr[0]) {
	case '=':
		see(ctx, now);
		snprintf(text, sizeof(text), "%.*s", (int)rest.len, rest.ptr);
		assert_string_equal(now, text);
		return SP_OK;
	case 's':
		return sp_sender_change(ctx, address, params);
	case '+':
		return sp_rcpt_insert(ctx, address, params);
	case '-':
		return sp_rcpt_delete(ctx, address);
	case 'b':
		return body_is(ctx, lines(rest, text));
	case 'w':
		return sp_body_replace(ctx, lines(rest, text));
	default:
		fail_msg("no word: %.*s", (int)word.len, word.ptr);
		return SP_INVALID;
	}
}

/* ---- a case ------------------------------------------------------------------------------------------- */

static const char *third_rcpt; /* null: there are two */

static void
begin(struct world *w, const char *one_does)
{
	scripts[0] = one_does;
	world_init(w, POLICY);
	world_connect(w);
	world_helo(w, "mx.example.org");
	world_mail(w, "a@example.org", -1);
	world_rcpt(w, "bob@example.com");
	world_rcpt(w, "ann@Example.NET");
	if (third_rcpt != NULL)
		world_rcpt(w, third_rcpt);
	inspect_data(w->in, RT_NEVER);
}

/* As the session hears of it: "bob@example.com=0|new@x=-1 NOTIFY=NEVER" behind the sender. */
static void
told(const struct world *w, char *to)
{
	struct inspect_path p = inspect_sender(w->in);
	char came[16];

	to[0] = '\0';
	assert_int_equal(p.params_given, p.params.len > 0);
	see_path(to, "", p.address, p.params);
	for (size_t n = 0; inspect_recipient(w->in, n, &p) == SP_OK; n++) {
		snprintf(came, sizeof(came), "|%d:", p.came);
		assert_int_equal(p.params_given, p.params.len > 0);
		see_path(to, came, p.address, p.params);
	}
}

struct envelope_case {
	const char *scripts[FILTERS];
	const char *want; /* null: nothing was edited */
	const char *notes;
};

static void
check(const struct envelope_case *c)
{
	struct world w;
	struct buf notes;
	char now[TEXT];

	scripts[1] = c->scripts[1];
	scripts[2] = c->scripts[2];
	begin(&w, c->scripts[0]);
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_int_equal(inspect_envelope_edited(w.in), c->want != NULL);
	if (c->want != NULL) {
		told(&w, now);
		assert_string_equal(now, c->want);
	}
	assert_int_equal(world_apply(&w), SP_OK);
	buf_init(&notes, TEXT);
	inspect_notes(w.in, &(struct inspect_notes){ .edits = &notes });
	if (c->notes != NULL)
		assert_string_equal(buf_cstr(&notes), c->notes);
	buf_fini(&notes);
	world_fini(&w);
}

#define CHECK_ALL(cases) \
	for (size_t n = 0; n < sizeof(cases) / sizeof((cases)[0]); n++) \
	check(&(cases)[n])

/* ---- the envelope ----------------------------------------------------------------------------------------- */

static void
one_filter(void **state)
{
	static const struct envelope_case cases[] = {
		{ { "=" CAME }, NULL, "" },
		/* the sender */
		{ { "s b@example.org;=b@example.org|bob@example.com|ann@Example.NET" },
			"b@example.org|0:bob@example.com|1:ann@Example.NET", "~sender" },
		{ { "s <b@example.org>" }, "b@example.org|0:bob@example.com|1:ann@Example.NET", NULL },
		{ { "s <>;=|bob@example.com|ann@Example.NET" }, "|0:bob@example.com|1:ann@Example.NET", "~sender" },
		{ { "s " }, "|0:bob@example.com|1:ann@Example.NET", "~sender" },
		{ { "s a@example.org" }, NULL, "" },
		{ { "s a@example.org RET=HDRS  ENVID=x ;=a@example.org RET=HDRS ENVID=x|bob@example.com|ann@Example.NET" },
			"a@example.org RET=HDRS ENVID=x|0:bob@example.com|1:ann@Example.NET", "~sender" },
		{ { "s b@example.org RET=HDRS;s c@example.org" }, "c@example.org RET=HDRS|0:bob@example.com|1:ann@Example.NET", NULL },
		/* added */
		{ { "+new@example.org;=" CAME "|new@example.org" },
			"a@example.org|0:bob@example.com|1:ann@Example.NET|-1:new@example.org", "+rcpt" },
		{ { "+<new@example.org> NOTIFY=NEVER;+two@example.org;=" CAME "|new@example.org NOTIFY=NEVER|two@example.org" },
			"a@example.org|0:bob@example.com|1:ann@Example.NET|-1:new@example.org NOTIFY=NEVER|-1:two@example.org", "+rcpt*2" },
		{ { "+bob@example.com;+ann@EXAMPLE.net;=" CAME }, NULL, "" },
		{ { "+Bob@example.com" }, "a@example.org|0:bob@example.com|1:ann@Example.NET|-1:Bob@example.com", NULL },
		{ { "+new@example.org;+new@EXAMPLE.org" }, "a@example.org|0:bob@example.com|1:ann@Example.NET|-1:new@example.org", "+rcpt" },
		{ { "+postmaster;=" CAME "|postmaster" }, "a@example.org|0:bob@example.com|1:ann@Example.NET|-1:postmaster", NULL },
		{ { "+x@b\xc3\xbc" "cher.example" }, "a@example.org|0:bob@example.com|1:ann@Example.NET|-1:x@xn--bcher-kva.example", NULL },
		/* removed */
		{ { "-bob@example.com;=a@example.org|ann@Example.NET" }, "a@example.org|1:ann@Example.NET", "-rcpt" },
		{ { "-<ann@example.net>" }, "a@example.org|0:bob@example.com", "-rcpt" },
		{ { "-bob@example.com;-ann@example.net;=a@example.org" }, "a@example.org", "-rcpt*2" },
		{ { "+new@example.org;-new@example.org;=" CAME }, NULL, "" },
		{ { "-bob@example.com;+bob@example.com;=" CAME }, NULL, "" },
		{ { "-bob@example.com;+bob@example.com NOTIFY=NEVER" },
			"a@example.org|0:bob@example.com NOTIFY=NEVER|1:ann@Example.NET", "~rcpt" },
		{ { "+n@x.example NOTIFY=NEVER;-n@x.example;+n@x.example;=" CAME "|n@x.example" },
			"a@example.org|0:bob@example.com|1:ann@Example.NET|-1:n@x.example", "+rcpt" },
		{ { "s b@x.example;-ann@example.net;+n@x.example" }, "b@x.example|0:bob@example.com|-1:n@x.example", "~sender,+rcpt,-rcpt" },
	};

	(void)state;
	CHECK_ALL(cases);
}

static void
several_filters(void **state)
{
	static const struct envelope_case cases[] = {
		{ { "s b@x.example RET=FULL", "=b@x.example RET=FULL|bob@example.com|ann@Example.NET;s c@x.example" },
			"c@x.example RET=FULL|0:bob@example.com|1:ann@Example.NET", NULL },
		{ { "+n@x.example", "-n@x.example;-bob@example.com", "=a@example.org|ann@Example.NET;+n@x.example" },
			"a@example.org|1:ann@Example.NET|-1:n@x.example", "+rcpt,-rcpt" },
		/* one that fails has done nothing */
		{ { "s b@x.example;+n@x.example;-bob@example.com;!", "=" CAME }, NULL, "" },
		{ { "s b@x.example", "s c@x.example;!", "=b@x.example|bob@example.com|ann@Example.NET" },
			"b@x.example|0:bob@example.com|1:ann@Example.NET", NULL },
		{ { "s b@x.example", "s c@x.example", "f1;=c@x.example|bob@example.com|ann@Example.NET" },
			"c@x.example|0:bob@example.com|1:ann@Example.NET", NULL },
		{ { "s b@x.example RET=FULL", "s c@x.example", "f1" }, "c@x.example|0:bob@example.com|1:ann@Example.NET", NULL },
		/* two want him: one of them is enough */
		{ { "+n@x.example", "+n@x.example", "f1;=" CAME "|n@x.example" },
			"a@example.org|0:bob@example.com|1:ann@Example.NET|-1:n@x.example", NULL },
		{ { "+n@x.example", "+n@x.example", "f1;f2;=" CAME }, NULL, NULL },
		{ { "-bob@example.com", "+bob@example.com", "f1;=" CAME }, NULL, NULL },
		{ { "-bob@example.com", "+bob@example.com", "f2;=a@example.org|ann@Example.NET" }, "a@example.org|1:ann@Example.NET", NULL },
		{ { "+n@x.example", "-n@x.example", "f2;=" CAME "|n@x.example" },
			"a@example.org|0:bob@example.com|1:ann@Example.NET|-1:n@x.example", NULL },
		{ { "-bob@example.com;!", "-bob@example.com" }, "a@example.org|1:ann@Example.NET", "-rcpt" },
	};

	(void)state;
	CHECK_ALL(cases);
}

/* One who was named twice is gone altogether. */
static void
twice_the_same(void **state)
{
	struct world w;
	char now[TEXT];

	(void)state;
	scripts[1] = scripts[2] = NULL;
	third_rcpt = "bob@EXAMPLE.com";
	begin(&w, "-bob@example.com;=a@example.org|ann@Example.NET");
	third_rcpt = NULL;
	world_message(&w, MESSAGE, 0);
	told(&w, now);
	assert_string_equal(now, "a@example.org|1:ann@Example.NET");
	world_fini(&w);
}

/* Nobody is left: the session is told so, and the log, though nothing goes on. */
static void
nobody_left(void **state)
{
	struct world w;
	struct buf notes;
	struct inspect_path p;

	(void)state;
	scripts[1] = scripts[2] = NULL;
	begin(&w, "-bob@example.com;-ann@example.net");
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_true(inspect_envelope_edited(w.in));
	assert_int_equal(inspect_recipient(w.in, 0, &p), SP_NONE);
	buf_init(&notes, TEXT);
	inspect_notes(w.in, &(struct inspect_notes){ .edits = &notes });
	assert_string_equal(buf_cstr(&notes), "-rcpt*2");
	buf_fini(&notes);
	inspect_reset(w.in);
	assert_false(inspect_envelope_edited(w.in));
	world_fini(&w);
}

static void
in_shadow(void **state)
{
	struct world w;

	(void)state;
	env_client.shadow = true;
	scripts[1] = scripts[2] = NULL;
	begin(&w, "s b@x.example;-bob@example.com;=b@x.example|ann@Example.NET");
	world_message(&w, MESSAGE, 0);
	assert_false(inspect_envelope_edited(w.in));
	env_client.shadow = false;
	world_fini(&w);
}

/* ---- what is refused ---------------------------------------------------------------------------------------- */

static enum sp_status
hostile(struct sp_ctx *ctx)
{
	static const struct sp_span addresses[] = {
		{ "a", 1 }, { "@b.example", 10 }, { "a@", 2 }, { "a@b..example", 12 }, { "a@b.example> NOTIFY=NEVER <", 27 }, { "<a@b.example", 12 },
		{ "a@b.example>", 12 }, { "<a@b.example>x", 14 }, { "<a@b.example> ", 14 }, { "a@b.example\r\nRCPT TO:<c@d.example>", 33 }, { "a b@c.example", 13 },
		{ "a\0@b.example", 12 }, { "Name <a@b.example>", 18 }, { "<@x.example:a@b.example>", 24 }, { "a@b.example ", 12 }, { "\xff@b.example", 11 },
		{ "<a@b.example><c@d.example>", 26 },
	};
	static const struct sp_span params[] = {
		{ "NOTIFY", 6 }, { "NOTIFY=WHAT", 11 }, { "=x", 2 }, { "X-UNKNOWN=1", 11 }, { "NOTIFY=NEVER NOTIFY=NEVER", 25 }, { "RET=HDRS", 8 },
		{ "NOTIFY=NEVER\r\nDATA", 18 }, { "NOTIFY=NEVER\tORCPT=rfc822;x", 27 }, { "NOTIFY=NE\0VER", 13 }, { "ORCPT=rfc822;a=b", 16 },
	};
	const struct sp_span none = SPAN_LIT(""), good = SPAN_LIT("n@x.example");

	for (size_t n = 0; n < sizeof(addresses) / sizeof(addresses[0]); n++) {
		logged[0] = '\0';
		assert_int_equal(sp_rcpt_insert(ctx, addresses[n], none), SP_INVALID);
		assert_non_null(strstr(logged, "filter one: edit refused: no address"));
		assert_int_equal(sp_sender_change(ctx, addresses[n], none), SP_INVALID);
		assert_int_equal(sp_rcpt_delete(ctx, addresses[n]), SP_INVALID);
	}
	assert_int_equal(sp_rcpt_insert(ctx, none, none), SP_INVALID);
	assert_int_equal(sp_rcpt_insert(ctx, SPAN_LIT("<>"), none), SP_INVALID);
	for (size_t n = 0; n < sizeof(params) / sizeof(params[0]); n++) {
		assert_int_equal(sp_rcpt_insert(ctx, good, params[n]), SP_INVALID);
		assert_non_null(strstr(logged, "filter one: edit refused: parameters that are none"));
	}
	assert_int_equal(sp_sender_change(ctx, good, SPAN_LIT("NOTIFY=NEVER")), SP_INVALID);
	assert_int_equal(sp_sender_change(ctx, good, SPAN_LIT("SIZE=x")), SP_INVALID);
	assert_int_equal(sp_rcpt_delete(ctx, good), SP_NONE);
	return envelope_word(ctx, SPAN_LIT("=" CAME));
}

static enum sp_status
quoted(struct sp_ctx *ctx)
{
	assert_int_equal(sp_rcpt_insert(ctx, SPAN_LIT("\"a b>\"@x.example"), SPAN_LIT("")), SP_OK);
	assert_int_equal(sp_rcpt_insert(ctx, SPAN_LIT("<a@[192.0.2.1]>"), SPAN_LIT("ORCPT=rfc822;a+2Bb@x.example")), SP_OK);
	assert_int_equal(envelope_word(ctx, SPAN_LIT("=" CAME "|\"a b>\"@x.example|a@[192.0.2.1] ORCPT=rfc822;a+2Bb@x.example")), SP_OK);
	assert_int_equal(ctx->host->rcpt_remove(ctx, SPAN_LIT("\"a b>\"@X.example")), SP_OK);
	assert_int_equal(ctx->host->rcpt_add(ctx, SPAN_LIT("new@x.example")), SP_OK);
	assert_int_equal(ctx->host->sender_replace(ctx, SPAN_LIT("<s@x.example>")), SP_OK);
	return envelope_word(ctx,
		SPAN_LIT("=s@x.example|bob@example.com|ann@Example.NET|a@[192.0.2.1] ORCPT=rfc822;a+2Bb@x.example|new@x.example"));
}

static enum sp_status
too_many(struct sp_ctx *ctx)
{
	char address[64];
	struct sp_rcpt rcpt;
	struct sp_span long_one;
	static char text[2000];

	for (int n = 0; n < 1000; n++) {
		snprintf(address, sizeof(address), "n%d@x.example", n);
		assert_int_equal(sp_rcpt_insert(ctx, span_str(address), SPAN_LIT("")), SP_OK);
	}
	assert_int_equal(sp_rcpt_insert(ctx, SPAN_LIT("one@more.example"), SPAN_LIT("")), SP_LIMIT);
	assert_int_equal(sp_draft_rcpt(ctx, 1001, &rcpt), SP_OK);
	assert_true(span_eq(rcpt.address, SPAN_LIT("n999@x.example")));
	assert_int_equal(sp_draft_rcpt(ctx, 1002, &rcpt), SP_NONE);
	memset(text, 'x', sizeof(text));
	long_one = span_of(text, sizeof(text));
	assert_int_equal(sp_rcpt_insert(ctx, long_one, SPAN_LIT("")), SP_INVALID);
	assert_int_equal(sp_sender_change(ctx, SPAN_LIT("a@b.example"), long_one), SP_INVALID);
	return SP_OK;
}

static enum sp_status
hostile_and_failed(struct sp_ctx *ctx)
{
	hostile(ctx);
	return SP_TEMPFAIL;
}

/* A filter that has not noticed is no filter that may go on; one that says it has failed has edited nothing. */
static void
refused(void **state)
{
	static const struct {
		enum sp_status (*fn)(struct sp_ctx *ctx), st;
	} cases[] = { { hostile, SP_INVALID }, { hostile_and_failed, SP_OK }, { quoted, SP_OK }, { too_many, SP_INVALID } };

	(void)state;
	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct world w;

		scripts[1] = scripts[2] = NULL;
		begin(&w, NULL);
		instead = cases[n].fn;
		assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
		assert_int_equal(world_apply(&w), cases[n].st);
		instead = NULL;
		world_fini(&w);
	}
}

/* ---- bodies --------------------------------------------------------------------------------------------------- */

static void
bodies(void **state)
{
	static const struct {
		const char *scripts[FILTERS], *want;
		enum sp_status st;
	} cases[] = {
		{ { "bbody/", "bbody/", "bbody/" }, "body\r\n", SP_OK },
		{ { "wone/", "bone/", "bone/" }, "one\r\n", SP_OK },
		{ { "wone/", "wtwo/", "btwo/" }, "two\r\n", SP_OK },
		{ { "wone/", "wtwo/;bone/;wmore/;bone/", "btwo/more/;wthree/" }, "three\r\n", SP_OK },
		{ { "wone/", "wtwo/;!", "bone/" }, "one\r\n", SP_OK },
		{ { "wone/;!", "bbody/", NULL }, "body\r\n", SP_OK },
		{ { "wone/", "bone/;wtwo/", "f2;bone/" }, "one\r\n", SP_OK },
		{ { "wone/", "wtwo/", "f1;btwo/;wthree/;f3" }, "two\r\n", SP_OK },
		{ { "wone/", "wtwo/", "f1;f2;bbody/" }, "body\r\n", SP_OK },
		{ { "w./..x/", "b./..x/", "b./..x/" }, "..\r\n...x\r\n", SP_OK },
		{ { "w", "b", NULL }, "", SP_OK },
		{ { "whalf", NULL, NULL }, NULL, SP_INVALID },
		{ { "whalf", "wtwo/", NULL }, "two\r\n", SP_OK },
		{ { "whalf;!", NULL, NULL }, "body\r\n", SP_OK },
	};

	(void)state;
	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct world w;

		scripts[1] = cases[n].scripts[1];
		scripts[2] = cases[n].scripts[2];
		begin(&w, cases[n].scripts[0]);
		assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
		assert_int_equal(world_apply(&w), cases[n].st);
		if (cases[n].st == SP_OK)
			assert_string_equal(strstr(w.wire, "\r\n\r\n") + 4, cases[n].want);
		world_fini(&w);
	}
}

static enum sp_status
too_big_a_body(struct sp_ctx *ctx)
{
	static char mib[1 << 20];

	memset(mib, 'x', sizeof(mib));
	memcpy(mib + sizeof(mib) - 2, "\r\n", 2);
	for (int n = 0; n < 64; n++)
		assert_int_equal(sp_body_replace(ctx, span_of(mib, sizeof(mib))), SP_OK);
	assert_int_equal(sp_body_replace(ctx, SPAN_LIT("\r")), SP_LIMIT);
	return SP_OK;
}

/* Of 64 MiB and an octet. */
static void
body_limit(void **state)
{
	struct world w;

	(void)state;
	scripts[1] = scripts[2] = NULL;
	begin(&w, NULL);
	instead = too_big_a_body;
	assert_int_equal(world_message(&w, MESSAGE, 0), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), SP_LIMIT);
	instead = NULL;
	world_fini(&w);
}

/* Somebody has read it: its writer cannot go on. A body that does not end in CRLF is not for reading. */
static enum sp_status
read_half(struct sp_ctx *ctx)
{
	return sp_body_replace(ctx, SPAN_LIT("one\r\nhalf"));
}

static enum sp_status
half_word(struct sp_ctx *ctx, struct sp_span word)
{
	struct sp_span piece;

	(void)word;
	assert_int_equal(sp_draft_body(ctx, 0, &piece), SP_INVALID);
	assert_int_equal(sp_body_replace(contexts[0], SPAN_LIT("\r\n")), SP_OK);
	assert_int_equal(sp_draft_body(ctx, 0, &piece), SP_OK);
	assert_int_equal(sp_body_replace(contexts[0], SPAN_LIT("more\r\n")), SP_INVALID);
	assert_int_equal(sp_draft_body(ctx, 100, &piece), SP_NONE);
	assert_int_equal(sp_draft_body(ctx, -1, &piece), SP_INVALID);
	return SP_OK;
}

static enum sp_status
read_half_first(struct sp_ctx *ctx)
{
	contexts[0] = ctx;
	return read_half(ctx);
}

static void
half_a_body(void **state)
{
	struct world w;

	(void)state;
	scripts[1] = "x";
	scripts[2] = NULL;
	run_word = half_word;
	begin(&w, NULL);
	instead = read_half_first;
	world_message(&w, MESSAGE, 0);
	assert_int_equal(world_apply(&w), SP_INVALID);
	instead = NULL;
	run_word = envelope_word;
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_filter),
		cmocka_unit_test(several_filters),
		cmocka_unit_test(twice_the_same),
		cmocka_unit_test(nobody_left),
		cmocka_unit_test(in_shadow),
		cmocka_unit_test(refused),
		cmocka_unit_test(bodies),
		cmocka_unit_test(body_limit),
		cmocka_unit_test(half_a_body),
	};

	env_modules = script_modules;
	run_word = envelope_word;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
