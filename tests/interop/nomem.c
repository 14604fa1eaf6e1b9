/*
 * nomem.c - loaded in front of the C library: memory allocations fail at random in the processes that the first one forks.
 *
 * NOMEM_EVERY says in how many allocations one fails; the first of each process succeed, so that it can start.  For
 * tests/interop/memory.py; not with AddressSanitizer, which has an allocator of its own.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

enum { STARTING = 400 };

#pragma GCC visibility push(default)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *old, size_t size);
#pragma GCC visibility pop

static pid_t first;
static unsigned every, state, calls;

__attribute__((constructor)) static void
start(void)
{
	const char *text = getenv("NOMEM_EVERY");

	first = getpid();
	for (; text != NULL && *text >= '0' && *text <= '9'; text++)
		every = every * 10 + (unsigned)(*text - '0');
}

static int
fails(void)
{
	if (every == 0 || getpid() == first || ++calls < STARTING)
		return 0;
	if (state == 0)
		state = (unsigned)getpid() * 2654435761u | 1;
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	if (state % every != 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}
