/*
 * log.c - see log.h.  One buffer for each process; lines are written at the end of a round of the loop, in
 * pieces of whole lines of at most PIPE_BUF octets, so that lines of several workers do not mix.
 */
#include "proxy/session/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "policy/kit/span.h"

enum { LOG_BUFFER = 256 * 1024, LOG_FILL = 16 * 1024 };

static struct {
	int fd;
	bool syslog, json;
	char path[PATH_MAX];
	struct buf lines;
	size_t line_start;
	bool first;
	uint64_t dropped;
} out = { .fd = STDERR_FILENO, .lines = { .max = LOG_BUFFER } };

enum sp_status
log_open(const char *to, enum log_format format)
{
	out.json = format == LOG_JSON;
	out.syslog = strcmp(to, "syslog") == 0;
	if (out.syslog) {
		openlog("sallyport", LOG_PID, LOG_MAIL);
		return SP_OK;
	}
	if (strcmp(to, "stderr") == 0) {
		out.fd = STDERR_FILENO;
		out.path[0] = '\0';
		return SP_OK;
	}
	if (strlen(to) >= sizeof(out.path)) {
		errno = ENAMETOOLONG;
		return SP_SYSTEM;
	}
	memcpy(out.path, to, strlen(to) + 1);
	out.fd = open(to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	return out.fd < 0 ? SP_SYSTEM : SP_OK;
}

void
log_reopen(void)
{
	int fd;

	if (out.path[0] == '\0')
		return;
	fd = open(out.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return; /* the old one still works */
	log_flush();
	close(out.fd);
	out.fd = fd;
}

/* Length of the whole lines at the front, at most PIPE_BUF octets; one longer line is taken whole. */
static size_t
piece_len(struct sp_span text)
{
	size_t len = span_rfind(span_head(text, PIPE_BUF), '\n');

	if (text.len <= PIPE_BUF)
		return text.len;
	return len < PIPE_BUF ? len + 1 : span_find(text, '\n') + 1;
}

static bool
write_piece(struct sp_span piece)
{
	struct pollfd p = { .fd = out.fd, .events = POLLOUT };

	if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
		return false; /* nobody reads: mail goes on, lines do not */
	return write(out.fd, piece.ptr, piece.len) == (ssize_t)piece.len;
}

static uint64_t
count_lines(struct sp_span text)
{
	uint64_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == '\n';
	return n;
}

void
log_flush(void)
{
	struct sp_span rest = buf_span(&out.lines);

	while (rest.len > 0) {
		size_t len = piece_len(rest);

		if (!write_piece(span_head(rest, len)))
			break;
		rest = span_from(rest, len);
	}
	if (rest.len > LOG_BUFFER / 2) { /* the reader had its time */
		out.dropped += count_lines(rest);
		rest.len = 0;
	}
	buf_consume(&out.lines, out.lines.len - rest.len);
	if (out.dropped > 0 && rest.len == 0) {
		uint64_t dropped = out.dropped;

		out.dropped = 0;
		log_message(SP_LOG_WARNING, "%llu log lines were dropped: the log could not be written",
			(unsigned long long)dropped);
	}
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void
add_key(const char *key)
{
	if (out.json)
		buf_printf(&out.lines, "%s\"%s\":", out.first ? "" : ",", key);
	else
		buf_printf(&out.lines, "%s%s=", out.first ? "" : " ", key);
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
	add_key(key);
	if (value.len == 0)
		value = out.json ? value : SPAN_LIT("-");
	if (!out.json && plain(value)) {
		buf_add(&out.lines, value);
		return;
	}
	buf_add_char(&out.lines, '"');
	buf_add_quoted(&out.lines, value);
	buf_add_char(&out.lines, '"');
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
		syslog(LOG_INFO, "%.*s", (int)(out.lines.len - out.line_start - 1), out.lines.ptr + out.line_start);
		buf_clear(&out.lines);
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
