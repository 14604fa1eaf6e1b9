/*
 * dmarc_env.h - a host for the tests of "dmarc": filter_host.h with a small DNS and results of SPF and DKIM.
 */
#ifndef TESTS_UNIT_DMARC_ENV_H
#define TESTS_UNIT_DMARC_ENV_H

#include "tests/unit/filter_host.h"

#include "dmarc/dmarc.h"

enum { ENV_RECORDS_MAX = 32, ENV_RESULTS_MAX = 64 };

/* What a name holds: a text, and its status where it cannot be asked. kind: 't', 'm' (MX) or 'a'. */
struct env_record {
	char kind;
	const char *name, *text;
	enum sp_status status;
};
struct env {
	struct box box; /* first: services find the env by it */
	struct sp_host host;
	struct dmarc_conf conf;
	struct env_record dns[ENV_RECORDS_MAX];
	size_t dns_count, asked;
	struct sp_auth_result results[ENV_RESULTS_MAX], stated;
	struct sp_auth_prop props[ENV_RESULTS_MAX];
	size_t result_count;
	char reason[256], from[256];
};

static inline struct env *
env_of(struct sp_ctx *ctx)
{
	return (struct env *)(void *)ctx;
}

static inline enum sp_status
env_ask(struct sp_ctx *ctx, char kind, struct sp_span name, struct sp_names *ret)
{
	struct env *e = env_of(ctx);
	struct sp_span *items = sp_alloc(ctx, ENV_RECORDS_MAX * sizeof(*items));
	size_t count = 0;

	e->asked++;
	if (name.len == 0 || name.len > DOMAIN_MAX)
		return SP_INVALID; /* as the gateway's own DNS says of what is no name */
	for (size_t i = 0; i < e->dns_count; i++) {
		if (e->dns[i].kind != kind || !text_same(name, text_of(e->dns[i].name)))
			continue;
		if (e->dns[i].status != SP_OK)
			return e->dns[i].status;
		items[count++] = text_of(e->dns[i].text);
	}
	*ret = (struct sp_names){ items, count };
	return count > 0 ? SP_OK : SP_NONE;
}

static inline enum sp_status
env_dns_txt(struct sp_ctx *ctx, struct sp_span name, struct sp_names *ret)
{
	return env_ask(ctx, 't', name, ret);
}

static inline enum sp_status
env_dns_texts(struct sp_ctx *ctx, const struct sp_span *names, size_t count, struct sp_texts *ret)
{
	for (size_t i = 0; i < count; i++)
		ret[i].status = env_ask(ctx, 't', names[i], &ret[i].names);
	return SP_OK;
}

static inline enum sp_status
env_dns_mx(struct sp_ctx *ctx, struct sp_span name, struct sp_mxs *ret)
{
	struct sp_names names;

	*ret = (struct sp_mxs){ NULL, 0 };
	return env_ask(ctx, 'm', name, &names);
}

static inline enum sp_status
env_dns_addrs(struct sp_ctx *ctx, struct sp_span name, struct sp_addrs *ret)
{
	struct sp_names names;

	*ret = (struct sp_addrs){ NULL, 0 };
	return env_ask(ctx, 'a', name, &names);
}

static inline enum sp_status
env_result_get(struct sp_ctx *ctx, size_t index, struct sp_auth_result *ret)
{
	struct env *e = env_of(ctx);

	if (index >= e->result_count)
		return SP_NONE;
	*ret = e->results[index];
	return SP_OK;
}

static inline enum sp_status
env_result_add(struct sp_ctx *ctx, const struct sp_auth_result *r)
{
	struct env *e = env_of(ctx);

	e->stated = *r;
	snprintf(e->reason, sizeof(e->reason), "%.*s", (int)r->reason.len, r->reason.len > 0 ? r->reason.ptr : "");
	e->from[0] = '\0';
	if (r->prop_count > 0)
		snprintf(e->from, sizeof(e->from), "%s.%s=%.*s", r->props[0].ptype, r->props[0].name,
			(int)r->props[0].value.len, r->props[0].value.ptr);
	return SP_OK;
}

static inline void
env_dns(struct env *e, char kind, const char *name, const char *text)
{
	assert_true(e->dns_count < ENV_RECORDS_MAX);
	e->dns[e->dns_count++] = (struct env_record){ kind, name, text, SP_OK };
}

static inline void
env_dns_fails(struct env *e, char kind, const char *name)
{
	assert_true(e->dns_count < ENV_RECORDS_MAX);
	e->dns[e->dns_count++] = (struct env_record){ kind, name, NULL, SP_TEMPFAIL };
}

/* A result with one property, such as "smtp", "mailfrom". */
static inline void
env_result(struct env *e, const char *method, const char *result, const char *ptype_name, const char *value)
{
	struct sp_auth_prop *p = &e->props[e->result_count];

	assert_true(e->result_count < ENV_RESULTS_MAX);
	*p = (struct sp_auth_prop){ "smtp", ptype_name, text_of(value) };
	if (strcmp(method, "dkim") == 0)
		p->ptype = "header";
	e->results[e->result_count++] = (struct sp_auth_result){ method, result, { NULL, 0 }, p, 1 };
}

static inline void
env_spf(struct env *e, const char *result, const char *mailfrom)
{
	env_result(e, "spf", result, "mailfrom", mailfrom);
}

static inline void
env_dkim(struct env *e, const char *result, const char *domain)
{
	env_result(e, "dkim", result, "d", domain);
}

extern const struct sp_filter sp_filter_dmarc;

/* The list is the system's, so tests of the list name suffixes that every list has. */
static inline void
env_init(struct env *e, enum org_way way, const char *reports)
{
	struct dmarc_conf conf = { .discovery = way, .reports = reports };

	memset(e, 0, sizeof(*e));
	e->conf = conf;
	assert_int_equal(box_init(&e->box, &sp_filter_dmarc, &e->conf, NULL, 0), SP_OK);
	e->host = box_host;
	e->host.dns_txt = env_dns_txt;
	e->host.dns_texts = env_dns_texts;
	e->host.dns_mx = env_dns_mx;
	e->host.dns_addrs = env_dns_addrs;
	e->host.result_get = env_result_get;
	e->host.result_add = env_result_add;
	e->box.ctx.host = &e->host;
}

static inline void
env_fini(struct env *e)
{
	box_fini(&e->box, &e->conf, NULL);
}

#endif
