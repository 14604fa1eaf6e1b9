/*
 * conn.c - one connection to a backend: commands out, whole replies in.
 *
 * A reply has one deadline from its first octet waited for to its last, so a peer that drips is no
 * slower than one that is silent (CASES F10).  A struct conn owns its stream and the text of its
 * last reply.
 */
#include "proxy/relay/relay_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/kit/span.h"

enum {
	QUIET_MS = 1000, /* for the rest of what came unasked */
	QUIT_MS = 5000,
	EHLO_LINES = 64,
	EHLO_OCTETS = 1048576
};

struct conn *
conn_new(struct stream *s, const char *peer)
{
	struct conn *c = s != NULL ? calloc(1, sizeof(*c)) : NULL;

	if (c == NULL) {
		stream_free(&s);
		return NULL;
	}
	c->stream = s;
	reply_parser_init(&c->parser);
	(void)snprintf(c->peer, sizeof(c->peer), "%s", peer);
	return c;
}

void
conn_free(struct conn **c)
{
	if (*c == NULL)
		return;
	stream_free(&(*c)->stream);
	reply_parser_fini(&(*c)->parser);
	free(*c);
	*c = NULL;
}

static void
quit_write(struct conn *c, int64_t deadline_ms)
{
	if (conn_write(c, SPAN_LIT("QUIT\r\n"), deadline_ms) == FAULT_NONE)
		(void)conn_flush(c, deadline_ms);
	conn_free(&c);
}

static void
quit_main(void *arg)
{
	quit_write(arg, rt_deadline(QUIT_MS));
}

void
conn_quit(struct conn **c)
{
	struct conn *old = *c;

	*c = NULL;
	if (old == NULL)
		return;
	/* Six octets into an empty buffer do not wait; but if the kernel is short of memory they
	 * may, and the main stack cannot. */
	if (co_self() != NULL)
		quit_write(old, rt_now_ms());
	else if (co_start(quit_main, old, NULL) != SP_OK)
		conn_free(&old);
}

enum relay_fault
fault_of(enum sp_status st)
{
	switch (st) {
	case SP_OK:
		return FAULT_NONE;
	case SP_TIMEOUT:
		return FAULT_TIMEOUT;
	case SP_GONE:
	case SP_TEMPFAIL:
		return FAULT_CLOSED;
	case SP_LIMIT:
		return FAULT_LIMIT;
	case SP_INVALID:
		return FAULT_GARBAGE;
	case SP_NONE:
	case SP_CANCELED:
	case SP_SYSTEM:
		break;
	}
	return FAULT_LOCAL;
}

enum relay_fault
conn_write(struct conn *c, struct sp_span bytes, int64_t deadline_ms)
{
	return fault_of(stream_write(c->stream, bytes, deadline_ms));
}

enum relay_fault
conn_flush(struct conn *c, int64_t deadline_ms)
{
	return fault_of(stream_flush(c->stream, deadline_ms));
}

static void
conn_next_reply(struct conn *c)
{
	if (c->replied)
		reply_parser_next(&c->parser);
	c->replied = false;
}

enum relay_fault
conn_reply(struct conn *c, int64_t deadline_ms)
{
	enum reply_result result;
	enum sp_status st;
	size_t used;

	conn_next_reply(c);
	for (;;) {
		struct sp_span in = stream_input(c->stream);
		if (in.len > 0) {
			used = 0;
			result = reply_parse(&c->parser, in, &used);
			stream_consume(c->stream, used);
			if (result == REPLY_OK) {
				c->replied = true;
				return FAULT_NONE;
			}
			if (result == REPLY_BAD)
				return FAULT_GARBAGE;
		}
		st = stream_fill(c->stream, deadline_ms);
		if (st != SP_OK)
			return fault_of(st);
	}
}

/* One line of an EHLO reply that is in the input: to the parser, or past it. */
static enum reply_result
conn_ehlo_line(struct conn *c, struct sp_span line, size_t number)
{
	enum reply_result result = REPLY_MORE;
	size_t used;

	if (number < EHLO_LINES || line.len < 4 || line.ptr[3] != '-')
		result = reply_parse(&c->parser, line, &used);
	stream_consume(c->stream, line.len);
	return result;
}

enum relay_fault
conn_reply_ehlo(struct conn *c, int64_t deadline_ms)
{
	size_t lines = 0, octets = 0;

	conn_next_reply(c);
	for (;;) {
		struct sp_span in = stream_input(c->stream);
		size_t end = span_find(in, '\n');
		if (end == in.len) {
			enum sp_status st = stream_fill(c->stream, deadline_ms);
			if (st != SP_OK)
				return fault_of(st);
			continue;
		}
		octets += end + 1;
		if (octets > EHLO_OCTETS)
			return FAULT_LIMIT;
		switch (conn_ehlo_line(c, span_head(in, end + 1), lines++)) {
		case REPLY_OK:
			c->replied = true;
			return FAULT_NONE;
		case REPLY_BAD:
			return FAULT_GARBAGE;
		case REPLY_MORE:
			break;
		}
	}
}

bool
conn_stirred(struct conn *c)
{
	return !stream_quiet(c->stream);
}

enum relay_fault
conn_quiet(struct conn *c)
{
	enum relay_fault fault;

	if (!conn_stirred(c))
		return FAULT_NONE;
	fault = conn_reply(c, rt_deadline(QUIET_MS));
	if (fault == FAULT_NONE)
		return conn_last(c)->code == 421 ? FAULT_BUSY : FAULT_DESYNC;
	return fault == FAULT_CLOSED || fault == FAULT_LOCAL ? fault : FAULT_DESYNC;
}
