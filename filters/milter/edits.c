/*
 * edits.c - what a milter changes in a message, and what its numbers mean.
 *
 * Positions in the header are Postfix's and Sendmail's.  To insert counts all fields that stand now, our own trace field, too,
 * which is field 0 as long as nothing was inserted above it.  To change or to delete counts the fields of one name from 1,
 * never our own; 0 is taken for 1.  Changing one that is not there adds it at the end; an empty value deletes.
 * Each edit sees what those before it have done.
 *
 * So the edits are carried out on a list of our own, which has a place for the trace field that the host does not show, and then
 * what has become of that list is told to the host, from top to bottom.  A new body goes to the host as it comes: the host
 * forgets it if the message is not let pass.
 *
 * Memory: the transaction's.
 */
#include <libmilter/mfapi.h>

#include "milter/edits.h"

enum { EDITS_MAX = 1000, EDITS_OCTETS = 512 * 1024, LINE_OCTETS = 998 };

struct edit {
	struct edit *next;
	struct wire_reply r; /* spans are copies */
};

/* A field in the list. */
struct node {
	struct node *prev, *next;
	enum { NODE_CAME, NODE_NEW, NODE_TRACE } kind;
	bool removed, changed;
	struct sp_span name;
	struct sp_span field; /* new or changed: the whole of it */
};

struct list {
	struct node *first, *last;
	size_t count; /* of fields that the host shows */
};

/* ---- taking them --------------------------------------------------------------------------------- */

static const struct {
	char letter;
	uint32_t action;
} needs[] = { { SMFIR_ADDHEADER, SMFIF_ADDHDRS }, { SMFIR_INSHEADER, SMFIF_ADDHDRS }, { SMFIR_CHGHEADER, SMFIF_CHGHDRS },
	{ SMFIR_REPLBODY, SMFIF_CHGBODY }, { SMFIR_ADDRCPT, SMFIF_ADDRCPT }, { SMFIR_ADDRCPT_PAR, SMFIF_ADDRCPT_PAR },
	{ SMFIR_DELRCPT, SMFIF_DELRCPT }, { SMFIR_CHGFROM, SMFIF_CHGFROM }, { SMFIR_QUARANTINE, SMFIF_QUARANTINE } };

static uint32_t
action_of(char letter)
{
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (needs[i].letter == letter)
			return needs[i].action;
	return 0;
}

static bool
copy(struct sp_ctx *ctx, struct sp_span *s)
{
	char *p = sp_alloc(ctx, s->len + 1);

	if (p != NULL && s->len > 0)
		memcpy(p, s->ptr, s->len);
	s->ptr = p;
	return p != NULL;
}

static enum sp_status
body_take(struct sp_ctx *ctx, struct edits *e, struct sp_span piece)
{
	enum sp_status st = sp_body_replace(ctx, piece);

	if (st != SP_OK)
		sp_log(ctx, SP_LOG_ERROR, "the milter's new body is refused");
	if (piece.len > 0)
		e->body_open = piece.ptr[piece.len - 1] != '\n';
	return st;
}

static enum sp_status
edit_keep(struct sp_ctx *ctx, struct edits *e, const struct wire_reply *r)
{
	struct edit *edit;

	e->octets += r->name.len + r->value.len + r->address.len + r->params.len + r->text.len;
	if (++e->count > EDITS_MAX || e->octets > EDITS_OCTETS) {
		sp_log(ctx, SP_LOG_ERROR, "the milter makes more than %d edits, or of more than %d octets", EDITS_MAX, EDITS_OCTETS);
		return SP_LIMIT;
	}
	edit = sp_alloc(ctx, sizeof(*edit));
	if (edit == NULL)
		return SP_SYSTEM;
	*edit = (struct edit){ .r = *r };
	if (!copy(ctx, &edit->r.name) || !copy(ctx, &edit->r.value) || !copy(ctx, &edit->r.address) ||
		!copy(ctx, &edit->r.params) || !copy(ctx, &edit->r.text))
		return SP_SYSTEM;
	if (r->letter == SMFIR_QUARANTINE) {
		e->quarantined = true;
		e->quarantine = edit->r.text;
	}
	if (e->last != NULL)
		e->last->next = edit;
	else
		e->first = edit;
	e->last = edit;
	return SP_OK;
}

enum sp_status
edits_take(struct sp_ctx *ctx, const struct link *l, struct edits *e, const struct wire_reply *r)
{
	const struct milter_conf *conf = ctx->conf;
	uint32_t action = action_of(r->letter);

	if (action == 0)
		return SP_NONE;
	if (!(l->agreed.actions & action)) {
		sp_log(ctx, SP_LOG_ERROR, "the milter makes an edit that it has not asked leave for: %s", wire_reply_name(r->letter));
		return SP_INVALID;
	}
	if (memchr(r->name.ptr != NULL ? r->name.ptr : "", ':', r->name.len) != NULL) {
		sp_log(ctx, SP_LOG_ERROR, "the milter writes a field whose name has a colon: %.*s", (int)r->name.len, r->name.ptr);
		return SP_INVALID;
	}
	if (r->letter == SMFIR_REPLBODY)
		return conf->obey ? body_take(ctx, e, r->text) : SP_OK;
	return edit_keep(ctx, e, r);
}

/* ---- fields ---------------------------------------------------------------------------------------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* A line, broken where it is longer than lines may be (RFC 5322 section 2.1.1): at the last blank behind keep octets, else anywhere, as
 * mail servers break it that send such a line on.  Returns the octets written; what is broken off has at least LINE_OCTETS / 2. */
static size_t
line_put(char *to, struct sp_span line, size_t keep)
{
	size_t len = 0, room = LINE_OCTETS;

	while (line.len > room) {
		size_t at = room;

		while (at > keep && !is_blank(line.ptr[at]))
			at--;
		if (at <= keep)
			at = room;
		memcpy(to + len, line.ptr, at);
		len += at;
		memcpy(to + len, "\r\n", 2);
		len += 2;
		line = span_of(line.ptr + at, line.len - at);
		room = LINE_OCTETS;
		if (!is_blank(line.ptr[0])) {
			to[len++] = ' ';
			room--;
		}
		keep = LINE_OCTETS / 2;
	}
	memcpy(to + len, line.ptr, line.len);
	return len + line.len;
}

/* Takes the next line off a value, without its end: LF or CRLF. */
static struct sp_span
line_next(struct sp_span *value)
{
	const char *lf = memchr(value->ptr, '\n', value->len);
	size_t len = lf != NULL ? (size_t)(lf - value->ptr) : value->len;
	struct sp_span line = span_of(value->ptr, len - (lf != NULL && len > 0 && lf[-1] == '\r'));

	len += lf != NULL;
	*value = span_of(value->ptr + len, value->len - len);
	return line;
}

/* "Name: value", each line end of the value a CRLF, none at the end.  Whether it may be written is the host's to say. */
static enum sp_status
field_make(struct sp_ctx *ctx, const struct link *l, const struct wire_reply *r, struct sp_span *ret)
{
	struct sp_span value = r->value, line;
	size_t begin = r->name.len + (link_has(l, SMFIP_HDR_LEADSPC) ? 1 : 2), len = 0, size;
	char *first, *to;

	while (value.len > 0 && (value.ptr[value.len - 1] == '\n' || value.ptr[value.len - 1] == '\r'))
		value.len--;
	line = value.len > 0 ? line_next(&value) : span_of("", 0);
	size = begin + line.len + 2 * (begin + line.len + value.len) + 16;
	first = sp_alloc(ctx, begin + line.len);
	to = sp_alloc(ctx, size);
	if (first == NULL || to == NULL)
		return SP_SYSTEM;
	memcpy(first, r->name.ptr, r->name.len);
	memcpy(first + r->name.len, ": ", begin - r->name.len);
	memcpy(first + begin, line.ptr, line.len);
	len = line_put(to, span_of(first, begin + line.len), begin < LINE_OCTETS ? begin : LINE_OCTETS);
	while (value.len > 0) {
		line = line_next(&value);
		memcpy(to + len, "\r\n", 2);
		len += 2;
		len += line_put(to + len, line, LINE_OCTETS / 2);
	}
	*ret = span_of(to, len);
	return SP_OK;
}

/* ---- the list -------------------------------------------------------------------------------------- */

/* before null: at the end */
static enum sp_status
node_put(struct sp_ctx *ctx, struct list *list, struct node *before, struct node node)
{
	struct node *n = sp_alloc(ctx, sizeof(*n));

	if (n == NULL)
		return SP_SYSTEM;
	*n = node;
	n->next = before;
	n->prev = before != NULL ? before->prev : list->last;
	if (n->prev != NULL)
		n->prev->next = n;
	else
		list->first = n;
	if (before != NULL)
		before->prev = n;
	else
		list->last = n;
	return SP_OK;
}

static enum sp_status
list_fill(struct sp_ctx *ctx, struct list *list)
{
	enum sp_status st = node_put(ctx, list, NULL, (struct node){ .kind = NODE_TRACE });
	struct sp_header h;

	while (st == SP_OK && (st = sp_draft_get(ctx, list->count, &h)) == SP_OK) {
		st = node_put(ctx, list, NULL, (struct node){ .kind = NODE_CAME, .name = h.name });
		list->count++;
	}
	return st == SP_NONE ? SP_OK : st;
}

static struct node *
node_at(struct list *list, uint32_t index)
{
	for (struct node *n = list->first; n != NULL; n = n->next)
		if (!n->removed && index-- == 0)
			return n;
	return NULL;
}

/* The nth of that name, from 1. */
static struct node *
node_named(struct list *list, struct sp_span name, uint32_t nth)
{
	if (nth == 0)
		nth = 1;
	for (struct node *n = list->first; n != NULL; n = n->next)
		if (!n->removed && n->kind != NODE_TRACE && span_is(n->name, name) && --nth == 0)
			return n;
	return NULL;
}

static enum sp_status
header_edit(struct sp_ctx *ctx, const struct link *l, struct list *list, const struct wire_reply *r)
{
	struct node *n = NULL;
	struct node node = { .kind = NODE_NEW, .name = r->name };
	enum sp_status st = field_make(ctx, l, r, &node.field);

	if (st != SP_OK)
		return st;
	if (r->letter == SMFIR_ADDHEADER)
		return node_put(ctx, list, NULL, node);
	if (r->letter == SMFIR_INSHEADER)
		return node_put(ctx, list, node_at(list, r->index), node);
	n = node_named(list, r->name, r->index);
	if (r->value.len == 0) {
		if (n != NULL)
			n->removed = true;
		return SP_OK;
	}
	if (n == NULL)
		return node_put(ctx, list, NULL, node);
	n->changed = true;
	n->name = node.name;
	n->field = node.field;
	return SP_OK;
}

/* ---- telling the host -------------------------------------------------------------------------------- */

/* What stands above our trace field, from the lowest up. */
static enum sp_status
list_tell_top(struct sp_ctx *ctx, const struct list *list)
{
	struct node *trace = list->first;
	enum sp_status st = SP_OK;

	while (trace->kind != NODE_TRACE)
		trace = trace->next;
	for (struct node *n = trace->prev; n != NULL && st == SP_OK; n = n->prev)
		if (!n->removed)
			st = sp_draft_insert(ctx, SP_DRAFT_TOP, n->field);
	return st;
}

/* What stands below. */
static enum sp_status
list_tell(struct sp_ctx *ctx, const struct list *list)
{
	size_t at = 0, count = list->count;
	enum sp_status st = SP_OK;
	const struct node *n = list->first;

	while (n->kind != NODE_TRACE)
		n = n->next;
	for (n = n->next; n != NULL && st == SP_OK; n = n->next) {
		if (n->kind == NODE_NEW && n->removed)
			continue;
		if (n->kind == NODE_NEW) {
			st = sp_draft_insert(ctx, at < count ? at : SP_DRAFT_END, n->field);
			count++;
		} else if (n->removed) {
			st = sp_draft_remove(ctx, at);
			count--;
			continue;
		} else if (n->changed) {
			st = sp_draft_replace(ctx, at, n->field);
		}
		at++;
	}
	return st == SP_OK ? list_tell_top(ctx, list) : st;
}

/* "<a@example.org>" or "a@example.org": without the brackets. */
static struct sp_span
address_bare(struct sp_span s)
{
	while (s.len > 0 && s.ptr[0] == ' ')
		s = span_of(s.ptr + 1, s.len - 1);
	while (s.len > 0 && s.ptr[s.len - 1] == ' ')
		s.len--;
	if (s.len >= 2 && s.ptr[0] == '<' && s.ptr[s.len - 1] == '>')
		s = span_of(s.ptr + 1, s.len - 2);
	return s;
}

static enum sp_status
envelope_edit(struct sp_ctx *ctx, const struct wire_reply *r)
{
	struct sp_span address = address_bare(r->address);
	enum sp_status st;

	if (r->letter == SMFIR_CHGFROM)
		return sp_sender_change(ctx, address, r->params);
	if (address.len == 0) {
		sp_log(ctx, SP_LOG_WARNING, "the milter names an empty recipient, which is ignored");
		return SP_OK;
	}
	if (r->letter != SMFIR_DELRCPT)
		return sp_rcpt_insert(ctx, address, r->params);
	st = sp_rcpt_delete(ctx, address);
	return st == SP_NONE ? SP_OK : st; /* nobody by that name: so it is done */
}

static enum sp_status
body_end(struct sp_ctx *ctx, const struct edits *e)
{
	return e->body_open ? sp_body_replace(ctx, span_str("\r\n")) : SP_OK;
}

static bool
is_header_edit(char letter)
{
	return letter == SMFIR_ADDHEADER || letter == SMFIR_INSHEADER || letter == SMFIR_CHGHEADER;
}

enum sp_status
edits_apply(struct sp_ctx *ctx, const struct link *l, struct edits *e)
{
	struct list list = { NULL, NULL, 0 };
	enum sp_status st = body_end(ctx, e);
	const struct edit *edit;

	for (edit = e->first; edit != NULL && st == SP_OK; edit = edit->next) {
		if (is_header_edit(edit->r.letter)) {
			if (list.first == NULL)
				st = list_fill(ctx, &list);
			if (st == SP_OK)
				st = header_edit(ctx, l, &list, &edit->r);
		} else if (edit->r.letter != SMFIR_QUARANTINE) {
			st = envelope_edit(ctx, &edit->r);
		}
		if (st != SP_OK)
			sp_log(ctx, SP_LOG_ERROR, "the milter's edit is refused: %s %.*s%.*s", wire_reply_name(edit->r.letter),
				(int)edit->r.name.len, edit->r.name.ptr, (int)edit->r.address.len, edit->r.address.ptr);
	}
	if (st == SP_OK && list.first != NULL) {
		st = list_tell(ctx, &list);
		if (st != SP_OK)
			sp_log(ctx, SP_LOG_ERROR, "the milter's edits of the header are refused");
	}
	return st == SP_NONE ? SP_INVALID : st;
}
