/*
 * fakedns_priv.h - the zone, shared by the two halves of the fake DNS server: zone and server.
 */
#ifndef PROXY_TEST_FAKEDNS_PRIV_H
#define PROXY_TEST_FAKEDNS_PRIV_H

#include "policy/kit/arena.h"
#include "policy/kit/buf.h"
#include "proxy/dns/answer.h"
#include "proxy/test/fakedns.h"

struct zone_record {
	struct zone_record *next;
	enum dns_type type;
	struct sp_span data; /* RDATA, names not compressed */
};

struct zone_name {
	struct zone_name *next;
	struct dns_name name; /* "*": all without a kind or a delay of their own */
	struct zone_record *records;
	bool fails;
	enum fakedns_kind kind;
	int64_t delay_ms;
	size_t asked;
};

struct zone {
	struct arena *arena;
	struct zone_name *names;
	uint32_t ttl;
	size_t asked;
};

enum sp_status zone_init(struct zone *z);
void zone_fini(struct zone *z);
/* The name's place, made if it is not there; null: not a name, or no memory. */
struct zone_name *zone_name_at(struct zone *z, struct sp_span name);
const struct zone_name *zone_name_find(const struct zone *z, struct sp_span name);
enum sp_status zone_add(struct zone *z, struct sp_span name, struct sp_span word, struct sp_span value);

/* The answer to query; nothing is added to out when there is to be none. udp: cut to what the asker takes. */
void zone_answer(struct zone *z, struct sp_span query, bool udp, struct buf *out, int64_t *ret_delay_ms);

#endif
