/*
 * edits.c - edits that filters ask for: checked when they are asked for, kept until inspect_apply().
 *
 * Fields are numbered as in the message that came, whatever other edits say: a filter that removes the first and
 * the second of five removes just those (CASES H03).  What may not be written (H09), or cannot be had for want of room, is
 * refused, and then the message must not go on: a filter's edits are applied all together or not at all.
 */
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

enum { EDIT_OCTETS = 256 * 1024, EDIT_BODY_OCTETS = 64 << 20 };

/* ---- refusing ------------------------------------------------------------------------------------- */

static enum sp_status
refuse(struct sp_ctx *ctx, enum sp_status st, const char *what)
{
	struct use *u = use_of(ctx);

	host_log(u, SP_LOG_ERROR, "edit refused: %s", what);
	if (u->in->tx != NULL && u->in->tx->edits.fault == SP_OK)
		u->in->tx->edits.fault = st;
	return st;
}

void
edits_drop(struct transaction *tx, const struct use *by)
{
	if (tx == NULL)
		return;
	for (struct edit *e = tx->edits.first; e != NULL; e = e->next)
		if (e->by == by)
			e->dropped = true;
	if (tx->edits.body_by == by) {
		spool_free(&tx->edits.body);
		tx->edits.body_by = NULL;
	}
}

void
edits_fini(struct edits *e)
{
	if (e->body != NULL)
		spool_free(&e->body);
}

/* ---- header fields ---------------------------------------------------------------------------------- */

static enum sp_status
keep(struct sp_ctx *ctx, const struct edit *edit)
{
	struct transaction *tx = use_of(ctx)->in->tx;
	struct edits *all = &tx->edits;
	struct edit *e;

	if (edit->name.len + edit->value.len > EDIT_OCTETS - all->octets)
		return refuse(ctx, SP_LIMIT, "more than 256 KiB of edits");
	e = arena_alloc(tx->arena, sizeof(*e));
	if (e == NULL)
		return refuse(ctx, SP_SYSTEM, "no memory");
	*e = *edit;
	e->by = use_of(ctx);
	e->name = arena_copy(tx->arena, edit->name);
	e->value = arena_copy(tx->arena, edit->value);
	if (e->name.ptr == NULL || e->value.ptr == NULL)
		return refuse(ctx, SP_SYSTEM, "no memory");
	all->octets += e->name.len + e->value.len;
	if (all->last != NULL)
		all->last->next = e;
	else
		all->first = e;
	all->last = e;
	return SP_OK;
}

/* While on_final runs all is settled. */
static bool
is_settled(struct sp_ctx *ctx)
{
	const struct transaction *tx = use_of(ctx)->in->tx;

	return tx != NULL && tx->final != NULL;
}

static const char settled[] = "on_final may only insert on top";

static enum sp_status
insert(struct sp_ctx *ctx, const struct edit *edit)
{
	if (use_of(ctx)->in->tx == NULL)
		return refuse(ctx, SP_INVALID, "there is no message");
	if (is_settled(ctx))
		return refuse(ctx, SP_INVALID, settled);
	if (!header_may_write(edit->name, edit->value))
		return refuse(ctx, SP_INVALID, "a header field that may not be written");
	return keep(ctx, edit);
}

enum sp_status
edits_add(struct sp_ctx *ctx, const char *name, struct sp_span value)
{
	return insert(ctx, &(struct edit){ .kind = EDIT_ADD, .name = span_str(name), .value = value });
}

static enum sp_status
insert_final(struct sp_ctx *ctx, struct sp_span name, struct sp_span value)
{
	struct transaction *tx = use_of(ctx)->in->tx;
	enum sp_status st;

	if (!header_may_write(name, value))
		return refuse(ctx, SP_INVALID, "a header field that may not be written");
	if (name.len + value.len > EDIT_OCTETS - tx->edits.octets)
		return refuse(ctx, SP_LIMIT, "more than 256 KiB of edits");
	tx->edits.octets += name.len + value.len;
	st = final_insert(tx->final, name, value);
	return st == SP_OK ? SP_OK : refuse(ctx, st, st == SP_LIMIT ? "more than 64 fields on top" : "no memory");
}

enum sp_status
edits_insert(struct sp_ctx *ctx, size_t index, const char *name, struct sp_span value)
{
	const struct transaction *tx = use_of(ctx)->in->tx;

	if (is_settled(ctx) && index == 0)
		return insert_final(ctx, span_str(name), value);
	if (index > 0 && (tx == NULL || !tx->header.complete))
		return refuse(ctx, SP_INVALID, "the header is not there yet");
	if (index > 0 && index > tx->header.count)
		index = tx->header.count;
	return insert(ctx,
		&(struct edit){ .kind = EDIT_INSERT, .index = index, .name = span_str(name), .value = value });
}

/* One edit for each field that is meant. */
static enum sp_status
change(struct sp_ctx *ctx, struct edit edit, int occurrence)
{
	const struct transaction *tx = use_of(ctx)->in->tx;
	enum sp_status st = SP_NONE;
	int seen = 0;

	if (tx == NULL || !tx->header.complete)
		return refuse(ctx, SP_INVALID, "the header is not there yet");
	if (is_settled(ctx))
		return refuse(ctx, SP_INVALID, settled);
	if (occurrence < -1)
		return refuse(ctx, SP_INVALID, "no such occurrence");
	for (size_t n = 0; n < tx->header.count; n++) {
		if (!span_ieq(tx->header.fields[n].name, edit.name))
			continue;
		if (occurrence != -1 && seen++ != occurrence)
			continue;
		edit.index = n;
		st = keep(ctx, &edit);
		if (st != SP_OK)
			break;
	}
	return st;
}

enum sp_status
edits_replace(struct sp_ctx *ctx, const char *name, int occurrence, struct sp_span value)
{
	if (!header_may_write(span_str(name), value))
		return refuse(ctx, SP_INVALID, "a header field that may not be written");
	return change(ctx, (struct edit){ .kind = EDIT_REPLACE, .name = span_str(name), .value = value }, occurrence);
}

enum sp_status
edits_remove(struct sp_ctx *ctx, const char *name, int occurrence)
{
	return change(ctx, (struct edit){ .kind = EDIT_REMOVE, .name = span_str(name) }, occurrence);
}

/* The envelope is the backend's already when a filter has seen the message: its edits are refused, not ignored. */
enum sp_status
edits_envelope(struct sp_ctx *ctx, struct sp_span address)
{
	(void)address;
	return refuse(ctx, SP_INVALID, "sender and recipients cannot be changed");
}

/* ---- the body ------------------------------------------------------------------------------------------ */

/* Octets up to and with the next CRLF, or all; SP_INVALID: a bare CR or LF, or a NUL. */
static enum sp_status
line_len(struct edits *all, struct sp_span in, size_t *ret)
{
	size_t lf = span_find(in, '\n'), cr;
	bool ends = lf < in.len, cr_before = lf == 0 ? all->body_cr : lf < in.len && in.ptr[lf - 1] == '\r';
	struct sp_span text = span_head(in, lf);

	if (ends && !cr_before)
		return SP_INVALID;
	if (all->body_cr && lf != 0 && in.len > 0)
		return SP_INVALID;
	cr = span_find(text, '\r');
	if (cr + 1 < text.len || span_find(text, '\0') < text.len)
		return SP_INVALID;
	all->body_cr = !ends && cr < text.len;
	*ret = ends ? lf + 1 : in.len;
	return SP_OK;
}

static enum sp_status
body_line(struct inspect *i, struct sp_span line)
{
	struct edits *all = &i->tx->edits;
	enum sp_status st = SP_OK;

	if (all->body_bol && line.ptr[0] == '.')
		st = spool_write(all->body, SPAN_LIT("."));
	if (st == SP_OK)
		st = spool_write(all->body, line);
	all->body_bol = line.ptr[line.len - 1] == '\n';
	return st;
}

static enum sp_status
body_begin(struct sp_ctx *ctx)
{
	struct transaction *tx = use_of(ctx)->in->tx;

	if (tx == NULL || !tx->header.complete)
		return refuse(ctx, SP_INVALID, "the message is not there yet");
	if (is_settled(ctx))
		return refuse(ctx, SP_INVALID, settled);
	if (tx->edits.body_by == use_of(ctx))
		return SP_OK;
	if (tx->edits.body_by != NULL)
		return refuse(ctx, SP_INVALID, "another filter has replaced the body");
	tx->edits.body = spool_new();
	if (tx->edits.body == NULL)
		return refuse(ctx, SP_SYSTEM, "no memory");
	tx->edits.body_by = use_of(ctx);
	tx->edits.body_octets = 0;
	tx->edits.body_bol = true;
	tx->edits.body_cr = false;
	return SP_OK;
}

enum sp_status
edits_body(struct sp_ctx *ctx, struct sp_span chunk)
{
	struct inspect *i = use_of(ctx)->in;
	enum sp_status st = body_begin(ctx);

	if (st != SP_OK)
		return st;
	i->tx->edits.body_octets += (int64_t)chunk.len;
	if (chunk.len > EDIT_BODY_OCTETS || i->tx->edits.body_octets > EDIT_BODY_OCTETS)
		return refuse(ctx, SP_LIMIT, "a body of more than 64 MiB");
	st = spool_reserve(i->tx->edits.body, chunk.len, hooks_deadline(i));
	while (st == SP_OK && chunk.len > 0) {
		size_t len;

		if (line_len(&i->tx->edits, chunk, &len) != SP_OK)
			return refuse(ctx, SP_INVALID, "a body with bare CR, bare LF or NUL");
		st = body_line(i, span_head(chunk, len));
		chunk = span_from(chunk, len);
	}
	return st == SP_OK ? SP_OK : refuse(ctx, st, "the new body cannot be stored");
}
