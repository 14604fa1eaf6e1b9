/*
 * sink.c - a backend that is a folder: each message becomes a file of a Maildir.
 *
 * The file holds what a mail server would have received: "Return-Path: <sender>", one
 * "Delivered-To: recipient" for each recipient, then the message with its dots unstuffed, octet for
 * octet; lines end in CRLF, as on the wire.  It is written and synced in tmp/, and moved to new/ only after
 * commit() has agreed.  File work is done on a thread, while the coroutine waits, so nothing else
 * touches the message meanwhile.
 */
#include "proxy/relay/relay_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "policy/kit/span.h"
#include "proxy/smtp/data.h"

struct sink_job {
	const struct relay *relay;
	const struct relay_message *message;
	const char *folder;
	char name[160];
	char tmp[512], new[512]; /* paths */
	FILE *file;
	struct data_unstuff unstuff;
	bool renamed;    /* it lies in new/ */
	enum relay_fault fault;
};

void
sink_rcpt(struct relay *r, struct rcpt *rcpt)
{
	r->open = true;
	rcpt->code = 250;
	answer_own(&r->answer, 250, "2.1.5", SPAN_LIT("Ok"));
	r->answer.backend = true;
	(void)snprintf(r->facts.peer, sizeof(r->facts.peer), "sink");
}

/* ---- on the thread --------------------------------------------------------------------------- */

/* Writes wire octets without the dots that were stuffed. */
static bool
sink_unstuff(struct sink_job *job, struct sp_span s)
{
	while (s.len > 0) {
		size_t used;
		struct sp_span piece = data_unstuff(&job->unstuff, s, &used);

		if (piece.len > 0 && fwrite(piece.ptr, 1, piece.len, job->file) != piece.len)
			return false;
		s = span_from(s, used);
	}
	return true;
}

static bool
sink_write_message(struct sink_job *job)
{
	const struct relay_message *m = job->message;
	int64_t at = m->from;
	struct sp_span piece;
	enum sp_status st = m->spool != NULL ? SP_OK : SP_NONE;
	bool written;

	job->unstuff = (struct data_unstuff){ .bol = true };
	written = sink_unstuff(job, m->head);
	while (written && st == SP_OK) {
		st = spool_read(m->spool, at, &piece);
		if (st == SP_OK) {
			written = sink_unstuff(job, piece);
			at += (int64_t)piece.len;
		}
	}
	if (written && (st != SP_NONE || (m->spool != NULL && at != spool_size(m->spool)))) {
		job->fault = FAULT_SPOOL;
		return false;
	}
	return written;
}

static bool
sink_write_envelope(struct sink_job *job)
{
	struct sp_span sender = job->relay->envelope.sender;
	bool written =
		fprintf(job->file, "Return-Path: <%.*s>\r\n", (int)sender.len, sender.ptr) > 0;

	for (const struct rcpt *r = job->relay->first; written && r != NULL; r = r->next)
		written = fprintf(job->file, "Delivered-To: %.*s\r\n", (int)r->address.len,
				  r->address.ptr) > 0;
	return written;
}

static bool
sink_folders(const struct sink_job *job)
{
	static const char *const parts[] = { "", "/tmp", "/new", "/cur" };
	char path[512];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		int n = snprintf(path, sizeof(path), "%s%s", job->folder, parts[i]);
		if (n < 0 || (size_t)n >= sizeof(path) ||
			(mkdir(path, 0700) != 0 && errno != EEXIST))
			return false;
	}
	return true;
}

static FILE *
sink_create(const struct sink_job *job)
{
	int fd = open(job->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *file;

	/* the folders are nearly always there, so they are made only when they are missed */
	if (fd < 0 && errno == ENOENT && sink_folders(job))
		fd = open(job->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	file = fdopen(fd, "w");
	if (file == NULL)
		close(fd);
	return file;
}

static void
sink_write(void *arg)
{
	struct sink_job *job = arg;
	bool written;

	job->fault = FAULT_DISK;
	job->file = sink_create(job);
	if (job->file == NULL)
		return;
	written = sink_write_envelope(job) && sink_write_message(job) && fflush(job->file) == 0 &&
		  fsync(fileno(job->file)) == 0;
	if (fclose(job->file) != 0)
		written = false;
	if (written)
		job->fault = FAULT_NONE;
	else
		unlink(job->tmp);
}

static bool
sink_sync_folder(const char *folder)
{
	char path[512];
	int n = snprintf(path, sizeof(path), "%s/new", folder);
	int fd = n > 0 && (size_t)n < sizeof(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
						   : -1;
	bool synced = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return synced;
}

static void
sink_file(void *arg)
{
	struct sink_job *job = arg;

	job->fault = FAULT_DISK;
	job->renamed = rename(job->tmp, job->new) == 0;
	if (job->renamed && sink_sync_folder(job->folder))
		job->fault = FAULT_NONE;
}

/* ---- in the coroutine ------------------------------------------------------------------------ */

/* Time, process and number make the name unique, as Maildir asks. */
static bool
sink_name(struct sink_job *job, struct relay_backend *b)
{
	struct timespec now;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	(void)snprintf(job->name, sizeof(job->name), "%lld.M%ldP%ldQ%llu.%.64s",
		(long long)now.tv_sec, now.tv_nsec / 1000, (long)getpid(),
		(unsigned long long)++b->filed, b->config.helo);
	for (char *c = job->name; *c != '\0'; c++)
		if (*c == '/' || *c == ':')
			*c = '_';
	n = snprintf(job->tmp, sizeof(job->tmp), "%s/tmp/%s", job->folder, job->name);
	if (n < 0 || (size_t)n >= sizeof(job->tmp))
		return false;
	n = snprintf(job->new, sizeof(job->new), "%s/new/%s", job->folder, job->name);
	return n > 0 && (size_t)n < sizeof(job->new);
}

static enum relay_fault
sink_run(void (*fn)(void *), struct sink_job *job)
{
	return rt_blocking(fn, job) == SP_OK ? job->fault : FAULT_LOCAL;
}

static enum relay_outcome
sink_refuse(struct relay *r, enum relay_fault fault)
{
	answer_fault(&r->answer, fault);
	relay_fail(r, fault);
	return RELAY_NOT_SENT;
}

enum relay_outcome
sink_send(struct relay *r, const struct relay_message *m)
{
	struct sink_job job = { .relay = r, .message = m, .folder = r->backend->config.sink };
	enum relay_fault fault = sink_name(&job, r->backend) ? FAULT_NONE : FAULT_DISK;
	char text[200];

	if (fault == FAULT_NONE)
		fault = sink_run(sink_write, &job);
	if (fault != FAULT_NONE)
		return sink_refuse(r, fault);
	if (m->commit != NULL && !m->commit(m->arg)) {
		unlink(job.tmp);
		return sink_refuse(r, FAULT_COMMIT);
	}
	r->facts.dot_ns = rt_now_ns();
	fault = sink_run(sink_file, &job);
	r->facts.reply_ns = rt_now_ns();
	if (fault != FAULT_NONE) {
		(void)sink_refuse(r, fault);
		if (job.renamed)
			return RELAY_UNKNOWN;
		unlink(job.tmp);
		return RELAY_NOT_SENT;
	}
	(void)snprintf(text, sizeof(text), "Ok: filed as %s", job.name);
	answer_own(&r->answer, 250, "2.0.0", span_str(text));
	r->answer.backend = true;
	(void)snprintf(r->queue_id, sizeof(r->queue_id), "%s", job.name);
	r->facts.queue_id = span_str(r->queue_id);
	relay_abort(r);
	return RELAY_ANSWERED;
}
