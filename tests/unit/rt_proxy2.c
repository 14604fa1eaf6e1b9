/* rt_proxy2.c - PROXY headers of version 2: Y04 and Y05, each part wrong by itself; both versions written and read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/net/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define ENDS4 "\xc0\x00\x02\x01\xcb\x00\x71\x09\x9c\x40\x00\x19"
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define ENDS6 V6 V6 "\x9c\x40\x00\x19"

static enum sp_status
parse(struct sp_span header, struct proxy_ends *ret)
{
	return proxy2_parse(header, ret);
}

static void
assert_ends(const struct proxy_ends *e, const char *ip, const char *local)
{
	char text[46];

	assert_string_equal(span_from_ip(&e->ip, text).ptr, ip);
	assert_string_equal(span_from_ip(&e->local_ip, text).ptr, local);
	assert_int_equal(e->port, 40000);
	assert_int_equal(e->local_port, 25);
}

static void
test_good(void **state)
{
	struct proxy_ends ends;

	(void)state;
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x21\x11\x00\x0c" ENDS4), &ends), SP_OK);
	assert_ends(&ends, "192.0.2.1", "203.0.113.9");
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x21\x21\x00\x24" ENDS6), &ends), SP_OK);
	assert_ends(&ends, "2001:db8::1", "2001:db8::1");
}

static void
test_y05_mapped(void **state)
{
	struct proxy_ends ends;

	(void)state;
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x21\x21\x00\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01" V6 "\x9c\x40\x00\x19"),
				 &ends), SP_OK);
	assert_ends(&ends, "127.0.0.1", "2001:db8::1");
	assert_int_equal(ends.ip.family, 4);
}

static void
test_local(void **state)
{
	struct proxy_ends ends;

	(void)state;
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x20\x00\x00\x00"), &ends), SP_NONE);
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x20\x11\x00\x0c" ENDS4), &ends), SP_NONE);
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x20\xf1\x00\x03zzz"), &ends), SP_NONE);
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x21\x00\x00\x00"), &ends), SP_NONE);
}

static void
test_extras(void **state)
{
	struct proxy_ends ends;

	(void)state;
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x21\x11\x00\x11" ENDS4 "\x04\x00\x02xx"), &ends), SP_OK);
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x21\x11\x00\x0f" ENDS4 "\xea\x00\x00"), &ends), SP_OK);
	/* longer than the rest, by one; a head that is cut off */
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x21\x11\x00\x11" ENDS4 "\x04\x00\x03xx"), &ends), SP_INVALID);
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x21\x11\x00\x11" ENDS4 "\x04\xff\xffxx"), &ends), SP_INVALID);
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x21\x11\x00\x0e" ENDS4 "\x04\x00"), &ends), SP_INVALID);
}

/* The checksum is worked out here by a table, unlike there. */
static uint32_t
crc32c(const char *s, size_t len)
{
	uint32_t table[256], crc = UINT32_MAX;

	for (uint32_t n = 0; n < 256; n++) {
		table[n] = n;
		for (int bit = 0; bit < 8; bit++)
			table[n] = table[n] & 1 ? (table[n] >> 1) ^ 0x82f63b78 : table[n] >> 1;
	}
	for (size_t i = 0; i < len; i++)
		crc = table[(crc ^ (uint8_t)s[i]) & 0xff] ^ (crc >> 8);
	return ~crc;
}

static void
test_checksum(void **state)
{
	char header[] = SIGNATURE "\x21\x11\x00\x13" ENDS4 "\x03\x00\x04\0\0\0\0";
	char twice[] = SIGNATURE "\x21\x11\x00\x1a" ENDS4 "\x03\x00\x04\0\0\0\0\x03\x00\x04\0\0\0\0";
	const size_t len = sizeof(header) - 1;
	struct proxy_ends ends;
	uint32_t crc;

	(void)state;
	assert_int_equal(crc32c("123456789", 9), 0xe3069283); /* the check value that is published with it */
	crc = crc32c(header, len);
	for (int i = 0; i < 4; i++)
		header[len - 1 - (size_t)i] = (char)(crc >> (8 * i));
	assert_int_equal(parse(span_of(header, len), &ends), SP_OK);
	header[len - 1] ^= 1;
	assert_int_equal(parse(span_of(header, len), &ends), SP_INVALID);
	header[len - 1] ^= 1;
	header[20] ^= 1;
	assert_int_equal(parse(span_of(header, len), &ends), SP_INVALID);
	assert_int_equal(parse(span_of(twice, sizeof(twice) - 1), &ends), SP_INVALID);
	assert_int_equal(parse(SPAN_LIT(SIGNATURE "\x21\x11\x00\x12" ENDS4 "\x03\x00\x03\0\0\0"), &ends), SP_INVALID);
}

/* Y04: every length that is too short for its family. */
static void
test_y04_short(void **state)
{
	static const struct {
		unsigned char family;
		size_t needs;
	} of[] = { { 0x11, 12 }, { 0x21, 36 } };
	char header[PROXY2_FIXED + 64] = SIGNATURE;
	struct proxy_ends ends;

	(void)state;
	header[12] = 0x21;
	for (size_t i = 0; i < 2; i++)
		for (size_t len = 0; len <= of[i].needs; len++) {
			header[13] = (char)of[i].family;
			header[15] = (char)len;
			assert_int_equal(parse(span_of(header, PROXY2_FIXED + len), &ends),
				len == of[i].needs ? SP_OK : SP_INVALID);
			/* not all of it is there, or more */
			assert_int_equal(parse(span_of(header, PROXY2_FIXED + len + 1), &ends), SP_INVALID);
		}
}

static void
test_y04_bad(void **state)
{
	static const struct sp_span bad[] = {
		SPAN_LIT(SIGNATURE "\x11\x11\x00\x0c" ENDS4), SPAN_LIT(SIGNATURE "\x31\x11\x00\x0c" ENDS4),
		SPAN_LIT(SIGNATURE "\xf1\x11\x00\x0c" ENDS4), SPAN_LIT(SIGNATURE "\x01\x11\x00\x0c" ENDS4),
		SPAN_LIT(SIGNATURE "\x22\x11\x00\x0c" ENDS4), SPAN_LIT(SIGNATURE "\x2f\x11\x00\x0c" ENDS4),
		SPAN_LIT(SIGNATURE "\x21\x31\x00\x0c" ENDS4), SPAN_LIT(SIGNATURE "\x21\xf1\x00\x0c" ENDS4),
		SPAN_LIT(SIGNATURE "\x21\x12\x00\x0c" ENDS4), SPAN_LIT(SIGNATURE "\x21\x10\x00\x0c" ENDS4),
		SPAN_LIT(SIGNATURE "\x21\x01\x00\x0c" ENDS4), SPAN_LIT(SIGNATURE "\x21\x41\x00\x0c" ENDS4),
		SPAN_LIT("\r\n\r\n\0\r\nQUIZ\n\x21\x11\x00\x0c" ENDS4), SPAN_LIT("\r\n\r\n \r\nQUIT\n\x21\x11\x00\x0c" ENDS4),
		SPAN_LIT(SIGNATURE "\x21\x11\x00"), SPAN_LIT("")
	};
	struct proxy_ends ends;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i], &ends) != SP_INVALID)
			fail_msg("header %zu was taken", i);
}

static void
test_y04_cap(void **state)
{
	size_t length;

	(void)state;
	assert_int_equal(proxy2_length(SPAN_LIT(SIGNATURE "\x21\x11\x07\xf0"), &length), SP_OK);
	assert_int_equal(length, 2048);
	assert_int_equal(proxy2_length(SPAN_LIT(SIGNATURE "\x21\x11\x07\xf1"), &length), SP_INVALID);
	assert_int_equal(proxy2_length(SPAN_LIT(SIGNATURE "\x20\x00\xff\xff"), &length), SP_INVALID);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void
assert_written(struct proxy_ends e, const char *line)
{
	char text[PROXY_FORMATTED];
	struct proxy_ends again;
	size_t len = proxy_format(1, &e, text);

	assert_int_equal(len, strlen(line) + 2);
	assert_memory_equal(text, line, len - 2);
	assert_memory_equal(text + len - 2, "\r\n", 2);
	assert_int_equal(proxy1_parse(span_of(text, len - 2), &again), SP_OK);
	assert_true(ip_eq(&again.ip, &e.ip));
	len = proxy_format(2, &e, text);
	assert_int_equal(parse(span_of(text, len), &again), SP_OK);
	assert_true(ip_eq(&again.ip, &e.ip));
	assert_int_equal(again.port, e.port);
	assert_int_equal(again.local_port, e.local_port);
}

static void
test_written(void **state)
{
	struct sp_ip four, six, none = { .family = 0 };
	char text[PROXY_FORMATTED];
	struct proxy_ends ends;

	(void)state;
	assert_int_equal(span_to_ip(SPAN_LIT("192.0.2.1"), &four), SP_OK);
	assert_int_equal(span_to_ip(SPAN_LIT("2001:db8::1"), &six), SP_OK);
	assert_written((struct proxy_ends){ four, four, 40000, 25 }, "PROXY TCP4 192.0.2.1 192.0.2.1 40000 25");
	assert_written((struct proxy_ends){ six, six, 65535, 65535 }, "PROXY TCP6 2001:db8::1 2001:db8::1 65535 65535");
	assert_written((struct proxy_ends){ four, six, 1, 25 }, "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 25");
	assert_written((struct proxy_ends){ six, four, 1, 25 }, "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 25");
	assert_written((struct proxy_ends){ four, none, 1, 0 }, "PROXY TCP4 192.0.2.1 0.0.0.0 1 0");
	assert_written((struct proxy_ends){ six, none, 1, 0 }, "PROXY TCP6 2001:db8::1 :: 1 0");
	assert_int_equal(proxy_format(1, NULL, text), 15);
	assert_memory_equal(text, "PROXY UNKNOWN\r\n", 15);
	assert_int_equal(parse(span_of(text, proxy_format(2, NULL, text)), &ends), SP_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_y05_mapped),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_extras),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_y04_short),
		cmocka_unit_test(test_y04_bad),
		cmocka_unit_test(test_y04_cap),
		cmocka_unit_test(test_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
