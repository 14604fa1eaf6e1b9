/* slot_body.c - the new body that goes back to the mail server: whole, or the message is not let through. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/milter/judge_priv.h"

enum { LINES = 20000 };

static struct matter matter;
static struct judge judge;

/* A body that lies in a file. */
static void
setup_body(void)
{
	matter = (struct matter){ .out.body = spool_new(), .body.bol = true };
	judge = (struct judge){ .tx = &matter };
	assert_non_null(matter.out.body);
	for (int i = 0; i < LINES; i++)
		assert_int_equal(spool_write(matter.out.body, SPAN_LIT("..a line\r\n")), SP_OK);
	assert_int_equal(spool_seal(matter.out.body), SP_OK);
}

/* The octets that judge_body() gives until the end, or until it fails. */
static size_t
take_all(bool *ret_failed)
{
	static char room[JUDGE_PIECE];
	struct request r = { .judge = &judge, .room = room };
	size_t all = 0;

	do {
		judge_body(&r);
		all += r.filled;
	} while (r.filled > 0 && !r.failed);
	*ret_failed = r.failed;
	return all;
}

static void
whole(void **state)
{
	bool failed;

	(void)state;
	setup_body();
	assert_int_equal(take_all(&failed), LINES * strlen(".a line\r\n"));
	assert_false(failed);
	spool_free(&matter.out.body);
}

/* Cuts the files without a name that this process has open. */
static unsigned
cut_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		char path[300], to[300];
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		len = readlink(path, to, sizeof(to) - 1);
		if (len < 0)
			continue;
		to[len] = '\0';
		if (strstr(to, "(deleted)") != NULL && truncate(path, 70000) == 0)
			n++;
	}
	closedir(d);
	return n;
}

static void
disk_fails(void **state)
{
	bool failed;

	(void)state;
	setup_body();
	assert_int_equal(cut_files(), 1);
	assert_true(take_all(&failed) < LINES * strlen(".a line\r\n"));
	assert_true(failed);
	spool_free(&matter.out.body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whole), cmocka_unit_test(disk_fails) };

	spool_configure(&(struct spool_config){ .memory = 4096, .total_memory = 1 << 20 });
	return cmocka_run_group_tests(tests, NULL, NULL);
}
