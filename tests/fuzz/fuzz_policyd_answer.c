/* Answers of a policy server: whatever comes is taken or refused, and what is taken lies within what came. */
#include "policyd/answer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
within(struct sp_span part, struct sp_span whole)
{
	if (part.len > 0 && (part.ptr < whole.ptr || part.ptr + part.len > whole.ptr + whole.len))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span text = { (const char *)data, size };
	size_t end = answer_end(text);
	struct answer a;
	const char *why = NULL;

	if (end > size)
		abort();
	text.len = end > 0 ? end : size;
	if (answer_parse(text, &a, &why) != SP_OK) {
		if (why == NULL)
			abort();
		return 0;
	}
	if (a.word.len == 0 || (a.action == ACTION_REJECT) != (a.code >= 500) || (a.action == ACTION_DEFER) != (a.code / 100 == 4))
		abort();
	within(a.word, text);
	within(a.text, text);
	within(a.name, text);
	within(a.value, text);
	if (a.action == ACTION_PREPEND && (a.name.len == 0 || a.value.len == 0))
		abort();
	return 0;
}
