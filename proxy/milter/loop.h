/*
 * loop.h - the thread that has the loop: filters, DNS, policy and log live there.
 */
#ifndef PROXY_MILTER_LOOP_H
#define PROXY_MILTER_LOOP_H

#include "proxy/milter/config.h"

/* Starts it; all signals but SIGUSR1 (the log is opened anew) are for others. False: said on standard error why not. */
bool loop_start(const struct milter_config *c);
/* Ends it: what is asked meanwhile is deferred, all sessions end. */
void loop_stop(void);

#endif
