/*
 * eval_text.c - filling in the facts of a reply's, a header's or a log line's text.
 *
 * Facts are what strangers sent.  So all three kinds of text come out as one line of printable
 * ASCII: no line end, no control character and no 8-bit byte gets into a reply (RFC 5321 section 4.2) or
 * a header field.  Space is taken from the walk's arena.
 */
#include "policy/kit/span.h"
#include "policy/eval.h"

bool
eval_template_waits(const struct policy_eval *e, size_t rule, const struct template *t, const struct policy_host *h)
{
	struct sp_value v;

	for (size_t i = 0; i < t->count; i++)
		if (t->parts[i].ref != NULL && eval_fact(e, rule, t->parts[i].ref, h, &v) == POLICY_PENDING)
			return true;
	return false;
}

/* Copies what fits; returns how much that was. */
static size_t
put(char *to, size_t room, struct sp_span text)
{
	size_t len = text.len < room ? text.len : room;

	for (size_t i = 0; i < len; i++)
		to[i] = text.ptr[i] >= ' ' && text.ptr[i] < 0x7f ? text.ptr[i] : text.ptr[i] == '\t' ? ' ' : '?';
	return len;
}

static size_t
put_value(char *to, size_t room, const struct sp_value *v, const char *const *words)
{
	struct buf text;
	size_t len;

	if (v->type == SP_STRING || v->type == SP_DOMAIN || (v->type == SP_ADDRESS && v->u.text.len > 0))
		return put(to, room, v->u.text);
	/* sets may be long; the buffer stops at its maximum with whole items in it */
	buf_init(&text, 4096);
	value_text(&text, v, words);
	len = put(to, room, buf_span(&text));
	buf_fini(&text);
	return len;
}

struct sp_span
eval_expand(struct policy_eval *e, size_t rule, const struct template *t, const struct policy_host *h, size_t max)
{
	char line[EVAL_LOG_MAX];
	size_t len = 0;

	if (max > sizeof(line))
		max = sizeof(line);
	for (size_t i = 0; i < t->count; i++) {
		const struct sp_fact_ref *ref = t->parts[i].ref;
		struct sp_value v = { SP_END, { 0 } };

		if (ref == NULL)
			len += put(line + len, max - len, t->parts[i].literal);
		else if (eval_fact(e, rule, ref, h, &v) == POLICY_KNOWN)
			len += put_value(line + len, max - len, &v, ref->decl->words);
		else
			len += put(line + len, max - len, SPAN_LIT("-"));
	}
	return arena_copy(e->arena, span_of(line, len));
}
