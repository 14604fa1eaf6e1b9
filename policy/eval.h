/*
 * eval.h - the insides of a walk, shared by eval.c, eval_expr.c and eval_text.c.
 */
#ifndef POLICY_EVAL_H
#define POLICY_EVAL_H

#include "policy/policy_priv.h"

/* One byte a rule: outcome, stage of the outcome, two flags. */
#define EVAL_OUTCOME_MASK 7u
#define EVAL_STAGE_SHIFT 3
#define EVAL_STAGE_MASK 7u
#define EVAL_CALLED 64u  /* its action was called */
#define EVAL_FAILED 128u /* and failed: the rule is unknown */

#define EVAL_REPLY_MAX 480  /* octets, so that a reply line stays within 512 (RFC 5321 section 4.5.3.1.5) */
#define EVAL_HEADER_MAX 900 /* with the field's name within 998 (RFC 5322 section 2.1.1) */
#define EVAL_LOG_MAX 1024

struct policy_eval {
	const struct policy *p;
	struct arena *arena;
	struct policy_verdict verdict;
	enum sp_stage stage; /* of the latest call */
	uint8_t state[];
};

static inline enum policy_outcome
eval_outcome(const struct policy_eval *e, size_t rule)
{
	return (enum policy_outcome)(e->state[rule] & EVAL_OUTCOME_MASK);
}

/* What the rules above index have added; pending while one of them is open. *ret is set in any case. */
enum policy_known eval_score(const struct policy_eval *e, size_t index, struct sp_value *ret);

/* Does a fact in t still have to come? */
bool eval_template_waits(const struct policy_eval *e, size_t rule, const struct template *t,
	const struct policy_host *h);
/* Fills t in: one line of printable ASCII, other bytes as '?', what is not known as "-", cut at max
 * octets.  In the walk's arena; {null, 0} when that is full. */
struct sp_span eval_expand(struct policy_eval *e, size_t rule, const struct template *t, const struct policy_host *h,
	size_t max);

#endif
