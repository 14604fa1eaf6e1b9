/*
 * prdr.c - a reply for each recipient, where the client has asked for that and the backend gives it (PRDR,
 * draft-hall-prdr; the backend speaks LMTP, RFC 2033, or offers PRDR itself).
 *
 * 353 says that they follow, one for each accepted recipient in their order; then the last reply is for the message as a
 * whole: 250 if anybody has it.  Where there is nothing to tell apart (one recipient, a refusal by us, a backend that was
 * lost), the one reply that SMTP has speaks for all, as it does without PRDR.
 */
#include "proxy/session/session_priv.h"

#include "policy/kit/span.h"

bool
prdr_may(const struct session *s, const struct relay_offer *backend)
{
	return s->config->routes[s->config->route]->lmtp || relay_offers(backend, EXT_PRDR);
}

/* Is the verdict on each of them known? */
static bool
each_answered(const struct session *s)
{
	struct relay_result r;
	size_t count = 0;

	while (relay_result(s->relay, count, &r) == SP_OK) {
		if (r.code == 0)
			return false;
		count++;
	}
	return count > 1;
}

/* True: somebody has it. */
static bool
say_each(struct session *s)
{
	struct relay_result r;
	bool some = false;

	session_reply(s, 353, NULL, "a reply for each recipient follows");
	for (size_t i = 0; relay_result(s->relay, i, &r) == SP_OK; i++) {
		session_reply_span(s, r.code, r.enhanced, r.text);
		some |= reply_class(r.code) == 2;
	}
	return some;
}

bool
prdr_answer(struct session *s, enum relay_outcome outcome, const struct relay_reply *all)
{
	struct transaction *tx = s->tx;

	if (!tx->mail.prdr || outcome != RELAY_ANSWERED || !each_answered(s))
		return false;
	tx->dup = false; /* each knows what became of his */
	if (!say_each(s)) {
		transaction_reply(s, all->code, all->enhanced, all->text, "backend");
		return true;
	}
	tx->code = 250;
	tx->by = "backend";
	tx->reply = SPAN_LIT("each recipient has his own reply");
	tx->outcome = "accept";
	s->accepted++;
	s->junk = 0;
	session_reply_span(s, 250, "2.0.0", tx->reply);
	return true;
}
