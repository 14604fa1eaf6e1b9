/*
 * message.c - the message, line by line to the program and back; what has come back otherwise than it went becomes edits.
 *
 * The lines that come back are gathered whole (hub.h has the limit) and compared only when the last has come: a program that dies
 * half-way leaves nothing behind.  Fields are compared one by one, so that those stay which the program has not touched.
 */
#include <stdio.h>

#include "linewire/text.h"
#include "spawn/spawn.h"

enum { BATCH = 8192, PREFIX = 160, GATHERED = HUB_TOLD + BATCH + PREFIX, LOOK_AHEAD = 64, FIELD_MAX = 262144 };

/* ---- there ------------------------------------------------------------------------------------------ */

/* Lines on their way. */
struct feed {
	struct sp_ctx *ctx;
	char prefix[PREFIX];
	size_t prefix_len;
	bool begun; /* a line that has no end yet */
	struct heap lines;
	int64_t deadline_ms;
};

/* Waits for its turn first: were all to say at once what they have, it would be more than the queue holds. */
static enum sp_status
feed_flush(struct feed *f, size_t unless)
{
	struct hub *hub = spawn_hub(f->ctx);
	enum sp_status st;

	if (f->begun || f->lines.len <= unless)
		return SP_OK;
	st = hub_drain(f->ctx, hub, f->deadline_ms);
	if (st == SP_OK)
		st = hub_say(f->ctx, hub, heap_span(&f->lines));
	f->lines.len = 0;
	return st;
}

/* A part of a line: without its CR LF, if it ends here.  False: there is what is no line, as in binary messages; a program could not
 * give it back. */
static bool
take_part(struct sp_span *part, bool ends)
{
	if (ends && part->len > 0 && part->ptr[part->len - 1] == '\r')
		part->len--;
	else if (ends)
		return false;
	return text_find(*part, '\r') == part->len && text_find(*part, '\0') == part->len;
}

/* Octets of the message, with CRLF line ends; dots are doubled. */
static enum sp_status
feed(struct feed *f, struct sp_span text)
{
	enum sp_status st = SP_OK;

	while (text.len > 0 && st == SP_OK) {
		size_t at = text_find(text, '\n');
		struct sp_span part = text_head(text, at);
		bool ends = at < text.len, ok = true;

		if (!take_part(&part, ends)) {
			sp_log(f->ctx, SP_LOG_WARNING, "a binary message cannot be shown line by line");
			return SP_INVALID;
		}
		if (!f->begun)
			ok = heap_add(&f->lines, (struct sp_span){ f->prefix, f->prefix_len }, GATHERED);
		if (!f->begun && text.ptr[0] == '.')
			ok = ok && heap_add(&f->lines, text_of("."), GATHERED);
		ok = ok && heap_add(&f->lines, part, GATHERED) && (!ends || heap_add(&f->lines, text_of("\n"), GATHERED));
		f->begun = !ends;
		text = text_from(text, at + 1);
		st = ok ? feed_flush(f, BATCH) : SP_LIMIT;
	}
	return st;
}

static enum sp_status
feed_header(struct feed *f)
{
	enum sp_status st = SP_OK;
	struct sp_header h;

	for (size_t i = 0; st == SP_OK && (st = sp_draft_get(f->ctx, i, &h)) == SP_OK; i++) {
		st = feed(f, h.field);
		if (st == SP_OK)
			st = feed(f, text_of("\r\n"));
	}
	return st == SP_NONE ? feed(f, text_of("\r\n")) : st;
}

/* A piece may end between CR and LF: the CR waits for the next one. */
static enum sp_status
feed_body(struct feed *f)
{
	enum sp_status st = SP_OK;
	struct sp_span piece;
	bool cr = false;

	for (int64_t at = 0; st == SP_OK && (st = sp_draft_body(f->ctx, at, &piece)) == SP_OK; at += (int64_t)piece.len) {
		struct sp_span part = piece;

		if (cr && part.len > 0) {
			st = feed(f, text_of(part.ptr[0] == '\n' ? "\r\n" : "\r"));
			part = text_from(part, part.ptr[0] == '\n');
		}
		cr = part.len > 0 && part.ptr[part.len - 1] == '\r';
		part.len -= cr;
		if (st == SP_OK)
			st = feed(f, part);
	}
	return st != SP_NONE ? st : feed(f, text_of(cr ? "\r" : ""));
}

static enum sp_status
feed_all(struct feed *f)
{
	enum sp_status st = feed_header(f);

	if (st == SP_OK)
		st = feed_body(f);
	if (st == SP_OK && f->begun)
		st = feed(f, text_of("\r\n"));
	if (st == SP_OK && !(heap_add(&f->lines, (struct sp_span){ f->prefix, f->prefix_len }, GATHERED) &&
			heap_add(&f->lines, text_of(".\n"), GATHERED)))
		st = SP_LIMIT;
	return st == SP_OK ? feed_flush(f, 0) : st;
}

/* ---- back: the header ------------------------------------------------------------------------------- */

/* The header that came back, one field after the other. */
struct fields {
	const struct sp_span *items;
	size_t count;
};

/* The next field with its folds, without its last CRLF; false: the empty line, or the end. */
static bool
next_field(struct sp_span *rest, struct sp_span *ret)
{
	size_t end = 0;

	if (rest->len == 0 || rest->ptr[0] == '\r')
		return false;
	do {
		struct sp_span after = text_from(*rest, end);

		end += text_find(after, '\n') + 1;
	} while (end < rest->len && (rest->ptr[end] == ' ' || rest->ptr[end] == '\t'));
	*ret = text_head(*rest, end - 2);
	*rest = text_from(*rest, end);
	return true;
}

static bool
same(struct sp_span a, struct sp_span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Does the draft have this field soon behind index? */
static bool
is_ahead(struct sp_ctx *ctx, size_t index, struct sp_span field)
{
	struct sp_header h;

	for (size_t i = index; i < index + LOOK_AHEAD && sp_draft_get(ctx, i, &h) == SP_OK; i++)
		if (same(h.field, field))
			return true;
	return false;
}

/* Does the header that came back have it soon? */
static bool
is_to_come(struct sp_span rest, struct sp_span field)
{
	struct sp_span f;

	for (int i = 0; i < LOOK_AHEAD && next_field(&rest, &f); i++)
		if (same(f, field))
			return true;
	return false;
}

/* Makes the draft's field at index this one: by removing what stands before it, by a new one, or instead of what is there. */
static enum sp_status
settle_field(struct sp_ctx *ctx, size_t index, struct sp_span field, struct sp_span rest)
{
	struct sp_header h;
	enum sp_status st;

	while ((st = sp_draft_get(ctx, index, &h)) == SP_OK && !same(h.field, field)) {
		if (is_ahead(ctx, index + 1, field)) {
			st = sp_draft_remove(ctx, index);
			if (st != SP_OK)
				return st;
			continue;
		}
		return is_to_come(rest, h.field) ? sp_draft_insert(ctx, index, field) : sp_draft_replace(ctx, index, field);
	}
	return st == SP_NONE ? sp_draft_insert(ctx, SP_DRAFT_END, field) : st;
}

/* *rest is then the body that came back. */
static enum sp_status
settle_header(struct sp_ctx *ctx, struct sp_span *rest)
{
	struct sp_span field;
	struct sp_header h;
	enum sp_status st = SP_OK;
	size_t index = 0;

	while (st == SP_OK && next_field(rest, &field)) {
		if (field.len > FIELD_MAX || text_find(field, ':') == field.len)
			return SP_INVALID;
		st = settle_field(ctx, index++, field, *rest);
	}
	while (st == SP_OK && (st = sp_draft_get(ctx, index, &h)) == SP_OK)
		st = sp_draft_remove(ctx, index);
	*rest = text_from(*rest, 2);
	return st == SP_NONE ? SP_OK : st;
}

/* ---- back: the body ----------------------------------------------------------------------------------- */

static enum sp_status
settle_body(struct sp_ctx *ctx, struct sp_span body)
{
	struct sp_span piece, left = body;
	enum sp_status st;

	for (int64_t at = 0; (st = sp_draft_body(ctx, at, &piece)) == SP_OK; at += (int64_t)piece.len) {
		if (!same(text_head(left, piece.len), piece))
			return sp_body_replace(ctx, body);
		left = text_from(left, piece.len);
	}
	if (st != SP_NONE)
		return st;
	return left.len > 0 ? sp_body_replace(ctx, body) : SP_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

static enum sp_status
settle(struct sp_ctx *ctx, const struct ask *a)
{
	struct sp_span rest = heap_span(&a->text);
	enum sp_status st;

	if (!spawn_obeys(ctx))
		return SP_OK;
	st = settle_header(ctx, &rest);
	if (st == SP_OK)
		st = settle_body(ctx, rest);
	if (st != SP_OK)
		sp_log(ctx, SP_LOG_WARNING, "the program has made of the message what is none");
	return st;
}

enum sp_status
message_filter(struct sp_ctx *ctx)
{
	const struct spawn_session *s = ctx->session;
	struct hub *hub = spawn_hub(ctx);
	struct ask a = { .session = s->id, .data = true };
	struct feed f = { .ctx = ctx, .deadline_ms = spawn_deadline(ctx) };
	enum sp_status st;

	if ((hub->phases & 1u << PHASE_DATA_LINE) == 0)
		return SP_OK;
	a.token = hub_id(hub);
	f.prefix_len = tell_prefix(&a, PHASE_DATA_LINE, f.prefix, sizeof(f.prefix) - 1);
	f.prefix[f.prefix_len++] = '|';
	hub_open(hub, &a);
	st = feed_all(&f);
	heap_fini(&f.lines);
	if (st == SP_OK)
		st = hub_wait(ctx, hub, &a, f.deadline_ms);
	if (st == SP_OK)
		st = settle(ctx, &a);
	hub_close(ctx, hub, &a);
	return st;
}
