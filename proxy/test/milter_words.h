/*
 * milter_words.h - words for what the milter protocol says in letters and bits: for the fake milter of scenes, and for
 * "sallyport milter-probe".
 */
#ifndef PROXY_TEST_MILTER_WORDS_H
#define PROXY_TEST_MILTER_WORDS_H

#include "policy/kit/buf.h"

struct milter_word {
	const char *word; /* null ends a table */
	uint32_t value;
};
extern const struct milter_word milter_commands[]; /* letters SMFIC_*: negotiate connect helo mail rcpt data header eoh body end ... */
extern const struct milter_word milter_replies[];  /* letters SMFIR_* */
extern const struct milter_word milter_actions[];  /* bits SMFIF_* */
extern const struct milter_word milter_steps[];    /* bits SMFIP_* */
extern const struct milter_word milter_stages[];   /* lists of macros, SMFIM_* */

/* "unknown" where the table has none. */
const char *milter_word_of(const struct milter_word *table, uint32_t value);
bool milter_value_of(const struct milter_word *table, struct sp_span word, uint32_t *ret);
/* The words for all bits that are set, divided by blanks; those without a word in hex; "none". */
void milter_words_add(struct buf *to, const struct milter_word *table, uint32_t bits);
/* The bit by which a milter says that it will not answer a command; 0: there is none. */
uint32_t milter_silent_bit(char command);

#endif
