/* proxy.c - see proxy.h: reading a header of either version from a stream, and writing one. */
#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/net/proxy_priv.h"

enum { LINE_OCTETS = 107 }; /* of version 1, with CR LF */

/* ---- reading -------------------------------------------------------------------------------- */

/* Waits until n octets are there. */
static enum sp_status
need(struct stream *s, size_t n, int64_t deadline_ms)
{
	while (stream_input(s).len < n) {
		enum sp_status st = stream_fill(s, deadline_ms);

		if (st != SP_OK)
			return st;
	}
	return SP_OK;
}

static enum sp_status
read_line(struct stream *s, int64_t deadline_ms, struct proxy_ends *ret)
{
	for (;;) {
		struct sp_span in = stream_input(s);
		size_t end = span_find(span_head(in, LINE_OCTETS), '\n');
		enum sp_status st;

		if (end < in.len && end < LINE_OCTETS) {
			if (end == 0 || in.ptr[end - 1] != '\r')
				return SP_INVALID;
			st = proxy1_parse(span_head(in, end - 1), ret);
			stream_consume(s, end + 1);
			return st;
		}
		if (in.len >= LINE_OCTETS)
			return SP_INVALID;
		st = stream_fill(s, deadline_ms);
		if (st != SP_OK)
			return st;
	}
}

static enum sp_status
read_binary(struct stream *s, int64_t deadline_ms, struct proxy_ends *ret)
{
	enum sp_status st = need(s, PROXY2_FIXED, deadline_ms);
	size_t length = 0;

	if (st == SP_OK)
		st = proxy2_length(stream_input(s), &length);
	if (st == SP_OK)
		st = need(s, length, deadline_ms);
	if (st == SP_OK) {
		st = proxy2_parse(span_head(stream_input(s), length), ret);
		stream_consume(s, length);
	}
	return st;
}

/* Is the shorter of the two the front of the other? */
static bool
agrees(struct sp_span in, struct sp_span s)
{
	size_t len = in.len < s.len ? in.len : s.len;

	return memcmp(in.ptr, s.ptr, len) == 0;
}

enum sp_status
proxy_read(struct stream *s, int64_t deadline_ms, struct proxy_ends *ret)
{
	const struct sp_span one = SPAN_LIT("PROXY"), two = span_of(proxy2_signature, PROXY2_SIGNATURE);

	for (;;) {
		struct sp_span in = stream_input(s);
		enum sp_status st;

		if (in.len > 0 && !agrees(in, one) && !agrees(in, two))
			return SP_INVALID;
		if (in.len >= one.len && agrees(in, one))
			return read_line(s, deadline_ms, ret);
		if (in.len >= two.len)
			return read_binary(s, deadline_ms, ret);
		st = stream_fill(s, deadline_ms);
		if (st != SP_OK)
			return st;
	}
}

/* ---- writing -------------------------------------------------------------------------------- */

/* The 16 octets of an address as IPv6 has them; of an unknown one zeros. */
static void
put_v6(const struct sp_ip *ip, char *to)
{
	memset(to, 0, 16);
	if (ip->family == 4) {
		memset(to + 10, 0xff, 2);
		memcpy(to + 12, ip->bytes, 4);
	} else if (ip->family == 6) {
		memcpy(to, ip->bytes, 16);
	}
}

/* Both can be written as IPv4 addresses. */
static bool
both_v4(const struct proxy_ends *e)
{
	return e->ip.family == 4 && e->local_ip.family != 6;
}

static size_t
put_port(uint16_t port, char *to)
{
	to[0] = (char)(port >> 8);
	to[1] = (char)(port & 0xff);
	return 2;
}

static size_t
format_binary(const struct proxy_ends *e, char to[static PROXY_FORMATTED])
{
	size_t at = PROXY2_FIXED, octets = e != NULL && both_v4(e) ? 4 : 16;

	memset(to, 0, PROXY_FORMATTED);
	memcpy(to, proxy2_signature, PROXY2_SIGNATURE);
	to[12] = 0x20;
	if (e == NULL)
		return PROXY2_FIXED;
	to[12] = 0x21;
	to[13] = octets == 4 ? 0x11 : 0x21;
	to[15] = (char)(2 * octets + 4);
	if (octets == 4) {
		memcpy(to + at, e->ip.bytes, 4);
		memcpy(to + at + 4, e->local_ip.bytes, 4);
	} else {
		put_v6(&e->ip, to + at);
		put_v6(&e->local_ip, to + at + 16);
	}
	at += 2 * octets;
	at += put_port(e->port, to + at);
	at += put_port(e->local_port, to + at);
	return at;
}

static const char *
text_of(const struct sp_ip *ip, bool v6, char text[static 64])
{
	char plain[46];

	if (ip->family == 0)
		snprintf(text, 64, "%s", v6 ? "::" : "0.0.0.0");
	else
		snprintf(text, 64, "%s%s", v6 && ip->family == 4 ? "::ffff:" : "", span_from_ip(ip, plain).ptr);
	return text;
}

size_t
proxy_format(int version, const struct proxy_ends *e, char to[static PROXY_FORMATTED])
{
	char ip[64], local[64];
	bool v6;

	if (version == 2)
		return format_binary(e, to);
	if (e == NULL)
		return (size_t)snprintf(to, PROXY_FORMATTED, "PROXY UNKNOWN\r\n");
	v6 = !both_v4(e);
	return (size_t)snprintf(to, PROXY_FORMATTED, "PROXY TCP%d %s %s %u %u\r\n", v6 ? 6 : 4, text_of(&e->ip, v6, ip),
		text_of(&e->local_ip, v6, local), (unsigned)e->port, (unsigned)e->local_port);
}
