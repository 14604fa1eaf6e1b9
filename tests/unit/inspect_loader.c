/*
 * inspect_loader.c - loading filter modules: real shared objects that keep or break the ABI rule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/inspect/loader.h"

#define MODULES SALLYPORT_BUILD "/tests/modules"

static void
assert_refused(const char *name, const char *sentence)
{
	const struct sp_filter *f = NULL;
	const char *err = NULL;

	assert_int_equal(loader_find(NULL, name, &f, &err), SP_NONE);
	assert_null(f);
	/* the folder of an installed program comes behind those that a test knows */
	assert_int_equal(strncmp(err, sentence, strlen(sentence)), 0);
}

static void
test_good_is_kept(void **state)
{
	const struct sp_filter *f = NULL, *again = NULL;
	const char *err = NULL;

	(void)state;
	assert_int_equal(loader_find(NULL, "abi_good", &f, &err), SP_OK);
	assert_string_equal(f->name, "abi_good");
	assert_int_equal(loader_find(NULL, "abi_good", &again, &err), SP_OK);
	assert_ptr_equal(f, again);
	assert_non_null(f->after); /* a module of our own minor is read whole */
	assert_true(f->states_results);
}

static void
test_lower_minor_is_taken(void **state)
{
	const struct sp_filter *f = NULL;
	const char *err = NULL;

	(void)state;
	assert_int_equal(loader_find(NULL, "abi_older", &f, &err), SP_OK);
	assert_int_equal(f->abi_minor, SP_ABI_MINOR - 1);
	assert_int_equal(f->size, SP_FILTER_SIZE_MIN);
	assert_non_null(f->summary);
	assert_false(f->states_results);
	assert_null(f->after);
	assert_null(f->on_final);
}

static void
test_rule_sentences(void **state)
{
	char text[256];

	(void)state;
	snprintf(text, sizeof(text),
		"abi_major.so is for filter ABI %d.0, this Sallyport has %d.%d: rebuild it",
		SP_ABI_MAJOR + 1, SP_ABI_MAJOR, SP_ABI_MINOR);
	assert_refused("abi_major", text);
	snprintf(text, sizeof(text),
		"abi_minor.so needs filter ABI %d.%d, this Sallyport has %d.%d: use a newer "
		"Sallyport",
		SP_ABI_MAJOR, SP_ABI_MINOR + 8, SP_ABI_MAJOR, SP_ABI_MINOR);
	assert_refused("abi_minor", text);
	snprintf(text, sizeof(text),
		"abi_short.so: its descriptor has 16 octets, ABI %d.%d has at least %u: it was "
		"built wrongly",
		SP_ABI_MAJOR, SP_ABI_MINOR, (unsigned)SP_FILTER_SIZE_MIN);
	assert_refused("abi_short", text);
	assert_refused("abi_name", "abi_name.so: its descriptor is named 'other', not 'abi_name': "
				   "it was built wrongly");
}

/* One octet decides. */
static void
test_size_boundary(void **state)
{
	struct sp_filter f = { SP_FILTER_HEAD, .name = "edge" };
	const char *err = NULL;

	(void)state;
	f.size = SP_FILTER_SIZE_MIN;
	assert_int_equal(loader_check("edge.so", "edge", &f, &err), SP_OK);
	f.size = SP_FILTER_SIZE_MIN +
		 64; /* an additive change of our own minor: known part only is read */
	assert_int_equal(loader_check("edge.so", "edge", &f, &err), SP_OK);
	f.size = SP_FILTER_SIZE_MIN - 1;
	assert_int_equal(loader_check("edge.so", "edge", &f, &err), SP_NONE);
	f.size = SP_FILTER_SIZE_MIN;
	f.name = NULL;
	assert_int_equal(loader_check("edge.so", "edge", &f, &err), SP_NONE);
	assert_string_equal(
		err, "edge.so: its descriptor is named '', not 'edge': it was built wrongly");
}

static void
test_not_modules(void **state)
{
	const struct sp_filter *f = NULL;
	const char *err = NULL;

	(void)state;
	assert_refused("abi_symbol", "abi_symbol.so has no symbol sp_filter_abi_symbol: it is not "
				     "a filter module of that name");
	assert_int_equal(loader_find(NULL, "abi_link", &f, &err), SP_NONE);
	assert_non_null(strstr(err, "it cannot be loaded: "));
	assert_non_null(strstr(err, "nobody_has_this"));
	assert_refused("no_such", "there is no no_such.so in /nowhere/at/all, " MODULES);
}

static void
test_names_are_not_paths(void **state)
{
	static const char *const bad[] = { "", "../abi_good", "abi-good", "9lives", "a b",
		"abi_good.so" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(
			bad[i], "a filter's name has letters, digits and '_' only, at most 64");
}

static void
test_names_sorted(void **state)
{
	static const char *const want[] = { "abi_good", "abi_link", "abi_major", "abi_minor",
		"abi_name", "abi_older", "abi_short", "abi_symbol" };
	const char *const *names = loader_names(NULL);
	size_t count = 0, found = 0;

	(void)state;
	for (; names[count] != NULL; count++) {
		if (count > 0)
			assert_true(strcmp(names[count - 1], names[count]) < 0);
		for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
			found += strcmp(want[i], names[count]) == 0;
	}
	assert_int_equal(found, sizeof(want) / sizeof(want[0]));
}

static void
test_path_order(void **state)
{
	const struct sp_filter *f = NULL;
	const char *err = NULL;

	(void)state;
	loader_path("/nowhere/given");
	assert_refused("no_such",
		"there is no no_such.so in /nowhere/at/all, " MODULES ", /nowhere/given");
	assert_int_equal(loader_find(NULL, "abi_good", &f, &err), SP_OK);
}

/* The same name and size give the same zeroed memory, and a child writes where the parent reads. */
static void
test_shared_tables(void **state)
{
	int *table = loader_shared(NULL, "rate", 4096);
	int status = 0;
	pid_t child;

	(void)state;
	assert_non_null(table);
	assert_int_equal(table[0], 0);
	assert_ptr_equal(loader_shared(NULL, "rate", 4096), table);
	assert_ptr_not_equal(loader_shared(NULL, "rate", 8192), table);
	assert_ptr_not_equal(loader_shared(NULL, "other", 4096), table);
	assert_null(loader_shared(NULL, "none", 0));
	child = fork();
	if (child == 0) {
		table[0] = 42;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(table[0], 42);
	assert_ptr_equal(loader_shared(NULL, "rate", 4096), table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_is_kept),
		cmocka_unit_test(test_lower_minor_is_taken),
		cmocka_unit_test(test_rule_sentences),
		cmocka_unit_test(test_size_boundary),
		cmocka_unit_test(test_not_modules),
		cmocka_unit_test(test_names_are_not_paths),
		cmocka_unit_test(test_names_sorted),
		cmocka_unit_test(test_path_order),
		cmocka_unit_test(test_shared_tables),
	};

	setenv("SALLYPORT_FILTER_PATH", "/nowhere/at/all::" MODULES, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
