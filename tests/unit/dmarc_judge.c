/*
 * dmarc_judge.c - alignment, result and disposition.
 */
#include "tests/unit/dmarc_env.h"

/* Judges a From domain by what the env holds. */
static struct verdict
verdict_of(struct env *e, const char *from, bool null_sender)
{
	struct org_found found;
	struct judge j = { &e->conf.org, &found, text_of(from), null_sender, 0 };
	struct verdict v;

	assert_int_equal(org_discover(&e->box.ctx, &e->conf.org, j.from, &found), SP_OK);
	judge(&e->box.ctx, &j, &v);
	return v;
}

/* What a passing DKIM domain is worth for a From domain whose organisation publishes this record. */
static enum aligned
dkim_for(const char *from, const char *at, const char *record, const char *domain)
{
	static struct env e;
	struct verdict v;

	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', at, record);
	env_dkim(&e, "pass", domain);
	v = verdict_of(&e, from, false);
	env_fini(&e);
	assert_int_equal(v.result, v.by != ALIGNED_NONE ? RESULT_PASS : RESULT_FAIL);
	return v.by;
}

/* adkim=s wants the very domain, neither one below nor one above it. */
static void
test_strict_is_not_relaxed(void **state)
{
	static const char record[] = "v=DMARC1; p=reject; adkim=s";

	(void)state;
	assert_int_equal(dkim_for("example.com", "_dmarc.example.com", record, "sub.example.com"), ALIGNED_NONE);
	assert_int_equal(dkim_for("sub.example.com", "_dmarc.example.com", record, "example.com"), ALIGNED_NONE);
	assert_int_equal(dkim_for("example.com", "_dmarc.example.com", record, "example.com"), ALIGNED_DKIM);
	assert_int_equal(dkim_for("example.com", "_dmarc.example.com", record, "EXAMPLE.com."), ALIGNED_DKIM);
}

/* A domain beyond ASCII is the one of its A-labels, whichever way a result states it. */
static void
test_beyond_ascii(void **state)
{
	static const char record[] = "v=DMARC1; p=reject; adkim=s", at[] = "_dmarc.xn--bcher-kva.example";

	(void)state;
	assert_int_equal(dkim_for("xn--bcher-kva.example", at, record, "xn--bcher-kva.example"), ALIGNED_DKIM);
	assert_int_equal(dkim_for("xn--bcher-kva.example", at, record, "B\303\234cher.example"), ALIGNED_DKIM);
	assert_int_equal(dkim_for("xn--bcher-kva.example", at, record, "bucher.example"), ALIGNED_NONE);
	assert_int_equal(dkim_for("xn--bcher-kva.example", at, record, "b\374cher.example"), ALIGNED_NONE);
}

/* Two customers of one public suffix are strangers. */
static void
test_public_suffix_is_no_organisation(void **state)
{
	static const char record[] = "v=DMARC1; p=reject";

	(void)state;
	assert_int_equal(dkim_for("a.co.uk", "_dmarc.a.co.uk", record, "b.co.uk"), ALIGNED_NONE);
	assert_int_equal(dkim_for("a.co.uk", "_dmarc.a.co.uk", record, "co.uk"), ALIGNED_NONE);
	assert_int_equal(dkim_for("a.github.io", "_dmarc.a.github.io", record, "b.github.io"), ALIGNED_NONE);
	assert_int_equal(dkim_for("a.co.uk", "_dmarc.a.co.uk", record, "x.a.co.uk"), ALIGNED_DKIM);
	assert_int_equal(dkim_for("x.a.co.uk", "_dmarc.a.co.uk", record, "y.a.co.uk"), ALIGNED_DKIM);
	assert_int_equal(dkim_for("example.com", "_dmarc.example.com", record, "badexample.com"), ALIGNED_NONE);
	assert_int_equal(dkim_for("example.com", "_dmarc.example.com", record, "com"), ALIGNED_NONE);
}

static void
test_strictness_is_each_ones_own(void **state)
{
	static struct env e;
	struct verdict v;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject; aspf=s");
	env_spf(&e, "pass", "a@sub.example.com");
	assert_int_equal(verdict_of(&e, "example.com", false).by, ALIGNED_NONE);
	env_dkim(&e, "pass", "sub.example.com");
	v = verdict_of(&e, "example.com", false);
	assert_int_equal(v.by, ALIGNED_DKIM);
	assert_int_equal(v.result, RESULT_PASS);
	env_spf(&e, "pass", "\"a@b\"@example.com");
	assert_int_equal(verdict_of(&e, "example.com", false).by, ALIGNED_BOTH);
	env_fini(&e);
}

static void
test_only_pass_counts(void **state)
{
	static const char *const results[] = { "none", "neutral", "softfail", "fail", "permerror", "policy", "PASS", "" };
	static struct env e;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=quarantine");
	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++) {
		env_spf(&e, results[i], "a@example.com");
		env_dkim(&e, results[i], "example.com");
	}
	env_result(&e, "iprev", "pass", "mailfrom", "example.com");
	env_result(&e, "arc", "pass", "mailfrom", "example.com");
	env_result(&e, "dkim", "pass", "i", "@example.com"); /* no d= */
	env_dkim(&e, "pass", "");
	env_dkim(&e, "pass", "example.com'a.attack.com");
	assert_int_equal(verdict_of(&e, "example.com", false).result, RESULT_FAIL);
	assert_int_equal(verdict_of(&e, "example.com", false).disposition, POLICY_QUARANTINE);
	env_fini(&e);
}

/* The HELO name stands for an empty sender only (RFC 7489 4.1). */
static void
test_helo(void **state)
{
	static struct env e;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject");
	env_result(&e, "spf", "pass", "helo", "mx.example.com");
	assert_int_equal(verdict_of(&e, "example.com", false).by, ALIGNED_NONE);
	assert_int_equal(verdict_of(&e, "example.com", true).by, ALIGNED_SPF);
	env_fini(&e);
}

/* Where an aligned identity may pass the next time, the message has not failed. */
static void
test_temporary(void **state)
{
	static struct env e;
	struct verdict v;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject");
	env_dkim(&e, "temperror", "example.org");
	env_dkim(&e, "fail", "example.com");
	assert_int_equal(verdict_of(&e, "example.com", false).result, RESULT_FAIL);
	env_dkim(&e, "temperror", "mail.example.com");
	v = verdict_of(&e, "example.com", false);
	assert_int_equal(v.result, RESULT_TEMPERROR);
	assert_int_equal(v.disposition, POLICY_NONE);
	env_spf(&e, "pass", "example.com");
	v = verdict_of(&e, "example.com", false);
	assert_int_equal(v.result, RESULT_PASS);
	assert_int_equal(v.by, ALIGNED_SPF);
	env_fini(&e);
}

/* In the walk the question whose domain it is may itself go unanswered. */
static void
test_temporary_walk(void **state)
{
	static struct env e;

	(void)state;
	env_init(&e, ORG_TREE, NULL);
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject; t=y");
	env_dns_fails(&e, 't', "_dmarc.broken.example.com");
	assert_int_equal(verdict_of(&e, "example.com", false).disposition, POLICY_QUARANTINE); /* t=y */
	env_dkim(&e, "pass", "broken.example.com");
	assert_int_equal(verdict_of(&e, "example.com", false).result, RESULT_TEMPERROR);
	env_dkim(&e, "pass", "mail.example.com");
	assert_int_equal(verdict_of(&e, "example.com", false).result, RESULT_PASS);
	env_fini(&e);
}

/* What is known to be aligned is not asked about again. */
static void
test_walks_no_more_than_needed(void **state)
{
	static struct env e;
	size_t one;

	(void)state;
	env_init(&e, ORG_TREE, NULL);
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject");
	env_dkim(&e, "pass", "a.example.com");
	assert_int_equal(verdict_of(&e, "example.com", false).by, ALIGNED_DKIM);
	one = e.asked;
	for (size_t i = 0; i < 10; i++)
		env_dkim(&e, "pass", "b.example.com");
	e.asked = 0;
	assert_int_equal(verdict_of(&e, "example.com", false).by, ALIGNED_DKIM);
	assert_int_equal(e.asked, one);
	env_fini(&e);
}

/* Nothing is published: no result, but what is aligned is known all the same. */
static void
test_no_record(void **state)
{
	static struct env e;
	struct verdict v;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', "_dmarc.example.net", "v=DMARC1; p=bob");
	env_dkim(&e, "pass", "mail.example.com");
	env_spf(&e, "temperror", "example.com");
	v = verdict_of(&e, "example.com", false);
	assert_int_equal(v.result, RESULT_NONE);
	assert_int_equal(v.by, ALIGNED_DKIM);
	v = verdict_of(&e, "example.net", false);
	assert_int_equal(v.result, RESULT_PERMERROR);
	assert_int_equal(v.disposition, POLICY_NONE);
	env_fini(&e);
}

static enum policy
dispose(const char *record, enum policy policy, uint64_t lot)
{
	struct org_found f = { .policy = policy };
	bool out;
	enum policy p;

	assert_true(record_parse(text_of(record), &f.record));
	p = judge_disposition(&f, ORG_LIST, lot, &out);
	assert_true(out == (p != policy));
	return p;
}

static void
test_percent(void **state)
{
	(void)state;
	for (uint64_t lot = 0; lot < 300; lot++) {
		bool in = lot % 100 < 30;

		assert_int_equal(dispose("v=DMARC1; p=none; pct=30", POLICY_REJECT, lot), in ? POLICY_REJECT : POLICY_QUARANTINE);
		assert_int_equal(dispose("v=DMARC1; p=none; pct=30", POLICY_QUARANTINE, lot),
			in ? POLICY_QUARANTINE : POLICY_NONE);
		assert_int_equal(dispose("v=DMARC1; p=none; pct=30", POLICY_NONE, lot), POLICY_NONE);
		assert_int_equal(dispose("v=DMARC1; p=none; pct=0", POLICY_REJECT, lot), POLICY_QUARANTINE);
		assert_int_equal(dispose("v=DMARC1; p=none", POLICY_REJECT, lot), POLICY_REJECT);
		assert_int_equal(dispose("v=DMARC1; p=none; t=y", POLICY_REJECT, lot), POLICY_REJECT); /* of RFC 9989 */
	}
}

static void
test_testing(void **state)
{
	struct org_found f = { .policy = POLICY_QUARANTINE };
	bool out;

	(void)state;
	assert_true(record_parse(TEXT("v=DMARC1; p=quarantine; t=y; pct=100"), &f.record));
	assert_int_equal(judge_disposition(&f, ORG_TREE, 0, &out), POLICY_NONE);
	assert_true(out);
	assert_true(record_parse(TEXT("v=DMARC1; p=quarantine; t=n; pct=0"), &f.record)); /* pct= is no more */
	assert_int_equal(judge_disposition(&f, ORG_TREE, 0, &out), POLICY_QUARANTINE);
	assert_false(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_strict_is_not_relaxed), cmocka_unit_test(test_beyond_ascii),
		cmocka_unit_test(test_public_suffix_is_no_organisation), cmocka_unit_test(test_strictness_is_each_ones_own),
		cmocka_unit_test(test_only_pass_counts), cmocka_unit_test(test_helo), cmocka_unit_test(test_temporary),
		cmocka_unit_test(test_temporary_walk), cmocka_unit_test(test_walks_no_more_than_needed),
		cmocka_unit_test(test_no_record), cmocka_unit_test(test_percent),
		cmocka_unit_test(test_testing) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
