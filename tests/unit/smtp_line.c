/*
 * smtp_line.c - only CRLF ends a command line; over-long lines are thrown away and counted.
 */
#include "proxy/smtp/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"

enum { MAX = 8 };

/* Reads all of in, shown step octets more at a time; writes what was said: "=text", "F", "R", "N", "L", "." */
static void
read_all(struct sp_span in, size_t step, char *said, size_t room)
{
	struct line_reader r = { 0 };
	size_t at = 0, shown = 0, n = 0;

	said[0] = '\0';
	while (shown < in.len) {
		size_t used = 1;

		shown = shown + step < in.len ? shown + step : in.len;
		while (used > 0) {
			size_t len = shown - at;
			char *copy = malloc(len + 1); /* of that size, so that reading beyond it is seen */
			struct sp_span text;
			enum line_result result;

			assert_non_null(copy);
			if (len > 0)
				memcpy(copy + 1, in.ptr + at, len);
			result = line_next(&r, span_of(copy + 1, len), MAX, &text, &used);
			assert_true(used <= len);
			assert_true(result == LINE_MORE || used > 0);
			at += used;
			if (result == LINE_OK && text.ptr == NULL)
				n += (size_t)snprintf(said + n, room - n, ".");
			else if (result == LINE_OK)
				n += (size_t)snprintf(said + n, room - n, "=%.*s", (int)text.len, text.ptr);
			else if (result != LINE_MORE)
				n += (size_t)snprintf(said + n, room - n, "%c", "  FRNL"[result]);
			assert_true(result == LINE_OK || text.len == 0);
			free(copy);
		}
	}
}

static void
check(struct sp_span in, const char *want)
{
	char said[256];

	for (size_t step = 1; step <= in.len; step++) {
		read_all(in, step, said, sizeof(said));
		assert_string_equal(said, want);
	}
}

static void
lines(void **state)
{
	(void)state;
	check(SPAN_LIT("NOOP\r\nQUIT\r\n"), "=NOOP=QUIT");
	check(SPAN_LIT("\r\n\r\n"), "==");
	check(SPAN_LIT("NOOP"), "");
	check(SPAN_LIT("NOOP\r"), "");
}

static void
bare_line_ends(void **state)
{
	(void)state;
	check(SPAN_LIT("NOOP\nQUIT\r\n"), "F=QUIT");
	check(SPAN_LIT("\nQUIT\r\n"), "F=QUIT");
	check(SPAN_LIT("NO\rOP\r\nQUIT\r\n"), "R=QUIT");
	check(SPAN_LIT("NOOP\r\r\nQUIT\r\n"), "R=QUIT");
	check(SPAN_LIT("\rA\nQUIT\r\n"), "R=QUIT");
	check(SPAN_LIT("NO\0OP\r\nQUIT\r\n"), "N=QUIT");
	check(SPAN_LIT("\0\n"), "N");
	check(SPAN_LIT("\r\0\n"), "R");
}

static void
limit(void **state)
{
	(void)state;
	check(SPAN_LIT("1234567\r\nQUIT\r\n"), "=1234567=QUIT");
	check(SPAN_LIT("12345678\r\nQUIT\r\n"), "=12345678=QUIT");
	check(SPAN_LIT("123456789\r\nQUIT\r\n"), "L.=QUIT");
	check(SPAN_LIT("12345678\nQUIT\r\n"), "F=QUIT");
	check(SPAN_LIT("123456789\nQUIT\r\nNOOP\r\n"), "L.=NOOP");
	check(SPAN_LIT("12345678\rQUIT\r\nNOOP\r\n"), "L.=NOOP");
	check(SPAN_LIT("123456789\r\r\r\n\r\n"), "L.=");
	check(SPAN_LIT("123456789123456789\r\n\r\n"), "L.=");
}

/* P08: the caller sees how much was thrown away, and nothing is kept. */
static void
P08_endless_line(void **state)
{
	struct line_reader r = { 0 };
	char block[1000];
	struct sp_span text;
	size_t used, total = 0;

	(void)state;
	memset(block, 'x', sizeof(block));
	assert_int_equal(line_next(&r, span_of(block, sizeof(block)), 999, &text, &used), LINE_LONG);
	assert_int_equal(used, sizeof(block));
	for (total = used; total < 100000; total += used) {
		assert_int_equal(r.skipped, total);
		assert_int_equal(line_next(&r, span_of(block, sizeof(block)), 999, &text, &used), LINE_MORE);
		assert_int_equal(used, sizeof(block));
	}
	assert_int_equal(line_next(&r, SPAN_LIT("\r\nQUIT\r\n"), 999, &text, &used), LINE_OK);
	assert_int_equal(used, 2);
	assert_null(text.ptr);
	assert_int_equal(r.skipped, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(bare_line_ends),
		cmocka_unit_test(limit),
		cmocka_unit_test(P08_endless_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
