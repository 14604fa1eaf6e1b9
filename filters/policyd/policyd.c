/*
 * policyd.c - asks a policy server of Postfix's kind (SMTPD_POLICY_README), and does what it says; facts policyd.verdict and others.
 *
 * It is asked once at MAIL, for each recipient, at DATA or at the end of the message.  What it says of one recipient is about
 * that one; HOLD, DISCARD and PREPEND are about the message, as with Postfix, and are done at its end.
 * Memory: a few spans of the transaction's; the connections are the worker's.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "linewire/reply.h"
#include "linewire/text.h"
#include "policyd/answer.h"
#include "policyd/request.h"
#include "policyd/talk.h"

enum { PREPEND_MAX = 64, INSTANCE_MAX = 48 };

/* ---- declarations ---------------------------------------------------------------------------- */

enum at { AT_MAIL, AT_RCPT, AT_DATA, AT_EOM };
static const char *const at_words[] = { "mail", "rcpt", "data", "eom", NULL };
static const char *const at_states[] = { "MAIL", "RCPT", "DATA", "END-OF-MESSAGE" };
static const enum sp_stage at_stages[] = { SP_MAIL, SP_RCPT, SP_DATA, SP_EOM };

struct policyd_conf {
	struct sp_span socket, command, context;
	int64_t at, timeout;
	bool obey;
	const char *endpoint, *name; /* these three by load */
	struct talk *talk;
};
#define AT(member) .offset = offsetof(struct policyd_conf, member)
static const struct sp_param policyd_params[] = {
	{ .name = "socket", .type = SP_STRING, AT(socket), .fallback = "\"\"",
		.help = "where the server listens: \"unix:/run/postgrey.sock\" or \"127.0.0.1:10023\"" },
	{ .name = "command", .type = SP_STRING, AT(command), .fallback = "\"\"",
		.help = "or the program that is the server, started for each connection: a path and arguments, no shell" },
	{ .name = "at", .type = SP_ENUM, AT(at), .fallback = "rcpt", .words = at_words,
		.help = "when it is asked: once at mail, data or eom, or for each recipient" },
	{ .name = "timeout", .type = SP_DURATION, AT(timeout), .fallback = "30s", .min = 100, .max = 600000,
		.help = "for one question with its answer" },
	{ .name = "obey", .type = SP_BOOL, AT(obey), .fallback = "yes",
		.help = "a rule \"filter NAME\" carries out what it says; no: it only states facts" },
	{ .name = "context", .type = SP_STRING, AT(context), .fallback = "\"\"",
		.help = "its attribute policy_context, for a server that serves several" },
	SP_PARAMS_END
};

enum verdict { VERDICT_NONE, VERDICT_REJECT, VERDICT_DEFER, VERDICT_DISCARD, VERDICT_HOLD };
static const char *const verdict_words[] = { "none", "reject", "defer", "discard", "hold", NULL };

enum { FACT_VERDICT, FACT_REPLY, FACT_ACTION, FACT_TEXT, FACT_QUARANTINE };
static const struct sp_fact_decl policyd_facts[] = {
	[FACT_VERDICT] = { .name = "verdict", .type = SP_ENUM, .stage = SP_RCPT, .words = verdict_words,
		.help = "what the server's answer comes to; known at the stage of \"at\"" },
	[FACT_REPLY] = { .name = "reply", .type = SP_STRING, .stage = SP_RCPT,
		.help = "what the client would be told, as in \"450 4.7.1 Greylisted\"; \"\" if nothing" },
	[FACT_ACTION] = { .name = "action", .type = SP_STRING, .stage = SP_RCPT,
		.help = "the first word of the answer, as in \"DUNNO\" or \"450\"" },
	[FACT_TEXT] = { .name = "text", .type = SP_STRING, .stage = SP_RCPT, .help = "what follows it" },
	[FACT_QUARANTINE] = { .name = "quarantine", .type = SP_STRING, .stage = SP_EOM,
		.help = "why the message is to be held (HOLD); \"\" if it is not" },
	SP_FACTS_END
};

struct policyd_session {
	struct sp_ip client;
	uint16_t port;
	bool esmtp;
};

struct field {
	struct field *next;
	const char *name;
	struct sp_span value;
};

struct policyd_tx {
	struct sp_span sender, sasl_sender;
	size_t recipients; /* that stand, at DATA and at the end */
	int64_t size;
	char instance[INSTANCE_MAX]; /* the same for all questions of a message */
	bool failed;
	struct sp_span hold; /* not null: HOLD */
	bool discard;
	struct field *fields, **fields_end;
	size_t field_count;
};

/* ---- configuration --------------------------------------------------------------------------- */

static enum sp_stage
policyd_fact_stage(const void *conf, unsigned fact, enum sp_stage declared)
{
	const struct policyd_conf *c = conf;

	return fact == FACT_QUARANTINE ? declared : at_stages[c->at];
}

static bool
policyd_decides(const void *conf)
{
	return ((const struct policyd_conf *)conf)->obey;
}

/* The text of a parameter as a string of its own. */
static const char *
keep_text(struct sp_load *load, const struct sp_host *host, struct sp_span text)
{
	char *copy = host->load_alloc(load, text.len + 1);

	if (copy != NULL)
		memcpy(copy, text.ptr, text.len);
	return copy;
}

static enum sp_status
policyd_load(struct sp_load *load, const struct sp_host *host, void *conf, struct sp_entry *entries, size_t count)
{
	struct policyd_conf *c = conf;

	(void)entries;
	(void)count;
	if ((c->socket.len > 0) == (c->command.len > 0)) {
		sp_load_error(host, load, NULL, 0, 0, "either 'socket' or 'command' says where the policy server is");
		return SP_INVALID;
	}
	c->talk = host->load_alloc(load, sizeof(*c->talk));
	c->endpoint = c->name = keep_text(load, host, c->socket.len > 0 ? c->socket : c->command);
	if (c->name != NULL && c->command.len > 0)
		c->endpoint = sp_load_program(host, load, c->name);
	return c->talk != NULL && c->endpoint != NULL ? SP_OK : SP_SYSTEM;
}

/* ---- what is to be done ---------------------------------------------------------------------- */

static struct sp_span
copy_text(struct sp_ctx *ctx, struct sp_span text)
{
	char *copy = sp_alloc(ctx, text.len + 1);

	if (copy != NULL && text.len > 0)
		memcpy(copy, text.ptr, text.len);
	return (struct sp_span){ copy, copy == NULL ? 0 : text.len };
}

static enum sp_status
note_field(struct sp_ctx *ctx, const struct answer *a)
{
	struct policyd_tx *tx = ctx->tx;
	struct field *f = tx->field_count == PREPEND_MAX ? NULL : sp_alloc(ctx, sizeof(*f));

	if (f == NULL) {
		sp_log(ctx, SP_LOG_WARNING, "more than %d header fields to prepend", PREPEND_MAX);
		return SP_LIMIT;
	}
	f->name = copy_text(ctx, a->name).ptr;
	f->value = copy_text(ctx, a->value);
	if (f->name == NULL || f->value.ptr == NULL)
		return SP_LIMIT;
	*tx->fields_end = f;
	tx->fields_end = &f->next;
	tx->field_count++;
	return SP_OK;
}

static void
state_reply(struct sp_ctx *ctx, const struct sp_reply *reply)
{
	char text[WIRE_REPLY_TEXT + 32];
	int len = snprintf(text, sizeof(text), "%d %.*s%s%.*s", reply->code, (int)reply->enhanced.len, reply->enhanced.ptr,
		reply->enhanced.len > 0 ? " " : "", (int)reply->text.len, reply->text.ptr);

	sp_fact_text(ctx, FACT_REPLY, SP_STRING, (struct sp_span){ text, (size_t)len });
}

static enum sp_status
refuse(struct sp_ctx *ctx, const struct answer *a)
{
	const struct policyd_conf *c = ctx->conf;
	struct sp_reply reply;
	enum sp_status st = wire_reply(ctx, a->code, a->text, &reply);

	if (st != SP_OK)
		return st;
	if (reply.enhanced.len == 0)
		reply.enhanced = text_of(a->code >= 500 ? "5.7.1" : "4.7.1");
	state_reply(ctx, &reply);
	return c->obey ? sp_refuse(ctx, &reply) : SP_OK;
}

static enum sp_status
obey(struct sp_ctx *ctx, const struct answer *a, enum verdict *ret)
{
	struct policyd_tx *tx = ctx->tx;

	switch (a->action) {
	case ACTION_NONE:
		return SP_OK;
	case ACTION_LOG:
		sp_log(ctx, text_like(a->word, "WARN") ? SP_LOG_WARNING : SP_LOG_INFO, "%.*s", (int)a->text.len, a->text.ptr);
		return SP_OK;
	case ACTION_REJECT:
	case ACTION_DEFER:
		*ret = a->action == ACTION_REJECT ? VERDICT_REJECT : VERDICT_DEFER;
		return refuse(ctx, a);
	case ACTION_DISCARD:
		*ret = VERDICT_DISCARD;
		tx->discard = true;
		return SP_OK;
	case ACTION_HOLD:
		*ret = VERDICT_HOLD;
		tx->hold = copy_text(ctx, a->text.len > 0 ? a->text : text_of("held by the policy server"));
		return tx->hold.ptr == NULL ? SP_LIMIT : SP_OK;
	case ACTION_PREPEND:
		return note_field(ctx, a);
	case ACTION_UNKNOWN:
		break;
	}
	sp_log(ctx, SP_LOG_WARNING, "the policy server says %.*s, which cannot be done here",
		(int)(a->word.len < 64 ? a->word.len : 64), a->word.ptr);
	return SP_INVALID;
}

static enum sp_status
carry_out(struct sp_ctx *ctx, const struct answer *a)
{
	enum verdict verdict = VERDICT_NONE;
	enum sp_status st;

	sp_fact_text(ctx, FACT_REPLY, SP_STRING, text_of(""));
	st = obey(ctx, a, &verdict);
	if (st != SP_OK)
		return st;
	sp_fact_number(ctx, FACT_VERDICT, SP_ENUM, verdict);
	sp_fact_text(ctx, FACT_ACTION, SP_STRING, a->word);
	sp_fact_text(ctx, FACT_TEXT, SP_STRING, a->text);
	return SP_OK;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static enum sp_status
question(struct sp_ctx *ctx, struct sp_span recipient, struct request *r)
{
	const struct policyd_conf *c = ctx->conf;
	const struct policyd_session *s = ctx->session;
	const struct policyd_tx *tx = ctx->tx;
	struct request_facts facts = { .state = at_states[c->at], .esmtp = s->esmtp, .client = s->client, .port = s->port,
		.sender = tx->sender, .sasl_sender = tx->sasl_sender, .recipient = recipient,
		.recipients = c->at >= AT_DATA ? tx->recipients : 0, .size = tx->size, .instance = tx->instance,
		.context = c->context };

	request_build(ctx, &facts, r);
	if (r->full)
		sp_log(ctx, SP_LOG_WARNING, "a question of more than %d octets", REQUEST_MAX);
	return r->full ? SP_LIMIT : SP_OK;
}

static enum sp_status
ask(struct sp_ctx *ctx, struct sp_span recipient)
{
	const struct policyd_conf *c = ctx->conf;
	struct talk_server server = { c->talk, c->endpoint, c->name, c->timeout };
	struct request r;
	char text[ANSWER_MAX];
	size_t len = 0;
	struct answer answer;
	const char *why;
	enum sp_status st = question(ctx, recipient, &r);

	if (st == SP_OK)
		st = talk_ask(ctx, &server, (struct sp_span){ r.bytes, r.len }, text, &len);
	if (st != SP_OK)
		return st;
	st = answer_parse((struct sp_span){ text, len }, &answer, &why);
	if (st != SP_OK)
		sp_log(ctx, SP_LOG_WARNING, "the policy server's answer is none: %s", why);
	return st == SP_OK ? carry_out(ctx, &answer) : st;
}

/* What is said to "explain" must not be counted by a greylist: the server is not asked. */
static void
state_unasked(struct sp_ctx *ctx)
{
	sp_fact_number(ctx, FACT_VERDICT, SP_ENUM, VERDICT_NONE);
	sp_fact_text(ctx, FACT_REPLY, SP_STRING, text_of(""));
	sp_fact_text(ctx, FACT_ACTION, SP_STRING, text_of(""));
	sp_fact_text(ctx, FACT_TEXT, SP_STRING, text_of(""));
}

/* Once it has failed in a transaction it is not asked again: the message is unknown already. */
static enum sp_status
stage(struct sp_ctx *ctx, enum at at, struct sp_span recipient)
{
	const struct policyd_conf *c = ctx->conf;
	struct policyd_tx *tx = ctx->tx;
	enum sp_status st;

	if (tx->failed)
		return SP_TEMPFAIL;
	if ((enum at)c->at != at)
		return SP_OK;
	if (ctx->dry_run) {
		sp_log(ctx, SP_LOG_INFO, "the policy server is not asked: a trial leaves no trace");
		state_unasked(ctx);
		return SP_OK;
	}
	st = ask(ctx, recipient);
	tx->failed = st != SP_OK;
	return st;
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static enum sp_status
policyd_on_connect(struct sp_ctx *ctx, const struct sp_connect *ev)
{
	struct policyd_session *s = ctx->session;

	s->client = ev->client;
	s->port = ev->port;
	return SP_OK;
}

static enum sp_status
policyd_on_helo(struct sp_ctx *ctx, const struct sp_helo *ev)
{
	struct policyd_session *s = ctx->session;

	s->client = ev->client;
	s->esmtp = ev->esmtp;
	return SP_OK;
}

/* AUTH= of MAIL (RFC 4954 section 5), without angle brackets. */
static struct sp_span
auth_param(struct sp_span params)
{
	while (params.len > 0) {
		struct sp_span one = text_cut(&params, ' ');

		if (!text_like(text_head(one, 5), "AUTH="))
			continue;
		one = text_from(one, 5);
		if (one.len >= 2 && one.ptr[0] == '<' && one.ptr[one.len - 1] == '>')
			one = text_head(text_from(one, 1), one.len - 2);
		return one;
	}
	return (struct sp_span){ NULL, 0 };
}

static enum sp_status
policyd_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	static unsigned count;
	struct policyd_tx *tx = ctx->tx;

	tx->fields_end = &tx->fields;
	tx->sender = copy_text(ctx, ev->address);
	tx->sasl_sender = copy_text(ctx, auth_param(ev->params));
	tx->size = ev->size > 0 ? ev->size : 0;
	tx->failed = tx->sender.ptr == NULL || tx->sasl_sender.ptr == NULL;
	snprintf(tx->instance, sizeof(tx->instance), "%x.%llx.%x.0", (unsigned)getpid(), (unsigned long long)time(NULL), ++count);
	return stage(ctx, AT_MAIL, (struct sp_span){ NULL, 0 });
}

static enum sp_status
policyd_on_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	return stage(ctx, AT_RCPT, ev->address);
}

/* Those that stand; of several none is named. */
static enum sp_status
stage_for_all(struct sp_ctx *ctx, enum at at)
{
	const struct policyd_conf *c = ctx->conf;
	struct policyd_tx *tx = ctx->tx;
	struct sp_rcpt one = { .index = 0 }, other;

	if ((enum at)c->at != at)
		return stage(ctx, at, one.address);
	for (tx->recipients = 0; sp_draft_rcpt(ctx, tx->recipients, tx->recipients == 0 ? &one : &other) == SP_OK; tx->recipients++)
		continue;
	return stage(ctx, at, tx->recipients == 1 ? one.address : (struct sp_span){ NULL, 0 });
}

static enum sp_status
policyd_on_data(struct sp_ctx *ctx)
{
	return stage_for_all(ctx, AT_DATA);
}

static enum sp_status
prepend(struct sp_ctx *ctx)
{
	enum sp_status st = SP_OK;

	for (const struct field *f = ((const struct policyd_tx *)ctx->tx)->fields; f != NULL && st == SP_OK; f = f->next)
		st = sp_header_insert(ctx, 0, f->name, f->value);
	return st;
}

/* Nobody takes what is to be held: then it must not go on. */
static enum sp_status
hold(struct sp_ctx *ctx)
{
	const struct sp_reply later = { .code = 451, .enhanced = { "4.7.1", 5 }, .text = text_of("Message held, try again later") };

	if (sp_fact_wanted(ctx, FACT_QUARANTINE))
		return SP_OK;
	sp_log(ctx, SP_LOG_WARNING, "HOLD, and no rule reads the fact 'quarantine': the message is deferred");
	return sp_refuse(ctx, &later);
}

static enum sp_status
policyd_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	static const struct sp_reply gone = { .code = 250, .enhanced = { NULL, 0 }, .text = { NULL, 0 } };
	const struct policyd_conf *c = ctx->conf;
	struct policyd_tx *tx = ctx->tx;
	enum sp_status st;

	tx->size = ev->octets;
	st = stage_for_all(ctx, AT_EOM);
	if (st != SP_OK)
		return st;
	sp_fact_text(ctx, FACT_QUARANTINE, SP_STRING, tx->hold.ptr != NULL ? tx->hold : text_of(""));
	if (!c->obey)
		return SP_OK;
	st = prepend(ctx);
	if (st == SP_OK && tx->hold.ptr != NULL)
		st = hold(ctx);
	if (st == SP_OK && tx->discard)
		st = sp_refuse(ctx, &gone);
	return st;
}

SP_FILTER(policyd) = { SP_FILTER_HEAD, .name = "policyd", .summary = "a policy server of Postfix's kind, such as postgrey",
	.facts = policyd_facts, .params = policyd_params, .conf_size = sizeof(struct policyd_conf),
	.session_size = sizeof(struct policyd_session), .tx_size = sizeof(struct policyd_tx), .load = policyd_load,
	.on_connect = policyd_on_connect, .on_helo = policyd_on_helo, .on_mail = policyd_on_mail, .on_rcpt = policyd_on_rcpt,
	.on_data = policyd_on_data, .on_eom = policyd_on_eom, .by_rule = policyd_decides, .decides = policyd_decides, .lasts = true,
	.fact_stage = policyd_fact_stage };
