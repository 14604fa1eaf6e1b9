/* Lines of a filter program: whatever is written is taken or refused, and what is taken lies within the line. */
#include "spawn/lines.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span text = { (const char *)data, size };
	struct line l;

	if (line_parse(text, &l) != SP_OK)
		return 0;
	if (l.param.len > 0 && (l.param.ptr < text.ptr || l.param.ptr + l.param.len != text.ptr + text.len))
		abort();
	if (memchr(data, '\0', size) != NULL || memchr(data, '\r', size) != NULL)
		abort();
	if ((l.kind == LINE_WANTS) != (l.events != 0 || l.phases != 0) || l.events >> EVENTS != 0 || l.phases >> PHASES != 0)
		abort();
	if (l.kind == LINE_RESULT && l.decision >= DECISION_REJECT && l.param.len == 0)
		abort();
	return 0;
}
