/*
 * validate.c - is the chain of a message right?  RFC 8617 5.2, steps 4 to 7.
 *
 * At the end of the header all keys are asked for at once, every seal is verified, and so are the message signatures,
 * newest first, as far as the header tells; those that pass want a body hash each, equal ones share it.  The body is
 * hashed as it comes and never kept.  Memory is the transaction's, but for keys (freed before arc_judge_header() returns)
 * and digests (arc_judge_fini()).  Bounds: 50 seals, 11 message signatures, 4 body hashes.
 */
#include <string.h>
#include <time.h>

#include <openssl/err.h>

#include "arc/arc.h"
#include "mailauth/authres.h"
#include "mailauth/mailbox.h"
#include "mailauth/text.h"

static const char no_key_now[] = "a key could not be fetched";

struct judging {
	struct sp_ctx *ctx;
	struct arc_judge *judge;
	struct signature_fields from;
	struct arc_chain chain;
	struct arc_keys keys;
};

/* ---- the judgement -------------------------------------------------------------------------- */

/* What is wrong for good outweighs what could not be found out. */
static void
judge_fail(struct arc_judge *j, const char *reason)
{
	if (j->result != ARC_FAIL) {
		j->result = ARC_FAIL;
		j->reason = reason;
	}
}

static void
judge_later(struct arc_judge *j)
{
	if (j->result == ARC_PASS) {
		j->result = ARC_TEMPERROR;
		j->reason = no_key_now;
	}
}

/* Which of the chain's message signatures are looked at: from the newest down to this instance. */
static size_t
oldest_looked_at(const struct arc_chain *c)
{
	return c->count > 1 + ARC_OLDER_MAX ? c->count - ARC_OLDER_MAX : 1;
}

static enum sp_status
field(const struct judging *g, size_t place, struct sp_header *ret)
{
	enum sp_status st = arc_field(&g->from, place, ret);

	return st == SP_NONE ? SP_SYSTEM : st; /* it was there a moment ago */
}

/* Who sealed, and what keys are needed. */
static enum sp_status
note_seals(struct judging *g)
{
	struct arc_judge *j = g->judge;
	struct sp_span *sealers = sp_alloc(g->ctx, g->chain.count * sizeof(*sealers));
	enum sp_status st = sealers != NULL ? SP_OK : SP_LIMIT;

	for (size_t n = g->chain.count; st == SP_OK && n > 0; n--) {
		char memory[DOMAIN_MAX + 1];
		struct sp_span domain;
		struct arc_seal seal;
		struct sp_header h;
		const char *why;

		st = field(g, g->chain.sets[n - 1].seal, &h);
		if (st == SP_OK && (arc_seal_parse(h.value, &seal, &why) != SP_OK ||
			domain_fold(seal.domain, memory, &domain) != SP_OK))
			st = SP_SYSTEM; /* the structure was found right before */
		if (st == SP_OK)
			st = arc_key_note(g->ctx, &g->keys, seal.selector, seal.domain);
		if (st != SP_OK)
			break;
		sealers[j->sealer_count] = arc_keep(g->ctx, domain);
		if (sealers[j->sealer_count++].ptr == NULL)
			st = SP_LIMIT;
	}
	j->sealers = sealers;
	return st;
}

static enum sp_status
note_messages(struct judging *g)
{
	enum sp_status st = SP_OK;

	for (size_t n = g->chain.count; st == SP_OK && n >= oldest_looked_at(&g->chain); n--) {
		struct signature s;
		struct sp_header h;
		const char *why;

		st = field(g, g->chain.sets[n - 1].message, &h);
		if (st == SP_OK && signature_parse(h.value, SIGNATURE_ARC_MESSAGE, &s, &why) == SP_OK)
			st = arc_key_note(g->ctx, &g->keys, s.selector, s.domain);
	}
	return st;
}

/* ---- seals ---------------------------------------------------------------------------------- */

/* The hash that each seal signs: all sets up to its own, its own b= left out (5.1.1). One pass over the header. */
static enum sp_status
seals_hash(struct judging *g, unsigned char (*hashes)[CANON_HASH])
{
	EVP_MD_CTX *all = EVP_MD_CTX_new(), *one = EVP_MD_CTX_new();
	bool good = all != NULL && one != NULL && EVP_DigestInit_ex(all, EVP_sha256(), NULL) == 1;
	enum sp_status st = SP_OK;

	for (size_t n = 0; good && st == SP_OK && n < g->chain.count; n++) {
		const struct arc_set *set = &g->chain.sets[n];
		struct sp_header results, message, seal;

		st = field(g, set->results, &results);
		if (st == SP_OK)
			st = field(g, set->message, &message);
		if (st == SP_OK)
			st = field(g, set->seal, &seal);
		good = st == SP_OK && canon_field(all, CANON_RELAXED, results.field, true) &&
			canon_field(all, CANON_RELAXED, message.field, true) && EVP_MD_CTX_copy_ex(one, all) == 1 &&
			canon_unsigned_field(one, CANON_RELAXED, seal.field) &&
			EVP_DigestFinal_ex(one, hashes[n], NULL) == 1 &&
			canon_field(all, CANON_RELAXED, seal.field, true);
	}
	EVP_MD_CTX_free(one);
	EVP_MD_CTX_free(all);
	ERR_clear_error();
	return st != SP_OK ? st : good ? SP_OK : SP_SYSTEM;
}

static enum sp_status
seals_verify(struct judging *g)
{
	unsigned char hashes[ARC_SETS_MAX][CANON_HASH];
	enum sp_status st = seals_hash(g, hashes);

	for (size_t n = g->chain.count; st == SP_OK && n > 0 && g->judge->result != ARC_FAIL; n--) {
		struct arc_seal seal;
		struct arc_key *k;
		struct sp_header h;
		const char *why;

		st = field(g, g->chain.sets[n - 1].seal, &h);
		if (st != SP_OK)
			break;
		if (arc_seal_parse(h.value, &seal, &why) != SP_OK)
			return SP_SYSTEM;
		k = arc_key_find(&g->keys, seal.selector, seal.domain);
		if (k != NULL && k->found == ARC_KEY_LATER)
			judge_later(g->judge);
		else if (k == NULL || k->found == ARC_KEY_NONE)
			judge_fail(g->judge, "a seal's key is not there, or not to be used");
		else if (seal.type != k->key.type ||
			!signature_verify(k->key.pkey, k->key.type, hashes[n - 1], seal.b, seal.b_len))
			judge_fail(g->judge, "a seal is not right");
	}
	return st;
}

/* ---- message signatures --------------------------------------------------------------------- */

/* The hash of the body in this form: one that is being made, or a new one; false: they are too many. */
static bool
body_want(struct arc_judge *j, const struct signature *s, size_t *ret, enum sp_status *st)
{
	struct arc_body *b;

	for (size_t i = 0; i < j->body_count; i++)
		if (j->bodies[i].form == s->body && j->bodies[i].limit == s->limit) {
			*ret = i;
			return true;
		}
	if (j->body_count == ARC_BODIES_MAX)
		return false;
	b = &j->bodies[j->body_count];
	b->form = s->body;
	b->limit = s->limit;
	*st = canon_body_init(&b->canon, EVP_sha256(), s->body, s->limit);
	*ret = j->body_count++;
	return *st == SP_OK;
}

static bool
header_verify(struct judging *g, const struct sp_header *h, const struct signature *s, const struct key *key,
	enum sp_status *st)
{
	unsigned char hash[CANON_HASH];

	*st = signature_hash(&g->from, s->names, s->header, h->field, hash);
	return *st == SP_OK && signature_verify(key->pkey, key->type, hash, s->b, s->b_len);
}

/* Without c= both forms are simple by RFC 6376, but relaxed to most that seal: either will do, and *s says which. */
static bool
header_right(struct judging *g, const struct sp_header *h, struct signature *s, const struct key *key, enum sp_status *st)
{
	bool right = header_verify(g, h, s, key, st);

	if (!right && *st == SP_OK && !s->forms) {
		s->header = s->body = CANON_RELAXED;
		right = header_verify(g, h, s, key, st);
	}
	return right;
}

/* Null: as far as the header tells it is right, and its body hash is being made. no_key_now, or another reason. */
static const char *
message_check(struct judging *g, const struct sp_header *h, enum sp_status *st)
{
	struct arc_judge *j = g->judge;
	struct arc_message *m = &j->messages[j->message_count];
	const struct arc_key *k;
	struct signature s;
	const char *why;

	if (signature_parse(h->value, SIGNATURE_ARC_MESSAGE, &s, &why) != SP_OK || s.sha1)
		return "the message signature is malformed";
	if (s.expires >= 0 && s.expires < (int64_t)time(NULL))
		return "the message signature has expired";
	k = arc_key_find(&g->keys, s.selector, s.domain);
	if (k != NULL && k->found == ARC_KEY_LATER)
		return no_key_now;
	if (k == NULL || k->found == ARC_KEY_NONE)
		return "the message signature's key is not there, or not to be used";
	if (s.type != k->key.type || !header_right(g, h, &s, &k->key, st))
		return "the message signature is not right";
	if (!body_want(j, &s, &m->body, st))
		return "too many kinds of body hashes";
	memcpy(m->hash, s.bh, CANON_HASH);
	j->message_count++;
	return NULL;
}

/* The newest decides (step 4); the older ones are looked at until one fails (step 5), other sessions get their turn before
 * each: it may be over 256 KiB of header. */
static enum sp_status
messages_check(struct judging *g)
{
	const char *why = NULL;
	enum sp_status st = SP_OK;

	for (size_t n = g->chain.count; st == SP_OK && why == NULL && n >= oldest_looked_at(&g->chain); n--) {
		struct sp_header h;

		if (n < g->chain.count && g->judge->result != ARC_PASS)
			break;
		if (n < g->chain.count)
			st = sp_sleep(g->ctx, 0);
		if (st == SP_OK)
			st = field(g, g->chain.sets[n - 1].message, &h);
		if (st == SP_OK)
			why = message_check(g, &h, &st);
		if (n == g->chain.count && why == no_key_now)
			judge_later(g->judge);
		else if (n == g->chain.count && why != NULL)
			judge_fail(g->judge, why);
	}
	return st;
}

/* ---- what the first instance states ----------------------------------------------------------- */

/* The domain of the message's one From field; false: there is not one such domain. */
static bool
from_domain(const struct judging *g, char memory[static DOMAIN_MAX + 1], struct sp_span *ret)
{
	bool found = false;
	struct sp_header h;

	for (size_t i = 0; i < ARC_FIELDS_MAX && g->from.get(g->from.arg, i, &h) == SP_OK; i++) {
		if (!text_same(text_trim(h.name), TEXT("From")))
			continue;
		if (found || mailbox_domain(h.value, memory, ret) != MAILBOX_ONE)
			return false;
		found = true;
	}
	return found;
}

/* It is of use only for the author whom the message names now; "" where that cannot be told. */
static bool
meant(const struct authres_item *item, struct sp_span now)
{
	char memory[DOMAIN_MAX + 1];
	struct sp_span stated;

	if (!authres_prop(item, "header", "from", &stated))
		return true;
	return domain_fold_utf8(stated, memory, &stated) == SP_OK && text_is(stated, now);
}

static enum arc_stated
stated_of(struct sp_span result)
{
	static const char *const words[] = { "none", "pass", "fail", "temperror", "permerror" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (text_same(result, text_of(words[i])))
			return (enum arc_stated)i;
	return ARC_STATED_NONE;
}

/* Of several dmarc results one that is no pass counts; a pass is none where what follows cannot be read: it may be a
 * sender's text that hides the true one. now: the message's author. */
static enum arc_stated
stated_dmarc(struct authres *a, struct sp_span now)
{
	enum arc_stated ret = ARC_STATED_NONE;
	struct authres_item item;
	enum sp_status st;

	while ((st = authres_next(a, &item)) == SP_OK) {
		if (!text_same(item.method, TEXT("dmarc")))
			continue;
		ret = meant(&item, now) ? stated_of(item.result) : ARC_STATED_NONE;
		if (ret != ARC_STATED_PASS)
			return ret;
	}
	return st == SP_NONE ? ret : ARC_STATED_NONE;
}

static enum sp_status
first_states(struct judging *g)
{
	char memory[DOMAIN_MAX + 1];
	struct sp_span now = TEXT("");
	struct authres a;
	struct sp_header h;
	size_t instance;
	enum sp_status st = field(g, g->chain.sets[0].results, &h);

	if (st != SP_OK)
		return st;
	if (arc_results_cut(&h.value, &instance) != SP_OK || authres_init(&a, h.value) != SP_OK)
		return SP_OK;
	if (!from_domain(g, memory, &now))
		now = TEXT("");
	g->judge->dmarc = stated_dmarc(&a, now);
	return SP_OK;
}

/* ---- from end to end ------------------------------------------------------------------------ */

static enum sp_status
chain_judge(struct judging *g)
{
	enum sp_status st = note_seals(g);

	if (st == SP_OK)
		st = note_messages(g);
	if (st == SP_OK)
		st = arc_keys_ask(g->ctx, &g->keys);
	if (st == SP_OK)
		st = seals_verify(g);
	if (st == SP_OK && g->judge->result != ARC_FAIL)
		st = messages_check(g);
	if (st == SP_OK)
		st = first_states(g);
	return st;
}

enum sp_status
arc_judge_header(struct sp_ctx *ctx, struct arc_judge *j)
{
	struct judging g = { .ctx = ctx, .judge = j, .from = { arc_header_get, ctx } };
	enum sp_status st = arc_chain_read(&g.from, &g.chain);

	j->result = ARC_PASS;
	j->instances = g.chain.count;
	if (st == SP_OK && g.chain.count == 0 && g.chain.wrong == NULL) {
		j->result = ARC_NONE;
	} else if (st == SP_OK && g.chain.wrong != NULL) {
		judge_fail(j, g.chain.wrong);
	} else if (st == SP_OK) {
		st = chain_judge(&g);
	}
	arc_keys_fini(&g.keys);
	j->begun = st == SP_OK;
	return st;
}

void
arc_judge_body(struct arc_judge *j, struct sp_span chunk)
{
	if (!j->begun || j->result != ARC_PASS)
		return;
	for (size_t i = 0; i < j->body_count; i++)
		canon_body_add(&j->bodies[i].canon, chunk);
}

/* A signature with l= counts only when that is all of the body: what was appended is signed by nobody. */
static const char *
body_check(const struct arc_judge *j, const struct arc_message *m)
{
	const struct arc_body *b = &j->bodies[m->body];

	if (b->limit >= 0 && b->canon.octets != b->limit)
		return "the message signature covers only a part of the body";
	if (b->hash_len != CANON_HASH || memcmp(b->hash, m->hash, CANON_HASH) != 0)
		return "the body was changed";
	return NULL;
}

enum sp_status
arc_judge_end(struct arc_judge *j)
{
	size_t passed = 0;
	const char *why = NULL;

	if (!j->begun)
		return SP_TEMPFAIL;
	for (size_t i = 0; j->result == ARC_PASS && i < j->body_count; i++) {
		enum sp_status st = canon_body_end(&j->bodies[i].canon, j->bodies[i].hash, &j->bodies[i].hash_len);

		if (st != SP_OK)
			return st;
	}
	while (j->result == ARC_PASS && why == NULL && passed < j->message_count) {
		why = body_check(j, &j->messages[passed]);
		if (why == NULL)
			passed++;
		else if (passed == 0)
			judge_fail(j, why);
	}
	if (j->result == ARC_PASS && passed < j->instances)
		j->oldest_pass = j->instances - passed + 1;
	j->ended = true;
	return SP_OK;
}

void
arc_judge_fini(struct arc_judge *j)
{
	for (size_t i = 0; i < j->body_count; i++)
		canon_body_fini(&j->bodies[i].canon);
	j->body_count = 0;
}
