/*
 * address.c - see address.h.  Holds no memory: all spans point into the input (RFC 5321 4.1.2, 4.1.3, 4.5.3.1; RFC 6531 3.3).
 * What is beyond ASCII is looked at once for the whole address; the grammar then takes it wherever an atom may stand.
 */
#include "proxy/smtp/address.h"

#include "policy/kit/span.h"
#include "policy/kit/utf8.h"

enum { LOCAL_MAX = 64, DOMAIN_MAX = DOMAIN_OCTETS, LABEL_MAX = 63, PATH_OCTETS_MAX = 256 };

static bool
is_alnum(char c)
{
	return span_is_alpha(c) || span_is_digit(c);
}

static bool
is_atext(char c)
{
	return is_alnum(c) || (unsigned char)c >= 0x80 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Atoms with single dots between them. */
static bool
dot_string_ok(struct sp_span s)
{
	bool atom = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '.' ? !atom : !is_atext(s.ptr[i]))
			return false;
		atom = s.ptr[i] != '.';
	}
	return atom;
}

/* Octets of the quoted-string at the front of s, both quotes included; 0: there is none. */
static size_t
quoted_string_len(struct sp_span s)
{
	bool escaped = false;

	if (s.len == 0 || s.ptr[0] != '"')
		return 0;
	for (size_t i = 1; i < s.len && (unsigned char)s.ptr[i] >= ' ' && s.ptr[i] != 0x7f; i++) {
		if (escaped && (unsigned char)s.ptr[i] >= 0x80) /* quoted-pairSMTP is ASCII */
			return 0;
		if (!escaped && s.ptr[i] == '"')
			return i + 1;
		escaped = !escaped && s.ptr[i] == '\\';
	}
	return 0;
}

static bool
is_ldh_label(struct sp_span label, bool underscore)
{
	if (label.len < 1 || label.len > LABEL_MAX)
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-' && !(underscore && label.ptr[i] == '_'))
			return false;
	return underscore || (label.ptr[0] != '-' && label.ptr[label.len - 1] != '-');
}

static bool
labels_ok(struct sp_span name, bool underscore)
{
	if (name.len == 0 || name.len > DOMAIN_MAX)
		return false;
	for (size_t at = 0; at <= name.len;) {
		struct sp_span rest = span_of(name.ptr + at, name.len - at);
		size_t len = span_find(rest, '.');

		if (!is_ldh_label(span_head(rest, len), underscore))
			return false;
		at += len + 1;
	}
	return true;
}

bool
address_domain_ok(struct sp_span name)
{
	return labels_ok(name, false);
}

/* RFC 5321 lets "::" stand for two groups or more, so at most six are written beside it; RFC 4291 and span_to_ip()
 * take seven. */
static bool
ipv6_groups_ok(struct sp_span text)
{
	size_t groups = 0;
	bool elided = false, in_group = false;

	for (size_t i = 0; i < text.len; i++) {
		bool colon = text.ptr[i] == ':';

		elided = elided || (colon && i > 0 && text.ptr[i - 1] == ':');
		groups += !colon && !in_group;
		in_group = !colon;
	}
	groups += span_find(text, '.') < text.len; /* an IPv4 tail is two */
	return !elided || groups <= 6;
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]"; no other tag is registered. */
static bool
literal_ok(struct sp_span text)
{
	struct sp_span inner;
	struct sp_ip ip;

	if (text.len < 3 || text.len > DOMAIN_MAX || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']')
		return false;
	inner = span_of(text.ptr + 1, text.len - 2);
	if (!span_istarts(inner, SPAN_LIT("IPv6:")))
		return span_find(inner, ':') == inner.len && span_to_ip(inner, &ip) == SP_OK;
	inner = span_from(inner, 5);
	return span_find(inner, ':') < inner.len && span_to_ip(inner, &ip) == SP_OK && ipv6_groups_ok(inner);
}

bool
address_helo_ok(struct sp_span name)
{
	if (name.len > 0 && name.ptr[0] == '[')
		return literal_ok(name);
	if (name.len > 1 && name.len <= DOMAIN_MAX && name.ptr[name.len - 1] == '.')
		name.len--;
	return labels_ok(name, true);
}

struct sp_span
address_domain_fold(struct sp_span domain, char *to)
{
	struct sp_span folded;

	if (!utf8_is_ascii(domain) && idna_fold(domain, to, &folded) == SP_OK)
		return folded;
	if (domain.len > 0 && domain.ptr[domain.len - 1] == '.')
		domain.len--;
	for (size_t i = 0; i < domain.len; i++)
		to[i] = span_lower(domain.ptr[i]);
	return span_of(to, domain.len);
}

/* Of labels as the DNS has them, some perhaps written in UTF-8. */
static bool
domain_ok(struct sp_span domain)
{
	char to[DOMAIN_OCTETS];
	struct sp_span folded;

	if (utf8_is_ascii(domain))
		return labels_ok(domain, false);
	return domain.ptr[domain.len - 1] != '.' && idna_fold(domain, to, &folded) == SP_OK && labels_ok(folded, false);
}

/* Octets of the local part at the front of a mailbox, if it is one; else 0. */
static size_t
local_len(struct sp_span mailbox, bool *ret_quoted)
{
	size_t len = quoted_string_len(mailbox);

	*ret_quoted = len > 0;
	if (len > 0)
		return len > 2 ? len : 0; /* "" is grammar, but names nobody */
	len = span_find(mailbox, '@');
	return dot_string_ok(span_head(mailbox, len)) ? len : 0;
}

static enum address_error
characters_ok(struct sp_span s)
{
	uint32_t code;

	for (size_t i = 0, len; i < s.len; i += len) {
		len = utf8_next(span_from(s, i), &code);
		if (len == 0)
			return ADDRESS_NOT_UTF8;
	}
	return utf8_is_plain(s) ? ADDRESS_OK : ADDRESS_SYNTAX;
}

enum address_error
address_parse_bare(struct sp_span in, struct address *ret)
{
	struct address addr = { .text = in, .utf8 = !utf8_is_ascii(in) };
	enum address_error err = characters_ok(in);
	size_t len;

	if (err != ADDRESS_OK)
		return err;
	len = local_len(in, &addr.quoted);
	if (len == 0 || len == in.len || in.ptr[len] != '@')
		return ADDRESS_SYNTAX;
	addr.local = span_head(in, len);
	addr.domain = span_from(in, len + 1);
	if (len > LOCAL_MAX || addr.domain.len > DOMAIN_MAX || in.len > PATH_OCTETS_MAX - 2)
		return ADDRESS_LENGTH;
	addr.literal = addr.domain.len > 0 && addr.domain.ptr[0] == '[';
	if (addr.literal ? !literal_ok(addr.domain) : !domain_ok(addr.domain))
		return ADDRESS_SYNTAX;
	*ret = addr;
	return ADDRESS_OK;
}

/* Offset of the bracket that closes the one at the front, or in.len. A quoted local part may have one inside. */
static size_t
closing_bracket(struct sp_span in)
{
	size_t start = 1 + quoted_string_len(span_from(in, 1));

	return start + span_find(span_from(in, start), '>');
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

enum address_error
address_parse(struct sp_span in, struct address_rules rules, struct address *ret, size_t *used)
{
	struct sp_span text;
	enum address_error err = ADDRESS_OK;
	size_t end;

	if (in.len == 0 || in.ptr[0] != '<')
		return ADDRESS_BRACKETS;
	end = closing_bracket(in);
	if (end >= in.len || (end + 1 < in.len && in.ptr[end + 1] != ' '))
		return ADDRESS_BRACKETS;
	text = span_of(in.ptr + 1, end - 1);
	if (text.len > 0 && (is_blank(text.ptr[0]) || is_blank(text.ptr[text.len - 1])))
		return ADDRESS_BRACKETS;
	if (text.len > 0 && text.ptr[0] == '@' && span_find(text, ':') < text.len)
		return ADDRESS_ROUTE;
	if (text.len == 0 && rules.null_ok)
		*ret = (struct address){ .text = text, .local = text };
	else if (rules.bare_postmaster && span_ieq(text, SPAN_LIT("postmaster")))
		*ret = (struct address){ .text = text, .local = text };
	else
		err = address_parse_bare(text, ret);
	if (err == ADDRESS_OK)
		*used = end + 1;
	return err;
}
