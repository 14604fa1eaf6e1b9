/*
 * bdat.h - a message in chunks whose octets are counted (RFC 3030; CASES B02).
 *
 * The counter alone says where a chunk ends and the next command begins: nothing in it is looked at for that.  The octets go
 * through a data parser of counted content, so the checks are those of DATA, and dots are stuffed afresh over the edges
 * of chunks.
 */
#ifndef PROXY_SMTP_BDAT_H
#define PROXY_SMTP_BDAT_H

#include "proxy/smtp/data.h"

struct bdat_command {
	int64_t size;
	bool last;
};
/* A whole command line, "BDAT 1000 LAST", without its CRLF; exactly one blank between the words.  SP_INVALID: anything else,
 * or more than 2^63 - 1 octets. */
enum sp_status bdat_parse(struct sp_span line, struct bdat_command *ret);

/* Zeroed memory is a message of which no chunk has come. */
struct bdat {
	int64_t left;    /* octets of the present chunk that have not come */
	int64_t octets;  /* of all chunks begun */
	uint64_t chunks; /* begun */
	bool last;       /* the present chunk is the last */
	bool whole;      /* it has come */
	bool ended;      /* whole: the content was empty, or its last octets are CRLF */
};
/* The next chunk begins; the last one has come, and was not the LAST.  False: the message would have more than max octets (0: any);
 * nothing was begun. */
bool bdat_begin(struct bdat *b, const struct bdat_command *c, int64_t max);
/* Takes octets of the chunk: true when all of it has come; *used octets were taken, all of in when false.  An empty chunk wants
 * one call too.  p: of counted content. */
bool bdat_feed(struct bdat *b, struct data_parser *p, struct sp_span in, const struct data_sink *sink, size_t *used);

#endif
