/*
 * answer.h - what a policy server answers: lines "name=value" and an empty line, of which "action" counts.
 *
 * Spans point into the text that was parsed.
 */
#ifndef FILTERS_POLICYD_ANSWER_H
#define FILTERS_POLICYD_ANSWER_H

#include <sallyport/filter.h>

enum { ANSWER_MAX = 8192, ANSWER_LINE = 4096 };

enum action {
	ACTION_NONE,    /* DUNNO, OK and what means no more than they do */
	ACTION_LOG,     /* INFO, WARN */
	ACTION_REJECT,  /* with code and text */
	ACTION_DEFER,
	ACTION_DISCARD,
	ACTION_HOLD,
	ACTION_PREPEND, /* name and value */
	ACTION_UNKNOWN  /* what only Postfix could do, or nobody */
};

struct answer {
	enum action action;
	struct sp_span word; /* as written: "DEFER_IF_PERMIT", "450" */
	int code;            /* REJECT and DEFER */
	struct sp_span text;
	struct sp_span name, value; /* of PREPEND */
};

/* The length of the first whole answer in what came, its empty line included; 0: it is not whole yet. */
size_t answer_end(struct sp_span came);

/* Takes a whole answer apart. SP_INVALID: it is none; *retwhy says why. */
enum sp_status answer_parse(struct sp_span text, struct answer *ret, const char **retwhy);

#endif
