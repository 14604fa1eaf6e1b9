/*
 * stream.c - buffered connections.
 *
 * A stream owns its descriptor, its buffers and its transport.  The input buffer exists only while it
 * holds something: stream_fill() first waits until there is something to read and only then takes
 * one, so that an idle session costs no buffer.  Buffers of the usual size come from a small free list of
 * the process; larger ones, for a caller that does not consume, from the heap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/net/net_priv.h"

enum { CHUNK = 16384, SPARE_MAX = 32 };
/* From this size on a span is sent from where it lies instead of being copied. */
enum { DIRECT_MIN = CHUNK };
/* Others get their turn after so many octets sent without a wait. */
enum { FILE_STEP = 1 << 20 };

/* ---- buffers ------------------------------------------------------------------------------- */

static char *spare[SPARE_MAX];
static size_t spare_count;

static char *
chunk_take(void)
{
	return spare_count > 0 ? spare[--spare_count] : malloc(CHUNK);
}

static void
chunk_give(char *chunk, size_t room)
{
	if (chunk != NULL && room == CHUNK && spare_count < SPARE_MAX)
		spare[spare_count++] = chunk;
	else
		free(chunk);
}

static void
input_drop(struct stream *s)
{
	chunk_give(s->in, s->in_room);
	s->in = NULL;
	s->in_start = s->in_end = s->in_room = 0;
}

static enum sp_status
input_grow(struct stream *s)
{
	size_t room = s->in_room == 0 ? CHUNK : s->in_room * 2;
	char *in = room == CHUNK ? chunk_take() : malloc(room);

	if (in == NULL)
		return SP_SYSTEM;
	if (s->in != NULL) {
		memcpy(in, s->in, s->in_end);
		chunk_give(s->in, s->in_room);
	}
	s->in = in;
	s->in_room = room;
	return SP_OK;
}

/* Makes sure that there is room to read into. */
static enum sp_status
input_room(struct stream *s)
{
	if (s->in_start > 0) {
		memmove(s->in, s->in + s->in_start, s->in_end - s->in_start);
		s->in_end -= s->in_start;
		s->in_start = 0;
	}
	if (s->in_end < s->in_room)
		return SP_OK;
	return s->in_room == STREAM_INPUT ? SP_LIMIT : input_grow(s);
}

/* ---- birth and end ---------------------------------------------------------------------------- */

struct stream *
stream_new(int fd)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->wait = rt_fd_new(fd)) == NULL) {
		free(s);
		close(fd);
		return NULL;
	}
	s->transport = &transport_plain;
	s->fd = fd;
	buf_init(&s->out, STREAM_OUTPUT);
	return s;
}

void
stream_free(struct stream **s)
{
	if (*s == NULL)
		return;
	(*s)->transport->close(*s);
	rt_fd_free(&(*s)->wait);
	close((*s)->fd);
	input_drop(*s);
	buf_fini(&(*s)->out);
	free(*s);
	*s = NULL;
}

int
stream_fd(const struct stream *s)
{
	return s->fd;
}

int64_t
stream_octets_in(const struct stream *s)
{
	return s->octets_in;
}

int64_t
stream_octets_out(const struct stream *s)
{
	return s->octets_out;
}

/* ---- reading ---------------------------------------------------------------------------------- */

struct sp_span
stream_input(const struct stream *s)
{
	return span_of(s->in == NULL ? NULL : s->in + s->in_start, s->in_end - s->in_start);
}

void
stream_consume(struct stream *s, size_t n)
{
	MUST(n <= s->in_end - s->in_start);
	s->in_start += n;
	if (s->in_start == s->in_end)
		input_drop(s);
}

typedef enum sp_status fd_waiter(struct rt_fd *, int, int64_t);

static enum sp_status
fill(struct stream *s, int64_t deadline_ms, fd_waiter *wait)
{
	int want = CO_READ;
	size_t got = 0;
	enum sp_status st;

	if (s->in_end - s->in_start == STREAM_INPUT)
		return SP_LIMIT;
	/* What the transport holds already, the descriptor will not tell of. */
	st = s->transport->held(s) ? SP_OK : wait(s->wait, want, deadline_ms);
	while (st == SP_OK) {
		st = input_room(s);
		if (st == SP_OK)
			st = s->transport->read(s, s->in + s->in_end, s->in_room - s->in_end, &got, &want);
		if (st != IO_WAIT)
			break;
		if (s->in_end == 0)
			input_drop(s);
		st = wait(s->wait, want, deadline_ms);
	}
	if (st == SP_OK) {
		s->in_end += got;
		s->octets_in += (int64_t)got;
	} else if (s->in_end == s->in_start) {
		input_drop(s);
	}
	return st;
}

enum sp_status
stream_fill(struct stream *s, int64_t deadline_ms)
{
	return fill(s, deadline_ms, rt_fd_wait);
}

enum sp_status
stream_fill_interruptible(struct stream *s, int64_t deadline_ms)
{
	return fill(s, deadline_ms, rt_fd_wait_interruptible);
}

bool
stream_pending(struct stream *s)
{
	return s->in_end > s->in_start || s->transport->pending(s);
}

bool
stream_quiet(struct stream *s)
{
	return s->in_end == s->in_start && s->transport->quiet(s);
}

bool
stream_peer_gone(struct stream *s)
{
	return s->transport->gone(s);
}

/* ---- writing ---------------------------------------------------------------------------------- */

/* Counts n octets as sent, first those of the queue, then those of rest. */
static void
output_sent(struct stream *s, struct sp_span *rest, size_t n)
{
	size_t queued = s->out.len - s->out_sent;
	size_t first = n < queued ? n : queued;

	s->octets_out += (int64_t)n;
	s->out_sent += first;
	*rest = span_from(*rest, n - first);
	if (s->out_sent == s->out.len) {
		buf_fini(&s->out);
		s->out_sent = 0;
	}
}

/* Sends the queue and then rest, from where they lie; *rest is what is left. */
static enum sp_status
send_all(struct stream *s, struct sp_span *rest, bool more, int64_t deadline_ms)
{
	enum sp_status st = s->write_status;

	while (st == SP_OK && (s->out.len > 0 || rest->len > 0)) {
		struct iovec iov[IOVS] = {
			{ s->out.ptr == NULL ? NULL : s->out.ptr + s->out_sent, s->out.len - s->out_sent },
			{ (void *)(uintptr_t)rest->ptr, rest->len },
		};
		int want = CO_WRITE;
		size_t n = 0;

		st = s->transport->write(s, iov, more, &n, &want);
		if (st == SP_OK)
			output_sent(s, rest, n);
		else if (st == IO_WAIT)
			st = rt_fd_wait(s->wait, want, deadline_ms);
	}
	return st;
}

enum sp_status
stream_flush(struct stream *s, int64_t deadline_ms)
{
	struct sp_span none = { NULL, 0 };

	return send_all(s, &none, false, deadline_ms);
}

/* Small ones are collected; a large one goes straight from the caller's memory. */
enum sp_status
stream_write(struct stream *s, struct sp_span bytes, int64_t deadline_ms)
{
	size_t len = bytes.len;
	enum sp_status st;

	if (s->write_status != SP_OK)
		return s->write_status;
	if (len >= DIRECT_MIN) {
		st = send_all(s, &bytes, false, deadline_ms);
		/* what follows must not be glued to half a span */
		if (st != SP_OK && bytes.len > 0)
			s->write_status = st;
		return st;
	}
	if (s->out.len + len > STREAM_OUTPUT) {
		st = stream_flush(s, deadline_ms);
		if (st != SP_OK)
			return st;
	}
	return buf_add(&s->out, bytes);
}

/* ---- files ------------------------------------------------------------------------------------ */

/* A step by sendfile(2). SP_INVALID: this file or socket can't. */
static enum sp_status
file_step_kernel(struct stream *s, int fd, off_t *offset, int64_t len, int64_t deadline_ms)
{
	ssize_t n = sendfile(s->fd, fd, offset, (size_t)(len < FILE_STEP ? len : FILE_STEP));

	if (n > 0) {
		s->octets_out += n;
		return SP_OK;
	}
	if (n == 0)
		return SP_SYSTEM; /* the file is shorter than promised */
	if (errno == EINTR)
		return SP_OK;
	if (errno == EAGAIN)
		return rt_fd_wait(s->wait, CO_WRITE, deadline_ms);
	return errno == EINVAL || errno == ENOSYS ? SP_INVALID : transport_failed(errno);
}

/* A step by reading and writing. */
static enum sp_status
file_step_copy(struct stream *s, int fd, off_t *offset, int64_t len, int64_t deadline_ms)
{
	char *chunk = chunk_take();
	enum sp_status st = SP_SYSTEM;
	ssize_t n;

	if (chunk == NULL)
		return SP_SYSTEM;
	do
		n = pread(fd, chunk, (size_t)(len < CHUNK ? len : CHUNK), *offset);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		struct sp_span bytes = span_of(chunk, (size_t)n);

		*offset += n;
		st = send_all(s, &bytes, n < len, deadline_ms);
	}
	chunk_give(chunk, CHUNK);
	return st;
}

enum sp_status
stream_send_file(struct stream *s, int fd, int64_t offset, int64_t len, int64_t deadline_ms)
{
	struct sp_span none = { NULL, 0 };
	bool kernel = s->transport->file;
	off_t at = (off_t)offset, end = (off_t)(offset + len);
	enum sp_status st = send_all(s, &none, len > 0, deadline_ms);
	int64_t turn = s->octets_out;

	while (st == SP_OK && at < end) {
		st = kernel ? file_step_kernel(s, fd, &at, end - at, deadline_ms)
			    : file_step_copy(s, fd, &at, end - at, deadline_ms);
		if (kernel && st == SP_INVALID) {
			kernel = false;
			st = SP_OK;
		}
		if (s->octets_out - turn >= FILE_STEP) {
			turn = s->octets_out;
			co_yield();
		}
	}
	if (st != SP_OK && at < end)
		s->write_status = st;
	return st;
}
