/*
 * milter.c - any milter as a filter: the module's parameters, facts and hooks.
 *
 * What a milter says is told to the host by sp_refuse() where the use decides ("obey yes"), and stated as facts in any case.
 * A hook of a transaction that fails leaves the facts unknown, and the host drops what was edited.
 *
 * Memory: see milter.h; what the workers keep is a struct pool for each use.
 */
#include <libmilter/mfapi.h>

#include "milter/pool.h"
#include "milter/socket.h"
#include "milter/talk.h"

#define AT(member) .offset = offsetof(struct milter_conf, member)
static const struct sp_param milter_params[] = {
	{ .name = "socket", .type = SP_STRING, AT(socket), .help = "\"unix:/path\", \"inet:port@host\" or \"host:port\"" },
	{ .name = "timeout", .type = SP_DURATION, AT(timeout_ms), .fallback = "30s", .min = 10, .max = 3600000,
		.help = "how long the milter may take for a command" },
	{ .name = "connect_timeout", .type = SP_DURATION, AT(connect_ms), .fallback = "10s", .min = 10, .max = 3600000,
		.help = "and to take a connection" },
	{ .name = "content_timeout", .type = SP_DURATION, AT(content_ms), .fallback = "120s", .min = 10, .max = 3600000,
		.help = "and for the end of a message" },
	{ .name = "obey", .type = SP_BOOL, AT(obey), .fallback = "yes",
		.help = "its verdicts are carried out, its edits are made; no: it only states facts" },
	{ .name = "protocol", .type = SP_INT, AT(protocol), .fallback = "6", .min = WIRE_VERSION_MIN, .max = WIRE_VERSION_MAX,
		.help = "version of the milter protocol that is offered: 2, 3, 4 or 6" },
	{ .name = "reuse", .type = SP_BOOL, AT(reuse), .fallback = "yes",
		.help = "a connection serves one client's session after the other, where the milter can do that" },
	{ .name = "connections", .type = SP_INT, AT(connections), .fallback = "1000", .min = 1, .max = 100000,
		.help = "conversations at once, of each worker" },
	{ .name = "queue", .type = SP_INT, AT(queue), .fallback = "1000", .min = 0, .max = 100000,
		.help = "sessions that may wait for one" },
	SP_PARAMS_END
};

enum { FACT_VERDICT, FACT_STAGE, FACT_REPLY, FACT_QUARANTINE, FACT_SECONDS, FACT_RCPT_VERDICT, FACT_RCPT_REPLY };
static const struct sp_fact_decl milter_facts[] = {
	[FACT_VERDICT] = { .name = "verdict", .type = SP_ENUM, .stage = SP_EOM, .words = verdict_words,
		.help = "what the milter has decided of the message" },
	[FACT_STAGE] = { .name = "stage", .type = SP_ENUM, .stage = SP_EOM, .words = stage_words, .help = "at which command it has" },
	[FACT_REPLY] = { .name = "reply", .type = SP_STRING, .stage = SP_EOM,
		.help = "the reply it wants the client to get, as in \"550 5.7.1 No\"; empty where it refuses nothing" },
	[FACT_QUARANTINE] = { .name = "quarantine", .type = SP_STRING, .stage = SP_EOM,
		.help = "why it wants the message to be held; empty if it does not" },
	[FACT_SECONDS] = { .name = "seconds", .type = SP_DURATION, .stage = SP_EOM, .help = "how long it took for this message" },
	[FACT_RCPT_VERDICT] = { .name = "rcpt_verdict", .type = SP_ENUM, .stage = SP_RCPT, .words = verdict_words,
		.help = "what it has decided of the recipient, or of the message before" },
	[FACT_RCPT_REPLY] = { .name = "rcpt_reply", .type = SP_STRING, .stage = SP_RCPT, .help = "the reply it wants for that" },
	SP_FACTS_END
};

/* ---- configuration -------------------------------------------------------------------------------- */

static enum sp_status
milter_load(struct sp_load *load, const struct sp_host *host, void *conf, struct sp_entry *entries, size_t count)
{
	struct milter_conf *c = conf;
	char *endpoint = host->load_alloc(load, SOCKET_MAX);

	(void)entries, (void)count;
	c->pool = host->load_alloc(load, sizeof(*c->pool));
	if (endpoint == NULL || c->pool == NULL) {
		sp_load_error(host, load, NULL, 0, 0, "no memory");
		return SP_SYSTEM;
	}
	if (socket_read(c->socket, endpoint) != SP_OK) {
		sp_load_error(host, load, NULL, 0, 0,
			"'socket' is \"unix:/path\", \"inet:port@host\" or \"host:port\", an IPv6 address in brackets");
		return SP_INVALID;
	}
	if (c->protocol == 5) {
		sp_load_error(host, load, NULL, 0, 0, "there is no version 5 of the milter protocol: it is 2, 3, 4 or 6");
		return SP_INVALID;
	}
	c->endpoint = endpoint;
	c->pool->host = host;
	return SP_OK;
}

static void
milter_unload(void *conf, struct sp_entry *entries, size_t count)
{
	struct milter_conf *c = conf;

	(void)entries, (void)count;
	if (c->pool != NULL && c->pool->host != NULL)
		pool_fini(c->pool);
}

static bool
milter_decides(const void *conf)
{
	const struct milter_conf *c = conf;

	return c->obey;
}

/* ---- facts ------------------------------------------------------------------------------------------ */

static void
facts_of_rcpt(struct sp_ctx *ctx, const struct word *w)
{
	sp_fact_number(ctx, FACT_RCPT_VERDICT, SP_ENUM, w->verdict);
	sp_fact_text(ctx, FACT_RCPT_REPLY, SP_STRING, word_text(ctx, w));
}

static void
facts_of_message(struct sp_ctx *ctx, const struct word *w, const struct edits *edits)
{
	const struct talk *t = ctx->session;
	struct sp_span why = edits->quarantine;

	if (edits->quarantined && why.len == 0)
		why = span_str("quarantined");
	sp_fact_number(ctx, FACT_VERDICT, SP_ENUM, w->verdict);
	sp_fact_number(ctx, FACT_STAGE, SP_ENUM, w->stage);
	sp_fact_text(ctx, FACT_REPLY, SP_STRING, word_text(ctx, w));
	sp_fact_text(ctx, FACT_QUARANTINE, SP_STRING, edits->quarantined ? why : span_of("", 0));
	sp_fact_number(ctx, FACT_SECONDS, SP_DURATION, t->spent_ms);
}

/* ---- the session -------------------------------------------------------------------------------------- */

/* A milter that cannot be had now is tried again at MAIL, where it matters; but not if that has been so for long. */
static enum sp_status
greet_early(struct sp_ctx *ctx)
{
	struct talk *t = ctx->session;
	enum sp_status st = talk_greet(ctx);

	if (st == SP_OK)
		return word_say(ctx, &t->word);
	talk_drop(ctx, st);
	return pool_rests_long(ctx) ? st : SP_OK;
}

static enum sp_status
milter_on_connect(struct sp_ctx *ctx, const struct sp_connect *ev)
{
	struct talk *t = ctx->session;

	t->client = ev->client;
	t->port = ev->port;
	return greet_early(ctx);
}

static enum sp_status
milter_on_helo(struct sp_ctx *ctx, const struct sp_helo *ev)
{
	struct talk *t = ctx->session;

	t->helo_len = ev->name.len < sizeof(t->helo) ? ev->name.len : sizeof(t->helo);
	if (t->helo_len > 0)
		memcpy(t->helo, ev->name.ptr, t->helo_len);
	if (word_is_final(&t->word)) {
		t->word.said = false; /* what it said of the last HELO name counts no more to the host */
		return word_say(ctx, &t->word);
	}
	t->hello = false;
	return t->link != NULL ? greet_early(ctx) : SP_OK;
}

static void
milter_on_close(struct sp_ctx *ctx, const struct sp_close *ev)
{
	(void)ev;
	talk_end(ctx, true);
	pool_report(ctx, true);
}

/* ---- the transaction ------------------------------------------------------------------------------------ */

static bool
mail_keep(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	struct tx *tx = ctx->tx;
	char *text = sp_alloc(ctx, ev->address.len + ev->params.len + 1);

	if (text == NULL)
		return false;
	if (ev->address.len > 0)
		memcpy(text, ev->address.ptr, ev->address.len);
	if (ev->params.len > 0)
		memcpy(text + ev->address.len, ev->params.ptr, ev->params.len);
	tx->sender = span_of(text, ev->address.len);
	tx->params = span_of(text + ev->address.len, ev->params.len);
	tx->begun = true;
	return true;
}

static enum sp_status
milter_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	enum sp_status st;

	t->spent_ms = 0;
	if (!mail_keep(ctx, ev))
		return talk_fail(ctx, SP_SYSTEM);
	if (!word_is_final(&t->word)) {
		st = talk_mail(ctx);
		if (st != SP_OK)
			return talk_fail(ctx, st);
	}
	if (word_is_final(&t->word)) {
		tx->word = t->word;
		tx->word.said = false;
	}
	return word_say(ctx, &tx->word);
}

static enum sp_status
milter_on_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	struct tx *tx = ctx->tx;
	struct word w = tx->word;
	enum sp_status st = tx->status;

	if (st != SP_OK)
		return st;
	if (!word_is_final(&tx->word)) {
		st = talk_rcpt(ctx, ev, &w);
		if (st != SP_OK)
			return talk_fail(ctx, st);
	}
	facts_of_rcpt(ctx, &w);
	return w.verdict == VERDICT_DISCARD ? SP_OK : word_say(ctx, &w); /* to discard is not about one recipient: see on_data */
}

static enum sp_status
milter_on_data(struct sp_ctx *ctx)
{
	struct tx *tx = ctx->tx;
	enum sp_status st = tx->status;

	if (st != SP_OK)
		return st;
	if (!word_is_final(&tx->word)) {
		st = talk_data(ctx);
		if (st != SP_OK)
			return talk_fail(ctx, st);
	}
	return word_say(ctx, &tx->word);
}

/* A message that the milter wants held: a rule must say where, or the message stays with the client. */
static enum sp_status
quarantine(struct sp_ctx *ctx)
{
	const struct milter_conf *conf = ctx->conf;
	struct sp_reply reply = { .code = 451,
		.enhanced = span_str("4.7.1"),
		.text = span_str("Service unavailable - try again later") };

	if (!conf->obey || sp_fact_wanted(ctx, FACT_QUARANTINE))
		return SP_OK;
	sp_log(ctx, SP_LOG_WARNING, "the milter wants the message to be held, and no rule says where: deferred");
	return sp_refuse(ctx, &reply);
}

/* Carries out what it has said at the end, in a message that goes on. */
static enum sp_status
message_finish(struct sp_ctx *ctx, struct edits *edits)
{
	const struct milter_conf *conf = ctx->conf;
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	enum sp_status st = SP_OK;

	if (tx->word.verdict > VERDICT_ACCEPT)
		return word_say(ctx, &tx->word);
	if (conf->obey && t->link != NULL)
		st = edits_apply(ctx, t->link, edits);
	if (st == SP_OK && edits->quarantined)
		st = quarantine(ctx);
	return st;
}

static enum sp_status
milter_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	struct tx *tx = ctx->tx;
	struct edits edits = { 0 };
	enum sp_status st = tx->status;

	(void)ev;
	if (st != SP_OK)
		return st;
	if (!word_is_final(&tx->word))
		st = talk_message(ctx, &edits);
	if (st == SP_OK)
		st = message_finish(ctx, &edits);
	if (st != SP_OK)
		return talk_fail(ctx, st);
	facts_of_message(ctx, &tx->word, &edits);
	return SP_OK;
}

/* What the milter thinks of it is of no account: the command is refused in any case. */
static enum sp_status
milter_on_unknown(struct sp_ctx *ctx, const struct sp_unknown *ev)
{
	enum sp_status st = talk_unknown(ctx, ev->line);

	if (st == SP_OK || ctx->tx != NULL)
		return st == SP_OK ? SP_OK : talk_fail(ctx, st);
	talk_drop(ctx, st); /* the next message has a connection of its own */
	return SP_OK;
}

static void
milter_on_reset(struct sp_ctx *ctx)
{
	talk_reset(ctx);
}

SP_FILTER(milter) = { SP_FILTER_HEAD, .name = "milter", .summary = "asks a milter, over a socket",
	.facts = milter_facts, .params = milter_params, .conf_size = sizeof(struct milter_conf),
	.session_size = sizeof(struct talk), .tx_size = sizeof(struct tx),
	.load = milter_load, .unload = milter_unload, .on_connect = milter_on_connect,
	.on_helo = milter_on_helo, .on_mail = milter_on_mail, .on_rcpt = milter_on_rcpt, .on_data = milter_on_data,
	.on_eom = milter_on_eom, .on_reset = milter_on_reset, .on_unknown = milter_on_unknown, .on_close = milter_on_close, .by_rule = milter_decides,
	.decides = milter_decides, .lasts = true };
