/*
 * prefilter.h - which of many texts occur in a message: one pass, whatever their number.
 */
#ifndef FILTERS_RULES_PREFILTER_H
#define FILTERS_RULES_PREFILTER_H

#include "literal.h"

struct prefilter;

struct prefilter *prefilter_new(void); /* null: no memory */
void prefilter_free(struct prefilter **f);
/* Copies the literal; owner: what prefilter_run() marks when it is found. False: no memory. */
bool prefilter_add(struct prefilter *f, const struct literal *l, uint32_t owner);
/* To be called once, after the last prefilter_add(). False: no memory. */
bool prefilter_close(struct prefilter *f);
/* Sets found[owner] to 1 for each owner of a literal that occurs in text, without regard to ASCII
 * case. */
void prefilter_run(const struct prefilter *f, struct sp_span text, uint8_t *found);

#endif
