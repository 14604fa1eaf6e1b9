/*
 * table.h - how much each key has used up: a fixed number of slots in memory shared by all workers.
 *
 * No locks: a worker may be killed at any instruction, and must leave nothing behind that stops the
 * others.  A slot is two 64-bit atomics, the hash of a key and its theoretical arrival time (TAT);
 * each is changed by compare-and-swap.  Eight slots make a bucket; a key lives in the one bucket
 * that its hash names, and a new one takes the slot whose TAT is oldest: who has used up least is
 * forgotten first, so a flood of new keys cannot wash out those that are over.
 */
#ifndef FILTERS_RATE_TABLE_H
#define FILTERS_RATE_TABLE_H

#include <sallyport/filter.h>

struct rate_table;

/* Octets for at least this many keys. */
size_t rate_table_size(int64_t entries);
/* Makes zeroed memory of that size ready; memory that already is one is left as it is. SP_SYSTEM:
 * no random number for the hash could be had. */
enum sp_status rate_table_init(struct rate_table *t, int64_t entries);

/* 64-bit keyed hash (SipHash-2-4) of bytes; the key is the table's, random, and made once. */
uint64_t rate_table_hash(const struct rate_table *t, const void *bytes, size_t len);

/* GCRA: one event takes `step` nanoseconds; at most `room` of them may be owed. */
struct rate_limit {
	int64_t step, room;
};
struct rate_answer {
	bool over;    /* this event is beyond the limit; it was not counted then */
	double level; /* share of the burst used up with this event: 0 .. 1; above 1 when over */
};
/* Tests and adds one event at time now (nanoseconds); look: only tests. */
struct rate_answer rate_table_add(
	struct rate_table *t, uint64_t hash, struct rate_limit limit, int64_t now, bool look);

#endif
