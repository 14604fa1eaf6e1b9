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

enum header_fault {
	HEADER_TOO_BIG = 1,
	HEADER_TOO_MANY = 2,
	HEADER_BAD_NAME = 4, /* blanks or a fold before the colon, no name, or a first line that is a field but for its indent */
	HEADER_MEMORY = 8,   /* 451: there was none */
	HEADER_SEVERAL_FROM = 16 /* more than one From field: readers show one of them, and it need not be the one that was signed */
};

struct header_config {
	size_t max_octets;  /* of the block with its empty line; 0: 256 KiB */
	size_t max_fields;  /* 0: 10000 */
};

/* The block is kept whole in one buffer of at most max_octets; fields point into it and exist once it is complete. At a
 * limit it is complete too, with the fields before, and the rest counts as body: such a message is to be refused. */
struct header_block {
	struct header_config config;
	struct buf text;     /* the header's octets, with the empty line if there was one */
	struct header_field *fields;
	size_t count;
	size_t line_start;   /* of the line being read */
	size_t name_end;     /* not 0: that line is a name without a colon, and the next one, from here, is looked at too */
	struct sp_span held; /* once complete: the body's first octets, taken by earlier calls before it was known */
	bool complete;
	bool had_empty_line;
	unsigned faults;
	unsigned received;   /* number of Received fields */
	unsigned from;       /* number of From fields */
};

void header_init(struct header_block *h, const struct header_config *config);
void header_fini(struct header_block *h);
/* Takes content octets until the header is complete. True once it is: the body is h->held (mostly empty) and then in from
 * *used on. */
bool header_feed(struct header_block *h, struct sp_span in, size_t *used);
/* The message has ended: whatever is there is the header (or, a line that is no field, the body; then *ret_body has it).
 * Does nothing, with an empty *ret_body, when the header was complete before. */
void header_end(struct header_block *h, struct sp_span *ret_body);

/* First field of that name from index on; null: none. */
const struct header_field *header_find(const struct header_block *h, struct sp_span name, size_t index);
/* Value unfolded, blanks at both ends cut, into a; RFC 2047 is not decoded. {null, 0}: no memory. */
struct sp_span header_unfold(struct arena *a, struct sp_span value);

/* Is it a name and a value that may be written: ftext name; value of CRLF only before a blank, no NUL, lines <= 998 and, if
 * folded, not of blanks only. */
bool header_may_write(struct sp_span name, struct sp_span value);

#endif
