/*
 * explain.h - what the two forms of "sallyport explain" share.
 */
#ifndef POLICY_EXPLAIN_H
#define POLICY_EXPLAIN_H

#include "policy/eval.h"

#define EXPLAIN_LINE_MAX (1u << 20)

struct explain {
	const struct policy_eval *e;
	const struct policy_verdict *v;
	const struct policy_host *h;
	FILE *to;
};

const char *explain_outcome(enum policy_outcome outcome); /* yes no unknown waits skipped */
void explain_json(const struct explain *x);

#endif
