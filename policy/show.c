/*
 * show.c - a checked expression in the language's own words, with or without the values in it; and
 * the other columns of plan and explain.
 *
 * Brackets are written only where leaving them out would change the meaning.
 */
#include "policy/kit/span.h"
#include "policy/policy_priv.h"

/* How tightly an operator binds. */
enum level { LEVEL_OR = 1, LEVEL_AND, LEVEL_NOT, LEVEL_COMPARE };

struct show {
	struct buf *to;
	const struct show_values *values;
};

static void show_node(const struct show *s, const struct expr *e, enum level around);

static const char *
sign(enum expr_op op)
{
	switch (op) {
	case EXPR_EQ:
		return " == ";
	case EXPR_NE:
		return " != ";
	case EXPR_LT:
		return " < ";
	case EXPR_LE:
		return " <= ";
	case EXPR_GT:
		return " > ";
	case EXPR_GE:
		return " >= ";
	case EXPR_AND:
		return " and ";
	default:
		return " or ";
	}
}

static enum level
level_of(enum expr_op op)
{
	switch (op) {
	case EXPR_OR:
		return LEVEL_OR;
	case EXPR_AND:
		return LEVEL_AND;
	case EXPR_NOT:
		return LEVEL_NOT;
	default:
		return LEVEL_COMPARE;
	}
}

/* The words of an enum are known to the fact that it is compared with. */
static const char *const *
words_beside(const struct expr *e)
{
	return e != NULL && e->op == EXPR_FACT ? e->ref->decl->words : NULL;
}

static void
show_operand(const struct show *s, const struct expr *e, const struct expr *beside)
{
	if (e->op == EXPR_CONST)
		value_print(s->to, &e->value, words_beside(beside));
	else
		show_node(s, e, LEVEL_COMPARE);
}

static void
show_value(const struct show *s, const struct expr *e)
{
	if (s->values != NULL)
		s->values->value(s->values->arg, s->to, e);
}

static void
show_in(const struct show *s, const struct expr *e, bool negated)
{
	show_operand(s, e->left, NULL);
	buf_add_str(s->to, negated ? " not in " : " in ");
	if (e->op == EXPR_IN) {
		buf_add(s->to, e->table->name);
		show_value(s, e);
		return;
	}
	buf_add_char(s->to, '(');
	for (size_t i = 0; i < e->item_count; i++) {
		if (i > 0)
			buf_add_str(s->to, ", ");
		show_operand(s, e->items[i], e->left);
	}
	buf_add_char(s->to, ')');
}

static void
show_match(const struct show *s, const struct expr *e, bool negated)
{
	show_operand(s, e->left, NULL);
	buf_add_str(s->to, negated ? " !~ " : " ~ ");
	buf_add(s->to, e->value.u.text.len > 0 ? e->value.u.text : SPAN_LIT("/.../"));
}

static void
show_not(const struct show *s, const struct expr *e)
{
	if (e->op == EXPR_IN || e->op == EXPR_IN_LIST) {
		show_in(s, e, true);
	} else if (e->op == EXPR_MATCH) {
		show_match(s, e, true);
	} else {
		buf_add_str(s->to, "not ");
		show_node(s, e, LEVEL_NOT);
	}
}

/* A constant, a fact, or what else stands by itself. */
static void
show_leaf(const struct show *s, const struct expr *e)
{
	switch (e->op) {
	case EXPR_FACT:
		buf_add(s->to, e->ref->text);
		break;
	case EXPR_SCORE:
		buf_add_str(s->to, "score");
		break;
	case EXPR_TAGGED:
		buf_add_str(s->to, "tagged \"");
		buf_add_quoted(s->to, e->value.u.text);
		buf_add_char(s->to, '"');
		break;
	case EXPR_LOOKUP:
		buf_add(s->to, e->table->name);
		buf_add_char(s->to, '[');
		show_operand(s, e->left, NULL);
		buf_add_char(s->to, ']');
		break;
	default:
		value_print(s->to, &e->value, NULL);
		return;
	}
	show_value(s, e);
}

/* "a and b and c" hangs to the left and may be long: a loop, since stacks are short. */
static void
show_chain(const struct show *s, const struct expr *e)
{
	const struct expr *first = e;
	size_t depth = 1;

	for (; first->left->op == e->op; first = first->left)
		depth++;
	show_node(s, first->left, level_of(e->op));
	for (; depth > 0; depth--) {
		const struct expr *part = e;

		for (size_t i = 1; i < depth; i++)
			part = part->left;
		buf_add_str(s->to, sign(e->op));
		show_node(s, part->right, level_of(e->op));
	}
}

static void
show_node(const struct show *s, const struct expr *e, enum level around)
{
	bool brackets = level_of(e->op) < around;

	if (brackets)
		buf_add_char(s->to, '(');
	switch (e->op) {
	case EXPR_NOT:
		show_not(s, e->left);
		break;
	case EXPR_AND:
	case EXPR_OR:
		show_chain(s, e);
		break;
	case EXPR_EQ:
	case EXPR_NE:
	case EXPR_LT:
	case EXPR_LE:
	case EXPR_GT:
	case EXPR_GE:
		show_operand(s, e->left, e->right);
		buf_add_str(s->to, sign(e->op));
		show_operand(s, e->right, e->left);
		break;
	case EXPR_IN:
	case EXPR_IN_LIST:
		show_in(s, e, false);
		break;
	case EXPR_MATCH:
		show_match(s, e, false);
		break;
	case EXPR_TRUTH:
		show_operand(s, e->left, NULL);
		break;
	default:
		show_leaf(s, e);
	}
	if (brackets)
		buf_add_char(s->to, ')');
}

void
show_expr_values(struct buf *to, const struct expr *e, const struct show_values *values)
{
	struct show s = { to, values };

	show_node(&s, e, LEVEL_OR);
}

void
show_expr(struct buf *to, const struct expr *e)
{
	show_expr_values(to, e, NULL);
}

static void
show_quoted(struct buf *to, struct sp_span text)
{
	buf_add_str(to, " \"");
	buf_add_quoted(to, text);
	buf_add_char(to, '"');
}

void
show_verb(struct buf *to, const struct policy_rule *r)
{
	static const char *const verbs[] = { "accept", "discard", "defer", "reject", "quarantine", "add-header", "remove-header",
		"score", "tag", "log", "filter", "backend" };
	struct sp_value points = { SP_SCORE, { .real = r->points } };

	buf_add_str(to, verbs[r->verb]);
	switch (r->verb) {
	case VERB_DEFER:
	case VERB_REJECT:
		buf_printf(to, " %d ", r->reply.code);
		buf_add(to, r->reply.enhanced);
		break;
	case VERB_ADD_HEADER:
	case VERB_REMOVE_HEADER:
	case VERB_TAG:
		show_quoted(to, r->arg_name);
		break;
	case VERB_SCORE:
		buf_add_char(to, ' ');
		value_text(to, &points, NULL);
		break;
	case VERB_QUARANTINE:
	case VERB_FILTER:
	case VERB_BACKEND:
		buf_add_char(to, ' ');
		buf_add(to, r->arg_name);
		break;
	default:
		break;
	}
}

void
show_place(struct buf *to, const struct policy_rule *r)
{
	buf_printf(to, "%s:%u", r->path, r->at.line);
}

void
show_name(struct buf *to, const struct policy_rule *r)
{
	buf_add(to, r->name.len > 0 ? r->name : SPAN_LIT("-"));
}

void
show_padded(struct buf *to, struct sp_span text, size_t width)
{
	buf_add(to, text);
	for (size_t i = text.len; i < width; i++)
		buf_add_char(to, ' ');
}
