/*
 * wire.h - one question on the wire, from its first try to its answer.
 */
#ifndef PROXY_DNS_WIRE_H
#define PROXY_DNS_WIRE_H

#include "proxy/dns/answer.h"

struct dns_query;

struct dns_wire_config {
	const char *resolvers; /* null: those of resolv.conf */
	int64_t timeout_ms;
	int tries;
};

/* SP_INVALID: not a list of addresses. SP_SYSTEM. */
enum sp_status dns_wire_init(const struct dns_wire_config *c);
/* No query may be left. */
void dns_wire_fini(void);

/* ttl: seconds that the answer may be kept, also one that failed.  Called once, from the loop or from
 * within the call that ended the query; the query is gone when it is called. */
typedef void dns_query_done(void *arg, const struct dns_answer *a, uint32_t ttl);

/* *ret is set before done() can be called; null: no memory, done() is not called. */
void dns_query_new(const struct dns_name *name, enum dns_type type, dns_query_done *done, void *arg,
	struct dns_query **ret);
/* Forgets it without an answer; accepts null. */
void dns_query_free(struct dns_query **q);
/* When the present try ends, on rt_now_ms()'s clock. */
int64_t dns_query_deadline(const struct dns_query *q);
/* The present try has had its time: begins the next, or ends the query with SP_TIMEOUT. */
void dns_query_next(struct dns_query *q);
/* Messages sent so far. */
uint64_t dns_wire_sent(void);

#endif
