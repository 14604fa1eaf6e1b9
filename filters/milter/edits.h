/*
 * edits.h - what a milter changes in a message: collected while it answers, carried out when it has let the message pass.
 */
#ifndef MILTER_EDITS_H
#define MILTER_EDITS_H

#include "milter/link.h"

struct edit;

/* Zeroed, it is empty. All of it is the transaction's memory. */
struct edits {
	struct edit *first, *last;
	size_t count, octets;
	bool body_open; /* the new body does not end in a line end so far */
	bool quarantined;
	struct sp_span quarantine; /* why */
};

/* Takes an edit, which must have been agreed on.  SP_NONE: this reply is none.  SP_INVALID SP_LIMIT SP_SYSTEM, logged. */
enum sp_status edits_take(struct sp_ctx *ctx, const struct link *l, struct edits *e, const struct wire_reply *r);
/* Carries them out, in their order.  Not SP_OK: the host refuses one of them, and the message must not go on. */
enum sp_status edits_apply(struct sp_ctx *ctx, const struct link *l, struct edits *e);

#endif
