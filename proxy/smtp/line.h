/*
 * line.h - command lines, strictly: CRLF ends a line and nothing else does (RFC 5321 2.3.8).
 */
#ifndef PROXY_SMTP_LINE_H
#define PROXY_SMTP_LINE_H

#include <sallyport/filter.h>

enum line_result {
	LINE_OK,      /* text is the line without CRLF, used covers the CRLF too */
	LINE_MORE,    /* no line yet; used is 0 */
	LINE_BARE_LF, /* used covers the bad line; text is empty */
	LINE_BARE_CR,
	LINE_NUL,
	LINE_LONG     /* more than max octets without CRLF; used covers what is there: call again with skip */
};

/* Zeroed memory is a valid reader. */
struct line_reader {
	size_t skipped; /* octets of an over-long line thrown away so far; 0: not in one */
};

/* Looks at the front of in. After LINE_LONG, further calls throw away octets (LINE_MORE with used > 0)
 * until the over-long line's end, which is returned as LINE_OK with text empty and *ret_long true. */
enum line_result line_next(struct line_reader *r, struct sp_span in, size_t max, struct sp_span *text,
	size_t *used);

#endif
