/*
 * parse.c - the parser's own tools, and the statements of a file.
 *
 * Recursive descent with one token in hand; parse_peek() looks further without moving.  Each function
 * is one production, headed by its line of the grammar.  After a mistake the parser goes on at the
 * next place that can only be the start of something.
 */
#include "policy/compile.h"

void
parse_next(struct parser *ps)
{
	ps->cur = lex_next(&ps->lex);
}

struct token
parse_peek(const struct parser *ps, unsigned ahead)
{
	struct lexer lex = ps->lex;
	struct token t = ps->cur;

	for (; ahead > 0; ahead--)
		t = lex_next(&lex);
	return t;
}

bool
parse_names(const struct parser *ps)
{
	return (ps->cur.kind == TOKEN_WORD || ps->cur.kind == TOKEN_STRING) &&
		parse_peek(ps, 1).kind == TOKEN_COLON;
}

bool
parse_is(const struct parser *ps, const char *word)
{
	return lex_is_word(&ps->cur, word) && !parse_names(ps);
}

void
parse_expected(struct parser *ps, const char *what, const char *hint)
{
	const struct token *t = &ps->cur;

	if (t->kind == TOKEN_ERROR)
		diag_error(ps->c, t->at, t->hint, "%s", t->error);
	else if (t->kind == TOKEN_WORD)
		diag_error(ps->c, t->at, hint, "expected %s, found '%.*s'", what,
			(int)(t->text.len < 100 ? t->text.len : 100), t->text.ptr);
	else
		diag_error(ps->c, t->at, hint, "expected %s, found %s", what, lex_kind_name(t->kind));
}

bool
parse_take(struct parser *ps, enum token_kind kind, const char *what, struct token *ret)
{
	if (ps->cur.kind != kind) {
		parse_expected(ps, what, NULL);
		return false;
	}
	if (ret != NULL)
		*ret = ps->cur;
	parse_next(ps);
	return true;
}

void
parse_skip_braces(struct parser *ps)
{
	struct at open = ps->cur.at;
	unsigned depth = 0;

	do {
		if (ps->cur.kind == TOKEN_LBRACE)
			depth++;
		else if (ps->cur.kind == TOKEN_RBRACE)
			depth--;
		else if (ps->cur.kind == TOKEN_ERROR && ps->c->env == NULL)
			parse_expected(ps, "a word", NULL);
		parse_next(ps);
		if (ps->c->env == NULL && ps->cur.kind == TOKEN_WORD && ps->cur.text.ptr[0] == '/')
			ps->cur = lex_regex_maybe(&ps->lex, &ps->cur);
	} while (depth > 0 && ps->cur.kind != TOKEN_END);
	if (depth > 0)
		diag_error(ps->c, open, NULL, "this '{' is never closed");
}

/* ---- statements --------------------------------------------------------------------------------- */

static const char *const statement_words[] = { "include", "table", "filter", "rules", "on", NULL };

static const struct policy_block_decl *
block_decl(const struct parser *ps, struct sp_span kind)
{
	const struct policy_block_decl *d = ps->c->env == NULL ? NULL : ps->c->env->blocks;

	for (; d != NULL && d->kind != NULL; d++)
		if (d->kind[0] != '\0' && span_eq(span_str(d->kind), kind))
			return d;
	return NULL;
}

/* Whether word is the first of a setting that stands outside of all blocks. */
static bool
top_setting(const struct parser *ps, struct sp_span word)
{
	const struct policy_setting_decl *s = ps->c->top == NULL ? NULL : ps->c->top->settings;

	for (; s != NULL && s->key != NULL; s++)
		if (span_eq(span_head(span_str(s->key), span_find(span_str(s->key), ' ')), word))
			return true;
	return false;
}

bool
parse_starts_statement(const struct parser *ps, const struct token *t)
{
	if (t->kind != TOKEN_WORD)
		return t->kind == TOKEN_END;
	for (size_t i = 0; statement_words[i] != NULL; i++)
		if (lex_is_word(t, statement_words[i]))
			return true;
	if (ps->c->env == NULL)
		return t->first;
	return block_decl(ps, t->text) != NULL || top_setting(ps, t->text);
}

/* To the next line that begins a statement, or past a block. */
static void
resync(struct parser *ps)
{
	while (ps->cur.kind != TOKEN_END) {
		if (ps->cur.kind == TOKEN_LBRACE) {
			parse_skip_braces(ps);
			return;
		}
		if (ps->cur.first && ps->cur.kind == TOKEN_WORD && parse_starts_statement(ps, &ps->cur))
			return;
		parse_next(ps);
	}
}

/* include = "include" STRING */
static bool
parse_include(struct parser *ps)
{
	struct token path;

	parse_next(ps);
	if (!parse_take(ps, TOKEN_STRING, "the file's name in quotes", &path))
		return false;
	if (ps->c->env != NULL)
		source_include(ps->c, &path);
	return true;
}

/* default = "on" "unknown" reply */
static bool
parse_default(struct parser *ps)
{
	struct compile *c = ps->c;
	struct token at = ps->cur;
	struct ast_reply reply = { 0 };

	if (!parse_unknown(ps, &reply, false))
		return false;
	if (c->unknown.verb.kind != TOKEN_END)
		diag_error(c, at.at, compile_printf(c, "first given at %s", diag_place(c, c->unknown.verb.at)),
			"the default for 'on unknown' is given twice");
	else
		c->unknown = reply;
	return true;
}

static void
unknown_statement(struct parser *ps)
{
	struct compile *c = ps->c;
	struct suggest near;
	const struct policy_block_decl *d = c->env->blocks;

	if (ps->cur.kind != TOKEN_WORD) {
		parse_expected(ps, "a statement", "include, table, filter, rules, on unknown, or a block");
		return;
	}
	if (compile_refused(c, ps->cur.text) != NULL) {
		diag_error(c, ps->cur.at, NULL, "%s", compile_refused(c, ps->cur.text));
		return;
	}
	if (parse_names(ps)) {
		diag_error(c, ps->cur.at, "write it inside of 'rules { }'", "a rule outside of the rules block");
		return;
	}
	suggest_init(&near, ps->cur.text);
	suggest_words(&near, statement_words);
	for (; d != NULL && d->kind != NULL; d++)
		suggest_word(&near, d->kind);
	for (size_t i = 0; c->top != NULL && c->top->settings[i].key != NULL; i++)
		suggest_word(&near, c->top->settings[i].key);
	diag_error(c, ps->cur.at, suggest_hint(&near, c, "expected include, table, filter, rules, on unknown, or a block"),
		"unknown statement '%.*s'", (int)ps->cur.text.len, ps->cur.text.ptr);
}

/* For the formatter, which does not know what blocks there are: words and braces. */
static void
parse_loose(struct parser *ps)
{
	if (ps->cur.kind != TOKEN_WORD && ps->cur.kind != TOKEN_STRING && ps->cur.kind != TOKEN_COMMA &&
		ps->cur.kind != TOKEN_LBRACE)
		parse_expected(ps, "a statement", NULL);
	if (ps->cur.kind == TOKEN_LBRACE)
		parse_skip_braces(ps);
	else
		parse_next(ps);
}

static bool
at_word(const struct token *t, const struct token *first)
{
	return t->text.ptr == first->text.ptr && t->kind == first->kind;
}

/* statement = include | table | filter | rules | default | block | setting */
static void
parse_statement(struct parser *ps)
{
	const struct policy_block_decl *decl = block_decl(ps, ps->cur.text);
	const struct token first = ps->cur;
	unsigned errors = ps->c->errors;

	if (lex_is_word(&ps->cur, "include"))
		parse_include(ps);
	else if (lex_is_word(&ps->cur, "table"))
		parse_table(ps);
	else if (lex_is_word(&ps->cur, "filter"))
		parse_filter(ps);
	else if (lex_is_word(&ps->cur, "rules"))
		parse_rules(ps);
	else if (lex_is_word(&ps->cur, "on"))
		parse_default(ps);
	else if (ps->c->env == NULL)
		parse_loose(ps);
	else if (ps->cur.kind == TOKEN_WORD && decl != NULL)
		parse_block(ps, decl);
	else if (ps->cur.kind == TOKEN_WORD && top_setting(ps, ps->cur.text))
		parse_setting(ps, ps->c->top, true);
	else {
		unknown_statement(ps);
		parse_next(ps);
		resync(ps);
		return;
	}
	if (ps->c->errors > errors && at_word(&ps->cur, &first))
		parse_next(ps);
	if (ps->c->errors > errors && !parse_starts_statement(ps, &ps->cur))
		resync(ps);
}

/* version = "policy" "1", the first line; an included file may leave it out */
static bool
parse_version(struct parser *ps, bool included)
{
	static const char *const hint = "the first line of a policy is: policy 1";
	uint64_t version;

	if (!lex_is_word(&ps->cur, "policy")) {
		if (!included)
			diag_error(ps->c, ps->cur.at, hint, "the version of the language is missing");
		return included || ps->cur.kind != TOKEN_ERROR;
	}
	parse_next(ps);
	if (ps->cur.kind != TOKEN_WORD || span_to_u64(ps->cur.text, 1000000, &version) != SP_OK) {
		parse_expected(ps, "the version of the language", hint);
		return false;
	}
	if (version != POLICY_VERSION) {
		diag_error(ps->c, ps->cur.at, "this program knows version 1",
			"version %.*s of the language is not known", (int)ps->cur.text.len, ps->cur.text.ptr);
		return false;
	}
	parse_next(ps);
	return true;
}

/* file = [version] {statement} */
void
parse_file(struct compile *c, unsigned file)
{
	struct parser ps = { .c = c };

	lex_init(&ps.lex, file, c->p->files[file].text);
	parse_next(&ps);
	if (!parse_version(&ps, c->p->files[file].included_from.line > 0))
		return;
	while (ps.cur.kind != TOKEN_END && !c->stop && !c->out_of_memory) {
		if (lex_is_word(&ps.cur, "policy")) {
			diag_error(c, ps.cur.at, "it stands once, as the first line", "the version of the language again");
			parse_next(&ps);
			resync(&ps);
			continue;
		}
		parse_statement(&ps);
	}
}
