/* rt_stream.c - streams over sockets of this machine: buffers, limits, ends, slow readers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/net/net.h"
#include "proxy/rt/rt.h"

/* One test: two ends of a connection, and a coroutine at each. */
static struct stream *left, *right;

static int
set_up(void **state)
{
	int fds[2];

	(void)state;
	rt_clock_scale(100.);
	if (rt_init() != SP_OK || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
		return -1;
	left = stream_new(fds[0]);
	right = stream_new(fds[1]);
	return left != NULL && right != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	assert_int_equal(co_count(), 0);
	stream_free(&left);
	stream_free(&right);
	rt_fini();
	return 0;
}

static void
run(void (*a)(void *), void (*b)(void *))
{
	assert_int_equal(co_start(a, NULL, NULL), SP_OK);
	if (b != NULL)
		assert_int_equal(co_start(b, NULL, NULL), SP_OK);
	rt_run();
}

static int64_t
soon(void)
{
	return rt_deadline(1000000); /* 10 s of real time */
}

/* ---- reading ------------------------------------------------------------------------------ */

static void
send_one_by_one(void *arg)
{
	(void)arg;
	for (const char *p = "hello\r\n"; *p != '\0'; p++) {
		assert_int_equal(stream_write(left, span_of(p, 1), soon()), SP_OK);
		assert_int_equal(stream_flush(left, soon()), SP_OK);
		co_yield();
	}
}

static void
collect_line(void *arg)
{
	size_t fills = 0;

	(void)arg;
	while (!span_iends(stream_input(right), SPAN_LIT("\r\n"))) {
		assert_int_equal(stream_fill(right, soon()), SP_OK);
		fills++;
	}
	assert_true(fills > 1);
	assert_true(span_eq(stream_input(right), SPAN_LIT("hello\r\n")));
	stream_consume(right, 5);
	assert_true(span_eq(stream_input(right), SPAN_LIT("\r\n")));
	stream_consume(right, 2);
	assert_int_equal(stream_input(right).len, 0);
	assert_int_equal(stream_octets_in(right), 7);
}

static void
test_one_octet_at_a_time(void **state)
{
	(void)state;
	run(collect_line, send_one_by_one);
	assert_int_equal(stream_octets_out(left), 7);
}

static void
send_too_much(void *arg)
{
	char chunk[1000];

	(void)arg;
	for (unsigned i = 0; i < 70; i++) {
		memset(chunk, (int)i, sizeof(chunk));
		assert_int_equal(stream_write(left, span_of(chunk, sizeof(chunk)), soon()), SP_OK);
	}
	assert_int_equal(stream_flush(left, soon()), SP_OK);
}

static void
fill_to_the_limit(void *arg)
{
	enum sp_status st;

	(void)arg;
	while ((st = stream_fill(right, soon())) == SP_OK)
		assert_true(stream_input(right).len <= STREAM_INPUT);
	assert_int_equal(st, SP_LIMIT);
	assert_int_equal(stream_input(right).len, STREAM_INPUT);
	stream_consume(right, 1); /* room for one more, and no more */
	assert_int_equal(stream_fill(right, soon()), SP_OK);
	assert_int_equal(stream_input(right).len, STREAM_INPUT);
	for (size_t i = 0; i < STREAM_INPUT; i++)
		assert_int_equal((unsigned char)stream_input(right).ptr[i], (i + 1) / 1000);
	assert_int_equal(stream_fill(right, soon()), SP_LIMIT);
	stream_consume(right, STREAM_INPUT);
	while (stream_octets_in(right) < 70000)
		assert_int_equal(stream_fill(right, soon()), SP_OK);
	assert_int_equal(stream_input(right).len, 70000 - STREAM_INPUT - 1);
}

static void
test_full_buffer_is_a_limit(void **state)
{
	(void)state;
	run(fill_to_the_limit, send_too_much);
}

static void
fill_nothing(void *arg)
{
	(void)arg;
	assert_int_equal(stream_fill(right, rt_deadline(500)), SP_TIMEOUT);
	assert_int_equal(stream_input(right).len, 0);
	assert_false(stream_pending(right));
	assert_false(stream_peer_gone(right));
}

static void
test_fill_times_out(void **state)
{
	(void)state;
	run(fill_nothing, NULL);
}

static struct co *waiting;

static void
fill_twice(void *arg)
{
	(void)arg;
	waiting = co_self();
	assert_int_equal(stream_fill_interruptible(right, RT_NEVER), SP_CANCELED);
	assert_false(co_cancelled());
	assert_int_equal(stream_fill(right, RT_NEVER), SP_CANCELED);
	assert_true(co_cancelled());
	/* a last word still goes out: nothing has to be waited for */
	assert_int_equal(stream_write(right, SPAN_LIT("421\r\n"), soon()), SP_OK);
	assert_int_equal(stream_flush(right, soon()), SP_OK);
}

static void
wake_twice(void *arg)
{
	(void)arg;
	co_interrupt(waiting);
	co_sleep(100);
	co_cancel(waiting);
	co_sleep(100);
	assert_int_equal(stream_fill(left, soon()), SP_OK);
	assert_true(span_eq(stream_input(left), SPAN_LIT("421\r\n")));
}

static void
test_interrupt_and_cancel(void **state)
{
	(void)state;
	run(fill_twice, wake_twice);
}

/* ---- ends --------------------------------------------------------------------------------- */

static void
say_and_close(void *arg)
{
	(void)arg;
	assert_int_equal(stream_write(left, SPAN_LIT("QUIT\r\n"), soon()), SP_OK);
	assert_int_equal(stream_flush(left, soon()), SP_OK);
	stream_free(&left);
	assert_null(left);
}

static void
read_to_the_end(void *arg)
{
	(void)arg;
	assert_false(stream_peer_gone(right));
	assert_int_equal(stream_fill(right, soon()), SP_OK);
	assert_true(stream_pending(right));
	assert_true(stream_peer_gone(right));
	assert_int_equal(stream_fill(right, soon()), SP_GONE);
	assert_true(span_eq(stream_input(right), SPAN_LIT("QUIT\r\n"))); /* still there */
	assert_int_equal(stream_fill(right, soon()), SP_GONE);
	assert_int_equal(stream_write(right, SPAN_LIT("221\r\n"), soon()), SP_OK);
	assert_int_equal(stream_flush(right, soon()), SP_GONE);
}

static void
test_peer_closes(void **state)
{
	(void)state;
	run(read_to_the_end, say_and_close);
}

static void
half_close(void *arg)
{
	(void)arg;
	assert_int_equal(stream_write(left, SPAN_LIT("DATA\r\n"), soon()), SP_OK);
	assert_int_equal(stream_flush(left, soon()), SP_OK);
	assert_int_equal(shutdown(stream_fd(left), SHUT_WR), 0);
	assert_int_equal(stream_fill(left, soon()), SP_OK);
	assert_true(span_eq(stream_input(left), SPAN_LIT("451\r\n")));
}

static void
answer_half_closed(void *arg)
{
	(void)arg;
	co_sleep(500);
	assert_true(stream_pending(right));
	assert_true(stream_peer_gone(right)); /* seen behind the octets not yet read */
	assert_int_equal(stream_fill(right, soon()), SP_OK);
	assert_int_equal(stream_fill(right, soon()), SP_GONE);
	assert_int_equal(stream_write(right, SPAN_LIT("451\r\n"), soon()), SP_OK);
	assert_int_equal(stream_flush(right, soon()), SP_OK);
}

static void
test_half_close_is_gone_but_can_be_answered(void **state)
{
	(void)state;
	run(answer_half_closed, half_close);
}

/* ---- writing ------------------------------------------------------------------------------- */

enum { LARGE = 1 << 20 };
static char large[LARGE];
static size_t received;

static void
fill_large(void)
{
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)(i * 7 + i / 251);
	received = 0;
}

static void
read_slowly(void *arg)
{
	struct sp_span in;
	enum sp_status st;

	(void)arg;
	while ((st = stream_fill(right, soon())) == SP_OK) {
		in = stream_input(right);
		assert_true(received + in.len <= LARGE);
		assert_memory_equal(in.ptr, large + received, in.len);
		received += in.len;
		stream_consume(right, in.len);
		if (received < 200000)
			co_sleep(50);
	}
	assert_int_equal(st, SP_GONE);
}

static void
write_large(void *arg)
{
	(void)arg;
	assert_int_equal(stream_write(left, span_of(large, 10), soon()), SP_OK);
	assert_int_equal(stream_octets_out(left), 0); /* queued */
	assert_int_equal(stream_write(left, span_of(large + 10, LARGE - 20), soon()), SP_OK);
	assert_int_equal(stream_octets_out(left), LARGE - 10); /* sent, behind the queue */
	assert_int_equal(stream_write(left, span_of(large + LARGE - 10, 10), soon()), SP_OK);
	assert_int_equal(stream_flush(left, soon()), SP_OK);
	stream_free(&left);
}

static void
test_large_write_to_a_slow_reader(void **state)
{
	(void)state;
	fill_large();
	run(read_slowly, write_large);
	assert_int_equal(received, LARGE);
}

static void
write_small(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < LARGE; i += 1024)
		assert_int_equal(stream_write(left, span_of(large + i, 1024), soon()), SP_OK);
	assert_true(stream_octets_out(left) >= LARGE - STREAM_OUTPUT);
	assert_int_equal(stream_flush(left, soon()), SP_OK);
	stream_free(&left);
}

static void
test_many_small_writes(void **state)
{
	(void)state;
	fill_large();
	run(read_slowly, write_small);
	assert_int_equal(received, LARGE);
}

static void
write_to_nobody(void *arg)
{
	enum sp_status st;

	(void)arg;
	st = stream_write(left, span_of(large, LARGE), rt_deadline(500));
	assert_int_equal(st, SP_TIMEOUT);
	assert_true(stream_octets_out(left) > 0);
	/* broken off in the middle of a span: nothing may follow */
	assert_int_equal(stream_write(left, SPAN_LIT("x"), soon()), SP_TIMEOUT);
	assert_int_equal(stream_flush(left, soon()), SP_TIMEOUT);
}

static void
test_write_deadline_breaks_the_stream(void **state)
{
	(void)state;
	fill_large();
	run(write_to_nobody, NULL);
}

/* ---- files ----------------------------------------------------------------------------------- */

static int file;

static int
temporary_file(void)
{
	char name[] = "/tmp/rt_stream.XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, large, LARGE), LARGE);
	return fd;
}

static void
send_file(void *arg)
{
	(void)arg;
	assert_int_equal(stream_write(left, span_of(large, 100), soon()), SP_OK);
	assert_int_equal(stream_send_file(left, file, 100, LARGE - 100, soon()), SP_OK);
	assert_int_equal(stream_octets_out(left), LARGE);
	stream_free(&left);
}

static void
test_send_file_behind_the_queue(void **state)
{
	(void)state;
	fill_large();
	file = temporary_file();
	run(read_slowly, send_file);
	assert_int_equal(received, LARGE);
	close(file);
}

static void
send_too_long(void *arg)
{
	(void)arg;
	assert_int_equal(stream_send_file(left, file, 10, LARGE, soon()), SP_SYSTEM);
	assert_int_equal(stream_write(left, SPAN_LIT("x"), soon()), SP_SYSTEM);
	stream_free(&left);
}

static void
drain(void *arg)
{
	(void)arg;
	while (stream_fill(right, soon()) == SP_OK)
		stream_consume(right, stream_input(right).len);
}

static void
test_send_file_that_is_too_short(void **state)
{
	(void)state;
	fill_large();
	file = temporary_file();
	run(drain, send_too_long);
	assert_int_equal(stream_octets_in(right), LARGE - 10);
	close(file);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_one_octet_at_a_time),
		TEST(test_full_buffer_is_a_limit),
		TEST(test_fill_times_out),
		TEST(test_interrupt_and_cancel),
		TEST(test_peer_closes),
		TEST(test_half_close_is_gone_but_can_be_answered),
		TEST(test_large_write_to_a_slow_reader),
		TEST(test_many_small_writes),
		TEST(test_write_deadline_breaks_the_stream),
		TEST(test_send_file_behind_the_queue),
		TEST(test_send_file_that_is_too_short),
	};

	return cmocka_run_group_tests_name("rt_stream", tests, NULL, NULL);
}
