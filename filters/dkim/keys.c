/*
 * keys.c - the keys of a message's signatures: asked for all at once, judged by us, and written anew for the library.
 *
 * The library never sees a record as it came: its buffer holds 1024 octets, it takes no RSA key that is published without
 * the wrapping of X.509 (RFC 6376 3.6.1 allows both), and the text is a stranger's.  It gets a record of ours
 * with the tags that matter, so that one with long notes fits as well.  Memory: all in the transaction's.
 */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "dkim/verify.h"
#include "mailauth/base64.h"
#include "mailauth/key.h"
#include "mailauth/tags.h"
#include "mailauth/text.h"

enum {
	RECORD_MAX = 1024,     /* octets that the library has room for */
	RECORD_READ_MAX = 8192, /* of a record in the DNS */
	RSA_BITS_MIN = 1024
};

/* ---- a record for the library ------------------------------------------------------------------------ */

static enum sp_status
wrap_rsa(EVP_PKEY *pkey, char *memory, size_t max, struct sp_span *ret)
{
	unsigned char *der = NULL;
	enum sp_status st = SP_SYSTEM;
	int len;

	ERR_clear_error();
	len = i2d_PUBKEY(pkey, &der);
	if (len > 0)
		st = base64_encode(der, (size_t)len, memory, max, ret);
	OPENSSL_free(der);
	ERR_clear_error();
	return st;
}

/* p= as it came, which was found to be a key, without blanks. */
static enum sp_status
write_same(struct sp_span record, char *memory, size_t max, struct sp_span *ret)
{
	struct tags t;
	struct sp_span p;

	if (tags_parse(&t, record) != SP_OK || !tags_get(&t, "p", &p))
		return SP_SYSTEM;
	return tags_squeeze(p, memory, max, ret) ? SP_OK : SP_LIMIT;
}

/* SP_LIMIT: it does not fit; SP_SYSTEM: no memory. */
static enum sp_status
write_record(struct sp_ctx *ctx, struct sp_span record, const struct key *k, struct verify_key *ret)
{
	char text[RECORD_MAX], *memory;
	struct sp_span p;
	struct writer w;
	enum sp_status st = k->bare ? wrap_rsa(k->pkey, text, sizeof(text), &p) : write_same(record, text, sizeof(text), &p);

	if (st != SP_OK)
		return st;
	memory = sp_alloc(ctx, RECORD_MAX);
	if (memory == NULL)
		return SP_SYSTEM;
	writer_init(&w, memory, RECORD_MAX);
	writer_printf(&w, "v=DKIM1; k=%s;%s p=", k->type == KEY_RSA ? "rsa" : "ed25519", k->strict ? " t=s;" : "");
	writer_add(&w, p);
	ret->record = writer_text(&w);
	return w.full ? SP_LIMIT : SP_OK;
}

/* ---- judging an answer --------------------------------------------------------------------------------- */

static const char *
fault_words(enum key_fault fault, const struct key *k)
{
	switch (fault) {
	case KEY_OK:
		return k->email ? NULL : "the key is not for mail";
	case KEY_REVOKED:
		return "the key is revoked";
	case KEY_TYPE:
		return "the key is of an unknown type";
	case KEY_UNUSABLE:
		return "the key cannot be used";
	case KEY_SYNTAX:
		break;
	}
	return "the key record is malformed";
}

/* SP_SYSTEM: no memory. */
static enum sp_status
take_key(struct sp_ctx *ctx, struct sp_span record, const struct key *k, enum key_fault fault, struct verify_key *ret)
{
	enum sp_status st = SP_OK;

	ret->type = k->type;
	ret->bits = k->bits;
	ret->testing = k->testing;
	ret->sha256 = k->sha256;
	ret->sha1 = k->sha1;
	ret->fault = fault_words(fault, k);
	ret->weak = fault == KEY_UNUSABLE && k->type == KEY_RSA && k->bits > 0 && k->bits < RSA_BITS_MIN;
	if (ret->weak)
		ret->fault = "the RSA key is too short";
	if (ret->fault == NULL)
		st = write_record(ctx, record, k, ret);
	if (st == SP_LIMIT)
		ret->fault = "the key record is too long";
	return st == SP_LIMIT ? SP_OK : st;
}

/* Of several records the first that is a key counts (RFC 6376 3.6.2.2 leaves it open). */
static enum sp_status
read_records(struct sp_ctx *ctx, const struct sp_names *texts, struct verify_key *ret)
{
	ret->fault = "no key for the signature";
	for (size_t i = 0; i < texts->count; i++) {
		enum key_fault fault;
		enum sp_status st;
		struct key k;

		if (texts->items[i].len > RECORD_READ_MAX) {
			ret->fault = "the key record is too long";
			continue;
		}
		fault = key_parse(texts->items[i], &k);
		st = take_key(ctx, texts->items[i], &k, fault, ret);
		key_fini(&k);
		if (st != SP_OK || fault != KEY_SYNTAX)
			return st;
	}
	return SP_OK;
}

static enum sp_status
read_answer(struct sp_ctx *ctx, const struct sp_texts *answer, struct verify_key *ret)
{
	if (answer->status == SP_OK)
		return read_records(ctx, &answer->names, ret);
	if (answer->status == SP_NONE)
		ret->fault = "no key for the signature";
	else
		ret->unknown = true;
	return SP_OK;
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static struct verify_key *
find_key(struct verify_key *keys, size_t count, struct sp_span name)
{
	for (size_t i = 0; i < count; i++)
		if (text_is(keys[i].name, name))
			return &keys[i];
	return NULL;
}

/* Gives each signature that may be right its key, yet to be asked for; the same to those of one name. */
static size_t
gather_names(struct verify_tx *tx, struct verify_key *keys, struct sp_span *names)
{
	size_t count = 0;

	for (size_t i = 0; i < tx->count; i++) {
		struct verify_sig *s = &tx->sigs[i];

		if (s->fault != NULL)
			continue;
		s->key = find_key(keys, count, s->name);
		if (s->key != NULL)
			continue;
		names[count] = s->name;
		s->key = &keys[count++];
		s->key->name = s->name;
	}
	return count;
}

enum sp_status
keys_fetch(struct sp_ctx *ctx, struct verify_tx *tx)
{
	struct sp_span names[VERIFY_SIGNATURES_MAX];
	struct sp_texts answers[VERIFY_SIGNATURES_MAX];
	struct verify_key *keys = sp_alloc(ctx, VERIFY_SIGNATURES_MAX * sizeof(*keys));
	enum sp_status st = SP_OK;
	size_t count;

	if (keys == NULL)
		return SP_LIMIT;
	count = gather_names(tx, keys, names);
	if (count == 0)
		return SP_OK;
	memset(answers, 0, sizeof(answers));
	if (sp_dns_texts(ctx, names, count, answers) != SP_OK)
		for (size_t i = 0; i < count; i++)
			answers[i].status = SP_TEMPFAIL;
	for (size_t i = 0; i < count && st == SP_OK; i++)
		st = read_answer(ctx, &answers[i], &keys[i]);
	return st;
}
