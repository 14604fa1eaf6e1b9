/*
 * answer.c - what the client is told: the backend's words made safe, or ours about it.
 *
 * No code is upgraded: what the backend refused keeps its class, and every fault of the backend
 * itself is a 451 (RFC 5321 4.2, RFC 3463; CASES R01-R06).  The text belongs to the struct answer.
 */
#include "proxy/relay/relay_priv.h"

#include <stdio.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

static const struct {
	const char *word; /* for the log */
	const char *enhanced;
	const char *text;
} faults[FAULTS] = {
	[FAULT_REFUSED] = { "refused", "4.4.1", "mail server cannot be reached, try again later" },
	[FAULT_NOANSWER] = { "timeout", "4.4.1", "mail server cannot be reached, try again later" },
	[FAULT_TIMEOUT] = { "timeout", "4.4.2", "mail server does not answer, try again later" },
	[FAULT_CLOSED] = { "closed", "4.4.2",
		"connection to the mail server was lost, try again later" },
	[FAULT_GARBAGE] = { "garbage", "4.3.0",
		"mail server gave a reply out of place, try again later" },
	[FAULT_BUSY] = { "421", "4.3.2", "mail server is closing the connection, try again later" },
	[FAULT_DESYNC] = { "desync", "4.4.2", "mail server spoke unasked, try again later" },
	[FAULT_LIMIT] = { "limit", "4.3.0",
		"mail server gave a reply without end, try again later" },
	[FAULT_DNS] = { "dns", "4.4.3", "mail server's name cannot be looked up, try again later" },
	[FAULT_NOROUTE] = { "noroute", "4.4.4", "mail server has no address, try again later" },
	[FAULT_GREETING] = { "greeting", "4.3.5",
		"mail server does not take our connection, try again later" },
	[FAULT_TLS] = { "tls", "4.7.5", "mail server cannot be reached safely, try again later" },
	[FAULT_EXTENSION] = { "extension", "4.3.0",
		"mail server no longer offers what this mail needs, try again later" },
	[FAULT_INTRODUCE] = { "introduce", "4.3.5", "mail server cannot be told who you are, try again later" },
	[FAULT_REPLAY] = { "replay", "4.3.0", "mail server changed its mind, try again later" },
	[FAULT_COMMIT] = { "commit", "4.3.0", "not passed on in time, try again later" },
	[FAULT_SPOOL] = { "spool", "4.3.0", "message cannot be read back, try again later" },
	[FAULT_DISK] = { "disk", "4.3.1", "message cannot be stored, try again later" },
	[FAULT_LOCAL] = { "local", "4.3.0", "try again later" },
};

enum { ANSWER_TEXT = REPLY_OCTETS };

void
answer_init(struct answer *a)
{
	*a = (struct answer){ 0 };
	buf_init(&a->text, ANSWER_TEXT);
}

void
answer_fini(struct answer *a)
{
	buf_fini(&a->text);
}

static void
answer_set(struct answer *a, int code, const char *enhanced, struct sp_span text)
{
	a->code = code;
	(void)snprintf(a->enhanced, sizeof(a->enhanced), "%s", enhanced);
	buf_clear(&a->text);
	/* a reply without its text is still right, so the status of this is not asked */
	(void)buf_add(&a->text, text);
	for (size_t i = 0; i < a->text.len; i++) {
		char c = a->text.ptr[i];
		if ((c < ' ' || c > '~') && c != '\n')
			a->text.ptr[i] = '?';
	}
}

void
answer_own(struct answer *a, int code, const char *enhanced, struct sp_span text)
{
	answer_set(a, code, enhanced, text);
	a->backend = false;
}

void
answer_fault(struct answer *a, enum relay_fault fault)
{
	MUST(fault > FAULT_NONE && fault < FAULTS);
	answer_own(a, 451, faults[fault].enhanced, span_str(faults[fault].text));
}

void
answer_deferred(struct answer *a, const struct smtp_reply *reply, const char *enhanced)
{
	answer_set(a, 451, reply->enhanced[0] == '4' ? reply->enhanced : enhanced,
		buf_span(&reply->text));
	a->backend = true;
}

void
answer_backend(struct answer *a, const struct smtp_reply *reply)
{
	char derived[] = "0.0.0";

	if (reply->code == 421) {
		answer_deferred(a, reply, faults[FAULT_BUSY].enhanced);
		return;
	}
	derived[0] = (char)('0' + reply_class(reply->code));
	answer_set(a, reply->code, reply->enhanced[0] == derived[0] ? reply->enhanced : derived,
		buf_span(&reply->text));
	a->backend = true;
}

void
answer_out(const struct answer *a, struct relay_reply *ret)
{
	*ret = (struct relay_reply){
		.code = a->code, .text = buf_span(&a->text), .backend = a->backend
	};
	(void)snprintf(ret->enhanced, sizeof(ret->enhanced), "%s", a->enhanced);
}

const char *
fault_word(enum relay_fault fault)
{
	return faults[fault].word;
}
