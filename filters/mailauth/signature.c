/*
 * signature.c - signatures over a message: reading them, what they are over, making and checking them (see
 * signature.h).  RFC 6376 3.5, 3.7, 5.4.2; RFC 8301; RFC 8463; RFC 8617 4.1.2.
 *
 * Heap is taken while the header is hashed only, for the list of its fields.  OpenSSL's queue of errors is empty when a
 * function returns.
 */
#include "mailauth/signature.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mailauth/base64.h"
#include "mailauth/tags.h"
#include "mailauth/text.h"

enum { FIELDS_MAX = 1 << 17 /* of a message */ };

/* ---- reading: one tag each; a sentence where it is wrong --------------------------------------------------- */

static const char *
parse_version(const struct tags *t, enum signature_kind kind)
{
	struct sp_span v;
	bool given = tags_get(t, "v", &v);

	if (kind == SIGNATURE_DKIM && (!given || !text_is(v, TEXT("1"))))
		return "v= is not 1";
	return NULL;
}

static const char *
parse_algorithm(const struct tags *t, struct signature *ret)
{
	struct sp_span a;

	if (!tags_get(t, "a", &a))
		return "there is no a=";
	if (text_is(a, TEXT("rsa-sha256")) || text_is(a, TEXT("rsa-sha1")))
		ret->type = KEY_RSA;
	else if (text_is(a, TEXT("ed25519-sha256")))
		ret->type = KEY_ED25519;
	else
		return "a= is no algorithm that is known";
	ret->sha1 = text_is(a, TEXT("rsa-sha1"));
	return NULL;
}

static bool
parse_canon(struct sp_span word, enum canon *ret)
{
	if (text_is(word, TEXT("simple")))
		*ret = CANON_SIMPLE;
	else if (text_is(word, TEXT("relaxed")))
		*ret = CANON_RELAXED;
	else
		return false;
	return true;
}

static const char *
parse_forms(const struct tags *t, struct signature *ret)
{
	struct sp_span c;
	size_t slash;

	ret->header = ret->body = CANON_SIMPLE;
	ret->forms = tags_get(t, "c", &c);
	if (!ret->forms)
		return NULL;
	slash = text_find(c, '/');
	if (!parse_canon(text_head(c, slash), &ret->header) ||
		(slash < c.len && !parse_canon(text_from(c, slash + 1), &ret->body)))
		return "c= is no canonical form";
	return NULL;
}

/* The name that the key is asked by is checked as a whole: it is short enough then, too. */
static const char *
parse_where(const struct tags *t, struct signature *ret)
{
	char memory[DOMAIN_MAX + 1];
	struct writer w;

	if (!tags_get(t, "d", &ret->domain) || !domain_ok(ret->domain))
		return "d= is no domain";
	if (!tags_get(t, "s", &ret->selector) || ret->selector.len == 0)
		return "there is no s=";
	writer_init(&w, memory, sizeof(memory));
	writer_add(&w, ret->selector);
	writer_add(&w, TEXT("._domainkey."));
	writer_add(&w, ret->domain);
	if (w.full || !domain_ok(writer_text(&w)))
		return "s= is no selector";
	return NULL;
}

static bool
is_field_name(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == ':' || s.ptr[i] == ';')
			return false;
	return true;
}

/* ARC's may be empty; an empty name among others is none, in either. */
static const char *
parse_names(const struct tags *t, enum signature_kind kind, struct signature *ret)
{
	struct sp_span list, name;
	bool from = false, seal = false;
	size_t count = 0;

	if (!tags_get(t, "h", &ret->names))
		return "there is no h=";
	list = ret->names;
	while (text_cut(&list, ':', &name)) {
		name = text_trim(name);
		if (!is_field_name(name))
			return "h= names what is no field";
		if (++count > SIGNATURE_FIELDS_MAX)
			return "h= names too many fields";
		from = from || text_same(name, TEXT("From"));
		seal = seal || text_same(name, TEXT("ARC-Seal"));
	}
	if (kind == SIGNATURE_DKIM && !from)
		return "h= does not name From";
	if (kind == SIGNATURE_ARC_MESSAGE && seal)
		return "h= names ARC-Seal";
	return NULL;
}

/* Whose the mail is: at d= or below it. */
static const char *
parse_identity(const struct tags *t, enum signature_kind kind, struct signature *ret)
{
	struct sp_span domain;
	size_t at;

	if (!tags_get(t, "i", &ret->identity)) {
		ret->identity = (struct sp_span){ NULL, 0 };
		return kind == SIGNATURE_DKIM ? NULL : "there is no i=";
	}
	if (kind == SIGNATURE_ARC_MESSAGE)
		return ret->identity.len > 0 ? NULL : "i= is empty";
	at = ret->identity.len;
	while (at > 0 && ret->identity.ptr[at - 1] != '@')
		at--;
	domain = text_from(ret->identity, at);
	if (at == 0 || !domain_ok(domain) || !domain_within(domain, ret->domain))
		return "i= is not within d=";
	return NULL;
}

/* What is too large to be told apart is as large as can be. */
static bool
parse_number(const struct tags *t, const char *name, int64_t *ret)
{
	uint64_t n = INT64_MAX;
	struct sp_span s;

	*ret = -1;
	if (!tags_get(t, name, &s))
		return true;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	if (text_number(s, INT64_MAX, &n) == SP_INVALID)
		return false;
	*ret = (int64_t)n;
	return true;
}

static const char *
parse_numbers(const struct tags *t, struct signature *ret)
{
	if (!parse_number(t, "l", &ret->limit))
		return "l= is no number";
	if (!parse_number(t, "t", &ret->time))
		return "t= is no number";
	if (!parse_number(t, "x", &ret->expires))
		return "x= is no number";
	if (ret->time >= 0 && ret->expires >= 0 && ret->expires <= ret->time)
		return "x= is not later than t=";
	return NULL;
}

static const char *
parse_octets(const struct tags *t, struct signature *ret)
{
	struct sp_span s;

	if (!tags_get(t, "b", &s) || base64_decode(s, ret->b, sizeof(ret->b), &ret->b_len) != SP_OK)
		return "b= is no base64";
	if (!tags_get(t, "bh", &s) || base64_decode(s, ret->bh, sizeof(ret->bh), &ret->bh_len) != SP_OK)
		return "bh= is no base64";
	if (ret->bh_len != (ret->sha1 ? 20 : CANON_HASH))
		return "bh= has not the length of a hash";
	return NULL;
}

static const char *
parse_query(const struct tags *t)
{
	struct sp_span list, piece;

	if (!tags_get(t, "q", &list))
		return NULL;
	while (text_cut(&list, ':', &piece))
		if (text_same(text_trim(piece), TEXT("dns/txt")))
			return NULL;
	return "q= has no dns/txt";
}

enum sp_status
signature_parse(struct sp_span value, enum signature_kind kind, struct signature *ret, const char **reterr)
{
	struct tags t;
	const char *fault = NULL;

	memset(ret, 0, sizeof(*ret));
	if (tags_parse(&t, value) != SP_OK)
		fault = "it is no list of tags";
	if (fault == NULL)
		fault = parse_version(&t, kind);
	if (fault == NULL)
		fault = parse_algorithm(&t, ret);
	if (fault == NULL)
		fault = parse_forms(&t, ret);
	if (fault == NULL)
		fault = parse_where(&t, ret);
	if (fault == NULL)
		fault = parse_names(&t, kind, ret);
	if (fault == NULL)
		fault = parse_identity(&t, kind, ret);
	if (fault == NULL)
		fault = parse_numbers(&t, ret);
	if (fault == NULL)
		fault = parse_octets(&t, ret);
	if (fault == NULL)
		fault = parse_query(&t);
	if (fault == NULL)
		return SP_OK;
	*reterr = fault;
	return SP_INVALID;
}

/* ---- what is signed ---------------------------------------------------------------------------------------- */

/* A field that h= names; of one name they are linked from the lowest upwards. */
struct field {
	struct sp_span text;
	size_t above; /* index plus 1; 0: none */
};
struct wanted {
	struct sp_span name;
	size_t lowest; /* of those not taken yet; as above */
};
/* Names are in order, so that each field is looked up in few steps, whatever names a sender makes up. */
struct fields {
	struct wanted names[SIGNATURE_FIELDS_MAX];
	size_t name_count;
	struct field *items;
	size_t count, max;
};

static int
by_name(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	if (x->name.len != y->name.len)
		return x->name.len < y->name.len ? -1 : 1;
	for (size_t i = 0; i < x->name.len; i++) {
		int order = text_lower(x->name.ptr[i]) - text_lower(y->name.ptr[i]);

		if (order != 0)
			return order;
	}
	return 0;
}

static enum sp_status
fields_want(struct fields *f, struct sp_span names)
{
	struct sp_span name;

	while (text_cut(&names, ':', &name)) {
		if (f->name_count == SIGNATURE_FIELDS_MAX)
			return SP_INVALID;
		f->names[f->name_count++] = (struct wanted){ .name = text_trim(name) };
	}
	qsort(f->names, f->name_count, sizeof(f->names[0]), by_name);
	return SP_OK;
}

/* Of equal ones always the same; null: nobody wants it. */
static struct wanted *
fields_name(struct fields *f, struct sp_span name)
{
	struct wanted key = { .name = text_trim(name) };

	return bsearch(&key, f->names, f->name_count, sizeof(f->names[0]), by_name);
}

static enum sp_status
fields_add(struct fields *f, const struct sp_header *h)
{
	struct wanted *name = fields_name(f, h->name);

	if (name == NULL)
		return SP_OK;
	if (f->count == f->max) {
		size_t max = f->max == 0 ? 64 : 2 * f->max;
		struct field *items = max <= FIELDS_MAX ? realloc(f->items, max * sizeof(*items)) : NULL;

		if (items == NULL)
			return SP_SYSTEM;
		f->items = items;
		f->max = max;
	}
	f->items[f->count++] = (struct field){ h->field, name->lowest };
	name->lowest = f->count;
	return SP_OK;
}

static enum sp_status
fields_gather(struct fields *f, const struct signature_fields *from, struct sp_span own)
{
	enum sp_status st = SP_OK;
	struct sp_header h;

	for (size_t i = 0; st == SP_OK; i++) {
		st = from->get(from->arg, i, &h);
		/* a signature never signs itself by name */
		if (st == SP_OK && h.field.ptr != own.ptr)
			st = fields_add(f, &h);
	}
	return st == SP_NONE ? SP_OK : SP_SYSTEM;
}

/* The lowest field of that name that was not taken yet; null: there is none, which signs that there is none. */
static const struct field *
fields_take(struct fields *f, struct sp_span name)
{
	struct wanted *w = fields_name(f, name);
	const struct field *at = w != NULL && w->lowest > 0 ? &f->items[w->lowest - 1] : NULL;

	if (at != NULL)
		w->lowest = at->above;
	return at;
}

static enum sp_status
hash_names(EVP_MD_CTX *md, struct fields *f, struct sp_span names, enum canon form)
{
	struct sp_span name;

	while (text_cut(&names, ':', &name)) {
		const struct field *at = fields_take(f, name);

		if (at != NULL && !canon_field(md, form, at->text, true))
			return SP_SYSTEM;
	}
	return SP_OK;
}

enum sp_status
signature_hash(const struct signature_fields *from, struct sp_span names, enum canon form, struct sp_span own,
	unsigned char hash[static CANON_HASH])
{
	struct fields f;
	enum sp_status st = SP_SYSTEM;
	EVP_MD_CTX *md;

	f.name_count = f.count = f.max = 0;
	f.items = NULL;
	ERR_clear_error();
	md = EVP_MD_CTX_new();
	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		goto out;
	st = fields_want(&f, names);
	if (st == SP_OK)
		st = fields_gather(&f, from, own);
	if (st == SP_OK)
		st = hash_names(md, &f, names, form);
	if (st == SP_OK && (!canon_unsigned_field(md, form, own) || EVP_DigestFinal_ex(md, hash, NULL) != 1))
		st = SP_SYSTEM;
out:
	free(f.items);
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return st;
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

static bool
key_is(EVP_PKEY *key, enum key_type type)
{
	return key != NULL && EVP_PKEY_is_a(key, type == KEY_RSA ? "RSA" : "ED25519");
}

/* PKCS#1 1.5 over a SHA-256 that is there already. */
static bool
rsa_prepare(EVP_PKEY_CTX *ctx)
{
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1;
}

static bool
rsa_verify(EVP_PKEY *key, const unsigned char *hash, const unsigned char *sig, size_t len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool right = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 && rsa_prepare(ctx) &&
		     EVP_PKEY_verify(ctx, sig, len, hash, CANON_HASH) == 1;

	EVP_PKEY_CTX_free(ctx);
	return right;
}

static bool
rsa_sign(EVP_PKEY *key, const unsigned char *hash, unsigned char *sig, size_t *len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool done = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 && rsa_prepare(ctx) &&
		    EVP_PKEY_sign(ctx, sig, len, hash, CANON_HASH) == 1;

	EVP_PKEY_CTX_free(ctx);
	return done;
}

/* Ed25519 signs the hash as a message (RFC 8463 3). */
static bool
ed25519_verify(EVP_PKEY *key, const unsigned char *hash, const unsigned char *sig, size_t len)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool right = md != NULL && EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1 &&
		     EVP_DigestVerify(md, sig, len, hash, CANON_HASH) == 1;

	EVP_MD_CTX_free(md);
	return right;
}

static bool
ed25519_sign(EVP_PKEY *key, const unsigned char *hash, unsigned char *sig, size_t *len)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool done = md != NULL && EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestSign(md, sig, len, hash, CANON_HASH) == 1;

	EVP_MD_CTX_free(md);
	return done;
}

bool
signature_verify(EVP_PKEY *key, enum key_type type, const unsigned char hash[static CANON_HASH],
	const unsigned char *sig, size_t len)
{
	bool right;

	if (!key_is(key, type))
		return false;
	ERR_clear_error();
	right = type == KEY_RSA ? rsa_verify(key, hash, sig, len) : ed25519_verify(key, hash, sig, len);
	ERR_clear_error();
	return right;
}

enum sp_status
signature_make(EVP_PKEY *key, enum key_type type, const unsigned char hash[static CANON_HASH], char *memory, size_t max,
	struct sp_span *ret)
{
	unsigned char sig[SIGNATURE_B64_MAX];
	size_t len = sizeof(sig);
	bool done;

	if (!key_is(key, type) || EVP_PKEY_get_size(key) > (int)sizeof(sig))
		return SP_SYSTEM;
	ERR_clear_error();
	done = type == KEY_RSA ? rsa_sign(key, hash, sig, &len) : ed25519_sign(key, hash, sig, &len);
	ERR_clear_error();
	return done ? base64_encode(sig, len, memory, max, ret) : SP_SYSTEM;
}
