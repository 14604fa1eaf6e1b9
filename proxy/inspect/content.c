/*
 * content.c - the message as it comes: header, body, end; and reading it back from the spool.
 *
 * The header is gathered whole and shown when it is complete; body octets are shown as they come and kept nowhere but
 * in the spool.  The spool has the wire form, with stuffed dots (RFC 5321 4.5.2); a client may have left a dot
 * unstuffed, so where the body begins on the wire can only be found by walking it.
 */
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"
#include "proxy/rt/rt.h"

/* ---- as it comes ------------------------------------------------------------------------------------ */

void
content_show_header(struct use *u)
{
	const struct transaction *tx = u->in->tx;
	const struct header_block *h = &tx->header;
	struct sp_eoh eoh = { .headers = h->count, .octets = tx->header_octets };

	for (size_t n = 0; hooks_module(u)->on_header != NULL && n < h->count && !u->skip; n++) {
		const struct header_field *f = &h->fields[n];
		struct sp_header event = { .name = f->name, .value = f->value, .field = f->field, .index = n };

		hooks_call(u, HOOK_HEADER, &event);
	}
	hooks_call(u, HOOK_EOH, &eoh);
}

static bool
refuses(const struct policy_verdict *v)
{
	return v->verdict == POLICY_REJECT || v->verdict == POLICY_DEFER;
}

static void
header_done(struct inspect *i)
{
	struct transaction *tx = i->tx;
	size_t index = 0;
	struct use *u;

	tx->header_octets = (int64_t)tx->header.text.len;
	if (tx->header.faults & HEADER_MEMORY) {
		tx->fault = SP_SYSTEM;
		return;
	}
	i->stage = SP_HEADER;
	i->rcpt = NULL;
	while ((u = hooks_next(i, &index)) != NULL)
		content_show_header(u);
	tx->verdict = walk_all(i, SP_HEADER);
	tx->settled = !i->client.shadow && refuses(&tx->verdict);
	tx->body_wanted = hooks_want_body(i);
}

static void
body_piece(struct inspect *i, struct sp_span bytes)
{
	struct sp_body event = { .chunk = bytes };

	if (bytes.len == 0 || !i->tx->body_wanted || i->tx->settled || i->tx->fault != SP_OK)
		return;
	i->rcpt = NULL;
	hooks_run(i, HOOK_BODY, &event);
}

enum sp_status
inspect_content(struct inspect *i, struct sp_span bytes)
{
	struct transaction *tx = i->tx;
	size_t used;

	if (tx == NULL)
		return SP_INVALID;
	if (bytes.len == 0 || tx->settled || tx->fault != SP_OK)
		return tx->fault;
	i->limit_ms = RT_NEVER;
	tx->octets += (int64_t)bytes.len;
	if (!tx->header.complete) {
		if (!header_feed(&tx->header, bytes, &used))
			return SP_OK;
		header_done(i);
		body_piece(i, tx->header.held);
		bytes = span_from(bytes, used);
	}
	body_piece(i, bytes);
	return tx->fault;
}

bool
inspect_settled(const struct inspect *i)
{
	return i->tx != NULL && i->tx->settled;
}

struct policy_verdict
inspect_end(struct inspect *i, struct spool *spool)
{
	struct transaction *tx = i->tx;
	struct sp_span body;
	struct sp_eom event;

	if (tx == NULL)
		return walk_failed(SP_EOM, "no transaction");
	i->limit_ms = RT_NEVER;
	if (!tx->header.complete) {
		header_end(&tx->header, &body);
		header_done(i);
		body_piece(i, body);
	}
	if (tx->fault != SP_OK)
		return walk_failed(SP_EOM, walk_no_memory);
	if (tx->settled)
		return tx->verdict;
	tx->spool = spool;
	tx->body_at = (struct unstuff){ .line.bol = true };
	event.octets = tx->octets;
	i->stage = SP_EOM;
	i->rcpt = NULL;
	hooks_run(i, HOOK_EOM, &event);
	tx->verdict = walk_all(i, SP_EOM);
	demand_settle(i);
	return tx->verdict;
}

/* ---- reading it back ---------------------------------------------------------------------------------- */

enum sp_status
unstuff_next(struct unstuff *at, struct spool *spool, struct sp_span *ret)
{
	struct sp_span piece;

	do {
		enum sp_status st = spool_read(spool, at->wire, &piece);
		size_t used;

		if (st != SP_OK)
			return st;
		piece = data_unstuff(&at->line, piece, &used);
		at->wire += (int64_t)used;
	} while (piece.len == 0);
	at->content += (int64_t)piece.len;
	*ret = piece;
	return SP_OK;
}

/* Goes on to an octet that is not before at. */
static enum sp_status
seek(struct unstuff *at, struct spool *spool, int64_t content)
{
	while (at->content < content) {
		struct sp_span piece;
		enum sp_status st = unstuff_next(at, spool, &piece);
		size_t over;

		if (st != SP_OK)
			return st;
		if (at->content <= content)
			continue;
		over = (size_t)(at->content - content);
		at->wire -= (int64_t)over;
		at->content = content;
		/* within a piece nothing is stuffed, but its end may be near */
		at->line = (struct data_unstuff){ .cr = piece.ptr[piece.len - over - 1] == '\r' };
	}
	return SP_OK;
}

enum sp_status
unstuff_find(struct unstuff *at, struct spool *spool, int64_t content)
{
	*at = (struct unstuff){ .line.bol = true };
	return seek(at, spool, content);
}

/* The body from offset on, as new; null: the message's own. */
static enum sp_status
body_get(struct transaction *tx, struct new_body *new, int64_t offset, struct sp_span *ret)
{
	struct unstuff *at = new != NULL ? &new->at : &tx->body_at;
	struct spool *spool = new != NULL ? new->spool : tx->spool;
	enum sp_status st;

	if (offset < 0)
		return SP_INVALID;
	if (offset >= (new != NULL ? new->octets : tx->octets - tx->header_octets))
		return SP_NONE;
	offset += new != NULL ? 0 : tx->header_octets;
	if (at->content > offset)
		*at = (struct unstuff){ .line.bol = true };
	st = seek(at, spool, offset);
	return st == SP_OK ? unstuff_next(at, spool, ret) : st;
}

enum sp_status
content_body_get(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret)
{
	struct transaction *tx = use_of(ctx)->in->tx;

	if (tx == NULL || tx->spool == NULL)
		return SP_INVALID;
	return body_get(tx, tx->final != NULL ? tx->final->body : NULL, offset, ret);
}

enum sp_status
content_draft_body(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret)
{
	struct use *u = use_of(ctx);
	struct new_body *new;
	enum sp_status st;

	if (!edits_at_eom(u))
		return SP_INVALID;
	new = newbody_seen(&u->in->tx->edits, u);
	st = new == NULL ? SP_OK : newbody_seal(new);
	return st == SP_OK ? body_get(u->in->tx, new, offset, ret) : st;
}
