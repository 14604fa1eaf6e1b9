/*
 * spf_facts.c - which identity is checked, what is said of it, and that a check ends: by its limits and in time.
 */
#include "tests/unit/spf_env.h"

#define ITEMS(a) (sizeof(a) / sizeof((a)[0]))

static const struct spf_env_record zone[] = {
	ZONE("example.org", ZONE_TXT, "v=spf1 a:mx.example.org -all exp=e.example.org"),
	ZONE("e.example.org", ZONE_TXT, "%{i} is not of %{o}"),
	ZONE("mx.example.org", ZONE_A, "\x01\x02\x03\x04"),
	ZONE("mx.example.org", ZONE_TXT, "v=spf1 a -all"),
	ZONE("soft.example", ZONE_TXT, "v=spf1 ~all exp=e.example.org"),
	ZONE("neutral.example", ZONE_TXT, "v=spf1"),
	ZONE("broken.example", ZONE_TXT, "v=spf1 a:"),
	ZONE_FAILS("down.example", ZONE_TXT, SP_TEMPFAIL),
	ZONE_FAILS("slow.example", ZONE_TXT, SP_TIMEOUT),
	ZONE_FAILS("ended.example", ZONE_TXT, SP_CANCELED),
};

struct world {
	struct spf_env env;
	struct spf_env_conf conf;
};

static void
world_new(struct world *w, bool trusted)
{
	w->conf = (struct spf_env_conf){ .check_helo = true };
	spf_env_init(&w->env, &w->conf);
	if (trusted)
		w->conf.trusted = (const struct sp_table *)(const void *)&w->env;
	w->env.zone = zone;
	w->env.zone_count = ITEMS(zone);
}

static void
world_free(struct world *w)
{
	spf_env_fini(&w->env, &w->conf);
}

static void
assert_text(struct sp_span text, const char *expect)
{
	assert_int_equal(text.len, strlen(expect));
	assert_memory_equal(text.ptr, expect, text.len);
}

static const struct sp_ip good = { 4, { 1, 2, 3, 4 } }, bad = { 4, { 4, 3, 2, 1 } };

static void
test_results(void **state)
{
	static const struct {
		struct sp_ip client;
		const char *sender, *result, *domain, *explanation, *reason;
	} cases[] = {
		{ { 4, { 1, 2, 3, 4 } }, "a@example.org", "pass", "example.org", "", "" },
		{ { 4, { 4, 3, 2, 1 } }, "a@example.org", "fail", "example.org", "4.3.2.1 is not of example.org", "" },
		{ { 4, { 4, 3, 2, 1 } }, "a@EXAMPLE.org", "fail", "example.org", "4.3.2.1 is not of EXAMPLE.org", "" },
		{ { 4, { 4, 3, 2, 1 } }, "a@soft.example", "softfail", "soft.example", "", "" },
		{ { 4, { 4, 3, 2, 1 } }, "a@neutral.example", "neutral", "neutral.example", "", "" },
		{ { 4, { 4, 3, 2, 1 } }, "a@nothing.example", "none", "nothing.example", "", "" },
		{ { 4, { 4, 3, 2, 1 } }, "a@[4.3.2.1]", "none", "", "", "no domain that could have a record" },
		{ { 4, { 4, 3, 2, 1 } }, "a@localhost", "none", "", "", "no domain that could have a record" },
		{ { 4, { 4, 3, 2, 1 } }, "a@broken.example", "permerror", "broken.example", "", "syntax error in a record" },
		{ { 4, { 4, 3, 2, 1 } }, "a@down.example", "temperror", "down.example", "", "a record could not be looked up" },
		{ { 4, { 4, 3, 2, 1 } }, "a@slow.example", "temperror", "slow.example", "", "a record could not be looked up" },
		{ { 4, { 4, 3, 2, 1 } }, "a@ended.example", "temperror", "ended.example", "", "a record could not be looked up" },
		{ { 0, { 0 } }, "a@example.org", "none", "example.org", "", "the client has no address" },
	};
	struct world w;

	(void)state;
	world_new(&w, false);
	for (size_t i = 0; i < ITEMS(cases); i++) {
		spf_env_mail(&w.env, cases[i].client, "nothing.example", cases[i].sender);
		assert_string_equal(spf_env_word(&w.env, SPF_RESULT), cases[i].result);
		assert_string_equal(spf_env_word(&w.env, SPF_IDENTITY), "mailfrom");
		assert_string_equal(spf_env_word(&w.env, SPF_HELO), "none");
		assert_text(spf_env_text(&w.env, SPF_DOMAIN), cases[i].domain);
		assert_text(spf_env_text(&w.env, SPF_EXPLANATION), cases[i].explanation);
		assert_int_equal(w.env.result_count, 2);
		assert_string_equal(w.env.results[0].property, "mailfrom");
		assert_string_equal(w.env.results[0].result, cases[i].result);
		assert_string_equal(w.env.results[0].reason, cases[i].reason);
		assert_string_equal(w.env.results[0].value,
			cases[i].domain[0] != '\0' ? cases[i].domain : strchr(cases[i].sender, '@') + 1);
		assert_string_equal(w.env.results[1].property, "helo");
	}
	world_free(&w);
}

static void
test_identities(void **state)
{
	struct world w;

	(void)state;
	world_new(&w, false);
	spf_env_mail(&w.env, bad, "MX.example.org.", "a@example.org");
	assert_string_equal(spf_env_word(&w.env, SPF_HELO), "fail");
	assert_string_equal(w.env.results[1].result, "fail");
	assert_string_equal(w.env.results[1].value, "MX.example.org.");
	/* <>: the HELO name speaks, and is not looked up again */
	spf_env_mail(&w.env, good, "mx.example.org", "");
	assert_string_equal(spf_env_word(&w.env, SPF_RESULT), "pass");
	assert_string_equal(spf_env_word(&w.env, SPF_IDENTITY), "helo");
	assert_text(spf_env_text(&w.env, SPF_DOMAIN), "mx.example.org");
	assert_int_equal(w.env.result_count, 1);
	assert_string_equal(w.env.results[0].property, "helo");
	assert_int_equal(w.env.asked, 2);
	spf_env_mail(&w.env, good, "mx.example.org", "");
	assert_int_equal(w.env.asked, 0);
	/* another client or another name is another question */
	spf_env_mail(&w.env, bad, "mx.example.org", "");
	assert_string_equal(spf_env_word(&w.env, SPF_RESULT), "fail");
	spf_env_mail(&w.env, bad, "nothing.example", "");
	assert_string_equal(spf_env_word(&w.env, SPF_RESULT), "none");
	/* without HELO: only what <> needs */
	w.conf.check_helo = false;
	spf_env_mail(&w.env, good, "mx.example.org", "a@nothing.example");
	assert_int_equal(w.env.asked, 1);
	assert_int_equal(w.env.result_count, 1);
	assert_string_equal(spf_env_word(&w.env, SPF_HELO), "none");
	spf_env_mail(&w.env, good, "mx.example.org", "");
	assert_string_equal(spf_env_word(&w.env, SPF_RESULT), "pass");
	assert_string_equal(spf_env_word(&w.env, SPF_HELO), "none");
	assert_int_equal(w.env.result_count, 1);
	world_free(&w);
}

static void
test_trusted(void **state)
{
	struct world w;

	(void)state;
	world_new(&w, true);
	w.env.trusted = true;
	spf_env_mail(&w.env, bad, "mx.example.org", "a@example.org");
	assert_string_equal(spf_env_word(&w.env, SPF_RESULT), "none");
	assert_string_equal(spf_env_word(&w.env, SPF_HELO), "none");
	assert_int_equal(w.env.asked, 0);
	assert_string_equal(w.env.results[0].result, "none");
	assert_string_equal(w.env.results[0].reason, "trusted forwarder");
	w.env.trusted = false;
	spf_env_mail(&w.env, (struct sp_ip){ 4, { 9, 9, 9, 9 } }, "mx.example.org", "a@example.org");
	assert_string_equal(spf_env_word(&w.env, SPF_RESULT), "fail");
	world_free(&w);
}

/* ---- limits ----------------------------------------------------------------------------------- */

/* A DNS that always answers with more: each record leads to another. */
static enum sp_status
ask_endless(void *arg, struct sp_span name, enum spf_env_type type, struct sp_names *ret)
{
	static const struct sp_span record = { "v=spf1 include:a.%{d} -all", 26 };

	(void)arg;
	(void)name;
	assert_int_equal(type, ZONE_TXT);
	*ret = (struct sp_names){ &record, 1 };
	return SP_OK;
}

static void
test_endless(void **state)
{
	struct world w;

	(void)state;
	world_new(&w, false);
	w.conf.check_helo = false;
	w.env.ask = ask_endless;
	spf_env_mail(&w.env, bad, "x", "a@example.org");
	assert_string_equal(spf_env_word(&w.env, SPF_RESULT), "permerror");
	assert_string_equal(w.env.results[0].reason, "too many terms that ask the DNS");
	assert_int_equal(w.env.asked, 11);
	/* 20 s are over before the ten are */
	w.env.each_ms = 6000;
	spf_env_mail(&w.env, bad, "x", "a@example.org");
	assert_string_equal(spf_env_word(&w.env, SPF_RESULT), "temperror");
	assert_string_equal(w.env.results[0].reason, "the look-ups took too long");
	assert_int_equal(w.env.asked, 4);
	world_free(&w);
}

/* Names of the client without end, none of them in time. */
static enum sp_status
ask_names(void *arg, struct sp_span name, enum spf_env_type type, struct sp_names *ret)
{
	static struct sp_span many[60];
	static const struct sp_span record = { "v=spf1 ptr ~all", 15 }, address = { "\x01\x02\x03\x04", 4 };

	(void)arg;
	(void)name;
	for (size_t i = 0; i < ITEMS(many); i++)
		many[i] = box_span("h.example.com");
	*ret = type == ZONE_PTR ? (struct sp_names){ many, ITEMS(many) } : (struct sp_names){ type == ZONE_TXT ? &record : &address, 1 };
	return SP_OK;
}

static void
test_names_of_the_client(void **state)
{
	struct world w;

	(void)state;
	world_new(&w, false);
	w.conf.check_helo = false;
	w.env.ask = ask_names;
	spf_env_mail(&w.env, good, "x", "a@example.org");
	assert_string_equal(spf_env_word(&w.env, SPF_RESULT), "softfail");
	assert_int_equal(w.env.asked, 12);
	spf_env_mail(&w.env, good, "x", "a@example.com");
	assert_string_equal(spf_env_word(&w.env, SPF_RESULT), "pass");
	w.env.each_ms = 6000;
	spf_env_mail(&w.env, good, "x", "a@example.org");
	assert_int_equal(w.env.asked, 4);
	world_free(&w);
}

/* ---- Received-SPF ------------------------------------------------------------------------------- */

static void
test_received(void **state)
{
	struct world w;
	struct sp_final ev = { 0 };

	(void)state;
	world_new(&w, false);
	spf_env_mail(&w.env, bad, "mx.example.org", "a@example.org");
	assert_int_equal(sp_filter_spf.on_final(&w.env.box.ctx, &ev), SP_OK);
	assert_string_equal(w.env.header, "");
	w.conf.received_spf = true;
	spf_env_mail(&w.env, bad, "mx.example.org", "a@example.org");
	assert_int_equal(sp_filter_spf.on_final(&w.env.box.ctx, &ev), SP_OK);
	assert_string_equal(w.env.header, "Received-SPF: fail\r\n\treceiver=mx.example.com;\r\n\tidentity=mailfrom;\r\n"
		"\tclient-ip=4.3.2.1;\r\n\tenvelope-from=\"a@example.org\";\r\n\thelo=mx.example.org;");
	/* whatever a client says stays within its quotes */
	spf_env_mail(&w.env, (struct sp_ip){ 6, { 0x20, 1, [15] = 1 } }, "a;b\r\n\"\\\xff", "\"x\\\" (\r\n\"@broken.example");
	assert_int_equal(sp_filter_spf.on_final(&w.env.box.ctx, &ev), SP_OK);
	assert_string_equal(w.env.header, "Received-SPF: permerror (syntax error in a record)\r\n\treceiver=mx.example.com;\r\n"
		"\tidentity=mailfrom;\r\n\tclient-ip=\"2001::1\";\r\n\tenvelope-from=\"\\\"x\\\\\\\" (??\\\"@broken.example\";\r\n"
		"\thelo=\"a;b??\\\"\\\\?\";");
	spf_env_mail(&w.env, good, "mx.example.org", "");
	assert_int_equal(sp_filter_spf.on_final(&w.env.box.ctx, &ev), SP_OK);
	assert_string_equal(w.env.header, "Received-SPF: pass\r\n\treceiver=mx.example.com;\r\n\tidentity=helo;\r\n"
		"\tclient-ip=1.2.3.4;\r\n\tenvelope-from=\"\";\r\n\thelo=mx.example.org;");
	world_free(&w);
}

/* A quoted local part is what it stands for. */
static void
test_local_part(void **state)
{
	static const struct spf_env_record own[] = { ZONE("example.org", ZONE_TXT, "v=spf1 -all exp=e.example.org"),
		ZONE("e.example.org", ZONE_TXT, "[%{l}]") };
	static const char *const cases[][2] = { { "a", "[a]" }, { "\"a b\"", "[a b]" }, { "\"\\\"\\\\\\a\"", "[\"\\a]" },
		{ "\"\"", "[]" }, { "\"\\\"", "[\\]" }, { "\"", "[\"]" }, { "", "[postmaster]" } };
	struct world w;

	(void)state;
	world_new(&w, false);
	w.env.zone = own;
	w.env.zone_count = ITEMS(own);
	for (size_t i = 0; i < ITEMS(cases); i++) {
		char sender[64];

		snprintf(sender, sizeof(sender), "%s@example.org", cases[i][0]);
		spf_env_mail(&w.env, good, "x.example", sender);
		assert_text(spf_env_text(&w.env, SPF_EXPLANATION), cases[i][1]);
	}
	world_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_identities),
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_names_of_the_client),
		cmocka_unit_test(test_received),
		cmocka_unit_test(test_local_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
