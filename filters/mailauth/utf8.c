/*
 * utf8.c - see utf8.h.  Holds no memory (RFC 3629 section 4).
 */
#include "mailauth/utf8.h"
#include "mailauth/text.h"

/* What is not clear, in ascending order: Unicode's controls, formats (Cf), separators (Z), what is ignored by default, and
 * what compatibility or canonical forms (NFKC, NFD) turn into one of ()<>@,;:." or a blank. */
static const struct {
	uint32_t first, last;
} unclear[] = {
	{ 0x80, 0xa0 }, { 0xad, 0xad },
	{ 0x338, 0x338 }, /* with '<' or '>' it is one character */
	{ 0x34f, 0x34f }, { 0x37e, 0x37e }, /* Greek question mark: ';' */
	{ 0x600, 0x605 }, { 0x61c, 0x61c }, { 0x6dd, 0x6dd }, { 0x70f, 0x70f }, { 0x890, 0x891 }, { 0x8e2, 0x8e2 },
	{ 0x115f, 0x1160 }, { 0x1680, 0x1680 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f },
	{ 0x2000, 0x200f }, { 0x2024, 0x202f }, /* blanks, joiners, directions, dot leaders */
	{ 0x203c, 0x203d }, { 0x2047, 0x2049 }, { 0x205f, 0x206f }, { 0x226e, 0x226f },
	{ 0x2474, 0x24b5 }, { 0x2a74, 0x2a74 }, /* "(1)", "1.", "::=" */
	{ 0x3000, 0x3002 }, { 0x3164, 0x3164 }, { 0x3200, 0x3243 },
	{ 0xfdd0, 0xfdef }, { 0xfe00, 0xfe1f }, { 0xfe30, 0xfe6f }, { 0xfeff, 0xff65 }, /* full width among them */
	{ 0xffa0, 0xffa0 }, { 0xffe0, 0xffff },
	{ 0x110bd, 0x110bd }, { 0x110cd, 0x110cd }, { 0x13430, 0x1343f }, { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a },
	{ 0x1f100, 0x1f12f }, { 0xe0000, 0xe0fff },
};

bool
utf8_ascii_only(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] > 127)
			return false;
	return true;
}

/* Octets of the character at the front of s; 0: there is none. */
static size_t
take(struct sp_span s, uint32_t *ret_code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	uint32_t code;

	if (len == 0 || len > s.len)
		return 0;
	code = len == 1 ? p[0] : p[0] & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return len;
}

static bool
is_unclear(uint32_t code)
{
	for (size_t i = 0; i < sizeof(unclear) / sizeof(*unclear) && code >= unclear[i].first; i++)
		if (code <= unclear[i].last)
			return true;
	return (code & 0xfffe) == 0xfffe; /* no characters */
}

bool
utf8_is_clear(struct sp_span s)
{
	uint32_t code;

	for (size_t i = 0, len; i < s.len; i += len) {
		len = take(text_from(s, i), &code);
		if (len == 0 || is_unclear(code))
			return false;
	}
	return true;
}
