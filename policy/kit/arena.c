/* arena.c - see arena.h */
#include "policy/kit/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
	struct block *next;
	size_t room, used;
	alignas(max_align_t) char bytes[];
};

struct arena {
	struct block *blocks; /* newest first; the last is the first one made */
	size_t block, max, size;
};

static struct block *
block_add(struct arena *a, size_t need)
{
	size_t room = need > a->block ? need : a->block;
	struct block *b;

	if (need > a->max || a->size > a->max - need)
		return NULL;
	if (room > a->max - a->size)
		room = a->max - a->size;
	b = calloc(1, sizeof(*b) + room);
	if (b == NULL)
		return NULL;
	b->room = room;
	b->next = a->blocks;
	a->blocks = b;
	a->size += room;
	return b;
}

struct arena *
arena_new(size_t block, size_t max)
{
	struct arena *a = calloc(1, sizeof(*a));

	if (a != NULL) {
		a->block = block;
		a->max = max;
	}
	return a;
}

static void
blocks_free(struct arena *a, struct block *keep)
{
	while (a->blocks != keep) {
		struct block *b = a->blocks;

		a->blocks = b->next;
		a->size -= b->room;
		free(b);
	}
}

void
arena_free(struct arena **a)
{
	if (*a == NULL)
		return;
	blocks_free(*a, NULL);
	free(*a);
	*a = NULL;
}

void
arena_reset(struct arena *a)
{
	struct block *first = a->blocks;

	if (first == NULL)
		return;
	while (first->next != NULL)
		first = first->next;
	blocks_free(a, first);
	memset(first->bytes, 0, first->used);
	first->used = 0;
}

size_t
arena_size(const struct arena *a)
{
	return a->size;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct block *b = a->blocks;
	size_t need;

	if (size > SIZE_MAX - align)
		return NULL;
	need = (size + (size == 0) + align - 1) / align * align;
	if (b == NULL || b->room - b->used < need)
		b = block_add(a, need);
	if (b == NULL)
		return NULL;
	b->used += need;
	return b->bytes + b->used - need;
}

char *
arena_strdup(struct arena *a, struct sp_span s)
{
	char *copy = arena_alloc(a, s.len + 1);

	if (copy != NULL && s.len > 0)
		memcpy(copy, s.ptr, s.len);
	return copy;
}

struct sp_span
arena_copy(struct arena *a, struct sp_span s)
{
	char *copy = arena_strdup(a, s);

	return (struct sp_span){ copy, copy == NULL ? 0 : s.len };
}

char *
arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	struct block *b = a->blocks;
	size_t room = b == NULL ? 0 : b->room - b->used;
	char *free_part = b == NULL ? NULL : b->bytes + b->used, *text;
	va_list again;
	int len;

	va_copy(again, ap);
	len = vsnprintf(free_part, room, fmt, again); /* it mostly fits into what there is */
	va_end(again);
	if (len < 0)
		return NULL;
	text = arena_alloc(a, (size_t)len + 1);
	if (text == NULL || text == free_part)
		return text;
	if (room > 0)
		memset(free_part, 0, room);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	return text;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return text;
}
