/* table_read.c - tables from files: comments, line ends, and what is said of bad lines. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/kit/buf.h"
#include "policy/kit/span.h"
#include "policy/table/table.h"

static enum sp_status
parse(void *arg, struct sp_span text, struct sp_value *ret, const char **reterr)
{
	uint64_t n;

	(void)arg;
	if (span_to_u64(text, 1000, &n) != SP_OK) {
		*reterr = "not a number up to 1000";
		return SP_INVALID;
	}
	*ret = (struct sp_value){ SP_INT, { .integer = (int64_t)n } };
	return SP_OK;
}

static void
note(void *arg, unsigned line, unsigned column, const char *sentence)
{
	buf_printf(arg, "%u:%u: %s\n", line, column, sentence);
}

/* Reads text into t by way of a file, appends the reports to said. */
static enum sp_status
read_text(struct table *t, struct sp_span text, struct buf *said)
{
	char path[] = "/tmp/sallyport-table-XXXXXX";
	struct table_reader r = { parse, note, said };
	int fd = mkstemp(path);
	enum sp_status st;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.ptr, text.len), text.len);
	close(fd);
	st = table_read_file(t, path, &r);
	unlink(path);
	return st;
}

static int64_t
find(const struct table *t, const char *text)
{
	struct sp_value key = { SP_DOMAIN, { .text = span_str(text) } };
	const struct sp_value *v = table_find(t, &key);

	return v == NULL ? -1 : v->u.integer;
}

static void
test_good(void **state)
{
	struct table *t = table_new(SP_DOMAIN, SP_INT);
	struct sp_span dup;
	struct buf said;

	(void)state;
	buf_init(&said, 4096);
	assert_int_equal(read_text(t, SPAN_LIT("\xef\xbb\xbf# domains\r\n\r\na.example 1\r\n\tb.example\t 2 # two\n"
					       "  \nc.example 3#4\n"),
				 &said),
		SP_INVALID);
	assert_string_equal(buf_cstr(&said), "6:11: not a number up to 1000\n");
	table_free(&t);

	buf_clear(&said);
	t = table_new(SP_DOMAIN, SP_INT);
	assert_int_equal(read_text(t, SPAN_LIT("\xef\xbb\xbf# domains\r\n\r\na.example 1\r\n\tb.example\t 2 # two\n"
					       "  \nc.example 3"),
				 &said),
		SP_OK);
	assert_int_equal(said.len, 0);
	assert_int_equal(table_close(t, &dup), SP_OK);
	assert_int_equal(table_count(t), 3);
	assert_int_equal(find(t, "a.example"), 1);
	assert_int_equal(find(t, "b.example"), 2);
	assert_int_equal(find(t, "c.example"), 3);
	table_free(&t);
	buf_fini(&said);
}

static void
test_bad(void **state)
{
	struct table *t = table_new(SP_DOMAIN, SP_INT);
	struct buf said;

	(void)state;
	buf_init(&said, 4096);
	assert_int_equal(read_text(t, SPAN_LIT("a.example 1\na..b 2\nc.example\n d.example  x\nA.example 5\n"
					       "e.example\v6\n*.x 1\na.example 1\n"),
				 &said),
		SP_INVALID);
	assert_string_equal(buf_cstr(&said),
		"2:1: two dots in a row in a domain\n"
		"3:10: the value is missing\n"
		"4:13: not a number up to 1000\n"
		"5:1: this key was given before, with another value\n"
		"6:10: a control character\n"
		"7:1: write .example.com for all names below example.com\n");
	table_free(&t);
	buf_fini(&said);
}

static void
test_set(void **state)
{
	struct table *t = table_new(SP_NET, SP_END);
	struct buf said;

	(void)state;
	buf_init(&said, 4096);
	assert_int_equal(read_text(t, SPAN_LIT("10.0.0.0/8\n192.0.2.1 yes\n"), &said), SP_INVALID);
	assert_string_equal(buf_cstr(&said), "2:11: this table takes keys only, and here a value follows\n");
	table_free(&t);
	buf_fini(&said);
}

/* Twenty reports and no more. */
static void
test_many_bad(void **state)
{
	struct table *t = table_new(SP_NET, SP_END);
	struct buf said, text;
	size_t lines = 0;

	(void)state;
	buf_init(&said, 65536);
	buf_init(&text, 65536);
	for (int i = 0; i < 30; i++)
		buf_add_str(&text, "wrong\n");
	assert_int_equal(read_text(t, buf_span(&text), &said), SP_INVALID);
	for (size_t i = 0; i < said.len; i++)
		lines += said.ptr[i] == '\n';
	assert_int_equal(lines, 20);
	table_free(&t);
	buf_fini(&said);
	buf_fini(&text);
}

static void
test_long_line(void **state)
{
	struct table *t = table_new(SP_STRING, SP_END);
	struct buf said, text;

	(void)state;
	buf_init(&said, 65536);
	buf_init(&text, 65536);
	for (int i = 0; i < 4096; i++)
		buf_add_char(&text, i == 0 ? '#' : 'x');
	assert_int_equal(read_text(t, buf_span(&text), &said), SP_OK);
	buf_add_str(&text, "x\nnext\n");
	assert_int_equal(read_text(t, buf_span(&text), &said), SP_INVALID);
	assert_string_equal(buf_cstr(&said), "1:4097: a line has at most 4096 bytes\n");
	assert_int_equal(table_count(t), 1);
	table_free(&t);
	buf_fini(&said);
	buf_fini(&text);
}

static void
test_no_file(void **state)
{
	struct table *t = table_new(SP_STRING, SP_END);
	struct table_reader r = { parse, note, NULL };

	(void)state;
	errno = 0;
	assert_int_equal(table_read_file(t, "/nonexistent/table", &r), SP_NONE);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(table_read_file(t, "/", &r), SP_SYSTEM);
	assert_int_equal(errno, EISDIR);
	table_free(&t);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_many_bad),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
