/*
 * fuzz_inspect_rules.c - the rules file, and that the prefilter finds what trying every rule finds.
 *
 * Input: a rules file, a NUL, a text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filters/rules/literal.c"
#include "filters/rules/match.c"
#include "filters/rules/parse.c"
#include "filters/rules/prefilter.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

__attribute__((format(printf, 4, 0))) static void
fault(void *arg, unsigned line, unsigned column, const char *fmt, va_list ap)
{
	char text[512];

	(void)arg;
	if (line == 0 || column == 0)
		abort();
	vsnprintf(text, sizeof(text), fmt, ap);
}

static enum sp_status
scan(const struct rule_set *set, struct sp_span text, bool direct, uint8_t *hit)
{
	struct rule_scan s = { .set = set, .hit = hit, .budget_ns = 200000000, .direct = direct };
	enum sp_status st;

	s.candidate = calloc(1, rule_set_count(set) + 1);
	if (s.candidate == NULL)
		abort();
	st = rule_scan_window(&s, text, true, true);
	if (st == SP_OK)
		st = rule_scan_field(&s, text, text.len < 4 ? text.len : 4);
	free(s.candidate);
	return st;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rules_report report = { fault, NULL };
	const uint8_t *nul = size > 0 ? memchr(data, '\0', size) : NULL;
	struct sp_span file = { (const char *)data, nul != NULL ? (size_t)(nul - data) : size },
		       text = { NULL, 0 };
	enum sp_status st;
	struct rule_set *set = rule_set_new(file, &report, &st);
	uint8_t *filtered, *direct;

	if (set == NULL)
		return 0;
	if (nul != NULL)
		text = (struct sp_span){ (const char *)nul + 1, size - file.len - 1 };
	filtered = calloc(2, rule_set_count(set) + 1);
	if (filtered == NULL)
		abort();
	direct = filtered + rule_set_count(set) + 1;
	if (scan(set, text, true, direct) == SP_OK &&
		(scan(set, text, false, filtered) != SP_OK ||
			memcmp(filtered, direct, rule_set_count(set)) != 0))
		abort();
	free(filtered);
	rule_set_free(&set);
	return 0;
}
