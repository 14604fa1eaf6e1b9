/* crowd.c - see crowd.h.  Chained hash over the octets that make a client one; nodes exist while counted. */
#include "proxy/master/crowd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { CROWD_BUCKETS = 4096, CLIENT_OCTETS = 9 };

struct node {
	struct node *next;
	unsigned count;
	uint8_t client[CLIENT_OCTETS];
};

struct crowd {
	uint64_t seed;
	struct node *buckets[CROWD_BUCKETS];
};

struct crowd *
crowd_new(void)
{
	struct crowd *c = calloc(1, sizeof(*c));

	if (c != NULL && getrandom(&c->seed, sizeof(c->seed), 0) != sizeof(c->seed)) {
		free(c);
		return NULL;
	}
	return c;
}

void
crowd_free(struct crowd **c)
{
	if (*c == NULL)
		return;
	for (size_t i = 0; i < CROWD_BUCKETS; i++)
		while ((*c)->buckets[i] != NULL) {
			struct node *n = (*c)->buckets[i];

			(*c)->buckets[i] = n->next;
			free(n);
		}
	free(*c);
	*c = NULL;
}

static void
client_of(const struct sp_ip *ip, uint8_t client[static CLIENT_OCTETS])
{
	memset(client, 0, CLIENT_OCTETS);
	client[0] = ip->family;
	memcpy(client + 1, ip->bytes, ip->family == 4 ? 4 : 8);
}

static struct node **
find(struct crowd *c, const uint8_t client[static CLIENT_OCTETS])
{
	uint64_t h = c->seed;
	struct node **at;

	for (size_t i = 0; i < CLIENT_OCTETS; i++)
		h = (h ^ client[i]) * 0x100000001b3u;
	at = &c->buckets[(h ^ (h >> 29)) % CROWD_BUCKETS];
	while (*at != NULL && memcmp((*at)->client, client, CLIENT_OCTETS) != 0)
		at = &(*at)->next;
	return at;
}

unsigned
crowd_enter(struct crowd *c, const struct sp_ip *ip)
{
	uint8_t client[CLIENT_OCTETS];
	struct node **at;

	client_of(ip, client);
	at = find(c, client);
	if (*at == NULL) {
		*at = calloc(1, sizeof(**at));
		if (*at == NULL)
			return 1;
		memcpy((*at)->client, client, CLIENT_OCTETS);
	}
	return ++(*at)->count;
}

void
crowd_leave(struct crowd *c, const struct sp_ip *ip)
{
	uint8_t client[CLIENT_OCTETS];
	struct node **at, *gone;

	client_of(ip, client);
	at = find(c, client);
	if (*at == NULL || --(*at)->count > 0)
		return;
	gone = *at;
	*at = gone->next;
	free(gone);
}
