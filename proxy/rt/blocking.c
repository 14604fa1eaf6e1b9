/*
 * blocking.c - two threads for calls that block, so that the loop does not.
 *
 * A job lies on the stack of the coroutine that asked, which sleeps until the job is done and can't
 * be cancelled meanwhile: SP_OK means that fn has run, whatever else happened.  The threads take no
 * signals.
 */
#include <pthread.h>
#include <signal.h>

#include "policy/kit/must.h"
#include "proxy/rt/rt_priv.h"

enum { THREADS = 2 };

struct job {
	struct job *next;
	void (*fn)(void *);
	void *arg;
	struct co *co;
};

struct job_queue {
	struct job *first, *last;
};

static struct {
	pthread_mutex_t lock; /* guards waiting, done and stop */
	pthread_cond_t more;
	struct job_queue waiting, done;
	bool stop;
	size_t count;
	pthread_t threads[THREADS];
	struct ev_async finished;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

static void
job_add(struct job_queue *q, struct job *j)
{
	j->next = NULL;
	if (q->last != NULL)
		q->last->next = j;
	else
		q->first = j;
	q->last = j;
}

static struct job *
job_take(struct job_queue *q)
{
	struct job *j = q->first;

	if (j == NULL)
		return NULL;
	q->first = j->next;
	if (q->first == NULL)
		q->last = NULL;
	return j;
}

static void *
thread_main(void *arg)
{
	struct ev_loop *loop = arg;
	struct job *j;

	pthread_mutex_lock(&pool.lock);
	for (;;) {
		while ((j = job_take(&pool.waiting)) == NULL && !pool.stop)
			pthread_cond_wait(&pool.more, &pool.lock);
		if (j == NULL)
			break;
		pthread_mutex_unlock(&pool.lock);
		j->fn(j->arg);
		pthread_mutex_lock(&pool.lock);
		job_add(&pool.done, j);
		ev_async_send(loop, &pool.finished);
	}
	pthread_mutex_unlock(&pool.lock);
	return NULL;
}

static void
jobs_finished(struct ev_loop *loop, struct ev_async *watcher, int events)
{
	struct job *j;

	(void)loop;
	(void)watcher;
	(void)events;
	pthread_mutex_lock(&pool.lock);
	while ((j = job_take(&pool.done)) != NULL)
		co_wake(j->co, SP_OK);
	pthread_mutex_unlock(&pool.lock);
}

/* At first use; one thread is enough to go on. */
static enum sp_status
pool_start(void)
{
	sigset_t all, old;

	if (pool.count > 0)
		return SP_OK;
	ev_async_init(&pool.finished, jobs_finished);
	ev_async_start(rt.loop, &pool.finished);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (pool.count < THREADS &&
		pthread_create(&pool.threads[pool.count], NULL, thread_main, rt.loop) == 0)
		pool.count++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pool.count > 0)
		return SP_OK;
	ev_async_stop(rt.loop, &pool.finished);
	return SP_SYSTEM;
}

enum sp_status
rt_blocking(void (*fn)(void *), void *arg)
{
	struct job j = { .fn = fn, .arg = arg, .co = rt.current };
	enum sp_status st;

	if (j.co == NULL) {
		fn(arg);
		return SP_OK;
	}
	if (co_cancelled())
		return SP_CANCELED;
	st = pool_start();
	if (st != SP_OK)
		return st;
	pthread_mutex_lock(&pool.lock);
	job_add(&pool.waiting, &j);
	pthread_cond_signal(&pool.more);
	pthread_mutex_unlock(&pool.lock);
	return co_wait(NULL, NULL, RT_NEVER, WAIT_SOURCE | WAIT_FAST);
}

void
blocking_forget(void)
{
	pool.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	pool.more = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
	pool.waiting = pool.done = (struct job_queue){ 0 };
	pool.stop = false;
	pool.count = 0;
}

void
blocking_fini(void)
{
	if (pool.count == 0)
		return;
	pthread_mutex_lock(&pool.lock);
	pool.stop = true;
	pthread_cond_broadcast(&pool.more);
	pthread_mutex_unlock(&pool.lock);
	for (size_t i = 0; i < pool.count; i++)
		pthread_join(pool.threads[i], NULL);
	ev_async_stop(rt.loop, &pool.finished);
	blocking_forget();
}
