/*
 * answer.h - what the mail server is told: to go on, a refusal, and at the end what the message and its envelope are to become.
 *
 * It is made in the loop's thread and carried out in the thread that asked, so it holds copies only.
 */
#ifndef PROXY_MILTER_ANSWER_H
#define PROXY_MILTER_ANSWER_H

#include "policy/kit/arena.h"
#include "proxy/smtp/header.h"

enum { ANSWER_LINES = 32 }; /* of a reply, as many as libmilter takes */

enum answer_word { ANSWER_GO_ON, ANSWER_REFUSE, ANSWER_DISCARD };

enum change_kind {
	CHANGE_APPEND,  /* a field below all */
	CHANGE_INSERT,  /* above field index of those that came, from 0; all that is inserted on top has 0 */
	CHANGE_REPLACE, /* the index-th field of that name as they stand then, from 1 */
	CHANGE_REMOVE,
	CHANGE_SENDER,  /* name: "<a@example.org>", value: parameters, "" for none */
	CHANGE_RCPT_ADD,
	CHANGE_RCPT_DELETE,
	CHANGE_QUARANTINE /* value: the reason */
};

/* To be carried out in this order: each one's index counts on it. */
struct change {
	struct change *next;
	enum change_kind kind;
	const char *name, *value; /* value of a field: what follows the colon, its folds of LF and a blank */
	size_t index;
};

struct answer {
	struct arena *arena;
	enum answer_word word;
	int code;                       /* 400 to 599 */
	const char *enhanced;           /* "" for none */
	const char *lines[ANSWER_LINES]; /* printable ASCII */
	size_t line_count;
	struct change *first, **end;
	bool body;                      /* the body is another: judge_body() has it */
};

/* False: no memory. */
bool answer_init(struct answer *a);
void answer_fini(struct answer *a);
/* A refusal; text may have "\n" between lines, and octets that are no printable ASCII become '?'. tx: the transaction's id, told
 * at the end of the text; null: there is none. */
void answer_refuse(struct answer *a, int code, struct sp_span enhanced, struct sp_span text, const char *tx);
/* SP_SYSTEM: no memory. */
enum sp_status answer_change(struct answer *a, enum change_kind kind, size_t index, struct sp_span name, struct sp_span value);
/* All that makes of the header that came the one that is to go on. */
enum sp_status answer_header(struct answer *a, const struct header_block *came, const struct header_block *goes);

#endif
