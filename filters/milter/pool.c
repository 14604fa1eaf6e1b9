/*
 * pool.c - what the sessions of one worker share of a milter.
 *
 * Memory: struct pool is the configuration's, of which each worker has its own copy; connections that wait are the heap's.
 *
 * The breaker: after five failures within ten seconds the milter rests for a second, and whoever asks is told at once that
 * it cannot be had.  Then one session at a time may try to connect.  If that fails the rest is twice as long, up to half a
 * minute; if it works all may ask again, but one more failure before a message was seen through is enough for the next rest.
 */
#include <libmilter/mfapi.h>

#include "milter/link.h"
#include "milter/pool.h"

enum { REPORT_MS = 600000, REPORT_END_MS = 60000 };

static struct pool *
pool_of(const struct sp_ctx *ctx)
{
	const struct milter_conf *conf = ctx->conf;

	return conf->pool;
}

/* ---- the breaker ------------------------------------------------------------------------------ */

static void
rest_begin(struct sp_ctx *ctx, struct pool *p, int64_t now)
{
	p->rest_ms = p->rest_ms == 0 ? POOL_REST_MS : p->rest_ms * 2;
	if (p->rest_ms > POOL_REST_MAX_MS)
		p->rest_ms = POOL_REST_MAX_MS;
	p->rest_until = now + p->rest_ms;
	if (!p->resting)
		p->rest_since = now;
	p->resting = true;
	sp_log(ctx, SP_LOG_WARNING, "the milter fails again and again: it is not asked for %lld ms", (long long)p->rest_ms);
}

void
pool_failed(struct sp_ctx *ctx)
{
	struct pool *p = pool_of(ctx);
	int64_t now = sp_now_ms(ctx), oldest;

	p->failed++;
	p->failures[p->failure_at] = now;
	p->failure_at = (p->failure_at + 1) % POOL_FAILURES;
	if (p->failure_count < POOL_FAILURES)
		p->failure_count++;
	oldest = p->failures[p->failure_at];
	if (p->resting ? now < p->rest_until : !p->on_trial && (p->failure_count < POOL_FAILURES || now - oldest > POOL_WINDOW_MS))
		return;
	rest_begin(ctx, p, now);
}

/* Somebody could connect. */
static void
rest_end(struct sp_ctx *ctx, struct pool *p)
{
	if (!p->resting)
		return;
	p->resting = false;
	p->on_trial = true;
	sp_log(ctx, SP_LOG_INFO, "the milter can be reached again");
}

bool
pool_rests_long(struct sp_ctx *ctx)
{
	const struct pool *p = pool_of(ctx);

	return p->resting && sp_now_ms(ctx) - p->rest_since > POOL_REST_LONG_MS;
}

/* May this session try to connect? */
static enum sp_status
rest_ask(struct sp_ctx *ctx, struct pool *p)
{
	if (!p->resting)
		return SP_OK;
	return p->probing || sp_now_ms(ctx) < p->rest_until ? SP_TEMPFAIL : SP_OK;
}

/* ---- how many at once -------------------------------------------------------------------------- */

static enum sp_status
place_take(struct sp_ctx *ctx, struct pool *p)
{
	const struct milter_conf *conf = ctx->conf;
	int64_t until = sp_now_ms(ctx) + conf->timeout_ms, left = conf->timeout_ms;
	enum sp_status st = SP_OK;

	while (p->active >= conf->connections && st == SP_OK) {
		if (p->waiting >= conf->queue) {
			sp_log(ctx, SP_LOG_WARNING, "%lld sessions wait for the milter already", (long long)p->waiting);
			return SP_LIMIT;
		}
		p->waiting++;
		st = left > 0 ? sp_event_wait(ctx, &p->freed, left) : SP_TIMEOUT;
		p->waiting--;
		left = until - sp_now_ms(ctx);
	}
	if (st == SP_OK)
		p->active++;
	else if (p->active < conf->connections)
		sp_event_wake(ctx, &p->freed, false); /* it was woken, but goes: the next one's turn */
	return st;
}

static void
place_leave(struct sp_ctx *ctx, struct pool *p)
{
	p->active--;
	sp_event_wake(ctx, &p->freed, false);
}

/* ---- connections ------------------------------------------------------------------------------- */

/* One that has waited and is still good; null: none. */
static struct link *
parked_take(struct sp_ctx *ctx, struct pool *p)
{
	int64_t now = sp_now_ms(ctx);
	struct link *l;

	while ((l = p->parked) != NULL) {
		p->parked = l->next;
		p->parked_count--;
		l->next = NULL;
		if (now - l->parked_ms <= POOL_IDLE_MS && sp_conn_idle(ctx, l->conn)) {
			sp_conn_take(ctx, l->conn);
			l->reused = true;
			l->replied = false;
			return l;
		}
		link_free(ctx->host, &l);
	}
	return NULL;
}

/* What it wants, once for each worker, and again when it has changed. */
static void
announce(struct sp_ctx *ctx, struct pool *p, const struct link *l)
{
	const struct wire_options *o = &l->agreed;

	if (p->announced && p->announced_actions == o->actions && p->announced_protocol == o->protocol)
		return;
	p->announced = true;
	p->announced_actions = o->actions;
	p->announced_protocol = o->protocol;
	sp_log(ctx, SP_LOG_INFO, "the milter at %s speaks version %u, actions 0x%x, protocol 0x%x, chunks of %zu octets",
		((const struct milter_conf *)ctx->conf)->endpoint, o->version, o->actions, o->protocol, wire_chunk(o->protocol));
	for (unsigned i = 0; i < WIRE_STAGES; i++)
		if (o->listed[i])
			sp_log(ctx, SP_LOG_INFO, "macros it asks for, list %u: %.*s", i, (int)o->lists[i].len, o->lists[i].ptr);
}

static enum sp_status
connect_new(struct sp_ctx *ctx, struct pool *p, struct link **ret)
{
	bool probes = p->resting;
	enum sp_status st;

	p->probing = p->probing || probes;
	st = link_open(ctx, ret);
	if (probes)
		p->probing = false;
	if (st == SP_OK) {
		rest_end(ctx, p);
		announce(ctx, p, *ret);
	} else if (st != SP_CANCELED) {
		pool_failed(ctx);
	}
	return st;
}

enum sp_status
pool_take(struct sp_ctx *ctx, bool fresh, struct link **ret)
{
	struct pool *p = pool_of(ctx);
	enum sp_status st = rest_ask(ctx, p);

	if (st == SP_OK)
		st = place_take(ctx, p);
	if (st != SP_OK)
		return st;
	st = rest_ask(ctx, p); /* it may have begun to rest meanwhile */
	*ret = st == SP_OK && !fresh ? parked_take(ctx, p) : NULL;
	if (st == SP_OK && *ret == NULL)
		st = connect_new(ctx, p, ret);
	if (st != SP_OK)
		place_leave(ctx, p);
	return st;
}

/* Says goodbye; true: the connection may serve another session.  A milter that wants to hear of neither connect nor HELO knows no
 * sessions: to it one message follows another. */
static bool
part(struct sp_ctx *ctx, struct pool *p, struct link *l, bool again)
{
	const struct milter_conf *conf = ctx->conf;

	again = again && conf->reuse && l->agreed.version >= 6 && p->parked_count < POOL_PARKED;
	if (!again || !link_has(l, SMFIP_NOCONNECT) || !link_has(l, SMFIP_NOHELO))
		wire_command(&l->out, again ? SMFIC_QUIT_NC : SMFIC_QUIT);
	return link_send(ctx, l) == SP_OK && again && l->in_at == l->in_len && sp_conn_idle(ctx, l->conn);
}

void
pool_give(struct sp_ctx *ctx, struct link **l, enum pool_state state)
{
	struct pool *p = pool_of(ctx);
	struct link *link = *l;

	if (link == NULL)
		return;
	*l = NULL;
	if (state != POOL_BROKEN && part(ctx, p, link, state == POOL_AGAIN)) {
		link_trim(link);
		sp_conn_keep(ctx, link->conn);
		link->parked_ms = sp_now_ms(ctx);
		link->next = p->parked;
		p->parked = link;
		p->parked_count++;
	} else {
		link_free(ctx->host, &link);
	}
	place_leave(ctx, p);
}

void
pool_fini(struct pool *p)
{
	while (p->parked != NULL) {
		struct link *l = p->parked;

		p->parked = l->next;
		link_free(p->host, &l);
	}
	p->parked_count = 0;
}

/* ---- how it does --------------------------------------------------------------------------------- */

void
pool_succeeded(struct sp_ctx *ctx, int64_t ms)
{
	struct pool *p = pool_of(ctx);
	unsigned bucket = 0;

	while (bucket + 1 < POOL_BUCKETS && ms >= (int64_t)1 << bucket)
		bucket++;
	p->buckets[bucket]++;
	p->calls++;
	p->failure_count = p->failure_at = 0;
	p->on_trial = false;
	p->rest_ms = 0;
}

uint64_t
pool_percentile(const struct pool *p, unsigned percent)
{
	uint64_t seen = 0;
	unsigned bucket = 0;

	for (; bucket + 1 < POOL_BUCKETS; bucket++) {
		seen += p->buckets[bucket];
		if (seen * 100 >= p->calls * percent)
			break;
	}
	return (uint64_t)1 << bucket;
}

void
pool_report(struct sp_ctx *ctx, bool at_end)
{
	struct pool *p = pool_of(ctx);
	int64_t now = sp_now_ms(ctx);

	if (p->logged_ms == 0)
		p->logged_ms = now;
	if (p->calls + p->failed == p->logged_calls || (at_end && p->active > 0) ||
		now - p->logged_ms < (at_end ? REPORT_END_MS : REPORT_MS))
		return;
	p->logged_ms = now;
	p->logged_calls = p->calls + p->failed;
	sp_log(ctx, SP_LOG_INFO, "calls %llu, failures %llu, half of them within %llu ms, 99%% within %llu ms",
		(unsigned long long)p->calls, (unsigned long long)p->failed, (unsigned long long)pool_percentile(p, 50),
		(unsigned long long)pool_percentile(p, 99));
}
