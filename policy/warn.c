/* warn.c - what is allowed but hardly meant: unreachable rules, unused names, rules that must wait. */
#include "policy/compile.h"

static void
warn_rule(struct compile *c, const struct policy_rule *r)
{
	const struct policy_rule *by;

	if (plan_unreachable(c->p, r, &by)) {
		diag_warning(c, r->at,
			compile_printf(c, "rule '%.*s' (%s) decides always", (int)by->name.len, by->name.ptr, diag_place(c, by->at)),
			"rule '%.*s' is never reached", (int)r->name.len, r->name.ptr);
		return;
	}
	/* The last verdict waits for everything: that is what it is for. A tag or a header that comes
	 * later makes no difference to anyone. */
	if (r->waits_for == NULL || r->fires <= r->known || r->condition == NULL ||
		(!rule_is_terminal(r) && r->verb != VERB_FILTER))
		return;
	diag_warning(c, r->at,
		compile_printf(c, "rule '%.*s' (%s) above could still decide otherwise", (int)r->waits_for->name.len,
			r->waits_for->name.ptr, diag_place(c, r->waits_for->at)),
		"rule '%.*s' is known at %s but must wait until %s for rule '%.*s'", (int)r->name.len, r->name.ptr,
		policy_stage_name(r->known), policy_stage_name(r->fires), (int)r->waits_for->name.len,
		r->waits_for->name.ptr);
}

static void
warn_filter(struct compile *c, size_t index)
{
	const struct policy_filter *f = &c->p->filters[index];

	bool loaded = c->p->filter_loaded[index];

	if (!f->on_demand && loaded && f->module->decides != NULL && f->module->decides(f->conf))
		diag_warning(c, c->infos[index].at,
			compile_printf(c, "call it: NAME : filter %.*s", (int)f->name.len, f->name.ptr),
			"no rule calls filter '%.*s', so what it decides has no effect", (int)f->name.len, f->name.ptr);
	else if (!f->wanted)
		diag_warning(c, c->infos[index].at, "no rule reads one of its facts, so it does not run",
			"filter '%.*s' is never used", (int)f->name.len, f->name.ptr);
	else if (!f->on_demand && loaded && f->module->by_rule != NULL && f->module->by_rule(f->conf))
		diag_warning(c, c->infos[index].at, "a rule should say for which: NAME : if client.ip in own  filter NAME",
			"filter '%.*s' does its work on every message, whoever sends it", (int)f->name.len, f->name.ptr);
}

void
warn_all(struct compile *c)
{
	const struct policy *p = c->p;

	for (size_t i = 0; i < p->table_count; i++)
		if (!p->tables[i]->used)
			diag_warning(c, p->tables[i]->at, NULL, "table '%.*s' is never used", (int)p->tables[i]->name.len,
				p->tables[i]->name.ptr);
	for (size_t i = 0; i < p->filter_count; i++)
		warn_filter(c, i);
	for (size_t i = 0; i < p->rule_count; i++)
		warn_rule(c, p->rules[i]);
}
