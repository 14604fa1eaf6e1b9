/* session_log.c - log lines: their two forms, escaping, and that a reader who does not read stops nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/session/log.h"

static char path[] = "/tmp/sallyport-log-XXXXXX";
static char text[1 << 20];

static const char *
written(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	log_flush();
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static void
open_log(enum log_format format)
{
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(log_open(path, format), SP_OK);
}

static void
one_line(void)
{
	log_begin("transaction");
	log_text("from", SPAN_LIT("<a@example.org>"));
	log_text("empty", SPAN_LIT(""));
	log_text("evil", SPAN_LIT("x\" verdict=accept\r\nevent=transaction \\ \xff"));
	log_int("n", -7);
	log_seconds("t", 1002003004);
	log_end();
}

static void
test_logfmt(void **state)
{
	const char *line;

	(void)state;
	open_log(LOG_LOGFMT);
	one_line();
	line = written();
	assert_non_null(strstr(line, " event=transaction from=<a@example.org> empty=- "));
	assert_non_null(strstr(line, " evil=\"x\\\" verdict=accept\\u000d\\u000aevent=transaction \\\\ \\u00ff\" n=-7 t=1.002003\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1); /* one line, whatever a sender says */
}

static void
test_json(void **state)
{
	const char *line;

	(void)state;
	open_log(LOG_JSON);
	one_line();
	line = written();
	assert_int_equal(line[0], '{');
	assert_non_null(strstr(line, "\",\"event\":\"transaction\",\"from\":\"<a@example.org>\",\"empty\":\"\",\"evil\":\"x\\\" verdict"));
	assert_non_null(strstr(line, "\\u00ff\",\"n\":-7,\"t\":1.002003}\n"));
}

/* Flushes and reads by turns until nothing more comes. */
static void
read_all(const int ends[2], size_t *len)
{
	ssize_t n;

	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	do {
		log_flush();
		n = read(ends[0], text + *len, sizeof(text) - 1 - *len);
		*len += n > 0 ? (size_t)n : 0;
		text[*len] = '\0';
	} while (n > 0);
}

static void
test_blocked_reader(void **state)
{
	int ends[2], saved = dup(STDERR_FILENO);
	size_t len = 0;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(log_open("stderr", LOG_LOGFMT), SP_OK);
	for (int i = 0; i < 20000; i++) { /* far more than pipe and buffer hold */
		log_message(SP_LOG_INFO, "line %d of a log that nobody reads, long enough to fill what there is", i);
		log_flush();
	}
	read_all(ends, &len); /* now somebody reads */
	log_message(SP_LOG_INFO, "last");
	read_all(ends, &len);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(ends[1]);
	close(ends[0]);
	assert_non_null(strstr(text, "log lines were dropped"));
}

/* A line longer than a pipe takes at once: the write may end in the middle of it. */
static void
long_line(int i)
{
	static char value[3000];

	memset(value, 'a' + i % 26, sizeof(value));
	log_begin("long");
	for (int n = 0; n < 5; n++)
		log_text("v", span_of(value, 2000));
	log_text("cut", span_of(value, sizeof(value)));
	log_int("i", i);
	log_end();
	log_flush();
}

static void
test_long_lines_and_blocked_reader(void **state)
{
	int ends[2], saved = dup(STDERR_FILENO);
	size_t len = 0;
	int whole = 0;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(log_open("stderr", LOG_LOGFMT), SP_OK);
	alarm(20); /* a write that waits would wait for ever */
	for (int i = 0; i < 200; i++)
		long_line(i);
	read_all(ends, &len);
	log_message(SP_LOG_INFO, "last");
	read_all(ends, &len);
	alarm(0);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(ends[1]);
	close(ends[0]);
	assert_non_null(strstr(text, "log lines were dropped"));
	assert_non_null(strstr(text, "text=last\n"));
	for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		assert_memory_equal(line, "time=", 5); /* no line is glued to the front of another */
		assert_null(strstr(line + 1, "time="));
		whole += strstr(line, "...\" i=") != NULL;
	}
	assert_true(whole > 5);
}

/* The daemon's side of /dev/log; -1: there is one here already, or we may not make it. */
static int
syslog_daemon(void)
{
	const struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int fd = access(name.sun_path, F_OK) == 0 ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&name, sizeof(name)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void
test_syslog(void **state)
{
	int daemon = syslog_daemon();
	ssize_t n;
	bool told = false;

	(void)state;
	if (daemon < 0)
		skip();
	assert_int_equal(log_open("syslog", LOG_LOGFMT), SP_OK);
	alarm(20); /* a daemon that does not read stops nothing */
	for (int i = 0; i < 20000; i++)
		log_message(SP_LOG_INFO, "line %d", i);
	alarm(0);
	n = read(daemon, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_memory_equal(text, "<22>", 4);
	assert_non_null(strstr(text, " sallyport["));
	assert_ptr_equal(strstr(text, "]: event=message level=info text=\"line 0\""), text + n - strlen("]: event=message level=info text=\"line 0\""));
	while (read(daemon, text, sizeof(text)) > 0)
		;
	log_message(SP_LOG_INFO, "now it reads");
	while ((n = read(daemon, text, sizeof(text) - 1)) > 0) {
		text[n] = '\0';
		told = told || strstr(text, "log lines were dropped") != NULL;
	}
	close(daemon);
	unlink("/dev/log");
	assert_true(told);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logfmt),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_blocked_reader),
		cmocka_unit_test(test_long_lines_and_blocked_reader),
		cmocka_unit_test(test_syslog),
	};
	int fd = mkstemp(path), failed;

	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
