/*
 * The draft: what filters see of the header that others have edited, what they may do to it, and what goes on.
 *
 * A case is a script for each of three filters, run one after another, and the fields that go on.
 */
#include "tests/unit/inspect_draft_words.h"

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
		cmocka_unit_test(in_shadow),
		cmocka_unit_test(completions_see_edits),
	};

	env_modules = script_modules;
	run_word = draft_word;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
