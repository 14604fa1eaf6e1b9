/*
 * base64.c - base64, read strictly (see base64.h): RFC 4648 4 and 3.5, RFC 6376 2.10.  Nothing is allocated.
 */
#include "mailauth/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum sp_status
base64_decode(struct sp_span text, unsigned char *memory, size_t max, size_t *ret_len)
{
	size_t len = 0, digits = 0, pads = 0;
	uint32_t bits = 0; /* of the group at hand */

	for (size_t i = 0; i < text.len; i++) {
		int digit = digit_of(text.ptr[i]);

		if (is_space(text.ptr[i]))
			continue;
		if (text.ptr[i] == '=') {
			pads++;
			continue;
		}
		if (digit < 0 || pads > 0)
			return SP_INVALID;
		bits = bits << 6 | (uint32_t)digit;
		/* each digit but the first of a group completes an octet */
		if (digits++ % 4 == 0)
			continue;
		if (len == max)
			return SP_LIMIT;
		memory[len++] = (unsigned char)(bits >> (6 - 2 * ((digits - 1) % 4)));
	}
	/* the bits left over are zero, so that each text has one reading and each octet string one text */
	if (digits == 0 || digits % 4 == 1 || pads != (4 - digits % 4) % 4 ||
		(digits % 4 == 2 && (bits & 0xf) != 0) || (digits % 4 == 3 && (bits & 0x3) != 0))
		return SP_INVALID;
	*ret_len = len;
	return SP_OK;
}

enum sp_status
base64_encode(const unsigned char *octets, size_t len, char *memory, size_t max, struct sp_span *ret)
{
	size_t at = 0;

	if (len > max / 4 * 3)
		return SP_LIMIT;
	for (size_t i = 0; i < len; i += 3) {
		size_t have = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t)octets[i] << 16;

		if (have > 1)
			bits |= (uint32_t)octets[i + 1] << 8;
		if (have > 2)
			bits |= octets[i + 2];
		memory[at++] = alphabet[bits >> 18];
		memory[at++] = alphabet[bits >> 12 & 63];
		memory[at++] = have > 1 ? alphabet[bits >> 6 & 63] : '=';
		memory[at++] = have > 2 ? alphabet[bits & 63] : '=';
	}
	*ret = (struct sp_span){ memory, at };
	return SP_OK;
}
