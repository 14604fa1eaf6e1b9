/*
 * match.h - a set of rules, compiled, and the looking for them in one message.
 */
#ifndef FILTERS_RULES_MATCH_H
#define FILTERS_RULES_MATCH_H

#include "parse.h"

/*
 * The body is looked at in windows. Each begins with octets that were seen before: RULES_OVERLAP,
 * in which a match of the window before is looked for again and whole, and before them
 * RULES_CONTEXT, where no match may begin but what looks behind or asks for the start of a line may
 * see.
 */
enum {
	RULES_CONTEXT = 256,
	RULES_OVERLAP = 4096,
	RULES_FRESH = 65536,
	RULES_WINDOW = RULES_CONTEXT + RULES_OVERLAP + RULES_FRESH
};

struct rule_set;

/* Compiles the rules of a file; text must outlive the set. Null: *ret_status says why, faults were
 * reported. */
struct rule_set *rule_set_new(
	struct sp_span text, const struct rules_report *report, enum sp_status *ret_status);
void rule_set_free(struct rule_set **set);
size_t rule_set_count(const struct rule_set *set);
const struct rule *rule_set_rule(const struct rule_set *set, size_t index);
bool rule_set_has(const struct rule_set *set, enum rule_where where);
/* How many rules must be tried on every text, since nothing is known that they cannot match
 * without. */
size_t rule_set_unfiltered(const struct rule_set *set);

/* One message. */
struct rule_scan {
	const struct rule_set *set;
	uint8_t *hit;       /* one per rule: it has matched */
	uint8_t *candidate; /* one per rule; scratch */
	int64_t budget_ns;  /* time left for expressions */
	bool direct;        /* for tests: try every rule, whatever the prefilter says */
	/* when a call below returned anything but SP_OK: */
	const struct rule *failed;
	char why[128];
};

/* One header field, unfolded: "Name: value", name_len octets of name. SP_LIMIT: an expression
 * reached a limit; what the message has is then unknown. */
enum sp_status rule_scan_field(struct rule_scan *s, struct sp_span field, size_t name_len);
/* One window of the body. first, last: it has the body's first, last octets. */
enum sp_status rule_scan_window(struct rule_scan *s, struct sp_span window, bool first, bool last);

#endif
