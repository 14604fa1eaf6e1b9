/* Who a client says he is in an AUTH exchange; base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/smtp/sasl.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static struct sp_span
encode(struct sp_span in, char *to)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len; i += 3) {
		unsigned v = (unsigned)(unsigned char)in.ptr[i] << 16;

		if (i + 1 < in.len)
			v |= (unsigned)(unsigned char)in.ptr[i + 1] << 8;
		if (i + 2 < in.len)
			v |= (unsigned char)in.ptr[i + 2];
		to[n++] = digits[v >> 18 & 63];
		to[n++] = digits[v >> 12 & 63];
		to[n++] = i + 1 < in.len ? digits[v >> 6 & 63] : '=';
		to[n++] = i + 2 < in.len ? digits[v & 63] : '=';
	}
	return span_of(to, n);
}

#define BYTES(s) { "" s, sizeof(s) - 1 }

struct sasl_case {
	const char *mechanism;
	struct sp_span answers[4]; /* not encoded; ended by ptr null */
	const char *name;          /* null: the last answer is refused, and those before it are not */
};

static const struct sasl_case cases[] = {
	{ "PLAIN", { BYTES("\0alice\0secret") }, "alice" },
	{ "plain", { BYTES("admin\0alice\0secret") }, "alice" },
	{ "PLAIN", { BYTES("\0alice\0") }, "alice" },
	{ "PLAIN", { BYTES("\0\xc3\xa4\0\xff") }, "\xc3\xa4" },
	{ "PLAIN", { BYTES("\0alice") }, NULL },
	{ "PLAIN", { BYTES("alice") }, NULL },
	{ "PLAIN", { BYTES("") }, NULL },
	{ "PLAIN", { BYTES("\0\0secret") }, NULL },
	{ "PLAIN", { BYTES("\0alice\0sec\0ret") }, NULL },
	{ "PLAIN", { BYTES("\0al\nice\0secret") }, NULL },
	{ "PLAIN", { BYTES("\0al\x7fice\0secret") }, NULL },
	{ "PLAIN", { BYTES("\0al\xc2\x85ice\0secret") }, NULL },
	{ "PLAIN", { BYTES("a\rb\0alice\0secret") }, NULL },
	{ "PLAIN", { BYTES("\0alice\0sec\r\nret") }, NULL },
	{ "PLAIN", { BYTES("\0\xff\0secret") }, NULL },
	{ "PLAIN", { BYTES("\0\xc0\xaf\0secret") }, NULL },
	{ "PLAIN", { BYTES("\0alice\0secret"), BYTES("\0eve\0secret") }, NULL },
	{ "LOGIN", { BYTES("alice"), BYTES("secret") }, "alice" },
	{ "LOGIN", { BYTES("alice"), BYTES("") }, "alice" },
	{ "LOGIN", { BYTES("") }, NULL },
	{ "LOGIN", { BYTES("al\0ice") }, NULL },
	{ "LOGIN", { BYTES("alice"), BYTES("sec\nret") }, NULL },
	{ "LOGIN", { BYTES("alice"), BYTES("eve"), BYTES("secret") }, NULL },
	{ "CRAM-MD5", { BYTES("tim b913a602c7eda7a495b4e6e7334d3890") }, "tim" },
	{ "CRAM-MD5", { BYTES("tim b B913A602C7EDA7A495B4E6E7334D3890") }, "tim b" },
	{ "CRAM-MD5", { BYTES("tim b913a602c7eda7a495b4e6e7334d389") }, NULL },
	{ "CRAM-MD5", { BYTES("tim b913a602c7eda7a495b4e6e7334d389x") }, NULL },
	{ "CRAM-MD5", { BYTES(" b913a602c7eda7a495b4e6e7334d3890") }, NULL },
	{ "CRAM-MD5", { BYTES("b913a602c7eda7a495b4e6e7334d3890") }, NULL },
	{ "CRAM-MD5", { BYTES("tim b913a602c7eda7a495b4e6e7334d3890"), BYTES("x") }, NULL },
	{ "SCRAM-SHA-1", { BYTES("n,,n=user,r=fyko"), BYTES("c=biws,r=fyko,p=v0X8"), BYTES("") }, "user" },
	{ "SCRAM-SHA-256", { BYTES("y,a=admin,n=us=2Cer=3d,r=x") }, "us,er=" },
	{ "SCRAM-SHA-256-PLUS", { BYTES("p=tls-unique,,n=user,r=x") }, "user" },
	{ "SCRAM-SHA-256", { BYTES("n,,n=us=er,r=x") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("n,,n=user=2,r=x") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("n,,m=ext,n=user,r=x") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("n,a=,n=user,r=x") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("n,x,n=user,r=x") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("n,n=user,r=x") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("z,,n=user,r=x") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("n,,n=,r=x") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("n,,n=user") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("n,,n=user,r=x"), BYTES("n,,n=eve,r=x") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("n,,n=user,r=x"), BYTES("c=biws"), BYTES("more") }, NULL },
	{ "SCRAM-SHA-256", { BYTES("n,,n=user,r=x"), BYTES("c=biws"), BYTES(""), BYTES("") }, NULL },
	{ "XOAUTH2", { BYTES("user=a@example.com\1auth=Bearer t\1\1") }, "a@example.com" },
	{ "XOAUTH2", { BYTES("user=a@example.com\1auth=Bearer t\1\1"), BYTES("") }, "a@example.com" },
	{ "XOAUTH2", { BYTES("user=a@example.com\1auth=Bearer t\1") }, NULL },
	{ "XOAUTH2", { BYTES("user=a\1\1auth=Bearer t\1\1") }, NULL },
	{ "XOAUTH2", { BYTES("user=a\1user=b\1auth=Bearer t\1\1") }, NULL },
	{ "XOAUTH2", { BYTES("user=\1auth=Bearer t\1\1") }, NULL },
	{ "XOAUTH2", { BYTES("user=a\1auth=Bearer t\1user=b\1\1") }, NULL }, /* Dovecot takes the last */
	{ "XOAUTH2", { BYTES("user=a\1auth=Bearer t\1host=h\1\1") }, NULL },
	{ "XOAUTH2", { BYTES("user=a\nb\1auth=Bearer t\1\1") }, NULL },
	{ "XOAUTH2", { BYTES("user=a\1auth=Bearer t\1\1"), BYTES("user=b\1auth=Bearer t\1\1") }, NULL },
	{ "OAUTHBEARER", { BYTES("n,a=a@example.com,\1host=h\1auth=Bearer t\1\1") }, "a@example.com" },
	{ "OAUTHBEARER", { BYTES("n,,\1auth=Bearer t\1\1"), BYTES("\1") }, "unknown" },
	{ "OAUTHBEARER", { BYTES("n,a=a@example.com,auth=Bearer t\1\1") }, NULL },
	{ "OAUTHBEARER", { BYTES("n,a=a@example.com,\1auth=Bearer t\1") }, NULL },
	{ "OAUTHBEARER", { BYTES("n,,\1auth=Bearer t\1\1"), BYTES("n,,\1auth=Bearer t\1\1") }, NULL },
	{ "EXTERNAL", { BYTES("") }, "unknown" },
	{ "EXTERNAL", { BYTES("alice") }, "alice" },
	{ "EXTERNAL", { BYTES("al\nice") }, NULL },
	{ "EXTERNAL", { BYTES("alice"), BYTES("eve") }, NULL },
	{ "GSSAPI", { BYTES("\0\1\2\n") }, "unknown" },
};

static void
run_case(const struct sasl_case *c)
{
	struct sasl s;
	char text[1024];

	sasl_init(&s, span_str(c->mechanism));
	for (size_t i = 0; i < 4 && c->answers[i].ptr != NULL; i++) {
		bool last = i == 3 || c->answers[i + 1].ptr == NULL;
		enum sp_status want = last && c->name == NULL ? SP_INVALID : SP_OK;
		enum sp_status st = sasl_answer(&s, encode(c->answers[i], text));

		if (st != want)
			fail_msg("%s, case %zu: answer %zu gives %d", c->mechanism, (size_t)(c - cases), i, (int)st);
	}
	if (c->name != NULL && !span_eq(sasl_name(&s), span_str(c->name)))
		fail_msg("%s, case %zu: the name is %s", c->mechanism, (size_t)(c - cases), s.name);
}

static void
test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run_case(&cases[i]);
}

static void
test_long_names(void **state)
{
	char name[300], text[500];
	struct sasl s;

	(void)state;
	memset(name, 'a', sizeof(name));
	sasl_init(&s, SPAN_LIT("LOGIN"));
	assert_int_equal(sasl_answer(&s, encode(span_of(name, 256), text)), SP_INVALID);
	sasl_init(&s, SPAN_LIT("LOGIN"));
	assert_int_equal(sasl_answer(&s, encode(span_of(name, 255), text)), SP_OK);
	assert_int_equal(sasl_name(&s).len, 255);
	memcpy(name, "n,,n=", 5);
	memcpy(name + 5 + 256, ",r=x", 4);
	sasl_init(&s, SPAN_LIT("SCRAM-SHA-1"));
	assert_int_equal(sasl_answer(&s, encode(span_of(name, 265), text)), SP_INVALID);
}

static void
test_long_answer(void **state)
{
	static char text[SASL_LINE + 4];
	struct sasl s;

	(void)state;
	memset(text, 'A', sizeof(text));
	sasl_init(&s, SPAN_LIT("GSSAPI"));
	assert_int_equal(sasl_answer(&s, span_of(text, SASL_LINE)), SP_OK);
	assert_int_equal(sasl_answer(&s, span_of(text, SASL_LINE + 4)), SP_INVALID);
}

static void
test_base64(void **state)
{
	static const char *const bad[] = { "A", "AA", "AAA", "AA=", "=AAA", "A===", "AA=A", "AA==AAAA", "AAA=AAAA", "AB==", "AAB=",
		"AA A", "AAAA\n", "AA-_", "AAAA ", "A*==", "====" };
	char out[16];
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (sasl_base64_ok(span_str(bad[i])))
			fail_msg("\"%s\" is taken for base64", bad[i]);
	assert_true(sasl_base64_ok(SPAN_LIT("")));
	assert_int_equal(sasl_base64_decode(SPAN_LIT("+/8AZm9v"), out, &len), SP_OK);
	assert_int_equal(len, 6);
	assert_memory_equal(out, "\xfb\xff\0foo", 6);
	assert_int_equal(sasl_base64_decode(SPAN_LIT("Zm9vYg=="), out, &len), SP_OK);
	assert_int_equal(len, 4);
	assert_int_equal(sasl_base64_decode(SPAN_LIT("Zm9vYmE="), out, &len), SP_OK);
	assert_memory_equal(out, "fooba", 5);
}

static void
test_mechanisms(void **state)
{
	(void)state;
	assert_true(sasl_mechanism_ok(SPAN_LIT("SCRAM-SHA-256-PLUS")));
	assert_true(sasl_mechanism_ok(SPAN_LIT("cram-md5")));
	assert_true(sasl_mechanism_ok(SPAN_LIT("A2345678901234567890")));
	assert_false(sasl_mechanism_ok(SPAN_LIT("A23456789012345678901")));
	assert_false(sasl_mechanism_ok(SPAN_LIT("")));
	assert_false(sasl_mechanism_ok(SPAN_LIT("PL AIN")));
	assert_false(sasl_mechanism_ok(SPAN_LIT("PLAIN\r")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_long_answer),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_mechanisms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
