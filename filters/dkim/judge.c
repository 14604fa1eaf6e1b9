/*
 * judge.c - what each signature is worth, and what that says about the message: RFC 6376 6.1, RFC 8301, RFC 8601 2.7.1.
 *
 * A signature counts by itself alone: the library's word on the whole message, that of its first good signature, is never
 * asked for.  Memory: the transaction's; reasons are static.
 */
#include <stdio.h>
#include <time.h>

#include "dkim/verify.h"
#include "mailauth/text.h"

const char *const verdict_words[] = { [VERDICT_NONE] = "none",
	[VERDICT_PASS] = "pass",
	[VERDICT_FAIL] = "fail",
	[VERDICT_POLICY] = "policy",
	[VERDICT_NEUTRAL] = "neutral",
	[VERDICT_TEMPERROR] = "temperror",
	[VERDICT_PERMERROR] = "permerror",
	NULL };

/* What was seen in the signatures of a message; of what might have been, had the DNS answered, see may. */
struct seen {
	bool length, sha1, weak, expired, from, temperror;
	struct {
		bool length, sha1, weak, expired;
	} may;
	enum verdict best;
};

/* ---- one signature --------------------------------------------------------------------------------- */

/* Why the key does not fit the signature; null: it does. */
static const char *
key_misfit(const struct verify_sig *s)
{
	const struct verify_key *k = s->key;

	if (k->fault != NULL)
		return k->fault;
	if (k->type != s->type)
		return "the key is of another type than a= says";
	if (s->sha1 ? !k->sha1 : !k->sha256)
		return "the key does not allow this hash";
	return NULL;
}

bool
sig_alive(const struct verify_sig *s)
{
	return s->fault == NULL && s->key != NULL && !s->key->unknown && key_misfit(s) == NULL;
}

static bool
has_expired(const struct verify_sig *s)
{
	return s->expires >= 0 && (int64_t)time(NULL) > s->expires + VERIFY_DRIFT;
}

/* What an RFC refuses whether or not the signature is right; null: nothing. */
static const char *
refused(const struct dkim_conf *conf, const struct verify_sig *s)
{
	if (s->sha1 && !conf->allow_sha1)
		return "rsa-sha1 is not accepted"; /* RFC 8301 3.1 */
	if (has_expired(s) && !conf->allow_expired)
		return "the signature has expired"; /* RFC 6376 6.1.1: looked at before it is verified */
	return NULL;
}

/* A right signature that no RFC refuses: what it leaves to be desired by our settings. */
static void
judge_right(const struct dkim_conf *conf, struct verify_sig *s, bool weak, bool length)
{
	s->verdict = VERDICT_POLICY;
	if (weak)
		s->reason = "the RSA key is too short";
	else if (length && !conf->allow_length)
		s->reason = "l= leaves a part of the body unsigned";
	else
		s->verdict = VERDICT_PASS;
}

/* The library has verified it, rightly or not. */
static void
judge_verified(const struct dkim_conf *conf, const struct verify_tx *tx, struct verify_sig *s, struct seen *seen)
{
	bool length = s->limit >= 0 && s->limit < tx->length_octets[s->body];
	bool weak = s->type == KEY_RSA && s->key->bits < conf->min_rsa;
	bool right = library_passed(s, &s->verdict, &s->reason);
	const char *why = refused(conf, s);

	seen->weak |= weak;
	seen->length |= right && length;
	seen->sha1 |= right && s->sha1;
	seen->expired |= right && has_expired(s);
	if (why != NULL) {
		s->verdict = VERDICT_PERMERROR;
		s->reason = why;
	} else if (right) {
		judge_right(conf, s, weak, length);
	} else if (s->verdict == VERDICT_FAIL && s->key->testing) {
		s->verdict = VERDICT_NEUTRAL; /* RFC 6376 3.6.1: no worse than unsigned */
		s->reason = "failed, but the signer is only testing";
	}
}

/* The word for one signature; reason: why it is no pass. */
static void
judge_sig(const struct dkim_conf *conf, const struct verify_tx *tx, struct verify_sig *s, struct seen *seen)
{
	const char *fault = tx->fault != NULL ? tx->fault : s->fault;

	s->verdict = VERDICT_PERMERROR;
	if (fault == NULL && s->key->unknown) {
		s->verdict = VERDICT_TEMPERROR;
		s->reason = "the key could not be looked up";
		return;
	}
	seen->weak |= fault == NULL && s->key->weak;
	if (fault == NULL)
		fault = key_misfit(s);
	if (fault == NULL && tx->counting[s->body] && s->limit > tx->length_octets[s->body])
		fault = "l= is longer than the body"; /* RFC 6376 3.5 */
	if (fault != NULL) {
		s->reason = fault;
		return;
	}
	judge_verified(conf, tx, s, seen);
}

/* ---- all of them ------------------------------------------------------------------------------------- */

static int
rank(enum verdict v)
{
	static const int ranks[] = { [VERDICT_NONE] = 0,
		[VERDICT_PERMERROR] = 1,
		[VERDICT_NEUTRAL] = 2,
		[VERDICT_FAIL] = 3,
		[VERDICT_POLICY] = 4,
		[VERDICT_TEMPERROR] = 5,
		[VERDICT_PASS] = 6 };

	return ranks[v];
}

static void
see_sig(const struct verify_sig *s, struct seen *seen)
{
	seen->from |= !s->from_signed;
	if (rank(s->verdict) > rank(seen->best))
		seen->best = s->verdict;
	if (s->verdict != VERDICT_TEMPERROR)
		return;
	seen->temperror = true;
	seen->may.length |= s->limit >= 0;
	seen->may.sha1 |= s->sha1;
	seen->may.weak |= s->type == KEY_RSA;
	seen->may.expired |= s->expires >= 0;
}

/* What cannot be known is not stated. */
static void
state_flag(struct sp_ctx *ctx, unsigned fact, bool yes, bool may)
{
	if (yes || !may)
		sp_fact_bool(ctx, fact, yes);
}

static enum sp_status
state_domains(struct sp_ctx *ctx, const struct verify_tx *tx)
{
	struct sp_span *items = sp_alloc(ctx, (tx->count + 1) * sizeof(*items));
	struct sp_value v = { .type = SP_DOMAINS };
	size_t count = 0;

	if (items == NULL)
		return SP_LIMIT;
	for (size_t i = 0; i < tx->count; i++) {
		bool known = tx->sigs[i].verdict != VERDICT_PASS;

		for (size_t n = 0; n < count && !known; n++)
			known = text_is(items[n], tx->sigs[i].domain);
		if (!known)
			items[count++] = tx->sigs[i].domain;
	}
	v.u.set.items = items;
	v.u.set.count = count;
	sp_fact_value(ctx, FACT_DOMAINS, &v);
	return SP_OK;
}

/* Of the topmost that passed; "": none has. */
static void
state_hash(struct sp_ctx *ctx, const struct verify_tx *tx)
{
	struct sp_span hash = TEXT("");

	for (size_t i = tx->count; i > 0; i--)
		if (tx->sigs[i - 1].verdict == VERDICT_PASS)
			hash = tx->sigs[i - 1].bh;
	sp_fact_text(ctx, FACT_HASH, SP_STRING, hash);
}

static enum sp_status
state_all(struct sp_ctx *ctx, const struct verify_tx *tx, const struct seen *seen)
{
	bool known = seen->best != VERDICT_TEMPERROR; /* else one might have passed */

	if (known && state_domains(ctx, tx) != SP_OK)
		return SP_LIMIT;
	if (known) {
		sp_fact_bool(ctx, FACT_PASS, seen->best == VERDICT_PASS);
		state_hash(ctx, tx);
	}
	sp_fact_number(ctx, FACT_RESULT, SP_ENUM, seen->best);
	state_flag(ctx, FACT_LENGTH, seen->length, seen->may.length);
	state_flag(ctx, FACT_SHA1, seen->sha1, seen->may.sha1);
	state_flag(ctx, FACT_WEAK, seen->weak, seen->may.weak);
	state_flag(ctx, FACT_EXPIRED, seen->expired, seen->may.expired);
	state_flag(ctx, FACT_FROM, seen->from, false);
	return SP_OK;
}

/* ---- results ----------------------------------------------------------------------------------------- */

static void
prop_add(struct sp_auth_result *r, struct sp_auth_prop *props, const char *name, struct sp_span value)
{
	if (value.len > 0)
		props[r->prop_count++] = (struct sp_auth_prop){ "header", name, value };
}

static enum sp_status
add_result(struct sp_ctx *ctx, const struct verify_sig *s)
{
	struct sp_auth_prop props[4];
	struct sp_auth_result r = { .method = "dkim",
		.result = verdict_words[s->verdict],
		.reason = text_of(s->reason),
		.props = props };

	prop_add(&r, props, "d", s->domain);
	prop_add(&r, props, "s", s->selector);
	prop_add(&r, props, "a", s->algorithm);
	prop_add(&r, props, "b", s->b);
	return sp_result_add(ctx, &r);
}

/* Signatures beyond the maximum are told together. */
static enum sp_status
add_rest(struct sp_ctx *ctx, const struct verify_tx *tx)
{
	char reason[80];
	struct sp_auth_result r = { .method = "dkim", .result = "policy" };
	int len;

	if (tx->total == tx->count)
		return SP_OK;
	len = snprintf(reason, sizeof(reason), "too many signatures, %zu were not looked at", tx->total - tx->count);
	r.reason = (struct sp_span){ reason, (size_t)len };
	sp_log(ctx, SP_LOG_INFO, "%s", reason);
	return sp_result_add(ctx, &r);
}

enum sp_status
judge(struct sp_ctx *ctx, struct verify_tx *tx)
{
	static const struct sp_auth_result unsigned_result = { .method = "dkim", .result = "none" };
	struct seen seen = { .best = VERDICT_NONE };
	enum sp_status st = SP_OK;

	for (size_t i = 0; i < tx->count; i++) {
		judge_sig(ctx->conf, tx, &tx->sigs[i], &seen);
		see_sig(&tx->sigs[i], &seen);
	}
	if (tx->total == 0)
		st = sp_result_add(ctx, &unsigned_result);
	for (size_t i = 0; i < tx->count && st == SP_OK; i++)
		st = add_result(ctx, &tx->sigs[i]);
	if (st == SP_OK)
		st = add_rest(ctx, tx);
	/* a full list of results is no reason to leave the facts unknown */
	return st == SP_OK || st == SP_LIMIT ? state_all(ctx, tx, &seen) : st;
}
