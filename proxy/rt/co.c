/*
 * co.c - coroutines: their birth and end, the queue of those to be resumed, and the wait that all
 * other waits are made of.
 *
 * A struct co lies at the top of its own stack.  A coroutine that ends can't unmap the stack it runs
 * on, so the scheduler gives it back.
 */
#include <stdint.h>
#include <stdlib.h>

#include "policy/kit/must.h"
#include "proxy/rt/co_asan.h"
#include "proxy/rt/rt_priv.h"

/* So many are resumed between two looks at the descriptors. */
enum { ROUND = 1024 };

struct co *
co_self(void)
{
	return rt.current;
}

bool
co_cancelled(void)
{
	return rt.current != NULL && rt.current->cancelled;
}

size_t
co_count(void)
{
	return rt.count;
}

/* ---- switching ----------------------------------------------------------------------------- */

void
co_queue_add(struct co_queue *q, struct co *co)
{
	co->next = NULL;
	if (q->last != NULL)
		q->last->next = co;
	else
		q->first = co;
	q->last = co;
}

static struct co *
co_queue_take(struct co_queue *q)
{
	struct co *co = q->first;

	if (co == NULL)
		return NULL;
	q->first = co->next;
	if (q->first == NULL)
		q->last = NULL;
	return co;
}

/* The first function on every coroutine's stack. */
static void
co_main(void)
{
	struct co *co = rt.current;

	asan_switch_finish(NULL, &rt.main_stack, &rt.main_size);
	co->fn(co->arg);
	co->state = CO_DONE;
	/* null: this stack is never seen again, its fake frames can go */
	asan_switch_start(NULL, rt.main_stack, rt.main_size);
	co_context_switch(&co->context, &rt.main);
	MUST(co->state != CO_DONE); /* it was resumed after its end */
	abort();
}

/* From the main stack: runs co until it waits or ends. */
static void
co_resume(struct co *co)
{
	void *fake_stack = NULL;

	MUST(rt.current == NULL && co->state == CO_READY);
	rt.current = co;
	co->state = CO_RUNNING;
	asan_switch_start(&fake_stack, co->stack, co_stack_size());
	co_context_switch(&rt.main, &co->context);
	asan_switch_finish(fake_stack, NULL, NULL);
	rt.current = NULL;
	if (co->state == CO_DONE) {
		rt.count--;
		co_stack_give(co->stack);
	}
}

void
co_suspend(void)
{
	struct co *co = rt.current;

	asan_switch_start(&co->fake_stack, rt.main_stack, rt.main_size);
	co_context_switch(&co->context, &rt.main);
	asan_switch_finish(co->fake_stack, &rt.main_stack, &rt.main_size);
}

bool
co_run_ready(void)
{
	struct co *co;

	for (int i = 0; i < ROUND && (co = co_queue_take(&rt.ready)) != NULL; i++)
		co_resume(co);
	while ((co = co_queue_take(&rt.yielded)) != NULL)
		co_queue_add(&rt.ready, co);
	return rt.ready.first != NULL;
}

/* ---- waiting ------------------------------------------------------------------------------- */

static void
timer_arm(struct co *co)
{
	double after = rt_clock_seconds(co->deadline - rt_now_ms());

	ev_timer_set(&co->timer, after, 0.);
	ev_timer_start(rt.loop, &co->timer);
}

static void
timer_fired(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct co *co = timer->data;

	(void)loop;
	(void)events;
	/* The loop's clock may run a little ahead of ours, and long waits are cut. */
	if (rt_now_ms() < co->deadline)
		timer_arm(co);
	else
		co_wake(co, SP_TIMEOUT);
}

/* Is there a reason not to wait at all? */
static enum sp_status
wait_refused(struct co *co, int64_t deadline_ms, unsigned flags)
{
	if (flags & WAIT_FAST)
		return SP_OK;
	if (co->cancelled)
		return SP_CANCELED;
	if (co->interrupted && (flags & WAIT_INTERRUPTIBLE)) {
		co->interrupted = false;
		return SP_CANCELED;
	}
	return deadline_ms <= rt_now_ms() ? SP_TIMEOUT : SP_OK;
}

enum sp_status
co_wait(void (*detach)(struct co *, void *), void *arg, int64_t deadline_ms, unsigned flags)
{
	struct co *co = rt.current;
	enum sp_status st;

	MUST(co != NULL);
	st = wait_refused(co, deadline_ms, flags);
	if (st != SP_OK) {
		if (detach != NULL)
			detach(co, arg);
		return st;
	}
	co->detach = detach;
	co->detach_arg = arg;
	co->deadline = deadline_ms;
	if (deadline_ms != RT_NEVER) {
		flags |= WAIT_SOURCE;
		timer_arm(co);
	}
	co->wait = flags;
	if (flags & WAIT_SOURCE)
		rt.sources++;
	if (flags & WAIT_INTERRUPTIBLE) /* the place where sessions idle */
		co_stack_trim(co->stack, __builtin_frame_address(0));
	co->state = CO_WAITING;
	co_suspend();
	return co->status;
}

void
co_wake(struct co *co, enum sp_status status)
{
	MUST(co->state == CO_WAITING);
	ev_timer_stop(rt.loop, &co->timer);
	if (co->wait & WAIT_SOURCE)
		rt.sources--;
	if (co->detach != NULL)
		co->detach(co, co->detach_arg);
	co->status = status;
	co->state = CO_READY;
	co_queue_add(&rt.ready, co);
}

void
co_cancel(struct co *co)
{
	co->cancelled = true;
	if (co->state == CO_WAITING && !(co->wait & WAIT_FAST))
		co_wake(co, SP_CANCELED);
}

void
co_interrupt(struct co *co)
{
	if (co->state == CO_WAITING && (co->wait & WAIT_INTERRUPTIBLE))
		co_wake(co, SP_CANCELED);
	else
		co->interrupted = true;
}

void
co_yield(void)
{
	struct co *co = rt.current;

	MUST(co != NULL);
	co->state = CO_READY;
	co_queue_add(&rt.yielded, co);
	co_suspend();
}

enum sp_status
co_sleep(int64_t ms)
{
	enum sp_status st;

	if (ms <= 0) {
		co_yield();
		return co_cancelled() ? SP_CANCELED : SP_OK;
	}
	st = co_wait(NULL, NULL, rt_deadline(ms), 0);
	return st == SP_TIMEOUT ? SP_OK : st;
}

/* ---- starting ------------------------------------------------------------------------------ */

enum sp_status
co_start(void (*fn)(void *), void *arg, struct co **ret)
{
	size_t room = (sizeof(struct co) + 63) & ~(size_t)63;
	size_t size = co_stack_size() - room;
	char *stack = co_stack_take();
	struct co *co;

	MUST(rt.loop != NULL);
	if (stack == NULL)
		return SP_SYSTEM;
	co = (struct co *)(void *)(stack + size);
	*co = (struct co){ .fn = fn, .arg = arg, .stack = stack };
	ev_init(&co->timer, timer_fired);
	co->timer.data = co;
	co_context_make(&co->context, stack, size, co_main);
	rt.count++;
	if (ret != NULL)
		*ret = co;
	if (rt.current != NULL)
		co_queue_add(&rt.ready, co);
	else
		co_resume(co);
	return SP_OK;
}
