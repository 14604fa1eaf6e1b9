/* fuzz_rt_proxy1.c - PROXY lines: what is taken names an address of the family that it says. */
#include <stdlib.h>

#include "policy/kit/span.h"
#include "proxy/net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_ends ends = { .port = 0 };

	if (proxy1_parse(span_of((const char *)data, size), &ends) != SP_OK)
		return 0;
	if (ends.ip.family != 4 && ends.ip.family != 6)
		abort();
	if (ends.ip.family == 6 && size > 10 && data[9] != '6')
		abort();
	return 0;
}
