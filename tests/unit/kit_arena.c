/* kit_arena.c - arenas: alignment, zeroes, the maximum, starting anew. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/kit/arena.h"
#include "policy/kit/span.h"

static bool
all_zero(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != 0)
			return false;
	return true;
}

static void
test_alloc(void **state)
{
	struct arena *a = arena_new(256, 1 << 20);
	char *last = NULL;

	(void)state;
	assert_non_null(a);
	assert_int_equal(arena_size(a), 0);
	for (size_t size = 0; size < 2000; size += 37) {
		char *p = arena_alloc(a, size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
		assert_true(all_zero(p, size));
		assert_ptr_not_equal(p, last);
		memset(p, 0xaa, size);
		last = p;
	}
	arena_free(&a);
	assert_null(a);
	arena_free(&a);
}

/* What fits exactly is given; one octet more is not, and what was given before stays. */
static void
test_limit(void **state)
{
	struct arena *a = arena_new(64, 1024);
	char *p = arena_alloc(a, 1024);

	(void)state;
	assert_non_null(p);
	memset(p, 1, 1024);
	assert_null(arena_alloc(a, 0));
	assert_null(arena_alloc(a, 1));
	assert_int_equal(arena_size(a), 1024);
	arena_free(&a);

	a = arena_new(64, 1024);
	assert_null(arena_alloc(a, 1025));
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_null(arena_alloc(a, SIZE_MAX - 64));
	for (int i = 0; i < 64; i++)
		assert_non_null(arena_alloc(a, 16));
	assert_null(arena_alloc(a, 1));
	assert_true(arena_size(a) <= 1024);
	arena_free(&a);
}

static void
test_reset(void **state)
{
	struct arena *a = arena_new(256, 4096);
	char *first = arena_alloc(a, 100), *again;

	(void)state;
	memset(first, 0xff, 100);
	memset(arena_alloc(a, 2000), 0xff, 2000);
	arena_reset(a);
	assert_true(arena_size(a) <= 256);
	again = arena_alloc(a, 100);
	assert_ptr_equal(again, first);
	assert_true(all_zero(again, 100));
	for (int i = 0; i < 3; i++) { /* the whole maximum can be had each time */
		arena_reset(a);
		assert_non_null(arena_alloc(a, 3800));
	}
	arena_free(&a);

	a = arena_new(256, 4096);
	arena_reset(a);
	assert_non_null(arena_alloc(a, 1));
	arena_free(&a);
}

static void
test_text(void **state)
{
	struct arena *a = arena_new(64, 128);
	struct sp_span copy;

	(void)state;
	copy = arena_copy(a, SPAN_LIT("a\0b"));
	assert_int_equal(copy.len, 3);
	assert_memory_equal(copy.ptr, "a\0b", 4);
	copy = arena_copy(a, span_of(NULL, 0));
	assert_non_null(copy.ptr);
	assert_string_equal(copy.ptr, "");
	assert_string_equal(arena_strdup(a, span_head(SPAN_LIT("abc"), 2)), "ab");
	assert_string_equal(arena_printf(a, "%s-%d", "x", 7), "x-7");
	assert_null(arena_printf(a, "%0200d", 1));
	copy = arena_copy(a, span_of("................................................................", 64));
	assert_null(copy.ptr);
	assert_int_equal(copy.len, 0);
	arena_free(&a);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
