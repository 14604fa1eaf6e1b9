/*
 * fuzz_mailauth_tags.c - tag lists of any octets: names are names, spans lie in the text.
 */
#include <stdlib.h>

#include "mailauth/tags.h"
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
	struct sp_span text = { (const char *)data, size }, squeezed;
	char memory[64];
	struct tags t;

	if (tags_parse(&t, text) != SP_OK)
		return 0;
	if (t.count == 0 || t.count > TAGS_MAX)
		abort();
	for (size_t i = 0; i < t.count; i++) {
		check_within(t.items[i].name, text);
		check_within(t.items[i].value, text);
		if (t.items[i].name.len == 0 || text_find(t.items[i].value, ';') < t.items[i].value.len)
			abort();
		if (tags_squeeze(t.items[i].value, memory, sizeof(memory), &squeezed) &&
			text_find(squeezed, ' ') < squeezed.len)
			abort();
	}
	return 0;
}
