/*
 * master.c - reads and compiles the policy, opens listeners, drops privileges, forks workers, replaces dead ones.
 *
 * It waits for signals and nothing else.  A reload compiles the new policy first: on any error the old one stays and the
 * error is printed; else workers of the new generation start on the same listeners and the old ones leave when their
 * sessions have ended.  Nothing is ever reloaded inside a worker.
 */
#include "proxy/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policy/kit/span.h"
#include "proxy/master/privilege.h"
#include "proxy/master/programs.h"
#include "proxy/rt/rt.h"

enum {
	WORKERS_MAX = 1024,       /* of all generations together */
	BACKLOG = 4096,
	SHORT_LIFE_MS = 1000,     /* a worker that dies sooner is started again after a pause */
	RESTART_PAUSE_MS = 500
};

struct open_listener {
	char text[256];
	int fd;
};

struct worker_slot {
	pid_t pid;              /* 0: free */
	unsigned generation;
	bool ready;             /* it has said so */
	bool leaving;           /* it has been told to leave */
	int64_t started_ms;
};

static struct master {
	const struct master_options *options;
	struct config *config;
	struct open_listener listeners[256];
	size_t listener_count;
	struct worker_slot workers[WORKERS_MAX];
	unsigned wanted;        /* workers of the present generation */
	int alive[2];           /* workers hold [0]; its end of file tells them that we are gone */
	int ready[2];           /* workers write into [1], once */
	int64_t restart_ms;     /* not before */
	int64_t kill_ms;        /* stopping: when patience ends; 0: not stopping */
	bool dropped;           /* privileges */
	sigset_t signals;
} master;

/* ---- listeners ------------------------------------------------------------------------------ */

static int
listener_find(const char *text)
{
	for (size_t i = 0; i < master.listener_count; i++)
		if (strcmp(master.listeners[i].text, text) == 0)
			return master.listeners[i].fd;
	return -1;
}

static bool
listener_open(const struct config_listener *l)
{
	struct open_listener *o = &master.listeners[master.listener_count];
	const char *text = l->session.listener.ptr;

	if (listener_find(text) >= 0) {
		if (!l->transparent || net_make_transparent(listener_find(text)))
			return true;
		fprintf(stderr, "sallyport: cannot make %s transparent: %s\n", text, strerror(errno));
		return false;
	}
	if (master.listener_count == sizeof(master.listeners) / sizeof(master.listeners[0])) {
		fprintf(stderr, "sallyport: more than %zu listeners\n", master.listener_count);
		return false;
	}
	o->fd = l->transparent ? net_listen_transparent(&l->endpoint, BACKLOG) : net_listen(&l->endpoint, BACKLOG);
	if (o->fd < 0) {
		fprintf(stderr, "sallyport: cannot listen on %s: %s\n", text, strerror(errno));
		return false;
	}
	snprintf(o->text, sizeof(o->text), "%s", text);
	master.listener_count++;
	log_begin("listening");
	log_text("listener", span_str(text));
	log_int("port", net_local_port(o->fd));
	log_end();
	return true;
}

static bool
listeners_open(const struct config *c)
{
	for (size_t i = 0; i < c->listener_count; i++)
		if (!listener_open(&c->listeners[i]))
			return false;
	return true;
}

static bool
config_names(const struct config *c, const char *text)
{
	for (size_t i = 0; i < c->listener_count; i++)
		if (strcmp(c->listeners[i].session.listener.ptr, text) == 0)
			return true;
	return false;
}

/* c null: none is used any more. */
static void
listeners_close_unused(const struct config *c)
{
	for (size_t i = master.listener_count; i > 0; i--) {
		struct open_listener *o = &master.listeners[i - 1];

		if (c != NULL && config_names(c, o->text))
			continue;
		close(o->fd);
		*o = master.listeners[--master.listener_count];
	}
}

/* ---- privileges and limits ------------------------------------------------------------------ */

static bool
drop_privileges(const char *user)
{
	if (master.dropped || user == NULL || geteuid() != 0)
		return true;
	if (!privilege_drop(user, privilege_wanted(master.config)))
		return false;
	master.dropped = true;
	return true;
}

/* ---- workers -------------------------------------------------------------------------------- */

static struct worker_slot *
slot_of(pid_t pid)
{
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (master.workers[i].pid == pid)
			return &master.workers[i];
	return NULL;
}

static unsigned
workers_of(unsigned generation)
{
	unsigned n = 0;

	for (size_t i = 0; i < WORKERS_MAX; i++)
		n += master.workers[i].pid != 0 && master.workers[i].generation == generation;
	return n;
}

static bool
workers_left(void)
{
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (master.workers[i].pid != 0)
			return true;
	return false;
}

static void
signal_workers(unsigned below_generation, int signo)
{
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (master.workers[i].pid != 0 && master.workers[i].generation < below_generation)
			kill(master.workers[i].pid, signo);
}

static _Noreturn void
worker_child(void)
{
	int fds[256];
	struct worker_start start = { .config = master.config, .listeners = fds, .alive = master.alive[0],
		.ready = master.ready[1] };

	close(master.alive[1]);
	close(master.ready[0]);
	programs_in_child();
	for (size_t i = 0; i < master.config->listener_count; i++)
		fds[i] = listener_find(master.config->listeners[i].session.listener.ptr);
	/* SIGTERM before the loop runs must not be lost: it stays blocked until the loop has its handler */
	worker_run(&start);
}

/* In the keeper of programs: nothing of the master's may live on in it. */
static void
forget(void)
{
	close(master.alive[0]);
	close(master.alive[1]);
	close(master.ready[0]);
	close(master.ready[1]);
	for (size_t i = 0; i < master.listener_count; i++)
		close(master.listeners[i].fd);
}

static bool
worker_fork(void)
{
	struct worker_slot *slot = slot_of(0);
	pid_t pid;

	if (slot == NULL)
		return false;
	log_flush();
	pid = fork();
	if (pid == 0)
		worker_child();
	if (pid < 0)
		return false;
	*slot = (struct worker_slot){ .pid = pid, .generation = master.config->generation, .started_ms = rt_now_ms() };
	return true;
}

static void
workers_fill(void)
{
	if (master.kill_ms != 0 || rt_now_ms() < master.restart_ms)
		return;
	while (workers_of(master.config->generation) < master.wanted)
		if (!worker_fork()) {
			master.restart_ms = rt_now_ms() + RESTART_PAUSE_MS;
			return;
		}
}

static void
take_ready(void)
{
	int pid;
	struct worker_slot *slot;

	while (read(master.ready[0], &pid, sizeof(pid)) == sizeof(pid))
		if ((slot = slot_of(pid)) != NULL)
			slot->ready = true;
}

/* The old ones leave when as many new ones as are wanted serve, so that there is always somebody who accepts. */
static void
retire(void)
{
	unsigned ready = 0;

	for (size_t i = 0; i < WORKERS_MAX; i++)
		ready += master.workers[i].pid != 0 && master.workers[i].ready &&
			master.workers[i].generation == master.config->generation;
	for (size_t i = 0; ready >= master.wanted && i < WORKERS_MAX; i++) {
		struct worker_slot *w = &master.workers[i];

		if (w->pid != 0 && w->generation < master.config->generation && !w->leaving)
			w->leaving = kill(w->pid, WORKER_LEAVE) == 0;
	}
}

static void
worker_died(pid_t pid, int status)
{
	struct worker_slot *slot = slot_of(pid);

	if (slot == NULL || pid == 0) {
		programs_died(pid);
		return;
	}
	if (master.kill_ms == 0 && (WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0)))
		log_message(SP_LOG_ERROR, "worker %d ended by %s %d; another takes its place", (int)pid,
			WIFSIGNALED(status) ? "signal" : "exit status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (rt_now_ms() - slot->started_ms < SHORT_LIFE_MS)
		master.restart_ms = rt_now_ms() + RESTART_PAUSE_MS;
	slot->pid = 0;
}

static void
reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		worker_died(pid, status);
}

/* ---- generations ---------------------------------------------------------------------------- */

static struct config *
load(unsigned generation)
{
	const struct master_options *o = master.options;
	struct policy_diag d;
	struct config *c;

	policy_diag_init(&d);
	programs_begin();
	c = o->path != NULL ? config_load(o->path, generation, &o->override, &d)
			    : config_load_text("command line", o->text, generation, &d);
	if (d.text.len > 0)
		fputs(buf_cstr(&d.text), stderr);
	policy_diag_fini(&d);
	if (c != NULL && c->listener_count == 0) {
		fprintf(stderr, "sallyport: %s names no listener: add 'listen 127.0.0.1:2525 { }'\n",
			o->path != NULL ? o->path : "the policy");
		config_free(&c);
	}
	if (c != NULL && o->shadow)
		config_shadow(c);
	return c;
}

static unsigned
worker_count(const struct config *c)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return c->workers > 0 ? c->workers : cores > 0 ? (unsigned)cores : 1;
}

static void
reload(void)
{
	struct config *old = master.config, *c = load(old->generation + 1);

	if (c == NULL || !privilege_suffices(c) || !listeners_open(c) || !programs_start(c->generation, forget)) {
		config_free(&c);
		listeners_close_unused(old); /* those that were opened before the one that failed */
		log_message(SP_LOG_ERROR, "reload failed: policy generation %u goes on; the errors are on standard error",
			old->generation);
		return;
	}
	master.config = c;
	master.wanted = worker_count(c);
	workers_fill();
	listeners_close_unused(c);
	log_message(SP_LOG_INFO, "policy generation %u -> %u", old->generation, c->generation);
	config_free(&old);
}

static void
stop(void)
{
	if (master.kill_ms != 0)
		return;
	master.kill_ms = rt_now_ms() + master.config->hurry_ms;
	signal_workers(master.config->generation + 1, SIGTERM);
	listeners_close_unused(NULL);
	log_message(SP_LOG_INFO, "stopping: new clients are refused, open transactions finish");
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void
handle(int signo)
{
	switch (signo) {
	case SIGCHLD:
		reap();
		break;
	case SIGHUP:
		if (master.kill_ms == 0)
			reload();
		break;
	case SIGUSR1:
		log_reopen();
		signal_workers(master.config->generation + 1, SIGUSR1);
		programs_signal(SIGUSR1);
		break;
	case SIGTERM:
	case SIGINT:
		stop();
		break;
	default:
		break;
	}
}

static void
loop(void)
{
	const struct timespec tick = { .tv_nsec = 100 * 1000000 };

	while (master.kill_ms == 0 || workers_left()) {
		int signo = sigtimedwait(&master.signals, NULL, &tick);

		if (signo > 0)
			handle(signo);
		reap();
		workers_fill();
		take_ready();
		retire();
		programs_tend(master.config->generation, workers_of);
		if (master.kill_ms != 0 && rt_now_ms() > master.kill_ms)
			signal_workers(master.config->generation + 1, SIGKILL);
		log_flush();
	}
}

static void
block_signals(void)
{
	static const int used[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2 };

	sigemptyset(&master.signals);
	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		sigaddset(&master.signals, used[i]);
	sigprocmask(SIG_BLOCK, &master.signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int
master_run(const struct master_options *o)
{
	master.options = o;
	if (o->time_scale > 0)
		rt_clock_scale(o->time_scale);
	master.config = load(1);
	if (master.config == NULL)
		return 1;
	if (log_open(master.config->log, master.config->log_format) != SP_OK) {
		fprintf(stderr, "sallyport: cannot open log %s: %s\n", master.config->log, strerror(errno));
		return 2;
	}
	if (!privilege_suffices(master.config) || !listeners_open(master.config) || !drop_privileges(master.config->user))
		return 2;
	privilege_limit();
	if (pipe2(master.alive, O_CLOEXEC) != 0 || pipe2(master.ready, O_CLOEXEC | O_NONBLOCK) != 0)
		return 2;
	block_signals();
	if (!programs_start(1, forget))
		return 2;
	master.wanted = worker_count(master.config);
	workers_fill();
	if (geteuid() == 0)
		log_message(SP_LOG_WARNING, "running as root: let the policy name an account with 'user'");
	log_message(SP_LOG_INFO, "ready: %u workers, policy generation 1", master.wanted);
	log_flush();
	loop();
	programs_stop();
	log_message(SP_LOG_INFO, "stopped");
	log_flush();
	config_free(&master.config);
	return 0;
}
