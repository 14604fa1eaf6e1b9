/*
 * xclient.c - XCLIENT from peers that may speak for others (Postfix's XCLIENT_README; CASES X01, X02).
 *
 * What is said of the client may come in several commands, its address in the last of them.  With a new address the
 * session begins anew: it is counted, inspected and greeted as if that client had connected.
 */
#include "proxy/session/session_priv.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/smtp/xclient.h"

struct command_error
session_check_xclient(const struct session *s, const struct command *c)
{
	struct xclient x;

	if (!s->given.may)
		return (struct command_error){ 550, "5.7.0", "you may not speak for others" };
	if (xclient_parse(c->argument, &x) != SP_OK)
		return (struct command_error){ 501, "5.5.4", "bad attribute or value" };
	return (struct command_error){ 0 };
}

/* What was said of the client before this one is forgotten. */
static void
forget(struct given *g, unsigned but)
{
	if ((but & XCLIENT_BIT(XCLIENT_NAME)) == 0) {
		g->name[0] = '\0';
		g->named = g->name_unknown = false;
	}
	if ((but & XCLIENT_BIT(XCLIENT_HELO)) == 0)
		g->helo[0] = '\0';
	if ((but & XCLIENT_BIT(XCLIENT_LOGIN)) == 0)
		g->login[0] = '\0';
	if ((but & XCLIENT_BIT(XCLIENT_PROTO)) == 0)
		g->esmtp = true;
	if ((but & XCLIENT_BIT(XCLIENT_PORT)) == 0)
		g->port = 0;
}

static void
note(struct given *g, const struct xclient *x)
{
	if ((x->given & XCLIENT_BIT(XCLIENT_NAME)) != 0) {
		g->named = true;
		g->name_unknown = x->name_unknown;
		snprintf(g->name, sizeof(g->name), "%s", x->name);
	}
	if ((x->given & XCLIENT_BIT(XCLIENT_HELO)) != 0)
		snprintf(g->helo, sizeof(g->helo), "%s", x->helo);
	if ((x->given & XCLIENT_BIT(XCLIENT_LOGIN)) != 0)
		snprintf(g->login, sizeof(g->login), "%s", x->login);
	if ((x->given & XCLIENT_BIT(XCLIENT_PROTO)) != 0)
		g->esmtp = x->esmtp;
	if ((x->given & XCLIENT_BIT(XCLIENT_PORT)) != 0)
		g->port = x->port;
}

static void
note_destination(struct session *s, const struct xclient *x)
{
	if ((x->given & XCLIENT_BIT(XCLIENT_DESTADDR)) != 0)
		s->local_ip = x->dest_ip;
	if ((x->given & XCLIENT_BIT(XCLIENT_DESTPORT)) != 0)
		s->local_port = x->dest_port;
}

/* Is it another client from here on, or one that looks otherwise to the rules that are decided at connect? */
static bool
is_new(const struct given *g, const struct xclient *x)
{
	unsigned looks = XCLIENT_BIT(XCLIENT_NAME) | XCLIENT_BIT(XCLIENT_PORT);

	return (x->given & XCLIENT_BIT(XCLIENT_ADDR)) != 0 || (g->addressed && (x->given & looks) != 0);
}

void
session_xclient(struct session *s, const struct command *c)
{
	struct given *g = &s->given;
	struct xclient x;
	bool anew;

	if (xclient_parse(c->argument, &x) != SP_OK)
		return; /* it was when it was checked */
	anew = is_new(g, &x);
	if ((x.given & XCLIENT_BIT(XCLIENT_ADDR)) != 0) {
		forget(g, g->fresh | x.given);
		s->ip = x.ip;
		g->addressed = true;
		g->fresh = 0;
	} else {
		g->fresh |= x.given;
	}
	note(g, &x);
	note_destination(s, &x);
	if (g->addressed)
		s->port = g->port;
	session_auth_forget(s);
	s->state = STATE_NEW;
	s->helo[0] = '\0';
	s->offered = 0;
	session_restart(s, anew);
}
