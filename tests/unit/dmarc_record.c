/*
 * dmarc_record.c - which texts are DMARC records, and what they say (RFC 7489 6.3, 6.6.3).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dmarc/record.h"
#include "mailauth/text.h"

static struct record
parse(const char *text)
{
	struct record r;

	if (!record_parse(text_of(text), &r))
		fail_msg("no record: %s", text);
	return r;
}

static void
test_whole(void **state)
{
	struct record r = parse("v=DMARC1; p=reject; sp=Quarantine; np=NONE; adkim=s; aspf=S; pct=42; t=y; psd=n; fo=1:d:s; "
				"rf=afrf; ri=3600; rua=mailto:a@example.org!10m,https://example.org/r ; ruf=mailto:b@example.org");

	(void)state;
	assert_int_equal(r.state, RECORD_VALID);
	assert_int_equal(r.p, POLICY_REJECT);
	assert_int_equal(r.sp, POLICY_QUARANTINE);
	assert_int_equal(r.np, POLICY_NONE);
	assert_true(r.strict_dkim && r.strict_spf && r.testing);
	assert_int_equal(r.percent, 42);
	assert_int_equal(r.psd, PSD_NO);
	assert_true(text_is(r.fo, TEXT("1:d:s")));
	assert_true(text_is(r.rua, TEXT("mailto:a@example.org!10m,https://example.org/r")));
}

static void
test_defaults(void **state)
{
	struct record r = parse(" v = DMARC1 ;p=none");

	(void)state;
	assert_int_equal(r.state, RECORD_VALID);
	assert_int_equal(r.p, POLICY_NONE);
	assert_int_equal(r.sp, POLICY_UNPUBLISHED);
	assert_int_equal(r.np, POLICY_UNPUBLISHED);
	assert_false(r.strict_dkim || r.strict_spf || r.testing);
	assert_int_equal(r.percent, 100);
	assert_int_equal(r.psd, PSD_UNSAID);
	assert_int_equal(parse("v=DMARC1;p=none;unknown=\xc3\xa4;x=").state, RECORD_VALID);
	assert_int_equal(parse("v=DMARC1;p=none;psd=u;pct=0;pct2=x").percent, 0);
	assert_int_equal(parse("v=DMARC1;psd=y;P=none").psd, PSD_YES);
}

static void
test_no_record(void **state)
{
	static const char *const texts[] = { "", " ", "v=spf1 -all", "v=DMARC", "v=DMARC11; p=none", "v=dmarc1; p=none",
		"V=DMARC1; p=none", "p=none; v=DMARC1", "v DMARC1; p=none", "; v=DMARC1", "v=DMARC1,p=none" };
	struct record r;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (record_parse(text_of(texts[i]), &r))
			fail_msg("taken: %s", texts[i]);
	assert_false(record_parse((struct sp_span){ NULL, 0 }, &r));
	assert_false(record_parse(TEXT("v=DMARC1\0; p=none"), &r));
}

/* A malformed tag that names no policy stands at its default. */
static void
test_faulty(void **state)
{
	static const char *const tails[] = { "adkim=x", "adkim=", "adkim=ss", "aspf=relaxed", "pct=101", "pct=-1", "pct=5 0",
		"pct=0x5", "pct=9999999999", "pct=0100", "rf=x", "rf=afrf:", "ri=x", "ri=4294967296", "fo=2", "fo=", "psd=x", "t=1",
		"rua=", "rua=nobody", "rua=:x", "rua=1a:b", "rua=mailto:", "rua=mailto:!10m", "rua=mailto:a b", "ruf=x", "x", "=",
		"adkim=s;adkim=s", ";p2=x" };
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(tails) / sizeof(*tails); i++) {
		struct record r;
		struct writer w;

		writer_init(&w, text, sizeof(text));
		writer_printf(&w, "v=DMARC1; p=reject; %s; sp=quarantine", tails[i]);
		assert_true(record_parse(writer_text(&w), &r));
		if (r.state != RECORD_FAULTY || r.p != POLICY_REJECT || r.sp != POLICY_QUARANTINE || r.percent != 100)
			fail_msg("%.*s", (int)w.len, text);
		if (i < 5 && (r.strict_dkim || r.strict_spf))
			fail_msg("%.*s", (int)w.len, text);
	}
}

/* RFC 7489 6.6.3, step 6: p=none if somebody can be told, else as if there were no record. */
static void
test_policy_malformed(void **state)
{
	static const char *const tags[] = { "p=bob", "p=", "p=n", "p=none; sp=bob", "p=reject; np=bob", "p=reject; p=reject",
		"p=reject; sp=none; sp=none", "pct=100", "", "p" };
	char text[128];
	struct record r;
	struct writer w;

	(void)state;
	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++) {
		writer_init(&w, text, sizeof(text));
		writer_printf(&w, "v=DMARC1; %s", tags[i]);
		assert_true(record_parse(writer_text(&w), &r));
		if (r.state != RECORD_UNUSABLE || record_counts(&r))
			fail_msg("%.*s", (int)w.len, text);
		writer_printf(&w, "; rua=mailto:a@example.org");
		assert_true(record_parse(writer_text(&w), &r));
		if (r.state != RECORD_FAULTY || r.p != POLICY_NONE || r.sp != POLICY_UNPUBLISHED || r.np != POLICY_UNPUBLISHED)
			fail_msg("%.*s", (int)w.len, text);
	}
}

static void
test_choose(void **state)
{
	const struct sp_span texts[] = { TEXT("v=spf1 -all"), TEXT("v=DMARC1; p=reject"), TEXT("x"), TEXT("v=DMARC1; p=none") };
	struct record r;

	(void)state;
	record_choose(&(struct sp_names){ texts, 0 }, &r);
	assert_int_equal(r.state, RECORD_NONE);
	record_choose(&(struct sp_names){ texts, 1 }, &r);
	assert_int_equal(r.state, RECORD_NONE);
	record_choose(&(struct sp_names){ texts, 3 }, &r);
	assert_int_equal(r.state, RECORD_VALID);
	assert_int_equal(r.p, POLICY_REJECT);
	record_choose(&(struct sp_names){ texts, 4 }, &r);
	assert_int_equal(r.state, RECORD_SEVERAL);
	assert_false(record_counts(&r));
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole), cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_no_record), cmocka_unit_test(test_faulty), cmocka_unit_test(test_policy_malformed),
		cmocka_unit_test(test_choose) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
