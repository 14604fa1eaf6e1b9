/*
 * wait.c - what a coroutine can wait for besides time: a descriptor, an event.
 *
 * A descriptor's read watcher stays started between waits, since the next wait is mostly the same: no
 * system call then.  It is stopped when it fires and nobody waits.  A write watcher is stopped at
 * once: sockets are nearly always writable.
 */
#include <stdlib.h>

#include "policy/kit/must.h"
#include "proxy/rt/rt_priv.h"

/* ---- descriptors --------------------------------------------------------------------------- */

struct rt_fd {
	struct ev_io readable, writable;
	struct co *reader, *writer;
	unsigned generation;
};

static void
fd_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct rt_fd *f = io->data;

	(void)events;
	if (f->reader != NULL)
		co_wake(f->reader, SP_OK);
	else
		ev_io_stop(loop, io);
}

static void
fd_writable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct rt_fd *f = io->data;

	(void)loop;
	(void)events;
	co_wake(f->writer, SP_OK); /* which stops the watcher */
}

struct rt_fd *
rt_fd_new(int fd)
{
	struct rt_fd *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	ev_io_init(&f->readable, fd_readable, fd, EV_READ);
	ev_io_init(&f->writable, fd_writable, fd, EV_WRITE);
	f->readable.data = f;
	f->writable.data = f;
	f->generation = rt.generation;
	return f;
}

void
rt_fd_free(struct rt_fd **f)
{
	if (*f == NULL)
		return;
	if ((*f)->generation == rt.generation) {
		MUST((*f)->reader == NULL && (*f)->writer == NULL);
		ev_io_stop(rt.loop, &(*f)->readable);
	}
	free(*f);
	*f = NULL;
}

static void
fd_detach(struct co *co, void *arg)
{
	struct rt_fd *f = arg;

	if (f->reader == co)
		f->reader = NULL;
	if (f->writer == co) {
		f->writer = NULL;
		ev_io_stop(rt.loop, &f->writable);
	}
}

static enum sp_status
fd_wait(struct rt_fd *f, int events, int64_t deadline_ms, unsigned flags)
{
	struct co *co = rt.current;

	MUST(co != NULL && f->generation == rt.generation);
	MUST((events & (CO_READ | CO_WRITE)) != 0);
	if (events & CO_READ) {
		MUST(f->reader == NULL);
		f->reader = co;
		ev_io_start(rt.loop, &f->readable);
	}
	if (events & CO_WRITE) {
		MUST(f->writer == NULL);
		f->writer = co;
		ev_io_start(rt.loop, &f->writable);
	}
	return co_wait(fd_detach, f, deadline_ms, flags | WAIT_SOURCE);
}

enum sp_status
rt_fd_wait(struct rt_fd *f, int events, int64_t deadline_ms)
{
	return fd_wait(f, events, deadline_ms, 0);
}

enum sp_status
rt_fd_wait_interruptible(struct rt_fd *f, int events, int64_t deadline_ms)
{
	return fd_wait(f, events, deadline_ms, WAIT_INTERRUPTIBLE);
}

/* ---- events -------------------------------------------------------------------------------- */

/* On the stack of the one who waits. */
struct rt_waiter {
	struct rt_waiter *prev, *next;
	struct rt_event *event;
	struct co *co;
};

static void
event_detach(struct co *co, void *arg)
{
	struct rt_waiter *w = arg;

	(void)co;
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		w->event->first = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	else
		w->event->last = w->prev;
}

enum sp_status
rt_event_wait(struct rt_event *e, int64_t deadline_ms)
{
	struct rt_waiter w = { .prev = e->last, .event = e, .co = rt.current };

	if (e->last != NULL)
		e->last->next = &w;
	else
		e->first = &w;
	e->last = &w;
	return co_wait(event_detach, &w, deadline_ms, 0);
}

bool
rt_event_wake_one(struct rt_event *e)
{
	if (e->first == NULL)
		return false;
	co_wake(e->first->co, SP_OK);
	return true;
}

void
rt_event_wake_all(struct rt_event *e)
{
	while (rt_event_wake_one(e))
		;
}
