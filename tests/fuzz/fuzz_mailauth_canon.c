/*
 * fuzz_mailauth_canon.c - a body hashes to the same however it is cut.
 *
 * Input: a form and a size of pieces, then the body, which is taken for a field as well.
 */
#include <stdlib.h>
#include <string.h>

#include "mailauth/canon.h"
#include "mailauth/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t
body_hash(enum canon form, struct sp_span text, size_t piece, int64_t limit, unsigned char hash[static EVP_MAX_MD_SIZE])
{
	struct canon_body b;
	size_t len = 0;

	if (canon_body_init(&b, EVP_sha256(), form, limit) != SP_OK)
		abort();
	while (text.len > 0) {
		struct sp_span chunk = piece == 0 ? text : text_head(text, piece);

		canon_body_add(&b, chunk);
		text = text_from(text, chunk.len);
	}
	if (canon_body_end(&b, hash, &len) != SP_OK || len != CANON_HASH)
		abort();
	canon_body_fini(&b);
	return b.octets;
}

static void
check_body(enum canon form, struct sp_span text, size_t piece)
{
	unsigned char whole[EVP_MAX_MD_SIZE], pieces[EVP_MAX_MD_SIZE];
	int64_t octets = body_hash(form, text, 0, -1, whole);

	if (body_hash(form, text, piece, -1, pieces) != octets || memcmp(whole, pieces, CANON_HASH) != 0)
		abort();
	/* the most that may come of it: a line end behind all */
	if (octets > (int64_t)text.len + 2)
		abort();
	if (body_hash(form, text, piece, octets, pieces) != octets || memcmp(whole, pieces, CANON_HASH) != 0)
		abort();
	if (octets > 0 && (body_hash(form, text, piece, octets - 1, pieces) != octets || memcmp(whole, pieces, CANON_HASH) == 0))
		abort();
}

static void
check_field(enum canon form, struct sp_span field)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char hash[EVP_MAX_MD_SIZE];

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		abort();
	if (!canon_field(md, form, field, true) || !canon_unsigned_field(md, form, field))
		abort();
	if (EVP_DigestFinal_ex(md, hash, NULL) != 1)
		abort();
	EVP_MD_CTX_free(md);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span text;
	enum canon form;

	if (size < 2)
		return 0;
	form = data[0] & 1 ? CANON_RELAXED : CANON_SIMPLE;
	text = (struct sp_span){ (const char *)data + 2, size - 2 };
	check_body(form, text, data[1] % 16u + 1);
	check_field(form, text);
	return 0;
}
