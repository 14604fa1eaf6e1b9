/*
 * fuzz_smtp_data.c - the end of data: the same in one piece and in many, and no second end on the wire.
 * Octets 0 and 1 choose configuration and piece lengths.
 */
#include "proxy/smtp/data.h"

#include <stdlib.h>
#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	char *wire, *content;
	size_t wire_len, content_len, used;
	bool ended;
	struct data_parser parser;
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

/* seed 0: one piece. */
static void
run(struct result *r, const struct data_config *config, struct sp_span in, unsigned seed)
{
	struct data_sink sink = { on_wire, on_content, r };

	*r = (struct result){ .wire = malloc(in.len + 1), .content = malloc(in.len + 1) };
	MUST(r->wire != NULL && r->content != NULL);
	data_init(&r->parser, config);
	while (r->used < in.len && !r->ended) {
		struct sp_span piece = span_from(in, r->used);
		size_t used;

		if (seed != 0)
			piece = span_head(piece, 1 + (seed = seed * 1103515245u + 12345u) / 65536u % 7);
		r->ended = data_feed(&r->parser, piece, &sink, &used);
		MUST(r->ended ? used <= piece.len : used == piece.len);
		r->used += used;
	}
}

/* Whatever came in: CRLF only, no NUL, no line of one dot, and the content is the wire without the stuffed dots. */
static void
check_wire(const struct result *r)
{
	size_t content = 0;

	for (size_t i = 0; i < r->wire_len; i++) {
		struct sp_span rest = span_of(r->wire + i, r->wire_len - i);
		bool bol = i == 0 || r->wire[i - 1] == '\n';

		MUST(!bol || !span_starts(rest, SPAN_LIT(".\r\n")));
		MUST(rest.ptr[0] != '\0');
		MUST(rest.ptr[0] != '\n' || (i > 0 && r->wire[i - 1] == '\r'));
		MUST(rest.ptr[0] != '\r' || i + 1 == r->wire_len || rest.ptr[1] == '\n');
		if (bol && rest.ptr[0] == '.')
			continue;
		MUST(content < r->content_len && r->content[content] == rest.ptr[0]);
		content++;
	}
	MUST(content == r->content_len);
	MUST(r->parser.faults != 0 || (size_t)r->parser.octets == content);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct data_config config = { 0 };
	struct result whole, pieces;
	struct sp_span in;

	if (size < 2)
		return 0;
	config.space = (data[0] & 1) != 0;
	config.max_octets = (data[0] & 2) != 0 ? data[0] >> 3 : 0;
	config.max_line = (data[0] & 4) != 0 ? data[0] >> 4 : 0;
	in = span_of((const char *)data + 2, size - 2);
	run(&whole, &config, in, 0);
	run(&pieces, &config, in, 1u + data[1]);
	check_wire(&whole);
	MUST(whole.ended == pieces.ended && whole.used == pieces.used);
	MUST(whole.parser.faults == pieces.parser.faults && whole.parser.noted == pieces.parser.noted);
	MUST(whole.parser.octets == pieces.parser.octets);
	MUST(span_eq(span_of(whole.wire, whole.wire_len), span_of(pieces.wire, pieces.wire_len)));
	MUST(span_eq(span_of(whole.content, whole.content_len), span_of(pieces.content, pieces.content_len)));
	free(whole.wire);
	free(whole.content);
	free(pieces.wire);
	free(pieces.content);
	return 0;
}
