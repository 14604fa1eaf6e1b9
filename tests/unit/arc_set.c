/*
 * arc_set.c - which header fields make a chain, and what is wrong with those that do not (filters/arc/set.c).
 */
#include "tests/unit/filter_host.h"

#include "arc/arc.h"
#include "mailauth/text.h"

#define RESULTS(i) "ARC-Authentication-Results: i=" i "; mx.example; none\r\n"
#define MESSAGE(i) "ARC-Message-Signature: i=" i "; a=rsa-sha256\r\n"
#define SEAL(i, cv) "ARC-Seal: i=" i "; a=rsa-sha256; cv=" cv "; d=a.example; s=s;\r\n b=AAAA\r\n"
#define SET(i, cv) SEAL(i, cv) MESSAGE(i) RESULTS(i)
#define REST "From: a@a.example\r\n\r\nhello\r\n"

static enum sp_status
field_get(void *arg, size_t index, struct sp_header *ret)
{
	const struct box *box = arg;

	if (index >= box->field_count)
		return SP_NONE;
	*ret = box->fields[index];
	return SP_OK;
}

static struct arc_chain
read_chain(const char *text)
{
	static struct box box;
	struct signature_fields from = { field_get, &box };
	struct arc_chain chain;

	box_set_message(&box, box_span(text));
	assert_int_equal(arc_chain_read(&from, &chain), SP_OK);
	return chain;
}

static void
expect_wrong(const char *text, size_t count, const char *wrong)
{
	struct arc_chain chain = read_chain(text);

	assert_int_equal(chain.count, count);
	assert_non_null(chain.wrong);
	assert_string_equal(chain.wrong, wrong);
}

static void
expect_right(const char *text, size_t count)
{
	struct arc_chain chain = read_chain(text);

	assert_null(chain.wrong);
	assert_int_equal(chain.count, count);
	assert_false(chain.ended);
	assert_false(chain.full);
}

/* ---- chains ----------------------------------------------------------------------------------- */

static void
chains_that_are_right(void **state)
{
	struct arc_chain chain;

	(void)state;
	expect_right(REST, 0);
	expect_right("X-ARC-Seal: i=1\r\nARC-Seals: i=1\r\n" REST, 0);
	expect_right(SET("1", "none") REST, 1);
	expect_right(SET("3", "pass") SET("1", "NONE") SET("2", "pass") REST, 3);
	expect_right(SEAL("01", "none") MESSAGE(" 1 ") RESULTS("\r\n 1 (one)") REST, 1);
	expect_right("arc-seal : i=1; a=ed25519-sha256; t=12; b=AA AA; cv=none; d=a.example; s=s;\r\n" MESSAGE("1") RESULTS("1") REST, 1);
	chain = read_chain("Subject: x\r\n" SET("1", "none") REST);
	assert_int_equal(chain.sets[0].seal, 2);
	assert_int_equal(chain.sets[0].message, 3);
	assert_int_equal(chain.sets[0].results, 4);
}

static void
sets_that_lack_or_repeat_fields(void **state)
{
	const char *lacks = "an instance lacks a field", *twice = "an instance has a field twice";

	(void)state;
	expect_wrong(SEAL("1", "none") MESSAGE("1") REST, 1, lacks);
	expect_wrong(SEAL("1", "none") RESULTS("1") REST, 1, lacks);
	expect_wrong(MESSAGE("1") RESULTS("1") REST, 1, lacks);
	expect_wrong(SET("2", "pass") REST, 2, lacks);
	expect_wrong(SET("3", "pass") SET("1", "none") REST, 3, lacks);
	expect_wrong(SET("1", "none") SEAL("1", "none") REST, 1, twice);
	expect_wrong(SET("1", "none") MESSAGE("1") REST, 1, twice);
	expect_wrong(RESULTS("1") SET("1", "none") REST, 1, twice);
}

static void
instances_that_are_none(void **state)
{
	static const char *const bad[] = { "ARC-Seal: a=b\r\n", "ARC-Seal: i=; a=b\r\n", "ARC-Seal: i=0\r\n",
		"ARC-Seal: i=-1\r\n", "ARC-Seal: i=one\r\n", "ARC-Seal: i=1; i=1\r\n", "ARC-Seal: I=1\r\n", "ARC-Seal:\r\n",
		"ARC-Seal: i=1; ; a=b\r\n", "ARC-Message-Signature: i=1 1\r\n", "ARC-Authentication-Results: mx; i=1\r\n",
		"ARC-Authentication-Results: i=1 mx\r\n", "ARC-Authentication-Results: i=0; mx\r\n" };
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", bad[i], SET("1", "none") REST);
		expect_wrong(text, 1, "a field without a valid instance");
		snprintf(text, sizeof(text), "%s%s", bad[i], REST);
		expect_wrong(text, 0, "a field without a valid instance");
	}
}

static void
statuses_that_do_not_fit(void **state)
{
	const char *unfit = "a seal's cv= does not fit its instance", *failed = "a seal says that the chain had failed";

	(void)state;
	expect_wrong(SET("1", "pass") REST, 1, unfit);
	expect_wrong(SET("2", "none") SET("1", "none") REST, 2, unfit);
	expect_wrong(SET("2", "pass") SET("1", "pass") REST, 2, unfit);
	expect_wrong(SET("1", "fail") REST, 1, failed);
	expect_wrong(SET("2", "pass") SET("1", "fail") REST, 2, failed);
	expect_wrong(SET("1", "maybe") REST, 1, "a seal is malformed");
	assert_true(read_chain(SET("2", "fail") SET("1", "none") REST).ended);
	assert_true(read_chain("ARC-Seal: i=2; cv=fail\r\n" SET("1", "none") REST).ended);
	assert_false(read_chain(SET("2", "pass") SET("1", "fail") REST).ended);
	assert_false(read_chain(SET("1", "maybe") REST).ended);
}

/* 50 instances are a chain that nobody can add to, 51 are none. */
static void
limit_of_instances(void **state)
{
	static char text[60 * 512];
	struct arc_chain chain;
	size_t len = 0;

	(void)state;
	for (unsigned i = 1; i <= 50; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
			"ARC-Seal: i=%u; a=rsa-sha256; cv=%s; d=a.example; s=s; b=AAAA\r\nARC-Message-Signature: i=%u\r\n"
			"ARC-Authentication-Results: i=%u; mx\r\n", i, i == 1 ? "none" : "pass", i, i);
	snprintf(text + len, sizeof(text) - len, "%s", REST);
	chain = read_chain(text);
	assert_null(chain.wrong);
	assert_int_equal(chain.count, 50);
	assert_true(chain.full);
	snprintf(text + len, sizeof(text) - len, "%s", SET("51", "pass") REST);
	chain = read_chain(text);
	assert_string_equal(chain.wrong, "more than 50 instances");
	assert_int_equal(chain.count, 50);
	assert_true(read_chain(SEAL("51", "pass") REST).full);
	assert_true(read_chain(RESULTS("9999999999999999999999") REST).full);
}

/* ---- single fields ---------------------------------------------------------------------------- */

static void
seals(void **state)
{
	static const struct {
		const char *text, *wrong;
	} cases[] = { { "a=rsa-sha256; cv=none; d=a.example; s=s; b=AAAA", NULL },
		{ "a=rsa-sha256; cv=none; d=a.example; s=s; b=AAAA; t=1; zz=ignored", NULL },
		{ "a=rsa-sha1; cv=none; d=a.example; s=s; b=AAAA", "a= is no algorithm of seals" },
		{ "cv=none; d=a.example; s=s; b=AAAA", "a= is missing" },
		{ "a=rsa-sha256; d=a.example; s=s; b=AAAA", "cv= is missing" },
		{ "a=rsa-sha256; cv=; d=a.example; s=s; b=AAAA", "cv= is neither none, pass nor fail" },
		{ "a=rsa-sha256; cv=none; d=a..example; s=s; b=AAAA", "d= is no domain" },
		{ "a=rsa-sha256; cv=none; s=s; b=AAAA", "d= is no domain" },
		{ "a=rsa-sha256; cv=none; d=a.example; s=; b=AAAA", "s= is no selector" },
		{ "a=rsa-sha256; cv=none; d=a.example; s=s", "b= is no base64" },
		{ "a=rsa-sha256; cv=none; d=a.example; s=s; b=AA*A", "b= is no base64" },
		{ "a=rsa-sha256; cv=none; d=a.example; s=s; b=AAAA; t=soon", "t= is no time" },
		{ "a=rsa-sha256; cv=none; d=a.example; s=s; b=AAAA; h=from", "h= has no place in a seal" },
		{ "a=rsa-sha256; a=rsa-sha256", "it is no list of tags" } };
	struct arc_seal seal;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum sp_status st = arc_seal_parse(box_span(cases[i].text), &seal, &why);

		assert_int_equal(st, cases[i].wrong == NULL ? SP_OK : SP_INVALID);
		if (cases[i].wrong != NULL)
			assert_string_equal(why, cases[i].wrong);
	}
	assert_int_equal(arc_seal_parse(box_span(cases[0].text), &seal, &why), SP_OK);
	assert_int_equal(seal.b_len, 3);
	assert_int_equal(seal.cv, ARC_CV_NONE);
	assert_true(text_is(seal.domain, TEXT("a.example")));
}

static void
results(void **state)
{
	struct sp_span value = box_span(" (a (nested\\)) one) i = (x) 07 ; mx.example; dmarc=pass");
	size_t instance = 0;

	(void)state;
	assert_int_equal(arc_results_cut(&value, &instance), SP_OK);
	assert_int_equal(instance, 7);
	assert_true(text_is(value, TEXT("mx.example; dmarc=pass")));
	value = box_span("i=1");
	assert_int_equal(arc_results_cut(&value, &instance), SP_INVALID);
	value = box_span("(never closed i=1; mx");
	assert_int_equal(arc_results_cut(&value, &instance), SP_INVALID);
	value = box_span("I=1; mx");
	assert_int_equal(arc_results_cut(&value, &instance), SP_INVALID);
	value = box_span("i=51; mx");
	assert_int_equal(arc_results_cut(&value, &instance), SP_LIMIT);
	assert_int_equal(instance, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(chains_that_are_right),
		cmocka_unit_test(sets_that_lack_or_repeat_fields), cmocka_unit_test(instances_that_are_none),
		cmocka_unit_test(statuses_that_do_not_fit), cmocka_unit_test(limit_of_instances), cmocka_unit_test(seals),
		cmocka_unit_test(results) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
