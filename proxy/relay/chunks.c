/*
 * chunks.c - the message by BDAT (RFC 3030), for one that is not all lines: its octets go as they came, and counted.
 *
 * The spool has the wire form; the chunks are made of what that stands for, 64 KiB each, every one answered before the
 * next is sent.  "LAST" stands where DATA has the final dot, so commit() is asked before that one.
 */
#include "proxy/relay/relay_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/smtp/data.h"

enum { CHUNK_OCTETS = 65536 };

struct chunker {
	struct relay *r;
	const struct relay_message *m;
	struct data_unstuff unstuff;
	struct sp_span head; /* what is left of it, in wire form */
	int64_t at;          /* the spool's next octet, in wire form */
	struct sp_span rest; /* content that was read and is in no chunk yet */
	char *bytes;         /* the chunk */
	size_t len;
	bool last;
};

/* More content, into c->rest. SP_NONE: there is no more. */
static enum sp_status
content_read(struct chunker *c)
{
	do {
		struct sp_span in = c->head;
		bool head = in.len > 0;
		size_t used;

		if (!head) {
			enum sp_status st = c->m->spool != NULL ? spool_read(c->m->spool, c->at, &in) : SP_NONE;

			if (st != SP_OK)
				return st;
		}
		c->rest = data_unstuff(&c->unstuff, in, &used);
		if (head)
			c->head = span_from(in, used);
		else
			c->at += (int64_t)used;
	} while (c->rest.len == 0);
	return SP_OK;
}

/* Fills the chunk; c->last: there is nothing behind it. */
static enum relay_fault
chunk_fill(struct chunker *c)
{
	c->len = 0;
	while (c->rest.len == 0 || c->len < CHUNK_OCTETS) {
		size_t n;

		if (c->rest.len == 0) {
			enum sp_status st = content_read(c);

			c->last = st == SP_NONE && (c->m->spool == NULL || c->at == spool_size(c->m->spool));
			if (st != SP_OK)
				return c->last ? FAULT_NONE : FAULT_SPOOL;
		}
		n = c->rest.len < CHUNK_OCTETS - c->len ? c->rest.len : CHUNK_OCTETS - c->len;
		memcpy(c->bytes + c->len, c->rest.ptr, n);
		c->len += n;
		c->rest = span_from(c->rest, n);
	}
	return FAULT_NONE;
}

static enum step
chunk_write(struct chunker *c)
{
	struct relay *r = c->r;
	char command[48];
	int n = snprintf(command, sizeof(command), "BDAT %zu%s\r\n", c->len, c->last ? " LAST" : "");
	enum relay_fault fault = conn_write(r->conn, span_of(command, (size_t)n), send_deadline(r));

	if (fault == FAULT_NONE)
		fault = conn_write(r->conn, span_of(c->bytes, c->len), send_deadline(r));
	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, send_deadline(r));
	return fault == FAULT_NONE ? STEP_DONE : send_broken(r, fault);
}

/* What is said to a chunk that is not the last. */
static enum step
chunk_reply(struct relay *r)
{
	enum relay_fault fault = relay_await(r, r->backend->config.timeouts.block, r->deadline_ms);
	int class;

	if (fault != FAULT_NONE) {
		relay_fail(r, fault);
		return STEP_FAILED;
	}
	class = reply_class(conn_last(r->conn)->code);
	if (class == 2)
		return STEP_DONE;
	if (class == 3)
		return send_fail(r, FAULT_GARBAGE);
	answer_backend(&r->answer, conn_last(r->conn));
	r->failed = true;
	conn_quit(&r->conn);
	return STEP_FAILED;
}

static enum step
chunks_run(struct chunker *c)
{
	struct relay *r = c->r;
	enum step step = STEP_DONE;

	while (step == STEP_DONE && !c->last) {
		enum relay_fault fault = chunk_fill(c);

		if (fault != FAULT_NONE)
			return send_fail(r, fault);
		if (conn_stirred(r->conn))
			return send_early(r);
		if (c->last && send_commit(r, c->m) != STEP_DONE)
			return STEP_FAILED;
		step = chunk_write(c);
		if (step == STEP_DONE && !c->last)
			step = chunk_reply(r);
	}
	return step;
}

enum step
chunks_send(struct relay *r, const struct relay_message *m)
{
	struct chunker c = { .r = r, .m = m, .unstuff = { .bol = true }, .head = m->head, .at = m->from,
		.bytes = malloc(CHUNK_OCTETS) };
	enum step step = c.bytes != NULL ? chunks_run(&c) : send_fail(r, FAULT_LOCAL);

	free(c.bytes);
	return step;
}
