/*
 * milter_probe_priv.h - one session against a milter; for the files of "sallyport milter-probe":
 *
 *   milter_probe.c          options, the message, the connection, the exit status
 *   milter_probe_talk.c     the session: commands out, answers in
 *   milter_probe_macros.c   what the macros of a stage are, and their values
 *   milter_probe_show.c     the lines that are printed
 */
#ifndef PROXY_CMD_MILTER_PROBE_PRIV_H
#define PROXY_CMD_MILTER_PROBE_PRIV_H

#include "milter/wire.h"
#include "policy/kit/buf.h"
#include "policy/kit/span.h"
#include "proxy/net/net.h"
#include "proxy/rt/rt.h"

enum { PROBE_RCPTS = 64, PROBE_MACROS = 64, PROBE_PACKET = 4 << 20 };

/* What came of it: the exit status. */
enum probe_result { PROBE_ACCEPTED = 0, PROBE_REFUSED = 1, PROBE_FAILED = 3 };

struct probe {
	/* what is said */
	const char *socket, *client_name, *helo, *from;
	const char *to[PROBE_RCPTS];
	size_t to_count;
	const char *macros[PROBE_MACROS]; /* "name=value" */
	size_t macro_count;
	struct sp_ip client;
	uint32_t version;                 /* that is offered */
	int64_t timeout_ms;               /* for each answer */
	struct buf header;                /* of the message: fields, folded and divided by LF */
	struct buf body;                  /* lines end in CR LF */
	/* the session */
	struct stream *stream;
	struct buf in;
	struct wire_out out;
	struct buf scratch;               /* of wire_reply_read() */
	struct wire_options agreed;
	struct buf lists[WIRE_STAGES];    /* of macros that it asked for: what agreed.lists are parts of */
	const char *rcpt;                 /* the recipient at hand */
	int64_t start_ns, asked_ns;
	size_t edits, rcpts_taken;
	bool quarantined;
	enum probe_result result;
	char verdict[512];                /* the last line's words */
};

/* ---- milter_probe_talk.c ---- */

/* From negotiation to QUIT, over p->stream; sets result and verdict. */
void probe_talk(struct probe *p);

/* ---- milter_probe_macros.c ---- */

/* The names that the milter asked for at this stage (SMFIM_*), else those that mail servers send unasked. */
struct sp_span probe_macro_list(const struct probe *p, uint32_t stage);
/* The next name of a list; {null,0}: no more. */
struct sp_span probe_macro_next(struct sp_span *list);
/* Puts its value into to; false: it has none. */
bool probe_macro_value(const struct probe *p, struct sp_span name, struct buf *to);

/* ---- milter_probe_show.c ---- */

/* "12.3  > connect     text": text may hold any octets, those that are not printable are escaped. */
void probe_show(const struct probe *p, char arrow, const char *word, struct sp_span text);
__attribute__((format(printf, 4, 5))) void probe_showf(const struct probe *p, char arrow, const char *word, const char *fmt, ...);
/* A line below the one before it, without a time. */
__attribute__((format(printf, 2, 3))) void probe_more(const char *word, const char *fmt, ...);
void probe_show_options(const struct probe *p, char arrow, const struct wire_options *o);
/* An answer or an edit, with the time since the question. */
void probe_show_reply(const struct probe *p, const struct wire_reply *r);

#endif
