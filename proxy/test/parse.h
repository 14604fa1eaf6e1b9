/*
 * parse.h - reading a .sally file; for parse.c, steps.c and words.c.
 *
 * Every function that returns a bool has said what is wrong (in the scene's error) when it is false.
 */
#ifndef PROXY_TEST_PARSE_H
#define PROXY_TEST_PARSE_H

#include "proxy/test/scene.h"

struct reader {
	struct scene *scene;
	struct sp_span rest;
	unsigned line;
};

/* ---- words.c ---- */

/* Notes "file:line: ..." unless something was noted before; always false. */
__attribute__((format(printf, 3, 4))) bool reader_fail(struct reader *r, unsigned line, const char *fmt, ...);
void reader_advance(struct reader *r, size_t n);
/* Blanks and comments; over line ends only when lines is true. */
void reader_skip(struct reader *r, bool lines);
/* The next word on this line: bare, or a quoted string. Empty bare word: the line's end, '{' or '}'. */
bool reader_word(struct reader *r, struct sp_span *ret, bool *quoted);
/* The inside of { ... }, with nested braces. */
bool reader_braces(struct reader *r, struct sp_span *ret, unsigned *ret_line);
/* "180s", "100ms" are milliseconds; "10K", "5" plain. */
bool reader_number(struct reader *r, int64_t *ret);
int reader_hex_digit(char c); /* -1: none */

/* ---- parse_milter.c ---- */

/* A milter's name and block behind the word "milter". */
bool reader_milter(struct reader *r);

/* ---- steps.c ---- */

/* A client's block behind the word "client". */
bool reader_client(struct reader *r);

#endif
