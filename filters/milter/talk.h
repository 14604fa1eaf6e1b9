/*
 * talk.h - a client's session and its transactions as told to a milter, command by command.
 *
 * A connection that has served another session may have died meanwhile, and that shows late, since many commands have no
 * answer.  As long as it has not answered in this session, all that was said is said once more over a fresh one.
 */
#ifndef MILTER_TALK_H
#define MILTER_TALK_H

#include "milter/edits.h"

/* Says what the milter has not been told yet of client and HELO name, over a new connection if there is none.  What it decides
 * goes to talk.word. */
enum sp_status talk_greet(struct sp_ctx *ctx);
/* The stages of a transaction; what the milter decides of the message goes to tx.word. Of a recipient: to *ret. */
enum sp_status talk_mail(struct sp_ctx *ctx);
enum sp_status talk_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev, struct word *ret);
enum sp_status talk_data(struct sp_ctx *ctx);
enum sp_status talk_message(struct sp_ctx *ctx, struct edits *ret);
/* A command that is not offered, outside of the messages. */
enum sp_status talk_unknown(struct sp_ctx *ctx, struct sp_span line);
/* The transaction is over, whatever became of it. */
void talk_reset(struct sp_ctx *ctx);
/* Gives the connection back; not good: it is closed. */
void talk_end(struct sp_ctx *ctx, bool good);
/* A conversation has failed: it is given up; and the transaction with it. Returns st, or SP_TEMPFAIL. */
void talk_drop(struct sp_ctx *ctx, enum sp_status st);
enum sp_status talk_fail(struct sp_ctx *ctx, enum sp_status st);

/* ---- for message.c ------------------------------------------------------------------------------ */

/* Does it want to hear this command? */
bool talk_wants(const struct talk *t, enum milter_stage stage);
/* Sends the command that was put, if it is answered, and reads the answer. */
enum sp_status talk_hear(struct sp_ctx *ctx, enum milter_stage stage, struct word *ret);
/* What a reply to that stage means; SP_INVALID, logged: it has no meaning there. */
enum sp_status talk_judge(struct sp_ctx *ctx, enum milter_stage stage, const struct wire_reply *r, struct word *ret);
/* Header, body, end. */
enum sp_status message_tell(struct sp_ctx *ctx, struct edits *ret);

#endif
