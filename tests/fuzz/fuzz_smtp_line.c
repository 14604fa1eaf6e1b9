/*
 * fuzz_smtp_line.c - command lines: the same lines and faults in one piece and in many.
 * Octet 0 chooses the limit, octet 1 the piece lengths.
 */
#include "proxy/smtp/line.h"

#include "policy/kit/buf.h"
#include "policy/kit/must.h"
#include "policy/kit/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
note(struct buf *said, enum line_result result, struct sp_span text)
{
	MUST(result == LINE_OK || text.len == 0);
	if (result == LINE_MORE)
		return;
	buf_add_char(said, (char)('0' + result));
	MUST(span_find(text, '\n') == text.len && span_find(text, '\r') == text.len && span_find(text, '\0') == text.len);
	buf_add(said, text);
	buf_add_char(said, text.ptr == NULL ? '-' : '\n');
}

/* seed 0: all at once. Else more of it is shown each time, as a stream does. */
static void
run(struct buf *said, struct sp_span in, size_t max, unsigned seed)
{
	struct line_reader r = { 0 };
	size_t at = 0, shown = seed == 0 ? in.len : 0;

	buf_init(said, 16 * in.len + 16);
	for (;;) {
		enum line_result result;
		struct sp_span text;
		size_t used;

		do {
			result = line_next(&r, span_of(in.ptr + at, shown - at), max, &text, &used);
			MUST(used <= shown - at && (result == LINE_MORE || used > 0));
			MUST(text.len <= max);
			note(said, result, text);
			at += used;
		} while (used > 0);
		MUST(shown - at <= max + 1);
		if (shown == in.len)
			break;
		shown += 1 + (seed = seed * 1103515245u + 12345u) / 65536u % 9;
		shown = shown < in.len ? shown : in.len;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;
	struct sp_span in;

	if (size < 2)
		return 0;
	in = span_of((const char *)data + 2, size - 2);
	run(&whole, in, 1u + data[0] % 32u, 0);
	run(&pieces, in, 1u + data[0] % 32u, 1u + data[1]);
	MUST(buf_status(&whole) == SP_OK && span_eq(buf_span(&whole), buf_span(&pieces)));
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
