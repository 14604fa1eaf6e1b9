/*
 * backend.c - which backend the rules have named for a recipient: the first rule in the file that fired, at whatever stage.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

/* Does a stand above b in the file? */
static bool
stands_above(const struct inspect *i, const struct policy_rule *a, const struct policy_rule *b)
{
	for (size_t n = 0; n < policy_rule_count(i->policy); n++) {
		if (policy_rule(i->policy, n) == b)
			return false;
		if (policy_rule(i->policy, n) == a)
			return true;
	}
	return false;
}

static const struct effect *
first_of(const struct inspect *i, const struct target *t, const struct effect *best)
{
	for (const struct effect *e = t->effects; e != NULL; e = e->next)
		if (e->act == POLICY_ACT_BACKEND && (best == NULL || stands_above(i, e->rule, best->rule)))
			best = e;
	return best;
}

struct sp_span
inspect_backend(const struct inspect *i)
{
	const struct effect *best = NULL;

	if (i->client.shadow)
		return span_of(NULL, 0);
	best = first_of(i, &i->connect, best);
	best = first_of(i, &i->helo, best);
	if (i->tx != NULL)
		best = first_of(i, &i->tx->target, best);
	if (i->tx != NULL && i->tx->pending != NULL)
		best = first_of(i, &i->tx->pending->target, best);
	return best != NULL ? best->name : span_of(NULL, 0);
}
