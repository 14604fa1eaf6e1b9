/*
 * milter.h - what the files of the module share: its configuration, what one client's session is to a milter, and words.
 *
 * One struct talk is one client session's conversation with a milter, in the memory that the host gives a session; the
 * connection under it (struct link) is the heap's, since it may outlive the session.
 */
#ifndef MILTER_MILTER_H
#define MILTER_MILTER_H

#include <string.h>

#include "milter/wire.h"

struct link;
struct pool;

struct milter_conf {
	struct sp_span socket;
	int64_t timeout_ms, connect_ms, content_ms;
	int64_t protocol, connections, queue;
	bool obey, reuse;
	const char *endpoint; /* socket in the host's form */
	struct pool *pool;    /* of this use, in this worker */
};

enum milter_stage {
	STAGE_CONNECT,
	STAGE_HELO,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_HEADER,
	STAGE_EOH,
	STAGE_BODY,
	STAGE_EOM,
	STAGE_COUNT
};
extern const char *const stage_words[]; /* null-ended */

enum verdict { VERDICT_CONTINUE, VERDICT_ACCEPT, VERDICT_REJECT, VERDICT_TEMPFAIL, VERDICT_DISCARD };
extern const char *const verdict_words[];

/* What a milter has said of a session, a message or a recipient, as it may go on to a client. */
enum { WORD_TEXT = 480, WORD_LINES = 8 };
struct word {
	enum verdict verdict;
	enum milter_stage stage;
	bool said; /* to the host, by sp_refuse() */
	int code;
	char enhanced[12], text[WORD_TEXT];
	size_t text_len;
};
void word_from_reply(struct word *w, enum milter_stage stage, const struct wire_reply *r);
/* Tells the host of it, where it refuses and the use decides. */
enum sp_status word_say(struct sp_ctx *ctx, struct word *w);
/* "550 5.7.1 No", lines joined by blanks; "" where it refuses nothing. Memory of the transaction. */
struct sp_span word_text(struct sp_ctx *ctx, const struct word *w);

static inline bool
word_is_final(const struct word *w)
{
	return w->verdict != VERDICT_CONTINUE;
}

/* ---- a client's session ----------------------------------------------------------------------- */

enum { HELO_MAX = 512 };

struct talk {
	struct link *link;       /* null: there is no connection */
	bool greeted, hello;     /* on it: the client was shown, and the HELO name */
	bool open;               /* on it: MAIL was said, and the end of the message is not */
	bool ended;              /* on it: nothing was said since it has answered the end of a message by "continue" */
	char skip;               /* letter of the command that it wants to hear no more in a row; 0: none */
	struct word word;        /* of the session */
	struct sp_ip client;
	uint16_t port;
	char helo[HELO_MAX];
	size_t helo_len;
	int64_t spent_ms;        /* waiting for it, in this transaction */
};

/* A recipient that it was asked about and has let pass. */
struct rcpt {
	struct rcpt *next;
	struct sp_span address, params;
	bool stands; /* nobody else has refused it */
};

struct tx {
	enum sp_status status; /* not SP_OK: it has failed in this transaction */
	struct word word;
	struct sp_span sender, params;
	struct rcpt *rcpts, **rcpts_end;
	const struct rcpt *rcpt; /* whom the macros are about; null: nobody */
	bool begun;                /* sender and params are known */
	bool mail_told, data_told; /* to the milter */
	bool answered;             /* it has answered something */
};

static inline struct sp_span
span_of(const char *ptr, size_t len)
{
	return (struct sp_span){ ptr, len };
}

static inline struct sp_span
span_str(const char *s)
{
	return (struct sp_span){ s, strlen(s) };
}

bool span_is(struct sp_span a, struct sp_span b); /* ASCII case folded */

#endif
