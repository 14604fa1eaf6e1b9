/*
 * apply.c - the message that goes on: our own fields, and, if any field that came was removed or replaced, the rebuilt header in
 * wire form; then the spool from where that ends.
 *
 * From top to bottom: what on_final put there, what filters put above our own fields, our Authentication-Results, the trace
 * field, what was added (first the filters', in the order of their calls, then the policy's, in the order of the file), the
 * header that came.  "remove-header" means the fields that came, whatever a filter has made of them.
 *
 * Where the header of what came ends at a line that is no field, the empty line is put in, as Postfix does: a reader that
 * goes on looking for fields would find in the body those that we have not seen, and would not find what we signed.
 *
 * Fields that came and claim to be our own Authentication-Results are removed whatever the policy says, in shadow
 * mode too (RFC 8601 section 5; CASES H03), and so are those of which readers may differ whose they are.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

/* HEAD_OCTETS: the 16 MiB that a listener may take, a quarter more where each line begins with a dot, and what is added. */
enum { HEAD_OCTETS = 24 << 20, NOTE_OCTETS = 16 * 1024 };

struct apply {
	struct inspect *in;
	struct transaction *tx;
	const struct draft *draft;
	bool *removed;         /* by field that came: a rule removes it */
	size_t forged;         /* how many of them claim our id */
	struct new_body *body; /* instead of the message's; null: its own */
	bool edits;            /* filters and policy have a say */
	bool rebuild;
	struct final final;
};

static void
note(struct apply *a, char sign, struct sp_span name)
{
	inspect_note_edit(a->tx, sign, name);
}

/* ---- what is to be done ----------------------------------------------------------------------------------- */

static void
mark_policy(struct apply *a)
{
	const struct header_block *h = &a->tx->header;

	for (size_t n = 0; n < policy_rule_count(a->in->policy); n++) {
		const struct effect *e = walk_effect(a->in, policy_rule(a->in->policy, n));

		for (size_t f = 0; e != NULL && e->act == POLICY_ACT_REMOVE_HEADER && f < h->count; f++)
			if (span_ieq(h->fields[f].name, e->name))
				a->removed[f] = true;
	}
}

/* The field as it goes on; null: it does not. */
static const struct header_field *
goes_on(const struct apply *a, const struct draft_node *n)
{
	if (n->forged || (n->came != NULL && a->removed[n->came - a->tx->header.fields]))
		return NULL;
	return a->edits ? draft_field(n) : n->came;
}

/* Does the header that came stay as it is? */
static bool
changes_header(const struct apply *a)
{
	bool below = false;

	for (const struct draft_node *n = a->draft->first; n != NULL; n = n->next) {
		below = below || n->came != NULL;
		if (below && goes_on(a, n) != n->came)
			return true;
	}
	return false;
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

	a->draft = draft_of(a->in);
	a->removed = arena_alloc(a->tx->arena, h->count + 1);
	if (a->draft == NULL || a->removed == NULL)
		return SP_SYSTEM;
	if (a->edits)
		mark_policy(a);
	a->rebuild = a->body != NULL || (h->count > 0 && lacks_end(a)) || changes_header(a);
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
add_by_rules(struct apply *a)
{
	enum sp_status st = SP_OK;

	for (size_t n = 0; n < policy_rule_count(a->in->policy) && st == SP_OK; n++) {
		const struct effect *e = walk_effect(a->in, policy_rule(a->in->policy, n));

		if (e != NULL && e->act == POLICY_ACT_ADD_HEADER)
			st = add_field(a, e->name, e->value);
	}
	return st;
}

static void
note_field(struct apply *a, const struct header_field *came, const struct header_field *is)
{
	if (came == is)
		return;
	if (came != NULL && is != NULL && span_ieq(came->name, is->name)) {
		note(a, '~', came->name);
		return;
	}
	if (came != NULL)
		note(a, '-', came->name);
	if (is != NULL)
		note(a, '+', is->name);
}

static void
add_node(struct apply *a, const struct draft_node *n)
{
	const struct header_field *f = goes_on(a, n);

	if (n->forged)
		a->forged++;
	else
		note_field(a, n->came, f);
	if (f != NULL)
		final_add_field(&a->final, f);
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

/* How many fields there may be at most. */
static size_t
room(const struct apply *a)
{
	size_t count = 2 + policy_rule_count(a->in->policy);

	for (const struct draft_node *n = a->draft->first; n != NULL; n = n->next)
		count++;
	for (const struct completion *c = a->tx->completions; c != NULL; c = c->next)
		count++;
	return count;
}

static enum sp_status
add_own(struct apply *a, struct sp_span trace)
{
	enum sp_status st = a->edits ? add_results(a) : SP_OK;

	if (st == SP_OK)
		st = add_trace(a, trace);
	return st == SP_OK ? add_completions(a) : st;
}

static enum sp_status
compose(struct apply *a, struct sp_span trace)
{
	enum sp_status st = final_init(&a->final, a->tx, room(a), a->body);
	bool below = false;

	for (const struct draft_node *n = a->draft->first; n != NULL && st == SP_OK; n = n->next) {
		if (n->came != NULL && !below)
			a->final.ours = a->final.count;
		below = below || n->came != NULL;
		if (n->kind == DRAFT_TRACE)
			st = add_own(a, trace);
		else if (n->kind == DRAFT_POLICY)
			st = a->edits ? add_by_rules(a) : SP_OK;
		else
			add_node(a, n);
	}
	if (!below)
		a->final.ours = a->final.count;
	note_forged(a);
	return st;
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
	enum sp_status st = a->body == NULL ? SP_OK : newbody_seal(a->body);

	if (a->body != NULL && st == SP_OK)
		note(a, '~', SPAN_LIT("body"));
	return st;
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

static enum sp_status
apply(struct apply *a, struct sp_span trace, int64_t *ret_from)
{
	enum sp_status st = a->edits ? edits_fault(&a->tx->edits) : SP_OK;

	a->body = a->edits ? newbody_seen(&a->tx->edits, NULL) : NULL;
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
	envelope_note(a->in, &a->tx->edit_note);
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
	*ret = (struct inspect_output){ .head = buf_span(&a.tx->head), .from = from, .body = a.body != NULL ? a.body->spool : NULL };
	return SP_OK;
}
