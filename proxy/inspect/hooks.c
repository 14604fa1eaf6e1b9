/*
 * hooks.c - the filters of one session: their memory, and their hooks, called in the order of the file.
 *
 * Only filters that the policy wants are called.  Outside of a transaction a hook may take until the stage's deadline;
 * in one, all hooks together may take the transaction's budget, which counts only the time spent in them: a
 * client that sends slowly does not use it up.  When it is used up the others are not called, so their facts are unknown.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"
#include "proxy/rt/rt.h"

static const enum sp_stage hook_stages[] = {
	[HOOK_CONNECT] = SP_CONNECT,
	[HOOK_HELO] = SP_HELO,
	[HOOK_MAIL] = SP_MAIL,
	[HOOK_RCPT] = SP_RCPT,
	[HOOK_DATA] = SP_DATA,
	[HOOK_HEADER] = SP_HEADER,
	[HOOK_EOH] = SP_HEADER,
	[HOOK_BODY] = SP_EOM,
	[HOOK_EOM] = SP_EOM,
	[HOOK_UNKNOWN] = SP_STAGES /* it states nothing */
};

/* ---- memory --------------------------------------------------------------------------------------- */

struct arena *
hooks_arena(const struct inspect *i)
{
	return i->tx != NULL && !i->hook_outlives ? i->tx->arena : i->arena;
}

struct arena *
hooks_arena_of(const struct use *u)
{
	const struct inspect *i = u->in;

	if (u->life == USE_TX || u->stage > SP_HELO)
		return i->tx != NULL ? i->tx->arena : i->arena;
	return u->stage == SP_HELO || u->life == USE_HELO ? i->helo_arena : i->arena;
}

const struct sp_filter *
hooks_module(const struct use *u)
{
	return policy_filter(u->in->policy, u->index)->module;
}

static bool
make(struct arena *a, size_t size, void **ret)
{
	*ret = NULL;
	if (size > 0)
		*ret = arena_alloc(a, size);
	return size == 0 || *ret != NULL;
}

static bool
begin_tx(struct use *u)
{
	u->skip = u->failed = u->unasked = false;
	u->turn = u->index;
	u->tx_begun = make(u->in->tx->arena, hooks_module(u)->tx_size, &u->ctx.tx);
	return u->tx_begun;
}

bool
hooks_start(struct use *u, enum use_life life)
{
	struct arena *a = life == USE_TX ? u->in->tx->arena : life == USE_HELO ? u->in->helo_arena : u->in->arena;

	if (!make(a, hooks_module(u)->session_size, &u->ctx.session))
		return false;
	if (u->in->tx != NULL && !begin_tx(u))
		return false;
	u->life = life;
	return true;
}

bool
hooks_resume(struct use *u)
{
	return begin_tx(u);
}

static void
use_init(struct inspect *i, size_t index)
{
	const struct policy_filter *f = policy_filter(i->policy, index);

	i->uses[index] = (struct use){
		.ctx = { .host = &inspect_host, .conf = f->conf, .entries = f->entries, .entry_count = f->entry_count,
			.dry_run = i->client.dry_run },
		.in = i,
		.index = index,
	};
}

bool
hooks_begin(struct inspect *i)
{
	size_t count = policy_filter_count(i->policy);
	bool any = false;

	for (size_t n = 0; n < count; n++)
		any = any || policy_filter(i->policy, n)->wanted;
	if (!any)
		return true;
	i->uses = arena_alloc(i->arena, count * sizeof(*i->uses));
	if (i->uses == NULL)
		return false;
	for (size_t n = 0; n < count; n++) {
		const struct policy_filter *f = policy_filter(i->policy, n);

		use_init(i, n);
		if (f->wanted && !f->on_demand && !hooks_start(&i->uses[n], USE_SESSION))
			return false;
	}
	return true;
}

bool
hooks_begin_tx(struct inspect *i)
{
	size_t index = 0;
	struct use *u;

	while ((u = hooks_next(i, &index)) != NULL)
		if (!begin_tx(u))
			return false;
	return true;
}

/* ---- time ------------------------------------------------------------------------------------------ */

int64_t
hooks_deadline(const struct inspect *i)
{
	int64_t deadline = i->limit_ms;

	if (i->deadline_ms != 0)
		return i->deadline_ms;
	if (i->tx != NULL) {
		int64_t left = i->tx->budget_ms - i->tx->spent_ms;
		int64_t by_budget = rt_deadline(left > 0 ? left : 0);

		deadline = by_budget < deadline ? by_budget : deadline;
	}
	return deadline;
}

struct clock {
	int64_t ms, ns;
};

static struct clock
clock_start(struct inspect *i)
{
	struct clock c = { rt_now_ms(), rt_now_ns() };

	i->deadline_ms = hooks_deadline(i);
	i->dns_hook_ms = 0;
	return c;
}

static void
clock_stop(struct inspect *i, struct clock c)
{
	i->deadline_ms = 0;
	if (i->tx == NULL)
		return;
	i->tx->spent_ms += rt_now_ms() - c.ms;
	i->tx->filter_ns += rt_now_ns() - c.ns;
}

/* ---- calling ---------------------------------------------------------------------------------------- */

static bool
has_hook(const struct sp_filter *f, enum hook hook)
{
	switch (hook) {
	case HOOK_CONNECT:
		return f->on_connect != NULL;
	case HOOK_HELO:
		return f->on_helo != NULL;
	case HOOK_MAIL:
		return f->on_mail != NULL;
	case HOOK_RCPT:
		return f->on_rcpt != NULL;
	case HOOK_DATA:
		return f->on_data != NULL;
	case HOOK_HEADER:
		return f->on_header != NULL;
	case HOOK_EOH:
		return f->on_eoh != NULL;
	case HOOK_BODY:
		return f->on_body != NULL;
	case HOOK_EOM:
		return f->on_eom != NULL;
	case HOOK_UNKNOWN:
		return f->on_unknown != NULL;
	}
	return false;
}

static enum sp_status
dispatch(struct use *u, enum hook hook, const void *event)
{
	const struct sp_filter *f = hooks_module(u);

	switch (hook) {
	case HOOK_CONNECT:
		return f->on_connect(&u->ctx, event);
	case HOOK_HELO:
		return f->on_helo(&u->ctx, event);
	case HOOK_MAIL:
		return f->on_mail(&u->ctx, event);
	case HOOK_RCPT:
		return f->on_rcpt(&u->ctx, event);
	case HOOK_DATA:
		return f->on_data(&u->ctx);
	case HOOK_HEADER:
		return f->on_header(&u->ctx, event);
	case HOOK_EOH:
		return f->on_eoh(&u->ctx, event);
	case HOOK_BODY:
		return f->on_body(&u->ctx, event);
	case HOOK_EOM:
		return f->on_eom(&u->ctx, event);
	case HOOK_UNKNOWN:
		return f->on_unknown(&u->ctx, event);
	}
	return SP_OK;
}

void
hooks_fail(struct use *u)
{
	u->failed = true;
	edits_drop(u->in->tx, u);
	results_drop(u->in->tx, u);
}

/* The budget is used up: what the filter has not seen it cannot judge. */
static void
give_up(struct use *u)
{
	host_log(u, SP_LOG_WARNING, "the transaction's time for filters is used up");
	u->skip = true;
	hooks_fail(u);
}

static void
note_lost(struct use *u, enum hook hook, enum sp_status st)
{
	bool lost = st != SP_OK && st != SP_NONE && st != SP_CANCELED;

	if (hook == HOOK_CONNECT)
		u->lost_connect = lost;
	if (hook == HOOK_HELO)
		u->lost_helo = lost;
}

void
hooks_call(struct use *u, enum hook hook, const void *event)
{
	struct inspect *i = u->in;
	struct clock began;
	enum sp_status st;

	/* where there was no memory for its transaction, it has none */
	if (u->skip || (i->tx != NULL && !u->tx_begun) || !has_hook(hooks_module(u), hook))
		return;
	if (i->tx != NULL && i->tx->spent_ms >= i->tx->budget_ms) {
		give_up(u);
		return;
	}
	if (hook == HOOK_CONNECT)
		u->connect_shown = true;
	if (hook == HOOK_HELO)
		u->helo_shown = true;
	u->stage = hook_stages[hook];
	i->hook_outlives = u->life == USE_SESSION && (hook == HOOK_CONNECT || hook == HOOK_HELO);
	began = clock_start(i);
	st = dispatch(u, hook, event);
	clock_stop(i, began);
	i->hook_outlives = false;
	if (i->tx == NULL) {
		note_lost(u, hook, st);
	} else if (st == SP_NONE) {
		u->skip = true;
	} else if (st != SP_OK) {
		hooks_fail(u);
	}
}

enum sp_status
hooks_final(struct use *u, const struct sp_final *event)
{
	struct inspect *i = u->in;
	struct clock began;
	enum sp_status st;

	u->stage = SP_STAGES;
	began = clock_start(i);
	st = hooks_module(u)->on_final(&u->ctx, event);
	clock_stop(i, began);
	return st;
}

struct use *
hooks_next(const struct inspect *i, size_t *index)
{
	size_t count = i->uses == NULL ? 0 : policy_filter_count(i->policy);

	while (*index < count) {
		struct use *u = &i->uses[(*index)++];

		if (u->life != USE_IDLE && (!policy_filter(i->policy, u->index)->on_demand || demand_is(i, u->index)))
			return u;
	}
	return NULL;
}

void
hooks_run(struct inspect *i, enum hook hook, const void *event)
{
	size_t index = 0;
	struct use *u;

	while ((u = hooks_next(i, &index)) != NULL)
		if (hook == HOOK_EOM && said_moot(u))
			u->unasked = true;
		else
			hooks_call(u, hook, event);
}

bool
hooks_want_body(const struct inspect *i)
{
	size_t index = 0;
	const struct use *u;

	while ((u = hooks_next(i, &index)) != NULL)
		if (!u->skip && hooks_module(u)->on_body != NULL)
			return true;
	return false;
}

/* ---- leaving ------------------------------------------------------------------------------------------ */

static void
close_use(struct use *u)
{
	struct inspect *i = u->in;
	struct sp_close event = { .in_transaction = i->tx != NULL };

	u->stage = SP_STAGES;
	if (hooks_module(u)->on_close != NULL) {
		i->deadline_ms = rt_deadline(INSPECT_LEAVE_MS);
		hooks_module(u)->on_close(&u->ctx, &event);
		i->deadline_ms = 0;
	}
	host_close_conns(i, u);
	u->life = USE_IDLE;
	u->ctx.session = NULL;
	u->connect_shown = u->helo_shown = false;
	u->word.connect = u->word.helo = NULL;
}

void
hooks_close(struct inspect *i, enum use_life life)
{
	for (size_t n = 0; i->uses != NULL && n < policy_filter_count(i->policy); n++)
		if (i->uses[n].life != USE_IDLE && (life == USE_IDLE || i->uses[n].life == life))
			close_use(&i->uses[n]);
}

static void
end_tx(struct use *u)
{
	struct inspect *i = u->in;

	if (!u->tx_begun)
		return;
	u->stage = SP_STAGES;
	if (hooks_module(u)->on_reset != NULL) {
		i->deadline_ms = rt_deadline(INSPECT_LEAVE_MS);
		hooks_module(u)->on_reset(&u->ctx);
		i->deadline_ms = 0;
	}
	u->tx_begun = u->skip = u->failed = false;
	said_forget_tx(u);
	if (u->life == USE_TX)
		close_use(u);
	u->ctx.tx = NULL;
}

void
hooks_leave(struct use *u)
{
	edits_drop(u->in->tx, u);
	results_drop(u->in->tx, u);
	slots_forget_filter(u->in, u->index);
	end_tx(u);
}

void
hooks_end_tx(struct inspect *i)
{
	for (size_t n = 0; i->uses != NULL && n < policy_filter_count(i->policy); n++)
		end_tx(&i->uses[n]);
}
