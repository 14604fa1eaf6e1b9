/* table_find.c - tables of each kind of key: what is found, what is not, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "policy/table/table.h"

static struct table *
build(enum sp_type key, const char *const *keys)
{
	struct table *t = table_new(key, SP_INT);
	struct sp_span dup;
	const char *err;

	assert_non_null(t);
	for (int64_t i = 0; keys[i] != NULL; i++) {
		struct sp_value v = { SP_INT, { .integer = i } };

		if (table_add(t, span_str(keys[i]), &v, &err) != SP_OK)
			fail_msg("%s: %s", keys[i], err);
	}
	assert_int_equal(table_close(t, &dup), SP_OK);
	return t;
}

static int64_t
find_text(const struct table *t, const char *text)
{
	struct sp_value key = { SP_STRING, { .text = span_str(text) } };
	const struct sp_value *v = table_find(t, &key);

	return v == NULL ? -1 : v->u.integer;
}

static int64_t
find_net(const struct table *t, const char *text)
{
	struct sp_value key = { SP_NET, { 0 } };
	const struct sp_value *v;

	if (span_find(span_str(text), '/') == strlen(text)) {
		key.type = SP_IP;
		assert_int_equal(span_to_ip(span_str(text), &key.u.ip), SP_OK);
	} else {
		assert_int_equal(span_to_net(span_str(text), &key.u.net), SP_OK);
	}
	v = table_find(t, &key);
	return v == NULL ? -1 : v->u.integer;
}

static void
test_domain(void **state)
{
	static const char *const keys[] = { "example.com", ".example.com", ".com", "Sub.Example.COM", "b\xc3\xa4r.de.",
		NULL };
	struct table *t = build(SP_DOMAIN, keys);

	(void)state;
	assert_int_equal(find_text(t, "example.com"), 0);
	assert_int_equal(find_text(t, "EXAMPLE.com."), 0);
	assert_int_equal(find_text(t, "a.example.com"), 1);
	assert_int_equal(find_text(t, "b.a.example.com"), 1);
	assert_int_equal(find_text(t, "other.com"), 2);
	assert_int_equal(find_text(t, "sub.example.com"), 3);
	assert_int_equal(find_text(t, "x.sub.example.com"), 1);
	assert_int_equal(find_text(t, "b\xc3\xa4r.de"), 4);
	assert_int_equal(find_text(t, "B\xc3\x84R.de"), 4);
	assert_int_equal(find_text(t, "xn--br-via.de"), 4);
	assert_int_equal(find_text(t, "b\xc3.de"), -1);
	assert_int_equal(find_text(t, "com"), -1);
	assert_int_equal(find_text(t, "notexample.org"), -1);
	assert_int_equal(find_text(t, ".example.com"), 2);
	assert_int_equal(find_text(t, ""), -1);
	assert_int_equal(find_text(t, "."), -1);
	table_free(&t);
	assert_null(t);
}

static void
test_domain_any(void **state)
{
	static const char *const keys[] = { "*", ".org", NULL };
	struct table *t = build(SP_DOMAIN, keys);
	char big[400];

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(find_text(t, "x.org"), 1);
	assert_int_equal(find_text(t, "org"), 0);
	assert_int_equal(find_text(t, big), 0);
	assert_int_equal(find_text(t, ""), -1);
	table_free(&t);
}

static void
test_address(void **state)
{
	static const char *const keys[] = { "Ann@Example.com", "@example.com", "<>", "\"a@b\"@c.example",
		"\xc3\xa4@b\xc3\xa4r.de", NULL };
	struct table *t = build(SP_ADDRESS, keys);

	(void)state;
	assert_int_equal(find_text(t, "\xc3\xa4@xn--br-via.de"), 4);
	assert_int_equal(find_text(t, "\xc3\xa4@B\xc3\x84R.DE"), 4);
	assert_int_equal(find_text(t, "a@b\xc3\xa4r.de"), -1);
	assert_int_equal(find_text(t, "\xc3\xa4@b\xc3.de"), -1);
	assert_int_equal(find_text(t, "ann@EXAMPLE.com"), 0);
	assert_int_equal(find_text(t, "bob@example.com"), 1);
	assert_int_equal(find_text(t, ""), 2);
	assert_int_equal(find_text(t, "\"a@b\"@c.example"), 3);
	assert_int_equal(find_text(t, "b\"@c.example"), -1);
	assert_int_equal(find_text(t, "ann@sub.example.com"), -1);
	assert_int_equal(find_text(t, "postmaster"), -1);
	table_free(&t);
}

static void
test_string(void **state)
{
	static const char *const keys[] = { "alpha", "Alpha", NULL };
	struct table *t = build(SP_STRING, keys);

	(void)state;
	assert_int_equal(find_text(t, "alpha"), 0);
	assert_int_equal(find_text(t, "Alpha"), 1);
	assert_int_equal(find_text(t, "ALPHA"), -1);
	assert_int_equal(find_net(t, "192.0.2.1"), -1);
	table_free(&t);
}

static void
test_net(void **state)
{
	static const char *const keys[] = { "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "255.255.255.255",
		"2001:db8::/32", "2001:db8::/48", "2001:db8::1", "ffff::/16", "10.255.0.0/16", "2001:db8:0:0:8000::/65",
		NULL };
	struct table *t = build(SP_NET, keys);

	(void)state;
	assert_int_equal(find_net(t, "10.9.9.9"), 0);
	assert_int_equal(find_net(t, "10.1.9.9"), 1);
	assert_int_equal(find_net(t, "10.1.2.9"), 2);
	assert_int_equal(find_net(t, "10.1.2.3"), 3);
	assert_int_equal(find_net(t, "10.1.3.0"), 1);
	assert_int_equal(find_net(t, "10.255.255.255"), 9);
	assert_int_equal(find_net(t, "11.0.0.0"), -1);
	assert_int_equal(find_net(t, "9.255.255.255"), -1);
	assert_int_equal(find_net(t, "255.255.255.255"), 4);
	assert_int_equal(find_net(t, "255.255.255.254"), -1);
	assert_int_equal(find_net(t, "::ffff:10.1.2.3"), 3);
	assert_int_equal(find_net(t, "2001:db8::1"), 7);
	assert_int_equal(find_net(t, "2001:db8::2"), 6);
	assert_int_equal(find_net(t, "2001:db8::8000:0:0:1"), 10);
	assert_int_equal(find_net(t, "2001:db8:1::"), 5);
	assert_int_equal(find_net(t, "ffff:ffff::1"), 8);
	assert_int_equal(find_net(t, "a00::"), -1); /* 10.0.0.0 as the head of an IPv6 address */
	assert_int_equal(find_net(t, "10.1.2.0/24"), 2);
	assert_int_equal(find_net(t, "10.1.2.0/25"), 2);
	assert_int_equal(find_net(t, "10.1.2.0/23"), 1);
	assert_int_equal(find_net(t, "10.0.0.0/7"), -1);
	assert_int_equal(find_net(t, "10.1.2.3/32"), 3);
	table_free(&t);
}

static void
test_net_all(void **state)
{
	static const char *const keys[] = { "0.0.0.0/0", "128.0.0.0/1", "::/0", NULL };
	struct table *t = build(SP_NET, keys);
	struct sp_value none = { SP_IP, { 0 } };

	(void)state;
	assert_int_equal(find_net(t, "127.255.255.255"), 0);
	assert_int_equal(find_net(t, "255.255.255.255"), 1);
	assert_int_equal(find_net(t, "::"), 2);
	assert_int_equal(find_net(t, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 2);
	assert_null(table_find(t, &none));
	table_free(&t);
}

static uint32_t
next_random(void)
{
	static uint64_t s = 42;

	s = s * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(s >> 33);
}

static struct sp_net
random_net(uint8_t family, bool whole)
{
	struct sp_net net = { .ip.family = family };
	unsigned width = family == 4 ? 32 : 128;

	/* few distinct bits, so that nets nest and meet */
	for (size_t i = 0; i < width / 8u; i++)
		net.ip.bytes[i] = next_random() % 3 == 0 ? (uint8_t)(next_random() & 0xc1) : 0;
	net.bits = (uint8_t)(whole ? width : next_random() % (width + 1));
	for (unsigned bit = net.bits; bit < width; bit++)
		net.ip.bytes[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
	return net;
}

static int64_t
slow_find(const struct sp_net *nets, size_t count, const struct sp_net *key)
{
	int64_t best = -1;

	for (size_t i = 0; i < count; i++)
		if (nets[i].bits <= key->bits && net_has(&nets[i], &key->ip) &&
			(best < 0 || nets[i].bits > nets[best].bits))
			best = (int64_t)i;
	return best;
}

/* The same answers as looking at every net in turn. */
static void
test_net_random(void **state)
{
	enum { MANY = 2000, FEW = 60, ROUNDS = 300 };
	static struct sp_net nets[MANY];
	struct sp_span dup;
	const char *err;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct table *t = table_new(SP_NET, SP_INT);
		int count = round % 50 == 0 ? MANY : FEW;

		for (int i = 0; i < count; i++) {
			char ip[46], text[60];
			struct sp_value v = { SP_INT, { .integer = 0 } };

			nets[i] = random_net(next_random() % 2 == 0 ? 4 : 6, false);
			v.u.integer = nets[i].bits;
			span_from_ip(&nets[i].ip, ip);
			snprintf(text, sizeof(text), "%s/%u", ip, nets[i].bits);
			if (nets[i].ip.family == 4 || span_find(span_str(ip), '.') == strlen(ip))
				assert_int_equal(table_add(t, span_str(text), &v, &err), SP_OK);
			else
				nets[i].ip.family = 0;
		}
		assert_int_equal(table_close(t, &dup), SP_OK);
		for (int i = 0; i < 200; i++) {
			struct sp_net key = random_net(next_random() % 2 == 0 ? 4 : 6, i % 2 == 0);
			struct sp_value v = { SP_NET, { .net = key } };
			const struct sp_value *hit = table_find(t, &v);
			int64_t want = slow_find(nets, (size_t)count, &key);

			assert_int_equal(hit == NULL ? -1 : hit->u.integer, want < 0 ? -1 : nets[want].bits);
		}
		table_free(&t);
	}
}

static void
refused(enum sp_type key, const char *text, const char *sentence)
{
	struct table *t = table_new(key, SP_END);
	const char *err = NULL;

	assert_int_equal(table_add(t, span_str(text), NULL, &err), SP_INVALID);
	assert_string_equal(err, sentence);
	assert_int_equal(table_count(t), 0);
	table_free(&t);
}

static void
test_refused(void **state)
{
	char big[1100];

	(void)state;
	refused(SP_DOMAIN, "*.example.com", "write .example.com for all names below example.com");
	refused(SP_DOMAIN, "a..b", "two dots in a row in a domain");
	refused(SP_DOMAIN, ".", "a domain is missing");
	refused(SP_DOMAIN, "a b", "not a domain: letters, digits, '-', '_' and dots only");
	refused(SP_ADDRESS, "example.com", "not an address: write a@example.com, or @example.com for all of a domain");
	refused(SP_ADDRESS, "a@", "a domain is missing");
	refused(SP_NET, "10.0.0.1/8", "the address has bits set that the net's length leaves out");
	refused(SP_NET, "10.0.0.0/33", "the length of a net is a number from 0 to 32, for IPv6 to 128");
	refused(SP_NET, "10.0.0.0/", "the length of a net is a number from 0 to 32, for IPv6 to 128");
	refused(SP_NET, "10.0.0", "not an IPv4 or IPv6 address or net");
	memset(big, 'a', sizeof(big));
	big[64] = '\0';
	refused(SP_DOMAIN, big, "a part of a domain has at most 63 characters");
	big[64] = 'a';
	for (size_t i = 60; i < 300; i += 60)
		big[i] = '.';
	big[254] = '\0';
	refused(SP_DOMAIN, big, "a domain has at most 253 characters");
	big[254] = 'a';
	big[1025] = '\0';
	refused(SP_STRING, big, "a key has at most 1024 bytes");
}

static void
test_longest_keys(void **state)
{
	struct table *t = table_new(SP_STRING, SP_END);
	struct sp_value yes;
	struct sp_span dup;
	const char *err;
	char big[1025];

	(void)state;
	memset(big, 'k', 1024);
	big[1024] = '\0';
	assert_int_equal(table_add(t, span_str(big), NULL, &err), SP_OK);
	assert_int_equal(table_close(t, &dup), SP_OK);
	yes = (struct sp_value){ SP_STRING, { .text = span_str(big) } };
	assert_non_null(table_find(t, &yes));
	assert_int_equal(table_find(t, &yes)->type, SP_BOOL);
	assert_true(table_find(t, &yes)->u.boolean);
	table_free(&t);
}

/* The same key and value twice is one entry; with another value it is an error. */
static void
test_twice(void **state)
{
	struct table *t = table_new(SP_DOMAIN, SP_STRING);
	struct sp_value one = { SP_STRING, { .text = SPAN_LIT("one") } };
	struct sp_value two = { SP_STRING, { .text = SPAN_LIT("two") } };
	struct sp_span dup = { NULL, 0 };
	const char *err;

	(void)state;
	assert_int_equal(table_add(t, SPAN_LIT("a.example"), &one, &err), SP_OK);
	assert_int_equal(table_add(t, SPAN_LIT("A.Example"), &one, &err), SP_OK);
	assert_int_equal(table_count(t), 1);
	assert_int_equal(table_add(t, SPAN_LIT("A.EXAMPLE"), &two, &err), SP_OK);
	assert_int_equal(table_close(t, &dup), SP_INVALID);
	assert_true(span_eq(dup, SPAN_LIT("A.EXAMPLE")));
	table_free(&t);

	t = table_new(SP_NET, SP_STRING);
	assert_int_equal(table_add(t, SPAN_LIT("::1"), &one, &err), SP_OK);
	assert_int_equal(table_add(t, SPAN_LIT("0::1/128"), &two, &err), SP_OK);
	assert_int_equal(table_close(t, &dup), SP_INVALID);
	assert_true(span_eq(dup, SPAN_LIT("0::1/128")));
	table_free(&t);
}

static void
test_many(void **state)
{
	struct table *t = table_new(SP_DOMAIN, SP_INT);
	struct sp_span dup;
	const char *err;
	char name[40];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct sp_value v = { SP_INT, { .integer = i } };

		snprintf(name, sizeof(name), "%sHost%d.example.net", i % 2 == 0 ? "." : "", i);
		assert_int_equal(table_add(t, span_str(name), &v, &err), SP_OK);
	}
	assert_int_equal(table_count(t), 20000);
	assert_int_equal(table_close(t, &dup), SP_OK);
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "%shost%d.EXAMPLE.net", i % 2 == 0 ? "x." : "", i);
		assert_int_equal(find_text(t, name), i);
	}
	assert_int_equal(find_text(t, "host0.example.net"), -1);
	assert_int_equal(find_text(t, "x.host1.example.net"), -1);
	table_free(&t);
}

static void
test_empty(void **state)
{
	static const enum sp_type keys[] = { SP_NET, SP_DOMAIN, SP_ADDRESS, SP_STRING };
	struct table *none = NULL;
	struct sp_span dup;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct table *t = table_new(keys[i], SP_END);
		struct sp_value ip = { SP_IP, { .ip = { 4, { 127, 0, 0, 1 } } } };

		assert_int_equal(table_close(t, &dup), SP_OK);
		assert_int_equal(table_key_type(t), keys[i]);
		assert_int_equal(table_value_type(t), SP_END);
		assert_int_equal(find_text(t, "a@example.com"), -1);
		assert_null(table_find(t, &ip));
		table_free(&t);
	}
	table_free(&none);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_domain),
		cmocka_unit_test(test_domain_any),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_string),
		cmocka_unit_test(test_net),
		cmocka_unit_test(test_net_all),
		cmocka_unit_test(test_net_random),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_longest_keys),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
