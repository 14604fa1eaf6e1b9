/*
 * proxy1.h - the PROXY protocol, version 1 (one line of text), from peers that may speak for others.
 */
#ifndef PROXY_NET_PROXY1_H
#define PROXY_NET_PROXY1_H

#include "proxy/net/net.h"

/* "PROXY TCP4 192.0.2.1 203.0.113.9 40000 25" without its CR LF: SP_OK with the client's address and port; SP_NONE for
 * "PROXY UNKNOWN ..."; SP_INVALID for anything else. Numbers have no leading zeros, addresses no zones. */
enum sp_status proxy1_parse(struct sp_span line, struct sp_ip *ret_ip, uint16_t *ret_port);

/* Reads the line from the front of the stream and nothing behind it. SP_OK, SP_NONE (keep the peer's own address);
 * otherwise the connection must be closed without a word (CASES Y02, Y03). */
enum sp_status proxy1_read(struct stream *s, int64_t deadline_ms, struct sp_ip *ret_ip, uint16_t *ret_port);

#endif
