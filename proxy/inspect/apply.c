/*
 * apply.c - the message that goes on: the trace field, what was added, and, if any field was removed or replaced, the
 * rebuilt header in wire form; then the spool from where that ends.
 *
 * Added fields stand below the trace field and above the header that came: first the filters', in the order of
 * their calls, then the policy's, in the order of the file.  "remove-header" means the fields that came.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

enum { HEAD_OCTETS = 2 << 20, NOTE_OCTETS = 16 * 1024 };

struct apply {
	struct inspect *in;
	struct transaction *tx;
	const struct edit **fields; /* the last edit of each field that came; null: it stays */
	bool rebuild;
};

static const struct edit removed = { .kind = EDIT_REMOVE };

static void
note(struct apply *a, char sign, struct sp_span name)
{
	struct buf *to = &a->tx->edit_note;

	if (to->len > 0)
		buf_add_char(to, ',');
	buf_add_char(to, sign);
	buf_add(to, name);
}

/* Appends lines with their leading dots doubled (RFC 5321 4.5.2); the first octet begins a line. */
static void
write_stuffed(struct buf *to, struct sp_span lines)
{
	while (lines.len > 0) {
		size_t lf = span_find(lines, '\n');
		size_t len = lf < lines.len ? lf + 1 : lf;

		if (lines.ptr[0] == '.')
			buf_add_char(to, '.');
		buf_add(to, span_head(lines, len));
		lines = span_from(lines, len);
	}
}

static void
write_field(struct apply *a, struct sp_span name, struct sp_span value)
{
	struct buf *to = &a->tx->head;

	write_stuffed(to, name);
	buf_add_char(to, ':');
	if (value.len > 0 && value.ptr[0] != ' ' && value.ptr[0] != '\t')
		buf_add_char(to, ' ');
	buf_add(to, value); /* its lines begin with blanks, so there is no dot to stuff */
	buf_add_str(to, "\r\n");
}

/* ---- what is to be done ----------------------------------------------------------------------------------- */

static void
mark_filters(struct apply *a)
{
	for (const struct edit *e = a->tx->edits.first; e != NULL; e = e->next) {
		if (e->dropped || e->kind == EDIT_ADD)
			continue;
		if (e->kind == EDIT_INSERT)
			a->rebuild = a->rebuild || e->index > 0;
		else
			a->fields[e->index] = e;
	}
}

static void
mark_policy(struct apply *a)
{
	const struct header_block *h = &a->tx->header;

	for (size_t n = 0; n < policy_rule_count(a->in->policy); n++) {
		const struct effect *e = walk_effect(a->in, policy_rule(a->in->policy, n));

		for (size_t f = 0; e != NULL && e->act == POLICY_ACT_REMOVE_HEADER && f < h->count; f++)
			if (span_ieq(h->fields[f].name, e->name))
				a->fields[f] = &removed;
	}
}

static enum sp_status
plan(struct apply *a)
{
	const struct header_block *h = &a->tx->header;

	a->fields = arena_alloc(a->tx->arena, (h->count + 1) * sizeof(*a->fields));
	if (a->fields == NULL)
		return SP_SYSTEM;
	mark_filters(a);
	mark_policy(a);
	for (size_t f = 0; f < h->count; f++)
		a->rebuild = a->rebuild || a->fields[f] != NULL;
	a->rebuild = a->rebuild || a->tx->edits.body != NULL;
	return a->rebuild && (h->faults & (HEADER_TOO_BIG | HEADER_TOO_MANY)) ? SP_LIMIT : SP_OK;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void
write_added(struct apply *a)
{
	for (const struct edit *e = a->tx->edits.first; e != NULL; e = e->next)
		if (!e->dropped && (e->kind == EDIT_ADD || (e->kind == EDIT_INSERT && e->index == 0))) {
			write_field(a, e->name, e->value);
			note(a, '+', e->name);
		}
	for (size_t n = 0; n < policy_rule_count(a->in->policy); n++) {
		const struct effect *e = walk_effect(a->in, policy_rule(a->in->policy, n));

		if (e != NULL && e->act == POLICY_ACT_ADD_HEADER) {
			write_field(a, e->name, e->value);
			note(a, '+', e->name);
		}
	}
}

static void
write_inserted(struct apply *a, size_t index)
{
	for (const struct edit *e = a->tx->edits.first; e != NULL; e = e->next)
		if (!e->dropped && e->kind == EDIT_INSERT && e->index == index) {
			write_field(a, e->name, e->value);
			note(a, '+', e->name);
		}
}

static void
write_header(struct apply *a)
{
	const struct header_block *h = &a->tx->header;

	for (size_t f = 0; f < h->count; f++) {
		const struct edit *e = a->fields[f];

		if (f > 0)
			write_inserted(a, f);
		if (e == NULL) {
			write_stuffed(&a->tx->head, h->fields[f].field);
			buf_add_str(&a->tx->head, "\r\n");
		} else if (e->kind == EDIT_REPLACE) {
			write_field(a, h->fields[f].name, e->value);
			note(a, '~', h->fields[f].name);
		} else {
			note(a, '-', h->fields[f].name);
		}
	}
	if (h->count > 0)
		write_inserted(a, h->count);
	if (h->had_empty_line || a->tx->edits.body != NULL)
		buf_add_str(&a->tx->head, "\r\n");
}

static enum sp_status
finish_body(struct apply *a)
{
	struct edits *all = &a->tx->edits;

	if (all->body == NULL)
		return SP_OK;
	if (!all->body_bol) {
		host_log(all->body_by, SP_LOG_ERROR, "edit refused: a body without CRLF at its end");
		return SP_INVALID;
	}
	note(a, '~', SPAN_LIT("body"));
	return spool_seal(all->body);
}

/* Where the spool goes on after the head. */
static enum sp_status
find_from(const struct apply *a, int64_t *ret)
{
	struct unstuff at;
	enum sp_status st;

	*ret = 0;
	if (!a->rebuild || a->tx->edits.body != NULL || a->tx->spool == NULL)
		return SP_OK;
	st = unstuff_find(&at, a->tx->spool, a->tx->header_octets);
	if (st == SP_OK)
		*ret = at.wire;
	return st == SP_NONE ? SP_SYSTEM : st; /* NONE: the spool is shorter than what went into it */
}

static void
drop_failed(struct apply *a)
{
	struct inspect *i = a->in;

	for (size_t n = 0; i->uses != NULL && n < policy_filter_count(i->policy); n++)
		if (i->uses[n].failed)
			edits_drop(a->tx, &i->uses[n]);
}

static enum sp_status
edit(struct apply *a)
{
	enum sp_status st = a->tx->edits.fault;

	drop_failed(a);
	if (st == SP_OK)
		st = plan(a);
	if (st == SP_OK)
		st = finish_body(a);
	if (st != SP_OK)
		return st;
	write_added(a);
	if (a->rebuild)
		write_header(a);
	return SP_OK;
}

enum sp_status
inspect_apply(struct inspect *i, struct sp_span trace, struct inspect_output *ret)
{
	struct apply a = { .in = i, .tx = i->tx };
	enum sp_status st = SP_OK;
	int64_t from = 0;

	if (a.tx == NULL || !a.tx->header.complete || a.tx->fault != SP_OK)
		return SP_INVALID;
	buf_fini(&a.tx->head);
	buf_init(&a.tx->head, HEAD_OCTETS);
	buf_clear(&a.tx->edit_note);
	buf_init(&a.tx->edit_note, NOTE_OCTETS);
	buf_add(&a.tx->head, trace);
	if (!i->client.shadow)
		st = edit(&a);
	if (st == SP_OK && a.tx->blank_first && a.tx->header.count == 0 && !a.rebuild && a.tx->head.len > 0)
		buf_add_str(&a.tx->head, "\r\n"); /* or the body's first line would fold our last field */
	if (st == SP_OK)
		st = find_from(&a, &from);
	if (st == SP_OK)
		st = buf_status(&a.tx->head);
	if (st != SP_OK) {
		buf_clear(&a.tx->edit_note);
		return st;
	}
	*ret = (struct inspect_output){ .head = buf_span(&a.tx->head), .from = from,
		.body = i->client.shadow ? NULL : a.tx->edits.body };
	return SP_OK;
}
