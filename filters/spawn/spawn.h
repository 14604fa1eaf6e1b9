/*
 * spawn.h - what the files of this module share: one use's configuration, a session, a transaction.
 */
#ifndef FILTERS_SPAWN_SPAWN_H
#define FILTERS_SPAWN_SPAWN_H

#include "linewire/reply.h"
#include "spawn/hub.h"

struct spawn_conf {
	struct sp_span command;
	int64_t timeout;
	bool obey;
	struct hub *hub; /* by load */
};

enum verdict { VERDICT_NONE, VERDICT_JUNK, VERDICT_REJECT, VERDICT_DEFER };

/* What the program has said of a session or a message, in memory of its own. */
struct word {
	enum verdict verdict;
	int code; /* 0: nobody is refused */
	char enhanced[16], text[WIRE_REPLY_TEXT + 1];
};
/* Words of a session: of its connection, of its HELO name, and that nothing of it is taken any more. */
enum { WORD_CONNECT, WORD_HELO, WORD_BAR, WORDS };

struct spawn_session {
	uint64_t id;
	unsigned incarnation; /* of the program that knows of this session; 0: none */
	struct sp_ip client;
	uint16_t port;
	bool esmtp, has_helo;
	struct word words[WORDS];
};

/* A recipient that the program wants to be another. */
struct rewrite {
	struct rewrite *next;
	struct sp_span from, to;
	bool refused; /* so he is nobody's */
};

struct spawn_tx {
	unsigned incarnation;
	uint32_t id;
	bool begun, junk, failed, committed;
	bool moot; /* refused by a word of the session: the program is not told of it */
	struct word word;
	struct sp_span sender; /* not null: another one */
	struct rewrite *rewrites;
	int64_t octets;
};

static inline struct hub *
spawn_hub(const struct sp_ctx *ctx)
{
	return ((const struct spawn_conf *)ctx->conf)->hub;
}

static inline bool
spawn_obeys(const struct sp_ctx *ctx)
{
	return ((const struct spawn_conf *)ctx->conf)->obey;
}

static inline int64_t
spawn_deadline(struct sp_ctx *ctx)
{
	return sp_now_ms(ctx) + ((const struct spawn_conf *)ctx->conf)->timeout;
}

/* ---- tell.c: reports and questions --------------------------------------------------------------- */

/* "report|...|session|", then what fmt makes, without its line end.  Does nothing if the program has not asked for it; what cannot
 * be said is lost. */
__attribute__((format(printf, 3, 4))) void tell(struct sp_ctx *ctx, enum event event, const char *fmt, ...);

/* Asks, if the program wants to be asked, and fills *a; it is closed by tell_close() in any case but SP_NONE: not asked. */
__attribute__((format(printf, 4, 5))) enum sp_status tell_ask(struct sp_ctx *ctx, struct ask *a, enum phase phase, const char *fmt, ...);
void tell_close(struct sp_ctx *ctx, struct ask *a);
/* "filter|0.7|time|smtp-in|data-line|session|token|" */
size_t tell_prefix(const struct ask *a, enum phase phase, char *to, size_t room);
/* For a printf of a name or an address: without '|', unless it is the last. */
const char *tell_text(struct sp_ctx *ctx, struct sp_span text);

/* ---- decide.c: what it decides --------------------------------------------------------------------- */

/* "550 5.7.1 text", or "" */
const char *word_text(struct sp_ctx *ctx, const struct word *w);
/* Refuses by the first of the words that does; SP_NONE: none does, or it is not to be obeyed. */
enum sp_status word_refuse(struct sp_ctx *ctx, const struct word *words, size_t count);
/* Carries out an answer, and notes it in a word of the session or of the message; what: what was asked about. */
enum sp_status decide(struct sp_ctx *ctx, const struct ask *a, enum phase phase, struct sp_span what, struct word *to);
/* Asks about one thing, named by text, and carries out the answer.  SP_GONE: it does not know of this session any more. */
enum sp_status question(struct sp_ctx *ctx, enum phase phase, struct sp_span text, struct word *to);

/* ---- message.c: header and body ---------------------------------------------------------------------- */

/* Shows the message line by line, if the program wants to see it, and makes what comes back of it. */
enum sp_status message_filter(struct sp_ctx *ctx);

#endif
