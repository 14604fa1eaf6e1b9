/*
 * eval_match.c - regular expressions on facts, with limits.
 *
 * Subjects come from strangers: what takes too long is given up, and the answer is "unknown", never
 * "no match".  One set of working memory serves the whole process, since rules are evaluated on the
 * one thread of the loop and a match never waits.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "policy/policy_priv.h"

#define MATCH_STEPS 200000  /* some milliseconds at worst */
#define MATCH_HEAP_KIB 1024

static pcre2_match_data *match_data;
static pcre2_match_context *match_context;

static bool
match_ready(void)
{
	if (match_data == NULL)
		match_data = pcre2_match_data_create(1, NULL);
	if (match_context == NULL) {
		match_context = pcre2_match_context_create(NULL);
		if (match_context != NULL) {
			pcre2_set_match_limit(match_context, MATCH_STEPS);
			pcre2_set_depth_limit(match_context, MATCH_STEPS);
			pcre2_set_heap_limit(match_context, MATCH_HEAP_KIB);
		}
	}
	return match_data != NULL && match_context != NULL;
}

enum policy_known
eval_match(const void *regex, struct sp_span text, bool *ret)
{
	const char *subject = text.len > 0 ? text.ptr : "";
	int rc;

	if (!match_ready())
		return POLICY_UNKNOWN;
	rc = pcre2_match(regex, (PCRE2_SPTR)subject, text.len, 0, 0, match_data, match_context);
	if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
		return POLICY_UNKNOWN;
	*ret = rc >= 0;
	return POLICY_KNOWN;
}
