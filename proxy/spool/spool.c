/*
 * spool.c - one message, in memory or in an unlinked file (see spool.h).
 *
 * In memory: a list of chunks, each full before the next begins.  In a file: one chunk, the window,
 * that holds either the newest octets, not yet written ("dirty"), or a copy of some part of the file.
 * All memory is the spool's own, under the bound that chunk.c keeps.
 *
 * When the bound is reached, a spool that has a chunk goes to its file with that chunk as its window,
 * so it never takes more; only one without any has to wait.
 */
#include "proxy/spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/spool/chunk.h"

struct spool {
	struct chunk *first, *last; /* in memory */
	struct chunk *at;           /* where the last read was, and where that chunk begins */
	int64_t at_offset;
	struct chunk *window;       /* in a file */
	int64_t window_offset;
	bool dirty;
	bool sealed;
	int64_t size;
	int fd;
	int error; /* an errno; sticky */
};

static char *directory;
static size_t memory_max = (size_t)256 << 10;

void
spool_configure(const struct spool_config *c)
{
	free(directory);
	directory = c->directory != NULL ? strdup(c->directory) : NULL;
	memory_max = c->memory > 0 ? c->memory : (size_t)256 << 10;
	chunk_limit(c->total_memory > 0 ? c->total_memory : (size_t)64 << 20);
}

static const char *
spool_directory(void)
{
	const char *tmp;

	if (directory != NULL)
		return directory;
	tmp = getenv("TMPDIR");
	return tmp != NULL && tmp[0] == '/' ? tmp : "/var/tmp";
}

struct spool *
spool_new(void)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->fd = -1;
	return s;
}

static void
chunks_free(struct spool *s)
{
	while (s->first != NULL) {
		struct chunk *c = s->first;

		s->first = c->next;
		chunk_free(&c);
	}
	s->last = s->at = NULL;
}

void
spool_free(struct spool **s)
{
	if (*s == NULL)
		return;
	chunks_free(*s);
	chunk_free(&(*s)->window);
	if ((*s)->fd != -1)
		close((*s)->fd);
	free(*s);
	*s = NULL;
}

static enum sp_status
spool_fail(struct spool *s, int error)
{
	if (s->error == 0)
		s->error = error != 0 ? error : EIO;
	return SP_SYSTEM;
}

/* ---- the file ------------------------------------------------------------------------------ */

static int
file_named_open(const char *dir)
{
	char path[4096];
	int len = snprintf(path, sizeof(path), "%s/sallyport.XXXXXX", dir);
	int fd;

	if (len < 0 || (size_t)len >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd != -1)
		unlink(path);
	return fd;
}

/* A file without a name, so that none survives a crash. */
static int
file_open(void)
{
	const char *dir = spool_directory();
	int fd = open(dir, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	if (fd == -1 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
		fd = file_named_open(dir);
	return fd;
}

static enum sp_status
file_write(struct spool *s, const char *bytes, size_t len, int64_t offset)
{
	while (len > 0) {
		ssize_t n = pwrite(s->fd, bytes, len, offset);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return spool_fail(s, n == 0 ? ENOSPC : errno);
		bytes += n;
		len -= (size_t)n;
		offset += n;
	}
	return SP_OK;
}

static enum sp_status
window_flush(struct spool *s)
{
	enum sp_status st;

	if (!s->dirty)
		return SP_OK;
	st = file_write(s, s->window->bytes, s->window->used, s->window_offset);
	if (st == SP_OK)
		s->dirty = false;
	return st;
}

/* Moves what there is into a file. The last chunk becomes the window if no large one can be had. */
static enum sp_status
spool_to_file(struct spool *s)
{
	int64_t offset = 0;

	MUST(s->fd == -1 && s->first != NULL);
	s->fd = file_open();
	if (s->fd == -1)
		return spool_fail(s, errno);
	for (const struct chunk *c = s->first; c != NULL; c = c->next) {
		if (file_write(s, c->bytes, c->used, offset) != SP_OK)
			return SP_SYSTEM;
		offset += (int64_t)c->used;
	}
	MUST(offset == s->size);
	/* the chunks go first: the window may take their place under the bound */
	while (s->first != s->last) {
		struct chunk *c = s->first;

		s->first = c->next;
		chunk_free(&c);
	}
	s->window = s->last->room < CHUNK_WINDOW ? chunk_new(CHUNK_WINDOW) : NULL;
	if (s->window == NULL) {
		s->window = s->last;
		s->first = NULL;
	}
	chunks_free(s);
	s->window->used = 0;
	s->window_offset = s->size;
	return SP_OK;
}

static enum sp_status
file_append(struct spool *s, struct sp_span bytes)
{
	if (!s->dirty) {
		s->window->used = 0;
		s->window_offset = s->size;
	}
	while (bytes.len > 0) {
		struct chunk *w = s->window;
		size_t n = w->room - w->used;

		n = n < bytes.len ? n : bytes.len;
		memcpy(w->bytes + w->used, bytes.ptr, n);
		w->used += n;
		s->size += (int64_t)n;
		s->dirty = true;
		bytes = span_from(bytes, n);
		if (w->used == w->room) {
			if (window_flush(s) != SP_OK)
				return SP_SYSTEM;
			w->used = 0;
			s->window_offset = s->size;
		}
	}
	return SP_OK;
}

static enum sp_status
file_read(struct spool *s, int64_t offset, struct sp_span *ret)
{
	struct chunk *w = s->window;
	ssize_t n;

	if (offset < s->window_offset || offset >= s->window_offset + (int64_t)w->used) {
		if (window_flush(s) != SP_OK)
			return SP_SYSTEM;
		w->used = 0;
		do
			n = pread(s->fd, w->bytes, w->room, offset);
		while (n == -1 && errno == EINTR);
		if (n <= 0)
			return spool_fail(s, n == 0 ? EIO : errno);
		w->used = (size_t)n;
		s->window_offset = offset;
	}
	*ret = span_from(span_of(w->bytes, w->used), (size_t)(offset - s->window_offset));
	return SP_OK;
}

/* ---- memory -------------------------------------------------------------------------------- */

static size_t
chunk_next_room(const struct spool *s)
{
	if (s->last == NULL)
		return CHUNK_FIRST;
	return s->first == s->last ? CHUNK_SECOND : CHUNK_WINDOW;
}

static void
chunk_append(struct spool *s, struct chunk *c)
{
	if (s->last == NULL)
		s->first = c;
	else
		s->last->next = c;
	s->last = c;
}

/* Octets that fit without another chunk. */
static size_t
tail_room(const struct spool *s)
{
	return s->last == NULL ? 0 : s->last->room - s->last->used;
}

enum sp_status
spool_reserve(struct spool *s, size_t n, int64_t deadline_ms)
{
	struct chunk *c;
	enum sp_status st;

	if (s->error != 0)
		return SP_SYSTEM;
	if (s->fd != -1 || n <= tail_room(s))
		return SP_OK;
	if (s->last == NULL) {
		st = chunk_await(deadline_ms, &c);
		if (st == SP_SYSTEM)
			return spool_fail(s, ENOMEM);
		if (st != SP_OK)
			return st;
		chunk_append(s, c);
	}
	/* What is more than that, spool_write() takes for itself or goes to a file. */
	return SP_OK;
}

/* Octets that may still be kept in memory. */
static size_t
memory_left(const struct spool *s)
{
	return (size_t)s->size < memory_max ? memory_max - (size_t)s->size : 0;
}

/* It needs one chunk even to go to a file, so it takes that one past the bound if it must. */
static enum sp_status
first_chunk(struct spool *s)
{
	struct chunk *c;

	if (s->last != NULL)
		return SP_OK;
	c = chunk_new_anyway(CHUNK_FIRST);
	if (c == NULL)
		return spool_fail(s, ENOMEM);
	chunk_append(s, c);
	return SP_OK;
}

static enum sp_status
memory_append(struct spool *s, struct sp_span bytes)
{
	while (bytes.len > 0) {
		size_t n = tail_room(s);

		if (n == 0) {
			struct chunk *c = chunk_new(chunk_next_room(s));

			if (c == NULL && first_chunk(s) != SP_OK)
				return SP_SYSTEM;
			if (c == NULL)
				return spool_to_file(s) != SP_OK ? SP_SYSTEM : file_append(s, bytes);
			chunk_append(s, c);
			continue;
		}
		n = n < bytes.len ? n : bytes.len;
		memcpy(s->last->bytes + s->last->used, bytes.ptr, n);
		s->last->used += n;
		s->size += (int64_t)n;
		bytes = span_from(bytes, n);
	}
	return SP_OK;
}

static enum sp_status
memory_read(struct spool *s, int64_t offset, struct sp_span *ret)
{
	if (s->at == NULL || offset < s->at_offset) {
		s->at = s->first;
		s->at_offset = 0;
	}
	while (offset >= s->at_offset + (int64_t)s->at->used) {
		s->at_offset += (int64_t)s->at->used;
		s->at = s->at->next;
	}
	*ret = span_from(span_of(s->at->bytes, s->at->used), (size_t)(offset - s->at_offset));
	return SP_OK;
}

/* ---- both ---------------------------------------------------------------------------------- */

enum sp_status
spool_write(struct spool *s, struct sp_span bytes)
{
	MUST(!s->sealed);
	if (s->error != 0)
		return SP_SYSTEM;
	if (bytes.len == 0)
		return SP_OK;
	if (s->fd == -1 && bytes.len > memory_left(s)
	    && (first_chunk(s) != SP_OK || spool_to_file(s) != SP_OK))
		return SP_SYSTEM;
	return s->fd == -1 ? memory_append(s, bytes) : file_append(s, bytes);
}

enum sp_status
spool_seal(struct spool *s)
{
	struct stat st;

	if (s->error != 0)
		return SP_SYSTEM;
	s->sealed = true;
	if (s->fd == -1)
		return SP_OK;
	if (window_flush(s) != SP_OK)
		return SP_SYSTEM;
	if (fstat(s->fd, &st) == -1)
		return spool_fail(s, errno);
	return st.st_size == s->size ? SP_OK : spool_fail(s, EIO);
}

enum sp_status
spool_read(struct spool *s, int64_t offset, struct sp_span *ret)
{
	MUST(offset >= 0);
	if (s->error != 0)
		return SP_SYSTEM;
	if (offset >= s->size)
		return SP_NONE;
	return s->fd == -1 ? memory_read(s, offset, ret) : file_read(s, offset, ret);
}

int
spool_errno(const struct spool *s)
{
	return s->error;
}

int64_t
spool_size(const struct spool *s)
{
	return s->size;
}

int
spool_fd(const struct spool *s)
{
	return s->fd;
}

int64_t
spool_disk_free(void)
{
	struct statvfs v;

	if (statvfs(spool_directory(), &v) == -1)
		return -1;
	if (v.f_frsize != 0 && v.f_bavail > (uint64_t)INT64_MAX / v.f_frsize)
		return INT64_MAX;
	return (int64_t)(v.f_bavail * v.f_frsize);
}

size_t
spool_memory_used(void)
{
	return chunk_used();
}
