/*
 * lmtp.c - what an LMTP backend says to the final dot: a reply for each recipient, folded into the one that SMTP has
 * (RFC 2033 4.2; CASES P6); and an SMTP backend's, that was asked for as many (PRDR, draft-hall-prdr).
 *
 * The strictest speaks for all, so that nobody is dropped in silence: a 4xx of any recipient makes it a 4xx, and the
 * client comes again for all of them; else a 5xx of any makes it a 5xx.  With one recipient nothing is folded.
 * Texts are copied into the transaction's arena.
 */
#include "proxy/relay/relay_priv.h"

#include <stdio.h>

#include "policy/kit/span.h"

/* Who speaks for all. */
static int
weight(int code)
{
	switch (reply_class(code)) {
	case 2:
		return 1;
	case 5:
		return 2;
	default:
		return 3;
	}
}

/* One recipient's reply; FAULT_BUSY after it was noted means that there are no more. */
static enum relay_fault
result_read(struct relay *r, struct rcpt *rcpt, int64_t limit_ms)
{
	enum relay_fault fault = relay_await(r, r->backend->config.timeouts.dot, limit_ms);
	struct answer one;

	if (fault == FAULT_NONE && reply_class(conn_last(r->conn)->code) == 3) {
		fault = FAULT_GARBAGE;
		answer_fault(&r->answer, fault);
	}
	if (fault != FAULT_NONE)
		return fault;
	answer_init(&one);
	answer_backend(&one, conn_last(r->conn));
	rcpt->code = one.code;
	(void)snprintf(rcpt->enhanced, sizeof(rcpt->enhanced), "%s", one.enhanced);
	rcpt->text = arena_copy(r->arena, buf_span(&one.text));
	answer_fini(&one);
	return FAULT_NONE;
}

enum relay_fault
lmtp_replies(struct relay *r, int64_t limit_ms)
{
	enum relay_fault fault = FAULT_NONE;
	int heaviest = 0;
	bool some = false;

	for (struct rcpt *rcpt = r->first; rcpt != NULL; rcpt = rcpt->next)
		rcpt->code = 0; /* not known; it was the answer to RCPT */
	r->results = r->first;
	for (struct rcpt *rcpt = r->first; rcpt != NULL && fault == FAULT_NONE; rcpt = rcpt->next) {
		fault = result_read(r, rcpt, limit_ms);
		if (fault != FAULT_NONE)
			break;
		some |= reply_class(rcpt->code) == 2;
		if (weight(rcpt->code) > heaviest) {
			heaviest = weight(rcpt->code);
			answer_backend(&r->answer, conn_last(r->conn));
		}
	}
	r->facts.partly = some && (fault != FAULT_NONE || heaviest > 1);
	return fault;
}

static void
results_forget(struct relay *r)
{
	for (struct rcpt *rcpt = r->first; rcpt != NULL; rcpt = rcpt->next)
		rcpt->code = 0;
	r->facts.partly = false;
}

/* Nobody has a message that is refused as a whole, and a message that nobody has is not taken, whatever is said of it. */
enum relay_fault
prdr_replies(struct relay *r, int64_t limit_ms)
{
	enum relay_fault fault = lmtp_replies(r, limit_ms);
	bool some = r->facts.partly || reply_class(r->answer.code) == 2, taken;

	if (fault != FAULT_NONE)
		return fault;
	fault = relay_await(r, r->backend->config.timeouts.dot, limit_ms);
	if (fault == FAULT_NONE && reply_class(conn_last(r->conn)->code) == 3) {
		fault = FAULT_GARBAGE;
		answer_fault(&r->answer, fault);
	}
	if (fault == FAULT_BUSY) /* 421 refuses it as a whole, too */
		results_forget(r);
	if (fault != FAULT_NONE)
		return fault;
	taken = reply_class(conn_last(r->conn)->code) == 2;
	if (some && !taken)
		results_forget(r);
	if (some || !taken)
		answer_backend(&r->answer, conn_last(r->conn));
	return FAULT_NONE;
}

enum sp_status
relay_result(const struct relay *r, size_t index, struct relay_result *ret)
{
	const struct rcpt *rcpt = r->results;

	while (rcpt != NULL && index-- > 0)
		rcpt = rcpt->next;
	if (rcpt == NULL)
		return SP_NONE;
	*ret = (struct relay_result){ .address = rcpt->address, .text = rcpt->text, .code = rcpt->code };
	(void)snprintf(ret->enhanced, sizeof(ret->enhanced), "%s", rcpt->enhanced);
	return SP_OK;
}
