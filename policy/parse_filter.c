/*
 * parse_filter.c - the use of a filter module: its parameters and its named entries.
 *
 * What a block may hold is declared by the module, which is therefore looked up while parsing.
 */
#include "policy/compile.h"

/* The parameter that takes a value written without a name: the first one free that it may fit. */
static const struct sp_param *
bare_param(const struct parser *ps, const struct sp_param *params, const struct ast_setting *given)
{
	for (const struct sp_param *p = params; p != NULL && p->type != SP_END; p++) {
		bool text = p->type == SP_STRING || p->type == SP_FILE || p->type == SP_DOMAIN ||
			p->type == SP_ADDRESS;
		bool fits = ps->cur.kind == TOKEN_STRING ? text
			: ps->cur.kind == TOKEN_WORD	 ? p->type != SP_STRING &&
				(ps->cur.text.ptr[0] == '/') == (p->type == SP_REGEX)
							 : false;

		for (const struct ast_setting *s = given; s != NULL; s = s->next)
			if (s->index == (size_t)(p - params))
				fits = false;
		if (p->bare && fits)
			return p;
	}
	return NULL;
}

static const struct sp_param *
named_param(const struct parser *ps, const struct sp_param *params)
{
	for (const struct sp_param *p = params; p != NULL && p->type != SP_END; p++)
		if (lex_is_word(&ps->cur, p->name))
			return p;
	return NULL;
}

static void
unknown_param(struct parser *ps, const struct sp_filter *module, const struct sp_param *params, bool entry)
{
	struct compile *c = ps->c;
	struct suggest near;
	const char *hint = NULL;

	if (ps->cur.kind != TOKEN_WORD) {
		parse_expected(ps, entry ? "a parameter, the next entry or '}'" : "a parameter or '}'", NULL);
		return;
	}
	if (entry && named_param(ps, module->params) != NULL) {
		diag_error(c, ps->cur.at, "it stands above the entries", "'%.*s' is a parameter of the filter, not of an entry",
			(int)ps->cur.text.len, ps->cur.text.ptr);
		return;
	}
	suggest_init(&near, ps->cur.text);
	for (const struct sp_param *p = params; p != NULL && p->type != SP_END; p++) {
		suggest_word(&near, p->name);
		hint = hint == NULL ? compile_printf(c, "known: %s", p->name)
				    : compile_printf(c, "%s, %s", hint, p->name);
	}
	if (hint == NULL && !entry && module->entry_params != NULL)
		hint = "it takes entries: 'name : ...'";
	diag_error(c, ps->cur.at, suggest_hint(&near, c, hint), "no parameter '%.*s' in filter '%s'",
		(int)ps->cur.text.len, ps->cur.text.ptr, module->name);
}

/* One value; for SP_FACT facts joined by commas. */
static bool
param_values(struct parser *ps, const struct sp_param *p, struct ast_setting *s)
{
	struct ast_value **end = &s->values, *v;

	do {
		if (s->values != NULL)
			parse_next(ps); /* the comma */
		v = compile_scratch(ps->c, sizeof(*v));
		if (v == NULL)
			return false;
		if (p->type == SP_REGEX && ps->cur.kind == TOKEN_WORD && ps->cur.text.ptr[0] == '/')
			ps->cur = lex_regex(&ps->lex, &ps->cur);
		if (ps->cur.kind != TOKEN_WORD && ps->cur.kind != TOKEN_STRING && ps->cur.kind != TOKEN_REGEX) {
			parse_expected(ps, compile_printf(ps->c, "%s for '%s'", literal_type(p->type), p->name), NULL);
			return false;
		}
		v->token = ps->cur;
		parse_next(ps);
		if (p->type == SP_FACT && ps->cur.kind == TOKEN_LPAREN) {
			parse_next(ps);
			if (!parse_take(ps, TOKEN_STRING, "a name in quotes", &v->arg) ||
				!parse_take(ps, TOKEN_RPAREN, "')'", NULL))
				return false;
		}
		*end = v;
		end = &v->next;
	} while (p->type == SP_FACT && ps->cur.kind == TOKEN_COMMA);
	return true;
}

/* parameter = NAME value | value */
static struct ast_setting *
parse_param(struct parser *ps, const struct ast_filter *f, const struct ast_setting *given, bool entry)
{
	const struct sp_param *params = entry ? f->module->entry_params : f->module->params;
	const struct sp_param *p = named_param(ps, params);
	struct ast_setting *s = compile_scratch(ps->c, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->at = ps->cur.at;
	if (p != NULL) {
		parse_next(ps);
	} else {
		p = bare_param(ps, params, given);
		if (p == NULL) {
			unknown_param(ps, f->module, params, entry);
			return NULL;
		}
	}
	s->index = (size_t)(p - params);
	return param_values(ps, p, s) ? s : NULL;
}

/* To the next entry, the first word of a line, or '}'. */
static void
resync_param(struct parser *ps)
{
	while (ps->cur.kind != TOKEN_END && ps->cur.kind != TOKEN_RBRACE) {
		if (ps->cur.kind == TOKEN_LBRACE) {
			parse_skip_braces(ps);
			continue;
		}
		parse_next(ps);
		if (parse_names(ps) || (ps->cur.first && ps->cur.kind == TOKEN_WORD))
			return;
	}
}

static struct ast_setting *
parse_params(struct parser *ps, const struct ast_filter *f, bool entry)
{
	struct ast_setting *first = NULL, **end = &first;

	while (ps->cur.kind != TOKEN_RBRACE && ps->cur.kind != TOKEN_END && !parse_names(ps) && !ps->c->stop) {
		*end = parse_param(ps, f, first, entry);
		if (*end != NULL)
			end = &(*end)->next;
		else
			resync_param(ps);
	}
	return first;
}

/* entry = NAME ":" {parameter} */
static struct ast_entry *
parse_entry(struct parser *ps, const struct ast_filter *f)
{
	struct ast_entry *e = compile_scratch(ps->c, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->name = ps->cur;
	if (!lex_is_name(e->name.text))
		diag_error(ps->c, e->name.at, "a letter, then letters, digits, '_' and '-'", "this is no name");
	else if (f->module->entry_params == NULL)
		diag_error(ps->c, e->name.at, "expected a parameter or '}'", "filter '%s' takes no entries", f->module->name);
	parse_next(ps);
	parse_next(ps);
	if (f->module->entry_params == NULL) {
		resync_param(ps);
		return NULL;
	}
	e->params = parse_params(ps, f, true);
	return e;
}

/* body = "{" {parameter} {entry} "}" */
static void
parse_body(struct parser *ps, struct ast_filter *f)
{
	struct ast_entry **end = &f->entries;
	struct at open = ps->cur.at;

	parse_next(ps);
	f->params = parse_params(ps, f, false);
	while (parse_names(ps) && !ps->c->stop) {
		*end = parse_entry(ps, f);
		if (*end != NULL)
			end = &(*end)->next;
	}
	if (ps->cur.kind == TOKEN_END)
		diag_error(ps->c, open, NULL, "this '{' is never closed");
	else if (ps->cur.kind == TOKEN_RBRACE)
		parse_next(ps);
}

static void
module_find(struct compile *c, struct ast_filter *f)
{
	const struct token *t = &f->module_name;
	const char *name = arena_strdup(c->scratch, t->text), *error = NULL;
	struct suggest near;

	if (name == NULL)
		c->out_of_memory = true;
	if (name == NULL || c->env->filter_find == NULL ||
		c->env->filter_find(c->env->arg, name, &f->module, &error) == SP_OK)
		return;
	f->module = NULL;
	if (error != NULL) /* it may lie in memory that the next search uses again */
		error = compile_printf(c, "%s", error);
	suggest_init(&near, t->text);
	if (c->env->filter_names != NULL)
		suggest_words(&near, c->env->filter_names(c->env->arg));
	diag_error(c, t->at, suggest_hint(&near, c, error), "unknown filter module '%s'", name);
}

/* filter = "filter" MODULE [NAME] [body] */
void
parse_filter(struct parser *ps)
{
	struct compile *c = ps->c;
	struct ast_filter *f = compile_scratch(c, sizeof(*f));

	if (f == NULL)
		return;
	parse_next(ps);
	if (!parse_take(ps, TOKEN_WORD, "the name of a filter module", &f->module_name))
		return;
	f->name = f->module_name;
	if (ps->cur.kind == TOKEN_WORD && !parse_starts_statement(ps, &ps->cur)) {
		f->name = ps->cur;
		parse_next(ps);
	}
	if (!lex_is_name(f->name.text))
		diag_error(c, f->name.at, "a letter, then letters, digits, '_' and '-'", "this is no name");
	else if (c->env != NULL)
		module_find(c, f);
	*c->filters_end = f;
	c->filters_end = &f->next;
	if (ps->cur.kind != TOKEN_LBRACE)
		return;
	if (f->module == NULL)
		parse_skip_braces(ps);
	else
		parse_body(ps, f);
}
