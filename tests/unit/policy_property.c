/*
 * policy_property.c - order and stages never disagree, over random policies and facts.
 *
 * Each case is a random policy, built directly as trees, and a random world of facts and of filters, some of which decide:
 * they say a random word at a random stage, or nothing, or fail.  It is judged
 * three times: read from top to bottom with all facts at hand by a plain reference in this file, by
 * one call of the evaluator at the end, and stage by stage.  What must hold:
 *   - the call at the end says what the reference says: verdict, score, and which rules acted;
 *   - where no fact is unknown, the stages give a verdict of the same class, and the same effects
 *     if that is accept; and no rule is open at a stage at which the plan says that it fires;
 *   - where a filter's word is what the file says, the stages may refuse by a rule below it, before it was said;
 *   - where facts are unknown or actions fail, the stages never accept or discard what the reading
 *     from top to bottom would not.
 * SALLYPORT_SEED and SALLYPORT_CASES choose other cases than the usual ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "policy/policy_priv.h"

enum { FACTS = 18, RULES_MAX = 12, FILTERS = 2, TAGS = 2, CASES = 100000 };

static uint64_t random_state;

static unsigned
below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 33) % n;
}

static bool
one_in(unsigned n)
{
	return below(n) == 0;
}

/* ---- a random case --------------------------------------------------------------------------- */

static struct arena *arena;

struct world {
	enum policy_known known[FACTS];
	int64_t value[FACTS];
	bool act_fails[RULES_MAX];
	enum policy_class word[FILTERS]; /* UNDECIDED: none */
	enum sp_stage word_at[FILTERS];  /* or at which it fails */
	bool word_fails[FILTERS];
	struct sp_fact_ref refs[FACTS];
	struct policy_filter filters[FILTERS];
	struct policy_rule *rules[RULES_MAX];
	struct policy policy;
};

static const struct policy_space rcpt_space = { "rcpt", NULL }, other_space = { "client", NULL };
static const struct sp_fact_decl bool_decl = { .name = "b", .type = SP_BOOL };
static const struct sp_fact_decl int_decl = { .name = "i", .type = SP_INT };
static const struct sp_span tags[TAGS] = { { "a", 1 }, { "b", 1 } };

static bool
always(const void *conf)
{
	(void)conf;
	return true;
}

static const struct sp_filter deciding = { .name = "deciding", .decides = always };

static void *
make(size_t size)
{
	void *p = arena_alloc(arena, size);

	MUST(p != NULL);
	return p;
}

/* Facts 0 to 11 are the host's, the others belong to filters; odd ones are numbers. */
static void
make_facts(struct world *w, bool unknowns)
{
	for (unsigned i = 0; i < FACTS; i++) {
		struct sp_fact_ref *ref = &w->refs[i];
		char *name = arena_printf(arena, "%s%u", i % 2 == 0 ? "b" : "i", i);

		*ref = (struct sp_fact_ref){ .id = i, .text = span_str(name), .filter = -1, .entry = -1 };
		ref->decl = i % 2 == 0 ? &bool_decl : &int_decl;
		ref->stage = (enum sp_stage)below(SP_STAGES);
		if (i >= 12)
			ref->filter = (int)(i % FILTERS);
		else
			ref->space = ref->stage == SP_RCPT && one_in(2) ? &rcpt_space : &other_space;
		w->value[i] = i % 2 == 0 ? below(2) : below(5);
		w->known[i] = one_in(12) ? POLICY_ABSENT : POLICY_KNOWN;
		if (unknowns && one_in(4))
			w->known[i] = POLICY_UNKNOWN;
	}
	for (unsigned i = 0; i < FILTERS; i++) {
		w->filters[i].on_demand = one_in(2);
		w->filters[i].module = one_in(2) ? &deciding : NULL;
		w->word[i] = one_in(2) ? (enum policy_class)(POLICY_DISCARD + below(3)) : POLICY_UNDECIDED;
		w->word_at[i] = (enum sp_stage)below(SP_STAGES);
		w->word_fails[i] = unknowns && one_in(4);
	}
}

static struct expr *
make_node(enum expr_op op, enum sp_type type, struct expr *left, struct expr *right)
{
	struct expr *e = make(sizeof(*e));

	*e = (struct expr){ .op = op, .type = type, .left = left, .right = right };
	return e;
}

static struct expr *
make_const(enum sp_type type, int64_t n)
{
	struct expr *e = make_node(EXPR_CONST, type, NULL, NULL);

	e->value.type = type;
	if (type == SP_SCORE)
		e->value.u.real = (double)n;
	else
		e->value.u.integer = n;
	return e;
}

static struct expr *
make_fact(struct world *w, bool number)
{
	struct expr *e = make_node(EXPR_FACT, number ? SP_INT : SP_BOOL, NULL, NULL);

	e->ref = &w->refs[below(FACTS / 2) * 2 + number];
	return e;
}

static struct expr *
make_list(struct world *w)
{
	struct expr *e = make_node(EXPR_IN_LIST, SP_BOOL, make_fact(w, true), NULL);

	e->item_count = 2;
	e->items = make(2 * sizeof(struct expr *));
	e->items[0] = make_const(SP_INT, below(5));
	e->items[1] = one_in(2) ? make_fact(w, true) : make_const(SP_INT, below(5));
	return e;
}

static struct expr *
make_condition(struct world *w, unsigned depth)
{
	static const enum expr_op compare[] = { EXPR_EQ, EXPR_NE, EXPR_LT, EXPR_LE, EXPR_GT, EXPR_GE };
	struct expr *e;

	switch (below(depth > 0 ? 9 : 5)) {
	case 0:
	case 1:
		return make_node(EXPR_TRUTH, SP_BOOL, make_fact(w, one_in(4)), NULL);
	case 2:
		return make_node(compare[below(6)], SP_BOOL, make_fact(w, true), make_const(SP_INT, below(5)));
	case 3:
		return make_list(w);
	case 4:
		if (one_in(2))
			return make_node(EXPR_GE, SP_BOOL, make_node(EXPR_SCORE, SP_SCORE, NULL, NULL),
				make_const(SP_SCORE, below(4)));
		e = make_node(EXPR_TAGGED, SP_BOOL, NULL, NULL);
		e->value = (struct sp_value){ SP_STRING, { .text = tags[below(TAGS)] } };
		return e;
	case 5:
		return make_node(EXPR_NOT, SP_BOOL, make_condition(w, depth - 1), NULL);
	default:
		e = make_condition(w, depth - 1);
		return make_node(one_in(2) ? EXPR_AND : EXPR_OR, SP_BOOL, e, make_condition(w, depth - 1));
	}
}

static struct template
make_template(struct world *w)
{
	struct template t = { 0 };

	if (!one_in(6))
		return t;
	t.parts = make(2 * sizeof(*t.parts));
	t.parts[0].literal = SPAN_LIT("text ");
	t.parts[1].ref = &w->refs[below(FACTS)];
	t.count = 2;
	return t;
}

static struct reply
make_reply(struct world *w, enum policy_class c)
{
	return (struct reply){ .verdict = c, .code = 250, .text = make_template(w) };
}

static struct policy_rule *
make_rule(struct world *w, size_t index, bool last)
{
	struct policy_rule *r = make(sizeof(*r));

	*r = (struct policy_rule){ .index = index, .pinned = -1, .path = "random", .at.line = (unsigned)index + 1 };
	r->name = span_str(arena_printf(arena, "r%zu", index));
	r->verb = last || one_in(2) ? (enum rule_verb)below(VERB_QUARANTINE + 1) : (enum rule_verb)below(VERB_FILTER + 1);
	if (r->verb == VERB_QUARANTINE)
		r->reply = make_reply(w, POLICY_ACCEPT);
	else if (r->verb < VERB_QUARANTINE)
		r->reply = make_reply(w, (enum policy_class)(POLICY_ACCEPT + (r->verb - VERB_ACCEPT)));
	else if (r->verb == VERB_ADD_HEADER || r->verb == VERB_LOG)
		r->arg = make_template(w);
	r->arg_name = tags[below(TAGS)];
	r->points = 1 + below(3);
	r->filter = below(FILTERS);
	r->on_unknown = (enum unknown_mode)below(3);
	r->unknown = make_reply(w, (enum policy_class)(POLICY_ACCEPT + below(4)));
	if (last)
		return r;
	r->condition = one_in(12) ? NULL : make_condition(w, 3);
	r->shadow = one_in(6);
	r->pinned = one_in(6) ? (int)below(SP_STAGES) : -1;
	return r;
}

static void
make_case(struct world *w, bool unknowns)
{
	struct policy *p = &w->policy;

	arena_reset(arena);
	*w = (struct world){ 0 };
	make_facts(w, unknowns);
	p->arena = arena;
	p->filters = w->filters;
	p->filter_count = FILTERS;
	p->rules = w->rules;
	p->rule_count = 1 + below(RULES_MAX);
	p->unknown = make_reply(w, one_in(4) ? (enum policy_class)(POLICY_ACCEPT + below(4)) : POLICY_DEFER);
	for (size_t i = 0; i < p->rule_count; i++) {
		w->rules[i] = make_rule(w, i, i + 1 == p->rule_count);
		w->act_fails[i] = unknowns && one_in(8);
	}
	MUST(plan_infer(p) == SP_OK);
}

/* ---- the reference: from top to bottom, every fact at hand ------------------------------------- */

struct outcome {
	enum policy_class verdict;
	bool by_word;           /* of a filter */
	struct sp_span backend; /* of a quarantine */
	bool acted[RULES_MAX]; /* its effect took place */
	bool ran[FILTERS];
	double score;
	bool tagged[TAGS];
};

enum truth { NO, YES, UNKNOWN, ABSENT };

static enum truth
ref_fact(const struct world *w, const struct outcome *o, const struct sp_fact_ref *ref, int64_t *ret)
{
	if (ref->filter >= 0 && w->filters[ref->filter].on_demand && !o->ran[ref->filter])
		return ABSENT;
	*ret = w->value[ref->id];
	return w->known[ref->id] == POLICY_KNOWN ? YES : w->known[ref->id] == POLICY_UNKNOWN ? UNKNOWN : ABSENT;
}

static enum truth
ref_list(const struct world *w, const struct outcome *o, const struct expr *e)
{
	enum truth worst = NO;
	int64_t left = 0, item = 0;
	enum truth t = ref_fact(w, o, e->left->ref, &left);

	if (t != YES)
		return t;
	for (size_t i = 0; i < e->item_count; i++) {
		t = YES;
		if (e->items[i]->op == EXPR_FACT)
			t = ref_fact(w, o, e->items[i]->ref, &item);
		else
			item = e->items[i]->value.u.integer;
		if (t == YES && item == left)
			return YES;
		if (t == UNKNOWN || (t == ABSENT && worst == NO))
			worst = t;
	}
	return worst;
}

static enum truth
ref_compare(const struct world *w, const struct outcome *o, const struct expr *e)
{
	int64_t a = 0, b;
	enum truth t = YES;

	if (e->left->op == EXPR_SCORE)
		return o->score >= e->right->value.u.real ? YES : NO;
	t = ref_fact(w, o, e->left->ref, &a);
	if (t != YES)
		return t;
	b = e->right->value.u.integer;
	switch (e->op) {
	case EXPR_EQ:
		return a == b ? YES : NO;
	case EXPR_NE:
		return a != b ? YES : NO;
	case EXPR_LT:
		return a < b ? YES : NO;
	case EXPR_LE:
		return a <= b ? YES : NO;
	case EXPR_GT:
		return a > b ? YES : NO;
	default:
		return a >= b ? YES : NO;
	}
}

static enum truth
ref_expr(const struct world *w, const struct outcome *o, const struct expr *e)
{
	enum truth a, b;
	int64_t n = 0;

	switch (e->op) {
	case EXPR_TRUTH:
		a = ref_fact(w, o, e->left->ref, &n);
		return a != YES ? a : n != 0 ? YES : NO;
	case EXPR_TAGGED:
		return o->tagged[e->value.u.text.ptr[0] - 'a'] ? YES : NO;
	case EXPR_IN_LIST:
		return ref_list(w, o, e);
	case EXPR_NOT:
		a = ref_expr(w, o, e->left);
		return a == YES ? NO : a == NO ? YES : a;
	case EXPR_AND:
	case EXPR_OR:
		a = ref_expr(w, o, e->left);
		b = ref_expr(w, o, e->right);
		if (a == (e->op == EXPR_OR ? YES : NO) || b == (e->op == EXPR_OR ? YES : NO))
			return e->op == EXPR_OR ? YES : NO;
		if (a == UNKNOWN || b == UNKNOWN)
			return UNKNOWN;
		if (a == ABSENT || b == ABSENT)
			return ABSENT;
		return e->op == EXPR_OR ? NO : YES;
	default:
		return ref_compare(w, o, e);
	}
}

static bool
awaits(const struct world *w, const struct policy_rule *r)
{
	return r->verb == VERB_FILTER && w->filters[r->filter].module != NULL;
}

/* True when the rule could not be carried out. */
static bool
ref_act(const struct world *w, struct outcome *o, const struct policy_rule *r)
{
	if (r->verb == VERB_FILTER)
		o->ran[r->filter] = true;
	if (r->verb != VERB_SCORE && w->act_fails[r->index])
		return true;
	o->acted[r->index] = true;
	if (r->verb == VERB_SCORE)
		o->score += r->points;
	if (r->verb == VERB_TAG)
		o->tagged[r->arg_name.ptr[0] - 'a'] = true;
	return false;
}

static struct outcome
ref_judge(const struct world *w)
{
	struct outcome o = { 0 };

	for (size_t i = 0; i < w->policy.rule_count; i++) {
		const struct policy_rule *r = w->rules[i];
		enum truth t;

		if (r->shadow)
			continue;
		t = r->condition == NULL ? YES : ref_expr(w, &o, r->condition);
		if (t == YES && !rule_is_terminal(r)) {
			t = ref_act(w, &o, r) || (awaits(w, r) && w->word_fails[r->filter]) ? UNKNOWN : NO;
			o.by_word = t == NO && awaits(w, r) && w->word[r->filter] != POLICY_UNDECIDED;
			o.verdict = o.by_word ? w->word[r->filter] : POLICY_UNDECIDED;
		}
		if (t == UNKNOWN && r->on_unknown != UNKNOWN_SKIP)
			o.verdict = r->on_unknown == UNKNOWN_VERDICT ? r->unknown.verdict : w->policy.unknown.verdict;
		else if (t == YES)
			o.verdict = r->reply.verdict;
		if (t == YES && r->verb == VERB_QUARANTINE)
			o.backend = r->arg_name;
		if (o.verdict != POLICY_UNDECIDED)
			break;
	}
	return o;
}

/* ---- the evaluator ------------------------------------------------------------------------------ */

struct run {
	const struct world *w;
	enum sp_stage stage;
	struct outcome o;
	bool failed[RULES_MAX]; /* its action did */
	const char *fault;
};

static enum policy_known
run_fact(void *arg, const struct sp_fact_ref *ref, struct sp_value *ret)
{
	struct run *run = arg;

	if (ref->stage > run->stage)
		run->fault = "a fact was asked for before its stage";
	if (ref->filter >= 0 && run->w->filters[ref->filter].on_demand && !run->o.ran[ref->filter])
		run->fault = "a fact was asked for whose filter has not run";
	*ret = (struct sp_value){ ref->decl->type, { 0 } };
	if (ref->decl->type == SP_BOOL)
		ret->u.boolean = run->w->value[ref->id] != 0;
	else
		ret->u.integer = run->w->value[ref->id];
	return run->w->known[ref->id];
}

static enum sp_status
run_act(void *arg, const struct policy_action *action)
{
	struct run *run = arg;
	const struct policy_rule *r = action->rule;

	if (r->shadow || run->o.acted[r->index])
		run->fault = "a shadow rule acted, or a rule acted twice";
	run->failed[r->index] = ref_act(run->w, &run->o, r);
	return run->failed[r->index] ? SP_TEMPFAIL : SP_OK;
}

static enum policy_known
run_said(void *arg, size_t filter, struct policy_said *ret)
{
	struct run *run = arg;
	const struct world *w = run->w;

	if (!run->o.ran[filter] || w->filters[filter].module == NULL)
		run->fault = "a filter was asked for its word that was not called, or does not decide";
	if (run->stage < w->word_at[filter])
		return POLICY_PENDING;
	if (w->word_fails[filter])
		return POLICY_UNKNOWN;
	*ret = (struct policy_said){ .verdict = w->word[filter], .code = 250 };
	return w->word[filter] == POLICY_UNDECIDED ? POLICY_PENDING : POLICY_KNOWN;
}

/* Has its filter been called, and does what it has said decide? */
static bool
has_said(const struct run *run, const struct policy_rule *r)
{
	const struct world *w = run->w;

	if (!awaits(w, r) || !run->o.acted[r->index] || run->stage < w->word_at[r->filter])
		return false;
	return w->word_fails[r->filter] ? r->on_unknown != UNKNOWN_SKIP : w->word[r->filter] != POLICY_UNDECIDED;
}

/* Is it known that an open rule will decide, if only later, since it has to wait itself? */
static bool
will_decide(struct run *run, const struct policy_eval *e, const struct policy_rule *r)
{
	struct policy_host h = { .fact = run_fact, .act = run_act, .said = run_said, .arg = run };
	struct sp_value v;

	if (r->shadow || r->known > run->stage)
		return false;
	if (rule_is_terminal(r))
		return true;
	if (run->failed[r->index] || has_said(run, r))
		return true;
	return r->condition != NULL && r->on_unknown != UNKNOWN_SKIP &&
		eval_expr(e, r->index, r->condition, &h, &v) == POLICY_UNKNOWN;
}

static void
check_plan(struct run *run, const struct policy_eval *e, bool unknowns)
{
	const struct policy *p = &run->w->policy;

	for (size_t i = 0; i < p->rule_count; i++) {
		const struct policy_rule *r = p->rules[i];

		if (policy_eval_trace(e, i).outcome != POLICY_RULE_WAITS)
			continue;
		if (!unknowns && r->fires <= run->stage && !(awaits(run->w, r) && run->o.acted[i]))
			run->fault = "a rule is open at the stage at which it fires by the plan";
		if ((r->reads_rcpt || awaits(run->w, r)) && !r->shadow && !p->reads_rcpt && run->stage >= SP_RCPT)
			run->fault = "a rule of one recipient is open after RCPT, against reads_rcpt";
		if (will_decide(run, e, r)) /* all below is moot */
			break;
	}
}

static void
run_policy(struct run *run, enum sp_stage first, bool unknowns)
{
	struct policy_host h = { .fact = run_fact, .act = run_act, .said = run_said, .arg = run };
	struct policy_eval *e = policy_eval_new(&run->w->policy, arena);
	struct policy_verdict v = { 0 };

	for (unsigned s = first; s < SP_STAGES; s++) {
		run->stage = (enum sp_stage)s;
		v = policy_eval_stage(e, run->stage, &h);
		if (first == SP_CONNECT)
			check_plan(run, e, unknowns);
	}
	run->o.verdict = v.verdict;
	run->o.backend = v.backend;
	run->o.score = policy_eval_score(e);
}

static bool
same_effects(const struct world *w, const struct outcome *a, const struct outcome *b)
{
	for (size_t i = 0; i < w->policy.rule_count; i++)
		if (a->acted[i] != b->acted[i] && w->rules[i]->verb != VERB_SCORE)
			return false;
	return !(a->score < b->score) && !(a->score > b->score);
}

static bool
lets_pass(enum policy_class c)
{
	return c == POLICY_ACCEPT || c == POLICY_DISCARD;
}

static bool
same_verdict(const struct outcome *a, const struct outcome *b)
{
	return a->verdict == b->verdict && span_eq(a->backend, b->backend);
}

static const char *
judge(const struct world *w, bool unknowns)
{
	struct outcome ref = ref_judge(w);
	struct run end = { .w = w }, staged = { .w = w };

	run_policy(&end, SP_EOM, unknowns);
	run_policy(&staged, SP_CONNECT, unknowns);
	if (end.fault != NULL || staged.fault != NULL)
		return end.fault != NULL ? end.fault : staged.fault;
	if (!same_verdict(&end.o, &ref) || !same_effects(w, &end.o, &ref))
		return "the evaluation at the end is not what the file says";
	if (lets_pass(staged.o.verdict) && !same_verdict(&staged.o, &ref))
		return "the stages let pass what the file holds up";
	if (!unknowns && !ref.by_word && !same_verdict(&staged.o, &ref))
		return "the stages give another verdict";
	/* where unknown facts are accepted by default, effects below may have come first */
	if (unknowns && w->policy.unknown.verdict == POLICY_ACCEPT)
		return NULL;
	if (staged.o.verdict == POLICY_ACCEPT && !same_effects(w, &staged.o, &ref))
		return "the stages accept with other effects";
	return NULL;
}

static void
print_case(const struct world *w)
{
	struct buf text;

	buf_init(&text, 1 << 16);
	for (unsigned i = 0; i < FACTS; i++)
		buf_printf(&text, "fact %s stage %d state %d value %d filter %d\n", w->refs[i].text.ptr, w->refs[i].stage,
			w->known[i], (int)w->value[i], w->refs[i].filter);
	for (unsigned i = 0; i < FILTERS; i++)
		buf_printf(&text, "filter %u: on demand %d, decides %d: word %d at %d, fails %d\n", i, w->filters[i].on_demand,
			w->filters[i].module != NULL, w->word[i], w->word_at[i], w->word_fails[i]);
	buf_printf(&text, "file's default %d\n", w->policy.unknown.verdict);
	for (size_t i = 0; i < w->policy.rule_count; i++) {
		const struct policy_rule *r = w->rules[i];

		buf_printf(&text, "r%zu verb %d unknown %d/%d%s pinned %d known %d fires %d fails %d tag %s filter %zu if ", i,
			r->verb, r->on_unknown, r->unknown.verdict, r->shadow ? " shadow" : "", r->pinned, r->known,
			r->fires, w->act_fails[i], r->arg_name.ptr, r->filter);
		if (r->condition != NULL)
			show_expr(&text, r->condition);
		buf_add_char(&text, '\n');
	}
	fprintf(stderr, "%s", buf_cstr(&text));
	buf_fini(&text);
}

static uint64_t
number_from_env(const char *name, uint64_t fallback)
{
	uint64_t n;

	return span_to_u64(span_str(getenv(name)), UINT64_MAX, &n) == SP_OK && n > 0 ? n : fallback;
}

static void
judge_all(bool unknowns)
{
	static struct world w;
	uint64_t cases = number_from_env("SALLYPORT_CASES", CASES), seed = number_from_env("SALLYPORT_SEED", 20);
	unsigned passed[POLICY_REJECT + 1] = { 0 };

	random_state = seed;
	for (uint64_t i = 0; i < cases; i++) {
		const char *fault;

		make_case(&w, unknowns);
		fault = judge(&w, unknowns);
		if (fault != NULL) {
			print_case(&w);
			fail_msg("case %llu of SALLYPORT_SEED=%llu: %s", (unsigned long long)i, (unsigned long long)seed, fault);
		}
		passed[ref_judge(&w).verdict]++;
	}
	/* the cases are worth something only if every verdict is among them */
	if (cases >= CASES)
		for (enum policy_class c = POLICY_ACCEPT; c <= POLICY_REJECT; c++)
			assert_true(passed[c] > cases / 20);
}

static void
test_known(void **state)
{
	(void)state;
	judge_all(false);
}

static void
test_unknown(void **state)
{
	(void)state;
	judge_all(true);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_unknown),
	};
	int failed;

	arena = arena_new(1 << 18, 1 << 20);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_free(&arena);
	return failed;
}
