/*
 * account.c - the one line in which each session and each transaction ends, with the keys of the gateway's log (session/account.c).
 *
 * What became of a message that was let through is in the mail server's log, under the queue id that stands here as qid.
 */
#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/milter/judge_priv.h"
#include "proxy/rt/rt.h"
#include "proxy/session/findings.h"

static void
log_client(const struct judge *j)
{
	char ip[46], text[64];

	snprintf(text, sizeof(text), "[%s]:%u", span_from_ip(&j->ip, ip).ptr, j->port);
	log_text("client", span_str(text));
	log_text("helo", span_str(j->helo));
	log_text("tls", span_str(j->tls));
	if (j->user[0] == '\0')
		return;
	log_text("user", span_str(j->user));
	log_text("mechanism", span_str(j->mechanism));
}

static void
log_address(const char *key, struct sp_span address)
{
	char text[512];

	snprintf(text, sizeof(text), "<%.*s>", (int)address.len, address.len > 0 ? address.ptr : "");
	log_text(key, span_str(text));
}

void
account_matter(const struct judge *j)
{
	const struct matter *tx = j->tx;
	const struct policy_verdict *v = &tx->verdict;

	log_begin("transaction");
	log_text("tx", span_str(tx->id));
	log_text("conn", span_str(j->id));
	log_client(j);
	log_address("from", tx->mail.address.text);
	log_text("to", tx->rcpts);
	log_int("nrcpt", (int64_t)tx->accepted);
	log_int("refused", (int64_t)tx->refused);
	log_text("msgid", inspect_message_id(j->inspect));
	log_int("size", tx->parser.octets);
	log_findings(j->inspect);
	log_text("verdict", span_str(tx->outcome));
	log_text("by", span_str(tx->by));
	log_text("rule", v->rule != NULL ? policy_rule_name(v->rule) : SPAN_LIT(""));
	log_text("stage", span_str(policy_stage_name(v->rule != NULL ? v->stage : tx->stage)));
	if (j->config->shadow)
		log_text("would", span_str(policy_class_name(v->verdict)));
	log_int("code", tx->code);
	log_text("reply", tx->reply);
	log_text("qid", span_str(tx->queue_id));
	log_seconds("t", tx->done_ns - tx->begin_ns);
	log_seconds("t_filters", inspect_filter_ns(j->inspect));
	log_end();
}

void
account_recipient(const struct judge *j, struct sp_span to, const struct policy_verdict *v)
{
	log_begin("recipient");
	log_text("tx", span_str(j->tx->id));
	log_text("to", to);
	log_int("code", j->tx->code);
	log_text("by", span_str(j->tx->by));
	log_text("rule", v != NULL && v->rule != NULL ? policy_rule_name(v->rule) : SPAN_LIT(""));
	log_text("reply", j->tx->reply);
	log_end();
}

void
account_session(const struct judge *j)
{
	log_begin("connection");
	log_text("conn", span_str(j->id));
	log_client(j);
	log_text("listener", span_str(j->listener));
	log_int("transactions", j->transactions);
	log_int("accepted", j->accepted);
	log_text("verdict", span_str(j->verdict == POLICY_UNDECIDED ? "" : policy_class_name(j->verdict)));
	log_text("rule", j->rule);
	log_text("end", span_str(j->end != NULL ? j->end : "server"));
	log_seconds("t", rt_now_ns() - j->begin_ns);
	log_end();
}
