/*
 * compile.c - from files to a policy: parse, check, plan, warn.
 *
 * The policy owns its arena, its tables, its regexes and what modules hold; all of that goes with
 * policy_free(), also when compiling failed half-way.
 */
#include "policy/compile.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define ARENA_BLOCK ((size_t)16 << 10)

void *
compile_alloc(struct compile *c, size_t size)
{
	void *p = arena_alloc(c->p->arena, size);

	c->out_of_memory |= p == NULL;
	return p;
}

void *
compile_scratch(struct compile *c, size_t size)
{
	void *p = arena_alloc(c->scratch, size);

	c->out_of_memory |= p == NULL;
	return p;
}

const char *
compile_printf(struct compile *c, const char *fmt, ...)
{
	va_list ap;
	const char *text;

	va_start(ap, fmt);
	text = arena_vprintf(c->scratch, fmt, ap);
	va_end(ap);
	c->out_of_memory |= text == NULL;
	return text == NULL ? "" : text;
}

const char *
compile_refused(const struct compile *c, struct sp_span word)
{
	for (const struct policy_refused *r = c->env->refused; r != NULL && r->word != NULL; r++)
		if (span_eq(span_str(r->word), word))
			return r->why;
	return NULL;
}

static struct policy *
policy_new(const struct policy_env *env)
{
	struct arena *a = arena_new(ARENA_BLOCK, COMPILE_ARENA_MAX);
	struct policy *p = a == NULL ? NULL : arena_alloc(a, sizeof(*p));

	if (p == NULL) {
		arena_free(&a);
		return NULL;
	}
	p->arena = a;
	p->env = env;
	p->files = arena_alloc(a, COMPILE_FILES_MAX * sizeof(*p->files));
	if (p->files == NULL)
		arena_free(&a); /* p lies in it */
	return a == NULL ? NULL : p;
}

bool
compile_init(struct compile *c, const struct policy_env *env)
{
	*c = (struct compile){ .env = env, .key_of = SIZE_MAX };
	c->p = policy_new(env);
	c->scratch = arena_new(ARENA_BLOCK, COMPILE_ARENA_MAX);
	if (c->p == NULL || c->scratch == NULL) {
		policy_free(&c->p);
		arena_free(&c->scratch);
		return false;
	}
	c->values = c->p->arena;
	c->messages_end = &c->messages;
	c->blocks_end = &c->blocks;
	c->settings_end = &c->settings;
	c->tables_end = &c->tables;
	c->filters_end = &c->filters;
	c->rules_end = &c->rules;
	c->uses_end = &c->uses;
	c->links_end = &c->links;
	for (const struct policy_block_decl *d = env == NULL ? NULL : env->blocks; d != NULL && d->kind != NULL; d++)
		if (d->kind[0] == '\0')
			c->top = d;
	return true;
}

void
compile_fini(struct compile *c)
{
	arena_free(&c->scratch);
}

static void
check_default(struct compile *c)
{
	static const struct ast_reply defer = { .verb = { .kind = TOKEN_WORD, .text = { "defer", 5 } } };

	check_reply(c, c->unknown.verb.kind == TOKEN_END ? &defer : &c->unknown, &c->p->unknown);
}

void
check_all(struct compile *c)
{
	void (*const checks[])(struct compile *) = { check_tables, check_filters, check_blocks, check_default, check_rules };

	c->syntax_errors = c->errors > 0;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (c->out_of_memory || c->stop)
			return;
		checks[i](c);
	}
	fact_check_demand(c);
	if (c->errors > 0 || c->out_of_memory)
		return;
	fact_number(c);
	if (!c->out_of_memory && plan_infer(c->p) != SP_OK)
		c->out_of_memory = true;
	if (!c->out_of_memory)
		check_backend_stages(c);
	if (!c->out_of_memory && c->errors == 0)
		warn_all(c);
}

/* file: of source_open() or source_text(), -1: reported */
static struct policy *
compile(struct compile *c, int file, struct policy_diag *d)
{
	if (file >= 0) {
		parse_file(c, (unsigned)file);
		check_all(c);
	}
	diag_flush(c, d);
	if (c->errors > 0)
		policy_free(&c->p);
	compile_fini(c);
	return c->p;
}

static struct policy *
no_memory(struct policy_diag *d)
{
	buf_add_str(&d->text, "error: out of memory while compiling the policy\n");
	d->errors++;
	return NULL;
}

struct policy *
policy_compile(const char *path, const struct policy_env *env, struct policy_diag *d)
{
	struct compile c;

	if (!compile_init(&c, env))
		return no_memory(d);
	return compile(&c, source_open(&c, path, (struct at){ 0 }), d);
}

struct policy *
policy_compile_text(const char *name, struct sp_span text, const struct policy_env *env, struct policy_diag *d)
{
	struct compile c;

	if (!compile_init(&c, env))
		return no_memory(d);
	return compile(&c, source_text(&c, name, text), d);
}

void
policy_free(struct policy **pp)
{
	struct policy *p = *pp;
	struct arena *a;

	if (p == NULL)
		return;
	*pp = NULL;
	for (size_t i = 0; i < p->filter_count; i++) {
		const struct policy_filter *f = &p->filters[i];

		if (p->filter_loaded[i] && f->module->unload != NULL)
			f->module->unload((void *)(uintptr_t)f->conf, (struct sp_entry *)(uintptr_t)f->entries, f->entry_count);
	}
	for (struct policy_owned *own = p->owned; own != NULL; own = own->next) {
		table_free(&own->table);
		pcre2_code_free(own->regex);
	}
	a = p->arena;
	arena_free(&a);
}
