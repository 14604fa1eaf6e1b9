/*
 * guest.h - the callbacks of libmilter: what it tells goes over the bridge, and the answer is carried out.
 */
#ifndef PROXY_MILTER_GUEST_H
#define PROXY_MILTER_GUEST_H

#include "proxy/milter/config.h"

/* Registers the callbacks and opens the socket (c->socket). c must outlive smfi_main(). False: said on standard error why not. */
bool guest_open(const struct milter_config *c);

#endif
