/*
 * keycache.c - public keys that were read before (see keycache.h).
 *
 * Memory: the cache's own references to OpenSSL's keys, let go when they are overwritten and when the module is unloaded.
 * Sessions of a process take turns and none suspends in here, so there is no lock.
 */
#include "mailauth/keycache.h"

#include <string.h>

enum { KEYS = 256 };

static struct {
	struct keycache_place place;
	struct key key;
	enum key_fault fault;
} cache[KEYS];

bool
keycache_find(struct sp_span record, struct keycache_place *place, struct key *ret, enum key_fault *ret_fault)
{
	unsigned n;

	place->valid = EVP_Digest(record.ptr, record.len, place->digest, NULL, EVP_sha256(), NULL) == 1;
	n = place->digest[0];
	if (!place->valid || !cache[n].place.valid ||
		memcmp(cache[n].place.digest, place->digest, sizeof(place->digest)) != 0)
		return false;
	if (cache[n].key.pkey != NULL && EVP_PKEY_up_ref(cache[n].key.pkey) != 1)
		return false;
	*ret = cache[n].key;
	*ret_fault = cache[n].fault;
	return true;
}

void
keycache_add(const struct keycache_place *place, const struct key *k, enum key_fault fault)
{
	unsigned n = place->digest[0];

	if (!place->valid || (k->pkey != NULL && EVP_PKEY_up_ref(k->pkey) != 1))
		return;
	key_fini(&cache[n].key);
	cache[n].place = *place;
	cache[n].key = *k;
	cache[n].fault = fault;
}

__attribute__((destructor)) static void
keycache_clear(void)
{
	for (size_t n = 0; n < KEYS; n++)
		key_fini(&cache[n].key);
}
