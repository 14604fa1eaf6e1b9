/*
 * fuzz_dkim_key.c - a key record of any octets, for a signature that is right in all but what it signs.
 */
#include "tests/fuzz/dkim_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sp_span signatures[] = {
		TEXT(" v=1; a=rsa-sha256; d=example.org; s=s; t=1; h=from:subject; bh=AAAA; b=AAAA"),
		TEXT(" v=1; a=ed25519-sha256; d=example.org; s=s; i=a@b.example.org; h=from; bh=AAAA; b=AAAA"),
		TEXT(" v=1; a=rsa-sha1; d=example.org; s=s; x=2; l=1; h=from:from; bh=AAAA; b=AAAA"),
	};

	host_record = (struct sp_span){ (const char *)data, size };
	host_verify(signatures[size % 3]);
	return 0;
}
