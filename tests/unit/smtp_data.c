/*
 * smtp_data.c - the end of data and nothing else ends data (S01-S22), whatever the pieces in which the octets come.
 */
#include "proxy/smtp/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"

enum { ROOM = 2 * 1024 * 1024 };

/* What came out of a parser, or should have. */
struct outcome {
	bool ended;
	unsigned faults, noted;
	int64_t octets;
	size_t used, wire_len, content_len, wire_calls, content_calls;
	char *wire, *content;
};

static struct outcome got, want;
static char input[ROOM];

static int
set_up(void **state)
{
	(void)state;
	got.wire = malloc(ROOM);
	got.content = malloc(ROOM);
	want.wire = malloc(ROOM);
	want.content = malloc(ROOM);
	return got.wire == NULL || got.content == NULL || want.wire == NULL || want.content == NULL;
}

static int
tear_down(void **state)
{
	(void)state;
	free(got.wire);
	free(got.content);
	free(want.wire);
	free(want.content);
	return 0;
}

static void
outcome_clear(struct outcome *o)
{
	*o = (struct outcome){ .wire = o->wire, .content = o->content };
}

static enum sp_status
on_wire(void *arg, struct sp_span s)
{
	struct outcome *o = arg;

	assert_true(s.len > 0);
	memcpy(o->wire + o->wire_len, s.ptr, s.len);
	o->wire_len += s.len;
	o->wire_calls++;
	return SP_OK;
}

static enum sp_status
on_content(void *arg, struct sp_span s)
{
	struct outcome *o = arg;

	assert_true(s.len > 0);
	memcpy(o->content + o->content_len, s.ptr, s.len);
	o->content_len += s.len;
	o->content_calls++;
	return SP_OK;
}

/* ---- the reference: one octet after the other, all of the input in hand --------------------- */

static void
model_out(struct outcome *o, char c, bool wire, bool content)
{
	o->octets += content;
	if (o->faults != 0)
		return;
	if (wire)
		o->wire[o->wire_len++] = c;
	if (content)
		o->content[o->content_len++] = c;
}

static void
model(struct sp_span in, bool space)
{
	bool bol = true;

	outcome_clear(&want);
	for (size_t i = 0; i < in.len && !want.ended; i++) {
		char c = in.ptr[i];
		bool crlf = span_starts(span_from(in, i), SPAN_LIT("\r\n"));
		unsigned bad = crlf ? 0 : c == '\r' ? DATA_BARE_CR : c == '\n' ? DATA_BARE_LF : c == '\0' ? DATA_NUL : 0;

		want.ended = bol && span_starts(span_from(in, i), SPAN_LIT(".\r\n"));
		want.used = i + (want.ended ? 3 : 1);
		if (want.ended)
			break;
		want.faults |= space ? 0 : bad;
		want.noted |= space ? bad : 0;
		model_out(&want, bad && space ? ' ' : c, true, !(bol && c == '.'));
		if (crlf)
			model_out(&want, in.ptr[++i], true, true);
		bol = crlf;
	}
}

/* ---- running the parser ---------------------------------------------------------------------- */

static struct data_parser parser;
static const struct data_sink sink = { on_wire, on_content, &got };

static void
begin(const struct data_config *config)
{
	outcome_clear(&got);
	data_init(&parser, config);
}

/* Feeds a copy of exactly that size, so that reading beyond it is seen. */
static void
feed(struct sp_span in)
{
	char *copy = malloc(in.len + 1);
	size_t used = 0;

	assert_non_null(copy);
	if (in.len > 0)
		memcpy(copy + 1, in.ptr, in.len);
	got.ended = data_feed(&parser, span_of(copy + 1, in.len), &sink, &used);
	assert_true(got.ended ? used <= in.len : used == in.len);
	got.used += used;
	got.faults = parser.faults;
	got.noted = parser.noted;
	got.octets = parser.octets;
	free(copy);
}

/* first octets, then pieces of step each. */
static void
feed_pieces(struct sp_span in, size_t first, size_t step)
{
	feed(span_head(in, first));
	for (size_t at = first < in.len ? first : in.len; at < in.len && !got.ended; at += step)
		feed(span_head(span_from(in, at), step));
}

static void
assert_same(void)
{
	assert_int_equal(got.ended, want.ended);
	assert_int_equal(got.used, want.used);
	assert_int_equal(got.faults, want.faults);
	assert_int_equal(got.noted, want.noted);
	assert_int_equal(got.octets, want.octets);
	assert_int_equal(got.wire_len, want.wire_len);
	assert_int_equal(got.content_len, want.content_len);
	assert_memory_equal(got.wire, want.wire, want.wire_len);
	assert_memory_equal(got.content, want.content, want.content_len);
}

/* In one piece, octet by octet, split at every point. */
static void
check_splits(struct sp_span in, bool space)
{
	struct data_config config = { .space = space };

	model(in, space);
	begin(&config);
	feed(in);
	assert_same();
	begin(&config);
	feed_pieces(in, 1, 1);
	assert_same();
	for (size_t at = 0; at <= in.len; at++) {
		begin(&config);
		feed_pieces(in, at, in.len);
		assert_same();
	}
}

/* Behind so much text that the octets lie around each edge of usual buffers; the first piece ends at the edge. */
static void
check_edges(struct sp_span in, bool space)
{
	static const size_t edges[] = { 512, 1024, 4096, 8192, 16384, 65536 };
	struct data_config config = { .space = space };

	for (size_t e = 0; e < sizeof(edges) / sizeof(edges[0]); e++) {
		size_t least = edges[e] > in.len ? edges[e] - in.len - 1 : 0;

		memset(input, 'x', ROOM);
		for (size_t start = least; start <= edges[e] + 1; start++) {
			struct sp_span all = span_of(input, start + in.len);

			memset(input, 'x', start);
			memcpy(input + start, in.ptr, in.len);
			model(all, space);
			begin(&config);
			feed_pieces(all, edges[e], edges[e]);
			assert_same();
		}
	}
}

/* The octets lie in a body; the true end of data follows. */
static struct sp_span
framed(char *to, struct sp_span in)
{
	static const char before[] = "Subject: x\r\n\r\nbody", after[] = "tail\r\n.\r\nQUIT\r\n";
	size_t len = sizeof(before) - 1;

	memcpy(to, before, len);
	memcpy(to + len, in.ptr, in.len);
	memcpy(to + len + in.len, after, sizeof(after) - 1);
	return span_of(to, len + in.len + sizeof(after) - 1);
}

static void
check_all(struct sp_span in)
{
	static char frame[ROOM];
	struct sp_span whole = framed(frame, in);

	check_splits(whole, false);
	check_splits(whole, true);
	check_edges(whole, false);
	check_edges(whole, true);
}

/* No end, and the fault: the end is the one that follows in the frame. As spaces, none of the octets is left. */
static void
check_fault(struct sp_span in, unsigned fault)
{
	char frame[256];
	struct sp_span whole = framed(frame, in);
	struct data_config config = { .space = true };

	check_all(in);
	begin(&(struct data_config){ 0 });
	feed(whole);
	assert_true(got.ended && got.used == whole.len - 6);
	assert_int_equal(got.faults, fault);
	begin(&config);
	feed(whole);
	assert_true(got.ended && got.used == whole.len - 6);
	assert_int_equal(got.noted, fault);
	assert_int_equal(got.faults, 0);
	assert_null(memchr(got.wire, '\0', got.wire_len));
	for (size_t i = 0; i < got.wire_len; i++)
		assert_true(got.wire[i] == '\r' ? got.wire[i + 1] == '\n' : got.wire[i] != '\n' || got.wire[i - 1] == '\r');
	for (size_t i = 2; i + 2 < got.wire_len; i++)
		assert_memory_not_equal(got.wire + i - 2, "\r\n.\r\n", 5);
}

/* The whole data, its one end last: what is on the wire, and in the content. */
static void
check_message(struct sp_span in, struct sp_span wire, struct sp_span content)
{
	check_splits(in, false);
	check_splits(in, true);
	assert_true(got.ended && got.used == in.len && got.faults == 0 && got.noted == 0);
	assert_int_equal(got.wire_len, wire.len);
	assert_memory_equal(got.wire, wire.ptr, wire.len);
	assert_int_equal(got.content_len, content.len);
	assert_memory_equal(got.content, content.ptr, content.len);
	assert_int_equal(got.octets, content.len);
}

#define CASE(name, bytes, fault)                      \
	static void name(void **state)                \
	{                                             \
		(void)state;                          \
		check_fault(SPAN_LIT(bytes), (fault)); \
	}

CASE(S02_lf_dot_lf, "\n.\n", DATA_BARE_LF)
CASE(S03_lf_dot_crlf, "\n.\r\n", DATA_BARE_LF)
CASE(S04_crlf_dot_lf, "\r\n.\n", DATA_BARE_LF)
CASE(S05_cr_dot_cr, "\r.\r", DATA_BARE_CR)
CASE(S06_cr_dot_crlf, "\r.\r\n", DATA_BARE_CR)
CASE(S07_cr_dot_lf, "\r.\n", DATA_BARE_CR | DATA_BARE_LF)
CASE(S08_lf_dot_cr, "\n.\r", DATA_BARE_LF | DATA_BARE_CR)
CASE(S09_crlf_dot_cr, "\r\n.\r", DATA_BARE_CR)
CASE(S10_crlf_nul_dot_crlf, "\r\n\0.\r\n", DATA_NUL)
CASE(S11_crlf_dot_nul_crlf, "\r\n.\0\r\n", DATA_NUL)
CASE(S12_cr_crlf_dot_cr_crlf, "\r\r\n.\r\r\n", DATA_BARE_CR)
CASE(S13_crlf_dot_cr_crlf, "\r\n.\r\r\n", DATA_BARE_CR)

static void
S01_crlf_dot_crlf(void **state)
{
	(void)state;
	check_message(SPAN_LIT("a\r\n.\r\n"), SPAN_LIT("a\r\n"), SPAN_LIT("a\r\n"));
	check_all(SPAN_LIT("\r\n.\r\n"));
}

static void
S14_stuffed_dot_alone(void **state)
{
	(void)state;
	check_message(SPAN_LIT("a\r\n..\r\nb\r\n.\r\n"), SPAN_LIT("a\r\n..\r\nb\r\n"), SPAN_LIT("a\r\n.\r\nb\r\n"));
	check_message(SPAN_LIT(".x\r\n...\r\n.\r\n"), SPAN_LIT(".x\r\n...\r\n"), SPAN_LIT("x\r\n..\r\n"));
	check_all(SPAN_LIT("\r\n..\r\n"));
}

static void
S15_end_in_segments(void **state)
{
	const char *first[] = { "a\r\n", ".", "\r", "\n" }, *second[] = { "a\r", "\n.\r\n" };

	(void)state;
	begin(&(struct data_config){ 0 });
	for (size_t i = 0; i < 4; i++)
		feed(span_str(first[i]));
	assert_true(got.ended && got.faults == 0 && got.wire_len == 3 && got.content_len == 3);
	begin(&(struct data_config){ 0 });
	for (size_t i = 0; i < 2; i++)
		feed(span_str(second[i]));
	assert_true(got.ended && got.faults == 0 && got.wire_len == 3 && got.content_len == 3);
}

static void
S16_dot_and_blank(void **state)
{
	(void)state;
	check_message(SPAN_LIT("a\r\n. \r\n.\t\r\n.\r\n"), SPAN_LIT("a\r\n. \r\n.\t\r\n"), SPAN_LIT("a\r\n \r\n\t\r\n"));
	check_all(SPAN_LIT("\r\n. \r\n.\t\r\n"));
}

static void
S17_end_at_once(void **state)
{
	(void)state;
	check_message(SPAN_LIT(".\r\n"), SPAN_LIT(""), SPAN_LIT(""));
}

/* A dot just behind a long piece without CRLF is text, wherever the pieces end. */
static void
S18_dot_behind_a_long_line(void **state)
{
	static const size_t lens[] = { 998, 999, 1000, 2048, 2049, 4096, 65536 };

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct sp_span all = span_of(input, lens[i] + 3 + 9);

		memset(input, 'x', lens[i]);
		memcpy(input + lens[i], ".\r\n", 3);
		memcpy(input + lens[i] + 3, "tail\r\n.\r\n", 10);
		model(all, false);
		assert_int_equal(want.used, all.len);
		for (size_t first = lens[i] - 2; first <= lens[i] + 3; first++) {
			begin(&(struct data_config){ 0 });
			feed_pieces(all, first, 1);
			assert_same();
			assert_int_equal(got.wire_len, all.len - 3);
			assert_int_equal(got.content_len, all.len - 3);
		}
	}
}

static void
S19_first_line(void **state)
{
	(void)state;
	check_message(SPAN_LIT(" \r\n.\r\n"), SPAN_LIT(" \r\n"), SPAN_LIT(" \r\n"));
	check_message(SPAN_LIT("\t\r\n.\r\n"), SPAN_LIT("\t\r\n"), SPAN_LIT("\t\r\n"));
	check_message(SPAN_LIT(">>>>From x\r\n.\r\n"), SPAN_LIT(">>>>From x\r\n"), SPAN_LIT(">>>>From x\r\n"));
	memset(input, 'x', 1024 * 1024);
	memcpy(input, "From ", 5);
	memcpy(input + 1024 * 1024, "\r\n.\r\n", 5);
	begin(&(struct data_config){ .max_line = 1024 * 1024 });
	feed(span_of(input, 1024 * 1024 + 5));
	assert_true(got.ended && got.faults == 0 && got.octets == 1024 * 1024 + 2);
}

static void
S20_commands_behind_the_end(void **state)
{
	struct sp_span in = SPAN_LIT("a\r\n.\r\nMAIL FROM:<e@x>\r\nRCPT TO:<v@y>\r\nDATA\r\n");
	size_t used;

	(void)state;
	check_splits(in, false);
	begin(&(struct data_config){ 0 });
	feed(in);
	assert_true(got.ended && got.used == 6 && got.wire_len == 3);
	assert_true(data_feed(&parser, in, &sink, &used));
	assert_int_equal(used, 0);
}

static void
S21_other_line_ends(void **state)
{
	struct sp_span in = SPAN_LIT("\x85.\x85" "\xe2\x80\xa8.\xe2\x80\xa8" "\x0b.\x0b\x0c.\x0c\x1a.\x1a\x04.\x04\r\n.\r\n");
	struct sp_span out = span_head(in, in.len - 3);

	(void)state;
	check_message(in, out, out);
	check_all(out);
}

/* ---- S22: random strings against the reference ----------------------------------------------- */

static uint64_t seed;

static unsigned
random_below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static void
S22_random_strings(void **state)
{
	static const char octets[5] = { '\r', '\n', '.', '\0', 'x' };
	char in[32];

	(void)state;
	seed = 0x9e3779b97f4a7c15u;
	for (unsigned round = 0; round < 1000000; round++) {
		struct data_config config = { .space = random_below(2) != 0 };
		size_t len = random_below(13), first;

		for (size_t i = 0; i < len; i++)
			in[i] = octets[random_below(5)];
		memcpy(in + len, "x\r\n.\r\n", 6);
		first = random_below((unsigned)len + 6);
		model(span_of(in, len + 6), config.space);
		begin(&config);
		feed_pieces(span_of(in, len + 6), first, 1 + random_below(5));
		assert_same();
	}
}

/* ---- limits, sinks, spans -------------------------------------------------------------------- */

static void
check_limit(const struct data_config *config, struct sp_span in, unsigned fault, size_t content_len)
{
	for (size_t step = 1; step <= in.len; step++) {
		begin(config);
		feed_pieces(in, step, step);
		assert_true(got.ended && got.used == in.len);
		assert_int_equal(got.faults, fault);
		assert_int_equal(got.content_len, content_len);
	}
}

static void
octets_limit(void **state)
{
	struct sp_span in = SPAN_LIT("abc\r\n..de\r\n.\r\n"); /* 10 octets of content */

	(void)state;
	check_limit(&(struct data_config){ .max_octets = 11 }, in, 0, 10);
	check_limit(&(struct data_config){ .max_octets = 10 }, in, 0, 10);
	check_limit(&(struct data_config){ .max_octets = 9 }, in, DATA_TOO_BIG, 8); /* a CRLF is not cut */
	check_limit(&(struct data_config){ .max_octets = 6 }, in, DATA_TOO_BIG, 6);
	check_limit(&(struct data_config){ .max_octets = 1 }, in, DATA_TOO_BIG, 1);
}

static void
line_limit(void **state)
{
	struct sp_span in = SPAN_LIT("ab\r\n.cdef\r\ngh\r\n.\r\n"); /* the longest has 4 octets, its dot left out */

	(void)state;
	check_limit(&(struct data_config){ .max_line = 5 }, in, 0, 14);
	check_limit(&(struct data_config){ .max_line = 4 }, in, 0, 14);
	check_limit(&(struct data_config){ .max_line = 3 }, in, DATA_LONG_LINE, 7);
	check_limit(&(struct data_config){ .max_line = 3, .max_octets = 8 }, in, DATA_LONG_LINE | DATA_TOO_BIG, 7);
}

static void
limits_count_spaces(void **state)
{
	struct sp_span in = SPAN_LIT("a\rb\n\0\r\n.\r\n");

	(void)state;
	check_limit(&(struct data_config){ .space = true, .max_line = 5, .max_octets = 7 }, in, 0, 7);
	check_limit(&(struct data_config){ .space = true, .max_line = 4 }, in, DATA_LONG_LINE, 4);
	check_limit(&(struct data_config){ .space = true, .max_octets = 4 }, in, DATA_TOO_BIG, 4);
}

static void
faults_after_the_first_are_noted_too(void **state)
{
	(void)state;
	check_limit(&(struct data_config){ .max_octets = 2 }, SPAN_LIT("abcd\r\ne\nf\0\r\n.\r\n"),
		DATA_TOO_BIG | DATA_BARE_LF | DATA_NUL, 2);
}

static enum sp_status
refuse(void *arg, struct sp_span s)
{
	(void)s;
	++*(int *)arg;
	return SP_SYSTEM;
}

static void
sink_refuses(void **state)
{
	struct sp_span in = SPAN_LIT("a\r\n..b\r\nc\r\n.\r\n");
	int calls = 0;
	struct data_sink bad = { refuse, refuse, &calls };
	size_t used, again;

	(void)state;
	data_init(&parser, &(struct data_config){ 0 });
	assert_false(data_feed(&parser, span_head(in, 6), &bad, &used));
	assert_true(data_feed(&parser, span_from(in, used), &bad, &again));
	assert_int_equal(used + again, in.len);
	assert_int_equal(calls, 1);
	assert_int_equal(parser.sink_status, SP_SYSTEM);
	assert_int_equal(parser.faults, 0);
}

/* A message without dots at line starts goes out in one piece each way. */
static void
spans_are_maximal(void **state)
{
	size_t len = 0;

	(void)state;
	while (len < 1024 * 1024) {
		memcpy(input + len, "the quick brown fox jumps over the lazy dog\r\n", 45);
		len += 45;
	}
	memcpy(input + len, ".\r\n", 3);
	begin(&(struct data_config){ .max_line = 1000, .max_octets = ROOM });
	feed(span_of(input, len + 3));
	assert_true(got.ended && got.faults == 0);
	assert_int_equal(got.wire_calls, 1);
	assert_int_equal(got.content_calls, 1);
	assert_int_equal(got.content_len, len);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(S01_crlf_dot_crlf),
		cmocka_unit_test(S02_lf_dot_lf),
		cmocka_unit_test(S03_lf_dot_crlf),
		cmocka_unit_test(S04_crlf_dot_lf),
		cmocka_unit_test(S05_cr_dot_cr),
		cmocka_unit_test(S06_cr_dot_crlf),
		cmocka_unit_test(S07_cr_dot_lf),
		cmocka_unit_test(S08_lf_dot_cr),
		cmocka_unit_test(S09_crlf_dot_cr),
		cmocka_unit_test(S10_crlf_nul_dot_crlf),
		cmocka_unit_test(S11_crlf_dot_nul_crlf),
		cmocka_unit_test(S12_cr_crlf_dot_cr_crlf),
		cmocka_unit_test(S13_crlf_dot_cr_crlf),
		cmocka_unit_test(S14_stuffed_dot_alone),
		cmocka_unit_test(S15_end_in_segments),
		cmocka_unit_test(S16_dot_and_blank),
		cmocka_unit_test(S17_end_at_once),
		cmocka_unit_test(S18_dot_behind_a_long_line),
		cmocka_unit_test(S19_first_line),
		cmocka_unit_test(S20_commands_behind_the_end),
		cmocka_unit_test(S21_other_line_ends),
		cmocka_unit_test(S22_random_strings),
		cmocka_unit_test(octets_limit),
		cmocka_unit_test(line_limit),
		cmocka_unit_test(limits_count_spaces),
		cmocka_unit_test(faults_after_the_first_are_noted_too),
		cmocka_unit_test(sink_refuses),
		cmocka_unit_test(spans_are_maximal),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
