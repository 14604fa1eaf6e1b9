/*
 * spf.c - SPF as facts: may this client send mail for the sender's domain, and for the name it says in HELO?
 *
 * The HELO name is checked at HELO, the sender at MAIL; for the null sender the HELO name speaks (RFC 7208 sections
 * 2.3, 2.4).  Results go to Authentication-Results (RFC 8601), and to Received-SPF (RFC 7208 section 9.1) where that
 * is wanted.  A failure of the DNS is the result temperror, so all facts are known once their stage is over.
 *
 * Memory: what the transaction's hooks hand on to each other is the host's, as is the result for the HELO name, kept
 * in the session.
 */
#include "mailauth/domain.h"
#include "mailauth/text.h"
#include "spf/check.h"
#include "spf/received.h"

enum { HELO_MAX = 255 };

struct spf_conf {
	const struct sp_table *trusted;
	bool check_helo, received_spf;
};
#define AT(member) .offset = offsetof(struct spf_conf, member)
static const struct sp_param spf_params[] = {
	{ .name = "trusted",
		.type = SP_TABLE,
		AT(trusted),
		.fallback = "none",
		.min = SP_IP,
		.help = "clients that are not checked, since they forward mail of others" },
	{ .name = "check_helo",
		.type = SP_BOOL,
		AT(check_helo),
		.fallback = "yes",
		.help = "check the HELO name, too" },
	{ .name = "received_spf",
		.type = SP_BOOL,
		AT(received_spf),
		.fallback = "no",
		.help = "write a Received-SPF field" },
	SP_PARAMS_END
};

static const char *const verdict_words[] = { [VERDICT_NONE] = "none", [VERDICT_NEUTRAL] = "neutral",
	[VERDICT_PASS] = "pass", [VERDICT_FAIL] = "fail", [VERDICT_SOFTFAIL] = "softfail",
	[VERDICT_TEMPERROR] = "temperror", [VERDICT_PERMERROR] = "permerror", NULL };
enum { IDENTITY_MAILFROM, IDENTITY_HELO };
static const char *const identity_words[] = { [IDENTITY_MAILFROM] = "mailfrom", [IDENTITY_HELO] = "helo", NULL };

enum { FACT_RESULT, FACT_DOMAIN, FACT_IDENTITY, FACT_EXPLANATION, FACT_HELO };
static const struct sp_fact_decl spf_facts[] = {
	[FACT_RESULT] = { .name = "result",
		.type = SP_ENUM,
		.stage = SP_MAIL,
		.help = "what the sender's domain says of the client",
		.words = verdict_words },
	[FACT_DOMAIN] = { .name = "domain",
		.type = SP_DOMAIN,
		.stage = SP_MAIL,
		.help = "the domain that was checked; empty where there was none that could be" },
	[FACT_IDENTITY] = { .name = "identity",
		.type = SP_ENUM,
		.stage = SP_MAIL,
		.help = "whose domain that is: the sender's, or for <> the HELO name",
		.words = identity_words },
	[FACT_EXPLANATION] = { .name = "explanation",
		.type = SP_STRING,
		.stage = SP_MAIL,
		.help = "with fail: what the domain's owner says about it, printable ASCII, at most 400 octets" },
	[FACT_HELO] = { .name = "helo",
		.type = SP_ENUM,
		.stage = SP_HELO,
		.help = "what the domain named in HELO says of the client",
		.words = verdict_words },
	SP_FACTS_END
};

/* One identity and what became of it. */
struct spf_identity {
	struct check_answer answer;
	size_t domain_len; /* 0: nothing that could be checked */
	char domain[DOMAIN_MAX + 1];
};

struct spf_session {
	struct sp_ip client;
	size_t helo_len;
	char helo[HELO_MAX];
	bool checked; /* identity is of this client and HELO name */
	struct spf_identity identity;
};

struct spf_tx {
	struct received_spf received; /* for on_final */
};

static struct sp_span
helo_of(const struct spf_session *s)
{
	return (struct sp_span){ s->helo, s->helo_len };
}

/* ---- one check -------------------------------------------------------------------------------------- */

static bool
is_trusted(struct sp_ctx *ctx, const struct sp_ip *client)
{
	const struct spf_conf *conf = ctx->conf;
	struct sp_value key = { SP_IP, { 0 } };

	key.u.ip = *client;
	return sp_table_has(ctx, conf->trusted, &key);
}

/* A quoted local part as what it stands for (RFC 5321 section 4.1.2), in memory of the transaction. */
static struct sp_span
local_unquoted(struct sp_ctx *ctx, struct sp_span local)
{
	struct writer w;
	char *memory;

	if (local.len < 2 || local.ptr[0] != '"' || (memory = sp_alloc(ctx, local.len)) == NULL)
		return local;
	writer_init(&w, memory, local.len);
	for (size_t i = 1; i + 1 < local.len; i++) {
		if (local.ptr[i] == '\\' && i + 2 < local.len)
			i++;
		writer_char(&w, local.ptr[i]);
	}
	return writer_text(&w);
}

/* Checks the domain of a sender; local and sender as %{l} and %{o} have them. */
static void
identity_check(struct sp_ctx *ctx, struct sp_span local, struct sp_span sender, struct spf_identity *ret)
{
	const struct spf_session *s = ctx->session;
	struct check_input in = { .client = s->client, .local = local, .sender_domain = sender, .helo = helo_of(s) };

	*ret = (struct spf_identity){ .answer = { .verdict = VERDICT_NONE } };
	if (domain_fold(sender, ret->domain, &in.domain) != SP_OK)
		ret->answer.reason = "no domain that could have a record";
	else if (is_trusted(ctx, &s->client))
		ret->answer.reason = "trusted forwarder";
	else if (s->client.family == 0)
		ret->answer.reason = "the client has no address";
	ret->domain_len = in.domain.len;
	if (ret->answer.reason != NULL)
		return;
	in.receiver = ctx->host->auth_id(ctx);
	check_host(ctx, &in, &ret->answer);
}

/* Of the HELO name, unless it has been checked already. */
static void
helo_check(struct sp_ctx *ctx)
{
	struct spf_session *s = ctx->session;

	if (!s->checked)
		identity_check(ctx, TEXT("postmaster"), helo_of(s), &s->identity);
	s->checked = true;
}

/* ---- what is said of it ------------------------------------------------------------------------------- */

static void
result_say(struct sp_ctx *ctx, const struct check_answer *a, const char *property, struct sp_span value)
{
	struct sp_auth_prop prop = { "smtp", property, value };
	struct sp_auth_result result = { .method = "spf",
		.result = verdict_words[a->verdict],
		.reason = text_of(a->reason),
		.props = &prop,
		.prop_count = 1 };

	if (sp_result_add(ctx, &result) != SP_OK)
		sp_log(ctx, SP_LOG_WARNING, "no room for the result in Authentication-Results");
}

static void
facts_say(struct sp_ctx *ctx, const struct spf_identity *i, int identity)
{
	const struct check_answer *a = &i->answer;

	sp_fact_number(ctx, FACT_RESULT, SP_ENUM, a->verdict);
	sp_fact_number(ctx, FACT_IDENTITY, SP_ENUM, identity);
	sp_fact_text(ctx, FACT_DOMAIN, SP_DOMAIN, (struct sp_span){ i->domain, i->domain_len });
	sp_fact_text(ctx, FACT_EXPLANATION, SP_STRING, (struct sp_span){ a->explanation, a->explanation_len });
}

/* What on_final needs; false: no memory. */
static bool
received_keep(struct sp_ctx *ctx, const struct sp_mail *ev, const struct check_answer *a)
{
	const struct spf_session *s = ctx->session;
	struct spf_tx *tx = ctx->tx;
	char *copy = sp_alloc(ctx, ev->address.len + s->helo_len + 1);

	if (copy == NULL)
		return false;
	if (ev->address.len > 0)
		memcpy(copy, ev->address.ptr, ev->address.len);
	memcpy(copy + ev->address.len, s->helo, s->helo_len);
	tx->received = (struct received_spf){ .result = verdict_words[a->verdict],
		.reason = a->reason,
		.identity = identity_words[ev->address.len > 0 ? IDENTITY_MAILFROM : IDENTITY_HELO],
		.client = s->client,
		.sender = { copy, ev->address.len },
		.helo = { copy + ev->address.len, s->helo_len } };
	return true;
}

/* ---- hooks ------------------------------------------------------------------------------------------- */

static enum sp_status
spf_load(struct sp_load *load, const struct sp_host *host, void *conf, struct sp_entry *entries, size_t count)
{
	(void)load;
	(void)host;
	(void)conf;
	(void)entries;
	(void)count;
	check_init();
	return SP_OK;
}

static enum sp_status
spf_on_connect(struct sp_ctx *ctx, const struct sp_connect *ev)
{
	struct spf_session *s = ctx->session;

	s->client = ev->client;
	return SP_OK;
}

static enum sp_status
spf_on_helo(struct sp_ctx *ctx, const struct sp_helo *ev)
{
	const struct spf_conf *conf = ctx->conf;
	struct spf_session *s = ctx->session;
	struct sp_span name = text_head(ev->name, HELO_MAX);

	if (!text_is(name, helo_of(s)) || memcmp(&s->client, &ev->client, sizeof(s->client)) != 0)
		s->checked = false;
	s->client = ev->client;
	if (name.len > 0)
		memmove(s->helo, name.ptr, name.len);
	s->helo_len = name.len;
	if (conf->check_helo)
		helo_check(ctx);
	sp_fact_number(ctx, FACT_HELO, SP_ENUM, conf->check_helo ? s->identity.answer.verdict : VERDICT_NONE);
	return SP_OK;
}

static enum sp_status
spf_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	const struct spf_conf *conf = ctx->conf;
	struct spf_session *s = ctx->session;
	struct spf_identity mailfrom, *said = &mailfrom;

	if (ev->address.len > 0) {
		identity_check(ctx, ev->local.len > 0 ? local_unquoted(ctx, ev->local) : TEXT("postmaster"), ev->domain,
			&mailfrom);
		result_say(ctx, &mailfrom.answer, "mailfrom",
			mailfrom.domain_len > 0 ? (struct sp_span){ mailfrom.domain, mailfrom.domain_len } : ev->domain);
	} else {
		helo_check(ctx);
		said = &s->identity;
	}
	if (ev->address.len == 0 || conf->check_helo)
		result_say(ctx, &s->identity.answer, "helo", helo_of(s));
	facts_say(ctx, said, ev->address.len > 0 ? IDENTITY_MAILFROM : IDENTITY_HELO);
	if (conf->received_spf && !received_keep(ctx, ev, &said->answer))
		return SP_LIMIT;
	return SP_OK;
}

static enum sp_status
spf_on_final(struct sp_ctx *ctx, const struct sp_final *ev)
{
	const struct spf_conf *conf = ctx->conf;
	const struct spf_tx *tx = ctx->tx;
	char memory[RECEIVED_MAX];
	struct sp_span value;

	(void)ev;
	if (!conf->received_spf || tx->received.result == NULL)
		return SP_OK;
	value = received_text(&tx->received, ctx->host->auth_id(ctx), memory);
	return ctx->host->header_insert(ctx, 0, "Received-SPF", value);
}

SP_FILTER(spf) = { SP_FILTER_HEAD,
	.name = "spf",
	.summary = "may this client send mail for the sender's domain (RFC 7208)?",
	.facts = spf_facts,
	.params = spf_params,
	.conf_size = sizeof(struct spf_conf),
	.session_size = sizeof(struct spf_session),
	.tx_size = sizeof(struct spf_tx),
	.load = spf_load,
	.on_connect = spf_on_connect,
	.on_helo = spf_on_helo,
	.on_mail = spf_on_mail,
	.states_results = true,
	.on_final = spf_on_final };
