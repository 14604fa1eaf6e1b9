/*
 * base64.h - base64 as tags have it (RFC 6376 2.10: white space anywhere), read strictly.
 */
#ifndef MAILAUTH_BASE64_H
#define MAILAUTH_BASE64_H

#include <sallyport/filter.h>

/* Into memory of max octets. SP_INVALID: an octet outside the alphabet, padding missing, amiss or hiding bits, or
 * nothing at all; SP_LIMIT: no room. */
enum sp_status base64_decode(struct sp_span text, unsigned char *memory, size_t max, size_t *ret_len);
/* One line, padded, not NUL-ended. SP_LIMIT: no room for 4 octets of every 3. */
enum sp_status base64_encode(const unsigned char *octets, size_t len, char *memory, size_t max, struct sp_span *ret);

#endif
