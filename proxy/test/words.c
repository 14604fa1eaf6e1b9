/*
 * words.c - the words of a .sally file: bare ones, strings, numbers, blocks in braces.  Spans point into the text or the
 * scene's arena.
 */
#include <string.h>

#include "proxy/test/parse.h"

bool
reader_fail(struct reader *r, unsigned line, const char *fmt, ...)
{
	va_list ap;

	if (r->scene->error.len > 0)
		return false;
	buf_printf(&r->scene->error, "%s:%u: ", r->scene->path, line);
	va_start(ap, fmt);
	buf_vprintf(&r->scene->error, fmt, ap);
	va_end(ap);
	return false;
}

void
reader_advance(struct reader *r, size_t n)
{
	for (size_t i = 0; i < n && i < r->rest.len; i++)
		r->line += r->rest.ptr[i] == '\n';
	r->rest = span_from(r->rest, n);
}

/* Blanks and comments; over line ends only when lines is true. */
void
reader_skip(struct reader *r, bool lines)
{
	while (r->rest.len > 0) {
		char c = r->rest.ptr[0];

		if (c == '#')
			reader_advance(r, span_find(r->rest, '\n'));
		else if (c == ' ' || c == '\t' || c == '\r' || (c == '\n' && lines))
			reader_advance(r, 1);
		else
			return;
	}
}

int
reader_hex_digit(char c)
{
	if (span_is_digit(c))
		return c - '0';
	c = span_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* C escapes: \r \n \t \0 \\ \" \xHH. */
static bool
unescape(struct reader *r, struct sp_span in, struct sp_span *ret)
{
	char *out = arena_alloc(r->scene->arena, in.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		static const char from[] = "rnt0\\\"", to[] = "\r\n\t\0\\\"";
		const char *at;

		if (in.ptr[i] != '\\' || i + 1 == in.len) {
			out[n++] = in.ptr[i];
			continue;
		}
		i++;
		at = strchr(from, in.ptr[i]);
		if (at != NULL) {
			out[n++] = to[at - from];
		} else if (in.ptr[i] == 'x' && i + 2 < in.len && reader_hex_digit(in.ptr[i + 1]) >= 0 && reader_hex_digit(in.ptr[i + 2]) >= 0) {
			out[n++] = (char)(reader_hex_digit(in.ptr[i + 1]) * 16 + reader_hex_digit(in.ptr[i + 2]));
			i += 2;
		} else {
			return reader_fail(r, r->line, "unknown escape \\%c", in.ptr[i]);
		}
	}
	*ret = span_of(out, n);
	return true;
}

static bool
quoted_word(struct reader *r, struct sp_span *ret)
{
	size_t end = 1;

	while (end < r->rest.len && r->rest.ptr[end] != '"' && r->rest.ptr[end] != '\n')
		end += r->rest.ptr[end] == '\\' ? 2 : 1;
	if (end >= r->rest.len || r->rest.ptr[end] != '"')
		return reader_fail(r, r->line, "a string that does not end");
	if (!unescape(r, span_of(r->rest.ptr + 1, end - 1), ret))
		return false;
	reader_advance(r, end + 1);
	return true;
}

/* The next word on this line: bare, or a quoted string. Empty bare word: the line's end, '{' or '}'. */
bool
reader_word(struct reader *r, struct sp_span *ret, bool *quoted)
{
	size_t len = 0;

	reader_skip(r, false);
	*quoted = r->rest.len > 0 && r->rest.ptr[0] == '"';
	if (*quoted)
		return quoted_word(r, ret);
	while (len < r->rest.len && strchr(" \t\r\n{}\"", r->rest.ptr[len]) == NULL)
		len++;
	*ret = span_head(r->rest, len);
	reader_advance(r, len);
	return true;
}

/* The inside of { ... }, with nested braces; strings, comments and /regexes/ of policies may hold braces in pairs only. */
bool
reader_braces(struct reader *r, struct sp_span *ret, unsigned *ret_line)
{
	size_t depth = 0, i;
	bool string = false;

	reader_skip(r, true);
	*ret_line = r->line;
	if (r->rest.len == 0 || r->rest.ptr[0] != '{')
		return reader_fail(r, r->line, "'{' is expected");
	for (i = 0; i < r->rest.len; i++) {
		char c = r->rest.ptr[i];

		if (c == '"' && (i == 0 || r->rest.ptr[i - 1] != '\\'))
			string = !string;
		else if (c == '\n')
			string = false;
		else if (!string && c == '#')
			i += span_find(span_from(r->rest, i), '\n') - 1;
		else if (!string && c == '{')
			depth++;
		else if (!string && c == '}' && --depth == 0)
			break;
	}
	if (i >= r->rest.len)
		return reader_fail(r, *ret_line, "'{' without its '}'");
	*ret = span_of(r->rest.ptr + 1, i - 1);
	reader_advance(r, i + 1);
	return true;
}

/* "180s", "5m", "100ms", "100": ms for times, plain for counts. */
static bool
number(struct reader *r, struct sp_span text, int64_t *ret)
{
	static const struct {
		const char *suffix;
		int64_t factor;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "K", 1024 }, { "M", 1 << 20 } };
	uint64_t n;
	int64_t factor = 1;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct sp_span suffix = span_str(units[i].suffix);

		if (text.len > suffix.len && span_eq(span_from(text, text.len - suffix.len), suffix)) {
			factor = units[i].factor;
			text.len -= suffix.len;
			break;
		}
	}
	if (span_to_u64(text, 1u << 30, &n) != SP_OK)
		return reader_fail(r, r->line, "a number is expected, not '%.*s'", (int)text.len, text.ptr);
	*ret = (int64_t)n * factor;
	return true;
}

bool
reader_number(struct reader *r, int64_t *ret)
{
	struct sp_span text;
	bool quoted;

	if (!reader_word(r, &text, &quoted))
		return false;
	if (text.len > 2 && span_eq(span_from(text, text.len - 2), SPAN_LIT("+n"))) {
		text.len -= 2; /* left for the caller to see */
		r->rest = span_of(r->rest.ptr - 2, r->rest.len + 2);
	}
	return number(r, text, ret);
}
