/*
 * table.c - slots shared by all workers, without locks: see table.h.
 *
 * What a race can do, and no more: two workers that see the same new key at once may each take a
 * slot (the second is never found again and ages out: one event uncounted); a worker that is killed
 * between taking a slot and setting its time leaves the former owner's time there, which was the
 * oldest of its bucket (a key may then start with part of its burst used).
 */
#include "table.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

enum { WAYS = 8, TABLE_MAGIC = 0x53505254 };

struct slot {
	_Atomic uint64_t hash; /* 0: never used */
	_Atomic int64_t tat;   /* when all that was taken is paid back, in nanoseconds of the
				  monotonic clock */
};

struct rate_table {
	uint32_t magic;
	uint32_t buckets; /* a power of two */
	uint64_t key[2];
	uint64_t unused[5]; /* a bucket is two cache lines, not three */
	struct slot slots[];
};

static uint32_t
buckets_for(int64_t entries)
{
	uint32_t n = 1;

	while ((int64_t)n * WAYS < entries && n < UINT32_C(1) << 28)
		n *= 2;
	return n;
}

size_t
rate_table_size(int64_t entries)
{
	return sizeof(struct rate_table) +
	       (size_t)buckets_for(entries) * WAYS * sizeof(struct slot);
}

enum sp_status
rate_table_init(struct rate_table *t, int64_t entries)
{
	if (t->magic == TABLE_MAGIC)
		return SP_OK;
	if (getrandom(t->key, sizeof(t->key), 0) != (ssize_t)sizeof(t->key))
		return SP_SYSTEM;
	t->buckets = buckets_for(entries);
	t->magic = TABLE_MAGIC;
	return SP_OK;
}

/* ---- SipHash-2-4 (Aumasson, Bernstein: SipHash, a fast short-input PRF) ---------------------- */

static uint64_t
rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] = rotl(v[2], 32);
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

static uint64_t
little_endian(const unsigned char *p, size_t len)
{
	uint64_t word = 0;

	for (size_t i = 0; i < len; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

static uint64_t
siphash(const uint64_t key[2], const unsigned char *p, size_t len)
{
	uint64_t v[4] = { key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d), key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573) };
	size_t whole = len & ~(size_t)7;

	for (size_t i = 0; i < whole; i += 8)
		sip_word(v, little_endian(p + i, 8));
	sip_word(v, little_endian(p + whole, len - whole) | (uint64_t)len << 56);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
rate_table_hash(const struct rate_table *t, const void *bytes, size_t len)
{
	uint64_t hash = siphash(t->key, bytes, len);

	return hash != 0 ? hash : 1; /* 0 marks an unused slot */
}

/* ---- GCRA ------------------------------------------------------------------------------------ */

static struct slot *
slot_find(struct rate_table *t, uint64_t hash, struct slot **oldest)
{
	struct slot *bucket = &t->slots[(size_t)(hash & (t->buckets - 1)) * WAYS];
	int64_t least = INT64_MAX;

	for (int i = 0; i < WAYS; i++) {
		int64_t tat;

		if (atomic_load_explicit(&bucket[i].hash, memory_order_acquire) == hash)
			return &bucket[i];
		tat = atomic_load_explicit(&bucket[i].tat, memory_order_relaxed);
		if (tat < least) {
			least = tat;
			*oldest = &bucket[i];
		}
	}
	return NULL;
}

/* The slot of a key, taking the oldest of its bucket when it has none; null: it has none and look
 * is set. */
static struct slot *
slot_take(struct rate_table *t, uint64_t hash, bool look)
{
	for (;;) {
		struct slot *oldest = NULL, *s = slot_find(t, hash, &oldest);
		uint64_t was;

		if (s != NULL || look || oldest == NULL)
			return s;
		was = atomic_load_explicit(&oldest->hash, memory_order_relaxed);
		if (was != hash && atomic_compare_exchange_strong(&oldest->hash, &was, hash)) {
			atomic_store_explicit(&oldest->tat, 0, memory_order_release);
			return oldest;
		}
	}
}

struct rate_answer
rate_table_add(struct rate_table *t, uint64_t hash, struct rate_limit limit, int64_t now, bool look)
{
	struct slot *s = slot_take(t, hash, look);
	struct rate_answer answer;
	int64_t tat = s != NULL ? atomic_load(&s->tat) : 0, owed;

	do {
		owed = (tat > now ? tat - now : 0) + limit.step;
		answer.over = owed > limit.room;
		answer.level = (double)owed / (double)limit.room;
		if (answer.over || look || s == NULL)
			break;
	} while (!atomic_compare_exchange_weak(&s->tat, &tat, now + owed));
	return answer;
}
