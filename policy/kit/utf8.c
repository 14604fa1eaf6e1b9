/*
 * utf8.c - see utf8.h.  Holds no memory (RFC 3629 section 4).
 */
#include "policy/kit/utf8.h"

#include "policy/kit/span.h"

size_t
utf8_next(struct sp_span s, uint32_t *ret_code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	static const unsigned char marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t len = s.len == 0 ? 0 : p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf8 ? 4 : 0;
	uint32_t code;

	if (len == 0 || len > s.len)
		return 0;
	code = (uint32_t)(p[0] - marks[len]);
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

bool
utf8_is_ascii(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] >= 0x80)
			return false;
	return true;
}

bool
utf8_is_plain(struct sp_span s)
{
	uint32_t code;

	for (size_t i = 0, len; i < s.len; i += len) {
		len = utf8_next(span_from(s, i), &code);
		if (len == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029)
			return false;
	}
	return true;
}
