/*
 * check_table.c - tables: types, items written in place, files, defaults.
 *
 * A table whose statement is broken still exists by name (key SP_END), so that its uses are silent.
 */
#include "policy/compile.h"

#include <errno.h>

#define LINE_ARENA_MAX ((size_t)1 << 20)

static struct policy_table *
table_named(const struct compile *c, struct sp_span name)
{
	for (size_t i = 0; i < c->p->table_count; i++)
		if (span_eq(c->p->tables[i]->name, name))
			return c->p->tables[i];
	return NULL;
}

const struct policy_table *
check_table_find(struct compile *c, struct sp_span name)
{
	struct policy_table *t = table_named(c, name);

	if (t != NULL)
		t->used = true;
	return t;
}

const struct policy_table *
check_table_of(struct compile *c, const struct token *name)
{
	const struct policy_table *t = check_table_find(c, name->text);
	struct suggest near;

	if (t != NULL)
		return t->key == SP_END ? NULL : t; /* broken, and that has been said */
	suggest_init(&near, name->text);
	check_tables_offer(c, &near);
	diag_error(c, name->at, suggest_hint(&near, c, "expected the name of a table"), "no table named '%.*s'",
		(int)name->text.len, name->text.ptr);
	return NULL;
}

void
check_tables_offer(struct compile *c, struct suggest *s)
{
	for (size_t i = 0; i < c->p->table_count; i++)
		suggest_offer(s, c->p->tables[i]->name, c->p->tables[i]->at);
}

static bool
key_type(struct compile *c, const struct ast_table *ast, struct policy_table *t)
{
	static const char *const keys[] = { "net", "domain", "address", "string", NULL };
	struct suggest near;
	enum sp_type type;

	if (literal_type_named(ast->key.text, &type) &&
		(type == SP_NET || type == SP_DOMAIN || type == SP_ADDRESS || type == SP_STRING)) {
		t->key = type;
		return true;
	}
	suggest_init(&near, ast->key.text);
	suggest_words(&near, keys);
	diag_error(c, ast->key.at,
		lex_is_word(&ast->key, "ip") ? "write 'net': a single address is a net too"
					     : suggest_hint(&near, c, "expected net, domain, address or string"),
		"a table has no keys of type '%.*s'", (int)ast->key.text.len, ast->key.text.ptr);
	return false;
}

static bool
value_type(struct compile *c, const struct ast_table *ast, struct policy_table *t)
{
	static const char *const values[] = { "bool", "int", "size", "duration", "score", "string", "domain", "address",
		"ip", "net", NULL };
	struct suggest near;

	if (ast->value.kind == TOKEN_END || literal_type_named(ast->value.text, &t->value))
		return true;
	suggest_init(&near, ast->value.text);
	suggest_words(&near, values);
	diag_error(c, ast->value.at, suggest_hint(&near, c, compile_printf(c, "expected %s", suggest_list(c, values))),
		"a table has no values of type '%.*s'", (int)ast->value.text.len, ast->value.text.ptr);
	return false;
}

/* A token as a value of the table. */
static bool
table_value(struct compile *c, const struct policy_table *t, const struct token *token, struct sp_value *ret)
{
	const char *wrong = literal_parse(c, t->value, NULL, literal_text(c, token), ret);

	if (wrong != NULL)
		diag_error(c, token->at, wrong, "this is not %s", literal_type(t->value));
	return wrong == NULL;
}

static void
add_item(struct compile *c, struct policy_table *t, const struct ast_item *item)
{
	struct sp_value value = { 0 };
	const char *wrong = "out of memory";

	if (item->value.kind == TOKEN_END && t->value != SP_END) {
		diag_error(c, item->key.at, "write 'key -> value'", "the value is missing");
		return;
	}
	if (item->value.kind != TOKEN_END && t->value == SP_END) {
		diag_error(c, item->value.at, "declare its type: 'table name : key -> value'",
			"the table has keys only");
		return;
	}
	if (t->value != SP_END && !table_value(c, t, &item->value, &value))
		return;
	if (table_add(t->table, literal_text(c, &item->key), t->value == SP_END ? NULL : &value, &wrong) != SP_OK)
		diag_error(c, item->key.at, wrong, "this cannot be a key of the table");
}

/* ---- files ------------------------------------------------------------------------------------ */

struct reading {
	struct compile *c;
	const struct policy_table *t;
	const struct ast_table *ast;
	struct arena *line; /* values of one line; the table copies them */
	const char *shown;  /* the path as written */
};

static enum sp_status
reading_parse(void *arg, struct sp_span text, struct sp_value *ret, const char **reterr)
{
	struct reading *r = arg;
	struct arena *values = r->c->values;
	const char *wrong;

	if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
		text = span_of(text.ptr + 1, text.len - 2);
	arena_reset(r->line);
	r->c->values = r->line;
	wrong = literal_parse(r->c, r->t->value, NULL, text, ret);
	r->c->values = values;
	if (wrong != NULL)
		*reterr = wrong;
	return wrong == NULL ? SP_OK : SP_INVALID;
}

static void
reading_report(void *arg, unsigned line, unsigned column, const char *sentence)
{
	struct reading *r = arg;

	diag_error(r->c, r->ast->file.at, compile_printf(r->c, "table '%.*s'", (int)r->t->name.len, r->t->name.ptr),
		"%s:%u:%u: %s", r->shown, line, column, sentence);
}

static void
read_file(struct compile *c, struct policy_table *t, const struct ast_table *ast)
{
	struct sp_span path = literal_text(c, &ast->file);
	struct reading r = { .c = c, .t = t, .ast = ast };
	struct table_reader reader = { .parse = reading_parse, .report = reading_report, .arg = &r };
	enum sp_status st;

	t->path = source_path(c, ast->file.at, path, true);
	r.line = t->path == NULL ? NULL : arena_new(4096, LINE_ARENA_MAX);
	if (r.line == NULL)
		return;
	r.shown = compile_printf(c, "%.*s", (int)path.len, path.ptr);
	st = table_read_file(t->table, t->path, &reader);
	if (st != SP_OK && st != SP_INVALID)
		diag_error(c, ast->file.at, compile_printf(c, "table '%.*s'", (int)t->name.len, t->name.ptr),
			"cannot read '%s': %s", r.shown, strerror(errno));
	arena_free(&r.line);
}

/* ---- the whole ----------------------------------------------------------------------------------- */

static void
table_default(struct compile *c, struct policy_table *t, const struct ast_table *ast)
{
	if (ast->fallback.kind == TOKEN_END)
		return;
	if (t->value == SP_END) {
		diag_error(c, ast->fallback.at, "declare the type of the values: 'table name : key -> value'",
			"a table of keys has no default");
		return;
	}
	t->has_default = table_value(c, t, &ast->fallback, &t->fallback);
}

static void
table_fill(struct compile *c, struct policy_table *t, const struct ast_table *ast)
{
	struct policy_owned *own = compile_alloc(c, sizeof(*own));
	struct sp_span dup = { NULL, 0 };
	unsigned errors = c->errors;

	if (own == NULL)
		return;
	own->table = t->table = table_new(t->key, t->value);
	own->next = c->p->owned;
	c->p->owned = own;
	if (t->table == NULL) {
		c->out_of_memory = true;
		return;
	}
	for (const struct ast_item *i = ast->items; i != NULL && !c->stop; i = i->next)
		add_item(c, t, i);
	if (ast->file.kind != TOKEN_END)
		read_file(c, t, ast);
	switch (table_close(t->table, &dup)) {
	case SP_OK:
		break;
	case SP_INVALID:
		if (c->errors == errors)
			diag_error(c, t->at, NULL, "'%.*s' is given twice with different values", (int)dup.len, dup.ptr);
		break;
	default:
		c->out_of_memory = true;
	}
}

static void
check_table(struct compile *c, const struct ast_table *ast)
{
	const struct policy_table *first = table_named(c, ast->name.text);
	struct policy_table *t = compile_alloc(c, sizeof(*t));

	if (t == NULL)
		return;
	if (first != NULL) {
		check_twice(c, ast->name.at, first->at, "table", first->name);
		return;
	}
	t->name = ast->name.text;
	t->at = ast->name.at;
	c->p->tables[c->p->table_count++] = t;
	if (ast->key.kind == TOKEN_END)
		return;
	if (!key_type(c, ast, t) || !value_type(c, ast, t)) {
		t->key = SP_END;
		return;
	}
	table_fill(c, t, ast);
	table_default(c, t, ast);
}

void
check_tables(struct compile *c)
{
	size_t count = 0;

	for (const struct ast_table *t = c->tables; t != NULL; t = t->next)
		count++;
	c->p->tables = compile_alloc(c, (count + 1) * sizeof(struct policy_table *));
	for (const struct ast_table *t = c->tables; t != NULL && c->p->tables != NULL && !c->stop; t = t->next)
		check_table(c, t);
}
