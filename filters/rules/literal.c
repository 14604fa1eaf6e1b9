/*
 * literal.c - a cautious reading of PCRE2 expressions (pcre2pattern(3)), to find what each match
 * must have in it.
 *
 * Octets, not characters: the rules are compiled without UTF.  Only what is understood is used:
 * plain characters in a row, alternatives, groups that are there at least once.  Anything that may
 * change the meaning of what surrounds it (verbs, conditions, \Q, the flag x, comments) ends the
 * reading with "none known", which is always right.  Nothing is allocated.
 */
#include "literal.h"

#include <string.h>

enum { DEPTH_MAX = 16, REPEAT_MANY = 100000 };

struct reader {
	const char *at, *end;
	unsigned depth;
	bool unsure; /* something was met that is not understood: nothing found counts */
};

/* The sequence being read: the row of plain characters at hand, and the best set so far. */
struct sequence {
	struct literal row;
	struct literal_set best; /* count 0: none */
};

static bool read_alternatives(struct reader *r, struct literal_set *ret);

/* ---- what is best ---------------------------------------------------------------------------- */

/* Long is rare; many alternatives are found more often than one. */
static int
set_worth(const struct literal_set *s)
{
	int least = LITERAL_MAX;

	if (s->count == 0)
		return 0;
	for (size_t i = 0; i < s->count; i++)
		if (s->items[i].len < least)
			least = s->items[i].len;
	return least * 64 - (int)s->count;
}

static void
sequence_offer(struct sequence *q, const struct literal_set *s)
{
	if (set_worth(s) > set_worth(&q->best)) {
		q->best.count = s->count;
		memcpy(q->best.items, s->items, s->count * sizeof(s->items[0]));
	}
}

/* The row at hand ends here. */
static void
sequence_cut(struct sequence *q)
{
	struct literal_set *best = &q->best;

	if (q->row.len >= LITERAL_MIN && q->row.len * 64 - 1 > set_worth(best)) {
		best->count = 1;
		best->items[0] = q->row;
	}
	q->row.len = 0;
}

static void
sequence_add(struct sequence *q, char c)
{
	if (q->row.len == LITERAL_MAX)
		sequence_cut(q);
	q->row.text[q->row.len++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* ---- pieces --------------------------------------------------------------------------------- */

static bool
is_decimal(char c)
{
	return c >= '0' && c <= '9';
}

static bool
peek(const struct reader *r, char c)
{
	return r->at < r->end && *r->at == c;
}

static bool
take(struct reader *r, char c)
{
	if (!peek(r, c))
		return false;
	r->at++;
	return true;
}

static bool
give_up(struct reader *r)
{
	r->unsure = true;
	r->at = r->end;
	return false;
}

static void
skip_past(struct reader *r, char c)
{
	while (r->at < r->end && *r->at != c)
		r->at++;
	if (!take(r, c))
		give_up(r);
}

/* {n} {n,} {n,m}: the least number.  Any other brace is a plain one or not, as the version of PCRE2
 * has it. */
static int
read_braces(struct reader *r)
{
	const char *p = r->at + 1;
	int least = 0;

	if (p == r->end || !is_decimal(*p)) {
		give_up(r);
		return 0;
	}
	for (; p < r->end && is_decimal(*p); p++)
		least = least < REPEAT_MANY ? least * 10 + (*p - '0') : least;
	if (p < r->end && *p == ',')
		for (p++; p < r->end && is_decimal(*p); p++)
			;
	r->at = p;
	if (!take(r, '}'))
		give_up(r);
	return least;
}

/* How often at least the piece before occurs; *ret_exact: it has no quantifier. */
static int
read_quantifier(struct reader *r, bool *ret_exact)
{
	int least = 1;

	*ret_exact = false;
	if (take(r, '*') || take(r, '?')) {
		least = 0;
	} else if (peek(r, '{')) {
		least = read_braces(r);
	} else if (!take(r, '+')) {
		*ret_exact = true;
		return 1;
	}
	if (!take(r, '+'))
		take(r, '?');
	return least;
}

/* [...]: to its end, whatever it holds. */
static void
skip_class(struct reader *r)
{
	take(r, '^');
	take(r, ']'); /* first, it is a member */
	while (r->at < r->end && *r->at != ']') {
		if (r->at[0] == '\\') {
			if (r->end - r->at < 2 || r->at[1] == 'Q' || r->at[1] == 'E') {
				give_up(r);
				return;
			}
			r->at += 2;
		} else if (r->at[0] == '[' && r->end - r->at > 1 &&
			   strchr(":.=", r->at[1]) != NULL) {
			const char *p = r->at + 2;

			while (p < r->end && *p != ']' && *p != '\\' && *p != '[')
				p++;
			/* [:alpha:] ends in ":]"; else the bracket is a member like any other */
			r->at = p < r->end && *p == ']' && p[-1] == r->at[1] && p - r->at > 2
					? p + 1
					: r->at + 1;
		} else {
			r->at++;
		}
	}
	if (!take(r, ']'))
		give_up(r);
}

static int
hex(char c)
{
	if (is_decimal(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xHH; with fewer digits or in braces it is not worth understanding. */
static bool
read_hex(struct reader *r, char *ret)
{
	if (r->end - r->at < 2 || hex(r->at[0]) < 0 || hex(r->at[1]) < 0)
		return give_up(r);
	*ret = (char)(hex(r->at[0]) * 16 + hex(r->at[1]));
	r->at += 2;
	return true;
}

/* After a backslash. True: it stands for the octet *ret; false: for something else, or unsure. */
static bool
read_escape(struct reader *r, char *ret)
{
	static const char letters[] = "nrtfea", octets[] = "\n\r\t\f\033\a";
	const char *known;
	char c;

	if (r->at == r->end)
		return give_up(r);
	c = *r->at++;
	*ret = c;
	if (c == 'x')
		return read_hex(r, ret);
	if (is_decimal(c)) { /* a back reference or an octal number: all its digits, to be safe */
		while (r->at < r->end && is_decimal(*r->at))
			r->at++;
		return false;
	}
	known = strchr(letters, c);
	if (known != NULL && c != '\0') {
		*ret = octets[known - letters];
		return true;
	}
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
		if (strchr("dDwWsShHvVRXbBAzZG", c) == NULL)
			return give_up(r);
		return false;
	}
	return true;
}

/* ---- groups --------------------------------------------------------------------------------- */

/* (?imsnJU-^) or (?ims: ...): true with the position after ':' for a group, after ')' for none. */
static bool
read_inline_flags(struct reader *r, bool *ret_group)
{
	while (r->at < r->end && strchr("imsnJU-^", *r->at) != NULL)
		r->at++;
	*ret_group = peek(r, ':');
	return take(r, ':') || take(r, ')') || give_up(r);
}

enum group { GROUP_PLAIN, GROUP_LOOK, GROUP_NONE };

/* After "(?": what kind of group, with the position at its content; GROUP_NONE: past it. */
static enum group
read_group_kind(struct reader *r)
{
	char c = r->at < r->end ? *r->at++ : '\0', next = r->at < r->end ? *r->at : '\0';
	bool group;

	if (c == ':' || c == '>' || c == '|')
		return GROUP_PLAIN;
	if (c == '=' || c == '!')
		return GROUP_LOOK;
	if (c == '<' && (next == '=' || next == '!')) {
		r->at++;
		return GROUP_LOOK;
	}
	if (c == 'P' && next == '<')
		c = *r->at++;
	if (c == '<' || c == '\'') {
		skip_past(r, c == '<' ? '>' : '\'');
		return GROUP_PLAIN;
	}
	if (c == '&' || c == 'R' || c == '+' || is_decimal(c) || (c == '-' && is_decimal(next)) ||
		(c == 'P' && (next == '=' || next == '>'))) {
		skip_past(r, ')'); /* a call or a reference: it matches something, who knows what */
		return GROUP_NONE;
	}
	r->at--;
	if (r->at < r->end && strchr("imsnJU-^", *r->at) != NULL && read_inline_flags(r, &group))
		return group ? GROUP_PLAIN : GROUP_NONE;
	give_up(r); /* conditions, comments, callouts, the flag x */
	return GROUP_NONE;
}

/* After '('. */
static void
read_group(struct reader *r, struct sequence *q)
{
	struct literal_set inner;
	enum group kind = GROUP_PLAIN;
	bool found = false, exact;
	int least;

	sequence_cut(q);
	if (peek(r, '*') || ++r->depth > DEPTH_MAX) {
		give_up(r);
		return;
	}
	if (take(r, '?'))
		kind = read_group_kind(r);
	if (kind != GROUP_NONE) {
		found = read_alternatives(r, &inner);
		if (!take(r, ')'))
			give_up(r);
	}
	r->depth--;
	least = read_quantifier(r, &exact);
	if (kind == GROUP_PLAIN && found && least > 0)
		sequence_offer(q, &inner);
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* One plain character with its quantifier. */
static void
read_plain(struct reader *r, struct sequence *q, char c)
{
	bool exact;
	int least = read_quantifier(r, &exact);

	if (least > 0)
		sequence_add(q, c);
	if (exact)
		return;
	sequence_cut(q);
	if (least > 0)
		sequence_add(q, c); /* the last of them stands right before what follows */
}

static void
read_other(struct reader *r, struct sequence *q)
{
	bool exact;

	sequence_cut(q);
	read_quantifier(r, &exact);
}

static bool
read_sequence(struct reader *r, struct literal_set *ret)
{
	struct sequence q = { { 0, { 0 } }, { .count = 0 } };

	while (r->at < r->end && *r->at != '|' && *r->at != ')') {
		char c = *r->at++;

		if (c == '(') {
			read_group(r, &q);
		} else if (c == '[') {
			skip_class(r);
			read_other(r, &q);
		} else if (c == '.' || c == '^' || c == '$') {
			read_other(r, &q);
		} else if (c == '\\' && !read_escape(r, &c)) {
			read_other(r, &q);
		} else {
			read_plain(r, &q, c);
		}
	}
	sequence_cut(&q);
	ret->count = q.best.count;
	memcpy(ret->items, q.best.items, q.best.count * sizeof(q.best.items[0]));
	return ret->count > 0;
}

/* All alternatives must have something; then one of it all is in each match. */
static bool
read_alternatives(struct reader *r, struct literal_set *ret)
{
	bool all = true;

	ret->count = 0;
	do {
		struct literal_set one;

		if (!read_sequence(r, &one) || ret->count + one.count > LITERALS_MAX) {
			all = false;
			continue;
		}
		memcpy(ret->items + ret->count, one.items, one.count * sizeof(one.items[0]));
		ret->count += one.count;
	} while (take(r, '|'));
	return all;
}

bool
literal_find(struct sp_span pattern, bool extended, struct literal_set *ret)
{
	struct reader r = { .at = pattern.ptr, .end = pattern.ptr + pattern.len };

	if (extended || pattern.len == 0 || memchr(pattern.ptr, '\0', pattern.len) != NULL)
		return false;
	return read_alternatives(&r, ret) && !r.unsure && r.at == r.end;
}
