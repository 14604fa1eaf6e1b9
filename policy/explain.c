/*
 * explain.c - why a verdict is what it is: one line for it, then one for each rule with the values
 * that it saw.
 *
 * A view of the walk's trace; facts are asked for once more.  Lines are built in one buffer each;
 * what is too long for it is left out of that line, never of the verdict.
 */
#include "policy/explain.h"

#include "policy/kit/span.h"

#define NAME_WIDTH_MAX 24
#define CONDITION_WIDTH_MAX 72
#define TEXT_SHOWN_MAX 120

/* For the callback of show_expr_values(). */
struct seen {
	const struct explain *x;
	size_t rule;
};

struct columns {
	size_t name, outcome, condition;
};

const char *
explain_outcome(enum policy_outcome outcome)
{
	static const char *const names[] = { [POLICY_RULE_WAITS] = "waits", [POLICY_RULE_NO] = "no",
		[POLICY_RULE_FIRED] = "yes", [POLICY_RULE_UNKNOWN] = "unknown", [POLICY_RULE_SKIPPED] = "skipped" };

	return names[outcome];
}

/* ---- values -------------------------------------------------------------------------------- */

static const char *
key_noun(enum sp_type key, size_t count)
{
	switch (key) {
	case SP_NET:
		return count == 1 ? "net" : "nets";
	case SP_DOMAIN:
		return count == 1 ? "domain" : "domains";
	case SP_ADDRESS:
		return count == 1 ? "address" : "addresses";
	default:
		return count == 1 ? "string" : "strings";
	}
}

static bool
is_text(enum sp_type type)
{
	return type == SP_STRING || type == SP_DOMAIN || type == SP_ADDRESS;
}

static void
print_value(struct buf *to, const struct sp_value *v, const char *const *words)
{
	struct sp_value part = *v;

	if (is_text(v->type) && v->u.text.len > TEXT_SHOWN_MAX) {
		part.u.text = span_head(v->u.text, TEXT_SHOWN_MAX);
		value_print(to, &part, words);
		buf_add_str(to, "...");
	} else {
		value_print(to, v, words);
	}
}

static void
print_seen(void *arg, struct buf *to, const struct expr *e)
{
	const struct seen *seen = arg;
	struct sp_value v = { SP_END, { 0 } };
	enum policy_known known;

	if (e->op == EXPR_IN) {
		size_t count = table_count(e->table->table);

		buf_printf(to, " (%zu %s)", count, key_noun(table_key_type(e->table->table), count));
		return;
	}
	known = eval_expr(seen->x->e, seen->rule, e, seen->x->h, &v);
	buf_add_char(to, ' ');
	if (known == POLICY_KNOWN)
		print_value(to, &v, e->op == EXPR_FACT ? e->ref->decl->words : NULL);
	else
		buf_add_str(to, known == POLICY_PENDING ? "(not known yet)" :
				known == POLICY_ABSENT ? "(absent)" : "(unknown)");
}

/* ---- one rule ------------------------------------------------------------------------------ */

static void
outcome_text(struct buf *to, const struct policy_trace *t)
{
	buf_clear(to);
	buf_add_str(to, t->outcome == POLICY_RULE_FIRED ? "YES" : explain_outcome(t->outcome));
	if (t->rule->shadow)
		buf_add_str(to, " (shadow)");
}

static void
condition_text(struct buf *to, const struct explain *x, const struct policy_trace *t)
{
	struct seen seen = { x, t->rule->index };
	struct show_values values = { print_seen, &seen };

	buf_clear(to);
	if (t->rule->condition == NULL)
		buf_add_str(to, "always");
	else
		show_expr_values(to, t->rule->condition, &values);
	if (t->outcome == POLICY_RULE_FIRED) {
		buf_add_str(to, " -> ");
		show_verb(to, t->rule);
	}
}

static size_t
wider(size_t width, size_t cell, size_t max)
{
	return cell > width && cell <= max ? cell : width;
}

static struct columns
measure(const struct explain *x, struct buf *cell)
{
	struct columns c = { 1, 1, 1 };

	for (size_t i = 0; i < x->e->p->rule_count; i++) {
		struct policy_trace t = policy_eval_trace(x->e, i);

		c.name = wider(c.name, t.rule->name.len, NAME_WIDTH_MAX);
		outcome_text(cell, &t);
		c.outcome = wider(c.outcome, cell->len, SIZE_MAX);
		condition_text(cell, x, &t);
		c.condition = wider(c.condition, cell->len, CONDITION_WIDTH_MAX);
	}
	return c;
}

static void
print_rule(struct buf *line, struct buf *cell, const struct explain *x, size_t rule, const struct columns *c)
{
	struct policy_trace t = policy_eval_trace(x->e, rule);

	buf_clear(line);
	buf_clear(cell);
	show_name(cell, t.rule);
	buf_add_str(line, "  ");
	show_padded(line, buf_span(cell), c->name);
	outcome_text(cell, &t);
	buf_add_str(line, "  ");
	show_padded(line, buf_span(cell), c->outcome);
	condition_text(cell, x, &t);
	buf_add_str(line, "  ");
	show_padded(line, buf_span(cell), c->condition);
	buf_add_str(line, "  ");
	show_place(line, t.rule);
	buf_add_char(line, '\n');
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void
print_verdict(struct buf *line, const struct explain *x)
{
	const struct policy_verdict *v = x->v;

	buf_clear(line);
	if (v->verdict == POLICY_UNDECIDED) {
		buf_printf(line, "undecided at %s\n", policy_stage_name(x->e->stage));
		return;
	}
	buf_add_str(line, v->backend.len > 0 ? "quarantine " : policy_class_name(v->verdict));
	buf_add(line, v->backend);
	if (v->verdict == POLICY_DEFER || v->verdict == POLICY_REJECT) {
		buf_printf(line, " %d ", v->code);
		buf_add(line, v->enhanced);
		buf_add_str(line, " \"");
		buf_add_quoted(line, v->text);
		buf_add_char(line, '"');
	}
	if (v->rule != NULL) { /* null: the caller's own verdict, as when it ran out of memory */
		buf_add_str(line, " by rule ");
		show_name(line, v->rule);
		buf_add_str(line, " (");
		show_place(line, v->rule);
		buf_add_char(line, ')');
	}
	buf_printf(line, " at %s%s\n", policy_stage_name(v->stage), !v->unknown ? ""
			: v->rule != NULL && v->rule->awaits ? ", since the filter could not say"
							     : ", since a fact is unknown");
}

static void
explain_text(const struct explain *x)
{
	struct buf line, cell;
	struct columns c;

	buf_init(&line, EXPLAIN_LINE_MAX);
	buf_init(&cell, EXPLAIN_LINE_MAX / 2);
	print_verdict(&line, x);
	fwrite(line.ptr, 1, line.len, x->to);
	c = measure(x, &cell);
	for (size_t i = 0; i < x->e->p->rule_count; i++) {
		print_rule(&line, &cell, x, i, &c);
		fwrite(line.ptr, 1, line.len, x->to);
	}
	buf_fini(&cell);
	buf_fini(&line);
}

void
policy_explain(const struct policy_eval *e, const struct policy_verdict *v, const struct policy_host *h, bool json,
	FILE *to)
{
	struct explain x = { e, v, h, to };

	if (json)
		explain_json(&x);
	else
		explain_text(&x);
}
