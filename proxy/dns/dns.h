/*
 * dns.h - the gateway's one way to the DNS: c-ares on the wire, our own cache above it.
 *
 * Cache per worker: TTL and negative TTL (RFC 2308), bounded entries; equal questions in flight are
 * merged into one.  Names are checked (RFC 1035 2.3.4: labels 1-63, name <= 253) before they are asked.
 * No call blocks the process; each suspends only the calling coroutine.
 */
#ifndef PROXY_DNS_DNS_H
#define PROXY_DNS_DNS_H

#include <sallyport/filter.h>

#include "policy/kit/arena.h"

struct dns_config {
	/* "127.0.0.1:5353", comma-separated; null: those of resolv.conf */
	const char *resolvers;
	int64_t timeout_ms; /* of one try, default 5000 */
	int tries;          /* default 2 */
	size_t cache_entries; /* default 10000 */
};

/* After rt_init(). SP_INVALID: resolvers is no list of addresses; SP_SYSTEM. */
enum sp_status dns_init(const struct dns_config *c);
/* Before rt_fini(). Whoever still waits for an answer gets SP_CANCELED when it runs again. */
void dns_fini(void);

/* Answers are copied into a.  SP_NONE: NXDOMAIN or no data; SP_TEMPFAIL: SERVFAIL, REFUSED, malformed;
 * SP_TIMEOUT: deadline or no answer; SP_INVALID: not a name that can be asked; SP_LIMIT: the arena is full;
 * SP_CANCELED.  What is in the cache is answered even when the deadline has passed.
 * All follow CNAMEs as the resolver gave them. */
enum sp_status dns_a(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_addrs *ret);
enum sp_status dns_aaaa(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_addrs *ret);
/* Both families, asked together; SP_OK if either has some. */
enum sp_status dns_addrs(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_addrs *ret);
/* Character-strings of one record joined; with their real length (NULs included). */
enum sp_status dns_txt(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_names *ret);
/* Several of these at once: all are asked, then all are waited for; ret has one for each name, its status as dns_txt()
 * returns it.  SP_LIMIT: more than DNS_BATCH_MAX names, nothing was asked. */
enum { DNS_BATCH_MAX = 32 };
struct dns_batch {
	const struct sp_span *names;
	size_t count;
};
enum sp_status dns_texts(const struct dns_batch *ask, int64_t deadline_ms, struct arena *a, struct sp_texts *ret);
/* Sorted by preference, shuffled among equals.  A null MX (RFC 7505) has an empty name. */
enum sp_status dns_mx(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_mxs *ret);
/* Lower case; names that no host can have are left out. */
enum sp_status dns_ptr(const struct sp_ip *ip, int64_t deadline_ms, struct arena *a, struct sp_names *ret);

struct dns_stats {
	uint64_t questions, hits, merged, sent, failed;
	size_t entries;
};
struct dns_stats dns_stats(void);

#endif
