/*
 * gateway.c - the gateway as a child process: its log, its signals, its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/test/play.h"

enum { LOG_MAX = 64 << 20 };

/* ---- the process ---------------------------------------------------------------------------- */

static _Noreturn void
child_exec(const struct child *c, const struct scene *s, int log)
{
	char backend[40], dns[40], clock[24];
	const char *argv[16 + SCENE_OPTIONS + 2] = { c->world.program, "run", "--listen", "127.0.0.1:0", "--resolver", dns,
		"--time-scale", clock, "--trust-proxy", PROXY_PEER, "--log", "stderr" };
	size_t n = 12;

	snprintf(backend, sizeof(backend), "127.0.0.1:%u", c->world.backend_port);
	snprintf(dns, sizeof(dns), "127.0.0.1:%u", c->world.dns_port);
	snprintf(clock, sizeof(clock), "%lld", (long long)c->world.clock);
	if (!s->backend_own) {
		argv[n++] = "--backend";
		argv[n++] = backend;
	}
	for (size_t i = 0; i < s->option_count; i++)
		argv[n++] = s->options[i];
	argv[n++] = c->policy_path;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (dup2(log, STDERR_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0)
		execv(c->world.program, (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* Takes what the child has said since; false: it has closed its end. */
static bool
read_log(struct child *c)
{
	for (;;) {
		char *room = buf_room(&c->log, 65536);
		ssize_t n = room == NULL ? 0 : read(c->log_fd, room, 65536);

		if (n > 0)
			buf_added(&c->log, (size_t)n);
		else
			return n < 0 && (errno == EAGAIN || errno == EINTR);
	}
}

static void
follow_log(void *arg)
{
	struct child *c = arg;

	while (read_log(c)) {
		rt_event_wake_all(&c->logged);
		if (rt_fd_wait(c->log_wait, CO_READ, RT_NEVER) != SP_OK)
			break;
	}
	c->log_ended = true;
	rt_event_wake_all(&c->logged);
}

bool
child_wait_log(struct child *c, struct sp_span text, size_t from, int64_t deadline_ms)
{
	for (;;) {
		if (c->log.len > from && memmem(c->log.ptr + from, c->log.len - from, text.ptr, text.len) != NULL)
			return true;
		if (c->log_ended || rt_event_wait(&c->logged, deadline_ms) != SP_OK)
			return false;
	}
}

/* Octets of the value at the front of a line's rest: a quoted string with its quotes, or a word. */
static size_t
value_len(struct sp_span rest)
{
	size_t len = 1;

	if (rest.len == 0 || rest.ptr[0] != '"')
		return span_find(rest, ' ');
	while (len < rest.len && rest.ptr[len] != '"')
		len += rest.ptr[len] == '\\' ? 2 : 1;
	return len < rest.len ? len + 1 : rest.len;
}

static struct sp_span
unquoted(struct arena *a, struct sp_span value)
{
	struct buf out;
	struct sp_span done;

	buf_init(&out, 1 << 20);
	for (size_t i = 1; i + 1 < value.len; i++) {
		if (value.ptr[i] == '\\' && value.ptr[i + 1] != 'u')
			i++;
		buf_add_char(&out, value.ptr[i]);
	}
	done = arena_copy(a, buf_span(&out));
	buf_fini(&out);
	return done;
}

struct sp_span
log_value(struct arena *a, struct sp_span line, const char *key)
{
	while (line.len > 0) {
		struct sp_span name = span_head(line, span_find(line, '='));
		struct sp_span rest = span_from(line, name.len + 1);
		struct sp_span value = span_head(rest, value_len(rest));

		if (span_eq(name, span_str(key)))
			return value.len > 0 && value.ptr[0] == '"' ? unquoted(a, value) : arena_copy(a, value);
		line = span_trim(span_from(rest, value.len));
	}
	return (struct sp_span){ NULL, 0 };
}

static bool
child_fork(struct child *c, const struct scene *s)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	c->pid = fork();
	if (c->pid == 0)
		child_exec(c, s, ends[1]);
	close(ends[1]);
	c->log_fd = ends[0];
	(void)fcntl(c->log_fd, F_SETFL, O_NONBLOCK);
	return c->pid > 0;
}

bool
child_start(struct child *c, const struct scene *s, const struct child_world *w)
{
	static const char listening[] = "event=listening";
	const char *at;
	uint64_t port;
	struct sp_span line;

	buf_init(&c->log, LOG_MAX);
	c->world = *w;
	if (!site_make(c, s) || !child_fork(c, s))
		return false;
	c->log_wait = rt_fd_new(c->log_fd);
	if (c->log_wait == NULL || co_start(follow_log, c, NULL) != SP_OK)
		return false;
	if (!child_wait_log(c, SPAN_LIT("text=\"ready:"), 0, rt_deadline(20000 * w->clock)))
		return false;
	at = memmem(c->log.ptr, c->log.len, listening, sizeof(listening) - 1);
	if (at == NULL)
		return false;
	line = span_of(at, c->log.len - (size_t)(at - c->log.ptr));
	line.len = span_find(line, '\n');
	if (span_to_u64(log_value(s->arena, line, "port"), 65535, &port) != SP_OK)
		return false;
	c->port = (uint16_t)port;
	return true;
}

void
child_signal(struct child *c, int signo)
{
	if (c->pid > 0)
		kill(c->pid, signo);
}

bool
child_kill_worker(struct child *c)
{
	char path[64], text[4096];
	FILE *file;
	size_t len;
	uint64_t pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)c->pid, (int)c->pid);
	file = fopen(path, "re");
	len = file == NULL ? 0 : fread(text, 1, sizeof(text), file);
	if (file != NULL)
		fclose(file);
	return span_to_u64(span_of(text, span_find(span_of(text, len), ' ')), INT32_MAX, &pid) == SP_OK &&
		kill((pid_t)pid, SIGKILL) == 0;
}

void
child_stop(struct child *c)
{
	if (c->pid > 0) {
		kill(c->pid, SIGTERM);
		while (!c->log_ended && rt_event_wait(&c->logged, RT_NEVER) == SP_OK)
			;
		(void)waitpid(c->pid, &c->status, 0);
		c->pid = 0;
		rt_fd_free(&c->log_wait);
		close(c->log_fd);
	}
}
