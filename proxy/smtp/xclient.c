/*
 * xclient.c - see xclient.h.  Values that others hand on from a client are hostile: what is no name, number or word of the
 * right form is refused when it comes in, and left out as [UNAVAILABLE] when it goes out (CASES X02).
 */
#include "proxy/smtp/xclient.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "policy/kit/utf8.h"
#include "proxy/smtp/address.h"

static const char *const names[XCLIENT_ATTRIBUTES] = {
	[XCLIENT_NAME] = "NAME",
	[XCLIENT_ADDR] = "ADDR",
	[XCLIENT_PORT] = "PORT",
	[XCLIENT_PROTO] = "PROTO",
	[XCLIENT_HELO] = "HELO",
	[XCLIENT_LOGIN] = "LOGIN",
	[XCLIENT_DESTADDR] = "DESTADDR",
	[XCLIENT_DESTPORT] = "DESTPORT",
	[XCLIENT_IDENT] = "IDENT",
	[XCLIENT_SOURCE] = "SOURCE",
};

static const struct sp_span unavailable = SPAN_LIT("[UNAVAILABLE]"), tempunavail = SPAN_LIT("[TEMPUNAVAIL]"),
	v6_tag = SPAN_LIT("IPV6:");

const char *
xclient_attribute_name(enum xclient_attribute a)
{
	return names[a];
}

static enum xclient_attribute
find(struct sp_span name)
{
	unsigned a = 0;

	while (a < XCLIENT_ATTRIBUTES && !span_ieq(name, span_str(names[a])))
		a++;
	return (enum xclient_attribute)a;
}

/* Takes the next word off; empty at the end. */
static struct sp_span
next_word(struct sp_span *rest)
{
	struct sp_span word;

	*rest = span_trim(*rest);
	word = span_head(*rest, span_find(*rest, ' '));
	*rest = span_from(*rest, word.len);
	return word;
}

unsigned
xclient_offer(struct sp_span words)
{
	unsigned set = 0;
	struct sp_span word;

	while ((word = next_word(&words)).len > 0)
		if (find(word) != XCLIENT_ATTRIBUTES)
			set |= XCLIENT_BIT(find(word));
	return set;
}

/* ---- in ------------------------------------------------------------------------------------- */

static int
hex(char c)
{
	if (span_is_digit(c))
		return c - '0';
	c = span_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes xtext; false: it is none, it is empty or too long, or it has control characters. */
static bool
decode(struct sp_span in, char to[static XCLIENT_VALUE + 1], struct sp_span *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		int c = (unsigned char)in.ptr[i];

		if (c <= ' ' || c > '~' || c == '=')
			return false;
		if (c == '+') {
			if (in.len - i < 3 || hex(in.ptr[i + 1]) < 0 || hex(in.ptr[i + 2]) < 0)
				return false;
			c = hex(in.ptr[i + 1]) * 16 + hex(in.ptr[i + 2]);
			i += 2;
		}
		if (c < ' ' || c == 0x7f || n == XCLIENT_VALUE)
			return false;
		to[n++] = (char)c;
	}
	to[n] = '\0';
	*ret = span_of(to, n);
	return n > 0;
}

static bool
take_ip(struct sp_span value, struct sp_ip *ret)
{
	bool tagged = span_istarts(value, v6_tag);

	if (tagged)
		value = span_from(value, v6_tag.len);
	return (span_find(value, ':') < value.len) == tagged && span_to_ip(value, ret) == SP_OK;
}

static bool
take_port(struct sp_span value, uint16_t *ret)
{
	uint64_t n;

	if (span_to_u64(value, UINT16_MAX, &n) != SP_OK)
		return false;
	*ret = (uint16_t)n;
	return true;
}

static void
keep(char to[static XCLIENT_VALUE + 1], struct sp_span text)
{
	snprintf(to, XCLIENT_VALUE + 1, "%.*s", (int)text.len, text.ptr);
}

static bool
take_value(struct xclient *x, enum xclient_attribute a, struct sp_span value)
{
	switch (a) {
	case XCLIENT_NAME:
		keep(x->name, value);
		return address_domain_ok(value);
	case XCLIENT_ADDR:
		return take_ip(value, &x->ip);
	case XCLIENT_PORT:
		return take_port(value, &x->port);
	case XCLIENT_PROTO:
		x->esmtp = span_ieq(value, SPAN_LIT("ESMTP"));
		return x->esmtp || span_ieq(value, SPAN_LIT("SMTP"));
	case XCLIENT_HELO:
		keep(x->helo, value);
		return address_helo_ok(value);
	case XCLIENT_LOGIN:
		keep(x->login, value);
		return utf8_is_plain(value);
	case XCLIENT_DESTADDR:
		return take_ip(value, &x->dest_ip);
	case XCLIENT_DESTPORT:
		return take_port(value, &x->dest_port);
	case XCLIENT_IDENT:
	case XCLIENT_SOURCE:
	case XCLIENT_ATTRIBUTES:
		break;
	}
	return false;
}

static bool
take_word(struct xclient *x, struct sp_span word)
{
	size_t at = span_find(word, '=');
	enum xclient_attribute a = find(span_head(word, at));
	struct sp_span value;
	char text[XCLIENT_VALUE + 1];

	if (at == word.len || a == XCLIENT_ATTRIBUTES || (x->given & XCLIENT_BIT(a)) != 0)
		return false;
	x->given |= XCLIENT_BIT(a);
	value = span_from(word, at + 1);
	if (span_ieq(value, tempunavail)) {
		x->name_unknown |= a == XCLIENT_NAME;
		return a == XCLIENT_NAME || a == XCLIENT_LOGIN;
	}
	if (span_ieq(value, unavailable)) /* but whom no address is known of, no rule can judge */
		return a != XCLIENT_ADDR && a != XCLIENT_IDENT && a != XCLIENT_SOURCE;
	return decode(value, text, &value) && take_value(x, a, value);
}

enum sp_status
xclient_parse(struct sp_span argument, struct xclient *ret)
{
	struct xclient x = { .esmtp = true };
	struct sp_span word;

	while ((word = next_word(&argument)).len > 0)
		if (!take_word(&x, word))
			return SP_INVALID;
	if (x.given == 0)
		return SP_INVALID;
	*ret = x;
	return SP_OK;
}

/* ---- out ------------------------------------------------------------------------------------ */

/* Its length as xtext; 0: it cannot be handed on. */
static size_t
encoded_length(struct sp_span value)
{
	size_t n = 0;

	for (size_t i = 0; i < value.len && n <= XCLIENT_VALUE; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if (c < ' ' || c == 0x7f)
			return 0;
		n += c == ' ' || c > '~' || c == '+' || c == '=' ? 3 : 1;
	}
	return n <= XCLIENT_VALUE ? n : 0;
}

void
xclient_add(struct buf *to, enum xclient_attribute a, struct sp_span value)
{
	buf_printf(to, " %s=", names[a]);
	if (encoded_length(value) == 0)
		value = unavailable;
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if (c == ' ' || c > '~' || c == '+' || c == '=')
			buf_printf(to, "+%02X", c);
		else
			buf_add_char(to, (char)c);
	}
}

void
xclient_add_ip(struct buf *to, enum xclient_attribute a, const struct sp_ip *ip)
{
	char text[46];

	if (ip->family == 0)
		xclient_add(to, a, unavailable);
	else
		buf_printf(to, " %s=%s%s", names[a], ip->family == 6 ? "IPV6:" : "", span_from_ip(ip, text).ptr);
}
