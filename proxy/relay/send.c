/*
 * send.c - the message: DATA, its octets, our dot, and what the backend says to that (RFC
 * 5321 4.1.1.4, 4.5.3.2; CASES B.1, F03-F13, R05-R07).
 *
 * Until the dot has been written, every way out closes the connection without one; after it,
 * nothing is sent again.  commit() is asked as late as can be: before the one write of a small
 * message, before the dot of a large one.  What DATA cannot carry goes by chunks.c.
 */
#include "proxy/relay/relay_priv.h"

#include <stdio.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

enum {
	SEND_SMALL = 16384,  /* so much is collected by the stream's output buffer and leaves in one
				write */
	SEND_PIECE = 131072, /* octets between two looks at whether the backend has spoken; one
				block time-out each */
	SEND_FRESH_MS = 1000, /* a reply so young: the kernel is not asked for another */
	SEND_EARLY_MS = 5000  /* for the rest of a reply that came early */
};

enum step
send_fail(struct relay *r, enum relay_fault fault)
{
	answer_fault(&r->answer, fault);
	relay_fail(r, fault);
	return STEP_FAILED;
}

int64_t
send_deadline(const struct relay *r)
{
	return earlier(r->deadline_ms, rt_deadline(r->backend->config.timeouts.block));
}

/* ---- DATA ------------------------------------------------------------------------------------ */

/* Says DATA. FAULT_NONE: answered with 3xx, 4xx or 5xx, which is in conn_last(). */
static enum relay_fault
data_command(struct relay *r)
{
	int64_t timeout = r->backend->config.timeouts.data;
	int64_t deadline = earlier(r->deadline_ms, rt_deadline(timeout));
	enum relay_fault fault = conn_write(r->conn, SPAN_LIT("DATA\r\n"), deadline);

	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, deadline);
	if (fault != FAULT_NONE) {
		answer_fault(&r->answer, fault);
		return fault;
	}
	fault = relay_await(r, timeout, deadline);
	if (fault == FAULT_NONE && reply_class(conn_last(r->conn)->code) == 2) {
		fault = FAULT_GARBAGE;
		answer_fault(&r->answer, fault);
	}
	return fault;
}

/* Is the connection, before DATA, as we left it? */
static enum relay_fault
data_quiet(struct relay *r)
{
	enum relay_fault fault = FAULT_NONE;

	if (r->conn == NULL)
		fault = FAULT_CLOSED;
	else if (stream_input(r->conn->stream).len > 0 ||
		 rt_now_ms() - r->spoke_ms >= SEND_FRESH_MS)
		fault = conn_quiet(r->conn);
	if (fault != FAULT_NONE)
		answer_fault(&r->answer, fault);
	return fault;
}

/* A backend that was left waiting, here or in the pool, may have lost patience; one that was not,
 * has a fault. */
static enum relay_fault
data_open(struct relay *r)
{
	bool waited = r->facts.reused || rt_now_ms() - r->spoke_ms >= RELAY_NOOP_MS;
	enum relay_fault fault = data_quiet(r);

	if (fault == FAULT_NONE)
		fault = data_command(r);
	else
		waited = true;
	if (!waited || (fault != FAULT_CLOSED && fault != FAULT_BUSY))
		return fault;
	fault = relay_replay(r, r->deadline_ms);
	if (fault == FAULT_NONE)
		fault = data_command(r);
	return fault;
}

static enum step
send_data(struct relay *r)
{
	enum relay_fault fault = data_open(r);

	if (fault != FAULT_NONE) {
		relay_fail(r, fault);
		return STEP_FAILED;
	}
	if (reply_class(conn_last(r->conn)->code) == 3)
		return STEP_DONE;
	answer_backend(&r->answer, conn_last(r->conn));
	r->failed = true;
	/* should it wait for a message all the same, no command of ours may become part of one */
	conn_quit(&r->conn);
	return STEP_FAILED;
}

/* ---- the octets ------------------------------------------------------------------------------ */

enum step
send_early(struct relay *r)
{
	enum relay_fault fault =
		conn_reply(r->conn, earlier(r->deadline_ms, rt_deadline(SEND_EARLY_MS)));
	int class = fault == FAULT_NONE ? reply_class(conn_last(r->conn)->code) : 0;

	if (class == 2 || class == 3)
		fault = FAULT_GARBAGE;
	if (fault != FAULT_NONE)
		return send_fail(r, fault);
	answer_backend(&r->answer, conn_last(r->conn));
	r->failed = true;
	conn_free(&r->conn);
	return STEP_FAILED;
}

enum step
send_broken(struct relay *r, enum relay_fault fault)
{
	if (fault == FAULT_CLOSED)
		return send_early(r);
	return send_fail(r, fault);
}

enum step
send_commit(struct relay *r, const struct relay_message *m)
{
	if (m->commit == NULL || m->commit(m->arg))
		return STEP_DONE;
	return send_fail(r, FAULT_COMMIT);
}

/* The final dot, behind the CRLF that an unended message lacks. */
static enum relay_fault
send_dot(struct relay *r, const struct relay_message *m)
{
	r->facts.completed = m->unended;
	return conn_write(r->conn, m->unended ? SPAN_LIT("\r\n.\r\n") : SPAN_LIT(".\r\n"), send_deadline(r));
}

/* Queues head, spool and dot; the output buffer holds it all, so nothing leaves yet. */
static enum relay_fault
small_queue(struct relay *r, const struct relay_message *m)
{
	int64_t deadline = send_deadline(r), at = m->from;
	struct sp_span piece;
	enum relay_fault fault = conn_write(r->conn, m->head, deadline);
	enum sp_status st = m->spool != NULL ? SP_OK : SP_NONE;

	while (fault == FAULT_NONE && st == SP_OK) {
		st = spool_read(m->spool, at, &piece);
		if (st == SP_OK) {
			fault = conn_write(r->conn, piece, deadline);
			at += (int64_t)piece.len;
		}
	}
	if (fault == FAULT_NONE &&
		(st != SP_NONE || (m->spool != NULL && at != spool_size(m->spool))))
		fault = FAULT_SPOOL;
	if (fault == FAULT_NONE)
		fault = send_dot(r, m);
	return fault;
}

static enum step
send_small(struct relay *r, const struct relay_message *m)
{
	enum relay_fault fault;

	if (send_commit(r, m) != STEP_DONE)
		return STEP_FAILED;
	fault = small_queue(r, m);
	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, send_deadline(r));
	return fault == FAULT_NONE ? STEP_DONE : send_broken(r, fault);
}

/* The next piece of the spool at *at, from its file or its memory. */
static enum relay_fault
large_piece(struct relay *r, const struct relay_message *m, int64_t *at)
{
	int64_t left = spool_size(m->spool) - *at;
	int fd = spool_fd(m->spool);
	struct sp_span piece = { NULL, 0 };
	enum relay_fault fault;

	if (left > SEND_PIECE)
		left = SEND_PIECE;
	if (fd >= 0) {
		fault = fault_of(
			stream_send_file(r->conn->stream, fd, *at, left, send_deadline(r)));
		*at += left;
		return fault;
	}
	if (spool_read(m->spool, *at, &piece) != SP_OK)
		return FAULT_SPOOL;
	piece = span_head(piece, (size_t)left);
	*at += (int64_t)piece.len;
	return conn_write(r->conn, piece, send_deadline(r));
}

static enum step
send_large(struct relay *r, const struct relay_message *m)
{
	int64_t at = m->from, end = m->spool != NULL ? spool_size(m->spool) : at,
		look = at + SEND_PIECE;
	enum relay_fault fault = conn_write(r->conn, m->head, send_deadline(r));

	while (fault == FAULT_NONE && at < end) {
		if (at >= look) {
			if (stream_pending(r->conn->stream))
				return send_early(r);
			look = at + SEND_PIECE;
		}
		fault = large_piece(r, m, &at);
	}
	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, send_deadline(r));
	if (fault != FAULT_NONE)
		return send_broken(r, fault);
	if (conn_stirred(r->conn))
		return send_early(r);
	if (send_commit(r, m) != STEP_DONE)
		return STEP_FAILED;
	fault = send_dot(r, m);
	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, send_deadline(r));
	return fault == FAULT_NONE ? STEP_DONE : send_broken(r, fault);
}

static enum step
send_octets(struct relay *r, const struct relay_message *m)
{
	int64_t total = (int64_t)m->head.len;

	/* a reply in the same segment as its 354 */
	if (stream_input(r->conn->stream).len > 0)
		return send_early(r);
	if (m->spool != NULL)
		total += spool_size(m->spool) - m->from;
	return total + 5 < SEND_SMALL ? send_small(r, m) : send_large(r, m);
}

/* ---- the dot's reply ------------------------------------------------------------------------- */

/* Not bounded by the transaction's budget: to stop waiting now can only make a duplicate. */
static enum relay_fault
dot_reply(struct relay *r, int64_t limit_ms)
{
	enum relay_fault fault;

	if (r->backend->config.lmtp)
		return lmtp_replies(r, limit_ms);
	fault = relay_await(r, r->backend->config.timeouts.dot, limit_ms);
	if (fault == FAULT_NONE && conn_last(r->conn)->code == 353 && r->envelope.each && relay_offers(&r->conn->offer, EXT_PRDR))
		return prdr_replies(r, limit_ms);
	if (fault == FAULT_NONE && reply_class(conn_last(r->conn)->code) == 3) {
		fault = FAULT_GARBAGE;
		answer_fault(&r->answer, fault);
	}
	if (fault == FAULT_NONE)
		answer_backend(&r->answer, conn_last(r->conn));
	return fault;
}

static enum relay_outcome
send_outcome(struct relay *r, const struct relay_message *m)
{
	enum relay_fault fault;

	r->facts.dot_ns = rt_now_ns();
	fault = dot_reply(r, m->reply_deadline_ms);
	r->facts.reply_ns = rt_now_ns();
	health_took(r->backend, (r->facts.reply_ns - r->facts.dot_ns) / 1000000);
	if (fault != FAULT_NONE) {
		relay_fail(r, fault);
		return fault == FAULT_BUSY ? RELAY_ANSWERED : RELAY_UNKNOWN;
	}
	if (r->answer.code < 300) {
		struct sp_span id = reply_queue_id(buf_span(&r->answer.text));
		(void)snprintf(r->queue_id, sizeof(r->queue_id), "%.*s", (int)id.len,
			id.ptr != NULL ? id.ptr : "");
		r->facts.queue_id = span_str(r->queue_id);
	}
	r->conn->dirty = false;
	relay_abort(r); /* nothing more is sent in this transaction */
	return RELAY_ANSWERED;
}

/* A connection that waits for the message, as we left it or opened anew: once a chunk has been sent, there is no other. */
static enum step
send_ready(struct relay *r)
{
	enum relay_fault fault = r->conn != NULL ? conn_quiet(r->conn) : FAULT_CLOSED;

	if (fault != FAULT_NONE)
		answer_fault(&r->answer, fault);
	if (fault == FAULT_CLOSED || fault == FAULT_BUSY)
		fault = relay_replay(r, r->deadline_ms);
	if (fault == FAULT_NONE)
		return STEP_DONE;
	relay_fail(r, fault);
	return STEP_FAILED;
}

static enum step
send_message(struct relay *r, const struct relay_message *m)
{
	bool exact = m->unended || (r->envelope.needs & EXT_BIT(EXT_BINARYMIME)) != 0;

	if (exact && send_ready(r) != STEP_DONE)
		return STEP_FAILED;
	r->facts.chunked = exact && relay_offers(&r->conn->offer, EXT_CHUNKING);
	if (r->facts.chunked)
		return chunks_send(r, m);
	return send_data(r) == STEP_DONE ? send_octets(r, m) : STEP_FAILED;
}

enum relay_outcome
relay_send(struct relay *r, const struct relay_message *m, struct relay_reply *ret)
{
	enum relay_outcome outcome = RELAY_NOT_SENT;

	if (!r->failed) {
		MUST(r->open && r->accepted > 0);
		if (r->backend->config.sink != NULL)
			outcome = sink_send(r, m);
		else if (send_message(r, m) == STEP_DONE)
			outcome = send_outcome(r, m);
	}
	answer_out(&r->answer, ret);
	return outcome;
}
