/* rt_blocking.c - the threads, signals, watches, timers, and life across fork. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/rt/rt.h"

static int
set_up(void **state)
{
	(void)state;
	rt_clock_scale(100.);
	return rt_init() == SP_OK ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	assert_int_equal(co_count(), 0);
	rt_fini();
	return 0;
}

/* ---- threads ---------------------------------------------------------------------------- */

static pthread_t main_thread;
static int done;

struct work {
	int in, out;
	bool elsewhere, quiet;
	enum sp_status st;
	struct co *co;
};

static void
work(void *arg)
{
	struct timespec a_little = { .tv_nsec = 2000000 };
	struct work *w = arg;
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	w->quiet = sigismember(&set, SIGTERM) && sigismember(&set, SIGHUP);
	w->elsewhere = !pthread_equal(pthread_self(), main_thread);
	nanosleep(&a_little, NULL);
	w->out = w->in * 2;
}

static void
ask(void *arg)
{
	struct work *w = arg;

	w->co = co_self();
	w->st = rt_blocking(work, w);
	done++;
}

static void
test_jobs_run_on_threads(void **state)
{
	struct work jobs[50] = { 0 };

	(void)state;
	main_thread = pthread_self();
	done = 0;
	for (int i = 0; i < 50; i++) {
		jobs[i].in = i;
		assert_int_equal(co_start(ask, &jobs[i], NULL), SP_OK);
	}
	assert_int_equal(done, 0);
	rt_run();
	assert_int_equal(done, 50);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(jobs[i].st, SP_OK);
		assert_int_equal(jobs[i].out, 2 * i);
		assert_true(jobs[i].elsewhere);
		assert_true(jobs[i].quiet);
	}
}

static void
test_on_the_main_stack_it_runs_here(void **state)
{
	struct work w = { .in = 21 };

	(void)state;
	main_thread = pthread_self();
	assert_int_equal(rt_blocking(work, &w), SP_OK);
	assert_int_equal(w.out, 42);
	assert_false(w.elsewhere);
}

static void
test_a_cancelled_job_is_waited_for(void **state)
{
	struct work w = { .in = 4 };

	(void)state;
	done = 0;
	co_start(ask, &w, NULL);
	co_cancel(w.co);
	assert_int_equal(co_count(), 1);
	rt_run();
	assert_int_equal(done, 1);
	assert_int_equal(w.st, SP_OK); /* since it has run */
	assert_int_equal(w.out, 8);
}

/* ---- signals, timers, stopping ------------------------------------------------------------ */

static int signals, ticks, rounds;

static void
on_signal(void *arg)
{
	(void)arg;
	signals++;
	if (signals == 2)
		rt_stop();
	else
		raise(SIGUSR1);
}

static void
raise_one(void *arg)
{
	(void)arg;
	raise(SIGUSR1);
}

static void
test_signals_reach_the_loop(void **state)
{
	(void)state;
	signals = 0;
	assert_int_equal(rt_on_signal(SIGUSR1, on_signal, NULL), SP_OK);
	co_start(raise_one, NULL, NULL);
	rt_run(); /* goes on, for a signal may come */
	assert_int_equal(signals, 2);
}

static void
tick(void *arg)
{
	(void)arg;
	ticks++;
}

static void
idle(void *arg)
{
	(void)arg;
	rounds++;
}

static void
sleep_a_while(void *arg)
{
	(void)arg;
	assert_int_equal(co_sleep(10000), SP_OK); /* 100 ms */
}

static void
sleep_until_ticks(void *arg)
{
	int64_t give_up = rt_deadline(2000000);

	(void)arg;
	while (ticks < 5 && rt_now_ms() < give_up)
		co_sleep(1000);
}

static void
test_timers_and_idle_functions(void **state)
{
	(void)state;
	ticks = rounds = 0;
	rt_every(1000, tick, NULL); /* 10 ms */
	rt_on_idle(idle, NULL);
	co_start(sleep_until_ticks, NULL, NULL);
	rt_run(); /* timers alone don't keep it running */
	assert_true(ticks >= 5);
	assert_true(rounds >= ticks);
}

static struct rt_event never;

static void
wait_for_ever(void *arg)
{
	*(enum sp_status *)arg = rt_event_wait(&never, rt_deadline(3600000));
}

static void
stop_soon(void *arg)
{
	(void)arg;
	co_sleep(100);
	rt_stop();
}

static void
test_stop_leaves_coroutines_waiting(void **state)
{
	enum sp_status st = SP_OK;
	struct co *co = NULL;

	(void)state;
	assert_int_equal(co_start(wait_for_ever, &st, &co), SP_OK);
	co_start(stop_soon, NULL, NULL);
	rt_run();
	assert_int_equal(co_count(), 1);
	rt_stop(); /* before the start counts too */
	rt_run();
	assert_int_equal(co_count(), 1);
	co_cancel(co);
	rt_run();
	assert_int_equal(st, SP_CANCELED);
}

/* ---- watches -------------------------------------------------------------------------------- */

struct pipe_watch {
	int fds[2];
	struct rt_watch *watch;
	char got[8];
	size_t len;
};

static void
pipe_readable(void *arg)
{
	struct pipe_watch *p = arg;

	assert_null(co_self());
	assert_int_equal(read(p->fds[0], p->got + p->len++, 1), 1);
	if (p->got[p->len - 1] == '.')
		rt_watch_free(&p->watch);
}

static void
pause_and_go_on(void *arg)
{
	struct pipe_watch *p = arg;

	rt_watch_pause(p->watch, true);
	rt_watch_pause(p->watch, true);
	co_sleep(500);
	assert_int_equal(p->len, 0);
	rt_watch_pause(p->watch, false);
}

static void
test_watch(void **state)
{
	struct pipe_watch p = { .len = 0 };

	(void)state;
	assert_int_equal(pipe(p.fds), 0);
	p.watch = rt_watch_new(p.fds[0], pipe_readable, &p);
	assert_non_null(p.watch);
	assert_int_equal(write(p.fds[1], "ab.", 3), 3);
	co_start(pause_and_go_on, &p, NULL);
	rt_run();
	assert_string_equal(p.got, "ab.");
	close(p.fds[0]);
	close(p.fds[1]);
}

/* ---- fork ------------------------------------------------------------------------------------- */

/* The child of a process that has a loop, threads and watches begins anew. */
static int
child_life(struct pipe_watch *parent, struct rt_fd **f)
{
	struct work w = { .in = 3 };

	if (rt_init() != SP_OK)
		return 2;
	rt_watch_free(&parent->watch);
	rt_fd_free(f);
	co_start(ask, &w, NULL);
	co_start(sleep_a_while, NULL, NULL);
	rt_run();
	rt_fini();
	return w.st == SP_OK && w.out == 6 ? 0 : 3;
}

static void
stop_when_alone(void *arg)
{
	struct pipe_watch *p = arg;

	while (co_count() > 1 || p->watch != NULL)
		co_sleep(100);
	rt_stop();
}

static void
test_a_child_has_a_loop_of_its_own(void **state)
{
	struct pipe_watch p = { .len = 0 };
	struct work w = { .in = 1 };
	struct rt_fd *f;
	int status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(p.fds), 0);
	p.watch = rt_watch_new(p.fds[0], pipe_readable, &p);
	f = rt_fd_new(p.fds[0]);
	assert_int_equal(rt_on_signal(SIGUSR1, on_signal, NULL), SP_OK);
	/* no thread yet: what another thread holds at this moment, the child's allocator would wait for */
	pid = fork();
	if (pid == 0)
		_exit(child_life(&p, &f));
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(write(p.fds[1], ".", 1), 1);
	co_start(ask, &w, NULL);
	co_start(stop_when_alone, &p, NULL);
	rt_run();
	assert_int_equal(w.out, 2);
	rt_fd_free(&f);
	close(p.fds[0]);
	close(p.fds[1]);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_jobs_run_on_threads),
		TEST(test_on_the_main_stack_it_runs_here),
		TEST(test_a_cancelled_job_is_waited_for),
		TEST(test_signals_reach_the_loop),
		TEST(test_timers_and_idle_functions),
		TEST(test_stop_leaves_coroutines_waiting),
		TEST(test_watch),
		TEST(test_a_child_has_a_loop_of_its_own),
	};

	return cmocka_run_group_tests_name("rt_blocking", tests, NULL, NULL);
}
