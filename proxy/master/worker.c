/*
 * worker.c - one process, one thread, one loop: accepts clients and gives each a coroutine.
 *
 * CASES B.4 (draining), SL05 (accept errors), SL06 (connections of one client).
 */
#include "proxy/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/inspect/inspect.h"
#include "proxy/master/crowd.h"
#include "proxy/master/original.h"
#include "proxy/rt/rt.h"

enum {
	ACCEPT_BATCH = 16,       /* connections taken in one round, so that sessions get their turn */
	QUEUE_MAX = 4096,        /* of those that wait to be accepted at the end, so many are told */
	SWEEP_MS = 5000,         /* pool sweep and probing of backends */
	PROBE_AGE_MS = 60000,
	LEAVE_MS = 15 * 60000    /* after a reload: then sessions are told 421 */
};

struct listener {
	const struct config_listener *config;
	struct worker *worker;
	struct relay_backend *backend;
	struct rt_watch *watch;
	int fd;
	unsigned connections;
	struct crowd *crowd; /* connections by client */
};

struct worker {
	const struct config *config;
	struct listener *listeners;
	struct relay_backend **backends;
	struct rt_watch *alive;
	int alive_fd;
	int reserve_fd; /* given up for a moment when descriptors run out */
	int64_t emfile_ms;
	unsigned sessions;
	bool leaving;
};

static struct worker worker; /* one to a process; signal callbacks need it too */

/* ---- clients -------------------------------------------------------------------------------- */

struct guest {
	struct listener *listener;
	struct stream *stream;
	struct session_start start;
	bool counted; /* in the crowd, as client */
	unsigned connections; /* of that client, then */
	struct sp_ip client;
	struct original *original;       /* the server that it wanted to reach; null: no transparent listener */
	struct relay_backend **backends; /* with it among them */
	bool astray;                     /* there is no server that it could go to */
};

static void
guest_free(struct guest *g)
{
	original_leave(&g->original);
	free(g->backends);
	free(g);
}

static void
guest_serve(void *arg)
{
	struct guest *g = arg;
	struct listener *l = g->listener;

	session_serve(g->stream, &g->start);
	l->connections--;
	if (g->counted)
		crowd_leave(l->crowd, &g->client);
	worker.sessions--;
	guest_free(g);
}

/* Behind a proxy all connections have one peer, so they are counted by the client that it names. */
static struct session_refusal
guest_admit(void *arg, const struct sp_ip *client)
{
	struct guest *g = arg;
	struct listener *l = g->listener;

	if (g->astray)
		return (struct session_refusal){ "4.4.1", "the server that you want cannot be reached, try again later" };
	if (g->counted) /* it was another client until now */
		crowd_leave(l->crowd, &g->client);
	g->client = *client;
	g->counted = true;
	g->connections = crowd_enter(l->crowd, client);
	if (g->connections > l->config->per_client)
		return (struct session_refusal){ "4.7.0", "too many connections from your address" };
	if (l->connections > l->config->connections)
		return (struct session_refusal){ "4.3.2", "too many connections, try again later" };
	return (struct session_refusal){ NULL, NULL };
}

static unsigned
guest_connections(void *arg)
{
	const struct guest *g = arg;

	return g->connections;
}

/* Four of five places are taken. */
static bool
guest_crowded(void *arg)
{
	const struct guest *g = arg;
	const struct listener *l = g->listener;

	return (uint64_t)l->connections * 5 > (uint64_t)l->config->connections * 4;
}

/* On a transparent listener the backend is where the client wanted to go; that can be no other address of the listener itself,
 * which would be a loop. */
static bool
guest_original(struct guest *g, int fd)
{
	const struct listener *l = g->listener;
	const struct config *c = worker.config;
	struct sp_ip ip;
	uint16_t port;

	net_local(fd, &ip, &port);
	if (ip.family == 0 || (port == net_local_port(l->fd) && net_is_own(&ip)))
		return false;
	g->original = original_enter(&c->backends[l->config->backend].relay, &ip, port);
	g->backends = calloc(c->backend_count + 1, sizeof(*g->backends));
	if (g->original == NULL || g->backends == NULL)
		return false;
	memcpy(g->backends, worker.backends, c->backend_count * sizeof(*g->backends));
	g->backends[l->config->backend] = original_backend(g->original);
	g->start.backend = original_backend(g->original);
	g->start.backends = g->backends;
	return true;
}

static void
client_start(struct listener *l, int fd, struct sp_ip ip, uint16_t port)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (g == NULL) {
		close(fd);
		return;
	}
	g->stream = stream_new(fd);
	if (g->stream == NULL) {
		free(g);
		return;
	}
	g->listener = l;
	g->start = (struct session_start){ .config = &l->config->session, .backend = l->backend, .ip = ip,
		.backends = worker.backends, .port = port, .admit = guest_admit, .crowded = guest_crowded,
		.connections = guest_connections, .arg = g };
	g->astray = l->config->transparent && !guest_original(g, fd);
	l->connections++;
	worker.sessions++;
	if (co_start(guest_serve, g, NULL) == SP_OK)
		return;
	l->connections--;
	worker.sessions--;
	stream_free(&g->stream);
	guest_free(g);
}

/* Out of descriptors: the spare one lets us take and drop one client instead of spinning on it. */
static void
out_of_descriptors(struct listener *l)
{
	struct sp_ip ip;
	uint16_t port;
	int fd;

	close(worker.reserve_fd);
	fd = net_accept(l->fd, &ip, &port);
	if (fd >= 0)
		close(fd);
	worker.reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (rt_now_ms() - worker.emfile_ms > 1000) {
		worker.emfile_ms = rt_now_ms();
		log_message(SP_LOG_ERROR, "out of file descriptors: new clients are dropped");
	}
}

static void
accept_some(struct listener *l, int most)
{
	for (int i = 0; i < most; i++) {
		struct sp_ip ip;
		uint16_t port;
		int fd = net_accept(l->fd, &ip, &port);

		if (fd >= 0)
			client_start(l, fd, ip, port);
		else if (errno == EMFILE || errno == ENFILE)
			out_of_descriptors(l);
		else
			return;
	}
}

static void
listener_ready(void *arg)
{
	accept_some(arg, ACCEPT_BATCH);
}

/* ---- leaving -------------------------------------------------------------------------------- */

static void
stop_accepting(void)
{
	for (size_t i = 0; i < worker.config->listener_count; i++) {
		rt_watch_free(&worker.listeners[i].watch);
		if (worker.listeners[i].fd >= 0)
			close(worker.listeners[i].fd);
		worker.listeners[i].fd = -1;
	}
	worker.leaving = true;
}

static void
hurry(void *arg)
{
	(void)arg;
	session_hurry();
}

static void
drain(void *arg)
{
	(void)arg;
	if (session_draining())
		return;
	session_drain();
	/* who waits in the queue is told so, too, instead of being cut off */
	for (size_t i = 0; !worker.leaving && i < worker.config->listener_count; i++)
		accept_some(&worker.listeners[i], QUEUE_MAX);
	stop_accepting();
	rt_every(worker.config->drain_ms > 0 ? worker.config->drain_ms : 1, hurry, NULL);
}

static void
leave(void *arg)
{
	(void)arg;
	if (worker.leaving)
		return;
	stop_accepting();
	rt_every(LEAVE_MS, drain, NULL);
	log_message(SP_LOG_INFO, "a worker of policy generation %u takes no new clients; %u sessions go on",
		worker.config->generation, worker.sessions);
}

static void
master_gone(void *arg)
{
	rt_watch_free(&worker.alive);
	drain(arg);
}

static void
reopen_log(void *arg)
{
	(void)arg;
	log_reopen();
}

static void
end_of_round(void *arg)
{
	(void)arg;
	log_flush();
	if (worker.leaving && worker.sessions == 0)
		rt_stop();
}

/* ---- the worker ----------------------------------------------------------------------------- */

static void
probe_backend(void *arg)
{
	relay_backend_probe(arg, PROBE_AGE_MS);
}

/* Each by itself: one that does not answer must not keep the others' state old. */
static void
probe_backends(void)
{
	for (size_t i = 0; i < worker.config->backend_count; i++)
		(void)co_start(probe_backend, worker.backends[i], NULL);
}

static void
sweep(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < worker.config->backend_count; i++)
		relay_backend_sweep(worker.backends[i]);
	originals_sweep();
	if (!worker.leaving)
		probe_backends();
}

static void
inspect_logged(void *arg, enum sp_log_level level, const char *line)
{
	(void)arg;
	log_message(level, "%s", line);
}

static void
open_all(const struct worker_start *start)
{
	const struct config *c = start->config;

	worker.backends = calloc(c->backend_count + 1, sizeof(*worker.backends));
	worker.listeners = calloc(c->listener_count + 1, sizeof(*worker.listeners));
	MUST(worker.backends != NULL && worker.listeners != NULL);
	for (size_t i = 0; i < c->backend_count; i++) {
		worker.backends[i] = relay_backend_new(&c->backends[i].relay);
		MUST(worker.backends[i] != NULL);
	}
	for (size_t i = 0; i < c->listener_count; i++) {
		struct listener *l = &worker.listeners[i];

		l->config = &c->listeners[i];
		l->backend = worker.backends[l->config->backend];
		l->fd = start->listeners[i];
		l->crowd = crowd_new();
		l->watch = rt_watch_new(l->fd, listener_ready, l);
		MUST(l->crowd != NULL && l->watch != NULL);
	}
}

/* What the DNS cost and what its cache spared, for who sizes "dns cache" or his resolver. */
static void
tell_dns(void)
{
	struct dns_stats stats = dns_stats();

	if (stats.questions == 0)
		return;
	log_begin("dns");
	log_int("questions", (int64_t)stats.questions);
	log_int("hits", (int64_t)stats.hits);
	log_int("merged", (int64_t)stats.merged);
	log_int("sent", (int64_t)stats.sent);
	log_int("failed", (int64_t)stats.failed);
	log_int("entries", (int64_t)stats.entries);
	log_end();
}

static void
close_all(void)
{
	for (size_t i = 0; i < worker.config->listener_count; i++)
		crowd_free(&worker.listeners[i].crowd);
	for (size_t i = 0; i < worker.config->backend_count; i++)
		relay_backend_free(&worker.backends[i]);
	originals_free();
	rt_watch_free(&worker.alive);
	free(worker.listeners);
	free(worker.backends);
}

/* The master forks with its signals blocked, so that none is lost before the handlers stand. */
static void
unblock_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, WORKER_LEAVE);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void
tell_ready(int fd)
{
	int pid = (int)getpid();

	/* so few octets go into a pipe whole, or the master has gone */
	if (write(fd, &pid, sizeof(pid)) != sizeof(pid))
		_exit(2);
	close(fd);
}

_Noreturn void
worker_run(const struct worker_start *start)
{
	worker.config = start->config;
	worker.alive_fd = start->alive;
	worker.reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (rt_init() != SP_OK || dns_init(&start->config->dns) != SP_OK)
		_exit(2);
	spool_configure(&start->config->spool);
	inspect_log_to(inspect_logged, NULL);
	open_all(start);
	worker.alive = rt_watch_new(worker.alive_fd, master_gone, NULL);
	rt_on_signal(SIGTERM, drain, NULL);
	rt_on_signal(WORKER_LEAVE, leave, NULL);
	rt_on_signal(SIGUSR1, reopen_log, NULL);
	unblock_signals();
	rt_on_idle(end_of_round, NULL);
	rt_every(SWEEP_MS, sweep, NULL);
	probe_backends();
	tell_ready(start->ready);
	rt_run();
	tell_dns();
	close_all();
	dns_fini();
	log_flush();
	_exit(0);
}
