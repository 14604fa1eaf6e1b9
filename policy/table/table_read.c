/*
 * table_read.c - a table from a file: one key, or one key and value, on a line.
 *
 * "#" begins a comment at the start of a line or after a blank, outside of double quotes.  Keys end
 * at the first blank; the value is what is left of the line.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/kit/span.h"
#include "policy/table/table_priv.h"

#define LINE_SIZE_MAX 4096
#define REPORTS_MAX 20

struct reading {
	struct table *t;
	const struct table_reader *r;
	unsigned line, reports;
};

static void
report(struct reading *rd, size_t offset, const char *sentence)
{
	rd->reports++;
	rd->r->report(rd->r->arg, rd->line, (unsigned)offset + 1, sentence);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct sp_span
without_comment(struct sp_span s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '"')
			quoted = !quoted;
		if (s.ptr[i] == '#' && !quoted && (i == 0 || is_blank(s.ptr[i - 1])))
			return span_head(s, i);
	}
	return s;
}

static size_t
find_control(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char)s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
			return i;
	return s.len;
}

static size_t
word_len(struct sp_span s)
{
	size_t len = 0;

	while (len < s.len && !is_blank(s.ptr[len]))
		len++;
	return len;
}

/* text: not empty where the table has values, empty where it has none. */
static bool
read_value(struct reading *rd, struct sp_span text, size_t offset, struct sp_value *ret)
{
	const char *err = "not a value of this table's type";

	if (rd->t->value == SP_END) {
		if (text.len > 0)
			report(rd, offset, "this table takes keys only, and here a value follows");
		return text.len == 0;
	}
	if (text.len == 0) {
		report(rd, offset, "the value is missing");
		return false;
	}
	if (rd->r->parse(rd->r->arg, text, ret, &err) == SP_OK && ret->type == rd->t->value)
		return true;
	report(rd, offset, err);
	return false;
}

static enum sp_status
read_line(struct reading *rd, struct sp_span line)
{
	size_t control = find_control(line);
	struct sp_span text = span_trim(without_comment(line)), key, rest;
	struct sp_value value = { SP_END, { 0 } };
	const char *err = NULL;
	enum sp_status st;
	bool dup;

	if (control < line.len) {
		report(rd, control, "a control character");
		return SP_OK;
	}
	if (text.len == 0)
		return SP_OK;
	key = span_head(text, word_len(text));
	rest = span_trim(span_from(text, key.len));
	if (!read_value(rd, rest, rest.len > 0 ? (size_t)(rest.ptr - line.ptr) : line.len, &value))
		return SP_OK;
	st = table_insert(rd->t, key, &value, &err, &dup);
	if (st == SP_SYSTEM)
		return st;
	if (st != SP_OK)
		report(rd, (size_t)(key.ptr - line.ptr), err);
	else if (dup)
		report(rd, (size_t)(key.ptr - line.ptr), "this key was given before, with another value");
	return SP_OK;
}

/* Without its line end; *ret_len is LINE_SIZE_MAX + 1 when it was longer. False at the end. */
static bool
next_line(FILE *from, char line[static LINE_SIZE_MAX + 1], size_t *ret_len)
{
	size_t len = 0;
	int c;

	while ((c = getc_unlocked(from)) != EOF && c != '\n')
		if (len <= LINE_SIZE_MAX)
			line[len++] = (char)c;
	if (c == EOF && len == 0)
		return false;
	if (len > 0 && len <= LINE_SIZE_MAX && line[len - 1] == '\r')
		len--;
	*ret_len = len;
	return true;
}

static enum sp_status
read_lines(struct reading *rd, FILE *from)
{
	char line[LINE_SIZE_MAX + 1];
	size_t len, skip;

	while (rd->reports < REPORTS_MAX && next_line(from, line, &len)) {
		rd->line++;
		/* the mark that some editors put at the front of UTF-8 */
		skip = rd->line == 1 && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
		if (len > LINE_SIZE_MAX)
			report(rd, LINE_SIZE_MAX, "a line has at most 4096 bytes");
		else if (read_line(rd, span_of(line + skip, len - skip)) != SP_OK)
			return SP_SYSTEM;
	}
	if (ferror(from))
		return SP_SYSTEM;
	return rd->reports > 0 ? SP_INVALID : SP_OK;
}

enum sp_status
table_read_file(struct table *t, const char *path, const struct table_reader *r)
{
	struct reading rd = { .t = t, .r = r };
	FILE *from = fopen(path, "re");
	enum sp_status st;
	int saved;

	if (from == NULL)
		return errno == ENOENT || errno == ENOTDIR ? SP_NONE : SP_SYSTEM;
	st = read_lines(&rd, from);
	saved = errno;
	fclose(from);
	errno = saved;
	return st;
}
