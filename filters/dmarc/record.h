/*
 * record.h - DMARC policy records (RFC 7489 6.3; np= of RFC 9091; psd= and t= of RFC 9989).
 */
#ifndef DMARC_RECORD_H
#define DMARC_RECORD_H

#include <sallyport/filter.h>

enum policy { POLICY_NONE, POLICY_QUARANTINE, POLICY_REJECT, POLICY_UNPUBLISHED };

enum record_state {
	RECORD_NONE,     /* no text of that domain begins with v=DMARC1 */
	RECORD_VALID,
	RECORD_FAULTY,   /* a tag is malformed and stands at its default; or p=, sp= or np= is, and p=none is meant */
	RECORD_UNUSABLE, /* p=, sp= or np= is malformed or p= missing, and nobody to report it to: as if there were none */
	RECORD_SEVERAL   /* more than one: as if there were none */
};

enum record_psd { PSD_UNSAID, PSD_YES, PSD_NO };

/* Spans point into the text. Policies not given are POLICY_UNPUBLISHED, but p, which is always one of the three. */
struct record {
	enum record_state state;
	enum policy p, sp, np;
	bool strict_dkim, strict_spf;
	unsigned percent;
	enum record_psd psd;
	bool testing;
	struct sp_span fo, rua; /* as written; "": not given or malformed */
};

/* Null-ended, by enum policy; by enum record_state. */
extern const char *const policy_words[], *const record_words[];

/* One text. False: it is no DMARC record, *ret is untouched. */
bool record_parse(struct sp_span text, struct record *ret);
/* All texts of one name: *ret is the one record among them, or just its state says NONE or SEVERAL. */
void record_choose(const struct sp_names *texts, struct record *ret);
/* May a policy be taken from it? */
static inline bool
record_counts(const struct record *r)
{
	return r->state == RECORD_VALID || r->state == RECORD_FAULTY;
}

#endif
