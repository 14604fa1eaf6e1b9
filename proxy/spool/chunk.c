/*
 * chunk.c - see chunk.h
 *
 * Freed chunks stay on short lists, since nearly every message asks for one of the smallest size and
 * gives it back a moment later.  Those on the lists do not count against the bound.
 */
#include "proxy/spool/chunk.h"

#include <stdlib.h>

#include "policy/kit/must.h"
#include "proxy/rt/rt.h"

struct shelf {
	struct chunk *first;
	size_t room, count, max;
};

static struct shelf shelves[] = {
	{ NULL, CHUNK_FIRST, 0, 256 },
	{ NULL, CHUNK_SECOND, 0, 32 },
	{ NULL, CHUNK_WINDOW, 0, 16 },
};
static size_t limit = (size_t)64 << 20;
static size_t used;
static struct rt_event freed;

static struct shelf *
shelf_of(size_t room)
{
	size_t i = 0;

	while (shelves[i].room != room)
		MUST(++i < sizeof(shelves) / sizeof(shelves[0]));
	return &shelves[i];
}

void
chunk_limit(size_t total)
{
	limit = total;
}

size_t
chunk_used(void)
{
	return used;
}

struct chunk *
chunk_new_anyway(size_t room)
{
	struct shelf *shelf = shelf_of(room);
	struct chunk *c = shelf->first;

	if (c != NULL) {
		shelf->first = c->next;
		shelf->count--;
	} else if ((c = malloc(sizeof(*c) + room)) == NULL) {
		return NULL;
	}
	c->next = NULL;
	c->room = room;
	c->used = 0;
	used += room;
	return c;
}

/* Half of the room is left to messages that have no chunk yet: without one they could not even go to a file, and a few
 * clients that hold much would keep all others out. */
struct chunk *
chunk_new(size_t room)
{
	size_t most = room > CHUNK_FIRST ? limit / 2 : limit;

	if (used > most || room > most - used)
		return NULL;
	return chunk_new_anyway(room);
}

/* As many waiters as the free room can serve; each needs a CHUNK_FIRST. */
static void
waiters_wake(void)
{
	size_t room = used < limit ? limit - used : 0;

	for (; room >= CHUNK_FIRST && freed.first != NULL; room -= CHUNK_FIRST)
		rt_event_wake_one(&freed);
}

void
chunk_free(struct chunk **c)
{
	struct chunk *old = *c;
	struct shelf *shelf;

	if (old == NULL)
		return;
	*c = NULL;
	shelf = shelf_of(old->room);
	used -= old->room;
	if (shelf->count < shelf->max) {
		old->next = shelf->first;
		shelf->first = old;
		shelf->count++;
	} else {
		free(old);
	}
	if (freed.first != NULL)
		waiters_wake();
}

enum sp_status
chunk_await(int64_t deadline_ms, struct chunk **ret)
{
	/* who comes while others wait stands behind them; who was woken need not */
	bool queue = freed.first != NULL;
	enum sp_status st;

	for (;;) {
		if (!queue && used <= limit && CHUNK_FIRST <= limit - used) {
			*ret = chunk_new_anyway(CHUNK_FIRST);
			return *ret != NULL ? SP_OK : SP_SYSTEM;
		}
		st = rt_event_wait(&freed, deadline_ms);
		if (st != SP_OK) {
			/* it may have been woken as well: its turn goes to the next */
			waiters_wake();
			return st;
		}
		queue = false;
	}
}
