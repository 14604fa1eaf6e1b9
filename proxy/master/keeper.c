/*
 * keeper.c - see keeper.h.
 *
 * One process, one loop over poll(2).  A program lives as long as its connection: when the worker has closed, it gets
 * a while to end by itself, then SIGTERM, then SIGKILL, all for its whole process group; when it has ended, the connection is shut,
 * whoever else may hold it.  What it writes to its standard error is logged.  If the keeper dies, the kernel kills what it has started,
 * and the master the rest of their process groups.
 *
 * Times here are real ones, not the scaled ones of tests.
 */
#include "proxy/master/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proxy/session/log.h"

enum {
	GRACE_MS = 5000,       /* from the end of the connection to SIGTERM */
	TERM_MS = 2000,        /* from SIGTERM to SIGKILL */
	TICK_MS = 100,
	LINE_MAX_OCTETS = 512, /* of standard error; longer ones are logged in parts */
	FULL_LOG_MS = 60000,
	FILES = 1024           /* descriptors that a program may open unless it asks for more */
};

struct child {
	pid_t pid; /* 0: free */
	const struct keeper_program *program;
	int conn, err;
	bool hung_up;     /* the worker has closed */
	int64_t next_ms;  /* of the next signal; 0: none is due */
	bool termed;
	size_t len;
	char line[LINE_MAX_OCTETS];
};

static struct {
	const struct keeper_program *programs;
	size_t count;
	int alive, signals;
	pid_t self, *started;
	bool ending, dismissed; /* dismissed: by a master who lives on */
	int64_t full_ms; /* when it was said last that there are too many */
	struct child children[KEEPER_CHILDREN];
} keeper;

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- the program's side of a fork --------------------------------------------------------------- */

static void
limit_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > FILES) {
		files.rlim_cur = FILES;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* The words of command, cut where they lie; null-ended. */
static void
split_words(char *command, char *argv[KEEPER_WORDS + 1])
{
	size_t n = 0;

	command += strspn(command, " \t");
	while (n < KEEPER_WORDS && *command != '\0') {
		argv[n++] = command;
		command += strcspn(command, " \t");
		if (*command != '\0')
			*command++ = '\0';
		command += strspn(command, " \t");
	}
	argv[n] = NULL;
}

static _Noreturn void
exec_words(char *command)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", lang[] = "LANG=C.UTF-8", home[] = "HOME=/";
	char *env[] = { path, lang, home, NULL }, *argv[KEEPER_WORDS + 1];

	split_words(command, argv);
	execve(argv[0], argv, env);
	dprintf(STDERR_FILENO, "cannot be run: %s\n", strerror(errno));
	_exit(127);
}

static _Noreturn void
child_run(const struct keeper_program *p, int conn, int err)
{
	sigset_t none;

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (getppid() != keeper.self || dup2(conn, STDIN_FILENO) < 0 || dup2(conn, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
		_exit(127);
	close_range(3, ~0u, 0);
	limit_files();
	umask(077);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (chdir("/") != 0)
		_exit(127);
	exec_words(p->command);
}

/* ---- starting ------------------------------------------------------------------------------------ */

static const char *
name_of(const struct keeper_program *p)
{
	const char *name = p->command;

	for (const char *c = p->command; *c != '\0' && *c != ' ' && *c != '\t'; c++)
		if (*c == '/')
			name = c + 1;
	return name;
}

static int
name_len(const struct keeper_program *p)
{
	return (int)strcspn(name_of(p), " \t");
}

static bool
child_start(struct child *c, const struct keeper_program *p, int conn)
{
	int err[2];

	if (pipe2(err, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	log_flush();
	*c = (struct child){ .program = p, .conn = conn, .err = err[0], .pid = fork() };
	if (c->pid == 0) {
		fcntl(err[1], F_SETFL, 0);
		child_run(p, conn, err[1]);
	}
	close(err[1]);
	if (c->pid > 0) {
		keeper.started[c - keeper.children] = c->pid;
		return true;
	}
	close(err[0]);
	c->pid = 0;
	return false;
}

static struct child *
child_of(pid_t pid)
{
	for (struct child *c = keeper.children; c < keeper.children + KEEPER_CHILDREN; c++)
		if (c->pid == pid)
			return c;
	return NULL;
}

/* A worker that is let go at once knows that the program cannot be had now. */
static void
greet(const struct keeper_program *p)
{
	int conn;

	while ((conn = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct child *c = child_of(0);

		if (c != NULL && child_start(c, p, conn))
			continue;
		if (now_ms() - keeper.full_ms > FULL_LOG_MS || keeper.full_ms == 0) {
			keeper.full_ms = now_ms();
			log_message(SP_LOG_ERROR, "program %.*s cannot be started: %s", name_len(p), name_of(p),
				c == NULL ? "too many run already" : strerror(errno));
		}
		close(conn);
	}
}

/* ---- following ------------------------------------------------------------------------------------- */

static void
say_line(struct child *c)
{
	if (c->len > 0)
		log_message(SP_LOG_INFO, "program %.*s[%d]: %.*s", name_len(c->program), name_of(c->program), (int)c->pid, (int)c->len,
			c->line);
	c->len = 0;
}

static void
say_bytes(struct child *c, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n' || c->len == sizeof(c->line))
			say_line(c);
		if (bytes[i] != '\n')
			c->line[c->len++] = bytes[i] == '\0' ? '?' : bytes[i];
	}
}

static void
follow_error(struct child *c)
{
	char bytes[4096];
	ssize_t n = read(c->err, bytes, sizeof(bytes));

	if (n > 0)
		say_bytes(c, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		close(c->err);
		c->err = -1;
	}
}

/* For the whole group: a program's own children, too. */
static void
child_signal(const struct child *c, int signo)
{
	if (kill(-c->pid, signo) != 0)
		kill(c->pid, signo); /* its setsid() is to come yet */
}

static void
child_due(struct child *c)
{
	if (c->pid == 0 || c->next_ms == 0 || now_ms() < c->next_ms)
		return;
	child_signal(c, c->termed ? SIGKILL : SIGTERM);
	c->next_ms = now_ms() + TERM_MS;
	c->termed = true;
}

/* The worker has closed, seen or not yet. */
static bool
is_over(const struct child *c)
{
	struct pollfd fd = { .fd = c->conn };

	return c->hung_up || poll(&fd, 1, 0) > 0;
}

static void
child_ended(struct child *c, int status)
{
	if (c->err >= 0)
		follow_error(c);
	say_line(c);
	if (!is_over(c) && !keeper.ending)
		log_message(SP_LOG_WARNING, "program %.*s[%d] ended by %s %d while it was needed", name_len(c->program),
			name_of(c->program), (int)c->pid, WIFSIGNALED(status) ? "signal" : "exit status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	kill(-c->pid, SIGKILL); /* what it has left behind */
	shutdown(c->conn, SHUT_RDWR);
	close(c->conn);
	if (c->err >= 0)
		close(c->err);
	keeper.started[c - keeper.children] = 0;
	c->pid = 0;
}

static void
reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = child_of(pid);

		if (c != NULL)
			child_ended(c, status);
	}
}

/* ---- the loop ---------------------------------------------------------------------------------------- */

static void
take_signals(void)
{
	struct signalfd_siginfo info;

	while (read(keeper.signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGUSR1)
			log_reopen();
}

static struct pollfd *
watch(struct pollfd *at, int fd, short events)
{
	*at = (struct pollfd){ .fd = fd, .events = events };
	return at + 1;
}

static void
hang_up(struct child *c)
{
	c->hung_up = true;
	c->next_ms = now_ms() + GRACE_MS;
}

static bool
any_due(void)
{
	for (const struct child *c = keeper.children; c < keeper.children + KEEPER_CHILDREN; c++)
		if (c->pid != 0 && c->next_ms != 0)
			return true;
	return false;
}

/* [0] the master, [1] signals, then the sockets, then two for each child, in the order of their slots. */
static void
round_once(void)
{
	static struct pollfd fds[2 + KEEPER_PROGRAMS + 2 * KEEPER_CHILDREN];
	struct pollfd *at = watch(watch(fds, keeper.alive, POLLIN), keeper.signals, POLLIN), *sockets = at;
	char dismissal;

	for (size_t i = 0; i < keeper.count; i++)
		at = watch(at, keeper.ending ? -1 : keeper.programs[i].fd, POLLIN);
	for (struct child *c = keeper.children; c < keeper.children + KEEPER_CHILDREN; c++) {
		at = watch(at, c->pid == 0 || c->hung_up ? -1 : c->conn, 0);
		at = watch(at, c->pid == 0 ? -1 : c->err, POLLIN);
	}
	if (keeper.ending)
		fds[0].fd = -1;
	if (poll(fds, (nfds_t)(at - fds), any_due() ? TICK_MS : -1) < 0)
		return;
	take_signals();
	at = sockets + keeper.count;
	for (struct child *c = keeper.children; c < keeper.children + KEEPER_CHILDREN; c++, at += 2) {
		if (at[0].revents != 0)
			hang_up(c);
		if (at[1].revents != 0)
			follow_error(c);
		child_due(c);
	}
	reap();
	for (size_t i = 0; i < keeper.count; i++)
		if (sockets[i].revents != 0)
			greet(&keeper.programs[i]);
	if (fds[0].revents != 0) {
		keeper.ending = true;
		keeper.dismissed = read(keeper.alive, &dismissal, 1) == 1;
	}
}

static bool
any_left(void)
{
	for (const struct child *c = keeper.children; c < keeper.children + KEEPER_CHILDREN; c++)
		if (c->pid != 0)
			return true;
	return false;
}

static void
end_all(void)
{
	for (struct child *c = keeper.children; c < keeper.children + KEEPER_CHILDREN; c++) {
		if (c->pid == 0)
			continue;
		c->next_ms = now_ms();
		child_due(c);
	}
	while (any_left())
		round_once();
}

/* Removes the sockets; and their folder, if it is empty then, in place of a master who has died. */
static void
clean_up(void)
{
	char folder[sizeof(keeper.programs[0].path)];

	for (size_t i = 0; i < keeper.count; i++)
		unlink(keeper.programs[i].path);
	if (keeper.dismissed)
		return;
	snprintf(folder, sizeof(folder), "%s", keeper.programs[0].path);
	*strrchr(folder, '/') = '\0';
	rmdir(folder);
}

_Noreturn void
keeper_run(const struct keeper_program *programs, size_t count, int alive, pid_t *started)
{
	sigset_t wanted;

	keeper.programs = programs;
	keeper.count = count;
	keeper.alive = alive;
	keeper.started = started;
	keeper.self = getpid();
	prctl(PR_SET_NAME, "sallyport-keep");
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* nobody's children are ours */
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGUSR1);
	keeper.signals = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
	while (!keeper.ending) {
		round_once();
		log_flush();
	}
	end_all();
	clean_up();
	log_flush();
	_exit(0);
}
