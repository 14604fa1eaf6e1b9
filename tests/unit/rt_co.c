/* rt_co.c - coroutines: switching, stacks, waits, deadlines, cancelling, events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/rt/rt.h"

static char trace[256];

static void
note(const char *what)
{
	size_t len = strlen(trace);

	snprintf(trace + len, sizeof(trace) - len, "%s ", what);
}

static int
set_up(void **state)
{
	(void)state;
	trace[0] = '\0';
	rt_clock_scale(100.);
	return rt_init() == SP_OK ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	rt_fini();
	return 0;
}

/* ---- switching ----------------------------------------------------------------------------- */

static void
two_steps(void *arg)
{
	note(arg);
	co_yield();
	note(arg);
}

static void
test_start_runs_at_once_and_yield_takes_turns(void **state)
{
	char a[] = "a", b[] = "b";

	(void)state;
	assert_null(co_self());
	assert_int_equal(co_start(two_steps, a, NULL), SP_OK);
	assert_string_equal(trace, "a ");
	assert_int_equal(co_start(two_steps, b, NULL), SP_OK);
	assert_int_equal(co_count(), 2);
	rt_run();
	assert_string_equal(trace, "a b a b ");
	assert_int_equal(co_count(), 0);
}

static void
start_inner(void *arg)
{
	char inner[] = "inner";
	struct co *co = NULL;

	(void)arg;
	assert_int_equal(co_start(two_steps, inner, &co), SP_OK);
	assert_non_null(co);
	note("outer");
	co_sleep(100);
}

static void
test_start_inside_a_coroutine_queues(void **state)
{
	(void)state;
	assert_int_equal(co_start(start_inner, NULL, NULL), SP_OK);
	rt_run();
	assert_string_equal(trace, "outer inner inner ");
}

/* Registers, floating point and a deep stack survive switches among others. */
static void
compute(void *arg)
{
	double *ret = arg, sum = 0.;

	for (int i = 1; i <= 200; i++) {
		char page[512];

		memset(page, i, sizeof(page));
		co_yield();
		sum += 1. / i + (unsigned char)page[i] - i % 256;
	}
	*ret = sum;
}

static void
test_state_survives_switching(void **state)
{
	double got[8], want = 0.;

	(void)state;
	for (int i = 1; i <= 200; i++)
		want += 1. / i;
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(co_start(compute, &got[i], NULL), SP_OK);
	rt_run();
	for (size_t i = 0; i < 8; i++)
		assert_true(got[i] - want < 1e-9 && want - got[i] < 1e-9);
}

/* ---- many ---------------------------------------------------------------------------------- */

static size_t woken;

static void
sleeper(void *arg)
{
	(void)arg;
	assert_int_equal(co_sleep(20000), SP_OK);
	woken++;
}

static void
test_ten_thousand_sleep(void **state)
{
	(void)state;
	woken = 0;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(co_start(sleeper, NULL, NULL), SP_OK);
	assert_int_equal(co_count(), 10000);
	rt_run();
	assert_int_equal(woken, 10000);
	assert_int_equal(co_count(), 0);
}

/* ---- deadlines ------------------------------------------------------------------------------ */

struct wait {
	struct rt_fd *f;
	struct rt_event *e;
	int64_t ms;
	enum sp_status st;
	struct co *co;
	const char *name;
};

static void
wait_fd(void *arg)
{
	struct wait *w = arg;

	w->st = rt_fd_wait(w->f, CO_READ, w->ms < 0 ? RT_NEVER : rt_deadline(w->ms));
}

static void
test_deadline_on_the_scaled_clock(void **state)
{
	int64_t before = rt_now_ns(), scaled = rt_now_ms(), real;
	struct wait w = { .ms = 10000 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	w.f = rt_fd_new(fds[0]);
	co_start(wait_fd, &w, NULL);
	rt_run();
	assert_int_equal(w.st, SP_TIMEOUT);
	real = (rt_now_ns() - before) / 1000000;
	assert_in_range(real, 95, 9000); /* 10 s are 100 ms */
	assert_true(rt_now_ms() - scaled >= 10000);
	w.ms = 0; /* a deadline in the past does not wait */
	assert_int_equal(write(fds[1], "x", 1), 1);
	co_start(wait_fd, &w, NULL);
	assert_int_equal(co_count(), 0);
	assert_int_equal(w.st, SP_TIMEOUT);
	rt_fd_free(&w.f);
	assert_null(w.f);
	close(fds[0]);
	close(fds[1]);
}

static void
test_deadline_arithmetic(void **state)
{
	int64_t now = rt_now_ms();

	(void)state;
	assert_true(rt_deadline(RT_NEVER) == RT_NEVER);
	assert_true(rt_deadline(RT_NEVER - 1) == RT_NEVER);
	assert_true(rt_deadline(1000) >= now + 1000 && rt_deadline(1000) < now + 100000);
	assert_true(rt_deadline(-5) < now + 100000);
}

static void
nap(void *arg)
{
	int64_t ms = *(int64_t *)arg, before = rt_now_ms();
	char text[16];

	assert_int_equal(co_sleep(ms), SP_OK);
	assert_true(rt_now_ms() >= before + ms);
	snprintf(text, sizeof(text), "%lld", (long long)ms);
	note(text);
}

static void
test_sleeps_end_in_order(void **state)
{
	int64_t ms[] = { 3000, 1000, 0, 2000 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		co_start(nap, &ms[i], NULL);
	rt_run();
	assert_string_equal(trace, "0 1000 2000 3000 ");
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static void
read_three(void *arg)
{
	struct wait *w = arg;
	char c;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(rt_fd_wait(w->f, CO_READ, rt_deadline(100000)), SP_OK);
		assert_int_equal(read(*(int *)(void *)w->e, &c, 1), 1);
		note((char[]){ c, '\0' });
		co_yield(); /* readable, and nobody waits: no spinning, nothing lost */
		co_yield();
	}
}

static void
test_fd_wakes_its_reader(void **state)
{
	struct wait w = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	w.f = rt_fd_new(fds[0]);
	w.e = (void *)&fds[0];
	co_start(read_three, &w, NULL);
	assert_int_equal(write(fds[1], "xyz", 3), 3);
	rt_run();
	assert_string_equal(trace, "x y z ");
	rt_fd_free(&w.f);
	close(fds[0]);
	close(fds[1]);
}

static void
wait_both(void *arg)
{
	struct wait *w = arg;

	assert_int_equal(rt_fd_wait(w->f, CO_READ | CO_WRITE, RT_NEVER), SP_OK);
	note("writable");
	close(*(int *)(void *)w->e);
	assert_int_equal(rt_fd_wait(w->f, CO_READ, RT_NEVER), SP_OK);
	note("hang-up");
}

static void
test_fd_both_directions_and_hang_up(void **state)
{
	struct wait w = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	w.f = rt_fd_new(fds[1]);
	w.e = (void *)&fds[0];
	co_start(wait_both, &w, NULL);
	rt_run();
	assert_string_equal(trace, "writable hang-up ");
	rt_fd_free(&w.f);
	close(fds[1]);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void
cancelled_body(void *arg)
{
	struct wait *w = arg;

	w->co = co_self();
	w->st = rt_fd_wait(w->f, CO_READ, RT_NEVER);
	assert_true(co_cancelled());
	assert_int_equal(co_sleep(1000), SP_CANCELED);
	assert_int_equal(rt_fd_wait(w->f, CO_READ, RT_NEVER), SP_CANCELED);
	assert_int_equal(rt_event_wait(w->e, RT_NEVER), SP_CANCELED);
	assert_int_equal(rt_blocking(two_steps, NULL), SP_CANCELED);
	assert_null(w->e->first);
	note("done");
}

static void
test_cancel_ends_this_wait_and_all_later(void **state)
{
	struct rt_event e = { 0 };
	struct wait w = { .e = &e, .st = SP_OK };
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	w.f = rt_fd_new(fds[0]);
	co_start(cancelled_body, &w, NULL);
	co_cancel(w.co);
	co_cancel(w.co); /* twice is once */
	assert_string_equal(trace, "");
	rt_run();
	assert_int_equal(w.st, SP_CANCELED);
	assert_string_equal(trace, "done ");
	rt_fd_free(&w.f);
	close(fds[0]);
	close(fds[1]);
}

static void
interrupted_body(void *arg)
{
	struct wait *w = arg;

	w->co = co_self();
	assert_int_equal(rt_fd_wait_interruptible(w->f, CO_READ, RT_NEVER), SP_CANCELED);
	note("first");
	assert_false(co_cancelled());
	assert_int_equal(rt_fd_wait_interruptible(w->f, CO_READ, rt_deadline(500)), SP_TIMEOUT);
	note("once");
	assert_int_equal(co_sleep(500), SP_OK); /* interrupted here: not an interruptible wait */
	assert_int_equal(rt_fd_wait_interruptible(w->f, CO_READ, RT_NEVER), SP_CANCELED);
	note("pending");
}

static void
interrupt_later(void *arg)
{
	struct wait *w = arg;

	co_sleep(700);
	co_interrupt(w->co);
}

static void
test_interrupt_is_once(void **state)
{
	struct wait w = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	w.f = rt_fd_new(fds[0]);
	co_start(interrupted_body, &w, NULL);
	co_interrupt(w.co);
	co_start(interrupt_later, &w, NULL);
	rt_run();
	assert_string_equal(trace, "first once pending ");
	rt_fd_free(&w.f);
	close(fds[0]);
	close(fds[1]);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void
wait_event(void *arg)
{
	struct wait *w = arg;

	w->co = co_self();
	w->st = rt_event_wait(w->e, w->ms == 0 ? RT_NEVER : rt_deadline(w->ms));
	if (w->st == SP_OK)
		note(w->name);
}

static void
test_events_are_first_in_first_out(void **state)
{
	struct rt_event e = { 0 };
	struct wait w[4] = { { .e = &e, .name = "a" }, { .e = &e, .name = "b" },
		{ .e = &e, .name = "c" }, { .e = &e, .name = "d" } };

	(void)state;
	assert_false(rt_event_wake_one(&e));
	for (size_t i = 0; i < 4; i++)
		co_start(wait_event, &w[i], NULL);
	co_cancel(w[1].co);
	assert_true(rt_event_wake_one(&e)); /* a */
	assert_true(rt_event_wake_one(&e)); /* c, since b is gone already */
	rt_run();
	assert_string_equal(trace, "a c ");
	assert_int_equal(w[1].st, SP_CANCELED);
	rt_event_wake_all(&e);
	rt_run();
	assert_string_equal(trace, "a c d ");
	assert_null(e.first);
	assert_null(e.last);
}

static void
test_event_deadline_leaves_the_queue(void **state)
{
	struct rt_event e = { 0 };
	struct wait w[2] = { { .e = &e, .ms = 500, .name = "a" }, { .e = &e, .name = "b" } };

	(void)state;
	co_start(wait_event, &w[0], NULL);
	co_start(wait_event, &w[1], NULL);
	rt_run(); /* b waits for an event that nobody can send: nothing is left to wait for */
	assert_int_equal(w[0].st, SP_TIMEOUT);
	assert_int_equal(co_count(), 1);
	assert_true(rt_event_wake_one(&e));
	rt_run();
	assert_string_equal(trace, "b ");
}

/* ---- stacks ---------------------------------------------------------------------------------- */

static int deepest;

__attribute__((noinline)) static int
descend(int n)
{
	volatile char page[2048];

	page[0] = (char)n;
	deepest = n;
	return n > 1000000 ? page[0] : descend(n + 1) + page[0];
}

static void
overflow(void *arg)
{
	(void)arg;
	signal(SIGSEGV, SIG_DFL);
	descend(0);
}

static void
test_overflow_hits_the_guard_page(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		if (rt_init() == SP_OK)
			co_start(overflow, NULL, NULL);
		_exit(1);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static void
deep_but_fine(void *arg)
{
	volatile char most[64 * 1024];

	(void)arg;
	most[0] = 1;
	most[sizeof(most) - 1] = 2;
	co_sleep(100);
	assert_int_equal(most[0] + most[sizeof(most) - 1], 3);
}

static void
test_deep_stacks_are_reused(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 600; i++) /* more than the pool holds */
			assert_int_equal(co_start(deep_but_fine, NULL, NULL), SP_OK);
		rt_run();
		assert_int_equal(co_count(), 0);
	}
}

static char *deep_page;

static bool
resident(char *page)
{
	unsigned char there = 0;

	assert_int_equal(mincore(page, 1, &there), 0);
	return there & 1;
}

__attribute__((noinline)) static void
go_deep(int levels)
{
	volatile char fill[4096];

	for (size_t i = 0; i < sizeof(fill); i++)
		fill[i] = 0x5a;
	if (levels > 0) {
		go_deep(levels - 1);
	} else {
		uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

		deep_page = (char *)((uintptr_t)__builtin_frame_address(0) & ~(page - 1));
	}
	assert_int_equal(fill[0], 0x5a);
}

static void
deep_then_idle(void *arg)
{
	struct wait *w = arg;

	go_deep(8);
	assert_true(resident(deep_page));
	assert_int_equal(rt_fd_wait(w->f, CO_READ, rt_deadline(200)), SP_TIMEOUT);
	assert_true(resident(deep_page)); /* a wait in the middle of something */
	assert_int_equal(rt_fd_wait_interruptible(w->f, CO_READ, rt_deadline(200)), SP_TIMEOUT);
	assert_false(resident(deep_page));
	go_deep(8);
	note("deep again");
}

static void
test_idle_waits_give_stack_back(void **state)
{
	struct wait w = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	w.f = rt_fd_new(fds[0]);
	co_start(deep_then_idle, &w, NULL);
	rt_run();
	assert_string_equal(trace, "deep again ");
	rt_fd_free(&w.f);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_start_runs_at_once_and_yield_takes_turns),
		TEST(test_start_inside_a_coroutine_queues),
		TEST(test_state_survives_switching),
		TEST(test_ten_thousand_sleep),
		TEST(test_deadline_on_the_scaled_clock),
		TEST(test_deadline_arithmetic),
		TEST(test_sleeps_end_in_order),
		TEST(test_fd_wakes_its_reader),
		TEST(test_fd_both_directions_and_hang_up),
		TEST(test_cancel_ends_this_wait_and_all_later),
		TEST(test_interrupt_is_once),
		TEST(test_events_are_first_in_first_out),
		TEST(test_event_deadline_leaves_the_queue),
		TEST(test_overflow_hits_the_guard_page),
		TEST(test_deep_stacks_are_reused),
		TEST(test_idle_waits_give_stack_back),
	};

	return cmocka_run_group_tests_name("rt_co", tests, NULL, NULL);
}
