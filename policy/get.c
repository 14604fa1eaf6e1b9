/* get.c - reading a compiled policy: names, blocks and settings, facts, filters, rules. */
#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "policy/policy_priv.h"

const char *
policy_stage_name(enum sp_stage stage)
{
	static const char *const names[] = { [SP_CONNECT] = "connect", [SP_HELO] = "helo", [SP_MAIL] = "mail",
		[SP_RCPT] = "rcpt", [SP_DATA] = "data", [SP_HEADER] = "header", [SP_EOM] = "eom" };

	MUST((unsigned)stage < SP_STAGES);
	return names[stage];
}

const char *
policy_type_name(enum sp_type type)
{
	static const char *const names[] = { [SP_END] = "none", [SP_BOOL] = "bool", [SP_INT] = "int", [SP_SIZE] = "size",
		[SP_DURATION] = "duration", [SP_TIME] = "time", [SP_ENUM] = "enum", [SP_SCORE] = "score",
		[SP_STRING] = "string", [SP_DOMAIN] = "domain", [SP_ADDRESS] = "address", [SP_IP] = "ip", [SP_NET] = "net",
		[SP_RATE] = "rate", [SP_DOMAINS] = "domains", [SP_REGEX] = "regex", [SP_FILE] = "file", [SP_FACT] = "fact",
		[SP_TABLE] = "table" };

	MUST((unsigned)type < sizeof(names) / sizeof(names[0]));
	return names[type];
}

const char *
policy_class_name(enum policy_class c)
{
	static const char *const names[] = { [POLICY_UNDECIDED] = "undecided", [POLICY_ACCEPT] = "accept",
		[POLICY_DISCARD] = "discard", [POLICY_DEFER] = "defer", [POLICY_REJECT] = "reject" };

	MUST((unsigned)c < sizeof(names) / sizeof(names[0]));
	return names[c];
}

/* ---- tables ------------------------------------------------------------------------------------- */

bool
table_takes(const struct policy_table *t, enum sp_type key)
{
	return t->key == key || (t->key == SP_NET && key == SP_IP) || (t->key == SP_DOMAIN && key == SP_DOMAINS);
}

const struct sp_value *
table_hit(const struct policy_table *t, const struct sp_value *key)
{
	const struct sp_value *hit = NULL;

	if (key->type != SP_DOMAINS)
		return table_find(t->table, key);
	for (size_t i = 0; hit == NULL && i < key->u.set.count; i++) {
		struct sp_value item = { SP_DOMAIN, { .text = key->u.set.items[i] } };

		hit = table_find(t->table, &item);
	}
	return hit;
}

/* To modules a table is opaque: theirs is a struct policy_table. */
bool
policy_table_has(const struct sp_table *opaque, const struct sp_value *key)
{
	const struct policy_table *t = (const struct policy_table *)(const void *)opaque;

	return t != NULL && table_takes(t, key->type) && table_hit(t, key) != NULL;
}

/* ---- blocks ------------------------------------------------------------------------------------- */

const struct policy_block *
policy_block(const struct policy *p, const char *kind, size_t index)
{
	for (size_t i = 0; i < p->block_count; i++)
		if (strcmp(p->blocks[i].decl->kind, kind) == 0 && index-- == 0)
			return &p->blocks[i];
	return NULL;
}

const struct policy_block *
policy_block_named(const struct policy *p, const char *kind, struct sp_span name)
{
	for (size_t i = 0; i < p->block_count; i++)
		if (strcmp(p->blocks[i].decl->kind, kind) == 0 && span_eq(p->blocks[i].name, name))
			return &p->blocks[i];
	return NULL;
}

struct sp_span
policy_block_name(const struct policy_block *b)
{
	return b->name;
}

struct policy_place
policy_block_place(const struct policy_block *b)
{
	return (struct policy_place){ b->path, b->at.line, b->at.column };
}

static const struct policy_setting *
setting(const struct policy_block *b, const char *key)
{
	const struct policy_setting *s = b->settings;

	while (s->decl != NULL && strcmp(s->decl->key, key) != 0)
		s++;
	MUST(s->decl != NULL);
	return s;
}

size_t
policy_setting_count(const struct policy_block *b, const char *key)
{
	return setting(b, key)->text_count;
}

bool
policy_setting_given(const struct policy_block *b, const char *key)
{
	return setting(b, key)->given;
}

struct policy_place
policy_setting_place(const struct policy_block *b, const char *key)
{
	const struct policy_setting *s = setting(b, key);

	return s->given ? (struct policy_place){ s->path, s->at.line, s->at.column } : policy_block_place(b);
}

int64_t
policy_setting_int(const struct policy_block *b, const char *key)
{
	return setting(b, key)->integer;
}

struct sp_span
policy_setting_text(const struct policy_block *b, const char *key, size_t index)
{
	const struct policy_setting *s = setting(b, key);

	return index < s->text_count ? s->texts[index] : span_of(NULL, 0);
}

static bool
setting_has(const struct policy_setting *s, const struct sp_value *v)
{
	if (s->set != NULL && table_find(s->set, v) != NULL)
		return true;
	for (size_t i = 0; i < s->table_count; i++)
		if (table_find(s->tables[i]->table, v) != NULL)
			return true;
	return false;
}

bool
policy_setting_has_domain(const struct policy_block *b, const char *key, struct sp_span domain)
{
	struct sp_value v = { SP_DOMAIN, { .text = domain } };

	MUST(setting(b, key)->decl->type == POLICY_SET_DOMAINS);
	return setting_has(setting(b, key), &v);
}

bool
policy_setting_has_ip(const struct policy_block *b, const char *key, const struct sp_ip *ip)
{
	struct sp_value v = { SP_IP, { .ip = *ip } };

	MUST(setting(b, key)->decl->type == POLICY_SET_NETS);
	return setting_has(setting(b, key), &v);
}

struct sp_span
policy_setting_find(const struct policy_block *b, const char *key, struct sp_span text)
{
	const struct policy_setting *s = setting(b, key);
	struct sp_value v = { SP_STRING, { .text = text } };
	const struct sp_value *hit;

	MUST(s->decl->type == POLICY_SET_TABLE);
	if (s->table_count == 0 || s->tables[0]->key != SP_STRING || s->tables[0]->value != SP_STRING)
		return span_of(NULL, 0);
	hit = table_find(s->tables[0]->table, &v);
	return hit != NULL ? hit->u.text : span_of(NULL, 0);
}

/* ---- facts, filters, rules ------------------------------------------------------------------------- */

size_t
policy_fact_count(const struct policy *p)
{
	return p->fact_count;
}

const struct sp_fact_ref *
policy_fact(const struct policy *p, unsigned id)
{
	return id < p->fact_count ? p->facts[id] : NULL;
}

size_t
policy_filter_count(const struct policy *p)
{
	return p->filter_count;
}

const struct policy_filter *
policy_filter(const struct policy *p, size_t index)
{
	return index < p->filter_count ? &p->filters[index] : NULL;
}

bool
policy_calls_first(const struct policy *p, size_t index, size_t that)
{
	bool called = false;

	for (size_t i = 0; i < p->rule_count; i++) {
		const struct policy_rule *r = p->rules[i];

		if (r->verb != VERB_FILTER || r->shadow)
			continue;
		if (called && r->filter == index)
			return false;
		called = called || r->filter == that;
	}
	return true;
}

struct sp_span
policy_rule_name(const struct policy_rule *r)
{
	return r->name;
}

struct policy_place
policy_rule_place(const struct policy_rule *r)
{
	return (struct policy_place){ r->path, r->at.line, r->at.column };
}

bool
policy_rule_shadow(const struct policy_rule *r)
{
	return r->shadow;
}

size_t
policy_rule_count(const struct policy *p)
{
	return p->rule_count;
}

const struct policy_rule *
policy_rule(const struct policy *p, size_t index)
{
	return index < p->rule_count ? p->rules[index] : NULL;
}

bool
policy_reads_rcpt(const struct policy *p)
{
	return p->reads_rcpt;
}
