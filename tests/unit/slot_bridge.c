/* slot_bridge.c - calls of many threads run one at a time in the loop's, and all return, also when it is closed under them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "proxy/milter/bridge.h"
#include "proxy/rt/rt.h"

enum { THREADS = 16, CALLS = 200 };

static const struct bridge_meanwhile nothing = { NULL, NULL };

static struct {
	pthread_t thread;
	pthread_barrier_t ready;
	size_t sum, inside, most, stopped; /* the loop's */
} world;

static void
last(void)
{
	world.stopped++;
	co_sleep(1);
}

static void *
run_loop(void *arg)
{
	(void)arg;
	if (rt_init() != SP_OK || !bridge_open(last))
		abort();
	pthread_barrier_wait(&world.ready);
	rt_run();
	bridge_fini();
	rt_fini();
	return NULL;
}

struct errand {
	pthread_t thread;
	size_t done, refused;
	bool cancelled;
};

/* Others get their turn while it waits. */
static void
add(void *arg)
{
	struct errand *e = arg;

	world.inside++;
	world.most = world.inside > world.most ? world.inside : world.most;
	if (e->done % 4 == 0)
		co_sleep(1);
	world.inside--;
	world.sum++;
	e->done++;
}

static void *
errands(void *arg)
{
	struct errand *e = arg;

	for (int i = 0; i < CALLS; i++)
		if (!bridge_call(add, e, nothing))
			e->refused++;
	return NULL;
}

static void
wait_long(void *arg)
{
	((struct errand *)arg)->cancelled = co_sleep(600000) == SP_CANCELED;
	((struct errand *)arg)->done++;
}

static void
note_life(void *arg)
{
	(void)arg;
}

static void *
one_long_errand(void *arg)
{
	struct errand *e = arg;

	e->refused = !bridge_call(wait_long, e, (struct bridge_meanwhile){ note_life, e });
	return NULL;
}

static void
touch(void *arg)
{
	(void)arg;
}

/* The bridge is opened once in a process, so this is one test. */
static void
calls(void **state)
{
	static struct errand many[THREADS], waiting;

	(void)state;
	pthread_barrier_init(&world.ready, NULL, 2);
	assert_int_equal(pthread_create(&world.thread, NULL, run_loop, NULL), 0);
	pthread_barrier_wait(&world.ready);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&many[i].thread, NULL, errands, &many[i]), 0);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(many[i].thread, NULL);
		assert_int_equal(many[i].done, CALLS);
		assert_int_equal(many[i].refused, 0);
	}
	assert_int_equal(pthread_create(&waiting.thread, NULL, one_long_errand, &waiting), 0);
	assert_true(bridge_call(touch, NULL, nothing));
	bridge_close();
	pthread_join(waiting.thread, NULL);
	assert_false(bridge_call(touch, NULL, nothing));
	pthread_join(world.thread, NULL);
	assert_true(waiting.refused || waiting.cancelled); /* it may have come too late */
	assert_int_equal(world.sum, THREADS * CALLS);
	assert_true(world.most > 1);
	assert_int_equal(world.stopped, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(calls) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
