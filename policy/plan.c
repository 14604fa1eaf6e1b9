/*
 * plan.c - stage inference: when is each rule known, and when may it have effect?
 *
 * A rule is known when all that it reads is: facts, and the rules above whose score, tag or filter it
 * reads.  It has effect when, besides, no rule above that is still open could decide otherwise:
 *   reject, defer     wait for rules above of another class;
 *   accept, discard   wait also for rules above that the file's default for unknown facts could make
 *                     defer, and for effects above: they must not let pass what the file, read from
 *                     top to bottom, would have held up;
 *   other verbs       wait for every rule above that can decide;
 *   backend           waits only for those that could accept;
 *   quarantine        waits as an accept does, and for accepts above as well: they are not the same.
 * A terminal rule above is out of the way as soon as it is known (it then says no, or its verdict
 * stands); one with an effect when it has had it; one whose filter decides at the end of the message.
 * A filter's word can only hold a message up: refusals and effects below do not wait for it, accept and discard do.
 *
 * All that is worked out lies in the policy's arena.
 */
#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "policy/policy_priv.h"

/* What a rule reads; refs null: only count. */
struct reading {
	const struct policy *p;
	struct policy_rule *rule;
	const struct sp_fact_ref **refs;
	size_t count;
};

static enum sp_stage
later(enum sp_stage a, enum sp_stage b)
{
	return a > b ? a : b;
}

/* ---- what a rule reads --------------------------------------------------------------------- */

static void
read_fact(struct reading *rd, const struct sp_fact_ref *ref)
{
	if (rd->refs != NULL)
		for (size_t i = 0; i < rd->count; i++)
			if (rd->refs[i] == ref)
				return;
	if (rd->refs != NULL)
		rd->refs[rd->count] = ref;
	rd->count++;
}

/* The rule reads what rule above does. */
static void
depend(struct reading *rd, const struct policy_rule *above)
{
	rd->rule->known = later(rd->rule->known, above->fires);
	rd->rule->reads_rcpt |= above->reads_rcpt;
}

static void
depend_on_all(struct reading *rd, enum rule_verb verb, struct sp_span tag, int filter)
{
	for (size_t i = 0; i < rd->rule->index; i++) {
		const struct policy_rule *above = rd->p->rules[i];

		if (above->shadow || above->verb != verb || (tag.ptr != NULL && !span_eq(above->arg_name, tag)) ||
			(filter >= 0 && above->filter != (size_t)filter))
			continue;
		depend(rd, above);
	}
}

static void
read_expr(struct reading *rd, const struct expr *e)
{
	for (; e != NULL; e = e->left) {
		if (e->op == EXPR_FACT)
			read_fact(rd, e->ref);
		else if (e->op == EXPR_SCORE)
			depend_on_all(rd, VERB_SCORE, span_of(NULL, 0), -1);
		else if (e->op == EXPR_TAGGED)
			depend_on_all(rd, VERB_TAG, e->value.u.text, -1);
		for (size_t i = 0; i < e->item_count; i++)
			read_expr(rd, e->items[i]);
		read_expr(rd, e->right);
	}
}

static void
read_template(struct reading *rd, const struct template *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->parts[i].ref != NULL)
			read_fact(rd, t->parts[i].ref);
}

static void
read_rule(struct reading *rd)
{
	const struct policy_rule *r = rd->rule;

	rd->count = 0;
	read_expr(rd, r->condition);
	read_template(rd, rule_is_terminal(r) ? &r->reply.text : &r->arg);
	if (r->on_unknown == UNKNOWN_VERDICT)
		read_template(rd, &r->unknown.text);
}

static bool
is_per_rcpt(const struct sp_fact_ref *ref)
{
	if (ref->space != NULL)
		return strcmp(ref->space->name, "rcpt") == 0;
	return ref->filter >= 0 && ref->stage == SP_RCPT;
}

static bool
is_on_demand(const struct policy *p, const struct sp_fact_ref *ref)
{
	return ref->filter >= 0 && (size_t)ref->filter < p->filter_count && p->filters[ref->filter].on_demand;
}

/* Fills in reads, known and reads_rcpt. */
static enum sp_status
infer_known(struct policy *p, struct policy_rule *r)
{
	struct reading rd = { .p = p, .rule = r };

	r->known = r->pinned >= 0 ? (enum sp_stage)r->pinned : SP_CONNECT;
	r->reads_rcpt = false;
	read_rule(&rd);
	rd.refs = arena_alloc(p->arena, rd.count * sizeof(*rd.refs));
	if (rd.refs == NULL)
		return SP_SYSTEM;
	read_rule(&rd);
	r->reads = rd.refs;
	r->read_count = rd.count;
	for (size_t i = 0; i < rd.count; i++) {
		r->known = later(r->known, rd.refs[i]->stage);
		r->reads_rcpt |= is_per_rcpt(rd.refs[i]);
		if (is_on_demand(p, rd.refs[i]))
			depend_on_all(&rd, VERB_FILTER, span_of(NULL, 0), rd.refs[i]->filter);
	}
	return SP_OK;
}

/* ---- for whom it waits --------------------------------------------------------------------- */

static unsigned char
bit(unsigned c)
{
	return (unsigned char)(1u << c);
}

unsigned
plan_class(const struct policy_rule *r)
{
	if (!rule_is_terminal(r))
		return POLICY_UNDECIDED;
	return r->verb == VERB_QUARANTINE ? PLAN_QUARANTINE : r->reply.verdict;
}

static void
infer_decides(const struct policy *p, struct policy_rule *r)
{
	r->decides = rule_is_terminal(r) ? bit(plan_class(r)) : 0;
	r->defaults = rule_is_terminal(r) ? 0 : bit(POLICY_UNDECIDED);
	/* a filter's word, and what is said in its stead, only holds up: to be open is enough to stop an accept; but this may be one */
	if (r->on_unknown == UNKNOWN_VERDICT && (!r->awaits || r->unknown.verdict == POLICY_ACCEPT))
		r->decides |= bit(r->unknown.verdict);
	/* a filter or a header edit may fail even where nothing is read */
	if (r->on_unknown == UNKNOWN_DEFAULT && (r->read_count > 0 || !rule_is_terminal(r)))
		r->defaults |= bit(p->unknown.verdict);
}

/* Does the filter that r calls decide, so that its word is waited for? */
static bool
is_awaited(const struct policy *p, const struct policy_rule *r)
{
	const struct policy_filter *f = r->verb == VERB_FILTER && r->filter < p->filter_count ? &p->filters[r->filter] : NULL;

	return f != NULL && !r->shadow && f->module != NULL && f->module->decides != NULL && f->module->decides(f->conf);
}

bool
plan_blocks(unsigned decides, unsigned defaults, unsigned c)
{
	if (c == POLICY_ACCEPT || c == POLICY_DISCARD || c == PLAN_QUARANTINE)
		decides |= defaults;
	if (c != PLAN_QUARANTINE) /* two of them may mean different backends */
		decides &= ~(unsigned)bit(c);
	return decides != 0;
}

/* Where mail goes is settled by RCPT or never, and a refusal above makes it moot; only an accept would have passed it over. */
bool
plan_effect_blocks(unsigned decides, const struct policy_rule *r)
{
	return r->verb == VERB_BACKEND ? (decides & bit(POLICY_ACCEPT)) != 0 : plan_blocks(decides, 0, POLICY_UNDECIDED);
}

/* Must r wait for this one above, to have an outcome of class c (POLICY_UNDECIDED: its effect)? */
static bool
waits_for(const struct policy_rule *r, const struct policy_rule *above, unsigned c)
{
	return c == POLICY_UNDECIDED ? plan_effect_blocks(above->decides, r) : plan_blocks(above->decides, above->defaults, c);
}

/* Of two rules that r waits for equally long, the one that is easier to understand as a reason. */
static bool
is_better_reason(const struct policy_rule *than, const struct policy_rule *r, unsigned c)
{
	return !plan_blocks(than->decides, 0, c) && plan_blocks(r->decides, 0, c);
}

/* When r could have an outcome of class c; *ret_by: the rule above that makes it so late, or null. */
static enum sp_stage
infer_wait(const struct policy *p, const struct policy_rule *r, unsigned c, const struct policy_rule **ret_by)
{
	enum sp_stage stage = r->known;

	*ret_by = NULL;
	for (size_t i = 0; !r->shadow && i < r->index; i++) {
		const struct policy_rule *above = p->rules[i];
		enum sp_stage settled = above->awaits ? SP_EOM : rule_is_terminal(above) ? above->known : above->fires;

		if (above->shadow || !waits_for(r, above, c) || settled < stage)
			continue;
		if (settled > stage || (*ret_by != NULL && is_better_reason(*ret_by, above, c)))
			*ret_by = above;
		stage = settled;
	}
	return stage;
}

/* The stage after which r is surely decided, even when a fact is unknown. */
static enum sp_stage
infer_last(const struct policy *p, const struct policy_rule *r)
{
	const struct policy_rule *by;
	enum policy_class c = r->on_unknown == UNKNOWN_VERDICT ? r->unknown.verdict : p->unknown.verdict;

	if (r->awaits)
		return SP_EOM;
	if (r->on_unknown == UNKNOWN_SKIP)
		return r->fires;
	return later(r->fires, infer_wait(p, r, c, &by));
}

enum sp_status
plan_infer(struct policy *p)
{
	p->reads_rcpt = false;
	for (size_t i = 0; i < p->rule_count; i++) {
		struct policy_rule *r = p->rules[i];

		MUST(r->index == i);
		if (infer_known(p, r) != SP_OK)
			return SP_SYSTEM;
		r->awaits = is_awaited(p, r);
		infer_decides(p, r);
		r->fires = infer_wait(p, r, plan_class(r), &r->waits_for);
		if (r->awaits || (r->reads_rcpt && infer_last(p, r) > SP_RCPT)) /* a filter's word may be about one recipient */
			p->reads_rcpt = true;
	}
	return SP_OK;
}

bool
plan_unreachable(const struct policy *p, const struct policy_rule *rule, const struct policy_rule **ret_by)
{
	for (size_t i = 0; i < rule->index; i++) {
		const struct policy_rule *above = p->rules[i];
		const struct expr *e = above->condition;

		if (above->shadow || !rule_is_terminal(above))
			continue;
		if (e == NULL || (e->op == EXPR_CONST && e->type == SP_BOOL && e->value.u.boolean)) {
			*ret_by = above;
			return true;
		}
	}
	return false;
}
