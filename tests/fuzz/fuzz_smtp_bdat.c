/*
 * fuzz_smtp_bdat.c - a client's octets as BDAT commands and chunks: the same in one piece and in many, no octet of a chunk is
 * read as a command, and the wire form is safe and gives back the content.  Octets 0 and 1 choose configuration and pieces.
 */
#include "proxy/smtp/bdat.h"

#include <stdlib.h>
#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	char *wire, *content, *raw;
	size_t wire_len, content_len, raw_len;
	struct data_parser parser;
	struct bdat bdat;
};

static enum sp_status
on_wire(void *arg, struct sp_span s)
{
	struct result *r = arg;

	memcpy(r->wire + r->wire_len, s.ptr, s.len);
	r->wire_len += s.len;
	return SP_OK;
}

static enum sp_status
on_content(void *arg, struct sp_span s)
{
	struct result *r = arg;

	memcpy(r->content + r->content_len, s.ptr, s.len);
	r->content_len += s.len;
	return SP_OK;
}

static void
result_init(struct result *r, const struct data_config *config, size_t room)
{
	*r = (struct result){ .wire = malloc(2 * room + 1), .content = malloc(room + 1), .raw = malloc(room + 1) };
	MUST(r->wire != NULL && r->content != NULL && r->raw != NULL);
	data_init(&r->parser, config);
}

static void
result_fini(struct result *r)
{
	free(r->wire);
	free(r->content);
	free(r->raw);
}

/* Takes a chunk from the front of in; false: not all of it is there. seed 0: one piece. */
static bool
take_chunk(struct result *r, struct sp_span *in, unsigned *seed)
{
	struct data_sink sink = { on_wire, on_content, r };
	size_t used;
	bool whole = bdat_feed(&r->bdat, &r->parser, span_of(NULL, 0), &sink, &used);

	while (!whole && in->len > 0) {
		struct sp_span piece = *in;
		int64_t left = r->bdat.left;

		if (*seed != 0)
			piece = span_head(piece, 1 + (*seed = *seed * 1103515245u + 12345u) / 65536u % 7);
		whole = bdat_feed(&r->bdat, &r->parser, piece, &sink, &used);
		MUST((int64_t)used <= left && (whole ? r->bdat.left == 0 : used == piece.len));
		memcpy(r->raw + r->raw_len, in->ptr, used);
		r->raw_len += used;
		*in = span_from(*in, used);
	}
	return whole;
}

static void
run(struct result *r, struct sp_span in, unsigned seed)
{
	while (!r->bdat.last) {
		size_t end = span_find(in, '\n');
		struct bdat_command c;

		if (end == in.len || bdat_parse(span_head(in, end), &c) != SP_OK)
			return;
		MUST(c.size >= 0);
		in = span_from(in, end + 1);
		if (!bdat_begin(&r->bdat, &c, r->parser.config.max_octets))
			return;
		if (!take_chunk(r, &in, &seed))
			return;
	}
}

/* Whatever came in: outside of binary content CRLF only; no line of one dot; and the content comes back. */
static void
check_wire(const struct result *r)
{
	struct data_unstuff u = { .bol = true };
	struct sp_span in = span_of(r->wire, r->wire_len);
	size_t content = 0;

	for (size_t i = 0; i < r->wire_len; i++) {
		struct sp_span rest = span_from(in, i);
		bool bol = i == 0 || (i >= 2 && memcmp(r->wire + i - 2, "\r\n", 2) == 0);

		MUST(!bol || !span_starts(rest, SPAN_LIT(".\r\n")));
		MUST(r->parser.binary || rest.ptr[0] != '\0');
		MUST(r->parser.binary || rest.ptr[0] != '\n' || (i > 0 && r->wire[i - 1] == '\r'));
	}
	while (in.len > 0) {
		size_t used;
		struct sp_span piece = data_unstuff(&u, span_head(in, 1 + in.len / 3), &used);

		MUST(used > 0 && content + piece.len <= r->content_len);
		MUST(piece.len == 0 || memcmp(piece.ptr, r->content + content, piece.len) == 0);
		content += piece.len;
		in = span_from(in, used);
	}
	MUST(content == r->content_len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct data_config config = { .counted = true };
	struct result whole, pieces;
	struct sp_span in;

	if (size < 2)
		return 0;
	config.space = (data[0] & 1) != 0;
	config.binary = (data[0] & 2) != 0;
	config.max_octets = (data[0] & 4) != 0 ? data[0] : 0;
	config.max_line = (data[0] & 8) != 0 ? data[0] >> 4 : 0;
	in = span_of((const char *)data + 2, size - 2);
	result_init(&whole, &config, size);
	result_init(&pieces, &config, size);
	run(&whole, in, 0);
	run(&pieces, in, 1u + data[1]);
	check_wire(&whole);
	MUST(whole.parser.faults == pieces.parser.faults && whole.parser.noted == pieces.parser.noted);
	MUST(whole.bdat.whole == pieces.bdat.whole && whole.bdat.ended == pieces.bdat.ended);
	MUST(whole.parser.octets == pieces.parser.octets && whole.bdat.chunks == pieces.bdat.chunks);
	MUST(span_eq(span_of(whole.raw, whole.raw_len), span_of(pieces.raw, pieces.raw_len)));
	if (whole.bdat.whole) {
		MUST(span_eq(span_of(whole.wire, whole.wire_len), span_of(pieces.wire, pieces.wire_len)));
		MUST(whole.parser.octets == (int64_t)whole.raw_len);
		if (whole.parser.faults == 0 && whole.parser.noted == 0)
			MUST(span_eq(span_of(whole.content, whole.content_len), span_of(whole.raw, whole.raw_len)));
	}
	result_fini(&whole);
	result_fini(&pieces);
	return 0;
}
