/*
 * fuzz_mailauth_mailbox.c - From values of any octets: what comes out is a folded domain that stands in the value, but
 * for labels that were beyond ASCII there.
 */
#include <stdlib.h>

#include "mailauth/mailbox.h"
#include "mailauth/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
stands_in(struct sp_span s, struct sp_span text)
{
	for (size_t at = 0; at + s.len <= text.len; at++)
		if (text_same(text_head(text_from(text, at), s.len), s))
			return true;
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span value = { (const char *)data, size }, domain = { NULL, 0 };
	char memory[DOMAIN_MAX + 1];

	if (mailbox_domain(value, memory, &domain) != MAILBOX_ONE)
		return 0;
	if (!domain_ok(domain) || (!stands_in(domain, value) && !stands_in(TEXT("xn--"), domain)))
		abort();
	for (size_t i = 0; i < domain.len; i++)
		if (domain.ptr[i] != text_lower(domain.ptr[i]))
			abort();
	return 0;
}
