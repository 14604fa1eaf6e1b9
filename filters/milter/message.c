/*
 * message.c - a message as told to a milter: its fields, its body in chunks, its end, and what the milter then does to it.
 *
 * All of it happens at the end of the message, when the filters above have made their edits, so that each milter sees those.
 * Memory: pieces go straight into the packets.
 */
#include <libmilter/mfapi.h>

#include "milter/macros.h"
#include "milter/talk.h"

enum { EXTRA = 64 }; /* octets of a packet beside the text of a field */

/* The value as milters know it: lines end in LF, and of the blanks behind the colon the first does not count. */
static void
value_put(struct sp_ctx *ctx, struct link *l, struct sp_header *h)
{
	struct sp_span v = h->value;
	size_t max = wire_chunk(l->agreed.protocol) - EXTRA;

	if (!link_has(l, SMFIP_HDR_LEADSPC) && v.len > 0 && v.ptr[0] == ' ')
		v = span_of(v.ptr + 1, v.len - 1);
	if (h->name.len + v.len > max) {
		sp_log(ctx, SP_LOG_WARNING, "the milter is shown %zu octets of a field of %zu", max, h->name.len + v.len);
		v.len = max > h->name.len ? max - h->name.len : 0;
	}
	while (v.len > 0) {
		const char *cr = memchr(v.ptr, '\r', v.len);
		size_t len = cr != NULL ? (size_t)(cr - v.ptr) : v.len;

		wire_octets(&l->out, span_of(v.ptr, len));
		len += cr != NULL;
		v = span_of(v.ptr + len, v.len - len);
	}
	wire_octet(&l->out, '\0');
}

static enum sp_status
fields_tell(struct sp_ctx *ctx, struct word *w)
{
	struct talk *t = ctx->session;
	struct link *l = t->link;
	struct sp_header h;
	enum sp_status st = SP_OK;

	t->skip = 0;
	for (size_t i = 0; st == SP_OK && !word_is_final(w) && talk_wants(t, STAGE_HEADER); i++) {
		st = sp_draft_get(ctx, i, &h);
		if (st == SP_NONE)
			return SP_OK;
		if (st != SP_OK)
			break;
		wire_begin(&l->out, SMFIC_HEADER);
		wire_text(&l->out, h.name);
		value_put(ctx, l, &h);
		wire_end(&l->out);
		st = talk_hear(ctx, STAGE_HEADER, w);
	}
	return st;
}

static enum sp_status
eoh_tell(struct sp_ctx *ctx, struct word *w)
{
	struct talk *t = ctx->session;

	t->skip = 0;
	macros_put(ctx, t->link, STAGE_EOH);
	if (!talk_wants(t, STAGE_EOH))
		return SP_OK;
	wire_command(&t->link->out, SMFIC_EOH);
	return talk_hear(ctx, STAGE_EOH, w);
}

/* Puts up to a chunk's octets of the body from *at on into a packet; SP_NONE: there are none. */
static enum sp_status
chunk_put(struct sp_ctx *ctx, struct link *l, int64_t *at)
{
	size_t left = wire_chunk(l->agreed.protocol);
	struct sp_span piece;
	enum sp_status st = sp_draft_body(ctx, *at, &piece);

	if (st != SP_OK)
		return st;
	wire_begin(&l->out, SMFIC_BODY);
	while (st == SP_OK && left > 0) {
		piece.len = piece.len < left ? piece.len : left;
		wire_octets(&l->out, piece);
		*at += (int64_t)piece.len;
		left -= piece.len;
		if (left > 0)
			st = sp_draft_body(ctx, *at, &piece);
	}
	wire_end(&l->out);
	return st == SP_NONE ? SP_OK : st;
}

static enum sp_status
body_tell(struct sp_ctx *ctx, struct word *w)
{
	struct talk *t = ctx->session;
	int64_t at = 0;
	enum sp_status st = SP_OK;

	t->skip = 0;
	while (st == SP_OK && !word_is_final(w) && talk_wants(t, STAGE_BODY)) {
		st = chunk_put(ctx, t->link, &at);
		if (st == SP_NONE)
			return SP_OK;
		if (st == SP_OK)
			st = talk_hear(ctx, STAGE_BODY, w);
	}
	return st;
}

/* The end, and all that the milter then sends until it has decided. */
static enum sp_status
end_tell(struct sp_ctx *ctx, struct edits *edits, struct word *w)
{
	const struct milter_conf *conf = ctx->conf;
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	int64_t began = sp_now_ms(ctx);
	struct wire_reply r;
	enum sp_status st;

	t->skip = 0;
	macros_put(ctx, t->link, STAGE_EOM);
	wire_command(&t->link->out, SMFIC_BODYEOB);
	do {
		st = link_reply(ctx, t->link, conf->content_ms, &r);
		if (st == SP_OK)
			st = edits_take(ctx, t->link, edits, &r);
	} while (st == SP_OK);
	if (st == SP_NONE) /* it is no edit, so it is the last word */
		st = talk_judge(ctx, STAGE_EOM, &r, w);
	if (st == SP_OK)
		st = link_quiet(ctx, t->link);
	t->spent_ms += sp_now_ms(ctx) - began;
	tx->answered = tx->answered || st == SP_OK;
	return st;
}

enum sp_status
message_tell(struct sp_ctx *ctx, struct edits *ret)
{
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	struct word *w = &tx->word;
	enum sp_status st = fields_tell(ctx, w);

	*ret = (struct edits){ 0 };
	if (st == SP_OK && !word_is_final(w))
		st = eoh_tell(ctx, w);
	if (st == SP_OK && !word_is_final(w))
		st = body_tell(ctx, w);
	if (st != SP_OK || word_is_final(w))
		return st;
	st = end_tell(ctx, ret, w);
	if (st == SP_OK) {
		t->open = false;
		t->ended = w->verdict == VERDICT_CONTINUE;
	}
	return st;
}
