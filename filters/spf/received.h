/*
 * received.h - the value of a Received-SPF field (RFC 7208 section 9.1).
 */
#ifndef SPF_RECEIVED_H
#define SPF_RECEIVED_H

#include <sallyport/filter.h>

enum { RECEIVED_MAX = 4096 };

struct received_spf {
	const char *result, *reason; /* words of ours; reason may be null */
	const char *identity;
	struct sp_ip client;
	struct sp_span sender, helo; /* as sent */
};

/* Folded, in memory; whatever the client has sent stands quoted where it is no word. */
struct sp_span received_text(const struct received_spf *r, struct sp_span receiver, char memory[static RECEIVED_MAX]);

#endif
