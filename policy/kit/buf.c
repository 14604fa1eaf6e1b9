/* buf.c - see buf.h */
#include "policy/kit/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void
buf_fini(struct buf *b)
{
	free(b->ptr);
	*b = (struct buf){ .max = b->max };
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	b->status = SP_OK;
}

/* Makes room for n more bytes and one NUL. */
static enum sp_status
reserve(struct buf *b, size_t n)
{
	size_t room = b->room == 0 ? 128 : b->room;
	char *ptr;

	if (b->status != SP_OK)
		return b->status;
	if (n > b->max || b->len > b->max - n)
		return b->status = SP_LIMIT;
	if (b->room > b->len + n)
		return SP_OK;
	while (room <= b->len + n)
		room *= 2;
	ptr = realloc(b->ptr, room);
	if (ptr == NULL)
		return b->status = SP_SYSTEM;
	b->ptr = ptr;
	b->room = room;
	return SP_OK;
}

char *
buf_room(struct buf *b, size_t n)
{
	return reserve(b, n) == SP_OK ? b->ptr + b->len : NULL;
}

void
buf_added(struct buf *b, size_t n)
{
	MUST(b->len + n < b->room);
	b->len += n;
}

enum sp_status
buf_add(struct buf *b, struct sp_span s)
{
	char *at = buf_room(b, s.len);

	if (at == NULL)
		return b->status;
	if (s.len > 0)
		memcpy(at, s.ptr, s.len);
	b->len += s.len;
	return SP_OK;
}

enum sp_status
buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, span_str(s));
}

enum sp_status
buf_add_char(struct buf *b, char c)
{
	return buf_add(b, span_of(&c, 1));
}

enum sp_status
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->ptr == NULL ? 0 : b->room - b->len;
	va_list again;
	int len;

	/* into the room that there is; only what does not fit is formatted a second time */
	va_copy(again, ap);
	len = vsnprintf(room > 0 ? b->ptr + b->len : NULL, room, fmt, again);
	va_end(again);
	if (len < 0)
		return b->status = SP_SYSTEM;
	if (buf_room(b, (size_t)len) == NULL)
		return b->status;
	if ((size_t)len >= room)
		vsnprintf(b->ptr + b->len, (size_t)len + 1, fmt, ap);
	b->len += (size_t)len;
	return SP_OK;
}

enum sp_status
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	enum sp_status st;

	va_start(ap, fmt);
	st = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return st;
}

void
buf_consume(struct buf *b, size_t n)
{
	MUST(n <= b->len);
	b->len -= n;
	if (b->len > 0)
		memmove(b->ptr, b->ptr + n, b->len);
}

const char *
buf_cstr(struct buf *b)
{
	if (b->ptr == NULL)
		return "";
	b->ptr[b->len] = '\0';
	return b->ptr;
}

/* Length of the UTF-8 sequence at p (RFC 3629 section 4), 0 when it is none. */
static size_t
utf8_len(const unsigned char *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

enum sp_status
buf_add_quoted(struct buf *b, struct sp_span s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;

	for (size_t i = 0; i < s.len;) {
		size_t len = utf8_len(p + i, s.len - i);

		if (p[i] == '"' || p[i] == '\\')
			buf_printf(b, "\\%c", p[i]);
		else if (len == 0 || p[i] < 0x20 || p[i] == 0x7f)
			buf_printf(b, "\\u%04x", p[i]);
		else
			buf_add(b, span_of(s.ptr + i, len));
		i += len == 0 ? 1 : len;
	}
	return b->status;
}
