/*
 * policy_eval_env.h - facts and actions for the tests of evaluation, over the world of policy_env.h.
 *
 * A fact is set by the text by which the policy reads it; what was not set is unknown.
 */
#ifndef TESTS_UNIT_POLICY_EVAL_ENV_H
#define TESTS_UNIT_POLICY_EVAL_ENV_H

#include "policy_env.h"

struct eval_env {
	struct {
		const char *text;
		enum policy_known known;
		struct sp_value value;
	} facts[32];
	size_t fact_count;
	struct buf acted; /* one line for each action */
	enum sp_status act_status;
	unsigned asked; /* how often a fact was read */
	struct arena *arena;
	struct policy *p;
	struct policy_eval *e;
	struct policy_host host;
};

static inline enum policy_known
eval_env_fact(void *arg, const struct sp_fact_ref *ref, struct sp_value *ret)
{
	struct eval_env *w = arg;

	w->asked++;
	for (size_t i = 0; i < w->fact_count; i++)
		if (span_eq(span_str(w->facts[i].text), ref->text)) {
			*ret = w->facts[i].value;
			ret->type = ref->decl->type;
			return w->facts[i].known;
		}
	return POLICY_UNKNOWN;
}

static inline enum sp_status
eval_env_act(void *arg, const struct policy_action *action)
{
	static const char *const names[] = { "add-header", "remove-header", "tag", "log", "filter", "backend" };
	struct eval_env *w = arg;

	buf_printf(&w->acted, "%s [%.*s] [%.*s]\n", names[action->act], (int)action->name.len, action->name.ptr,
		(int)action->value.len, action->value.ptr);
	return w->act_status;
}

/* Compiles text and begins a walk. Ends the test when it does not compile. */
static inline void
eval_env_init(struct eval_env *w, const char *text)
{
	*w = (struct eval_env){ .host = { .fact = eval_env_fact, .act = eval_env_act, .arg = w } };
	buf_init(&w->acted, 65536);
	w->arena = arena_new(4096, 1 << 20);
	w->p = env_compile(text);
	assert_non_null(w->p);
	w->e = policy_eval_new(w->p, w->arena);
	assert_non_null(w->e);
}

static inline void
eval_env_fini(struct eval_env *w)
{
	policy_free(&w->p);
	arena_free(&w->arena);
	buf_fini(&w->acted);
}

static inline struct sp_value *
eval_env_set(struct eval_env *w, const char *text, enum policy_known known)
{
	size_t i = 0;

	while (i < w->fact_count && strcmp(w->facts[i].text, text) != 0)
		i++;
	if (i == w->fact_count)
		w->fact_count++;
	w->facts[i].text = text;
	w->facts[i].known = known;
	return &w->facts[i].value;
}

static inline void
set_text(struct eval_env *w, const char *fact, const char *text)
{
	eval_env_set(w, fact, POLICY_KNOWN)->u.text = span_str(text);
}

static inline void
set_number(struct eval_env *w, const char *fact, int64_t n)
{
	eval_env_set(w, fact, POLICY_KNOWN)->u.integer = n;
}

static inline void
set_bool(struct eval_env *w, const char *fact, bool yes)
{
	eval_env_set(w, fact, POLICY_KNOWN)->u.boolean = yes;
}

static inline void
set_ip(struct eval_env *w, const char *fact, const char *ip)
{
	assert_int_equal(span_to_ip(span_str(ip), &eval_env_set(w, fact, POLICY_KNOWN)->u.ip), SP_OK);
}

static inline struct policy_verdict
eval_env_stage(struct eval_env *w, enum sp_stage stage)
{
	return policy_eval_stage(w->e, stage, &w->host);
}

/* The outcome of the rule of this name. */
static inline enum policy_outcome
outcome_of(struct eval_env *w, const char *name)
{
	for (size_t i = 0; i < policy_rule_count(w->p); i++)
		if (span_eq(policy_rule_name(policy_rule(w->p, i)), span_str(name)))
			return policy_eval_trace(w->e, i).outcome;
	fail_msg("no rule %s", name);
	return POLICY_RULE_WAITS;
}

static inline void
assert_span(struct sp_span span, const char *text)
{
	if (!span_eq(span, span_str(text)))
		fail_msg("'%.*s' is not '%s'", (int)span.len, span.ptr, text);
}

#endif
