/*
 * authres.h - reading an Authentication-Results value (RFC 8601 2.2), as ARC-Authentication-Results carries it.
 */
#ifndef MAILAUTH_AUTHRES_H
#define MAILAUTH_AUTHRES_H

#include <sallyport/filter.h>

/* A cursor over one value; spans point into it. */
struct authres {
	struct sp_span rest;
	struct sp_span id; /* authserv-id, without quotes; no escapes undone */
};
struct authres_item {
	struct sp_span method, result; /* without version, comments */
	struct sp_span props;          /* what follows them up to ';' */
};

/* SP_INVALID: it does not begin with an authserv-id. For ARC cut "i=N;" off before. */
enum sp_status authres_init(struct authres *a, struct sp_span value);
/* SP_NONE: no more; SP_INVALID: what follows is no result. */
enum sp_status authres_next(struct authres *a, struct authres_item *ret);
/* The value of "ptype.name=value" in an item; false: not there. */
bool authres_prop(const struct authres_item *item, const char *ptype, const char *name, struct sp_span *ret);
/* Takes white space, folds and comments off the front; false: a comment does not end. */
bool authres_skip_cfws(struct sp_span *s);

#endif
