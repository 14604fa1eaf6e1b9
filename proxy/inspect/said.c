/*
 * said.c - the words of filters that decide: sp_refuse(), and what each walk of the policy is told of them.
 *
 * A word said in on_connect counts as long as the filter's session, one in on_helo until the next HELO, one in on_rcpt for
 * that recipient, any other for the message.  Only the walks whose rules have called the filter ask for it.  It goes to the client, so it is
 * looked at like what a stranger has sent.
 *
 * A word lies in the arena of what it is about; a filter that lives no longer than the transaction keeps all there.
 *
 * RFC 5321 section 4.2 for reply codes, RFC 3463 section 2 for enhanced ones.
 */
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

enum { TEXT_MAX = 480, LINES_MAX = 8 };

static const struct policy_said no_memory = { POLICY_DEFER, 451, SPAN_LIT("4.3.0"), SPAN_LIT("out of memory") };

/* ---- may it be said? ---------------------------------------------------------------------------------- */

static bool
code_may(int code)
{
	return code == 250 || (code >= 400 && code <= 599 && code / 10 % 10 <= 5);
}

/* "5.7.1", of the code's class. */
static bool
enhanced_may(struct sp_span s, int code)
{
	unsigned dots = 0, digits = 0;

	for (size_t n = 0; n < s.len; n++) {
		if (s.ptr[n] == '.' && digits > 0) {
			dots++;
			digits = 0;
		} else if (!span_is_digit(s.ptr[n]) || ++digits > (dots == 0 ? 1u : 3u)) {
			return false;
		}
	}
	return dots == 2 && digits > 0 && s.ptr[0] - '0' == code / 100;
}

static bool
text_may(struct sp_span s)
{
	size_t lines = 1;

	for (size_t n = 0; n < s.len; n++) {
		if (s.ptr[n] == '\n')
			lines++;
		else if (s.ptr[n] < ' ' || s.ptr[n] > '~')
			return false;
	}
	return s.len <= TEXT_MAX && lines <= LINES_MAX;
}

static bool
may_say(const struct use *u, const struct sp_reply *r)
{
	const char *wrong = !code_may(r->code)						   ? "this is no reply code of a refusal"
		: r->enhanced.len > 0 && !enhanced_may(r->enhanced, r->code) ? "the enhanced status does not go with the code"
		: !text_may(r->text)							   ? "the text is too long, or has other than printable ASCII"
												   : NULL;

	if (wrong != NULL)
		host_log(u, SP_LOG_ERROR, "what it has decided may not be said to a client: %d \"%.*s\": %s", r->code,
			(int)(r->text.len < 100 ? r->text.len : 100), r->text.len > 0 ? r->text.ptr : "", wrong);
	return wrong == NULL;
}

/* ---- noting it ------------------------------------------------------------------------------------------ */

static bool
word_fill(struct arena *a, const struct sp_reply *r, struct policy_said *ret)
{
	ret->code = r->code == 421 ? 451 : r->code; /* we do not close for a filter's sake */
	ret->verdict = r->code == 250 ? POLICY_DISCARD : r->code < 500 ? POLICY_DEFER : POLICY_REJECT;
	ret->enhanced = r->code == 250 ? SPAN_LIT("2.0.0") : r->code < 500 ? SPAN_LIT("4.7.1") : SPAN_LIT("5.7.1");
	ret->text = r->code == 250 ? SPAN_LIT("accepted")
		: r->code < 500	   ? SPAN_LIT("deferred, try again later")
				   : SPAN_LIT("refused");
	if (r->enhanced.len > 0)
		ret->enhanced = arena_copy(a, r->enhanced);
	if (r->text.len > 0)
		ret->text = arena_copy(a, r->text);
	return ret->enhanced.ptr != NULL && ret->text.ptr != NULL;
}

static const struct policy_said **
word_of_rcpt(struct inspect *i, struct use *u)
{
	struct recipient *r = i->rcpt;

	if (r == NULL)
		return NULL;
	if (r->words == NULL)
		r->words = arena_alloc(i->tx->arena, policy_filter_count(i->policy) * sizeof(*r->words));
	if (r->words == NULL)
		hooks_fail(u); /* nothing goes on because there was no memory */
	return r->words == NULL ? NULL : &r->words[u->index];
}

/* Where the word goes that is said in the hook that runs; null: nowhere, any more. */
static const struct policy_said **
word_place(struct use *u)
{
	struct inspect *i = u->in;

	switch (u->stage) {
	case SP_CONNECT:
		return &u->word.connect;
	case SP_HELO:
		return &u->word.helo;
	case SP_RCPT:
		return i->tx == NULL ? NULL : word_of_rcpt(i, u);
	case SP_STAGES:
		return NULL;
	default:
		return i->tx == NULL ? NULL : &u->word.tx;
	}
}

enum sp_status
said_refuse(struct sp_ctx *ctx, const struct sp_reply *reply)
{
	struct use *u = use_of(ctx);
	const struct policy_said **place;
	struct policy_said *word;

	if (!may_say(u, reply))
		return SP_INVALID;
	place = word_place(u);
	if (place == NULL) {
		host_log(u, SP_LOG_ERROR, "it has decided too late");
		return SP_INVALID;
	}
	if (*place != NULL) /* the first word counts */
		return SP_OK;
	word = arena_alloc(hooks_arena_of(u), sizeof(*word));
	if (word == NULL || !word_fill(hooks_arena_of(u), reply, word)) {
		*place = &no_memory;
		return SP_SYSTEM;
	}
	*place = word;
	return SP_OK;
}

/* ---- who hears it ----------------------------------------------------------------------------------------- */

static const struct policy_said *
word_heard(const struct inspect *i, const struct use *u)
{
	const struct recipient *r = i->rcpt;

	if (u->word.connect != NULL || u->word.helo != NULL)
		return u->word.connect != NULL ? u->word.connect : u->word.helo;
	if (u->word.tx != NULL || r == NULL || r->words == NULL)
		return u->word.tx;
	return r->words[u->index];
}

enum policy_known
said_heard(void *arg, size_t filter, struct policy_said *ret)
{
	const struct inspect *i = arg;
	const struct use *u = &i->uses[filter];
	const struct policy_said *word = word_heard(i, u);

	if (i->tx != NULL ? u->failed : u->lost_connect || u->lost_helo)
		return POLICY_UNKNOWN;
	if (word == NULL)
		return POLICY_PENDING;
	*ret = *word;
	return POLICY_KNOWN;
}

/* ---- who need not be asked ---------------------------------------------------------------------------------- */

static bool
decides(const struct use *u)
{
	return hooks_module(u)->decides != NULL && hooks_module(u)->decides(u->ctx.conf);
}

/* Is what the other has said of the message the last word where u is called, too? A refusal is; a message that is thrown away may
 * yet be refused by u, where its rule comes first. */
static bool
settles(const struct use *other, const struct use *u)
{
	return other->word.tx != NULL &&
		(other->word.tx->verdict != POLICY_DISCARD || policy_calls_first(u->in->policy, other->index, u->index));
}

/* Has another filter refused the message for everybody whose rules have called u? */
bool
said_moot(const struct use *u)
{
	const struct inspect *i = u->in;
	const struct policy_filter *f = policy_filter(i->policy, u->index);

	if (!f->on_demand || !decides(u))
		return false;
	for (size_t n = 0; n < policy_filter_count(i->policy); n++) {
		const struct use *other = &i->uses[n];

		if (other != u && other->tx_begun && !other->failed && settles(other, u) && decides(other) &&
			demand_covers(i, n, u->index))
			return true;
	}
	return false;
}

/* ---- forgetting it ------------------------------------------------------------------------------------------- */

void
said_forget_tx(struct use *u)
{
	struct transaction *tx = u->in->tx;

	u->word.tx = NULL;
	for (struct recipient *r = tx->rcpts; r != NULL; r = r->next)
		if (r->words != NULL)
			r->words[u->index] = NULL;
	if (tx->pending != NULL && tx->pending->words != NULL)
		tx->pending->words[u->index] = NULL;
}

void
said_forget_helo(struct inspect *i)
{
	for (size_t n = 0; i->uses != NULL && n < policy_filter_count(i->policy); n++) {
		i->uses[n].word.helo = NULL;
		i->uses[n].helo_shown = false;
	}
}
