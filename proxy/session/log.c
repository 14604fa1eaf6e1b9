/*
 * log.c - see log.h.  One buffer for each process; lines are written at the end of a round of the loop, in
 * pieces of whole lines of at most PIPE_BUF octets, so that lines of several workers do not mix (a longer one may).
 */
#include "proxy/session/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "policy/kit/span.h"

/* LOG_VALUE: so much of one value, lest a sender's long field cost the line that tells of it. */
enum { LOG_BUFFER = 256 * 1024, LOG_FILL = 16 * 1024, LOG_VALUE = 2048 };

/* How to write without waiting: LOG_ASKS by poll() first, which answers for PIPE_BUF octets only. */
enum log_way { LOG_ASKS, LOG_NEVER_WAITS, LOG_SENDS };

static struct {
	int fd;
	enum log_way way;
	bool mid_line; /* the last line written is not whole yet */
	bool syslog, json;
	char path[PATH_MAX];
	struct buf lines;
	size_t line_start;
	bool first;
	uint64_t dropped;
} out = { .fd = STDERR_FILENO, .lines = { .max = LOG_BUFFER } };

/* How to write to standard error. A pipe may be shared with others that count on waiting in it, so it is opened anew. */
static void
find_way(void)
{
	struct stat st;
	char path[32];
	int fd;

	out.fd = STDERR_FILENO;
	out.way = LOG_ASKS;
	if (fstat(out.fd, &st) != 0)
		return;
	if (S_ISSOCK(st.st_mode))
		out.way = LOG_SENDS;
	if (S_ISREG(st.st_mode))
		out.way = LOG_NEVER_WAITS;
	if (!S_ISFIFO(st.st_mode))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", STDERR_FILENO);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	out.fd = fd;
	out.way = LOG_NEVER_WAITS;
}

static int
file_open(void)
{
	return open(out.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
}

enum sp_status
log_open(const char *to, enum log_format format)
{
	out.json = format == LOG_JSON;
	out.syslog = strcmp(to, "syslog") == 0;
	out.path[0] = '\0';
	if (out.syslog) {
		out.fd = -1; /* connected when there is a line */
		return SP_OK;
	}
	if (strcmp(to, "stderr") == 0) {
		find_way();
		return SP_OK;
	}
	if (strlen(to) >= sizeof(out.path)) {
		errno = ENAMETOOLONG;
		return SP_SYSTEM;
	}
	memcpy(out.path, to, strlen(to) + 1);
	out.fd = file_open();
	out.way = LOG_NEVER_WAITS;
	return out.fd < 0 ? SP_SYSTEM : SP_OK;
}

void
log_reopen(void)
{
	int fd;

	if (out.path[0] == '\0')
		return;
	fd = file_open();
	if (fd < 0) {
		log_message(SP_LOG_ERROR, "cannot reopen the log %s: %s; the old file goes on", out.path, strerror(errno));
		return;
	}
	log_flush();
	close(out.fd);
	out.fd = fd;
}

/* ---- syslog --------------------------------------------------------------------------------- */

/* syslog(3) waits for a daemon that does not read. */
static bool
syslog_connect(void)
{
	const struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };

	if (out.fd >= 0)
		close(out.fd);
	out.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return out.fd >= 0 && connect(out.fd, (const struct sockaddr *)&to, sizeof(to)) == 0;
}

static bool
syslog_send(struct sp_span line)
{
	time_t now = time(NULL);
	struct tm tm;
	char date[32], head[96];
	struct iovec parts[] = { { head, 0 }, { (void *)(uintptr_t)line.ptr, line.len } };
	const struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	if (localtime_r(&now, &tm) == NULL)
		return false;
	strftime(date, sizeof(date), "%b %e %H:%M:%S", &tm);
	parts[0].iov_len = (size_t)snprintf(head, sizeof(head), "<%d>%s sallyport[%d]: ", LOG_MAIL | LOG_INFO, date, (int)getpid());
	if (out.fd >= 0 && sendmsg(out.fd, &message, MSG_NOSIGNAL) >= 0)
		return true;
	if (out.fd >= 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE))
		return false;
	return syslog_connect() && sendmsg(out.fd, &message, MSG_NOSIGNAL) >= 0;
}

/* ---- files, pipes and sockets --------------------------------------------------------------- */

/* Length of the whole lines at the front, at most PIPE_BUF octets; of one longer line all, if that cannot wait. */
static size_t
piece_len(struct sp_span text)
{
	size_t len;

	if (text.len <= PIPE_BUF)
		return text.len;
	len = span_rfind(span_head(text, PIPE_BUF), '\n');
	if (len < PIPE_BUF)
		return len + 1;
	return out.way == LOG_ASKS ? PIPE_BUF : span_find(text, '\n') + 1;
}

/* Octets written, 0 if nobody reads or the disk is full: mail goes on, lines do not. */
static size_t
write_piece(struct sp_span piece)
{
	struct pollfd p = { .fd = out.fd, .events = POLLOUT };
	ssize_t n;

	if (out.way == LOG_SENDS)
		n = send(out.fd, piece.ptr, piece.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (out.way == LOG_ASKS && (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0))
		n = 0;
	else
		n = write(out.fd, piece.ptr, piece.len);
	if (n <= 0)
		return 0;
	out.mid_line = piece.ptr[n - 1] != '\n';
	return (size_t)n;
}

static uint64_t
count_lines(struct sp_span text)
{
	uint64_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == '\n';
	return n;
}

/* The reader had its time: what waits is forgotten, but for the end of a line that he has seen the front of. */
static void
drop_lines(void)
{
	out.dropped += count_lines(buf_span(&out.lines));
	buf_clear(&out.lines);
	if (out.mid_line)
		buf_add_char(&out.lines, '\n');
}

static void
say_dropped(void)
{
	uint64_t dropped = out.dropped;

	out.dropped = 0;
	log_message(SP_LOG_WARNING, "%llu log lines were dropped: the log could not be written",
		(unsigned long long)dropped);
}

void
log_flush(void)
{
	struct sp_span rest = buf_span(&out.lines);
	size_t len = 1;

	while (rest.len > 0 && len > 0) {
		len = write_piece(span_head(rest, piece_len(rest)));
		rest = span_from(rest, len);
	}
	buf_consume(&out.lines, out.lines.len - rest.len);
	if (out.lines.len > LOG_BUFFER / 2)
		drop_lines();
	if (out.dropped > 0 && out.lines.len == 0 && !out.syslog)
		say_dropped();
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void
add_key(const char *key)
{
	if (!out.first)
		buf_add_char(&out.lines, out.json ? ',' : ' ');
	if (out.json)
		buf_add_char(&out.lines, '"');
	buf_add_str(&out.lines, key);
	buf_add_str(&out.lines, out.json ? "\":" : "=");
	out.first = false;
}

static void
add_time(void)
{
	struct timespec now;
	struct tm tm;
	char date[32];

	if (out.syslog)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	add_key("time");
	buf_printf(&out.lines, out.json ? "\"%s.%03ldZ\"" : "%s.%03ldZ", date, now.tv_nsec / 1000000);
}

void
log_begin(const char *event)
{
	out.line_start = out.lines.len;
	out.first = true;
	if (out.json)
		buf_add_char(&out.lines, '{');
	add_time();
	log_text("event", span_str(event));
}

static bool
plain(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] == '"' || s.ptr[i] == '=' || s.ptr[i] == '\\' || s.ptr[i] > '~')
			return false;
	return true;
}

void
log_text(const char *key, struct sp_span value)
{
	bool cut = value.len > LOG_VALUE;

	add_key(key);
	value = span_head(value, LOG_VALUE);
	if (value.len == 0)
		value = out.json ? value : SPAN_LIT("-");
	if (!out.json && !cut && plain(value)) {
		buf_add(&out.lines, value);
		return;
	}
	buf_add_char(&out.lines, '"');
	buf_add_quoted(&out.lines, value);
	buf_add_str(&out.lines, cut ? "...\"" : "\"");
}

void
log_int(const char *key, int64_t value)
{
	add_key(key);
	buf_printf(&out.lines, "%lld", (long long)value);
}

void
log_seconds(const char *key, int64_t ns)
{
	add_key(key);
	buf_printf(&out.lines, "%lld.%06lld", (long long)(ns / 1000000000), (long long)(ns % 1000000000 / 1000));
}

void
log_real(const char *key, double value)
{
	add_key(key);
	buf_printf(&out.lines, "%.3g", value);
}

void
log_end(void)
{
	buf_add_str(&out.lines, out.json ? "}\n" : "\n");
	if (buf_status(&out.lines) != SP_OK) { /* full: this line is lost, those before it are not */
		out.lines.len = out.line_start;
		out.lines.status = SP_OK;
		out.dropped++;
		return;
	}
	if (out.syslog) {
		bool sent = syslog_send(span_of(out.lines.ptr, out.lines.len - 1));

		buf_clear(&out.lines);
		out.dropped += !sent;
		if (sent && out.dropped > 0)
			say_dropped();
	} else if (out.lines.len >= LOG_FILL) {
		log_flush();
	}
}

void
log_message(enum sp_log_level level, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	struct buf text;
	va_list ap;

	buf_init(&text, 8192);
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	log_begin("message");
	log_text("level", span_str(names[level]));
	log_text("text", buf_span(&text));
	log_end();
	buf_fini(&text);
}
