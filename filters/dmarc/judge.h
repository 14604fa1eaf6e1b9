/*
 * judge.h - what the results of SPF and DKIM mean for the From domain (RFC 7489 3.1, 6.6.2, 6.6.4).
 */
#ifndef DMARC_JUDGE_H
#define DMARC_JUDGE_H

#include "dmarc/org.h"

enum result { RESULT_NONE, RESULT_PASS, RESULT_FAIL, RESULT_TEMPERROR, RESULT_PERMERROR };
enum aligned { ALIGNED_NONE, ALIGNED_SPF, ALIGNED_DKIM, ALIGNED_BOTH }; /* bits: SPF 1, DKIM 2 */

/* Null-ended, by their enums. */
extern const char *const result_words[], *const aligned_words[];

struct verdict {
	enum result result;
	enum aligned by; /* what passed and is aligned */
	enum policy disposition;
	bool sampled_out; /* the disposition is one step milder, for pct= or t= */
};

/* A property's value, "": not there. */
struct sp_span result_prop(const struct sp_auth_result *r, const char *ptype, const char *name);
/* The domain that a result of SPF or DKIM is about, as stated; *ret_helo: it is the HELO name. "": it has none. */
struct sp_span result_domain(const struct sp_auth_result *r, bool *ret_helo);

/* A result of SPF or DKIM and the domain that it is about (folded, in memory). */
struct identity {
	enum aligned kind; /* ALIGNED_SPF or ALIGNED_DKIM */
	bool passed, unsure;
	char memory[DOMAIN_MAX + 1];
	struct sp_span domain;
};

/* Which identity a result is about; false: none that DMARC knows. A result of SPF for the HELO name counts with
 * null_sender only. */
bool identity_read(const struct sp_auth_result *r, bool null_sender, struct identity *ret);

/* The step of a policy for one message: lot is any number that stays the same when the message comes again. */
enum policy judge_disposition(const struct org_found *found, enum org_way way, uint64_t lot, bool *ret_sampled_out);

struct judge {
	const struct org *org;
	const struct org_found *found;
	struct sp_span from;
	bool null_sender;
	uint64_t lot;
};
/* Reads all results stated so far; may suspend. Faults of the DNS become RESULT_TEMPERROR. */
void judge(struct sp_ctx *ctx, const struct judge *j, struct verdict *ret);

#endif
