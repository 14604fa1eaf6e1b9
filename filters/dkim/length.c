/*
 * length.c - how long the body really is in canonical form, to see what l= leaves out (RFC 6376 8.2).
 *
 * The library tells only how much of it was hashed.  So, where a signature has l=, its octets are counted here once
 * more, without hashing.  Memory: two counters in the transaction, what OpenSSL has in them freed by length_free().
 */
#include <openssl/evp.h>

#include "dkim/verify.h"

enum sp_status
length_begin(struct verify_tx *tx)
{
	for (size_t i = 0; i < tx->count; i++) {
		const struct verify_sig *s = &tx->sigs[i];

		if (s->limit < 0 || !sig_alive(s) || tx->counting[s->body])
			continue;
		if (canon_body_init(&tx->length[s->body], EVP_sha256(), s->body, 0) != SP_OK)
			return SP_SYSTEM;
		tx->counting[s->body] = true;
	}
	return SP_OK;
}

void
length_body(struct verify_tx *tx, struct sp_span chunk)
{
	for (size_t i = 0; i < 2; i++)
		if (tx->counting[i])
			canon_body_add(&tx->length[i], chunk);
}

enum sp_status
length_eom(struct verify_tx *tx)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	size_t len;

	for (size_t i = 0; i < 2; i++) {
		if (tx->counting[i] && canon_body_end(&tx->length[i], hash, &len) != SP_OK)
			return SP_SYSTEM;
		tx->length_octets[i] = tx->length[i].octets;
	}
	return SP_OK;
}

void
length_free(struct verify_tx *tx)
{
	for (size_t i = 0; i < 2; i++)
		canon_body_fini(&tx->length[i]);
}
