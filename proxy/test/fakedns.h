/*
 * fakedns.h - a DNS server for tests: on loopback, UDP and TCP on one free port, out of a zone in memory.
 *
 * It runs on the loop of the process that asks, or of another; it never waits for anything but its
 * sockets.  A name that is not in the zone does not exist.
 */
#ifndef PROXY_TEST_FAKEDNS_H
#define PROXY_TEST_FAKEDNS_H

#include <sallyport/filter.h>

enum fakedns_kind {
	FAKEDNS_NXDOMAIN,
	FAKEDNS_NODATA,
	FAKEDNS_SERVFAIL,
	FAKEDNS_REFUSED,
	FAKEDNS_TIMEOUT,   /* no answer at all */
	FAKEDNS_TRUNCATED, /* over UDP; the whole answer over TCP */
	FAKEDNS_CUT,       /* truncated over UDP; no answer over TCP */
	FAKEDNS_GARBAGE,   /* an answer that breaks off in its first record */
	FAKEDNS_NOEDNS     /* FORMERR to a question with EDNS, an answer to one without */
};

struct fakedns;

struct fakedns *fakedns_new(void); /* null: no memory */
/* From a coroutine or outside of all; before rt_fini(). What is under way is cancelled, and freed when it
 * has run. */
void fakedns_free(struct fakedns **f);

/* type: A AAAA MX TXT PTR CNAME.  value: an address; "10 mx.example.org" (or "0 ." for a null MX); the text
 * itself, any octets; a name.  For PTR, name may be an address.  SP_INVALID, SP_SYSTEM. */
enum sp_status fakedns_add(struct fakedns *f, struct sp_span name, struct sp_span type, struct sp_span value);
/* How questions for name fail, whatever the zone holds; name "*": all that have none of their own. */
enum sp_status fakedns_fail(struct fakedns *f, struct sp_span name, enum fakedns_kind kind);
/* The word for a kind in lower case ("nxdomain" ... "timeout" ...). SP_INVALID. */
enum sp_status fakedns_kind_parse(struct sp_span word, enum fakedns_kind *ret);
/* Answers for name, or "*", come ms later. */
enum sp_status fakedns_delay(struct fakedns *f, struct sp_span name, int64_t ms);
/* TTL of the records and of the negative answers, in seconds; 60 at first. */
void fakedns_ttl(struct fakedns *f, uint32_t seconds);

/* Opens the sockets and serves from the loop; the port, 0 when that failed. */
uint16_t fakedns_start(struct fakedns *f);

/* Questions seen for name of whatever type, retries included; name "*": all. */
size_t fakedns_asked(const struct fakedns *f, struct sp_span name);
/* Those of them that came over TCP. */
size_t fakedns_asked_tcp(const struct fakedns *f);

#endif
