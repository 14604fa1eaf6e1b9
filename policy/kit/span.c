/* span.c - see span.h.  Textual addresses: RFC 4291 section 2.2, by inet_pton(3). */
#include "policy/kit/span.h"

#include <arpa/inet.h>
#include <stdio.h>

bool
span_eq(struct sp_span a, struct sp_span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool
span_ieq(struct sp_span a, struct sp_span b)
{
	return a.len == b.len && span_istarts(a, b);
}

int
span_cmp(struct sp_span a, struct sp_span b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int diff = len == 0 ? 0 : memcmp(a.ptr, b.ptr, len);

	return diff != 0 ? diff : (a.len > b.len) - (a.len < b.len);
}

bool
span_starts(struct sp_span s, struct sp_span prefix)
{
	return s.len >= prefix.len && span_eq(span_head(s, prefix.len), prefix);
}

bool
span_istarts(struct sp_span s, struct sp_span prefix)
{
	if (s.len < prefix.len)
		return false;
	for (size_t i = 0; i < prefix.len; i++)
		if (span_lower(s.ptr[i]) != span_lower(prefix.ptr[i]))
			return false;
	return true;
}

bool
span_iends(struct sp_span s, struct sp_span suffix)
{
	return s.len >= suffix.len && span_istarts(span_from(s, s.len - suffix.len), suffix);
}

size_t
span_find(struct sp_span s, char c)
{
	const char *at = s.len == 0 ? NULL : memchr(s.ptr, c, s.len);

	return at == NULL ? s.len : (size_t)(at - s.ptr);
}

size_t
span_rfind(struct sp_span s, char c)
{
	for (size_t i = s.len; i > 0; i--)
		if (s.ptr[i - 1] == c)
			return i - 1;
	return s.len;
}

struct sp_span
span_trim(struct sp_span s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = span_of(s.ptr + 1, s.len - 1);
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

enum sp_status
span_to_u64(struct sp_span s, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (s.len == 0)
		return SP_INVALID;
	for (size_t i = 0; i < s.len; i++)
		if (!span_is_digit(s.ptr[i]))
			return SP_INVALID;
	for (size_t i = 0; i < s.len; i++) {
		uint64_t digit = (uint64_t)(s.ptr[i] - '0');

		if (n > max / 10 || n * 10 > max - (digit < max ? digit : max))
			return SP_LIMIT;
		n = n * 10 + digit;
		if (n > max)
			return SP_LIMIT;
	}
	*ret = n;
	return SP_OK;
}

enum sp_status
span_to_ip(struct sp_span s, struct sp_ip *ret)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	char text[46];
	struct sp_ip ip = { 0 };

	if (s.len == 0 || s.len >= sizeof(text) || span_find(s, '\0') < s.len)
		return SP_INVALID;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	if (inet_pton(AF_INET, text, ip.bytes) == 1) {
		ip.family = 4;
	} else if (inet_pton(AF_INET6, text, ip.bytes) == 1) {
		ip.family = 6;
		if (memcmp(ip.bytes, mapped, sizeof(mapped)) == 0) {
			memmove(ip.bytes, ip.bytes + 12, 4);
			memset(ip.bytes + 4, 0, 12);
			ip.family = 4;
		}
	} else {
		return SP_INVALID;
	}
	*ret = ip;
	return SP_OK;
}

static bool
host_bits_clear(const struct sp_net *net)
{
	unsigned width = net->ip.family == 4 ? 32 : 128;

	for (unsigned bit = net->bits; bit < width; bit++)
		if ((net->ip.bytes[bit / 8] & (0x80u >> (bit % 8))) != 0)
			return false;
	return true;
}

enum sp_status
span_to_net(struct sp_span s, struct sp_net *ret)
{
	size_t slash = span_find(s, '/');
	struct sp_net net = { 0 };
	uint64_t bits;

	if (span_to_ip(span_head(s, slash), &net.ip) != SP_OK)
		return SP_INVALID;
	bits = net.ip.family == 4 ? 32 : 128;
	if (slash < s.len && span_to_u64(span_from(s, slash + 1), bits, &bits) != SP_OK)
		return SP_INVALID;
	net.bits = (uint8_t)bits;
	if (!host_bits_clear(&net))
		return SP_INVALID;
	*ret = net;
	return SP_OK;
}

struct sp_span
span_from_ip(const struct sp_ip *ip, char text[static 46])
{
	if (ip->family == 0 ||
		inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, text, 46) == NULL)
		snprintf(text, 46, "unknown");
	return span_str(text);
}

bool
ip_eq(const struct sp_ip *a, const struct sp_ip *b)
{
	return a->family == b->family &&
		memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16) == 0;
}

bool
net_has(const struct sp_net *net, const struct sp_ip *ip)
{
	unsigned whole = net->bits / 8u, rest = net->bits % 8u;

	if (net->ip.family != ip->family || memcmp(net->ip.bytes, ip->bytes, whole) != 0)
		return false;
	return rest == 0 || ((net->ip.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest)) == 0;
}
