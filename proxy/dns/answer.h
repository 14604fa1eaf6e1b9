/*
 * answer.h - what a resolver sent back, checked and reduced to the records that were asked for.
 */
#ifndef PROXY_DNS_ANSWER_H
#define PROXY_DNS_ANSWER_H

#include "policy/kit/buf.h"
#include "proxy/dns/name.h"

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28
};

enum {
	DNS_RECORDS_MAX = 100,       /* in one answer section; PTR: the rest is left out */
	DNS_CNAMES_MAX = 16,         /* in one chain */
	DNS_ANSWER_MAX = 128 * 1024, /* octets of struct dns_answer's records */
	DNS_TTL_MAX = 86400,
	DNS_TTL_NEGATIVE_MAX = 900
};

struct dns_answer {
	/* SP_OK, SP_NONE: NXDOMAIN or no data; SP_TEMPFAIL: another rcode, or malformed */
	enum sp_status status;
	uint32_t ttl; /* seconds it may be kept, clamped; 0 with SP_TEMPFAIL */
	size_t count;
	struct buf records; /* packed, for dns_record_next() */
};

/* A: 4 octets. AAAA: 16. TXT: its strings joined. MX, PTR: the name in lower case, no trailing dot; the
 * root of a null MX (RFC 7505) is empty.  A PTR that names no possible host is left out, as is an MX whose name cannot be
 * asked for. */
struct dns_record {
	uint16_t preference; /* MX */
	struct sp_span data;
};

void dns_answer_init(struct dns_answer *a);
void dns_answer_fini(struct dns_answer *a);
/* Fills a from the whole message, which must answer this question. */
void dns_answer_parse(struct dns_answer *a, struct sp_span message, const struct dns_name *name,
	enum dns_type type);
/* Takes the first record off packed; false at the end. */
bool dns_record_next(struct sp_span *packed, struct dns_record *ret);

#endif
