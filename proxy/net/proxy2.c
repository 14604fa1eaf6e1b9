/* proxy2.c - see proxy.h.  haproxy.org proxy-protocol.txt section 2.2; holds no memory. */
#include "policy/kit/span.h"
#include "proxy/net/proxy_priv.h"

enum {
	VERSION_2 = 0x20,
	COMMAND_LOCAL = 0,
	COMMAND_PROXY = 1,
	FAMILY_NONE = 0x00,
	FAMILY_TCP4 = 0x11,
	FAMILY_TCP6 = 0x21,
	TLV_CRC32C = 0x03,
	TLV_HEAD = 3,
	CRC_OCTETS = 4
};

const char proxy2_signature[PROXY2_SIGNATURE] = { '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

static unsigned
octet(struct sp_span s, size_t at)
{
	return (unsigned char)s.ptr[at];
}

static uint16_t
number(struct sp_span s, size_t at)
{
	return (uint16_t)(octet(s, at) << 8 | octet(s, at + 1));
}

enum sp_status
proxy2_length(struct sp_span fixed, size_t *ret)
{
	size_t length;

	if (fixed.len < PROXY2_FIXED || memcmp(fixed.ptr, proxy2_signature, PROXY2_SIGNATURE) != 0 ||
		(octet(fixed, 12) & 0xf0) != VERSION_2)
		return SP_INVALID;
	length = PROXY2_FIXED + (size_t)number(fixed, 14);
	if (length > PROXY_OCTETS)
		return SP_INVALID;
	*ret = length;
	return SP_OK;
}

/* CRC32C (RFC 9260 appendix A) of the header, the four octets at hole being zero. */
static uint32_t
checksum(struct sp_span s, size_t hole)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < s.len; i++) {
		crc ^= i >= hole && i < hole + CRC_OCTETS ? 0 : octet(s, i);
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static bool
checksum_fits(struct sp_span header, size_t at, size_t len)
{
	uint32_t said;

	if (len != CRC_OCTETS)
		return false;
	said = (uint32_t)number(header, at) << 16 | number(header, at + 2);
	return said == checksum(header, at);
}

/* What follows the addresses: each part within the whole, and a checksum at most once. */
static bool
extras_ok(struct sp_span header, size_t at)
{
	bool summed = false;

	while (at < header.len) {
		size_t len;

		if (header.len - at < TLV_HEAD)
			return false;
		len = number(header, at + 1);
		if (len > header.len - at - TLV_HEAD)
			return false;
		if (octet(header, at) == TLV_CRC32C) {
			if (summed || !checksum_fits(header, at + TLV_HEAD, len))
				return false;
			summed = true;
		}
		at += TLV_HEAD + len;
	}
	return true;
}

static struct sp_ip
address(struct sp_span s, size_t at, bool v6)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	struct sp_ip ip = { .family = v6 ? 6 : 4 };

	if (v6 && memcmp(s.ptr + at, mapped, sizeof(mapped)) == 0) { /* CASES Y05 */
		ip.family = 4;
		at += sizeof(mapped);
	}
	memcpy(ip.bytes, s.ptr + at, ip.family == 6 ? 16 : 4);
	return ip;
}

enum sp_status
proxy2_parse(struct sp_span header, struct proxy_ends *ret)
{
	unsigned command, family;
	size_t length, octets;
	bool v6;

	if (proxy2_length(header, &length) != SP_OK || length != header.len)
		return SP_INVALID;
	command = octet(header, 12) & 0x0f;
	family = octet(header, 13);
	if (command == COMMAND_LOCAL)
		return SP_NONE;
	if (command != COMMAND_PROXY)
		return SP_INVALID;
	if (family == FAMILY_NONE)
		return extras_ok(header, PROXY2_FIXED) ? SP_NONE : SP_INVALID;
	v6 = family == FAMILY_TCP6;
	octets = v6 ? 16 : 4;
	if ((!v6 && family != FAMILY_TCP4) || length < PROXY2_FIXED + 2 * octets + 4 ||
		!extras_ok(header, PROXY2_FIXED + 2 * octets + 4))
		return SP_INVALID;
	*ret = (struct proxy_ends){ .ip = address(header, PROXY2_FIXED, v6),
		.local_ip = address(header, PROXY2_FIXED + octets, v6),
		.port = number(header, PROXY2_FIXED + 2 * octets),
		.local_port = number(header, PROXY2_FIXED + 2 * octets + 2) };
	return SP_OK;
}
