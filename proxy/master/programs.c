/*
 * programs.c - see programs.h: the master's side.
 *
 * The sockets lie in a folder of our own, which is made with the first keeper, after privileges were dropped, so that programs run
 * as the user that workers run as.  Their paths are settled while the policy is compiled: a name that nobody can guess.
 */
#include "proxy/master/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policy/kit/must.h"
#include "proxy/master/keeper.h"
#include "proxy/rt/rt.h"
#include "proxy/session/log.h"

enum { KEEPERS = 32, BACKLOG = 1024, FOLDER_MAX = 80, RESTART_MS = 1000, STOP_MS = 5000, COMMAND_MAX = 4096 };

struct keeper {
	unsigned generation; /* 0: free */
	pid_t pid;           /* 0: it has died */
	int alive;           /* closed, it ends */
	int64_t started_ms;
	pid_t *started;      /* KEEPER_CHILDREN, shared with it */
	struct keeper_program programs[KEEPER_PROGRAMS];
	size_t count;
	void (*forget)(void);
};

static struct {
	char folder[FOLDER_MAX]; /* "": not chosen yet */
	bool made;
	unsigned sockets; /* so many paths were given out */
	struct keeper_program noted[KEEPER_PROGRAMS];
	size_t count;
	struct keeper keepers[KEEPERS];
	char endpoint[128], error[256];
} programs;

/* ---- while a policy is compiled --------------------------------------------------------------- */

void
programs_begin(void)
{
	while (programs.count > 0)
		free(programs.noted[--programs.count].command);
}

/* What systemd has made for the service; it is root's if we are to drop privileges yet. */
static const char *
base_folder(void)
{
	const char *run = getenv("RUNTIME_DIRECTORY"), *temp = getenv("TMPDIR");

	if (run != NULL && run[0] == '/' && strchr(run, ':') == NULL && strlen(run) < 40 && geteuid() != 0 && access(run, W_OK) == 0)
		return run;
	return temp != NULL && temp[0] == '/' && strlen(temp) < 40 ? temp : "/tmp";
}

static bool
choose_folder(void)
{
	unsigned char random[8];
	char *to = programs.folder;

	if (to[0] != '\0')
		return true;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return false;
	to += snprintf(to, FOLDER_MAX, "%s/sallyport-", base_folder());
	for (size_t i = 0; i < sizeof(random); i++)
		to += snprintf(to, 3, "%02x", random[i]);
	return true;
}

/* Can it be run, as far as can be told here? */
static const char *
program_fault(const char *command)
{
	char path[COMMAND_MAX];
	size_t len = strcspn(command, " \t"), words = 0;
	struct stat st;

	for (const char *p = command + strspn(command, " \t"); *p != '\0'; p += strspn(p, " \t")) {
		words++;
		p += strcspn(p, " \t");
	}
	if (command[0] != '/')
		return "write the program's whole path, from '/' on";
	if (strlen(command) >= sizeof(path) || words > KEEPER_WORDS)
		return "the command is too long";
	memcpy(path, command, len);
	path[len] = '\0';
	if (stat(path, &st) != 0 || access(path, X_OK) != 0)
		return strerror(errno);
	return S_ISREG(st.st_mode) ? NULL : "it is no program";
}

const char *
programs_endpoint(void *arg, const char *command, const char **reterr)
{
	const char *fault = program_fault(command);
	struct keeper_program *p = &programs.noted[programs.count];
	char number[16];

	(void)arg;
	if (fault == NULL && programs.count == KEEPER_PROGRAMS)
		fault = "there are too many programs already";
	if (fault == NULL && (!choose_folder() || (p->command = strdup(command)) == NULL))
		fault = "the system has no memory left";
	if (fault != NULL) {
		snprintf(programs.error, sizeof(programs.error), "%s", fault);
		*reterr = programs.error;
		return NULL;
	}
	programs.count++;
	p->fd = -1;
	snprintf(number, sizeof(number), "/%u", ++programs.sockets);
	memcpy(p->path, programs.folder, sizeof(programs.folder));
	memcpy(p->path + strlen(p->path), number, strlen(number) + 1);
	snprintf(programs.endpoint, sizeof(programs.endpoint), "unix:%s", p->path);
	return programs.endpoint;
}

/* ---- starting ----------------------------------------------------------------------------------- */

static bool
listen_at(struct keeper_program *p)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	MUST(sizeof(p->path) <= sizeof(sun.sun_path));
	memcpy(sun.sun_path, p->path, sizeof(p->path));
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return p->fd >= 0 && bind(p->fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0 && listen(p->fd, BACKLOG) == 0;
}

static struct keeper *
keeper_new(unsigned generation, void (*forget)(void))
{
	struct keeper *k = programs.keepers;

	while (k < programs.keepers + KEEPERS && k->generation != 0)
		k++;
	if (k == programs.keepers + KEEPERS)
		return NULL;
	*k = (struct keeper){ .generation = generation, .alive = -1, .count = programs.count, .forget = forget };
	k->started = mmap(NULL, KEEPER_CHILDREN * sizeof(pid_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (k->started == MAP_FAILED) {
		k->generation = 0;
		return NULL;
	}
	memcpy(k->programs, programs.noted, programs.count * sizeof(k->programs[0]));
	programs.count = 0; /* the commands are the keeper's now */
	return k;
}

static void
keeper_release(struct keeper *k)
{
	if (k->alive >= 0)
		close(k->alive);
	for (size_t i = 0; i < k->count; i++) {
		if (k->programs[i].fd >= 0) {
			close(k->programs[i].fd);
			unlink(k->programs[i].path);
		}
		free(k->programs[i].command);
	}
	munmap(k->started, KEEPER_CHILDREN * sizeof(pid_t));
	*k = (struct keeper){ .generation = 0 };
}

static bool
keeper_fork(struct keeper *k)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	log_flush();
	k->pid = fork();
	if (k->pid == 0) {
		struct keeper own = *k;

		close(ends[1]);
		own.forget();
		for (size_t i = 0; i < own.count; i++) /* so that the next line leaves them open */
			k->programs[i].fd = -1;
		programs_in_child();
		keeper_run(own.programs, own.count, ends[0], own.started);
	}
	close(ends[0]);
	k->alive = ends[1];
	k->started_ms = rt_now_ms();
	if (k->pid > 0)
		return true;
	k->pid = 0;
	return false;
}

bool
programs_start(unsigned generation, void (*forget)(void))
{
	struct keeper *k;
	bool ok = true;

	if (programs.count == 0)
		return true;
	k = keeper_new(generation, forget);
	if (k == NULL) {
		fprintf(stderr, "sallyport: no memory, or too many policies with programs in use at once\n");
		return false;
	}
	programs.made = programs.made || mkdir(programs.folder, 0700) == 0;
	for (size_t i = 0; i < k->count && ok; i++)
		ok = programs.made && listen_at(&k->programs[i]);
	if (ok && keeper_fork(k))
		return true;
	fprintf(stderr, "sallyport: cannot keep programs in %s: %s\n", programs.folder, strerror(errno));
	keeper_release(k);
	return false;
}

void
programs_in_child(void)
{
	for (struct keeper *k = programs.keepers; k < programs.keepers + KEEPERS; k++) {
		if (k->generation == 0)
			continue;
		if (k->alive >= 0)
			close(k->alive);
		for (size_t i = 0; i < k->count; i++)
			if (k->programs[i].fd >= 0)
				close(k->programs[i].fd);
		*k = (struct keeper){ .generation = 0 };
	}
}

/* ---- tending -------------------------------------------------------------------------------------- */

/* What it has started and not ended is ended here. */
static void
keeper_ended(struct keeper *k)
{
	k->pid = 0;
	for (size_t i = 0; i < KEEPER_CHILDREN; i++) {
		if (k->started[i] > 0)
			kill(-k->started[i], SIGKILL);
		k->started[i] = 0;
	}
}

bool
programs_died(pid_t pid)
{
	for (struct keeper *k = programs.keepers; k < programs.keepers + KEEPERS; k++)
		if (k->generation != 0 && k->pid == pid) {
			keeper_ended(k);
			return true;
		}
	return false;
}

/* The sockets stayed open: who has connected meanwhile is served by the new one. */
static void
keeper_again(struct keeper *k)
{
	if (rt_now_ms() - k->started_ms < RESTART_MS)
		return;
	log_message(SP_LOG_ERROR, "the keeper of programs of policy generation %u has ended; another takes its place", k->generation);
	close(k->alive);
	k->alive = -1;
	k->started_ms = rt_now_ms();
	keeper_fork(k);
}

static bool
keeper_ends(struct keeper *k)
{
	while (k->alive >= 0 && write(k->alive, "", 1) < 0 && errno == EINTR)
		continue;
	if (k->alive >= 0)
		close(k->alive);
	k->alive = -1;
	if (k->pid != 0)
		return false;
	keeper_release(k);
	return true;
}

void
programs_tend(unsigned present, unsigned (*workers_of)(unsigned generation))
{
	for (struct keeper *k = programs.keepers; k < programs.keepers + KEEPERS; k++) {
		if (k->generation == 0)
			continue;
		if (k->generation < present && workers_of(k->generation) == 0)
			keeper_ends(k);
		else if (k->pid == 0)
			keeper_again(k);
	}
}

void
programs_signal(int signo)
{
	for (const struct keeper *k = programs.keepers; k < programs.keepers + KEEPERS; k++)
		if (k->generation != 0 && k->pid > 0)
			kill(k->pid, signo);
}

static bool
all_ended(void)
{
	bool ended = true;
	int status;

	for (struct keeper *k = programs.keepers; k < programs.keepers + KEEPERS; k++) {
		if (k->generation == 0)
			continue;
		if (k->pid > 0 && waitpid(k->pid, &status, WNOHANG) != 0)
			keeper_ended(k);
		ended = keeper_ends(k) && ended;
	}
	return ended;
}

void
programs_stop(void)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000000 };

	for (int waited = 0; !all_ended() && waited < STOP_MS; waited += 10) {
		nanosleep(&pause, NULL);
		if (waited + 10 >= STOP_MS)
			programs_signal(SIGKILL);
	}
	all_ended();
	programs_begin();
	if (programs.made)
		rmdir(programs.folder);
}
