/*
 * explain_json.c - the same as explain.c for programs: one JSON object (RFC 8259) on one line.
 *
 * Facts that are bool, int or score are JSON's own; all others are strings as the language writes
 * them.  Bytes that are not UTF-8 are escaped one by one.
 */
#include <inttypes.h>
#include <math.h>

#include "policy/explain.h"
#include "policy/kit/span.h"

static void
add_string(struct buf *to, struct sp_span s)
{
	buf_add_char(to, '"');
	buf_add_quoted(to, s);
	buf_add_char(to, '"');
}

/* before: what comes in front of the key, "{" or ",". */
static void
add_key(struct buf *to, const char *before, const char *key)
{
	buf_add_str(to, before);
	add_string(to, span_str(key));
	buf_add_char(to, ':');
}

static void
add_pair(struct buf *to, const char *before, const char *key, struct sp_span value)
{
	add_key(to, before, key);
	add_string(to, value);
}

static void
add_bool(struct buf *to, const char *key, bool value)
{
	add_key(to, ",", key);
	buf_add_str(to, value ? "true" : "false");
}

static void
add_place(struct buf *to, const struct policy_rule *r)
{
	struct buf place;

	buf_init(&place, EXPLAIN_LINE_MAX);
	show_place(&place, r);
	add_pair(to, ",", "place", buf_span(&place));
	buf_fini(&place);
}

static void
add_value(struct buf *to, const struct sp_value *v, const char *const *words)
{
	struct buf text;

	if (v->type == SP_BOOL) {
		buf_add_str(to, v->u.boolean ? "true" : "false");
	} else if (v->type == SP_INT) {
		buf_printf(to, "%" PRId64, v->u.integer);
	} else if (v->type == SP_SCORE && isfinite(v->u.real)) {
		value_text(to, v, NULL);
	} else if (v->type == SP_STRING || v->type == SP_DOMAIN || v->type == SP_ADDRESS) {
		add_string(to, v->u.text);
	} else {
		buf_init(&text, EXPLAIN_LINE_MAX);
		value_text(&text, v, words);
		add_string(to, buf_span(&text));
		buf_fini(&text);
	}
}

static void
add_fact(struct buf *to, const struct explain *x, size_t rule, const struct sp_fact_ref *ref)
{
	static const char *const states[] = { [POLICY_KNOWN] = "known", [POLICY_PENDING] = "pending",
		[POLICY_UNKNOWN] = "unknown", [POLICY_ABSENT] = "absent" };
	struct sp_value v = { SP_END, { 0 } };
	enum policy_known known = eval_fact(x->e, rule, ref, x->h, &v);

	add_pair(to, "{", "fact", ref->text);
	add_key(to, ",", "value");
	if (known == POLICY_KNOWN)
		add_value(to, &v, ref->decl->words);
	else
		buf_add_str(to, "null");
	add_bool(to, "known", known == POLICY_KNOWN);
	add_pair(to, ",", "state", span_str(states[known]));
	buf_add_char(to, '}');
}

static void
add_rule(struct buf *to, const struct explain *x, size_t rule)
{
	struct policy_trace t = policy_eval_trace(x->e, rule);
	struct buf text;

	buf_init(&text, EXPLAIN_LINE_MAX);
	add_pair(to, "{", "name", t.rule->name);
	add_place(to, t.rule);
	add_pair(to, ",", "outcome", span_str(explain_outcome(t.outcome)));
	add_key(to, ",", "stage");
	if (t.outcome == POLICY_RULE_WAITS)
		buf_add_str(to, "null");
	else
		add_string(to, span_str(policy_stage_name(t.stage)));
	add_bool(to, "shadow", t.rule->shadow);
	show_verb(&text, t.rule);
	add_pair(to, ",", "verb", buf_span(&text));
	buf_clear(&text);
	if (t.rule->condition != NULL)
		show_expr(&text, t.rule->condition);
	add_pair(to, ",", "condition", buf_span(&text));
	add_key(to, ",", "facts");
	buf_add_char(to, '[');
	for (size_t i = 0; i < t.rule->read_count; i++) {
		buf_add_str(to, i > 0 ? "," : "");
		add_fact(to, x, rule, t.rule->reads[i]);
	}
	buf_add_str(to, "]}");
	buf_fini(&text);
}

static void
add_verdict(struct buf *to, const struct policy_verdict *v)
{
	bool decided = v->verdict != POLICY_UNDECIDED;

	add_pair(to, "{", "verdict", span_str(decided ? policy_class_name(v->verdict) : "undecided"));
	if (!decided)
		return;
	add_key(to, ",", "code");
	buf_printf(to, "%d", v->code);
	add_pair(to, ",", "enhanced", v->enhanced);
	add_pair(to, ",", "text", v->text);
	if (v->backend.len > 0)
		add_pair(to, ",", "backend", v->backend);
	if (v->rule != NULL) { /* null: the caller's own verdict */
		add_pair(to, ",", "rule", v->rule->name);
		add_place(to, v->rule);
	}
	add_pair(to, ",", "stage", span_str(policy_stage_name(v->stage)));
	add_bool(to, "unknown", v->unknown);
}

/* Writes what is in line; a rule that was too long for it becomes null. */
static void
flush(struct buf *line, const struct explain *x)
{
	if (buf_status(line) == SP_OK)
		fwrite(line->ptr, 1, line->len, x->to);
	else
		fputs("null", x->to);
	buf_clear(line);
}

void
explain_json(const struct explain *x)
{
	struct buf line;

	buf_init(&line, 16 * EXPLAIN_LINE_MAX);
	add_verdict(&line, x->v);
	add_key(&line, ",", "rules");
	buf_add_char(&line, '[');
	flush(&line, x);
	for (size_t i = 0; i < x->e->p->rule_count; i++) {
		if (i > 0)
			fputc(',', x->to);
		add_rule(&line, x, i);
		flush(&line, x);
	}
	fputs("]}\n", x->to);
	buf_fini(&line);
}
