/*
 * reply.h - what a server or a program wants a client to be told, made fit to be told.
 *
 * The text goes through the transaction's memory. It may be anything: what is not printable ASCII becomes '?', and what is too long
 * is cut.
 */
#ifndef FILTERS_LINEWIRE_REPLY_H
#define FILTERS_LINEWIRE_REPLY_H

#include <sallyport/filter.h>

enum { WIRE_REPLY_TEXT = 400 };

/* A code with what follows it: "[5.7.1] [text]".  A class in the text that is not the code's is made so; without text it is "Access
 * denied".  SP_LIMIT: no memory. */
enum sp_status wire_reply(struct sp_ctx *ctx, int code, struct sp_span text, struct sp_reply *ret);

/* "550 5.7.1 text". SP_INVALID: it does not begin with 4xx or 5xx and a blank. */
enum sp_status wire_reply_line(struct sp_ctx *ctx, struct sp_span line, struct sp_reply *ret);

#endif
