/*
 * check_block.c - blocks and their settings, against what the program declares.
 *
 * Every declared setting has a struct policy_setting, given or not, so that a fallback and a value from
 * the file are read in the same way.
 */
#include "policy/compile.h"

/* A setting on its way; fallback: the tokens come from the declaration. */
struct giving {
	struct compile *c;
	struct policy_setting *s;
	bool fallback;
	size_t room;
};

/* ---- values ------------------------------------------------------------------------------------- */

static bool
port_good(struct sp_span s)
{
	uint64_t port;

	return span_to_u64(s, 65535, &port) == SP_OK;
}

static bool
host_good(struct compile *c, struct sp_span s)
{
	struct sp_value v;
	struct sp_ip ip;

	if (s.len > 2 && s.ptr[0] == '[' && s.ptr[s.len - 1] == ']')
		return span_to_ip(span_of(s.ptr + 1, s.len - 2), &ip) == SP_OK;
	if (span_find(s, ':') < s.len)
		return false;
	return span_to_ip(s, &ip) == SP_OK || literal_parse(c, SP_DOMAIN, NULL, s, &v) == NULL;
}

static const char *
endpoint_wrong(struct compile *c, struct sp_span s)
{
	size_t colon = span_rfind(s, ':');

	if (span_starts(s, SPAN_LIT("unix:")))
		return s.len > 5 && s.len < 100 ? NULL : "expected a path: unix:/run/x.sock";
	if (colon < s.len && port_good(span_from(s, colon + 1)) && host_good(c, span_head(s, colon)))
		return NULL;
	return "expected host:port, [IPv6]:port or unix:/path";
}

static bool
text_add(struct giving *g, struct sp_span text)
{
	struct policy_setting *s = g->s;
	struct sp_span *texts;

	if (s->text_count == g->room) {
		g->room = g->room == 0 ? 4 : g->room * 2;
		texts = compile_alloc(g->c, g->room * sizeof(*texts));
		if (texts == NULL)
			return false;
		for (size_t i = 0; i < s->text_count; i++)
			texts[i] = s->texts[i];
		s->texts = texts;
	}
	s->texts[s->text_count++] = text;
	return true;
}

static void
wrong_value(struct giving *g, const struct token *t, const char *wrong)
{
	diag_error(g->c, t->at, wrong, g->fallback ? "the program's own default of '%s' is wrong" : "wrong value for '%s'",
		g->s->decl->key);
}

static void
give_number(struct giving *g, const struct token *t, enum sp_type type)
{
	const struct policy_setting_decl *d = g->s->decl;
	struct sp_value v = { 0 };
	const char *wrong = t->kind == TOKEN_STRING ? "it is written without quotes"
						    : literal_parse(g->c, type, d->words, t->text, &v);

	if (wrong != NULL) {
		wrong_value(g, t, wrong);
		return;
	}
	g->s->integer = type == SP_BOOL ? v.u.boolean : v.u.integer;
	if (check_range(g->c, t->at, &v, d->min, d->max))
		text_add(g, literal_text(g->c, t));
}

static void
give_file(struct giving *g, const struct token *t)
{
	const char *path = source_path(g->c, t->at, literal_text(g->c, t), true);

	if (path != NULL)
		text_add(g, span_str(path));
}

static void
give_endpoint(struct giving *g, const struct token *t)
{
	struct sp_span text = literal_text(g->c, t);
	const char *wrong = endpoint_wrong(g->c, text);

	if (wrong != NULL)
		wrong_value(g, t, wrong);
	else
		text_add(g, text);
}

/* ---- sets: domains, nets ---------------------------------------------------------------------------- */

static bool
set_new(struct giving *g, enum sp_type key)
{
	struct policy_owned *own = compile_alloc(g->c, sizeof(*own));

	if (own == NULL)
		return false;
	own->table = g->s->set = table_new(key, SP_END);
	own->next = g->c->p->owned;
	g->c->p->owned = own;
	g->c->out_of_memory |= own->table == NULL;
	return own->table != NULL;
}

static void
give_table(struct giving *g, const struct token *t, const struct policy_table *table, enum sp_type key)
{
	const struct policy_table **tables;

	if (table->key == SP_END)
		return;
	if (table->key != key) {
		diag_error(g->c, t->at, compile_printf(g->c, "it is defined at %s", diag_place(g->c, table->at)),
			"'%s' takes a table of keys of type %s, '%.*s' has %s", g->s->decl->key, policy_type_name(key),
			(int)table->name.len, table->name.ptr, policy_type_name(table->key));
		return;
	}
	tables = compile_alloc(g->c, (g->s->table_count + 1) * sizeof(const struct policy_table *));
	if (tables == NULL)
		return;
	for (size_t i = 0; i < g->s->table_count; i++)
		tables[i] = g->s->tables[i];
	tables[g->s->table_count++] = table;
	g->s->tables = tables;
	text_add(g, literal_text(g->c, t));
}

/* A word without a dot is a table's name: a domain of one label is put in quotes. */
static void
unknown_table(struct giving *g, const struct token *t, enum sp_type key)
{
	struct suggest near;

	suggest_init(&near, t->text);
	check_tables_offer(g->c, &near);
	diag_error(g->c, t->at,
		suggest_hint(&near, g->c,
			key == SP_NET ? "expected a net, 192.0.2.0/24, or the name of a table"
				      : "a domain of a single word is put in quotes"),
		"no table named '%.*s'", (int)t->text.len, t->text.ptr);
}

static void
give_set(struct giving *g, const struct token *t, enum sp_type key)
{
	const struct policy_table *table = t->kind == TOKEN_WORD ? check_table_find(g->c, t->text) : NULL;
	const char *wrong = NULL;

	if (table != NULL) {
		give_table(g, t, table, key);
		return;
	}
	if (t->kind == TOKEN_WORD && !g->fallback && lex_is_name(t->text)) {
		unknown_table(g, t, key);
		return;
	}
	if (g->s->set == NULL && !set_new(g, key))
		return;
	if (table_add(g->s->set, literal_text(g->c, t), NULL, &wrong) != SP_OK)
		wrong_value(g, t, wrong);
	else
		text_add(g, literal_text(g->c, t));
}

/* One table, of the declared types. */
static void
give_map(struct giving *g, const struct token *t)
{
	const struct policy_table *table = check_table_of(g->c, t);
	const char *const *types = g->s->decl->words;
	enum sp_type key, value;

	if (table == NULL || !literal_type_named(span_str(types[0]), &key) || !literal_type_named(span_str(types[1]), &value))
		return;
	if (table->key == key && table->value != value)
		diag_error(g->c, t->at, compile_printf(g->c, "it is defined at %s", diag_place(g->c, table->at)),
			"'%s' takes a table with values of type %s", g->s->decl->key, types[1]);
	else
		give_table(g, t, table, key);
}

/* ---- settings ------------------------------------------------------------------------------------------ */

static void
give_value(struct giving *g, const struct token *t)
{
	switch (g->s->decl->type) {
	case POLICY_SET_BOOL:
		give_number(g, t, SP_BOOL);
		break;
	case POLICY_SET_INT:
		give_number(g, t, SP_INT);
		break;
	case POLICY_SET_SIZE:
		give_number(g, t, SP_SIZE);
		break;
	case POLICY_SET_DURATION:
		give_number(g, t, SP_DURATION);
		break;
	case POLICY_SET_ENUM:
		give_number(g, t, SP_ENUM);
		break;
	case POLICY_SET_ENDPOINT:
		give_endpoint(g, t);
		break;
	case POLICY_SET_DOMAINS:
		give_set(g, t, SP_DOMAIN);
		break;
	case POLICY_SET_NETS:
		give_set(g, t, SP_NET);
		break;
	case POLICY_SET_FILE:
		give_file(g, t);
		break;
	case POLICY_SET_TABLE:
		give_map(g, t);
		break;
	default:
		text_add(g, literal_text(g->c, t));
	}
}

/* The declared default: a text as it is, or values with commas. */
static void
give_fallback(struct giving *g, struct at at)
{
	struct sp_span rest = span_str(g->s->decl->fallback), text;
	bool list = g->s->decl->list || g->s->decl->type == POLICY_SET_DOMAINS || g->s->decl->type == POLICY_SET_NETS;
	struct token t;

	g->fallback = true;
	do {
		size_t comma = list ? span_find(rest, ',') : rest.len;

		text = span_trim(span_head(rest, comma));
		rest = span_from(rest, comma + 1);
		t = (struct token){ .kind = TOKEN_WORD, .at = at, .text = text };
		if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"') {
			t.kind = TOKEN_STRING;
			t.text = span_of(text.ptr + 1, text.len - 2);
		}
		give_value(g, &t);
	} while (rest.len > 0);
}

static void
check_setting(struct compile *c, struct policy_setting *s, const struct ast_setting *all, size_t index, struct at block)
{
	struct giving g = { .c = c, .s = s };
	struct sp_span twice;

	for (const struct ast_setting *a = all; a != NULL; a = a->next) {
		if (a->index != index)
			continue;
		if (s->given && !s->decl->repeat) {
			check_twice(c, a->at, s->at, "setting", span_str(s->decl->key));
			continue;
		}
		if (!s->given) {
			s->given = true;
			s->at = a->at;
			s->path = c->p->files[a->at.file].path;
		}
		for (const struct ast_value *v = a->values; v != NULL; v = v->next) {
			if (v->arg.kind != TOKEN_END)
				diag_error(c, v->arg.at, NULL, "no value of a setting takes an argument");
			give_value(&g, &v->token);
		}
	}
	if (!s->given && s->decl->fallback != NULL)
		give_fallback(&g, block);
	if (s->set != NULL)
		(void)table_close(s->set, &twice); /* a member written twice is one member */
}

/* ---- blocks ---------------------------------------------------------------------------------------------- */

static bool
settings_fill(struct compile *c, struct policy_block *b, const struct ast_setting *given)
{
	const struct policy_setting_decl *decls = b->decl->settings;
	size_t count = 0;

	while (decls != NULL && decls[count].key != NULL)
		count++;
	b->settings = compile_alloc(c, (count + 1) * sizeof(*b->settings));
	if (b->settings == NULL)
		return false;
	for (size_t i = 0; i < count && !c->stop; i++) {
		b->settings[i].decl = &decls[i];
		check_setting(c, &b->settings[i], given, i, b->at);
	}
	return true;
}

static void
block_twice(struct compile *c, const struct policy_block *b)
{
	for (size_t i = 0; i < c->p->block_count; i++) {
		const struct policy_block *other = &c->p->blocks[i];

		if (other == b || other->decl != b->decl || !(b->decl->once || span_eq(other->name, b->name)))
			continue;
		check_twice(c, b->at, other->at, "block",
			span_str(b->name.len == 0 || b->decl->once
					? b->decl->kind
					: compile_printf(c, "%s %.*s", b->decl->kind, (int)b->name.len, b->name.ptr)));
		return;
	}
}

static bool
check_block(struct compile *c, const struct ast_block *ast)
{
	struct policy_block *b = &c->p->blocks[c->p->block_count];

	b->decl = ast->decl;
	b->name = literal_text(c, &ast->head);
	b->at = ast->head.kind != TOKEN_END ? ast->head.at : ast->kind.at;
	b->path = c->p->files[b->at.file].path;
	if (ast->decl->head == POLICY_HEAD_ENDPOINT) {
		const char *wrong = endpoint_wrong(c, b->name);

		if (wrong != NULL)
			diag_error(c, b->at, wrong, "this is no endpoint");
	}
	block_twice(c, b);
	c->p->block_count++;
	return settings_fill(c, b, ast->settings);
}

/* "backend mail": the block must be there. */
static void
check_name(struct compile *c, const struct policy_setting *s)
{
	struct suggest near;
	const char *kind = s->decl->words == NULL ? "" : s->decl->words[0];

	for (size_t t = 0; t < s->text_count; t++) {
		if (policy_block_named(c->p, kind, s->texts[t]) != NULL)
			continue;
		suggest_init(&near, s->texts[t]);
		for (size_t i = 0; i < c->p->block_count; i++)
			if (strcmp(c->p->blocks[i].decl->kind, kind) == 0)
				suggest_offer(&near, c->p->blocks[i].name, c->p->blocks[i].at);
		diag_error(c, s->at, suggest_hint(&near, c, NULL), "no %s named '%.*s'", kind, (int)s->texts[t].len, s->texts[t].ptr);
	}
}

static void
check_names(struct compile *c)
{
	for (size_t i = 0; i < c->p->block_count; i++) {
		const struct policy_block *b = &c->p->blocks[i];

		for (size_t k = 0; b->settings != NULL && b->settings[k].decl != NULL; k++)
			if (b->settings[k].decl->type == POLICY_SET_NAME && b->settings[k].given)
				check_name(c, &b->settings[k]);
	}
}

void
check_blocks(struct compile *c)
{
	static const struct policy_setting_decl no_settings[] = { { .key = NULL } };
	static const struct policy_block_decl no_top = { .kind = "", .settings = no_settings };
	struct policy *p = c->p;
	size_t count = 1;

	for (const struct ast_block *b = c->blocks; b != NULL; b = b->next)
		count++;
	p->blocks = compile_alloc(c, count * sizeof(*p->blocks));
	if (p->blocks == NULL)
		return;
	p->blocks[0] = (struct policy_block){ .decl = c->top != NULL ? c->top : &no_top, .at = { 0, 1, 1, 1 },
		.path = p->files[0].path };
	p->block_count = 1;
	if (!settings_fill(c, &p->blocks[0], c->settings))
		return;
	for (const struct ast_block *b = c->blocks; b != NULL && !c->stop; b = b->next)
		if (!check_block(c, b))
			return;
	check_names(c);
}
