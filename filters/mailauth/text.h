/*
 * text.h - spans and a bounded writer, for the modules that authenticate mail.  Nothing here allocates.
 */
#ifndef MAILAUTH_TEXT_H
#define MAILAUTH_TEXT_H

#include <string.h>

#include <sallyport/filter.h>

#define TEXT(s) ((struct sp_span){ "" s, sizeof(s) - 1 })

static inline struct sp_span
text_of(const char *s)
{
	return (struct sp_span){ s, s != NULL ? strlen(s) : 0 };
}

static inline char
text_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool text_is(struct sp_span a, struct sp_span b);   /* octet by octet */
bool text_same(struct sp_span a, struct sp_span b); /* ASCII case folded */
bool text_ends(struct sp_span s, struct sp_span end); /* ASCII case folded */
size_t text_find(struct sp_span s, char c);  /* offset of the first c, or s.len */
struct sp_span text_head(struct sp_span s, size_t len);
struct sp_span text_from(struct sp_span s, size_t start);
struct sp_span text_trim(struct sp_span s); /* without blank, tab, CR and LF at both ends */
/* Takes the piece before the next c off s, and c; false when s is exhausted (after the last piece). A span of
 * length 0 with a pointer still is one empty piece: "a:" has two. */
bool text_cut(struct sp_span *s, char c, struct sp_span *ret);
/* Decimal digits only. SP_INVALID: none or other octets; SP_LIMIT: more than max. */
enum sp_status text_number(struct sp_span s, uint64_t max, uint64_t *ret);

/* Writes into memory of the caller's; what does not fit sets full and writes nothing more. */
struct writer {
	char *ptr;
	size_t len, max;
	bool full;
};
void writer_init(struct writer *w, char *memory, size_t max);
void writer_add(struct writer *w, struct sp_span s);
void writer_char(struct writer *w, char c);
/* At most 511 octets a call; more sets full. */
__attribute__((format(printf, 2, 3))) void writer_printf(struct writer *w, const char *fmt, ...);
static inline struct sp_span
writer_text(const struct writer *w)
{
	return (struct sp_span){ w->ptr, w->len };
}

#endif
