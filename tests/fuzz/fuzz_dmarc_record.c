/*
 * fuzz_dmarc_record.c - DMARC records of any octets: every policy is one, spans lie in the text, and what is let off is
 * milder.  Besides: the report's JSON strings are UTF-8 without a bare control, quote or backslash.
 */
#include <stdlib.h>

#include "dmarc/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_within(struct sp_span s, struct sp_span text)
{
	if (s.len > 0 && (s.ptr < text.ptr || s.ptr + s.len > text.ptr + text.len))
		abort();
}

static void
check_record(struct sp_span text)
{
	struct org_found f = { .policy = POLICY_UNPUBLISHED };
	const struct record *r = &f.record;
	bool out;

	if (!record_parse(text, &f.record))
		return;
	if (r->p > POLICY_REJECT || r->sp > POLICY_UNPUBLISHED || r->np > POLICY_UNPUBLISHED || r->percent > 100)
		abort();
	if (r->state == RECORD_NONE || r->state == RECORD_SEVERAL || (r->state == RECORD_UNUSABLE && r->p != POLICY_NONE))
		abort();
	check_within(r->rua, text);
	check_within(r->fo, text);
	f.policy = r->p;
	if (judge_disposition(&f, ORG_LIST, text.len, &out) > r->p || judge_disposition(&f, ORG_TREE, 0, &out) > r->p)
		abort();
}

static void
check_json(struct sp_span text)
{
	static char memory[1 << 16];
	struct writer w;

	writer_init(&w, memory, sizeof(memory));
	report_string(&w, text);
	if (w.full)
		return;
	if (w.len < 2 || memory[0] != '"' || memory[w.len - 1] != '"')
		abort();
	for (size_t i = 1; i + 1 < w.len; i++) {
		if ((unsigned char)memory[i] < ' ' || memory[i] == '"')
			abort();
		if (memory[i] == '\\' && strchr("\"\\u", memory[++i]) == NULL)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span text = { (const char *)data, size };

	check_record(text);
	check_json(text);
	return 0;
}
