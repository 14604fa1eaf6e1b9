/*
 * backend.c - see backend.h.  A connection's coroutine owns its struct; the log and the counters
 * are the fake's.
 */
#include "tests/support/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy/kit/span.h"

enum { FAKE_BACKLOG = 16, FAKE_MESSAGE = 1 << 24, FAKE_LOG = 1 << 20, FAKE_WINDOW = 32768 };

struct fake_conn {
	struct fake_backend *fake;
	const struct fake_profile *profile;
	struct stream *stream;
	unsigned rcpts;
	bool over;
};

static int64_t
far(void)
{
	return rt_deadline(100000000);
}

static void
say(struct fake_conn *c, struct sp_span text)
{
	size_t step = c->profile->bytewise ? 1 : text.len;

	for (size_t i = 0; i < text.len && !c->over; i += step) {
		c->over = stream_write(c->stream, span_head(span_from(text, i), step), far()) !=
				  SP_OK ||
			  stream_flush(c->stream, far()) != SP_OK;
		if (c->profile->bytewise)
			co_yield ();
	}
}

static void
drip(struct fake_conn *c)
{
	static const char text[] = "250-";

	for (size_t i = 0; !c->over; i++) {
		say(c, i < sizeof(text) - 1 ? span_of(text + i, 1) : SPAN_LIT("x"));
		if (co_sleep(1000) != SP_OK || stream_peer_gone(c->stream))
			c->over = true;
	}
}

static void
silent(struct fake_conn *c)
{
	while (stream_fill(c->stream, far()) == SP_OK)
		stream_consume(c->stream, stream_input(c->stream).len);
	c->over = true;
}

static void
reset(struct fake_conn *c)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(stream_fd(c->stream), SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	c->over = true;
}

static void
answer(struct fake_conn *c, const char *text, const char *usual)
{
	struct sp_span s = span_str(text != NULL ? text : usual);
	size_t mark = span_find(s, '!');
	struct sp_span act = span_from(s, mark);

	if (mark > 0) {
		if (c->profile->bytewise)
			say(c, span_head(s, mark));
		else
			(void)stream_write(c->stream, span_head(s, mark), far());
		say(c, SPAN_LIT("\r\n"));
	}
	if (span_eq(act, SPAN_LIT("!eof")))
		c->over = true;
	else if (span_eq(act, SPAN_LIT("!rst")))
		reset(c);
	else if (span_eq(act, SPAN_LIT("!silent")))
		silent(c);
	else if (span_eq(act, SPAN_LIT("!drip")))
		drip(c);
}

/* One octet more of a message: true when it was the last of its end. */
static bool
message_octet(struct fake_backend *f, char octet)
{
	static const struct sp_span end = { "\r\n.\r\n", 5 };
	struct buf *b = &f->message;

	buf_add_char(b, octet);
	if (b->len == 3 && span_eq(buf_span(b), SPAN_LIT(".\r\n"))) {
		b->len = 0;
		return true;
	}
	if (b->len < end.len || !span_eq(span_from(buf_span(b), b->len - end.len), end))
		return false;
	b->len -= 3;
	return true;
}

/* The end of the connection lies behind what is not read, so it cannot be waited for. */
static void
wait_for_stop(struct fake_conn *c)
{
	while (c->fake->watch != NULL && co_sleep(1000) == SP_OK)
		;
	c->over = true;
}

static void
take_message(struct fake_conn *c)
{
	struct fake_backend *f = c->fake;
	const char *early = c->profile->early;
	size_t taken = 0;

	buf_clear(&f->message);
	while (!c->over) {
		struct sp_span in = stream_input(c->stream);
		for (size_t i = 0; i < in.len; i++) {
			if (!message_octet(f, in.ptr[i]))
				continue;
			stream_consume(c->stream, i + 1);
			f->dots++;
			answer(c, c->profile->dot, "250 2.0.0 Ok: queued as FAKE1");
			return;
		}
		taken += in.len;
		f->data_octets += (int64_t)in.len;
		stream_consume(c->stream, in.len);
		if (early != NULL && taken >= c->profile->early_after) {
			answer(c, early, NULL);
			early = NULL;
		}
		if (c->profile->stop_after > 0 && taken >= c->profile->stop_after)
			wait_for_stop(c);
		if (!c->over && stream_fill(c->stream, far()) != SP_OK)
			c->over = true;
	}
}

static void
rcpt(struct fake_conn *c, struct sp_span line)
{
	const struct fake_profile *p = c->profile;

	if (p->rcpt_bad != NULL && span_starts(line, SPAN_LIT("RCPT TO:<bad")))
		answer(c, p->rcpt_bad, NULL);
	else if (c->rcpts > 0 && p->rcpt_next != NULL)
		answer(c, p->rcpt_next, NULL);
	else
		answer(c, p->rcpt, "250 2.1.5 Ok");
	c->rcpts++;
}

static void
command(struct fake_conn *c, struct sp_span line)
{
	const struct fake_profile *p = c->profile;

	if (span_starts(line, SPAN_LIT("EHLO ")) || span_starts(line, SPAN_LIT("LHLO ")))
		answer(c, p->ehlo,
			"250-fake\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-8BITMIME\r\n"
			"250 ENHANCEDSTATUSCODES");
	else if (span_starts(line, SPAN_LIT("HELO ")))
		answer(c, p->helo, "250 fake");
	else if (span_eq(line, SPAN_LIT("RSET")))
		answer(c, p->rset, "250 2.0.0 Ok");
	else if (span_eq(line, SPAN_LIT("NOOP")))
		answer(c, p->noop, "250 2.0.0 Ok");
	else if (span_starts(line, SPAN_LIT("MAIL FROM:<")))
		answer(c, p->mail, "250 2.1.0 Ok");
	else if (span_starts(line, SPAN_LIT("RCPT TO:<")))
		rcpt(c, line);
	else if (span_eq(line, SPAN_LIT("DATA"))) {
		answer(c, p->data, "354 go on");
		if (p->data == NULL || span_starts(span_str(p->data), SPAN_LIT("354")))
			take_message(c);
	} else if (span_eq(line, SPAN_LIT("QUIT"))) {
		c->fake->quits++;
		answer(c, NULL, "221 bye!eof");
	} else
		answer(c, NULL, "500 what?");
}

static unsigned
lines_in(struct sp_span in)
{
	unsigned n = 0;

	for (size_t i = 0; i < in.len; i++)
		n += in.ptr[i] == '\n';
	return n;
}

/* The next command, copied into the log; empty when there is none. */
static struct sp_span
next_command(struct fake_conn *c)
{
	int64_t patience = c->profile->patience_ms;
	struct sp_span in;
	size_t at, end;

	while (end = span_find(in = stream_input(c->stream), '\n'), end == in.len) {
		enum sp_status st =
			stream_fill(c->stream, patience > 0 ? rt_deadline(patience) : far());
		if (st == SP_TIMEOUT)
			answer(c, "421 4.4.2 timeout exceeded!eof", NULL);
		if (st != SP_OK)
			return span_of(NULL, 0);
	}
	at = c->fake->log.len;
	if (lines_in(in) > c->fake->batch)
		c->fake->batch = lines_in(in);
	buf_add(&c->fake->log, span_head(in, end > 0 && in.ptr[end - 1] == '\r' ? end - 1 : end));
	buf_add_char(&c->fake->log, '\n');
	stream_consume(c->stream, end + 1);
	return span_of(c->fake->log.ptr + at, c->fake->log.len - at - 1);
}

static void
serve(void *arg)
{
	struct fake_conn *c = arg;
	struct sp_span line;

	answer(c, c->profile->banner, "220 fake ESMTP");
	while (!c->over && (line = next_command(c)).len > 0) {
		if (span_starts(line, SPAN_LIT("MAIL")))
			c->rcpts = 0;
		command(c, line);
	}
	stream_free(&c->stream);
	free(c);
}

static void
accepted(void *arg)
{
	struct fake_backend *f = arg;
	struct sp_ip ip;
	uint16_t port;
	int fd = net_accept(f->listener, &ip, &port);
	size_t n = f->connections < f->profile_count ? f->connections : f->profile_count - 1;
	struct fake_conn *c;

	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		abort();
	*c = (struct fake_conn){ .fake = f, .profile = &f->profiles[n], .stream = stream_new(fd) };
	f->connections++;
	if (co_start(serve, c, NULL) != SP_OK)
		abort();
}

bool
fake_start(struct fake_backend *f, const struct fake_profile *profiles, size_t count)
{
	char text[32];
	int n, window = FAKE_WINDOW;

	*f = (struct fake_backend){ .profiles = profiles, .profile_count = count };
	buf_init(&f->log, FAKE_LOG);
	buf_init(&f->message, FAKE_MESSAGE);
	if (net_endpoint_parse(SPAN_LIT("127.0.0.1:0"), 0, &f->endpoint) != SP_OK)
		return false;
	f->listener = net_listen(&f->endpoint, FAKE_BACKLOG);
	if (f->listener < 0)
		return false;
	/* so that a large message does not disappear in the kernel's buffers */
	(void)setsockopt(f->listener, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
	n = snprintf(text, sizeof(text), "127.0.0.1:%u", (unsigned)net_local_port(f->listener));
	if (net_endpoint_parse(span_of(text, (size_t)n), 0, &f->endpoint) != SP_OK)
		return false;
	f->watch = rt_watch_new(f->listener, accepted, f);
	return f->watch != NULL;
}

void
fake_stop(struct fake_backend *f)
{
	if (f->watch == NULL)
		return;
	rt_watch_free(&f->watch);
	close(f->listener);
}

void
fake_fini(struct fake_backend *f)
{
	fake_stop(f);
	buf_fini(&f->log);
	buf_fini(&f->message);
}

unsigned
fake_count(const struct fake_backend *f, const char *prefix)
{
	struct sp_span rest = buf_span(&f->log);
	unsigned n = 0;

	while (rest.len > 0) {
		n += span_starts(rest, span_str(prefix));
		rest = span_from(rest, span_find(rest, '\n') + 1);
	}
	return n;
}
