/*
 * mailbox.c - see mailbox.h.  Holds no memory: addresses point into the value.
 */
#include "proxy/smtp/mailbox.h"

#include "policy/kit/span.h"

/* Octets of what begins with open and ends with close, backslashes seen through; nested only if open is not close. 0: no end. */
static size_t
enclosed(struct sp_span s, char open, char close)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (c == '\\')
			i++;
		else if (c == close && (open != close || i > 0)) {
			if (--depth == 0)
				return i + 1;
		} else if (c == open) {
			depth++;
		}
	}
	return 0;
}

/* Octets of blanks and comments at the front. False: a comment does not end. */
static bool
skip(struct sp_span *s)
{
	for (;;) {
		size_t len = 0;

		while (len < s->len && (s->ptr[len] == ' ' || s->ptr[len] == '\t'))
			len++;
		*s = span_from(*s, len);
		if (s->len == 0 || s->ptr[0] != '(')
			return true;
		len = enclosed(*s, '(', ')');
		if (len == 0)
			return false;
		*s = span_from(*s, len);
	}
}

static enum sp_status
take(struct sp_span text, struct address *ret)
{
	return address_parse_bare(span_trim(text), ret) == ADDRESS_OK ? SP_OK : SP_INVALID;
}

/* "<...>" at the front; nothing but the list's next item may follow. */
static enum sp_status
take_angle(struct sp_span *rest, struct address *ret)
{
	size_t end = 1;

	while (end < rest->len && rest->ptr[end] != '>') {
		size_t quoted = rest->ptr[end] == '"' ? enclosed(span_from(*rest, end), '"', '"') : 1;

		if (quoted == 0)
			return SP_INVALID;
		end += quoted;
	}
	if (end >= rest->len || take(span_of(rest->ptr + 1, end - 1), ret) != SP_OK)
		return SP_INVALID;
	*rest = span_from(*rest, end + 1);
	if (!skip(rest) || (rest->len > 0 && rest->ptr[0] != ',' && rest->ptr[0] != ';'))
		return SP_INVALID;
	return SP_OK;
}

/* Octets of the word, quoted string, literal, comment or single octet at the front; 0: it does not end. */
static size_t
piece(struct sp_span s)
{
	switch (s.ptr[0]) {
	case '"':
		return enclosed(s, '"', '"');
	case '[':
		return enclosed(s, '[', ']');
	case '(':
		return enclosed(s, '(', ')');
	case '>':
	case '\\':
		return 0;
	default:
		return 1;
	}
}

/* "<...>" behind a display name, which may look like an address, for some readers take it for one, only if it is the same. */
static enum sp_status
take_named(struct sp_span *rest, struct sp_span name, bool at_sign, struct address *ret)
{
	enum sp_status st = take_angle(rest, ret);

	return st == SP_OK && at_sign && !span_ieq(span_trim(name), ret->text) ? SP_INVALID : st;
}

/* A display name and "<...>", or a bare address, up to the list's next item. SP_NONE: a group's name. */
static enum sp_status
take_item(struct sp_span *rest, struct address *ret)
{
	struct sp_span item = *rest;
	size_t at = 0, end = 0; /* end: of what stands before a comment */
	bool commented = false, at_sign = false;

	while (at < item.len && item.ptr[at] != ',' && item.ptr[at] != ';') {
		char c = item.ptr[at];
		size_t len = piece(span_from(item, at));

		if (len == 0)
			return SP_INVALID;
		if (c == '<') {
			*rest = span_from(item, at);
			return take_named(rest, span_head(item, at), at_sign, ret);
		}
		if (c == ':') {
			*rest = span_from(item, at + 1);
			return at_sign ? SP_INVALID : SP_NONE;
		}
		at += len;
		at_sign |= c == '@';
		if (c == '(') {
			commented = true;
		} else if (c != ' ' && c != '\t') {
			if (commented)
				return SP_INVALID;
			end = at;
		}
	}
	*rest = span_from(item, at);
	return take(span_head(item, end), ret);
}

enum sp_status
mailbox_next(struct sp_span *rest, struct address *ret)
{
	while (skip(rest)) {
		enum sp_status st = SP_NONE;

		if (rest->len == 0)
			return SP_NONE;
		if (rest->ptr[0] != ',' && rest->ptr[0] != ';')
			st = take_item(rest, ret);
		else
			*rest = span_from(*rest, 1);
		if (st != SP_NONE)
			return st;
	}
	return SP_INVALID;
}
