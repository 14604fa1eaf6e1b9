/* slot_header.c - the difference of two headers said as a milter can, and carried out as Postfix does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/milter/answer.h"

enum { FIELDS = 64 };

/* A header as a mail server keeps it; a field is "Name: value". */
struct header {
	char fields[FIELDS][64];
	size_t count;
};

static void
parse(const char *text, struct header_block *to)
{
	const struct header_config config = { 0 };
	struct sp_span rest;
	size_t used;

	header_init(to, &config);
	(void)header_feed(to, span_str(text), &used);
	header_end(to, &rest);
}

static void
put_at(struct header *h, size_t at, const struct change *c)
{
	assert_true(h->count < FIELDS && at <= h->count);
	memmove(h->fields[at + 1], h->fields[at], (h->count - at) * sizeof(h->fields[0]));
	snprintf(h->fields[at], sizeof(h->fields[at]), "%s:%s", c->name, c->value);
	h->count++;
}

static size_t
find(const struct header *h, const struct change *c)
{
	size_t seen = 0;

	for (size_t i = 0; i < h->count; i++) {
		struct sp_span field = span_str(h->fields[i]);

		if (span_ieq(span_head(field, span_find(field, ':')), span_str(c->name)) && ++seen == c->index)
			return i;
	}
	fail_msg("no field %zu of name %s", c->index, c->name);
	return 0;
}

static void
carry(struct header *h, const struct change *c)
{
	size_t at;

	switch (c->kind) {
	case CHANGE_APPEND:
		put_at(h, h->count, c);
		break;
	case CHANGE_INSERT:
		put_at(h, c->index, c);
		break;
	case CHANGE_REPLACE:
		at = find(h, c);
		snprintf(h->fields[at], sizeof(h->fields[at]), "%s:%s", c->name, c->value);
		break;
	case CHANGE_REMOVE:
		at = find(h, c);
		memmove(h->fields[at], h->fields[at + 1], (h->count - at - 1) * sizeof(h->fields[0]));
		h->count--;
		break;
	default:
		fail_msg("a change of another kind");
	}
}

/* Makes the one of the other; returns how many changes it took. */
static size_t
turn(const char *from, const char *to)
{
	struct header_block came, goes;
	struct header h = { 0 };
	struct answer a;
	size_t count = 0;

	parse(from, &came);
	parse(to, &goes);
	assert_true(answer_init(&a));
	assert_int_equal(answer_header(&a, &came, &goes), SP_OK);
	for (h.count = 0; h.count < came.count; h.count++)
		snprintf(h.fields[h.count], sizeof(h.fields[0]), "%.*s", (int)came.fields[h.count].field.len,
			came.fields[h.count].field.ptr);
	for (const struct change *c = a.first; c != NULL; c = c->next, count++)
		carry(&h, c);
	assert_int_equal(h.count, goes.count);
	for (size_t i = 0; i < h.count; i++)
		if (!span_eq(span_str(h.fields[i]), goes.fields[i].field))
			fail_msg("field %zu of\n%s from\n%s is %s", i, to, from, h.fields[i]);
	answer_fini(&a);
	header_fini(&came);
	header_fini(&goes);
	return count;
}

static void
says_no_more_than_needed(void **state)
{
	(void)state;
	assert_int_equal(turn("A: 1\r\nB: 2\r\nC: 3\r\n\r\n", "A: 1\r\nB: 2\r\nC: 3\r\n\r\n"), 0);
	assert_int_equal(turn("A: 1\r\nB: 2\r\n\r\n", "X: 1\r\nA: 1\r\nB: 2\r\n\r\n"), 1);
	assert_int_equal(turn("A: 1\r\nB: 2\r\n\r\n", "X: 1\r\nY: 1\r\nA: 1\r\nB: 2\r\n\r\n"), 2);
	assert_int_equal(turn("A: 1\r\nB: 2\r\n\r\n", "A: 1\r\nX: 1\r\nY: 2\r\nB: 2\r\n\r\n"), 2);
	assert_int_equal(turn("A: 1\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\nX: 1\r\nY: 2\r\n\r\n"), 2);
	assert_int_equal(turn("A: 1\r\nB: 2\r\nC: 3\r\n\r\n", "A: 1\r\nC: 3\r\n\r\n"), 1);
	assert_int_equal(turn("A: 1\r\nB: 2\r\nC: 3\r\n\r\n", "A: 1\r\nB: 4\r\nC: 3\r\n\r\n"), 1);
	assert_int_equal(turn("A: 1\r\na: 2\r\nA: 3\r\n\r\n", "A: 1\r\nA: 3\r\n\r\n"), 1);
	assert_int_equal(turn("A: 1\r\n\r\n", "\r\n"), 1);
	assert_int_equal(turn("\r\n", "A: 1\r\nB: 2\r\n\r\n"), 2);
	assert_int_equal(turn("A: 1\r\nB: 2\r\n\r\n", "A: 1\r\nA: 1\r\nB: 2\r\n\r\n"), 1);
}

static uint32_t
dice(uint32_t *seed, uint32_t sides)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 16) % sides;
}

/* Few names and values, so that many are alike. */
static void
random_header(uint32_t *seed, char *to, size_t room)
{
	size_t len = 0;
	uint32_t count = dice(seed, 9);

	for (uint32_t i = 0; i < count; i++)
		len += (size_t)snprintf(to + len, room - len, "%c: %u\r\n", 'A' + (int)dice(seed, 3) + 32 * (int)dice(seed, 2),
			dice(seed, 3));
	snprintf(to + len, room - len, "\r\n");
}

static void
turns_any_into_any(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int n = 0; n < 20000; n++) {
		char from[128], to[128];

		random_header(&seed, from, sizeof(from));
		random_header(&seed, to, sizeof(to));
		(void)turn(from, to);
	}
}

static void
folds_are_line_feeds(void **state)
{
	struct header_block came, goes;
	struct answer a;

	(void)state;
	parse("A: 1\r\n\r\n", &came);
	parse("X: 1\r\n\t2\r\n 3\r\nA: 1\r\n\r\n", &goes);
	assert_true(answer_init(&a));
	assert_int_equal(answer_header(&a, &came, &goes), SP_OK);
	assert_non_null(a.first);
	assert_string_equal(a.first->name, "X");
	assert_string_equal(a.first->value, " 1\n\t2\n 3");
	assert_null(a.first->next);
	answer_fini(&a);
	header_fini(&came);
	header_fini(&goes);
}

/* ---- replies -------------------------------------------------------------------------------- */

static void
replies(void **state)
{
	struct answer a;
	char many[400] = "";

	(void)state;
	assert_true(answer_init(&a));
	answer_refuse(&a, 550, SPAN_LIT("5.7.1"), SPAN_LIT("100% no\tthanks"), "ABC");
	assert_int_equal(a.word, ANSWER_REFUSE);
	assert_int_equal(a.line_count, 1);
	assert_string_equal(a.lines[0], "100%% no?thanks (tx=ABC)");
	answer_refuse(&a, 451, SPAN_LIT(""), SPAN_LIT("one\ntwo\n"), "ABC");
	assert_int_equal(a.line_count, 2);
	assert_string_equal(a.lines[0], "one");
	assert_string_equal(a.lines[1], "two (tx=ABC)");
	assert_string_equal(a.enhanced, "");
	answer_refuse(&a, 451, SPAN_LIT("4.7.1"), SPAN_LIT(""), NULL);
	assert_int_equal(a.line_count, 1);
	assert_string_equal(a.lines[0], "");
	for (size_t i = 0; i < 50; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "l%zu\n", i);
	answer_refuse(&a, 550, SPAN_LIT("5.7.1"), span_str(many), "ABC");
	assert_int_equal(a.line_count, ANSWER_LINES);
	assert_string_equal(a.lines[ANSWER_LINES - 1], "l31 (tx=ABC)");
	answer_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(says_no_more_than_needed), cmocka_unit_test(turns_any_into_any),
		cmocka_unit_test(folds_are_line_feeds), cmocka_unit_test(replies) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
