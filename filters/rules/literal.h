/*
 * literal.h - which texts a PCRE2 expression cannot match without.
 */
#ifndef FILTERS_RULES_LITERAL_H
#define FILTERS_RULES_LITERAL_H

#include <sallyport/filter.h>

enum { LITERAL_MIN = 4, LITERAL_MAX = 32, LITERALS_MAX = 32 };

struct literal {
	unsigned char len;
	char text[LITERAL_MAX]; /* ASCII letters in lower case */
};
/* Every match has at least one of these in it, without regard to case. */
struct literal_set {
	size_t count;
	struct literal items[LITERALS_MAX];
};

/* False: none is known, the expression must be tried on every text. The pattern must compile;
 * extended: it has the flag x. */
bool literal_find(struct sp_span pattern, bool extended, struct literal_set *ret);

#endif
