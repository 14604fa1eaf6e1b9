/*
 * site.c - the scene's folder: its policy and the files beside it, and the mail that the gateway filed there.
 *
 * In policies and files {backend} is the fake backend's address:port, {port} its port alone, {nobody} an address:port
 * where nobody listens, {fingerprint:NAME} that of a certificate of the scene, and {folder} this folder.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/test/play.h"

enum { SITE_TEXT = 16 << 20 };

/* Has the policy a statement that begins with this word, on a line of its own? */
static bool
has_statement(struct sp_span policy, struct sp_span name)
{
	while (policy.len > 0) {
		struct sp_span line = span_trim(span_head(policy, span_find(policy, '\n')));
		char next = line.len > name.len ? line.ptr[name.len] : ' ';

		if (span_starts(line, name) && (next == ' ' || next == '{' || next == '\t'))
			return true;
		policy = span_from(policy, span_find(policy, '\n') + 1);
	}
	return false;
}

/* If rest begins with a placeholder, adds what it stands for and returns its length. */
static size_t
add_placeholder(struct buf *to, struct sp_span rest, const struct child_world *w)
{
	if (span_starts(rest, SPAN_LIT("{backend}"))) {
		buf_printf(to, "127.0.0.1:%u", w->backend_port);
		return 9;
	}
	if (span_starts(rest, SPAN_LIT("{port}"))) {
		buf_printf(to, "%u", w->backend_port);
		return 6;
	}
	if (span_starts(rest, SPAN_LIT("{nobody}"))) {
		buf_add_str(to, "127.0.0.1:1");
		return 8;
	}
	if (!span_starts(rest, SPAN_LIT("{folder}")))
		return certificate_placeholder(to, rest, w->folder);
	buf_add_str(to, w->folder);
	return 8;
}

static void
add_filled(struct buf *to, struct sp_span text, const struct child_world *w)
{
	while (text.len > 0) {
		size_t at = span_find(text, '{'), len;

		buf_add(to, span_head(text, at));
		text = span_from(text, at);
		len = add_placeholder(to, text, w);
		if (len == 0 && text.len > 0) {
			buf_add_char(to, '{');
			len = 1;
		}
		text = span_from(text, len);
	}
}

/* For its owner only: it may be a private key, which is not taken where others can read it. */
static bool
write_file(const char *path, const struct buf *text)
{
	int fd = buf_status(text) == SP_OK ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
	bool ok = file != NULL && fwrite(text->ptr, 1, text->len, file) == text->len;

	if (file != NULL)
		ok = fclose(file) == 0 && ok;
	else if (fd >= 0)
		close(fd);
	return ok;
}

/* What a scene leaves out is added behind its own lines, so that line numbers in messages are the scene's. */
bool
child_write_policy(struct child *c, const struct scene *s, struct sp_span policy)
{
	struct buf text;
	bool ok;

	buf_init(&text, SITE_TEXT);
	if (!has_statement(policy, SPAN_LIT("policy")))
		buf_add_str(&text, "policy 1 ");
	add_filled(&text, policy, &c->world);
	if (!has_statement(policy, SPAN_LIT("listen"))) {
		buf_printf(&text, "\nlisten 127.0.0.1:2525 { hostname \"mx.example.com\" relay to example.com\n%s",
			s->tls ? "tls certificate \"gateway.pem\"\ntls key \"gateway.key\"\n" : "");
		add_filled(&text, s->listen, &c->world);
		buf_add_str(&text, "\n}");
	}
	if (!has_statement(policy, SPAN_LIT("backend")))
		buf_add_str(&text, "\nbackend mail { address 127.0.0.1:25 }");
	if (!has_statement(policy, SPAN_LIT("workers")))
		buf_add_str(&text, "\nworkers 1"); /* so that what the backend sees is the same each time */
	if (!has_statement(policy, SPAN_LIT("rules")))
		buf_add_str(&text, "\nrules { accept }");
	buf_add_str(&text, "\n");
	ok = write_file(c->policy_path, &text);
	buf_fini(&text);
	return ok;
}

static bool
write_beside(const struct child *c, const struct scene_file *f)
{
	char path[4096];
	struct buf text;
	bool ok;

	buf_init(&text, SITE_TEXT);
	add_filled(&text, f->text, &c->world);
	ok = snprintf(path, sizeof(path), "%s/%.*s", c->world.folder, (int)f->name.len, f->name.ptr) < (int)sizeof(path) &&
		write_file(path, &text);
	buf_fini(&text);
	return ok;
}

/* A policy file of the scene's own is run where it lies. */
static bool
find_policy(struct child *c, const struct scene *s)
{
	size_t folder = span_rfind(span_str(s->path), '/');
	bool here = s->policy_file.ptr[0] == '/' || folder == strlen(s->path);

	return snprintf(c->policy_path, sizeof(c->policy_path), "%.*s%s%s", here ? 0 : (int)folder, s->path, here ? "" : "/",
		s->policy_file.ptr) < (int)sizeof(c->policy_path);
}

/* Those of the scene, and the one of "listen tls". */
static bool
make_certificates(const struct child *c, const struct scene *s)
{
	const struct scene_certificate own = { .name = SPAN_LIT("gateway"), .hosts = SPAN_LIT("mx.example.com") };

	for (size_t i = 0; i < s->certificate_count; i++)
		if (!certificate_make(c->world.folder, &s->certificates[i]))
			return false;
	return !s->tls || certificate_make(c->world.folder, &own);
}

bool
site_make(struct child *c, const struct scene *s)
{
	if (!make_certificates(c, s))
		return false;
	for (size_t i = 0; i < s->file_count; i++)
		if (!write_beside(c, &s->files[i]))
			return false;
	if (s->policy_file.len > 0)
		return find_policy(c, s);
	snprintf(c->policy_path, sizeof(c->policy_path), "%s/site.policy", c->world.folder);
	return child_write_policy(c, s, s->policy);
}

/* ---- what was filed ------------------------------------------------------------------------- */

static bool
add_file(struct buf *to, const char *path)
{
	FILE *file = fopen(path, "re");
	size_t len = 1;

	while (file != NULL && len > 0) {
		char *room = buf_room(to, 65536);

		len = room != NULL ? fread(room, 1, 65536, file) : 0;
		buf_added(to, len);
	}
	return file != NULL && fclose(file) == 0;
}

size_t
site_filed(const char *folder, struct buf *to)
{
	char path[512];
	struct dirent *entry;
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/mail/new", folder);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(path, sizeof(path), "%s/mail/new/%s", folder, entry->d_name) < (int)sizeof(path) &&
			add_file(to, path))
			n++;
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}

/* ---- the end -------------------------------------------------------------------------------- */

void
site_remove(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char path[512];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path))
			continue;
		if (unlink(path) != 0 && (errno == EISDIR || errno == EPERM))
			site_remove(path);
	}
	if (dir != NULL)
		closedir(dir);
	(void)rmdir(folder);
}
