/*
 * notes.c - what the log line and "explain" are told of a session or transaction.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

unsigned
inspect_header_faults(const struct inspect *i)
{
	return i->tx != NULL ? i->tx->header.faults : 0;
}

unsigned
inspect_received(const struct inspect *i)
{
	return i->tx != NULL ? i->tx->header.received : 0;
}

const struct policy_eval *
inspect_eval(const struct inspect *i)
{
	return i->last != NULL ? i->last->eval : NULL;
}

const struct policy_host *
inspect_policy_host(struct inspect *i)
{
	return &i->host;
}

double
inspect_score(const struct inspect *i)
{
	const struct policy_eval *eval = inspect_eval(i);

	return eval != NULL ? policy_eval_score(eval) : 0;
}

int64_t
inspect_filter_ns(const struct inspect *i)
{
	return i->tx != NULL ? i->tx->filter_ns : 0;
}

struct sp_span
inspect_message_id(const struct inspect *i)
{
	const struct header_field *f = NULL;

	if (i->tx != NULL && i->tx->header.complete)
		f = header_find(&i->tx->header, SPAN_LIT("Message-ID"), 0);
	return f != NULL ? header_unfold(i->tx->arena, f->value) : SPAN_LIT("");
}

static void
add(struct buf *to, struct sp_span s)
{
	if (to->len > 0)
		buf_add_char(to, ',');
	buf_add(to, s);
}

void
inspect_note_edit(struct transaction *tx, char sign, struct sp_span name)
{
	struct buf *to = &tx->edit_note;

	if (to->len > 0)
		buf_add_char(to, ',');
	buf_add_char(to, sign);
	buf_add(to, name);
}

/* What there is no room for is "...". */
static void
add_list(struct buf *to, struct sp_span list)
{
	static const char more[] = ",...";
	size_t room = to->max - to->len;

	if (list.len > room) {
		list = span_head(list, room > sizeof(more) ? room - sizeof(more) : 0);
		while (list.len > 0 && list.ptr[list.len - 1] != ',')
			list.len--;
		buf_add(to, list);
		buf_add_str(to, more + 1);
	} else {
		buf_add(to, list);
	}
}

/* The walk of the transaction's end that fired a rule which does not decide; false: none. */
static bool
fired(const struct inspect *i, const struct policy_rule *rule, size_t index)
{
	struct walk_iter at = { 0 };
	const struct target *t;

	if (i->last == NULL || rule == i->last->verdict.rule)
		return false;
	while ((t = walk_next(i, &at)) != NULL)
		if (t->eval != NULL && policy_eval_trace(t->eval, index).outcome == POLICY_RULE_FIRED)
			return true;
	return false;
}

void
inspect_notes(const struct inspect *i, const struct inspect_notes *to)
{
	for (size_t n = 0; n < policy_rule_count(i->policy); n++) {
		const struct policy_rule *rule = policy_rule(i->policy, n);
		const struct effect *e = to->tags != NULL || to->logs != NULL ? walk_effect(i, rule) : NULL;

		if (to->rules != NULL && fired(i, rule, n)) {
			add(to->rules, policy_rule_name(rule));
			if (policy_rule_shadow(rule))
				buf_add_str(to->rules, "(shadow)");
		}
		if (e != NULL && e->act == POLICY_ACT_TAG && to->tags != NULL)
			add(to->tags, e->name);
		else if (e != NULL && e->act == POLICY_ACT_LOG && to->logs != NULL)
			add(to->logs, e->value);
	}
	if (to->edits != NULL && i->tx != NULL && i->tx->edit_note.len > 0)
		add_list(to->edits, buf_span(&i->tx->edit_note));
	else if (to->edits != NULL && i->tx != NULL && i->tx->verdict.verdict == POLICY_ACCEPT && envelope_is_empty(i))
		envelope_note(i, to->edits);
}
