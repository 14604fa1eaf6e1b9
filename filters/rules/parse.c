/*
 * parse.c - reads the rules file, line by line; the expressions themselves are compiled in match.c.
 *
 * The list is on the heap and is the caller's; nothing else is allocated.
 */
#include "parse.h"

#include <stdlib.h>
#include <string.h>

struct line {
	const char *start, *at, *end;
	unsigned number;
	const struct rules_report *report;
};

void
rules_report_error(
	const struct rules_report *to, unsigned line, unsigned column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	to->error(to->arg, line, column, fmt, ap);
	va_end(ap);
}

/* Reports a fault where the line is being read; false. One per line: what follows it is not looked
 * at. */
__attribute__((format(printf, 2, 3))) static bool
line_fault(struct line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	l->report->error(l->report->arg, l->number, (unsigned)(l->at - l->start) + 1, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- words ---------------------------------------------------------------------------------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
skip_blanks(struct line *l)
{
	while (l->at < l->end && is_blank(*l->at))
		l->at++;
}

/* The next word; empty at the end of the line or before a comment. */
static struct sp_span
word_peek(struct line *l)
{
	const char *end;

	skip_blanks(l);
	if (l->at < l->end && *l->at == '#')
		return (struct sp_span){ l->at, 0 };
	for (end = l->at; end < l->end && !is_blank(*end); end++)
		;
	return (struct sp_span){ l->at, (size_t)(end - l->at) };
}

static bool
word_is(struct sp_span word, const char *text)
{
	return word.len == strlen(text) && memcmp(word.ptr, text, word.len) == 0;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
parse_name(struct line *l, struct rule *r)
{
	r->name = word_peek(l);
	if (r->name.len > RULES_NAME_MAX)
		return line_fault(l, "a rule's name has at most %d characters", RULES_NAME_MAX);
	for (size_t i = 0; i < r->name.len; i++)
		if (!is_letter(r->name.ptr[i]) && (i == 0 || !is_digit(r->name.ptr[i]))) {
			l->at += i;
			return line_fault(l,
				"a rule's name has letters, digits and '_' only, a letter first");
		}
	l->at += r->name.len;
	return true;
}

/* [-]DIGITS[.DIGITS], at most six of each. */
static bool
parse_score(struct line *l, struct rule *r)
{
	struct sp_span word = word_peek(l);
	size_t i = word.len > 0 && word.ptr[0] == '-', whole = i, part = 0;
	double value = 0, scale = 1;

	for (; i < word.len && is_digit(word.ptr[i]); i++)
		value = value * 10 + (word.ptr[i] - '0');
	whole = i - whole;
	if (whole > 0 && i < word.len && word.ptr[i] == '.')
		for (i++; i < word.len && is_digit(word.ptr[i]); i++, part++)
			value += (word.ptr[i] - '0') * (scale /= 10);
	if (whole == 0 || whole > 6 || part > 6 || i != word.len || word.ptr[i - 1] == '.')
		return line_fault(l, "expected a score such as 2.5 or -1");
	r->score = word.ptr[0] == '-' ? -value : value;
	l->at += word.len;
	return true;
}

/* RFC 5322 section 2.2: printable ASCII but the colon. */
static bool
parse_field(struct line *l, struct rule *r)
{
	struct sp_span word = word_peek(l);

	if (word.len == 0 || word.ptr[0] == '/')
		return line_fault(l, "expected the name of a header field, or '*' for all");
	for (size_t i = 0; i < word.len; i++)
		if (word.ptr[i] <= ' ' || word.ptr[i] > '~' || word.ptr[i] == ':')
			return line_fault(l,
				"a header field has no such name; it is written without its colon");
	l->at += word.len;
	r->field = word;
	if (word_is(word, "*"))
		r->field.len = 0;
	return true;
}

static bool
parse_where(struct line *l, struct rule *r)
{
	struct sp_span word = word_peek(l);

	if (word_is(word, "header")) {
		l->at += word.len;
		r->where = RULE_HEADER;
		return parse_field(l, r);
	}
	if (!word_is(word, "body"))
		return line_fault(l, "expected 'header' or 'body'");
	l->at += word.len;
	r->where = RULE_BODY;
	return true;
}

/* ---- the expression ------------------------------------------------------------------------- */

static bool
parse_flags(struct line *l, struct rule *r)
{
	for (; l->at < l->end && !is_blank(*l->at); l->at++)
		switch (*l->at) {
		case 'i':
			r->caseless = true;
			break;
		case 'm':
			r->multiline = true;
			break;
		case 's':
			r->dotall = true;
			break;
		case 'x':
			r->extended = true;
			break;
		default:
			return line_fault(l, "the flags of an expression are i, m, s and x");
		}
	skip_blanks(l);
	return l->at == l->end || *l->at == '#' ||
	       line_fault(l, "nothing may follow an expression but a comment");
}

/* Up to the next slash that has no backslash before it. */
static bool
parse_pattern(struct line *l, struct rule *r)
{
	const char *first;

	skip_blanks(l);
	if (l->at == l->end || *l->at != '/')
		return line_fault(l, "expected an expression between slashes");
	first = ++l->at;
	while (l->at < l->end && *l->at != '/')
		l->at += *l->at == '\\' && l->end - l->at > 1 ? 2 : 1;
	if (l->at == l->end) {
		l->at = first - 1;
		return line_fault(l, "this expression has no slash at its end");
	}
	r->pattern = (struct sp_span){ first, (size_t)(l->at - first) };
	r->line = l->number;
	r->column = (unsigned)(first - l->start) + 1;
	l->at++;
	return parse_flags(l, r);
}

/* ---- lines ---------------------------------------------------------------------------------- */

static bool
parse_line(struct line *l, struct rule *r)
{
	if (l->end - l->start > RULES_LINE_MAX)
		return line_fault(l, "a line has at most %d octets", RULES_LINE_MAX);
	return parse_name(l, r) && parse_score(l, r) && parse_where(l, r) && parse_pattern(l, r);
}

static struct rule *
list_add(struct rule_list *list)
{
	if (list->count == list->room) {
		size_t room = list->room > 0 ? list->room * 2 : 64;
		struct rule *items = realloc(list->items, room * sizeof(*items));

		if (items == NULL)
			return NULL;
		list->items = items;
		list->room = room;
	}
	memset(&list->items[list->count], 0, sizeof(list->items[0]));
	return &list->items[list->count++];
}

static int
rule_cmp(const void *a, const void *b)
{
	const struct rule *x = *(const struct rule *const *)a, *y = *(const struct rule *const *)b;
	size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
	int c = memcmp(x->name.ptr, y->name.ptr, len);

	if (c != 0)
		return c;
	if (x->name.len != y->name.len)
		return x->name.len < y->name.len ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

/* Names given twice, found among neighbours once sorted. */
static enum sp_status
check_names(const struct rule_list *list, const struct rules_report *report)
{
	const struct rule **sorted = calloc(list->count + 1, sizeof(struct rule *));
	enum sp_status st = SP_OK;

	if (sorted == NULL)
		return SP_SYSTEM;
	for (size_t i = 0; i < list->count; i++)
		sorted[i] = &list->items[i];
	qsort(sorted, list->count, sizeof(struct rule *), rule_cmp);
	for (size_t i = 1; i < list->count; i++)
		if (sorted[i - 1]->name.len == sorted[i]->name.len &&
			memcmp(sorted[i - 1]->name.ptr, sorted[i]->name.ptr, sorted[i]->name.len) ==
				0) {
			rules_report_error(report, sorted[i]->line, 1,
				"'%.*s' is already the name of the rule in line %u",
				(int)sorted[i]->name.len, sorted[i]->name.ptr, sorted[i - 1]->line);
			st = SP_INVALID;
		}
	free(sorted);
	return st;
}

/* Cuts one line off the front of text; a CR before its LF is not part of it. */
static struct line
line_take(struct sp_span *text, unsigned number, const struct rules_report *report)
{
	const char *lf = memchr(text->ptr, '\n', text->len);
	size_t len = lf != NULL ? (size_t)(lf - text->ptr) : text->len,
	       next = lf != NULL ? len + 1 : len;
	struct line l = { .start = text->ptr, .at = text->ptr, .number = number, .report = report };

	l.end = l.start + (len > 0 && l.start[len - 1] == '\r' ? len - 1 : len);
	text->ptr += next;
	text->len -= next;
	return l;
}

enum sp_status
rules_parse(struct sp_span text, struct rule_list *ret, const struct rules_report *report)
{
	enum sp_status st = SP_OK, names;

	*ret = (struct rule_list){ NULL, 0, 0 };
	for (unsigned number = 1; text.len > 0; number++) {
		struct line l = line_take(&text, number, report);
		struct rule *r;

		skip_blanks(&l);
		if (l.at == l.end || *l.at == '#')
			continue;
		if (ret->count == RULES_MAX) {
			line_fault(&l, "a file has at most %d rules", RULES_MAX);
			return SP_INVALID;
		}
		r = list_add(ret);
		if (r == NULL)
			return SP_SYSTEM;
		if (!parse_line(&l, r)) {
			st = SP_INVALID;
			ret->count--;
		}
	}
	names = check_names(ret, report);
	return st != SP_OK ? st : names;
}

void
rule_list_fini(struct rule_list *list)
{
	free(list->items);
	*list = (struct rule_list){ NULL, 0, 0 };
}
