/*
 * link.h - one connection to a milter: packets out, replies in.
 *
 * The heap's, with all that is in it, from link_open() to link_free().  Replies are valid until the next call.
 */
#ifndef MILTER_LINK_H
#define MILTER_LINK_H

#include "milter/milter.h"

struct link {
	struct link *next; /* of those that wait for a session */
	int64_t parked_ms;
	struct sp_conn *conn;
	struct wire_out out; /* what has not been sent yet */
	char *in;
	size_t in_at, in_len, in_size;
	char *scratch;
	size_t scratch_size;
	struct wire_options agreed; /* lists lie in list_text */
	char *list_text;
	bool reused;  /* it has served another session */
	bool replied; /* it has answered in this one */
	bool muted;   /* it was told what it has agreed not to answer */
};

/* Connects and negotiates.  Whatever fails is logged, and a status other than SP_OK and SP_NONE. */
enum sp_status link_open(struct sp_ctx *ctx, struct link **ret);
void link_free(const struct sp_host *host, struct link **l);
/* Gives back what memory a message took. */
void link_trim(struct link *l);
/* Sends what is in out. */
enum sp_status link_send(struct sp_ctx *ctx, struct link *l);
/* The same once there is much of it. */
enum sp_status link_send_much(struct sp_ctx *ctx, struct link *l);
/* The same for a command that it has agreed not to answer. */
enum sp_status link_mute(struct sp_ctx *ctx, struct link *l);
/* Has it said nothing more than was asked for?  Else SP_INVALID, logged: what comes next would be taken for the answer to another command. */
enum sp_status link_quiet(struct sp_ctx *ctx, struct link *l);
/* Sends what is in out, then waits for a reply, for timeout_ms after the milter's last sign of progress.  SP_GONE SP_TIMEOUT
 * SP_INVALID SP_LIMIT, logged. */
enum sp_status link_reply(struct sp_ctx *ctx, struct link *l, int64_t timeout_ms, struct wire_reply *ret);

static inline bool
link_has(const struct link *l, uint32_t protocol)
{
	return (l->agreed.protocol & protocol) != 0;
}

#endif
