/*
 * edits.c - edits that filters ask for: what all kinds have in common, and the header by names and as it came.
 *
 * Fields are numbered as in the message that came, whatever other edits say: a filter that removes the first and
 * the second of five removes just those (CASES H03).  What may not be written (H09), or cannot be had for want of room, is
 * refused, and then the message must not go on, unless the filter itself says that it has failed: a filter's edits are applied
 * all together or not at all.
 */
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

enum { EDIT_OCTETS = 256 * 1024, EDIT_COUNT = 20000 };

/* ---- refusing, dropping --------------------------------------------------------------------------- */

static void
note_fault(struct use *u, enum sp_status st)
{
	struct transaction *tx = u->in->tx;
	struct edit_fault *f = arena_alloc(tx->arena, sizeof(*f));

	if (f == NULL) {
		tx->edits.fault = st;
		return;
	}
	*f = (struct edit_fault){ .next = tx->edits.faults, .by = u, .status = st };
	tx->edits.faults = f;
}

enum sp_status
edits_refuse(struct sp_ctx *ctx, enum sp_status st, const char *what)
{
	struct use *u = use_of(ctx);

	host_log(u, SP_LOG_ERROR, "edit refused: %s", what);
	if (u->in->tx != NULL)
		note_fault(u, st);
	return st;
}

bool
edits_live(const struct use *by, bool dropped)
{
	return !dropped && !by->failed;
}

enum sp_status
edits_fault(const struct edits *e)
{
	const struct edit_fault *f = e->faults;

	while (f != NULL && !edits_live(f->by, f->dropped))
		f = f->next;
	return f != NULL ? f->status : e->fault;
}

enum sp_status
edits_count(struct sp_ctx *ctx, size_t octets)
{
	struct edits *all = &use_of(ctx)->in->tx->edits;

	if (octets > EDIT_OCTETS - all->octets)
		return edits_refuse(ctx, SP_LIMIT, "more than 256 KiB of edits");
	if (all->count == EDIT_COUNT)
		return edits_refuse(ctx, SP_LIMIT, "more than 20000 edits");
	all->octets += octets;
	all->count++;
	return SP_OK;
}

bool
edits_at_eom(const struct use *u)
{
	const struct transaction *tx = u->in->tx;

	return tx != NULL && tx->spool != NULL && tx->final == NULL && u->stage == SP_EOM;
}

void
edits_drop(struct transaction *tx, const struct use *by)
{
	if (tx == NULL)
		return;
	for (struct edit_fault *f = tx->edits.faults; f != NULL; f = f->next)
		f->dropped = f->dropped || f->by == by;
	draft_drop(&tx->edits.draft, by);
	newbody_drop(&tx->edits, by);
	envelope_drop(&tx->envelope, by);
}

void
edits_fini(struct edits *e)
{
	newbody_fini(e);
}

/* ---- header fields ---------------------------------------------------------------------------------- */

static enum sp_status
take_field(struct sp_ctx *ctx, struct sp_span name, struct sp_span value, struct header_field *ret)
{
	enum sp_status st = edits_count(ctx, name.len + value.len);

	if (st != SP_OK)
		return st;
	st = final_make(use_of(ctx)->in->tx->arena, name, value, ret);
	return st == SP_OK ? SP_OK : edits_refuse(ctx, st, "no memory");
}

/* While on_final runs all is settled. */
static bool
is_settled(struct sp_ctx *ctx)
{
	const struct transaction *tx = use_of(ctx)->in->tx;

	return tx != NULL && tx->final != NULL;
}

static const char settled[] = "on_final may only insert on top";

/* before: the field that came, to stand below it; past the last: below all; 0: on top */
static enum sp_status
insert(struct sp_ctx *ctx, size_t before, struct sp_span name, struct sp_span value)
{
	struct inspect *i = use_of(ctx)->in;
	struct header_field field;
	struct draft *d;
	enum sp_status st;

	if (i->tx == NULL)
		return edits_refuse(ctx, SP_INVALID, "there is no message");
	if (is_settled(ctx))
		return edits_refuse(ctx, SP_INVALID, settled);
	if (!header_may_write(name, value))
		return edits_refuse(ctx, SP_INVALID, "a header field that may not be written");
	st = take_field(ctx, name, value, &field);
	if (st != SP_OK)
		return st;
	d = draft_of(i);
	if (d == NULL)
		return edits_refuse(ctx, SP_SYSTEM, "no memory");
	if (before == 0 || i->tx->header.count == 0)
		return draft_put(ctx, &d->policy, &field);
	return draft_put(ctx, before < i->tx->header.count ? &d->came[before] : NULL, &field);
}

enum sp_status
edits_add(struct sp_ctx *ctx, const char *name, struct sp_span value)
{
	return insert(ctx, 0, span_str(name), value);
}

static enum sp_status
insert_final(struct sp_ctx *ctx, struct sp_span name, struct sp_span value)
{
	enum sp_status st;

	if (!header_may_write(name, value))
		return edits_refuse(ctx, SP_INVALID, "a header field that may not be written");
	st = edits_count(ctx, name.len + value.len);
	if (st != SP_OK)
		return st;
	st = final_insert(use_of(ctx)->in->tx->final, name, value);
	return st == SP_OK ? SP_OK : edits_refuse(ctx, st, st == SP_LIMIT ? "more than 64 fields on top" : "no memory");
}

enum sp_status
edits_insert(struct sp_ctx *ctx, size_t index, const char *name, struct sp_span value)
{
	const struct transaction *tx = use_of(ctx)->in->tx;

	if (is_settled(ctx) && index == 0)
		return insert_final(ctx, span_str(name), value);
	if (index > 0 && (tx == NULL || !tx->header.complete))
		return edits_refuse(ctx, SP_INVALID, "the header is not there yet");
	return insert(ctx, index, span_str(name), value);
}

/* One field; value null: it goes. */
static enum sp_status
change_one(struct sp_ctx *ctx, struct draft_node *n, const struct sp_span *value)
{
	struct header_field field;
	enum sp_status st = value != NULL ? take_field(ctx, n->came->name, *value, &field) : edits_count(ctx, n->came->name.len);

	return st == SP_OK ? draft_change(ctx, n, value != NULL ? &field : NULL) : st;
}

static enum sp_status
change(struct sp_ctx *ctx, struct sp_span name, int occurrence, const struct sp_span *value)
{
	const struct transaction *tx = use_of(ctx)->in->tx;
	enum sp_status st = SP_NONE;
	struct draft *d;
	int seen = 0;

	if (tx == NULL || !tx->header.complete)
		return edits_refuse(ctx, SP_INVALID, "the header is not there yet");
	if (is_settled(ctx))
		return edits_refuse(ctx, SP_INVALID, settled);
	if (occurrence < -1)
		return edits_refuse(ctx, SP_INVALID, "no such occurrence");
	d = draft_of(use_of(ctx)->in);
	if (d == NULL)
		return edits_refuse(ctx, SP_SYSTEM, "no memory");
	for (size_t n = 0; n < tx->header.count; n++) {
		if (!span_ieq(tx->header.fields[n].name, name))
			continue;
		if (occurrence != -1 && seen++ != occurrence)
			continue;
		st = change_one(ctx, &d->came[n], value);
		if (st != SP_OK)
			break;
	}
	return st;
}

enum sp_status
edits_replace(struct sp_ctx *ctx, const char *name, int occurrence, struct sp_span value)
{
	if (!header_may_write(span_str(name), value))
		return edits_refuse(ctx, SP_INVALID, "a header field that may not be written");
	return change(ctx, span_str(name), occurrence, &value);
}

enum sp_status
edits_remove(struct sp_ctx *ctx, const char *name, int occurrence)
{
	return change(ctx, span_str(name), occurrence, NULL);
}
