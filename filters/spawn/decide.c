/*
 * decide.c - what the program decides, and what comes of it: refusals at once, all else at the end of the message.
 */
#include <stdio.h>

#include "linewire/text.h"
#include "spawn/spawn.h"

static struct sp_reply
word_reply(const struct word *w)
{
	return (struct sp_reply){ .code = w->code, .enhanced = text_of(w->enhanced), .text = text_of(w->text) };
}

const char *
word_text(struct sp_ctx *ctx, const struct word *w)
{
	char *text = sp_alloc(ctx, sizeof(*w) + 16);

	if (text == NULL || w->code == 0)
		return "";
	snprintf(text, sizeof(*w) + 16, "%d %s%s%s", w->code, w->enhanced, w->enhanced[0] != '\0' ? " " : "", w->text);
	return text;
}

enum sp_status
word_refuse(struct sp_ctx *ctx, const struct word *words, size_t count)
{
	for (size_t i = 0; i < count && spawn_obeys(ctx); i++)
		if (words[i].code != 0) {
			struct sp_reply reply = word_reply(&words[i]);

			return sp_refuse(ctx, &reply);
		}
	return SP_NONE;
}

/* The first refusal counts. */
static enum sp_status
refuse(struct sp_ctx *ctx, struct sp_span line, struct word *to)
{
	struct sp_reply reply;
	enum sp_status st = wire_reply_line(ctx, line, &reply);

	if (st != SP_OK) {
		sp_log(ctx, SP_LOG_WARNING, "the program refuses with what is no reply");
		return st;
	}
	if (to->code == 0) {
		to->verdict = reply.code >= 500 ? VERDICT_REJECT : VERDICT_DEFER;
		to->code = reply.code;
		snprintf(to->enhanced, sizeof(to->enhanced), "%.*s", (int)reply.enhanced.len, reply.enhanced.ptr);
		snprintf(to->text, sizeof(to->text), "%.*s", (int)reply.text.len, reply.text.ptr);
	}
	st = word_refuse(ctx, to, 1);
	return st == SP_NONE ? SP_OK : st;
}

static struct sp_span
bare_address(struct sp_span text)
{
	if (text.len >= 2 && text.ptr[0] == '<' && text.ptr[text.len - 1] == '>')
		return text_head(text_from(text, 1), text.len - 2);
	return text;
}

static struct sp_span
copy_text(struct sp_ctx *ctx, struct sp_span text)
{
	char *copy = sp_alloc(ctx, text.len + 1);

	if (copy != NULL && text.len > 0)
		memcpy(copy, text.ptr, text.len);
	return (struct sp_span){ copy, copy == NULL ? 0 : text.len };
}

/* Done at the end of the message, when nothing of it can be lost half-way. */
static enum sp_status
rewrite(struct sp_ctx *ctx, enum phase phase, struct sp_span what, struct sp_span to)
{
	struct spawn_tx *tx = ctx->tx;
	struct rewrite *r;

	if (phase == PHASE_MAIL_FROM) {
		tx->sender = copy_text(ctx, bare_address(to));
		return tx->sender.ptr != NULL ? SP_OK : SP_LIMIT;
	}
	if (phase != PHASE_RCPT_TO) {
		sp_log(ctx, SP_LOG_INFO, "the program rewrites %s, which stays as it is", phase_names[phase]);
		return SP_OK;
	}
	r = sp_alloc(ctx, sizeof(*r));
	if (r == NULL)
		return SP_LIMIT;
	*r = (struct rewrite){ .next = tx->rewrites, .from = copy_text(ctx, what), .to = copy_text(ctx, bare_address(to)) };
	tx->rewrites = r;
	return r->from.ptr != NULL && r->to.ptr != NULL ? SP_OK : SP_LIMIT;
}

enum sp_status
decide(struct sp_ctx *ctx, const struct ask *a, enum phase phase, struct sp_span what, struct word *to)
{
	struct spawn_session *s = ctx->session;
	struct sp_span param = heap_span(&a->text);
	enum sp_status st;

	tell(ctx, EVENT_FILTER_RESPONSE, "%s|%s%s%s", phase_names[phase], decision_names[a->decision], param.len > 0 ? "|" : "",
		tell_text(ctx, param));
	switch (a->decision) {
	case DECISION_PROCEED:
		break;
	case DECISION_JUNK:
		if (to->verdict == VERDICT_NONE)
			to->verdict = VERDICT_JUNK;
		break;
	case DECISION_DISCONNECT:
		st = refuse(ctx, param, &s->words[WORD_BAR]);
		return st == SP_OK ? refuse(ctx, param, to) : st;
	case DECISION_REJECT:
		return refuse(ctx, param, to);
	case DECISION_REWRITE:
		return rewrite(ctx, phase, what, param);
	case DECISION_REPORT:
		tell(ctx, EVENT_FILTER_REPORT, "proc|%s|%s", "sallyport", tell_text(ctx, param));
		break;
	}
	return SP_OK;
}

enum sp_status
question(struct sp_ctx *ctx, enum phase phase, struct sp_span text, struct word *to)
{
	struct ask a;
	enum sp_status st = tell_ask(ctx, &a, phase, "%s", tell_text(ctx, text));

	if (st == SP_NONE)
		return hub_runs(spawn_hub(ctx), ((struct spawn_session *)ctx->session)->incarnation) ? SP_OK : SP_GONE;
	if (st == SP_OK)
		st = decide(ctx, &a, phase, text, to);
	else
		sp_log(ctx, SP_LOG_WARNING, "no answer to %s", phase_names[phase]);
	tell_close(ctx, &a);
	return st;
}
