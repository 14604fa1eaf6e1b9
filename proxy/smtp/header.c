/*
 * header.c - see header.h.  A block owns its text and its array of fields (RFC 5322 2.2, 3.6.8, 4.5).
 *
 * Octets are gathered in text; each line is judged when its CRLF is there.  Fields are only counted meanwhile, since
 * text moves as it grows; they are listed in a second pass over the finished block.
 */
#include "proxy/smtp/header.h"

#include <stdlib.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

enum { OCTETS_DEFAULT = 256 * 1024, FIELDS_DEFAULT = 10000, LINE_OCTETS_MAX = 998 };

enum kind { KIND_EMPTY, KIND_FIELD, KIND_FOLD, KIND_NAME, KIND_BODY };

void
header_init(struct header_block *h, const struct header_config *config)
{
	*h = (struct header_block){ .config = *config };
	if (h->config.max_octets == 0)
		h->config.max_octets = OCTETS_DEFAULT;
	if (h->config.max_fields == 0)
		h->config.max_fields = FIELDS_DEFAULT;
	buf_init(&h->text, h->config.max_octets);
}

void
header_fini(struct header_block *h)
{
	buf_fini(&h->text);
	free(h->fields);
	*h = (struct header_block){ .config = h->config };
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Octets of the name at the front: printable ASCII but the colon. */
static size_t
name_len(struct sp_span s)
{
	size_t len = 0;

	while (len < s.len && s.ptr[len] > ' ' && s.ptr[len] <= '~' && s.ptr[len] != ':')
		len++;
	return len;
}

static size_t
blanks_len(struct sp_span s)
{
	size_t len = 0;

	while (len < s.len && is_blank(s.ptr[len]))
		len++;
	return len;
}

/* line: without its CRLF. */
static enum kind
classify(struct sp_span line)
{
	size_t at = name_len(line);

	if (line.len == 0)
		return KIND_EMPTY;
	if (is_blank(line.ptr[0]))
		return KIND_FOLD;
	at += blanks_len(span_from(line, at));
	if (at == line.len)
		return KIND_NAME;
	return line.ptr[at] == ':' ? KIND_FIELD : KIND_BODY;
}

/* ---- the finished block -------------------------------------------------------------------- */

/* Octets of the field at the front of s without its last CRLF, folded lines and all. */
static size_t
field_len(struct sp_span s)
{
	for (size_t at = 0; at < s.len; at++) {
		at += span_find(span_from(s, at), '\n');
		if (at == s.len)
			break;
		if (at > 0 && s.ptr[at - 1] == '\r' && (at + 1 == s.len || !is_blank(s.ptr[at + 1])))
			return at - 1;
	}
	return s.len;
}

static void
list_fields(struct header_block *h)
{
	struct sp_span rest = buf_span(&h->text);

	h->fields = h->count == 0 ? NULL : calloc(h->count, sizeof(*h->fields));
	if (h->fields == NULL) {
		h->faults |= h->count == 0 ? 0 : HEADER_MEMORY;
		h->count = 0;
	}
	for (size_t i = 0; i < h->count; i++) {
		struct header_field *f = &h->fields[i];

		f->field = span_head(rest, field_len(rest));
		f->name = span_head(f->field, name_len(f->field));
		f->value = span_from(f->field, span_find(f->field, ':') + 1);
		MUST(f->field.len > 0 && f->value.len < f->field.len);
		rest = span_from(rest, f->field.len + 2);
	}
}

/* The header ends before line_start, or, with its empty line, behind the text. before: octets of text that earlier calls
 * had taken. */
static void
finish(struct header_block *h, size_t before, size_t *used)
{
	size_t end = h->line_start, kept = before > end ? before - end : 0;

	if (kept > 0) {
		/* one octet further, since buf_cstr() writes one behind the text; buf keeps room for it */
		memmove(h->text.ptr + end + 1, h->text.ptr + end, kept);
		h->held = span_of(h->text.ptr + end + 1, kept);
	}
	*used = end > before ? end - before : 0;
	h->text.len = end;
	h->complete = true;
	list_fields(h);
}

/* ---- line by line -------------------------------------------------------------------------- */

/* Counts a field; true: it ends the header, being one too many. */
static bool
take_field(struct header_block *h, struct sp_span line)
{
	size_t len = name_len(line);

	if (h->count == h->config.max_fields) {
		h->faults |= HEADER_TOO_MANY;
		return true;
	}
	if (len == 0 || line.ptr[len] != ':')
		h->faults |= HEADER_BAD_NAME;
	h->count++;
	h->received += span_ieq(span_head(line, len), SPAN_LIT("Received"));
	h->from += span_ieq(span_head(line, len), SPAN_LIT("From"));
	if (h->from > 1)
		h->faults |= HEADER_SEVERAL_FROM;
	return false;
}

/* A blank begins the line: true if it folds no field, so that the body begins with it. */
static bool
take_fold(struct header_block *h, struct sp_span line)
{
	if (h->count > 0)
		return false;
	if (classify(span_trim(line)) == KIND_FIELD)
		h->faults |= HEADER_BAD_NAME;
	return true;
}

/* A line, without its CRLF, behind a name that had no colon: the body has begun with that name, but if the colon is
 * found here, some readers take both lines for a field. */
static void
take_after_name(struct header_block *h, struct sp_span line)
{
	size_t blanks = blanks_len(line);

	if (blanks > 0 && blanks < line.len && line.ptr[blanks] == ':')
		h->faults |= HEADER_BAD_NAME;
}

/* The text ends with the CRLF of a line: true if the header is complete. */
static bool
take_line(struct header_block *h)
{
	struct sp_span text = span_head(buf_span(&h->text), h->text.len - 2);
	struct sp_span line = span_from(text, h->line_start);
	bool end = false;

	if (h->name_end > 0) {
		take_after_name(h, span_from(text, h->name_end));
		return true;
	}
	switch (classify(line)) {
	case KIND_EMPTY:
		h->had_empty_line = true;
		h->line_start = h->text.len;
		return true;
	case KIND_FIELD:
		end = take_field(h, line);
		break;
	case KIND_FOLD:
		end = take_fold(h, line);
		break;
	case KIND_NAME:
		h->name_end = h->text.len;
		return false;
	case KIND_BODY:
		end = true;
		break;
	}
	if (!end)
		h->line_start = h->text.len;
	return end;
}

/* There is no more room, and the line being read has not ended. */
static void
take_too_big(struct header_block *h)
{
	struct sp_span line = span_from(buf_span(&h->text), h->line_start);
	enum kind kind;

	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--; /* of the CRLF that did not fit: it may be the empty line's */
	kind = classify(line);
	if (h->name_end > 0 || kind == KIND_BODY || (kind == KIND_FOLD && take_fold(h, line)))
		return;
	h->faults |= HEADER_TOO_BIG;
}

static bool
ends_with_crlf(const struct buf *text)
{
	return text->len >= 2 && text->ptr[text->len - 2] == '\r' && text->ptr[text->len - 1] == '\n';
}

bool
header_feed(struct header_block *h, struct sp_span in, size_t *used)
{
	size_t before = h->text.len, at = 0;

	*used = 0;
	while (!h->complete && at < in.len) {
		struct sp_span rest = span_from(in, at);
		size_t lf = span_find(rest, '\n'), room = h->config.max_octets - h->text.len;
		size_t n = lf < rest.len ? lf + 1 : lf;
		bool fits = n <= room;

		n = fits ? n : room;
		if (buf_add(&h->text, span_head(rest, n)) != SP_OK)
			h->faults |= HEADER_MEMORY;
		else if (!fits)
			take_too_big(h);
		else if (lf == rest.len || !ends_with_crlf(&h->text) || !take_line(h)) {
			at += n;
			continue;
		}
		finish(h, before, used);
		return true;
	}
	if (!h->complete)
		*used = in.len;
	return h->complete;
}

void
header_end(struct header_block *h, struct sp_span *ret_body)
{
	struct sp_span line = span_from(buf_span(&h->text), h->line_start);
	bool body = false;
	size_t used;

	*ret_body = span_of(NULL, 0);
	if (h->complete)
		return;
	if (h->name_end > 0)
		take_after_name(h, span_from(buf_span(&h->text), h->name_end));
	switch (classify(line)) {
	case KIND_EMPTY:
		break;
	case KIND_FIELD:
		body = take_field(h, line);
		break;
	case KIND_FOLD:
		body = take_fold(h, line);
		break;
	case KIND_NAME:
	case KIND_BODY:
		body = true;
		break;
	}
	if (!body && h->name_end == 0)
		h->line_start = h->text.len;
	finish(h, h->text.len, &used);
	*ret_body = h->held;
}

/* ---- fields -------------------------------------------------------------------------------- */

const struct header_field *
header_find(const struct header_block *h, struct sp_span name, size_t index)
{
	for (size_t i = index; i < h->count; i++)
		if (span_ieq(h->fields[i].name, name))
			return &h->fields[i];
	return NULL;
}

struct sp_span
header_unfold(struct arena *a, struct sp_span value)
{
	char *to = arena_alloc(a, value.len + 1);
	size_t len = 0;

	if (to == NULL)
		return span_of(NULL, 0);
	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] != '\r' && value.ptr[i] != '\n')
			to[len++] = value.ptr[i];
	return span_trim(span_of(to, len));
}

/* A line of a value that may be written; a folded one needs a blank first and something else behind. */
static bool
value_line_ok(struct sp_span line, size_t before, bool folded)
{
	if (span_find(line, '\r') < line.len || span_find(line, '\0') < line.len || before + line.len > LINE_OCTETS_MAX)
		return false;
	return !folded || (line.len > 0 && is_blank(line.ptr[0]) && blanks_len(line) < line.len);
}

bool
header_may_write(struct sp_span name, struct sp_span value)
{
	size_t before = name.len + 2; /* "Name: " */

	if (name.len == 0 || name_len(name) != name.len)
		return false;
	for (bool folded = false;; folded = true) {
		size_t lf = span_find(value, '\n');
		struct sp_span line = span_head(value, lf);

		if (lf == value.len)
			return value_line_ok(line, before, folded);
		if (lf == 0 || line.ptr[lf - 1] != '\r')
			return false;
		line.len--;
		if (!value_line_ok(line, before, folded))
			return false;
		value = span_from(value, lf + 1);
		before = 0;
	}
}
