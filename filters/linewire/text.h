/*
 * text.h - spans as the line protocols need them: compared, cut, and copied without what would break a line.
 */
#ifndef FILTERS_LINEWIRE_TEXT_H
#define FILTERS_LINEWIRE_TEXT_H

#include <string.h>

#include <sallyport/filter.h>

static inline struct sp_span
text_of(const char *s)
{
	return (struct sp_span){ s, strlen(s) };
}

static inline struct sp_span
text_head(struct sp_span s, size_t n)
{
	return (struct sp_span){ s.ptr, n < s.len ? n : s.len };
}

static inline struct sp_span
text_from(struct sp_span s, size_t n)
{
	return n < s.len ? (struct sp_span){ s.ptr + n, s.len - n } : (struct sp_span){ NULL, 0 };
}

static inline char
text_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool
text_is(struct sp_span s, const char *word)
{
	return strlen(word) == s.len && (s.len == 0 || memcmp(s.ptr, word, s.len) == 0);
}

/* Without regard to case. */
static inline bool
text_like(struct sp_span s, const char *word)
{
	size_t i = 0;

	while (i < s.len && word[i] != '\0' && text_lower(s.ptr[i]) == text_lower(word[i]))
		i++;
	return i == s.len && word[i] == '\0';
}

/* Where c is first; the length if nowhere. */
static inline size_t
text_find(struct sp_span s, char c)
{
	const char *at = s.len == 0 ? NULL : memchr(s.ptr, c, s.len);

	return at == NULL ? s.len : (size_t)(at - s.ptr);
}

static inline struct sp_span
text_trim(struct sp_span s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = text_from(s, 1);
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Cuts *rest at the next c, which is dropped; what stands before it is returned. */
static inline struct sp_span
text_cut(struct sp_span *rest, char c)
{
	size_t at = text_find(*rest, c);
	struct sp_span head = text_head(*rest, at);

	*rest = text_from(*rest, at + 1);
	return head;
}

#endif
