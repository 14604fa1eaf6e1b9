/*
 * slots.c - the facts that filters state: where each is kept, who may set it until when, who sees it.
 *
 * Three arrays: of the session (facts of connect and helo), of the transaction (a copy of it at MAIL, then the
 * later ones), and of each recipient (facts of stage RCPT only).  Only facts that the policy reads have a slot.
 * Values are copied into the arena of what they belong to.
 */
#include <math.h>
#include <string.h>

#include "policy/kit/span.h"
#include "policy/kit/utf8.h"
#include "proxy/inspect/inspect_priv.h"

/* ---- where ---------------------------------------------------------------------------------- */

static bool
is_rcpt(const struct sp_fact_ref *ref)
{
	return ref->filter >= 0 && ref->stage == SP_RCPT;
}

/* The place of fact id among the filters' facts of stage RCPT; with id the number of facts: how many there are. */
static size_t
rcpt_rank(const struct policy *p, size_t id)
{
	size_t rank = 0;

	for (size_t n = 0; n < id; n++)
		rank += is_rcpt(policy_fact(p, (unsigned)n));
	return rank;
}

static struct slot *
slot_of(const struct inspect *i, const struct sp_fact_ref *ref)
{
	if (is_rcpt(ref))
		return i->rcpt == NULL || i->rcpt->slots == NULL ? NULL
								 : &i->rcpt->slots[rcpt_rank(i->policy, ref->id)];
	if (i->tx != NULL)
		return i->tx->slots == NULL ? NULL : &i->tx->slots[ref->id];
	return i->slots == NULL ? NULL : &i->slots[ref->id];
}

bool
slots_begin(struct inspect *i)
{
	size_t count = policy_fact_count(i->policy);

	if (i->uses == NULL || count == 0)
		return true;
	i->slots = arena_alloc(i->arena, count * sizeof(*i->slots));
	return i->slots != NULL;
}

bool
slots_begin_tx(struct inspect *i)
{
	size_t size = policy_fact_count(i->policy) * sizeof(*i->slots);

	if (i->slots == NULL)
		return true;
	i->tx->slots = arena_alloc(i->tx->arena, size);
	if (i->tx->slots == NULL)
		return false;
	memcpy(i->tx->slots, i->slots, size);
	return true;
}

bool
slots_begin_rcpt(struct inspect *i, struct recipient *r)
{
	size_t count = i->slots == NULL ? 0 : rcpt_rank(i->policy, policy_fact_count(i->policy));

	if (count == 0)
		return true;
	r->slots = arena_alloc(i->tx->arena, count * sizeof(*r->slots));
	return r->slots != NULL;
}

void
slots_forget_helo(struct inspect *i)
{
	for (size_t n = 0; i->slots != NULL && n < policy_fact_count(i->policy); n++)
		if (i->slots[n].at >= SP_HELO)
			i->slots[n].set = false;
}

void
slots_forget_filter(struct inspect *i, size_t index)
{
	for (size_t n = 0; i->tx->slots != NULL && n < policy_fact_count(i->policy); n++)
		if (policy_fact(i->policy, (unsigned)n)->filter == (int)index)
			i->tx->slots[n] = i->slots[n]; /* what a session that goes on has stated stays */
}

/* ---- reading ---------------------------------------------------------------------------------- */

static bool
not_run(const struct inspect *i, const struct sp_fact_ref *ref)
{
	size_t filter = (size_t)ref->filter;

	if (i->uses[filter].unasked && ref->stage == SP_EOM)
		return true;
	return policy_filter(i->policy, filter)->on_demand && !demand_seen(i, filter);
}

enum policy_known
slots_fact(void *arg, const struct sp_fact_ref *ref, struct sp_value *ret)
{
	struct inspect *i = arg;
	const struct slot *slot;

	if (ref->filter < 0)
		return facts_host(i, ref, ret);
	if (not_run(i, ref))
		return POLICY_ABSENT;
	if (ref->stage > i->stage)
		return POLICY_PENDING;
	slot = slot_of(i, ref);
	if (slot == NULL || !slot->set)
		return POLICY_UNKNOWN;
	*ret = slot->value;
	return POLICY_KNOWN;
}

enum sp_status
slots_read(struct sp_ctx *ctx, const struct sp_fact_ref *ref, struct sp_value *ret)
{
	struct inspect *i = use_of(ctx)->in;
	struct sp_value value;

	switch (slots_fact(i, ref, &value)) {
	case POLICY_KNOWN:
		*ret = value;
		return SP_OK;
	case POLICY_ABSENT:
		return SP_NONE;
	default:
		return SP_TEMPFAIL;
	}
}

bool
slots_wanted(struct sp_ctx *ctx, unsigned fact)
{
	const struct use *u = use_of(ctx);

	return policy_fact_id(u->in->policy, (int)u->index, -1, fact) >= 0;
}

/* ---- setting ---------------------------------------------------------------------------------- */

/* A domain as the language compares it: lower case, A-labels, no trailing dot. */
static bool
copy_domain(struct arena *a, struct sp_span *text)
{
	char *to = arena_alloc(a, utf8_is_ascii(*text) || text->len > DOMAIN_OCTETS ? text->len + 1 : DOMAIN_OCTETS);

	if (to == NULL)
		return false;
	*text = address_domain_fold(*text, to);
	return true;
}

static bool
copy_set(struct arena *a, struct sp_value *v)
{
	size_t count = v->u.set.count;
	struct sp_span *items;

	if (count > INSPECT_TX_MAX / sizeof(*items))
		return false;
	items = arena_alloc(a, count * sizeof(*items));
	if (items == NULL)
		return false;
	for (size_t n = 0; n < count; n++) {
		items[n] = v->u.set.items[n];
		if (!copy_domain(a, &items[n]))
			return false;
	}
	v->u.set.items = items;
	return true;
}

/* Moves what the value points to into a. */
static bool
copy_value(struct arena *a, struct sp_value *v)
{
	switch (v->type) {
	case SP_STRING:
	case SP_ADDRESS:
		v->u.text = arena_copy(a, v->u.text);
		return v->u.text.ptr != NULL;
	case SP_DOMAIN:
		return copy_domain(a, &v->u.text);
	case SP_DOMAINS:
		return copy_set(a, v);
	default:
		return true;
	}
}

/* Is it a value that the declaration allows? The evaluator relies on it. */
static bool
fits(const struct sp_fact_decl *decl, const struct sp_value *v)
{
	size_t words = 0;

	if (v->type != decl->type)
		return false;
	if (v->type == SP_SCORE)
		return isfinite(v->u.real);
	if (v->type != SP_ENUM)
		return true;
	while (decl->words[words] != NULL)
		words++;
	return v->u.integer >= 0 && (uint64_t)v->u.integer < words;
}

/* Later transactions begin with what a hook of the session has stated, also when it was called for within one. */
static void
keep(struct inspect *i, const struct sp_fact_ref *ref, const struct slot *slot)
{
	if (i->tx != NULL && i->hook_outlives && !is_rcpt(ref))
		i->slots[ref->id] = *slot;
}

void
slots_set(struct sp_ctx *ctx, int entry, unsigned fact, const struct sp_value *value)
{
	struct use *u = use_of(ctx);
	struct inspect *i = u->in;
	int id = policy_fact_id(i->policy, (int)u->index, entry, fact);
	const struct sp_fact_ref *ref = id < 0 ? NULL : policy_fact(i->policy, (unsigned)id);
	struct sp_value copy = *value;
	struct slot *slot;

	if (ref == NULL)
		return; /* no rule reads it */
	slot = slot_of(i, ref);
	if (!fits(ref->decl, value)) {
		host_log(u, SP_LOG_ERROR, "%.*s: a value of the wrong type or range", (int)ref->text.len, ref->text.ptr);
	} else if (ref->stage < u->stage || slot == NULL) {
		host_log(u, SP_LOG_ERROR, "%.*s: set too late", (int)ref->text.len, ref->text.ptr);
	} else if (!copy_value(hooks_arena_of(u), &copy)) {
		host_log(u, SP_LOG_WARNING, "%.*s: no memory", (int)ref->text.len, ref->text.ptr);
	} else {
		*slot = (struct slot){ .set = true, .at = u->life == USE_HELO ? SP_HELO : u->stage, .value = copy };
		keep(i, ref, slot);
	}
}
