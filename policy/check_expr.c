/*
 * check_expr.c - types of conditions.
 *
 * The left side of an operator is a fact, a look-up or the score; it gives its type to a literal on
 * the right.  Null means an error that has been reported.
 */
#include "policy/compile.h"

static struct expr *
node(struct compile *c, enum expr_op op, enum sp_type type, const struct ast_expr *ast)
{
	struct expr *e = compile_alloc(c, sizeof(*e));

	if (e != NULL) {
		e->op = op;
		e->type = type;
		e->at = ast->at;
	}
	return e;
}

static struct expr *
wrap(struct compile *c, enum expr_op op, struct expr *left, const struct ast_expr *ast)
{
	struct expr *e = left == NULL ? NULL : node(c, op, SP_BOOL, ast);

	if (e != NULL)
		e->left = left;
	return e;
}

static bool
is_text(enum sp_type type)
{
	return type == SP_STRING || type == SP_DOMAIN || type == SP_ADDRESS;
}

static bool
is_number(enum sp_type type)
{
	return type == SP_INT || type == SP_SIZE || type == SP_DURATION || type == SP_TIME || type == SP_SCORE;
}

/* ---- operands ------------------------------------------------------------------------------------ */

/* Can a value of type be looked up in the table? */
static bool
key_fits(struct compile *c, const struct policy_table *t, const struct expr *key)
{
	if (table_takes(t, key->type))
		return true;
	diag_error(c, key->at, compile_printf(c, "the table is defined at %s", diag_place(c, t->at)),
		"table '%.*s' is looked up by %s, this is %s", (int)t->name.len, t->name.ptr, literal_type(t->key),
		literal_type(key->type));
	return false;
}

static struct expr *operand(struct compile *c, const struct ast_expr *ast);

static struct expr *
lookup(struct compile *c, const struct ast_expr *ast)
{
	const struct policy_table *t = check_table_of(c, &ast->token);
	struct expr *key = operand(c, ast->left), *e;

	if (t == NULL || key == NULL || !key_fits(c, t, key))
		return NULL;
	if (t->value == SP_END) {
		diag_error(c, ast->token.at, compile_printf(c, "write '... in %.*s'", (int)t->name.len, t->name.ptr),
			"table '%.*s' has keys only, no values", (int)t->name.len, t->name.ptr);
		return NULL;
	}
	e = node(c, EXPR_LOOKUP, t->value, ast);
	if (e == NULL)
		return NULL;
	e->left = key;
	e->table = t;
	return e;
}

static bool
adds_score_above(const struct compile *c)
{
	for (size_t i = 0; i < c->p->rule_count; i++)
		if (c->p->rules[i]->verb == VERB_SCORE && c->p->rules[i] != c->rule)
			return true;
	return false;
}

static struct expr *
score(struct compile *c, const struct ast_expr *ast)
{
	if (!adds_score_above(c))
		diag_warning(c, ast->at, "no rule above says 'score'", "the score is always 0 here");
	return node(c, EXPR_SCORE, SP_SCORE, ast);
}

/* A fact, a look-up or the score. */
static struct expr *
operand(struct compile *c, const struct ast_expr *ast)
{
	const struct sp_fact_ref *ref;
	struct expr *e;

	switch (ast->op) {
	case AST_INDEX:
		return lookup(c, ast);
	case AST_WORD:
	case AST_CALL:
		break;
	default:
		diag_error(c, ast->at, "a fact stands on the left, what it is compared with on the right",
			"expected a fact, found %s", lex_kind_name(ast->token.kind));
		return NULL;
	}
	if (ast->op == AST_WORD && lex_is_word(&ast->token, "score"))
		return score(c, ast);
	ref = fact_read(c, &ast->token, ast->op == AST_CALL ? &ast->arg : NULL);
	if (ref == NULL)
		return NULL;
	e = node(c, EXPR_FACT, ref->decl->type, ast);
	if (e != NULL)
		e->ref = ref;
	return e;
}

/* ---- literals --------------------------------------------------------------------------------------- */

static const char *const *
words_of(const struct expr *e)
{
	return e->op == EXPR_FACT ? e->ref->decl->words : NULL;
}

static const char *
expr_name(struct compile *c, const struct expr *e, const struct ast_expr *ast)
{
	if (e->op == EXPR_FACT)
		return compile_printf(c, "'%.*s'", (int)e->ref->text.len, e->ref->text.ptr);
	return compile_printf(c, "'%.*s%s'", (int)ast->token.text.len, ast->token.text.ptr,
		e->op == EXPR_LOOKUP ? "[...]" : "");
}

static void
mixed(struct compile *c, const struct expr *left, const struct ast_expr *la, const struct ast_expr *right,
	const char *hint)
{
	bool string = right->op == AST_STRING;

	diag_error(c, right->at, hint, "%s is %s, %s%.*s%s is %s", expr_name(c, left, la), literal_type(left->type),
		string ? "\"" : "'", (int)right->token.text.len, right->token.text.ptr, string ? "\"" : "'",
		string ? "a string" : literal_looks(right->token.text));
}

/* A bare domain that looks like a mistyped fact is more likely that. */
static bool
mistyped_fact(struct compile *c, const struct ast_expr *ast)
{
	struct suggest near;

	if (ast->op != AST_WORD)
		return false;
	suggest_init(&near, ast->token.text);
	near.distance = ast->token.text.len > 6 ? 3 : 2;
	fact_offer(c, &near);
	if (near.best.len == 0)
		return false;
	diag_error(c, ast->at,
		compile_printf(c, "did you mean '%.*s'? A domain of this name is put in quotes", (int)near.best.len,
			near.best.ptr),
		"no fact named '%.*s'", (int)ast->token.text.len, ast->token.text.ptr);
	return true;
}

/* ast as a constant that can stand beside left; type: left's, or SP_NET beside an SP_IP */
static struct expr *
literal(struct compile *c, const struct expr *left, const struct ast_expr *la, const struct ast_expr *ast,
	enum sp_type type)
{
	struct expr *e = node(c, EXPR_CONST, type, ast);
	const char *wrong;

	if (e == NULL)
		return NULL;
	if (type == SP_STRING && ast->op == AST_WORD) {
		diag_error(c, ast->at, "a text is put in quotes", "%s is a string", expr_name(c, left, la));
		return NULL;
	}
	if (ast->op == AST_STRING && !is_text(type) && type != SP_IP && type != SP_NET) {
		mixed(c, left, la, ast, "it is written without quotes");
		return NULL;
	}
	if (type == SP_DOMAIN && mistyped_fact(c, ast))
		return NULL;
	wrong = literal_parse(c, type, words_of(left), literal_text(c, &ast->token), &e->value);
	if (wrong == NULL)
		return e;
	if (type == SP_ENUM)
		diag_error(c, ast->at, wrong, "%s is never '%.*s'", expr_name(c, left, la), (int)ast->token.text.len,
			ast->token.text.ptr);
	else
		mixed(c, left, la, ast, wrong);
	return NULL;
}

static bool
is_literal(struct compile *c, const struct ast_expr *ast)
{
	if (ast->op == AST_STRING)
		return true;
	return ast->op == AST_WORD && !lex_is_word(&ast->token, "score") && !fact_looks(c, ast->token.text);
}

static enum sp_type
literal_beside(const struct expr *left)
{
	return left->type == SP_DOMAINS ? SP_DOMAIN : left->type;
}

static bool
same_types(struct compile *c, const struct expr *l, const struct ast_expr *la, const struct expr *r,
	const struct ast_expr *ra)
{
	bool same = l->type == r->type || (l->type == SP_DOMAINS && r->type == SP_DOMAIN);

	if (same && l->type == SP_ENUM && words_of(l) != words_of(r))
		same = false;
	if (!same)
		diag_error(c, ra->at, "only values of one type compare", "%s is %s, %s is %s", expr_name(c, l, la),
			literal_type(l->type), expr_name(c, r, ra),
			l->type == SP_ENUM && r->type == SP_ENUM ? "another enum" : literal_type(r->type));
	return same;
}

/* The right side of an operator. */
static struct expr *
beside(struct compile *c, const struct expr *left, const struct ast_expr *la, const struct ast_expr *ast)
{
	struct expr *e;

	if (is_literal(c, ast))
		return literal(c, left, la, ast, literal_beside(left));
	e = operand(c, ast);
	return e != NULL && same_types(c, left, la, e, ast) ? e : NULL;
}

/* ---- operators ---------------------------------------------------------------------------------------- */

static enum expr_op
compare_op(enum ast_op op)
{
	static const enum expr_op ops[] = { [AST_EQ] = EXPR_EQ, [AST_NE] = EXPR_NE, [AST_LT] = EXPR_LT, [AST_LE] = EXPR_LE,
		[AST_GT] = EXPR_GT, [AST_GE] = EXPR_GE };

	return ops[op];
}

static struct expr *
compare(struct compile *c, const struct ast_expr *ast)
{
	struct expr *left = operand(c, ast->left), *right, *e;
	bool order = ast->op != AST_EQ && ast->op != AST_NE;

	if (left == NULL) {
		/* only for what can be wrong by itself */
		if (!is_literal(c, ast->right))
			operand(c, ast->right);
		return NULL;
	}
	if (order && !is_number(left->type)) {
		diag_error(c, ast->token.at, "expected == or !=", "'%.*s' compares numbers, %s is %s",
			(int)ast->token.text.len, ast->token.text.ptr, expr_name(c, left, ast->left),
			literal_type(left->type));
		return NULL;
	}
	right = beside(c, left, ast->left, ast->right);
	e = right == NULL ? NULL : wrap(c, compare_op(ast->op), left, ast);
	if (e != NULL)
		e->right = right;
	return e;
}

static struct expr *
negate(struct compile *c, struct expr *e, const struct ast_expr *ast)
{
	return ast->negated ? wrap(c, EXPR_NOT, e, ast) : e;
}

/* An address may be in a net: the literal says by its '/' which of the two it is. */
static struct expr *
list_item(struct compile *c, const struct expr *left, const struct ast_expr *la, const struct ast_expr *ast)
{
	struct expr *e;

	if (is_literal(c, ast)) {
		bool net = left->type == SP_IP && span_find(ast->token.text, '/') < ast->token.text.len;

		if (literal_beside(left) == SP_DOMAIN &&
			(span_starts(ast->token.text, SPAN_LIT(".")) || span_eq(ast->token.text, SPAN_LIT("*")))) {
			diag_error(c, ast->at, "put it into a table of domains", "a pattern of domains cannot stand here");
			return NULL;
		}
		return literal(c, left, la, ast, net ? SP_NET : literal_beside(left));
	}
	e = operand(c, ast);
	if (e != NULL && e->type == SP_DOMAINS && left->type == SP_DOMAIN)
		return e;
	return e != NULL && same_types(c, left, la, e, ast) ? e : NULL;
}

static struct expr *
in_list(struct compile *c, struct expr *left, const struct ast_expr *ast, const struct ast_expr *items)
{
	struct expr *e = wrap(c, EXPR_IN_LIST, left, ast);
	size_t count = 0;
	bool good = true;

	for (const struct ast_expr *i = items; i != NULL; i = i->next)
		count++;
	if (e != NULL)
		e->items = compile_alloc(c, count * sizeof(struct expr *));
	if (e == NULL || e->items == NULL)
		return NULL;
	for (const struct ast_expr *i = items; i != NULL; i = i->next) {
		struct expr *item = list_item(c, left, ast->left, i);

		good &= item != NULL;
		e->items[e->item_count++] = item;
	}
	return good ? negate(c, e, ast) : NULL;
}

static struct expr *
in_table(struct compile *c, struct expr *left, const struct ast_expr *ast)
{
	const struct policy_table *t = check_table_of(c, &ast->right->token);
	struct expr *e = t != NULL && key_fits(c, t, left) ? wrap(c, EXPR_IN, left, ast) : NULL;

	if (e == NULL)
		return NULL;
	e->table = t;
	return negate(c, e, ast);
}

static struct expr *
in(struct compile *c, const struct ast_expr *ast)
{
	const struct ast_expr *right = ast->right;
	struct expr *left = operand(c, ast->left);
	struct sp_net net;

	if (left == NULL) {
		if (right->op == AST_WORD && !fact_looks(c, right->token.text) &&
			span_to_net(right->token.text, &net) != SP_OK)
			check_table_of(c, &right->token);
		return NULL;
	}
	if (right->op == AST_LIST)
		return in_list(c, left, ast, right->items);
	if (right->op == AST_WORD && fact_looks(c, right->token.text)) /* a set that a filter states */
		return in_list(c, left, ast, right);
	if (left->type == SP_IP && (right->op == AST_STRING || span_to_net(right->token.text, &net) == SP_OK ||
			span_find(right->token.text, '/') < right->token.text.len))
		return in_list(c, left, ast, right);
	if (right->op == AST_WORD)
		return in_table(c, left, ast);
	diag_error(c, right->at, "expected a table, a list in '( )' or a net", "'in' does not go with this");
	return NULL;
}

static struct expr *
match(struct compile *c, const struct ast_expr *ast)
{
	struct expr *left = operand(c, ast->left), *e;
	void *code = NULL;
	bool good = check_regex(c, &ast->right->token, &code);

	if (left == NULL || !good)
		return NULL;
	if (!is_text(left->type) && left->type != SP_DOMAINS) {
		diag_error(c, ast->token.at, "expected a string, domain or address on the left", "'%.*s' matches text, %s is %s",
			(int)ast->token.text.len, ast->token.text.ptr, expr_name(c, left, ast->left),
			literal_type(left->type));
		return NULL;
	}
	e = wrap(c, EXPR_MATCH, left, ast);
	if (e == NULL)
		return NULL;
	e->regex = code;
	e->value = (struct sp_value){ SP_REGEX, { .text = ast->right->token.text } };
	return negate(c, e, ast);
}

static struct expr *
tagged(struct compile *c, const struct ast_expr *ast)
{
	struct suggest near;
	struct expr *e = node(c, EXPR_TAGGED, SP_BOOL, ast);

	if (e == NULL)
		return NULL;
	e->value = (struct sp_value){ SP_STRING, { .text = literal_text(c, &ast->arg) } };
	suggest_init(&near, ast->arg.text);
	for (size_t i = 0; i < c->p->rule_count; i++) {
		const struct policy_rule *r = c->p->rules[i];

		if (r == c->rule || r->verb != VERB_TAG)
			continue;
		if (span_eq(r->arg_name, e->value.u.text))
			return e;
		suggest_offer(&near, r->arg_name, r->at);
	}
	diag_error(c, ast->arg.at, suggest_hint(&near, c, "a rule above must say 'tag'"), "no rule above sets the tag '%.*s'",
		(int)ast->arg.text.len, ast->arg.text.ptr);
	return NULL;
}

/* ---- conditions ------------------------------------------------------------------------------------------ */

/* A fact by itself: a bool, or a text that is not empty. */
static struct expr *
truth(struct compile *c, const struct ast_expr *ast)
{
	struct expr *left = operand(c, ast);

	if (left == NULL)
		return NULL;
	if (left->type == SP_BOOL || is_text(left->type) || left->type == SP_DOMAINS)
		return wrap(c, EXPR_TRUTH, left, ast);
	diag_error(c, ast->at, "compare it with something", "%s is %s, that is no condition", expr_name(c, left, ast),
		literal_type(left->type));
	return NULL;
}

static struct expr *
chain(struct compile *c, const struct ast_expr *ast)
{
	struct expr *left = check_condition(c, ast->left), *right = check_condition(c, ast->right), *e;

	if (left == NULL || right == NULL)
		return NULL;
	e = wrap(c, ast->op == AST_AND ? EXPR_AND : EXPR_OR, left, ast);
	if (e != NULL)
		e->right = right;
	return e;
}

struct expr *
check_condition(struct compile *c, const struct ast_expr *ast)
{
	switch (ast->op) {
	case AST_NOT:
		return wrap(c, EXPR_NOT, check_condition(c, ast->left), ast);
	case AST_AND:
	case AST_OR:
		return chain(c, ast);
	case AST_EQ:
	case AST_NE:
	case AST_LT:
	case AST_LE:
	case AST_GT:
	case AST_GE:
		return compare(c, ast);
	case AST_IN:
		return in(c, ast);
	case AST_MATCH:
		return match(c, ast);
	case AST_TAGGED:
		return tagged(c, ast);
	default:
		return truth(c, ast);
	}
}
