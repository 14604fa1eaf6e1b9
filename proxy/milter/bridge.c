/*
 * bridge.c - see bridge.h.  A call lies on the stack of the thread that asked: who says that it is done must not touch it again.
 *
 * The lock guards what waits, the closing, and each call's "done"; the list of calls that run is the loop's own.
 */
#include "proxy/milter/bridge.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "proxy/rt/rt.h"

enum { TICK_SECONDS = 5 };

struct call {
	struct call *next, **self; /* among those that wait, then among those that run */
	void (*fn)(void *);
	void *arg;
	struct co *co;
	pthread_cond_t answered;
	bool done, ran;
};

static struct {
	pthread_mutex_t lock;
	struct call *waiting, **end;
	bool closing;
	int fd;
	struct rt_watch *watch;
	struct call *running;
	bool ending;
	void (*last)(void);
} bridge = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

static void
ring(void)
{
	const uint64_t one = 1;

	while (write(bridge.fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

/* ---- in the threads that ask ---------------------------------------------------------------- */

/* The lock is held, but not while something is done meanwhile. */
static void
await(struct call *c, struct bridge_meanwhile meanwhile)
{
	while (!c->done) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += TICK_SECONDS;
		if (meanwhile.fn == NULL) {
			pthread_cond_wait(&c->answered, &bridge.lock);
		} else if (pthread_cond_timedwait(&c->answered, &bridge.lock, &until) == ETIMEDOUT && !c->done) {
			pthread_mutex_unlock(&bridge.lock);
			meanwhile.fn(meanwhile.arg);
			pthread_mutex_lock(&bridge.lock);
		}
	}
}

bool
bridge_call(void (*fn)(void *arg), void *arg, struct bridge_meanwhile meanwhile)
{
	struct call c = { .fn = fn, .arg = arg };
	pthread_condattr_t clock;
	bool closing;

	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&c.answered, &clock);
	pthread_condattr_destroy(&clock);
	pthread_mutex_lock(&bridge.lock);
	closing = bridge.closing;
	if (!closing) {
		*bridge.end = &c;
		bridge.end = &c.next;
		ring();
		await(&c, meanwhile);
	}
	pthread_mutex_unlock(&bridge.lock);
	pthread_cond_destroy(&c.answered);
	return c.ran;
}

void
bridge_close(void)
{
	pthread_mutex_lock(&bridge.lock);
	bridge.closing = true;
	ring();
	pthread_mutex_unlock(&bridge.lock);
}

/* ---- in the loop's thread ------------------------------------------------------------------- */

static void
run_last(void *arg)
{
	(void)arg;
	bridge.last();
	rt_stop();
}

static void
end_if_idle(void)
{
	bool closing;

	pthread_mutex_lock(&bridge.lock);
	closing = bridge.closing && bridge.waiting == NULL;
	pthread_mutex_unlock(&bridge.lock);
	if (!closing || bridge.running != NULL || bridge.ending)
		return;
	bridge.ending = true;
	if (co_start(run_last, NULL, NULL) != SP_OK)
		rt_stop();
}

static void
answer(struct call *c, bool ran)
{
	*c->self = c->next;
	if (c->next != NULL)
		c->next->self = c->self;
	pthread_mutex_lock(&bridge.lock);
	c->done = true;
	c->ran = ran;
	pthread_cond_signal(&c->answered);
	pthread_mutex_unlock(&bridge.lock);
	end_if_idle();
}

static void
run_call(void *arg)
{
	struct call *c = arg;

	c->fn(c->arg);
	answer(c, true);
}

static struct call *
next_call(void)
{
	struct call *c;

	pthread_mutex_lock(&bridge.lock);
	c = bridge.waiting;
	if (c != NULL)
		bridge.waiting = c->next;
	if (bridge.waiting == NULL)
		bridge.end = &bridge.waiting;
	pthread_mutex_unlock(&bridge.lock);
	return c;
}

static void
start_call(struct call *c)
{
	c->next = bridge.running;
	c->self = &bridge.running;
	if (c->next != NULL)
		c->next->self = &c->next;
	bridge.running = c;
	if (co_start(run_call, c, &c->co) != SP_OK)
		answer(c, false);
}

static bool
is_closing(void)
{
	bool closing;

	pthread_mutex_lock(&bridge.lock);
	closing = bridge.closing;
	pthread_mutex_unlock(&bridge.lock);
	return closing;
}

static void
rung(void *arg)
{
	struct call *c;
	uint64_t count;

	(void)arg;
	while (read(bridge.fd, &count, sizeof(count)) < 0 && errno == EINTR)
		continue;
	while ((c = next_call()) != NULL)
		start_call(c);
	if (!is_closing())
		return;
	for (c = bridge.running; c != NULL; c = c->next)
		co_cancel(c->co);
	end_if_idle();
}

bool
bridge_open(void (*last)(void))
{
	bridge.end = &bridge.waiting;
	bridge.last = last;
	bridge.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bridge.watch = bridge.fd < 0 ? NULL : rt_watch_new(bridge.fd, rung, NULL);
	return bridge.watch != NULL;
}

void
bridge_fini(void)
{
	rt_watch_free(&bridge.watch);
	/* the descriptor stays: a thread may be about to ring */
}
