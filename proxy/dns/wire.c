/*
 * wire.c - questions on the wire, by c-ares (RFC 1035 4.2, RFC 5452 9.2, RFC 6891, RFC 7766).
 *
 * Each try is a channel of its own with one server: so each has a source port and an identifier of its
 * own, it can be dropped alone, and the time of a try is ours, on the clock that tests can scale.  c-ares
 * does what is left: sockets, matching answer to question, EDNS and its fallback, TCP after truncation.
 *
 * Its sockets are watched through one epoll descriptor, which the loop sees as readable when any of
 * them is ready, for reading or for writing.  It is asked for one event at a time, since what one event
 * starts may free the socket of the next.
 *
 * A query is on the heap and frees itself when it is done, just before its callback is called.
 */
#include "proxy/dns/wire.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/net/net.h"
#include "proxy/rt/rt.h"

enum {
	SERVERS_MAX = 8,
	EDNS_OCTETS = 1232,  /* no fragments on any usual path */
	FAILURE_TTL = 5,     /* s; RFC 2308 7.1 allows 300 */
	ARES_TIMEOUT = 1 << 30, /* ms: never, the tries are timed here */
	EVENTS_MAX = 256     /* in one round of the loop */
};

struct sock {
	struct sock *next;
	struct dns_query *query;
	int fd;
	uint32_t events;
};

struct dns_query {
	struct dns_name name;
	enum dns_type type;
	dns_query_done *done;
	void *arg;
	ares_channel channel; /* of the present try */
	struct sock *socks;
	unsigned tries;       /* begun */
	unsigned bad;         /* servers that failed to answer it, a bit each */
	int64_t deadline;
	bool answered;        /* this try */
	bool hopeless;        /* for want of memory or descriptors, which says nothing of the name */
	struct dns_answer answer;
};

static struct {
	struct ares_addr_port_node servers[SERVERS_MAX];
	unsigned server_count;
	int64_t timeout_ms;
	unsigned tries;
	int epoll;
	struct rt_watch *watch;
	size_t queries;
	uint64_t sent;
} wire = { .epoll = -1 };

/* ---- sockets ----------------------------------------------------------------------------------- */

static void
sock_drop(struct dns_query *q, int fd)
{
	for (struct sock **at = &q->socks; *at != NULL; at = &(*at)->next) {
		struct sock *s = *at;

		if (s->fd == fd) {
			*at = s->next;
			epoll_ctl(wire.epoll, EPOLL_CTL_DEL, fd, NULL);
			free(s);
			return;
		}
	}
}

/* c-ares wants to know of fd being readable or writable; neither: it is about to close it. */
static void
sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns_query *q = arg;
	struct epoll_event event = { .events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u) };
	struct sock *s = q->socks;
	int op = EPOLL_CTL_MOD;

	if (event.events == 0) {
		sock_drop(q, fd);
		return;
	}
	while (s != NULL && s->fd != fd)
		s = s->next;
	if (s == NULL) {
		/* unwatched, it only runs into its time */
		if ((s = calloc(1, sizeof(*s))) == NULL)
			return;
		*s = (struct sock){ q->socks, q, fd, 0 };
		q->socks = s;
		op = EPOLL_CTL_ADD;
	}
	event.data.ptr = s;
	if (s->events != event.events)
		epoll_ctl(wire.epoll, op, fd, &event);
	s->events = event.events;
}

/* ---- one try ----------------------------------------------------------------------------------- */

static void
answered(void *arg, int status, int timeouts, unsigned char *message, int len)
{
	struct dns_query *q = arg;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION || q->answered)
		return;
	q->answered = true;
	if (message != NULL && len > 0) {
		dns_answer_parse(&q->answer, span_of((const char *)message, (size_t)len), &q->name, q->type);
		return;
	}
	/* the channel has but one server and one try: this is how it says that none is left */
	q->answer.status = SP_TEMPFAIL;
	q->hopeless = q->hopeless || (status != ARES_ECONNREFUSED && status != ARES_ETIMEOUT);
}

static void
try_end(struct dns_query *q)
{
	if (q->channel != NULL)
		ares_destroy(q->channel);
	q->channel = NULL;
	while (q->socks != NULL)
		sock_drop(q, q->socks->fd);
}

/* All options are given, so that c-ares reads no file. */
static ares_channel
channel_new(struct dns_query *q, unsigned server)
{
	static char lookups[] = "b";
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP | ARES_FLAG_EDNS,
		.timeout = ARES_TIMEOUT,
		.tries = 1,
		.ndots = 1,
		.lookups = lookups,
		.ednspsz = EDNS_OCTETS,
		.sock_state_cb = sock_state,
		.sock_state_cb_data = q,
	};
	const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS
			 | ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB | ARES_OPT_SERVERS
			 | ARES_OPT_DOMAINS | ARES_OPT_SORTLIST | ARES_OPT_NOROTATE;
	struct ares_addr_port_node one = wire.servers[server];
	ares_channel channel;

	if (ares_init_options(&channel, &o, mask) != ARES_SUCCESS)
		return NULL;
	one.next = NULL;
	if (ares_set_servers_ports(channel, &one) != ARES_SUCCESS) {
		ares_destroy(channel);
		return NULL;
	}
	return channel;
}

/* With an identifier of our own: the one c-ares makes hangs on a file that a sandbox may not have. */
static bool
question_send(struct dns_query *q)
{
	unsigned char *message = NULL;
	unsigned short id;
	int len = 0;

	if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id)
	    || ares_create_query(q->name.text, C_IN, (int)q->type, id, 1, &message, &len, EDNS_OCTETS)
		       != ARES_SUCCESS)
		return false;
	wire.sent++;
	ares_send(q->channel, message, len, answered, q);
	ares_free_string(message);
	return true;
}

/* Begins a try; true: it is under way. */
static bool
try_begin(struct dns_query *q, unsigned server)
{
	q->answered = false;
	q->deadline = rt_deadline(wire.timeout_ms);
	q->channel = channel_new(q, server);
	if (q->channel == NULL || !question_send(q)) {
		q->answer.status = SP_TEMPFAIL;
		q->hopeless = true;
		return false;
	}
	return !q->answered;
}

/* ---- queries ----------------------------------------------------------------------------------- */

void
dns_query_free(struct dns_query **q)
{
	struct dns_query *old = *q;

	if (old == NULL)
		return;
	*q = NULL;
	try_end(old);
	dns_answer_fini(&old->answer);
	free(old);
	wire.queries--;
	if (wire.queries == 0)
		rt_watch_pause(wire.watch, true);
}

/* Hands the answer over and frees the query. */
static void
query_finish(struct dns_query *q)
{
	struct dns_answer answer = q->answer;
	dns_query_done *done = q->done;
	void *arg = q->arg;
	uint32_t ttl = answer.ttl;

	if (answer.status == SP_TEMPFAIL || answer.status == SP_TIMEOUT)
		ttl = q->hopeless ? 0 : FAILURE_TTL;
	dns_answer_init(&q->answer); /* it is ours now */
	dns_query_free(&q);
	done(arg, &answer, ttl);
	dns_answer_fini(&answer);
}

static bool
query_is_settled(const struct dns_query *q)
{
	return q->answered && (q->answer.status == SP_OK || q->answer.status == SP_NONE);
}

/* The present try, if any, is over: goes on with the next server that has not failed. */
static void
query_go(struct dns_query *q)
{
	const unsigned all = (1u << wire.server_count) - 1;

	while (!query_is_settled(q)) {
		unsigned server;

		try_end(q);
		while (q->bad != all && (q->bad & (1u << (q->tries % wire.server_count))) != 0)
			q->tries++;
		if (q->bad == all || q->tries >= wire.tries * wire.server_count)
			break;
		server = q->tries++ % wire.server_count;
		if (try_begin(q, server))
			return;
		if (!query_is_settled(q))
			q->bad |= 1u << server;
	}
	if (!query_is_settled(q))
		q->answer.status = q->bad != 0 ? SP_TEMPFAIL : SP_TIMEOUT;
	query_finish(q);
}

void
dns_query_new(const struct dns_name *name, enum dns_type type, dns_query_done *done, void *arg,
	struct dns_query **ret)
{
	struct dns_query *q = calloc(1, sizeof(*q));

	*ret = q;
	if (q == NULL)
		return;
	q->name = *name;
	q->type = type;
	q->done = done;
	q->arg = arg;
	dns_answer_init(&q->answer);
	if (wire.queries++ == 0)
		rt_watch_pause(wire.watch, false);
	query_go(q);
}

int64_t
dns_query_deadline(const struct dns_query *q)
{
	return q->deadline;
}

void
dns_query_next(struct dns_query *q)
{
	query_go(q);
}

uint64_t
dns_wire_sent(void)
{
	return wire.sent;
}

/* Some socket is ready. */
static void
wire_ready(void *arg)
{
	struct epoll_event event;

	(void)arg;
	for (int i = 0; i < EVENTS_MAX && epoll_wait(wire.epoll, &event, 1, 0) == 1; i++) {
		struct sock *s = event.data.ptr;
		struct dns_query *q = s->query;
		/* an error is found by reading, or by writing where only that is waited for */
		bool error = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
		bool in = (event.events & EPOLLIN) || (error && (s->events & EPOLLIN));
		bool out = (event.events & EPOLLOUT) || (error && (s->events & EPOLLOUT));

		ares_process_fd(q->channel, in ? s->fd : ARES_SOCKET_BAD, out ? s->fd : ARES_SOCKET_BAD);
		if (!q->answered)
			continue;
		if (!query_is_settled(q))
			q->bad |= 1u << ((q->tries - 1) % wire.server_count);
		query_go(q);
	}
}

/* ---- beginning and end --------------------------------------------------------------------------- */

static enum sp_status
server_add(struct sp_span text)
{
	struct ares_addr_port_node *server = &wire.servers[wire.server_count];
	struct net_endpoint e;

	if (net_endpoint_parse(span_trim(text), NAMESERVER_PORT, &e) != SP_OK || e.kind != NET_IP
	    || e.ip.family == 0 || e.port == 0 || wire.server_count == SERVERS_MAX)
		return SP_INVALID;
	*server = (struct ares_addr_port_node){ .udp_port = e.port, .tcp_port = e.port };
	if (e.ip.family == 4) {
		server->family = AF_INET;
		memcpy(&server->addr.addr4, e.ip.bytes, 4);
	} else {
		server->family = AF_INET6;
		memcpy(&server->addr.addr6, e.ip.bytes, 16);
	}
	wire.server_count++;
	return SP_OK;
}

static enum sp_status
servers_parse(struct sp_span list)
{
	enum sp_status st;

	do {
		size_t comma = span_find(list, ',');
		bool more = comma < list.len;

		st = server_add(span_head(list, comma));
		list = span_from(list, comma + 1);
		/* "a," has an empty address at its end */
		if (st == SP_OK && more && list.len == 0)
			st = SP_INVALID;
	} while (st == SP_OK && list.len > 0);
	return st;
}

/* Those of resolv.conf, or what c-ares takes when there is none: the loopback. */
static enum sp_status
servers_default(void)
{
	struct ares_addr_port_node *nodes = NULL;
	ares_channel channel;
	int rc;

	if (ares_init(&channel) != ARES_SUCCESS)
		return SP_SYSTEM;
	rc = ares_get_servers_ports(channel, &nodes);
	ares_destroy(channel);
	for (const struct ares_addr_port_node *n = nodes; n != NULL && wire.server_count < SERVERS_MAX; n = n->next)
		wire.servers[wire.server_count++] = *n;
	if (nodes != NULL)
		ares_free_data(nodes);
	return rc == ARES_SUCCESS && wire.server_count > 0 ? SP_OK : SP_SYSTEM;
}

enum sp_status
dns_wire_init(const struct dns_wire_config *c)
{
	enum sp_status st;

	MUST(wire.epoll == -1);
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return SP_SYSTEM;
	wire.sent = 0;
	wire.timeout_ms = c->timeout_ms;
	wire.tries = (unsigned)c->tries;
	wire.server_count = 0;
	st = c->resolvers != NULL ? servers_parse(span_str(c->resolvers)) : servers_default();
	if (st == SP_OK && (wire.epoll = epoll_create1(EPOLL_CLOEXEC)) == -1)
		st = SP_SYSTEM;
	if (st == SP_OK && (wire.watch = rt_watch_new(wire.epoll, wire_ready, NULL)) == NULL)
		st = SP_SYSTEM;
	if (st != SP_OK) {
		dns_wire_fini();
		return st;
	}
	/* while nothing is asked it gives the loop no reason to run */
	rt_watch_pause(wire.watch, true);
	return SP_OK;
}

void
dns_wire_fini(void)
{
	MUST(wire.queries == 0);
	rt_watch_free(&wire.watch);
	if (wire.epoll != -1)
		close(wire.epoll);
	wire.epoll = -1;
	ares_library_cleanup();
}
