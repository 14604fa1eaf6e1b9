/* fuzz_rt_endpoint.c - whatever is taken as an endpoint can be written and is read back the same. */
#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/net/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span text = span_of((const char *)data, size);
	struct net_endpoint e, again;

	if (net_endpoint_parse(text, 25, &e) != SP_OK)
		return 0;
	MUST(strnlen(e.text, sizeof(e.text)) < sizeof(e.text));
	net_endpoint_is_loopback(&e);
	if (e.kind != NET_IP)
		return 0;
	MUST(net_endpoint_parse(span_str(e.text), 0, &again) == SP_OK);
	MUST(again.port == e.port && ip_eq(&again.ip, &e.ip));
	MUST(strcmp(again.text, e.text) == 0);
	return 0;
}
