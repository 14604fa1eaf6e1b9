/*
 * smtp_address.c - what RFC 5321 does not allow in a path is not taken (AD01-AD09, AD12), and lengths are exact.
 */
#include "proxy/smtp/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"

static struct address addr;
static size_t used;

static enum address_error
parse(struct sp_span in)
{
	enum address_error err;
	char *copy = malloc(in.len + 1); /* of that size, so that reading beyond it is seen */

	assert_non_null(copy);
	memcpy(copy + 1, in.ptr, in.len);
	err = address_parse(span_of(copy + 1, in.len), (struct address_rules){ 0 }, &addr, &used);
	free(copy);
	return err;
}

#define REFUSED(in, err) assert_int_equal(parse(SPAN_LIT(in)), (err))

static void
check_taken(struct sp_span in, const char *local, const char *domain)
{
	assert_int_equal(address_parse(in, (struct address_rules){ 0 }, &addr, &used), ADDRESS_OK);
	assert_int_equal(used, in.len);
	assert_true(span_eq(addr.text, span_of(in.ptr + 1, in.len - 2)));
	assert_true(span_eq(addr.local, span_str(local)));
	assert_true(span_eq(addr.domain, span_str(domain)));
	assert_int_equal(addr.quoted, local[0] == '"');
	assert_int_equal(addr.literal, domain[0] == '[');
}

#define TAKEN(local, domain) check_taken(SPAN_LIT("<" local "@" domain ">"), local, domain)

static void
ordinary(void **state)
{
	(void)state;
	TAKEN("a", "b");
	TAKEN("first.last+tag", "mx.example.com");
	TAKEN("A", "EXAMPLE.COM");
	TAKEN("a", "xn--bcher-kva.example");
	TAKEN("a", "1.2.3.4");
	assert_int_equal(address_parse(SPAN_LIT("<a@b> SIZE=1"), (struct address_rules){ 0 }, &addr, &used), ADDRESS_OK);
	assert_int_equal(used, 5);
}

static void
null_path(void **state)
{
	(void)state;
	REFUSED("<>", ADDRESS_SYNTAX);
	assert_int_equal(address_parse(SPAN_LIT("<>"), (struct address_rules){ .null_ok = true }, &addr, &used), ADDRESS_OK);
	assert_int_equal(used, 2);
	assert_int_equal(addr.text.len + addr.local.len + addr.domain.len, 0);
}

static void
postmaster(void **state)
{
	struct address_rules rules = { .bare_postmaster = true };

	(void)state;
	REFUSED("<postmaster>", ADDRESS_SYNTAX);
	assert_int_equal(address_parse(SPAN_LIT("<PostMaster>"), rules, &addr, &used), ADDRESS_OK);
	assert_int_equal(used, 12);
	assert_true(span_eq(addr.local, SPAN_LIT("PostMaster")) && addr.domain.len == 0);
	assert_int_equal(address_parse(SPAN_LIT("<hostmaster>"), rules, &addr, &used), ADDRESS_SYNTAX);
}

static void
AD01_empty_quoted_string(void **state)
{
	(void)state;
	REFUSED("<\"\"@x>", ADDRESS_SYNTAX);
}

static void
AD02_quoted_strings(void **state)
{
	(void)state;
	TAKEN("\"a@b\"", "c");
	TAKEN("\"a\\\"@x\"", "y");
	TAKEN("\"a b\"", "c");
	TAKEN("\"a>b\"", "c");
	TAKEN("\"\\\\\"", "c");
	REFUSED("<\"a\r\nb\"@c>", ADDRESS_SYNTAX);
	REFUSED("<\"a\\\0\"@c>", ADDRESS_SYNTAX);
	REFUSED("<\"a\tb\"@c>", ADDRESS_SYNTAX);
	REFUSED("<\"a\\\"@c>", ADDRESS_SYNTAX);
	REFUSED("<\"a@c>", ADDRESS_SYNTAX);
	REFUSED("<\"a\"b@c>", ADDRESS_SYNTAX);
	REFUSED("<\"a\".b@c>", ADDRESS_SYNTAX);
	REFUSED("<a\"b\"@c>", ADDRESS_SYNTAX);
}

static void
AD03_source_routes(void **state)
{
	(void)state;
	REFUSED("<@a,@b:c@d>", ADDRESS_ROUTE);
	REFUSED("<@a:c@d>", ADDRESS_ROUTE);
	REFUSED("<@a>", ADDRESS_SYNTAX);
}

static void
AD04_percent_and_bang(void **state)
{
	(void)state;
	TAKEN("a%b", "c");
	TAKEN("b!a", "c");
	REFUSED("<a!b>", ADDRESS_SYNTAX);
}

static void
AD05_brackets(void **state)
{
	(void)state;
	REFUSED("<aaa@bbb.com>ccc@ddd.com", ADDRESS_BRACKETS);
	REFUSED("<a@b>x", ADDRESS_BRACKETS);
	REFUSED("<a@b>\tX=1", ADDRESS_BRACKETS);
	REFUSED("a@b", ADDRESS_BRACKETS);
	REFUSED("", ADDRESS_BRACKETS);
	REFUSED("<", ADDRESS_BRACKETS);
	REFUSED("< a@b >", ADDRESS_BRACKETS);
	REFUSED("<a@b >", ADDRESS_BRACKETS);
	REFUSED("<\ta@b>", ADDRESS_BRACKETS);
	REFUSED("<a@b", ADDRESS_BRACKETS);
	REFUSED("<\"a>b\"@c", ADDRESS_BRACKETS);
	REFUSED("<a@b>>", ADDRESS_BRACKETS);
	REFUSED("<<a@b>>", ADDRESS_BRACKETS);
	REFUSED("<<a@b>", ADDRESS_SYNTAX);
}

static void
AD06_encoded_word_is_an_atom(void **state)
{
	(void)state;
	TAKEN("=?utf-8?q?a=40b?=", "host");
}

static void
AD07_dots_hyphens_literals(void **state)
{
	(void)state;
	TAKEN("a", "[127.0.0.1]");
	TAKEN("a", "[IPv6:::1]");
	TAKEN("a", "[ipv6:2001:DB8::1]");
	TAKEN("a", "[IPv6:::ffff:192.0.2.1]");
	REFUSED("<a@[1.2.3]>", ADDRESS_SYNTAX);
	REFUSED("<a@[::1]>", ADDRESS_SYNTAX);
	REFUSED("<a@[IPv6:1.2.3.4]>", ADDRESS_SYNTAX);
	REFUSED("<a@[IPv6:1:2:3:4:5:6:7::]>", ADDRESS_SYNTAX);
	REFUSED("<a@[1.2.3.4>", ADDRESS_SYNTAX);
	REFUSED("<a@[1.2.3.4]x>", ADDRESS_SYNTAX);
	REFUSED("<a@[]>", ADDRESS_SYNTAX);
	REFUSED("<a@[x:y]>", ADDRESS_SYNTAX);
	REFUSED("<a@b..c>", ADDRESS_SYNTAX);
	REFUSED("<a@-b>", ADDRESS_SYNTAX);
	REFUSED("<a@b->", ADDRESS_SYNTAX);
	REFUSED("<a@b_c>", ADDRESS_SYNTAX);
	REFUSED("<a@b.>", ADDRESS_SYNTAX);
	REFUSED("<a@.b>", ADDRESS_SYNTAX);
	REFUSED("<a@>", ADDRESS_SYNTAX);
	REFUSED("<@b>", ADDRESS_SYNTAX);
	REFUSED("<.a@b>", ADDRESS_SYNTAX);
	REFUSED("<a.@b>", ADDRESS_SYNTAX);
	REFUSED("<a..b@c>", ADDRESS_SYNTAX);
	REFUSED("<a b@c>", ADDRESS_SYNTAX);
	REFUSED("<a@b@c>", ADDRESS_SYNTAX);
	REFUSED("<a\0@b>", ADDRESS_SYNTAX);
	REFUSED("<a@b\0>", ADDRESS_SYNTAX);
}

/* "<" local "@" labels of at most 63 ">", local and domain of those lengths. */
static struct sp_span
address_of(char *to, size_t local, size_t domain)
{
	to[0] = '<';
	memset(to + 1, 'a', local);
	to[1 + local] = '@';
	for (size_t i = 0; i < domain; i++)
		to[2 + local + i] = i % 64 == 63 && i + 1 < domain ? '.' : 'b';
	to[2 + local + domain] = '>';
	return span_of(to, local + domain + 3);
}

static void
AD08_lengths(void **state)
{
	char text[600], label[80];

	(void)state;
	assert_int_equal(parse(address_of(text, 63, 10)), ADDRESS_OK);
	assert_int_equal(parse(address_of(text, 64, 10)), ADDRESS_OK);
	assert_int_equal(parse(address_of(text, 65, 10)), ADDRESS_LENGTH);
	/* the path is 256 at most, its brackets included */
	assert_int_equal(address_of(text, 64, 189).len, 256);
	assert_int_equal(parse(address_of(text, 64, 189)), ADDRESS_OK);
	assert_int_equal(parse(address_of(text, 64, 190)), ADDRESS_LENGTH);
	assert_int_equal(parse(address_of(text, 1, 252)), ADDRESS_OK);
	assert_int_equal(parse(address_of(text, 1, 253)), ADDRESS_LENGTH);
	assert_int_equal(parse(address_of(text, 1, 300)), ADDRESS_LENGTH);
	for (size_t len = 62; len <= 64; len++) {
		memset(label, 'b', len);
		assert_int_equal(address_domain_ok(span_of(label, len)), len <= 63);
	}
	for (size_t len = 254; len <= 256; len++)
		assert_int_equal(address_domain_ok(span_of(address_of(text, 1, len).ptr + 3, len)), len <= 255);
}

/* RFC 6531: whoever wants ASCII only is told that there is more. Sentences of its EAI test set: Greek, Cyrillic, Chinese. */
static void
utf8_addresses(void **state)
{
	(void)state;
	TAKEN("\xc3\xa4", "b");
	assert_true(addr.utf8);
	TAKEN("a", "b");
	assert_false(addr.utf8);
	TAKEN("a", "b\xc3\xbc" "cher.example");
	assert_true(addr.utf8);
	TAKEN("\"\xf0\x9f\x98\x80 x\"", "b");
	TAKEN("\xce\xb8\xcf\x83\xce\xb5\xcf\x81",
		"\xce\xb5\xcf\x87\xce\xb1\xce\xbc\xcf\x80\xce\xbb\xce\xb5.\xcf\x88\xce\xbf\xce\xbc");
	TAKEN("\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd.\xd1\x81\xd0\xb5\xd1\x80\xd0\xb3\xd0\xb5\xd0\xb5\xd0\xb2",
		"\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80.\xd1\x80\xd1\x84");
	TAKEN("\xe7\x94\xa8\xe6\x88\xb7", "\xe4\xbe\x8b\xe5\xad\x90.\xe5\xb9\xbf\xe5\x91\x8a");
	TAKEN("\xe0\xa4\x85\xe0\xa4\x9c\xe0\xa4\xaf", "\xe0\xa4\xa1\xe0\xa4\xbe\xe0\xa4\x9f\xe0\xa4\xbe.\xe0\xa4\xad\xe0\xa4\xbe\xe0\xa4\xb0\xe0\xa4\xa4");
}

static void
utf8_that_is_no_address(void **state)
{
	(void)state;
	REFUSED("<\xc2\x85@b>", ADDRESS_SYNTAX);              /* C1 */
	REFUSED("<a\xe2\x80\xa8" "b@c>", ADDRESS_SYNTAX);    /* line separator */
	REFUSED("<\"\\\xc3\xa4\"@b>", ADDRESS_SYNTAX);    /* a quoted pair is ASCII */
	REFUSED("<a@b\xe3\x80\x82" "c>", ADDRESS_SYNTAX);    /* another kind of dot */
	REFUSED("<a@\xef\xbd\x82.c>", ADDRESS_SYNTAX);       /* full-width b */
	REFUSED("<a@\xe2\x80\x8b>", ADDRESS_SYNTAX);
	REFUSED("<a@\xc3\xa4.>", ADDRESS_SYNTAX);
	REFUSED("<a@-\xc3\xa4.b>", ADDRESS_SYNTAX);
	REFUSED("<a@\xc3\xa4_b.c>", ADDRESS_SYNTAX);
	REFUSED("<.\xc3\xa4@b>", ADDRESS_SYNTAX);
	REFUSED("<\xc3\xa4..b@c>", ADDRESS_SYNTAX);
	REFUSED("<\xc3\xa4 b@c>", ADDRESS_SYNTAX);
}

/* Octets count, not characters (RFC 6531 3.3). */
static void
utf8_lengths(void **state)
{
	char text[600] = "<";

	(void)state;
	for (size_t i = 0; i < 32; i++)
		memcpy(text + 1 + 2 * i, "\xc3\xa4", 2);
	memcpy(text + 65, "@b>", 4);
	assert_int_equal(parse(span_str(text)), ADDRESS_OK);
	memcpy(text + 65, "x@b>", 5);
	assert_int_equal(parse(span_str(text)), ADDRESS_LENGTH);
}

static void
AD09_not_utf8(void **state)
{
	(void)state;
	REFUSED("<\xff@b>", ADDRESS_NOT_UTF8);
	REFUSED("<\xc0\xaf@b>", ADDRESS_NOT_UTF8);
	REFUSED("<\xe0\x80\xaf@b>", ADDRESS_NOT_UTF8);
	REFUSED("<\xed\xa0\x80@b>", ADDRESS_NOT_UTF8);
	REFUSED("<\xf4\x90\x80\x80@b>", ADDRESS_NOT_UTF8);
	REFUSED("<a@b\xc3>", ADDRESS_NOT_UTF8);
	REFUSED("<a@b\xc3\xa4\x80>", ADDRESS_NOT_UTF8);
}

static void
AD12_comments_and_quotes(void **state)
{
	(void)state;
	REFUSED("<(any@legitimate.com>", ADDRESS_SYNTAX);
	REFUSED("<any@legitimate.com(a.attack.com>", ADDRESS_SYNTAX);
	REFUSED("<any@legitimate.com'@any.attack.com>", ADDRESS_SYNTAX);
}

static void
AD13_helo(void **state)
{
	static const char *const good[] = { "a", "mx.example.com", "WIN_PC-1", "[192.0.2.1]", "[IPv6:2001:db8::1]", "host.example.",
		"-a-", "192.0.2.1" };
	static const char *const bad[] = { "", "[", "[]", "[1.2.3]", ".", "a..b", ".a", "a b", "a|b", "a:b", "a\nb", "\xc3\xa4",
		"a@b", "a..", "[1.2.3.4].", "a\"" };
	char text[300];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(address_helo_ok(span_str(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(address_helo_ok(span_str(bad[i])));
	assert_false(address_helo_ok(SPAN_LIT("a\0b")));
	for (size_t len = 254; len <= 256; len++)
		assert_int_equal(address_helo_ok(span_of(address_of(text, 1, len).ptr + 3, len)), len <= 255);
}

static void
folded(void **state)
{
	char to[DOMAIN_OCTETS];

	(void)state;
	assert_true(span_eq(address_domain_fold(SPAN_LIT("B\xc3\x9c" "cher.example."), to), SPAN_LIT("xn--bcher-kva.example")));
	assert_true(span_eq(address_domain_fold(SPAN_LIT("A\xff."), to), SPAN_LIT("a\xff")));
	assert_true(span_eq(address_domain_fold(SPAN_LIT("MX.Example.Com."), to), SPAN_LIT("mx.example.com")));
	assert_true(span_eq(address_domain_fold(SPAN_LIT("a"), to), SPAN_LIT("a")));
	assert_int_equal(address_domain_fold(SPAN_LIT(""), to).len, 0);
}

static void
bare(void **state)
{
	(void)state;
	assert_int_equal(address_parse_bare(SPAN_LIT("a@b.example"), &addr), ADDRESS_OK);
	assert_true(span_eq(addr.domain, SPAN_LIT("b.example")));
	assert_int_equal(address_parse_bare(SPAN_LIT("<a@b>"), &addr), ADDRESS_SYNTAX);
	assert_int_equal(address_parse_bare(SPAN_LIT(""), &addr), ADDRESS_SYNTAX);
}

/* ---- the collection of isemail --------------------------------------------------------------- */

/* The string behind "key": " in a line of JSON, unescaped into to; its length, or -1. Only \uXXXX below 0x100, as there. */
static int
json_string(const char *line, const char *key, char *to, int room)
{
	const char *p = strstr(line, key);
	int len = 0;

	if (p == NULL)
		return -1;
	for (p += strlen(key); *p != '"' && *p != '\0' && len < room; p++) {
		static const char from[] = "nrtbf\"\\/", into[] = "\n\r\t\b\f\"\\/";
		unsigned octet = (unsigned char)*p;

		if (*p == '\\' && *++p == 'u') {
			if (sscanf(p, "u%4x", &octet) != 1 || octet > 0xff)
				return -1;
			p += 4;
		} else if (octet == '\\' && *p != '\0' && strchr(from, *p) != NULL) {
			octet = (unsigned char)into[strchr(from, *p) - from];
		}
		to[len++] = (char)octet;
	}
	return len;
}

static void
check_case(const char *line, unsigned *ret_taken)
{
	char text[1024], category[64];
	int len = json_string(line, "\"address\": \"", text, sizeof(text));
	int cat = json_string(line, "\"category\": \"", category, sizeof(category) - 1);
	bool taken, wanted;

	assert_true(len >= 0 && cat > 0);
	category[cat] = '\0';
	wanted = strcmp(category, "ISEMAIL_VALID_CATEGORY") == 0 || strcmp(category, "ISEMAIL_DNSWARN") == 0 ||
		strcmp(category, "ISEMAIL_RFC5321") == 0;
	if (len > 2 && memcmp(text, "\"\"@", 3) == 0)
		wanted = false; /* AD01 */
	taken = address_parse_bare(span_of(text, (size_t)len), &addr) == ADDRESS_OK;
	if (taken != wanted)
		fail_msg("%s, but taken is %d: %.*s", category, taken, len, text);
	*ret_taken += taken;
}

static void
isemail_collection(void **state)
{
	FILE *f = fopen(SALLYPORT_DATA "/address-isemail/cases.jsonl", "r");
	char line[4096];
	unsigned cases = 0, taken = 0;

	(void)state;
	if (f == NULL) {
		print_message("no " SALLYPORT_DATA "/address-isemail/cases.jsonl: skipped\n");
		skip();
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		check_case(line, &taken);
		cases++;
	}
	fclose(f);
	print_message("%u addresses, %u taken\n", cases, taken);
	assert_true(cases > 100 && taken > 30);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary),
		cmocka_unit_test(null_path),
		cmocka_unit_test(postmaster),
		cmocka_unit_test(AD01_empty_quoted_string),
		cmocka_unit_test(AD02_quoted_strings),
		cmocka_unit_test(AD03_source_routes),
		cmocka_unit_test(AD04_percent_and_bang),
		cmocka_unit_test(AD05_brackets),
		cmocka_unit_test(AD06_encoded_word_is_an_atom),
		cmocka_unit_test(AD07_dots_hyphens_literals),
		cmocka_unit_test(AD08_lengths),
		cmocka_unit_test(utf8_addresses),
		cmocka_unit_test(utf8_that_is_no_address),
		cmocka_unit_test(utf8_lengths),
		cmocka_unit_test(AD09_not_utf8),
		cmocka_unit_test(AD12_comments_and_quotes),
		cmocka_unit_test(AD13_helo),
		cmocka_unit_test(folded),
		cmocka_unit_test(bare),
		cmocka_unit_test(isemail_collection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
