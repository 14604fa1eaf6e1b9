/*
 * cache.h - what is known and what is being asked, by name and type.
 *
 * An entry begins pending, with those who want it waiting on its event; once settled it stays as long
 * as its TTL, the bounds of the cache or its last reader keep it.
 */
#ifndef PROXY_DNS_CACHE_H
#define PROXY_DNS_CACHE_H

#include "proxy/dns/answer.h"
#include "proxy/rt/rt.h"

struct dns_query;

struct dns_entry {
	struct dns_entry *next;          /* in its bucket */
	struct dns_entry *newer, *older; /* by last use; pending ones are not in that list */
	uint64_t hash;
	enum dns_type type;
	unsigned refs;
	bool listed;   /* found by dns_cache_find() */
	bool pending;
	int64_t expires; /* on rt_now_ms()'s clock */
	enum sp_status status;
	size_t count;
	char *records; /* packed, see answer.h */
	size_t records_len;
	struct rt_event settled;
	struct dns_query *query; /* while pending */
	struct dns_name name;
};

enum sp_status dns_cache_init(size_t max_entries);
void dns_cache_fini(void); /* entries that are referred to go with their last reference */

/* Either with one more reference; null: not there, or no longer fresh. */
struct dns_entry *dns_cache_find(const struct dns_name *name, enum dns_type type);
/* A new pending one; null: no memory. */
struct dns_entry *dns_cache_add(const struct dns_name *name, enum dns_type type);
/* Gives a reference back. A pending entry must have lost its query before the last goes. */
void dns_entry_unref(struct dns_entry **e);
/* Takes a's records over into e, keeps it for ttl seconds and wakes those who wait. */
void dns_entry_settle(struct dns_entry *e, const struct dns_answer *a, uint32_t ttl);
/* The first pending entry, null when there is none. */
struct dns_entry *dns_cache_pending(void);
size_t dns_cache_count(void);
/* A keyed mix of 64 bits, not to be foreseen from outside. */
uint64_t dns_cache_random(void);

#endif
