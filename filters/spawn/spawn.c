/*
 * spawn.c - a filter program for OpenSMTPD (smtpd-filters(7), protocol 0.7): it is told of sessions and messages, asked what to
 * do with them, and may edit them; facts spawn.verdict and others.
 *
 * The program is shared by all sessions of a worker (hub.c).  One that has ended is started by the next question; then it does not
 * know of the sessions that there are, so they are introduced to it again, at MAIL at the latest.  A message that it has seen
 * half of is unknown.
 */
#include "spawn/spawn.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "linewire/text.h"

/* ---- declarations ---------------------------------------------------------------------------- */

#define AT(member) .offset = offsetof(struct spawn_conf, member)
static const struct sp_param spawn_params[] = {
	{ .name = "command", .type = SP_STRING, AT(command), .help = "the program: a path and arguments, divided by blanks; no shell" },
	{ .name = "timeout", .type = SP_DURATION, AT(timeout), .fallback = "30s", .min = 100, .max = 600000,
		.help = "for it to start, for one answer, and for a whole message" },
	{ .name = "obey", .type = SP_BOOL, AT(obey), .fallback = "yes",
		.help = "a rule \"filter NAME\" carries out what it says; no: it only states facts" },
	SP_PARAMS_END
};

static const char *const verdict_words[] = { "none", "junk", "reject", "defer", NULL };

enum { FACT_VERDICT, FACT_REPLY, FACT_RCPT_VERDICT, FACT_RCPT_REPLY };
static const struct sp_fact_decl spawn_facts[] = {
	[FACT_VERDICT] = { .name = "verdict", .type = SP_ENUM, .stage = SP_EOM, .words = verdict_words,
		.help = "what the program has said of the session and the message" },
	[FACT_REPLY] = { .name = "reply", .type = SP_STRING, .stage = SP_EOM,
		.help = "what the client would be told, as in \"550 5.7.1 no\"; \"\" if nothing" },
	[FACT_RCPT_VERDICT] = { .name = "rcpt_verdict", .type = SP_ENUM, .stage = SP_RCPT, .words = verdict_words,
		.help = "what it has said of this recipient" },
	[FACT_RCPT_REPLY] = { .name = "rcpt_reply", .type = SP_STRING, .stage = SP_RCPT, .help = "and what the client would be told" },
	SP_FACTS_END
};

static enum sp_status
spawn_load(struct sp_load *load, const struct sp_host *host, void *conf, struct sp_entry *entries, size_t count)
{
	struct spawn_conf *c = conf;
	char *command = host->load_alloc(load, c->command.len + 1);

	(void)entries;
	(void)count;
	c->hub = host->load_alloc(load, sizeof(*c->hub));
	if (command == NULL || c->hub == NULL)
		return SP_SYSTEM;
	memcpy(command, c->command.ptr, c->command.len);
	c->hub->timeout_ms = c->timeout;
	c->hub->endpoint = sp_load_program(host, load, command);
	return c->hub->endpoint != NULL ? SP_OK : SP_SYSTEM;
}

static void
spawn_unload(void *conf, struct sp_entry *entries, size_t count)
{
	struct spawn_conf *c = conf;

	(void)entries;
	(void)count;
	if (c->hub == NULL)
		return;
	heap_fini(&c->hub->in);
	heap_fini(&c->hub->out);
}

static bool
spawn_decides(const void *conf)
{
	return ((const struct spawn_conf *)conf)->obey;
}

/* ---- sessions -------------------------------------------------------------------------------- */

static struct sp_span
fact_text(struct sp_ctx *ctx, const char *name)
{
	struct sp_value v;

	if (sp_fact_named(ctx, name, &v) != SP_OK || (v.type != SP_STRING && v.type != SP_DOMAIN))
		return (struct sp_span){ NULL, 0 };
	return v.u.text;
}

static int64_t
fact_number(struct sp_ctx *ctx, const char *name)
{
	struct sp_value v;

	return sp_fact_named(ctx, name, &v) == SP_OK && v.type == SP_INT ? v.u.integer : 0;
}

enum { PLACE = INET6_ADDRSTRLEN + 16 };

/* "192.0.2.1:25", "[2001:db8::1]:25", "unix:" */
static void
place(const struct sp_ip *ip, int64_t port, char to[PLACE])
{
	char text[INET6_ADDRSTRLEN];

	if (ip->family == 0 || inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, text, sizeof(text)) == NULL)
		snprintf(to, PLACE, "unix:");
	else if (port < 0)
		snprintf(to, PLACE, ip->family == 4 ? "%s" : "[%s]", text);
	else
		snprintf(to, PLACE, ip->family == 4 ? "%s:%d" : "[%s]:%d", text, (int)port);
}

static void
report_connect(struct sp_ctx *ctx)
{
	const struct spawn_session *s = ctx->session;
	struct sp_span name = fact_text(ctx, "client.name"), ptr = fact_text(ctx, "client.ptr");
	struct sp_value v;
	struct sp_ip ip = { .family = 0 };
	char from[PLACE], to[PLACE];

	if (sp_fact_named(ctx, "listener.ip", &v) == SP_OK && v.type == SP_IP)
		ip = v.u.ip;
	place(&s->client, s->port, from);
	place(&ip, fact_number(ctx, "listener.port"), to);
	tell(ctx, EVENT_LINK_CONNECT, "%s|%s|%s|%s", ptr.len > 0 ? tell_text(ctx, ptr) : "<unknown>", name.len > 0 ? "pass" : "fail",
		from, to);
	tell(ctx, EVENT_LINK_GREETING, "%s", tell_text(ctx, fact_text(ctx, "listener.hostname")));
}

static enum sp_status
ask_connect(struct sp_ctx *ctx)
{
	struct spawn_session *s = ctx->session;
	struct sp_span ptr = fact_text(ctx, "client.ptr");
	char from[PLACE];
	struct ask a;
	enum sp_status st;

	place(&s->client, -1, from);
	st = tell_ask(ctx, &a, PHASE_CONNECT, "%s|%s", ptr.len > 0 ? tell_text(ctx, ptr) : "<unknown>",
		s->client.family == 0 ? "local" : from);
	if (st == SP_NONE)
		return SP_OK;
	if (st == SP_OK)
		st = decide(ctx, &a, PHASE_CONNECT, (struct sp_span){ NULL, 0 }, &s->words[WORD_CONNECT]);
	tell_close(ctx, &a);
	return st;
}

static enum sp_status
identify(struct sp_ctx *ctx)
{
	struct spawn_session *s = ctx->session;
	struct sp_span name = fact_text(ctx, "client.helo");
	enum sp_status st = question(ctx, s->esmtp ? PHASE_EHLO : PHASE_HELO, name, &s->words[WORD_HELO]);

	if (st == SP_OK)
		tell(ctx, EVENT_LINK_IDENTIFY, "%s|%s", s->esmtp ? "EHLO" : "HELO", tell_text(ctx, name));
	return st;
}

/* The program as it runs now knows of this session. */
static enum sp_status
introduce(struct sp_ctx *ctx)
{
	struct spawn_session *s = ctx->session;
	struct hub *hub = spawn_hub(ctx);
	enum sp_status st = hub_ready(ctx, hub);

	if (st != SP_OK || s->incarnation == hub->incarnation)
		return st;
	s->id = hub_id(hub);
	s->incarnation = hub->incarnation;
	report_connect(ctx);
	st = ask_connect(ctx);
	if (st == SP_OK && s->has_helo)
		st = identify(ctx);
	if (st != SP_OK)
		s->incarnation = 0;
	return st;
}

/* A program that cannot be had now is asked again at MAIL. */
static enum sp_status
early(struct sp_ctx *ctx, enum sp_status st)
{
	return ctx->tx != NULL ? st : SP_OK;
}

static enum sp_status
spawn_on_connect(struct sp_ctx *ctx, const struct sp_connect *ev)
{
	struct spawn_session *s = ctx->session;

	s->client = ev->client;
	s->port = ev->port;
	return ctx->dry_run ? SP_OK : early(ctx, introduce(ctx));
}

static enum sp_status
spawn_on_helo(struct sp_ctx *ctx, const struct sp_helo *ev)
{
	struct spawn_session *s = ctx->session;
	bool known = s->incarnation != 0;

	s->has_helo = true;
	s->esmtp = ev->esmtp;
	s->words[WORD_HELO] = (struct word){ .code = 0 };
	if (ctx->dry_run)
		return SP_OK;
	return early(ctx, known && hub_runs(spawn_hub(ctx), s->incarnation) ? identify(ctx) : introduce(ctx));
}

/* ---- messages -------------------------------------------------------------------------------- */

static void
report_security(struct sp_ctx *ctx)
{
	struct sp_span version = fact_text(ctx, "tls.version"), user = fact_text(ctx, "auth.user");

	if (version.len > 0)
		tell(ctx, EVENT_LINK_TLS, "%s:%s:%d", tell_text(ctx, version), tell_text(ctx, fact_text(ctx, "tls.cipher")),
			(int)fact_number(ctx, "tls.bits"));
	if (user.len > 0)
		tell(ctx, EVENT_LINK_AUTH, "pass|%s", tell_text(ctx, user));
}

/* A failure is the message's: what comes later is not asked. */
static enum sp_status
note(struct spawn_tx *tx, enum sp_status st)
{
	tx->failed = tx->failed || st != SP_OK;
	return st;
}

static bool
is_followed(struct sp_ctx *ctx)
{
	const struct spawn_tx *tx = ctx->tx;

	return !tx->failed && hub_runs(spawn_hub(ctx), tx->incarnation);
}

static enum sp_status
begin(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	struct spawn_session *s = ctx->session;
	struct spawn_tx *tx = ctx->tx;
	enum sp_status st = introduce(ctx);

	if (st != SP_OK)
		return st;
	st = word_refuse(ctx, s->words, WORDS);
	tx->moot = st == SP_OK;
	if (st != SP_NONE)
		return st;
	tx->incarnation = s->incarnation;
	tx->id = (uint32_t)hub_id(spawn_hub(ctx));
	report_security(ctx);
	st = question(ctx, PHASE_MAIL_FROM, ev->address, &tx->word);
	if (st != SP_OK || tx->word.code != 0)
		return st;
	tx->begun = true;
	tell(ctx, EVENT_TX_BEGIN, "%08x", tx->id);
	tell(ctx, EVENT_TX_MAIL, "%08x|ok|%s", tx->id, tell_text(ctx, ev->address));
	return SP_OK;
}

static enum sp_status
spawn_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	if (ctx->dry_run)
		sp_log(ctx, SP_LOG_INFO, "the program is not asked: a trial leaves no trace");
	return ctx->dry_run ? SP_OK : note(ctx->tx, begin(ctx, ev));
}

static const char *
result_word(const struct word *w)
{
	return w->verdict == VERDICT_REJECT ? "permfail" : w->verdict == VERDICT_DEFER ? "tempfail" : "ok";
}

static enum sp_status
recipient(struct sp_ctx *ctx, const struct sp_rcpt *ev, struct word *word)
{
	struct spawn_tx *tx = ctx->tx;
	enum sp_status st;

	if (tx->moot)
		return SP_OK;
	if (!is_followed(ctx))
		return SP_TEMPFAIL;
	st = question(ctx, PHASE_RCPT_TO, ev->address, word);
	if (st != SP_OK)
		return st;
	tx->junk = tx->junk || word->verdict == VERDICT_JUNK; /* the message is one for all */
	tell(ctx, EVENT_TX_RCPT, "%08x|%s|%s", tx->id, result_word(word), tell_text(ctx, ev->address));
	if (word->code == 0)
		tell(ctx, EVENT_TX_ENVELOPE, "%08x|%08x%08x", tx->id, tx->id, (unsigned)ev->index + 1);
	return SP_OK;
}

static void
state_rcpt(struct sp_ctx *ctx, const struct word *word)
{
	sp_fact_number(ctx, FACT_RCPT_VERDICT, SP_ENUM, word->verdict);
	sp_fact_text(ctx, FACT_RCPT_REPLY, SP_STRING, text_of(word_text(ctx, word)));
}

static enum sp_status
spawn_on_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	struct word word = { .code = 0 };
	enum sp_status st = ctx->dry_run ? SP_OK : note(ctx->tx, recipient(ctx, ev, &word));

	if (st == SP_OK)
		state_rcpt(ctx, &word);
	return st;
}

static enum sp_status
spawn_on_data(struct sp_ctx *ctx)
{
	struct spawn_tx *tx = ctx->tx;
	enum sp_status st;

	if (ctx->dry_run || tx->moot)
		return SP_OK;
	if (!is_followed(ctx))
		return note(tx, SP_TEMPFAIL);
	st = question(ctx, PHASE_DATA, text_of(""), &tx->word);
	if (st == SP_OK)
		tell(ctx, EVENT_TX_DATA, "%08x|%s", tx->id, result_word(&tx->word));
	return note(tx, st);
}

/* ---- the end of a message -------------------------------------------------------------------- */

/* All go before any comes: one may be to be what another was. */
static enum sp_status
change_envelope(struct sp_ctx *ctx)
{
	struct spawn_tx *tx = ctx->tx;
	enum sp_status st = SP_OK;

	if (tx->sender.ptr != NULL)
		st = sp_sender_change(ctx, tx->sender, (struct sp_span){ NULL, 0 });
	for (struct rewrite *r = tx->rewrites; r != NULL && st == SP_OK; r = r->next) {
		st = sp_rcpt_delete(ctx, r->from);
		r->refused = st == SP_NONE; /* elsewhere */
		if (r->refused)
			st = SP_OK;
	}
	for (const struct rewrite *r = tx->rewrites; r != NULL && st == SP_OK; r = r->next)
		if (!r->refused)
			st = sp_rcpt_insert(ctx, r->to, (struct sp_span){ NULL, 0 });
	return st;
}

/* The gravest word of session and message. */
static const struct word *
gravest(const struct sp_ctx *ctx)
{
	const struct spawn_session *s = ctx->session;
	const struct word *word = &((const struct spawn_tx *)ctx->tx)->word;

	for (size_t i = 0; i < WORDS; i++)
		if (word->code == 0 && s->words[i].verdict > word->verdict)
			word = &s->words[i];
	return word;
}

static bool
is_junk(const struct sp_ctx *ctx)
{
	const struct spawn_session *s = ctx->session;
	const struct spawn_tx *tx = ctx->tx;

	return s->words[WORD_CONNECT].verdict == VERDICT_JUNK || s->words[WORD_HELO].verdict == VERDICT_JUNK || tx->junk ||
		tx->word.verdict == VERDICT_JUNK;
}

static enum sp_status
finish(struct sp_ctx *ctx)
{
	struct spawn_tx *tx = ctx->tx;
	enum sp_status st;

	if (tx->moot)
		return SP_OK;
	if (!is_followed(ctx))
		return SP_TEMPFAIL;
	st = message_filter(ctx);
	if (st == SP_OK)
		st = question(ctx, PHASE_COMMIT, text_of(""), &tx->word);
	if (st != SP_OK || !spawn_obeys(ctx) || tx->word.code != 0)
		return st;
	if (is_junk(ctx))
		st = sp_draft_insert(ctx, SP_DRAFT_TOP, text_of("X-Spam: Yes"));
	return st == SP_OK ? change_envelope(ctx) : st;
}

static enum sp_status
spawn_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	struct spawn_tx *tx = ctx->tx;
	const struct word *word;
	enum sp_status st;

	tx->octets = ev->octets;
	st = ctx->dry_run ? SP_OK : note(tx, finish(ctx));
	if (st != SP_OK)
		return st;
	word = gravest(ctx);
	sp_fact_number(ctx, FACT_VERDICT, SP_ENUM, word->verdict);
	sp_fact_text(ctx, FACT_REPLY, SP_STRING, text_of(word_text(ctx, word)));
	return SP_OK;
}

/* What the mail server says to it is not known yet, and never will be here. */
static enum sp_status
spawn_on_final(struct sp_ctx *ctx, const struct sp_final *ev)
{
	struct spawn_tx *tx = ctx->tx;

	(void)ev;
	if (!tx->begun || !is_followed(ctx))
		return SP_OK;
	tx->committed = true;
	tell(ctx, EVENT_TX_COMMIT, "%08x|%lld", tx->id, (long long)tx->octets);
	return SP_OK;
}

static void
spawn_on_reset(struct sp_ctx *ctx)
{
	const struct spawn_tx *tx = ctx->tx;

	if (!tx->begun || !hub_runs(spawn_hub(ctx), tx->incarnation))
		return;
	if (!tx->committed)
		tell(ctx, EVENT_TX_ROLLBACK, "%08x", tx->id);
	tell(ctx, EVENT_TX_RESET, "%08x", tx->id);
}

static void
spawn_on_close(struct sp_ctx *ctx, const struct sp_close *ev)
{
	(void)ev;
	tell(ctx, EVENT_LINK_DISCONNECT, "%s", "");
}

SP_FILTER(spawn) = { SP_FILTER_HEAD, .name = "spawn", .summary = "a filter program for OpenSMTPD, in any language",
	.facts = spawn_facts, .params = spawn_params, .conf_size = sizeof(struct spawn_conf),
	.session_size = sizeof(struct spawn_session), .tx_size = sizeof(struct spawn_tx), .load = spawn_load, .unload = spawn_unload,
	.on_connect = spawn_on_connect, .on_helo = spawn_on_helo, .on_mail = spawn_on_mail, .on_rcpt = spawn_on_rcpt,
	.on_data = spawn_on_data, .on_eom = spawn_on_eom, .on_reset = spawn_on_reset, .on_close = spawn_on_close,
	.on_final = spawn_on_final, .by_rule = spawn_decides, .decides = spawn_decides, .lasts = true };
