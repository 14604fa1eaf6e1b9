/*
 * domain.h - domain names as authentication compares them: LDH labels (and '_'), lower case, no trailing dot.
 */
#ifndef MAILAUTH_DOMAIN_H
#define MAILAUTH_DOMAIN_H

#include <sallyport/filter.h>

enum { DOMAIN_MAX = 253, DOMAIN_LABEL_MAX = 63 };

/* May it be asked for and printed? Labels of letters, digits, '-', '_', 1 to 63 octets, 253 in all; at least one
 * dot; no trailing dot (CASES H04). */
bool domain_ok(struct sp_span name);
/* Lower case, trailing dot off, into memory of at least DOMAIN_MAX + 1; SP_INVALID: not domain_ok(). */
enum sp_status domain_fold(struct sp_span name, char memory[static DOMAIN_MAX + 1], struct sp_span *ret);
/* The same of a name that may be written with U-labels: they become A-labels (RFC 5891, after the mapping of UTS 46,
 * nontransitional). SP_INVALID also: a label is none of IDNA's, would be pure ASCII or several labels, or not
 * utf8_is_clear() (full-width forms, other dots, joiners): readers could take it for two names. */
enum sp_status domain_fold_utf8(struct sp_span name, char memory[static DOMAIN_MAX + 1], struct sp_span *ret);
/* Is name the same as parent or below it? Case folded. */
bool domain_within(struct sp_span name, struct sp_span parent);
/* Without its first label; empty when it has no dot. */
struct sp_span domain_parent(struct sp_span name);

#endif
