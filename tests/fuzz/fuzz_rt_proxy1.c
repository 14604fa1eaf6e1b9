/* fuzz_rt_proxy1.c - PROXY lines: what is taken names an address of the family that it says. */
#include <stdlib.h>

#include "policy/kit/span.h"
#include "proxy/net/proxy1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_ip ip = { 0 };
	uint16_t port = 0;

	if (proxy1_parse(span_of((const char *)data, size), &ip, &port) != SP_OK)
		return 0;
	if (ip.family != 4 && ip.family != 6)
		abort();
	if (ip.family == 6 && size > 10 && data[9] != '6')
		abort();
	return 0;
}
