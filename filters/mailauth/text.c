/*
 * text.c - spans and a bounded writer (see text.h).
 */
#include "mailauth/text.h"

#include <stdarg.h>
#include <stdio.h>

bool
text_is(struct sp_span a, struct sp_span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool
text_same(struct sp_span a, struct sp_span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (text_lower(a.ptr[i]) != text_lower(b.ptr[i]))
			return false;
	return true;
}

bool
text_ends(struct sp_span s, struct sp_span end)
{
	return s.len >= end.len && text_same(text_from(s, s.len - end.len), end);
}

size_t
text_find(struct sp_span s, char c)
{
	const char *at = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;

	return at != NULL ? (size_t)(at - s.ptr) : s.len;
}

struct sp_span
text_head(struct sp_span s, size_t len)
{
	return (struct sp_span){ s.ptr, len < s.len ? len : s.len };
}

struct sp_span
text_from(struct sp_span s, size_t start)
{
	if (s.ptr == NULL || start > s.len)
		start = s.len;
	return (struct sp_span){ s.ptr != NULL ? s.ptr + start : NULL, s.len - start };
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct sp_span
text_trim(struct sp_span s)
{
	while (s.len > 0 && is_space(s.ptr[0]))
		s = text_from(s, 1);
	while (s.len > 0 && is_space(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

bool
text_cut(struct sp_span *s, char c, struct sp_span *ret)
{
	size_t len = text_find(*s, c);

	if (s->ptr == NULL)
		return false;
	*ret = text_head(*s, len);
	*s = len < s->len ? text_from(*s, len + 1) : (struct sp_span){ NULL, 0 };
	return true;
}

enum sp_status
text_number(struct sp_span s, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(s.ptr[i] - '0');

		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return SP_INVALID;
		if (digit > max || n > (max - digit) / 10)
			return SP_LIMIT;
		n = n * 10 + digit;
	}
	if (s.len == 0)
		return SP_INVALID;
	*ret = n;
	return SP_OK;
}

void
writer_init(struct writer *w, char *memory, size_t max)
{
	*w = (struct writer){ .ptr = memory, .max = max };
}

void
writer_add(struct writer *w, struct sp_span s)
{
	if (w->full || s.len > w->max - w->len) {
		w->full = true;
		return;
	}
	if (s.len > 0)
		memcpy(w->ptr + w->len, s.ptr, s.len);
	w->len += s.len;
}

void
writer_char(struct writer *w, char c)
{
	writer_add(w, (struct sp_span){ &c, 1 });
}

void
writer_printf(struct writer *w, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof(text))
		w->full = true;
	else
		writer_add(w, (struct sp_span){ text, (size_t)len });
}
