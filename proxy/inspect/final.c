/*
 * final.c - the fields of the message as they go on, and on_final, the last hook, which may put more on top of them.
 *
 * Everything is the transaction's arena's: fields that came point into the header block, ours are composed here.  While
 * on_final runs nothing else can be changed any more, so what a module signs is what goes on.
 */
#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

enum { TOP_FIELDS = 64 };

static struct sp_header
as_header(const struct header_field *f)
{
	return (struct sp_header){ .name = f->name, .value = f->value, .field = f->field };
}

enum sp_status
final_init(struct final *f, struct transaction *tx, size_t room, struct new_body *body)
{
	*f = (struct final){ .tx = tx, .room = room, .body = body };
	f->fields = arena_alloc(tx->arena, room * sizeof(*f->fields));
	f->top = arena_alloc(tx->arena, TOP_FIELDS * sizeof(*f->top));
	return f->fields != NULL && f->top != NULL ? SP_OK : SP_SYSTEM;
}

void
final_add_field(struct final *f, const struct header_field *field)
{
	MUST(f->count < f->room);
	f->fields[f->count++] = as_header(field);
}

enum sp_status
final_make(struct arena *a, struct sp_span name, struct sp_span value, struct header_field *ret)
{
	bool blank = value.len > 0 && value.ptr[0] != ' ' && value.ptr[0] != '\t' && value.ptr[0] != '\r';
	size_t at = name.len + 1 + blank;
	char *text = arena_alloc(a, at + value.len);

	if (text == NULL)
		return SP_SYSTEM;
	memcpy(text, name.ptr, name.len);
	text[name.len] = ':';
	if (blank)
		text[name.len + 1] = ' ';
	if (value.len > 0)
		memcpy(text + at, value.ptr, value.len);
	*ret = (struct header_field){ .name = span_of(text, name.len),
		.value = span_of(text + name.len + 1, value.len + blank), .field = span_of(text, at + value.len) };
	return SP_OK;
}

enum sp_status
final_add(struct final *f, struct sp_span name, struct sp_span value)
{
	struct header_field field;
	enum sp_status st = final_make(f->tx->arena, name, value, &field);

	if (st == SP_OK)
		final_add_field(f, &field);
	return st;
}

enum sp_status
final_insert(struct final *f, struct sp_span name, struct sp_span value)
{
	struct header_field field;
	enum sp_status st;

	if (f->top_count == TOP_FIELDS)
		return SP_LIMIT;
	st = final_make(f->tx->arena, name, value, &field);
	if (st != SP_OK)
		return st;
	f->top[f->top_count++] = as_header(&field);
	inspect_note_edit(f->tx, '+', name);
	return SP_OK;
}

enum sp_status
final_get(const struct final *f, size_t index, struct sp_header *ret)
{
	if (index >= f->top_count + f->count)
		return SP_NONE;
	*ret = index < f->top_count ? f->top[f->top_count - 1 - index] : f->fields[index - f->top_count];
	ret->index = index;
	return SP_OK;
}

/* ---- the hook ------------------------------------------------------------------------------------------- */

/* One that has failed before is called, too: only the module knows whether a message may go on without its signature. */
static enum sp_status
run_one(struct use *u, struct final *f)
{
	struct sp_final event = { .headers = f->top_count + f->count, .octets = f->tx->octets };
	enum sp_status st;

	if (hooks_module(u)->on_final == NULL || !u->tx_begun || (u->skip && !u->failed))
		return SP_OK;
	st = hooks_final(u, &event);
	if (st != SP_OK)
		host_log(u, SP_LOG_ERROR, "the message is deferred: its last hook failed");
	return st;
}

enum sp_status
final_run(struct inspect *i, struct final *f)
{
	enum sp_status st = SP_OK;
	size_t index = 0;
	struct use *u;

	i->rcpt = NULL;
	f->tx->final = f;
	while (st == SP_OK && (u = hooks_next(i, &index)) != NULL)
		st = run_one(u, f);
	f->tx->final = NULL;
	return st == SP_OK ? edits_fault(&f->tx->edits) : st;
}
