/*
 * reply.h - replies: built by one function that lets nothing but printable text out, and read from the backend
 * as untrusted text (RFC 5321 4.2, 2034, 3463; CASES R01-R08).
 */
#ifndef PROXY_SMTP_REPLY_H
#define PROXY_SMTP_REPLY_H

#include "policy/kit/buf.h"

enum { REPLY_LINES = 100, REPLY_OCTETS = 65536, REPLY_TEXT = 480 };

/* Appends one reply of one or more lines ("\n" in text parts lines). enhanced null or "": left out. Octets outside of
 * printable ASCII become '?'; lines are cut at REPLY_TEXT, and REPLY_LINES of them are taken. A "\n" at the end adds no line. */
void reply_add(struct buf *to, int code, const char *enhanced, struct sp_span text);

/* A whole reply of the backend. */
struct smtp_reply {
	int code;                /* 200-599 */
	char enhanced[12];       /* of the first line; "" when there is none, or it does not fit the code's class */
	struct buf text;         /* lines joined by "\n", without codes (enhanced ones of the code's class too), not yet
	                          * cleaned but for CR and NUL, which are '?' */
	unsigned lines;
};

/* REPLY_MORE: *used octets were taken, the rest of in is part of a line and must be shown again with more. */
enum reply_result { REPLY_MORE, REPLY_OK, REPLY_BAD };

/* Resumable: zeroed + reply_parser_init. */
struct reply_parser {
	struct smtp_reply reply;
	size_t octets;
	const char *error; /* REPLY_BAD: why */
};
void reply_parser_init(struct reply_parser *p);
void reply_parser_fini(struct reply_parser *p);
/* Takes whole lines from in. REPLY_OK: p->reply is complete, *used octets were taken, more may follow (the next
 * reply of a pipelined group). Bare LF ends a line here too (liberal in what a backend sends), but CR or NUL inside is cleaned.
 * REPLY_BAD: not a reply, codes differ within it, over a limit. */
enum reply_result reply_parse(struct reply_parser *p, struct sp_span in, size_t *used);
/* Begins the next reply. */
void reply_parser_next(struct reply_parser *p);

static inline int
reply_class(int code)
{
	return code / 100;
}

/* The backend's queue id in the text of its 250 to the final dot: Postfix "queued as X", Exim "id=X", OpenSMTPD
 * "X Message accepted", Exchange "[InternalId=...]", sendmail "X Message accepted for delivery"; empty: none seen. */
struct sp_span reply_queue_id(struct sp_span text);

#endif
