/*
 * cache.c - see cache.h
 *
 * A table of buckets and a list by last use.  Two bounds, on entries and on octets, since one hostile
 * TXT set may be as large as a thousand usual ones.  Names come from strangers, so the hash has a key.
 * Entries are on the heap; each is freed when it is neither listed nor referred to.
 */
#include "proxy/dns/cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

enum { OCTETS_PER_ENTRY = 1024 }; /* on the average, names and records */

static struct {
	struct dns_entry **buckets;
	size_t mask;
	struct dns_entry *newest, *oldest;
	size_t count, max; /* settled entries */
	size_t octets;
	uint64_t key[2];
	uint64_t drawn;
} cache;

static uint64_t
mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)(a ^ cache.key[0]) * (b ^ cache.key[1]);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t
name_hash(const struct dns_name *name, enum dns_type type)
{
	uint64_t h = mix(name->len, (uint64_t)type);

	for (size_t at = 0; at < name->len; at += 8) {
		uint64_t word = 0;
		size_t len = name->len - at;

		memcpy(&word, name->text + at, len < 8 ? len : 8);
		h = mix(h ^ word, h + cache.key[1]);
	}
	return h;
}

uint64_t
dns_cache_random(void)
{
	cache.drawn++;
	return mix(cache.drawn, cache.key[0] + cache.drawn);
}

enum sp_status
dns_cache_init(size_t max_entries)
{
	size_t buckets = 16;

	while (buckets < max_entries && buckets < (size_t)1 << 20)
		buckets *= 2;
	memset(&cache, 0, sizeof(cache));
	if (getrandom(cache.key, sizeof(cache.key), 0) != (ssize_t)sizeof(cache.key))
		return SP_SYSTEM;
	cache.buckets = calloc(buckets, sizeof(struct dns_entry *));
	if (cache.buckets == NULL)
		return SP_SYSTEM;
	cache.mask = buckets - 1;
	cache.max = max_entries;
	return SP_OK;
}

size_t
dns_cache_count(void)
{
	return cache.count;
}

static size_t
entry_octets(const struct dns_entry *e)
{
	return sizeof(*e) + e->records_len;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void
use_insert(struct dns_entry *e)
{
	e->newer = NULL;
	e->older = cache.newest;
	if (cache.newest != NULL)
		cache.newest->newer = e;
	else
		cache.oldest = e;
	cache.newest = e;
	cache.count++;
	cache.octets += entry_octets(e);
}

static void
use_remove(struct dns_entry *e)
{
	*(e->newer != NULL ? &e->newer->older : &cache.newest) = e->older;
	*(e->older != NULL ? &e->older->newer : &cache.oldest) = e->newer;
	cache.count--;
	cache.octets -= entry_octets(e);
}

static void
entry_free(struct dns_entry *e)
{
	MUST(e->query == NULL && e->settled.first == NULL);
	free(e->records);
	free(e);
}

/* Nobody finds it any more; frees it unless it is referred to. */
static void
entry_unlist(struct dns_entry *e)
{
	struct dns_entry **at;

	if (e->listed) {
		for (at = &cache.buckets[e->hash & cache.mask]; *at != e; at = &(*at)->next)
			continue;
		*at = e->next;
		if (!e->pending)
			use_remove(e);
		e->listed = false;
	}
	if (e->refs == 0)
		entry_free(e);
}

/* ---- entries --------------------------------------------------------------------------------- */

struct dns_entry *
dns_cache_find(const struct dns_name *name, enum dns_type type)
{
	uint64_t hash = name_hash(name, type);
	struct dns_entry *e = cache.buckets[hash & cache.mask];

	while (e != NULL && (e->hash != hash || e->type != type || e->name.len != name->len
			     || memcmp(e->name.text, name->text, name->len) != 0))
		e = e->next;
	if (e == NULL)
		return NULL;
	if (!e->pending) {
		if (rt_now_ms() >= e->expires) {
			entry_unlist(e);
			return NULL;
		}
		use_remove(e);
		use_insert(e);
	}
	e->refs++;
	return e;
}

struct dns_entry *
dns_cache_add(const struct dns_name *name, enum dns_type type)
{
	struct dns_entry *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->hash = name_hash(name, type);
	e->type = type;
	e->name = *name;
	e->refs = 1;
	e->pending = e->listed = true;
	e->next = cache.buckets[e->hash & cache.mask];
	cache.buckets[e->hash & cache.mask] = e;
	return e;
}

void
dns_entry_unref(struct dns_entry **e)
{
	struct dns_entry *old = *e;

	*e = NULL;
	MUST(old->refs > 0);
	old->refs--;
	if (old->refs == 0 && (old->pending || !old->listed))
		entry_unlist(old);
}

void
dns_entry_settle(struct dns_entry *e, const struct dns_answer *a, uint32_t ttl)
{
	struct sp_span packed = buf_span(&a->records);

	MUST(e->pending);
	e->query = NULL;
	e->status = a->status;
	if (a->status == SP_OK) {
		e->records = malloc(packed.len + 1);
		if (e->records != NULL) {
			memcpy(e->records, packed.ptr, packed.len);
			e->records_len = packed.len;
			e->count = a->count;
		} else {
			e->status = SP_TEMPFAIL;
			ttl = 0;
		}
	}
	e->expires = rt_deadline((int64_t)ttl * 1000);
	e->refs++; /* for as long as this function works on it */
	if (ttl == 0)
		entry_unlist(e);
	e->pending = false;
	if (e->listed)
		use_insert(e);
	while (cache.oldest != NULL && (cache.count > cache.max || cache.octets / OCTETS_PER_ENTRY > cache.max))
		entry_unlist(cache.oldest);
	rt_event_wake_all(&e->settled);
	dns_entry_unref(&e);
}

struct dns_entry *
dns_cache_pending(void)
{
	for (size_t i = 0; cache.buckets != NULL && i <= cache.mask; i++)
		for (struct dns_entry *e = cache.buckets[i]; e != NULL; e = e->next)
			if (e->pending)
				return e;
	return NULL;
}

void
dns_cache_fini(void)
{
	while (cache.oldest != NULL)
		entry_unlist(cache.oldest);
	MUST(dns_cache_pending() == NULL);
	free(cache.buckets);
	memset(&cache, 0, sizeof(cache));
}
