/*
 * check_filter.c - filters: parameters are typed and stored where the module declared them, then the
 * module's load() is called.
 *
 * Parameters and entries lie in the policy's arena and live with it.
 */
#include "policy/compile.h"

/* ---- one parameter ------------------------------------------------------------------------------ */

/* Where parameters of one list go. */
struct place {
	const char *module;
	size_t filter;
	char *base;
	size_t size;
	enum sp_stage *keys; /* latest stage of facts seen */
};

static size_t
param_size(enum sp_type type)
{
	switch (type) {
	case SP_BOOL:
		return sizeof(bool);
	case SP_SCORE:
		return sizeof(double);
	case SP_FILE:
		return sizeof(const char *);
	case SP_TABLE:
		return sizeof(const struct sp_table *);
	case SP_IP:
		return sizeof(struct sp_ip);
	case SP_NET:
		return sizeof(struct sp_net);
	case SP_RATE:
		return sizeof(struct sp_rate);
	case SP_FACT:
		return sizeof(struct sp_keys);
	case SP_STRING:
	case SP_DOMAIN:
	case SP_ADDRESS:
	case SP_REGEX:
		return sizeof(struct sp_span);
	default:
		return sizeof(int64_t);
	}
}

static const void *
value_bytes(const struct sp_value *v)
{
	switch (v->type) {
	case SP_BOOL:
		return &v->u.boolean;
	case SP_SCORE:
		return &v->u.real;
	case SP_IP:
		return &v->u.ip;
	case SP_NET:
		return &v->u.net;
	case SP_RATE:
		return &v->u.rate;
	case SP_STRING:
	case SP_DOMAIN:
	case SP_ADDRESS:
		return &v->u.text;
	default:
		return &v->u.integer;
	}
}

static void
list_add(struct compile *c, size_t filter, const struct sp_keys *keys)
{
	struct filter_info *info = &c->infos[filter];

	if (info->list_count == info->list_room) {
		size_t room = info->list_room == 0 ? 4 : info->list_room * 2;
		const struct sp_keys **lists = compile_scratch(c, room * sizeof(const struct sp_keys *));

		if (lists == NULL)
			return;
		for (size_t i = 0; i < info->list_count; i++)
			lists[i] = info->lists[i];
		info->lists = lists;
		info->list_room = room;
	}
	info->lists[info->list_count++] = keys;
}

static void
store_facts(struct compile *c, const struct ast_value *values, const struct place *to, struct sp_keys *ret)
{
	const struct sp_fact_ref **refs;
	size_t count = 0;

	for (const struct ast_value *v = values; v != NULL; v = v->next)
		count++;
	refs = compile_alloc(c, (count + 1) * sizeof(const struct sp_fact_ref *));
	if (refs == NULL)
		return;
	ret->refs = refs;
	c->key_of = to->filter;
	for (const struct ast_value *v = values; v != NULL; v = v->next) {
		const struct sp_fact_ref *ref = NULL;

		if (v->token.kind == TOKEN_WORD)
			ref = fact_find(c, &v->token, v->arg.kind == TOKEN_END ? NULL : &v->arg);
		else
			diag_error(c, v->token.at, "write its name without quotes: client.ip", "expected a fact");
		if (ref == NULL)
			continue;
		refs[ret->count++] = ref;
		if (ref->stage > *to->keys)
			*to->keys = ref->stage;
	}
	c->key_of = SIZE_MAX;
	list_add(c, to->filter, ret);
}

static bool
quotes_allowed(enum sp_type type)
{
	return type == SP_STRING || type == SP_DOMAIN || type == SP_ADDRESS || type == SP_IP || type == SP_NET;
}

static void
store_literal(struct compile *c, const struct sp_param *p, const struct token *t, char *to)
{
	struct sp_value v = { 0 };
	const char *wrong = NULL;

	if (t->kind == TOKEN_STRING && !quotes_allowed(p->type))
		wrong = "it is written without quotes";
	if (wrong == NULL)
		wrong = literal_parse(c, p->type, p->words, literal_text(c, t), &v);
	if (wrong != NULL) {
		diag_error(c, t->at, wrong, "'%s' is %s", p->name, literal_type(p->type));
		return;
	}
	if (check_range(c, t->at, &v, p->min, p->max))
		memcpy(to, value_bytes(&v), param_size(p->type));
}

/* "none" where the module says that it may be: then the pointer stays null. */
static bool
is_none(const struct sp_param *p, const struct token *t)
{
	return p->fallback != NULL && strcmp(p->fallback, "none") == 0 && lex_is_word(t, "none");
}

/* min: the type of the keys that the module is going to ask for, 0 any. */
static void
store_table(struct compile *c, const struct sp_param *p, const struct token *t, const struct place *to)
{
	const struct policy_table *table = NULL;
	const struct sp_table *opaque;
	enum sp_type key = (enum sp_type)p->min;

	if (t->kind == TOKEN_WORD)
		table = check_table_of(c, t);
	else
		diag_error(c, t->at, "write its name without quotes", "'%s' is a table", p->name);
	if (table != NULL && p->min != 0 && !table_takes(table, key)) {
		diag_error(c, t->at, compile_printf(c, "the table is defined at %s", diag_place(c, table->at)),
			"table '%.*s' has keys of type %s, '%s' needs %s", (int)table->name.len, table->name.ptr,
			policy_type_name(table->key), p->name,
			policy_type_name(key == SP_IP ? SP_NET : key == SP_DOMAINS ? SP_DOMAIN : key));
		return;
	}
	c->infos[to->filter].incomplete |= table == NULL;
	opaque = (const struct sp_table *)(const void *)table;
	memcpy(to->base + p->offset, &opaque, sizeof(opaque));
}

static void
store_param(struct compile *c, const struct sp_param *p, const struct ast_value *value, const struct place *to)
{
	const struct token *t = &value->token;
	char *at = to->base + p->offset;
	struct sp_span text;
	const char *path;

	switch (p->type) {
	case SP_FACT:
		store_facts(c, value, to, (struct sp_keys *)(void *)at);
		break;
	case SP_TABLE:
		if (!is_none(p, t))
			store_table(c, p, t, to);
		break;
	case SP_FILE:
		if (is_none(p, t))
			break;
		path = source_path(c, t->at, literal_text(c, t), true);
		memcpy(at, &path, sizeof(path));
		break;
	case SP_REGEX:
		if (t->kind != TOKEN_REGEX)
			diag_error(c, t->at, "between slashes: /.../i", "'%s' is a regular expression", p->name);
		else if (check_regex(c, t, NULL)) {
			text = arena_copy(c->p->arena, t->text);
			memcpy(at, &text, sizeof(text));
		}
		break;
	default:
		store_literal(c, p, t, at);
	}
}

/* ---- parameters not given ------------------------------------------------------------------------- */

/* The tokens of a declared default. Texts need no quotes there. */
static struct ast_value *
fallback_values(struct compile *c, const struct sp_param *p, struct at at)
{
	struct ast_value *first = NULL, **end = &first;
	struct lexer l;
	struct token t;

	lex_init(&l, 0, span_str(p->fallback));
	for (t = lex_next(&l); first == NULL || t.kind == TOKEN_COMMA; t = lex_next(&l)) {
		if (t.kind == TOKEN_COMMA)
			t = lex_next(&l);
		if (p->type == SP_REGEX && p->fallback[0] == '/')
			t = lex_regex(&l, &t);
		if (t.kind != TOKEN_STRING && t.kind != TOKEN_REGEX && p->type != SP_FACT)
			t = (struct token){ .kind = TOKEN_WORD, .text = span_str(p->fallback) };
		*end = compile_scratch(c, sizeof(**end));
		if (*end == NULL)
			return NULL;
		t.at = at;
		(*end)->token = t;
		end = &(*end)->next;
	}
	return first;
}

static bool
param_sound(struct compile *c, const struct sp_param *p, const struct place *to, struct at at)
{
	if (p->offset <= to->size && param_size(p->type) <= to->size - p->offset)
		return true;
	diag_error(c, at, NULL, "filter module '%s' is broken: '%s' lies outside of its configuration", to->module, p->name);
	return false;
}

static void
store_params(struct compile *c, const struct sp_param *params, const struct ast_setting *given, const struct place *to,
	struct at at)
{
	for (const struct sp_param *p = params; p != NULL && p->type != SP_END; p++) {
		const struct ast_setting *found = NULL;
		const struct ast_value *value;

		if (!param_sound(c, p, to, at))
			return;
		for (const struct ast_setting *s = given; s != NULL; s = s->next) {
			if (s->index != (size_t)(p - params))
				continue;
			if (found != NULL)
				check_twice(c, s->at, found->at, "parameter", span_str(p->name));
			else
				found = s;
		}
		if (found == NULL && p->fallback == NULL) {
			diag_error(c, at, p->help, "parameter '%s' must be given", p->name);
			continue;
		}
		value = found != NULL ? found->values : fallback_values(c, p, at);
		if (value != NULL)
			store_param(c, p, value, to);
	}
}

/* ---- loading ----------------------------------------------------------------------------------------- */

struct sp_load {
	struct compile *c;
	struct at at;
	struct sp_span use; /* the name of this use of the module */
};

__attribute__((format(printf, 5, 0))) static void
load_error(struct sp_load *l, const char *file, unsigned line, unsigned column, const char *fmt, va_list ap)
{
	const char *text = arena_vprintf(l->c->scratch, fmt, ap);

	if (text == NULL)
		l->c->out_of_memory = true;
	else if (file == NULL)
		diag_error(l->c, l->at, NULL, "%s", text);
	else if (line == 0)
		diag_error(l->c, l->at, NULL, "%s: %s", file, text);
	else
		diag_error(l->c, l->at, NULL, "%s:%u:%u: %s", file, line, column, text);
}

/* Two uses of one module do not share a table: its name has the use's in front. */
static void *
load_shared(struct sp_load *l, const char *name, size_t size)
{
	const struct policy_env *env = l->c->env;
	const char *full = arena_printf(l->c->scratch, "%.*s/%s", (int)l->use.len, l->use.ptr, name);

	return env->shared == NULL || full == NULL ? NULL : env->shared(env->arg, full, size);
}

static void *
load_alloc(struct sp_load *l, size_t size)
{
	return arena_alloc(l->c->p->arena, size);
}

static const char *
load_program(struct sp_load *l, const char *command)
{
	const struct policy_env *env = l->c->env;
	const char *why = NULL, *endpoint = env->program == NULL ? NULL : env->program(env->arg, command, &why);

	if (env->program == NULL)
		diag_error(l->c, l->at, "'sallyport run' does", "'%s': no programs are started here", command);
	else if (endpoint == NULL)
		diag_error(l->c, l->at, "a path and arguments, divided by blanks; no shell", "'%s': %s", command, why);
	if (endpoint == NULL)
		return NULL;
	return arena_strdup(l->c->p->arena, span_str(endpoint));
}

static void
filter_load(struct compile *c, size_t index, void *conf, struct sp_entry *entries)
{
	const struct policy_filter *f = &c->p->filters[index];
	struct sp_load load = { .c = c, .at = c->infos[index].at, .use = f->name };
	unsigned errors = c->errors;
	enum sp_status st = SP_OK;

	if (f->module->load != NULL)
		st = f->module->load(&load, &c->p->load_host, conf, entries, f->entry_count);
	if (st != SP_OK && c->errors == errors)
		diag_error(c, load.at, NULL, "filter '%.*s' refused its configuration", (int)f->name.len, f->name.ptr);
	c->p->filter_loaded[index] = st == SP_OK;
}

/* ---- entries and filters -------------------------------------------------------------------------------- */

static enum sp_stage
facts_stage(const struct sp_fact_decl *decls, enum sp_stage stage)
{
	for (; decls != NULL && decls->type != SP_END; decls++)
		if (decls->stage > stage)
			stage = decls->stage;
	return stage;
}

static void
check_entry(struct compile *c, size_t index, size_t entry, const struct ast_entry *ast)
{
	const struct sp_filter *module = c->p->filters[index].module;
	struct sp_entry *e = (struct sp_entry *)(uintptr_t)&c->p->filters[index].entries[entry];
	enum sp_stage *keys = &c->infos[index].entry_keys[entry];
	char *conf = compile_alloc(c, module->entry_size + 1);
	struct place to = { module->name, index, conf, module->entry_size, keys };

	if (conf == NULL)
		return;
	e->conf = conf;
	store_params(c, module->entry_params, ast->params, &to, ast->name.at);
	e->stage = module->entry_stage != NULL ? module->entry_stage(conf, *keys)
					       : facts_stage(module->entry_facts, *keys);
}

static void
check_filter(struct compile *c, size_t index, const struct ast_filter *ast)
{
	struct policy_filter *f = &c->p->filters[index];
	struct place to = { .filter = index, .keys = &c->infos[index].keys };
	unsigned errors = c->errors;
	size_t entry = 0;

	if (f->module == NULL)
		return;
	to.module = f->module->name;
	to.size = f->module->conf_size;
	to.base = compile_alloc(c, to.size + 1);
	if (to.base == NULL)
		return;
	f->conf = to.base;
	store_params(c, f->module->params, ast->params, &to, c->infos[index].at);
	for (const struct ast_entry *e = ast->entries; e != NULL; e = e->next)
		check_entry(c, index, entry++, e);
	if (c->errors == errors && !c->out_of_memory && !c->infos[index].incomplete)
		filter_load(c, index, to.base, (struct sp_entry *)(uintptr_t)f->entries);
}

/* Entries' names, so that facts of them can be found. */
static bool
name_entries(struct compile *c, struct policy_filter *f, struct filter_info *info, const struct ast_filter *ast)
{
	struct sp_entry *entries;
	size_t count = 0;

	for (const struct ast_entry *e = ast->entries; e != NULL; e = e->next)
		count++;
	entries = compile_alloc(c, (count + 1) * sizeof(*entries));
	info->entry_keys = compile_scratch(c, (count + 1) * sizeof(enum sp_stage));
	info->entry_at = compile_scratch(c, (count + 1) * sizeof(struct at));
	if (entries == NULL || info->entry_keys == NULL || info->entry_at == NULL)
		return false;
	f->entries = entries;
	for (const struct ast_entry *e = ast->entries; e != NULL; e = e->next) {
		for (size_t i = 0; i < f->entry_count; i++)
			if (span_eq(span_str(entries[i].name), e->name.text))
				check_twice(c, e->name.at, info->entry_at[i], "entry", e->name.text);
		info->entry_at[f->entry_count] = e->name.at;
		entries[f->entry_count].name = arena_strdup(c->p->arena, e->name.text);
		if (entries[f->entry_count++].name == NULL)
			return false;
	}
	return true;
}

static bool
name_filter(struct compile *c, const struct ast_filter *ast)
{
	size_t index = c->p->filter_count;
	struct policy_filter *f = &c->p->filters[index];

	for (size_t i = 0; i < index; i++)
		if (span_eq(c->p->filters[i].name, ast->name.text))
			check_twice(c, ast->name.at, c->infos[i].at, "filter", ast->name.text);
	for (const struct policy_space *s = c->env->spaces; s != NULL && s->name != NULL; s++)
		if (span_eq(span_str(s->name), ast->name.text))
			diag_error(c, ast->name.at, "give it another: filter MODULE NAME",
				"'%s' is the name of the program's own facts", s->name);
	*f = (struct policy_filter){ .module = ast->module, .name = ast->name.text };
	c->infos[index] = (struct filter_info){ .at = ast->name.at, .runs_at = SIZE_MAX, .broken = ast->module == NULL };
	c->p->filter_count++;
	return name_entries(c, f, &c->infos[index], ast);
}

/* ---- order ------------------------------------------------------------------------------------------------- */

static bool
is_first_use(const struct compile *c, const struct ast_filter *ast)
{
	const struct ast_filter *f = c->filters;

	while (f != ast && f->module != ast->module)
		f = f->next;
	return f == ast;
}

/* Filters of one stage run in the order of the file: whoever reads another's results stands below it. */
static void
check_below(struct compile *c, const struct ast_filter *ast, size_t index, const char *module)
{
	bool used = false;
	size_t other = 0;

	for (const struct ast_filter *f = c->filters; f != NULL && other < c->p->filter_count; f = f->next, other++) {
		if (!span_eq(f->module_name.text, span_str(module)))
			continue;
		used = true;
		if (other > index)
			diag_error(c, ast->name.at,
				compile_printf(c, "filter '%.*s' stands at %s", (int)f->name.text.len, f->name.text.ptr,
					diag_place(c, f->name.at)),
				"filter '%.*s' reads the results of filter '%.*s': it must stand below it",
				(int)ast->name.text.len, ast->name.text.ptr, (int)f->name.text.len, f->name.text.ptr);
	}
	if (!used && is_first_use(c, ast))
		diag_warning(c, ast->name.at, compile_printf(c, "add 'filter %s' above", module),
			"filter '%.*s' without filter '%s': no result of it will be looked at",
			(int)ast->name.text.len, ast->name.text.ptr, module);
}

static void
check_order(struct compile *c)
{
	size_t index = 0;

	for (const struct ast_filter *f = c->filters; f != NULL && index < c->p->filter_count; f = f->next, index++) {
		const char *const *after = f->module == NULL ? NULL : f->module->after;

		for (; after != NULL && *after != NULL; after++)
			if (strcmp(*after, f->module->name) != 0)
				check_below(c, f, index, *after);
	}
}

void
check_filters(struct compile *c)
{
	struct policy *p = c->p;
	size_t count = 0;

	for (const struct ast_filter *f = c->filters; f != NULL; f = f->next)
		count++;
	p->filters = compile_alloc(c, (count + 1) * sizeof(*p->filters));
	p->filter_loaded = compile_alloc(c, count + 1);
	c->infos = compile_scratch(c, (count + 1) * sizeof(*c->infos));
	if (p->filters == NULL || p->filter_loaded == NULL || c->infos == NULL)
		return;
	if (c->env->host != NULL)
		p->load_host = *c->env->host;
	p->load_host.abi_major = SP_ABI_MAJOR;
	p->load_host.abi_minor = SP_ABI_MINOR;
	p->load_host.size = (uint32_t)sizeof(struct sp_host);
	p->load_host.load_error = load_error;
	p->load_host.load_shared = load_shared;
	p->load_host.load_alloc = load_alloc;
	p->load_host.load_program = load_program;
	p->load_host.table_has = policy_table_has;
	for (const struct ast_filter *f = c->filters; f != NULL; f = f->next)
		if (!name_filter(c, f))
			return;
	check_order(c);
	count = 0;
	for (const struct ast_filter *f = c->filters; f != NULL && !c->stop; f = f->next)
		check_filter(c, count++, f);
}
