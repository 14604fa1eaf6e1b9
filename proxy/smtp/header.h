/*
 * header.h - splits the header block from the stream of content octets (RFC 5322 2.2).
 *
 * One parser decides where the header ends, for filters, facts and edits alike: at the empty line, or before the
 * first line that is no field and no continuation (then the body begins with that line).  A field whose name is
 * followed by blanks before the colon is a fault (CASES H01).
 */
#ifndef PROXY_SMTP_HEADER_H
#define PROXY_SMTP_HEADER_H

#include "policy/kit/arena.h"
#include "policy/kit/buf.h"

struct header_field {
	struct sp_span name;  /* as sent */
	struct sp_span value; /* after the colon, folded as sent, without the last CRLF */
	struct sp_span field; /* the whole field without its last CRLF */
};

enum header_fault { HEADER_TOO_BIG = 1, HEADER_TOO_MANY = 2, HEADER_BAD_NAME = 4 };

struct header_config {
	size_t max_octets;  /* of the block, default 256 KiB */
	size_t max_fields;  /* default 10000 */
};

/* The block is kept whole in one buffer of at most max_octets; fields point into it and are final once complete. */
struct header_block {
	struct header_config config;
	struct buf text;     /* the header's octets, with the empty line if there was one */
	struct header_field *fields;
	size_t count, room;
	size_t line_start, field_start;
	bool complete;
	bool had_empty_line;
	unsigned faults;
	unsigned received;   /* number of Received fields */
};

void header_init(struct header_block *h, const struct header_config *config);
void header_fini(struct header_block *h);
/* Takes content octets until the header is complete: *used is where the body begins. True once complete. */
bool header_feed(struct header_block *h, struct sp_span in, size_t *used);
/* The message has ended: whatever is there is the header (or, a line that is no field, the body; then *ret_body has it). */
void header_end(struct header_block *h, struct sp_span *ret_body);

/* First field of that name from index on; null: none. */
const struct header_field *header_find(const struct header_block *h, struct sp_span name, size_t index);
/* Value unfolded, blanks at both ends cut, into a; RFC 2047 is not decoded. */
struct sp_span header_unfold(struct arena *a, struct sp_span value);

/* Is it a name and a value that may be written: ftext name; value of CRLF only before a blank, no NUL, lines <= 998. */
bool header_may_write(struct sp_span name, struct sp_span value);

#endif
