/*
 * spf_env.h - the module spf in a box with a DNS: the zone of a test, or whatever the test puts in the place of zone_ask().
 *
 * A zone is a list of names with their records; one name may stand in it several times.  Questions are counted.
 */
#ifndef TESTS_UNIT_SPF_ENV_H
#define TESTS_UNIT_SPF_ENV_H

#include "tests/unit/filter_host.h"

#include "spf/check.h"

enum spf_env_type { ZONE_TXT, ZONE_A, ZONE_AAAA, ZONE_MX, ZONE_PTR };

/* value of A and AAAA: the octets. status not SP_OK: the answer to any such question. */
struct spf_env_record {
	const char *name;
	enum spf_env_type type;
	const char *value;
	size_t len;
	enum sp_status status;
};
#define ZONE(name, type, text) { name, type, "" text, sizeof(text) - 1, SP_OK }
#define ZONE_FAILS(name, type, status) { name, type, NULL, 0, status }

enum { SPF_ENV_RESULTS_MAX = 8, SPF_ENV_VALUE = 256 };

struct spf_env_result {
	char result[16], reason[64], property[16], value[SPF_ENV_VALUE];
};

/* Finds the records of a name; SP_NONE: none. The spans live as long as the box. */
typedef enum sp_status spf_env_ask(void *arg, struct sp_span name, enum spf_env_type type, struct sp_names *ret);

struct spf_env {
	struct box box; /* first: services find the rest by it */
	spf_env_ask *ask;
	void *arg;
	const struct spf_env_record *zone;
	size_t zone_count;
	unsigned asked;
	int64_t each_ms; /* that a question takes */
	struct spf_env_result results[SPF_ENV_RESULTS_MAX];
	size_t result_count;
	bool trusted; /* what table_has() says */
	struct sp_ip connected;
	char header[4096];
};

/* The module's configuration, as spf.c lays it out. */
struct spf_env_conf {
	const struct sp_table *trusted;
	bool check_helo, received_spf;
};

extern const struct sp_filter sp_filter_spf;

static inline struct spf_env *
spf_env_of(struct sp_ctx *ctx)
{
	return (struct spf_env *)(void *)ctx;
}

static inline enum sp_status
spf_env_zone(void *arg, struct sp_span name, enum spf_env_type type, struct sp_names *ret)
{
	struct spf_env *e = arg;
	struct sp_span *items = box_take(&e->box, (e->zone_count + 1) * sizeof(*items));
	size_t count = 0;

	for (size_t i = 0; i < e->zone_count; i++) {
		const struct spf_env_record *r = &e->zone[i];

		if (r->type != type || strlen(r->name) != name.len || strncasecmp(r->name, name.ptr, name.len) != 0)
			continue;
		if (r->status != SP_OK)
			return r->status;
		items[count++] = (struct sp_span){ r->value, r->len };
	}
	*ret = (struct sp_names){ items, count };
	return count > 0 ? SP_OK : SP_NONE;
}

static inline enum sp_status
spf_env_question(struct sp_ctx *ctx, struct sp_span name, enum spf_env_type type, struct sp_names *ret)
{
	struct spf_env *e = spf_env_of(ctx);

	if (name.len == 0 || name.len > 253)
		return SP_INVALID;
	e->asked++;
	e->box.now_ms += e->each_ms;
	return e->ask(e->arg, name, type, ret);
}

/* ---- services --------------------------------------------------------------------------------- */

static inline enum sp_status
spf_env_dns_txt(struct sp_ctx *ctx, struct sp_span name, struct sp_names *ret)
{
	return spf_env_question(ctx, name, ZONE_TXT, ret);
}

static inline enum sp_status
spf_env_dns_ips(struct sp_ctx *ctx, struct sp_span name, int family, struct sp_addrs *ret)
{
	struct sp_names found;
	enum sp_status st = spf_env_question(ctx, name, family == 4 ? ZONE_A : ZONE_AAAA, &found);
	struct sp_ip *items;

	if (st != SP_OK)
		return st;
	items = box_take(box_of(ctx), found.count * sizeof(*items));
	for (size_t i = 0; i < found.count; i++) {
		items[i].family = (uint8_t)family;
		memcpy(items[i].bytes, found.items[i].ptr, found.items[i].len < 16 ? found.items[i].len : 16);
	}
	*ret = (struct sp_addrs){ items, found.count };
	return SP_OK;
}

static inline enum sp_status
spf_env_dns_mx(struct sp_ctx *ctx, struct sp_span name, struct sp_mxs *ret)
{
	struct sp_names found;
	enum sp_status st = spf_env_question(ctx, name, ZONE_MX, &found);
	struct sp_mx *items;

	if (st != SP_OK)
		return st;
	items = box_take(box_of(ctx), found.count * sizeof(*items));
	for (size_t i = 0; i < found.count; i++)
		items[i] = (struct sp_mx){ (uint16_t)i, found.items[i] };
	*ret = (struct sp_mxs){ items, found.count };
	return SP_OK;
}

static inline enum sp_status
spf_env_dns_ptr(struct sp_ctx *ctx, const struct sp_ip *ip, struct sp_names *ret)
{
	char name[80] = "ptr6";

	if (ip->family == 4)
		snprintf(name, sizeof(name), "%u.%u.%u.%u.in-addr.arpa", ip->bytes[3], ip->bytes[2], ip->bytes[1], ip->bytes[0]);
	return spf_env_question(ctx, box_span(name), ZONE_PTR, ret);
}

static inline bool
spf_env_table_has(const struct sp_table *table, const struct sp_value *key)
{
	assert_int_equal(key->type, SP_IP);
	return ((const struct spf_env *)(const void *)table)->trusted;
}

static inline enum sp_status
spf_env_result_add(struct sp_ctx *ctx, const struct sp_auth_result *r)
{
	struct spf_env *e = spf_env_of(ctx);
	struct spf_env_result *to = &e->results[e->result_count];

	assert_true(e->result_count++ < SPF_ENV_RESULTS_MAX);
	assert_string_equal(r->method, "spf");
	assert_int_equal(r->prop_count, 1);
	assert_string_equal(r->props[0].ptype, "smtp");
	snprintf(to->result, sizeof(to->result), "%s", r->result);
	snprintf(to->reason, sizeof(to->reason), "%.*s", (int)r->reason.len, r->reason.len > 0 ? r->reason.ptr : "");
	snprintf(to->property, sizeof(to->property), "%s", r->props[0].name);
	snprintf(to->value, sizeof(to->value), "%.*s", (int)r->props[0].value.len,
		r->props[0].value.len > 0 ? r->props[0].value.ptr : "");
	return SP_OK;
}

static inline struct sp_span
spf_env_auth_id(struct sp_ctx *ctx)
{
	(void)ctx;
	return box_span("mx.example.com");
}

static inline enum sp_status
spf_env_header_insert(struct sp_ctx *ctx, size_t index, const char *name, struct sp_span value)
{
	struct spf_env *e = spf_env_of(ctx);

	assert_int_equal(index, 0);
	snprintf(e->header, sizeof(e->header), "%s: %.*s", name, (int)value.len, value.ptr);
	return SP_OK;
}

/* ---- the life of a use --------------------------------------------------------------------------- */

static struct sp_host spf_env_host;

static inline void
spf_env_init(struct spf_env *e, struct spf_env_conf *conf)
{
	memset(e, 0, sizeof(*e));
	assert_int_equal(box_init(&e->box, &sp_filter_spf, conf, NULL, 0), SP_OK);
	spf_env_host = box_host;
	spf_env_host.dns_txt = spf_env_dns_txt;
	spf_env_host.dns_ips = spf_env_dns_ips;
	spf_env_host.dns_mx = spf_env_dns_mx;
	spf_env_host.dns_ptr = spf_env_dns_ptr;
	spf_env_host.table_has = spf_env_table_has;
	spf_env_host.result_add = spf_env_result_add;
	spf_env_host.auth_id = spf_env_auth_id;
	spf_env_host.header_insert = spf_env_header_insert;
	e->box.ctx.host = &spf_env_host;
	e->ask = spf_env_zone;
	e->arg = e;
}

static inline void
spf_env_fini(struct spf_env *e, struct spf_env_conf *conf)
{
	box_fini(&e->box, conf, NULL);
}

/* A new session for another client. */
static inline void
spf_env_connect(struct spf_env *e, struct sp_ip client)
{
	struct sp_connect connect = { .client = client };

	if (e->box.ctx.session != NULL && memcmp(&e->connected, &client, sizeof(client)) == 0)
		return;
	e->connected = client;
	e->box.ctx.session = box_take(&e->box, sp_filter_spf.session_size);
	assert_int_equal(sp_filter_spf.on_connect(&e->box.ctx, &connect), SP_OK);
}

/* Connect, HELO and MAIL. sender "": <>. */
static inline void
spf_env_mail(struct spf_env *e, struct sp_ip client, const char *helo, const char *sender)
{
	const char *at = strrchr(sender, '@');
	struct sp_helo ehlo = { .name = box_span(helo), .esmtp = true, .client = client };
	struct sp_mail mail = { .address = box_span(sender), .size = -1 };

	if (at != NULL) {
		mail.local = (struct sp_span){ sender, (size_t)(at - sender) };
		mail.domain = box_span(at + 1);
	}
	e->box.stated_count = 0;
	e->result_count = 0;
	e->asked = 0;
	e->box.ctx.tx = NULL;
	spf_env_connect(e, client);
	assert_int_equal(sp_filter_spf.on_helo(&e->box.ctx, &ehlo), SP_OK);
	e->box.ctx.tx = box_take(&e->box, sp_filter_spf.tx_size);
	assert_int_equal(sp_filter_spf.on_mail(&e->box.ctx, &mail), SP_OK);
}

/* The word of an enum fact, by its place among the facts; "unset". */
static inline const char *
spf_env_word(const struct spf_env *e, unsigned fact)
{
	const struct sp_value *v = box_fact(&e->box, -1, fact);

	return v == NULL ? "unset" : sp_filter_spf.facts[fact].words[v->u.integer];
}

static inline struct sp_span
spf_env_text(const struct spf_env *e, unsigned fact)
{
	const struct sp_value *v = box_fact(&e->box, -1, fact);

	return v == NULL ? box_span("unset") : v->u.text;
}

static inline struct sp_ip
spf_env_ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct sp_ip){ 4, { a, b, c, d } };
}

enum { SPF_RESULT, SPF_DOMAIN, SPF_IDENTITY, SPF_EXPLANATION, SPF_HELO }; /* as spf.c numbers its facts */

#endif
