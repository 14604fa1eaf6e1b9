/*
 * dkim.c - the module "dkim": verifies DKIM signatures, or, where it is given keys, signs.  RFC 6376, 8301, 8463, 8601.
 *
 * Verifying is streaming: fields and pieces of the body pass through to libopendkim and are not kept, but what it copies
 * of the header.  Keys are asked for all at once when the header is complete, which suspends this session only.
 * Memory: the transaction's; the library's handle is freed at the end of the message or of the transaction.
 */
#include "dkim/verify.h"
#include "mailauth/text.h"

static const char *const canon_words[] = { [CANON_SIMPLE] = "simple", [CANON_RELAXED] = "relaxed", NULL };

#define AT(member) .offset = offsetof(struct dkim_conf, member)
static const struct sp_param dkim_params[] = {
	{ .name = "keys",
		.type = SP_FILE,
		AT(keys),
		.fallback = "none",
		.help = "table of keys: this use signs instead of verifying" },
	{ .name = "header",
		.type = SP_ENUM,
		AT(header),
		.fallback = "relaxed",
		.words = canon_words,
		.help = "canonical form of the header, for signing" },
	{ .name = "body",
		.type = SP_ENUM,
		AT(body),
		.fallback = "relaxed",
		.words = canon_words,
		.help = "canonical form of the body, for signing" },
	{ .name = "lifetime",
		.type = SP_DURATION,
		AT(lifetime),
		.fallback = "0s",
		.min = 0,
		.max = INT64_C(10) * 366 * 24 * 3600 * 1000,
		.help = "how long our signatures are good; 0: for ever" },
	{ .name = "allow_sha1",
		.type = SP_BOOL,
		AT(allow_sha1),
		.fallback = "no",
		.help = "rsa-sha1 may count as a pass (RFC 8301 forbids it)" },
	{ .name = "allow_length",
		.type = SP_BOOL,
		AT(allow_length),
		.fallback = "no",
		.help = "a signature over a part of the body may count as a pass" },
	{ .name = "allow_expired",
		.type = SP_BOOL,
		AT(allow_expired),
		.fallback = "no",
		.help = "a signature that has expired may count as a pass" },
	{ .name = "min_rsa",
		.type = SP_INT,
		AT(min_rsa),
		.fallback = "1024",
		.min = 1024,
		.max = 8192,
		.help = "bits that an RSA key must have" },
	{ .name = "max_signatures",
		.type = SP_INT,
		AT(max_signatures),
		.fallback = "10",
		.min = 1,
		.max = VERIFY_SIGNATURES_MAX,
		.help = "signatures looked at, from the top" },
	SP_PARAMS_END
};

static const struct sp_fact_decl dkim_facts[] = {
	[FACT_PASS] = { .name = "pass",
		.type = SP_BOOL,
		.stage = SP_EOM,
		.help = "a signature is right and counts" },
	[FACT_DOMAINS] = { .name = "domains",
		.type = SP_DOMAINS,
		.stage = SP_EOM,
		.help = "domains (d=) whose signatures passed" },
	[FACT_RESULT] = { .name = "result",
		.type = SP_ENUM,
		.stage = SP_EOM,
		.help = "the best result of all signatures",
		.words = verdict_words },
	[FACT_SIGNATURES] = { .name = "signatures",
		.type = SP_INT,
		.stage = SP_HEADER,
		.help = "DKIM-Signature fields" },
	[FACT_LENGTH] = { .name = "length_limited",
		.type = SP_BOOL,
		.stage = SP_EOM,
		.help = "a right signature leaves a part of the body unsigned" },
	[FACT_SHA1] = { .name = "sha1",
		.type = SP_BOOL,
		.stage = SP_EOM,
		.help = "a right signature is by rsa-sha1" },
	[FACT_WEAK] = { .name = "weak_key",
		.type = SP_BOOL,
		.stage = SP_EOM,
		.help = "a signature's RSA key is too short" },
	[FACT_EXPIRED] = { .name = "expired",
		.type = SP_BOOL,
		.stage = SP_EOM,
		.help = "a right signature has expired" },
	[FACT_FROM] = { .name = "from_unsigned",
		.type = SP_BOOL,
		.stage = SP_EOM,
		.help = "a signature does not cover From" },
	[FACT_HASH] = { .name = "body_hash",
		.type = SP_STRING,
		.stage = SP_EOM,
		.help = "hash of the body (bh=) in the topmost signature that passed" },
	SP_FACTS_END
};

static bool
signs(const struct sp_ctx *ctx)
{
	return ((const struct dkim_conf *)ctx->conf)->keys != NULL;
}

/* Or we would sign for whoever writes our domain into his From. */
static bool
dkim_by_rule(const void *conf)
{
	return ((const struct dkim_conf *)conf)->keys != NULL;
}

/* ---- configuration ----------------------------------------------------------------------------------- */

static enum sp_status
dkim_load(struct sp_load *load, const struct sp_host *host, void *arg, struct sp_entry *entries, size_t count)
{
	struct dkim_conf *conf = arg;

	(void)entries, (void)count;
	if (conf->keys != NULL)
		return sign_load(load, host, conf);
	if (library_load(conf) == SP_OK)
		return SP_OK;
	sp_load_error(host, load, NULL, 0, 0, "libopendkim does not start");
	return SP_SYSTEM;
}

static void
dkim_unload(void *arg, struct sp_entry *entries, size_t count)
{
	struct dkim_conf *conf = arg;

	(void)entries, (void)count;
	if (conf->keys != NULL)
		sign_unload(conf);
	library_unload(conf);
}

/* ---- the header -------------------------------------------------------------------------------------- */

/* A new signature; *ret null: beyond the maximum. */
static enum sp_status
add_sig(struct sp_ctx *ctx, struct sp_span value, struct verify_sig **ret)
{
	const struct dkim_conf *conf = ctx->conf;
	struct verify_tx *tx = ctx->tx;

	*ret = NULL;
	tx->total++;
	if (tx->count == (size_t)conf->max_signatures)
		return SP_OK;
	if (tx->sigs == NULL)
		tx->sigs = sp_alloc(ctx, (size_t)conf->max_signatures * sizeof(*tx->sigs));
	if (tx->sigs == NULL)
		return SP_LIMIT;
	*ret = &tx->sigs[tx->count++];
	return sig_parse(ctx, value, *ret);
}

/* What the library is not to see: it takes C strings, and drops bare CR and LF from what it hashes. */
static const char *
field_fault(struct verify_tx *tx, struct sp_span field)
{
	char last = '\0';

	tx->octets += field.len;
	if (++tx->fields > VERIFY_FIELDS_MAX || tx->octets > VERIFY_HEADER_MAX)
		return "the header is too large";
	if (text_find(field, '\0') < field.len || !lines_ok(field, &last) || last == '\r')
		return "the header holds a NUL, or a bare CR or LF";
	return NULL;
}

static enum sp_status
take_field(struct sp_ctx *ctx, const struct sp_header *ev)
{
	struct sp_span name = text_trim(ev->name);
	struct verify_tx *tx = ctx->tx;
	struct verify_sig *sig = NULL;
	const char *fault = field_fault(tx, ev->field);
	bool bearable = true;

	if (fault != NULL && tx->fault == NULL)
		tx->fault = fault;
	if (text_same(name, TEXT("from")))
		tx->from_count++;
	if (text_same(name, TEXT("dkim-signature"))) {
		if (add_sig(ctx, ev->value, &sig) != SP_OK)
			return SP_LIMIT;
		bearable = sig != NULL ? sig->name.len > 0 : sig_bearable(ev->value);
	}
	if (tx->fault != NULL || !bearable)
		return SP_OK;
	return library_field(ctx->conf, tx, ev->field, sig);
}

static enum sp_status
dkim_on_header(struct sp_ctx *ctx, const struct sp_header *ev)
{
	struct verify_tx *tx = ctx->tx;
	enum sp_status st;

	if (signs(ctx))
		return SP_OK;
	if (tx->failed)
		return SP_LIMIT;
	st = take_field(ctx, ev);
	tx->failed = st != SP_OK;
	return st;
}

/* ---- its end ------------------------------------------------------------------------------------------- */

/* The library compares each name in each h= with each field: where there are thousands of both, the lower signatures
 * must do without. */
static void
limit_work(struct verify_tx *tx)
{
	size_t names = 0;

	for (size_t i = 0; i < tx->count; i++) {
		struct verify_sig *s = &tx->sigs[i];

		if (s->fault != NULL)
			continue;
		if ((names + s->names) * tx->fields > VERIFY_WORK_MAX)
			s->fault = "h= has too many names for so many fields";
		else
			names += s->names;
	}
}

static enum sp_status
begin_body(struct sp_ctx *ctx)
{
	struct verify_tx *tx = ctx->tx;
	enum sp_status st;

	if (tx->fault == NULL && tx->from_count != 1)
		tx->fault = tx->from_count == 0 ? "there is no From field" : "there are several From fields";
	if (tx->fault != NULL || tx->total == 0) {
		library_free(tx);
		return SP_OK;
	}
	limit_work(tx);
	st = keys_fetch(ctx, tx);
	if (st != SP_OK || tx->library == NULL)
		return st;
	library_eoh(ctx->conf, tx);
	return tx->feeding ? length_begin(tx) : SP_OK;
}

static enum sp_status
dkim_on_eoh(struct sp_ctx *ctx, const struct sp_eoh *ev)
{
	struct verify_tx *tx = ctx->tx;
	enum sp_status st;

	(void)ev;
	if (signs(ctx))
		return SP_OK;
	if (tx->failed)
		return SP_LIMIT;
	sp_fact_number(ctx, FACT_SIGNATURES, SP_INT, (int64_t)tx->total);
	st = begin_body(ctx);
	tx->failed = st != SP_OK;
	return st;
}

/* ---- the body ------------------------------------------------------------------------------------------ */

static enum sp_status
dkim_on_body(struct sp_ctx *ctx, const struct sp_body *ev)
{
	struct verify_tx *tx = ctx->tx;

	if (signs(ctx) || tx->failed || !tx->feeding || ev->chunk.len == 0)
		return SP_OK;
	if (!lines_ok(ev->chunk, &tx->last)) {
		tx->fault = "the body holds a bare CR or LF";
		library_free(tx);
		return SP_OK;
	}
	library_body(tx, ev->chunk);
	length_body(tx, ev->chunk);
	return SP_OK;
}

/* The last line may have come without its end (BDAT); both canonical forms add it. */
static void
end_last_line(struct verify_tx *tx)
{
	if (tx->last == '\r')
		tx->fault = "the body holds a bare CR or LF";
	else if (tx->last != '\0' && tx->last != '\n')
		library_body(tx, TEXT("\r\n"));
}

static enum sp_status
dkim_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	struct verify_tx *tx = ctx->tx;
	enum sp_status st;

	(void)ev;
	if (signs(ctx))
		return SP_OK;
	if (tx->failed)
		return SP_LIMIT;
	if (tx->feeding) {
		end_last_line(tx);
		library_eom(tx);
	}
	st = length_eom(tx);
	if (st == SP_OK)
		st = judge(ctx, tx);
	library_free(tx);
	return st;
}

static void
dkim_on_reset(struct sp_ctx *ctx)
{
	struct verify_tx *tx = ctx->tx;

	if (tx == NULL)
		return;
	library_free(tx);
	length_free(tx);
}

static enum sp_status
dkim_on_final(struct sp_ctx *ctx, const struct sp_final *ev)
{
	return signs(ctx) ? sign_final(ctx, ev) : SP_OK;
}

SP_FILTER(dkim) = { SP_FILTER_HEAD,
	.name = "dkim",
	.summary = "DKIM signatures: verified, or made",
	.facts = dkim_facts,
	.params = dkim_params,
	.conf_size = sizeof(struct dkim_conf),
	.tx_size = sizeof(struct verify_tx),
	.load = dkim_load,
	.unload = dkim_unload,
	.by_rule = dkim_by_rule,
	.on_header = dkim_on_header,
	.on_eoh = dkim_on_eoh,
	.on_body = dkim_on_body,
	.on_eom = dkim_on_eom,
	.on_reset = dkim_on_reset,
	.states_results = true,
	.on_final = dkim_on_final };
