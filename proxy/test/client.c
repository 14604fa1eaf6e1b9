/*
 * client.c - plays one dialogue: sends, reads whole replies, compares.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/kit/must.h"
#include "proxy/net/tls.h"
#include "proxy/test/play.h"

enum { REAL_WAIT_MS = 20000, FILL_LINE = 78, HELD_MAX = 4096, SHOWN_LINES = 200 };

struct talk {
	struct play *play;
	struct stream *stream;
	const struct dialogue *dialogue;
	struct sp_span from; /* the client's address */
	int64_t chunk;    /* octets a write; 0: all */
	int64_t round;    /* of the innermost repeat, from 1 */
	int64_t within;   /* ms for a reply; 0: as long as it takes */
	bool ended;       /* our side was closed */
	struct stream **held;
	size_t held_count;
};

int64_t
play_deadline(const struct play *p)
{
	return rt_deadline(REAL_WAIT_MS * p->scene->clock);
}

void
play_fail(struct play *p, unsigned line, const char *fmt, ...)
{
	va_list ap;

	if (!p->failed)
		buf_printf(&p->scene->error, "%s:%u: ", p->scene->path, line);
	if (!p->failed) {
		va_start(ap, fmt);
		buf_vprintf(&p->scene->error, fmt, ap);
		va_end(ap);
		buf_add_char(&p->scene->error, '\n');
	}
	p->failed = true;
}

void
transcript_add(struct buf *to, const char *who, struct sp_span bytes)
{
	transcript_add_wide(to, who, bytes, 200);
}

void
transcript_add_wide(struct buf *to, const char *who, struct sp_span bytes, size_t width)
{
	for (size_t lines = 0; bytes.len > 0; lines++) {
		struct sp_span line = span_head(bytes, span_find(bytes, '\n') + 1);
		struct sp_span shown = span_head(line, width);

		if (lines == SHOWN_LINES) {
			buf_printf(to, "%s ... and %zu octets more\n", who, bytes.len);
			return;
		}
		buf_printf(to, "%s ", who);
		for (size_t i = 0; i < shown.len; i++) {
			char c = shown.ptr[i];

			if (c == '\r')
				buf_add_str(to, "\\r");
			else if (c == '\n')
				buf_add_str(to, "\\n");
			else if (c < ' ' || c > '~')
				buf_printf(to, "\\x%02x", (unsigned char)c);
			else
				buf_add_char(to, c);
		}
		buf_printf(to, "%s\n", line.len > shown.len ? " ..." : "");
		bytes = span_from(bytes, line.len);
	}
}

/* ---- sending -------------------------------------------------------------------------------- */

static void
talk_write(struct talk *t, struct sp_span bytes)
{
	transcript_add(&t->play->transcript, "C>", bytes);
	while (bytes.len > 0 && !t->ended) {
		struct sp_span piece = t->chunk > 0 ? span_head(bytes, (size_t)t->chunk) : bytes;
		enum sp_status st = stream_write(t->stream, piece, play_deadline(t->play));

		if (st == SP_OK)
			st = stream_flush(t->stream, play_deadline(t->play));
		if (st != SP_OK)
			return; /* the gateway has closed: what it says next is checked by the steps that follow */
		bytes = span_from(bytes, piece.len);
		if (t->chunk > 0)
			co_yield(); /* the gateway's side of the kernel gets its turn between two pieces */
	}
}

/* {n} becomes the round of the repeat. */
static struct sp_span
with_round(struct talk *t, struct sp_span text)
{
	struct buf out;
	struct sp_span done;

	if (t->round == 0)
		return text;
	buf_init(&out, 1 << 20);
	while (text.len > 0) {
		size_t at = span_find(text, '{');

		buf_add(&out, span_head(text, at));
		text = span_from(text, at);
		if (span_starts(text, SPAN_LIT("{n}"))) {
			buf_printf(&out, "%lld", (long long)t->round);
			text = span_from(text, 3);
		} else if (text.len > 0) {
			buf_add_char(&out, '{');
			text = span_from(text, 1);
		}
	}
	done = arena_copy(t->play->scene->arena, buf_span(&out));
	buf_fini(&out);
	return done;
}

static void
send_filling(struct talk *t, enum step_kind kind, int64_t number)
{
	static const char text[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";
	struct sp_span line = span_of(text, kind == STEP_FILL ? FILL_LINE : FILL_LINE - 2);
	struct buf out;

	buf_init(&out, 256u << 20);
	while (out.len < (size_t)number)
		buf_add(&out, span_head(line, (size_t)number - out.len));
	if (kind == STEP_LINE)
		buf_add_str(&out, "\r\n");
	else if (kind == STEP_FILL && number > 2 && out.len > 2)
		memcpy(out.ptr + out.len - 2, "\r\n", 2);
	talk_write(t, buf_span(&out));
	buf_fini(&out);
}

static void
send_many(struct talk *t, const struct step *st)
{
	struct buf out;

	buf_init(&out, 256u << 20);
	for (int64_t i = 0; i < st->number; i++)
		buf_add(&out, st->text);
	talk_write(t, buf_span(&out));
	buf_fini(&out);
}

static void
send_line(struct talk *t, struct sp_span text)
{
	struct buf line;

	buf_init(&line, 1 << 20);
	buf_add(&line, text);
	buf_add_str(&line, "\r\n");
	talk_write(t, buf_span(&line));
	buf_fini(&line);
}

/* ---- reading -------------------------------------------------------------------------------- */

static int64_t
reply_deadline(const struct talk *t)
{
	return t->within > 0 ? rt_deadline(t->within) : play_deadline(t->play);
}

/* A whole reply: lines up to one whose fourth octet is no '-'. In the scene's arena; {null,0}: none came. */
static struct sp_span
read_reply(struct talk *t, enum sp_status *ret_status)
{
	int64_t deadline = reply_deadline(t);

	for (;;) {
		struct sp_span in = stream_input(t->stream);
		size_t start = 0;

		for (;;) {
			struct sp_span line = span_from(in, start);
			size_t len = span_find(line, '\n') + 1;

			if (len > line.len)
				break;
			start += len;
			if (len < 4 || line.ptr[3] != '-') {
				struct sp_span reply = arena_copy(t->play->scene->arena, span_head(in, start));

				stream_consume(t->stream, start);
				transcript_add(&t->play->transcript, "S<", reply);
				return reply;
			}
		}
		*ret_status = stream_fill(t->stream, deadline);
		if (*ret_status != SP_OK)
			return (struct sp_span){ NULL, 0 };
	}
}

/* "550", "5xx", "*", "550 5.7.1", "550-5.7.1" */
static bool
reply_matches(struct sp_span reply, const struct step *st)
{
	size_t blank = span_find(st->text, ' ');
	struct sp_span code = span_head(st->text, blank), enhanced = span_trim(span_from(st->text, blank));
	bool any_part = st->more.len == 0;

	if (reply.len < 4 && !span_eq(code, SPAN_LIT("*")))
		return false;
	for (size_t i = 0; i < code.len && !span_eq(code, SPAN_LIT("*")); i++)
		if (i > 2 || (code.ptr[i] != 'x' && code.ptr[i] != reply.ptr[i]))
			return false;
	if (enhanced.len > 0 && !span_starts(span_from(reply, 4), enhanced))
		return false;
	for (size_t i = 0; !any_part && i + st->more.len <= reply.len; i++)
		any_part = span_eq(span_of(reply.ptr + i, st->more.len), st->more);
	return any_part != (st->number != 0);
}

static void
expect_reply(struct talk *t, const struct step *st)
{
	enum sp_status status = SP_OK;
	struct sp_span reply = read_reply(t, &status);

	if (reply.ptr == NULL)
		play_fail(t->play, st->line, "'%.*s' was expected, but %s", (int)st->text.len, st->text.ptr,
			status == SP_GONE ? "the connection was closed" : "nothing came");
	else if (!reply_matches(reply, st))
		play_fail(t->play, st->line, "'%.*s%s%.*s' was expected, but this came: %.*s", (int)st->text.len, st->text.ptr,
			st->number != 0 ? " !~ " : st->more.len > 0 ? " ~ " : "", (int)st->more.len, st->more.len > 0 ? st->more.ptr : "",
			(int)span_find(reply, '\r'), reply.ptr);
}

static void
expect_closed(struct talk *t, const struct step *st)
{
	enum sp_status status = stream_input(t->stream).len > 0 ? SP_OK : stream_fill(t->stream, reply_deadline(t));

	if (status == SP_OK)
		play_fail(t->play, st->line, "a closed connection was expected, but this came: %.*s",
			(int)span_find(stream_input(t->stream), '\r'), stream_input(t->stream).ptr);
	else if (status != SP_GONE)
		play_fail(t->play, st->line, "a closed connection was expected, but it stays open");
}

static void
expect_silence(struct talk *t, const struct step *st)
{
	enum sp_status status = stream_input(t->stream).len > 0 ? SP_OK : stream_fill(t->stream, rt_deadline(st->number));

	if (status != SP_TIMEOUT)
		play_fail(t->play, st->line, "silence was expected, but %s",
			status == SP_GONE ? "the connection was closed" : "something came");
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void
reset_connection(struct talk *t)
{
	struct linger now = { 1, 0 };

	(void)setsockopt(stream_fd(t->stream), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void
command_gateway(struct talk *t, const struct step *st)
{
	struct child *c = &t->play->child;

	if (span_eq(st->text, SPAN_LIT("TERM")))
		child_signal(c, SIGTERM);
	else if (span_eq(st->text, SPAN_LIT("HUP")))
		child_signal(c, SIGHUP);
	else if (span_eq(st->text, SPAN_LIT("USR1")))
		child_signal(c, SIGUSR1);
	else if (span_eq(st->text, SPAN_LIT("KILL-MASTER")))
		child_signal(c, SIGKILL);
	else if (span_eq(st->text, SPAN_LIT("KILL-WORKER")) && !child_kill_worker(c))
		play_fail(t->play, st->line, "no worker was found");
	else if (span_eq(st->text, SPAN_LIT("POLICY")) && !child_write_policy(c, t->play->scene, st->more))
		play_fail(t->play, st->line, "the policy could not be written");
}

static void
wait_backend(struct talk *t, const struct step *st)
{
	const struct buf *said = &t->play->backend.transcript;
	int64_t deadline = play_deadline(t->play);

	while (said->len < st->text.len || memmem(said->ptr, said->len, st->text.ptr, st->text.len) == NULL)
		if (rt_now_ms() > deadline || co_sleep(t->play->scene->clock) != SP_OK) {
			play_fail(t->play, st->line, "the backend never saw or said \"%.*s\"", (int)st->text.len, st->text.ptr);
			return;
		}
}

static void
milter_step(struct talk *t, const struct step *st)
{
	struct fake_milter *m = fake_milter_named(t->play, st->text);
	int64_t deadline = play_deadline(t->play);

	if (m == NULL) {
		play_fail(t->play, st->line, "no milter of the scene is named '%.*s'", (int)st->text.len, st->text.ptr);
	} else if (st->kind == STEP_MILTER) {
		fake_milter_down(m);
		if (span_eq(st->more, SPAN_LIT("UP")) && !fake_milter_up(m, t->play->child.world.folder))
			play_fail(t->play, st->line, "the milter cannot listen again");
	} else {
		while (m->transcript.len < st->more.len ||
			memmem(m->transcript.ptr, m->transcript.len, st->more.ptr, st->more.len) == NULL)
			if (rt_now_ms() > deadline || co_sleep(t->play->scene->clock) != SP_OK) {
				play_fail(t->play, st->line, "the milter never saw or said \"%.*s\"", (int)st->more.len, st->more.ptr);
				return;
			}
	}
}

static void
step_play(struct talk *t, const struct step *st)
{
	switch (st->kind) {
	case STEP_SEND:
		send_line(t, with_round(t, st->text));
		break;
	case STEP_RAW:
		talk_write(t, with_round(t, st->text));
		break;
	case STEP_FILL:
	case STEP_LINE:
	case STEP_TEXT:
		send_filling(t, st->kind, st->number + (st->more.len > 0 ? t->round : 0));
		break;
	case STEP_MANY:
		send_many(t, st);
		break;
	case STEP_EXPECT:
		expect_reply(t, st);
		break;
	case STEP_CLOSED:
		expect_closed(t, st);
		break;
	case STEP_SILENCE:
		expect_silence(t, st);
		break;
	case STEP_PAUSE:
		(void)co_sleep(st->number);
		break;
	case STEP_WITHIN:
		t->within = st->number;
		break;
	case STEP_CHUNK:
		t->chunk = st->number;
		break;
	case STEP_SHUTDOWN:
		(void)shutdown(stream_fd(t->stream), SHUT_WR);
		break;
	case STEP_RESET:
		reset_connection(t);
		t->ended = true;
		break;
	case STEP_CLOSE:
		t->ended = true;
		break;
	case STEP_STARTTLS:
		secure_client(t->play, t->stream, st);
		break;
	case STEP_NOTIFY:
		stream_tls_notify(t->stream);
		break;
	case STEP_PLAIN:
		secure_plain(t->stream, st->text);
		break;
	case STEP_GATEWAY:
		command_gateway(t, st);
		break;
	case STEP_WAIT_LOG:
		if (!child_wait_log(&t->play->child, st->text, 0, play_deadline(t->play)))
			play_fail(t->play, st->line, "the log never said \"%.*s\"", (int)st->text.len, st->text.ptr);
		break;
	case STEP_WAIT_BACKEND:
		wait_backend(t, st);
		break;
	case STEP_BACKEND:
		if (span_eq(st->text, SPAN_LIT("DOWN")))
			fake_backend_down(&t->play->backend);
		else if (!fake_backend_up(&t->play->backend))
			play_fail(t->play, st->line, "the backend cannot listen again");
		break;
	case STEP_MILTER:
	case STEP_WAIT_MILTER:
		milter_step(t, st);
		break;
	case STEP_REPEAT:
	case STEP_HOLD:
	case STEP_END:
		break;
	}
}

/* ---- connections ---------------------------------------------------------------------------- */

/* Clients on loopback connect from their own address, so that no PROXY line of theirs can be late; others are named by
 * a PROXY line from PROXY_PEER, whom the gateway believes. */
static bool
is_here(const struct sp_ip *ip)
{
	return ip->family == 4 && ip->bytes[0] == 127;
}

static enum sp_status
introduce(struct talk *t)
{
	bool v6 = span_find(t->from, ':') < t->from.len;
	char line[128];
	enum sp_status st;

	snprintf(line, sizeof(line), "PROXY TCP%d %.*s %s 40000 25\r\n", v6 ? 6 : 4, (int)t->from.len, t->from.ptr,
		v6 ? "::1" : "127.0.0.1");
	st = stream_write(t->stream, span_str(line), play_deadline(t->play));
	return st == SP_OK ? stream_flush(t->stream, play_deadline(t->play)) : st;
}

static enum sp_status
wait_connected(int fd, int64_t deadline_ms)
{
	struct rt_fd *wait = rt_fd_new(fd);
	enum sp_status st = wait == NULL ? SP_SYSTEM : rt_fd_wait(wait, CO_WRITE, deadline_ms);
	socklen_t len = sizeof(int);
	int error = 0;

	rt_fd_free(&wait);
	if (st == SP_OK && (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0))
		st = SP_TEMPFAIL;
	return st;
}

static enum sp_status
connect_from(const struct sp_ip *ip, uint16_t port, int64_t deadline_ms, struct stream **ret)
{
	struct sockaddr_in from = { .sin_family = AF_INET }, to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
	enum sp_status st = SP_TEMPFAIL;

	if (fd < 0)
		return SP_SYSTEM;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	memcpy(&from.sin_addr, ip->bytes, 4);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0) {
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
			st = SP_OK;
		else if (errno == EINPROGRESS)
			st = wait_connected(fd, deadline_ms);
	}
	if (st != SP_OK) {
		close(fd);
		return st;
	}
	*ret = stream_new(fd);
	return *ret != NULL ? SP_OK : SP_SYSTEM;
}

static bool
talk_connect(struct talk *t)
{
	struct sp_ip client, peer;
	bool here = span_to_ip(t->from, &client) == SP_OK && is_here(&client);
	enum sp_status st = span_to_ip(SPAN_LIT(PROXY_PEER), &peer);

	buf_printf(&t->play->transcript, "-- client from %.*s\n", (int)t->from.len, t->from.ptr);
	if (st == SP_OK)
		st = connect_from(here ? &client : &peer, t->play->child.port, play_deadline(t->play), &t->stream);
	if (st == SP_OK && !here)
		st = introduce(t);
	if (st != SP_OK)
		play_fail(t->play, t->dialogue->line, "the gateway takes no connection");
	return st == SP_OK;
}

/* ---- blocks --------------------------------------------------------------------------------- */

static size_t steps_play(struct talk *t, size_t first);

static size_t
steps_repeat(struct talk *t, size_t body, int64_t times)
{
	int64_t outer = t->round;
	size_t next = body;

	for (int64_t n = 1; n <= times && !t->play->failed; n++) {
		t->round = n;
		next = steps_play(t, body);
	}
	t->round = outer;
	return next;
}

/* Plays the block on connections of its own, which are kept. */
static size_t
steps_hold(struct talk *t, size_t body, const struct step *st)
{
	size_t next = body;

	if (t->held == NULL)
		t->held = arena_alloc(t->play->scene->arena, HELD_MAX * sizeof(struct stream *));
	MUST(t->held != NULL);
	for (int64_t n = 1; n <= st->number && !t->play->failed; n++) {
		struct talk other = { .play = t->play, .dialogue = t->dialogue, .from = t->from, .chunk = t->chunk, .round = n };

		if (st->text.len > 0)
			other.from = with_round(&other, st->text);
		if (t->held_count == HELD_MAX)
			play_fail(t->play, st->line, "too many connections are held");
		else if (talk_connect(&other))
			next = steps_play(&other, body);
		if (other.stream != NULL)
			t->held[t->held_count++] = other.stream;
	}
	return next;
}

/* Plays steps from first on up to the end that matches; returns the index behind it. */
static size_t
steps_play(struct talk *t, size_t first)
{
	const struct dialogue *d = t->dialogue;
	size_t i = first;

	while (i < d->count && d->steps[i].kind != STEP_END && !t->play->failed && !t->ended) {
		if (d->steps[i].kind == STEP_REPEAT) {
			i = steps_repeat(t, i + 1, d->steps[i].number);
		} else if (d->steps[i].kind == STEP_HOLD) {
			i = steps_hold(t, i + 1, &d->steps[i]);
		} else {
			step_play(t, &d->steps[i++]);
		}
	}
	return i + 1;
}

static void
dialogue_once(struct play *p, const struct dialogue *d, int64_t chunk)
{
	struct talk t = { .play = p, .dialogue = d, .from = d->from, .chunk = chunk };

	if (t.from.len == 0)
		t.from = SPAN_LIT("127.0.0.1");
	if (talk_connect(&t))
		(void)steps_play(&t, 0);
	for (size_t i = 0; i < t.held_count; i++)
		stream_free(&t.held[i]);
	stream_free(&t.stream);
}

void
dialogue_play(struct play *p, const struct dialogue *d)
{
	if (d->chunk_count == 0)
		dialogue_once(p, d, 0);
	for (size_t i = 0; i < d->chunk_count && !p->failed; i++)
		dialogue_once(p, d, d->chunks[i]);
}
