/* proxy1.c - see proxy1.h.  haproxy.org proxy-protocol.txt section 2.1: at most 107 octets with CR LF. */
#include "proxy/net/proxy1.h"

#include "policy/kit/span.h"

enum { LINE_MAX_OCTETS = 107, FIELDS = 6 };

static bool
port_parse(struct sp_span text, uint16_t *ret)
{
	uint64_t n;

	if (text.len > 5 || (text.len > 1 && text.ptr[0] == '0') || span_to_u64(text, 65535, &n) != SP_OK)
		return false;
	*ret = (uint16_t)n;
	return true;
}

static size_t
split(struct sp_span line, struct sp_span fields[static FIELDS])
{
	size_t n = 0;

	for (;;) {
		size_t len = span_find(line, ' ');

		if (n == FIELDS)
			return FIELDS + 1;
		fields[n++] = span_head(line, len);
		if (len == line.len)
			return n;
		line = span_of(line.ptr + len + 1, line.len - len - 1);
	}
}

enum sp_status
proxy1_parse(struct sp_span line, struct sp_ip *ret_ip, uint16_t *ret_port)
{
	struct sp_span f[FIELDS];
	struct sp_ip ip, local;
	uint16_t port, local_port;
	bool v6;

	if (span_starts(line, SPAN_LIT("PROXY UNKNOWN")) && (line.len == 13 || line.ptr[13] == ' '))
		return SP_NONE;
	if (split(line, f) != FIELDS || !span_eq(f[0], SPAN_LIT("PROXY")))
		return SP_INVALID;
	v6 = span_eq(f[1], SPAN_LIT("TCP6"));
	if (!v6 && !span_eq(f[1], SPAN_LIT("TCP4")))
		return SP_INVALID;
	if ((span_find(f[2], ':') < f[2].len) != v6 || (span_find(f[3], ':') < f[3].len) != v6)
		return SP_INVALID;
	if (span_to_ip(f[2], &ip) != SP_OK || span_to_ip(f[3], &local) != SP_OK || !port_parse(f[4], &port) ||
		!port_parse(f[5], &local_port))
		return SP_INVALID;
	*ret_ip = ip;
	*ret_port = port;
	return SP_OK;
}

enum sp_status
proxy1_read(struct stream *s, int64_t deadline_ms, struct sp_ip *ret_ip, uint16_t *ret_port)
{
	for (;;) {
		struct sp_span in = stream_input(s);
		size_t end = span_find(span_head(in, LINE_MAX_OCTETS), '\n');
		enum sp_status st;

		if (end < in.len && end < LINE_MAX_OCTETS) {
			if (end == 0 || in.ptr[end - 1] != '\r')
				return SP_INVALID;
			st = proxy1_parse(span_head(in, end - 1), ret_ip, ret_port);
			stream_consume(s, end + 1);
			return st;
		}
		if (in.len >= LINE_MAX_OCTETS)
			return SP_INVALID;
		st = stream_fill(s, deadline_ms);
		if (st != SP_OK)
			return st;
	}
}
