/*
 * idna.h - names of the DNS in the one form in which they are compared: lower case, U-labels as A-labels, no dot at
 * the end (RFC 5890, 5891, 5892; mapped before as UTS 46 says, so that case and width do not matter).
 */
#ifndef POLICY_KIT_IDNA_H
#define POLICY_KIT_IDNA_H

#include <sallyport/filter.h>

enum { DOMAIN_OCTETS = 255 };

/* Into to, not NUL-ended.  ASCII is folded and not looked at otherwise, nor are empty labels: ".example" stays so.
 * SP_INVALID: a label beyond ASCII that is none of IDNA's, or that would be pure ASCII, or several labels (full-width forms,
 * other dots): two readers could take it for two names.  SP_LIMIT: longer than 255 octets. */
enum sp_status idna_fold(struct sp_span name, char to[static DOMAIN_OCTETS], struct sp_span *ret);

#endif
