/*
 * keycache.h - public keys that were read before, by the text of their record.
 *
 * Decoding an RSA key costs OpenSSL more than verifying a signature by it does, and most mail comes from few signers.  How
 * long a record holds is the DNS's business; here the same text only means the same key.  One cache for each process and
 * module, of bounded size; a newer key takes an older one's place.
 */
#ifndef MAILAUTH_KEYCACHE_H
#define MAILAUTH_KEYCACHE_H

#include "mailauth/key.h"

struct keycache_place {
	unsigned char digest[32]; /* of the record, SHA-256 */
	bool valid;
};

/* Where this record belongs. True: it was read before; *ret is to be freed by key_fini(), *ret_fault says what it came to. */
bool keycache_find(struct sp_span record, struct keycache_place *place, struct key *ret, enum key_fault *ret_fault);
/* Keeps what the record came to; k stays the caller's. */
void keycache_add(const struct keycache_place *place, const struct key *k, enum key_fault fault);

#endif
