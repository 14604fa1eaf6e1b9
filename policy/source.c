/*
 * source.c - reads the files of a policy, include by include.
 *
 * Text and names live in the policy's arena, since messages may be printed as long as it lives.
 */
#include "policy/compile.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Length of the UTF-8 sequence at the front, 0: none (RFC 3629). */
static size_t
utf8_length(struct sp_span s)
{
	unsigned char c = (unsigned char)s.ptr[0], next = s.len > 1 ? (unsigned char)s.ptr[1] : 0;
	size_t len = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3
		: c >= 0xf0 && c <= 0xf4				     ? 4
									     : 0;

	if (len > s.len || (c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) ||
		(c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f))
		return 0;
	for (size_t i = 1; i < len; i++)
		if (((unsigned char)s.ptr[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static const char *
byte_fault(struct sp_span s, size_t len)
{
	char c = s.ptr[0];

	if (len == 0)
		return "this is not UTF-8";
	if (c == '\0')
		return "a NUL byte in the file";
	if (c == '\r')
		return s.len > 1 && s.ptr[1] == '\n' ? NULL : "a carriage return inside of a line";
	return (c > 0 && c < ' ' && c != '\t' && c != '\n') || c == 0x7f ? "a control character in the file"
									  : NULL;
}

/* Reports the first byte that no policy may have. */
static bool
source_bytes(struct compile *c, unsigned file, struct sp_span text)
{
	struct at at = { file, 1, 1, 1 };
	size_t len;

	for (struct sp_span s = text; s.len > 0; s = span_from(s, len)) {
		const char *fault;

		len = utf8_length(s);
		fault = byte_fault(s, len);
		if (fault != NULL) {
			diag_error(c, at, "a policy is a text file in ASCII or UTF-8", "%s", fault);
			return false;
		}
		at.column += (unsigned)len;
		if (s.ptr[0] == '\n') {
			at.line++;
			at.column = 1;
		}
	}
	return true;
}

int
source_text(struct compile *c, const char *path, struct sp_span text)
{
	struct policy *p = c->p;
	unsigned index = (unsigned)p->file_count;
	struct sp_span kept = arena_copy(p->arena, text);
	char *name = arena_strdup(p->arena, span_str(path));

	if (name == NULL || (kept.ptr == NULL && text.len > 0)) {
		c->out_of_memory = true;
		return -1;
	}
	p->files[index] = (struct source_file){ .path = name, .text = kept };
	p->file_count++;
	if (text.len > COMPILE_FILE_MAX) {
		diag_error(c, (struct at){ .file = index }, NULL, "the file is larger than 1 MiB");
		return -1;
	}
	return source_bytes(c, index, kept) ? (int)index : -1;
}

/* ---- files ------------------------------------------------------------------------------------ */

static bool
source_cycle(struct compile *c, const struct source_id *id, const char *path, struct at from)
{
	for (struct at at = from; at.line > 0; at = c->p->files[at.file].included_from) {
		const struct source_id *above = &c->source_ids[at.file];

		if (above->device != id->device || above->inode != id->inode)
			continue;
		diag_error(c, from, NULL, "'%s' is included by itself", path);
		return true;
	}
	return false;
}

/* Why a path cannot be read: null when it can, then fd is set. */
static const char *
source_fd(const char *path, struct stat *st, int *ret_fd)
{
	const char *why = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, st) != 0)
		why = strerror(errno);
	else if (!S_ISREG(st->st_mode))
		why = "it is not a regular file";
	else if (st->st_size > (off_t)COMPILE_FILE_MAX)
		why = "it is larger than 1 MiB";
	if (why == NULL)
		*ret_fd = fd;
	else
		close(fd);
	return why;
}

static bool
read_all(int fd, struct buf *to)
{
	ssize_t n = 1;

	while (n > 0) {
		char *room = buf_room(to, 4096);

		if (room == NULL)
			return false;
		n = read(fd, room, 4096);
		if (n > 0)
			buf_added(to, (size_t)n);
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	return n == 0;
}

static void
source_unreadable(struct compile *c, const char *path, struct at from, const char *why)
{
	if (from.line > 0) {
		diag_error(c, from, NULL, "cannot read '%s': %s", path, why);
		return;
	}
	/* the policy file itself: there is no line to point at */
	c->p->files[0] = (struct source_file){ .path = arena_strdup(c->p->arena, span_str(path)) };
	c->p->file_count = 1;
	if (c->p->files[0].path == NULL)
		c->out_of_memory = true;
	else
		diag_error(c, (struct at){ 0 }, NULL, "cannot read the policy: %s", why);
}

int
source_open(struct compile *c, const char *path, struct at from)
{
	struct source_id id;
	struct stat st;
	struct buf text;
	int fd, index = -1;
	const char *why = source_fd(path, &st, &fd);

	if (why != NULL) {
		source_unreadable(c, path, from, why);
		return -1;
	}
	buf_init(&text, COMPILE_FILE_MAX + 8192);
	id = (struct source_id){ (unsigned long long)st.st_dev, (unsigned long long)st.st_ino };
	if (source_cycle(c, &id, path, from))
		goto out;
	if (!read_all(fd, &text)) {
		source_unreadable(c, path, from, "reading failed");
		goto out;
	}
	c->source_ids[c->p->file_count] = id;
	index = source_text(c, path, buf_span(&text));
	if (index >= 0)
		c->p->files[index].included_from = from;
out:
	buf_fini(&text);
	close(fd);
	return index;
}

/* ---- include ------------------------------------------------------------------------------------ */

static const char *
path_join(struct compile *c, const char *dir, size_t dir_len, struct sp_span path)
{
	const char *joined = arena_printf(c->p->arena, "%.*s%s%.*s", (int)dir_len, dir,
		dir_len > 0 && dir[dir_len - 1] != '/' ? "/" : "", (int)path.len, path.ptr);

	if (joined == NULL)
		c->out_of_memory = true;
	return joined;
}

const char *
source_path(struct compile *c, struct at at, struct sp_span path, bool absolute)
{
	struct sp_span file = span_str(at.file < c->p->file_count ? c->p->files[at.file].path : "");
	size_t slash = span_rfind(file, '/');
	char cwd[PATH_MAX];

	if (path.len == 0 || path.len >= PATH_MAX - 1) {
		diag_error(c, at, NULL, path.len == 0 ? "the path is empty" : "the path is too long");
		return NULL;
	}
	if (path.ptr[0] != '/' && slash < file.len)
		path = span_str(path_join(c, file.ptr, slash + 1, path));
	if (path.ptr == NULL || path.ptr[0] == '/' || !absolute)
		return path.ptr == NULL ? NULL : path_join(c, "", 0, path);
	if (getcwd(cwd, sizeof(cwd)) == NULL) {
		diag_error(c, at, NULL, "the current directory is unknown: %s", strerror(errno));
		return NULL;
	}
	return path_join(c, cwd, strlen(cwd), path);
}

static int
path_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
include_file(struct compile *c, const char *path, struct at from)
{
	int file;

	if (c->p->file_count >= COMPILE_FILES_MAX) {
		if (!c->too_many_files)
			diag_error(c, from, NULL, "more than %d files are included", COMPILE_FILES_MAX - 1);
		c->too_many_files = true;
		return;
	}
	file = source_open(c, path, from);
	if (file >= 0)
		parse_file(c, (unsigned)file);
}

void
source_include(struct compile *c, const struct token *pattern)
{
	struct sp_span text = literal_text(c, pattern);
	const char *path = text.ptr == NULL ? NULL : source_path(c, pattern->at, text, false);
	glob_t found = { 0 };

	if (path == NULL)
		return;
	if (strpbrk(path, "*?[") == NULL) {
		include_file(c, path, pattern->at);
		return;
	}
	/* an empty folder is no mistake: nothing to include */
	if (glob(path, GLOB_NOSORT, NULL, &found) == 0) {
		if (found.gl_pathc > 1)
			qsort(found.gl_pathv, found.gl_pathc, sizeof(char *), path_cmp);
		for (size_t i = 0; i < found.gl_pathc && !c->stop; i++)
			include_file(c, found.gl_pathv[i], pattern->at);
	}
	globfree(&found);
}
