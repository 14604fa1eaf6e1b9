/*
 * address.h - reverse-path and forward-path, parsed strictly and forwarded verbatim (RFC 5321 4.1.2, 6531 3.3).
 */
#ifndef PROXY_SMTP_ADDRESS_H
#define PROXY_SMTP_ADDRESS_H

#include <sallyport/filter.h>

#include "policy/kit/idna.h"

struct address {
	struct sp_span text;   /* between < and >, as sent; empty: the null sender */
	struct sp_span local;  /* as sent, quotes and all */
	struct sp_span domain; /* as sent; a literal keeps its brackets */
	bool quoted;           /* the local part is a quoted-string */
	bool literal;          /* the domain is an address literal */
	bool utf8;             /* there is more than ASCII in it: it can only go where SMTPUTF8 is offered */
};

/* What is wrong; command_parse_path() makes the reply. */
enum address_error {
	ADDRESS_OK,
	ADDRESS_SYNTAX,      /* 501 5.1.3 (rcpt) or 501 5.1.7 (sender) */
	ADDRESS_BRACKETS,    /* 501 5.5.4: not <...>, text around it, blanks inside */
	ADDRESS_ROUTE,       /* 553 5.1.3: source route */
	ADDRESS_LENGTH,      /* 501, as above: local > 64, domain > 255, path > 256 */
	ADDRESS_NOT_UTF8     /* 501 5.5.2: octets above 127 that are not UTF-8 */
};

/* Parses "<...>" at the front of in; *used is just behind it: the end, or a blank and parameters. The null path only when null_ok.
 * "<postmaster>" without a domain is taken when bare_postmaster (RFC 5321 4.1.1.3). */
struct address_rules {
	bool null_ok, bare_postmaster;
};
enum address_error address_parse(struct sp_span in, struct address_rules rules, struct address *ret, size_t *used);
/* A bare addr-spec without brackets, for "explain" and tables. */
enum address_error address_parse_bare(struct sp_span in, struct address *ret);

/* HELO/EHLO argument: domain or address literal (RFC 5321 4.1.3); liberal in underscores, strict in bytes, <= 255. */
bool address_helo_ok(struct sp_span name);
/* LDH domain of labels 1-63, 255 in all: ASCII only. */
bool address_domain_ok(struct sp_span name);
/* The domain as it is compared (policy/kit/idna.h): lower case, A-labels, no trailing dot.  A name that has no such form, which
 * none of a parsed address is, is only folded in ASCII.  to: room for domain.len, and beyond ASCII for DOMAIN_OCTETS at least. */
struct sp_span address_domain_fold(struct sp_span domain, char *to);

#endif
