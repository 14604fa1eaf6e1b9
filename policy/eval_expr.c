/*
 * eval_expr.c - what an expression is worth: a value, or the reason why there is none.
 *
 * Three-valued logic with two more shades: "and", "or" and "not" are Kleene's, so that an operand
 * that decides makes the others moot; where none decides, pending beats unknown beats absent.
 * Nothing allocates; the stack grows with the nesting of brackets only, since chains of one
 * operator are walked in a loop.
 */
#include "policy/kit/span.h"
#include "policy/eval.h"

struct scope {
	const struct policy_eval *e;
	size_t rule;
	const struct policy_host *h;
};

static enum policy_known value_of(const struct scope *s, const struct expr *e, struct sp_value *ret);

/* ---- rules above --------------------------------------------------------------------------- */

enum policy_known
eval_score(const struct policy_eval *e, size_t index, struct sp_value *ret)
{
	enum policy_known known = POLICY_KNOWN;

	*ret = (struct sp_value){ SP_SCORE, { .real = 0 } };
	for (size_t i = 0; i < index; i++) {
		const struct policy_rule *r = e->p->rules[i];

		if (r->verb != VERB_SCORE || r->shadow)
			continue;
		if (eval_outcome(e, i) == POLICY_RULE_FIRED)
			ret->u.real += r->points;
		else if (eval_outcome(e, i) == POLICY_RULE_WAITS)
			known = POLICY_PENDING;
	}
	return known;
}

static enum policy_known
tagged(const struct scope *s, struct sp_span name, struct sp_value *ret)
{
	enum policy_known known = POLICY_KNOWN;

	*ret = (struct sp_value){ SP_BOOL, { .boolean = false } };
	for (size_t i = 0; i < s->rule; i++) {
		const struct policy_rule *r = s->e->p->rules[i];

		if (r->verb != VERB_TAG || r->shadow || !span_eq(r->arg_name, name))
			continue;
		if (eval_outcome(s->e, i) == POLICY_RULE_FIRED) {
			ret->u.boolean = true;
			return POLICY_KNOWN;
		}
		if (eval_outcome(s->e, i) == POLICY_RULE_WAITS)
			known = POLICY_PENDING;
	}
	return known;
}

/* Facts of a filter that runs on demand: those of a run that a rule above asked for. */
static enum policy_known
demanded(const struct policy_eval *e, size_t rule, int filter)
{
	enum policy_known known = POLICY_ABSENT;

	for (size_t i = 0; i < rule; i++) {
		const struct policy_rule *r = e->p->rules[i];

		if (r->verb != VERB_FILTER || r->shadow || r->filter != (size_t)filter)
			continue;
		if (eval_outcome(e, i) == POLICY_RULE_WAITS && !(r->awaits && (e->state[i] & EVAL_CALLED) != 0))
			known = POLICY_PENDING;
		else if ((e->state[i] & EVAL_CALLED) != 0)
			return POLICY_KNOWN;
	}
	return known;
}

enum policy_known
eval_fact(const struct policy_eval *eval, size_t rule, const struct sp_fact_ref *ref, const struct policy_host *h,
	struct sp_value *ret)
{
	enum policy_known known = POLICY_KNOWN;

	if (ref->filter >= 0 && (size_t)ref->filter < eval->p->filter_count && eval->p->filters[ref->filter].on_demand)
		known = demanded(eval, rule, ref->filter);
	if (known != POLICY_KNOWN)
		return known;
	if (ref->stage > eval->stage)
		return POLICY_PENDING;
	known = h->fact(h->arg, ref, ret);
	/* nothing comes after the end of the message */
	return known == POLICY_PENDING && eval->stage == SP_EOM ? POLICY_UNKNOWN : known;
}

/* ---- operators ----------------------------------------------------------------------------- */

static enum policy_known
worse(enum policy_known a, enum policy_known b)
{
	static const int rank[] = { [POLICY_KNOWN] = 0, [POLICY_ABSENT] = 1, [POLICY_UNKNOWN] = 2,
		[POLICY_PENDING] = 3 };

	return rank[a] >= rank[b] ? a : b;
}

static enum policy_known
truth(struct sp_value *ret, bool yes)
{
	*ret = (struct sp_value){ SP_BOOL, { .boolean = yes } };
	return POLICY_KNOWN;
}

/* One operand of a chain; true when it decides the whole. */
static bool
chain_step(const struct scope *s, const struct expr *operand, bool decider, enum policy_known *known)
{
	struct sp_value v = { SP_BOOL, { 0 } };
	enum policy_known k = value_of(s, operand, &v);

	if (k == POLICY_KNOWN)
		return v.u.boolean == decider;
	*known = worse(*known, k);
	return false;
}

/* "a or b or c", whichever way it hangs. */
static enum policy_known
chain(const struct scope *s, const struct expr *e, struct sp_value *ret)
{
	const enum expr_op op = e->op;
	const bool decider = op == EXPR_OR;
	enum policy_known known = POLICY_KNOWN;

	while (e->op == op) {
		bool left_hangs = e->left->op == op;

		if (chain_step(s, left_hangs ? e->right : e->left, decider, &known))
			return truth(ret, decider);
		e = left_hangs ? e->left : e->right;
	}
	if (chain_step(s, e, decider, &known))
		return truth(ret, decider);
	return known == POLICY_KNOWN ? truth(ret, !decider) : known;
}

static bool
set_has(const struct sp_value *set, const struct sp_value *item)
{
	for (size_t i = 0; i < set->u.set.count; i++)
		if (span_ieq(set->u.set.items[i], item->u.text))
			return true;
	return false;
}

static bool
equal(const struct sp_value *a, const struct sp_value *b)
{
	if (a->type == SP_DOMAINS && b->type != SP_DOMAINS)
		return set_has(a, b);
	if (b->type == SP_DOMAINS && a->type != SP_DOMAINS)
		return set_has(b, a);
	return value_eq(a, b);
}

static enum policy_known
compare(const struct scope *s, const struct expr *e, struct sp_value *ret)
{
	struct sp_value a = { SP_END, { 0 } }, b = { SP_END, { 0 } };
	enum policy_known known = value_of(s, e->left, &a);

	known = worse(known, value_of(s, e->right, &b));
	if (known != POLICY_KNOWN)
		return known;
	switch (e->op) {
	case EXPR_EQ:
		return truth(ret, equal(&a, &b));
	case EXPR_NE:
		return truth(ret, !equal(&a, &b));
	case EXPR_LT:
		return truth(ret, value_cmp(&a, &b) < 0);
	case EXPR_LE:
		return truth(ret, value_cmp(&a, &b) <= 0);
	case EXPR_GT:
		return truth(ret, value_cmp(&a, &b) > 0);
	default:
		return truth(ret, value_cmp(&a, &b) >= 0);
	}
}

static enum policy_known
lookup(const struct scope *s, const struct expr *e, struct sp_value *ret)
{
	struct sp_value key = { SP_END, { 0 } };
	enum policy_known known = value_of(s, e->left, &key);
	const struct sp_value *hit;

	if (known != POLICY_KNOWN)
		return known;
	hit = table_hit(e->table, &key);
	if (e->op == EXPR_IN)
		return truth(ret, hit != NULL);
	if (hit == NULL && !e->table->has_default)
		return POLICY_ABSENT;
	*ret = hit != NULL ? *hit : e->table->fallback;
	return POLICY_KNOWN;
}

static enum policy_known
in_list(const struct scope *s, const struct expr *e, struct sp_value *ret)
{
	struct sp_value left = { SP_END, { 0 } }, item = { SP_END, { 0 } };
	enum policy_known known = value_of(s, e->left, &left);

	if (known != POLICY_KNOWN)
		return known;
	for (size_t i = 0; i < e->item_count; i++) {
		enum policy_known k = value_of(s, e->items[i], &item);

		if (k == POLICY_KNOWN && equal(&left, &item))
			return truth(ret, true);
		known = worse(known, k);
	}
	return known == POLICY_KNOWN ? truth(ret, false) : known;
}

static enum policy_known
match(const struct scope *s, const struct expr *e, struct sp_value *ret)
{
	struct sp_value v = { SP_END, { 0 } };
	enum policy_known known = value_of(s, e->left, &v);
	bool yes = false;

	if (known == POLICY_KNOWN && v.type != SP_DOMAINS)
		known = eval_match(e->regex, v.u.text, &yes);
	else if (known == POLICY_KNOWN)
		for (size_t i = 0; !yes && i < v.u.set.count; i++)
			known = worse(known, eval_match(e->regex, v.u.set.items[i], &yes));
	return yes || known == POLICY_KNOWN ? truth(ret, yes) : known;
}

static bool
is_true(const struct sp_value *v)
{
	switch (v->type) {
	case SP_BOOL:
		return v->u.boolean;
	case SP_STRING:
	case SP_DOMAIN:
	case SP_ADDRESS:
		return v->u.text.len > 0;
	case SP_DOMAINS:
		return v->u.set.count > 0;
	case SP_IP:
		return v->u.ip.family != 0;
	case SP_SCORE:
		return v->u.real < 0 || v->u.real > 0;
	default:
		return v->u.integer != 0;
	}
}

static enum policy_known
unary(const struct scope *s, const struct expr *e, struct sp_value *ret)
{
	struct sp_value v = { SP_END, { 0 } };
	enum policy_known known = value_of(s, e->left, &v);

	if (known != POLICY_KNOWN)
		return known;
	return truth(ret, is_true(&v) != (e->op == EXPR_NOT));
}

static enum policy_known
value_of(const struct scope *s, const struct expr *e, struct sp_value *ret)
{
	switch (e->op) {
	case EXPR_CONST:
		*ret = e->value;
		return POLICY_KNOWN;
	case EXPR_FACT:
		return eval_fact(s->e, s->rule, e->ref, s->h, ret);
	case EXPR_SCORE:
		return eval_score(s->e, s->rule, ret);
	case EXPR_TAGGED:
		return tagged(s, e->value.u.text, ret);
	case EXPR_LOOKUP:
	case EXPR_IN:
		return lookup(s, e, ret);
	case EXPR_NOT:
	case EXPR_TRUTH:
		return unary(s, e, ret);
	case EXPR_AND:
	case EXPR_OR:
		return chain(s, e, ret);
	case EXPR_IN_LIST:
		return in_list(s, e, ret);
	case EXPR_MATCH:
		return match(s, e, ret);
	default:
		return compare(s, e, ret);
	}
}

enum policy_known
eval_expr(const struct policy_eval *eval, size_t rule, const struct expr *e, const struct policy_host *h,
	struct sp_value *ret)
{
	struct scope s = { eval, rule, h };

	return value_of(&s, e, ret);
}
