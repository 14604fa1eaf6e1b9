/*
 * chunk.h - the memory of all spools of one worker: pieces of three sizes under one bound.
 */
#ifndef PROXY_SPOOL_CHUNK_H
#define PROXY_SPOOL_CHUNK_H

#include <sallyport/filter.h>

enum { CHUNK_FIRST = 4096, CHUNK_SECOND = 16384, CHUNK_WINDOW = 65536 };

struct chunk {
	struct chunk *next;
	size_t room, used;
	char bytes[];
};

/* Octets for all chunks together; the present ones stay. */
void chunk_limit(size_t total);
/* room is one of the three sizes. Null: the bound (for all but the smallest: half of it) is reached, or the heap is empty. */
struct chunk *chunk_new(size_t room);
/* As above, past the bound; null only when the heap is empty. */
struct chunk *chunk_new_anyway(size_t room);
/* Gives it back, wakes those who wait for it, sets *c to null; accepts null. */
void chunk_free(struct chunk **c);
/* Waits its turn for one of CHUNK_FIRST octets. SP_TIMEOUT, SP_CANCELED, SP_SYSTEM (no heap). */
enum sp_status chunk_await(int64_t deadline_ms, struct chunk **ret);
size_t chunk_used(void);

#endif
