/*
 * guest_priv.h - one connection of libmilter's, for guest.c (callbacks) and carry.c (what an answer asks for).
 */
#ifndef PROXY_MILTER_GUEST_PRIV_H
#define PROXY_MILTER_GUEST_PRIV_H

#include <stdbool.h> /* or else mfapi.h makes one of its own */

#include <libmilter/mfapi.h>

#include "policy/kit/buf.h"
#include "proxy/milter/judge.h"

struct guest {
	struct judge *judge;  /* belongs to the loop's thread */
	unsigned long actions, protocol; /* what was agreed on, bits of SMFIF_ and SMFIP_ */
	struct buf content;   /* that has not gone over yet */
	bool decided;         /* this message has its verdict: what else comes of it is not looked at */
	bool owes;            /* ... and the mail server has not heard it yet: it waits for no answer to a piece */
	struct answer owed;
};

/* Carries out what is asked for at the end of a message; false: it could not be done. */
bool carry_changes(SMFICTX *ctx, const struct guest *g, const struct answer *a);
/* Tells the reply, and what libmilter is to be returned for it. */
sfsistat carry_reply(SMFICTX *ctx, const struct answer *a);

#endif
