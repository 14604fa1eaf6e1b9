/*
 * talk.h - connections to one policy server: one is taken for each question and kept for the next.
 */
#ifndef FILTERS_POLICYD_TALK_H
#define FILTERS_POLICYD_TALK_H

#include <sallyport/filter.h>

enum { TALK_KEPT = 32, TALK_IDLE_MS = 300000 };

/* Those that wait in this worker; zeroed memory is a valid one. */
struct talk {
	struct sp_conn *kept[TALK_KEPT];
	int64_t since_ms[TALK_KEPT];
	size_t count;
};
struct talk_server {
	struct talk *talk;
	const char *endpoint, *name; /* name: for the log */
	int64_t timeout_ms; /* for connecting, question and answer together */
};

/* Asks, and reads the whole answer into to, ANSWER_MAX octets; *ret_len is its length.  A kept connection that turns out
 * to be closed is replaced once. Any status but SP_OK: there is no answer, and a line in the log says why. */
enum sp_status talk_ask(struct sp_ctx *ctx, const struct talk_server *server, struct sp_span question, char *to, size_t *ret_len);

#endif
