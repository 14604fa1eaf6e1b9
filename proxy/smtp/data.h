/*
 * data.h - the octets after 354, strictly: one end only, CR LF . CR LF, or . CR LF as the first line.
 *
 * Resumable at any octet.  A bare CR, bare LF or NUL is a fault (or becomes a space, if so configured);
 * after a fault the parser goes on to the true end of data but hands out nothing more, so the reply
 * comes where the client waits for it (RFC 5321 4.1.1.4, 4.5.2; CASES S01-S22).  The same checks hold for octets whose end
 * is known by their number (RFC 3030; bdat.h): there the wire form gets dots of our own.
 */
#ifndef PROXY_SMTP_DATA_H
#define PROXY_SMTP_DATA_H

#include <sallyport/filter.h>

enum data_fault { /* bits; the first in this order gives the reply */
	DATA_BARE_LF = 1,
	DATA_BARE_CR = 2,
	DATA_NUL = 4,
	DATA_TOO_BIG = 8,   /* more than max_octets */
	DATA_LONG_LINE = 16 /* a line of more than max_line octets */
};

struct data_config {
	int64_t max_octets; /* of the message, dots unstuffed, without the terminator; 0: any */
	size_t max_line;    /* of a line, its stuffed dot and CRLF not counted; 0: any */
	bool space;         /* bare CR, bare LF and NUL become spaces and are only noted */
	bool counted;       /* the input has no stuffed dots and no end of its own: data_end() says that it is there */
	bool binary;        /* counted only: behind the first empty line any octet is content, and lines have any length */
};

/* Where the octets go. Each call's span ends anywhere. A status but SP_OK stops the handing out (not the
 * parsing) and is kept in parser.sink_status. */
struct data_sink {
	enum sp_status (*wire)(void *arg, struct sp_span bytes);    /* dots stuffed, for the backend */
	enum sp_status (*content)(void *arg, struct sp_span bytes); /* dots unstuffed, for filters */
	void *arg;
};

struct data_parser {
	struct data_config config;
	unsigned faults;      /* of enum data_fault: the message must be refused */
	unsigned noted;       /* the same bits, turned into spaces */
	int64_t octets;       /* unstuffed so far */
	size_t line;          /* octets of the present line */
	int state;
	bool pending_cr, pending_dot;
	bool binary;          /* the empty line was passed */
	enum sp_status sink_status;
};

void data_init(struct data_parser *p, const struct data_config *config);
/* Takes octets of in up to and with the terminator: true when the end was reached; *used octets were taken (all of
 * in when false). Held-back octets (a CR whose LF has not come) come with the next call. */
bool data_feed(struct data_parser *p, struct sp_span in, const struct data_sink *sink, size_t *used);
/* The last octet of counted content has been fed. True: it was the LF of a CRLF, or there was none at all. */
bool data_end(struct data_parser *p, const struct data_sink *sink);

/* Wire form back to content: exactly what it was made of, since only CRLF begins a line here too. */
struct data_unstuff {
	bool bol, cr; /* the next octet begins a line; the last was a CR.  Begin with { .bol = true } */
};
/* Content at the front of in, which is not empty: as much of it as lies together, none if it was but a stuffed dot; *used
 * octets of in were taken. */
struct sp_span data_unstuff(struct data_unstuff *u, struct sp_span in, size_t *used);

#endif
