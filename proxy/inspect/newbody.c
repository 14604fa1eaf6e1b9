/*
 * newbody.c - bodies that filters write in place of the message's: one for each filter that does, in wire form.
 *
 * A filter reads the body as those have left it whose turn at the end was before its own, so it may read and write at the same
 * time; the last one's goes on.  Lines end in CRLF, a bare CR or LF or a NUL is refused (CASES H09), and dots are doubled here
 * (RFC 5321 4.5.2).  Memory: a spool each, freed with the transaction, the rest is its arena's.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

enum { BODY_OCTETS = 64 << 20 };

/* Octets up to and with the next CRLF, or all; SP_INVALID: a bare CR or LF, or a NUL. */
static enum sp_status
line_len(struct new_body *b, struct sp_span in, size_t *ret)
{
	size_t lf = span_find(in, '\n'), cr;
	bool ends = lf < in.len, cr_before = lf == 0 ? b->cr : lf < in.len && in.ptr[lf - 1] == '\r';
	struct sp_span text = span_head(in, lf);

	if (ends && !cr_before)
		return SP_INVALID;
	if (b->cr && lf != 0 && in.len > 0)
		return SP_INVALID;
	cr = span_find(text, '\r');
	if (cr + 1 < text.len || span_find(text, '\0') < text.len)
		return SP_INVALID;
	b->cr = !ends && cr < text.len;
	*ret = ends ? lf + 1 : in.len;
	return SP_OK;
}

static enum sp_status
write_line(struct new_body *b, struct sp_span line)
{
	enum sp_status st = SP_OK;

	if (b->bol && line.ptr[0] == '.')
		st = spool_write(b->spool, SPAN_LIT("."));
	if (st == SP_OK)
		st = spool_write(b->spool, line);
	b->bol = line.ptr[line.len - 1] == '\n';
	return st;
}

static struct new_body *
find(const struct edits *e, const struct use *by)
{
	struct new_body *b = e->bodies;

	while (b != NULL && (b->by != by || b->dropped))
		b = b->next;
	return b;
}

static struct new_body *
begin(struct transaction *tx, const struct use *by)
{
	struct new_body *b = arena_alloc(tx->arena, sizeof(*b));

	if (b == NULL)
		return NULL;
	*b = (struct new_body){ .next = tx->edits.bodies, .by = by, .spool = spool_new(), .bol = true, .at = { .line.bol = true } };
	if (b->spool == NULL)
		return NULL;
	tx->edits.bodies = b;
	return b;
}

/* The body that this filter writes; null: it may not, or there is no memory. */
static struct new_body *
open_body(struct sp_ctx *ctx, enum sp_status *ret)
{
	struct use *u = use_of(ctx);
	struct transaction *tx = u->in->tx;
	struct new_body *b;

	*ret = SP_INVALID;
	if (tx == NULL || !tx->header.complete) {
		edits_refuse(ctx, *ret, "the message is not there yet");
		return NULL;
	}
	if (tx->final != NULL) {
		edits_refuse(ctx, *ret, "on_final may only insert on top");
		return NULL;
	}
	b = find(&tx->edits, u);
	if (b != NULL && b->sealed) {
		edits_refuse(ctx, *ret, "the new body is in use");
		return NULL;
	}
	if (b == NULL)
		b = begin(tx, u);
	if (b == NULL)
		edits_refuse(ctx, *ret = SP_SYSTEM, "no memory");
	return b;
}

enum sp_status
newbody_write(struct sp_ctx *ctx, struct sp_span chunk)
{
	enum sp_status st;
	struct new_body *b = open_body(ctx, &st);

	if (b == NULL)
		return st;
	if (chunk.len > BODY_OCTETS || b->octets > BODY_OCTETS - (int64_t)chunk.len)
		return edits_refuse(ctx, SP_LIMIT, "a body of more than 64 MiB");
	b->octets += (int64_t)chunk.len;
	st = spool_reserve(b->spool, chunk.len, hooks_deadline(use_of(ctx)->in));
	while (st == SP_OK && chunk.len > 0) {
		size_t len;

		if (line_len(b, chunk, &len) != SP_OK)
			return edits_refuse(ctx, SP_INVALID, "a body with bare CR, bare LF or NUL");
		st = write_line(b, span_head(chunk, len));
		chunk = span_from(chunk, len);
	}
	return st == SP_OK ? SP_OK : edits_refuse(ctx, st, "the new body cannot be stored");
}

struct new_body *
newbody_seen(const struct edits *e, const struct use *by)
{
	struct new_body *seen = NULL;

	for (struct new_body *b = e->bodies; b != NULL; b = b->next)
		if (edits_live(b->by, b->dropped) && (by == NULL || b->by->turn < by->turn) &&
			(seen == NULL || b->by->turn > seen->by->turn))
			seen = b;
	return seen;
}

enum sp_status
newbody_seal(struct new_body *b)
{
	if (b->sealed)
		return SP_OK;
	if (!b->bol) {
		host_log(b->by, SP_LOG_ERROR, "edit refused: a body without CRLF at its end");
		return SP_INVALID;
	}
	b->sealed = true;
	return spool_seal(b->spool);
}

/* The memory of a body that will not be read again. */
void
newbody_drop(struct edits *e, const struct use *by)
{
	struct new_body *b = find(e, by);

	if (b == NULL)
		return;
	b->dropped = true;
	spool_free(&b->spool);
}

void
newbody_fini(struct edits *e)
{
	for (struct new_body *b = e->bodies; b != NULL; b = b->next)
		spool_free(&b->spool);
}
