/*
 * tags.c - tag lists (see tags.h): RFC 6376 3.2.  Nothing is allocated; spans point into the text.
 */
#include "mailauth/tags.h"
#include "mailauth/text.h"

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_name(struct sp_span s)
{
	if (s.len == 0 || !is_alpha(s.ptr[0]))
		return false;
	for (size_t i = 1; i < s.len; i++)
		if (!is_alpha(s.ptr[i]) && !(s.ptr[i] >= '0' && s.ptr[i] <= '9') && s.ptr[i] != '_')
			return false;
	return true;
}

/* Visible ASCII, blanks, and line ends where they fold. */
static bool
is_value(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c == '\r') {
			if (s.len - i < 3 || s.ptr[i + 1] != '\n' || (s.ptr[i + 2] != ' ' && s.ptr[i + 2] != '\t'))
				return false;
			i += 2;
		} else if ((c < ' ' && c != '\t') || c > '~') {
			return false;
		}
	}
	return true;
}

enum sp_status
tags_parse(struct tags *t, struct sp_span text)
{
	struct sp_span piece;

	t->count = 0;
	while (text_cut(&text, ';', &piece)) {
		struct tag tag;
		size_t sign = text_find(piece, '=');

		if (text.ptr == NULL && t->count > 0 && text_trim(piece).len == 0)
			return SP_OK; /* behind the last ';' */
		tag = (struct tag){ text_trim(text_head(piece, sign)), text_trim(text_from(piece, sign + 1)) };
		if (sign == piece.len || !is_name(tag.name) || !is_value(tag.value))
			return SP_INVALID;
		for (size_t i = 0; i < t->count; i++)
			if (text_is(t->items[i].name, tag.name))
				return SP_INVALID;
		if (t->count == TAGS_MAX)
			return SP_LIMIT;
		t->items[t->count++] = tag;
	}
	return t->count > 0 ? SP_OK : SP_INVALID;
}

bool
tags_get(const struct tags *t, const char *name, struct sp_span *ret)
{
	for (size_t i = 0; i < t->count; i++)
		if (text_is(t->items[i].name, text_of(name))) {
			*ret = t->items[i].value;
			return true;
		}
	return false;
}

bool
tags_squeeze(struct sp_span s, char *memory, size_t max, struct sp_span *ret)
{
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		if (len == max)
			return false;
		memory[len++] = c;
	}
	*ret = (struct sp_span){ memory, len };
	return true;
}
