/*
 * fuzz_mailauth_authres.c - Authentication-Results of any octets: the cursor always ends, and spans lie in the text.
 */
#include <stdlib.h>

#include "mailauth/authres.h"
#include "mailauth/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_within(struct sp_span s, struct sp_span text)
{
	if (s.len > 0 && (s.ptr < text.ptr || s.ptr + s.len > text.ptr + text.len))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span text = { (const char *)data, size }, value;
	struct authres_item item;
	struct authres a;
	size_t count = 0;

	if (authres_init(&a, text) != SP_OK)
		return 0;
	check_within(a.id, text);
	while (authres_next(&a, &item) == SP_OK) {
		if (++count > size || item.method.len == 0 || item.result.len == 0)
			abort();
		check_within(item.method, text);
		check_within(item.result, text);
		check_within(item.props, text);
		if (authres_prop(&item, "header", "d", &value))
			check_within(value, item.props);
		if (authres_prop(&item, "smtp", "mailfrom", &value))
			check_within(value, item.props);
	}
	return 0;
}
