/*
 * buf.h - a growing buffer, born with its maximum.
 *
 * Failure is sticky: after SP_LIMIT or SP_SYSTEM nothing more is added, and buf_status() says so,
 * so a run of buf_add() needs one check at its end.
 */
#ifndef POLICY_KIT_BUF_H
#define POLICY_KIT_BUF_H

#include <stdarg.h>

#include <sallyport/filter.h>

struct buf {
	char *ptr;
	size_t len, room, max;
	enum sp_status status;
};

void buf_init(struct buf *b, size_t max); /* allocates nothing yet */
void buf_fini(struct buf *b);             /* frees; accepts a zeroed struct */
void buf_clear(struct buf *b);            /* empties, keeps the memory, clears the status */

enum sp_status buf_add(struct buf *b, struct sp_span s);
enum sp_status buf_add_str(struct buf *b, const char *s);
enum sp_status buf_add_char(struct buf *b, char c);
__attribute__((format(printf, 2, 3))) enum sp_status buf_printf(struct buf *b, const char *fmt, ...);
__attribute__((format(printf, 2, 0))) enum sp_status buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* Drops n bytes from the front (n <= len). */
void buf_consume(struct buf *b, size_t n);
/* Room for n more bytes at the end, to be filled by the caller and then counted by buf_added(). */
char *buf_room(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

static inline struct sp_span
buf_span(const struct buf *b)
{
	return (struct sp_span){ b->ptr, b->len };
}

static inline enum sp_status
buf_status(const struct buf *b)
{
	return b->status;
}

/* NUL-ended view, valid until the next change; "" when empty. */
const char *buf_cstr(struct buf *b);

/* Text as the inside of a JSON string or a quoted logfmt value: control characters, quotes,
 * backslashes and bytes that are not UTF-8 are escaped. */
enum sp_status buf_add_quoted(struct buf *b, struct sp_span s);

#endif
