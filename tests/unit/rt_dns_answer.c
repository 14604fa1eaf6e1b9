/*
 * rt_dns_answer.c - the parser of answers, octet by octet, and the check of names.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/dns/answer.h"

/* A message under construction. */
static uint8_t message[70000];
static size_t length;
static struct dns_answer answer;
static struct dns_name name;

static void
put(size_t octets, uint32_t n)
{
	while (octets-- > 0)
		message[length++] = (uint8_t)(n >> (8 * octets));
}

static void
put_bytes(const void *bytes, size_t len)
{
	memcpy(message + length, bytes, len);
	length += len;
}

/* "a.b." as labels and the root, "a.b" as labels only. */
static void
put_name(const char *text)
{
	struct sp_span s = span_str(text);

	while (s.len > 0) {
		size_t len = span_find(s, '.');
		bool last = len + 1 == s.len;

		put(1, (uint32_t)len);
		put_bytes(s.ptr, len);
		s = span_from(s, len + 1);
		if (last)
			put(1, 0);
	}
}

enum { QNAME = 12, TTL = 300 };

/* Header and question for "www.example.org". */
static void
begin(uint16_t flags, enum dns_type type, uint16_t answers, uint16_t authorities)
{
	assert_int_equal(dns_name_check(SPAN_LIT("www.example.org"), &name), SP_OK);
	length = 0;
	put(2, 0x1234);
	put(2, flags);
	put(2, 1);
	put(2, answers);
	put(2, authorities);
	put(2, 0);
	put_name("www.example.org.");
	put(2, type);
	put(2, 1);
}

static void
put_rr_head(enum dns_type type, uint32_t ttl, size_t len)
{
	put(2, type);
	put(2, 1);
	put(4, ttl);
	put(2, (uint32_t)len);
}

/* One owned by the name that was asked for. */
static void
put_rr(enum dns_type type, uint32_t ttl, const void *data, size_t len)
{
	put(2, 0xc000 | QNAME);
	put_rr_head(type, ttl, len);
	put_bytes(data, len);
}

static void
put_soa(uint32_t ttl, uint32_t minimum)
{
	put(1, 0);
	put_rr_head(DNS_SOA, ttl, 22);
	put(2, 0);
	for (int i = 0; i < 4; i++)
		put(4, 9);
	put(4, minimum);
}

/* From a copy of just that size, so that AddressSanitizer sees one octet too far. */
static enum sp_status
parse_cut(enum dns_type type, size_t len)
{
	char *copy = malloc(len + (len == 0));

	assert_non_null(copy);
	memcpy(copy, message, len);
	dns_answer_parse(&answer, span_of(copy, len), &name, type);
	free(copy);
	return answer.status;
}

static enum sp_status
parse(enum dns_type type)
{
	return parse_cut(type, length);
}

static struct dns_record
record(size_t index)
{
	struct sp_span packed = buf_span(&answer.records);
	struct dns_record r = { 0 };

	for (size_t i = 0; i <= index; i++)
		assert_true(dns_record_next(&packed, &r));
	return r;
}

static void
assert_data(size_t index, const char *text, size_t len)
{
	struct dns_record r = record(index);

	assert_int_equal(r.data.len, len);
	assert_memory_equal(r.data.ptr, text, len);
}

static void
test_addresses(void **state)
{
	(void)state;
	begin(0x8180, DNS_A, 2, 0);
	put_rr(DNS_A, 300, "\1\2\3\4", 4);
	put_rr(DNS_A, 200, "\5\6\7\10", 4);
	assert_int_equal(parse(DNS_A), SP_OK);
	assert_int_equal(answer.count, 2);
	assert_int_equal(answer.ttl, 200);
	assert_data(0, "\1\2\3\4", 4);
	assert_data(1, "\5\6\7\10", 4);
	/* cut anywhere, it is no answer at all */
	for (size_t len = 0; len < length; len++)
		assert_int_equal(parse_cut(DNS_A, len), SP_TEMPFAIL);
	/* octets behind it do no harm */
	put(4, 0);
	assert_int_equal(parse(DNS_A), SP_OK);
	/* asked for something else */
	assert_int_equal(parse(DNS_AAAA), SP_TEMPFAIL);
	name.text[0] = 'x';
	assert_int_equal(parse(DNS_A), SP_TEMPFAIL);
}

static void
test_address_sizes(void **state)
{
	static const char octets[17] = { 0 };

	(void)state;
	for (size_t len = 0; len <= 17; len++) {
		begin(0x8180, DNS_A, 1, 0);
		put_rr(DNS_A, TTL, octets, len);
		assert_int_equal(parse(DNS_A), len == 4 ? SP_OK : SP_TEMPFAIL);
		begin(0x8180, DNS_AAAA, 1, 0);
		put_rr(DNS_AAAA, TTL, octets, len);
		assert_int_equal(parse(DNS_AAAA), len == 16 ? SP_OK : SP_TEMPFAIL);
	}
}

static void
test_header(void **state)
{
	static const struct {
		uint16_t flags;
		enum sp_status status;
	} cases[] = {
		{ 0x8180, SP_OK }, { 0x8580, SP_OK }, { 0x81b0, SP_OK }, /* AA; AD and CD */
		{ 0x0180, SP_TEMPFAIL },                                 /* a query */
		{ 0x8980, SP_TEMPFAIL },                                 /* opcode 1 */
		{ 0x8380, SP_TEMPFAIL },                                 /* truncated */
		{ 0x8181, SP_TEMPFAIL }, { 0x8182, SP_TEMPFAIL }, { 0x8184, SP_TEMPFAIL },
		{ 0x8185, SP_TEMPFAIL },
		{ 0x8183, SP_TEMPFAIL }, /* does not exist, and has an address */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(cases[i].flags, DNS_A, 1, 0);
		put_rr(DNS_A, TTL, "\1\2\3\4", 4);
		assert_int_equal(parse(DNS_A), cases[i].status);
	}
	begin(0x8180, DNS_A, 1, 0);
	put_rr(DNS_A, TTL, "\1\2\3\4", 4);
	message[5] = 0;
	assert_int_equal(parse(DNS_A), SP_TEMPFAIL);
	message[5] = 2;
	assert_int_equal(parse(DNS_A), SP_TEMPFAIL);
}

static void
test_ttl(void **state)
{
	static const struct {
		uint32_t ttl, kept;
	} cases[] = { { 0, 0 }, { 1, 1 }, { 86400, 86400 }, { 86401, 86400 }, { INT32_MAX, 86400 },
		{ 0x80000000u, 0 }, { UINT32_MAX, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(0x8180, DNS_A, 1, 0);
		put_rr(DNS_A, cases[i].ttl, "\1\2\3\4", 4);
		assert_int_equal(parse(DNS_A), SP_OK);
		assert_int_equal(answer.ttl, cases[i].kept);
	}
}

static void
test_negative(void **state)
{
	static const struct {
		uint32_t ttl, minimum, kept;
	} cases[] = { { 3600, 60, 60 }, { 60, 3600, 60 }, { 3600, 900, 900 }, { 3600, 901, 900 }, { 0, 60, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (uint16_t rcode = 0; rcode <= 3; rcode = (uint16_t)(rcode + 3)) {
			begin(0x8180 | rcode, DNS_A, 0, 1);
			put_soa(cases[i].ttl, cases[i].minimum);
			assert_int_equal(parse(DNS_A), SP_NONE);
			assert_int_equal(answer.ttl, cases[i].kept);
			for (size_t len = 0; len < length; len++)
				assert_int_equal(parse_cut(DNS_A, len), SP_TEMPFAIL);
		}
	/* without a SOA it is believed, and not kept */
	begin(0x8183, DNS_A, 0, 0);
	assert_int_equal(parse(DNS_A), SP_NONE);
	assert_int_equal(answer.ttl, 0);
	/* another type under the name is no data */
	begin(0x8180, DNS_A, 1, 1);
	put_rr(DNS_TXT, TTL, "\1x", 2);
	put_soa(60, 60);
	assert_int_equal(parse(DNS_A), SP_NONE);
	assert_int_equal(answer.ttl, 60);
}

/* Name servers and nothing else: this resolver does not resolve. */
static void
test_referral(void **state)
{
	(void)state;
	begin(0x8180, DNS_A, 0, 1);
	put_rr(DNS_NS, TTL, "\0", 1);
	assert_int_equal(parse(DNS_A), SP_TEMPFAIL);
	begin(0x8180, DNS_A, 0, 2);
	put_rr(DNS_NS, TTL, "\0", 1);
	put_soa(60, 60);
	assert_int_equal(parse(DNS_A), SP_NONE);
}

/* A chain of that many links, each from nI to nI+1, the last with an address. */
static void
chain(unsigned links, bool backwards)
{
	char from[3] = { 1, 0, 0 }, to[3] = { 1, 0, 0 };

	begin(0x8180, DNS_A, (uint16_t)(links + 1), 0);
	for (unsigned n = 0; n < links; n++) {
		unsigned i = backwards ? links - 1 - n : n;

		from[1] = (char)('A' + i);
		to[1] = (char)('a' + i + 1);
		if (i == 0)
			put(2, 0xc000 | QNAME);
		else
			put_bytes(from, 3);
		put_rr_head(DNS_CNAME, 100 + i, 3);
		put_bytes(to, 3);
	}
	to[1] = (char)('a' + links);
	put_bytes(to, 3);
	put_rr_head(DNS_A, TTL, 4);
	put_bytes("\1\2\3\4", 4);
}

static void
test_chains(void **state)
{
	(void)state;
	for (unsigned links = 1; links <= DNS_CNAMES_MAX; links++) {
		chain(links, false);
		assert_int_equal(parse(DNS_A), SP_OK);
		assert_int_equal(answer.ttl, 100);
		chain(links, true);
		assert_int_equal(parse(DNS_A), SP_OK);
	}
	chain(DNS_CNAMES_MAX + 1, false);
	assert_int_equal(parse(DNS_A), SP_TEMPFAIL);
	/* to itself */
	begin(0x8180, DNS_A, 1, 0);
	put_rr(DNS_CNAME, TTL, "\300\14", 2);
	assert_int_equal(parse(DNS_A), SP_TEMPFAIL);
	/* an address of another name is not ours */
	begin(0x8180, DNS_A, 1, 1);
	put_name("evil.example.");
	put_rr_head(DNS_A, TTL, 4);
	put_bytes("\1\2\3\4", 4);
	put_soa(60, 60);
	assert_int_equal(parse(DNS_A), SP_NONE);
	/* a target with an octet behind it */
	begin(0x8180, DNS_A, 1, 0);
	put_rr(DNS_CNAME, TTL, "\1a\0x", 4);
	assert_int_equal(parse(DNS_A), SP_TEMPFAIL);
}

static void
test_pointers(void **state)
{
	size_t at;

	(void)state;
	/* to itself, forwards, behind the end */
	begin(0x8180, DNS_A, 1, 0);
	at = length;
	for (int i = 0; i < 4; i++) {
		static const int distance[] = { 0, 1, 2, 1000 };

		length = at;
		put(2, 0xc000 | (uint32_t)(at + (size_t)distance[i]));
		put_rr_head(DNS_A, TTL, 4);
		put_bytes("\1\2\3\4", 4);
		assert_int_equal(parse(DNS_A), SP_TEMPFAIL);
	}
	/* the reserved kinds of label */
	for (uint32_t kind = 0x40; kind < 0xc0; kind += 0x40) {
		length = at;
		put(1, kind);
		put_rr_head(DNS_A, TTL, 4);
		put_bytes("\1\2\3\4\0\0\0\0", 8);
		assert_int_equal(parse(DNS_A), SP_TEMPFAIL);
	}
	/* a loop of two: at points to at + 2, which points back */
	begin(0x8180, DNS_PTR, 1, 0);
	put(2, 0xc000 | QNAME);
	put_rr_head(DNS_PTR, TTL, 4);
	put(2, 0xc000 | (uint32_t)(length + 2));
	put(2, 0xc000 | (uint32_t)(length - 2));
	assert_int_equal(parse(DNS_PTR), SP_TEMPFAIL);
	/* a label and a pointer into the question */
	begin(0x8180, DNS_PTR, 1, 0);
	put_rr(DNS_PTR, TTL, "\4Mail\300\20", 7);
	assert_int_equal(parse(DNS_PTR), SP_OK);
	assert_data(0, "mail.example.org", 16);
}

/* 255 octets on the wire are the most: three labels of 63, one of 61 and the root. */
static void
test_long_names(void **state)
{
	(void)state;
	for (uint32_t last = 60; last <= 63; last++) {
		begin(0x8180, DNS_PTR, 1, 0);
		put(2, 0xc000 | QNAME);
		put_rr_head(DNS_PTR, TTL, 3 * 64 + 1 + last + 1);
		for (int i = 0; i < 4; i++) {
			uint32_t len = i < 3 ? 63 : last;

			put(1, len);
			memset(message + length, 'a', len);
			length += len;
		}
		put(1, 0);
		assert_int_equal(parse(DNS_PTR), last <= 61 ? SP_OK : SP_TEMPFAIL);
		if (last <= 61)
			assert_int_equal(record(0).data.len, 3 * 64 + last);
	}
}

static void
test_host_names(void **state)
{
	static const struct {
		const char *data;
		size_t len;
		enum sp_status status;
	} cases[] = {
		{ "\4a-_9\0", 6, SP_OK },
		{ "\0", 1, SP_NONE },
		{ "\6a\r\nb c\0", 8, SP_NONE },
		{ "\3a.b\0", 5, SP_NONE },
		{ "\3a\0b\0", 5, SP_NONE },
		{ "\2\303\244\0", 4, SP_NONE },
		{ "\1(\0", 3, SP_NONE },
		{ "\1a\0\0", 4, SP_TEMPFAIL }, /* an octet too many */
		{ "\1a", 2, SP_TEMPFAIL },
		{ "", 0, SP_TEMPFAIL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(0x8180, DNS_PTR, 1, 0);
		put_rr(DNS_PTR, TTL, cases[i].data, cases[i].len);
		assert_int_equal(parse(DNS_PTR), cases[i].status);
		if (cases[i].status == SP_NONE)
			assert_int_equal(answer.ttl, TTL);
	}
	/* a bad one beside a good one is left out */
	begin(0x8180, DNS_PTR, 2, 0);
	put_rr(DNS_PTR, TTL, "\1 \0", 3);
	put_rr(DNS_PTR, TTL, "\1a\0", 3);
	assert_int_equal(parse(DNS_PTR), SP_OK);
	assert_int_equal(answer.count, 1);
	assert_data(0, "a", 1);
}

static void
test_mx(void **state)
{
	(void)state;
	begin(0x8180, DNS_MX, 2, 0);
	put_rr(DNS_MX, TTL, "\1\2\1a\0", 5);
	put_rr(DNS_MX, TTL, "\0\0\0", 3);
	assert_int_equal(parse(DNS_MX), SP_OK);
	assert_int_equal(record(0).preference, 258);
	assert_data(0, "a", 1);
	assert_int_equal(record(1).preference, 0);
	assert_int_equal(record(1).data.len, 0);
	/* what can be asked for is a name, be it a host's or not */
	begin(0x8180, DNS_MX, 4, 0);
	put_rr(DNS_MX, TTL, "\0\0\5a:b/c\0", 9);
	put_rr(DNS_MX, TTL, "\0\0\3a b\0", 7);
	put_rr(DNS_MX, TTL, "\0\0\3a.b\0", 7);
	put_rr(DNS_MX, TTL, "\0\0\3a\\b\0", 7);
	assert_int_equal(parse(DNS_MX), SP_OK);
	assert_int_equal(answer.count, 1);
	assert_data(0, "a:b/c", 5);
	for (size_t len = 0; len < 3; len++) {
		begin(0x8180, DNS_MX, 1, 0);
		put_rr(DNS_MX, TTL, "\0\0\0", len);
		assert_int_equal(parse(DNS_MX), SP_TEMPFAIL);
	}
}

static void
test_txt(void **state)
{
	static char data[65000];
	size_t len = 0;

	(void)state;
	begin(0x8180, DNS_TXT, 3, 0);
	put_rr(DNS_TXT, TTL, "\3v=s\0\4p\0f1", 10);
	put_rr(DNS_TXT, TTL, "\0", 1);
	put_rr(DNS_TXT, TTL, "", 0);
	assert_int_equal(parse(DNS_TXT), SP_OK);
	assert_int_equal(answer.count, 3);
	assert_data(0, "v=sp\0f1", 7);
	assert_int_equal(record(1).data.len, 0);
	assert_int_equal(record(2).data.len, 0);
	/* a string that is longer than its record */
	begin(0x8180, DNS_TXT, 1, 0);
	put_rr(DNS_TXT, TTL, "\2a", 2);
	put(1, 'b');
	assert_int_equal(parse(DNS_TXT), SP_TEMPFAIL);
	/* as large as it can be */
	while (len + 256 <= sizeof(data)) {
		memset(data + len, 'x', 256);
		data[len] = (char)255;
		len += 256;
	}
	begin(0x8180, DNS_TXT, 1, 0);
	put_rr(DNS_TXT, TTL, data, len);
	assert_int_equal(parse(DNS_TXT), SP_OK);
	assert_int_equal(record(0).data.len, len / 256 * 255);
	/* as many strings as it can have, all of them empty */
	memset(data, 0, sizeof(data));
	begin(0x8180, DNS_TXT, 1, 0);
	put_rr(DNS_TXT, TTL, data, sizeof(data));
	assert_int_equal(parse(DNS_TXT), SP_OK);
	assert_int_equal(record(0).data.len, 0);
}

static void
test_many(void **state)
{
	(void)state;
	for (uint16_t n = DNS_RECORDS_MAX - 1; n <= DNS_RECORDS_MAX + 1; n++) {
		begin(0x8180, DNS_A, n, 0);
		for (uint16_t i = 0; i < n; i++)
			put_rr(DNS_A, TTL, "\1\2\3\4", 4);
		assert_int_equal(parse(DNS_A), n <= DNS_RECORDS_MAX ? SP_OK : SP_TEMPFAIL);
		begin(0x8180, DNS_PTR, n, 0);
		for (uint16_t i = 0; i < n; i++)
			put_rr(DNS_PTR, TTL, "\1a\0", 3);
		assert_int_equal(parse(DNS_PTR), SP_OK);
		assert_int_equal(answer.count, n <= DNS_RECORDS_MAX ? n : DNS_RECORDS_MAX);
	}
	/* no more is read than the message has */
	begin(0x8180, DNS_PTR, 65535, 65535);
	put_rr(DNS_PTR, TTL, "\1a\0", 3);
	assert_int_equal(parse(DNS_PTR), SP_TEMPFAIL);
}

static void
test_names(void **state)
{
	struct sp_ip ip = { 6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 0x2a } };
	static const char v6[] = "a.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";

	(void)state;
	assert_int_equal(dns_name_check(SPAN_LIT("_DMARC.Example.ORG."), &name), SP_OK);
	assert_string_equal(name.text, "_dmarc.example.org");
	assert_int_equal(name.len, 18);
	assert_int_equal(dns_name_check(SPAN_LIT("a.."), &name), SP_INVALID);
	assert_int_equal(dns_name_check(span_of(NULL, 0), &name), SP_INVALID);
	assert_int_equal(dns_name_reverse(&ip, &name), SP_OK);
	assert_string_equal(name.text, v6);
	assert_int_equal(name.len, sizeof(v6) - 1);
	ip = (struct sp_ip){ 4, { 255, 0, 10, 1 } };
	assert_int_equal(dns_name_reverse(&ip, &name), SP_OK);
	assert_string_equal(name.text, "1.10.0.255.in-addr.arpa");
}

static int
setup(void **state)
{
	(void)state;
	dns_answer_init(&answer);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	dns_answer_fini(&answer);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_address_sizes),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_negative),
		cmocka_unit_test(test_referral),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_host_names),
		cmocka_unit_test(test_mx),
		cmocka_unit_test(test_txt),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
