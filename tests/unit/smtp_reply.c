/*
 * smtp_reply.c - replies in and out: nothing of a hostile backend's octets gets through raw (R02-R05, R08).
 */
#include "proxy/smtp/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"

static struct reply_parser parser;
static struct buf out;

static int
set_up(void **state)
{
	(void)state;
	reply_parser_init(&parser);
	buf_init(&out, 1024 * 1024);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	reply_parser_fini(&parser);
	buf_fini(&out);
	return 0;
}

/* Shows in as it would arrive, step octets more at a time, until a result; *used octets were taken. */
static enum reply_result
parse_steps(struct sp_span in, size_t step, size_t *used)
{
	enum reply_result result = REPLY_MORE;
	size_t shown = 0;

	*used = 0;
	reply_parser_next(&parser);
	while (result == REPLY_MORE && shown < in.len) {
		size_t n;

		shown = shown + step < in.len ? shown + step : in.len;
		result = reply_parse(&parser, span_of(in.ptr + *used, shown - *used), &n);
		*used += n;
		assert_true(*used <= shown);
	}
	return result;
}

static void
check_reply(struct sp_span in, int code, const char *enhanced, const char *text, size_t left)
{
	for (size_t step = 1; step <= in.len; step++) {
		size_t used;

		assert_int_equal(parse_steps(in, step, &used), REPLY_OK);
		assert_int_equal(used, in.len - left);
		assert_int_equal(parser.reply.code, code);
		assert_string_equal(parser.reply.enhanced, enhanced);
		assert_string_equal(buf_cstr(&parser.reply.text), text);
	}
}

static void
check_bad(struct sp_span in)
{
	for (size_t step = 1; step <= in.len; step++) {
		size_t used;

		assert_int_equal(parse_steps(in, step, &used), REPLY_BAD);
		assert_non_null(parser.error);
		assert_int_equal(reply_parse(&parser, SPAN_LIT("250 ok\r\n"), &used), REPLY_BAD);
	}
}

static void
one_line(void **state)
{
	(void)state;
	check_reply(SPAN_LIT("250 2.0.0 Ok: queued as 4F2X1\r\n"), 250, "2.0.0", "Ok: queued as 4F2X1", 0);
	check_reply(SPAN_LIT("250 ok\n"), 250, "", "ok", 0);
	check_reply(SPAN_LIT("354 go\r\n"), 354, "", "go", 0);
	check_reply(SPAN_LIT("200 x\r\n"), 200, "", "x", 0);
	check_reply(SPAN_LIT("599 x\r\n"), 599, "", "x", 0);
	check_reply(SPAN_LIT("550 5.7.999\r\n"), 550, "5.7.999", "", 0);
}

static void
several_lines(void **state)
{
	(void)state;
	check_reply(SPAN_LIT("250-mx.example.com\r\n250-SIZE 100\r\n250 PIPELINING\r\n"), 250, "",
		"mx.example.com\nSIZE 100\nPIPELINING", 0);
	check_reply(SPAN_LIT("550-5.7.1 not\r\n550 5.7.1 today\r\n"), 550, "5.7.1", "not\ntoday", 0);
	check_reply(SPAN_LIT("250-\r\n250\r\n"), 250, "", "\n", 0);
}

static void
enhanced_code_of_another_class_is_text(void **state)
{
	(void)state;
	check_reply(SPAN_LIT("250 5.0.0 no\r\n"), 250, "", "5.0.0 no", 0);
	check_reply(SPAN_LIT("450 4.1 x\r\n"), 450, "", "4.1 x", 0);
	check_reply(SPAN_LIT("450 4.1.1234 x\r\n"), 450, "", "4.1.1234 x", 0);
	check_reply(SPAN_LIT("450 4.1234.1 x\r\n"), 450, "", "4.1234.1 x", 0);
	check_reply(SPAN_LIT("220 2.0.0.1 x\r\n"), 220, "", "2.0.0.1 x", 0);
	check_reply(SPAN_LIT("250 2..0 x\r\n"), 250, "", "2..0 x", 0);
	check_reply(SPAN_LIT("250 2.0. x\r\n"), 250, "", "2.0. x", 0);
}

static void
R02_second_reply_is_left(void **state)
{
	size_t used;

	(void)state;
	check_reply(SPAN_LIT("250 one\r\n250 2.0.0 queued\r\n"), 250, "", "one", 18);
	assert_int_equal(parse_steps(SPAN_LIT("250 one\r\n"), 9, &used), REPLY_OK);
	reply_parser_next(&parser);
	assert_int_equal(reply_parse(&parser, SPAN_LIT("550 5.1.1 two\r\n"), &used), REPLY_OK);
	assert_int_equal(parser.reply.code, 550);
	assert_int_equal(parser.reply.lines, 1);
}

static void
R03_not_a_reply(void **state)
{
	(void)state;
	check_bad(SPAN_LIT("25\r\n"));
	check_bad(SPAN_LIT("2500 x\r\n"));
	check_bad(SPAN_LIT("999 x\r\n"));
	check_bad(SPAN_LIT("600 x\r\n"));
	check_bad(SPAN_LIT("199 x\r\n"));
	check_bad(SPAN_LIT("000 x\r\n"));
	check_bad(SPAN_LIT("abc\r\n"));
	check_bad(SPAN_LIT("\r\n"));
	check_bad(SPAN_LIT("+50 x\r\n"));
	check_bad(SPAN_LIT("250+x\r\n"));
	check_bad(SPAN_LIT(" 250 x\r\n"));
	check_bad(SPAN_LIT("2\xb2""0 x\r\n"));
}

static void
R03_codes_differ(void **state)
{
	(void)state;
	check_bad(SPAN_LIT("250-x\r\n550 y\r\n"));
	check_bad(SPAN_LIT("250-x\r\n251 y\r\n"));
}

static void
R03_no_text(void **state)
{
	size_t used;

	(void)state;
	check_reply(SPAN_LIT("250\r\n"), 250, "", "", 0);
	check_reply(SPAN_LIT("250 \r\n"), 250, "", "", 0);
	assert_int_equal(parse_steps(SPAN_LIT("250-"), 1, &used), REPLY_MORE);
	assert_int_equal(used, 0);
	assert_int_equal(parse_steps(SPAN_LIT("250-x\r\n"), 1, &used), REPLY_MORE);
	assert_int_equal(used, 7);
}

static void
R03_too_many_lines(void **state)
{
	size_t used;

	(void)state;
	for (size_t lines = REPLY_LINES - 1; lines <= REPLY_LINES + 1; lines++) {
		buf_clear(&out);
		for (size_t i = 1; i < lines; i++)
			buf_add_str(&out, "250-a\r\n");
		buf_add_str(&out, "250 a\r\n");
		assert_int_equal(parse_steps(buf_span(&out), 13, &used), lines <= REPLY_LINES ? REPLY_OK : REPLY_BAD);
	}
}

/* A line of so many octets, its end included. */
static struct sp_span
long_line(size_t octets, const char *end)
{
	size_t text = octets - strlen(end);

	buf_clear(&out);
	assert_non_null(buf_room(&out, octets));
	memset(out.ptr, 'x', text);
	memcpy(out.ptr, "250 ", 4);
	buf_added(&out, text);
	buf_add_str(&out, end);
	return buf_span(&out);
}

static void
R03_too_many_octets(void **state)
{
	size_t used;

	(void)state;
	for (size_t step = 1000; step <= 100000; step += 33000) {
		assert_int_equal(parse_steps(long_line(REPLY_OCTETS - 1, "\r\n"), step, &used), REPLY_OK);
		assert_int_equal(parse_steps(long_line(REPLY_OCTETS, "\r\n"), step, &used), REPLY_OK);
		assert_int_equal(parse_steps(long_line(REPLY_OCTETS + 1, "\r\n"), step, &used), REPLY_BAD);
		assert_int_equal(parse_steps(long_line(1024 * 1024, "\r\n"), step, &used), REPLY_BAD);
	}
	/* no line end in all that a full input buffer holds: there is no use in waiting */
	assert_int_equal(parse_steps(long_line(REPLY_OCTETS - 1, ""), REPLY_OCTETS, &used), REPLY_MORE);
	assert_int_equal(parse_steps(long_line(REPLY_OCTETS, ""), REPLY_OCTETS, &used), REPLY_BAD);
}

static void
R03_many_octets_in_lines(void **state)
{
	size_t used;

	(void)state;
	buf_clear(&out);
	for (int i = 0; i < 70; i++) {
		buf_add_str(&out, "250-");
		for (int k = 0; k < 100; k++)
			buf_add_str(&out, "0123456789");
		buf_add_str(&out, "\r\n");
	}
	buf_add_str(&out, "250 end\r\n");
	assert_int_equal(parse_steps(buf_span(&out), 5000, &used), REPLY_BAD);
}

static void
R04_controls_in_text(void **state)
{
	(void)state;
	check_reply(SPAN_LIT("250 a\rb\0c\r\r\n"), 250, "", "a?b?c?", 0);
	check_reply(SPAN_LIT("250 a\n250 ok\r\n"), 250, "", "a", 8);
	reply_add(&out, 550, "5.7.1", SPAN_LIT("a\rb\0c\x1b[1m\x7f\xc3\xa4\td"));
	assert_string_equal(buf_cstr(&out), "550 5.7.1 a?b?c?[1m????d\r\n");
}

/* R05: what a code means is the caller's; that it is of a wrong class must be seen. */
static void
R05_class(void **state)
{
	(void)state;
	check_reply(SPAN_LIT("250 to DATA\r\n"), 250, "", "to DATA", 0);
	assert_int_equal(reply_class(parser.reply.code), 2);
	check_reply(SPAN_LIT("354 to the dot\r\n"), 354, "", "to the dot", 0);
	assert_int_equal(reply_class(parser.reply.code), 3);
}

static void
R08_many_keywords(void **state)
{
	size_t used;

	(void)state;
	buf_add_str(&out, "250-mx\r\n");
	for (int i = 0; i < 10000; i++)
		buf_add_str(&out, "250-XKEYWORD\r\n");
	assert_int_equal(parse_steps(buf_span(&out), 4096, &used), REPLY_BAD);
}

static void
built(void **state)
{
	(void)state;
	reply_add(&out, 250, NULL, SPAN_LIT("mx.example.com\nSIZE 1\nPIPELINING"));
	reply_add(&out, 550, "5.7.1", SPAN_LIT("not\ntoday\n"));
	reply_add(&out, 250, "2.0.0", SPAN_LIT(""));
	reply_add(&out, 250, "", SPAN_LIT(""));
	reply_add(&out, 250, "", SPAN_LIT("a\n\nb"));
	assert_string_equal(buf_cstr(&out),
		"250-mx.example.com\r\n250-SIZE 1\r\n250 PIPELINING\r\n550-5.7.1 not\r\n550 5.7.1 today\r\n"
		"250 2.0.0\r\n250 \r\n250-a\r\n250-\r\n250 b\r\n");
}

static void
built_within_limits(void **state)
{
	struct buf text = { 0 };
	size_t lines = 0;

	(void)state;
	buf_init(&text, 1024 * 1024);
	for (int i = 0; i < REPLY_TEXT; i++)
		buf_add_char(&text, 'x');
	reply_add(&out, 250, "2.0.0", buf_span(&text));
	assert_int_equal(out.len, 4 + 6 + REPLY_TEXT + 2);
	buf_add_char(&text, 'x');
	reply_add(&out, 250, "2.0.0", buf_span(&text));
	assert_int_equal(out.len, 2 * (4 + 6 + REPLY_TEXT + 2));
	buf_clear(&text);
	buf_clear(&out);
	for (int i = 0; i <= REPLY_LINES; i++)
		buf_add_str(&text, "a\n");
	reply_add(&out, 250, NULL, buf_span(&text));
	for (size_t i = 0; i < out.len; i++)
		lines += out.ptr[i] == '\n';
	assert_int_equal(lines, REPLY_LINES);
	assert_memory_equal(out.ptr + out.len - 7, "250 a\r\n", 7);
	buf_fini(&text);
}

static void
queue_ids(void **state)
{
	static const char *const texts[][2] = {
		{ "Ok: queued as 4F2X1", "4F2X1" },
		{ "from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4bXYZ1234z", "4bXYZ1234z" },
		{ "OK id=1tAbCd-0001Xy-2Z", "1tAbCd-0001Xy-2Z" },
		{ "2ad3d4f0 Message accepted for delivery", "2ad3d4f0" },
		{ "5ADDx1234 Message accepted", "5ADDx1234" },
		{ "<a@b> [InternalId=4711, Hostname=x] Queued mail for delivery", "4711" },
		{ "Ok: queued as ABC.", "ABC" },
		{ "Ok", "" },
		{ "", "" },
		{ "Ok: queued as ", "" },
		{ "queued as \"x\" y", "" },
		{ "Message accepted for delivery", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct sp_span id = reply_queue_id(span_str(texts[i][0]));

		assert_int_equal(id.len, strlen(texts[i][1]));
		assert_true(span_eq(id, span_str(texts[i][1])));
	}
}

#define UNIT(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(one_line),
		UNIT(several_lines),
		UNIT(enhanced_code_of_another_class_is_text),
		UNIT(R02_second_reply_is_left),
		UNIT(R03_not_a_reply),
		UNIT(R03_codes_differ),
		UNIT(R03_no_text),
		UNIT(R03_too_many_lines),
		UNIT(R03_too_many_octets),
		UNIT(R03_many_octets_in_lines),
		UNIT(R04_controls_in_text),
		UNIT(R05_class),
		UNIT(R08_many_keywords),
		UNIT(built),
		UNIT(built_within_limits),
		UNIT(queue_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
