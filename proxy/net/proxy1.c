/* proxy1.c - see proxy.h.  haproxy.org proxy-protocol.txt section 2.1. */
#include "proxy/net/proxy.h"

#include "policy/kit/span.h"

enum { FIELDS = 6 };

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
proxy1_parse(struct sp_span line, struct proxy_ends *ret)
{
	struct sp_span f[FIELDS];
	struct proxy_ends ends;
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
	if (span_to_ip(f[2], &ends.ip) != SP_OK || span_to_ip(f[3], &ends.local_ip) != SP_OK ||
		!port_parse(f[4], &ends.port) || !port_parse(f[5], &ends.local_port))
		return SP_INVALID;
	*ret = ends;
	return SP_OK;
}
