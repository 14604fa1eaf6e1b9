/*
 * line.h - command lines, strictly: CRLF ends a line and nothing else does (RFC 5321 2.3.8).
 */
#ifndef PROXY_SMTP_LINE_H
#define PROXY_SMTP_LINE_H

#include <sallyport/filter.h>

enum line_result {
	LINE_OK,      /* text is the line without CRLF, used covers the CRLF too */
	LINE_MORE,    /* no line yet; used is 0, unless an over-long line is being thrown away */
	LINE_BARE_LF, /* used covers the bad line up to its LF; text is empty */
	LINE_BARE_CR,
	LINE_NUL,
	LINE_LONG     /* more than max octets without CRLF; used covers what there is of it */
};

/* Zeroed memory is a valid reader. */
struct line_reader {
	size_t skipped; /* octets of an over-long line thrown away so far; 0: not in one */
};

/* Looks at the front of in.  A line is over-long from its octet max + 1 on, whatever it has inside: LINE_LONG is said
 * once (the caller replies 500 5.5.2), further calls throw away octets (LINE_MORE with used > 0), while r->skipped tells
 * how many there were in all (the caller closes at twice max).  The over-long line's CRLF gives LINE_OK
 * with text {null, 0} and nothing to reply; an empty line's text.ptr is not null. */
enum line_result line_next(struct line_reader *r, struct sp_span in, size_t max, struct sp_span *text,
	size_t *used);

#endif
