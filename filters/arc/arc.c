/*
 * arc.c - the module "arc": validates Authenticated Received Chains (RFC 8617), or seals with one's own key.
 *
 * A use with "keys" seals, others validate; a sealing use validates too, since its seal says how the chain came.  Memory
 * is the transaction's; digests are freed when it ends, keys with the configuration.
 */
#include <arpa/inet.h>
#include <string.h>

#include "arc/arc.h"
#include "mailauth/text.h"

struct arc_conf {
	const struct sp_table *trusted;
	const char *keys;
	struct sp_span domain;
	struct keytable *table;
	const struct keytable_key *key; /* the one that seals */
	struct sp_span sealer;          /* d= */
};

static const struct sp_param arc_params[] = {
	{ .name = "trusted",
		.type = SP_TABLE,
		.offset = offsetof(struct arc_conf, trusted),
		.fallback = "none",
		.min = SP_DOMAIN,
		.help = "table of the domains whose seals are believed" },
	{ .name = "keys",
		.type = SP_FILE,
		.offset = offsetof(struct arc_conf, keys),
		.fallback = "none",
		.help = "table of keys, as of the filter dkim; this use seals then" },
	{ .name = "domain",
		.type = SP_DOMAIN,
		.offset = offsetof(struct arc_conf, domain),
		.fallback = "none",
		.help = "the domain that seals; needed with 'keys'" },
	SP_PARAMS_END
};

static const char *const result_words[] = { "none", "pass", "fail", "temperror", NULL };
static const char *const stated_words[] = { "none", "pass", "fail", "temperror", "permerror", NULL };

enum { FACT_RESULT, FACT_SEALERS, FACT_TRUSTED, FACT_DMARC, FACT_OLDEST, FACT_INSTANCES };
static const struct sp_fact_decl arc_facts[] = {
	[FACT_RESULT] = { .name = "result",
		.type = SP_ENUM,
		.stage = SP_EOM,
		.words = result_words,
		.help = "is the chain of seals right?" },
	[FACT_SEALERS] = { .name = "sealers",
		.type = SP_DOMAINS,
		.stage = SP_EOM,
		.help = "who sealed a chain that passed" },
	[FACT_TRUSTED] = { .name = "trusted",
		.type = SP_BOOL,
		.stage = SP_EOM,
		.help = "it passed, and every sealer is in the table 'trusted'" },
	[FACT_DMARC] = { .name = "dmarc",
		.type = SP_ENUM,
		.stage = SP_EOM,
		.words = stated_words,
		.help = "what the first sealer of a chain that passed found by DMARC" },
	[FACT_OLDEST] = { .name = "oldest_pass",
		.type = SP_INT,
		.stage = SP_EOM,
		.help = "the oldest instance whose message is as it is now; 0: all, or no chain that passed" },
	[FACT_INSTANCES] = { .name = "instances",
		.type = SP_INT,
		.stage = SP_HEADER,
		.help = "the highest instance" },
	SP_FACTS_END
};

struct arc_session {
	struct sp_ip client;
};
struct arc_tx {
	struct arc_judge judge;
};

/* ---- configuration -------------------------------------------------------------------------- */

static enum sp_status
load_fault(struct sp_load *load, const struct sp_host *host, const char *text)
{
	sp_load_error(host, load, NULL, 0, 0, "%s", text);
	return SP_INVALID;
}

static enum sp_status
arc_load(struct sp_load *load, const struct sp_host *host, void *memory, struct sp_entry *entries, size_t count)
{
	struct arc_conf *conf = memory;

	(void)entries, (void)count;
	if (conf->keys == NULL)
		return domain_ok(conf->domain) ? load_fault(load, host, "'domain' is for a use that seals: give 'keys' too")
					       : SP_OK;
	if (!domain_ok(conf->domain))
		return load_fault(load, host, "'keys' needs 'domain': who seals?");
	conf->table = keytable_load(load, host, conf->keys);
	if (conf->table == NULL)
		return SP_INVALID;
	conf->key = keytable_find(conf->table, conf->domain);
	while (conf->key != NULL && conf->key->type != KEY_RSA)
		conf->key = conf->key->next;
	if (conf->key == NULL)
		return load_fault(load, host, "the table of keys has no RSA key for 'domain': seals are made with RSA");
	conf->sealer = text_is(conf->key->domain, TEXT("*")) ? conf->domain : conf->key->domain;
	return SP_OK;
}

static void
arc_unload(void *memory, struct sp_entry *entries, size_t count)
{
	struct arc_conf *conf = memory;

	(void)entries, (void)count;
	keytable_free(&conf->table);
}

/* ---- facts ---------------------------------------------------------------------------------- */

static bool
all_trusted(struct sp_ctx *ctx, const struct arc_judge *j)
{
	const struct arc_conf *conf = ctx->conf;

	for (size_t i = 0; i < j->sealer_count; i++) {
		struct sp_value key = { .type = SP_DOMAIN, .u.text = j->sealers[i] };

		if (!sp_table_has(ctx, conf->trusted, &key))
			return false;
	}
	return j->sealer_count > 0;
}

/* Of a temporary error only that is stated which holds however the missing keys turn out. */
static void
state_facts(struct sp_ctx *ctx, const struct arc_judge *j)
{
	bool trusted = all_trusted(ctx, j), pass = j->result == ARC_PASS;
	struct sp_value sealers = { .type = SP_DOMAINS };

	sp_fact_number(ctx, FACT_RESULT, SP_ENUM, (int64_t)j->result);
	if (j->result != ARC_TEMPERROR || !trusted)
		sp_fact_bool(ctx, FACT_TRUSTED, pass && trusted);
	if (j->result == ARC_TEMPERROR)
		return;
	if (pass) {
		sealers.u.set.items = j->sealers;
		sealers.u.set.count = j->sealer_count;
	}
	sp_fact_value(ctx, FACT_SEALERS, &sealers);
	sp_fact_number(ctx, FACT_DMARC, SP_ENUM, pass ? (int64_t)j->dmarc : ARC_STATED_NONE);
	sp_fact_number(ctx, FACT_OLDEST, SP_INT, pass ? (int64_t)j->oldest_pass : 0);
}

/* ---- the result ----------------------------------------------------------------------------- */

static bool
stated_above(struct sp_ctx *ctx)
{
	struct sp_auth_result r;

	for (size_t i = 0; sp_result_get(ctx, i, &r) == SP_OK; i++)
		if (strcmp(r.method, "arc") == 0)
			return true;
	return false;
}

static struct sp_span
ip_text(const struct sp_ip *ip, char memory[static INET6_ADDRSTRLEN])
{
	if (ip->family == 0 || inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, memory, INET6_ADDRSTRLEN) == NULL)
		return TEXT("");
	return text_of(memory);
}

/* To others an error that may pass is a failure like any (RFC 8617 5.2.1): the registry knows no "temperror" here. */
static enum sp_status
state_result(struct sp_ctx *ctx, const struct arc_judge *j)
{
	const struct arc_session *session = ctx->session;
	char number[24], ip[INET6_ADDRSTRLEN];
	struct sp_auth_prop props[2];
	struct sp_auth_result r = { .method = "arc",
		.result = result_words[j->result == ARC_TEMPERROR ? ARC_FAIL : j->result],
		.reason = text_of(j->reason),
		.props = props };
	struct sp_span client = ip_text(&session->client, ip);
	struct writer w;

	if (j->result == ARC_PASS) {
		writer_init(&w, number, sizeof(number));
		writer_printf(&w, "%zu", j->oldest_pass);
		props[r.prop_count++] = (struct sp_auth_prop){ "header", "oldest-pass", writer_text(&w) };
	}
	if (j->result != ARC_NONE && client.len > 0)
		props[r.prop_count++] = (struct sp_auth_prop){ "smtp", "remote-ip", client };
	return sp_result_add(ctx, &r);
}

/* ---- hooks ---------------------------------------------------------------------------------- */

static enum sp_status
arc_on_connect(struct sp_ctx *ctx, const struct sp_connect *ev)
{
	struct arc_session *session = ctx->session;

	session->client = ev->client;
	return SP_OK;
}

static enum sp_status
arc_on_helo(struct sp_ctx *ctx, const struct sp_helo *ev)
{
	struct arc_session *session = ctx->session;

	session->client = ev->client; /* it may be another by now: XCLIENT */
	return SP_OK;
}

static enum sp_status
arc_on_eoh(struct sp_ctx *ctx, const struct sp_eoh *ev)
{
	struct arc_tx *tx = ctx->tx;
	enum sp_status st = arc_judge_header(ctx, &tx->judge);

	(void)ev;
	if (st == SP_OK)
		sp_fact_number(ctx, FACT_INSTANCES, SP_INT, (int64_t)tx->judge.instances);
	return st;
}

static enum sp_status
arc_on_body(struct sp_ctx *ctx, const struct sp_body *ev)
{
	struct arc_tx *tx = ctx->tx;

	arc_judge_body(&tx->judge, ev->chunk);
	return SP_OK;
}

static enum sp_status
arc_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	const struct arc_conf *conf = ctx->conf;
	struct arc_tx *tx = ctx->tx;
	enum sp_status st = arc_judge_end(&tx->judge);

	(void)ev;
	if (st != SP_OK)
		return st;
	state_facts(ctx, &tx->judge);
	return conf->key != NULL && stated_above(ctx) ? SP_OK : state_result(ctx, &tx->judge);
}

static enum sp_status
arc_on_final(struct sp_ctx *ctx, const struct sp_final *ev)
{
	const struct arc_conf *conf = ctx->conf;
	const struct arc_tx *tx = ctx->tx;
	struct arc_sealing sealing = { .key = conf->key,
		.domain = conf->sealer,
		.result = tx->judge.result,
		.instances = tx->judge.instances };

	(void)ev;
	if (conf->key == NULL)
		return SP_OK;
	return tx->judge.ended ? arc_seal_add(ctx, &sealing) : SP_TEMPFAIL;
}

static void
arc_on_reset(struct sp_ctx *ctx)
{
	struct arc_tx *tx = ctx->tx;

	arc_judge_fini(&tx->judge);
}

SP_FILTER(arc) = { SP_FILTER_HEAD, .name = "arc", .summary = "validates chains of ARC seals, or adds a seal",
	.facts = arc_facts, .params = arc_params, .conf_size = sizeof(struct arc_conf),
	.session_size = sizeof(struct arc_session), .tx_size = sizeof(struct arc_tx), .load = arc_load,
	.unload = arc_unload, .on_connect = arc_on_connect, .on_helo = arc_on_helo, .on_eoh = arc_on_eoh,
	.on_body = arc_on_body, .on_eom = arc_on_eom, .on_reset = arc_on_reset, .states_results = true,
	.on_final = arc_on_final };
