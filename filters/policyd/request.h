/*
 * request.h - a question to a policy server: lines "name=value" and an empty line.
 */
#ifndef FILTERS_POLICYD_REQUEST_H
#define FILTERS_POLICYD_REQUEST_H

#include <sallyport/filter.h>

enum { REQUEST_MAX = 16384, REQUEST_VALUE = 1024 };

/* Zeroed, it is an empty one. */
struct request {
	size_t len;
	bool full; /* something did not fit: it must not be sent */
	char bytes[REQUEST_MAX];
};

/* What the events have told; the rest is asked from the program by name. */
struct request_facts {
	const char *state; /* of the protocol: "RCPT" */
	bool esmtp;
	struct sp_ip client;
	uint16_t port;
	struct sp_span sender, sasl_sender, recipient;
	size_t recipients;
	int64_t size;
	const char *instance;
	struct sp_span context;
};

/* Adds one attribute.  Octets that would break the line become '?'; a value longer than REQUEST_VALUE is cut. */
void request_add(struct request *r, const char *name, struct sp_span value);
/* The same for what a stranger's certificate says: all but printable ASCII, and '+' and '=', becomes "+XX". */
void request_add_xtext(struct request *r, const char *name, struct sp_span value);

/* The whole question. May suspend: the client's name is asked from the DNS. */
void request_build(struct sp_ctx *ctx, const struct request_facts *facts, struct request *ret);

#endif
