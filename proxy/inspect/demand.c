/*
 * demand.c - filters that run only when a rule "filter NAME" fires.
 *
 * When it fires the filter is called with all that has happened so far, in order: the session's stages, the sender,
 * the recipients, the header from its block, the body from the spool.  From then on it is called like any other, until
 * what called for it ends: the transaction, the HELO name or the session.  Its facts exist only for the walks
 * that called for it: those of one recipient are absent for another.
 *
 * A module that lasts keeps its session to the end of the client's, once it has one: a further call shows it only what it has not
 * seen, a new HELO name and the transaction.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

static bool
called_by(const struct target *t, size_t index)
{
	return t->demanded != NULL && t->demanded[index];
}

bool
demand_seen(const struct inspect *i, size_t index)
{
	return called_by(&i->connect, index) || called_by(&i->helo, index) ||
		(i->tx != NULL && called_by(&i->tx->target, index)) ||
		(i->rcpt != NULL && called_by(&i->rcpt->target, index));
}

bool
demand_is(const struct inspect *i, size_t index)
{
	struct walk_iter at = { 0 };
	const struct target *t;

	while ((t = walk_next(i, &at)) != NULL)
		if (called_by(t, index))
			return true;
	return false;
}

bool
demand_covers(const struct inspect *i, size_t index, size_t that)
{
	struct walk_iter at = { 0 };
	const struct target *t;

	if (called_by(&i->connect, index) || called_by(&i->helo, index) || called_by(&i->tx->target, index))
		return true;
	while ((t = walk_next(i, &at)) != NULL)
		if (called_by(t, that) && !called_by(t, index))
			return false;
	return true;
}

static bool
note(struct target *t, const struct policy *p, size_t index)
{
	if (t->demanded == NULL)
		t->demanded = arena_alloc(t->arena, policy_filter_count(p) * sizeof(*t->demanded));
	if (t->demanded == NULL)
		return false;
	t->demanded[index] = true;
	return true;
}

void
demand_release(struct inspect *i)
{
	for (size_t n = 0; i->uses != NULL && n < policy_filter_count(i->policy); n++)
		if (policy_filter(i->policy, n)->on_demand && i->uses[n].tx_begun && !demand_is(i, n))
			hooks_leave(&i->uses[n]);
}

/* Does anybody get the message who has called for it? */
static bool
serves(const struct inspect *i, size_t index)
{
	struct walk_iter at = { 0 };
	const struct target *t;

	while ((t = walk_next(i, &at)) != NULL)
		if (called_by(t, index) && !walk_goes_without(i, t))
			return true;
	return false;
}

void
demand_settle(struct inspect *i)
{
	for (size_t n = 0; i->tx->each && i->uses != NULL && n < policy_filter_count(i->policy); n++) {
		struct use *u = &i->uses[n];

		if (!policy_filter(i->policy, n)->on_demand || !u->tx_begun || serves(i, n))
			continue;
		edits_drop(i->tx, u);
		results_drop(i->tx, u);
		u->skip = true; /* nor does it sign */
		u->failed = false;
	}
}

/* ---- catching up ---------------------------------------------------------------------------------- */

static void
replay_session(struct use *u)
{
	const struct inspect *i = u->in;
	struct sp_connect connect = { .client = i->client.ip, .port = i->client.port, .listener = i->client.listener };
	struct sp_helo helo = { .name = i->helo_name, .esmtp = i->esmtp, .client = i->client.ip };

	if (!u->connect_shown)
		hooks_call(u, HOOK_CONNECT, &connect);
	if (i->has_helo && !u->helo_shown)
		hooks_call(u, HOOK_HELO, &helo);
}

static void
replay_rcpt(struct use *u, struct recipient *r)
{
	const struct address *a = &r->address;
	struct sp_rcpt event = { .address = a->text, .local = a->local, .domain = a->domain, .index = r->index,
		.params = r->params };

	u->in->rcpt = r;
	hooks_call(u, HOOK_RCPT, &event);
}

static void
replay_envelope(struct use *u)
{
	struct inspect *i = u->in;
	const struct address *a = &i->tx->mail.address;
	struct sp_mail mail = { .address = a->text, .local = a->local, .domain = a->domain, .size = i->tx->mail.size,
		.params = i->tx->mail.params };
	struct recipient *now = i->rcpt;

	i->rcpt = NULL;
	hooks_call(u, HOOK_MAIL, &mail);
	for (struct recipient *r = i->tx->rcpts; r != NULL; r = r->next)
		replay_rcpt(u, r);
	if (i->tx->pending != NULL)
		replay_rcpt(u, i->tx->pending);
	i->rcpt = NULL;
	if (i->stage >= SP_DATA)
		hooks_call(u, HOOK_DATA, NULL);
	i->rcpt = now;
}

static void
replay_body(struct use *u)
{
	struct transaction *tx = u->in->tx;
	struct unstuff at;
	struct sp_body event;
	struct sp_eom eom = { .octets = tx->octets };
	enum sp_status st = hooks_module(u)->on_body == NULL || tx->spool == NULL ? SP_NONE
		: unstuff_find(&at, tx->spool, tx->header_octets);

	u->turn = policy_filter_count(u->in->policy) + tx->late++;
	while (st == SP_OK) {
		st = unstuff_next(&at, tx->spool, &event.chunk);
		if (st == SP_OK)
			hooks_call(u, HOOK_BODY, &event);
	}
	if (st != SP_NONE) { /* it has not seen all: it must not judge */
		host_log(u, SP_LOG_ERROR, "the message cannot be read back");
		u->skip = true;
		hooks_fail(u);
	}
	hooks_call(u, HOOK_EOM, &eom);
}

static void
replay_tx(struct use *u)
{
	struct inspect *i = u->in;
	struct recipient *now = i->rcpt;

	replay_envelope(u);
	i->rcpt = NULL;
	if (i->stage >= SP_HEADER)
		content_show_header(u);
	if (i->stage >= SP_EOM)
		replay_body(u);
	else if (i->stage >= SP_HEADER)
		i->tx->body_wanted = hooks_want_body(i);
	i->rcpt = now;
}

static enum use_life
life_of(const struct use *u)
{
	const struct inspect *i = u->in;

	if (hooks_module(u)->lasts)
		return USE_SESSION;
	return i->tx != NULL ? USE_TX : i->walking == &i->helo ? USE_HELO : USE_SESSION;
}

enum sp_status
demand_filter(struct inspect *i, size_t index)
{
	struct use *u = &i->uses[index];
	struct target *by = i->walking;
	bool joins = i->tx != NULL && !u->tx_begun;

	if (!note(by, i->policy, index))
		return SP_SYSTEM;
	if (u->life == USE_IDLE ? !hooks_start(u, life_of(u)) : joins && !hooks_resume(u))
		return SP_SYSTEM;
	replay_session(u);
	if (joins)
		replay_tx(u);
	return SP_OK;
}
