/* fuzz_rt_proxy2.c - PROXY headers of version 2: what is taken has addresses of IP, none of them mapped, within the length that
 * it says; and what we write of it, is read as the same. */
#include <stdlib.h>

#include "policy/kit/span.h"
#include "proxy/net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_ip(const struct sp_ip *ip)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if ((ip->family != 4 && ip->family != 6) || (ip->family == 6 && memcmp(ip->bytes, mapped, sizeof(mapped)) == 0))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span in = span_of((const char *)data, size);
	struct proxy_ends ends = { .port = 0 }, again = { .port = 0 };
	char text[PROXY_FORMATTED];
	size_t length = 0;

	if (proxy2_length(in, &length) == SP_OK && (length < PROXY2_FIXED || length > PROXY_OCTETS))
		abort();
	if (proxy2_parse(in, &ends) != SP_OK)
		return 0;
	if (length != size)
		abort();
	check_ip(&ends.ip);
	check_ip(&ends.local_ip);
	if (proxy2_parse(span_of(text, proxy_format(2, &ends, text)), &again) != SP_OK || memcmp(&ends, &again, sizeof(ends)) != 0)
		abort();
	length = proxy_format(1, &ends, text);
	if (length < 2 || proxy1_parse(span_of(text, length - 2), &again) != SP_OK || memcmp(&ends, &again, sizeof(ends)) != 0)
		abort();
	return 0;
}
