/*
 * heap.h - octets that outlive a transaction, or are too many for its memory: they grow up to a limit.
 */
#ifndef FILTERS_SPAWN_HEAP_H
#define FILTERS_SPAWN_HEAP_H

#include <stdlib.h>
#include <string.h>

#include <sallyport/filter.h>

/* Zeroed, it is an empty one. */
struct heap {
	char *ptr;
	size_t len, room;
};

static inline void
heap_fini(struct heap *h)
{
	free(h->ptr);
	*h = (struct heap){ NULL, 0, 0 };
}

/* Room for n more. False: more than max, or no memory. */
static inline bool
heap_grow(struct heap *h, size_t n, size_t max)
{
	size_t room = h->room == 0 ? 4096 : h->room;
	char *ptr;

	if (n > max || h->len > max - n)
		return false;
	if (n <= h->room - h->len)
		return true;
	while (room < h->len + n)
		room *= 2;
	ptr = realloc(h->ptr, room);
	if (ptr == NULL)
		return false;
	h->ptr = ptr;
	h->room = room;
	return true;
}

static inline bool
heap_add(struct heap *h, struct sp_span bytes, size_t max)
{
	if (!heap_grow(h, bytes.len, max))
		return false;
	if (bytes.len > 0)
		memcpy(h->ptr + h->len, bytes.ptr, bytes.len);
	h->len += bytes.len;
	return true;
}

/* Takes n away at the front. */
static inline void
heap_drop(struct heap *h, size_t n)
{
	h->len -= n;
	if (h->len > 0)
		memmove(h->ptr, h->ptr + n, h->len);
}

static inline struct sp_span
heap_span(const struct heap *h)
{
	return (struct sp_span){ h->ptr, h->len };
}

#endif
