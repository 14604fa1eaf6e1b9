/*
 * arena.h - bump allocation with one end: everything goes when the arena does.
 *
 * One arena per connection and one per transaction (and one per compiled policy); the heap is
 * only for what outlives them.  Born with a maximum; all memory is zeroed.
 */
#ifndef POLICY_KIT_ARENA_H
#define POLICY_KIT_ARENA_H

#include <stdarg.h>

#include <sallyport/filter.h>

struct arena;

/* block: octets asked from the heap at a time; max: most octets it will ever hold. Null when out
 * of memory. */
struct arena *arena_new(size_t block, size_t max);
/* Frees everything, sets *a to null; accepts null. */
void arena_free(struct arena **a);
/* Forgets everything, keeps the first block for reuse. */
void arena_reset(struct arena *a);
/* Octets held from the heap. */
size_t arena_size(const struct arena *a);

/* Zeroed, aligned for any type; null at the maximum or when out of memory. size 0 is 1. */
void *arena_alloc(struct arena *a, size_t size);
/* A copy, NUL-ended one past its length; {null, 0} when there is no room. */
struct sp_span arena_copy(struct arena *a, struct sp_span s);
/* NUL-ended copy; null when there is no room. */
char *arena_strdup(struct arena *a, struct sp_span s);
__attribute__((format(printf, 2, 3))) char *arena_printf(struct arena *a, const char *fmt, ...);
__attribute__((format(printf, 2, 0))) char *arena_vprintf(struct arena *a, const char *fmt, va_list ap);

#endif
