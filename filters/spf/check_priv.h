/*
 * check_priv.h - one check, as the files that carry it out share it.
 */
#ifndef SPF_CHECK_PRIV_H
#define SPF_CHECK_PRIV_H

#include "mailauth/text.h"
#include "spf/check.h"
#include "spf/macro.h"
#include "spf/record.h"

enum {
	CHECK_TERMS_MAX = 10,     /* section 4.6.4: that ask the DNS, over the whole check */
	CHECK_VOIDS_MAX = 2,      /* the same: that found nothing there */
	CHECK_NAMES_MAX = 10,     /* the same: MX hosts of one term, names of the client */
	CHECK_TIME_MS = 20000,    /* the same: after it nothing more is asked */
	CHECK_FRAMES_MAX = 1 + CHECK_TERMS_MAX,
	CHECK_ENTRIES_MAX = 1 + CHECK_FRAMES_MAX * (CHECK_TERMS_MAX + 1),
	CHECK_LIBRARY_MAX = 480   /* octets of a record that libspf2 gets */
};

/* A record under evaluation. */
struct frame {
	struct sp_span domain, exp; /* exp: a domain-spec, or empty */
};

/* A term that libspf2 knows by its number. */
struct entry {
	struct term term;
	size_t frame; /* whose it is */
};

struct check {
	struct sp_ctx *ctx;
	const struct check_input *in;
	int64_t end_ms;
	bool stopped; /* verdict is known, whatever libspf2 says */
	enum verdict verdict;
	const char *reason;
	unsigned terms, voids;
	struct frame frames[CHECK_FRAMES_MAX];
	struct entry entries[CHECK_ENTRIES_MAX];
	size_t frame_count, entry_count;
	size_t speaker; /* the frame whose exp= explains a fail: the first, or the one that it was redirected to */
	/* the client's names (section 5.5), once asked for */
	bool names_asked;
	enum sp_status names_status;
	struct sp_span names[CHECK_NAMES_MAX];
	size_t name_count;
};

enum outcome { OUTCOME_NO, OUTCOME_MATCH, OUTCOME_STOPPED };

/* ---- check.c */
/* Ends the check; the first call counts. */
void check_stop(struct check *c, enum verdict verdict, const char *reason);
/* One more term that asks the DNS; false: one too many, and stopped. */
bool check_count_term(struct check *c);
/* May something be asked still? Else stopped. */
bool check_in_time(struct check *c);

/* ---- term.c */
/* One of A, MX, PTR, EXISTS; may suspend. */
enum outcome term_match(struct check *c, const struct entry *e);
/* The name that a domain-spec (empty: the current domain) of the frame stands for. */
struct sp_span term_domain(struct check *c, size_t frame, struct sp_span spec, char memory[static MACRO_DOMAIN_ROOM]);
/* What the TXT record behind the speaker's exp= says, expanded, or nothing; may suspend. */
void term_explain(struct check *c, struct check_answer *ret);
bool term_ip_within(const struct sp_ip *ip, const struct sp_ip *net, unsigned bits);

/* ---- rewrite.c */
/* Writes the record of the frame, whose grammar was checked, as libspf2 is to get it; enters its terms. Returns how
 * many mechanisms libspf2 must find in it. */
size_t rewrite_record(struct check *c, size_t frame, struct sp_span record, struct writer *w);
/* The entry of a name that rewrite_record() has written, or null. */
const struct entry *rewrite_entry(const struct check *c, struct sp_span name);

#endif
