/*
 * diag.c - the compiler's messages: kept while compiling, then sorted by place and printed.
 *
 * Form:	site.policy:16:28: error: no table named 'blockd'
 *		   16 |   net : if client.ip in blockd reject 554
 *		      |                         ^^^^^^ did you mean 'blocked'? (defined at site.policy:6:7)
 */
#include "policy/compile.h"

#include <stdlib.h>

#define DIAG_TEXT_MAX ((size_t)1 << 20)
#define DIAG_KEEP_MAX 200 /* messages kept; far more than are printed */
#define DIAG_LINE_MAX 400 /* octets shown of a source line */

void
policy_diag_init(struct policy_diag *d)
{
	*d = (struct policy_diag){ 0 };
	buf_init(&d->text, DIAG_TEXT_MAX);
}

void
policy_diag_fini(struct policy_diag *d)
{
	buf_fini(&d->text);
}

static bool
same_message(const struct message *m, struct at at, bool warning, const char *text)
{
	return m->warning == warning && m->at.file == at.file && m->at.line == at.line &&
		m->at.column == at.column && strcmp(m->text, text) == 0;
}

static void
diag_keep(struct compile *c, struct at at, bool warning, const char *hint, const char *text)
{
	struct message *m;

	for (m = c->messages; m != NULL && text != NULL; m = m->next)
		if (same_message(m, at, warning, text))
			return;
	if (warning)
		c->warnings++;
	else
		c->errors++;
	c->stop = c->errors >= DIAG_KEEP_MAX;
	if (c->errors + c->warnings > 2 * DIAG_KEEP_MAX || text == NULL)
		return;
	m = arena_alloc(c->scratch, sizeof(*m));
	if (m == NULL) {
		c->out_of_memory = true;
		return;
	}
	*m = (struct message){ .at = at, .warning = warning, .text = text, .hint = hint };
	*c->messages_end = m;
	c->messages_end = &m->next;
}

void
diag_error(struct compile *c, struct at at, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_keep(c, at, false, hint, arena_vprintf(c->scratch, fmt, ap));
	va_end(ap);
}

void
diag_warning(struct compile *c, struct at at, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_keep(c, at, true, hint, arena_vprintf(c->scratch, fmt, ap));
	va_end(ap);
}

const char *
diag_place(struct compile *c, struct at at)
{
	return compile_printf(c, "%s:%u:%u", c->p->files[at.file].path, at.line, at.column);
}

struct at
at_join(struct at a, struct at b)
{
	if (a.file == b.file && a.line == b.line && b.column + b.len > a.column)
		a.len = b.column + b.len - a.column;
	return a;
}

/* ---- printing --------------------------------------------------------------------------------- */

static struct sp_span
source_line(struct sp_span text, unsigned line)
{
	for (; line > 1; line--)
		text = span_from(text, span_find(text, '\n') + 1);
	text = span_head(text, span_find(text, '\n'));
	while (text.len > 0 && text.ptr[text.len - 1] == '\r')
		text.len--;
	return text;
}

/* What a terminal must not be sent is shown as '?'. */
static void
print_source(struct buf *to, struct sp_span line)
{
	line = span_head(line, DIAG_LINE_MAX);
	for (size_t i = 0; i < line.len; i++) {
		char c = line.ptr[i];

		buf_add_char(to, c != '\t' && ((c >= 0 && c < ' ') || c == 0x7f) ? '?' : c);
	}
}

/* Under the line: its tabs as tabs, one column for each UTF-8 character. */
static void
print_carets(struct buf *to, struct sp_span line, struct at at)
{
	for (size_t i = 0; i + 1 < at.column; i++) {
		unsigned char c = i < line.len ? (unsigned char)line.ptr[i] : ' ';

		if ((c & 0xc0) != 0x80)
			buf_add_char(to, c == '\t' ? '\t' : ' ');
	}
	for (size_t i = at.column - 1; i == at.column - 1 || i < at.column - 1 + at.len; i++) {
		if (i >= line.len && i > at.column - 1)
			break;
		if (i >= line.len || ((unsigned char)line.ptr[i] & 0xc0) != 0x80)
			buf_add_char(to, '^');
	}
}

static void
print_message(struct buf *to, const struct policy *p, const struct message *m)
{
	const struct source_file *file = &p->files[m->at.file];
	struct sp_span line;

	buf_printf(to, "%s:", file->path);
	if (m->at.line > 0)
		buf_printf(to, "%u:%u:", m->at.line, m->at.column);
	buf_printf(to, " %s: %s", m->warning ? "warning" : "error", m->text);
	if (m->at.line == 0) {
		if (m->hint != NULL)
			buf_printf(to, ": %s", m->hint);
		buf_add_char(to, '\n');
		return;
	}
	line = source_line(file->text, m->at.line);
	buf_printf(to, "\n%5u | ", m->at.line);
	print_source(to, line);
	buf_add_str(to, "\n      | ");
	if (m->at.column <= DIAG_LINE_MAX)
		print_carets(to, span_head(line, DIAG_LINE_MAX), m->at);
	if (m->hint != NULL)
		buf_printf(to, " %s", m->hint);
	buf_add_char(to, '\n');
}

static int
message_cmp(const void *va, const void *vb)
{
	const struct message *a = *(const struct message *const *)va, *b = *(const struct message *const *)vb;

	if (a->at.file != b->at.file)
		return a->at.file < b->at.file ? -1 : 1;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.column != b->at.column)
		return a->at.column < b->at.column ? -1 : 1;
	return 0;
}

static void
print_sorted(struct compile *c, struct message **sorted, size_t count, struct policy_diag *to)
{
	unsigned errors = 0;

	if (count > 1)
		qsort(sorted, count, sizeof(struct message *), message_cmp);
	for (size_t i = 0; i < count; i++) {
		if (!sorted[i]->warning && ++errors > COMPILE_ERRORS_MAX)
			continue;
		print_message(&to->text, c->p, sorted[i]);
	}
	if (c->errors > COMPILE_ERRORS_MAX)
		buf_printf(&to->text, "%s: error: too many errors, the first %d are shown\n",
			c->p->files[0].path, COMPILE_ERRORS_MAX);
}

void
diag_flush(struct compile *c, struct policy_diag *to)
{
	struct message **sorted;
	size_t count = 0;

	for (struct message *m = c->messages; m != NULL; m = m->next)
		count++;
	sorted = arena_alloc(c->scratch, (count + 1) * sizeof(struct message *));
	if (sorted == NULL)
		c->out_of_memory = true;
	count = 0;
	for (struct message *m = c->messages; m != NULL && sorted != NULL; m = m->next)
		sorted[count++] = m;
	if (sorted != NULL)
		print_sorted(c, sorted, count, to);
	if (c->out_of_memory) {
		buf_add_str(&to->text, "error: out of memory while compiling the policy\n");
		c->errors++;
	}
	to->errors += c->errors;
	to->warnings += c->warnings;
}

/* ---- what the program finds later ----------------------------------------------------------------- */

static struct at
place_at(const struct policy *p, struct policy_place place)
{
	struct at at = { 0, 0, 0, 1 };
	struct lexer l;
	struct token t;

	for (unsigned i = 0; i < p->file_count; i++) {
		if (place.file == NULL || strcmp(p->files[i].path, place.file) != 0)
			continue;
		at = (struct at){ i, place.line, place.column, 1 };
		lex_init(&l, i, p->files[i].text);
		do
			t = lex_next(&l);
		while (t.kind != TOKEN_END &&
			(t.at.line < at.line || (t.at.line == at.line && t.at.column < at.column)));
		if (t.at.line == at.line && t.at.column == at.column)
			at.len = t.at.len;
		break;
	}
	return at;
}

void
policy_diag_at(struct policy_diag *d, const struct policy *p, struct policy_place at, bool warning,
	const char *fmt, ...)
{
	struct message m = { .at = place_at(p, at), .warning = warning };
	struct buf text;
	va_list ap;

	buf_init(&text, DIAG_TEXT_MAX);
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	m.text = buf_cstr(&text);
	print_message(&d->text, p, &m);
	buf_fini(&text);
	if (warning)
		d->warnings++;
	else
		d->errors++;
}
