/*
 * eval.c - one walk over the rules, stage by stage.
 *
 * The memory of a walk is one byte for each rule: its outcome, the stage of that, whether its action
 * was called and whether that failed.  Each call goes over the open rules from top to bottom once;
 * what a rule comes to hangs only on facts and on rules above it, so once is enough.  Which rules
 * may decide while others above are open is told in plan.c.
 *
 * A rule that has called a filter which decides stays open until the filter has said its word, or to the end of the
 * message: each walk asks for the word anew, since it may be about one recipient.
 *
 * When a verdict is given, every rule that is still open becomes "skipped".  Only shadow rules above an
 * accept or discard stay open, for the transaction goes on and they shall tell what they would have done.
 * A shadow rule below that was decided at an earlier stage keeps its outcome.
 *
 * The walk lies in the caller's arena, and so do texts with templates filled in.  A walk that was
 * forked refers to texts in the first one's arena, which must live longer.
 */
#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "policy/eval.h"

struct walk {
	struct policy_eval *e;
	const struct policy_host *h;
	unsigned decides, defaults; /* of the open rules above, see struct policy_rule */
};

/* ---- the byte of a rule -------------------------------------------------------------------- */

static void
state_set(struct policy_eval *e, size_t rule, enum policy_outcome outcome)
{
	unsigned kept = e->state[rule] & (EVAL_CALLED | EVAL_FAILED);

	e->state[rule] = (uint8_t)(kept | (unsigned)outcome | (unsigned)e->stage << EVAL_STAGE_SHIFT);
}

static void
state_flag(struct policy_eval *e, size_t rule, unsigned flag)
{
	e->state[rule] = (uint8_t)(e->state[rule] | flag);
}

/* ---- life ---------------------------------------------------------------------------------- */

struct policy_eval *
policy_eval_new(const struct policy *p, struct arena *a)
{
	struct policy_eval *e = arena_alloc(a, sizeof(*e) + p->rule_count);

	if (e != NULL) {
		e->p = p;
		e->arena = a;
	}
	return e;
}

struct policy_eval *
policy_eval_fork(const struct policy_eval *e, struct arena *a)
{
	struct policy_eval *copy = policy_eval_new(e->p, a);

	if (copy != NULL) {
		copy->verdict = e->verdict;
		copy->stage = e->stage;
		memcpy(copy->state, e->state, e->p->rule_count);
	}
	return copy;
}

const struct policy *
eval_policy(const struct policy_eval *eval)
{
	return eval->p;
}

double
policy_eval_score(const struct policy_eval *e)
{
	struct sp_value v = { SP_SCORE, { 0 } };

	eval_score(e, e->p->rule_count, &v);
	return v.u.real;
}

struct policy_trace
policy_eval_trace(const struct policy_eval *e, size_t index)
{
	MUST(index < e->p->rule_count);
	return (struct policy_trace){ e->p->rules[index], eval_outcome(e, index),
		(enum sp_stage)(e->state[index] >> EVAL_STAGE_SHIFT & EVAL_STAGE_MASK) };
}

/* ---- outcomes ------------------------------------------------------------------------------ */

/* Gives the verdict, unless the rule has to wait: for rules above, or for facts in the text. */
static void
rule_decide(struct walk *w, const struct policy_rule *r, const struct reply *reply, bool unknown)
{
	struct policy_eval *e = w->e;

	if (plan_blocks(w->decides, w->defaults, unknown ? (unsigned)reply->verdict : plan_class(r)))
		return;
	/* the file's default speaks for all rules, at any stage: it does not wait for its own text */
	if (reply != &e->p->unknown && eval_template_waits(e, r->index, &reply->text, w->h))
		return;
	state_set(e, r->index, unknown ? POLICY_RULE_UNKNOWN : POLICY_RULE_FIRED);
	e->verdict = (struct policy_verdict){
		.verdict = reply->verdict,
		.rule = r,
		.stage = e->stage,
		.unknown = unknown,
		.code = reply->code,
		.enhanced = reply->enhanced,
		.text = eval_expand(e, r->index, &reply->text, w->h, EVAL_REPLY_MAX),
		.backend = r->verb == VERB_QUARANTINE && !unknown ? r->arg_name : span_of(NULL, 0),
	};
}

static void
rule_unknown(struct walk *w, const struct policy_rule *r)
{
	if (r->shadow || r->on_unknown == UNKNOWN_SKIP)
		state_set(w->e, r->index, POLICY_RULE_UNKNOWN);
	else
		rule_decide(w, r, r->on_unknown == UNKNOWN_VERDICT ? &r->unknown : &w->e->p->unknown, true);
}

/* What a filter has said is the rule's verdict, unless rules above have to be waited for. */
static void
rule_say(struct walk *w, const struct policy_rule *r, const struct policy_said *said)
{
	MUST(said->verdict == POLICY_DISCARD || said->verdict == POLICY_DEFER || said->verdict == POLICY_REJECT);
	if (plan_blocks(w->decides, w->defaults, said->verdict))
		return;
	state_set(w->e, r->index, POLICY_RULE_FIRED);
	w->e->verdict = (struct policy_verdict){ .verdict = said->verdict, .rule = r, .stage = w->e->stage, .code = said->code,
		.enhanced = said->enhanced, .text = said->text };
}

/* The filter was called: has it decided? */
static void
rule_await(struct walk *w, const struct policy_rule *r)
{
	struct policy_said said;
	enum policy_known known = w->h->said == NULL ? POLICY_PENDING : w->h->said(w->h->arg, r->filter, &said);

	if (known == POLICY_KNOWN)
		rule_say(w, r, &said);
	else if (known == POLICY_UNKNOWN)
		rule_unknown(w, r);
	else if (w->e->stage == SP_EOM)
		state_set(w->e, r->index, POLICY_RULE_FIRED);
}

static enum sp_status
rule_act(struct walk *w, const struct policy_rule *r)
{
	static const enum policy_act acts[] = {
		[VERB_ADD_HEADER] = POLICY_ACT_ADD_HEADER,
		[VERB_REMOVE_HEADER] = POLICY_ACT_REMOVE_HEADER,
		[VERB_TAG] = POLICY_ACT_TAG,
		[VERB_LOG] = POLICY_ACT_LOG,
		[VERB_FILTER] = POLICY_ACT_FILTER,
		[VERB_BACKEND] = POLICY_ACT_BACKEND,
	};
	struct policy_action action = { .act = acts[r->verb], .rule = r, .name = r->arg_name, .filter = r->filter };

	if (r->verb == VERB_SCORE)
		return SP_OK;
	action.value = eval_expand(w->e, r->index, &r->arg, w->h,
		r->verb == VERB_LOG ? EVAL_LOG_MAX : EVAL_HEADER_MAX);
	if (action.value.ptr == NULL)
		return SP_SYSTEM;
	return w->h->act(w->h->arg, &action);
}

static void
rule_effect(struct walk *w, const struct policy_rule *r)
{
	if (plan_effect_blocks(w->decides, r) ||
		eval_template_waits(w->e, r->index, &r->arg, w->h))
		return;
	state_flag(w->e, r->index, EVAL_CALLED);
	if (rule_act(w, r) != SP_OK) {
		state_flag(w->e, r->index, EVAL_FAILED);
		rule_unknown(w, r);
	} else if (r->awaits) {
		rule_await(w, r);
	} else {
		state_set(w->e, r->index, POLICY_RULE_FIRED);
	}
}

/* Has its filter been called, and may it still say its word? */
static bool
rule_awaits(const struct policy_eval *e, const struct policy_rule *r)
{
	return r->awaits && (e->state[r->index] & (EVAL_CALLED | EVAL_FAILED)) == EVAL_CALLED;
}

static void
rule_fire(struct walk *w, const struct policy_rule *r)
{
	if (r->shadow)
		state_set(w->e, r->index, POLICY_RULE_FIRED);
	else if (rule_is_terminal(r))
		rule_decide(w, r, &r->reply, false);
	else
		rule_effect(w, r);
}

static void
rule_walk(struct walk *w, const struct policy_rule *r)
{
	struct sp_value yes = { SP_BOOL, { .boolean = true } };
	enum policy_known known = POLICY_KNOWN;

	if (rule_awaits(w->e, r)) {
		rule_await(w, r);
		return;
	}
	if (r->pinned > (int)w->e->stage)
		return;
	if ((w->e->state[r->index] & EVAL_FAILED) != 0)
		known = POLICY_UNKNOWN;
	else if (r->condition != NULL)
		known = eval_expr(w->e, r->index, r->condition, w->h, &yes);
	if (known == POLICY_PENDING)
		return;
	if (known == POLICY_UNKNOWN)
		rule_unknown(w, r);
	else if (known == POLICY_ABSENT || !yes.u.boolean)
		state_set(w->e, r->index, POLICY_RULE_NO);
	else
		rule_fire(w, r);
}

static void
walk_skip(struct policy_eval *e)
{
	bool goes_on = e->verdict.verdict == POLICY_ACCEPT || e->verdict.verdict == POLICY_DISCARD;

	for (size_t i = 0; i < e->p->rule_count; i++) {
		const struct policy_rule *r = e->p->rules[i];

		if (goes_on && r->shadow && r->index < e->verdict.rule->index)
			continue;
		if (eval_outcome(e, i) == POLICY_RULE_WAITS) /* a filter that was called has had its effect */
			state_set(e, i, rule_awaits(e, r) ? POLICY_RULE_FIRED : POLICY_RULE_SKIPPED);
	}
}

/* After an accept: what is still open is shadow rules above it. */
static void
walk_shadows(struct walk *w)
{
	for (size_t i = 0; i < w->e->verdict.rule->index; i++)
		if (eval_outcome(w->e, i) == POLICY_RULE_WAITS)
			rule_walk(w, w->e->p->rules[i]);
}

struct policy_verdict
policy_eval_stage(struct policy_eval *e, enum sp_stage stage, const struct policy_host *h)
{
	struct walk w = { .e = e, .h = h };

	if (e->verdict.verdict != POLICY_UNDECIDED) {
		e->stage = stage;
		walk_shadows(&w);
		return e->verdict;
	}
	MUST(stage >= e->stage && stage < SP_STAGES);
	e->stage = stage;
	for (size_t i = 0; i < e->p->rule_count && e->verdict.verdict == POLICY_UNDECIDED; i++) {
		const struct policy_rule *r = e->p->rules[i];

		if (eval_outcome(e, i) == POLICY_RULE_WAITS)
			rule_walk(&w, r);
		if (!r->shadow && eval_outcome(e, i) == POLICY_RULE_WAITS) {
			w.decides |= r->decides;
			w.defaults |= r->defaults;
		}
	}
	if (e->verdict.verdict != POLICY_UNDECIDED)
		walk_skip(e);
	MUST(e->verdict.verdict != POLICY_UNDECIDED || stage < SP_EOM);
	return e->verdict;
}
