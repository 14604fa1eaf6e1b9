/*
 * fakedns.c - the sockets of the fake DNS server.
 *
 * UDP is answered from the loop's callback, TCP by a coroutine for each connection, and so is an answer
 * that is to come late.  Each coroutine holds a reference, so that the server lives until the last is gone.
 */
#include "proxy/test/fakedns.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/kit/span.h"
#include "proxy/net/net.h"
#include "proxy/rt/rt.h"
#include "proxy/test/fakedns_priv.h"

enum { PORT_TRIES = 50, IDLE_MS = 30000 };

/* One coroutine: a TCP connection, or a late answer. */
struct task {
	struct task *next;
	struct fakedns *server;
	struct co *co;
	int fd;                  /* TCP */
	int64_t delay_ms;        /* UDP */
	struct sockaddr_in peer;
	struct buf answer;
};

struct fakedns {
	struct zone zone;
	struct task *tasks;
	struct rt_watch *udp_watch, *tcp_watch;
	int udp, tcp;
	size_t asked_tcp;
	bool closed;
};

struct fakedns *
fakedns_new(void)
{
	struct fakedns *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->udp = f->tcp = -1;
	if (zone_init(&f->zone) != SP_OK) {
		free(f);
		return NULL;
	}
	return f;
}

static void
server_release(struct fakedns *f)
{
	if (!f->closed || f->tasks != NULL)
		return;
	zone_fini(&f->zone);
	free(f);
}

void
fakedns_free(struct fakedns **f)
{
	struct fakedns *old = *f;

	if (old == NULL)
		return;
	*f = NULL;
	rt_watch_free(&old->udp_watch);
	rt_watch_free(&old->tcp_watch);
	if (old->udp != -1)
		close(old->udp);
	if (old->tcp != -1)
		close(old->tcp);
	old->udp = old->tcp = -1;
	old->closed = true;
	for (struct task *t = old->tasks; t != NULL; t = t->next)
		co_cancel(t->co);
	server_release(old);
}

/* ---- tasks ------------------------------------------------------------------------------------------- */

static void
task_free(struct task *t)
{
	struct fakedns *f = t->server;
	struct task **at = &f->tasks;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	buf_fini(&t->answer);
	free(t);
	server_release(f);
}

static struct task *
task_start(struct fakedns *f, void (*fn)(void *), const struct task *model)
{
	struct task *t = malloc(sizeof(*t));

	if (t == NULL)
		return NULL;
	*t = *model;
	t->server = f;
	t->next = f->tasks;
	f->tasks = t;
	/* it may have ended, and t be gone, when this returns */
	if (co_start(fn, t, &t->co) != SP_OK) {
		f->tasks = t->next;
		free(t);
		return NULL;
	}
	return t;
}

/* ---- UDP --------------------------------------------------------------------------------------------- */

static void
udp_send(struct fakedns *f, const struct sockaddr_in *peer, struct sp_span answer)
{
	/* one that gets lost is what UDP is for */
	(void)!sendto(f->udp, answer.ptr, answer.len, MSG_DONTWAIT, (const struct sockaddr *)peer,
		sizeof(*peer));
}

static void
udp_late(void *arg)
{
	struct task *t = arg;

	if (co_sleep(t->delay_ms) == SP_OK && !t->server->closed)
		udp_send(t->server, &t->peer, buf_span(&t->answer));
	task_free(t);
}

static void
udp_ready(void *arg)
{
	struct fakedns *f = arg;
	struct task t = { .fd = -1 };
	socklen_t peer_len = sizeof(t.peer);
	char query[1024];
	ssize_t len = recvfrom(f->udp, query, sizeof(query), MSG_DONTWAIT, (struct sockaddr *)&t.peer, &peer_len);

	if (len <= 0)
		return;
	buf_init(&t.answer, UINT16_MAX);
	zone_answer(&f->zone, span_of(query, (size_t)len), true, &t.answer, &t.delay_ms);
	if (t.answer.len == 0 || t.delay_ms == 0) {
		if (t.answer.len > 0)
			udp_send(f, &t.peer, buf_span(&t.answer));
		buf_fini(&t.answer);
	} else if (task_start(f, udp_late, &t) == NULL) {
		buf_fini(&t.answer);
	}
}

/* ---- TCP --------------------------------------------------------------------------------------------- */

/* The next question, without its length; SP_GONE at the end. */
static enum sp_status
tcp_read(struct stream *s, struct sp_span *ret)
{
	for (;;) {
		struct sp_span in = stream_input(s);
		enum sp_status st;

		if (in.len >= 2) {
			size_t len = (size_t)((uint8_t)in.ptr[0] << 8 | (uint8_t)in.ptr[1]);

			if (in.len >= 2 + len) {
				*ret = span_of(in.ptr + 2, len);
				return SP_OK;
			}
		}
		st = stream_fill(s, rt_deadline(IDLE_MS));
		if (st != SP_OK)
			return st;
	}
}

static enum sp_status
tcp_write(struct stream *s, struct sp_span answer)
{
	char head[2] = { (char)(answer.len >> 8), (char)answer.len };
	enum sp_status st = stream_write(s, span_of(head, sizeof(head)), rt_deadline(IDLE_MS));

	if (st == SP_OK)
		st = stream_write(s, answer, rt_deadline(IDLE_MS));
	return st == SP_OK ? stream_flush(s, rt_deadline(IDLE_MS)) : st;
}

static void
tcp_serve(void *arg)
{
	struct task *t = arg;
	struct stream *s = stream_new(t->fd);
	struct sp_span query;

	while (s != NULL && tcp_read(s, &query) == SP_OK && !t->server->closed) {
		struct buf answer;
		enum sp_status st = SP_OK;
		int64_t delay_ms;

		buf_init(&answer, UINT16_MAX);
		t->server->asked_tcp++;
		zone_answer(&t->server->zone, query, false, &answer, &delay_ms);
		stream_consume(s, 2 + query.len);
		if (delay_ms > 0)
			st = co_sleep(delay_ms);
		if (st == SP_OK && answer.len > 0)
			st = tcp_write(s, buf_span(&answer));
		buf_fini(&answer);
		if (st != SP_OK)
			break;
	}
	stream_free(&s);
	task_free(t);
}

static void
tcp_ready(void *arg)
{
	struct fakedns *f = arg;
	struct task t = { .fd = -1 };
	struct sp_ip ip;
	uint16_t port;

	t.fd = net_accept(f->tcp, &ip, &port);
	if (t.fd != -1 && task_start(f, tcp_serve, &t) == NULL)
		close(t.fd);
}

/* ---- beginning ----------------------------------------------------------------------------------------- */

/* A UDP socket on the port that the TCP one got; -1 when another has it. */
static int
udp_open(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd != -1 && bind(fd, (const struct sockaddr *)&sin, sizeof(sin)) == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

uint16_t
fakedns_start(struct fakedns *f)
{
	struct net_endpoint e;

	if (net_endpoint_parse(SPAN_LIT("127.0.0.1:0"), 0, &e) != SP_OK)
		e = (struct net_endpoint){ .kind = NET_IP, .ip = { 4, { 127, 0, 0, 1 } } };
	for (int i = 0; i < PORT_TRIES && f->udp == -1; i++) {
		if (f->tcp != -1)
			close(f->tcp);
		f->tcp = net_listen(&e, 64);
		if (f->tcp == -1)
			return 0;
		f->udp = udp_open(net_local_port(f->tcp));
	}
	if (f->udp == -1)
		return 0;
	f->udp_watch = rt_watch_new(f->udp, udp_ready, f);
	f->tcp_watch = rt_watch_new(f->tcp, tcp_ready, f);
	return f->udp_watch != NULL && f->tcp_watch != NULL ? net_local_port(f->tcp) : 0;
}

/* ---- the zone ------------------------------------------------------------------------------------------ */

enum sp_status
fakedns_add(struct fakedns *f, struct sp_span name, struct sp_span type, struct sp_span value)
{
	return zone_add(&f->zone, name, type, value);
}

enum sp_status
fakedns_fail(struct fakedns *f, struct sp_span name, enum fakedns_kind kind)
{
	struct zone_name *n = zone_name_at(&f->zone, name);

	if (n == NULL)
		return SP_INVALID;
	n->fails = true;
	n->kind = kind;
	return SP_OK;
}

enum sp_status
fakedns_kind_parse(struct sp_span word, enum fakedns_kind *ret)
{
	static const struct sp_span words[] = {
		[FAKEDNS_NXDOMAIN] = SPAN_LIT("nxdomain"),
		[FAKEDNS_NODATA] = SPAN_LIT("nodata"),
		[FAKEDNS_SERVFAIL] = SPAN_LIT("servfail"),
		[FAKEDNS_REFUSED] = SPAN_LIT("refused"),
		[FAKEDNS_TIMEOUT] = SPAN_LIT("timeout"),
		[FAKEDNS_TRUNCATED] = SPAN_LIT("truncated"),
		[FAKEDNS_CUT] = SPAN_LIT("cut"),
		[FAKEDNS_GARBAGE] = SPAN_LIT("garbage"),
		[FAKEDNS_NOEDNS] = SPAN_LIT("noedns"),
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_ieq(word, words[i])) {
			*ret = (enum fakedns_kind)i;
			return SP_OK;
		}
	return SP_INVALID;
}

enum sp_status
fakedns_delay(struct fakedns *f, struct sp_span name, int64_t ms)
{
	struct zone_name *n = zone_name_at(&f->zone, name);

	if (n == NULL)
		return SP_INVALID;
	n->delay_ms = ms;
	return SP_OK;
}

void
fakedns_ttl(struct fakedns *f, uint32_t seconds)
{
	f->zone.ttl = seconds;
}

size_t
fakedns_asked(const struct fakedns *f, struct sp_span name)
{
	const struct zone_name *n = zone_name_find(&f->zone, name);

	if (span_eq(name, SPAN_LIT("*")))
		return f->zone.asked;
	return n != NULL ? n->asked : 0;
}

size_t
fakedns_asked_tcp(const struct fakedns *f)
{
	return f->asked_tcp;
}
