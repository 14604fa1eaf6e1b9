/*
 * seal.c - an ARC Set of our own, on top of the final message.  RFC 8617 5.1, 5.1.2.
 *
 * The three fields are made in this order, each in memory of the transaction: the results as the host states them, the
 * message signature, the seal over all sets.  A chain that did not pass is sealed with cv=fail, and that seal covers our
 * own set only.
 */
#include <string.h>
#include <time.h>

#include <openssl/err.h>

#include "arc/arc.h"
#include "mailauth/text.h"

enum { NAMES_MAX = 8192, SIGNATURE_MAX = 16384, SEAL_MAX = 4096, RESULTS_ROOM = 64, LINE_OCTETS = 72 };

static const char results_name[] = "ARC-Authentication-Results";
static const char message_name[] = "ARC-Message-Signature";
static const char seal_name[] = "ARC-Seal";

struct adding {
	struct sp_ctx *ctx;
	const struct arc_sealing *sealing;
	struct signature_fields from;
	struct arc_chain chain;
	unsigned instance;
	const char *cv;
	int64_t now;
	struct sp_span results, message, seal; /* values */
};

/* ---- results -------------------------------------------------------------------------------- */

static enum sp_status
make_results(struct adding *a)
{
	struct sp_span text = sp_results_text(a->ctx);
	size_t max = text.len + RESULTS_ROOM;
	char *memory = sp_alloc(a->ctx, max);
	struct writer w;

	if (memory == NULL || text.ptr == NULL)
		return SP_LIMIT;
	writer_init(&w, memory, max);
	writer_printf(&w, "i=%u; ", a->instance);
	writer_add(&w, text_trim(text));
	a->results = writer_text(&w);
	return w.full ? SP_LIMIT : SP_OK;
}

/* ---- the message signature ------------------------------------------------------------------ */

/* SP_NONE: it has more fields than a signature may name. */
static enum sp_status
make_message(struct adding *a)
{
	static const char *const extra[] = { "dkim-signature", NULL };
	char *names = sp_alloc(a->ctx, NAMES_MAX), *memory = sp_alloc(a->ctx, SIGNATURE_MAX);
	unsigned char hash[EVP_MAX_MD_SIZE];
	struct signing s = { .key = a->sealing->key,
		.domain = a->sealing->domain,
		.header = CANON_RELAXED,
		.body = CANON_RELAXED,
		.body_hash = hash,
		.time = a->now,
		.expires = -1,
		.kind = SIGNATURE_ARC_MESSAGE,
		.instance = a->instance,
		.field = message_name };
	enum sp_status st = names != NULL && memory != NULL ? signing_body_hash(a->ctx, CANON_RELAXED, hash) : SP_LIMIT;

	if (st != SP_OK)
		return st;
	st = signing_names(&a->from, extra, names, NAMES_MAX, &s.names);
	if (st == SP_LIMIT)
		return SP_NONE;
	if (st == SP_OK)
		st = signing_make(&s, &a->from, memory, SIGNATURE_MAX, &a->message);
	return st;
}

/* ---- the seal ------------------------------------------------------------------------------- */

/* "name: value" as a field, for the hash; the relaxed form does not care how it is folded later. */
static bool
hash_made(struct adding *a, EVP_MD_CTX *md, const char *name, struct sp_span value, bool own)
{
	size_t max = strlen(name) + value.len + 2;
	char *memory = sp_alloc(a->ctx, max);
	struct writer w;

	if (memory == NULL)
		return false;
	writer_init(&w, memory, max);
	writer_add(&w, text_of(name));
	writer_add(&w, TEXT(": "));
	writer_add(&w, value);
	return own ? canon_unsigned_field(md, CANON_RELAXED, writer_text(&w))
		   : canon_field(md, CANON_RELAXED, writer_text(&w), true);
}

static bool
hash_set(struct adding *a, EVP_MD_CTX *md, const struct arc_set *set)
{
	const size_t places[] = { set->results, set->message, set->seal };
	struct sp_header h;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (arc_field(&a->from, places[i], &h) != SP_OK || !canon_field(md, CANON_RELAXED, h.field, true))
			return false;
	return true;
}

/* bare: the seal's value up to "b=". */
static enum sp_status
seal_hash(struct adding *a, struct sp_span bare, unsigned char hash[static CANON_HASH])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

	for (size_t n = 0; good && strcmp(a->cv, "fail") != 0 && n < a->chain.count; n++)
		good = hash_set(a, md, &a->chain.sets[n]);
	good = good && hash_made(a, md, results_name, a->results, false) &&
		hash_made(a, md, message_name, a->message, false) && hash_made(a, md, seal_name, bare, true) &&
		EVP_DigestFinal_ex(md, hash, NULL) == 1;
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return good ? SP_OK : SP_SYSTEM;
}

static enum sp_status
make_seal(struct adding *a)
{
	const struct keytable_key *key = a->sealing->key;
	char *memory = sp_alloc(a->ctx, SEAL_MAX), sig_memory[SIGNATURE_B64_MAX / 3 * 4 + 8];
	unsigned char hash[CANON_HASH];
	struct sp_span sig;
	enum sp_status st;
	struct writer w;

	if (memory == NULL)
		return SP_LIMIT;
	writer_init(&w, memory, SEAL_MAX);
	writer_printf(&w, "i=%u; a=rsa-sha256; cv=%s; t=%lld;\r\n\td=", a->instance, a->cv, (long long)a->now);
	writer_add(&w, a->sealing->domain);
	writer_add(&w, TEXT(";\r\n\ts="));
	writer_add(&w, key->selector);
	writer_add(&w, TEXT(";\r\n\tb="));
	st = w.full ? SP_LIMIT : seal_hash(a, writer_text(&w), hash);
	if (st == SP_OK)
		st = signature_make(key->pkey, KEY_RSA, hash, sig_memory, sizeof(sig_memory), &sig);
	if (st != SP_OK)
		return st;
	for (; sig.len > 0; sig = text_from(sig, LINE_OCTETS)) {
		writer_add(&w, text_head(sig, LINE_OCTETS));
		if (sig.len > LINE_OCTETS)
			writer_add(&w, TEXT("\r\n\t"));
	}
	a->seal = writer_text(&w);
	return w.full ? SP_LIMIT : SP_OK;
}

/* ---- from end to end ------------------------------------------------------------------------ */

/* What we say of the chain as it came; edits that broke it are no excuse. */
static const char *
status_of(const struct arc_sealing *s, const struct arc_chain *c)
{
	if (c->count == 0 && c->wrong == NULL)
		return "none";
	return s->result == ARC_PASS && c->wrong == NULL && c->count == s->instances ? "pass" : "fail";
}

static enum sp_status
insert(struct adding *a, const char *name, struct sp_span value)
{
	return sp_header_insert(a->ctx, 0, name, value);
}

enum sp_status
arc_seal_add(struct sp_ctx *ctx, const struct arc_sealing *s)
{
	struct adding a = { .ctx = ctx, .sealing = s, .from = { arc_header_get, ctx }, .now = (int64_t)time(NULL) };
	enum sp_status st = arc_chain_read(&a.from, &a.chain);

	if (st == SP_OK && (a.chain.ended || a.chain.full)) {
		sp_log(ctx, SP_LOG_INFO, "not sealed: %s",
			a.chain.ended ? "the chain has ended with cv=fail" : "the chain has 50 instances");
		return SP_OK;
	}
	a.instance = (unsigned)a.chain.count + 1;
	a.cv = status_of(s, &a.chain);
	if (st == SP_OK)
		st = make_results(&a);
	if (st == SP_OK)
		st = make_message(&a);
	if (st == SP_NONE) {
		sp_log(ctx, SP_LOG_WARNING, "not sealed: more header fields than a signature may name");
		return SP_OK;
	}
	if (st == SP_OK)
		st = make_seal(&a);
	if (st == SP_OK)
		st = insert(&a, results_name, a.results);
	if (st == SP_OK)
		st = insert(&a, message_name, a.message);
	if (st == SP_OK)
		st = insert(&a, seal_name, a.seal);
	return st;
}
