/*
 * account.c - the one line that each connection and each transaction ends in (P11).
 */
#include "proxy/session/upload.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"
#include "proxy/session/findings.h"
#include "proxy/session/log.h"
#include "proxy/smtp/data.h"

static void
log_client(const struct session *s)
{
	char ip[46], text[64];

	snprintf(text, sizeof(text), "[%s]:%u", span_from_ip(&s->ip, ip).ptr, s->port);
	log_text("client", span_str(text));
	log_text("helo", span_str(s->helo));
	log_text("tls", span_str(stream_tls_version(s->stream)));
	if (session_authenticated(s)) {
		log_text("user", span_str(s->login.user));
		log_text("mechanism", span_str(s->login.mechanism));
	} else if (s->given.login[0] != '\0') {
		log_text("user", span_str(s->given.login));
		log_text("mechanism", SPAN_LIT("XCLIENT"));
	}
}

/* The peer, where that has spoken for the client. */
static void
log_via(const struct session *s)
{
	char ip[46];

	if (!ip_eq(&s->ip, &s->start->ip))
		log_text("via", span_from_ip(&s->start->ip, ip));
}

static void
log_address(const char *key, struct sp_span address)
{
	char text[512];

	snprintf(text, sizeof(text), "<%.*s>", (int)address.len, address.len > 0 ? address.ptr : "");
	log_text(key, span_str(text));
}

/* What "bare line ends space" changed: "bare-lf,nul". Nothing is said of a message that came as it should. */
static void
log_spaced(const struct transaction *tx)
{
	char text[32];

	if (tx->spaced == 0)
		return;
	snprintf(text, sizeof(text), "%s%s%s", tx->spaced & DATA_BARE_LF ? ",bare-lf" : "",
		tx->spaced & DATA_BARE_CR ? ",bare-cr" : "", tx->spaced & DATA_NUL ? ",nul" : "");
	log_text("spaced", span_str(text + 1));
}

static void
log_backend(const struct session *s)
{
	const struct relay_facts *f = s->tx->relay_begun ? relay_facts(s->relay) : NULL;

	if (s->tx->quarantine.len > 0)
		log_text("quarantine", s->tx->quarantine);
	log_text("backend", f != NULL ? span_str(f->peer) : SPAN_LIT(""));
	log_text("qid", f != NULL ? f->queue_id : SPAN_LIT(""));
	if (f == NULL)
		return;
	if (f->completed)
		log_text("completed", SPAN_LIT("crlf"));
	if (f->tls != NULL)
		log_text("backend_tls", span_str(f->tls));
	if (f->fault != NULL)
		log_text("fault", span_str(f->fault));
	if (f->tls_error != NULL)
		log_text("tls_error", span_str(f->tls_error));
	if (f->dot_ns > 0 && f->reply_ns >= f->dot_ns) {
		log_seconds("t_backend", f->reply_ns - f->dot_ns);
		log_seconds("t_window", s->tx->done_ns - f->dot_ns);
	}
}

void
account_transaction(const struct session *s)
{
	const struct transaction *tx = s->tx;
	const struct policy_verdict *v = &tx->verdict;

	log_begin("transaction");
	log_text("tx", span_str(tx->id));
	log_text("conn", span_str(s->id));
	log_client(s);
	log_address("from", tx->mail.address.text);
	log_text("to", tx->rcpts);
	log_int("nrcpt", (int64_t)tx->accepted);
	log_int("refused", (int64_t)tx->refused);
	log_text("msgid", inspect_message_id(s->inspect));
	log_int("size", tx->octets);
	log_spaced(tx);
	if (tx->upload != NULL && tx->upload->chunks.chunks > 0)
		log_int("chunks", (int64_t)tx->upload->chunks.chunks);
	log_findings(s->inspect);
	log_text("verdict", span_str(tx->outcome));
	log_text("by", span_str(tx->by));
	log_text("rule", v->rule != NULL ? policy_rule_name(v->rule) : SPAN_LIT(""));
	log_text("stage", span_str(policy_stage_name(v->rule != NULL ? v->stage : tx->stage)));
	if (s->config->shadow)
		log_text("would", span_str(policy_class_name(v->verdict)));
	log_int("code", tx->code);
	log_text("reply", tx->reply);
	log_backend(s);
	log_int("policy", s->config->generation);
	log_seconds("t", tx->done_ns - tx->begin_ns);
	log_seconds("t_filters", inspect_filter_ns(s->inspect));
	log_text("dup", tx->dup ? SPAN_LIT("possible") : SPAN_LIT("no"));
	log_end();
	client_alarm(s);
}

void
account_connection(const struct session *s)
{
	log_begin("connection");
	log_text("conn", span_str(s->id));
	log_client(s);
	log_via(s);
	log_text("listener", s->config->listener);
	if (s->start->turned != NULL)
		log_text("atrn", span_str(s->start->turned));
	log_int("transactions", s->transactions);
	log_int("accepted", s->accepted);
	log_int("errors", s->errors);
	log_text("verdict", span_str(s->verdict == POLICY_UNDECIDED ? "" : policy_class_name(s->verdict)));
	log_text("rule", s->banner_rule);
	log_text("end", span_str(s->end != NULL ? s->end : "client-gone"));
	if (s->tls_error != NULL)
		log_text("tls_error", span_str(s->tls_error));
	log_int("in", stream_octets_in(s->stream));
	log_int("out", stream_octets_out(s->stream));
	log_seconds("t", rt_now_ns() - s->begin_ns);
	log_end();
}
