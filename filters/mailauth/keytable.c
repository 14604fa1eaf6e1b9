/*
 * keytable.c - which key signs for which domain (see keytable.h).
 *
 * The table owns the text of its file, into which all names point, its rows and their keys; a key file that several
 * rows name is read once.  All of it is const once loaded.
 */
#include "mailauth/keytable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mailauth/domain.h"
#include "mailauth/text.h"

enum { FILE_OCTETS = 4 << 20, PATH_OCTETS = 4096, KEYS_EACH = 8 /* signatures on one message */ };

struct row {
	struct keytable_key key; /* first: what the user sees */
	char *path;              /* of the key's file; the row's */
	unsigned line;
};
struct keytable {
	char *text;
	struct row *rows; /* in the order of the file until all is read, then by domain */
	size_t count, max;
	const struct keytable_key *fallback;
};

struct loading {
	struct sp_load *load;
	const struct sp_host *host;
	const char *path; /* of the table */
	struct keytable *table;
	bool failed;
};

__attribute__((format(printf, 3, 4))) static void
fault(struct loading *l, unsigned line, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sp_load_error(l->host, l->load, l->path, line, line > 0, "%s", text);
	l->failed = true;
}

/* ---- the file ---------------------------------------------------------------------------------------------- */

static const char *
text_read(struct loading *l, int fd, struct sp_span *ret)
{
	struct stat st;
	size_t len = 0;
	ssize_t got;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return "it is no file";
	if (st.st_size > FILE_OCTETS)
		return "it is larger than 4 MiB";
	l->table->text = malloc((size_t)st.st_size + 1);
	if (l->table->text == NULL)
		return "out of memory";
	while (len < (size_t)st.st_size && (got = read(fd, l->table->text + len, (size_t)st.st_size - len)) != 0) {
		if (got < 0)
			return "it cannot be read";
		len += (size_t)got;
	}
	*ret = (struct sp_span){ l->table->text, len };
	return NULL;
}

static bool
file_read(struct loading *l, struct sp_span *ret)
{
	int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *wrong;

	if (fd == -1) {
		fault(l, 0, "the table of keys cannot be opened: %s", strerrordesc_np(errno));
		return false;
	}
	wrong = text_read(l, fd, ret);
	close(fd);
	if (wrong != NULL)
		fault(l, 0, "the table of keys: %s", wrong);
	return wrong == NULL;
}

/* ---- a line ------------------------------------------------------------------------------------------------ */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct sp_span
line_text(struct sp_span line)
{
	for (size_t i = 0; i < line.len; i++)
		if (line.ptr[i] == '#' && (i == 0 || is_blank(line.ptr[i - 1])))
			line.len = i;
	return text_trim(line);
}

/* The first word of s, taken off it. */
static struct sp_span
word_cut(struct sp_span *s)
{
	struct sp_span word;
	size_t len = 0;

	while (len < s->len && !is_blank(s->ptr[len]))
		len++;
	word = text_head(*s, len);
	*s = text_trim(text_from(*s, len));
	return word;
}

static const char *
check_names(struct sp_span domain, struct sp_span selector)
{
	char memory[DOMAIN_MAX + 1];
	bool any = text_is(domain, TEXT("*"));
	struct writer w;

	if (!any && !domain_ok(domain))
		return "the first word is no domain";
	writer_init(&w, memory, sizeof(memory));
	writer_add(&w, selector);
	writer_add(&w, TEXT("._domainkey."));
	writer_add(&w, any ? TEXT("example.com") : domain);
	return selector.len > 0 && !w.full && domain_ok(writer_text(&w)) ? NULL : "the second word is no selector";
}

/* Beside the table unless it is absolute. */
static char *
key_path(const struct loading *l, struct sp_span name)
{
	const char *slash = strrchr(l->path, '/');
	int before = name.ptr[0] == '/' || slash == NULL ? 0 : (int)(slash + 1 - l->path);
	char *path = malloc(PATH_OCTETS);
	int len;

	if (path == NULL)
		return NULL;
	len = snprintf(path, PATH_OCTETS, "%.*s%.*s", before, l->path, (int)name.len, name.ptr);
	if (len > 0 && len < PATH_OCTETS)
		return path;
	free(path);
	return NULL;
}

/* In the text, which is the table's own. */
static void
name_fold(struct keytable *t, struct sp_span name)
{
	char *at = t->text + (name.ptr - t->text);

	for (size_t i = 0; i < name.len; i++)
		at[i] = text_lower(at[i]);
}

static bool
rows_grow(struct keytable *t)
{
	size_t max = t->max == 0 ? 16 : 2 * t->max;
	struct row *rows;

	if (t->count < t->max)
		return true;
	rows = realloc(t->rows, max * sizeof(*rows));
	if (rows == NULL)
		return false;
	t->rows = rows;
	t->max = max;
	return true;
}

static void
line_read(struct loading *l, struct sp_span line, unsigned number)
{
	struct row row = { .line = number };
	const char *wrong;

	line = line_text(line);
	if (line.len == 0)
		return;
	row.key.domain = word_cut(&line);
	row.key.selector = word_cut(&line);
	wrong = check_names(row.key.domain, row.key.selector);
	if (wrong == NULL && (line.len == 0 || line.len >= PATH_OCTETS || memchr(line.ptr, '\0', line.len) != NULL))
		wrong = "the third word is no key file";
	if (wrong != NULL) {
		fault(l, number, "%s: a line is 'domain selector file'", wrong);
		return;
	}
	name_fold(l->table, row.key.domain);
	row.path = key_path(l, line);
	if (row.path == NULL || !rows_grow(l->table)) {
		free(row.path);
		fault(l, number, "out of memory, or too long a path");
		return;
	}
	l->table->rows[l->table->count++] = row;
}

static void
lines_read(struct loading *l, struct sp_span text)
{
	struct sp_span line;

	for (unsigned n = 1; text_cut(&text, '\n', &line); n++)
		line_read(l, line, n);
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

static int
by_path(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static int
span_order(struct sp_span a, struct sp_span b)
{
	int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int
by_domain(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = span_order(x->key.domain, y->key.domain);

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static void
keys_load(struct loading *l)
{
	struct keytable *t = l->table;

	qsort(t->rows, t->count, sizeof(*t->rows), by_path);
	for (size_t i = 0; i < t->count; i++) {
		struct row *row = &t->rows[i];
		const struct row *last = i > 0 ? row - 1 : NULL;
		const char *wrong = NULL;

		if (last != NULL && strcmp(last->path, row->path) == 0) {
			if (last->key.pkey != NULL && EVP_PKEY_up_ref(last->key.pkey) == 1)
				row->key.pkey = last->key.pkey;
			row->key.type = last->key.type;
			continue;
		}
		row->key.pkey = key_load_private(row->path, &row->key.type, &wrong);
		if (row->key.pkey == NULL)
			fault(l, row->line, "key file %s: %s", row->path, wrong);
	}
}

/* row: joins those above it of its domain, of which the first is head. */
static void
row_join(struct loading *l, const struct row *head, struct row *row)
{
	size_t above = (size_t)(row - head);

	for (const struct row *r = head; r < row; r++)
		if (text_same(r->key.selector, row->key.selector))
			fault(l, row->line, "the same domain and selector as in line %u", r->line);
	if (above == KEYS_EACH)
		fault(l, row->line, "more than %d keys for one domain", KEYS_EACH);
	if (above > 0)
		row[-1].key.next = &row->key;
}

static void
rows_chain(struct loading *l)
{
	struct keytable *t = l->table;
	struct row *head = t->rows;

	qsort(t->rows, t->count, sizeof(*t->rows), by_domain);
	for (struct row *row = t->rows; row < t->rows + t->count; row++) {
		if (!text_is(head->key.domain, row->key.domain))
			head = row;
		if (row - head <= KEYS_EACH)
			row_join(l, head, row);
	}
}

/* ---- the table --------------------------------------------------------------------------------------------- */

/* The first key of this very domain; null: none. */
static const struct keytable_key *
exact(const struct keytable *t, struct sp_span domain)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (span_order(t->rows[middle].key.domain, domain) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->count && text_is(t->rows[low].key.domain, domain) ? &t->rows[low].key : NULL;
}

const struct keytable_key *
keytable_find(const struct keytable *t, struct sp_span domain)
{
	for (; domain.len > 0; domain = domain_parent(domain)) {
		const struct keytable_key *key = exact(t, domain);

		if (key != NULL)
			return key;
	}
	return t->fallback;
}

struct keytable *
keytable_load(struct sp_load *load, const struct sp_host *host, const char *path)
{
	struct loading l = { load, host, path, calloc(1, sizeof(struct keytable)), false };
	struct sp_span text;

	if (l.table == NULL) {
		fault(&l, 0, "out of memory");
		return NULL;
	}
	if (!file_read(&l, &text))
		goto out;
	lines_read(&l, text);
	if (l.table->count > 0) {
		keys_load(&l);
		rows_chain(&l);
	} else if (!l.failed) {
		fault(&l, 0, "the table of keys has no line");
	}
	l.table->fallback = exact(l.table, TEXT("*"));
out:
	if (l.failed)
		keytable_free(&l.table);
	return l.table;
}

void
keytable_free(struct keytable **t)
{
	if (*t == NULL)
		return;
	for (size_t i = 0; i < (*t)->count; i++) {
		EVP_PKEY_free((*t)->rows[i].key.pkey);
		free((*t)->rows[i].path);
	}
	free((*t)->rows);
	free((*t)->text);
	free(*t);
	*t = NULL;
}
