/*
 * utf8.h - one character of UTF-8 at a time, strictly (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef POLICY_KIT_UTF8_H
#define POLICY_KIT_UTF8_H

#include <sallyport/filter.h>

/* Octets of the character at the front of s, 1 to 4, and its code; 0: there is none, *ret_code is not set. */
size_t utf8_next(struct sp_span s, uint32_t *ret_code);
bool utf8_is_ascii(struct sp_span s);
/* Well-formed, and without controls (C0, DEL, C1, line and paragraph separators): fit for a line of a protocol or a log. */
bool utf8_is_plain(struct sp_span s);

#endif
