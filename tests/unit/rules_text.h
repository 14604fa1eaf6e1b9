/*
 * rules_text.h - the parts of the module "rules", for its unit tests: rule files as text, and what
 * is wrong with them.
 */
#ifndef TESTS_UNIT_RULES_TEXT_H
#define TESTS_UNIT_RULES_TEXT_H

#include "filters/rules/literal.c"
#include "filters/rules/match.c"
#include "filters/rules/parse.c"
#include "filters/rules/prefilter.c"

/* Appends to a text of room octets, which must have the space; returns the new length. */
__attribute__((format(printf, 4, 5))) static inline size_t
append(char *text, size_t room, size_t len, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text + len, room - len, fmt, ap);
	va_end(ap);
	assert_true(n >= 0 && (size_t)n < room - len);
	return len + (size_t)n;
}

struct faults {
	char text[8192];
};

__attribute__((format(printf, 4, 0))) static inline void
faults_add(void *arg, unsigned line, unsigned column, const char *fmt, va_list ap)
{
	struct faults *f = arg;
	size_t len = strlen(f->text);

	snprintf(f->text + len, sizeof(f->text) - len, "%u:%u: ", line, column);
	len = strlen(f->text);
	vsnprintf(f->text + len, sizeof(f->text) - len, fmt, ap);
	len = strlen(f->text);
	snprintf(f->text + len, sizeof(f->text) - len, "\n");
}

#endif
