/*
 * smtp_header.c - where the header ends, and what its fields are, whatever the pieces (H01, H08, H10, S19).
 */
#include "proxy/smtp/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"

static struct header_block block;
static struct buf body, in;
static struct header_config config;

static int
set_up(void **state)
{
	(void)state;
	config = (struct header_config){ 0 };
	buf_init(&body, 4 * 1024 * 1024);
	buf_init(&in, 4 * 1024 * 1024);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	header_fini(&block);
	buf_fini(&body);
	buf_fini(&in);
	return 0;
}

/* Feeds a whole message: the first piece has `first` octets, the others step; body gets what is not header. */
static void
read_message(struct sp_span message, size_t first, size_t step)
{
	struct sp_span rest;
	size_t n = first;

	header_fini(&block);
	header_init(&block, &config);
	buf_clear(&body);
	for (size_t at = 0; at < message.len; at += n, n = step) {
		struct sp_span piece = span_head(span_from(message, at), n);
		bool complete = block.complete;
		size_t used;
		char *copy = malloc(piece.len + 1); /* of that size, so that reading beyond it is seen */

		assert_non_null(copy);
		if (piece.len > 0)
			memcpy(copy + 1, piece.ptr, piece.len);
		if (header_feed(&block, span_of(copy + 1, piece.len), &used)) {
			if (!complete)
				buf_add(&body, block.held);
			buf_add(&body, span_from(span_of(copy + 1, piece.len), used));
		} else {
			assert_int_equal(used, piece.len);
		}
		free(copy);
	}
	header_end(&block, &rest);
	buf_add(&body, rest);
	assert_true(block.complete);
	buf_cstr(&block.text); /* writes behind the text, which must not be the body's */
}

/* The message, split at every point and in all small steps: header octets, fields "name=value|", faults. */
static void
check(struct sp_span message, size_t header_len, const char *fields, unsigned faults)
{
	for (size_t i = 0; i <= 2 * message.len; i++) {
		char said[1024] = "";
		size_t n = 0;

		if (i <= message.len)
			read_message(message, i, message.len);
		else
			read_message(message, i - message.len, i - message.len);
		assert_int_equal(block.text.len, header_len);
		if (header_len > 0)
			assert_memory_equal(block.text.ptr, message.ptr, header_len);
		assert_true(span_eq(buf_span(&body), span_from(message, header_len)));
		assert_int_equal(block.faults, faults);
		for (size_t k = 0; k < block.count; k++)
			n += (size_t)snprintf(said + n, sizeof(said) - n, "%.*s=%.*s|", (int)block.fields[k].name.len,
				block.fields[k].name.ptr, (int)block.fields[k].value.len, block.fields[k].value.ptr);
		assert_string_equal(said, fields);
	}
}

#define CHECK(message, header, fields, faults) \
	check(SPAN_LIT(message), sizeof(header) - 1, (fields), (faults))

static void
header_and_body(void **state)
{
	(void)state;
	CHECK("From: a\r\nTo: b\r\n\r\nbody\r\n", "From: a\r\nTo: b\r\n\r\n", "From= a|To= b|", 0);
	assert_true(block.had_empty_line);
	CHECK("A:b\r\nC:\r\n\r\n\r\n", "A:b\r\nC:\r\n\r\n", "A=b|C=|", 0);
}

static void
header_only(void **state)
{
	(void)state;
	CHECK("From: a\r\nTo: b\r\n", "From: a\r\nTo: b\r\n", "From= a|To= b|", 0);
	assert_false(block.had_empty_line);
	CHECK("From: a\r\nTo: b", "From: a\r\nTo: b", "From= a|To= b|", 0);
	CHECK("From: a\r\n\r\n", "From: a\r\n\r\n", "From= a|", 0);
}

static void
H01_several_from(void **state)
{
	(void)state;
	CHECK("From: a\r\nFROM: b\r\n\r\n", "From: a\r\nFROM: b\r\n\r\n", "From= a|FROM= b|", HEADER_SEVERAL_FROM);
	CHECK("from:\r\nTo: c\r\nFrom: b\r\nFrom: d", "from:\r\nTo: c\r\nFrom: b\r\nFrom: d", "from=|To= c|From= b|From= d|",
		HEADER_SEVERAL_FROM);
	CHECK("From: a\r\nResent-From: b\r\nX-From: c\r\nFroms: d\r\n\r\nFrom: e\r\n",
		"From: a\r\nResent-From: b\r\nX-From: c\r\nFroms: d\r\n\r\n", "From= a|Resent-From= b|X-From= c|Froms= d|", 0);
}

static void
no_header(void **state)
{
	(void)state;
	CHECK("", "", "", 0);
	CHECK("\r\nbody\r\n", "\r\n", "", 0);
	assert_true(block.had_empty_line);
	CHECK("\r\n", "\r\n", "", 0);
	CHECK("hello world: x\r\nA: b\r\n", "", "", 0);
	CHECK("hello\r\nA: b\r\n", "", "", 0);
	CHECK("hello\r\n\r\nx\r\n", "", "", 0);
	CHECK("hello\r\n", "", "", 0);
	CHECK("hello", "", "", 0);
	assert_false(block.had_empty_line);
}

static void
S19_first_lines(void **state)
{
	(void)state;
	CHECK(" \r\nA: b\r\n", "", "", 0);
	CHECK("\tx\r\nA: b\r\n", "", "", 0);
	CHECK("From a@b Mon Jan  1 00:00:00 2024\r\nA: b\r\n\r\n", "", "", 0);
	CHECK(">From a@b Mon Jan  1 00:00:00 2024\r\nA: b\r\n\r\n", "", "", 0);
	CHECK(">>>>From x\r\nA: b\r\n", "", "", 0);
}

static void
S19_endless_first_line(void **state)
{
	(void)state;
	config.max_octets = 1000;
	buf_add_str(&in, "From ");
	for (int i = 0; i < 5000; i++)
		buf_add_char(&in, 'x');
	buf_add_str(&in, "\r\n");
	for (size_t step = 1; step <= in.len; step += step < 10 ? 1 : 499) {
		read_message(buf_span(&in), step, step);
		assert_int_equal(block.faults, 0);
		assert_int_equal(block.text.len, 0);
		assert_true(span_eq(buf_span(&body), buf_span(&in)));
	}
}

static void
line_that_is_no_field(void **state)
{
	(void)state;
	CHECK("A: b\r\nno field here\r\nC: d\r\n\r\n", "A: b\r\n", "A= b|", 0);
	CHECK("A: b\r\nword\r\nC: d\r\n", "A: b\r\n", "A= b|", 0);
	CHECK("A: b\r\nword\r\n folded\r\n", "A: b\r\n", "A= b|", 0);
	CHECK("A: b\r\nN\xc3\xa4me: d\r\n", "A: b\r\n", "A= b|", 0);
	CHECK("A: b\r\nX\001: d\r\n", "A: b\r\n", "A= b|", 0);
}

static void
folded_values(void **state)
{
	(void)state;
	CHECK("A: b\r\n c\r\n\td\r\nE: f\r\n\r\n", "A: b\r\n c\r\n\td\r\nE: f\r\n\r\n", "A= b\r\n c\r\n\td|E= f|", 0);
	CHECK("A:\r\n b\r\n \r\nC: d\r\n\r\nx", "A:\r\n b\r\n \r\nC: d\r\n\r\n", "A=\r\n b\r\n |C= d|", 0);
	CHECK("A: b\r\n c\r\n", "A: b\r\n c\r\n", "A= b\r\n c|", 0);
	CHECK("A: b\r\n c", "A: b\r\n c", "A= b\r\n c|", 0);
}

/* Only CRLF is a line end here too, should another octet ever come. */
static void
bare_line_ends_end_nothing(void **state)
{
	(void)state;
	CHECK("A: b\nC: d\r\nE: f\rG: h\r\n\r\n", "A: b\nC: d\r\nE: f\rG: h\r\n\r\n", "A= b\nC: d|E= f\rG: h|", 0);
	CHECK("A: b\r\n\n\r\nx", "A: b\r\n", "A= b|", 0);
}

static void
H01_blank_before_the_colon(void **state)
{
	(void)state;
	CHECK("From : a\r\n\r\n", "From : a\r\n\r\n", "From= a|", HEADER_BAD_NAME);
	CHECK("A: b\r\nFrom \t: a\r\n\r\n", "A: b\r\nFrom \t: a\r\n\r\n", "A= b|From= a|", HEADER_BAD_NAME);
	CHECK("From\r\n : a\r\n\r\n", "", "", HEADER_BAD_NAME);
	CHECK("A: b\r\nFrom \r\n\t: a\r\n\r\n", "A: b\r\n", "A= b|", HEADER_BAD_NAME);
	CHECK("A: b\r\nFrom\r\n : a", "A: b\r\n", "A= b|", HEADER_BAD_NAME);
	CHECK(" From: a\r\nA: b\r\n\r\n", "", "", HEADER_BAD_NAME);
	CHECK(" From: a", "", "", HEADER_BAD_NAME);
}

static void
H08_too_many_fields(void **state)
{
	(void)state;
	for (size_t count = 9999; count <= 10001; count++) {
		buf_clear(&in);
		for (size_t i = 0; i < count; i++)
			buf_add_str(&in, "X: y\r\n");
		buf_add_str(&in, "\r\nbody\r\n");
		for (size_t step = 1; step <= in.len; step += in.len - 1) {
			read_message(buf_span(&in), step, step);
			assert_int_equal(block.count, count < 10000 ? count : 10000);
			assert_int_equal(block.faults, count <= 10000 ? 0 : HEADER_TOO_MANY);
			assert_int_equal(body.len, count <= 10000 ? 6 : 6 + 6 + 2);
			assert_int_equal(block.fields[9998].field.len, 4);
		}
	}
}

/* A header of that many octets, its empty line included. */
static void
header_of(size_t octets)
{
	buf_clear(&in);
	buf_add_str(&in, "A: b\r\nX: ");
	while (in.len < octets - 4)
		buf_add_char(&in, 'y');
	buf_add_str(&in, "\r\n\r\nbody\r\n");
}

static void
H08_too_many_octets(void **state)
{
	(void)state;
	for (size_t octets = 256 * 1024 - 1; octets <= 256 * 1024 + 3; octets++) {
		for (size_t step = 1000; step <= 300000; step += 149500) {
			header_of(octets);
			read_message(buf_span(&in), step, step);
			if (octets <= 256 * 1024) {
				assert_int_equal(block.faults, 0);
				assert_int_equal(block.text.len, octets);
				assert_int_equal(block.count, 2);
				assert_int_equal(body.len, 6);
			} else {
				assert_int_equal(block.faults, HEADER_TOO_BIG);
				assert_true(block.count == (octets - 256 * 1024 == 3 ? 1 : 2));
				assert_int_equal(block.text.len + body.len, in.len);
			}
		}
	}
	header_of(2 * 1024 * 1024);
	read_message(buf_span(&in), 7, 65536);
	assert_int_equal(block.faults, HEADER_TOO_BIG);
	assert_true(block.text.room <= 512 * 1024);
}

static void
H08_received(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++)
		buf_add_str(&in, i % 2 == 0 ? "Received: x\r\n" : "RECEIVED: x\r\n folded\r\nReceived-SPF: x\r\n");
	read_message(buf_span(&in), 1, 1);
	assert_int_equal(block.received, 200);
	assert_int_equal(block.count, 300);
}

static void
H10_odd_names(void **state)
{
	char name[2100];

	(void)state;
	CHECK("__proto__: x\r\n\r\n", "__proto__: x\r\n\r\n", "__proto__= x|", 0);
	CHECK(": x\r\n\r\n", ": x\r\n\r\n", "= x|", HEADER_BAD_NAME);
	CHECK("A: b\r\n: x\r\nC: d\r\n\r\n", "A: b\r\n: x\r\nC: d\r\n\r\n", "A= b|= x|C= d|", HEADER_BAD_NAME);
	CHECK("A: b\r\nno colon in line\r\n\r\n", "A: b\r\n", "A= b|", 0);
	memset(name, 'n', 2000);
	memcpy(name + 2000, ": x\r\n\r\n", 7);
	read_message(span_of(name, 2007), 1, 1);
	assert_int_equal(block.count, 1);
	assert_int_equal(block.fields[0].name.len, 2000);
}

static void
found(void **state)
{
	const struct header_field *f;

	(void)state;
	read_message(SPAN_LIT("Subject: a\r\nTo: b\r\nSUBJECT: c\r\n\r\n"), 5, 5);
	f = header_find(&block, SPAN_LIT("subject"), 0);
	assert_ptr_equal(f, &block.fields[0]);
	assert_true(span_eq(f->field, SPAN_LIT("Subject: a")));
	f = header_find(&block, SPAN_LIT("subject"), 1);
	assert_ptr_equal(f, &block.fields[2]);
	assert_null(header_find(&block, SPAN_LIT("subject"), 3));
	assert_null(header_find(&block, SPAN_LIT("Subj"), 0));
	assert_null(header_find(&block, SPAN_LIT(""), 0));
}

static void
unfolded(void **state)
{
	struct arena *a = arena_new(1024, 4096), *full = arena_new(16, 16);

	(void)state;
	assert_true(span_eq(header_unfold(a, SPAN_LIT(" a\r\n\tb\r\n  c \r\n ")), SPAN_LIT("a\tb  c")));
	assert_int_equal(header_unfold(a, SPAN_LIT("")).len, 0);
	assert_null(header_unfold(full, SPAN_LIT("0123456789012345678901234567890123456789")).ptr);
	arena_free(&a);
	arena_free(&full);
}

static void
H09_may_write(void **state)
{
	char value[1100];

	(void)state;
	assert_true(header_may_write(SPAN_LIT("X-A"), SPAN_LIT("b")));
	assert_true(header_may_write(SPAN_LIT("X-A"), SPAN_LIT("")));
	assert_true(header_may_write(SPAN_LIT("X-A"), SPAN_LIT("b\r\n c\r\n\td")));
	assert_false(header_may_write(SPAN_LIT(""), SPAN_LIT("b")));
	assert_false(header_may_write(SPAN_LIT("X A"), SPAN_LIT("b")));
	assert_false(header_may_write(SPAN_LIT("X:"), SPAN_LIT("b")));
	assert_false(header_may_write(SPAN_LIT("X\r\nY"), SPAN_LIT("b")));
	assert_false(header_may_write(SPAN_LIT("X\xc3\xa4"), SPAN_LIT("b")));
	assert_false(header_may_write(SPAN_LIT("X"), SPAN_LIT("b\r\nY: c")));
	assert_false(header_may_write(SPAN_LIT("X"), SPAN_LIT("b\r\n")));
	assert_false(header_may_write(SPAN_LIT("X"), SPAN_LIT("b\r\n\r\n c")));
	assert_false(header_may_write(SPAN_LIT("X"), SPAN_LIT("b\r\n \r\n c")));
	assert_false(header_may_write(SPAN_LIT("X"), SPAN_LIT("b\n c")));
	assert_false(header_may_write(SPAN_LIT("X"), SPAN_LIT("b\r c")));
	assert_false(header_may_write(SPAN_LIT("X"), SPAN_LIT("b\r")));
	assert_false(header_may_write(SPAN_LIT("X"), SPAN_LIT("b\0c")));
	memset(value, 'v', sizeof(value));
	assert_true(header_may_write(SPAN_LIT("X"), span_of(value, 995)));
	assert_false(header_may_write(SPAN_LIT("X"), span_of(value, 996)));
	memcpy(value, "\r\n ", 3);
	assert_true(header_may_write(SPAN_LIT("X"), span_of(value, 2 + 998)));
	assert_false(header_may_write(SPAN_LIT("X"), span_of(value, 2 + 999)));
}

#define UNIT(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(header_and_body),
		UNIT(header_only),
		UNIT(H01_several_from),
		UNIT(no_header),
		UNIT(S19_first_lines),
		UNIT(S19_endless_first_line),
		UNIT(line_that_is_no_field),
		UNIT(folded_values),
		UNIT(bare_line_ends_end_nothing),
		UNIT(H01_blank_before_the_colon),
		UNIT(H08_too_many_fields),
		UNIT(H08_too_many_octets),
		UNIT(H08_received),
		UNIT(H10_odd_names),
		UNIT(found),
		UNIT(unfolded),
		UNIT(H09_may_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
