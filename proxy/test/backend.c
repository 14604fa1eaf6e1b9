/*
 * backend.c - a mail server that says yes to everything but what the scene tells it to do otherwise.
 *
 * It is strict where it matters for judging the gateway: commands end in CR LF, data ends in CR LF . CR LF, and each message
 * that it accepts is kept as it came over the wire.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/kit/must.h"
#include "proxy/net/tls.h"
#include "proxy/test/play.h"

enum { REAL_WAIT_MS = 60000, MESSAGE_MAX = 256 << 20, DRIP_MS = 1000, TRICK_NO_CODE = 99 };

struct visit {
	struct visit *next, **self;
	struct fake_backend *backend;
	struct stream *stream;
	bool over;
	struct buf chunks;  /* of a message that comes by BDAT */
	bool challenged;    /* the last reply was 334: the next line is an answer to it */
	bool lmtp;          /* it was greeted with LHLO */
	bool turned;        /* ATRN was answered with 250: it is the client now */
	size_t rcpts;       /* of the transaction, that were taken */
};

static int64_t
visit_deadline(const struct visit *v)
{
	return rt_deadline(REAL_WAIT_MS * v->backend->scene->clock);
}

static void
visit_send(struct visit *v, struct sp_span bytes)
{
	transcript_add(&v->backend->transcript, "B>", bytes);
	v->challenged = span_starts(bytes, SPAN_LIT("334"));
	if (stream_write(v->stream, bytes, visit_deadline(v)) != SP_OK ||
		stream_flush(v->stream, visit_deadline(v)) != SP_OK)
		v->over = true;
}

static void
visit_reply(struct visit *v, struct sp_span text)
{
	char line[8192];

	snprintf(line, sizeof(line), "%.*s\r\n", (int)text.len, text.ptr);
	visit_send(v, span_str(line));
}

/* ---- tricks --------------------------------------------------------------------------------- */

static bool
contains(struct sp_span s, struct sp_span part)
{
	for (size_t i = 0; i + part.len <= s.len; i++)
		if (span_eq(span_of(s.ptr + i, part.len), part))
			return true;
	return part.len == 0;
}

static void
drip(struct visit *v, struct sp_span text)
{
	for (size_t i = 0; i < text.len && !v->over; i++) {
		visit_send(v, span_of(text.ptr + i, 1));
		(void)co_sleep(DRIP_MS);
	}
}

/* Nothing is read and nothing is said until the gateway gives up. */
static void
stall(struct visit *v)
{
	(void)co_sleep(3600 * 1000);
	v->over = true;
}

/* Waits for the other end to close, throwing away what it says. */
static void
stay_silent(struct visit *v)
{
	while (stream_fill(v->stream, rt_deadline(7200 * 1000)) == SP_OK)
		stream_consume(v->stream, stream_input(v->stream).len);
	v->over = true;
}

static void
trick_play(struct visit *v, const struct trick *t)
{
	struct linger now = { 1, 0 };

	switch (t->kind) {
	case TRICK_REPLY:
		visit_reply(v, t->text);
		break;
	case TRICK_RAW:
		visit_send(v, t->text);
		break;
	case TRICK_DRIP:
		drip(v, t->text);
		break;
	case TRICK_DELAY:
		(void)co_sleep(t->number);
		break;
	case TRICK_SILENT:
		stay_silent(v);
		break;
	case TRICK_STALL:
		stall(v);
		break;
	case TRICK_RESET:
		(void)setsockopt(stream_fd(v->stream), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		v->over = true;
		break;
	case TRICK_PLAIN:
		secure_plain(v->stream, t->text);
		break;
	case TRICK_CLOSE:
		v->over = true;
		break;
	}
}

/* Plays all tricks for this moment in file order; true: one of them took the place of the ordinary answer. */
static bool
tricked(struct visit *v, const char *when, struct sp_span line)
{
	struct fake_backend *b = v->backend;
	bool answered = false;

	for (size_t i = 0; i < b->scene->trick_count && !v->over; i++) {
		struct trick *t = &b->tricks[i];

		if (t->times == 0 || !span_ieq(t->when, span_str(when)) || !contains(line, t->match))
			continue;
		if (answered && t->kind == TRICK_REPLY)
			continue; /* the first reply that fits is the answer */
		t->times -= t->times > 0;
		trick_play(v, t);
		answered |= t->kind != TRICK_DELAY;
	}
	return answered || v->over;
}

/* The first digit of the reply that tricks will give at this moment; TRICK_NO_CODE: another kind of trick; 0: none is planned.
 * To be asked before they are played. */
static int
trick_code(const struct visit *v, const char *when)
{
	for (size_t i = 0; i < v->backend->scene->trick_count; i++) {
		const struct trick *t = &v->backend->tricks[i];

		if (t->times == 0 || !span_ieq(t->when, span_str(when)) || t->kind == TRICK_DELAY)
			continue;
		return t->text.len > 0 ? t->text.ptr[0] - '0' : TRICK_NO_CODE;
	}
	return 0;
}

/* ---- commands ------------------------------------------------------------------------------- */

static bool
read_line(struct visit *v, struct sp_span *ret)
{
	for (;;) {
		struct sp_span in = stream_input(v->stream);
		size_t len = span_find(in, '\n') + 1;

		if (len <= in.len) {
			*ret = arena_copy(v->backend->scene->arena, span_head(in, len));
			stream_consume(v->stream, len);
			transcript_add(&v->backend->transcript, "B<", *ret);
			ret->len -= ret->len >= 2 && ret->ptr[ret->len - 2] == '\r' ? 2 : 1;
			return true;
		}
		if (stream_fill(v->stream, visit_deadline(v)) != SP_OK)
			return false;
	}
}

/* Reads wire octets to the terminator; body tricks are played once, as soon as something of the body is there. */
static bool
read_message(struct visit *v, struct buf *to)
{
	bool played = false;

	buf_add_str(to, "\r\n"); /* so that a dot on the first line is found by the same search */
	for (;;) {
		struct sp_span in = stream_input(v->stream);
		const char *end;

		buf_add(to, in);
		stream_consume(v->stream, in.len);
		end = memmem(to->ptr, to->len, "\r\n.\r\n", 5);
		if (end != NULL) {
			transcript_add(&v->backend->transcript, "B<", SPAN_LIT("(message)\r\n.\r\n"));
			if (end + 5 != to->ptr + to->len) /* octets behind the dot would be smuggling */
				transcript_add(&v->backend->transcript, "B<", SPAN_LIT("(octets after the dot)\r\n"));
			to->len = (size_t)(end - to->ptr) + 2;
			return true;
		}
		if (!played && to->len > 2) {
			played = true;
			if (tricked(v, "body", (struct sp_span){ NULL, 0 }) && v->over)
				return false;
		}
		if (stream_fill(v->stream, visit_deadline(v)) != SP_OK)
			return false;
	}
}

static void
keep_message(struct visit *v, const struct buf *message)
{
	struct fake_backend *b = v->backend;
	char *copy;

	if (b->message_count == sizeof(b->messages) / sizeof(b->messages[0]))
		return;
	copy = malloc(message->len);
	MUST(copy != NULL);
	memcpy(copy, message->ptr + 2, message->len - 2);
	b->messages[b->message_count++].bytes = span_of(copy, message->len - 2);
}

/* Tells whether a message is to be read now. */
static bool
begin_data(struct visit *v)
{
	int code = trick_code(v, "DATA");
	bool answered = tricked(v, "DATA", SPAN_LIT("DATA"));

	if (answered)
		return code == 3 && !v->over;
	visit_reply(v, SPAN_LIT("354 go on"));
	return !v->over;
}

/* LMTP: a reply for each recipient; a trick "on dot reply" takes the place of one, in their order. */
static void
end_each(struct visit *v)
{
	char reply[64];

	for (size_t i = 0; i < v->rcpts && !v->over; i++) {
		snprintf(reply, sizeof(reply), "250 2.1.5 Ok: filed as Q%zu.%zu", v->backend->message_count, i + 1);
		if (!tricked(v, "dot", (struct sp_span){ NULL, 0 }))
			visit_reply(v, span_str(reply));
	}
	v->rcpts = 0;
}

/* AUTH, or an answer to a challenge: whoever it is, he is let in. A trick "on AUTH reply "334 ..."" asks first, "on answer" says
 * what is said to the answers. */
static void
serve_auth(struct visit *v, struct sp_span line)
{
	bool answer = v->challenged;

	v->challenged = false;
	if (tricked(v, answer ? "answer" : "AUTH", line))
		return;
	if (span_eq(line, SPAN_LIT("*")))
		visit_reply(v, SPAN_LIT("501 5.7.0 cancelled"));
	else
		visit_reply(v, SPAN_LIT("235 2.7.0 welcome"));
}

/* A message counts as stored when the reply to its dot is a 2xx, read or not. */
static void
end_data(struct visit *v, const struct buf *message)
{
	int code = trick_code(v, "dot");
	char reply[64];

	if (code == 0 || code == 2)
		keep_message(v, message);
	if (v->lmtp) {
		end_each(v);
		return;
	}
	snprintf(reply, sizeof(reply), "250 2.0.0 Ok: queued as Q%zu", v->backend->message_count);
	if (!tricked(v, "dot", (struct sp_span){ NULL, 0 }))
		visit_reply(v, span_str(reply));
}

static void
serve_data(struct visit *v)
{
	struct buf message;

	if (!begin_data(v))
		return;
	buf_init(&message, MESSAGE_MAX);
	if (read_message(v, &message))
		end_data(v, &message);
	else
		v->over = true;
	buf_fini(&message);
}

/* The octets of a chunk; false: they did not come. */
static bool
read_chunk(struct visit *v, uint64_t left)
{
	while (left > 0) {
		struct sp_span in = stream_input(v->stream);

		in = span_head(in, left < in.len ? (size_t)left : in.len);
		buf_add(&v->chunks, in);
		stream_consume(v->stream, in.len);
		left -= in.len;
		if (left > 0 && stream_fill(v->stream, visit_deadline(v)) != SP_OK)
			return false;
	}
	transcript_add(&v->backend->transcript, "B<", SPAN_LIT("(chunk)\r\n"));
	return true;
}

/* BDAT octets [LAST]: with LAST it is the dot. What is kept are the octets as they came. */
static void
serve_bdat(struct visit *v, struct sp_span line)
{
	struct sp_span words = span_from(line, 5);
	size_t end = span_find(words, ' ');
	bool last = end < words.len;
	uint64_t octets;

	if (v->chunks.max == 0) {
		buf_init(&v->chunks, MESSAGE_MAX);
		buf_add_str(&v->chunks, "\r\n"); /* as read_message() does */
	}
	if (span_to_u64(span_head(words, end), MESSAGE_MAX, &octets) != SP_OK || !read_chunk(v, octets)) {
		v->over = true;
	} else if (last) {
		end_data(v, &v->chunks);
		buf_fini(&v->chunks);
		v->chunks.max = 0;
	} else if (!tricked(v, "BDAT", line)) {
		visit_reply(v, SPAN_LIT("250 2.0.0 go on"));
	}
}

static void
serve_ehlo(struct visit *v)
{
	const struct scene *s = v->backend->scene;
	char reply[2048];
	size_t at = (size_t)snprintf(reply, sizeof(reply), "250-backend.example\r\n");
	struct sp_span offers = s->offers.ptr != NULL ? s->offers : SPAN_LIT("PIPELINING,SIZE 52428800,8BITMIME,ENHANCEDSTATUSCODES");

	while (offers.len > 0 && at < sizeof(reply) - 100) {
		struct sp_span one = span_head(offers, span_find(offers, ','));

		at += (size_t)snprintf(reply + at, sizeof(reply) - at, "250-%.*s\r\n", (int)one.len, one.ptr);
		offers = span_from(offers, one.len + 1);
	}
	if (s->backend_tls.len > 0 && stream_tls_version(v->stream) == NULL)
		at += (size_t)snprintf(reply + at, sizeof(reply) - at, "250-STARTTLS\r\n");
	snprintf(reply + at, sizeof(reply) - at, "250 HELP\r\n");
	visit_send(v, span_str(reply));
}

static void
serve_line(struct visit *v, struct sp_span line)
{
	struct sp_span verb = span_head(line, span_find(line, ' '));
	char when[16];

	snprintf(when, sizeof(when), "%.*s", (int)(verb.len > 15 ? 15 : verb.len), verb.ptr);
	if (v->challenged || span_ieq(verb, SPAN_LIT("AUTH"))) {
		serve_auth(v, line);
		return;
	}
	if (span_ieq(verb, SPAN_LIT("DATA"))) {
		serve_data(v);
		return;
	}
	if (span_ieq(verb, SPAN_LIT("BDAT"))) {
		serve_bdat(v, line);
		return;
	}
	v->turned = span_ieq(verb, SPAN_LIT("ATRN")) && trick_code(v, "ATRN") == 2;
	if (tricked(v, when, line))
		return;
	v->rcpts += span_ieq(verb, SPAN_LIT("RCPT"));
	if (span_ieq(verb, SPAN_LIT("MAIL")) || span_ieq(verb, SPAN_LIT("RSET"))) {
		v->rcpts = 0;
		buf_fini(&v->chunks);
		v->chunks.max = 0;
	}
	if (span_ieq(verb, SPAN_LIT("EHLO")) || span_ieq(verb, SPAN_LIT("LHLO"))) {
		v->lmtp = span_ieq(verb, SPAN_LIT("LHLO"));
		serve_ehlo(v);
	} else if (span_ieq(verb, SPAN_LIT("STARTTLS")) && v->backend->scene->backend_tls.len > 0) {
		visit_reply(v, SPAN_LIT("220 2.0.0 go ahead"));
		v->over = v->over || !fake_backend_secure(v->backend, v->stream, visit_deadline(v));
	} else if (span_ieq(verb, SPAN_LIT("QUIT"))) {
		visit_reply(v, SPAN_LIT("221 2.0.0 bye"));
		v->over = true;
	} else {
		visit_reply(v, SPAN_LIT("250 2.0.0 ok"));
	}
}

/* After ATRN: each last line of a reply is answered by the next trick "on turned ["part"] ..."; one that lacks the part ends it. */
static void
turned_line(struct visit *v, struct sp_span line)
{
	const struct scene *s = v->backend->scene;

	if (line.len > 3 && line.ptr[3] == '-')
		return;
	for (size_t i = 0; i < s->trick_count; i++) {
		struct trick *t = &v->backend->tricks[i];

		if (t->times == 0 || !span_ieq(t->when, SPAN_LIT("turned")))
			continue;
		t->times = 0;
		if (contains(line, t->match))
			trick_play(v, t);
		else
			v->over = true;
		return;
	}
}

static void
visit_serve(void *arg)
{
	struct visit *v = arg;
	struct sp_span line;

	transcript_add(&v->backend->transcript, "B<", SPAN_LIT("(connection)\r\n"));
	if (v->backend->scene->backend_tls_implicit)
		v->over = !fake_backend_secure(v->backend, v->stream, visit_deadline(v));
	if (!v->over && !tricked(v, "connect", (struct sp_span){ NULL, 0 }))
		visit_reply(v, SPAN_LIT("220 backend.example ESMTP fake"));
	while (!v->over && read_line(v, &line))
		if (v->turned)
			turned_line(v, line);
		else
			serve_line(v, line);
	transcript_add(&v->backend->transcript, "B<", SPAN_LIT("(closed)\r\n"));
	v->backend->open--;
	*v->self = v->next;
	if (v->next != NULL)
		v->next->self = v->self;
	buf_fini(&v->chunks);
	stream_free(&v->stream);
	free(v);
}

/* ---- the listener --------------------------------------------------------------------------- */

static void
visitor_take(struct fake_backend *b, int listener)
{
	struct sp_ip ip;
	uint16_t port;
	int fd = net_accept(listener, &ip, &port);
	struct visit *v = fd < 0 ? NULL : calloc(1, sizeof(*v));

	if (v == NULL)
		return;
	v->backend = b;
	v->stream = stream_new(fd);
	v->next = b->visits;
	v->self = &b->visits;
	if (v->next != NULL)
		v->next->self = &v->next;
	b->visits = v;
	b->connections++;
	b->open++;
	if (v->stream == NULL || co_start(visit_serve, v, NULL) != SP_OK)
		MUST(false);
}

static void
visitor(void *arg)
{
	struct fake_backend *b = arg;

	visitor_take(b, b->listener);
}

static void
visitor_local(void *arg)
{
	struct fake_backend *b = arg;

	visitor_take(b, b->local);
}

bool
fake_backend_local(struct fake_backend *b, const char *folder)
{
	struct net_endpoint e = { .kind = NET_UNIX };

	if (snprintf(e.text, sizeof(e.text), "%s/backend.sock", folder) >= (int)sizeof(e.text))
		return false;
	b->local = net_listen(&e, 1024);
	if (b->local < 0)
		return false;
	b->local_watch = rt_watch_new(b->local, visitor_local, b);
	return b->local_watch != NULL;
}

/* A queue of one that is full: the kernel drops the SYNs of all others. */
static void
stop_answering(struct fake_backend *b)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(b->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	(void)listen(b->listener, 0);
	for (int i = 0; i < 4; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		(void)connect(fd, (struct sockaddr *)&to, sizeof(to)); /* stays open until the end of the scene's process */
	}
}

static void
holder_close(struct fake_backend *b)
{
	if (b->holder >= 0)
		close(b->holder);
	b->holder = -1;
}

/* A bound socket that does not listen: who connects is refused, and no other program is given the port meanwhile. */
static void
holder_open(struct fake_backend *b)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(b->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1, off = 0;

	b->holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(b->holder, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* past connections may linger */
	if (bind(b->holder, (struct sockaddr *)&at, sizeof(at)) != 0)
		holder_close(b);
	else
		(void)setsockopt(b->holder, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off)); /* nobody may share it */
}

bool
fake_backend_up(struct fake_backend *b)
{
	struct net_endpoint e = { .kind = NET_IP, .port = b->port };

	holder_close(b);
	(void)span_to_ip(SPAN_LIT("127.0.0.1"), &e.ip);
	b->listener = net_listen(&e, 1024);
	if (b->listener < 0)
		return false;
	b->port = net_local_port(b->listener);
	b->watch = rt_watch_new(b->listener, visitor, b);
	return b->watch != NULL;
}

void
fake_backend_down(struct fake_backend *b)
{
	struct linger now = { 1, 0 };

	rt_watch_free(&b->watch);
	if (b->listener >= 0)
		close(b->listener);
	b->listener = -1;
	holder_open(b);
	for (struct visit *v = b->visits; v != NULL; v = v->next) {
		v->over = true;
		(void)setsockopt(stream_fd(v->stream), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		(void)shutdown(stream_fd(v->stream), SHUT_RDWR);
	}
}

bool
fake_backend_start(struct fake_backend *b, const struct scene *s)
{
	b->scene = s;
	b->holder = b->local = -1;
	memcpy(b->tricks, s->tricks, sizeof(b->tricks));
	buf_init(&b->transcript, SCENE_TRANSCRIPT);
	if (!fake_backend_up(b))
		return false;
	if (s->backend_refuses) {
		fake_backend_down(b); /* the port stays known, and nobody is there */
	} else if (s->backend_drops) {
		rt_watch_free(&b->watch);
		stop_answering(b);
	}
	return true;
}

void
fake_backend_stop(struct fake_backend *b)
{
	rt_watch_free(&b->watch);
	if (b->listener >= 0)
		close(b->listener);
	holder_close(b);
	rt_watch_free(&b->local_watch);
	if (b->local >= 0)
		close(b->local);
	for (size_t i = 0; i < b->message_count; i++)
		free((void *)(uintptr_t)b->messages[i].bytes.ptr);
	tls_context_free(&b->tls);
	buf_fini(&b->transcript);
}
