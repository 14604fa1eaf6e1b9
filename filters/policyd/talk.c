/*
 * talk.c - see talk.h.
 *
 * A connection belongs to a session while it is asked, and to the worker in between; so servers that are started for each
 * connection, as Postfix's spawn(8) does, are started seldom.  What has not brought a whole answer is closed.
 */
#include "policyd/talk.h"

#include "linewire/text.h"
#include "policyd/answer.h"

struct ask {
	const struct talk_server *server;
	struct sp_span question;
	int64_t deadline_ms;
	char *to; /* ANSWER_MAX octets */
	size_t got;
};

static int64_t
left_ms(struct sp_ctx *ctx, const struct ask *a)
{
	int64_t left = a->deadline_ms - sp_now_ms(ctx);

	return left > 0 ? left : 0;
}

/* ---- kept connections ------------------------------------------------------------------------ */

/* The one that was used last; null: none is open and silent. */
static struct sp_conn *
take(struct sp_ctx *ctx, struct talk *t)
{
	while (t->count > 0) {
		struct sp_conn *conn = t->kept[--t->count];

		if (sp_now_ms(ctx) - t->since_ms[t->count] < TALK_IDLE_MS && sp_conn_idle(ctx, conn)) {
			sp_conn_take(ctx, conn);
			return conn;
		}
		sp_conn_close(ctx, &conn);
	}
	return NULL;
}

static void
keep(struct sp_ctx *ctx, struct talk *t, struct sp_conn *conn)
{
	if (t->count == TALK_KEPT) {
		sp_conn_close(ctx, &conn);
		return;
	}
	sp_conn_keep(ctx, conn);
	t->kept[t->count] = conn;
	t->since_ms[t->count++] = sp_now_ms(ctx);
}

/* ---- one question ---------------------------------------------------------------------------- */

static enum sp_status
read_answer(struct sp_ctx *ctx, struct ask *a, struct sp_conn *conn)
{
	while (answer_end((struct sp_span){ a->to, a->got }) == 0) {
		size_t n;
		enum sp_status st;

		if (a->got == ANSWER_MAX)
			return SP_LIMIT;
		st = sp_conn_read(ctx, conn, a->to + a->got, ANSWER_MAX - a->got, left_ms(ctx, a), &n);
		if (st != SP_OK)
			return st;
		a->got += n;
	}
	/* more than was asked for: whose answer would the next one be? */
	return answer_end((struct sp_span){ a->to, a->got }) == a->got ? SP_OK : SP_INVALID;
}

static enum sp_status
exchange(struct sp_ctx *ctx, struct ask *a, struct sp_conn *conn)
{
	enum sp_status st = sp_conn_write(ctx, conn, a->question, left_ms(ctx, a));

	a->got = 0;
	if (st == SP_OK)
		st = read_answer(ctx, a, conn);
	if (st == SP_OK)
		keep(ctx, a->server->talk, conn);
	else
		sp_conn_close(ctx, &conn);
	return st;
}

static const char *
reason(enum sp_status st)
{
	switch (st) {
	case SP_NONE:
		return "there is no such server";
	case SP_TIMEOUT:
		return "it does not answer in time";
	case SP_GONE:
		return "it closes the connection";
	case SP_LIMIT:
		return "its answer is too long";
	case SP_INVALID:
		return "it says more than one answer, or its endpoint is none";
	default:
		return "it cannot be reached";
	}
}

enum sp_status
talk_ask(struct sp_ctx *ctx, const struct talk_server *server, struct sp_span question, char *to, size_t *ret_len)
{
	struct ask a = { .server = server, .question = question, .deadline_ms = sp_now_ms(ctx) + server->timeout_ms,
		.to = to };
	struct sp_conn *conn = take(ctx, server->talk);
	enum sp_status st = SP_GONE;

	if (conn != NULL)
		st = exchange(ctx, &a, conn);
	if (st != SP_OK && st != SP_TIMEOUT && st != SP_CANCELED && a.got == 0) {
		st = sp_connect(ctx, server->endpoint, left_ms(ctx, &a), &conn);
		if (st == SP_OK)
			st = exchange(ctx, &a, conn);
	}
	if (st == SP_OK)
		*ret_len = a.got;
	else if (st != SP_CANCELED)
		sp_log(ctx, SP_LOG_WARNING, "policy server %s: %s", server->name, reason(st));
	return st;
}
