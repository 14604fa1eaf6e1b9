/*
 * fuzz_smtp_header.c - the header: it ends at the same octet in one piece and in many, and no octet is lost.
 * Octet 0 chooses the limits, octet 1 the piece lengths.
 */
#include "proxy/smtp/header.h"

#include "policy/kit/must.h"
#include "policy/kit/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* seed 0: one piece. all: header and body in a row again. */
static void
run(struct header_block *h, struct buf *all, struct sp_span in, unsigned seed)
{
	struct buf body;
	struct sp_span rest;

	buf_init(&body, in.len);
	for (size_t at = 0, used; at < in.len && !h->complete;) {
		struct sp_span piece = span_from(in, at);

		if (seed != 0)
			piece = span_head(piece, 1 + (seed = seed * 1103515245u + 12345u) / 65536u % 7);
		if (header_feed(h, piece, &used)) {
			MUST(used <= piece.len);
			buf_add(&body, h->held);
			buf_add(&body, span_from(in, at + used));
		} else {
			MUST(used == piece.len);
		}
		at += used;
	}
	header_end(h, &rest);
	buf_add(&body, rest);
	buf_init(all, in.len);
	buf_cstr(&h->text);
	buf_add(all, buf_span(&h->text));
	buf_add(all, buf_span(&body));
	MUST(h->complete && buf_status(all) == SP_OK);
	buf_fini(&body);
}

/* Fields are the text, one behind the other. */
static void
check_fields(const struct header_block *h)
{
	const char *at = h->text.ptr;
	unsigned received = 0;
	struct arena *a = arena_new(4096, 1024 * 1024);

	MUST(a != NULL && h->count <= h->config.max_fields && h->text.len <= h->config.max_octets);
	for (size_t i = 0; i < h->count; i++) {
		const struct header_field *f = &h->fields[i];
		struct sp_span value = header_unfold(a, f->value);

		MUST(f->field.ptr == at && f->name.ptr == at);
		MUST(f->name.len > 0 || (h->faults & HEADER_BAD_NAME) != 0);
		MUST(f->value.len == 0 || f->value.ptr + f->value.len == at + f->field.len);
		MUST(span_find(value, '\n') == value.len);
		MUST(header_find(h, f->name, i) == f);
		received += span_ieq(f->name, SPAN_LIT("received"));
		at = f->field.ptr + f->field.len + 2;
		arena_reset(a);
	}
	MUST(received == h->received);
	arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct header_config config = { 0 };
	struct header_block whole, pieces;
	struct buf all, all_pieces;
	struct sp_span in;

	if (size < 2)
		return 0;
	config.max_octets = (data[0] & 1) != 0 ? 1u + (data[0] >> 2) : 0;
	config.max_fields = (data[0] & 2) != 0 ? 1u + (data[0] >> 5) : 0;
	in = span_of((const char *)data + 2, size - 2);
	header_init(&whole, &config);
	header_init(&pieces, &config);
	run(&whole, &all, in, 0);
	run(&pieces, &all_pieces, in, 1u + data[1]);
	MUST(span_eq(buf_span(&all), in) && span_eq(buf_span(&all_pieces), in));
	MUST(whole.text.len == pieces.text.len && whole.faults == pieces.faults);
	MUST(whole.count == pieces.count && whole.received == pieces.received);
	MUST(whole.had_empty_line == pieces.had_empty_line);
	check_fields(&whole);
	check_fields(&pieces);
	MUST(!header_may_write(in, SPAN_LIT("x")) || span_find(in, ':') == in.len);
	header_fini(&whole);
	header_fini(&pieces);
	buf_fini(&all);
	buf_fini(&all_pieces);
	return 0;
}
