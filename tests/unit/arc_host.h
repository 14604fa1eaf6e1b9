/*
 * arc_host.h - the host in a box (filter_host.h) with what the module "arc" asks for besides: a DNS with one key, results,
 * a table of trusted sealers, fields put on top of the message; and keys that sign.
 *
 * One struct arc_box is one use of the module; the message lives in it.
 */
#ifndef TESTS_UNIT_ARC_HOST_H
#define TESTS_UNIT_ARC_HOST_H

#include "tests/unit/filter_host.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arc/arc.h"
#include "mailauth/text.h"

SP_EXTERN const struct sp_filter sp_filter_arc;

/* As arc.c lays it out. */
struct arc_conf {
	const struct sp_table *trusted;
	const char *keys;
	struct sp_span domain;
	struct keytable *table;
	const struct keytable_key *key;
	struct sp_span sealer;
};
enum { FACT_RESULT, FACT_SEALERS, FACT_TRUSTED, FACT_DMARC, FACT_OLDEST, FACT_INSTANCES };

struct sp_table {
	const char *const *names; /* null-ended */
};

enum { ARC_TEXT = 1 << 20 };

struct arc_box {
	struct box box; /* first: services find it by the context */
	struct sp_host host;
	struct arc_conf conf;
	const char *record;        /* of every key */
	enum sp_status dns, dns_call; /* of each question; of the call */
	size_t asked, calls, result_count;
	char result[512];
	const char *above;         /* a result that another use has stated */
	const char *results;       /* what the host states of the message; null: that dmarc passed */
	size_t gets;               /* header fields that were read */
	size_t turns;              /* that others were given */
	enum sp_status turn;       /* what sp_sleep() says */
	char text[ARC_TEXT];       /* the message */
	size_t len;
};

static inline struct arc_box *
arc_box_of(struct sp_ctx *ctx)
{
	return (struct arc_box *)(void *)ctx;
}

/* ---- services --------------------------------------------------------------------------------- */

static inline enum sp_status
arc_box_texts(struct sp_ctx *ctx, const struct sp_span *names, size_t count, struct sp_texts *ret)
{
	struct arc_box *b = arc_box_of(ctx);

	b->calls++;
	b->asked += count;
	assert_true(count <= 32);
	for (size_t i = 0; i < count; i++) {
		struct sp_span *text = box_take(&b->box, sizeof(*text));

		*text = box_span(b->record);
		assert_true(names[i].len > strlen("s._domainkey."));
		ret[i].status = b->dns;
		ret[i].names.items = text;
		ret[i].names.count = 1;
	}
	return b->dns_call;
}

static inline enum sp_status
arc_box_result_add(struct sp_ctx *ctx, const struct sp_auth_result *r)
{
	struct arc_box *b = arc_box_of(ctx);
	int len = snprintf(b->result, sizeof(b->result), "%s=%s (%.*s)", r->method, r->result, (int)r->reason.len,
		r->reason.len > 0 ? r->reason.ptr : "");

	for (size_t i = 0; i < r->prop_count; i++)
		len += snprintf(b->result + len, sizeof(b->result) - (size_t)len, " %s.%s=%.*s", r->props[i].ptype,
			r->props[i].name, (int)r->props[i].value.len, r->props[i].value.ptr);
	b->result_count++;
	return SP_OK;
}

static inline enum sp_status
arc_box_result_get(struct sp_ctx *ctx, size_t index, struct sp_auth_result *ret)
{
	struct arc_box *b = arc_box_of(ctx);

	if (b->above == NULL || index > 0)
		return SP_NONE;
	*ret = (struct sp_auth_result){ .method = b->above, .result = "pass" };
	return SP_OK;
}

static inline struct sp_span
arc_box_results(struct sp_ctx *ctx)
{
	const char *text = arc_box_of(ctx)->results;

	return box_span(text != NULL ? text : "mx.example;\r\n\tdmarc=pass header.from=author.example");
}

static inline enum sp_status
arc_box_header_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	arc_box_of(ctx)->gets++;
	return box_header_get(ctx, index, ret);
}

static inline enum sp_status
arc_box_sleep(struct sp_ctx *ctx, int64_t ms)
{
	assert_int_equal(ms, 0);
	arc_box_of(ctx)->turns++;
	return arc_box_of(ctx)->turn;
}

static inline bool
arc_box_has(const struct sp_table *table, const struct sp_value *key)
{
	for (size_t i = 0; table->names[i] != NULL; i++)
		if (text_is(box_span(table->names[i]), key->u.text))
			return true;
	return false;
}

/* On top of the message, which header_get() goes on to give as it was. */
static inline enum sp_status
arc_box_insert(struct sp_ctx *ctx, size_t index, const char *name, struct sp_span value)
{
	struct arc_box *b = arc_box_of(ctx);
	size_t len = strlen(name) + 2 + value.len + 2;
	char *field = box_take(&b->box, len + 1), *copy;

	assert_int_equal(index, 0);
	snprintf(field, len + 1, "%s: %.*s\r\n", name, (int)value.len, value.ptr);
	assert_true(b->len + len < sizeof(b->text));
	copy = box_take(&b->box, b->len + 1);
	memcpy(copy, b->text, b->len);
	memcpy(b->text, field, len);
	memcpy(b->text + len, copy, b->len);
	b->len += len;
	return SP_OK;
}

/* ---- the life of a use ------------------------------------------------------------------------ */

static inline enum sp_status
arc_box_init(struct arc_box *b, const char *record)
{
	enum sp_status st;

	b->host = box_host;
	b->host.dns_texts = arc_box_texts;
	b->host.result_add = arc_box_result_add;
	b->host.result_get = arc_box_result_get;
	b->host.results_text = arc_box_results;
	b->host.header_get = arc_box_header_get;
	b->host.sleep = arc_box_sleep;
	b->host.header_insert = arc_box_insert;
	b->host.table_has = arc_box_has;
	st = box_init(&b->box, &sp_filter_arc, &b->conf, NULL, 0);
	b->box.ctx.host = &b->host;
	b->record = record;
	return st;
}

static inline void
arc_box_fini(struct arc_box *b)
{
	box_fini(&b->box, &b->conf, NULL);
}

/* One transaction up to the end of the message; arc_box_reset() ends it. */
static inline enum sp_status
arc_box_see(struct arc_box *b, const char *text, size_t len)
{
	struct sp_connect connect = { .client = { 4, { 192, 0, 2, 1 } }, .port = 40000 };
	const struct sp_filter *f = b->box.filter;
	char *copy = box_take(&b->box, len + 1);

	memcpy(copy, text, len);
	assert_true(len < sizeof(b->text));
	memcpy(b->text, copy, len + 1);
	b->len = len;
	b->asked = b->calls = b->result_count = b->gets = 0;
	b->result[0] = '\0';
	b->box.stated_count = 0;
	assert_int_equal(f->on_connect(&b->box.ctx, &connect), SP_OK);
	assert_int_equal(box_mail(&b->box, -1), SP_OK);
	return box_message(&b->box, (struct sp_span){ copy, len });
}

static inline enum sp_status
arc_box_final(struct arc_box *b)
{
	struct sp_final ev = { b->box.field_count, (int64_t)b->len };

	return b->box.filter->on_final(&b->box.ctx, &ev);
}

static inline void
arc_box_reset(struct arc_box *b)
{
	b->box.filter->on_reset(&b->box.ctx);
}

/* ---- keys ------------------------------------------------------------------------------------- */

/* An RSA key, a table that names it for "domain" with the selector "s", and its record; path: of the table. */
struct arc_box_key {
	char folder[64], path[128], pem[128], record[1024];
};

static inline void
arc_box_key_make(struct arc_box_key *k, const char *domain)
{
	EVP_PKEY *key = EVP_RSA_gen(1024);
	unsigned char *der = NULL;
	char base64[900];
	FILE *f;
	int len;

	assert_non_null(key);
	snprintf(k->folder, sizeof(k->folder), "/tmp/sallyport-arc.XXXXXX");
	assert_non_null(mkdtemp(k->folder));
	snprintf(k->path, sizeof(k->path), "%s/keys", k->folder);
	snprintf(k->pem, sizeof(k->pem), "%s/key.pem", k->folder);
	f = fopen(k->pem, "w");
	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(k->pem, 0600), 0);
	f = fopen(k->path, "w");
	assert_non_null(f);
	fprintf(f, "%s s key.pem\n", domain);
	assert_int_equal(fclose(f), 0);
	len = i2d_PUBKEY(key, &der);
	assert_true(len > 0 && len < 600);
	EVP_EncodeBlock((unsigned char *)base64, der, len);
	snprintf(k->record, sizeof(k->record), "v=DKIM1; p=%s", base64);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
}

static inline void
arc_box_key_remove(struct arc_box_key *k)
{
	unlink(k->pem);
	unlink(k->path);
	rmdir(k->folder);
}

#endif
