/*
 * smtp_command.c - command words, paths and parameters (AD02, AD05, AD07-AD12 as whole commands).
 */
#include "proxy/smtp/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"

static const struct command_limits mail = { .mail = true, .offered = EXT_BIT(EXT_SIZE) | EXT_BIT(EXT_8BITMIME) };
static const struct command_limits rcpt = { .offered = EXT_BIT(EXT_SIZE) | EXT_BIT(EXT_8BITMIME) };
static const struct command_limits mail_all = { .mail = true, .offered = EXT_BIT(EXT_SIZE) | EXT_BIT(EXT_8BITMIME), .quoted_local = true,
	.literals = true };
static struct command_path path;

static void
check(const struct command_limits *limits, struct sp_span argument, int code, const char *enhanced)
{
	struct command_error err = command_parse_path(argument, limits, &path);

	assert_int_equal(err.code, code);
	if (code != 0) {
		assert_string_equal(err.enhanced, enhanced);
		assert_true(strlen(err.text) > 0);
		assert_int_equal(err.enhanced[0], '0' + code / 100);
	}
}

#define MAIL(argument, code, enhanced) check(&mail, SPAN_LIT(argument), (code), (enhanced))
#define RCPT(argument, code, enhanced) check(&rcpt, SPAN_LIT(argument), (code), (enhanced))

static void
check_word(struct sp_span line, enum command_verb verb, const char *word, const char *argument)
{
	struct command cmd = command_parse(line);

	assert_int_equal(cmd.verb, verb);
	assert_true(span_eq(cmd.word, span_str(word)));
	assert_true(span_eq(cmd.argument, span_str(argument)));
}

static void
words(void **state)
{
	(void)state;
	check_word(SPAN_LIT("EHLO mx.example.com"), COMMAND_EHLO, "EHLO", "mx.example.com");
	check_word(SPAN_LIT("ehlo  x \t"), COMMAND_EHLO, "ehlo", "x");
	check_word(SPAN_LIT("HELO"), COMMAND_HELO, "HELO", "");
	check_word(SPAN_LIT("MAIL FROM:<a@b> SIZE=1"), COMMAND_MAIL, "MAIL", "FROM:<a@b> SIZE=1");
	check_word(SPAN_LIT("rcpt\tTO:<a@b>"), COMMAND_RCPT, "rcpt", "TO:<a@b>");
	check_word(SPAN_LIT("DATA"), COMMAND_DATA, "DATA", "");
	check_word(SPAN_LIT("Rset"), COMMAND_RSET, "Rset", "");
	check_word(SPAN_LIT("NOOP x"), COMMAND_NOOP, "NOOP", "x");
	check_word(SPAN_LIT("VRFY a"), COMMAND_VRFY, "VRFY", "a");
	check_word(SPAN_LIT("EXPN a"), COMMAND_EXPN, "EXPN", "a");
	check_word(SPAN_LIT("HELP"), COMMAND_HELP, "HELP", "");
	check_word(SPAN_LIT("QUIT"), COMMAND_QUIT, "QUIT", "");
	check_word(SPAN_LIT("STARTTLS"), COMMAND_STARTTLS, "STARTTLS", "");
	check_word(SPAN_LIT("AUTH PLAIN x"), COMMAND_AUTH, "AUTH", "PLAIN x");
	check_word(SPAN_LIT("BDAT 5 LAST"), COMMAND_BDAT, "BDAT", "5 LAST");
	check_word(SPAN_LIT("MAILFROM:<a@b>"), COMMAND_UNKNOWN, "MAILFROM:<a@b>", "");
	check_word(SPAN_LIT("DAT"), COMMAND_UNKNOWN, "DAT", "");
	check_word(SPAN_LIT("DATAX"), COMMAND_UNKNOWN, "DATAX", "");
	check_word(SPAN_LIT(""), COMMAND_UNKNOWN, "", "");
}

static void
no_smtp_at_all(void **state)
{
	static const char *const lines[] = { "GET / HTTP/1.1", "POST / HTTP/1.1", "CONNECT x:25 HTTP/1.1", "PUT /", "HEAD /", "OPTIONS *",
		"\x16\x03\x01", " EHLO x", "\xff", "{", "1" };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(command_parse(span_str(lines[i])).verb, COMMAND_HTTP);
	assert_int_equal(command_parse(SPAN_LIT("\0")).verb, COMMAND_HTTP);
}

static void
paths(void **state)
{
	(void)state;
	MAIL("FROM:<a@b>", 0, NULL);
	assert_true(span_eq(path.address.text, SPAN_LIT("a@b")));
	assert_int_equal(path.size, -1);
	assert_false(path.body_given || path.body_8bit);
	MAIL("from:<>", 0, NULL);
	assert_int_equal(path.address.text.len, 0);
	MAIL("FROM: <a@b>", 0, NULL);
	MAIL("FROM:  <a@b>", 501, "5.5.4");
	MAIL("FROM :<a@b>", 501, "5.5.4");
	MAIL("FROM", 501, "5.5.4");
	MAIL("FROM:", 501, "5.5.4");
	MAIL("", 501, "5.5.4");
	MAIL("TO:<a@b>", 501, "5.5.4");
	MAIL("FROM:<postmaster>", 501, "5.1.7");
	RCPT("TO:<a@b>", 0, NULL);
	RCPT("To: <a@b>", 0, NULL);
	RCPT("TO:<postmaster>", 0, NULL);
	RCPT("TO:<>", 501, "5.1.3");
	RCPT("FROM:<a@b>", 501, "5.5.4");
}

static void
AD01_empty_quoted_string(void **state)
{
	(void)state;
	RCPT("TO:<\"\"@x>", 501, "5.1.3");
	MAIL("FROM:<\"\"@x>", 501, "5.1.7");
	check(&mail_all, SPAN_LIT("FROM:<\"\"@x>"), 501, "5.1.7");
}

static void
AD02_quoted_local_parts(void **state)
{
	(void)state;
	RCPT("TO:<\"a@b\"@c>", 553, "5.1.3");
	RCPT("TO:<\"a\\\"@x\"@y>", 553, "5.1.3");
	RCPT("TO:<\"a b\"@c>", 553, "5.1.3");
	RCPT("TO:<\"a\nb\"@c>", 501, "5.1.3");
	MAIL("FROM:<\"a b\"@c>", 553, "5.1.7");
	check(&mail_all, SPAN_LIT("FROM:<\"a>b\"@c> SIZE=7"), 0, NULL);
	assert_int_equal(path.size, 7);
}

static void
AD03_source_route(void **state)
{
	(void)state;
	RCPT("TO:<@a,@b:c@d>", 553, "5.1.3");
}

static void
AD05_text_around_brackets(void **state)
{
	(void)state;
	RCPT("TO:<aaa@bbb.com>ccc@ddd.com", 501, "5.5.4");
	RCPT("TO:<a@b>x", 501, "5.5.4");
	RCPT("TO:a@b", 501, "5.5.4");
	RCPT("TO:< a@b >", 501, "5.5.4");
	RCPT("TO:<a@b", 501, "5.5.4");
	RCPT("TO:<a@b>>", 501, "5.5.4");
	RCPT("TO:x <a@b>", 501, "5.5.4");
}

static void
AD07_literals(void **state)
{
	(void)state;
	RCPT("TO:<a@[127.0.0.1]>", 550, "5.1.2");
	RCPT("TO:<a@[IPv6:::1]>", 550, "5.1.2");
	RCPT("TO:<a@[1.2.3]>", 501, "5.1.3");
	RCPT("TO:<a@b..c>", 501, "5.1.3");
	check(&mail_all, SPAN_LIT("FROM:<a@[127.0.0.1]>"), 0, NULL);
}

static void
AD08_too_long(void **state)
{
	char text[128];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "TO:<", 4);
	memcpy(text + 4 + 65, "@b>", 3);
	check(&rcpt, span_of(text, 4 + 65 + 3), 501, "5.1.3");
	memcpy(text + 4 + 64, "@b>", 3);
	check(&rcpt, span_of(text, 4 + 64 + 3), 0, NULL);
}

static void
AD09_utf8(void **state)
{
	(void)state;
	RCPT("TO:<\xc3\xa4@b>", 553, "5.6.7");
	MAIL("FROM:<\xc3\xa4@b>", 553, "5.6.7");
	RCPT("TO:<\xff@b>", 501, "5.5.2");
}

/* AD10: odd octets of a local part are only octets. */
static void
AD10_shell(void **state)
{
	(void)state;
	RCPT("TO:<root+:\"|touch /tmp/0wn\"@x>", 501, "5.1.3");
	RCPT("TO:<a;b@x>", 501, "5.1.3");
	RCPT("TO:<../a@x>", 501, "5.1.3");
	RCPT("TO:<`a`@x>", 0, NULL);
	RCPT("TO:<-a@x>", 0, NULL);
	assert_true(span_eq(path.address.local, SPAN_LIT("-a")));
}

static void
AD11_size(void **state)
{
	static const struct command_limits plain = { .mail = true };

	(void)state;
	MAIL("FROM:<a@b> SIZE=0", 0, NULL);
	assert_int_equal(path.size, 0);
	MAIL("FROM:<> size=9223372036854775807", 0, NULL);
	assert_true(path.size == INT64_MAX);
	MAIL("FROM:<> SIZE=9223372036854775808", 501, "5.5.4");
	MAIL("FROM:<> SIZE=99999999999999999999", 501, "5.5.4");
	MAIL("FROM:<> SIZE=1 SIZE=2", 501, "5.5.4");
	MAIL("FROM:<> SIZE=1 size=1", 501, "5.5.4");
	MAIL("FROM:<> SIZE=-1", 501, "5.5.4");
	MAIL("FROM:<> SIZE=+1", 501, "5.5.4");
	MAIL("FROM:<> SIZE=0x10", 501, "5.5.4");
	MAIL("FROM:<> SIZE=", 501, "5.5.4");
	MAIL("FROM:<> SIZE", 501, "5.5.4");
	check(&plain, SPAN_LIT("FROM:<> SIZE=1"), 555, "5.5.4");
	RCPT("TO:<a@b> SIZE=1", 555, "5.5.4");
}

static void
AD11_body(void **state)
{
	static const struct command_limits plain = { .mail = true };

	(void)state;
	MAIL("FROM:<> BODY=8BITMIME SIZE=5", 0, NULL);
	assert_true(path.body_given && path.body_8bit && path.size == 5);
	MAIL("FROM:<> body=7bit", 0, NULL);
	assert_true(path.body_given && !path.body_8bit);
	MAIL("FROM:<> BODY=BINARYMIME", 501, "5.5.4");
	MAIL("FROM:<> BODY", 501, "5.5.4");
	check(&plain, SPAN_LIT("FROM:<> BODY=7BIT"), 555, "5.5.4");
}

static void
AD11_other_parameters(void **state)
{
	(void)state;
	MAIL("FROM:<> RET=X", 555, "5.5.4");
	MAIL("FROM:<> ENVID=a+00b", 555, "5.5.4");
	MAIL("FROM:<> AUTH=+0A", 555, "5.5.4");
	MAIL("FROM:<> X=1", 555, "5.5.4");
	MAIL("FROM:<> SMTPUTF8", 555, "5.5.4");
	MAIL("FROM:<> X=1 X=1", 501, "5.5.4");
	RCPT("TO:<a@b> ORCPT=rfc822;a+0d+0aRCPT", 555, "5.5.4");
	MAIL("FROM:<> =1", 501, "5.5.4");
	MAIL("FROM:<> -X=1", 501, "5.5.4");
	MAIL("FROM:<> X_Y=1", 501, "5.5.4");
	MAIL("FROM:<> X=1=2", 501, "5.5.4");
	MAIL("FROM:<> X=\xc3\xa4", 501, "5.5.4");
	MAIL("FROM:<> X=\x01", 501, "5.5.4");
	MAIL("FROM:<> SIZE=1\tBODY=7BIT", 501, "5.5.4");
	MAIL("FROM:<>   SIZE=1   BODY=7BIT", 0, NULL);
}

static void
AD11_many_parameters(void **state)
{
	char text[512];

	(void)state;
	for (unsigned count = COMMAND_PARAMS; count <= 50; count += 50 - COMMAND_PARAMS - 1) {
		size_t len = (size_t)snprintf(text, sizeof(text), "FROM:<>");

		for (unsigned i = 0; i < count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, " X%u=1", i);
		check(&mail, span_of(text, len), count <= COMMAND_PARAMS ? 555 : 501, "5.5.4");
	}
	check(&mail, span_of(text, (size_t)snprintf(text, sizeof(text),
		"FROM:<> A=1 B=1 C=1 D=1 E=1 F=1 G=1 H=1 I=1 J=1 K=1 L=1 M=1 N=1 O=1 P=1 Q=1")), 501, "5.5.4");
}

static void
AD12_comments(void **state)
{
	(void)state;
	MAIL("FROM:<(any@legitimate.com>", 501, "5.1.7");
	MAIL("FROM:<any@legitimate.com(a.attack.com>", 501, "5.1.7");
	MAIL("FROM:<any@legitimate.com'@any.attack.com>", 501, "5.1.7");
}

static void
result_is_left_alone_on_error(void **state)
{
	(void)state;
	path = (struct command_path){ .size = 4711 };
	MAIL("FROM:<a@b> SIZE=5 X=1", 555, "5.5.4");
	assert_int_equal(path.size, 4711);
	assert_null(path.address.text.ptr);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(no_smtp_at_all),
		cmocka_unit_test(paths),
		cmocka_unit_test(AD01_empty_quoted_string),
		cmocka_unit_test(AD02_quoted_local_parts),
		cmocka_unit_test(AD03_source_route),
		cmocka_unit_test(AD05_text_around_brackets),
		cmocka_unit_test(AD07_literals),
		cmocka_unit_test(AD08_too_long),
		cmocka_unit_test(AD09_utf8),
		cmocka_unit_test(AD10_shell),
		cmocka_unit_test(AD11_size),
		cmocka_unit_test(AD11_body),
		cmocka_unit_test(AD11_other_parameters),
		cmocka_unit_test(AD11_many_parameters),
		cmocka_unit_test(AD12_comments),
		cmocka_unit_test(result_is_left_alone_on_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
