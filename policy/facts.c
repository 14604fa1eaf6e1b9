/*
 * facts.c - finds facts by name, keeps one object for each fact and argument, and numbers those that
 * are read by something that runs.
 *
 * A name is space.fact, filter.fact or filter.entry.fact; a fact that takes an argument is written
 * message.header("Subject").
 */
#include "policy/compile.h"

/* A name taken apart and found. */
struct found {
	const struct policy_space *space;
	int filter, entry;
	unsigned fact;
	const struct sp_fact_decl *decl;
};

size_t
fact_decl_count(const struct sp_fact_decl *decls)
{
	size_t n = 0;

	while (decls != NULL && decls[n].type != SP_END)
		n++;
	return n;
}

static bool
decl_find(const struct sp_fact_decl *decls, struct sp_span name, struct found *f)
{
	for (size_t i = 0; decls != NULL && decls[i].type != SP_END; i++)
		if (span_eq(span_str(decls[i].name), name)) {
			f->decl = &decls[i];
			f->fact = (unsigned)i;
			return true;
		}
	return false;
}

static const struct policy_space *
space_find(const struct compile *c, struct sp_span name)
{
	for (const struct policy_space *s = c->env->spaces; s != NULL && s->name != NULL; s++)
		if (span_eq(span_str(s->name), name))
			return s;
	return NULL;
}

static int
filter_index(const struct compile *c, struct sp_span name)
{
	for (size_t i = 0; i < c->p->filter_count; i++)
		if (span_eq(c->p->filters[i].name, name))
			return (int)i;
	return -1;
}

bool
fact_looks(struct compile *c, struct sp_span word)
{
	struct sp_span first = span_head(word, span_find(word, '.'));

	return first.len < word.len && (space_find(c, first) != NULL || filter_index(c, first) >= 0);
}

/* ---- suggestions ----------------------------------------------------------------------------- */

static void
offer_decls(struct compile *c, struct suggest *s, const char *prefix, const struct sp_fact_decl *decls)
{
	for (; decls != NULL && decls->type != SP_END; decls++)
		suggest_word(s, compile_printf(c, "%s.%s", prefix, decls->name));
}

static void
offer_filter(struct compile *c, struct suggest *s, const struct policy_filter *f)
{
	const char *name = compile_printf(c, "%.*s", (int)f->name.len, f->name.ptr);

	if (f->module == NULL)
		return;
	offer_decls(c, s, name, f->module->facts);
	for (size_t i = 0; i < f->entry_count; i++)
		offer_decls(c, s, compile_printf(c, "%s.%s", name, f->entries[i].name), f->module->entry_facts);
}

void
fact_offer(struct compile *c, struct suggest *s)
{
	for (const struct policy_space *sp = c->env->spaces; sp != NULL && sp->name != NULL; sp++)
		offer_decls(c, s, sp->name, sp->facts);
	for (size_t i = 0; i < c->p->filter_count; i++)
		offer_filter(c, s, &c->p->filters[i]);
}

/* "spf.result" when there is a module spf that the policy does not use */
static const char *
unused_module(struct compile *c, struct sp_span word)
{
	struct sp_span first = span_head(word, span_find(word, '.'));
	const char *const *names = c->env->filter_names == NULL ? NULL : c->env->filter_names(c->env->arg);

	for (; names != NULL && *names != NULL && first.len < word.len; names++)
		if (span_eq(span_str(*names), first))
			return compile_printf(c, "it needs the statement 'filter %s'", *names);
	return "expected space.fact, filter.fact or filter.entry.fact";
}

static void
unknown_fact(struct compile *c, const struct token *name)
{
	struct suggest near;
	bool looks = fact_looks(c, name->text);

	suggest_init(&near, name->text);
	fact_offer(c, &near);
	diag_error(c, name->at,
		suggest_hint(&near, c,
			looks ? "if it is no fact but a text or a domain, put it in quotes" : unused_module(c, name->text)),
		"no fact named '%.*s'", (int)name->text.len, name->text.ptr);
}

/* ---- finding ------------------------------------------------------------------------------------ */

static int
entry_index(const struct policy_filter *f, struct sp_span name)
{
	for (size_t i = 0; i < f->entry_count; i++)
		if (span_eq(span_str(f->entries[i].name), name))
			return (int)i;
	return -1;
}

static bool
find_in_filter(const struct compile *c, struct sp_span rest, struct found *f)
{
	const struct policy_filter *filter = &c->p->filters[f->filter];
	size_t dot = span_find(rest, '.');

	if (dot == rest.len)
		return decl_find(filter->module->facts, rest, f);
	f->entry = entry_index(filter, span_head(rest, dot));
	return f->entry >= 0 && decl_find(filter->module->entry_facts, span_from(rest, dot + 1), f);
}

static bool
find_name(struct compile *c, const struct token *name, struct found *f)
{
	size_t dot = span_find(name->text, '.');
	struct sp_span first = span_head(name->text, dot), rest = span_from(name->text, dot + 1);

	*f = (struct found){ .filter = -1, .entry = -1 };
	if (compile_refused(c, name->text) != NULL) {
		diag_error(c, name->at, NULL, "%s", compile_refused(c, name->text));
		return false;
	}
	f->space = space_find(c, first);
	if (f->space != NULL && decl_find(f->space->facts, rest, f))
		return true;
	f->filter = f->space == NULL ? filter_index(c, first) : -1;
	if (f->filter >= 0 && c->infos[f->filter].broken)
		return false; /* its module was not found, and that has been said */
	if (f->filter >= 0 && find_in_filter(c, rest, f))
		return true;
	unknown_fact(c, name);
	return false;
}

static bool
argument_right(struct compile *c, const struct token *name, const struct token *arg, const struct found *f)
{
	if (f->decl->takes_name && arg == NULL) {
		diag_error(c, name->at, compile_printf(c, "write %.*s(\"...\")", (int)name->text.len, name->text.ptr),
			"'%.*s' needs an argument", (int)name->text.len, name->text.ptr);
		return false;
	}
	if (!f->decl->takes_name && arg != NULL) {
		diag_error(c, arg->at, NULL, "'%.*s' takes no argument", (int)name->text.len, name->text.ptr);
		return false;
	}
	if (arg != NULL && arg->text.len == 0) {
		diag_error(c, arg->at, NULL, "the argument is empty");
		return false;
	}
	return true;
}

static enum sp_stage
later(enum sp_stage a, enum sp_stage b)
{
	return a > b ? a : b;
}

static enum sp_stage
found_stage(const struct compile *c, const struct found *f)
{
	const struct filter_info *info;
	const struct policy_filter *filter;
	enum sp_stage stage;

	if (f->filter < 0)
		return f->decl->stage;
	info = &c->infos[f->filter];
	filter = &c->p->filters[f->filter];
	stage = later(f->decl->stage, info->keys);
	if (f->entry < 0)
		return filter->module->fact_stage == NULL || filter->conf == NULL ? stage
			: filter->module->fact_stage(filter->conf, f->fact, stage);
	if (filter->module->entry_stage != NULL)
		return filter->entries[f->entry].stage;
	return later(f->decl->stage, info->entry_keys[f->entry]);
}

static struct sp_fact_ref *
intern(struct compile *c, const struct token *name, struct sp_span arg, const struct found *f)
{
	struct fact_link *l;

	for (l = c->links; l != NULL; l = l->next)
		if (l->ref.decl == f->decl && l->ref.filter == f->filter && l->ref.entry == f->entry &&
			l->ref.space == f->space && span_ieq(l->ref.name, arg))
			return &l->ref;
	l = compile_alloc(c, sizeof(*l));
	if (l == NULL)
		return NULL;
	l->ref = (struct sp_fact_ref){ .id = UINT32_MAX, .decl = f->decl, .stage = found_stage(c, f), .space = f->space,
		.fact = f->fact, .filter = f->filter, .entry = f->entry, .name = arg };
	l->ref.text = arg.len == 0 ? name->text
				   : span_str(arena_printf(c->p->arena, "%.*s(\"%.*s\")", (int)name->text.len,
					     name->text.ptr, (int)arg.len, arg.ptr));
	if (l->ref.text.ptr == NULL)
		c->out_of_memory = true;
	*c->links_end = l;
	c->links_end = &l->next;
	return &l->ref;
}

struct sp_fact_ref *
fact_find(struct compile *c, const struct token *name, const struct token *arg)
{
	struct sp_span text = { NULL, 0 };
	struct found f;

	if (!find_name(c, name, &f) || !argument_right(c, name, arg, &f))
		return NULL;
	if (f.filter >= 0 && (size_t)f.filter >= c->key_of) {
		diag_error(c, name->at, "as a key serves a fact of the program or of a filter above",
			"'%.*s' is not known yet when this filter runs", (int)name->text.len, name->text.ptr);
		return NULL;
	}
	if (arg != NULL)
		text = literal_text(c, arg);
	return intern(c, name, text, &f);
}

const struct sp_fact_ref *
fact_read(struct compile *c, const struct token *name, const struct token *arg)
{
	struct sp_fact_ref *ref = fact_find(c, name, arg);
	struct fact_use *use;

	if (ref == NULL)
		return NULL;
	if (c->rule != NULL && c->rule->pinned >= 0 && ref->stage > (enum sp_stage)c->rule->pinned)
		diag_error(c, name->at,
			compile_printf(c, "the rule is pinned by 'at %s' (%s)",
				policy_stage_name((enum sp_stage)c->rule->pinned), diag_place(c, c->rule_stage)),
			"'%.*s' is not known before %s", (int)ref->text.len, ref->text.ptr, policy_stage_name(ref->stage));
	fact_mark(ref);
	use = compile_scratch(c, sizeof(*use));
	if (use == NULL)
		return NULL;
	*use = (struct fact_use){ .rule = c->rule, .ref = ref, .at = name->at };
	*c->uses_end = use;
	c->uses_end = &use->next;
	return ref;
}

/* ---- numbers ------------------------------------------------------------------------------------- */

void
fact_mark(const struct sp_fact_ref *ref)
{
	((struct fact_link *)(uintptr_t)ref)->read = true; /* ref is its first member */
}

static bool
filter_wanted(const struct compile *c, size_t filter)
{
	const struct policy_filter *f = &c->p->filters[filter];

	if (f->on_demand || (f->module != NULL && f->module->states_results) ||
		(f->module != NULL && f->module->facts == NULL && f->module->entry_facts == NULL))
		return true;
	for (const struct fact_link *l = c->links; l != NULL; l = l->next)
		if (l->read && l->ref.filter == (int)filter)
			return true;
	return false;
}

/* A filter that runs reads its keys. Keys come from filters above, so one pass upwards does. */
static void
mark_wanted(struct compile *c)
{
	for (size_t i = c->p->filter_count; i > 0; i--) {
		const struct filter_info *info = &c->infos[i - 1];

		c->p->filters[i - 1].wanted = filter_wanted(c, i - 1);
		for (size_t k = 0; c->p->filters[i - 1].wanted && k < info->list_count; k++)
			for (size_t j = 0; j < info->lists[k]->count; j++)
				fact_mark(info->lists[k]->refs[j]);
	}
}

/* [0]: own facts, [1]: facts of each entry, [2]: slots; then the ids */
static int *
slots_new(struct compile *c, const struct policy_filter *f)
{
	size_t own = f->module == NULL ? 0 : fact_decl_count(f->module->facts);
	size_t each = f->module == NULL ? 0 : fact_decl_count(f->module->entry_facts);
	size_t count = own + each * f->entry_count;
	int *slots = compile_alloc(c, (3 + count) * sizeof(int));

	if (slots == NULL)
		return NULL;
	slots[0] = (int)own;
	slots[1] = (int)each;
	slots[2] = (int)count;
	for (size_t i = 0; i < count; i++)
		slots[3 + i] = -1;
	return slots;
}

static int *
slot_of(int *slots, int entry, unsigned fact)
{
	int limit = entry < 0 ? slots[0] : slots[1];
	int slot = entry < 0 ? (int)fact : slots[0] + entry * slots[1] + (int)fact;

	return fact < (unsigned)limit && slot < slots[2] ? &slots[3 + slot] : NULL;
}

static bool
number_slots(struct compile *c)
{
	struct policy *p = c->p;

	p->fact_ids = compile_alloc(c, (p->filter_count + 1) * sizeof(int *));
	for (size_t i = 0; p->fact_ids != NULL && i < p->filter_count; i++) {
		p->fact_ids[i] = slots_new(c, &p->filters[i]);
		if (p->fact_ids[i] == NULL)
			return false;
	}
	for (size_t i = 0; p->fact_ids != NULL && i < p->fact_count; i++)
		if (p->facts[i]->filter >= 0)
			*slot_of(p->fact_ids[p->facts[i]->filter], p->facts[i]->entry, p->facts[i]->fact) = (int)i;
	return p->fact_ids != NULL;
}

void
fact_number(struct compile *c)
{
	struct policy *p = c->p;
	size_t count = 0;

	mark_wanted(c);
	for (const struct fact_link *l = c->links; l != NULL; l = l->next)
		count += l->read;
	p->facts = compile_alloc(c, (count + 1) * sizeof(struct sp_fact_ref *));
	if (p->facts == NULL)
		return;
	for (struct fact_link *l = c->links; l != NULL; l = l->next) {
		if (!l->read)
			continue;
		l->ref.id = (unsigned)p->fact_count;
		p->facts[p->fact_count++] = &l->ref;
	}
	number_slots(c);
}

int
policy_fact_id(const struct policy *p, int filter, int entry, unsigned fact)
{
	const int *slot;

	if (filter < 0 || (size_t)filter >= p->filter_count)
		return -1;
	slot = slot_of(p->fact_ids[filter], entry, fact);
	return slot == NULL ? -1 : *slot;
}

void
fact_check_demand(struct compile *c)
{
	for (const struct fact_use *u = c->uses; u != NULL; u = u->next) {
		const struct filter_info *info = u->ref->filter < 0 ? NULL : &c->infos[u->ref->filter];
		const struct policy_rule *runner;

		if (info == NULL || u->rule == NULL || info->runs_at == SIZE_MAX || u->rule->index > info->runs_at)
			continue;
		runner = c->p->rules[info->runs_at];
		diag_error(c, u->at,
			compile_printf(c, "the filter is run by rule '%.*s' (%s), which must stand above", (int)runner->name.len,
				runner->name.ptr, diag_place(c, runner->at)),
			"'%.*s' is never known in this rule", (int)u->ref->text.len, u->ref->text.ptr);
	}
}
