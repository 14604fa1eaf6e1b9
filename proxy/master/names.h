/*
 * names.h - what we call ourselves: settings that are host names.
 */
#ifndef PROXY_MASTER_NAMES_H
#define PROXY_MASTER_NAMES_H

#include "policy/policy.h"

/* Where what is found goes, and what is wrong with it. */
struct names {
	struct arena *arena;
	const struct policy *policy;
	struct policy_diag *diag;
};

/* The machine's own; "localhost" if it has none. */
const char *names_system(struct arena *a);
/* The setting, or the machine's own: it goes into banners, trace fields and EHLO as it is. Never null. */
const char *names_host(const struct names *n, const struct policy_block *b, const char *key);
/* The setting "authserv-id" (RFC 8601 section 2.5), or the host name given. */
const char *names_auth_id(const struct names *n, const struct policy_block *b, const char *hostname);

#endif
