/*
 * guesses.c - logins that were refused to each client of this worker in the last hour, over all of its sessions.
 *
 * One IPv4 address or one IPv6 /64 is one client.  A table of fixed size, in sets of a few: where a set is full, the client that was
 * refused longest ago is forgotten.  Where a client's set lies is nobody's to choose.
 */
#include "proxy/session/session_priv.h"

#include <string.h>
#include <sys/random.h>

#include "policy/kit/must.h"
#include "proxy/rt/rt.h"

enum { SETS = 1024, WAYS = 4, HOUR_MS = 3600 * 1000 };

static struct guesser {
	uint64_t client;
	uint8_t family;
	int64_t since_ms; /* the first of those counted */
	unsigned count;   /* 0: nobody */
} table[SETS][WAYS];

static uint64_t
client_of(const struct sp_ip *ip)
{
	static uint64_t seed;
	uint64_t z = 0;

	if (seed == 0)
		MUST(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
	memcpy(&z, ip->bytes, ip->family == 4 ? 4 : 8);
	z = (z ^ seed) * 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9u; /* each step can be undone: two of a family are never one */
	return z ^ (z >> 32);
}

static struct guesser *
find(uint64_t client, uint8_t family, int64_t now)
{
	struct guesser *set = table[client % SETS];

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].count > 0 && set[i].client == client && set[i].family == family && now - set[i].since_ms < HOUR_MS)
			return &set[i];
	return NULL;
}

unsigned
guesses_count(const struct sp_ip *ip)
{
	const struct guesser *g = find(client_of(ip), ip->family, rt_now_ms());

	return g != NULL ? g->count : 0;
}

void
guesses_note(const struct sp_ip *ip)
{
	uint64_t client = client_of(ip);
	int64_t now = rt_now_ms();
	struct guesser *g = find(client, ip->family, now), *set = table[client % SETS];

	if (g == NULL) {
		g = set;
		for (size_t i = 1; i < WAYS && g->count > 0; i++)
			if (set[i].count == 0 || set[i].since_ms < g->since_ms)
				g = &set[i];
		*g = (struct guesser){ .client = client, .family = ip->family, .since_ms = now };
	}
	g->count++;
}
