/*
 * answer.c - see answer.h: the reply, and changes to the envelope. Those to the header are found in header.c.
 */
#include "proxy/milter/answer.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/smtp/reply.h"

enum { ANSWER_BLOCK = 1024, ANSWER_MAX = 32 << 20 };

bool
answer_init(struct answer *a)
{
	*a = (struct answer){ .arena = arena_new(ANSWER_BLOCK, ANSWER_MAX), .enhanced = "" };
	a->end = &a->first;
	return a->arena != NULL;
}

void
answer_fini(struct answer *a)
{
	arena_free(&a->arena);
}

/* ---- replies -------------------------------------------------------------------------------- */

/* "%" is doubled: libmilter's callers and some mail servers take it for the sign of a macro. */
static const char *
clean_line(struct arena *a, struct sp_span line, const char *tx)
{
	struct sp_span head = span_head(line, REPLY_TEXT);
	char *text = arena_alloc(a, 2 * head.len + 32), *to = text;

	if (text == NULL)
		return "";
	for (size_t i = 0; i < head.len; i++) {
		*to++ = head.ptr[i] >= ' ' && head.ptr[i] <= '~' ? head.ptr[i] : '?';
		if (head.ptr[i] == '%')
			*to++ = '%';
	}
	if (tx != NULL)
		snprintf(to, 31, "%s(tx=%.20s)", head.len > 0 ? " " : "", tx);
	return text;
}

void
answer_refuse(struct answer *a, int code, struct sp_span enhanced, struct sp_span text, const char *tx)
{
	a->word = ANSWER_REFUSE;
	a->code = code;
	a->enhanced = arena_strdup(a->arena, enhanced);
	if (a->enhanced == NULL)
		a->enhanced = "";
	a->line_count = 0;
	do {
		struct sp_span line = span_head(text, span_find(text, '\n'));

		text = span_from(text, line.len + 1);
		a->lines[a->line_count] = clean_line(a->arena, line,
			text.len == 0 || a->line_count + 1 == ANSWER_LINES ? tx : NULL);
		a->line_count++;
	} while (text.len > 0 && a->line_count < ANSWER_LINES);
}

/* ---- changes -------------------------------------------------------------------------------- */

/* As libmilter wants it: ended by NUL, lines by LF. */
static const char *
copy_text(struct arena *a, struct sp_span s)
{
	char *text = arena_alloc(a, s.len + 1), *to = text;

	for (size_t i = 0; text != NULL && i < s.len; i++)
		if (s.ptr[i] != '\r')
			*to++ = s.ptr[i];
	return text;
}

enum sp_status
answer_change(struct answer *a, enum change_kind kind, size_t index, struct sp_span name, struct sp_span value)
{
	struct change *c = arena_alloc(a->arena, sizeof(*c));

	if (c == NULL)
		return SP_SYSTEM;
	*c = (struct change){ .kind = kind, .index = index, .name = copy_text(a->arena, name), .value = copy_text(a->arena, value) };
	if (c->name == NULL || c->value == NULL)
		return SP_SYSTEM;
	*a->end = c;
	a->end = &c->next;
	return SP_OK;
}
