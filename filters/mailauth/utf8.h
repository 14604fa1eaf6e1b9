/*
 * utf8.h - text beyond ASCII in addresses (RFC 3629, RFC 6532), strictly.
 */
#ifndef MAILAUTH_UTF8_H
#define MAILAUTH_UTF8_H

#include <sallyport/filter.h>

bool utf8_ascii_only(struct sp_span s);
/* Well-formed, and may all of it beyond ASCII stand in an address that everybody is to read in the same way? No controls
 * (C1), no blanks, nothing that is not seen or that changes the direction, nothing that is ASCII's punctuation in another
 * form, no U+FFFD. ASCII is not looked at. */
bool utf8_is_clear(struct sp_span s);

#endif
