/*
 * services.c - see services.h.
 */
#include "proxy/master/services.h"

#include "policy/kit/span.h"

enum { RESOLVERS_OCTETS = 4096 };

struct dns_config
services_dns(const struct policy *p, struct arena *a)
{
	const struct policy_block *b = policy_block(p, "", 0);
	struct dns_config c = { .timeout_ms = policy_setting_int(b, "dns timeout"), .tries = 2,
		.cache_entries = (size_t)policy_setting_int(b, "dns cache") };
	struct buf list;

	buf_init(&list, RESOLVERS_OCTETS);
	for (size_t i = 0; i < policy_setting_count(b, "resolver"); i++)
		buf_printf(&list, "%s%s", i > 0 ? "," : "", policy_setting_text(b, "resolver", i).ptr);
	if (list.len > 0)
		c.resolvers = arena_strdup(a, buf_span(&list));
	buf_fini(&list);
	return c;
}

struct spool_config
services_spool(const struct policy *p)
{
	const struct policy_block *b = policy_block(p, "spool", 0);

	if (b == NULL)
		return (struct spool_config){ .memory = 256 * 1024, .total_memory = 64 << 20 };
	return (struct spool_config){ .directory = policy_setting_text(b, "directory", 0).ptr,
		.memory = (size_t)policy_setting_int(b, "memory"), .total_memory = (size_t)policy_setting_int(b, "total") };
}
