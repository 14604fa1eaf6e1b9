/*
 * bdat.c - see bdat.h.  Holds no memory (RFC 3030 2).
 */
#include "proxy/smtp/bdat.h"

#include "policy/kit/must.h"
#include "policy/kit/span.h"

enum sp_status
bdat_parse(struct sp_span line, struct bdat_command *ret)
{
	struct sp_span verb = SPAN_LIT("BDAT "), rest = span_from(line, verb.len);
	size_t len = span_find(rest, ' ');
	bool last = len < rest.len;
	uint64_t size;

	if (!span_istarts(line, verb) || span_to_u64(span_head(rest, len), INT64_MAX, &size) != SP_OK)
		return SP_INVALID;
	if (last && !span_ieq(span_from(rest, len + 1), SPAN_LIT("LAST")))
		return SP_INVALID;
	*ret = (struct bdat_command){ .size = (int64_t)size, .last = last };
	return SP_OK;
}

bool
bdat_begin(struct bdat *b, const struct bdat_command *c, int64_t max)
{
	MUST(b->left == 0 && !b->last);
	if (c->size > (max > 0 ? max : INT64_MAX) - b->octets)
		return false;
	b->left = c->size;
	b->octets += c->size;
	b->last = c->last;
	b->chunks++;
	return true;
}

bool
bdat_feed(struct bdat *b, struct data_parser *p, struct sp_span in, const struct data_sink *sink, size_t *used)
{
	bool end;

	if ((int64_t)in.len > b->left)
		in.len = (size_t)b->left;
	end = data_feed(p, in, sink, used);
	MUST(!end && *used == in.len); /* counted content has no end of its own */
	b->left -= (int64_t)in.len;
	if (b->left == 0 && b->last && !b->whole) {
		b->whole = true;
		b->ended = data_end(p, sink);
	}
	return b->left == 0;
}
