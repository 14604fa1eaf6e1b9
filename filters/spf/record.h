/*
 * record.h - an SPF record read strictly, term by term (RFC 7208 section 12).
 *
 * Spans point into the record; nothing is allocated.
 */
#ifndef SPF_RECORD_H
#define SPF_RECORD_H

#include <sallyport/filter.h>

enum { RECORD_MAX = 4000, RECORD_TERM_MAX = 480 };

enum term_kind {
	TERM_ALL,
	TERM_INCLUDE,
	TERM_A,
	TERM_MX,
	TERM_PTR,
	TERM_IP4,
	TERM_IP6,
	TERM_EXISTS,
	TERM_REDIRECT,
	TERM_EXP,
	TERM_UNKNOWN /* a modifier that we do not know */
};

struct term {
	enum term_kind kind;
	char qualifier;        /* '+' '-' '?' '~'; '\0' for modifiers */
	struct sp_span domain; /* a domain-spec, with its macros; empty: the current domain */
	uint8_t bits4, bits6;  /* A, MX */
	struct sp_net net;     /* IP4, IP6 */
};

/* Where a reader of terms stands. */
struct record {
	struct sp_span rest;
	bool redirect, exp; /* seen */
};

/* Does the text say that it is an SPF record (section 4.5)? */
bool record_is_spf(struct sp_span text);
/* Sets the reader before the first term; text is one that record_is_spf(). */
void record_init(struct record *r, struct sp_span text);
/* SP_NONE: no more terms; SP_INVALID: what follows breaks the grammar; SP_LIMIT: a term above RECORD_TERM_MAX. */
enum sp_status record_next(struct record *r, struct term *ret);
/* Reads the whole record: SP_OK, SP_INVALID, or SP_LIMIT, which is also for one above RECORD_MAX. */
enum sp_status record_check(struct sp_span text);

#endif
