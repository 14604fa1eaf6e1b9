/*
 * privilege.h - the account that workers run as, and the one right that may go with it.
 */
#ifndef PROXY_MASTER_PRIVILEGE_H
#define PROXY_MASTER_PRIVILEGE_H

#include "proxy/master/config.h"

/* Becomes user (null: nobody else) if we are root. keep: the right to use addresses that are not ours, CAP_NET_RAW, and nothing
 * else, outlives that. False: it has been said on standard error why not. */
bool privilege_drop(const char *user, bool keep);

/* For good: no core file, since it would hold mail; no tracing, no new rights by way of another program; and as many descriptors
 * as we can have. */
void privilege_limit(void);

/* Does anything in the policy need that right? */
bool privilege_wanted(const struct config *c);
/* Have we got it, if it is needed? Else it has been said on standard error by what it is needed. */
bool privilege_suffices(const struct config *c);

#endif
