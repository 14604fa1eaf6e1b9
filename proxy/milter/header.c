/*
 * header.c - the difference of two headers, as a milter can say it: insert, append, replace and remove by name and number.
 *
 * What came and stays keeps its order, so the longest common end is cut off first (most is put on top), and the rest is
 * matched from the top; a field that has gone where one of its name has come is a replaced one.  Whatever is matched with what,
 * what comes out is the header that goes on.
 *
 * The order of carrying out: insertions from the lowest up, so that none moves the place of another; then replacing and removing,
 * again from below, where the number within a name counts those that were inserted above; at last what goes on top, the
 * topmost last.  So the only numbers that are needed are those that all mail servers count alike.
 */
#include "policy/kit/span.h"
#include "proxy/milter/answer.h"

enum fate { FATE_STAYS, FATE_GOES, FATE_REPLACED };

struct diff {
	struct answer *answer;
	const struct header_block *came, *goes;
	enum fate *fates;  /* of each field that came */
	size_t *by;        /* REPLACED: by which of those that go on */
	size_t *places;    /* of each field that goes on and is new: above which of those that came; else SIZE_MAX */
};

static bool
same(const struct header_field *a, const struct header_field *b)
{
	return span_eq(a->field, b->field);
}

static bool
named_alike(const struct header_field *a, const struct header_field *b)
{
	return span_ieq(a->name, b->name);
}

/* Fields came[from..to) have gone, and of those that go on [first..last) have come, in the same gap. */
static void
fill_gap(struct diff *d, size_t from, size_t to, size_t first, size_t last)
{
	for (size_t c = from; c < to; c++)
		d->fates[c] = FATE_GOES;
	for (size_t g = first; g < last; g++) {
		size_t c = from;

		while (c < to && !named_alike(&d->came->fields[c], &d->goes->fields[g]))
			c++;
		if (c == to) {
			d->places[g] = from;
			continue;
		}
		d->fates[c] = FATE_REPLACED;
		d->by[c] = g;
		from = c + 1;
	}
}

static size_t
common_end(const struct diff *d)
{
	size_t c = d->came->count, g = d->goes->count, n = 0;

	while (n < c && n < g && same(&d->came->fields[c - n - 1], &d->goes->fields[g - n - 1]))
		n++;
	return n;
}

static void
match(struct diff *d)
{
	size_t end = common_end(d), came = d->came->count - end, goes = d->goes->count - end;
	size_t from = 0, first = 0;

	for (size_t g = 0; g < goes; g++) {
		size_t c = from;

		while (c < came && !same(&d->came->fields[c], &d->goes->fields[g]))
			c++;
		if (c == came)
			continue;
		fill_gap(d, from, c, first, g);
		from = c + 1;
		first = g + 1;
	}
	fill_gap(d, from, came, first, goes);
}

/* ---- saying it ------------------------------------------------------------------------------ */

static enum sp_status
say(struct diff *d, enum change_kind kind, size_t index, size_t g)
{
	const struct header_field *f = &d->goes->fields[g];

	return answer_change(d->answer, kind, index, f->name, f->value);
}

/* Where field c stands among those of its name, once what is to stand between fields has been inserted, but nothing on top. */
static size_t
number_of(const struct diff *d, size_t c)
{
	const struct header_field *f = &d->came->fields[c];
	size_t n = 1;

	for (size_t i = 0; i < c; i++)
		n += named_alike(&d->came->fields[i], f);
	for (size_t g = 0; g < d->goes->count; g++)
		n += d->places[g] != SIZE_MAX && d->places[g] > 0 && d->places[g] <= c && named_alike(&d->goes->fields[g], f);
	return n;
}

static enum sp_status
say_appended(struct diff *d)
{
	enum sp_status st = SP_OK;

	for (size_t g = 0; g < d->goes->count && st == SP_OK; g++)
		if (d->places[g] == d->came->count)
			st = say(d, CHANGE_APPEND, 0, g);
	return st;
}

static enum sp_status
say_inserted(struct diff *d)
{
	enum sp_status st = SP_OK;

	for (size_t g = d->goes->count; g > 0 && st == SP_OK; g--)
		if (d->places[g - 1] > 0 && d->places[g - 1] < d->came->count)
			st = say(d, CHANGE_INSERT, d->places[g - 1], g - 1);
	return st;
}

static enum sp_status
say_changed(struct diff *d)
{
	enum sp_status st = SP_OK;

	for (size_t c = d->came->count; c > 0 && st == SP_OK; c--)
		if (d->fates[c - 1] == FATE_REPLACED)
			st = say(d, CHANGE_REPLACE, number_of(d, c - 1), d->by[c - 1]);
		else if (d->fates[c - 1] == FATE_GOES)
			st = answer_change(d->answer, CHANGE_REMOVE, number_of(d, c - 1), d->came->fields[c - 1].name, SPAN_LIT(""));
	return st;
}

static enum sp_status
say_topmost(struct diff *d)
{
	enum sp_status st = SP_OK;

	for (size_t g = d->goes->count; g > 0 && st == SP_OK && d->came->count > 0; g--)
		if (d->places[g - 1] == 0)
			st = say(d, CHANGE_INSERT, 0, g - 1);
	return st;
}

enum sp_status
answer_header(struct answer *a, const struct header_block *came, const struct header_block *goes)
{
	struct diff d = { .answer = a, .came = came, .goes = goes,
		.fates = arena_alloc(a->arena, (came->count + 1) * sizeof(*d.fates)),
		.by = arena_alloc(a->arena, (came->count + 1) * sizeof(*d.by)),
		.places = arena_alloc(a->arena, (goes->count + 1) * sizeof(*d.places)) };
	enum sp_status st;

	if (d.fates == NULL || d.by == NULL || d.places == NULL)
		return SP_SYSTEM;
	for (size_t g = 0; g < goes->count; g++)
		d.places[g] = SIZE_MAX;
	match(&d);
	st = say_appended(&d);
	if (st == SP_OK)
		st = say_inserted(&d);
	if (st == SP_OK)
		st = say_changed(&d);
	return st == SP_OK ? say_topmost(&d) : st;
}
