/*
 * tags.h - tag lists, "v=1; a=rsa-sha256; d=example.org" (RFC 6376 3.2; RFC 7489 6.3 and RFC 8617 use the same).
 *
 * Spans point into the text that was parsed.
 */
#ifndef MAILAUTH_TAGS_H
#define MAILAUTH_TAGS_H

#include <sallyport/filter.h>

enum { TAGS_MAX = 64 };

struct tag {
	struct sp_span name, value; /* value: without white space at both ends; folds inside stay */
};
struct tags {
	struct tag items[TAGS_MAX];
	size_t count;
};

/* SP_INVALID: not a tag list (no '=', a name that is none, an octet that a value may not have) or a name twice;
 * SP_LIMIT: more than TAGS_MAX.  A ';' at the end is allowed, empty pieces elsewhere are not. */
enum sp_status tags_parse(struct tags *t, struct sp_span text);
/* By exact name; false: not there. */
bool tags_get(const struct tags *t, const char *name, struct sp_span *ret);
/* Copies s without any white space (FWS inside base64, lists) to memory of max octets; false: no room. */
bool tags_squeeze(struct sp_span s, char *memory, size_t max, struct sp_span *ret);

#endif
