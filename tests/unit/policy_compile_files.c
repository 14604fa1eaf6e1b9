/*
 * policy_compile_files - every tests/policy/NAME.policy is compiled, and what the compiler says must be
 * NAME.err to the byte.  Without that file it must say nothing.  SALLYPORT_WRITE_ERR=1 writes them anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy_env.h"

#define FILES_MAX 1000

static int
name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t
list_policies(char *names[static FILES_MAX])
{
	DIR *dir = opendir(".");
	struct dirent *e;
	size_t count = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL)
		if (span_iends(span_str(e->d_name), SPAN_LIT(".policy")) && count < FILES_MAX)
			names[count++] = strdup(e->d_name);
	closedir(dir);
	qsort(names, count, sizeof(*names), name_cmp);
	return count;
}

static void
read_expected(const char *path, struct buf *to)
{
	FILE *from = fopen(path, "r");
	char line[4096];
	size_t n;

	if (from == NULL)
		return;
	while ((n = fread(line, 1, sizeof(line), from)) > 0)
		buf_add(to, span_of(line, n));
	fclose(from);
}

static void
write_expected(const char *path, const struct buf *text)
{
	FILE *to = fopen(path, "w");

	assert_non_null(to);
	fwrite(text->ptr, 1, text->len, to);
	fclose(to);
}

/* Whether the file behaves as its .err says. */
static bool
policy_right(const char *name)
{
	struct policy_diag d;
	struct policy *p;
	struct buf expected;
	char path[300];
	bool right;

	snprintf(path, sizeof(path), "%.*s.err", (int)(strlen(name) - strlen(".policy")), name);
	policy_diag_init(&d);
	buf_init(&expected, 1 << 20);
	p = policy_compile(name, &test_env, &d);
	if (getenv("SALLYPORT_WRITE_ERR") != NULL && d.text.len > 0)
		write_expected(path, &d.text);
	read_expected(path, &expected);
	right = span_eq(buf_span(&d.text), buf_span(&expected)) && (p == NULL) == (d.errors > 0);
	if (!right)
		print_error("%s: expected\n%s%s: got\n%s", name, buf_cstr(&expected), name, buf_cstr(&d.text));
	policy_free(&p);
	policy_diag_fini(&d);
	buf_fini(&expected);
	return right;
}

static void
test_files(void **state)
{
	static char *names[FILES_MAX];
	size_t count, wrong = 0;

	(void)state;
	assert_int_equal(chdir(SALLYPORT_SOURCE "/tests/policy"), 0);
	count = list_policies(names);
	assert_true(count > 100);
	for (size_t i = 0; i < count; i++) {
		wrong += !policy_right(names[i]);
		free(names[i]);
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(env_picky_loaded, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_files) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
