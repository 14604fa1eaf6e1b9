/*
 * Packets of the milter protocol: what is sent, octet by octet; what comes, taken only as it must be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <libmilter/mfapi.h>

#include "milter/wire.h"

static struct sp_span
span(const char *s)
{
	return (struct sp_span){ s, strlen(s) };
}

#define SENT(o, octets) \
	do { \
		assert_int_equal((o).status, SP_OK); \
		assert_int_equal((o).len, sizeof(octets) - 1); \
		assert_memory_equal((o).ptr, octets, sizeof(octets) - 1); \
		wire_out_reset(&(o)); \
	} while (0)

static void
test_commands(void **state)
{
	struct wire_out o;
	struct wire_options options = { .version = 6, .actions = 0x1ff, .protocol = 0x301fffff };
	struct sp_ip v4 = { 4, { 192, 0, 2, 1 } }, v6 = { 6, { 0x20, 1, 0xd, 0xb8, [15] = 1 } }, none = { 0 };

	(void)state;
	wire_out_init(&o, 1000);
	wire_optneg(&o, &options);
	SENT(o, "\0\0\0\15O\0\0\0\6\0\0\1\377\60\37\377\377");
	options.listed[2] = true;
	options.lists[2] = span("i j");
	wire_optneg(&o, &options);
	SENT(o, "\0\0\0\25O\0\0\0\6\0\0\1\377\60\37\377\377\0\0\0\2i j\0");
	wire_connect(&o, span("a.b"), &v4, 0x1234);
	SENT(o, "\0\0\0\22" "Ca.b\0" "4\22\64" "192.0.2.1\0");
	wire_connect(&o, span("[2001:db8::1]"), &v6, 25);
	SENT(o, "\0\0\0\36" "C[2001:db8::1]\0" "6\0\31" "2001:db8::1\0");
	wire_connect(&o, span("unknown"), &none, 25);
	SENT(o, "\0\0\0\12" "Cunknown\0U");
	wire_line(&o, SMFIC_HELO, span("mx"));
	SENT(o, "\0\0\0\4Hmx\0");
	wire_envelope(&o, SMFIC_MAIL, span("a@b"), span("SIZE=1  BODY=7BIT "));
	SENT(o, "\0\0\0\30M<a@b>\0SIZE=1\0BODY=7BIT\0");
	wire_envelope(&o, SMFIC_RCPT, span(""), span(""));
	SENT(o, "\0\0\0\4R<>\0");
	wire_header(&o, span("A"), span("b"));
	wire_body(&o, span("x\r\n"));
	wire_command(&o, SMFIC_BODYEOB);
	SENT(o, "\0\0\0\5LA\0b\0\0\0\0\4Bx\r\n\0\0\0\1E");
	wire_macros_begin(&o, SMFIC_MAIL);
	wire_macro(&o, span("i"), span("ID"));
	wire_macro(&o, span("{x}"), span(""));
	wire_end(&o);
	SENT(o, "\0\0\0\14DMi\0ID\0{x}\0\0");
	wire_out_fini(&o);
}

static void
test_out_limits(void **state)
{
	struct wire_out o;

	(void)state;
	wire_out_init(&o, 12);
	wire_line(&o, SMFIC_HELO, span("123456"));
	assert_int_equal(o.status, SP_OK);
	assert_int_equal(o.len, 12);
	wire_out_reset(&o);
	wire_line(&o, SMFIC_HELO, span("1234567")); /* one too many */
	assert_int_equal(o.status, SP_LIMIT);
	assert_int_equal(o.len, 0);
	wire_command(&o, SMFIC_ABORT); /* nothing is sent behind a gap */
	assert_int_equal(o.len, 0);
	wire_out_reset(&o);
	wire_line(&o, SMFIC_HELO, (struct sp_span){ "a\0b", 3 });
	assert_int_equal(o.status, SP_INVALID);
	assert_int_equal(o.len, 0);
	wire_out_fini(&o);
}

static void
test_packets(void **state)
{
	const struct {
		struct sp_span in;
		size_t max;
		enum sp_status status;
		size_t used;
	} cases[] = { { { "", 0 }, 10, SP_NONE, 0 }, { { "\0\0\0", 3 }, 10, SP_NONE, 0 }, { { "\0\0\0\1", 4 }, 10, SP_NONE, 0 },
		{ { "\0\0\0\1c", 5 }, 10, SP_OK, 5 }, { { "\0\0\0\2q\0rest", 10 }, 10, SP_OK, 6 }, { { "\0\0\0\0", 4 }, 10, SP_INVALID, 0 },
		{ { "\0\0\0\13", 4 }, 10, SP_INVALID, 0 }, { { "\0\0\0\12", 4 }, 10, SP_NONE, 0 }, { { "\377\377\377\377", 4 }, 10, SP_INVALID, 0 },
		{ { "\200\0\0\0", 4 }, 10, SP_INVALID, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire_packet p;
		size_t used = 0;

		assert_int_equal(wire_packet_take(cases[i].in, cases[i].max, &p, &used), cases[i].status);
		assert_int_equal(used, cases[i].used);
	}
}

static enum sp_status
read_data(char letter, const char *data, size_t len, struct wire_reply *ret)
{
	static char scratch[65536];
	struct wire_packet p = { letter, { data, len } };

	memset(ret, 0, sizeof(*ret));
	return wire_reply_read(&p, scratch, ret);
}
#define READ(letter, data, ret) read_data(letter, data, sizeof(data) - 1, ret)
#define IS(s, text) \
	do { \
		assert_int_equal((s).len, sizeof(text) - 1); \
		assert_memory_equal((s).ptr, text, sizeof(text) - 1); \
	} while (0)

static void
test_bare(void **state)
{
	struct wire_reply r;

	(void)state;
	for (const char *c = "cartd4fsp"; *c != '\0'; c++) {
		assert_int_equal(READ(*c, "", &r), SP_OK);
		assert_int_equal(r.letter, *c);
		assert_non_null(wire_reply_name(*c));
		assert_int_equal(READ(*c, "x", &r), SP_INVALID);
		assert_int_equal(READ(*c, "\0", &r), SP_INVALID);
	}
	for (int c = 0; c < 256; c++)
		if (wire_reply_name((char)c) == NULL)
			assert_int_equal(read_data((char)c, "", 0, &r), SP_INVALID);
}

static void
test_edits(void **state)
{
	struct wire_reply r;

	(void)state;
	assert_int_equal(READ('h', "N\0v\n w\0", &r), SP_OK);
	IS(r.name, "N");
	IS(r.value, "v\n w");
	assert_int_equal(READ('h', "N\0\0", &r), SP_OK);
	assert_int_equal(READ('h', "\0v\0", &r), SP_INVALID);
	assert_int_equal(READ('h', "N\0v", &r), SP_INVALID);
	assert_int_equal(READ('h', "N\0", &r), SP_INVALID);
	assert_int_equal(READ('h', "N", &r), SP_INVALID);
	assert_int_equal(READ('h', "", &r), SP_INVALID);
	assert_int_equal(READ('h', "N\0v\0x", &r), SP_INVALID);
	assert_int_equal(READ('h', "N\0v\0\0", &r), SP_INVALID);
	for (const char *c = "im"; *c != '\0'; c++) {
		assert_int_equal(READ(*c, "\0\0\1\2N\0v\0", &r), SP_OK);
		assert_int_equal(r.index, 258);
		assert_int_equal(READ(*c, "\177\377\377\377N\0v\0", &r), SP_OK);
		assert_int_equal(READ(*c, "\200\0\0\0N\0v\0", &r), SP_INVALID);
		assert_int_equal(READ(*c, "\377\377\377\377N\0v\0", &r), SP_INVALID);
		assert_int_equal(READ(*c, "\0\0\0", &r), SP_INVALID);
		assert_int_equal(READ(*c, "\0\0\0\1", &r), SP_INVALID);
		assert_int_equal(READ(*c, "\0\0\0\1N\0v", &r), SP_INVALID);
		assert_int_equal(READ(*c, "\0\0\0\1\0v\0", &r), SP_INVALID);
		assert_int_equal(READ(*c, "\0\0\0\1N\0v\0x\0", &r), SP_INVALID);
	}
	for (const char *c = "e2"; *c != '\0'; c++) {
		assert_int_equal(READ(*c, "<a@b>\0", &r), SP_OK);
		IS(r.address, "<a@b>");
		assert_int_equal(r.params.len, 0);
		assert_int_equal(READ(*c, "<a@b>\0SIZE=1\0", &r), SP_OK);
		IS(r.params, "SIZE=1");
		assert_int_equal(READ(*c, "<a@b>\0SIZE=1", &r), SP_INVALID);
		assert_int_equal(READ(*c, "<a@b>\0SIZE=1\0x\0", &r), SP_INVALID);
	}
	for (const char *c = "+-"; *c != '\0'; c++) {
		assert_int_equal(READ(*c, "<a@b>\0", &r), SP_OK);
		IS(r.address, "<a@b>");
		assert_int_equal(READ(*c, "<a@b>\0SIZE=1\0", &r), SP_INVALID);
	}
	for (const char *c = "e2+-"; *c != '\0'; c++) {
		assert_int_equal(READ(*c, "<a@b>", &r), SP_INVALID);
		assert_int_equal(READ(*c, "\0", &r), SP_INVALID);
		assert_int_equal(READ(*c, "", &r), SP_INVALID);
	}
	assert_int_equal(READ('b', "x\0y", &r), SP_OK); /* octets: whether they may stand there others say */
	IS(r.text, "x\0y");
	assert_int_equal(READ('b', "", &r), SP_OK);
	assert_int_equal(READ('q', "why\0", &r), SP_OK);
	IS(r.text, "why");
	assert_int_equal(READ('q', "why", &r), SP_INVALID);
	assert_int_equal(READ('q', "why\0x", &r), SP_INVALID);
}

static void
test_options(void **state)
{
	struct wire_reply r;

	(void)state;
	assert_int_equal(READ('O', "\0\0\0\6\0\0\1\377\0\37\0\0", &r), SP_OK);
	assert_int_equal(r.options.version, 6);
	assert_int_equal(r.options.actions, 0x1ff);
	assert_int_equal(r.options.protocol, 0x1f0000);
	assert_false(r.options.listed[0]);
	assert_int_equal(READ('O', "\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\2i j\0\0\0\0\6\0\0\0\1\7x\0", &r), SP_OK);
	assert_true(r.options.listed[2]);
	IS(r.options.lists[2], "i j");
	assert_true(r.options.listed[6]);
	assert_int_equal(r.options.lists[6].len, 0);
	assert_int_equal(READ('O', "\0\0\0\6\0\0\0\0\0\0\0", &r), SP_INVALID);
	assert_int_equal(READ('O', "", &r), SP_INVALID);
	assert_int_equal(READ('O', "\0\0\0\6\0\0\0\0\0\0\0\0x", &r), SP_INVALID);
	assert_int_equal(READ('O', "\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\2i", &r), SP_INVALID);
	assert_int_equal(wire_version_protocol(2), 0x7f);
	assert_int_equal(wire_version_protocol(3), 0x17f);
	assert_int_equal(wire_version_protocol(4), 0x37f);
	assert_int_equal(wire_version_protocol(6), 0x301fffff);
	assert_int_equal(wire_version_actions(4), 0x3f);
	assert_int_equal(wire_version_actions(6), 0x1ff);
	assert_int_equal(wire_chunk(0), 65535);
	assert_int_equal(wire_chunk(SMFIP_MDS_256K), 262143);
	assert_int_equal(wire_chunk(SMFIP_MDS_1M), 1048575);
}

static void
test_codes(void **state)
{
	static const char *const wrong[] = { "", "5", "55", "250 ok", "354 go", "650 5.7.1 x", "050 x", "5a0 x", "550x", "550-5.7.1 only",
		"550  5.7.1\rx", "550 5.7.1 a\nb", "550 5.7.1 a\tb\x7f", "550 4.7.1 class", "450 5.7.1 class", "550 2.0.0 class",
		"550-5.7.1 a\r\n551 5.7.1 b", "550 5.7.1 a\r\n550 5.7.1 b", "550-a\r\n550-b", "550-a\r\n", "550-a\r\nb",
		"550-5.7.1 a\r\n450 b", "550-a\r\n\r\n550 b", "550 a\r", "550 \x1b[31m" };
	static const struct {
		const char *in;
		int code;
		const char *enhanced, *text;
	} right[] = {
		{ "550 5.7.1 no", 550, "5.7.1", "no" },
		{ "451 4.7.1 later", 451, "4.7.1", "later" },
		{ "421 4.3.2 bye", 421, "4.3.2", "bye" },
		{ "550 no", 550, "", "no" },
		{ "550", 550, "", "" },
		{ "550 ", 550, "", "" },
		{ "550 5.7.1", 550, "5.7.1", "" },
		{ "550 5.7.1 ", 550, "5.7.1", "" },
		{ "550 5.123.456 x", 550, "5.123.456", "x" },
		{ "550 5.1234.1 x", 550, "", "5.1234.1 x" },
		{ "550 55.1.1 x", 550, "", "55.1.1 x" },
		{ "550 5.7. x", 550, "", "5.7. x" },
		{ "550 5.7.1x", 550, "", "5.7.1x" },
		{ "550 100%% %%%% %s %", 550, "", "100% %% %s %" },
		{ "550 t\ta\xc3\xbc", 550, "", "t a??" },
		{ "550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c", 550, "5.7.1", "a\nb\nc" },
		{ "550-a\r\n550 5.7.1 b", 550, "", "a\nb" },
	};
	struct wire_reply r;
	char line[WIRE_REPLY_LINE + 8], many[WIRE_REPLY_LINES * 8 + 32];
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (read_data('y', wrong[i], strlen(wrong[i]) + 1, &r) != SP_INVALID)
			fail_msg("'%s' was taken", wrong[i]);
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_int_equal(read_data('y', right[i].in, strlen(right[i].in) + 1, &r), SP_OK);
		assert_int_equal(r.code, right[i].code);
		assert_int_equal(r.enhanced.len, strlen(right[i].enhanced));
		assert_memory_equal(r.enhanced.ptr, right[i].enhanced, r.enhanced.len);
		assert_int_equal(r.text.len, strlen(right[i].text));
		assert_memory_equal(r.text.ptr, right[i].text, r.text.len);
		assert_int_equal(read_data('y', right[i].in, strlen(right[i].in), &r), SP_INVALID); /* without its NUL */
	}
	assert_int_equal(READ('y', "550 a\0b\0", &r), SP_INVALID);
	memset(line, 'x', sizeof(line));
	memcpy(line, "550 ", 4);
	line[WIRE_REPLY_LINE] = '\0';
	assert_int_equal(read_data('y', line, WIRE_REPLY_LINE + 1, &r), SP_OK);
	line[WIRE_REPLY_LINE] = 'x';
	line[WIRE_REPLY_LINE + 1] = '\0';
	assert_int_equal(read_data('y', line, WIRE_REPLY_LINE + 2, &r), SP_INVALID);
	for (unsigned i = 1; i < WIRE_REPLY_LINES; i++, len += 7)
		memcpy(many + len, "550-x\r\n", 7);
	memcpy(many + len, "550 x\0", 6);
	assert_int_equal(read_data('y', many, len + 6, &r), SP_OK);
	memcpy(many + len, "550-x\r\n550 x\0", 13);
	assert_int_equal(read_data('y', many, len + 13, &r), SP_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_out_limits),
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
