/*
 * smtp_bdat.c - chunks: the command word by word, the counter, and content against a reference, whatever the chunks and pieces.
 */
#include "proxy/smtp/bdat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"

enum { ROOM = 4096, ROUNDS = 200000 };

struct text {
	size_t len;
	char bytes[ROOM];
};

struct outcome {
	struct text wire, content;
	unsigned faults, noted;
	int64_t octets;
	bool ended;
};
static struct outcome got, want;

static void
text_add(struct text *t, struct sp_span s)
{
	assert_true(t->len + s.len <= ROOM);
	if (s.len > 0)
		memcpy(t->bytes + t->len, s.ptr, s.len);
	t->len += s.len;
}

static enum sp_status
on_wire(void *arg, struct sp_span s)
{
	assert_true(s.len > 0);
	text_add(&((struct outcome *)arg)->wire, s);
	return SP_OK;
}

static enum sp_status
on_content(void *arg, struct sp_span s)
{
	assert_true(s.len > 0);
	text_add(&((struct outcome *)arg)->content, s);
	return SP_OK;
}

static const struct data_sink sink = { on_wire, on_content, &got };

/* ---- the command ---------------------------------------------------------------------------- */

static void
parses(const char *line, int64_t size, bool last)
{
	struct bdat_command c;

	assert_int_equal(bdat_parse(span_str(line), &c), SP_OK);
	assert_true(c.size == size && c.last == last);
}

static void
command_taken(void **state)
{
	(void)state;
	parses("BDAT 0", 0, false);
	parses("bdat 5 last", 5, true);
	parses("BDAT 0 LAST", 0, true);
	parses("BDAT 007", 7, false);
	parses("BDAT 9223372036854775807 LAST", INT64_MAX, true);
}

static void
command_refused(void **state)
{
	static const char *const bad[] = { "", "BDAT", "BDAT ", "BDAT LAST", "BDAT  5", "BDAT 5 ", "BDAT 5  LAST", "BDAT 5 LAST ",
		"BDAT 5 LAST x", "BDAT 5 LASTx", "BDAT 5 LAS", "BDAT -1", "BDAT +5", "BDAT 0x10", "BDAT 5.0", "BDAT 1e3", "BDAT\t5",
		"BDAT 5\tLAST", "BDAT 9223372036854775808", "BDAT 18446744073709551616", "BDAT 18446744073709551621 LAST",
		"BDAT 99999999999999999999999999999999", "BDATX 5", "BDAT5", " BDAT 5", "BDAT 5\r", "BDAT \xd9\xa5" };
	struct bdat_command c;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(bdat_parse(span_str(bad[i]), &c), SP_INVALID);
	assert_int_equal(bdat_parse(SPAN_LIT("BDAT 5\0"), &c), SP_INVALID);
}

/* ---- the counter ---------------------------------------------------------------------------- */

static bool
begin(struct bdat *b, int64_t size, bool last, int64_t max)
{
	return bdat_begin(b, &(struct bdat_command){ size, last }, max);
}

static void
limit_is_of_the_message(void **state)
{
	struct data_parser p;
	struct bdat b = { 0 };
	size_t used;

	(void)state;
	data_init(&p, &(struct data_config){ .counted = true });
	memset(&got, 0, sizeof(got));
	assert_false(begin(&b, 11, false, 10));
	assert_true(begin(&b, 6, false, 10));
	assert_true(bdat_feed(&b, &p, SPAN_LIT("abcdefQUIT\r\n"), &sink, &used));
	assert_int_equal(used, 6);
	assert_false(begin(&b, 5, false, 10));
	assert_false(begin(&b, INT64_MAX, false, 10));
	assert_false(begin(&b, INT64_MAX, true, 0));
	assert_true(begin(&b, 4, true, 10));
	assert_false(bdat_feed(&b, &p, SPAN_LIT("gh"), &sink, &used));
	assert_true(bdat_feed(&b, &p, SPAN_LIT("\r\n.\r\n"), &sink, &used));
	assert_int_equal(used, 2);
	assert_true(b.whole && b.ended);
	assert_int_equal(b.chunks, 2);
	assert_int_equal(p.octets, 10);
}

static void
empty_last_chunk(void **state)
{
	struct data_parser p;
	struct bdat b = { 0 };
	size_t used;

	(void)state;
	data_init(&p, &(struct data_config){ .counted = true });
	assert_true(begin(&b, 0, true, 10));
	assert_true(bdat_feed(&b, &p, span_of(NULL, 0), &sink, &used));
	assert_true(b.whole && b.ended);
}

/* ---- the content, against a reference that has all of it in hand ----------------------------- */

static void
model_out(struct text *to, char c)
{
	if (want.faults == 0)
		to->bytes[to->len++] = c;
}

static void
model(struct sp_span in, const struct data_config *config)
{
	bool bol = true, binary = false;

	memset(&want, 0, sizeof(want));
	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		bool crlf = span_starts(span_from(in, i), SPAN_LIT("\r\n"));
		unsigned bad = crlf || binary ? 0 : c == '\r' ? DATA_BARE_CR : c == '\n' ? DATA_BARE_LF : c == '\0' ? DATA_NUL : 0;

		want.faults |= config->space ? 0 : bad;
		want.noted |= config->space ? bad : 0;
		if (bol && c == '.')
			model_out(&want.wire, '.');
		c = bad ? ' ' : c;
		model_out(&want.wire, c);
		model_out(&want.content, c);
		if (crlf) {
			model_out(&want.wire, in.ptr[++i]);
			model_out(&want.content, '\n');
			binary |= config->binary && bol;
		}
		bol = crlf;
	}
	want.octets = (int64_t)in.len;
	want.ended = bol;
}

static unsigned seed = 1;

static size_t
below(size_t n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

/* A copy of exactly that size, so that reading beyond it is seen. */
static bool
feed_copy(struct bdat *b, struct data_parser *p, struct sp_span in, size_t *used)
{
	char *copy = malloc(in.len + 1);
	bool whole;

	assert_non_null(copy);
	if (in.len > 0)
		memcpy(copy + 1, in.ptr, in.len);
	whole = bdat_feed(b, p, span_of(copy + 1, in.len), &sink, used);
	free(copy);
	return whole;
}

static void
run(struct sp_span in, const struct data_config *config)
{
	struct data_parser p;
	struct bdat b = { 0 };

	memset(&got, 0, sizeof(got));
	data_init(&p, config);
	while (!b.whole) {
		size_t size = below(8) == 0 ? 0 : below(in.len + 1), used;

		assert_true(begin(&b, (int64_t)size, size == in.len && below(2) == 0, 0));
		for (bool whole = feed_copy(&b, &p, span_of(NULL, 0), &used); !whole; in = span_from(in, used)) {
			size_t had = b.left > 0 ? (size_t)b.left : 0;

			whole = feed_copy(&b, &p, span_head(in, 1 + below(in.len)), &used);
			assert_true(used <= had);
		}
	}
	got.faults = p.faults;
	got.noted = p.noted;
	got.octets = p.octets;
	got.ended = b.ended;
}

static void
same(const struct text *a, const struct text *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->bytes, b->bytes, a->len);
}

/* The wire form gives back the content, in whatever pieces it is read. */
static void
gives_back(const struct text *wire, const struct text *content)
{
	struct data_unstuff u = { .bol = true };
	struct sp_span in = span_of(wire->bytes, wire->len);
	struct text back = { 0 };

	while (in.len > 0) {
		size_t used, len = 1 + below(in.len);
		char *copy = malloc(len);

		assert_non_null(copy);
		memcpy(copy, in.ptr, len);
		text_add(&back, data_unstuff(&u, span_of(copy, len), &used));
		free(copy);
		assert_true(used > 0 && used <= len);
		in = span_from(in, used);
	}
	same(&back, content);
}

static void
random_chunkings(void **state)
{
	static const char letters[] = "\r\n.\0x\r\n.\r\n";
	char in[40];

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct data_config config = { .counted = true, .space = below(3) == 0, .binary = below(2) == 0 };
		size_t len = below(sizeof(in));

		for (size_t i = 0; i < len; i++)
			in[i] = letters[below(sizeof(letters) - 1)];
		if (config.binary && len >= 2 && below(3) > 0)
			memcpy(in, "\r\n", 2); /* an empty header */
		model(span_of(in, len), &config);
		run(span_of(in, len), &config);
		assert_int_equal(got.faults, want.faults);
		assert_int_equal(got.noted, want.noted);
		assert_int_equal(got.octets, want.octets);
		assert_int_equal(got.ended, want.ended);
		same(&got.content, &want.content);
		same(&got.wire, &want.wire);
		gives_back(&got.wire, &got.content);
	}
}

/* Behind the wire form our own CRLF.CRLF is the only end there is. */
static void
no_end_within(void **state)
{
	static const char in[] = "\r\n.\r\n..\r\n.\r\n\r\n.";
	struct data_config config = { .counted = true, .binary = true };

	(void)state;
	for (int round = 0; round < 1000; round++) {
		struct data_parser p;
		struct outcome keep;
		struct sp_span wire;
		size_t used;

		run(span_of(in, sizeof(in) - 1), &config);
		keep = got;
		text_add(&keep.wire, SPAN_LIT("\r\n.\r\nQUIT\r\n"));
		wire = span_of(keep.wire.bytes, keep.wire.len);
		data_init(&p, &(struct data_config){ 0 });
		assert_true(data_feed(&p, wire, &(struct data_sink){ 0 }, &used));
		assert_int_equal(used, wire.len - 6);
		assert_int_equal(p.octets, sizeof(in) - 1 + 2);
	}
}

static void
lines_have_a_limit_but_in_binary(void **state)
{
	struct data_config config = { .counted = true, .max_line = 3 };

	(void)state;
	run(SPAN_LIT("abc\r\n.bc\r\n"), &config);
	assert_int_equal(got.faults, 0);
	run(SPAN_LIT("abc\r\n.bcd\r\n"), &config);
	assert_int_equal(got.faults, DATA_LONG_LINE);
	config.binary = true;
	run(SPAN_LIT("abcd\r\n\r\n"), &config);
	assert_int_equal(got.faults, DATA_LONG_LINE);
	run(SPAN_LIT("abc\r\n\r\nlong line\n\n\r\n"), &config);
	assert_int_equal(got.faults, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_taken),
		cmocka_unit_test(command_refused),
		cmocka_unit_test(limit_is_of_the_message),
		cmocka_unit_test(empty_last_chunk),
		cmocka_unit_test(random_chunkings),
		cmocka_unit_test(no_end_within),
		cmocka_unit_test(lines_have_a_limit_but_in_binary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
