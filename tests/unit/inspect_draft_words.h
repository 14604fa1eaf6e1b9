/*
 * Words of scripts about the header, and how it is written in a test: fields divided by "|", "~" for a fold.
 *   =A: 1|B: 2    the draft is this      i0 A: 1   insert before a field ("iT" on top, "iE" at the end)
 *   r0 A: 2       replace                d0        remove
 *   a A 2         header_add             n1 A 2    header_insert         c1 A 2   header_replace
 *   m1 A          header_remove
 */
#ifndef TESTS_UNIT_INSPECT_DRAFT_WORDS_H
#define TESTS_UNIT_INSPECT_DRAFT_WORDS_H

#include "tests/unit/inspect_scripts.h"

#define US "Received: by us|"
#define MESSAGE "From: a\r\nX: 1\r\nSubject: s\r\nx: 2\r\n\tfold\r\nX: 3\r\n\r\nbody\r\n.\r\n"
#define CAME "From: a|X: 1|Subject: s|x: 2~fold|X: 3"

enum { TEXT = 8192 };

/* "~" is a fold. */
static inline struct sp_span
folded(const char *from, size_t len, char *to)
{
	size_t used = 0;

	for (size_t n = 0; n < len; n++) {
		if (from[n] == '~')
			used += (size_t)snprintf(to + used, TEXT - used, "\r\n\t");
		else
			to[used++] = from[n];
	}
	to[used] = '\0';
	return span_of(to, used);
}

/* Fields divided by "|", and folds as "~", in text; the empty line ends them. */
static inline void
flatten(const char *wire, char *to)
{
	size_t used = 0;

	for (const char *at = wire; *at != '\0'; at++) {
		if (strncmp(at, "\r\n\t", 3) == 0) {
			to[used++] = '~';
			at += 2;
		} else if (strncmp(at, "\r\n\r\n", 4) == 0) {
			break;
		} else if (strncmp(at, "\r\n", 2) == 0) {
			to[used++] = '|';
			at++;
		} else {
			to[used++] = *at;
		}
	}
	to[used] = '\0';
}

static inline void
see(struct sp_ctx *ctx, char *to)
{
	char wire[TEXT];
	struct sp_header h;
	size_t used = 0, n = 0;

	wire[0] = '\0';
	for (; sp_draft_get(ctx, n, &h) == SP_OK; n++) {
		assert_int_equal(h.index, n);
		assert_true(h.name.ptr == h.field.ptr && h.field.ptr[h.name.len] == ':');
		assert_true(h.value.len == h.field.len - h.name.len - 1);
		used += (size_t)snprintf(wire + used, TEXT - used, "%s%.*s", n > 0 ? "\r\n" : "", (int)h.field.len, h.field.ptr);
	}
	assert_int_equal(sp_draft_get(ctx, n, &h), SP_NONE);
	assert_int_equal(sp_draft_get(ctx, SP_DRAFT_END, &h), SP_NONE);
	if (n > 0) { /* backwards, too */
		assert_int_equal(sp_draft_get(ctx, n - 1, &h), SP_OK);
		assert_int_equal(sp_draft_get(ctx, 0, &h), SP_OK);
	}
	flatten(wire, to);
}

static inline size_t
position(const char *at)
{
	return *at == 'T' ? SP_DRAFT_TOP : *at == 'E' ? SP_DRAFT_END : (size_t)(*at - '0');
}

static inline enum sp_status
old_call(struct sp_ctx *ctx, char what, int index, struct sp_span name, struct sp_span value)
{
	char text[64];

	snprintf(text, sizeof(text), "%.*s", (int)name.len, name.ptr);
	switch (what) {
	case 'a':
		return sp_header_add(ctx, text, value);
	case 'n':
		return sp_header_insert(ctx, (size_t)index, text, value);
	case 'c':
		return ctx->host->header_replace(ctx, text, index, value);
	default:
		return sp_header_remove(ctx, text, index);
	}
}

static inline enum sp_status
old_word(struct sp_ctx *ctx, struct sp_span word)
{
	bool numbered = word.ptr[0] != 'a';
	struct sp_span name = span_from(word, numbered ? 3 : 2);
	size_t blank = span_find(name, ' ');

	return old_call(ctx, word.ptr[0], numbered ? word.ptr[1] - '0' : 0, span_head(name, blank), span_from(name, blank + 1));
}

static inline enum sp_status
draft_word(struct sp_ctx *ctx, struct sp_span word)
{
	char text[TEXT], now[TEXT];
	struct sp_span field = word.len > 3 ? folded(word.ptr + 3, word.len - 3, text) : span_of("", 0);

	switch (word.ptr[0]) {
	case '=':
		see(ctx, now);
		snprintf(text, sizeof(text), "%.*s", (int)word.len - 1, word.ptr + 1);
		assert_string_equal(now, text);
		return SP_OK;
	case 'i':
		return sp_draft_insert(ctx, position(word.ptr + 1), field);
	case 'r':
		return sp_draft_replace(ctx, position(word.ptr + 1), field);
	case 'd':
		return sp_draft_remove(ctx, position(word.ptr + 1));
	default:
		return old_word(ctx, word);
	}
}

#endif
