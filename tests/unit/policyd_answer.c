/* What a policy server may answer, and what is none; what a question can never contain. */
#include "tests/unit/wire_host.h"

#include "policyd/answer.h"
#include "policyd/request.h"

static const struct answer_case {
	const char *text;
	enum action action; /* what it must be */
	int code;
	const char *word, *rest;
} answers[] = {
	{ "action=DUNNO\n\n", ACTION_NONE, 0, "DUNNO", "" },
	{ "action=dunno\r\n\r\n", ACTION_NONE, 0, "dunno", "" },
	{ "action=OK\n\n", ACTION_NONE, 0, "OK", "" },
	{ "action=permit\n\n", ACTION_NONE, 0, "permit", "" },
	{ "action=DEFER_IF_REJECT maybe\n\n", ACTION_NONE, 0, "DEFER_IF_REJECT", "maybe" },
	{ "action=REJECT\n\n", ACTION_REJECT, 554, "REJECT", "" },
	{ "action=reject 5.7.9 go away\n\n", ACTION_REJECT, 554, "reject", "5.7.9 go away" },
	{ "action=DEFER later\n\n", ACTION_DEFER, 450, "DEFER", "later" },
	{ "action=DEFER_IF_PERMIT Greylisted, see http://example.org/\n\n", ACTION_DEFER, 450, "DEFER_IF_PERMIT",
		"Greylisted, see http://example.org/" },
	{ "action=450 4.7.1 x\n\n", ACTION_DEFER, 450, "450", "4.7.1 x" },
	{ "action=421 x\n\n", ACTION_DEFER, 421, "421", "x" },
	{ "action=550\n\n", ACTION_REJECT, 550, "550", "" },
	{ "action=550 5.7.23 SPF fail\n\n", ACTION_REJECT, 550, "550", "5.7.23 SPF fail" },
	{ "action=DISCARD\n\n", ACTION_DISCARD, 0, "DISCARD", "" },
	{ "action=HOLD looks bad\n\n", ACTION_HOLD, 0, "HOLD", "looks bad" },
	{ "action=PREPEND X-Greylist: delayed 300 seconds\n\n", ACTION_PREPEND, 0, "PREPEND", "X-Greylist: delayed 300 seconds" },
	{ "action=WARN odd\n\n", ACTION_LOG, 0, "WARN", "odd" },
	{ "action=INFO\n\n", ACTION_LOG, 0, "INFO", "" },
	{ "more=1\naction=DUNNO\nother=x=y\n\n", ACTION_NONE, 0, "DUNNO", "" },
	{ "action= \tDUNNO \n\n", ACTION_NONE, 0, "DUNNO", "" },
	{ "action=FILTER smtp:[127.0.0.1]\n\n", ACTION_UNKNOWN, 0, "FILTER", "smtp:[127.0.0.1]" },
	{ "action=REDIRECT a@example.org\n\n", ACTION_UNKNOWN, 0, "REDIRECT", "a@example.org" },
	{ "action=BCC a@example.org\n\n", ACTION_UNKNOWN, 0, "BCC", "a@example.org" },
	{ "action=reject_unauth_destination\n\n", ACTION_UNKNOWN, 0, "reject_unauth_destination", "" },
	{ "action=250 ok\n\n", ACTION_UNKNOWN, 0, "250", "ok" },
	{ "action=600 x\n\n", ACTION_UNKNOWN, 0, "600", "x" },
	{ "action=4500\n\n", ACTION_UNKNOWN, 0, "4500", "" },
	{ "action=45a\n\n", ACTION_UNKNOWN, 0, "45a", "" },
	{ "action=DUNNOT\n\n", ACTION_UNKNOWN, 0, "DUNNOT", "" },
};

static void
parsed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const struct answer_case *c = &answers[i];
		struct answer a;
		const char *why = NULL;

		assert_int_equal(answer_end(box_span(c->text)), strlen(c->text));
		assert_int_equal(answer_parse(box_span(c->text), &a, &why), SP_OK);
		if (a.action != c->action || a.code != c->code)
			fail_msg("%s: action %d code %d", c->text, (int)a.action, a.code);
		assert_int_equal(a.word.len, strlen(c->word));
		assert_memory_equal(a.word.ptr, c->word, a.word.len);
		assert_int_equal(a.text.len, strlen(c->rest));
		if (a.text.len > 0)
			assert_memory_equal(a.text.ptr, c->rest, a.text.len);
	}
}

static void
refused(void **state)
{
	static const char *const none[] = { "\n", "\n\n", "action\n\n", "action=\n\n", "action= \n\n", "=DUNNO\n\n", "actions=DUNNO\n\n",
		"action=DUNNO\naction=OK\n\n", "hello\naction=DUNNO\n\n", "action=a\x01\n\n", "action=DUNNO\x7f\n\n",
		"action=PREPEND\n\n", "action=PREPEND X\n\n", "action=PREPEND : v\n\n", "action=PREPEND X Y: v\n\n",
		"action=PREPEND X:\n\n", "action=PREPEND X\xc3\xa4: v\n\n", "action=550 a\rb\n\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		struct answer a;
		const char *why = NULL;

		if (answer_parse(box_span(none[i]), &a, &why) != SP_INVALID || why == NULL)
			fail_msg("taken: %s", none[i]);
	}
}

static void
long_line(void **state)
{
	static char text[ANSWER_LINE + 32];
	struct answer a;
	const char *why;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "action=INFO ", 12);
	memcpy(text + ANSWER_LINE, "\n\n", 3);
	assert_int_equal(answer_parse(box_span(text), &a, &why), SP_OK);
	memset(text + ANSWER_LINE, 'x', 1);
	memcpy(text + ANSWER_LINE + 1, "\n\n", 3);
	assert_int_equal(answer_parse(box_span(text), &a, &why), SP_INVALID);
}

/* Whole only with its empty line, wherever it is cut. */
static void
cut(void **state)
{
	const char *text = "action=DUNNO\nx=y\n\naction=OK\n\n";

	(void)state;
	for (size_t n = 0; n < 18; n++)
		assert_int_equal(answer_end((struct sp_span){ text, n }), 0);
	assert_int_equal(answer_end((struct sp_span){ text, 18 }), 18);
	assert_int_equal(answer_end(box_span(text)), 18);
	assert_int_equal(answer_end(box_span("\n")), 1);
}

static void
request_is(const struct request *r, const char *want)
{
	assert_int_equal(r->len, strlen(want));
	assert_memory_equal(r->bytes, want, r->len);
}

static void
encoded(void **state)
{
	static struct request r;
	static char big[REQUEST_VALUE + 100];

	(void)state;
	request_add(&r, "helo_name", box_span("a\nrecipient=b\r\n\n\x7f\xc3\xa4"));
	request_is(&r, "helo_name=a?recipient=b????\xc3\xa4\n");
	r = (struct request){ 0 };
	request_add_xtext(&r, "ccert_subject", box_span("CN=a+b\n\xc3"));
	request_is(&r, "ccert_subject=CN+3Da+2Bb+0A+C3\n");
	r = (struct request){ 0 };
	memset(big, 'x', sizeof(big));
	request_add(&r, "v", (struct sp_span){ big, sizeof(big) });
	assert_int_equal(r.len, REQUEST_VALUE + 3);
	for (int i = 0; i < 20; i++)
		request_add(&r, "v", (struct sp_span){ big, sizeof(big) });
	assert_true(r.full && r.len <= REQUEST_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(parsed), cmocka_unit_test(refused), cmocka_unit_test(long_line),
		cmocka_unit_test(cut), cmocka_unit_test(encoded) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
