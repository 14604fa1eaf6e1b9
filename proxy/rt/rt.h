/*
 * rt.h - the run time of a worker: one thread, one loop, one coroutine per session.
 *
 * A coroutine runs until it waits; a wait suspends it and the loop runs others.  Each wait takes a
 * deadline on rt_now_ms()'s clock.  A coroutine that is cancelled gets SP_CANCELED from its present
 * wait and from every later one, cleans up as on any error, and returns.
 *
 * Nothing outside proxy/rt includes ev.h.
 */
#ifndef PROXY_RT_RT_H
#define PROXY_RT_RT_H

#include <sallyport/filter.h>

#define RT_NEVER INT64_MAX

/* ---- the clock ------------------------------------------------------------------------- */

/* Monotonic milliseconds, times the scale (tests run a 300 s deadline in 3 s with scale 100).
 * Cheap: the loop's cached time inside a worker. */
int64_t rt_now_ms(void);
/* Monotonic nanoseconds, never scaled, never cached: for measuring. */
int64_t rt_now_ns(void);
void rt_clock_scale(double factor); /* before rt_init() */
/* now + ms, without overflow. */
int64_t rt_deadline(int64_t ms);

/* ---- the loop -------------------------------------------------------------------------- */

enum sp_status rt_init(void); /* after fork, once in each process that waits */
void rt_fini(void);
/* Until rt_stop() has been called, or nothing is left to wait for: no coroutine that time, a descriptor
 * or a thread can wake, no watch, no signal. Timers and idle functions alone don't keep it running. */
void rt_run(void);
void rt_stop(void);
/* Calls fn(arg) from the loop when the signal comes. */
enum sp_status rt_on_signal(int signo, void (*fn)(void *), void *arg);
/* Calls fn(arg) at the end of each round of the loop: the place to flush buffers of log lines. */
void rt_on_idle(void (*fn)(void *), void *arg);
/* A timer of the loop, not of a coroutine: fn(arg) every interval (scaled ms). */
void rt_every(int64_t interval_ms, void (*fn)(void *), void *arg);
/* Calls fn(arg) whenever fd is readable (listeners, the master's pipe); fn must not wait. */
struct rt_watch;
struct rt_watch *rt_watch_new(int fd, void (*fn)(void *), void *arg);
void rt_watch_pause(struct rt_watch *w, bool pause);
void rt_watch_free(struct rt_watch **w);

/* ---- coroutines ------------------------------------------------------------------------- */

struct co;

/* Starts fn(arg) at once, on a pooled stack of its own, until its first wait; the co is freed when
 * fn returns. Called by a coroutine it only queues fn, to start when the caller waits. SP_SYSTEM: no memory
 * for a stack. ret may be null; it is set before fn starts, and may have ended when this returns. */
enum sp_status co_start(void (*fn)(void *), void *arg, struct co **ret);
struct co *co_self(void); /* null on the main stack */
void co_cancel(struct co *co);
bool co_cancelled(void); /* is the running one cancelled? */
/* A second reason to be woken, for draining: makes an interruptible wait of co return SP_CANCELED
 * once without cancelling it. */
void co_interrupt(struct co *co);
size_t co_count(void);

enum { CO_READ = 1, CO_WRITE = 2 };

/* One descriptor that coroutines wait on; kept registered over many waits. */
struct rt_fd;
struct rt_fd *rt_fd_new(int fd);
void rt_fd_free(struct rt_fd **f); /* does not close the descriptor; no wait may be open */
/* SP_OK: ready (or error/hang-up: the next call on the fd tells); SP_TIMEOUT; SP_CANCELED. */
enum sp_status rt_fd_wait(struct rt_fd *f, int events, int64_t deadline_ms);
/* As above, and co_interrupt() ends it with SP_CANCELED. */
enum sp_status rt_fd_wait_interruptible(struct rt_fd *f, int events, int64_t deadline_ms);

enum sp_status co_sleep(int64_t ms); /* SP_OK after ms, SP_CANCELED */
void co_yield(void);                 /* lets others run; for long work without waits */

/* A thing that happens: waiters queue up and are woken in order. Zeroed memory is a valid event. */
struct rt_event {
	struct rt_waiter *first, *last;
};
enum sp_status rt_event_wait(struct rt_event *e, int64_t deadline_ms);
bool rt_event_wake_one(struct rt_event *e); /* false: nobody waited */
void rt_event_wake_all(struct rt_event *e);

/* Runs fn(arg) on a thread of the pool (2 threads, made at first use) and suspends until it is done;
 * SP_TIMEOUT is not possible: fn always ends before this returns. SP_OK: fn has run, also when the coroutine
 * was cancelled meanwhile; SP_CANCELED: it was before, fn has not run; SP_SYSTEM: no thread. */
enum sp_status rt_blocking(void (*fn)(void *), void *arg);

#endif
