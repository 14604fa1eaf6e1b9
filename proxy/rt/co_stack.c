/*
 * co_stack.c - stacks of coroutines: mapped memory with a guard page below, and a bounded pool of
 * those not in use.
 *
 * The last one given back is the next one taken, since its top is warm.  Only the first few of the
 * pool keep all of their memory; the others keep their top, so that a burst leaves little behind.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proxy/rt/co_asan.h"
#include "proxy/rt/rt_priv.h"

#ifdef CO_ASAN
enum { STACK_SIZE = 256 * 1024 };
#else
enum { STACK_SIZE = 128 * 1024 };
#endif
enum { POOL_MAX = 512, POOL_WARM = 32 };

static void *pool[POOL_MAX];
static size_t pool_count;

static size_t
page_size(void)
{
	static size_t size;

	if (size == 0)
		size = (size_t)sysconf(_SC_PAGESIZE);
	return size;
}

size_t
co_stack_size(void)
{
	return STACK_SIZE;
}

static void *
stack_map(void)
{
	size_t guard = page_size();
	char *map = mmap(NULL, STACK_SIZE + guard, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	if (mprotect(map, guard, PROT_NONE) != 0) {
		munmap(map, STACK_SIZE + guard);
		return NULL;
	}
	asan_stack_new(map + guard, STACK_SIZE);
	return map + guard;
}

static void
stack_unmap(void *stack)
{
	size_t guard = page_size();

	asan_stack_gone(stack, STACK_SIZE);
	munmap((char *)stack - guard, STACK_SIZE + guard);
}

void *
co_stack_take(void)
{
	void *stack;

	if (pool_count == 0)
		return stack_map();
	stack = pool[--pool_count];
	asan_stack_used(stack, STACK_SIZE);
	return stack;
}

void
co_stack_give(void *stack)
{
	asan_stack_used(stack, STACK_SIZE);
	if (pool_count == POOL_MAX) {
		stack_unmap(stack);
		return;
	}
	if (pool_count >= POOL_WARM)
		madvise(stack, STACK_SIZE - 2 * page_size(), MADV_DONTNEED);
	asan_stack_idle(stack, STACK_SIZE);
	pool[pool_count++] = stack;
}

/*
 * A session that idles after a handshake or a filter's deep call should not keep that memory.  Pages never
 * used read as zero; so when the second page below the one in use holds anything, all from there down
 * goes.  A page that happens to hold nothing but zeros only costs a trim missed.
 */
__attribute__((no_sanitize("address"))) void
co_stack_trim(void *stack, void *frame)
{
	uintptr_t page = page_size(), low = (uintptr_t)stack;
	uintptr_t end = ((uintptr_t)frame & ~(page - 1)) - page;
	const volatile uint64_t *word = (const volatile uint64_t *)(end - page);

	if (end < low + page)
		return;
	for (size_t i = 0; i < page / sizeof(*word); i++) {
		if (word[i] == 0)
			continue;
		madvise(stack, end - low, MADV_DONTNEED);
		return;
	}
}

void
co_stack_drain(void)
{
	while (pool_count > 0) {
		void *stack = co_stack_take();

		stack_unmap(stack);
	}
}
