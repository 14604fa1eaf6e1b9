/*
 * envelope.c - sender and recipients as filters edit them.
 *
 * Like the header's draft: what each filter has made of the sender or a recipient is kept, and that of one that failed does not
 * count.  Addresses and parameters are read as strictly as a client's; what they mean for the backend is the session's
 * business.  Two addresses are the same when their local parts are, octet by octet, and their domains but for case
 * (RFC 5321 2.4).  Memory: the transaction's arena.  RFC 5321 4.1.2.
 */
#include "policy/kit/span.h"
#include "policy/kit/utf8.h"
#include "proxy/inspect/inspect_priv.h"

enum { ADDED_MAX = 1000, TEXT_OCTETS = 1024 };

/* ---- what stands there ---------------------------------------------------------------------------- */

static struct envelope_rcpt *
append(struct inspect *i, const struct address *address, struct sp_span domain)
{
	struct envelope *v = &i->tx->envelope;
	struct envelope_rcpt *r = arena_alloc(i->tx->arena, sizeof(*r));

	if (r == NULL)
		return NULL;
	*r = (struct envelope_rcpt){ .address = *address, .domain = domain };
	*v->end = r;
	v->end = &r->next;
	return r;
}

/* The envelope with the recipients that came; null: no memory. */
static struct envelope *
envelope_of(struct inspect *i)
{
	struct envelope *v = &i->tx->envelope;

	if (v->begun)
		return v;
	*v = (struct envelope){ .end = &v->first };
	for (const struct recipient *came = i->tx->rcpts; came != NULL; came = came->next) {
		struct envelope_rcpt *r = append(i, &came->address, came->domain);

		if (r == NULL)
			return NULL;
		r->came = came;
	}
	v->begun = true;
	return v;
}

static const struct envelope_edit *
latest(const struct envelope_edit *e)
{
	while (e != NULL && !edits_live(e->by, e->dropped))
		e = e->before;
	return e;
}

static bool
is_there(const struct envelope_rcpt *r)
{
	const struct envelope_edit *e = latest(r->last);

	return e != NULL ? !e->removes : r->came != NULL;
}

/* What filters have written instead of the parameters that stood there; {null, 0}: nothing. */
static struct sp_span
new_params(const struct envelope_edit *e)
{
	for (e = latest(e); e != NULL && !e->removes; e = latest(e->before))
		if (e->params.len > 0)
			return e->params;
	return span_of(NULL, 0);
}

static const struct address *
sender_of(const struct transaction *tx)
{
	const struct envelope_edit *e = latest(tx->envelope.sender);

	return e != NULL ? &e->address : &tx->mail.address;
}

/* Null: there are not so many. */
static const struct envelope_rcpt *
rcpt_at(struct envelope *v, size_t index)
{
	bool near = v->at != NULL && v->at_index <= index;
	const struct envelope_rcpt *r = near ? v->at : v->first;
	size_t seen = near ? v->at_index : 0;

	for (; r != NULL; r = r->next) {
		if (!is_there(r) || seen++ < index)
			continue;
		v->at = r;
		v->at_index = index;
		return r;
	}
	return NULL;
}

/* The next one of this address from r on; null: none. */
static struct envelope_rcpt *
same(struct envelope_rcpt *r, const struct address *address, struct sp_span domain)
{
	while (r != NULL && (!span_eq(r->address.local, address->local) || !span_eq(r->domain, domain)))
		r = r->next;
	return r;
}

/* ---- reading what filters write --------------------------------------------------------------------- */

/* A domain beyond ASCII is A-labels from here on, as in an address that came. False: no memory. */
static bool
fold_domain(struct arena *a, struct address *address, struct sp_span *ret)
{
	bool ascii = utf8_is_ascii(address->domain);
	char *folded = arena_alloc(a, ascii ? address->domain.len + 1 : DOMAIN_OCTETS);
	const char *text;

	if (folded == NULL)
		return false;
	*ret = span_of(folded, 0);
	if (address->domain.len > 0)
		*ret = address_domain_fold(address->domain, folded);
	if (ascii)
		return true;
	address->domain = *ret;
	text = arena_printf(a, "%.*s@%.*s", (int)address->local.len, address->local.ptr, (int)ret->len, ret->ptr);
	address->text = span_str(text);
	return text != NULL;
}

/* With or without brackets. */
static enum sp_status
take_address(struct sp_ctx *ctx, bool mail, struct sp_span in, struct envelope_rcpt *ret)
{
	const struct address_rules rules = { .null_ok = mail, .bare_postmaster = !mail };
	struct arena *a = use_of(ctx)->in->tx->arena;
	bool bare = in.len == 0 || in.ptr[0] != '<';
	struct sp_span text;
	char *copy;
	size_t used;

	if (in.len > TEXT_OCTETS)
		return edits_refuse(ctx, SP_INVALID, "what is too long for an address");
	copy = arena_alloc(a, in.len + 2);
	if (copy == NULL)
		return edits_refuse(ctx, SP_SYSTEM, "no memory");
	copy[0] = '<';
	copy[in.len + 1] = '>';
	if (in.len > 0)
		memcpy(copy + bare, in.ptr, in.len);
	text = span_of(copy, in.len + (bare ? 2 : 0));
	if (address_parse(text, rules, &ret->address, &used) != ADDRESS_OK || used != text.len)
		return edits_refuse(ctx, SP_INVALID, "no address");
	return fold_domain(a, &ret->address, &ret->domain) ? SP_OK : edits_refuse(ctx, SP_SYSTEM, "no memory");
}

/* One blank between words, none around them. False: there is what is neither blank nor printable. */
static bool
put_params(char *to, struct sp_span in, size_t *ret)
{
	size_t len = 0;

	for (size_t n = 0; n < in.len; n++) {
		if ((unsigned char)in.ptr[n] < ' ' || in.ptr[n] == 0x7f)
			return false;
		if (in.ptr[n] != ' ')
			to[len++] = in.ptr[n];
		else if (len > 0 && to[len - 1] != ' ')
			to[len++] = ' ';
	}
	*ret = len > 0 && to[len - 1] == ' ' ? len - 1 : len;
	return true;
}

/* Parameters as a client may give them, with every extension offered. */
static enum sp_status
take_params(struct sp_ctx *ctx, bool mail, struct sp_span in, struct sp_span *ret)
{
	const struct command_limits limits = { .mail = mail, .offered = UINT32_MAX, .utf8 = true };
	struct sp_span head = mail ? SPAN_LIT("FROM:<> ") : SPAN_LIT("TO:<postmaster> ");
	struct command_path path;
	size_t len;
	char *text;

	*ret = span_of("", 0);
	if (in.len == 0)
		return SP_OK;
	if (in.len > TEXT_OCTETS)
		return edits_refuse(ctx, SP_INVALID, "parameters that are too long");
	text = arena_alloc(use_of(ctx)->in->tx->arena, head.len + in.len);
	if (text == NULL)
		return edits_refuse(ctx, SP_SYSTEM, "no memory");
	memcpy(text, head.ptr, head.len);
	if (!put_params(text + head.len, in, &len) ||
		command_parse_path(span_of(text, head.len + len), &limits, &path).code != 0)
		return edits_refuse(ctx, SP_INVALID, "parameters that are none");
	*ret = span_of(text + head.len, len);
	return SP_OK;
}

/* ---- editing ---------------------------------------------------------------------------------------- */

static enum sp_status
push(struct sp_ctx *ctx, struct envelope_edit **to, const struct envelope_edit *edit)
{
	struct use *u = use_of(ctx);
	struct envelope_edit *e = arena_alloc(u->in->tx->arena, sizeof(*e));

	if (e == NULL)
		return edits_refuse(ctx, SP_SYSTEM, "no memory");
	*e = *edit;
	e->by = u;
	e->before = *to;
	*to = e;
	u->in->tx->envelope.at = NULL;
	return SP_OK;
}

/* SP_OK: it may be edited now. */
static enum sp_status
open_envelope(struct sp_ctx *ctx, struct envelope **ret)
{
	if (!edits_at_eom(use_of(ctx)))
		return edits_refuse(ctx, SP_INVALID, "the envelope can be changed in on_eom only");
	*ret = envelope_of(use_of(ctx)->in);
	return *ret != NULL ? SP_OK : edits_refuse(ctx, SP_SYSTEM, "no memory");
}

enum sp_status
envelope_sender(struct sp_ctx *ctx, struct sp_span address, struct sp_span params)
{
	struct envelope_rcpt to = { .came = NULL };
	struct envelope_edit edit = { .removes = false };
	struct envelope *v;
	enum sp_status st = open_envelope(ctx, &v);

	if (st == SP_OK)
		st = edits_count(ctx, address.len + params.len);
	if (st == SP_OK)
		st = take_address(ctx, true, address, &to);
	if (st == SP_OK)
		st = take_params(ctx, true, params, &edit.params);
	edit.address = to.address;
	return st == SP_OK ? push(ctx, &v->sender, &edit) : st;
}

/* Puts a recipient there who is not, or is because a filter wants him: both want him then. */
static enum sp_status
insert(struct sp_ctx *ctx, struct envelope *v, const struct envelope_rcpt *new, struct sp_span params)
{
	const struct envelope_edit edit = { .params = params };
	struct envelope_rcpt *r = same(v->first, &new->address, new->domain);

	for (struct envelope_rcpt *at = r; at != NULL; at = same(at->next, &new->address, new->domain))
		if (is_there(at))
			r = at;
	if (r != NULL && is_there(r) && latest(r->last) == NULL)
		return SP_OK; /* he came */
	if (v->added == ADDED_MAX)
		return edits_refuse(ctx, SP_LIMIT, "more than 1000 recipients added");
	v->added++;
	if (r == NULL)
		r = append(use_of(ctx)->in, &new->address, new->domain);
	return r != NULL ? push(ctx, &r->last, &edit) : edits_refuse(ctx, SP_SYSTEM, "no memory");
}

enum sp_status
envelope_insert(struct sp_ctx *ctx, struct sp_span address, struct sp_span params)
{
	struct envelope_rcpt new = { .came = NULL };
	struct envelope *v;
	enum sp_status st = open_envelope(ctx, &v);

	if (st == SP_OK)
		st = take_address(ctx, false, address, &new);
	if (st == SP_OK)
		st = take_params(ctx, false, params, &params);
	return st == SP_OK ? insert(ctx, v, &new, params) : st;
}

enum sp_status
envelope_delete(struct sp_ctx *ctx, struct sp_span address)
{
	const struct envelope_edit edit = { .removes = true };
	struct envelope_rcpt gone = { .came = NULL };
	struct envelope *v;
	enum sp_status st = open_envelope(ctx, &v);
	bool any = false;

	if (st == SP_OK)
		st = take_address(ctx, false, address, &gone);
	if (st != SP_OK)
		return st;
	for (struct envelope_rcpt *r = same(v->first, &gone.address, gone.domain); r != NULL && st == SP_OK;
		r = same(r->next, &gone.address, gone.domain)) {
		if (!is_there(r))
			continue;
		any = true;
		st = push(ctx, &r->last, &edit);
	}
	return st != SP_OK || any ? st : SP_NONE;
}

enum sp_status
envelope_sender_replace(struct sp_ctx *ctx, struct sp_span address)
{
	return envelope_sender(ctx, address, span_of(NULL, 0));
}

enum sp_status
envelope_rcpt_add(struct sp_ctx *ctx, struct sp_span address)
{
	return envelope_insert(ctx, address, span_of(NULL, 0));
}

static void
drop(struct envelope_edit *e, const struct use *by)
{
	for (; e != NULL; e = e->before)
		e->dropped = e->dropped || e->by == by;
}

void
envelope_drop(struct envelope *v, const struct use *by)
{
	drop(v->sender, by);
	for (struct envelope_rcpt *r = v->first; r != NULL; r = r->next)
		drop(r->last, by);
	v->at = NULL;
}

/* ---- what filters see of it --------------------------------------------------------------------------- */

enum sp_status
envelope_get_sender(struct sp_ctx *ctx, struct sp_mail *ret)
{
	const struct transaction *tx = use_of(ctx)->in->tx;
	const struct address *address;
	struct sp_span params;

	if (!edits_at_eom(use_of(ctx)))
		return SP_INVALID;
	address = sender_of(tx);
	params = new_params(tx->envelope.sender);
	*ret = (struct sp_mail){ .address = address->text, .local = address->local, .domain = address->domain,
		.size = tx->mail.size, .params = params.len > 0 ? params : span_trim(tx->mail.params) };
	return SP_OK;
}

/* At DATA nobody has edited anything: those that were accepted. */
static enum sp_status
came_at(const struct transaction *tx, size_t index, struct sp_rcpt *ret)
{
	const struct recipient *r = tx->rcpts;

	for (size_t n = 0; n < index && r != NULL; n++)
		r = r->next;
	if (r == NULL)
		return SP_NONE;
	*ret = (struct sp_rcpt){ .address = r->address.text, .local = r->address.local, .domain = r->address.domain, .index = index,
		.params = span_trim(r->params) };
	return SP_OK;
}

enum sp_status
envelope_get_rcpt(struct sp_ctx *ctx, size_t index, struct sp_rcpt *ret)
{
	const struct use *u = use_of(ctx);
	struct envelope *v = edits_at_eom(u) ? envelope_of(u->in) : NULL;
	const struct envelope_rcpt *r = v == NULL ? NULL : rcpt_at(v, index);
	struct sp_span params;

	if (u->stage == SP_DATA && u->in->tx != NULL)
		return came_at(u->in->tx, index, ret);
	if (v == NULL)
		return edits_at_eom(u) ? SP_SYSTEM : SP_INVALID;
	if (r == NULL)
		return SP_NONE;
	params = new_params(r->last);
	*ret = (struct sp_rcpt){ .address = r->address.text, .local = r->address.local, .domain = r->address.domain,
		.index = index, .params = params.len == 0 && r->came != NULL ? span_trim(r->came->params) : params };
	return SP_OK;
}

/* ---- what the session is told ---------------------------------------------------------------------------- */

/* "+rcpt*3" */
static void
note(struct buf *to, const char *what, size_t count)
{
	if (count > 0 && to->len > 0)
		buf_add_char(to, ',');
	if (count > 0)
		buf_add_str(to, what);
	if (count > 1)
		buf_printf(to, "*%zu", count);
}

static bool
sender_edited(const struct transaction *tx)
{
	return !span_eq(sender_of(tx)->text, tx->mail.address.text) || new_params(tx->envelope.sender).len > 0;
}

struct tally {
	size_t added, removed, changed, left;
};

static struct tally
count_rcpts(const struct envelope *v)
{
	struct tally t = { 0 };

	for (const struct envelope_rcpt *r = v->first; r != NULL; r = r->next) {
		bool there = is_there(r);

		t.left += there;
		t.added += there && r->came == NULL;
		t.removed += !there && r->came != NULL;
		t.changed += there && r->came != NULL && new_params(r->last).len > 0;
	}
	return t;
}

bool
inspect_envelope_edited(const struct inspect *i)
{
	struct tally t;

	if (i->tx == NULL || !i->tx->envelope.begun || i->client.shadow)
		return false;
	t = count_rcpts(&i->tx->envelope);
	return sender_edited(i->tx) || t.added + t.removed + t.changed > 0;
}

void
envelope_note(const struct inspect *i, struct buf *to)
{
	struct tally t;

	if (!inspect_envelope_edited(i))
		return;
	t = count_rcpts(&i->tx->envelope);
	note(to, "~sender", sender_edited(i->tx));
	note(to, "+rcpt", t.added);
	note(to, "-rcpt", t.removed);
	note(to, "~rcpt", t.changed);
}

bool
envelope_is_empty(const struct inspect *i)
{
	return inspect_envelope_edited(i) && count_rcpts(&i->tx->envelope).left == 0;
}

static struct inspect_path
path(const struct address *address, struct sp_span params, int came)
{
	return (struct inspect_path){ .address = address->text, .params = params, .params_given = params.len > 0, .came = came };
}

struct inspect_path
inspect_sender(const struct inspect *i)
{
	return path(sender_of(i->tx), new_params(i->tx->envelope.sender), 0);
}

enum sp_status
inspect_recipient(const struct inspect *i, size_t index, struct inspect_path *ret)
{
	struct envelope *v = i->tx == NULL ? NULL : &i->tx->envelope;
	const struct envelope_rcpt *r;

	if (v == NULL || !v->begun)
		return SP_INVALID;
	r = rcpt_at(v, index);
	if (r == NULL)
		return SP_NONE;
	*ret = path(&r->address, new_params(r->last), r->came != NULL ? (int)r->came->index : -1);
	return SP_OK;
}
