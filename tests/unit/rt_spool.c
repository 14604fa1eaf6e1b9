/*
 * rt_spool.c - the spool at its edges: chunk and memory limits plus and minus one, random sizes against
 * a reference, a full disk, a file size limit, and the bound over all spools.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"
#include "proxy/spool/spool.h"

enum { KIB = 1024, MEMORY = 256 * KIB, TOTAL = 4096 * KIB };

static char directory[64];

static void
configure(size_t memory, size_t total)
{
	struct spool_config c = { directory, memory, total };

	spool_configure(&c);
}

/* The octet at an offset: every window of some length is unlike its neighbours. */
static char
octet(uint64_t offset)
{
	uint64_t x = (offset / 8 + 1) * 0x9e3779b97f4a7c15u;

	return (char)(x >> (8 * (offset % 8)));
}

static void
write_range(struct spool *s, uint64_t offset, size_t len)
{
	char *bytes = malloc(len + 1);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = octet(offset + i);
	assert_int_equal(spool_write(s, span_of(bytes, len)), SP_OK);
	free(bytes);
}

static void
check_range(struct spool *s, uint64_t offset, uint64_t end)
{
	struct sp_span got;

	while (offset < end) {
		assert_int_equal(spool_read(s, (int64_t)offset, &got), SP_OK);
		assert_true(got.len > 0);
		assert_true(got.len <= (uint64_t)spool_size(s) - offset);
		for (size_t i = 0; i < got.len; i++)
			if (got.ptr[i] != octet(offset + i))
				fail_msg("octet %llu differs", (unsigned long long)(offset + i));
		offset += got.len;
	}
}

static void
check_whole(struct spool *s, size_t size)
{
	struct sp_span got;

	assert_int_equal(spool_size(s), size);
	check_range(s, 0, size);
	assert_int_equal(spool_read(s, (int64_t)size, &got), SP_NONE);
	assert_int_equal(spool_read(s, (int64_t)size + 1, &got), SP_NONE);
}

static void
test_empty(void **state)
{
	struct spool *s = spool_new();
	struct sp_span got;

	(void)state;
	assert_non_null(s);
	assert_int_equal(spool_read(s, 0, &got), SP_NONE);
	assert_int_equal(spool_write(s, span_of(NULL, 0)), SP_OK);
	assert_int_equal(spool_seal(s), SP_OK);
	assert_int_equal(spool_size(s), 0);
	assert_int_equal(spool_fd(s), -1);
	assert_int_equal(spool_errno(s), 0);
	spool_free(&s);
	assert_null(s);
	spool_free(&s);
	assert_int_equal(spool_memory_used(), 0);
}

static const size_t edges[] = { 1, 4 * KIB, 20 * KIB, 84 * KIB, 148 * KIB, MEMORY, 320 * KIB, 1000000 };

/* One message of the given size, written in pieces of the given size. */
static void
one_message(size_t size, size_t piece)
{
	struct spool *s = spool_new();
	struct stat st;

	for (size_t done = 0; done < size; done += piece)
		write_range(s, done, piece < size - done ? piece : size - done);
	assert_int_equal(spool_seal(s), SP_OK);
	assert_int_equal(spool_fd(s) != -1, size > MEMORY);
	check_whole(s, size);
	if (spool_fd(s) != -1) {
		assert_int_equal(fstat(spool_fd(s), &st), 0);
		assert_int_equal(st.st_size, size);
		assert_int_equal(st.st_nlink, 0);
		assert_true(spool_memory_used() <= 64 * KIB);
	} else {
		assert_true(spool_memory_used() < size + 64 * KIB);
	}
	/* in reverse, in steps that no chunk is a multiple of */
	for (size_t at = size; at > 0; at -= at < 4999 ? at : 4999)
		check_range(s, at - 1, at);
	spool_free(&s);
	assert_int_equal(spool_memory_used(), 0);
}

static void
test_edges(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		for (size_t size = edges[i] - 1; size <= edges[i] + 1; size++) {
			one_message(size, size + 1);
			one_message(size, 4096);
			one_message(size, 65536);
			one_message(size, 997);
		}
}

static void
test_small_takes_little(void **state)
{
	struct spool *s = spool_new();

	(void)state;
	write_range(s, 0, 1000);
	assert_int_equal(spool_memory_used(), 4 * KIB);
	spool_free(&s);
}

static uint64_t seed;

static size_t
dice(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed % n);
}

/* Reads between writes see what was written so far, in memory and in a file. */
static void
test_random(void **state)
{
	(void)state;
	for (int round = 0; round < 60; round++) {
		struct spool *s = spool_new();
		size_t size = 0, end = dice(600 * KIB);

		while (size < end) {
			size_t n = dice(3) == 0 ? dice(100000) : dice(2000);

			write_range(s, size, n);
			size += n;
			if (size > 0 && dice(8) == 0) {
				size_t from = dice(size);

				check_range(s, from, from + dice(size - from) + 1);
			}
		}
		check_whole(s, size);
		assert_int_equal(spool_seal(s), SP_OK);
		check_whole(s, size);
		spool_free(&s);
	}
	assert_int_equal(spool_memory_used(), 0);
}

/* In a child: what goes wrong there stays there. Exit status 0: as it should be; 77: not permitted. */
static int
in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(fn());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Fills a spool until it fails; 0: it failed with that errno, and goes on failing. */
static int
fill_until(int error, size_t most)
{
	static char piece[10000];
	struct spool *s = spool_new();
	enum sp_status st = SP_OK;
	struct sp_span got;
	int bad = 0;

	for (size_t size = 0; size < most && st == SP_OK; size += sizeof(piece))
		st = spool_write(s, span_of(piece, sizeof(piece)));
	if (st == SP_OK)
		st = spool_seal(s);
	bad |= st != SP_SYSTEM;
	bad |= spool_errno(s) != error;
	bad |= spool_read(s, 0, &got) != SP_SYSTEM;
	bad |= spool_seal(s) != SP_SYSTEM;
	bad |= spool_reserve(s, 1, RT_NEVER) != SP_SYSTEM;
	bad |= spool_write(s, SPAN_LIT("x")) != SP_SYSTEM;
	spool_free(&s);
	bad |= spool_memory_used() != 0;
	return bad;
}

static int
file_size_limit(void)
{
	struct rlimit r = { 512 * KIB, 512 * KIB };

	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &r) == -1)
		return 77;
	return fill_until(EFBIG, 600 * KIB);
}

static void
test_file_size_limit(void **state)
{
	(void)state;
	assert_int_equal(in_child(file_size_limit), 0);
}

static int
disk_full(void)
{
	if (unshare(CLONE_NEWNS) == -1 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1
	    || mount("none", directory, "tmpfs", 0, "size=512k") == -1)
		return 77;
	if (spool_disk_free() < 0 || spool_disk_free() > 512 * KIB)
		return 2;
	return fill_until(ENOSPC, 1000 * KIB);
}

static void
test_disk_full(void **state)
{
	int rc = in_child(disk_full);

	(void)state;
	if (rc == 77)
		skip();
	assert_int_equal(rc, 0);
}

static int
no_descriptors(void)
{
	struct rlimit r = { 3, 3 };

	if (setrlimit(RLIMIT_NOFILE, &r) == -1)
		return 77;
	return fill_until(EMFILE, 300 * KIB);
}

static void
test_no_descriptors(void **state)
{
	(void)state;
	assert_int_equal(in_child(no_descriptors), 0);
}

/* A file system without O_TMPFILE: the file has a name for a moment; teardown sees that none stays. */
static int
no_tmpfile(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_openat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1
	    || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
		return 77;
	if (open(directory, O_TMPFILE | O_RDWR, 0600) != -1)
		return 2;
	one_message(MEMORY + 1, 65536);
	return 0;
}

static void
test_no_tmpfile(void **state)
{
	int rc = in_child(no_tmpfile);

	(void)state;
	if (rc == 77)
		skip();
	assert_int_equal(rc, 0);
	assert_int_equal(rmdir(directory), 0); /* empty */
	assert_int_equal(mkdir(directory, 0700), 0);
}

static void
test_no_directory(void **state)
{
	struct spool_config c = { "/nonexistent/spool", 0, 0 };

	(void)state;
	spool_configure(&c);
	assert_int_equal(spool_disk_free(), -1);
	assert_int_equal(fill_until(ENOENT, 300 * KIB), 0);
	configure(MEMORY, TOTAL);
	assert_true(spool_disk_free() > 0);
}

/* What the file holds is no longer what was written. */
static void
test_truncated_behind_our_back(void **state)
{
	struct spool *s = spool_new();
	struct sp_span got;

	(void)state;
	write_range(s, 0, 384 * KIB); /* nothing waits in the window */
	assert_int_equal(ftruncate(spool_fd(s), 100 * KIB), 0);
	assert_int_equal(spool_seal(s), SP_SYSTEM);
	assert_int_equal(spool_errno(s), EIO);
	spool_free(&s);

	s = spool_new();
	write_range(s, 0, 400 * KIB);
	assert_int_equal(spool_seal(s), SP_OK);
	assert_int_equal(ftruncate(spool_fd(s), 100 * KIB), 0);
	assert_int_equal(spool_read(s, 200 * KIB, &got), SP_SYSTEM);
	assert_int_equal(spool_errno(s), EIO);
	assert_int_equal(spool_read(s, 0, &got), SP_SYSTEM);
	spool_free(&s);
}

/* ---- the bound over all spools --------------------------------------------------------------- */

static void
test_bound_sends_to_file(void **state)
{
	struct spool *a = spool_new(), *b = spool_new();

	(void)state;
	configure(MEMORY, 48 * KIB);
	write_range(a, 0, 4 * KIB);
	write_range(b, 0, 20 * KIB);
	assert_int_equal(spool_memory_used(), 24 * KIB);
	assert_int_equal(spool_fd(b), -1);
	/* each goes to a file with the chunk that it has, and takes nothing more */
	write_range(a, 4 * KIB, 100000);
	assert_true(spool_fd(a) != -1);
	assert_true(spool_memory_used() <= 24 * KIB);
	write_range(b, 20 * KIB, 100000);
	assert_true(spool_fd(b) != -1);
	assert_true(spool_memory_used() <= 24 * KIB);
	check_whole(a, 4 * KIB + 100000);
	check_whole(b, 20 * KIB + 100000);
	spool_free(&a);
	spool_free(&b);
	configure(MEMORY, TOTAL);
}

/* Those who hold as much as they can leave room for the first chunk of others. */
static void
test_newcomers_are_let_in(void **state)
{
	struct spool *big[10], *s = spool_new();

	(void)state;
	configure(MEMORY, 1024 * KIB);
	for (size_t i = 0; i < 10; i++) {
		big[i] = spool_new();
		write_range(big[i], 0, 200 * KIB);
	}
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(spool_reserve(s, 1, rt_now_ms()), SP_OK);
		write_range(s, 0, 100 * KIB);
		check_whole(s, 100 * KIB);
		spool_free(&s);
		s = spool_new();
	}
	assert_true(spool_memory_used() <= 1024 * KIB);
	for (size_t i = 0; i < 10; i++) {
		check_whole(big[i], 200 * KIB);
		spool_free(&big[i]);
	}
	spool_free(&s);
	configure(MEMORY, TOTAL);
}

/* One that did not reserve is let in with its first chunk. */
static void
test_unreserved_is_let_in(void **state)
{
	struct spool *a = spool_new(), *b = spool_new();

	(void)state;
	configure(MEMORY, 4 * KIB);
	write_range(a, 0, 1);
	write_range(b, 0, 5000);
	assert_true(spool_fd(b) != -1);
	assert_int_equal(spool_memory_used(), 8 * KIB);
	check_whole(b, 5000);
	spool_free(&a);
	spool_free(&b);
	configure(MEMORY, TOTAL);
}

struct waiting {
	struct spool *holder;
	char order[8];
	size_t got;
	enum sp_status late;
};

static void
wait_and_write(struct waiting *w, char name)
{
	struct spool *s = spool_new();

	assert_int_equal(spool_reserve(s, 100, rt_deadline(20000)), SP_OK);
	w->order[w->got++] = name;
	write_range(s, 0, 100);
	assert_int_equal(spool_memory_used(), 4 * KIB);
	spool_free(&s);
}

static void
co_first(void *arg)
{
	wait_and_write(arg, '1');
}

static void
co_second(void *arg)
{
	wait_and_write(arg, '2');
}

static void
co_late(void *arg)
{
	struct waiting *w = arg;
	struct spool *s = spool_new();

	w->late = spool_reserve(s, 100, rt_deadline(30));
	spool_free(&s);
}

static void
co_holder(void *arg)
{
	struct waiting *w = arg;

	co_sleep(100);
	assert_int_equal(w->late, SP_TIMEOUT);
	assert_int_equal(w->got, 0);
	assert_int_equal(spool_reserve(w->holder, 1, rt_now_ms()), SP_OK);
	spool_free(&w->holder);
	/* the room is free, but others came before */
	wait_and_write(w, '3');
}

static void
test_reserve_waits_in_order(void **state)
{
	struct waiting w = { .holder = spool_new() };

	(void)state;
	configure(MEMORY, 4 * KIB);
	write_range(w.holder, 0, 100);
	assert_int_equal(rt_init(), SP_OK);
	assert_int_equal(co_start(co_late, &w, NULL), SP_OK);
	assert_int_equal(co_start(co_first, &w, NULL), SP_OK);
	assert_int_equal(co_start(co_second, &w, NULL), SP_OK);
	assert_int_equal(co_start(co_holder, &w, NULL), SP_OK);
	rt_run();
	rt_fini();
	assert_string_equal(w.order, "123");
	assert_int_equal(spool_memory_used(), 0);
	configure(MEMORY, TOTAL);
}

/* The waiter that is cancelled does not swallow the turn of the next. */
static void
co_canceled(void *arg)
{
	struct waiting *w = arg;
	struct spool *s = spool_new();

	w->late = spool_reserve(s, 100, RT_NEVER);
	spool_free(&s);
}

static void
test_reserve_canceled(void **state)
{
	struct waiting w = { .holder = spool_new() };
	struct co *co;

	(void)state;
	configure(MEMORY, 4 * KIB);
	write_range(w.holder, 0, 100);
	assert_int_equal(rt_init(), SP_OK);
	assert_int_equal(co_start(co_canceled, &w, &co), SP_OK);
	assert_int_equal(co_start(co_first, &w, NULL), SP_OK);
	spool_free(&w.holder); /* wakes the first of the two */
	co_cancel(co);
	rt_run();
	rt_fini();
	assert_true(w.late == SP_OK || w.late == SP_CANCELED);
	assert_string_equal(w.order, "1");
	configure(MEMORY, TOTAL);
}

static int
setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	seed = 88172645463325252u;
	snprintf(directory, sizeof(directory), "%.40s/spool.XXXXXX", tmp != NULL ? tmp : "/var/tmp");
	if (mkdtemp(directory) == NULL)
		return -1;
	configure(MEMORY, TOTAL);
	return 0;
}

/* rmdir() fails if any file was left behind. */
static int
teardown(void **state)
{
	(void)state;
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_small_takes_little),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_file_size_limit),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_no_tmpfile),
		cmocka_unit_test(test_no_directory),
		cmocka_unit_test(test_truncated_behind_our_back),
		cmocka_unit_test(test_bound_sends_to_file),
		cmocka_unit_test(test_newcomers_are_let_in),
		cmocka_unit_test(test_unreserved_is_let_in),
		cmocka_unit_test(test_reserve_waits_in_order),
		cmocka_unit_test(test_reserve_canceled),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
