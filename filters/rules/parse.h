/*
 * parse.h - the rules file: "NAME SCORE header FIELD /regex/flags" and "NAME SCORE body
 * /regex/flags".
 */
#ifndef FILTERS_RULES_PARSE_H
#define FILTERS_RULES_PARSE_H

#include <sallyport/filter.h>

enum {
	RULES_MAX = 10000,
	RULES_FILE_MAX = 4 << 20,
	RULES_LINE_MAX = 8192,
	RULES_NAME_MAX = 64,
};

enum rule_where { RULE_HEADER, RULE_BODY };

/* Spans point into the file's text. */
struct rule {
	struct sp_span name;
	double score;
	enum rule_where where;
	struct sp_span field;   /* of RULE_HEADER; len 0: all fields */
	struct sp_span pattern; /* between the slashes */
	bool caseless, multiline, dotall, extended;
	unsigned line, column; /* of the pattern's first octet, from 1 */
};
struct rule_list {
	struct rule *items;
	size_t count, room;
};

/* Called for each fault, in the order of lines. */
struct rules_report {
	void (*error)(void *arg, unsigned line, unsigned column, const char *fmt, va_list);
	void *arg;
};
__attribute__((format(printf, 4, 5))) void rules_report_error(
	const struct rules_report *to, unsigned line, unsigned column, const char *fmt, ...);

/* Reads all rules of text, which must outlive them. All faults of one run are reported; SP_INVALID:
 * there were some, SP_SYSTEM: no memory. In each case the list is to be freed by rule_list_fini().
 */
enum sp_status rules_parse(
	struct sp_span text, struct rule_list *ret, const struct rules_report *report);
void rule_list_fini(struct rule_list *list);

#endif
