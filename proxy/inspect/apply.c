/*
 * apply.c - the message that goes on: our own fields, and, if any field that came was removed or replaced, the rebuilt header in
 * wire form; then the spool from where that ends.
 *
 * From top to bottom: what on_final put there, our Authentication-Results, the trace field, what was added (first the
 * filters', in the order of their calls, then the policy's, in the order of the file), the header that came.
 * "remove-header" means the fields that came.
 *
 * Where the header of what came ends at a line that is no field, the empty line is put in, as Postfix does: a reader that
 * goes on looking for fields would find in the body those that we have not seen, and would not find what we signed.
 *
 * Fields that came and claim to be our own Authentication-Results are removed whatever the policy says, in shadow
 * mode too (RFC 8601 section 5; CASES H03), and so are those of which readers may differ whose they are.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"
#include "proxy/smtp/authres.h"

/* HEAD_OCTETS: the 16 MiB that a listener may take, a quarter more where each line begins with a dot, and what is added. */
enum { HEAD_OCTETS = 24 << 20, NOTE_OCTETS = 16 * 1024 };

struct apply {
	struct inspect *in;
	struct transaction *tx;
	const struct edit **fields; /* the last edit of each field that came; null: it stays */
	size_t forged;              /* how many of them claim our id */
	struct spool *body;         /* instead of the message's; null: its own */
	bool edits;                 /* filters and policy have a say */
	bool rebuild;
	struct final final;
};

static const struct edit removed = { .kind = EDIT_REMOVE }, forged = { .kind = EDIT_REMOVE };

static void
note(struct apply *a, char sign, struct sp_span name)
{
	inspect_note_edit(a->tx, sign, name);
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

static void
mark_forged(struct apply *a)
{
	const struct header_block *h = &a->tx->header;
	struct sp_span id = span_str(a->in->client.auth_id);

	for (size_t f = 0; f < h->count; f++)
		if (span_ieq(h->fields[f].name, SPAN_LIT(AUTHRES_FIELD)) &&
			authres_claims(h->fields[f].value, id) != AUTHRES_OTHER) {
			a->fields[f] = &forged;
			a->forged++;
		}
}

/* Is there a body, and nothing between it and the header? (At a limit of the header nobody knows, and it is refused.) */
static bool
lacks_end(const struct apply *a)
{
	const struct header_block *h = &a->tx->header;

	return !h->had_empty_line && a->tx->octets > a->tx->header_octets && !(h->faults & (HEADER_TOO_BIG | HEADER_TOO_MANY));
}

static enum sp_status
plan(struct apply *a)
{
	const struct header_block *h = &a->tx->header;

	a->fields = arena_alloc(a->tx->arena, (h->count + 1) * sizeof(*a->fields));
	if (a->fields == NULL)
		return SP_SYSTEM;
	if (a->edits) {
		mark_filters(a);
		mark_policy(a);
	}
	mark_forged(a);
	for (size_t f = 0; f < h->count; f++)
		a->rebuild = a->rebuild || a->fields[f] != NULL;
	a->rebuild = a->rebuild || a->body != NULL || (h->count > 0 && lacks_end(a));
	return a->rebuild && (h->faults & (HEADER_TOO_BIG | HEADER_TOO_MANY)) ? SP_LIMIT : SP_OK;
}

/* ---- the fields, from top to bottom ------------------------------------------------------------------------- */

static enum sp_status
add_results(struct apply *a)
{
	struct sp_span value;

	if (!results_are_written(a->in))
		return SP_OK;
	value = results_compose(a->in);
	if (value.ptr == NULL)
		return SP_SYSTEM;
	note(a, '+', SPAN_LIT(AUTHRES_FIELD));
	return final_add(&a->final, SPAN_LIT(AUTHRES_FIELD), value);
}

static enum sp_status
add_trace(struct apply *a, struct sp_span trace)
{
	size_t colon = span_find(trace, ':');

	if (trace.len < 2)
		return SP_OK;
	trace.len -= 2; /* its CRLF */
	final_add_field(&a->final,
		&(struct header_field){ .name = span_head(trace, colon), .value = span_from(trace, colon + 1), .field = trace });
	return SP_OK;
}

static enum sp_status
add_field(struct apply *a, struct sp_span name, struct sp_span value)
{
	note(a, '+', name);
	return final_add(&a->final, name, value);
}

static enum sp_status
add_completions(struct apply *a)
{
	enum sp_status st = SP_OK;

	for (const struct completion *c = a->tx->completions; c != NULL && st == SP_OK; c = c->next)
		st = add_field(a, c->name, c->value);
	return st;
}

static enum sp_status
add_added(struct apply *a)
{
	enum sp_status st = SP_OK;

	for (const struct edit *e = a->tx->edits.first; e != NULL && st == SP_OK; e = e->next)
		if (!e->dropped && (e->kind == EDIT_ADD || (e->kind == EDIT_INSERT && e->index == 0)))
			st = add_field(a, e->name, e->value);
	for (size_t n = 0; n < policy_rule_count(a->in->policy) && st == SP_OK; n++) {
		const struct effect *e = walk_effect(a->in, policy_rule(a->in->policy, n));

		if (e != NULL && e->act == POLICY_ACT_ADD_HEADER)
			st = add_field(a, e->name, e->value);
	}
	return st;
}

static enum sp_status
add_inserted(struct apply *a, size_t index)
{
	enum sp_status st = SP_OK;

	for (const struct edit *e = a->tx->edits.first; a->edits && e != NULL && st == SP_OK; e = e->next)
		if (!e->dropped && e->kind == EDIT_INSERT && e->index == index)
			st = add_field(a, e->name, e->value);
	return st;
}

/* A field that came, or what stands in its place. */
static enum sp_status
add_came(struct apply *a, size_t index)
{
	const struct header_field *f = &a->tx->header.fields[index];
	const struct edit *e = a->fields[index];

	if (e == NULL) {
		final_add_field(&a->final, f);
		return SP_OK;
	}
	if (e->kind == EDIT_REPLACE) {
		note(a, '~', f->name);
		return final_add(&a->final, f->name, e->value);
	}
	if (e != &forged)
		note(a, '-', f->name);
	return SP_OK;
}

static void
note_forged(struct apply *a)
{
	struct buf text;

	if (a->forged == 0)
		return;
	buf_init(&text, 64);
	buf_add_str(&text, AUTHRES_FIELD);
	if (a->forged > 1)
		buf_printf(&text, "*%zu", a->forged);
	note(a, '-', buf_span(&text));
	buf_fini(&text);
}

static enum sp_status
add_header(struct apply *a)
{
	const struct header_block *h = &a->tx->header;
	enum sp_status st = SP_OK;

	for (size_t f = 0; f < h->count && st == SP_OK; f++) {
		if (f > 0)
			st = add_inserted(a, f);
		if (st == SP_OK)
			st = add_came(a, f);
	}
	if (h->count > 0 && st == SP_OK)
		st = add_inserted(a, h->count);
	note_forged(a);
	return st;
}

/* How many fields there may be at most. */
static size_t
room(const struct apply *a)
{
	size_t count = 2 + a->tx->header.count + policy_rule_count(a->in->policy);

	for (const struct edit *e = a->tx->edits.first; e != NULL; e = e->next)
		count++;
	for (const struct completion *c = a->tx->completions; c != NULL; c = c->next)
		count++;
	return count;
}

static enum sp_status
compose(struct apply *a, struct sp_span trace)
{
	enum sp_status st = final_init(&a->final, a->tx, room(a), a->body);

	if (st == SP_OK && a->edits)
		st = add_results(a);
	if (st == SP_OK)
		st = add_trace(a, trace);
	if (st == SP_OK)
		st = add_completions(a);
	if (st == SP_OK && a->edits)
		st = add_added(a);
	a->final.ours = a->final.count;
	return st == SP_OK ? add_header(a) : st;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

/* Appends lines with their leading dots doubled (RFC 5321 4.5.2), and a CRLF; the first octet begins a line. */
static void
write_field(struct buf *to, struct sp_span lines)
{
	while (lines.len > 0) {
		size_t lf = span_find(lines, '\n');
		size_t len = lf < lines.len ? lf + 1 : lf;

		if (lines.ptr[0] == '.')
			buf_add_char(to, '.');
		buf_add(to, span_head(lines, len));
		lines = span_from(lines, len);
	}
	buf_add_str(to, "\r\n");
}

static void
write_head(struct apply *a)
{
	struct buf *to = &a->tx->head;
	const struct header_block *h = &a->tx->header;
	size_t count = a->rebuild ? a->final.count : a->final.ours;

	for (size_t n = a->final.top_count; n > 0; n--)
		write_field(to, a->final.top[n - 1].field);
	for (size_t n = 0; n < count; n++)
		write_field(to, a->final.fields[n].field);
	if (a->rebuild && (h->had_empty_line || a->body != NULL)) {
		buf_add_str(to, "\r\n");
	} else if (lacks_end(a) && (a->rebuild || to->len > 0)) {
		buf_add_str(to, "\r\n");
		note(a, '+', SPAN_LIT("empty-line"));
	}
}

static enum sp_status
finish_body(struct apply *a)
{
	struct edits *all = &a->tx->edits;

	if (a->body == NULL)
		return SP_OK;
	if (!all->body_bol) {
		host_log(all->body_by, SP_LOG_ERROR, "edit refused: a body without CRLF at its end");
		return SP_INVALID;
	}
	note(a, '~', SPAN_LIT("body"));
	return spool_seal(a->body);
}

/* Where the spool goes on after the head. */
static enum sp_status
find_from(const struct apply *a, int64_t *ret)
{
	struct unstuff at;
	enum sp_status st;

	*ret = 0;
	if (!a->rebuild || a->body != NULL || a->tx->spool == NULL)
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
apply(struct apply *a, struct sp_span trace, int64_t *ret_from)
{
	enum sp_status st = a->edits ? a->tx->edits.fault : SP_OK;

	drop_failed(a);
	a->body = a->edits ? a->tx->edits.body : NULL;
	if (st == SP_OK)
		st = plan(a);
	if (st == SP_OK)
		st = finish_body(a);
	if (st == SP_OK)
		st = compose(a, trace);
	if (st == SP_OK && a->edits)
		st = final_run(a->in, &a->final);
	if (st == SP_OK)
		st = find_from(a, ret_from);
	if (st != SP_OK)
		return st;
	write_head(a);
	return buf_status(&a->tx->head);
}

enum sp_status
inspect_apply(struct inspect *i, struct sp_span trace, struct inspect_output *ret)
{
	struct apply a = { .in = i, .tx = i->tx, .edits = !i->client.shadow };
	enum sp_status st;
	int64_t from;

	if (a.tx == NULL || !a.tx->header.complete || a.tx->fault != SP_OK)
		return SP_INVALID;
	buf_fini(&a.tx->head);
	buf_init(&a.tx->head, HEAD_OCTETS);
	buf_clear(&a.tx->edit_note);
	buf_init(&a.tx->edit_note, NOTE_OCTETS);
	st = apply(&a, trace, &from);
	if (st != SP_OK) {
		buf_clear(&a.tx->edit_note);
		return st;
	}
	*ret = (struct inspect_output){ .head = buf_span(&a.tx->head), .from = from, .body = a.body };
	return SP_OK;
}
