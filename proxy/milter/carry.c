/*
 * carry.c - an answer carried out by libmilter's means, in the thread that it calls us in.
 *
 * libmilter's functions take texts that are not const and do not change them.
 */
#include <stdint.h>
#include <stdio.h>

#include "proxy/milter/bridge.h"
#include "proxy/milter/guest_priv.h"

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

sfsistat
carry_reply(SMFICTX *ctx, const struct answer *a)
{
	const char *l[ANSWER_LINES + 1] = { NULL };
	char code[8];

	if (a->word == ANSWER_DISCARD)
		return SMFIS_DISCARD;
	if (a->word == ANSWER_GO_ON)
		return SMFIS_CONTINUE;
	snprintf(code, sizeof(code), "%d", a->code);
	for (size_t i = 0; i < a->line_count; i++)
		l[i] = a->lines[i];
	if (a->line_count == 1)
		(void)smfi_setreply(ctx, code, a->enhanced[0] != '\0' ? text(a->enhanced) : NULL, text(l[0]));
	else /* a text less is a reply of its own code less, no more */
		(void)smfi_setmlreply(ctx, code, a->enhanced[0] != '\0' ? a->enhanced : NULL, l[0], l[1], l[2], l[3], l[4], l[5], l[6],
			l[7], l[8], l[9], l[10], l[11], l[12], l[13], l[14], l[15], l[16], l[17], l[18], l[19], l[20], l[21], l[22],
			l[23], l[24], l[25], l[26], l[27], l[28], l[29], l[30], l[31], NULL);
	return a->code >= 500 ? SMFIS_REJECT : SMFIS_TEMPFAIL;
}

/* A mail server that does not tell the blank behind the colon puts one there itself. */
static char *
value_of(const struct guest *g, const struct change *c)
{
	bool own = (g->protocol & SMFIP_HDR_LEADSPC) == 0 && c->value[0] == ' ';

	return text(own ? c->value + 1 : c->value);
}

static int
carry_change(SMFICTX *ctx, const struct guest *g, const struct change *c)
{
	char *params = c->value[0] != '\0' ? text(c->value) : NULL;

	switch (c->kind) {
	case CHANGE_APPEND:
		return smfi_addheader(ctx, text(c->name), value_of(g, c));
	case CHANGE_INSERT: /* the server counts its own Received field, which it does not show */
		return smfi_insheader(ctx, (int)(c->index > 0 ? c->index + 1 : 0), text(c->name), value_of(g, c));
	case CHANGE_REPLACE:
		return smfi_chgheader(ctx, text(c->name), (int)c->index, value_of(g, c));
	case CHANGE_REMOVE:
		return smfi_chgheader(ctx, text(c->name), (int)c->index, NULL);
	case CHANGE_SENDER:
		return smfi_chgfrom(ctx, text(c->name), params);
	case CHANGE_RCPT_ADD:
		return params != NULL ? smfi_addrcpt_par(ctx, text(c->name), params) : smfi_addrcpt(ctx, text(c->name));
	case CHANGE_RCPT_DELETE:
		return smfi_delrcpt(ctx, text(c->name));
	case CHANGE_QUARANTINE:
		return smfi_quarantine(ctx, text(c->value));
	}
	return MI_FAILURE;
}

static bool
carry_body(SMFICTX *ctx, const struct guest *g)
{
	char piece[JUDGE_PIECE];
	struct request r = { .judge = g->judge, .room = piece };

	do {
		if (!bridge_call(judge_body, &r, (struct bridge_meanwhile){ NULL, NULL }) || r.failed ||
			smfi_replacebody(ctx, (unsigned char *)piece, (int)r.filled) != MI_SUCCESS)
			return false;
	} while (r.filled > 0);
	return true;
}

/* Would the mail server refuse any of it? It is told nothing then, since half of the edits would be worse than none. */
static bool
may_carry(const struct guest *g, const struct answer *a)
{
	static const unsigned long needs[] = { [CHANGE_APPEND] = SMFIF_ADDHDRS, [CHANGE_INSERT] = SMFIF_ADDHDRS,
		[CHANGE_REPLACE] = SMFIF_CHGHDRS, [CHANGE_REMOVE] = SMFIF_CHGHDRS, [CHANGE_SENDER] = SMFIF_CHGFROM,
		[CHANGE_RCPT_ADD] = SMFIF_ADDRCPT, [CHANGE_RCPT_DELETE] = SMFIF_DELRCPT, [CHANGE_QUARANTINE] = SMFIF_QUARANTINE };

	for (const struct change *c = a->first; c != NULL; c = c->next) {
		bool params = c->kind == CHANGE_RCPT_ADD && c->value[0] != '\0';

		if ((g->actions & (params ? SMFIF_ADDRCPT_PAR : needs[c->kind])) == 0)
			return false;
	}
	return !a->body || (g->actions & SMFIF_CHGBODY) != 0;
}

bool
carry_changes(SMFICTX *ctx, const struct guest *g, const struct answer *a)
{
	if (!may_carry(g, a))
		return false;
	for (const struct change *c = a->first; c != NULL; c = c->next)
		if (carry_change(ctx, g, c) != MI_SUCCESS)
			return false;
	return !a->body || carry_body(ctx, g);
}
