/*
 * rt_priv.h - what the files of proxy/rt share: the one struct rt of the process, the coroutine and
 * its one way to wait.
 *
 * Every wait goes through co_wait() and ends by co_wake().  Waking detaches the coroutine from what
 * it waited for at once, and only queues it: it is resumed later, from the main stack.  So whatever
 * wakes it first decides, and nothing can wake it a second time before it has run.
 */
#ifndef PROXY_RT_RT_PRIV_H
#define PROXY_RT_RT_PRIV_H

#include <sys/types.h>

#include <ev.h>

#include "proxy/rt/co_switch.h"
#include "proxy/rt/rt.h"

enum co_state { CO_READY, CO_RUNNING, CO_WAITING, CO_DONE };

/* Lives at the top of its own stack. */
struct co {
	struct co_context context;
	struct co *next; /* in the queue */
	void (*fn)(void *);
	void *arg;
	void *stack;      /* lowest usable octet */
	void *fake_stack; /* of AddressSanitizer, while suspended */
	void (*detach)(struct co *, void *);
	void *detach_arg;
	int64_t deadline;
	struct ev_timer timer;
	enum co_state state;
	enum sp_status status; /* what its wait returns */
	unsigned wait;         /* flags of the present wait */
	bool cancelled, interrupted;
};

struct co_queue {
	struct co *first, *last;
};

struct rt_signal {
	struct ev_signal watcher;
	void (*fn)(void *);
	void *arg;
};

struct rt_timer {
	struct ev_timer watcher;
	void (*fn)(void *);
	void *arg;
};

struct rt_idle {
	void (*fn)(void *);
	void *arg;
};

enum { RT_SIGNALS = 16, RT_TIMERS = 16, RT_IDLES = 8 };

struct rt {
	struct ev_loop *loop;
	pid_t pid;
	unsigned generation; /* counts loops: what was born in an older one is not in this one */
	bool running, stopped;
	/* The scheduler's own context and, for AddressSanitizer, its stack. */
	struct co_context main;
	const void *main_stack;
	size_t main_size;
	struct co *current;
	struct co_queue ready, yielded;
	size_t count;   /* of coroutines */
	size_t sources; /* of things that can still happen by themselves */
	int64_t now_ms; /* cached while valid */
	bool now_valid;
	size_t signal_count, timer_count, idle_count;
	struct rt_signal signals[RT_SIGNALS];
	struct rt_timer timers[RT_TIMERS];
	struct rt_idle idles[RT_IDLES];
};
extern struct rt rt;

/* ---- waiting ----------------------------------------------------------------------------- */

enum {
	WAIT_SOURCE = 1,        /* a descriptor or a thread may end it: the loop must go on for it */
	WAIT_INTERRUPTIBLE = 2, /* co_interrupt() ends it */
	WAIT_FAST = 4           /* neither cancelling nor interrupting ends it */
};

/* Suspends the running coroutine until co_wake(), and returns what that was given; SP_TIMEOUT at the
 * deadline.  The caller has attached it to what it waits for; detach (may be null) undoes that and
 * is called exactly once, also when there is nothing to wait for. */
enum sp_status co_wait(
	void (*detach)(struct co *, void *), void *arg, int64_t deadline_ms, unsigned flags);
/* Ends the wait of co, which must be waiting, with status. */
void co_wake(struct co *co, enum sp_status status);

/* Resumes what is ready, within bounds; true: some are left for the next round. */
bool co_run_ready(void);
void co_queue_add(struct co_queue *q, struct co *co);
/* Suspends the running coroutine, which has been queued somewhere. */
void co_suspend(void);

/* ---- the clock and the loop ---------------------------------------------------------------- */

void rt_clock_forget(void);            /* the loop is about to wait */
double rt_clock_seconds(int64_t ms);   /* scaled ms as seconds of the real clock */

/* ---- stacks -------------------------------------------------------------------------------- */

size_t co_stack_size(void);
void *co_stack_take(void); /* lowest octet of co_stack_size(), zeroed or used before; or null */
void co_stack_give(void *stack);
void co_stack_drain(void); /* unmaps those in the pool */
/* Gives back the memory that deep calls have left far below frame, where the stack is now. */
void co_stack_trim(void *stack, void *frame);

/* ---- threads ------------------------------------------------------------------------------- */

void blocking_fini(void);   /* ends the threads */
void blocking_forget(void); /* in a child: they are not there any more */

#endif
