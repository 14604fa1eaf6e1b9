/*
 * loop.c - the event loop of the process: rounds, signals, timers and watches.
 *
 * One round: resume the coroutines that are ready, call the idle functions, wait for events.  All
 * callbacks run on the main stack.  The loop is a new one in each process, never inherited.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy/kit/must.h"
#include "proxy/rt/rt_priv.h"

struct rt rt;

/* Frees the loop; also in a child, where its epoll descriptor is only a copy to be closed. */
static void
loop_free(void)
{
	for (size_t i = 0; i < rt.signal_count; i++)
		ev_signal_stop(rt.loop, &rt.signals[i].watcher);
	ev_loop_destroy(rt.loop);
	rt = (struct rt){ .generation = rt.generation + 1 };
}

enum sp_status
rt_init(void)
{
	if (rt.loop != NULL) {
		MUST(rt.pid != getpid());
		blocking_forget();
		loop_free();
	}
	co_context_init();
	/* sendfile(2) and OpenSSL's writes can't ask for MSG_NOSIGNAL */
	signal(SIGPIPE, SIG_IGN);
	rt.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (rt.loop == NULL)
		return SP_SYSTEM;
	rt.pid = getpid();
	return SP_OK;
}

void
rt_fini(void)
{
	if (rt.loop == NULL)
		return;
	MUST(rt.current == NULL && !rt.running);
	blocking_fini();
	loop_free();
	co_stack_drain();
}

static void
run_idles(void)
{
	for (size_t i = 0; i < rt.idle_count; i++)
		rt.idles[i].fn(rt.idles[i].arg);
}

void
rt_run(void)
{
	MUST(rt.loop != NULL && !rt.running && rt.current == NULL);
	rt.running = true;
	while (!rt.stopped) {
		co_run_ready();
		run_idles();
		if (rt.stopped || (rt.ready.first == NULL && rt.sources == 0))
			break;
		rt_clock_forget();
		ev_run(rt.loop, rt.ready.first != NULL ? EVRUN_NOWAIT : EVRUN_ONCE);
	}
	rt.running = false;
	rt.stopped = false;
	rt_clock_forget();
}

void
rt_stop(void)
{
	rt.stopped = true;
}

/* ---- signals, timers, idle functions --------------------------------------------------------- */

static void
signal_fired(struct ev_loop *loop, struct ev_signal *watcher, int events)
{
	struct rt_signal *s = watcher->data;

	(void)loop;
	(void)events;
	s->fn(s->arg);
}

enum sp_status
rt_on_signal(int signo, void (*fn)(void *), void *arg)
{
	struct rt_signal *s = &rt.signals[rt.signal_count];

	MUST(rt.loop != NULL);
	if (rt.signal_count == RT_SIGNALS)
		return SP_LIMIT;
	*s = (struct rt_signal){ .fn = fn, .arg = arg };
	ev_signal_init(&s->watcher, signal_fired, signo);
	s->watcher.data = s;
	ev_signal_start(rt.loop, &s->watcher);
	rt.signal_count++;
	rt.sources++;
	return SP_OK;
}

void
rt_on_idle(void (*fn)(void *), void *arg)
{
	MUST(rt.idle_count < RT_IDLES);
	rt.idles[rt.idle_count++] = (struct rt_idle){ fn, arg };
}

static void
every_fired(struct ev_loop *loop, struct ev_timer *watcher, int events)
{
	struct rt_timer *t = watcher->data;

	(void)loop;
	(void)events;
	t->fn(t->arg);
}

/* Not counted as a source: a loop with nothing but housekeeping has nothing left to wait for. */
void
rt_every(int64_t interval_ms, void (*fn)(void *), void *arg)
{
	struct rt_timer *t = &rt.timers[rt.timer_count];
	double seconds = rt_clock_seconds(interval_ms);

	MUST(rt.loop != NULL && rt.timer_count < RT_TIMERS && interval_ms > 0);
	*t = (struct rt_timer){ .fn = fn, .arg = arg };
	ev_timer_init(&t->watcher, every_fired, seconds, seconds);
	t->watcher.data = t;
	ev_timer_start(rt.loop, &t->watcher);
	rt.timer_count++;
}

/* ---- watches ----------------------------------------------------------------------------------- */

struct rt_watch {
	struct ev_io io;
	void (*fn)(void *);
	void *arg;
	unsigned generation;
	bool paused;
};

static void
watch_fired(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct rt_watch *w = io->data;

	(void)loop;
	(void)events;
	w->fn(w->arg); /* may free w */
}

struct rt_watch *
rt_watch_new(int fd, void (*fn)(void *), void *arg)
{
	struct rt_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	*w = (struct rt_watch){ .fn = fn, .arg = arg, .generation = rt.generation, .paused = true };
	ev_io_init(&w->io, watch_fired, fd, EV_READ);
	w->io.data = w;
	rt_watch_pause(w, false);
	return w;
}

void
rt_watch_pause(struct rt_watch *w, bool pause)
{
	if (w->paused == pause || w->generation != rt.generation)
		return;
	w->paused = pause;
	if (pause) {
		ev_io_stop(rt.loop, &w->io);
		rt.sources--;
	} else {
		ev_io_start(rt.loop, &w->io);
		rt.sources++;
	}
}

void
rt_watch_free(struct rt_watch **w)
{
	if (*w == NULL)
		return;
	rt_watch_pause(*w, true);
	free(*w);
	*w = NULL;
}
