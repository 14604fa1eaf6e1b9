/*
 * check.h - check_host() of RFC 7208: may this client send mail for this domain?
 */
#ifndef SPF_CHECK_H
#define SPF_CHECK_H

#include <sallyport/filter.h>

enum { CHECK_EXPLANATION_MAX = 400 };

/* In the order of the facts' words. */
enum verdict {
	VERDICT_NONE,
	VERDICT_NEUTRAL,
	VERDICT_PASS,
	VERDICT_FAIL,
	VERDICT_SOFTFAIL,
	VERDICT_TEMPERROR,
	VERDICT_PERMERROR
};

struct check_input {
	struct sp_ip client;
	struct sp_span domain;               /* to be checked: of LDH labels, lower case (domain_fold()) */
	struct sp_span local, sender_domain; /* of the sender as sent; <>: "postmaster" and the HELO name */
	struct sp_span helo, receiver;       /* as sent; how we call ourselves */
};

struct check_answer {
	enum verdict verdict;
	const char *reason; /* why, where the verdict does not say it: a few words; else null */
	size_t explanation_len;
	char explanation[CHECK_EXPLANATION_MAX]; /* with fail only: printable ASCII of the domain's owner, or nothing */
};

/* May suspend. Every failure of the world is a verdict, TEMPERROR. */
void check_host(struct sp_ctx *ctx, const struct check_input *in, struct check_answer *ret);

/* Once, before the first check: libspf2 prints nothing from now on. */
void check_init(void);

#endif
