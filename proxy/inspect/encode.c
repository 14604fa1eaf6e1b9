/*
 * encode.c - text of any kind as a header value (RFC 5322 2.2, RFC 2047 4.2), and dots stuffed (RFC 5321 4.5.2).
 *
 * Values of "add-header" may hold what a client has sent; whatever that is, one field comes out, never two.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

enum {
	VALUE_OCTETS = 900, /* taken of a text; a line has 998 at most */
	WORD_OCTETS = 40,   /* encoded octets of one word, less than its 75 with charset and marks */
	WORD_ROOM = 80
};

static bool
is_plain(struct sp_span text)
{
	for (size_t n = 0; n < text.len; n++)
		if ((unsigned char)text.ptr[n] >= 0x80)
			return false;
	return true;
}

/* Octets of the UTF-8 character at the front; 0: it is none. */
static size_t
char_len(struct sp_span s)
{
	unsigned char c = (unsigned char)s.ptr[0];
	size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;

	if (len > s.len)
		return 0;
	for (size_t n = 1; n < len; n++)
		if (((unsigned char)s.ptr[n] & 0xc0) != 0x80)
			return 0;
	return len;
}

static bool
is_utf8(struct sp_span s)
{
	while (s.len > 0) {
		size_t len = char_len(s);

		if (len == 0)
			return false;
		s = span_from(s, len);
	}
	return true;
}

/* The front of text that is taken, cut between characters. */
static struct sp_span
cut(struct sp_span text, size_t max)
{
	if (text.len <= max)
		return text;
	while (max > 0 && ((unsigned char)text.ptr[max] & 0xc0) == 0x80)
		max--;
	return span_head(text, max);
}

static void
add_octet(struct buf *to, char c)
{
	static const char hex[] = "0123456789ABCDEF";
	unsigned char octet = (unsigned char)c;

	if (c == ' ') {
		buf_add_char(to, '_');
	} else if (span_is_alpha(c) || span_is_digit(c) || c == '-' || c == '.') {
		buf_add_char(to, c);
	} else {
		buf_add_char(to, '=');
		buf_add_char(to, hex[octet >> 4]);
		buf_add_char(to, hex[octet & 15]);
	}
}

/* One word of as many characters as go in; returns how many octets of text they are. */
static size_t
add_word(struct buf *to, struct sp_span text, const char *charset, bool utf8)
{
	size_t taken = 0, begin;

	buf_printf(to, "=?%s?Q?", charset);
	begin = to->len;
	while (taken < text.len && to->len - begin < WORD_OCTETS) {
		size_t len = utf8 ? char_len(span_from(text, taken)) : 1;

		for (size_t n = 0; n < len; n++)
			add_octet(to, text.ptr[taken + n]);
		taken += len;
	}
	buf_add_str(to, "?=");
	return taken;
}

static struct sp_span
encode_words(struct arena *a, struct sp_span text)
{
	struct buf to;
	struct sp_span ret;
	bool utf8 = is_utf8(text);

	buf_init(&to, VALUE_OCTETS * WORD_ROOM);
	while (text.len > 0) {
		if (to.len > 0)
			buf_add_str(&to, "\r\n ");
		text = span_from(text, add_word(&to, text, utf8 ? "UTF-8" : "unknown-8bit", utf8));
	}
	ret = buf_status(&to) == SP_OK ? arena_copy(a, buf_span(&to)) : span_of(NULL, 0);
	buf_fini(&to);
	return ret;
}

struct sp_span
encode_value(struct arena *a, struct sp_span name, struct sp_span text)
{
	size_t max = name.len < 90 ? VALUE_OCTETS : name.len < 980 ? 980 - name.len : 0;
	struct sp_span cut_text = cut(text, max);
	char *copy = arena_strdup(a, cut_text);

	if (copy == NULL)
		return span_of(NULL, 0);
	for (size_t n = 0; n < cut_text.len; n++)
		if ((unsigned char)copy[n] < ' ' || copy[n] == 0x7f)
			copy[n] = ' ';
	text = span_trim(span_of(copy, cut_text.len));
	if (text.len == 0)
		return span_of(copy, 0);
	return is_plain(text) ? text : encode_words(a, text);
}

void
encode_stuffed(struct buf *to, struct sp_span lines)
{
	while (lines.len > 0) {
		size_t lf = span_find(lines, '\n');
		size_t len = lf < lines.len ? lf + 1 : lf;

		if (lines.ptr[0] == '.')
			buf_add_char(to, '.');
		buf_add(to, span_head(lines, len));
		lines = span_from(lines, len);
	}
}
