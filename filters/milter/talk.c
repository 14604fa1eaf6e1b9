/*
 * talk.c - a client's session and its transactions as told to a milter.
 *
 * Memory: struct talk is the session's, struct tx and the recipients are the transaction's; the connection is the pool's.
 */
#include <arpa/inet.h>

#include <libmilter/mfapi.h>

#include "milter/macros.h"
#include "milter/pool.h"
#include "milter/talk.h"

static const struct {
	char letter;
	uint32_t unwanted, unanswered, version;
} commands[STAGE_COUNT] = {
	[STAGE_CONNECT] = { SMFIC_CONNECT, SMFIP_NOCONNECT, SMFIP_NR_CONN, 0 },
	[STAGE_HELO] = { SMFIC_HELO, SMFIP_NOHELO, SMFIP_NR_HELO, 0 },
	[STAGE_MAIL] = { SMFIC_MAIL, SMFIP_NOMAIL, SMFIP_NR_MAIL, 0 },
	[STAGE_RCPT] = { SMFIC_RCPT, SMFIP_NORCPT, SMFIP_NR_RCPT, 0 },
	[STAGE_DATA] = { SMFIC_DATA, SMFIP_NODATA, SMFIP_NR_DATA, 4 },
	[STAGE_HEADER] = { SMFIC_HEADER, SMFIP_NOHDRS, SMFIP_NR_HDR, 0 },
	[STAGE_EOH] = { SMFIC_EOH, SMFIP_NOEOH, SMFIP_NR_EOH, 0 },
	[STAGE_BODY] = { SMFIC_BODY, SMFIP_NOBODY, SMFIP_NR_BODY, 0 },
	[STAGE_EOM] = { SMFIC_BODYEOB, 0, 0, 0 },
};

/* ---- one command --------------------------------------------------------------------------------- */

bool
talk_wants(const struct talk *t, enum milter_stage stage)
{
	return !link_has(t->link, commands[stage].unwanted) && t->link->agreed.version >= commands[stage].version &&
		t->skip != commands[stage].letter;
}

enum sp_status
talk_judge(struct sp_ctx *ctx, enum milter_stage stage, const struct wire_reply *r, struct word *ret)
{
	struct talk *t = ctx->session;

	switch (r->letter) {
	case SMFIR_CONTINUE: case SMFIR_ACCEPT: case SMFIR_REJECT: case SMFIR_TEMPFAIL: case SMFIR_REPLYCODE:
		break;
	case SMFIR_DISCARD:
		if (stage > STAGE_HELO)
			break;
		sp_log(ctx, SP_LOG_WARNING, "the milter cannot discard at %s, this is ignored", stage_words[stage]);
		*ret = (struct word){ .stage = stage };
		return SP_OK;
	case SMFIR_SKIP:
		if (!link_has(t->link, SMFIP_SKIP) || stage == STAGE_EOM)
			return SP_INVALID;
		t->skip = commands[stage].letter;
		break;
	case SMFIR_SHUTDOWN: case SMFIR_CONN_FAIL:
		sp_log(ctx, SP_LOG_WARNING, "the milter is being shut down");
		return SP_GONE;
	default:
		sp_log(ctx, SP_LOG_ERROR, "the milter answers %s by %s, which has no meaning there", stage_words[stage],
			wire_reply_name(r->letter));
		return SP_INVALID;
	}
	word_from_reply(ret, stage, r);
	return SP_OK;
}

enum sp_status
talk_hear(struct sp_ctx *ctx, enum milter_stage stage, struct word *ret)
{
	const struct milter_conf *conf = ctx->conf;
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	int64_t began = sp_now_ms(ctx);
	struct wire_reply r;
	enum sp_status st;

	*ret = (struct word){ .stage = stage };
	if (commands[stage].unanswered != 0 && link_has(t->link, commands[stage].unanswered)) {
		st = link_mute(ctx, t->link);
	} else {
		st = link_reply(ctx, t->link, conf->timeout_ms, &r);
		if (st == SP_OK)
			st = talk_judge(ctx, stage, &r, ret);
		if (tx != NULL && st == SP_OK)
			tx->answered = true;
	}
	t->spent_ms += sp_now_ms(ctx) - began;
	return st;
}

/* A command with up to two texts. */
static enum sp_status
say(struct sp_ctx *ctx, enum milter_stage stage, struct sp_span first, struct sp_span second, struct word *ret)
{
	struct talk *t = ctx->session;
	struct wire_out *o = &t->link->out;
	struct sp_span name = first;
	char letter = commands[stage].letter;

	*ret = (struct word){ .stage = stage };
	t->ended = false;
	if (t->skip != letter)
		t->skip = 0;
	macros_put(ctx, t->link, stage);
	if (!talk_wants(t, stage))
		return link_send_much(ctx, t->link);
	switch (stage) {
	case STAGE_CONNECT:
		wire_connect(o, name, &t->client, t->port);
		break;
	case STAGE_HELO:
		wire_line(o, letter, first);
		break;
	case STAGE_MAIL: case STAGE_RCPT:
		wire_envelope(o, letter, first, second);
		break;
	default:
		wire_command(o, letter);
		break;
	}
	return talk_hear(ctx, stage, ret);
}

/* ---- the session ----------------------------------------------------------------------------------- */

void
talk_end(struct sp_ctx *ctx, bool good)
{
	struct talk *t = ctx->session;

	if (t->open && good && t->link != NULL)
		wire_command(&t->link->out, SMFIC_ABORT);
	pool_give(ctx, &t->link, !good ? POOL_BROKEN : t->ended ? POOL_AGAIN : POOL_DONE);
	t->greeted = t->hello = t->open = t->ended = false;
	t->skip = 0;
}

void
talk_drop(struct sp_ctx *ctx, enum sp_status st)
{
	struct talk *t = ctx->session;

	if (t->link == NULL)
		return; /* it could not be had: that is counted already */
	talk_end(ctx, false);
	if (st != SP_CANCELED)
		pool_failed(ctx);
}

enum sp_status
talk_fail(struct sp_ctx *ctx, enum sp_status st)
{
	struct tx *tx = ctx->tx;

	talk_drop(ctx, st);
	tx->status = st == SP_OK || st == SP_NONE ? SP_TEMPFAIL : st;
	return tx->status;
}

/* Has a connection from another session died before it answered in this one? */
static bool
is_stale(const struct talk *t, enum sp_status st)
{
	return (st == SP_GONE || st == SP_TEMPFAIL || st == SP_SYSTEM) && t->link != NULL && t->link->reused && !t->link->replied;
}

/* The name of the client as milters know it: "[192.0.2.1]" without one. */
static struct sp_span
client_name(struct sp_ctx *ctx, char *scratch, size_t size)
{
	struct sp_value v;
	size_t len = 0;

	if (sp_fact_named(ctx, "client.name", &v) == SP_OK && v.u.text.len > 0)
		return v.u.text;
	if (sp_fact_named(ctx, "client.ip", &v) != SP_OK || v.u.ip.family == 0)
		return span_str("unknown");
	scratch[len++] = '[';
	inet_ntop(v.u.ip.family == 4 ? AF_INET : AF_INET6, v.u.ip.bytes, scratch + len, (socklen_t)(size - 2));
	len = strlen(scratch);
	scratch[len++] = ']';
	return span_of(scratch, len);
}

static enum sp_status
greet_connect(struct sp_ctx *ctx)
{
	struct talk *t = ctx->session;
	char scratch[INET6_ADDRSTRLEN + 2];
	struct sp_span name = span_str("");
	enum sp_status st;

	if (talk_wants(t, STAGE_CONNECT))
		name = client_name(ctx, scratch, sizeof(scratch));
	st = say(ctx, STAGE_CONNECT, name, span_str(""), &t->word);
	t->greeted = st == SP_OK;
	return st;
}

static enum sp_status
greet_once(struct sp_ctx *ctx, bool fresh)
{
	struct talk *t = ctx->session;
	enum sp_status st = t->link == NULL ? pool_take(ctx, fresh, &t->link) : SP_OK;

	if (st == SP_OK && !t->greeted)
		st = greet_connect(ctx);
	if (st == SP_OK && !t->hello && t->helo_len > 0 && !word_is_final(&t->word)) {
		st = say(ctx, STAGE_HELO, span_of(t->helo, t->helo_len), span_str(""), &t->word);
		t->hello = st == SP_OK;
	}
	return st;
}

enum sp_status
talk_greet(struct sp_ctx *ctx)
{
	struct talk *t = ctx->session;
	enum sp_status st = greet_once(ctx, false);

	if (st != SP_OK && is_stale(t, st)) {
		talk_end(ctx, false);
		st = greet_once(ctx, true);
	}
	if (st == SP_OK && word_is_final(&t->word))
		talk_end(ctx, true); /* nothing more is to be said in this session */
	return st;
}

enum sp_status
talk_unknown(struct sp_ctx *ctx, struct sp_span line)
{
	const struct milter_conf *conf = ctx->conf;
	struct talk *t = ctx->session;
	struct wire_reply r;
	enum sp_status st;

	if (t->link == NULL || !t->greeted || t->link->agreed.version < 3 || link_has(t->link, SMFIP_NOUNKNOWN))
		return SP_OK;
	wire_line(&t->link->out, SMFIC_UNKNOWN, line);
	if (link_has(t->link, SMFIP_NR_UNKN))
		return link_mute(ctx, t->link);
	st = link_reply(ctx, t->link, conf->timeout_ms, &r);
	if (st != SP_OK)
		return st;
	switch (r.letter) {
	case SMFIR_CONTINUE: case SMFIR_ACCEPT: case SMFIR_REJECT: case SMFIR_TEMPFAIL: case SMFIR_REPLYCODE: case SMFIR_DISCARD:
		return SP_OK;
	case SMFIR_SHUTDOWN: case SMFIR_CONN_FAIL:
		return SP_GONE;
	default:
		return SP_INVALID;
	}
}

/* ---- the envelope ---------------------------------------------------------------------------------- */

static enum sp_status
mail_once(struct sp_ctx *ctx)
{
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	enum sp_status st;

	t->open = true;
	st = say(ctx, STAGE_MAIL, tx->sender, tx->params, &tx->word);
	tx->mail_told = st == SP_OK;
	return st;
}

static enum sp_status
rcpt_once(struct sp_ctx *ctx, const struct rcpt *r, struct word *ret)
{
	struct tx *tx = ctx->tx;
	enum sp_status st;

	tx->rcpt = r;
	st = say(ctx, STAGE_RCPT, r->address, r->params, ret);
	tx->rcpt = NULL;
	return st;
}

/* A word that a milter says to what it has let pass before: nothing but to accept it can be carried out now. */
static enum sp_status
word_again(struct sp_ctx *ctx, const struct word *w)
{
	struct tx *tx = ctx->tx;

	if (w->verdict == VERDICT_ACCEPT)
		tx->word = *w;
	if (w->verdict <= VERDICT_ACCEPT)
		return SP_OK;
	sp_log(ctx, SP_LOG_WARNING, "the milter has let %s pass, and refuses it when it is told again", stage_words[w->stage]);
	return SP_TEMPFAIL;
}

/* MAIL and its recipients once more; those that others have refused only where the milter wants to know of them. */
static enum sp_status
envelope_again(struct sp_ctx *ctx)
{
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	struct word w;
	enum sp_status st = mail_once(ctx);

	if (st == SP_OK)
		st = word_again(ctx, &tx->word);
	for (const struct rcpt *r = tx->rcpts; r != NULL && st == SP_OK && !word_is_final(&tx->word); r = r->next) {
		if (!r->stands && !link_has(t->link, SMFIP_RCPT_REJ))
			continue;
		st = rcpt_once(ctx, r, &w);
		if (st == SP_OK && r->stands)
			st = word_again(ctx, &w);
	}
	return st;
}

/* Over a fresh connection, all that was said. */
static enum sp_status
revive(struct sp_ctx *ctx)
{
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	struct word w = { .stage = STAGE_DATA };
	enum sp_status st;

	talk_end(ctx, false);
	st = greet_once(ctx, true);
	if (st == SP_OK && word_is_final(&t->word))
		return SP_TEMPFAIL;
	if (st == SP_OK && tx->mail_told)
		st = envelope_again(ctx);
	if (st == SP_OK && tx->data_told && !word_is_final(&tx->word))
		st = say(ctx, STAGE_DATA, span_str(""), span_str(""), &w);
	return st == SP_OK ? word_again(ctx, &w) : st;
}

enum sp_status
talk_mail(struct sp_ctx *ctx)
{
	struct talk *t = ctx->session;
	enum sp_status st = talk_greet(ctx);

	if (st != SP_OK || word_is_final(&t->word))
		return st;
	st = mail_once(ctx);
	if (st != SP_OK && is_stale(t, st)) {
		st = revive(ctx);
		if (st == SP_OK)
			st = mail_once(ctx);
	}
	return st;
}

static struct rcpt *
rcpt_new(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	struct rcpt *r = sp_alloc(ctx, sizeof(*r) + ev->address.len + ev->params.len + 1);
	char *text = (char *)(r + 1);

	if (r == NULL)
		return NULL;
	if (ev->address.len > 0)
		memcpy(text, ev->address.ptr, ev->address.len);
	if (ev->params.len > 0)
		memcpy(text + ev->address.len, ev->params.ptr, ev->params.len);
	*r = (struct rcpt){ .address = span_of(text, ev->address.len),
		.params = span_of(text + ev->address.len, ev->params.len),
		.stands = true };
	return r;
}

enum sp_status
talk_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev, struct word *ret)
{
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	struct rcpt *r = rcpt_new(ctx, ev);
	enum sp_status st;

	if (r == NULL)
		return SP_SYSTEM;
	st = rcpt_once(ctx, r, ret);
	if (st != SP_OK && is_stale(t, st)) {
		st = revive(ctx);
		if (st == SP_OK)
			st = rcpt_once(ctx, r, ret);
	}
	if (st != SP_OK || ret->verdict == VERDICT_REJECT || ret->verdict == VERDICT_TEMPFAIL)
		return st;
	if (word_is_final(ret))
		tx->word = *ret; /* to accept or to discard is about the message */
	if (tx->rcpts_end == NULL)
		tx->rcpts_end = &tx->rcpts;
	*tx->rcpts_end = r;
	tx->rcpts_end = &r->next;
	return SP_OK;
}

/* ---- who stands -------------------------------------------------------------------------------------- */

static bool
is_same(struct sp_span a, struct sp_span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Notes which recipients others have refused since.  True: at least one. */
static bool
rcpts_check(struct sp_ctx *ctx)
{
	struct tx *tx = ctx->tx;
	struct sp_rcpt ev;
	bool any = false;
	enum sp_status st = sp_draft_rcpt(ctx, 0, &ev);

	if (st != SP_OK && st != SP_NONE)
		return false;
	for (struct rcpt *r = tx->rcpts; r != NULL; r = r->next)
		r->stands = false;
	for (size_t i = 0; sp_draft_rcpt(ctx, i, &ev) == SP_OK; i++)
		for (struct rcpt *r = tx->rcpts; r != NULL; r = r->next)
			r->stands = r->stands || is_same(r->address, ev.address);
	for (struct rcpt *r = tx->rcpts; r != NULL; r = r->next)
		any = any || !r->stands;
	return any;
}

static enum sp_status
data_once(struct sp_ctx *ctx)
{
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	enum sp_status st = SP_OK;

	if (rcpts_check(ctx)) {
		wire_command(&t->link->out, SMFIC_ABORT);
		t->skip = 0;
		st = envelope_again(ctx);
	}
	if (st == SP_OK && !word_is_final(&tx->word))
		st = say(ctx, STAGE_DATA, span_str(""), span_str(""), &tx->word);
	tx->data_told = st == SP_OK;
	return st;
}

enum sp_status
talk_data(struct sp_ctx *ctx)
{
	struct talk *t = ctx->session;
	enum sp_status st = data_once(ctx);

	if (st == SP_OK || !is_stale(t, st))
		return st;
	st = revive(ctx);
	return st == SP_OK ? data_once(ctx) : st;
}

/* ---- the message ------------------------------------------------------------------------------------- */

enum sp_status
talk_message(struct sp_ctx *ctx, struct edits *ret)
{
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;
	enum sp_status st = message_tell(ctx, ret);

	if (st == SP_OK || !is_stale(t, st))
		return st;
	st = revive(ctx);
	return st == SP_OK && !word_is_final(&tx->word) ? message_tell(ctx, ret) : st;
}

void
talk_reset(struct sp_ctx *ctx)
{
	struct talk *t = ctx->session;
	struct tx *tx = ctx->tx;

	if (t->link != NULL && t->open) {
		wire_command(&t->link->out, SMFIC_ABORT);
		if (link_send(ctx, t->link) != SP_OK)
			talk_end(ctx, false);
	}
	t->open = false;
	t->skip = 0;
	if (tx != NULL && tx->answered && tx->status == SP_OK)
		pool_succeeded(ctx, t->spent_ms);
	t->spent_ms = 0;
	pool_report(ctx, false);
}
