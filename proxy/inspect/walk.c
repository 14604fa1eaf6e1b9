/*
 * walk.c - asking the policy: one walk of its rules for the connection, which forks at HELO, at MAIL, and, where rules
 * look at recipients, for each of them.
 *
 * A walk that could not be had for want of memory defers: nothing goes on because something failed.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

const char walk_no_memory[] = "out of memory";

struct policy_verdict
walk_failed(enum sp_stage stage, const char *text)
{
	return (struct policy_verdict){ .verdict = POLICY_DEFER, .stage = stage, .code = 451,
		.enhanced = SPAN_LIT("4.3.0"), .text = span_str(text) };
}

void
walk_fork(struct inspect *i, struct target *t, const struct target *from, struct arena *a)
{
	*t = (struct target){ .arena = a };
	if (from == NULL)
		t->eval = policy_eval_new(i->policy, a);
	else if (from->eval != NULL)
		t->eval = policy_eval_fork(from->eval, a);
}

struct policy_verdict
walk_target(struct inspect *i, struct target *t, struct recipient *r, enum sp_stage stage)
{
	i->stage = stage;
	i->rcpt = r;
	i->walking = t;
	if (t->eval == NULL)
		t->verdict = walk_failed(stage, walk_no_memory);
	else
		t->verdict = policy_eval_stage(t->eval, stage, &i->host);
	if (t->verdict.verdict == POLICY_UNDECIDED && stage == SP_EOM)
		t->verdict = walk_failed(stage, "no rule decided");
	i->walking = NULL;
	i->last = t;
	return t->verdict;
}

/* ---- several recipients --------------------------------------------------------------------------------- */

/* Who speaks for all: a refusal before the end only when it is the last word.  A message that one recipient is to get
 * is not discarded for another's sake, or his mail would vanish; but one that is held for quarantine is held for all. */
static int
weight(const struct policy_verdict *v)
{
	switch (v->verdict) {
	case POLICY_DISCARD:
		return 1;
	case POLICY_ACCEPT:
		return v->backend.len > 0 ? 3 : 2;
	case POLICY_DEFER:
		return 4;
	case POLICY_UNDECIDED:
		return 5;
	case POLICY_REJECT:
		return 6;
	}
	return 6;
}

/* Does a speak rather than b? Where each has a reply of his own, the mildest does; but one that is held is held for all. */
static bool
speaks_over(const struct transaction *tx, const struct policy_verdict *a, const struct policy_verdict *b)
{
	bool accepts = a->verdict == POLICY_ACCEPT, other = b->verdict == POLICY_ACCEPT;

	if (!tx->each || (accepts && other))
		return weight(a) > weight(b);
	if (accepts || other)
		return accepts;
	if (a->verdict == POLICY_UNDECIDED || b->verdict == POLICY_UNDECIDED)
		return b->verdict != POLICY_UNDECIDED;
	return weight(a) < weight(b);
}

void
inspect_each(struct inspect *i)
{
	if (i->tx != NULL)
		i->tx->each = true;
}

enum sp_status
inspect_verdict(const struct inspect *i, size_t index, struct policy_verdict *ret)
{
	const struct recipient *r = i->tx != NULL && i->per_rcpt ? i->tx->rcpts : NULL;

	while (r != NULL && index-- > 0)
		r = r->next;
	if (r == NULL)
		return SP_NONE;
	*ret = r->target.verdict;
	return SP_OK;
}

struct policy_verdict
walk_all(struct inspect *i, enum sp_stage stage)
{
	struct transaction *tx = i->tx;
	struct target *speaks = NULL;
	struct recipient *whose = NULL;

	if (!i->per_rcpt || tx->rcpts == NULL)
		return walk_target(i, &tx->target, NULL, stage);
	for (struct recipient *r = tx->rcpts; r != NULL; r = r->next) {
		struct policy_verdict v = walk_target(i, &r->target, r, stage);

		if (speaks == NULL || speaks_over(tx, &v, &speaks->verdict)) {
			speaks = &r->target;
			whose = r;
		}
		if (v.verdict == POLICY_REJECT && !tx->each)
			break; /* nobody can be stricter */
	}
	i->rcpt = whose;
	i->last = speaks;
	return speaks->verdict;
}

const struct target *
walk_next(const struct inspect *i, struct walk_iter *at)
{
	const struct transaction *tx = i->tx;
	const struct recipient *r = at->rcpt;

	switch (at->step) {
	case 0:
		at->step++;
		return &i->connect;
	case 1:
		at->step++;
		return &i->helo;
	case 2:
		at->step++;
		at->rcpt = tx != NULL ? tx->rcpts : NULL;
		return tx != NULL ? &tx->target : NULL;
	case 3:
		if (r != NULL) {
			at->rcpt = r->next;
			return &r->target;
		}
		at->step++;
		return tx != NULL && tx->pending != NULL ? &tx->pending->target : NULL;
	default:
		return NULL;
	}
}

/* ---- what rules ask for ------------------------------------------------------------------------------------ */

static enum sp_status
note_effect(struct target *t, const struct policy_action *action)
{
	struct effect *e = arena_alloc(t->arena, sizeof(*e));

	if (e == NULL)
		return SP_SYSTEM;
	e->act = action->act;
	e->rule = action->rule;
	e->name = arena_copy(t->arena, action->name);
	e->value = arena_copy(t->arena, action->value);
	if (e->name.ptr == NULL || e->value.ptr == NULL)
		return SP_SYSTEM;
	e->next = t->effects;
	t->effects = e;
	return SP_OK;
}

enum sp_status
walk_act(void *arg, const struct policy_action *action)
{
	struct inspect *i = arg;

	if (action->act == POLICY_ACT_FILTER)
		return demand_filter(i, action->filter);
	if (action->act == POLICY_ACT_ADD_HEADER && !header_may_write(action->name, action->value))
		return SP_INVALID;
	return note_effect(i->walking, action);
}

bool
walk_goes_without(const struct inspect *i, const struct target *t)
{
	return i->tx != NULL && i->tx->each && t->verdict.verdict != POLICY_UNDECIDED && t->verdict.verdict != POLICY_ACCEPT;
}

const struct effect *
walk_effect(const struct inspect *i, const struct policy_rule *rule)
{
	struct walk_iter at = { 0 };
	const struct target *t;

	while ((t = walk_next(i, &at)) != NULL)
		for (const struct effect *e = walk_goes_without(i, t) ? NULL : t->effects; e != NULL; e = e->next)
			if (e->rule == rule)
				return e;
	return NULL;
}
