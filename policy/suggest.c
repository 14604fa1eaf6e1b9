/*
 * suggest.c - "did you mean": the known name nearest to a mistyped one.
 *
 * Distance counts insertions, deletions, replacements and swaps of neighbours (optimal string
 * alignment), without regard to case.  A name is offered when one octet differs, or no more than a quarter of it.
 */
#include "policy/compile.h"

#define SUGGEST_MAX 63 /* octets; longer names are not compared */

void
suggest_init(struct suggest *s, struct sp_span name)
{
	*s = (struct suggest){ .name = name };
	s->distance = name.len / 4 > 0 ? name.len / 4 + 1 : 2;
}

static size_t
min3(size_t a, size_t b, size_t c)
{
	a = a < b ? a : b;
	return a < c ? a : c;
}

static size_t
edit_distance(struct sp_span a, struct sp_span b)
{
	size_t rows[3][SUGGEST_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2], *spare;

	for (size_t j = 0; j <= b.len; j++)
		before[j] = last[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		now[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			char ca = span_lower(a.ptr[i - 1]), cb = span_lower(b.ptr[j - 1]);

			now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && ca == span_lower(b.ptr[j - 2]) && cb == span_lower(a.ptr[i - 2]))
				now[j] = min3(now[j], before[j - 2] + 1, now[j]);
		}
		spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[b.len];
}

void
suggest_offer(struct suggest *s, struct sp_span candidate, struct at at)
{
	size_t distance;

	if (candidate.len == 0 || candidate.len > SUGGEST_MAX || s->name.len > SUGGEST_MAX)
		return;
	distance = edit_distance(s->name, candidate);
	if (distance >= s->distance || distance >= candidate.len)
		return;
	s->distance = distance;
	s->best = candidate;
	s->at = at;
}

void
suggest_word(struct suggest *s, const char *candidate)
{
	suggest_offer(s, span_str(candidate), (struct at){ 0 });
}

void
suggest_words(struct suggest *s, const char *const *words)
{
	for (; words != NULL && *words != NULL; words++)
		suggest_word(s, *words);
}

const char *
suggest_hint(const struct suggest *s, struct compile *c, const char *otherwise)
{
	if (s->best.len == 0)
		return otherwise;
	if (s->at.line == 0)
		return compile_printf(c, "did you mean '%.*s'?", (int)s->best.len, s->best.ptr);
	return compile_printf(c, "did you mean '%.*s'? (defined at %s)", (int)s->best.len, s->best.ptr,
		diag_place(c, s->at));
}

const char *
suggest_list(struct compile *c, const char *const *words)
{
	const char *text = "";

	for (size_t i = 0; words != NULL && words[i] != NULL; i++)
		text = compile_printf(c, "%s%s%s", text,
			i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ", words[i]);
	return text;
}
