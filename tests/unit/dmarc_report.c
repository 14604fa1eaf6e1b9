/*
 * dmarc_report.c - the line of JSON for aggregate reports.
 */
#include "tests/unit/dmarc_env.h"

static void
expect_json(struct sp_span text, const char *json)
{
	char memory[1024];
	struct writer w;

	writer_init(&w, memory, sizeof(memory));
	report_string(&w, text);
	if (!text_is(writer_text(&w), text_of(json)))
		fail_msg("%.*s instead of %s", (int)w.len, memory, json);
}

static void
test_strings(void **state)
{
	(void)state;
	expect_json(TEXT(""), "\"\"");
	expect_json(TEXT("a\"b\\c/"), "\"a\\\"b\\\\c/\"");
	expect_json(TEXT("\0\b\n\r\x1f\x7f"), "\"\\u0000\\u0008\\u000a\\u000d\\u001f\\u007f\"");
	expect_json(TEXT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
	expect_json(TEXT("\xe4x\xff\x80"), "\"\\ufffdx\\ufffd\\ufffd\"");
	expect_json(TEXT("\xc0\xaf"), "\"\\ufffd\\ufffd\"");             /* too long a form */
	expect_json(TEXT("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\""); /* a surrogate */
	expect_json(TEXT("\xe2\x82"), "\"\\ufffd\\ufffd\"");             /* cut */
	expect_json(TEXT("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	expect_json(TEXT("\xe0\x9f\xbf"), "\"\\ufffd\\ufffd\\ufffd\"");
	expect_json(TEXT("\xf0\x8f\xbf\xbf"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

static void
test_line(void **state)
{
	static const char expected[] =
		"{\"time\":1763800000,\"client\":\"2001:db8::1\",\"header_from\":\"a.example.com\",\"envelope_from\":\"\","
		"\"envelope_to\":[\"x.example\",\"y.example\"],"
		"\"policy\":{\"domain\":\"example.com\",\"discovery\":\"psl\",\"p\":\"reject\",\"sp\":\"quarantine\",\"adkim\":\"s\","
		"\"aspf\":\"r\",\"pct\":50,\"t\":\"n\",\"fo\":\"1\",\"rua\":\"mailto:r@example.com\"},"
		"\"evaluated\":{\"result\":\"fail\",\"disposition\":\"none\",\"dkim\":\"fail\",\"spf\":\"fail\","
		"\"reason\":\"sampled_out\"},"
		"\"auth_results\":{\"dkim\":[{\"domain\":\"d.example\",\"selector\":\"s\\\"1\",\"result\":\"pass\"},"
		"{\"domain\":\"e.example\",\"result\":\"fail\"}],"
		"\"spf\":[{\"domain\":\"m.example\",\"scope\":\"mfrom\",\"result\":\"softfail\"},"
		"{\"domain\":\"h.example\",\"scope\":\"helo\",\"result\":\"none\"}]}}\n";
	const struct sp_auth_prop signature[] = { { "header", "d", TEXT("d.example") }, { "header", "s", TEXT("s\"1") } };
	const struct sp_span rcpts[] = { TEXT("x.example"), TEXT("y.example") };
	struct org_found found = { .at = TEXT("example.com"), .policy = POLICY_QUARANTINE };
	struct verdict v = { RESULT_FAIL, ALIGNED_NONE, POLICY_NONE, true };
	struct report r = { 1763800000, { 6, { 0x20, 1, 0xd, 0xb8, [15] = 1 } }, TEXT("a.example.com"), TEXT(""), rcpts, 2,
		ORG_LIST, &found, &v };
	static struct env e;
	char memory[2048];
	struct writer w;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	assert_true(record_parse(
		TEXT("v=DMARC1; p=reject; sp=quarantine; adkim=s; pct=50; fo=1; rua=mailto:r@example.com"), &found.record));
	env_dkim(&e, "pass", "");
	e.results[0].props = signature;
	e.results[0].prop_count = 2;
	env_dkim(&e, "fail", "e.example");
	env_dkim(&e, "none", ""); /* is about no domain */
	env_result(&e, "iprev", "pass", "helo", "h.example");
	env_spf(&e, "softfail", "a@m.example");
	env_result(&e, "spf", "none", "helo", "h.example");
	writer_init(&w, memory, sizeof(memory));
	report_write(&w, &e.box.ctx, &r);
	assert_false(w.full);
	if (!text_is(writer_text(&w), text_of(expected)))
		fail_msg("%.*s", (int)w.len, memory);
	writer_init(&w, memory, 200);
	report_write(&w, &e.box.ctx, &r);
	assert_true(w.full);
	v = (struct verdict){ RESULT_TEMPERROR, ALIGNED_NONE, POLICY_NONE, false };
	writer_init(&w, memory, sizeof(memory));
	report_write(&w, &e.box.ctx, &r);
	writer_char(&w, '\0');
	assert_non_null(strstr(memory, "\"result\":\"temperror\",\"dkim\""));
	env_fini(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_strings), cmocka_unit_test(test_line) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
