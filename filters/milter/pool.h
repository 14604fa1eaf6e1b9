/*
 * pool.h - what the sessions of one worker share of a milter: connections that wait for the next session, how many there
 * may be at once, whether it is worth asking at all (a circuit breaker), and how long it takes.
 */
#ifndef MILTER_POOL_H
#define MILTER_POOL_H

#include "milter/milter.h"

enum {
	POOL_FAILURES = 5,       /* so many in POOL_WINDOW_MS, and it is asked no more for a while */
	POOL_WINDOW_MS = 10000,
	POOL_REST_MS = 1000,     /* the first while; each further one is twice as long */
	POOL_REST_MAX_MS = 30000,
	POOL_REST_LONG_MS = 60000,
	POOL_PARKED = 8,         /* connections that wait for a session */
	POOL_IDLE_MS = 30000,    /* for at most so long */
	POOL_BUCKETS = 20        /* of the histogram: below 1 ms, 2 ms, 4 ms ... */
};

struct pool {
	const struct sp_host *host; /* for connections that no session has */
	struct link *parked; /* the latest first */
	size_t parked_count;
	int64_t active, waiting;
	struct sp_event freed;

	int64_t failures[POOL_FAILURES]; /* when: a ring */
	unsigned failure_count, failure_at;
	bool resting, probing;
	bool on_trial;        /* it can be reached again, but has not yet seen a message through */
	int64_t rest_ms, rest_until;  /* rest_ms 0: it is well */
	int64_t rest_since;           /* while it rests */

	uint64_t calls, failed, buckets[POOL_BUCKETS];
	uint64_t logged_calls;
	int64_t logged_ms;
	bool announced;
	uint32_t announced_actions, announced_protocol;
};

/* Has it rested for more than a minute? Then clients need not be let in. */
bool pool_rests_long(struct sp_ctx *ctx);
/* A connection for this session: one that has waited (not if fresh), or a new one.  SP_TEMPFAIL at once while the milter rests;
 * SP_LIMIT: too many wait already.  May suspend. */
enum sp_status pool_take(struct sp_ctx *ctx, bool fresh, struct link **ret);
/* The session needs it no more.  libmilter goes on to another session only right behind a message whose end it has answered by
 * "continue", and says nothing if it is asked to elsewhere: AGAIN is for that state, DONE for any other, BROKEN where nothing more
 * can be said. */
enum pool_state { POOL_BROKEN, POOL_DONE, POOL_AGAIN };
void pool_give(struct sp_ctx *ctx, struct link **l, enum pool_state state);
/* A conversation has failed; a message has been seen through, and the milter took so long for it. */
void pool_failed(struct sp_ctx *ctx);
void pool_succeeded(struct sp_ctx *ctx, int64_t ms);
/* Logs how it does, if there is something new to say and it was not said lately. */
void pool_report(struct sp_ctx *ctx, bool at_end);
/* Milliseconds within which so many per cent of the calls were answered. */
uint64_t pool_percentile(const struct pool *p, unsigned percent);
void pool_fini(struct pool *p);

#endif
