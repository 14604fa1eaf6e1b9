/*
 * results.c - the authentication results of a transaction, and the value of the field that states them (RFC 8601
 * section 2.2).
 *
 * Results are copied into the transaction's arena and kept in the order of the filters in the file, those of one filter in
 * the order of its calls.  What filters hand in may be a sender's text: the words must be keywords, and values are written
 * as they are only where the grammar takes them so; else as a quoted-string, with "?" for what no field may hold.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"
#include "proxy/smtp/address.h"

enum {
	RESULTS_MAX = 64,    /* of a transaction */
	PROPS_MAX = 16,      /* of a result */
	WORD_OCTETS = 32,    /* of a method, a result, a ptype, a property */
	VALUE_OCTETS = 256,  /* of a value before it is quoted; a longer one is cut */
	LINE_OCTETS = 250,   /* a result goes on behind a fold when a further property would make its line longer */
	TEXT_OCTETS = 1 << 20
};

static const char cut_mark[] = "...";

/* ---- words -------------------------------------------------------------------------------------------- */

/* Keyword = Ldh-str (RFC 5321 section 4.1.2). */
static bool
is_keyword(const char *word)
{
	size_t len = 0;

	if (word == NULL)
		return false;
	while (span_is_alpha(word[len]) || span_is_digit(word[len]) || word[len] == '-')
		if (++len > WORD_OCTETS)
			return false;
	return len > 0 && word[len] == '\0' && word[len - 1] != '-';
}

/* What is wrong with a result; null: nothing. */
static const char *
fault_of(const struct sp_auth_result *r)
{
	if (!is_keyword(r->method) || !is_keyword(r->result))
		return "a method or result that is no keyword";
	if (r->prop_count > PROPS_MAX)
		return "more than 16 properties";
	for (size_t n = 0; n < r->prop_count; n++)
		if (!is_keyword(r->props[n].ptype) || !is_keyword(r->props[n].name))
			return "a property that is no keyword";
	return NULL;
}

/* ---- the list ----------------------------------------------------------------------------------------- */

static bool
counts(const struct result *r)
{
	return !r->dropped && !r->by->failed;
}

static bool
copy_props(struct arena *a, struct sp_auth_result *r)
{
	struct sp_auth_prop *props = arena_alloc(a, r->prop_count * sizeof(*props));

	for (size_t n = 0; props != NULL && n < r->prop_count; n++) {
		props[n] = (struct sp_auth_prop){ .ptype = arena_strdup(a, span_str(r->props[n].ptype)),
			.name = arena_strdup(a, span_str(r->props[n].name)),
			.value = arena_copy(a, r->props[n].value) };
		if (props[n].ptype == NULL || props[n].name == NULL || props[n].value.ptr == NULL)
			return false;
	}
	r->props = props;
	return props != NULL;
}

static struct result *
copy_result(struct arena *a, const struct sp_auth_result *from)
{
	struct result *r = arena_alloc(a, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->r = *from;
	r->r.method = arena_strdup(a, span_str(from->method));
	r->r.result = arena_strdup(a, span_str(from->result));
	r->r.reason = arena_copy(a, from->reason);
	if (r->r.method == NULL || r->r.result == NULL || r->r.reason.ptr == NULL || !copy_props(a, &r->r))
		return NULL;
	return r;
}

static size_t
counting(const struct transaction *tx)
{
	size_t count = 0;

	for (const struct result *r = tx->results; r != NULL; r = r->next)
		count += counts(r);
	return count;
}

static enum sp_status
refuse(struct sp_ctx *ctx, enum sp_status st, const char *what)
{
	host_log(use_of(ctx), SP_LOG_ERROR, "result refused: %s", what);
	return st;
}

enum sp_status
results_add(struct sp_ctx *ctx, const struct sp_auth_result *result)
{
	struct use *u = use_of(ctx);
	struct transaction *tx = u->in->tx;
	const char *fault = fault_of(result);
	struct result *r, **at;

	if (tx == NULL)
		return refuse(ctx, SP_INVALID, "there is no transaction");
	if (tx->final != NULL)
		return refuse(ctx, SP_INVALID, "they are written before on_final");
	if (fault != NULL)
		return refuse(ctx, SP_INVALID, fault);
	if (counting(tx) == RESULTS_MAX)
		return refuse(ctx, SP_LIMIT, "more than 64 of them");
	r = copy_result(tx->arena, result);
	if (r == NULL)
		return refuse(ctx, SP_SYSTEM, "no memory");
	r->by = u;
	at = &tx->results;
	while (*at != NULL && (*at)->by->index <= u->index)
		at = &(*at)->next;
	r->next = *at;
	*at = r;
	return SP_OK;
}

enum sp_status
results_get(struct sp_ctx *ctx, size_t index, struct sp_auth_result *ret)
{
	const struct use *u = use_of(ctx);
	const struct result *r = u->in->tx == NULL ? NULL : u->in->tx->results;

	for (; r != NULL && r->by->index <= u->index; r = r->next)
		if (counts(r) && index-- == 0) {
			*ret = r->r;
			return SP_OK;
		}
	return SP_NONE;
}

void
results_drop(struct transaction *tx, const struct use *by)
{
	if (tx == NULL)
		return;
	for (struct result *r = tx->results; r != NULL; r = r->next)
		if (r->by == by)
			r->dropped = true;
}

enum sp_status
inspect_result(const struct inspect *i, size_t index, struct sp_auth_result *ret)
{
	const struct result *r = i->tx == NULL ? NULL : i->tx->results;

	for (; r != NULL; r = r->next)
		if (counts(r) && index-- == 0) {
			*ret = r->r;
			return SP_OK;
		}
	return SP_NONE;
}

struct sp_span
inspect_results_text(struct inspect *i)
{
	return i->tx != NULL && counting(i->tx) > 0 ? results_compose(i) : span_of(NULL, 0);
}

/* ---- values ------------------------------------------------------------------------------------------- */

/* token (RFC 2045 section 5.1) */
static bool
is_token(struct sp_span s)
{
	for (size_t n = 0; n < s.len; n++)
		if (s.ptr[n] <= ' ' || s.ptr[n] > '~' || strchr("()<>@,;:\\\"/[]?=", s.ptr[n]) != NULL)
			return false;
	return s.len > 0;
}

/* Dot-string (RFC 5321 section 4.1.2) */
static bool
is_dot_string(struct sp_span s)
{
	bool dot = true; /* none may stand here */

	for (size_t n = 0; n < s.len; n++) {
		char c = s.ptr[n];

		if (c == '.' ? dot : !span_is_alpha(c) && !span_is_digit(c) &&
					(c == '\0' || strchr("!#$%&'*+-/=?^_`{|}~", c) == NULL))
			return false;
		dot = c == '.';
	}
	return !dot;
}

/* [ [ local-part ] "@" ] domain-name */
static bool
is_mailbox(struct sp_span s)
{
	size_t at = span_rfind(s, '@');
	struct sp_span local = span_head(s, at);

	return at < s.len && (at == 0 || is_dot_string(local)) && address_domain_ok(span_from(s, at + 1));
}

static void
write_quoted(struct buf *to, struct sp_span s)
{
	buf_add_char(to, '"');
	for (size_t n = 0; n < s.len; n++) {
		if (s.ptr[n] == '"' || s.ptr[n] == '\\')
			buf_add_char(to, '\\');
		buf_add_char(to, s.ptr[n]);
	}
	buf_add_char(to, '"');
}

/* mailbox: an address may stand there unquoted. */
static void
write_value(struct buf *to, struct sp_span value, bool mailbox)
{
	char clean[VALUE_OCTETS];
	struct sp_span s = span_head(value, sizeof(clean));

	for (size_t n = 0; n < s.len; n++)
		clean[n] = s.ptr[n];
	for (size_t n = 0; n < s.len; n++)
		if (clean[n] < ' ' || clean[n] > '~') /* 8-bit octets too, whether char is signed or not */
			clean[n] = '?';
	if (value.len > s.len)
		memcpy(&clean[s.len - (sizeof(cut_mark) - 1)], cut_mark, sizeof(cut_mark) - 1);
	s.ptr = clean;
	if (is_token(s) || (mailbox && is_mailbox(s)))
		buf_add(to, s);
	else
		write_quoted(to, s);
}

/* ---- the field's value --------------------------------------------------------------------------------- */

/* Appends a piece to the line that began at *line, behind a blank or, where it would grow too long, a fold. */
static void
write_piece(struct buf *to, struct sp_span piece, size_t *line)
{
	if (to->len - *line + 1 + piece.len > LINE_OCTETS) {
		buf_add_str(to, "\r\n");
		*line = to->len;
		buf_add_char(to, '\t');
	} else {
		buf_add_char(to, ' ');
	}
	buf_add(to, piece);
}

static void
write_result(struct buf *to, const struct sp_auth_result *r)
{
	struct buf piece;
	size_t line = to->len;

	buf_init(&piece, TEXT_OCTETS);
	buf_printf(to, "\t%s=%s", r->method, r->result);
	if (r->reason.len > 0) {
		buf_add_str(&piece, "reason=");
		write_value(&piece, r->reason, false);
		write_piece(to, buf_span(&piece), &line);
	}
	for (size_t n = 0; n < r->prop_count; n++) {
		buf_clear(&piece);
		buf_printf(&piece, "%s.%s=", r->props[n].ptype, r->props[n].name);
		write_value(&piece, r->props[n].value, true);
		write_piece(to, buf_span(&piece), &line);
	}
	if (buf_status(&piece) != SP_OK)
		to->status = buf_status(&piece);
	buf_fini(&piece);
}

/* Filters of the policy's that looked at every message say so even where they had nothing to state ("none"); one that was
 * called for, perhaps only to sign, speaks when it has stated something. */
bool
results_are_written(const struct inspect *i)
{
	size_t index = 0;
	const struct use *u;

	if (!i->client.write_results || i->tx == NULL)
		return false;
	while ((u = hooks_next(i, &index)) != NULL)
		if (hooks_module(u)->states_results && u->tx_begun && !policy_filter(i->policy, u->index)->on_demand)
			return true;
	return counting(i->tx) > 0;
}

struct sp_span
results_compose(struct inspect *i)
{
	struct buf text;
	struct sp_span id = span_str(i->client.auth_id), ret = span_of(NULL, 0);
	size_t written = 0;

	if (i->tx == NULL)
		return ret;
	buf_init(&text, TEXT_OCTETS);
	if (is_token(id))
		buf_add(&text, id);
	else
		write_quoted(&text, id);
	for (const struct result *r = i->tx->results; r != NULL; r = r->next) {
		if (!counts(r))
			continue;
		buf_add_str(&text, ";\r\n");
		write_result(&text, &r->r);
		written++;
	}
	if (written == 0)
		buf_add_str(&text, "; none");
	if (buf_status(&text) == SP_OK)
		ret = arena_copy(i->tx->arena, buf_span(&text));
	buf_fini(&text);
	return ret;
}
