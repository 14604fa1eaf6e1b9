/*
 * crowd.h - how many connections each client has: one IPv4 address or one IPv6 /64 is one client.
 */
#ifndef PROXY_MASTER_CROWD_H
#define PROXY_MASTER_CROWD_H

#include <sallyport/filter.h>

struct crowd;
struct crowd *crowd_new(void); /* null: no memory */
void crowd_free(struct crowd **c);
/* Counts one more and returns the new count; 1 also when there is no memory to count. */
unsigned crowd_enter(struct crowd *c, const struct sp_ip *ip);
void crowd_leave(struct crowd *c, const struct sp_ip *ip);

#endif
