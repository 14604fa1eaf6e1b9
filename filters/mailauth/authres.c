/*
 * authres.c - reading an Authentication-Results value (see authres.h): RFC 8601 2.2.  A cursor over the caller's text;
 * nothing is allocated.
 */
#include "mailauth/authres.h"
#include "mailauth/text.h"

/* Behind a comment that begins at s, nested ones included; false: it does not end. */
static bool
skip_comment(struct sp_span *s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s->len; i++) {
		char c = s->ptr[i];

		if (c == '\\')
			i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0) {
			*s = text_from(*s, i + 1);
			return true;
		}
	}
	return false;
}

bool
authres_skip_cfws(struct sp_span *s)
{
	while (s->len > 0) {
		char c = s->ptr[0];

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			*s = text_from(*s, 1);
		else if (c != '(')
			return true;
		else if (!skip_comment(s))
			return false;
	}
	return true;
}

/* Takes a quoted string that begins at s; *ret is what stands between the quotes. */
static bool
take_quoted(struct sp_span *s, struct sp_span *ret)
{
	for (size_t i = 1; i < s->len; i++)
		if (s->ptr[i] == '\\') {
			i++;
		} else if (s->ptr[i] == '"') {
			*ret = (struct sp_span){ s->ptr + 1, i - 1 };
			*s = text_from(*s, i + 1);
			return true;
		}
	return false;
}

/* RFC 2045 token; octets above ASCII as RFC 8601 2.2 allows them in names. */
static bool
is_token_octet(char c)
{
	return (unsigned char)c > ' ' && c != 127 && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

static bool
is_keyword_octet(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool
take(struct sp_span *s, bool (*is)(char), struct sp_span *ret)
{
	size_t len = 0;

	while (len < s->len && is(s->ptr[len]))
		len++;
	*ret = text_head(*s, len);
	*s = text_from(*s, len);
	return len > 0;
}

static bool
take_char(struct sp_span *s, char c)
{
	if (!authres_skip_cfws(s) || s->len == 0 || s->ptr[0] != c)
		return false;
	*s = text_from(*s, 1);
	return authres_skip_cfws(s);
}

/* A property's value: a token, a quoted string, or an address whose local part may be either. A value that is one
 * quoted string loses its quotes. */
static bool
take_value(struct sp_span *s, struct sp_span *ret)
{
	struct sp_span from = *s, inner = { NULL, 0 };
	size_t quoted = 0, plain = 0;

	while (s->len > 0 && s->ptr[0] != '(' && s->ptr[0] != ';' && (unsigned char)s->ptr[0] > ' ')
		if (s->ptr[0] != '"') {
			*s = text_from(*s, 1);
			plain++;
		} else if (take_quoted(s, &inner)) {
			quoted++;
		} else {
			return false;
		}
	*ret = quoted == 1 && plain == 0 ? inner : text_head(from, from.len - s->len);
	return quoted + plain > 0;
}

/* To the next ';' that stands in neither comment nor quotes, or to the end. */
static bool
take_props(struct sp_span *s, struct sp_span *ret)
{
	struct sp_span from = *s, inner;

	while (s->len > 0 && s->ptr[0] != ';') {
		bool ended = true;

		if (s->ptr[0] == '(')
			ended = skip_comment(s);
		else if (s->ptr[0] == '"')
			ended = take_quoted(s, &inner);
		else
			*s = text_from(*s, 1);
		if (!ended)
			return false;
	}
	*ret = text_trim(text_head(from, from.len - s->len));
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

enum sp_status
authres_init(struct authres *a, struct sp_span value)
{
	struct sp_span version;

	*a = (struct authres){ .rest = value };
	if (!authres_skip_cfws(&a->rest) || a->rest.len == 0)
		return SP_INVALID;
	if (a->rest.ptr[0] == '"' ? !take_quoted(&a->rest, &a->id) : !take(&a->rest, is_token_octet, &a->id))
		return SP_INVALID;
	if (!authres_skip_cfws(&a->rest))
		return SP_INVALID;
	if (take(&a->rest, is_digit, &version) && !authres_skip_cfws(&a->rest))
		return SP_INVALID;
	return a->rest.len == 0 || a->rest.ptr[0] == ';' ? SP_OK : SP_INVALID;
}

/* method [/ version] = result, between ';' and the properties */
static bool
take_method(struct sp_span *s, struct authres_item *ret)
{
	struct sp_span version;

	if (!take(s, is_keyword_octet, &ret->method) || !authres_skip_cfws(s))
		return false;
	if (take_char(s, '/') && (!take(s, is_digit, &version) || !authres_skip_cfws(s)))
		return false;
	return take_char(s, '=') && take(s, is_keyword_octet, &ret->result);
}

enum sp_status
authres_next(struct authres *a, struct authres_item *ret)
{
	struct authres_item item = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };
	struct sp_span s = a->rest;

	a->rest = (struct sp_span){ NULL, 0 }; /* nothing is to be read behind a fault */
	if (s.len == 0 || !take_char(&s, ';'))
		return s.len == 0 ? SP_NONE : SP_INVALID;
	if (s.len == 0)
		return SP_NONE; /* "id;" */
	if (!take_method(&s, &item))
		return text_same(item.method, TEXT("none")) && s.len == 0 ? SP_NONE : SP_INVALID;
	if (s.len > 0 && s.ptr[0] != ';' && s.ptr[0] != '(' && (unsigned char)s.ptr[0] > ' ')
		return SP_INVALID; /* a result of other octets than a keyword has */
	if (!take_props(&s, &item.props))
		return SP_INVALID;
	a->rest = s;
	*ret = item;
	return SP_OK;
}

bool
authres_prop(const struct authres_item *item, const char *ptype, const char *name, struct sp_span *ret)
{
	struct sp_span s = item->props, type, prop, value;

	while (authres_skip_cfws(&s) && take(&s, is_keyword_octet, &type)) {
		bool reason = !take_char(&s, '.');

		prop = (struct sp_span){ NULL, 0 };
		if (!reason && !take(&s, is_keyword_octet, &prop))
			return false;
		if (!take_char(&s, '=') || !take_value(&s, &value))
			return false;
		if (!reason && text_same(type, text_of(ptype)) && text_same(prop, text_of(name))) {
			*ret = value;
			return true;
		}
	}
	return false;
}
