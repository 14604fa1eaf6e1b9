/*
 * original.h - the servers that clients of a transparent listener wanted to reach: a backend for each, made when it is first
 * asked for.
 */
#ifndef PROXY_MASTER_ORIGINAL_H
#define PROXY_MASTER_ORIGINAL_H

#include "proxy/relay/relay.h"

struct original;

/* The backend at that address, which is spoken to as like says; to be released by original_leave(). Asks it for its offer if that
 * is not known, without waiting for the answer. Null: no memory, or too many at once. */
struct original *original_enter(const struct relay_config *like, const struct sp_ip *ip, uint16_t port);
void original_leave(struct original **o);
struct relay_backend *original_backend(const struct original *o);
/* Closes idle connections and forgets servers that nobody has asked for of late: to be called every few seconds. */
void originals_sweep(void);
void originals_free(void);

#endif
