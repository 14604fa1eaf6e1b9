/*
 * authres.c - see authres.h.  Nothing is kept: the value is walked once, octet by octet.
 *
 * [CFWS] authserv-id [CFWS] [version [CFWS]] then ";" or the end (RFC 8601 section 2.2); the id is a token or a
 * quoted-string (RFC 2045 section 5.1).  Only what stands before the first ";" matters.  What differs from that is told as
 * unclear, since a reader that is more lenient than we are may take it for ours; but a method that stands where the id
 * should ("spf=pass ...", as some large senders write) is nobody's.
 */
#include "proxy/smtp/authres.h"

#include "policy/kit/span.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Octets of the comment at the front, nested ones and all; 0: it does not end. */
static size_t
comment_len(struct sp_span s)
{
	size_t depth = 0;

	for (size_t at = 0; at < s.len; at++) {
		if (s.ptr[at] == '\\')
			at++;
		else if (s.ptr[at] == '(')
			depth++;
		else if (s.ptr[at] == ')' && --depth == 0)
			return at + 1;
	}
	return 0;
}

/* Takes blanks, folds and comments off the front; false: a comment does not end. */
static bool
skip_cfws(struct sp_span *s)
{
	while (s->len > 0) {
		size_t len = s->ptr[0] == '(' ? comment_len(*s) : 1;

		if (s->ptr[0] != '(' && !is_blank(s->ptr[0]))
			return true;
		if (len == 0)
			return false;
		*s = span_from(*s, len);
	}
	return true;
}

/* An octet of a token; those above 127 too (RFC 8616 has UTF-8 in ids). */
static bool
is_token(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* The id at the front as it is read: compared octet by octet, so that it need not be stored. */
struct reading {
	struct sp_span id; /* what is left of ours */
	bool same;
};

/* An octet above 127 that is not ours is passed over: it may be of a blank or of a mark that is not shown, which readers
 * that know Unicode take off. */
static void
read_octet(struct reading *r, char c)
{
	if (r->id.len > 0 && span_lower(c) == span_lower(r->id.ptr[0]))
		r->id = span_from(r->id, 1);
	else if ((unsigned char)c <= 0x7f && (r->id.len > 0 || c != '.'))
		r->same = false;
}

/* Takes a quoted-string off the front; false: it does not end, or is folded, which some readers unfold to nothing. */
static bool
read_quoted(struct reading *r, struct sp_span *s)
{
	for (size_t at = 1; at < s->len; at++) {
		char c = s->ptr[at];

		if (c == '"') {
			*s = span_from(*s, at + 1);
			return true;
		}
		if ((c == '\\' && ++at == s->len) || s->ptr[at] == '\r' || s->ptr[at] == '\n')
			return false;
		read_octet(r, s->ptr[at]);
	}
	return false;
}

static void
read_token(struct reading *r, struct sp_span *s)
{
	size_t len = 0;

	while (len < s->len && is_token(s->ptr[len]))
		read_octet(r, s->ptr[len++]);
	*s = span_from(*s, len);
}

/* Behind the id: may it be another's? */
static bool
ends_well(struct sp_span s)
{
	size_t digits = 0;

	if (!skip_cfws(&s))
		return false;
	if (s.len > 0 && s.ptr[0] == '=')
		return true;
	while (digits < s.len && span_is_digit(s.ptr[digits]))
		digits++;
	s = span_from(s, digits);
	return skip_cfws(&s) && (s.len == 0 || s.ptr[0] == ';');
}

enum authres_claim
authres_claims(struct sp_span value, struct sp_span id)
{
	struct reading r = { .id = id, .same = true };

	if (id.len > 0 && id.ptr[id.len - 1] == '.')
		r.id.len--;
	if (!skip_cfws(&value) || value.len == 0)
		return AUTHRES_UNCLEAR;
	if (value.ptr[0] == '"') {
		if (!read_quoted(&r, &value))
			return AUTHRES_UNCLEAR;
	} else if (is_token(value.ptr[0])) {
		read_token(&r, &value);
	} else {
		return AUTHRES_UNCLEAR;
	}
	if (r.same && r.id.len == 0)
		return AUTHRES_OURS;
	return ends_well(value) ? AUTHRES_OTHER : AUTHRES_UNCLEAR;
}
