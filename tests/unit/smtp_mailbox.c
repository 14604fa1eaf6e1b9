/* The addresses in From and Sender. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/buf.h"
#include "policy/kit/span.h"
#include "proxy/smtp/mailbox.h"

static const struct mailbox_case {
	const char *value, *want; /* addresses with a blank behind each; null: it is no list */
} cases[] = {
	{ "a@x.org", "a@x.org " },
	{ "<a@x.org>", "a@x.org " },
	{ " Ann <a@x.org> ", "a@x.org " },
	{ "\"b@y.org\" <a@x.org>", "a@x.org " },
	{ "\"<b@y.org>\" <a@x.org>", "a@x.org " },
	{ "\"A, B\" <a@x.org>, b@y.org", "a@x.org b@y.org " },
	{ "\"A \\\" <b@y.org>\" <a@x.org>", "a@x.org " },
	{ "(b@y.org) a@x.org (Ann)", "a@x.org " },
	{ "Ann (b@y.org, c) <a@x.org> (d)", "a@x.org " },
	{ "(\\) <b@y.org>) a@x.org", "a@x.org " },
	{ "(a (b) c) a@x.org", "a@x.org " },
	{ "team: a@x.org, B <b@y.org>;", "a@x.org b@y.org " },
	{ "team: a@x.org;, b@y.org", "a@x.org b@y.org " },
	{ "nobody:;", "" },
	{ "a: b: a@x.org", "a@x.org " },
	{ "", "" },
	{ " (nobody) ", "" },
	{ ",, a@x.org ,", "a@x.org " },
	{ "\xc3\xa4 <a@x.org>", "a@x.org " },
	{ "\"a b\"@x.org", "\"a b\"@x.org " },
	{ "<\"a>b\"@x.org>", "\"a>b\"@x.org " },
	{ "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1] " },
	{ "a@x.org b@y.org", NULL },
	{ "A@x.org  <a@X.org>", "a@X.org " },
	{ "b@y.org <a@x.org>", NULL }, /* some readers take the first */
	{ "Ann b@y.org <a@x.org>", NULL },
	{ "b@y.org: a@x.org;", NULL },
	{ "a@x.org <b@y.org", NULL },
	{ "a@x.org> <b@y.org>", NULL },
	{ "<a@x.org> b@y.org", NULL },
	{ "<a@x.org> <b@y.org>", NULL },
	{ "<a@x.org><b@y.org>", NULL },
	{ "<<a@x.org>>", NULL },
	{ "<@r.org:a@x.org>", NULL },
	{ "<a@x.org, b@y.org>", NULL },
	{ "Ann", NULL },
	{ "a@x.org (", NULL },
	{ "(a@x.org", NULL },
	{ "\"a@x.org", NULL },
	{ "a (c) @x.org", NULL },
	{ "a\\@x.org", NULL },
	{ "<>", NULL },
	{ "<a@x.org>, \"", NULL },
};

static void
run_case(const struct mailbox_case *c)
{
	struct sp_span rest = span_str(c->value);
	struct address a;
	struct buf got;
	enum sp_status st;

	buf_init(&got, 4096);
	while ((st = mailbox_next(&rest, &a)) == SP_OK) {
		buf_add(&got, a.text);
		buf_add_char(&got, ' ');
	}
	if (st != (c->want == NULL ? SP_INVALID : SP_NONE))
		fail_msg("\"%s\" gives %d", c->value, (int)st);
	if (c->want != NULL && !span_eq(buf_span(&got), span_str(c->want)))
		fail_msg("\"%s\" has %s", c->value, buf_cstr(&got));
	buf_fini(&got);
}

static void
test_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run_case(&cases[i]);
}

/* As deep as a sender likes, on a small stack. */
static void
test_many_groups(void **state)
{
	size_t len = 1 << 18;
	char *text = calloc(1, len);
	struct sp_span rest = span_of(text, len);
	struct address a;

	(void)state;
	assert_non_null(text);
	memset(text, ':', len);
	assert_int_equal(mailbox_next(&rest, &a), SP_NONE);
	memset(text, '(', len);
	rest = span_of(text, len);
	assert_int_equal(mailbox_next(&rest, &a), SP_INVALID);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_many_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
