/*
 * auth.c - AUTH: the exchange between client and backend, watched (RFC 4954; CASES T13, AD13, P08).
 *
 * The backend alone says who is let in; what he is called is read from the answers as they pass.  Answers are secrets: they
 * are neither kept nor logged, and what the stream held of them goes with the next command.
 *
 * Who has logged in is so on one connection to the backend.  When that is lost, so is the session: 421, since the
 * backend would take from another connection what any stranger may send, and refuse the rest for a wrong reason.
 */
#include "proxy/session/session_priv.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"
#include "proxy/session/log.h"

enum { ROUNDS = 16, AUTH_OK = 235, AUTH_CHALLENGE = 334 };

struct exchange {
	struct session *s;
	struct sasl sasl;
	struct line_reader lines;
	struct sp_span mechanism;
	struct relay_reply reply;
	struct command_error fault; /* code 0: none of the client's */
	bool cancelled;
	bool tried; /* an answer has gone to the backend */
};

/* ---- what is offered ---------------------------------------------------------------------------- */

/* Offered only where it is listed: EXTERNAL would be our own certificate's name, ANONYMOUS is nobody's, and what is bound to a
 * channel cannot be, since client and backend do not share one. */
static bool
kept_back(struct sp_span mechanism)
{
	return span_ieq(mechanism, SPAN_LIT("EXTERNAL")) || span_ieq(mechanism, SPAN_LIT("ANONYMOUS")) ||
		span_iends(mechanism, SPAN_LIT("-PLUS"));
}

static bool
mechanism_taken(const struct session *s, struct sp_span mechanism)
{
	const struct policy_block *b = s->config->block;
	size_t count = policy_setting_count(b, "auth mechanisms");

	for (size_t i = 0; i < count; i++)
		if (span_ieq(policy_setting_text(b, "auth mechanisms", i), mechanism))
			return true;
	return count == 0 && !kept_back(mechanism);
}

/* The next of the backend's mechanisms that we pass on; {null, 0}: there are no more. */
static struct sp_span
mechanism_next(const struct session *s, struct sp_span *rest)
{
	while (rest->len > 0) {
		struct sp_span word = span_head(*rest, span_find(*rest, ' '));

		*rest = span_from(*rest, word.len + 1);
		if (sasl_mechanism_ok(word) && mechanism_taken(s, word))
			return word;
	}
	return span_of(NULL, 0);
}

/* "tls require" counts for passwords, too, whatever "auth plaintext" says. */
static bool
secret_enough(const struct session *s)
{
	return session_encrypted(s) || (s->config->auth.plaintext && !s->config->tls_required);
}

bool
session_auth_may(const struct session *s, const struct relay_offer *backend)
{
	struct sp_span rest = span_str(backend->auth);

	return s->config->auth.mode != AUTH_OFF && secret_enough(s) &&
		relay_offers(backend, EXT_AUTH) && mechanism_next(s, &rest).len > 0;
}

void
session_auth_words(const struct session *s, const struct relay_offer *backend, struct buf *to)
{
	struct sp_span rest = span_str(backend->auth), word;

	while ((word = mechanism_next(s, &rest)).len > 0)
		buf_printf(to, " %.*s", (int)word.len, word.ptr);
}

static bool
mechanism_offered(const struct session *s, struct sp_span mechanism)
{
	struct relay_offer offer = relay_backend_offer(s->backend);
	struct sp_span rest = span_str(offer.auth), word;

	while ((word = mechanism_next(s, &rest)).len > 0)
		if (span_ieq(word, mechanism))
			return true;
	return false;
}

/* ---- whether it may be now ---------------------------------------------------------------------- */

struct command_error
session_auth_check(const struct session *s, const struct command *c)
{
	struct sp_span mechanism = span_head(c->argument, span_find(c->argument, ' '));
	struct sp_span initial = span_from(c->argument, mechanism.len + 1);

	if (s->config->auth.mode == AUTH_OFF)
		return (struct command_error){ 502, "5.5.1", "this command is not offered here" };
	if (s->state == STATE_NEW || !s->esmtp)
		return (struct command_error){ 503, "5.5.1", "say EHLO first" };
	if (s->tx != NULL)
		return (struct command_error){ 503, "5.5.1", "not in a transaction" };
	if (session_authenticated(s))
		return (struct command_error){ 503, "5.5.1", "you have logged in already" };
	if (!secret_enough(s))
		return (struct command_error){ 538, "5.7.11", "encryption is needed before AUTH: say STARTTLS first" };
	if (!relay_backend_offer(s->backend).known)
		return (struct command_error){ 454, "4.7.0", "the mail server cannot be asked, try to log in again later" };
	if (!session_offered(s, EXT_AUTH))
		return (struct command_error){ 502, "5.5.1", "AUTH was not offered" };
	if (!sasl_mechanism_ok(mechanism))
		return (struct command_error){ 501, "5.5.4", "syntax: AUTH mechanism [initial-response]" };
	if (!mechanism_offered(s, mechanism))
		return (struct command_error){ 504, "5.5.4", "this mechanism is not offered" };
	if (initial.len > 0 && !span_eq(initial, SPAN_LIT("=")) && !sasl_base64_ok(initial))
		return (struct command_error){ 501, "5.5.2", "the initial response is not base64" };
	return (struct command_error){ 0, NULL, NULL };
}

bool
session_auth_ready(struct session *s)
{
	if (session_authenticated(s) && (s->relay == NULL || relay_auth_lost(s->relay))) {
		session_goodbye(s, "4.7.0", "the mail server has closed the connection that you had logged in on", "auth-lost");
		return false;
	}
	if (s->start->turned != NULL && s->relay != NULL && relay_auth_lost(s->relay)) {
		session_goodbye(s, "4.4.1", "the other end has closed the connection", "atrn-lost");
		return false;
	}
	if (s->config->auth.mode != AUTH_REQUIRE || session_user(s).len > 0)
		return true;
	session_error(s, 530, "5.7.0", "authentication is needed first");
	return false;
}

/* ---- the client's side of the exchange ------------------------------------------------------------- */

/* Longer than a reply line may be, and to the letter. */
static void
say_challenge(struct session *s, struct sp_span text)
{
	struct buf line;

	buf_init(&line, SASL_LINE + 16);
	buf_printf(&line, "334 %.*s\r\n", (int)text.len, text.len > 0 ? text.ptr : "");
	if (buf_status(&line) != SP_OK ||
		stream_write(s->stream, buf_span(&line), session_command_deadline(s)) != SP_OK)
		s->peer_gone = s->done = true;
	buf_fini(&line);
}

static void
answer_missing(struct session *s, enum sp_status st)
{
	if (st == SP_TIMEOUT)
		session_goodbye(s, "4.4.2", "timed out waiting for an answer", "timeout");
	else if (st == SP_CANCELED)
		session_goodbye(s, "4.3.2", "closing for maintenance, try again later", "drain");
	s->end = s->end != NULL ? s->end : "client-gone";
	s->peer_gone |= st == SP_GONE;
	s->done = true;
}

static struct command_error
line_fault(enum line_result result)
{
	if (result == LINE_LONG)
		return (struct command_error){ 500, "5.5.6", "authentication exchange line is too long" };
	return (struct command_error){ 501, "5.5.2", "bare CR, bare LF or NUL in an answer: lines end in CR LF" };
}

/* The client's next line; its octets are consumed by the caller. False: the session is over, or x->fault says what is wrong
 * with the line, which is gone then. */
static bool
read_answer(struct exchange *x, struct sp_span *line, size_t *used)
{
	struct stream *in = x->s->stream;
	int64_t deadline = session_command_deadline(x->s);
	enum sp_status st = SP_OK;

	while (st == SP_OK) {
		enum line_result result = line_next(&x->lines, stream_input(in), SASL_LINE, line, used);

		if (result == LINE_OK && x->fault.code == 0)
			return true;
		stream_consume(in, *used);
		if (result != LINE_MORE && result != LINE_OK && x->fault.code == 0)
			x->fault = line_fault(result);
		if (result == LINE_OK || (result != LINE_MORE && result != LINE_LONG))
			return false;
		if (x->lines.skipped > (size_t)2 * SASL_LINE)
			st = SP_GONE;
		else if (*used == 0)
			st = session_draining() ? SP_CANCELED : stream_fill_interruptible(in, deadline);
	}
	answer_missing(x->s, st);
	return false;
}

static void
cancel(struct exchange *x)
{
	relay_auth_continue(x->s->relay, SPAN_LIT("*"), &x->reply);
}

/* One challenge and its answer. False: no more of this. */
static bool
exchange_step(struct exchange *x)
{
	struct session *s = x->s;
	struct sp_span line;
	size_t used;

	say_challenge(s, x->reply.text);
	if (!session_flush(s))
		return false;
	if (!read_answer(x, &line, &used)) {
		if (!s->done)
			cancel(x);
		return false;
	}
	if (stream_input(s->stream).len > used) { /* nothing may be sent behind an answer before its reply */
		session_reply(s, 554, "5.5.0", "protocol error: wait for the reply to this line");
		s->done = true;
		s->end = "synchronization";
		return false;
	}
	x->cancelled = span_eq(line, SPAN_LIT("*"));
	if (!x->cancelled && sasl_answer(&x->sasl, line) != SP_OK)
		x->fault = (struct command_error){ 501, "5.5.2", "this is no answer of that mechanism" };
	x->tried |= !x->cancelled && x->fault.code == 0;
	relay_auth_continue(s->relay, x->fault.code != 0 ? SPAN_LIT("*") : line, &x->reply);
	stream_consume(s->stream, used);
	return x->fault.code == 0;
}

/* ---- its end ------------------------------------------------------------------------------------------- */

static void
log_refused(const struct exchange *x)
{
	char ip[46];

	log_begin("auth");
	log_text("conn", span_str(x->s->id));
	log_text("client", span_from_ip(&x->s->ip, ip));
	log_text("listener", x->s->config->listener);
	log_text("mechanism", x->mechanism);
	log_int("code", x->reply.code);
	log_int("failures", x->s->login.failures);
	log_end();
}

static void
logged_in(struct exchange *x)
{
	struct session *s = x->s;
	struct sp_span name = sasl_name(&x->sasl);

	snprintf(s->login.user, sizeof(s->login.user), "%.*s", (int)name.len, name.ptr);
	snprintf(s->login.mechanism, sizeof(s->login.mechanism), "%.*s", (int)x->mechanism.len, x->mechanism.ptr);
	inspect_auth(s->inspect, span_str(s->login.user), span_str(s->login.mechanism));
}

static void
note_failure(struct exchange *x)
{
	x->s->login.failures++;
	guesses_note(&x->s->ip);
	inspect_auth_failed(x->s->inspect);
}

/* A try that is broken off once the backend has an answer is a failure like any other: some say by a challenge that it was
 * wrong. */
static void
exchange_end(struct exchange *x)
{
	struct session *s = x->s;

	if (x->tried && (x->cancelled || reply_class(x->fault.code) == 5)) {
		note_failure(x);
		log_refused(x);
	}
	if (x->fault.code != 0) {
		session_error(s, x->fault.code, x->fault.enhanced, x->fault.text);
		return;
	}
	if (x->reply.code == AUTH_OK) {
		logged_in(x);
	} else if (x->cancelled) {
		s->errors++;
	} else {
		/* what the backend cannot tell now is not the client's failure */
		if (reply_class(x->reply.code) == 5)
			note_failure(x);
		log_refused(x);
	}
	session_reply_span(s, x->reply.code, x->reply.enhanced, x->reply.text);
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static void
exchange_run(struct exchange *x, struct sp_span initial)
{
	struct session *s = x->s;
	unsigned round = 0;

	x->tried = initial.len > 0;
	relay_auth_begin(s->relay, x->mechanism, initial, &x->reply);
	stream_consume(s->stream, s->line_used);
	s->line_used = 0;
	while (x->reply.code == AUTH_CHALLENGE && round++ < ROUNDS && exchange_step(x))
		;
	if (s->done) {
		if (x->tried && s->peer_gone)
			note_failure(x);
		return;
	}
	if (x->reply.code == AUTH_CHALLENGE) {
		cancel(x);
		x->fault = (struct command_error){ 454, "4.7.0", "the mail server asks without end" };
	}
	exchange_end(x);
}

/* As rules and logs are to see it, however it was written. */
static void
mechanism_upper(struct sp_span from, char to[static SASL_MECHANISM + 1])
{
	size_t len = from.len < SASL_MECHANISM ? from.len : SASL_MECHANISM;

	for (size_t i = 0; i < len; i++)
		to[i] = (char)(from.ptr[i] >= 'a' && from.ptr[i] <= 'z' ? from.ptr[i] - ('a' - 'A') : from.ptr[i]);
	to[len] = '\0';
}

void
session_auth(struct session *s, const struct command *c)
{
	struct exchange x = { .s = s };
	char mechanism[SASL_MECHANISM + 1];
	struct sp_span initial;
	size_t len = span_find(c->argument, ' ');

	if (s->login.failures >= s->config->auth.max_failures || guesses_count(&s->ip) >= s->config->auth.max_client_failures) {
		session_goodbye(s, "4.7.0", "too many failed logins", "auth-failures");
		return;
	}
	if (session_group_goes_on(s)) {
		session_reply(s, 554, "5.5.0", "protocol error: wait for the reply to this command");
		s->done = true;
		s->end = "synchronization";
		return;
	}
	mechanism_upper(span_head(c->argument, len), mechanism);
	x.mechanism = span_str(mechanism);
	initial = span_from(c->argument, len + 1);
	sasl_init(&x.sasl, x.mechanism);
	if (initial.len > 0 &&
		sasl_answer(&x.sasl, span_eq(initial, SPAN_LIT("=")) ? span_of(NULL, 0) : initial) != SP_OK)
		session_error(s, 501, "5.5.2", "this is no answer of that mechanism");
	else if (!session_relay_own(s))
		session_reply(s, 454, "4.7.0", "out of memory, try again later");
	else
		exchange_run(&x, initial);
}

struct sp_span
session_auth_params(const struct session *s, struct arena *a, struct sp_span params)
{
	size_t at = 0, end;
	char *text;

	while (at < params.len && !span_istarts(span_from(params, at), SPAN_LIT(" AUTH=")))
		at++;
	if (at == params.len || session_user(s).len > 0)
		return params;
	end = at + 1 + span_find(span_from(params, at + 1), ' ');
	text = arena_printf(a, "%.*s AUTH=<>%.*s", (int)at, params.ptr, (int)(params.len - end), params.ptr + end);
	return span_str(text);
}

size_t
session_line_max(const struct session *s)
{
	bool auth = s->config->auth.mode != AUTH_OFF && span_istarts(stream_input(s->stream), SPAN_LIT("AUTH "));

	return auth ? SASL_LINE : SESSION_LINE;
}

void
session_auth_forget(struct session *s)
{
	if (session_authenticated(s))
		relay_free(&s->relay);
	s->login = (struct session_login){ .failures = s->login.failures };
}
