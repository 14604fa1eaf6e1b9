/*
 * check_backend.c - the verbs "backend NAME" and "quarantine NAME": there is such a backend, and a recipient's is chosen in time.
 *
 * A recipient's backend is asked at RCPT, so what chooses it must be decided by then.
 */
#include "policy/compile.h"

static const char late[] = "a recipient's backend is chosen at rcpt at the latest";

static bool
is_backend(const struct ast_block *b)
{
	return span_eq(b->kind.text, SPAN_LIT("backend"));
}

bool
check_backend_verb(struct compile *c, const struct token *name)
{
	const char *refused = compile_refused(c, SPAN_LIT("backend"));
	struct suggest near;

	if (refused != NULL) {
		diag_error(c, name->at, NULL, "%s", refused);
		return false;
	}
	suggest_init(&near, name->text);
	for (const struct ast_block *b = c->blocks; b != NULL; b = b->next) {
		if (!is_backend(b))
			continue;
		suggest_offer(&near, b->head.text, b->head.at);
		if (span_eq(b->head.text, name->text))
			return true;
	}
	diag_error(c, name->at, suggest_hint(&near, c, "declare it: backend NAME { address ... }"), "no backend named '%.*s'",
		(int)name->text.len, name->text.ptr);
	return false;
}

/* Shows the fact that is known too late; false: it is no fact that makes the rule late. */
static bool
show_late_fact(struct compile *c, const struct policy_rule *r)
{
	for (const struct fact_use *u = c->uses; u != NULL; u = u->next) {
		if (u->rule != r || u->ref->stage <= SP_RCPT)
			continue;
		diag_error(c, u->at, late, "'%.*s' is not known before %s", (int)u->ref->text.len, u->ref->text.ptr,
			policy_stage_name(u->ref->stage));
		return true;
	}
	return false;
}

static void
check_stages(struct compile *c, const struct policy_rule *r)
{
	if (r->known > SP_RCPT) {
		if (!show_late_fact(c, r))
			diag_error(c, r->at, late, "rule '%.*s' is not decided before %s", (int)r->name.len, r->name.ptr,
				policy_stage_name(r->known));
	} else if (r->fires > SP_RCPT && r->waits_for != NULL) {
		diag_error(c, r->at,
			compile_printf(c, "rule '%.*s' (%s) above could still accept: move it down", (int)r->waits_for->name.len,
				r->waits_for->name.ptr, diag_place(c, r->waits_for->at)),
			"rule '%.*s' must wait until %s for rule '%.*s', and %s", (int)r->name.len, r->name.ptr,
			policy_stage_name(r->fires), (int)r->waits_for->name.len, r->waits_for->name.ptr, late);
	}
}

void
check_backend_stages(struct compile *c)
{
	for (size_t i = 0; i < c->p->rule_count; i++)
		if (c->p->rules[i]->verb == VERB_BACKEND)
			check_stages(c, c->p->rules[i]);
}

bool
policy_routes_to(const struct policy *p, struct sp_span backend)
{
	for (size_t i = 0; i < p->rule_count; i++) {
		const struct policy_rule *r = p->rules[i];

		if ((r->verb == VERB_BACKEND || r->verb == VERB_QUARANTINE) && !r->shadow && span_eq(r->arg_name, backend))
			return true;
	}
	return false;
}

bool
policy_chooses(const struct policy *p, struct sp_span backend)
{
	for (size_t i = 0; i < p->rule_count; i++)
		if (p->rules[i]->verb == VERB_BACKEND && !p->rules[i]->shadow && span_eq(p->rules[i]->arg_name, backend))
			return true;
	return false;
}
