/*
 * services.h - the settings of what filters and sessions stand on: DNS and spool.
 */
#ifndef PROXY_MASTER_SERVICES_H
#define PROXY_MASTER_SERVICES_H

#include "policy/policy.h"
#include "proxy/dns/dns.h"
#include "proxy/spool/spool.h"

/* "resolver", "dns timeout", "dns cache"; texts live in a. */
struct dns_config services_dns(const struct policy *p, struct arena *a);
/* The block "spool", or what is usual without one; texts live with the policy. */
struct spool_config services_spool(const struct policy *p);

#endif
