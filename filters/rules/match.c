/*
 * match.c - compiles rules with PCRE2 and matches them within limits.
 *
 * A set is on the heap, made in the master and only read by workers.  What PCRE2 needs while it
 * matches (context, match data, a stack for its JIT code) is one per process: nothing suspends
 * between the begin and the end of a match.
 *
 * An expression that reaches a limit has not "not matched": it is unknown (SP_LIMIT).
 */
#ifndef _GNU_SOURCE
#define _POSIX_C_SOURCE 200809L /* clock_gettime() */
#endif
#include "match.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "prefilter.h"

enum {
	MATCH_LIMIT = 100000,
	HEAP_LIMIT_KIB = 20 * 1024,
	DEPTH_LIMIT = 1000,
	JIT_STACK_MIN = 32 * 1024,
	JIT_STACK_MAX = 512 * 1024,
	SLICE = 4096, /* starts tried before the clock is looked at */
	ERROR_TIME = -9999
};

/* The rules of one place. */
struct part {
	struct prefilter *prefilter;
	uint32_t *members;
	size_t count;
};

struct rule_set {
	struct rule_list list;
	pcre2_code **codes;
	uint8_t *always;      /* per rule: it has no literal */
	struct part parts[2]; /* by enum rule_where */
};

static struct {
	pcre2_match_context *context;
	pcre2_match_data *data;
	pcre2_jit_stack *stack;
} matcher;

/* ---- compiling ------------------------------------------------------------------------------ */

static uint32_t
options_of(const struct rule *r)
{
	uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;

	if (r->caseless)
		options |= PCRE2_CASELESS;
	if (r->multiline)
		options |= PCRE2_MULTILINE;
	if (r->dotall)
		options |= PCRE2_DOTALL;
	if (r->extended)
		options |= PCRE2_EXTENDED;
	return options;
}

/* Without JIT (no executable memory may be had) the interpreter does the work. */
static enum sp_status
rule_compile(struct rule_set *set, size_t index, pcre2_compile_context *context,
	const struct rules_report *report)
{
	const struct rule *r = &set->list.items[index];
	PCRE2_SIZE offset = 0;
	PCRE2_UCHAR text[128];
	int error = 0;

	set->codes[index] = pcre2_compile((PCRE2_SPTR)r->pattern.ptr, r->pattern.len, options_of(r),
		&error, &offset, context);
	if (set->codes[index] == NULL) {
		pcre2_get_error_message(error, text, sizeof(text));
		rules_report_error(report, r->line, r->column + (unsigned)offset, "%s: %s",
			"this is no expression", (const char *)text);
		return SP_INVALID;
	}
	pcre2_jit_compile(set->codes[index], PCRE2_JIT_COMPLETE);
	return SP_OK;
}

static bool
rule_file(struct rule_set *set, size_t index)
{
	const struct rule *r = &set->list.items[index];
	struct part *part = &set->parts[r->where];
	struct literal_set literals;

	part->members[part->count++] = (uint32_t)index;
	set->always[index] = !literal_find(r->pattern, r->extended, &literals);
	for (size_t i = 0; !set->always[index] && i < literals.count; i++)
		if (!prefilter_add(part->prefilter, &literals.items[i], (uint32_t)index))
			return false;
	return true;
}

static enum sp_status
set_compile(struct rule_set *set, const struct rules_report *report)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	enum sp_status st = SP_OK;

	if (context == NULL)
		return SP_SYSTEM;
	pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
	for (size_t i = 0; i < set->list.count; i++)
		if (rule_compile(set, i, context, report) != SP_OK)
			st = SP_INVALID;
	pcre2_compile_context_free(context);
	return st;
}

static enum sp_status
set_filter(struct rule_set *set)
{
	for (size_t i = 0; i < set->list.count; i++)
		if (!rule_file(set, i))
			return SP_SYSTEM;
	for (int i = 0; i < 2; i++)
		if (!prefilter_close(set->parts[i].prefilter))
			return SP_SYSTEM;
	return SP_OK;
}

static enum sp_status
set_fill(struct rule_set *set, struct sp_span text, const struct rules_report *report)
{
	enum sp_status parsed = rules_parse(text, &set->list, report), st;
	size_t count = set->list.count + 1; /* an empty file has an empty set */

	if (parsed == SP_SYSTEM)
		return parsed;
	set->codes = calloc(count, sizeof(pcre2_code *));
	set->always = calloc(count, 1);
	if (set->codes == NULL || set->always == NULL)
		return SP_SYSTEM;
	for (int i = 0; i < 2; i++) {
		set->parts[i].prefilter = prefilter_new();
		set->parts[i].members = calloc(count, sizeof(uint32_t));
		if (set->parts[i].prefilter == NULL || set->parts[i].members == NULL)
			return SP_SYSTEM;
	}
	st = set_compile(set, report); /* even if some lines were bad: all faults in one run */
	if (parsed != SP_OK || st != SP_OK)
		return parsed != SP_OK ? parsed : st;
	return set_filter(set);
}

struct rule_set *
rule_set_new(struct sp_span text, const struct rules_report *report, enum sp_status *ret_status)
{
	struct rule_set *set = calloc(1, sizeof(*set));

	*ret_status = set != NULL ? set_fill(set, text, report) : SP_SYSTEM;
	if (*ret_status != SP_OK)
		rule_set_free(&set);
	return set;
}

void
rule_set_free(struct rule_set **set)
{
	struct rule_set *s = *set;

	if (s == NULL)
		return;
	for (size_t i = 0; s->codes != NULL && i < s->list.count; i++)
		pcre2_code_free(s->codes[i]);
	for (int i = 0; i < 2; i++) {
		prefilter_free(&s->parts[i].prefilter);
		free(s->parts[i].members);
	}
	free(s->codes);
	free(s->always);
	rule_list_fini(&s->list);
	free(s);
	*set = NULL;
}

size_t
rule_set_count(const struct rule_set *set)
{
	return set->list.count;
}

const struct rule *
rule_set_rule(const struct rule_set *set, size_t index)
{
	return &set->list.items[index];
}

bool
rule_set_has(const struct rule_set *set, enum rule_where where)
{
	return set->parts[where].count > 0;
}

size_t
rule_set_unfiltered(const struct rule_set *set)
{
	size_t n = 0;

	for (size_t i = 0; i < set->list.count; i++)
		n += set->always[i];
	return n;
}

/* ---- matching ------------------------------------------------------------------------------- */

/* Made when first needed: in a worker, after the fork. */
static bool
matcher_ready(void)
{
	if (matcher.stack != NULL)
		return true;
	if (matcher.context == NULL)
		matcher.context = pcre2_match_context_create(NULL);
	if (matcher.data == NULL)
		matcher.data = pcre2_match_data_create(1, NULL);
	if (matcher.context == NULL || matcher.data == NULL)
		return false;
	pcre2_set_match_limit(matcher.context, MATCH_LIMIT);
	pcre2_set_heap_limit(matcher.context, HEAP_LIMIT_KIB);
	pcre2_set_depth_limit(matcher.context, DEPTH_LIMIT);
	matcher.stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
	if (matcher.stack != NULL)
		pcre2_jit_stack_assign(matcher.context, NULL, matcher.stack);
	return matcher.stack != NULL;
}

static int64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* One start after another up to text's end, in slices, so that no text keeps the process for long.
 * Returns as pcre2_match() does, or ERROR_TIME. */
static int
match_slices(const pcre2_code *code, struct sp_span text, size_t from, uint32_t options,
	int64_t *budget_ns)
{
	PCRE2_SPTR subject = (PCRE2_SPTR)(text.ptr != NULL ? text.ptr : "");

	for (;;) {
		bool rest = text.len - from <= SLICE;
		int64_t begin = clock_ns();
		int rc;

		pcre2_set_offset_limit(matcher.context, rest ? PCRE2_UNSET : from + SLICE - 1);
		rc = pcre2_match(
			code, subject, text.len, from, options, matcher.data, matcher.context);
		if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
			rc = pcre2_match(code, subject, text.len, from, options | PCRE2_NO_JIT,
				matcher.data, matcher.context);
		*budget_ns -= clock_ns() - begin;
		if (rc != PCRE2_ERROR_NOMATCH || rest)
			return rc;
		if (*budget_ns <= 0)
			return ERROR_TIME;
		from += SLICE;
	}
}

static enum sp_status
scan_fail(struct rule_scan *s, uint32_t index, int error)
{
	PCRE2_UCHAR text[sizeof(s->why)];

	s->failed = &s->set->list.items[index];
	if (error == ERROR_TIME) {
		snprintf(s->why, sizeof(s->why), "the time for one message is used up");
		return SP_LIMIT;
	}
	pcre2_get_error_message(error, text, sizeof(text));
	snprintf(s->why, sizeof(s->why), "%s", (const char *)text);
	return SP_LIMIT;
}

/* Tries one rule. A match that begins at accept_before or later is left for the next window. */
static enum sp_status
rule_try(struct rule_scan *s, uint32_t index, struct sp_span text, size_t from, bool last)
{
	int rc = match_slices(
		s->set->codes[index], text, from, last ? 0 : PCRE2_NOTEOL, &s->budget_ns);

	if (rc >= 0) {
		if (last || pcre2_get_startchar(matcher.data) < text.len - RULES_OVERLAP)
			s->hit[index] = 1;
		return SP_OK;
	}
	return rc == PCRE2_ERROR_NOMATCH ? SP_OK : scan_fail(s, index, rc);
}

/* Marks the rules of a part that may match text. */
static void
scan_candidates(struct rule_scan *s, const struct part *part, struct sp_span text)
{
	memcpy(s->candidate, s->set->always, s->set->list.count);
	if (s->direct)
		memset(s->candidate, 1, s->set->list.count);
	else
		prefilter_run(part->prefilter, text, s->candidate);
}

enum sp_status
rule_scan_window(struct rule_scan *s, struct sp_span window, bool first, bool last)
{
	const struct part *part = &s->set->parts[RULE_BODY];
	size_t from = first ? 0 : RULES_CONTEXT;
	enum sp_status st = SP_OK;

	if (!matcher_ready())
		return SP_SYSTEM;
	scan_candidates(s, part, window);
	for (size_t i = 0; i < part->count && st == SP_OK; i++) {
		uint32_t rule = part->members[i];

		if (s->candidate[rule] && !s->hit[rule])
			st = rule_try(s, rule, window, from, last);
	}
	return st;
}

static bool
field_is(struct sp_span a, struct sp_span name)
{
	if (a.len != name.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		char x = a.ptr[i], y = name.ptr[i];

		if (x >= 'A' && x <= 'Z')
			x = (char)(x + ('a' - 'A'));
		if (y >= 'A' && y <= 'Z')
			y = (char)(y + ('a' - 'A'));
		if (x != y)
			return false;
	}
	return true;
}

/* What follows the colon, without blanks at its ends. */
static struct sp_span
field_value(struct sp_span field, size_t name_len)
{
	size_t at = name_len < field.len ? name_len + 1 : field.len, end = field.len;

	while (at < end && (field.ptr[at] == ' ' || field.ptr[at] == '\t'))
		at++;
	while (end > at && (field.ptr[end - 1] == ' ' || field.ptr[end - 1] == '\t'))
		end--;
	return field.len > 0 ? (struct sp_span){ field.ptr + at, end - at } : field;
}

enum sp_status
rule_scan_field(struct rule_scan *s, struct sp_span field, size_t name_len)
{
	const struct part *part = &s->set->parts[RULE_HEADER];
	struct sp_span name = { field.ptr, name_len }, value = field_value(field, name_len);
	enum sp_status st = SP_OK;

	while (name.len > 0 && (name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '\t'))
		name.len--;
	if (!matcher_ready())
		return SP_SYSTEM;
	scan_candidates(s, part, field);
	for (size_t i = 0; i < part->count && st == SP_OK; i++) {
		uint32_t index = part->members[i];
		struct sp_span wanted = s->set->list.items[index].field;

		if (!s->candidate[index] || s->hit[index])
			continue;
		if (wanted.len == 0)
			st = rule_try(s, index, field, 0, true);
		else if (field_is(name, wanted))
			st = rule_try(s, index, value, 0, true);
	}
	return st;
}
