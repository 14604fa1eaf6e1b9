/*
 * macro.c - macros checked and expanded (see macro.h; RFC 7208 sections 7.1 to 7.4, RFC 3986 section 2.3).
 *
 * What a sender writes is expanded here and never by the library, whose own expander can be made to overrun its
 * buffers.  A text is at most a DNS answer long, a value at most VALUE_MAX, and what comes out goes into a buffer
 * that never grows: that of a name forgets its left end, since a name is cut there, any other its right.
 */
#include "spf/macro.h"

#include <arpa/inet.h>

#include "mailauth/text.h"

enum { VALUE_MAX = 512 };

/* One piece of a text: an octet, one of %% %_ %-, or a macro. */
struct token {
	enum { LITERAL, ESCAPE, MACRO } kind;
	char letter; /* of a macro in lower case; of an escape what stands behind the '%' */
	bool url, reverse;
	unsigned keep; /* parts from the right; 0: all */
	struct sp_span delimiters;
};

struct output {
	char *ptr;
	size_t len, max;
	bool tail; /* forget the left end, not the right */
	bool lost; /* something was forgotten */
};

/* ---- grammar -------------------------------------------------------------------------------------- */

static bool
letter_ok(char c, enum macro_use use)
{
	return c != '\0' && strchr(use == MACRO_DOMAIN ? "slodiphv" : "slodiphvcrt", c) != NULL;
}

/* "letter digits r delimiters", what stands between the braces. */
static bool
braces_parse(struct sp_span text, enum macro_use use, struct token *t)
{
	size_t at = 1;
	unsigned keep = 0;

	if (text.len == 0 || !letter_ok(text_lower(text.ptr[0]), use))
		return false;
	*t = (struct token){ .kind = MACRO, .letter = text_lower(text.ptr[0]), .url = text.ptr[0] < 'a' };
	for (; at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++)
		keep = keep > VALUE_MAX ? keep : keep * 10 + (unsigned)(text.ptr[at] - '0');
	if (at > 1 && keep == 0)
		return false; /* section 7.1: at least one part */
	t->keep = keep;
	if (at < text.len && text_lower(text.ptr[at]) == 'r') {
		t->reverse = true;
		at++;
	}
	t->delimiters = text_from(text, at);
	for (size_t i = 0; i < t->delimiters.len; i++)
		if (t->delimiters.ptr[i] == '\0' || strchr(".-+,/_=", t->delimiters.ptr[i]) == NULL)
			return false;
	return true;
}

static bool
percent_parse(struct sp_span *rest, enum macro_use use, struct token *t)
{
	static const char escapes[] = "%_-";
	char c = rest->len > 1 ? rest->ptr[1] : '\0';
	size_t len;

	if (c != '\0' && strchr(escapes, c) != NULL) {
		*t = (struct token){ .kind = ESCAPE, .letter = c };
		*rest = text_from(*rest, 2);
		return true;
	}
	len = text_find(*rest, '}');
	if (c != '{' || len == rest->len || !braces_parse(text_head(text_from(*rest, 2), len - 2), use, t))
		return false;
	*rest = text_from(*rest, len + 1);
	return true;
}

/* Takes the first piece off; false: not of the grammar. */
static bool
token_next(struct sp_span *rest, enum macro_use use, struct token *t)
{
	char c = rest->ptr[0];

	if (c == '%')
		return percent_parse(rest, use, t);
	*t = (struct token){ .letter = c };
	*rest = text_from(*rest, 1);
	return (c > ' ' && c <= '~') || (c == ' ' && use == MACRO_EXPLAIN);
}

bool
macro_check(struct sp_span text, enum macro_use use, size_t *ret_end)
{
	struct sp_span rest = text;
	struct token t;

	*ret_end = 0;
	while (rest.len > 0) {
		if (!token_next(&rest, use, &t))
			return false;
		if (t.kind != LITERAL)
			*ret_end = text.len - rest.len;
	}
	return true;
}

/* ---- output ------------------------------------------------------------------------------------------ */

static void
put(struct output *o, char c)
{
	if (o->len == o->max) {
		o->lost = true;
		if (!o->tail)
			return;
		memmove(o->ptr, o->ptr + o->max / 2, o->max - o->max / 2);
		o->len -= o->max / 2;
	}
	o->ptr[o->len++] = c;
}

/* As it is, or all but RFC 3986's unreserved octets as %XX. */
static void
put_text(struct output *o, struct sp_span text, bool url)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		bool unreserved = (c >= '0' && c <= '9') || (text_lower((char)c) >= 'a' && text_lower((char)c) <= 'z') ||
			(c != '\0' && strchr("-._~", c) != NULL);

		if (!url || unreserved) {
			put(o, (char)c);
			continue;
		}
		put(o, '%');
		put(o, hex[c >> 4]);
		put(o, hex[c & 15]);
	}
}

/* ---- values ------------------------------------------------------------------------------------------ */

/* %{i}: dotted octets, or dotted nibbles. */
static void
value_ip(const struct sp_ip *ip, struct writer *w)
{
	size_t len = ip->family == 4 ? 4 : 16;

	for (size_t i = 0; i < len; i++) {
		if (ip->family == 4)
			writer_printf(w, "%s%u", i > 0 ? "." : "", ip->bytes[i]);
		else
			writer_printf(w, "%s%X.%X", i > 0 ? "." : "", ip->bytes[i] >> 4u, ip->bytes[i] & 15u);
	}
}

/* %{c}: as people write it. */
static void
value_ip_readable(const struct sp_ip *ip, struct writer *w)
{
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, text, sizeof(text)) != NULL)
		writer_add(w, text_of(text));
}

static struct sp_span
value_of(const struct macro_values *v, char letter, struct writer *w)
{
	switch (letter) {
	case 's':
		writer_add(w, v->local);
		writer_char(w, '@');
		writer_add(w, v->sender_domain);
		return writer_text(w);
	case 'l':
		return v->local;
	case 'o':
		return v->sender_domain;
	case 'd':
		return v->domain;
	case 'i':
		value_ip(&v->client, w);
		return writer_text(w);
	case 'p':
		return v->client_name(v->arg, v->domain);
	case 'h':
		return v->helo;
	case 'c':
		value_ip_readable(&v->client, w);
		return writer_text(w);
	case 'r':
		return v->receiver;
	case 't':
		writer_printf(w, "%lld", (long long)v->time);
		return writer_text(w);
	default: /* v */
		return v->client.family == 4 ? TEXT("in-addr") : TEXT("ip6");
	}
}

/* ---- expansion ---------------------------------------------------------------------------------------- */

static bool
is_delimiter(const struct token *t, char c)
{
	if (t->delimiters.len == 0)
		return c == '.';
	return text_find(t->delimiters, c) < t->delimiters.len;
}

/* Splits the value, takes what the token wants of the parts, and joins them with dots. */
static void
expand_value(struct output *o, const struct token *t, struct sp_span value)
{
	uint16_t starts[VALUE_MAX + 2];
	size_t count = 1, first;

	value = text_head(value, VALUE_MAX);
	starts[0] = 0;
	for (size_t i = 0; i < value.len; i++)
		if (is_delimiter(t, value.ptr[i]))
			starts[count++] = (uint16_t)(i + 1);
	starts[count] = (uint16_t)(value.len + 1);
	first = t->keep > 0 && t->keep < count ? count - t->keep : 0;
	if (t->reverse) { /* the right parts of what is reversed are the left parts of the value */
		count -= first;
		first = 0;
	}
	for (size_t i = first; i < count; i++) {
		size_t part = t->reverse ? count - 1 - i : i;

		if (i > first)
			put(o, '.');
		put_text(o, text_head(text_from(value, starts[part]), (size_t)(starts[part + 1] - 1 - starts[part])), t->url);
	}
}

static void
expand(const struct macro_values *v, struct sp_span text, enum macro_use use, struct output *o)
{
	char memory[VALUE_MAX];
	struct writer w;
	struct token t;

	while (text.len > 0 && (o->tail || !o->lost) && token_next(&text, use, &t)) {
		if (t.kind == MACRO) {
			writer_init(&w, memory, sizeof(memory));
			expand_value(o, &t, value_of(v, t.letter, &w));
		} else if (t.kind == ESCAPE && t.letter == '_') {
			put(o, ' ');
		} else if (t.kind == ESCAPE && t.letter == '-') {
			put_text(o, TEXT("%20"), false);
		} else {
			put(o, t.letter);
		}
	}
}

struct sp_span
macro_domain(const struct macro_values *v, struct sp_span text, char memory[static MACRO_DOMAIN_ROOM])
{
	struct output o = { .ptr = memory, .max = MACRO_DOMAIN_ROOM, .tail = true };
	struct sp_span name;
	size_t cut;

	expand(v, text, MACRO_DOMAIN, &o);
	name = (struct sp_span){ o.ptr, o.len };
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (name.len <= MACRO_DOMAIN_MAX && !o.lost)
		return name;
	for (cut = name.len - MACRO_DOMAIN_MAX; cut < name.len && name.ptr[cut - 1] != '.'; cut++)
		;
	return text_from(name, cut);
}

struct sp_span
macro_explanation(const struct macro_values *v, struct sp_span text, char *memory, size_t max)
{
	struct output o = { .ptr = memory, .max = max };

	expand(v, text, MACRO_EXPLAIN, &o);
	return (struct sp_span){ o.ptr, o.len };
}
