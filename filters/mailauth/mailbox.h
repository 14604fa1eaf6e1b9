/*
 * mailbox.h - who a From field says it is from (RFC 5322 3.4 and RFC 6532, strictly; CASES H01, H02).
 */
#ifndef MAILAUTH_MAILBOX_H
#define MAILAUTH_MAILBOX_H

#include "mailauth/domain.h"

enum mailbox_count {
	MAILBOX_ONE,     /* exactly one strict mailbox with a domain */
	MAILBOX_NONE,    /* nothing: empty value, "<>", an empty group */
	MAILBOX_SEVERAL, /* more than one address, or a group with members */
	MAILBOX_INVALID  /* not to be parsed; so nothing may be concluded from it */
};

/* value: of the field, folded as it came. On MAILBOX_ONE *ret is the domain, by domain_fold_utf8() in lower case and of
 * A-labels, in memory. Encoded words are never decoded; comments, quoted strings and display names are skipped, and any
 * 8-bit octets are allowed there; within an address UTF-8 is, if it is clear (utf8.h) and the domain's is of U-labels.
 * Routes, domain literals, and comments or encoded words within an address are INVALID. */
enum mailbox_count mailbox_domain(struct sp_span value, char memory[static DOMAIN_MAX + 1], struct sp_span *ret);

#endif
