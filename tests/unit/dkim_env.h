/*
 * dkim_env.h - a world for the tests of the module "dkim": keys, a signer that makes what it is told to make, and a host
 * that answers for the DNS and takes down what was asked and what results were stated.
 *
 * The signer hashes what it is given, in simple form: it shares no code with what verifies.
 */
#ifndef TESTS_UNIT_DKIM_ENV_H
#define TESTS_UNIT_DKIM_ENV_H

#include "tests/unit/filter_host.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "dkim/verify.h"
#include "mailauth/domain.h"

extern const struct sp_filter sp_filter_dkim;

enum { WORLD_RECORDS = 256, WORLD_ASKED = 64, WORLD_RESULTS = 64, WORLD_TEXT = 1 << 18 };

struct world_record {
	const char *name;
	enum sp_status status;
	struct sp_span texts[2];
	size_t count;
};
struct world_result {
	char result[16], reason[128], d[300], s[100], a[32], b[16];
};
struct world {
	struct box box; /* first: services find the world by it */
	struct sp_host host;
	struct dkim_conf conf;
	struct world_record records[WORLD_RECORDS];
	size_t record_count;
	char asked[WORLD_ASKED][DOMAIN_MAX + 1];
	size_t asked_count, calls;
	enum sp_status call_status; /* of dns_texts() itself */
	struct world_result results[WORLD_RESULTS];
	size_t result_count;
	long allocs; /* how many more succeed; -1: all */
};

/* ---- services ------------------------------------------------------------------------------------ */

static inline struct world *
world_of(struct sp_ctx *ctx)
{
	return (struct world *)(void *)box_of(ctx);
}

static inline void *
world_alloc(struct sp_ctx *ctx, size_t size)
{
	struct world *w = world_of(ctx);

	if (w->allocs == 0)
		return NULL;
	if (w->allocs > 0)
		w->allocs--;
	return box_take(&w->box, size);
}

static inline void
world_answer(struct world *w, struct sp_span name, struct sp_texts *ret)
{
	assert_true(w->asked_count < WORLD_ASKED);
	snprintf(w->asked[w->asked_count++], DOMAIN_MAX + 1, "%.*s", (int)name.len, name.ptr);
	*ret = (struct sp_texts){ .status = SP_NONE };
	for (size_t i = 0; i < w->record_count; i++) {
		const struct world_record *r = &w->records[i];

		if (strlen(r->name) != name.len || memcmp(r->name, name.ptr, name.len) != 0)
			continue;
		ret->status = r->status;
		ret->names = (struct sp_names){ r->texts, r->count };
	}
}

static inline enum sp_status
world_dns_texts(struct sp_ctx *ctx, const struct sp_span *names, size_t count, struct sp_texts *ret)
{
	struct world *w = world_of(ctx);

	assert_true(count > 0 && count <= 32);
	w->calls++;
	for (size_t i = 0; i < count && w->call_status == SP_OK; i++)
		world_answer(w, names[i], &ret[i]);
	return w->call_status;
}

static inline void
world_prop(char *to, size_t size, const struct sp_auth_prop *p)
{
	snprintf(to, size, "%.*s", (int)p->value.len, p->value.ptr);
}

static inline enum sp_status
world_result_add(struct sp_ctx *ctx, const struct sp_auth_result *r)
{
	struct world *w = world_of(ctx);
	struct world_result *to;

	if (w->result_count == WORLD_RESULTS)
		return SP_LIMIT;
	to = &w->results[w->result_count++];
	memset(to, 0, sizeof(*to));
	assert_string_equal(r->method, "dkim");
	snprintf(to->result, sizeof(to->result), "%s", r->result);
	snprintf(to->reason, sizeof(to->reason), "%.*s", (int)r->reason.len, r->reason.len > 0 ? r->reason.ptr : "");
	for (size_t i = 0; i < r->prop_count; i++) {
		const struct sp_auth_prop *p = &r->props[i];

		assert_string_equal(p->ptype, "header");
		switch (p->name[0]) {
		case 'd':
			world_prop(to->d, sizeof(to->d), p);
			break;
		case 's':
			world_prop(to->s, sizeof(to->s), p);
			break;
		case 'a':
			world_prop(to->a, sizeof(to->a), p);
			break;
		default:
			assert_string_equal(p->name, "b");
			world_prop(to->b, sizeof(to->b), p);
		}
	}
	return SP_OK;
}

/* ---- the world ------------------------------------------------------------------------------------- */

static inline struct world *
world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->conf = (struct dkim_conf){ .min_rsa = 1024, .max_signatures = 10 };
	w->allocs = -1;
	assert_int_equal(box_init(&w->box, &sp_filter_dkim, &w->conf, NULL, 0), SP_OK);
	w->host = box_host;
	w->host.alloc = world_alloc;
	w->host.dns_texts = world_dns_texts;
	w->host.result_add = world_result_add;
	w->box.ctx.host = &w->host;
	return w;
}

static inline void
world_free(struct world *w)
{
	box_fini(&w->box, &w->conf, NULL);
	free(w);
}

static inline void
world_publish(struct world *w, const char *name, const char *text)
{
	struct world_record *r = &w->records[w->record_count++];

	assert_true(w->record_count <= WORLD_RECORDS);
	*r = (struct world_record){ .name = name, .status = SP_OK, .texts = { box_span(text) }, .count = 1 };
}

static inline void
world_fails(struct world *w, const char *name, enum sp_status status)
{
	w->records[w->record_count++] = (struct world_record){ .name = name, .status = status };
}

static inline void
world_begin(struct world *w)
{
	w->box.stated_count = w->asked_count = w->calls = w->result_count = 0;
	w->box.logs[0] = '\0';
	assert_int_equal(box_mail(&w->box, -1), SP_OK);
}

static inline void
world_reset(struct world *w)
{
	w->box.filter->on_reset(&w->box.ctx);
	w->box.ctx.tx = NULL;
}

/* One whole transaction. */
static inline enum sp_status
world_send_span(struct world *w, struct sp_span message)
{
	enum sp_status st;

	world_begin(w);
	st = box_message(&w->box, message);
	world_reset(w);
	return st;
}

static inline void
world_send(struct world *w, const char *message)
{
	assert_int_equal(world_send_span(w, box_span(message)), SP_OK);
}

/* ---- what it stated ---------------------------------------------------------------------------------- */

static inline bool
knows(const struct world *w, unsigned fact)
{
	return box_fact(&w->box, -1, fact) != NULL;
}

static inline bool
flag(const struct world *w, unsigned fact)
{
	const struct sp_value *v = box_fact(&w->box, -1, fact);

	assert_non_null(v);
	assert_int_equal(v->type, SP_BOOL);
	return v->u.boolean;
}

static inline int64_t
number(const struct world *w, unsigned fact)
{
	const struct sp_value *v = box_fact(&w->box, -1, fact);

	assert_non_null(v);
	return v->u.integer;
}

/* All of what a message with one signature, or none, leads to. */
static inline void
assert_verdict(const struct world *w, const char *result, const char *reason)
{
	assert_true(w->result_count > 0);
	assert_string_equal(w->results[0].result, result);
	assert_string_equal(w->results[0].reason, reason);
	assert_string_equal(verdict_words[number(w, FACT_RESULT)], result);
	if (strcmp(result, "temperror") == 0) {
		assert_false(knows(w, FACT_PASS));
		assert_false(knows(w, FACT_DOMAINS));
		return;
	}
	assert_int_equal(flag(w, FACT_PASS), strcmp(result, "pass") == 0);
	assert_int_equal(box_fact(&w->box, -1, FACT_DOMAINS)->u.set.count, strcmp(result, "pass") == 0);
}

/* ---- keys -------------------------------------------------------------------------------------------- */

static inline void
base64(char *to, const unsigned char *octets, size_t len)
{
	EVP_EncodeBlock((unsigned char *)to, octets, (int)len);
}

static inline void
key_record(char *to, size_t size, const char *tags, EVP_PKEY *key)
{
	char p[2048];
	unsigned char *der = NULL, raw[32];
	size_t len = sizeof(raw);

	if (EVP_PKEY_is_a(key, "RSA")) {
		int der_len = i2d_PUBKEY(key, &der);

		assert_true(der_len > 0 && der_len < 1500);
		base64(p, der, (size_t)der_len);
		OPENSSL_free(der);
	} else {
		assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
		base64(p, raw, len);
	}
	assert_true((size_t)snprintf(to, size, "%sp=%s", tags, p) < size);
}

/* ---- the signer ---------------------------------------------------------------------------------------- */

struct job {
	EVP_PKEY *key;
	const char *algorithm; /* null: rsa-sha256 */
	const char *domain, *selector; /* null: example.org, s */
	const char *names;     /* null: from:subject */
	const char *tags;      /* further ones, "l=0; " */
	const char *form;      /* null: simple/simple */
	const char *body;      /* what of it is hashed */
};

/* The last field of that name in the header, with its line end. */
static inline struct sp_span
find_field(const char *header, struct sp_span name)
{
	struct sp_span found = { NULL, 0 };

	while (*header != '\0' && *header != '\r') {
		const char *end = strstr(header, "\r\n");

		assert_non_null(end);
		if (strncasecmp(header, name.ptr, name.len) == 0 && header[name.len] == ':')
			found = (struct sp_span){ header, (size_t)(end + 2 - header) };
		header = end + 2;
	}
	return found;
}

static inline void
gather(char *to, size_t size, const char *header, const char *names)
{
	to[0] = '\0';
	while (*names != '\0') {
		size_t len = strcspn(names, ":"), at = strlen(to);
		struct sp_span field = find_field(header, (struct sp_span){ names, len });

		if (field.ptr != NULL)
			snprintf(to + at, size - at, "%.*s", (int)field.len, field.ptr);
		names += len + (names[len] == ':');
	}
}

static inline size_t
make_signature(const struct job *j, const char *text, const EVP_MD *md, unsigned char sig[static 1024])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool rsa = EVP_PKEY_is_a(j->key, "RSA");
	const unsigned char *what = (const unsigned char *)text;
	size_t len = strlen(text), sig_len = 1024;
	unsigned hash_len;

	if (!rsa) {
		assert_int_equal(EVP_Digest(text, len, hash, &hash_len, md, NULL), 1);
		what = hash;
		len = hash_len;
	}
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, rsa ? md : NULL, NULL, j->key), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &sig_len, what, len), 1);
	EVP_MD_CTX_free(ctx);
	return sig_len;
}

static inline const char *
or_else(const char *text, const char *fallback)
{
	return text != NULL ? text : fallback;
}

/* A DKIM-Signature with its line end, for this header (its fields, unfolded), written to `to`. */
static inline void
sign(const struct job *j, const char *header, char *to, size_t size)
{
	const char *algorithm = or_else(j->algorithm, "rsa-sha256"), *names = or_else(j->names, "from:subject");
	const EVP_MD *md = strstr(algorithm, "sha1") != NULL ? EVP_sha1() : EVP_sha256();
	unsigned char hash[EVP_MAX_MD_SIZE], sig[1024];
	char text[16384], bh[128], b[2048];
	unsigned len;
	size_t at;

	assert_int_equal(EVP_Digest(j->body, strlen(j->body), hash, &len, md, NULL), 1);
	base64(bh, hash, len);
	gather(text, sizeof(text), header, names);
	snprintf(to, size, "DKIM-Signature: v=1; a=%s; c=%s; d=%s; s=%s; %sh=%s; bh=%s; b=", algorithm,
		or_else(j->form, "simple/simple"), or_else(j->domain, "example.org"), or_else(j->selector, "s"),
		or_else(j->tags, ""), names, bh);
	at = strlen(text);
	snprintf(text + at, sizeof(text) - at, "%s", to);
	base64(b, sig, make_signature(j, text, md, sig));
	at = strlen(to);
	snprintf(to + at, size - at, "%s\r\n", b);
}

#endif
