/*
 * proxy_priv.h - what the files of the PROXY protocol share.
 */
#ifndef PROXY_NET_PROXY_PRIV_H
#define PROXY_NET_PROXY_PRIV_H

#include "proxy/net/proxy.h"

enum { PROXY2_SIGNATURE = 12 };
extern const char proxy2_signature[PROXY2_SIGNATURE];

#endif
