/*
 * prdr.c - a reply for each recipient, where the client has asked for that (PRDR, draft-hall-prdr) and there may be several: the
 * backend has them (it speaks LMTP, RFC 2033, or offers PRDR itself), or rules that look at recipients have.
 *
 * 353 says that they follow, one for each accepted recipient in their order; then the last reply is for the message as a
 * whole: 250 if anybody has it.  Where there is nothing to tell apart (one recipient, one rule that refused them all, a backend that
 * was lost), the one reply that SMTP has speaks for all, as it does without PRDR.
 */
#include "proxy/session/session_priv.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/session/log.h"

bool
prdr_may(const struct session *s, const struct relay_offer *backend)
{
	return s->config->routes[s->config->route]->lmtp || relay_offers(backend, EXT_PRDR) || policy_reads_rcpt(s->config->policy);
}

/* ---- what the policy says of each ------------------------------------------------------------- */

bool
prdr_refuses(const struct session *s, size_t index, struct policy_verdict *ret)
{
	return inspect_verdict(s->inspect, index, ret) == SP_OK && ret->verdict != POLICY_ACCEPT;
}

bool
prdr_splits(const struct session *s)
{
	struct policy_verdict first, v;
	bool refused = false, differ = false;

	if (!s->tx->mail.prdr || s->config->shadow || inspect_verdict(s->inspect, 0, &first) != SP_OK)
		return false;
	for (size_t i = 0; i < s->tx->held_count; i++) {
		if (inspect_verdict(s->inspect, i, &v) != SP_OK)
			return false;
		refused |= v.verdict != POLICY_ACCEPT;
		differ |= v.verdict != first.verdict || v.rule != first.rule || !span_eq(v.text, first.text);
	}
	return refused && differ;
}

static void
log_refused(const struct session *s, size_t index, const struct policy_verdict *v)
{
	log_begin("recipient");
	log_text("tx", span_str(s->tx->id));
	log_text("to", s->tx->held[index].address);
	log_int("code", v->code);
	log_text("by", SPAN_LIT("policy"));
	log_text("rule", v->rule != NULL ? policy_rule_name(v->rule) : SPAN_LIT(""));
	log_text("reply", v->text);
	log_end();
}

static void
say_verdict(struct session *s, size_t index, const struct policy_verdict *v)
{
	char enhanced[16];

	(void)snprintf(enhanced, sizeof(enhanced), "%.*s", (int)v->enhanced.len, v->enhanced.len > 0 ? v->enhanced.ptr : "");
	log_refused(s, index, v);
	session_reply_span(s, v->code, enhanced, v->text);
}

void
prdr_refuse(struct session *s)
{
	struct policy_verdict v, all = s->tx->verdict;

	session_reply(s, 353, NULL, "a reply for each recipient follows");
	for (size_t i = 0; i < s->tx->held_count; i++)
		if (prdr_refuses(s, i, &v))
			say_verdict(s, i, &v);
	session_reply_verdict(s, &all);
	if (all.verdict == POLICY_DISCARD)
		s->tx->outcome = "discard";
}

/* ---- and the backend --------------------------------------------------------------------------- */

/* Is its verdict on each of them known? */
static bool
each_answered(const struct session *s)
{
	struct relay_result r;
	size_t count = 0;

	if (s->tx->readdressed)
		return false;
	while (relay_result(s->relay, count, &r) == SP_OK) {
		if (r.code == 0)
			return false;
		count++;
	}
	return count > 1;
}

/* Must those whom rules have refused be told their own?  A refusal for good of what came before our dot is not theirs: who was deferred
 * would be lost. */
static bool
is_final(const struct transaction *tx, enum relay_outcome outcome, const struct relay_reply *all)
{
	return tx->split && (outcome == RELAY_ANSWERED || (outcome == RELAY_NOT_SENT && reply_class(all->code) == 5));
}

/* True: somebody has it.  *ret_thrown: somebody's was taken to be thrown away. */
static bool
say_each(struct session *s, const struct relay_reply *all, bool *ret_thrown)
{
	bool each = each_answered(s), some = false;
	size_t asked = 0; /* of those whom the backend was told of */

	session_reply(s, 353, NULL, "a reply for each recipient follows");
	for (size_t i = 0; i < s->tx->held_count; i++) {
		struct policy_verdict v;
		struct relay_result r = { .code = all->code, .text = all->text };

		if (s->tx->split && prdr_refuses(s, i, &v)) {
			say_verdict(s, i, &v);
			*ret_thrown |= v.code < 300;
			continue;
		}
		(void)snprintf(r.enhanced, sizeof(r.enhanced), "%s", all->enhanced);
		if (each)
			(void)relay_result(s->relay, asked++, &r);
		session_reply_span(s, r.code, r.enhanced, r.text);
		some |= reply_class(r.code) == 2;
	}
	return some;
}

bool
prdr_answer(struct session *s, enum relay_outcome outcome, const struct relay_reply *all)
{
	struct transaction *tx = s->tx;
	bool taken, thrown = false;

	if (!tx->mail.prdr || !(is_final(tx, outcome, all) || (outcome == RELAY_ANSWERED && each_answered(s))))
		return false;
	tx->dup = false; /* each knows what became of his */
	taken = say_each(s, all, &thrown);
	if (!taken && !thrown) {
		transaction_reply(s, all->code, all->enhanced, all->text, "backend");
		return true;
	}
	tx->code = 250;
	tx->by = taken ? "backend" : "policy";
	tx->reply = SPAN_LIT("each recipient has his own reply");
	tx->outcome = taken ? "accept" : "discard";
	if (taken) {
		s->accepted++;
		s->junk = 0;
	}
	session_reply_span(s, 250, "2.0.0", tx->reply);
	return true;
}
