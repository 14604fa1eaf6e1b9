/*
 * fuzz_smtp_reply.c - a backend's replies: the same in one piece and in many, and plain text when built again.
 * Octet 0 chooses the piece lengths.
 */
#include "proxy/smtp/reply.h"

#include "policy/kit/must.h"
#include "policy/kit/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What we would send on is one reply, of the same code, in printable lines of bounded length. */
static void
check_rebuilt(struct smtp_reply *reply)
{
	struct reply_parser again;
	struct buf out;
	size_t used, line = 0;

	buf_init(&out, 1024 * 1024);
	reply_add(&out, reply->code, reply->enhanced, buf_span(&reply->text));
	MUST(buf_status(&out) == SP_OK && out.len > 0);
	for (size_t i = 0; i < out.len; i++) {
		MUST((out.ptr[i] >= ' ' && out.ptr[i] <= '~') || out.ptr[i] == '\r' || out.ptr[i] == '\n');
		MUST(out.ptr[i] != '\n' || out.ptr[i - 1] == '\r');
		MUST(out.ptr[i] != '\r' || out.ptr[i + 1] == '\n');
		line = out.ptr[i] == '\n' ? 0 : line + 1;
		MUST(line <= 511);
	}
	reply_parser_init(&again);
	MUST(reply_parse(&again, buf_span(&out), &used) == REPLY_OK && used == out.len);
	MUST(again.reply.code == reply->code && again.reply.lines <= reply->lines);
	reply_parser_fini(&again);
	buf_fini(&out);
}

static void
note(struct buf *said, struct reply_parser *p)
{
	struct sp_span id = reply_queue_id(buf_span(&p->reply.text));

	MUST(id.len <= 128);
	buf_printf(said, "%d %s %u ", p->reply.code, p->reply.enhanced, p->reply.lines);
	buf_add(said, buf_span(&p->reply.text));
	MUST(span_find(buf_span(&p->reply.text), '\r') == p->reply.text.len);
	check_rebuilt(&p->reply);
}

/* seed 0: all at once. */
static void
run(struct buf *said, struct sp_span in, unsigned seed)
{
	struct reply_parser p;
	size_t at = 0, shown = seed == 0 ? in.len : 0;
	enum reply_result result;

	buf_init(said, 64 * in.len + 64);
	reply_parser_init(&p);
	for (;;) {
		size_t used;

		result = reply_parse(&p, span_of(in.ptr + at, shown - at), &used);
		MUST(used <= shown - at);
		at += used;
		if (result == REPLY_BAD)
			break;
		if (result == REPLY_OK) {
			note(said, &p);
			reply_parser_next(&p);
		} else if (shown == in.len) {
			break;
		} else {
			shown += 1 + (seed = seed * 1103515245u + 12345u) / 65536u % 9;
			shown = shown < in.len ? shown : in.len;
		}
	}
	buf_add_str(said, result == REPLY_BAD ? p.error : "more");
	reply_parser_fini(&p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;
	struct sp_span in;

	if (size < 1)
		return 0;
	in = span_of((const char *)data + 1, size - 1);
	run(&whole, in, 0);
	run(&pieces, in, 1u + data[0]);
	MUST(buf_status(&whole) == SP_OK && span_eq(buf_span(&whole), buf_span(&pieces)));
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
