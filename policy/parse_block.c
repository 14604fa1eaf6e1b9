/*
 * parse_block.c - blocks with settings, tables, and filters with parameters and entries.
 *
 * Settings are told apart by what their block declares, not by line ends: several may stand on one
 * line.  Values stay tokens here; the checker gives them types.
 */
#include "policy/compile.h"

/* Words of key that begin at cur: how many tokens, 0: not this key. */
static unsigned
key_matches(const struct parser *ps, const char *key)
{
	struct sp_span rest = span_str(key);
	unsigned words = 0;

	while (rest.len > 0) {
		size_t len = span_find(rest, ' ');
		struct token t = parse_peek(ps, words);

		if (t.kind != TOKEN_WORD || !span_eq(t.text, span_head(rest, len)))
			return 0;
		words++;
		rest = span_from(rest, len + 1);
	}
	return words;
}

/* The longest key that begins at cur. */
static const struct policy_setting_decl *
setting_decl(const struct parser *ps, const struct policy_block_decl *decl, unsigned *ret_words)
{
	const struct policy_setting_decl *best = NULL;

	*ret_words = 0;
	for (const struct policy_setting_decl *s = decl->settings; s != NULL && s->key != NULL; s++) {
		unsigned words = key_matches(ps, s->key);

		if (words > *ret_words) {
			*ret_words = words;
			best = s;
		}
	}
	return best;
}

/* value = WORD | STRING | REGEX | WORD "(" (STRING | WORD) ")" */
static struct ast_value *
parse_value(struct parser *ps, bool regex, const char *what)
{
	struct ast_value *v = compile_scratch(ps->c, sizeof(*v));

	if (v == NULL)
		return NULL;
	if (ps->cur.kind == TOKEN_WORD && regex && ps->cur.text.ptr[0] == '/')
		ps->cur = lex_regex(&ps->lex, &ps->cur);
	if (ps->cur.kind != TOKEN_WORD && ps->cur.kind != TOKEN_STRING && ps->cur.kind != TOKEN_REGEX) {
		parse_expected(ps, what, NULL);
		return NULL;
	}
	v->token = ps->cur;
	parse_next(ps);
	if (v->token.kind != TOKEN_WORD || ps->cur.kind != TOKEN_LPAREN)
		return v;
	parse_next(ps);
	v->arg = ps->cur;
	if (ps->cur.kind != TOKEN_STRING && ps->cur.kind != TOKEN_WORD) {
		parse_expected(ps, "a name in quotes", NULL);
		return NULL;
	}
	parse_next(ps);
	return parse_take(ps, TOKEN_RPAREN, "')'", NULL) ? v : NULL;
}

/* values = value {"," value}, the comma only where the setting takes a list */
static bool
parse_values(struct parser *ps, struct ast_setting *s, bool list, bool regex, const char *what)
{
	struct ast_value **end = &s->values;

	for (;;) {
		*end = parse_value(ps, regex, what);
		if (*end == NULL)
			return false;
		end = &(*end)->next;
		if (ps->cur.kind != TOKEN_COMMA)
			return true;
		if (!list) {
			diag_error(ps->c, ps->cur.at, NULL, "this takes one value, not a list");
			return false;
		}
		parse_next(ps);
	}
}

static struct at
here_after(struct at start, const struct token *last)
{
	return at_join(start, last->at);
}

/* As many words of the source as key has, joined by blanks. */
static struct sp_span
words_here(struct parser *ps, const char *key)
{
	const char *joined = "";
	struct sp_span rest = span_str(key);

	for (unsigned i = 0; rest.len > 0; i++) {
		struct token t = parse_peek(ps, i);

		if (t.kind != TOKEN_WORD)
			break;
		joined = compile_printf(ps->c, "%s%s%.*s", joined, i > 0 ? " " : "", (int)t.text.len, t.text.ptr);
		rest = span_from(rest, span_find(rest, ' ') + 1);
	}
	return span_str(joined);
}

static const char *
add_key(struct compile *c, const char *list, const char *key)
{
	return list == NULL ? compile_printf(c, "known: %s", key) : compile_printf(c, "%s, %s", list, key);
}

/* Keys that begin with the word at cur, or all when none does. */
static const char *
known_settings(struct parser *ps, const struct policy_setting_decl *decls)
{
	const char *same = NULL, *all = NULL;

	for (const struct policy_setting_decl *s = decls; s != NULL && s->key != NULL; s++) {
		struct sp_span key = span_str(s->key);

		all = add_key(ps->c, all, s->key);
		if (span_eq(span_head(key, span_find(key, ' ')), ps->cur.text))
			same = add_key(ps->c, same, s->key);
	}
	return same != NULL ? same : all;
}

static void
unknown_setting(struct parser *ps, const struct policy_block_decl *decl)
{
	struct suggest near, best;

	if (ps->cur.kind != TOKEN_WORD) {
		parse_expected(ps, "a setting or '}'", NULL);
		return;
	}
	suggest_init(&best, ps->cur.text);
	for (const struct policy_setting_decl *s = decl->settings; s != NULL && s->key != NULL; s++) {
		suggest_init(&near, words_here(ps, s->key));
		suggest_word(&near, s->key);
		if (near.best.len > 0 && (best.best.len == 0 || near.distance < best.distance))
			best = near;
	}
	diag_error(ps->c, ps->cur.at, suggest_hint(&best, ps->c, known_settings(ps, decl->settings)),
		"no setting '%.*s' in '%s'", (int)best.name.len, best.name.ptr,
		decl->kind[0] != '\0' ? decl->kind : "the policy");
}

static const char *
setting_wants(struct compile *c, const struct policy_setting_decl *decl)
{
	static const char *const names[] = { [POLICY_SET_BOOL] = "yes or no", [POLICY_SET_INT] = "a number",
		[POLICY_SET_SIZE] = "a size", [POLICY_SET_DURATION] = "a duration",
		[POLICY_SET_STRING] = "a text", [POLICY_SET_NAME] = "a name",
		[POLICY_SET_ENDPOINT] = "an endpoint", [POLICY_SET_DOMAINS] = "domains",
		[POLICY_SET_NETS] = "nets", [POLICY_SET_FILE] = "a path", [POLICY_SET_TABLE] = "the name of a table" };
	const char *name = decl->type == POLICY_SET_ENUM ? suggest_list(c, decl->words) : names[decl->type];

	return compile_printf(c, "%s for '%s'", name, decl->key);
}

/* setting = KEY {KEY} values */
struct ast_setting *
parse_setting(struct parser *ps, const struct policy_block_decl *decl, bool top)
{
	struct ast_setting *s = compile_scratch(ps->c, sizeof(*s));
	unsigned words;
	const struct policy_setting_decl *sd = setting_decl(ps, decl, &words);
	bool list;

	if (s == NULL)
		return NULL;
	if (sd == NULL) {
		unknown_setting(ps, decl);
		return NULL;
	}
	s->at = ps->cur.at;
	s->index = (size_t)(sd - decl->settings);
	for (; words > 0; words--) {
		s->at = here_after(s->at, &ps->cur);
		parse_next(ps);
	}
	list = sd->list || sd->type == POLICY_SET_DOMAINS || sd->type == POLICY_SET_NETS;
	if (!parse_values(ps, s, list, false, setting_wants(ps->c, sd)))
		return NULL;
	if (top) {
		*ps->c->settings_end = s;
		ps->c->settings_end = &s->next;
	}
	return s;
}

/* To what may be the next setting: the first word of a line, or '}'. */
static void
resync_setting(struct parser *ps, const struct policy_block_decl *decl)
{
	unsigned words;

	if (ps->cur.kind == TOKEN_WORD || ps->cur.kind == TOKEN_ERROR)
		parse_next(ps);
	while (ps->cur.kind != TOKEN_END && ps->cur.kind != TOKEN_RBRACE) {
		if (ps->cur.kind == TOKEN_LBRACE) {
			parse_skip_braces(ps);
			continue;
		}
		if (ps->cur.kind == TOKEN_WORD && (ps->cur.first || setting_decl(ps, decl, &words) != NULL))
			return;
		parse_next(ps);
	}
}

static bool
parse_head(struct parser *ps, const struct policy_block_decl *decl, struct token *ret)
{
	if (decl->head == POLICY_HEAD_NONE)
		return true;
	if (decl->head == POLICY_HEAD_ENDPOINT)
		return parse_take(ps, TOKEN_WORD, "an endpoint: 0.0.0.0:25", ret);
	if (!parse_take(ps, TOKEN_WORD, "a name", ret))
		return false;
	if (lex_is_name(ret->text))
		return true;
	diag_error(ps->c, ret->at, "a letter, then letters, digits, '_' and '-'", "this is no name");
	return true;
}

/* block = KIND [NAME | ENDPOINT] "{" {setting} "}" */
void
parse_block(struct parser *ps, const struct policy_block_decl *decl)
{
	struct compile *c = ps->c;
	struct ast_block *b = compile_scratch(c, sizeof(*b));
	struct ast_setting **end;
	struct at open;

	if (b == NULL)
		return;
	b->kind = ps->cur;
	b->decl = decl;
	end = &b->settings;
	parse_next(ps);
	if (!parse_head(ps, decl, &b->head))
		return;
	open = ps->cur.at;
	if (!parse_take(ps, TOKEN_LBRACE, "'{'", NULL))
		return;
	*c->blocks_end = b;
	c->blocks_end = &b->next;
	while (ps->cur.kind != TOKEN_RBRACE && ps->cur.kind != TOKEN_END && !c->stop) {
		*end = parse_setting(ps, decl, false);
		if (*end != NULL)
			end = &(*end)->next;
		else
			resync_setting(ps, decl);
	}
	if (ps->cur.kind == TOKEN_END)
		diag_error(c, open, NULL, "this '{' is never closed");
	else
		parse_next(ps);
}

/* ---- tables ---------------------------------------------------------------------------------------- */

static bool
parse_literal(struct parser *ps, struct token *ret, const char *what)
{
	if (ps->cur.kind != TOKEN_WORD && ps->cur.kind != TOKEN_STRING) {
		parse_expected(ps, what, NULL);
		return false;
	}
	*ret = ps->cur;
	parse_next(ps);
	return true;
}

/* items = "{" [item {"," item}] "}"   item = literal ["->" literal] */
static bool
parse_items(struct parser *ps, struct ast_table *t)
{
	struct ast_item **end = &t->items, *item;

	parse_next(ps);
	while (ps->cur.kind != TOKEN_RBRACE) {
		item = compile_scratch(ps->c, sizeof(*item));
		if (item == NULL || !parse_literal(ps, &item->key, "an item of the table, or '}'"))
			return false;
		if (ps->cur.kind == TOKEN_ARROW) {
			parse_next(ps);
			if (!parse_literal(ps, &item->value, "the value after '->'"))
				return false;
		}
		*end = item;
		end = &item->next;
		if (ps->cur.kind == TOKEN_COMMA)
			parse_next(ps);
		else if (ps->cur.kind != TOKEN_RBRACE) {
			parse_expected(ps, "',' or '}'", NULL);
			return false;
		}
	}
	parse_next(ps);
	return true;
}

/* table = "table" NAME ":" TYPE ["->" TYPE] ("file" STRING | items) ["default" literal] */
static bool
parse_table_parts(struct parser *ps, struct ast_table *t)
{
	if (!parse_take(ps, TOKEN_WORD, "the table's name", &t->name) ||
		!parse_take(ps, TOKEN_COLON, "':' and the type of the keys", NULL) ||
		!parse_take(ps, TOKEN_WORD, "the type of the keys: net, domain, address or string", &t->key))
		return false;
	if (!lex_is_name(t->name.text))
		diag_error(ps->c, t->name.at, "a letter, then letters, digits, '_' and '-'", "this is no name");
	if (ps->cur.kind == TOKEN_ARROW) {
		parse_next(ps);
		if (!parse_take(ps, TOKEN_WORD, "the type of the values", &t->value))
			return false;
	}
	if (lex_is_word(&ps->cur, "file")) {
		parse_next(ps);
		if (!parse_take(ps, TOKEN_STRING, "the file's name in quotes", &t->file))
			return false;
	} else if (ps->cur.kind == TOKEN_LBRACE) {
		if (!parse_items(ps, t))
			return false;
	} else {
		parse_expected(ps, "'file \"...\"' or '{' and the items", NULL);
		return false;
	}
	if (!lex_is_word(&ps->cur, "default"))
		return true;
	parse_next(ps);
	return parse_literal(ps, &t->fallback, "the default value");
}

void
parse_table(struct parser *ps)
{
	struct ast_table *t = compile_scratch(ps->c, sizeof(*t));

	if (t == NULL)
		return;
	parse_next(ps);
	if (parse_table_parts(ps, t)) {
		*ps->c->tables_end = t;
		ps->c->tables_end = &t->next;
		return;
	}
	/* its name is known nonetheless, so that its use is not a second mistake */
	if (t->name.kind == TOKEN_WORD) {
		t->key.kind = TOKEN_END;
		*ps->c->tables_end = t;
		ps->c->tables_end = &t->next;
	}
	while (ps->cur.kind == TOKEN_RBRACE)
		parse_next(ps);
}
