/*
 * mover.c - edits the envelope as its parameters say, once the message is there, so that scenes can test what becomes of it.
 *
 * Lists of addresses are divided by blanks; each address is edited in its turn: removed first, then added, then the sender.
 */
#include <stddef.h>
#include <string.h>

#include <sallyport/filter.h>

struct conf {
	struct sp_span sender, sender_params, add, add_params, remove;
};

#define TEXT(member, fallback_, help_) { .name = #member, .type = SP_STRING, .offset = offsetof(struct conf, member), \
	.fallback = fallback_, .help = help_ }
static const struct sp_param params[] = {
	TEXT(sender, "-", "the new sender, empty for <>; -: it stays"),
	TEXT(sender_params, "\"\"", "its parameters of MAIL"),
	TEXT(add, "\"\"", "recipients that are added"),
	TEXT(add_params, "\"\"", "their parameters of RCPT"),
	TEXT(remove, "\"\"", "recipients that are taken away; *: all"),
	SP_PARAMS_END
};

static struct sp_span
next_word(struct sp_span *rest)
{
	struct sp_span word;

	while (rest->len > 0 && rest->ptr[0] == ' ') {
		rest->ptr++;
		rest->len--;
	}
	word = (struct sp_span){ rest->ptr, 0 };
	while (rest->len > 0 && rest->ptr[0] != ' ') {
		word.len++;
		rest->ptr++;
		rest->len--;
	}
	return word;
}

static enum sp_status
remove_all(struct sp_ctx *ctx)
{
	enum sp_status st = SP_OK;
	struct sp_rcpt rcpt;

	while (st == SP_OK && sp_draft_rcpt(ctx, 0, &rcpt) == SP_OK)
		st = sp_rcpt_delete(ctx, rcpt.address);
	return st;
}

static enum sp_status
mover_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	const struct conf *c = ctx->conf;
	struct sp_span rest = c->remove, word;
	enum sp_status st = SP_OK;

	(void)ev;
	if (rest.len == 1 && rest.ptr[0] == '*')
		st = remove_all(ctx);
	else
		while (st == SP_OK && (word = next_word(&rest)).len > 0)
			st = sp_rcpt_delete(ctx, word);
	rest = c->add;
	while (st == SP_OK && (word = next_word(&rest)).len > 0)
		st = sp_rcpt_insert(ctx, word, c->add_params);
	if (st == SP_OK && !(c->sender.len == 1 && c->sender.ptr[0] == '-'))
		st = sp_sender_change(ctx, c->sender, c->sender_params);
	return st;
}

SP_FILTER(mover) = { SP_FILTER_HEAD, .name = "mover", .summary = "edits of the envelope", .params = params,
	.conf_size = sizeof(struct conf), .on_eom = mover_on_eom };
