/*
 * proxy.h - the PROXY protocol, versions 1 (one line of text) and 2 (binary): a peer that may speak for others says who its
 * client is (haproxy.org, proxy-protocol.txt), and we say so to a backend.
 */
#ifndef PROXY_NET_PROXY_H
#define PROXY_NET_PROXY_H

#include "proxy/net/net.h"

/* The client's end of a connection and ours. Addresses are never IPv4-mapped ones. */
struct proxy_ends {
	struct sp_ip ip, local_ip;
	uint16_t port, local_port;
};

enum {
	PROXY_FORMATTED = 108, /* what we write, with an ending NUL */
	PROXY_OCTETS = 2048    /* of a header of version 2 that we take */
};

/* "PROXY TCP4 192.0.2.1 203.0.113.9 40000 25" without its CR LF: SP_OK with both ends; SP_NONE for "PROXY UNKNOWN ...";
 * SP_INVALID for anything else. Numbers have no leading zeros, addresses no zones. */
enum sp_status proxy1_parse(struct sp_span line, struct proxy_ends *ret);

/* The length of a header of version 2, by its first 16 octets: SP_OK; SP_INVALID: it is none, or it is too long. */
enum { PROXY2_FIXED = 16 };
enum sp_status proxy2_length(struct sp_span fixed, size_t *ret);
/* A whole header of version 2: SP_OK with both ends; SP_NONE: LOCAL, or of no family; SP_INVALID: anything but TCP over
 * IPv4 or IPv6, a part that is longer than the whole, a CRC32C that does not fit. */
enum sp_status proxy2_parse(struct sp_span header, struct proxy_ends *ret);

/* Reads a header of either version from the front of the stream and nothing behind it. SP_OK, SP_NONE (keep the peer's own
 * address); otherwise the connection must be closed without a word (CASES Y02 to Y04). */
enum sp_status proxy_read(struct stream *s, int64_t deadline_ms, struct proxy_ends *ret);

/* Writes a header of version 1 or 2; e null: of a connection that is our own. Where the ends are of different families
 * both are written as IPv6 addresses. Returns its length. */
size_t proxy_format(int version, const struct proxy_ends *e, char to[static PROXY_FORMATTED]);

#endif
