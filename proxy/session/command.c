/*
 * command.c - commands as rows {verb, states, check, proceed}, and the simple ones.
 *
 * A command is first allowed by its row's states, then checked without any effect, then carried out.
 * RFC 5321 4.1.1, 4.1.4 (order), 2920 (pipelining), 1870, 2034, 6152.
 */
#include "proxy/session/session_priv.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"

struct command_row {
	enum command_verb verb;
	unsigned states;
	struct command_error (*check)(const struct session *s, const struct command *c);
	void (*proceed)(struct session *s, const struct command *c);
	bool junk;      /* does no work: limited in number between two messages */
	bool group_end; /* nothing may be sent behind it before its reply */
};

enum {
	IN_TRANSACTION = STATE_MAIL | STATE_RCPT,
	GREETED = STATE_READY | IN_TRANSACTION,
	ANY = STATE_NEW | GREETED | STATE_CHUNKS
};

static const struct command_error no_error;

bool
session_group_goes_on(const struct session *s)
{
	return stream_input(s->stream).len > s->line_used;
}

/* ---- checks --------------------------------------------------------------------------------- */

static struct command_error
check_helo(const struct session *s, const struct command *c)
{
	(void)s;
	if (!address_helo_ok(c->argument))
		return (struct command_error){ 501, "5.5.2",
			"a domain name or address literal is expected after HELO and EHLO" };
	return no_error;
}

static struct command_error
check_bare(const struct session *s, const struct command *c)
{
	(void)s;
	if (c->argument.len > 0)
		return (struct command_error){ 501, "5.5.4", "this command takes no argument" };
	return no_error;
}

static struct command_error
check_argument(const struct session *s, const struct command *c)
{
	(void)s;
	if (c->argument.len == 0)
		return (struct command_error){ 501, "5.5.4", "an argument is expected" };
	return no_error;
}

/* ---- the simple commands -------------------------------------------------------------------- */

/* EHLO also ends any transaction (RFC 5321 4.1.4). */
static void
proceed_helo(struct session *s, const struct command *c)
{
	struct policy_verdict v;

	transaction_end(s);
	s->state = STATE_NEW;
	s->offered = 0;
	s->esmtp = c->verb == COMMAND_EHLO;
	client_note_helo(s, c->argument);
	v = inspect_helo(s->inspect, span_str(s->helo), s->esmtp, rt_deadline(s->config->timeouts.filters));
	if (verdict_stops(s, &v)) {
		session_reply_verdict(s, &v);
		return;
	}
	s->state = STATE_READY;
	if (s->esmtp)
		session_reply_ehlo(s);
	else
		session_reply(s, 250, NULL, session_hostname(s));
}

static void
proceed_rset(struct session *s, const struct command *c)
{
	(void)c;
	transaction_end(s);
	session_reply(s, 250, "2.0.0", "ok");
}

static void
proceed_noop(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 250, "2.0.0", "ok");
}

static void
proceed_vrfy(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 252, "2.5.2", "not verified here; send the mail and see");
}

static void
proceed_help(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 214, "2.0.0", "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY QUIT HELP");
}

static void
proceed_quit(struct session *s, const struct command *c)
{
	(void)c;
	transaction_end(s);
	session_reply(s, 221, "2.0.0", "bye");
	s->done = true;
	s->end = "quit";
}

static void
proceed_http(struct session *s, const struct command *c)
{
	(void)c;
	session_reply(s, 521, "5.5.1", "this is a mail server");
	s->done = true;
	s->end = "not-smtp";
}

static void
proceed_unknown(struct session *s, const struct command *c)
{
	const char *end = c->argument.len > 0 ? c->argument.ptr + c->argument.len : c->word.ptr + c->word.len;

	inspect_unknown(s->inspect, span_of(c->word.ptr, (size_t)(end - c->word.ptr)), rt_deadline(s->config->timeouts.filters));
	session_error(s, 502, "5.5.1", "this command is not offered here");
}

static const struct command_row rows[] = {
	{ COMMAND_EHLO, ANY, check_helo, proceed_helo, false, true },
	{ COMMAND_HELO, ANY, check_helo, proceed_helo, false, true },
	{ COMMAND_MAIL, STATE_READY, starttls_check_mail, session_mail, false, false },
	{ COMMAND_RCPT, IN_TRANSACTION, NULL, session_rcpt, false, false },
	{ COMMAND_DATA, IN_TRANSACTION, check_bare, session_data, false, true },
	{ COMMAND_RSET, ANY, check_bare, proceed_rset, true, false },
	{ COMMAND_NOOP, ANY, NULL, proceed_noop, true, false },
	{ COMMAND_VRFY, ANY, check_argument, proceed_vrfy, true, false },
	{ COMMAND_HELP, ANY, NULL, proceed_help, true, false },
	{ COMMAND_QUIT, ANY | STATE_REFUSED, NULL, proceed_quit, false, false },
	{ COMMAND_STARTTLS, STATE_NEW | STATE_READY, starttls_check, starttls_proceed, false, true },
	{ COMMAND_BDAT, ANY | STATE_REFUSED, NULL, session_bdat, false, false },
	{ COMMAND_XCLIENT, STATE_NEW | STATE_READY, session_check_xclient, session_xclient, false, true },
	{ COMMAND_PROXY, ANY | STATE_REFUSED, NULL, session_stray_header, false, false },
	{ COMMAND_ETRN, STATE_READY, session_etrn_check, session_etrn, true, false },
	{ COMMAND_ATRN, STATE_READY, session_atrn_check, session_atrn, false, true },
	{ COMMAND_HTTP, ANY | STATE_REFUSED, NULL, proceed_http, false, false },
	{ COMMAND_EXPN, ANY, NULL, proceed_unknown, false, false },
	{ COMMAND_AUTH, ANY, session_auth_check, session_auth, false, false },
	{ COMMAND_UNKNOWN, ANY, NULL, proceed_unknown, false, false },
};

/* ---- dispatch ------------------------------------------------------------------------------- */

static const struct command_row *
row_of(enum command_verb verb)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].verb == verb)
			return &rows[i];
	return &rows[sizeof(rows) / sizeof(rows[0]) - 1];
}

static const char *
wrong_state_text(const struct session *s, const struct command *c)
{
	if (s->state == STATE_REFUSED)
		return "this connection was refused; only QUIT is left";
	if (s->state == STATE_NEW)
		return "say EHLO or HELO first";
	if (c->verb == COMMAND_MAIL)
		return "a transaction is open already";
	if (s->state == STATE_READY)
		return "say MAIL first";
	return "not in this order";
}

static bool
too_much_junk(struct session *s, const struct command_row *row)
{
	if (!row->junk || ++s->junk <= s->config->limits.junk)
		return false;
	session_goodbye(s, "4.7.0", "too many commands that do no work", "junk");
	return true;
}

void
session_command(struct session *s, struct sp_span line)
{
	struct command c = command_parse(line);
	const struct command_row *row = row_of(c.verb);
	struct command_error e = no_error;

	if (too_much_junk(s, row))
		return;
	if (row->group_end && session_group_goes_on(s)) {
		session_reply(s, 554, "5.5.0", "protocol error: wait for the reply to this command");
		s->done = true;
		s->end = "synchronization";
		return;
	}
	if ((row->states & s->state) == 0) {
		session_error(s, 503, "5.5.1", wrong_state_text(s, &c));
		return;
	}
	if (row->check != NULL)
		e = row->check(s, &c);
	if (e.code != 0)
		session_error(s, e.code, e.enhanced, e.text);
	else
		row->proceed(s, &c);
}
