/*
 * parse_expr.c - conditions.
 *
 * Chains of "and" and "or" hang to the left, so that they can be walked in a loop; brackets and "not"
 * nest, and how deep is limited.
 */
#include "policy/compile.h"

static struct ast_expr *parse_or(struct parser *ps);

static struct ast_expr *
expr_new(struct parser *ps, enum ast_op op)
{
	struct ast_expr *e = compile_scratch(ps->c, sizeof(*e));

	if (e != NULL) {
		e->op = op;
		e->token = ps->cur;
		e->at = ps->cur.at;
	}
	return e;
}

static bool
deeper(struct parser *ps)
{
	if (ps->depth < COMPILE_DEPTH_MAX) {
		ps->depth++;
		return true;
	}
	diag_error(ps->c, ps->cur.at, "split it into several rules, or set a tag", "the condition is nested more than %d deep",
		COMPILE_DEPTH_MAX);
	return false;
}

/* call = WORD "(" (STRING | WORD) ")" */
static struct ast_expr *
parse_call(struct parser *ps, struct ast_expr *e)
{
	e->op = AST_CALL;
	parse_next(ps);
	e->arg = ps->cur;
	if (ps->cur.kind != TOKEN_STRING) {
		parse_expected(ps, "a name in quotes", NULL);
		return NULL;
	}
	parse_next(ps);
	e->at = at_join(e->at, ps->cur.at);
	return parse_take(ps, TOKEN_RPAREN, "')'", NULL) ? e : NULL;
}

static struct ast_expr *parse_operand(struct parser *ps, const char *what);

/* index = WORD "[" operand "]" */
static struct ast_expr *
parse_index(struct parser *ps, struct ast_expr *e)
{
	e->op = AST_INDEX;
	if (!deeper(ps))
		return NULL;
	parse_next(ps);
	e->left = parse_operand(ps, "the key to look up");
	ps->depth--;
	if (e->left == NULL)
		return NULL;
	e->at = at_join(e->at, ps->cur.at);
	return parse_take(ps, TOKEN_RBRACKET, "']'", NULL) ? e : NULL;
}

/* Words that can only be a slip where an operand is due. */
static bool
is_keyword(const struct token *t)
{
	static const char *const words[] = { "and", "or", "not", "in", "if", "on", "at", "shadow", "accept", "reject", "defer",
		"discard", "add-header", "remove-header", NULL };

	for (size_t i = 0; words[i] != NULL; i++)
		if (lex_is_word(t, words[i]))
			return true;
	return false;
}

/* A verdict's name may be a value: the word of an enum, as in "dmarc.disposition == reject". */
static struct ast_expr *
parse_value(struct parser *ps, const char *what)
{
	static const char *const words[] = { "accept", "reject", "defer", "discard", NULL };
	struct ast_expr *e;

	for (size_t i = 0; words[i] != NULL; i++)
		if (lex_is_word(&ps->cur, words[i])) {
			e = expr_new(ps, AST_WORD);
			if (e != NULL)
				parse_next(ps);
			return e;
		}
	return parse_operand(ps, what);
}

/* operand = WORD | call | index | STRING */
static struct ast_expr *
parse_operand(struct parser *ps, const char *what)
{
	struct ast_expr *e = expr_new(ps, ps->cur.kind == TOKEN_STRING ? AST_STRING : AST_WORD);

	if (e == NULL)
		return NULL;
	if ((ps->cur.kind != TOKEN_WORD && ps->cur.kind != TOKEN_STRING) || is_keyword(&ps->cur)) {
		parse_expected(ps, what, NULL);
		return NULL;
	}
	parse_next(ps);
	if (e->op == AST_WORD && ps->cur.kind == TOKEN_LPAREN)
		return parse_call(ps, e);
	if (e->op == AST_WORD && ps->cur.kind == TOKEN_LBRACKET)
		return parse_index(ps, e);
	return e;
}

/* list = "(" operand {"," operand} ")" */
static struct ast_expr *
parse_list(struct parser *ps)
{
	struct ast_expr *list = expr_new(ps, AST_LIST), **end;

	if (list == NULL)
		return NULL;
	end = &list->items;
	do {
		parse_next(ps);
		if (++ps->operands > COMPILE_OPERANDS_MAX) {
			diag_error(ps->c, ps->cur.at, "put the values into a table", "the condition is too long");
			return NULL;
		}
		*end = parse_value(ps, "a value");
		if (*end == NULL)
			return NULL;
		end = &(*end)->next;
	} while (ps->cur.kind == TOKEN_COMMA);
	list->at = at_join(list->at, ps->cur.at);
	return parse_take(ps, TOKEN_RPAREN, "',' or ')'", NULL) ? list : NULL;
}

static bool
compare_op(enum token_kind kind, enum ast_op *ret)
{
	switch (kind) {
	case TOKEN_EQ:
		*ret = AST_EQ;
		return true;
	case TOKEN_NE:
		*ret = AST_NE;
		return true;
	case TOKEN_LT:
		*ret = AST_LT;
		return true;
	case TOKEN_LE:
		*ret = AST_LE;
		return true;
	case TOKEN_GT:
		*ret = AST_GT;
		return true;
	case TOKEN_GE:
		*ret = AST_GE;
		return true;
	case TOKEN_MATCH:
	case TOKEN_NOT_MATCH:
		*ret = AST_MATCH;
		return true;
	default:
		return false;
	}
}

/* regex = "/" ... "/" FLAGS */
static struct ast_expr *
parse_regex(struct parser *ps)
{
	struct ast_expr *e;

	if (ps->cur.kind != TOKEN_ERROR && ps->cur.text.len > 0 && ps->cur.text.ptr[0] == '/')
		ps->cur = lex_regex(&ps->lex, &ps->cur);
	if (ps->cur.kind != TOKEN_REGEX) {
		parse_expected(ps, "a regular expression: /.../i", NULL);
		return NULL;
	}
	e = expr_new(ps, AST_REGEX);
	parse_next(ps);
	return e;
}

static struct ast_expr *
binary(struct ast_expr *left, struct ast_expr *op, struct ast_expr *right)
{
	if (right == NULL)
		return NULL;
	op->left = left;
	op->right = right;
	op->at = at_join(left->at, right->at);
	return op;
}

/* in = operand ["not"] "in" (list | operand) */
static struct ast_expr *
parse_in(struct parser *ps, struct ast_expr *left)
{
	struct ast_expr *op;
	bool negated = parse_is(ps, "not");

	if (negated)
		parse_next(ps);
	op = expr_new(ps, AST_IN);
	if (op == NULL)
		return NULL;
	op->negated = negated;
	parse_next(ps);
	return binary(left, op,
		ps->cur.kind == TOKEN_LPAREN ? parse_list(ps) : parse_operand(ps, "a table, a list in '( )' or a net"));
}

static bool
peek_in(const struct parser *ps)
{
	struct token t = parse_peek(ps, 1);

	return lex_is_word(&t, "in");
}

/* comparison = operand [COMPARE operand | MATCH regex | in] */
static struct ast_expr *
parse_comparison(struct parser *ps)
{
	struct ast_expr *left, *op;
	enum ast_op kind;

	if (++ps->operands > COMPILE_OPERANDS_MAX) {
		diag_error(ps->c, ps->cur.at, "split it into several rules", "the condition is too long");
		return NULL;
	}
	left = parse_operand(ps, "a fact");
	if (left == NULL)
		return NULL;
	if (parse_is(ps, "in") || (parse_is(ps, "not") && peek_in(ps)))
		return parse_in(ps, left);
	if (!compare_op(ps->cur.kind, &kind)) {
		if (ps->cur.kind != TOKEN_ERROR)
			return left;
		parse_expected(ps, "an operator", NULL);
		return NULL;
	}
	op = expr_new(ps, kind);
	if (op == NULL)
		return NULL;
	op->negated = ps->cur.kind == TOKEN_NOT_MATCH;
	parse_next(ps);
	return binary(left, op, kind == AST_MATCH ? parse_regex(ps) : parse_value(ps, "a value to compare with"));
}

/* tagged = "tagged" (STRING | WORD) */
static struct ast_expr *
parse_tagged(struct parser *ps)
{
	struct ast_expr *e = expr_new(ps, AST_TAGGED);

	if (e == NULL)
		return NULL;
	parse_next(ps);
	e->arg = ps->cur;
	if (ps->cur.kind != TOKEN_STRING && ps->cur.kind != TOKEN_WORD) {
		parse_expected(ps, "the name of a tag", NULL);
		return NULL;
	}
	e->at = at_join(e->at, ps->cur.at);
	parse_next(ps);
	return e;
}

/* unary = "not" unary | "(" or ")" | tagged | comparison */
static struct ast_expr *
parse_unary(struct parser *ps)
{
	struct ast_expr *e, *not;
	bool negated = parse_is(ps, "not");

	if (!negated && ps->cur.kind != TOKEN_LPAREN)
		return parse_is(ps, "tagged") ? parse_tagged(ps) : parse_comparison(ps);
	if (!deeper(ps))
		return NULL;
	not = expr_new(ps, AST_NOT);
	parse_next(ps);
	e = negated ? parse_unary(ps) : parse_or(ps);
	ps->depth--;
	if (e == NULL || not == NULL)
		return NULL;
	if (!negated)
		return parse_take(ps, TOKEN_RPAREN, "')', 'and' or 'or'", NULL) ? e : NULL;
	not->left = e;
	not->at = at_join(not->at, e->at);
	return not;
}

/* Left to right; the tree hangs to the left. */
static struct ast_expr *
parse_chain(struct parser *ps, enum ast_op op)
{
	struct ast_expr *left = op == AST_OR ? parse_chain(ps, AST_AND) : parse_unary(ps), *e;

	while (left != NULL && parse_is(ps, op == AST_OR ? "or" : "and")) {
		e = expr_new(ps, op);
		if (e == NULL)
			return NULL;
		parse_next(ps);
		left = binary(left, e, op == AST_OR ? parse_chain(ps, AST_AND) : parse_unary(ps));
	}
	return left;
}

/* or = and {"or" and}   and = unary {"and" unary} */
static struct ast_expr *
parse_or(struct parser *ps)
{
	return parse_chain(ps, AST_OR);
}

/* condition = or */
struct ast_expr *
parse_condition(struct parser *ps)
{
	ps->depth = 0;
	ps->operands = 0;
	return parse_or(ps);
}
