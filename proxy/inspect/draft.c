/*
 * draft.c - the header of the message as filters edit it: a list of fields, each with all that filters have made of it.
 *
 * Nothing is ever taken out of the list, nor moved: a field that somebody has removed stays as a place, and what a filter that
 * failed has made of a field just does not count.  So edits that others based on it stay where they were meant, and dropping a
 * filter needs no second run of the others'.  Memory: the transaction's arena.
 *
 * What the draft does not show: our own trace field and Authentication-Results, fields that came and claim to be ours
 * (CASES H03), and what rules add.  RFC 5322 2.2.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"
#include "proxy/smtp/authres.h"

/* ---- the list ------------------------------------------------------------------------------------- */

/* before null: below all */
static void
link_before(struct draft *d, struct draft_node *n, struct draft_node *before)
{
	n->next = before;
	n->prev = before != NULL ? before->prev : d->last;
	if (n->prev != NULL)
		n->prev->next = n;
	else
		d->first = n;
	if (before != NULL)
		before->prev = n;
	else
		d->last = n;
}

static bool
is_forged(const struct inspect *i, const struct header_field *f)
{
	return span_ieq(f->name, SPAN_LIT(AUTHRES_FIELD)) &&
		authres_claims(f->value, span_str(i->client.auth_id)) != AUTHRES_OTHER;
}

static bool
add_came(struct inspect *i, struct draft *d)
{
	const struct header_block *h = &i->tx->header;

	d->came = arena_alloc(i->tx->arena, h->count * sizeof(*d->came));
	if (d->came == NULL)
		return false;
	for (size_t n = 0; n < h->count; n++) {
		d->came[n] = (struct draft_node){ .came = &h->fields[n], .forged = is_forged(i, &h->fields[n]) };
		link_before(d, &d->came[n], NULL);
	}
	return true;
}

struct draft *
draft_of(struct inspect *i)
{
	struct draft *d = &i->tx->edits.draft;

	if (d->first == NULL) {
		d->trace.kind = DRAFT_TRACE;
		d->policy.kind = DRAFT_POLICY;
		link_before(d, &d->trace, NULL);
		link_before(d, &d->policy, NULL);
	}
	if (d->came == NULL && i->tx->header.complete && !add_came(i, d))
		return NULL;
	return d;
}

const struct header_field *
draft_field(const struct draft_node *n)
{
	const struct edit *e = n->last;

	if (n->forged || n->kind != DRAFT_FIELD)
		return NULL;
	while (e != NULL && !edits_live(e->by, e->dropped))
		e = e->before;
	if (e == NULL)
		return n->came;
	return e->removes ? NULL : &e->field;
}

/* The field of that index; null: there is none. */
static struct draft_node *
node_at(struct draft *d, size_t index)
{
	bool near = d->at != NULL && d->at_index <= index;
	struct draft_node *n = near ? d->at : d->first;
	size_t seen = near ? d->at_index : 0;

	for (; n != NULL; n = n->next) {
		if (draft_field(n) == NULL)
			continue;
		if (seen++ < index)
			continue;
		d->at = n;
		d->at_index = index;
		return n;
	}
	return NULL;
}

/* ---- changing it --------------------------------------------------------------------------------------- */

enum sp_status
draft_change(struct sp_ctx *ctx, struct draft_node *n, const struct header_field *field)
{
	struct use *u = use_of(ctx);
	struct edit *e = arena_alloc(u->in->tx->arena, sizeof(*e));

	if (e == NULL)
		return edits_refuse(ctx, SP_SYSTEM, "no memory");
	*e = (struct edit){ .before = n->last, .by = u, .removes = field == NULL };
	if (field != NULL)
		e->field = *field;
	n->last = e;
	u->in->tx->edits.draft.at = NULL;
	return SP_OK;
}

enum sp_status
draft_put(struct sp_ctx *ctx, struct draft_node *before, const struct header_field *field)
{
	struct transaction *tx = use_of(ctx)->in->tx;
	struct draft_node *n = arena_alloc(tx->arena, sizeof(*n));
	enum sp_status st;

	if (n == NULL)
		return edits_refuse(ctx, SP_SYSTEM, "no memory");
	st = draft_change(ctx, n, field);
	if (st == SP_OK)
		link_before(&tx->edits.draft, n, before);
	return st;
}

void
draft_drop(struct draft *d, const struct use *by)
{
	for (struct draft_node *n = d->first; n != NULL; n = n->next)
		for (struct edit *e = n->last; e != NULL; e = e->before)
			e->dropped = e->dropped || e->by == by;
	d->at = NULL;
}

/* ---- services -------------------------------------------------------------------------------------------- */

/* Null: it may not be asked for now, or there is no memory; *ret says which. */
static struct draft *
open_draft(struct sp_ctx *ctx, enum sp_status *ret)
{
	struct draft *d;

	*ret = SP_INVALID;
	if (!edits_at_eom(use_of(ctx)))
		return NULL;
	d = draft_of(use_of(ctx)->in);
	*ret = d != NULL ? SP_OK : SP_SYSTEM;
	return d;
}

static struct draft *
open_to_edit(struct sp_ctx *ctx, enum sp_status *ret)
{
	struct draft *d = open_draft(ctx, ret);

	if (d == NULL)
		edits_refuse(ctx, *ret, *ret == SP_SYSTEM ? "no memory" : "the draft is there in on_eom only");
	return d;
}

enum sp_status
draft_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	enum sp_status st;
	struct draft *d = open_draft(ctx, &st);
	const struct draft_node *n = d == NULL ? NULL : node_at(d, index);
	const struct header_field *f;

	if (d == NULL)
		return st;
	if (n == NULL)
		return SP_NONE;
	f = draft_field(n);
	*ret = (struct sp_header){ .name = f->name, .value = f->value, .field = f->field, .index = index };
	return SP_OK;
}

/* Takes "Name: value" apart, into memory of ours. A blank behind the colon is counted with the name, as it is elsewhere. */
static enum sp_status
take_field(struct sp_ctx *ctx, struct sp_span field, struct header_field *ret)
{
	size_t colon = span_find(field, ':');
	struct sp_span value = span_from(field, colon + 1);
	bool blank = value.len > 0 && value.ptr[0] == ' ';
	enum sp_status st;

	if (colon == field.len || !header_may_write(span_head(field, colon), span_from(value, blank)))
		return edits_refuse(ctx, SP_INVALID, "a header field that may not be written");
	st = edits_count(ctx, field.len);
	if (st != SP_OK)
		return st;
	ret->field = arena_copy(use_of(ctx)->in->tx->arena, field);
	if (ret->field.ptr == NULL)
		return edits_refuse(ctx, SP_SYSTEM, "no memory");
	ret->name = span_head(ret->field, colon);
	ret->value = span_of(ret->field.ptr + colon + 1, value.len);
	return SP_OK;
}

/* Where a field goes that is to stand before that index; null: below all. */
static struct draft_node *
find_place(struct draft *d, size_t before)
{
	struct draft_node *n;

	if (before == SP_DRAFT_TOP)
		return d->first;
	n = before == SP_DRAFT_END ? NULL : node_at(d, before);
	/* on top of the header that came is where filters add, above what rules add: then it need not be written anew */
	return n != NULL && n->prev == &d->policy ? &d->policy : n;
}

enum sp_status
draft_insert(struct sp_ctx *ctx, size_t before, struct sp_span field)
{
	enum sp_status st;
	struct draft *d = open_to_edit(ctx, &st);
	struct header_field f;

	if (d == NULL)
		return st;
	st = take_field(ctx, field, &f);
	return st == SP_OK ? draft_put(ctx, find_place(d, before), &f) : st;
}

enum sp_status
draft_replace(struct sp_ctx *ctx, size_t index, struct sp_span field)
{
	enum sp_status st;
	struct draft *d = open_to_edit(ctx, &st);
	struct draft_node *n = d == NULL ? NULL : node_at(d, index);
	struct header_field f;

	if (n == NULL)
		return d == NULL ? st : SP_NONE;
	st = take_field(ctx, field, &f);
	return st == SP_OK ? draft_change(ctx, n, &f) : st;
}

enum sp_status
draft_remove(struct sp_ctx *ctx, size_t index)
{
	enum sp_status st;
	struct draft *d = open_to_edit(ctx, &st);
	struct draft_node *n = d == NULL ? NULL : node_at(d, index);

	if (n == NULL)
		return d == NULL ? st : SP_NONE;
	st = edits_count(ctx, 0);
	return st == SP_OK ? draft_change(ctx, n, NULL) : st;
}
