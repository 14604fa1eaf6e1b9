/*
 * upload.c - the octets of a message as they come in, by DATA or BDAT: see upload.h.
 *
 * The upload lives in its transaction's arena, its spool on the heap until upload_end() (RFC 5321 4.5.3.2; CASES SL01, F18-F23).
 */
#include "proxy/session/upload.h"

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"

enum { TICK_MS = 30 * 1000 };

static enum sp_status
upload_wire(void *arg, struct sp_span bytes)
{
	struct upload *u = arg;

	return inspect_settled(u->s->inspect) ? SP_OK : spool_write(u->spool, bytes);
}

static enum sp_status
upload_content(void *arg, struct sp_span bytes)
{
	struct upload *u = arg;

	(void)inspect_content(u->s->inspect, bytes); /* what went wrong is told at the end, by inspect_end() */
	return SP_OK;
}

struct data_sink
upload_sink(struct upload *u)
{
	return (struct data_sink){ .wire = upload_wire, .content = upload_content, .arg = u };
}

bool
upload_begin(struct session *s, bool counted)
{
	struct upload *u = arena_alloc(s->tx->arena, sizeof(*u));
	struct data_config config = { .max_octets = s->config->limits.message_size,
		.max_line = s->config->limits.text_line, .space = s->config->space, .counted = counted,
		.binary = counted && s->tx->mail.body_binary };

	if (u != NULL) {
		*u = (struct upload){ .s = s, .spool = spool_new() };
		data_init(&u->parser, &config);
	}
	if (u == NULL || u->spool == NULL) {
		transaction_reply(s, 451, "4.3.0", SPAN_LIT("out of memory, try again later"), "limit");
		return false;
	}
	s->tx->upload = u;
	return true;
}

void
upload_end(struct session *s)
{
	if (s->tx->upload != NULL)
		spool_free(&s->tx->upload->spool);
	s->tx->upload = NULL;
}

/* At least min_rate octets a second, measured over the slow window (CASES SL01). */
static bool
too_slow(struct upload *u)
{
	const struct session_timeouts *t = &u->s->config->timeouts;
	int64_t now = rt_now_ms(), octets = stream_octets_in(u->s->stream);

	if (u->timed && now - u->slow_ms < t->slow)
		return false;
	if (u->timed && octets - u->slow_octets < t->min_rate * (now - u->slow_ms) / 1000)
		return true;
	u->timed = true;
	u->slow_ms = now;
	u->slow_octets = octets;
	return false;
}

/* Waits for the next piece in slices, so that the waiting backend can be kept alive meanwhile. */
static enum sp_status
upload_wait(struct upload *u)
{
	const struct session *s = u->s;
	enum sp_status st;

	for (;;) {
		int64_t slice = rt_deadline(TICK_MS);
		bool last = slice >= u->block_deadline;

		st = stream_fill(s->stream, last ? u->block_deadline : slice);
		if (s->tx != NULL && s->tx->relay_begun)
			relay_tick(s->relay);
		if (st != SP_TIMEOUT || last)
			return st;
		if (too_slow(u))
			return SP_TIMEOUT;
	}
}

/* Waits until there is room for what was read. A spool that has failed is no reason to stop: the message is read to its
 * end, and spool_seal() tells then. */
static enum sp_status
upload_room(struct upload *u, size_t octets)
{
	enum sp_status st = u->spool != NULL ? spool_reserve(u->spool, octets, u->block_deadline) : SP_OK;

	return st == SP_SYSTEM ? SP_OK : st;
}

static void
upload_failed(struct session *s, enum sp_status st)
{
	const char *by = "client";

	s->done = true;
	if (st == SP_TIMEOUT) {
		by = "limit";
		session_goodbye(s, "4.4.2", "the message came too slowly", "timeout");
	} else if (st == SP_CANCELED) {
		by = "drain";
		session_goodbye(s, "4.3.2", "closing for maintenance, try again later", "drain");
	} else if (st == SP_SYSTEM) {
		by = "limit";
		session_goodbye(s, "4.3.0", "out of memory, try again later", "memory");
	} else {
		s->peer_gone = true;
		s->end = "client-gone";
	}
	if (s->tx != NULL) {
		s->tx->outcome = "abort";
		s->tx->by = by;
	}
}

bool
upload_more(struct upload *u, int64_t timeout_ms)
{
	struct session *s = u->s;
	enum sp_status st = SP_OK;
	size_t waiting = stream_input(s->stream).len;

	u->block_deadline = rt_deadline(timeout_ms);
	if (too_slow(u))
		st = SP_TIMEOUT;
	while (st == SP_OK && waiting == 0) {
		if (!session_flush(s))
			return false;
		st = upload_wait(u);
		waiting = stream_input(s->stream).len;
		if (st == SP_OK && too_slow(u))
			st = SP_TIMEOUT;
	}
	if (st == SP_OK)
		st = upload_room(u, waiting);
	if (st != SP_OK)
		upload_failed(s, st);
	return st == SP_OK;
}

bool
upload_skip(struct session *s, int64_t octets)
{
	struct upload u = { .s = s };

	while (octets > 0) {
		size_t n;

		if (!upload_more(&u, s->config->timeouts.block))
			return false;
		n = stream_input(s->stream).len;
		if ((int64_t)n > octets)
			n = (size_t)octets;
		stream_consume(s->stream, n);
		octets -= (int64_t)n;
	}
	return true;
}
