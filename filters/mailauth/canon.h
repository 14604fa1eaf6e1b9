/*
 * canon.h - the two canonical forms of header and body (RFC 6376 3.4), hashed as they are made.
 *
 * Nothing is gathered: a field is hashed span by span, a body piece by piece; pieces may end anywhere.  Input has
 * CR LF line ends and no stuffed dots.
 */
#ifndef MAILAUTH_CANON_H
#define MAILAUTH_CANON_H

#include <openssl/evp.h>

#include <sallyport/filter.h>

enum canon { CANON_SIMPLE, CANON_RELAXED };

enum { CANON_HASH = 32 }; /* octets of SHA-256 */

/* One field, whole, folded as it came, without its last CRLF. end: a CRLF is hashed behind it (all but the
 * signature's own field). False: OpenSSL failed. */
bool canon_field(EVP_MD_CTX *md, enum canon form, struct sp_span field, bool end);
/* The same with the value of the first tag b= left out (RFC 6376 3.5, 3.7). */
bool canon_unsigned_field(EVP_MD_CTX *md, enum canon form, struct sp_span field);

struct canon_body {
	EVP_MD_CTX *md;
	enum canon form;
	int64_t left;    /* octets of canonical body that are still hashed (l=); negative: all */
	int64_t octets;  /* of canonical body so far, hashed or not */
	size_t blank_lines; /* empty lines held back */
	bool space, cr, any;
	bool failed;
};
/* md: EVP_sha256() or EVP_sha1(). SP_SYSTEM: OpenSSL failed. limit: l=, -1: none. */
enum sp_status canon_body_init(struct canon_body *b, const EVP_MD *md, enum canon form, int64_t limit);
void canon_body_add(struct canon_body *b, struct sp_span chunk);
/* The hash, *len octets of it. SP_SYSTEM: OpenSSL failed at some time. May be called once. */
enum sp_status canon_body_end(struct canon_body *b, unsigned char hash[static EVP_MAX_MD_SIZE], size_t *len);
void canon_body_fini(struct canon_body *b); /* no harm on a zeroed one, nor twice */

#endif
