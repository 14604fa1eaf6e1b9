/*
 * fuzz_mailauth_key.c - key records of any octets: a key comes out where no fault does, and nothing else.
 */
#include <openssl/err.h>
#include <stdlib.h>

#include "mailauth/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct key k;
	enum key_fault fault = key_parse((struct sp_span){ (const char *)data, size }, &k);

	if ((fault == KEY_OK) != (k.pkey != NULL))
		abort();
	if (fault == KEY_OK && k.type == KEY_RSA && (k.bits < 1024 || k.bits > 8192))
		abort();
	if (ERR_peek_error() != 0)
		abort();
	key_fini(&k);
	return 0;
}
