/*
 * fuzz_dkim_signature.c - a DKIM-Signature of any octets, through the whole module and the library: nothing is asked for or
 * printed that is no domain name, and nothing passes.
 */
#include "tests/fuzz/dkim_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	host_record = TEXT("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
	host_verify((struct sp_span){ (const char *)data, size });
	return 0;
}
