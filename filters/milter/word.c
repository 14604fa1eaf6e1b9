/*
 * word.c - what a milter has decided, as a client may hear it and as a policy may read it.
 *
 * The texts where the milter gives none are those that mail servers with milters of their own give.  No memory of its own.
 */
#include <stdio.h>

#include <libmilter/mfapi.h>

#include "milter/milter.h"

const char *const verdict_words[] = { [VERDICT_CONTINUE] = "continue", [VERDICT_ACCEPT] = "accept", [VERDICT_REJECT] = "reject",
	[VERDICT_TEMPFAIL] = "tempfail", [VERDICT_DISCARD] = "discard", NULL };
const char *const stage_words[] = { [STAGE_CONNECT] = "connect", [STAGE_HELO] = "helo", [STAGE_MAIL] = "mail", [STAGE_RCPT] = "rcpt",
	[STAGE_DATA] = "data", [STAGE_HEADER] = "header", [STAGE_EOH] = "eoh", [STAGE_BODY] = "body", [STAGE_EOM] = "eom", NULL };

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool
span_is(struct sp_span a, struct sp_span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}

static void
word_set(struct word *w, int code, struct sp_span enhanced, struct sp_span text)
{
	unsigned lines = 1;

	w->code = code;
	snprintf(w->enhanced, sizeof(w->enhanced), "%.*s", (int)enhanced.len, enhanced.len > 0 ? enhanced.ptr : "");
	w->text_len = 0;
	while (w->text_len < text.len && w->text_len < WORD_TEXT) {
		char c = text.ptr[w->text_len];

		if (c == '\n' && ++lines > WORD_LINES)
			break;
		w->text[w->text_len++] = c;
	}
}

void
word_from_reply(struct word *w, enum milter_stage stage, const struct wire_reply *r)
{
	*w = (struct word){ .stage = stage };
	switch (r->letter) {
	case SMFIR_ACCEPT:
		w->verdict = VERDICT_ACCEPT;
		break;
	case SMFIR_REJECT:
		w->verdict = VERDICT_REJECT;
		word_set(w, 550, span_str("5.7.1"), span_str("Command rejected"));
		break;
	case SMFIR_TEMPFAIL:
		w->verdict = VERDICT_TEMPFAIL;
		word_set(w, 451, span_str("4.7.1"), span_str("Service unavailable - try again later"));
		break;
	case SMFIR_DISCARD:
		w->verdict = VERDICT_DISCARD;
		word_set(w, 250, span_str(""), span_str(""));
		break;
	case SMFIR_REPLYCODE:
		w->verdict = r->code < 500 ? VERDICT_TEMPFAIL : VERDICT_REJECT;
		word_set(w, r->code, r->enhanced, r->text);
		break;
	default: /* it goes on */
		break;
	}
}

enum sp_status
word_say(struct sp_ctx *ctx, struct word *w)
{
	const struct milter_conf *conf = ctx->conf;
	struct sp_reply reply = { .code = w->code, .enhanced = span_str(w->enhanced), .text = span_of(w->text, w->text_len) };

	if (w->verdict < VERDICT_REJECT || w->said || !conf->obey)
		return SP_OK;
	w->said = true;
	return sp_refuse(ctx, &reply);
}

struct sp_span
word_text(struct sp_ctx *ctx, const struct word *w)
{
	size_t size = w->text_len + sizeof(w->enhanced) + 16;
	char *text = w->code != 0 ? sp_alloc(ctx, size) : NULL;
	int len;

	if (text == NULL)
		return span_of("", 0);
	len = snprintf(text, size, "%d%s%s%s%.*s", w->code, w->enhanced[0] != '\0' ? " " : "", w->enhanced, w->text_len > 0 ? " " : "",
		(int)w->text_len, w->text);
	for (int i = 0; i < len; i++)
		if (text[i] == '\n')
			text[i] = ' ';
	return span_of(text, (size_t)len);
}
