/*
 * line.c - see line.h.  Holds no memory: text points into the caller's buffer (RFC 5321 2.3.8, 4.5.3.1.4).
 */
#include "proxy/smtp/line.h"

#include "policy/kit/span.h"

/* Offset of the first CRLF, or in.len. */
static size_t
find_crlf(struct sp_span in)
{
	size_t at = 0;

	for (;;) {
		at += span_find(span_from(in, at), '\n');
		if (at >= in.len || (at > 0 && in.ptr[at - 1] == '\r'))
			break;
		at++;
	}
	return at >= in.len ? in.len : at - 1;
}

/* All of in, but a last CR, whose LF may still come. */
static size_t
without_last_cr(struct sp_span in)
{
	return in.len > 0 && in.ptr[in.len - 1] == '\r' ? in.len - 1 : in.len;
}

static enum line_result
skip(struct line_reader *r, struct sp_span in, size_t *used)
{
	size_t end = find_crlf(in);

	if (end == in.len) {
		*used = without_last_cr(in);
		r->skipped += *used;
		return LINE_MORE;
	}
	*used = end + 2;
	r->skipped = 0;
	return LINE_OK;
}

/* A line of more than max octets: what comes before its CRLF is thrown away. */
static enum line_result
skip_begin(struct line_reader *r, struct sp_span in, size_t *used)
{
	size_t end = find_crlf(in);

	*used = end < in.len ? end : without_last_cr(in);
	r->skipped = *used;
	return LINE_LONG;
}

/* body: a line without its LF. */
static enum line_result
judge(struct sp_span body, struct sp_span *text)
{
	size_t cr = span_find(body, '\r'), nul = span_find(body, '\0');

	if (nul < cr)
		return LINE_NUL;
	if (cr == body.len)
		return LINE_BARE_LF;
	if (cr < body.len - 1)
		return LINE_BARE_CR;
	*text = span_head(body, cr);
	return LINE_OK;
}

enum line_result
line_next(struct line_reader *r, struct sp_span in, size_t max, struct sp_span *text, size_t *used)
{
	size_t lf = span_find(in, '\n');
	size_t len = lf > 0 && in.ptr[lf - 1] == '\r' ? lf - 1 : lf;

	*text = span_of(NULL, 0);
	*used = 0;
	if (r->skipped > 0)
		return skip(r, in, used);
	if (len > max)
		return skip_begin(r, in, used);
	if (lf == in.len)
		return LINE_MORE;
	*used = lf + 1;
	return judge(span_head(in, lf), text);
}
