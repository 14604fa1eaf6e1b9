/*
 * original.c - see original.h.  A short list, in this process's heap: behind one gateway there are few servers.
 */
#include "proxy/master/original.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"

enum {
	ORIGINALS_MAX = 1024,
	OFFER_AGE_MS = 60000,
	FORGET_MS = 600000
};

struct original {
	struct original *next;
	const struct relay_config *like;
	struct net_endpoint endpoint;
	struct relay_backend *backend;
	size_t users;
	int64_t used_ms;
};

static struct original *originals; /* of this worker */
static size_t count;

static void
forget(struct original **at)
{
	struct original *gone = *at;

	*at = gone->next;
	relay_backend_free(&gone->backend);
	free(gone);
	count--;
}

static struct original *
make(const struct relay_config *like, const struct net_endpoint *endpoint)
{
	struct relay_config config = *like;
	struct original *o = count < ORIGINALS_MAX ? calloc(1, sizeof(*o)) : NULL;

	if (o == NULL)
		return NULL;
	o->like = like;
	o->endpoint = *endpoint;
	config.endpoints = &o->endpoint;
	config.endpoint_count = 1;
	config.mx = config.sink = NULL;
	o->backend = relay_backend_new(&config);
	if (o->backend == NULL) {
		free(o);
		return NULL;
	}
	o->next = originals;
	originals = o;
	count++;
	return o;
}

static void
probe(void *arg)
{
	struct original *o = arg;

	relay_backend_probe(o->backend, OFFER_AGE_MS);
	original_leave(&o);
}

struct original *
original_enter(const struct relay_config *like, const struct sp_ip *ip, uint16_t port)
{
	struct net_endpoint e = { .kind = NET_IP, .ip = *ip, .port = port };
	struct original *o = originals;
	char text[46];

	snprintf(e.text, sizeof(e.text), ip->family == 6 ? "[%s]:%u" : "%s:%u", span_from_ip(ip, text).ptr, (unsigned)port);
	while (o != NULL && (o->like != like || o->endpoint.port != port || !ip_eq(&o->endpoint.ip, ip)))
		o = o->next;
	if (o == NULL)
		o = make(like, &e);
	if (o == NULL)
		return NULL;
	o->users += 2;
	if (co_start(probe, o, NULL) != SP_OK)
		o->users--;
	return o;
}

void
original_leave(struct original **o)
{
	if (*o == NULL)
		return;
	(*o)->users--;
	(*o)->used_ms = rt_now_ms();
	*o = NULL;
}

struct relay_backend *
original_backend(const struct original *o)
{
	return o->backend;
}

void
originals_sweep(void)
{
	struct original **at = &originals;

	while (*at != NULL) {
		relay_backend_sweep((*at)->backend);
		if ((*at)->users == 0 && rt_now_ms() - (*at)->used_ms > FORGET_MS)
			forget(at);
		else
			at = &(*at)->next;
	}
}

void
originals_free(void)
{
	while (originals != NULL)
		forget(&originals);
}
