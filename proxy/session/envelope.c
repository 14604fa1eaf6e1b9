/*
 * envelope.c - MAIL and RCPT: strict parse, limits, relay control, filters and policy, then the backend.
 *
 * RFC 5321 3.3, 4.1.1.2, 4.1.1.3, 7.8; relay control before any rule (closed by default).
 */
#include "proxy/session/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"
#include "proxy/session/log.h"
#include "proxy/smtp/parameter.h"

enum {
	TX_ARENA_BLOCK = 2048,
	TX_ARENA_MAX = 4 << 20,
	LOGGED_RCPTS = 1024,      /* octets of recipients in the log line */
	TX_BUDGET_MS = 3600 * 1000 /* of a whole transaction; the waits in it have shorter ends of their own */
};

/* ---- verdicts and replies ------------------------------------------------------------------- */

bool
verdict_stops(const struct session *s, const struct policy_verdict *v)
{
	return !s->config->shadow && (v->verdict == POLICY_REJECT || v->verdict == POLICY_DEFER);
}

static void
transaction_note(struct session *s, int code, struct sp_span text, const char *by)
{
	struct transaction *tx = s->tx;

	tx->code = code;
	tx->by = by;
	tx->reply = arena_copy(tx->arena, text);
	tx->outcome = code >= 500 ? "reject" : code >= 400 ? "defer" : "accept";
}

void
transaction_reply(struct session *s, int code, const char *enhanced, struct sp_span text, const char *by)
{
	char line[REPLY_TEXT + 32];

	transaction_note(s, code, text, by);
	snprintf(line, sizeof(line), "%.*s (tx=%s)", (int)(text.len > REPLY_TEXT ? REPLY_TEXT : text.len),
		text.len > 0 ? text.ptr : "", s->tx->id);
	session_reply(s, code, enhanced, line);
}

void
session_reply_verdict(struct session *s, const struct policy_verdict *v)
{
	char enhanced[16];

	snprintf(enhanced, sizeof(enhanced), "%.*s", (int)v->enhanced.len, v->enhanced.len > 0 ? v->enhanced.ptr : "");
	if (s->tx == NULL) {
		s->banner_rule = v->rule != NULL ? policy_rule_name(v->rule) : s->banner_rule;
		s->verdict = v->verdict;
		session_reply_span(s, v->code, enhanced, v->text);
		return;
	}
	s->tx->verdict = *v;
	transaction_reply(s, v->code, enhanced, v->text, "policy");
}

/* ---- MAIL ----------------------------------------------------------------------------------- */

/* Nothing has decided yet: should it end now, then because the client ended it. */
static void
transaction_open(struct transaction *tx)
{
	tx->verdict = (struct policy_verdict){ 0 };
	tx->outcome = "abort";
	tx->by = "client";
	tx->code = 0;
	tx->reply = span_of(NULL, 0);
}

static bool
transaction_begin(struct session *s, const struct command_path *mail)
{
	struct arena *arena = arena_new(TX_ARENA_BLOCK, TX_ARENA_MAX);
	struct transaction *tx = arena == NULL ? NULL : arena_alloc(arena, sizeof(*tx));
	struct sp_span text = tx == NULL ? (struct sp_span){ NULL, 0 } : arena_copy(arena, mail->address.text);
	struct address *a;

	if (text.ptr == NULL) { /* without it the mail would go on as from <> */
		arena_free(&arena);
		return false;
	}
	tx->arena = arena;
	tx->mail = *mail;
	tx->mail.params = session_auth_params(s, arena, parameter_text(arena, mail->params, true));
	if (tx->mail.params.ptr == NULL) {
		arena_free(&arena);
		return false;
	}
	a = &tx->mail.address;
	a->text = text;
	a->local = span_of(a->text.ptr, mail->address.local.len);
	a->domain = span_from(a->text, a->text.len - mail->address.domain.len);
	tx->begin_ns = rt_now_ns();
	transaction_open(tx);
	session_id(tx->id);
	s->tx = tx;
	s->transactions++;
	return true;
}

/* Is there room for a message at all (CASES B.3, spool)? */
static bool
disk_full(const struct session *s)
{
	static int64_t looked_ms, free_octets = -1;

	if (rt_now_ms() - looked_ms > 1000 || looked_ms == 0) {
		looked_ms = rt_now_ms();
		free_octets = spool_disk_free();
	}
	return free_octets >= 0 && free_octets < 2 * s->config->limits.message_size;
}

static struct command_error
parse_mail(const struct session *s, const struct command *c, struct command_path *mail)
{
	struct command_limits limits = { .mail = true, .literals = true, .quoted_local = s->config->quoted_local,
		.offered = s->offered };
	struct command_error e = command_parse_path(c->argument, &limits, mail);

	if (e.code == 0 && mail->size > session_size_max(s))
		e = (struct command_error){ 552, "5.3.4", "message too big: more than this server takes" };
	else if (e.code == 0 && disk_full(s))
		e = (struct command_error){ 452, "4.3.1", "not enough disk space, try again later" };
	return e;
}

void
session_mail(struct session *s, const struct command *c)
{
	struct command_path mail, seen;
	struct command_error e;
	struct policy_verdict v;

	if (!session_auth_ready(s))
		return;
	e = parse_mail(s, c, &mail);
	if (e.code == 0)
		e = submission_check_sender(s, &mail.address);
	if (e.code != 0) {
		session_error(s, e.code, e.enhanced, e.text);
		return;
	}
	if (!transaction_begin(s, &mail)) {
		session_reply(s, 451, "4.3.0", "out of memory, try again later");
		return;
	}
	s->tx->stage = SP_MAIL;
	seen = s->tx->mail;
	seen.params = mail.params; /* filters see all that the client has said */
	inspect_name_tx(s->inspect, span_str(s->tx->id));
	v = inspect_mail(s->inspect, &seen, s->config->timeouts.filters);
	if (verdict_stops(s, &v)) {
		session_reply_verdict(s, &v);
		transaction_end(s);
		return;
	}
	e = session_backend_spared(s);
	if (e.code != 0) {
		transaction_reply(s, e.code, e.enhanced, span_str(e.text), "backend");
		transaction_end(s);
		return;
	}
	if (mail.prdr)
		inspect_each(s->inspect);
	s->state = STATE_MAIL;
	session_reply(s, 250, "2.1.0", "ok");
}

/* ---- RCPT ----------------------------------------------------------------------------------- */

static void
refused_rcpt(struct session *s, const struct address *rcpt, const char *rule)
{
	s->tx->refused++;
	log_begin("recipient");
	log_text("tx", span_str(s->tx->id));
	log_text("to", rcpt->text);
	log_int("code", s->tx->code);
	log_text("by", span_str(s->tx->by));
	log_text("rule", span_str(rule));
	log_text("reply", s->tx->reply);
	log_end();
	if (s->tx->accepted > 0)
		transaction_open(s->tx); /* it goes on without this one */
	s->bad_recipients++;
}

static void
refuse_rcpt(struct session *s, const struct address *rcpt, const struct command_error *e, const char *by)
{
	transaction_reply(s, e->code, e->enhanced, span_str(e->text), by);
	refused_rcpt(s, rcpt, "");
}

/* It is not refused: its turn comes later, or in a transaction of its own.  As many as one may have; who goes on asking has
 * not listened. */
static void
postpone_rcpt(struct session *s, const struct address *rcpt, const struct command_error *e)
{
	inspect_rcpt_result(s->inspect, false);
	refuse_rcpt(s, rcpt, e, strcmp(e->enhanced, "4.3.2") == 0 ? "backend" : "route");
	if (s->tx->postponed++ < s->config->limits.recipients)
		s->bad_recipients--;
}

static void
note_accepted(struct session *s, struct sp_span address)
{
	struct transaction *tx = s->tx;
	char *text;

	tx->accepted++;
	s->state = STATE_RCPT;
	transaction_open(tx);
	if (tx->rcpts.len > LOGGED_RCPTS)
		return;
	text = arena_printf(tx->arena, "%.*s%s<%.*s>", (int)tx->rcpts.len, tx->rcpts.len > 0 ? tx->rcpts.ptr : "",
		tx->rcpts.len > 0 ? "," : "", (int)address.len, address.ptr);
	if (text != NULL)
		tx->rcpts = span_str(text);
}

const char *
envelope_body(const struct command_path *mail)
{
	return !mail->body_given ? NULL : mail->body_binary ? "BINARYMIME" : mail->body_8bit ? "8BITMIME" : "7BIT";
}

struct relay_envelope
envelope_came(const struct session *s)
{
	const struct transaction *tx = s->tx;

	return (struct relay_envelope){ .sender = tx->mail.address.text, .size = tx->mail.size, .params = tx->mail.params,
		.body = envelope_body(&tx->mail), .ident = span_str(tx->id), .needs = tx->mail.needs,
		.each = tx->mail.prdr };
}

int64_t
envelope_deadline(void)
{
	return rt_deadline(TX_BUDGET_MS);
}

bool
envelope_begin(struct session *s, const struct relay_envelope *e, int64_t deadline_ms)
{
	if (session_relay(s) == NULL || !client_tell(s, s->relay) || relay_begin(s->relay, e, deadline_ms) != SP_OK)
		return false;
	s->tx->relay_begun = true;
	return true;
}

static bool
begin_relay(struct session *s)
{
	struct relay_envelope e = envelope_came(s);

	return envelope_begin(s, &e, envelope_deadline());
}

static bool
hold_rcpt(struct session *s, struct sp_span address, struct sp_span params)
{
	struct transaction *tx = s->tx;
	struct held_rcpt *held = tx->held;

	if (tx->held_count == tx->held_room) {
		held = arena_alloc(tx->arena, (2 * tx->held_room + 1) * sizeof(*held));
		if (held == NULL)
			return false;
		if (tx->held_count > 0)
			memcpy(held, tx->held, tx->held_count * sizeof(*held));
		tx->held = held;
		tx->held_room = 2 * tx->held_room + 1;
	}
	held[tx->held_count] = (struct held_rcpt){ arena_copy(tx->arena, address), params, tx->rcpt->needs, (int)tx->held_count };
	if (held[tx->held_count].address.ptr == NULL)
		return false;
	tx->held_count++;
	return true;
}

static void
ask_backend(struct session *s, struct sp_span address, struct relay_reply *ret)
{
	struct sp_span params = parameter_text(s->tx->arena, s->tx->rcpt->params, false);

	*ret = (struct relay_reply){ .code = 451, .enhanced = "4.3.0", .text = SPAN_LIT("out of memory, try again later") };
	if (params.ptr == NULL || !hold_rcpt(s, address, params))
		return;
	if (s->config->relay_late) {
		*ret = (struct relay_reply){ .code = 250, .enhanced = "2.1.5", .text = SPAN_LIT("ok") };
	} else if (s->tx->relay_begun || begin_relay(s)) {
		if (relay_need(s->relay, s->tx->rcpt->needs))
			relay_rcpt(s->relay, address, params, ret);
		else
			ret->text = SPAN_LIT("mail server no longer offers what this recipient needs, try again later");
	}
	if (reply_class(ret->code) != 2)
		s->tx->held_count--;
}

static void
offer_rcpt(struct session *s, const struct address *rcpt)
{
	struct relay_reply reply;

	ask_backend(s, rcpt->text, &reply);
	inspect_rcpt_result(s->inspect, reply_class(reply.code) == 2);
	if (reply_class(reply.code) == 2) {
		note_accepted(s, rcpt->text);
		session_reply(s, 250, "2.1.5", "ok");
		return;
	}
	transaction_reply(s, reply.code, reply.enhanced, reply.text, "backend");
	refused_rcpt(s, rcpt, "");
}

static struct command_error
parse_rcpt(const struct session *s, const struct command *c, struct command_path *ret)
{
	struct command_limits limits = { .quoted_local = s->config->quoted_local, .offered = s->offered,
		.utf8 = s->tx->mail.smtputf8 };

	return command_parse_path(c->argument, &limits, ret);
}

static void
inspect_one_rcpt(struct session *s, const struct address *rcpt)
{
	struct policy_verdict v = inspect_rcpt_path(s->inspect, s->tx->rcpt, rt_deadline(s->config->timeouts.filters));
	char rule[128];

	s->tx->stage = SP_RCPT;
	if (!verdict_stops(s, &v)) {
		struct command_error e = session_route(s, rcpt);

		if (e.code == 0)
			offer_rcpt(s, rcpt);
		else
			postpone_rcpt(s, rcpt, &e);
		return;
	}
	snprintf(rule, sizeof(rule), "%.*s", v.rule == NULL ? 0 : (int)policy_rule_name(v.rule).len,
		v.rule == NULL ? "" : policy_rule_name(v.rule).ptr);
	session_reply_verdict(s, &v);
	inspect_rcpt_result(s->inspect, false);
	refused_rcpt(s, rcpt, rule);
}

void
session_rcpt(struct session *s, const struct command *c)
{
	static const struct command_error denied = { 550, "5.7.1", "relaying denied" };
	static const struct command_error too_many = { 452, "4.5.3", "too many recipients" };
	struct command_path rcpt;
	struct command_error e = parse_rcpt(s, c, &rcpt);

	if (s->bad_recipients >= s->config->limits.bad_recipients) {
		session_goodbye(s, "4.7.0", "too many refused recipients", "bad-recipients");
		return;
	}
	if (e.code != 0) {
		session_error(s, e.code, e.enhanced, e.text);
		return;
	}
	s->tx->rcpt = &rcpt;
	if (s->tx->accepted >= s->config->limits.recipients)
		refuse_rcpt(s, &rcpt.address, &too_many, "limit");
	else if (!session_relays(s, &rcpt.address))
		refuse_rcpt(s, &rcpt.address, &denied, "relay");
	else
		inspect_one_rcpt(s, &rcpt.address);
	s->tx->rcpt = NULL;
}

/* ---- the end -------------------------------------------------------------------------------- */

void
transaction_end(struct session *s)
{
	struct arena *arena;

	if (s->tx == NULL)
		return;
	if (s->tx->done_ns == 0)
		s->tx->done_ns = rt_now_ns();
	account_transaction(s);
	upload_end(s);
	if (s->tx->relay_begun)
		relay_abort(s->relay);
	session_quarantine_end(s);
	inspect_reset(s->inspect);
	arena = s->tx->arena; /* tx itself lives in it */
	s->tx = NULL;
	arena_free(&arena);
	if (s->state != STATE_NEW)
		s->state = STATE_READY;
}
