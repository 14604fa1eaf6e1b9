/*
 * The draft: what filters see of the header that others have edited, what they may do to it, and what goes on.
 *
 * A case is a few words for each of three filters, run one after another, and the fields that go on, divided by "|":
 *   =A: 1|B: 2    the draft is this      i0 A: 1   insert before a field ("iT" on top, "iE" at the end)
 *   r0 A: 2       replace                d0        remove
 *   a A 2         header_add             n1 A 2    header_insert         c1 A 2   header_replace
 *   m1 A          header_remove          !         fail                  f1       filter 1 fails now
 * joined by ";".  "~" stands for a fold.
 */
#include "tests/unit/inspect_scripts.h"

#define US "Received: by us|"
#define MESSAGE "From: a\r\nX: 1\r\nSubject: s\r\nx: 2\r\n\tfold\r\nX: 3\r\n\r\nbody\r\n.\r\n"
#define CAME "From: a|X: 1|Subject: s|x: 2~fold|X: 3"

enum { TEXT = 8192 };

/* "~" is a fold. */
static struct sp_span
folded(const char *from, size_t len, char *to)
{
	size_t used = 0;

	for (size_t n = 0; n < len; n++) {
		if (from[n] == '~')
			used += (size_t)snprintf(to + used, TEXT - used, "\r\n\t");
		else
			to[used++] = from[n];
	}
	to[used] = '\0';
	return span_of(to, used);
}

/* Fields divided by "|", and folds as "~", in text; the empty line ends them. */
static void
flatten(const char *wire, char *to)
{
	size_t used = 0;

	for (const char *at = wire; *at != '\0'; at++) {
		if (strncmp(at, "\r\n\t", 3) == 0) {
			to[used++] = '~';
			at += 2;
		} else if (strncmp(at, "\r\n\r\n", 4) == 0) {
			break;
		} else if (strncmp(at, "\r\n", 2) == 0) {
			to[used++] = '|';
			at++;
		} else {
			to[used++] = *at;
		}
	}
	to[used] = '\0';
}

static void
see(struct sp_ctx *ctx, char *to)
{
	char wire[TEXT];
	struct sp_header h;
	size_t used = 0, n = 0;

	wire[0] = '\0';
	for (; sp_draft_get(ctx, n, &h) == SP_OK; n++) {
		assert_int_equal(h.index, n);
		assert_true(h.name.ptr == h.field.ptr && h.field.ptr[h.name.len] == ':');
		assert_true(h.value.len == h.field.len - h.name.len - 1);
		used += (size_t)snprintf(wire + used, TEXT - used, "%s%.*s", n > 0 ? "\r\n" : "", (int)h.field.len, h.field.ptr);
	}
	assert_int_equal(sp_draft_get(ctx, n, &h), SP_NONE);
	assert_int_equal(sp_draft_get(ctx, SP_DRAFT_END, &h), SP_NONE);
	if (n > 0) { /* backwards, too */
		assert_int_equal(sp_draft_get(ctx, n - 1, &h), SP_OK);
		assert_int_equal(sp_draft_get(ctx, 0, &h), SP_OK);
	}
	flatten(wire, to);
}

static size_t
position(const char *at)
{
	return *at == 'T' ? SP_DRAFT_TOP : *at == 'E' ? SP_DRAFT_END : (size_t)(*at - '0');
}

static enum sp_status
old_call(struct sp_ctx *ctx, char what, int index, struct sp_span name, struct sp_span value)
{
	char text[64];

	snprintf(text, sizeof(text), "%.*s", (int)name.len, name.ptr);
	switch (what) {
	case 'a':
		return sp_header_add(ctx, text, value);
	case 'n':
		return sp_header_insert(ctx, (size_t)index, text, value);
	case 'c':
		return ctx->host->header_replace(ctx, text, index, value);
	default:
		return sp_header_remove(ctx, text, index);
	}
}

static enum sp_status
old_word(struct sp_ctx *ctx, struct sp_span word)
{
	bool numbered = word.ptr[0] != 'a';
	struct sp_span name = span_from(word, numbered ? 3 : 2);
	size_t blank = span_find(name, ' ');

	return old_call(ctx, word.ptr[0], numbered ? word.ptr[1] - '0' : 0, span_head(name, blank), span_from(name, blank + 1));
}

static enum sp_status
draft_word(struct sp_ctx *ctx, struct sp_span word)
{
	char text[TEXT], now[TEXT];
	struct sp_span field = word.len > 3 ? folded(word.ptr + 3, word.len - 3, text) : span_of("", 0);

	switch (word.ptr[0]) {
	case '=':
		see(ctx, now);
		snprintf(text, sizeof(text), "%.*s", (int)word.len - 1, word.ptr + 1);
		assert_string_equal(now, text);
		return SP_OK;
	case 'i':
		return sp_draft_insert(ctx, position(word.ptr + 1), field);
	case 'r':
		return sp_draft_replace(ctx, position(word.ptr + 1), field);
	case 'd':
		return sp_draft_remove(ctx, position(word.ptr + 1));
	default:
		return old_word(ctx, word);
	}
}

/* ---- a case ---------------------------------------------------------------------------------------- */

struct edits_case {
	const char *scripts[FILTERS];
	const char *want, *notes;
};

static void
check_notes(const struct world *w, const char *want)
{
	struct buf edits;

	buf_init(&edits, TEXT);
	inspect_notes(w->in, &(struct inspect_notes){ .edits = &edits });
	assert_string_equal(buf_cstr(&edits), want);
	buf_fini(&edits);
}

static void
check(const char *policy, const char *message, const struct edits_case *c)
{
	struct world w;
	char now[TEXT];

	memcpy(scripts, c->scripts, sizeof(scripts));
	world_init(&w, policy);
	world_envelope(&w);
	assert_int_equal(world_message(&w, message, 7), POLICY_ACCEPT);
	assert_int_equal(world_apply(&w), SP_OK);
	flatten(w.wire, now);
	assert_string_equal(now, c->want);
	if (c->notes != NULL)
		check_notes(&w, c->notes);
	assert_non_null(strstr(w.wire, "\r\n\r\nbody\r\n"));
	world_fini(&w);
}

static void
check_all(const struct edits_case *cases, size_t count)
{
	for (size_t n = 0; n < count; n++)
		check(POLICY, MESSAGE, &cases[n]);
}
#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof(cases[0]))

/* ---- one filter --------------------------------------------------------------------------------------- */

static void
one_filter(void **state)
{
	static const struct edits_case cases[] = {
		{ { "=" CAME }, US CAME, "" },
		/* where */
		{ { "i0 A: 1;=A: 1|" CAME }, US "A: 1|" CAME, "+A" },
		{ { "i0 A: 1;i0 B: 2;=B: 2|A: 1|" CAME }, US "B: 2|A: 1|" CAME, "+B,+A" },
		{ { "i0 A: 1;i1 B: 2" }, US "A: 1|B: 2|" CAME, NULL },
		{ { "i1 A: 1;=From: a|A: 1|X: 1|Subject: s|x: 2~fold|X: 3" }, US "From: a|A: 1|X: 1|Subject: s|x: 2~fold|X: 3", "+A" },
		{ { "i1 A: 1;i1 B: 2;i3 C: 3" }, US "From: a|B: 2|A: 1|C: 3|X: 1|Subject: s|x: 2~fold|X: 3", NULL },
		{ { "i5 A: 1;=" CAME "|A: 1" }, US CAME "|A: 1", NULL },
		{ { "i9 A: 1;=" CAME "|A: 1" }, US CAME "|A: 1", NULL },
		{ { "iE A: 1;iE B: 2;=" CAME "|A: 1|B: 2" }, US CAME "|A: 1|B: 2", "+A,+B" },
		{ { "iE A: 1;i5 B: 2" }, US CAME "|B: 2|A: 1", NULL },
		{ { "iT A: 1;=A: 1|" CAME }, "A: 1|" US CAME, "+A" },
		{ { "iT A: 1;iT B: 2;=B: 2|A: 1|" CAME }, "B: 2|A: 1|" US CAME, NULL },
		{ { "iT A: 1;i0 B: 2;i1 C: 3;i3 D: 4;=B: 2|C: 3|A: 1|D: 4|" CAME }, "B: 2|C: 3|A: 1|" US "D: 4|" CAME, NULL },
		{ { "i0 D: 4;iT A: 1;i1 B: 2;=A: 1|B: 2|D: 4|" CAME }, "A: 1|" US "B: 2|D: 4|" CAME, NULL },
		/* what: verbatim */
		{ { "i0 A:1;i0 B:;i0 C: ;i0 D:~folded~more" }, US "D:~folded~more|C: |B:|A:1|" CAME, NULL },
		{ { "i0 A:\t1" }, US "A:\t1|" CAME, NULL },
		/* replace */
		{ { "r0 From: b;=From: b|X: 1|Subject: s|x: 2~fold|X: 3" }, US "From: b|X: 1|Subject: s|x: 2~fold|X: 3", "~From" },
		{ { "r3 X: one line" }, US "From: a|X: 1|Subject: s|X: one line|X: 3", "~x" },
		{ { "r1 X: new~folded" }, US "From: a|X: new~folded|Subject: s|x: 2~fold|X: 3", "~X" },
		{ { "r2 Topic: t;r2 Topic: u" }, US "From: a|X: 1|Topic: u|x: 2~fold|X: 3", "-Subject,+Topic" },
		{ { "r4 X: y;r4 X: z;=From: a|X: 1|Subject: s|x: 2~fold|X: z" }, US "From: a|X: 1|Subject: s|x: 2~fold|X: z", "~X" },
		/* remove */
		{ { "d0;=X: 1|Subject: s|x: 2~fold|X: 3" }, US "X: 1|Subject: s|x: 2~fold|X: 3", "-From" },
		{ { "d0;d0;d0;d0;=X: 3" }, US "X: 3", "-From,-X,-Subject,-x" },
		{ { "d4;d3;=From: a|X: 1|Subject: s" }, US "From: a|X: 1|Subject: s", "-x,-X" },
		{ { "d1;i1 X: in its place" }, US "From: a|X: in its place|Subject: s|x: 2~fold|X: 3", "-X,+X" },
		/* of one's own */
		{ { "i2 A: 1;r2 A: 2;=From: a|X: 1|A: 2|Subject: s|x: 2~fold|X: 3" }, US "From: a|X: 1|A: 2|Subject: s|x: 2~fold|X: 3", "+A" },
		{ { "i2 A: 1;d2;=" CAME }, US CAME, "" },
		{ { "iT A: 1;r0 B: 2;iE C: 3;d6;=B: 2|" CAME }, "B: 2|" US CAME, "+B" },
		{ { "r1 X: new;d1;=From: a|Subject: s|x: 2~fold|X: 3" }, US "From: a|Subject: s|x: 2~fold|X: 3", "-X" },
	};

	(void)state;
	CHECK_ALL(cases);
}

/* ---- several ------------------------------------------------------------------------------------------ */

static void
several_filters(void **state)
{
	static const struct edits_case cases[] = {
		{ { "i0 A: 1", "=A: 1|" CAME ";i0 B: 2", "=B: 2|A: 1|" CAME ";i1 C: 3" }, US "B: 2|C: 3|A: 1|" CAME, NULL },
		{ { "d1", "=From: a|Subject: s|x: 2~fold|X: 3;d3", "=From: a|Subject: s|x: 2~fold;i2 X: new" },
			US "From: a|Subject: s|X: new|x: 2~fold", "-X,+X,-X" },
		{ { "r1 X: a", "=From: a|X: a|Subject: s|x: 2~fold|X: 3;r1 X: b", "r1 X: c" }, US "From: a|X: c|Subject: s|x: 2~fold|X: 3",
			"~X" },
		{ { "i1 A: 1", "r1 A: 2", "=From: a|A: 2|X: 1|Subject: s|x: 2~fold|X: 3;d1" }, US CAME, "" },
		{ { "r0 From: b", "d0", "i0 From: c" }, US "From: c|X: 1|Subject: s|x: 2~fold|X: 3", "-From,+From" },
		{ { "iT A: 1", "iT B: 2", "=B: 2|A: 1|" CAME ";d1" }, "B: 2|" US CAME, NULL },
		{ { "iE A: 1", "iE B: 2", "d5;iE C: 3" }, US CAME "|B: 2|C: 3", NULL },
		/* one that fails has done nothing */
		{ { "i0 A: 1;d1;!", "=" CAME ";i0 B: 2" }, US "B: 2|" CAME, "+B" },
		{ { "d0;r0 X: new;!", "=" CAME }, US CAME, "" },
		{ { "i0 A: 1", "=A: 1|" CAME ";r0 A: 2;!", "=A: 1|" CAME }, US "A: 1|" CAME, NULL },
		{ { "i0 A: 1", "d0;d0;!", "=A: 1|" CAME ";r0 A: 3" }, US "A: 3|" CAME, NULL },
		/* ... nor after the others have built on it: what they have done stays where it was meant */
		{ { "i0 A: 1", "i1 B: 2", "f1;=B: 2|" CAME }, US "B: 2|" CAME, "+B" },
		{ { "i0 A: 1;i0 A: 0", "i1 B: 2;i0 C: 3", "f1;=C: 3|B: 2|" CAME }, US "C: 3|B: 2|" CAME, NULL },
		{ { "r1 X: a", "r1 X: b", "f2;=From: a|X: a|Subject: s|x: 2~fold|X: 3" }, US "From: a|X: a|Subject: s|x: 2~fold|X: 3", NULL },
		{ { "r1 X: a", "r1 X: b", "f1;=From: a|X: b|Subject: s|x: 2~fold|X: 3" }, US "From: a|X: b|Subject: s|x: 2~fold|X: 3", NULL },
		{ { "r1 X: a", "r1 X: b", "f1;f2;=" CAME }, US CAME, "" },
		{ { "d1", "i1 B: 2", "f1;=From: a|X: 1|B: 2|Subject: s|x: 2~fold|X: 3" }, US "From: a|X: 1|B: 2|Subject: s|x: 2~fold|X: 3",
			NULL },
		{ { "r1 X: a", "d1", "f1;=From: a|Subject: s|x: 2~fold|X: 3" }, US "From: a|Subject: s|x: 2~fold|X: 3", NULL },
		{ { "d1", "d1", "f1;=From: a|X: 1|x: 2~fold|X: 3;f2;=" CAME }, US CAME, "" },
		{ { "i0 A: 1", "r0 A: 2", "f1;=A: 2|" CAME }, US "A: 2|" CAME, NULL },
		{ { "i0 A: 1", "d0", "f2;=A: 1|" CAME }, US "A: 1|" CAME, NULL },
		{ { "i0 A: 1;r0 A: 2", "iE B: 2", "f1;d5;=" CAME }, US CAME, "" },
		{ { NULL, "f1;=" CAME, "i0 A: 1;f2" }, US "A: 1|" CAME, NULL },
		{ { "iT A: 1;iT B: 2", "i1 C: 3", "f1;=C: 3|" CAME ";iT D: 4" }, "D: 4|C: 3|" US CAME, NULL },
	};

	(void)state;
	CHECK_ALL(cases);
}

/* The calls that number fields as they came, and those that number them as they stand. */
static void
beside_the_old_calls(void **state)
{
	static const struct edits_case cases[] = {
		{ { "a A 1;=A: 1|" CAME ";i0 B: 2;a C 3", "=B: 2|A: 1|C: 3|" CAME ";d1" }, US "B: 2|C: 3|" CAME, "+B,+C" },
		{ { "n2 A 1", "=From: a|X: 1|A: 1|Subject: s|x: 2~fold|X: 3;r2 A: 2;n2 B 3", "d2" },
			US "From: a|X: 1|B: 3|Subject: s|x: 2~fold|X: 3", NULL },
		{ { "m0 X", "=From: a|Subject: s|x: 2~fold|X: 3;m1 X", "=From: a|Subject: s|X: 3" }, US "From: a|Subject: s|X: 3", "-X,-x" },
		{ { "d1", "c1 X new", "=From: a|Subject: s|x: new|X: 3;c0 X again" }, US "From: a|X: again|Subject: s|x: new|X: 3", "~X,~x" },
		{ { "c0 X new", "r1 Y: newer", "m0 X" }, US "From: a|Subject: s|x: 2~fold|X: 3", "-X" },
		{ { "a A 1;!", "a B 2" }, US "B: 2|" CAME, "+B" },
		{ { "n9 A 1;iE B: 2;n9 C 3" }, US CAME "|A: 1|B: 2|C: 3", NULL },
		{ { "i5 A: 1;n5 B 2;n4 C 3" }, US "From: a|X: 1|Subject: s|x: 2~fold|C: 3|X: 3|A: 1|B: 2", NULL },
	};

	(void)state;
	CHECK_ALL(cases);
}

/* What rules add and remove is not in the draft. */
static void
beside_rules(void **state)
{
	static const char policy[] = POLICY_TOP "rules {\n p : add-header \"P\" \"1\"\n q : remove-header \"x\"\n" POLICY_ASK;
	static const struct edits_case cases[] = {
		{ { "=" CAME ";i0 A: 1" }, US "A: 1|P: 1|From: a|Subject: s", "+A,+P,-X,-x,-X" },
		{ { "i1 X: mine;iE A: 1" }, US "P: 1|From: a|X: mine|Subject: s|A: 1", NULL },
		/* a field that came goes, whatever has been made of it */
		{ { "r1 Y: 1;iT B: 2" }, "B: 2|" US "P: 1|From: a|Subject: s", NULL },
		{ { "i0 A: 1", "i1 B: 2", "i0 C: 3" }, US "C: 3|A: 1|B: 2|P: 1|From: a|Subject: s", NULL },
	};

	(void)state;
	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++)
		check(policy, MESSAGE, &cases[n]);
}

/* Messages of other shapes. */
static void
shapes(void **state)
{
	(void)state;
	check(POLICY, "\r\nbody\r\n.\r\n", &(struct edits_case){ { "=;i0 A: 1", "=A: 1;i1 B: 2;iE C: 3" }, US "A: 1|B: 2|C: 3", NULL });
	check(POLICY, "body\r\n.\r\n", &(struct edits_case){ { "=;iE A: 1;iT B: 2" }, "B: 2|" US "A: 1", "+B,+A,+empty-line" });
	check(POLICY, "A: 1\r\n\r\nbody\r\n.\r\n", &(struct edits_case){ { "d0;=;i0 B: 2;=B: 2" }, US "B: 2", NULL });
	check(POLICY, "A: 1\r\nbody\r\n.\r\n", &(struct edits_case){ { "r0 A: 2" }, US "A: 2", "~A,+empty-line" });
	check(POLICY, "..A: 1\r\n.B: 2\r\n\r\nbody\r\n.\r\n", &(struct edits_case){ { "=.A: 1|B: 2;i2 .C: 3" }, US "..A: 1|B: 2|..C: 3", NULL });
}

/* What claims to be our own results is seen by nobody, and others' are. */
static void
forged_results(void **state)
{
	static const char message[] = "From: a\r\nAuthentication-Results: localhost; spf=pass\r\n"
		"Authentication-Results: other.example; spf=pass\r\nX: 1\r\n\r\nbody\r\n.\r\n";
	static const char others[] = "Authentication-Results: other.example; spf=pass";
	char script[256], want[256];

	(void)state;
	env_client.auth_id = "localhost";
	/* the script's words end at ";" */
	snprintf(script, sizeof(script), "d1;=From: a|X: 1;i1 Y: 2");
	check(POLICY, message, &(struct edits_case){ { script }, US "From: a|Y: 2|X: 1", NULL });
	snprintf(want, sizeof(want), US "From: a|%s|Z: 1", others);
	check(POLICY, message, &(struct edits_case){ { "r2 Z: 1" }, want, "-X,+Z,-Authentication-Results" });
	env_client.auth_id = NULL;
}

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

/* Under "run --shadow" filters see what they have done, and none of it is done. */
static void
in_shadow(void **state)
{
	(void)state;
	env_client.shadow = true;
	check(POLICY, MESSAGE, &(struct edits_case){ { "i0 A: 1;d1", "=A: 1|X: 1|Subject: s|x: 2~fold|X: 3;iT B: 2" }, US CAME, "" });
	env_client.shadow = false;
}

/* Fields that a message lacks are looked for in what goes on. */
static void
completions_see_edits(void **state)
{
	struct world w;
	struct sp_span value;

	(void)state;
	scripts[0] = "i0 Date: now;d3;r1 From:  b~c ";
	scripts[1] = scripts[2] = NULL;
	world_init(&w, POLICY);
	world_envelope(&w);
	world_message(&w, MESSAGE, 0);
	assert_true(inspect_field(w.in, SPAN_LIT("date"), 0, &value));
	assert_true(span_eq(value, SPAN_LIT("now")));
	assert_true(inspect_field(w.in, SPAN_LIT("From"), 0, &value));
	assert_true(span_eq(value, SPAN_LIT("b\tc")));
	assert_false(inspect_field(w.in, SPAN_LIT("Subject"), 0, &value));
	assert_true(inspect_field(w.in, SPAN_LIT("X"), 2, &value));
	assert_true(span_eq(value, SPAN_LIT("3")));
	assert_false(inspect_field(w.in, SPAN_LIT("X"), 3, &value));
	world_fini(&w);
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
		cmocka_unit_test(one_filter),
		cmocka_unit_test(several_filters),
		cmocka_unit_test(beside_the_old_calls),
		cmocka_unit_test(beside_rules),
		cmocka_unit_test(shapes),
		cmocka_unit_test(forged_results),
		cmocka_unit_test(not_written_anew),
		cmocka_unit_test(fields_that_may_not_be_written),
		cmocka_unit_test(limits),
		cmocka_unit_test(at_the_end_only),
		cmocka_unit_test(in_shadow),
		cmocka_unit_test(completions_see_edits),
		cmocka_unit_test(at_random),
	};

	env_modules = script_modules;
	run_word = draft_word;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
