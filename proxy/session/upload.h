/*
 * upload.h - one message on its way in: what DATA and BDAT share.
 *
 *   upload.c   the octets: waits, limits of time, past the filters into the spool
 *   message.c  DATA; and, whichever way it came, what becomes of it
 *   bdat.c     BDAT
 */
#ifndef PROXY_SESSION_UPLOAD_H
#define PROXY_SESSION_UPLOAD_H

#include "proxy/session/session_priv.h"
#include "proxy/smtp/bdat.h"

/* A zeroed one with a session can pass octets over: see upload_skip(). */
struct upload {
	struct session *s;
	struct data_parser parser;
	struct bdat chunks;     /* BDAT: what has come; DATA: none */
	struct spool *spool;
	int64_t block_deadline; /* for the next piece */
	bool timed;             /* the measure of speed runs */
	int64_t slow_ms, slow_octets; /* when and at which count its present part began */
};

/* ---- upload.c ---- */
/* Makes s->tx->upload. False: no memory, and that is told. */
bool upload_begin(struct session *s, bool counted);
/* Gives back what it holds. */
void upload_end(struct session *s);
/* Waits until there is input, at most so long, and room for it in the spool. Queued replies are sent first, and the waiting backend is
 * kept alive meanwhile. False: the connection is of no more use, and that is told. */
bool upload_more(struct upload *u, int64_t timeout_ms);
/* Reads octets that belong to no message. False: as above. */
bool upload_skip(struct session *s, int64_t octets);
/* Where content goes that u->parser has judged. */
struct data_sink upload_sink(struct upload *u);

/* ---- message.c ---- */
/* The message is there: it is judged, and if nobody objects, delivered. The client has its reply afterwards. */
void upload_finish(struct upload *u);

#endif
