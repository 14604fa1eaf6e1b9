/* policy_explain.c - what "sallyport explain" prints, as text and as JSON; and values in the language's own words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/policy_priv.h"
#include "policy_eval_env.h"

/* The explanation; the caller frees it. */
static char *
explain(struct eval_env *w, enum sp_stage stage, bool json)
{
	struct policy_verdict v = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	assert_non_null(to);
	for (unsigned s = SP_CONNECT; s <= stage; s++)
		v = eval_env_stage(w, (enum sp_stage)s);
	policy_explain(w->e, &v, &w->host, json, to);
	fclose(to);
	assert_int_equal(strlen(text), len);
	return text;
}

#define WORLD                                                                                         \
	"policy 1\ntable blocked : net { 10.0.0.0/8, 192.0.2.0/24 }\n"                                \
	"table limit : domain -> size { example.com -> 1M } default 25M\nfilter probe { }\nrules {\n" \
	"net    : if client.ip in blocked reject 554 5.7.1 \"net\"\n"                                 \
	"mark   : if probe.result == fail score 2.5\n"                                                \
	"odd    : if probe.seen tag \"odd\" shadow\n"                                                 \
	"forged : if probe.result == fail and not probe.pass reject 550 5.7.23 \"from {client.ip}\"\n" \
	"big    : if message.size > limit[mail.domain] reject 552 5.3.4 \"big\"\n accept\n}\n"

static void
set_world(struct eval_env *w)
{
	eval_env_init(w, WORLD);
	set_ip(w, "client.ip", "203.0.113.9");
	set_number(w, "probe.result", 3);
	set_bool(w, "probe.pass", false);
	set_text(w, "mail.domain", "example.com");
	set_number(w, "message.size", 3 << 20);
}

static void
test_text(void **state)
{
	static const char want[] =
		"reject 550 5.7.23 \"from 203.0.113.9\" by rule forged (test.policy:9) at eom\n"
		"  net     no                client.ip 203.0.113.9 in blocked (2 nets)                          test.policy:6\n"
		"  mark    YES               probe.result fail == fail -> score 2.5                             test.policy:7\n"
		"  odd     unknown (shadow)  probe.seen (unknown)                                               test.policy:8\n"
		"  forged  YES               probe.result fail == fail and not probe.pass no -> reject 550 5.7.23  test.policy:9\n"
		"  big     skipped           message.size 3M > limit[mail.domain example.com] 1M                test.policy:10\n"
		"  accept  skipped           always                                                             test.policy:11\n";
	struct eval_env w;
	char *text;

	(void)state;
	set_world(&w);
	text = explain(&w, SP_EOM, false);
	/* columns are compared blank by blank, but for how many */
	for (const char *a = want, *b = text;; a++, b++) {
		while (a[0] == ' ' && a[1] == ' ')
			a++;
		while (b[0] == ' ' && b[1] == ' ')
			b++;
		if (*a != *b)
			fail_msg("%s", text);
		if (*a == '\0')
			break;
	}
	free(text);
	eval_env_fini(&w);
}

/* The place stands in one column, and so do the outcomes. */
static void
test_columns(void **state)
{
	struct eval_env w;
	size_t column = 0;
	char *text, *line;

	(void)state;
	set_world(&w);
	text = explain(&w, SP_EOM, false);
	for (line = strchr(text, '\n') + 1; *line != '\0'; line = strchr(line, '\n') + 1) {
		size_t at = (size_t)(strstr(line, "test.policy:") - line);

		assert_true(column == 0 || at == column);
		column = at;
	}
	free(text);
	eval_env_fini(&w);
}

static void
test_undecided(void **state)
{
	struct eval_env w;
	char *text;

	(void)state;
	set_world(&w);
	text = explain(&w, SP_MAIL, false);
	assert_non_null(strstr(text, "undecided at mail\n"));
	assert_non_null(strstr(text, "probe.pass (not known yet)"));
	assert_non_null(strstr(text, "  big     waits "));
	free(text);
	eval_env_fini(&w);
}

static void
test_unknown(void **state)
{
	struct eval_env w;
	char *text;

	(void)state;
	set_world(&w);
	eval_env_set(&w, "probe.pass", POLICY_UNKNOWN);
	text = explain(&w, SP_EOM, false);
	assert_non_null(strstr(text, "defer 451 4.7.1 \""));
	assert_non_null(strstr(text, "\" by rule forged (test.policy:9) at eom, since a fact is unknown\n"));
	assert_non_null(strstr(text, "forged  unknown "));
	assert_non_null(strstr(text, "not probe.pass (unknown)"));
	free(text);
	eval_env_fini(&w);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* A reader of RFC 8259's grammar: past the value at p, or null. */
static const char *json_value(const char *p);

static const char *
json_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	while (*p != '"') {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p++ != '\\')
			continue;
		if (*p == 'u' && strspn(p + 1, "0123456789abcdef") >= 4)
			p += 5;
		else if (strchr("\"\\/bfnrt", *p) != NULL && *p != '\0')
			p++;
		else
			return NULL;
	}
	return p + 1;
}

static const char *
json_members(const char *p, char end, bool keys)
{
	if (*p == end)
		return p + 1;
	for (;; p++) {
		if (keys) {
			p = json_string(p);
			if (p == NULL || *p++ != ':')
				return NULL;
		}
		p = json_value(p);
		if (p == NULL || *p == end)
			return p == NULL ? NULL : p + 1;
		if (*p != ',')
			return NULL;
	}
}

static const char *
json_value(const char *p)
{
	static const char *const words[] = { "true", "false", "null" };
	size_t digits;

	for (size_t i = 0; i < 3; i++)
		if (strncmp(p, words[i], strlen(words[i])) == 0)
			return p + strlen(words[i]);
	if (*p == '"')
		return json_string(p);
	if (*p == '{' || *p == '[')
		return json_members(p + 1, *p == '{' ? '}' : ']', *p == '{');
	p += *p == '-';
	digits = strspn(p, "0123456789");
	if (digits == 0 || (p[0] == '0' && digits > 1))
		return NULL;
	p += digits;
	if (*p == '.')
		p += 1 + strspn(p + 1, "0123456789");
	return p;
}

static void
assert_json(const char *text)
{
	const char *end = json_value(text);

	if (end == NULL || strcmp(end, "\n") != 0)
		fail_msg("not JSON: %s", text);
}

static void
test_json(void **state)
{
	struct eval_env w;
	char *text;

	(void)state;
	set_world(&w);
	text = explain(&w, SP_EOM, true);
	assert_json(text);
	assert_non_null(strstr(text, "{\"verdict\":\"reject\",\"code\":550,\"enhanced\":\"5.7.23\","
				     "\"text\":\"from 203.0.113.9\",\"rule\":\"forged\",\"place\":\"test.policy:9\","
				     "\"stage\":\"eom\",\"unknown\":false,\"rules\":["));
	assert_non_null(strstr(text, "{\"name\":\"net\",\"place\":\"test.policy:6\",\"outcome\":\"no\",\"stage\":\"connect\","
				     "\"shadow\":false,\"verb\":\"reject 554 5.7.1\",\"condition\":\"client.ip in blocked\","
				     "\"facts\":[{\"fact\":\"client.ip\",\"value\":\"203.0.113.9\",\"known\":true,"
				     "\"state\":\"known\"}]}"));
	assert_non_null(strstr(text, "{\"fact\":\"probe.seen\",\"value\":null,\"known\":false,\"state\":\"unknown\"}"));
	free(text);
	text = explain(&w, SP_EOM, true);
	free(text);
	eval_env_fini(&w);

	set_world(&w);
	text = explain(&w, SP_CONNECT, true);
	assert_json(text);
	assert_non_null(strstr(text, "{\"verdict\":\"undecided\",\"rules\":["));
	free(text);
	eval_env_fini(&w);
}

/* Whatever bytes a client sends, it stays JSON, and the text stays in its lines. */
static void
test_any_bytes(void **state)
{
	struct eval_env w;
	char bytes[256], *text;
	size_t lines = 0;

	(void)state;
	for (unsigned i = 0; i < 255; i++)
		bytes[i] = (char)(i + 1);
	bytes[255] = '\0';
	eval_env_init(&w, "policy 1\nfilter probe { }\nrules {\n"
			  "a : if message.header(\"Subject\") ~ /[\"\\\\]x/ reject 550 5.7.1 \"a \\\"q\\\"\"\n"
			  "b : if client.helo == \"\\\"\\\\\" reject 550 5.7.1 \"b\"\n"
			  "c : if mail.address == \"\" or probe.score > 1.5 defer 450 4.7.1 \"c\"\n"
			  "d : reject 550 5.7.1 \"{client.helo} {message.header(\\\"Subject\\\")}\"\n}\n");
	set_text(&w, "message.header(\"Subject\")", bytes);
	set_text(&w, "client.helo", bytes);
	set_text(&w, "mail.address", bytes);
	eval_env_set(&w, "probe.score", POLICY_KNOWN)->u.real = -0.25;
	text = explain(&w, SP_EOM, true);
	assert_json(text);
	if (strstr(text, "\"value\":-0.25") == NULL)
		fail_msg("%s", text);
	free(text);
	text = explain(&w, SP_EOM, false);
	for (const char *p = text; *p != '\0'; p++) {
		assert_true(*p == '\n' || ((unsigned char)*p >= ' ' && *p != 0x7f));
		lines += *p == '\n';
	}
	assert_int_equal(lines, 5);
	free(text);
	eval_env_fini(&w);
}

/* A verdict that no rule gave. */
static void
test_no_rule(void **state)
{
	struct policy_verdict v = { .verdict = POLICY_DEFER, .stage = SP_MAIL, .code = 451,
		.enhanced = SPAN_LIT("4.3.0"), .text = SPAN_LIT("out of memory") };

	(void)state;
	for (int json = 0; json < 2; json++) {
		struct eval_env w;
		char *text = NULL;
		size_t len = 0;
		FILE *to = open_memstream(&text, &len);

		set_world(&w);
		policy_explain(w.e, &v, &w.host, json == 1, to);
		fclose(to);
		if (json == 1)
			assert_json(text);
		else
			assert_non_null(strstr(text, "defer 451 4.3.0 \"out of memory\" at mail\n"));
		free(text);
		eval_env_fini(&w);
	}
}

/* ---- values ---------------------------------------------------------------------------------- */

static void
assert_prints(struct sp_value v, const char *const *words, const char *print, const char *text)
{
	struct buf b;

	buf_init(&b, 4096);
	value_print(&b, &v, words);
	assert_string_equal(buf_cstr(&b), print);
	buf_clear(&b);
	value_text(&b, &v, words);
	assert_string_equal(buf_cstr(&b), text);
	buf_fini(&b);
}

#define NUMBER(t, n) ((struct sp_value){ (t), { .integer = (n) } })
#define TEXT(t, s) ((struct sp_value){ (t), { .text = SPAN_LIT(s) } })
#define SCORE(x) ((struct sp_value){ SP_SCORE, { .real = (x) } })

static void
test_values(void **state)
{
	static const char *const words[] = { "none", "pass", NULL };
	static const struct sp_span names[] = { { "a.example", 9 }, { "b c", 3 } };
	struct sp_value set = { SP_DOMAINS, { .set = { names, 2 } } };
	struct sp_value rate = { SP_RATE, { .rate = { 60, 60000, 0 } } };
	struct sp_value net = { SP_NET, { 0 } };

	(void)state;
	assert_prints((struct sp_value){ SP_BOOL, { .boolean = true } }, NULL, "yes", "yes");
	assert_prints(NUMBER(SP_INT, INT64_MIN), NULL, "-9223372036854775808", "-9223372036854775808");
	assert_prints(NUMBER(SP_SIZE, 25 << 20), NULL, "25M", "25M");
	assert_prints(NUMBER(SP_SIZE, 1536), NULL, "1536", "1536");
	assert_prints(NUMBER(SP_SIZE, 0), NULL, "0", "0");
	assert_prints(NUMBER(SP_DURATION, 90000), NULL, "90s", "90s");
	assert_prints(NUMBER(SP_DURATION, 86400000), NULL, "1d", "1d");
	assert_prints(NUMBER(SP_DURATION, 1500), NULL, "1500ms", "1500ms");
	assert_prints(NUMBER(SP_DURATION, 0), NULL, "0s", "0s");
	assert_prints(NUMBER(SP_TIME, 1136214245), NULL, "2006-01-02T15:04:05Z", "2006-01-02T15:04:05Z");
	assert_prints(NUMBER(SP_ENUM, 1), words, "pass", "pass");
	assert_prints(NUMBER(SP_ENUM, 2), words, "2", "2");
	assert_prints(SCORE(5), NULL, "5.0", "5.0");
	assert_prints(SCORE(-2.75), NULL, "-2.75", "-2.75");
	assert_prints(SCORE(1e300), NULL, "1e+300", "1e+300");
	assert_prints(TEXT(SP_STRING, "a \"b\""), NULL, "\"a \\\"b\\\"\"", "a \"b\"");
	assert_prints(TEXT(SP_DOMAIN, "a.example"), NULL, "a.example", "a.example");
	assert_prints(TEXT(SP_DOMAIN, ""), NULL, "\"\"", "");
	assert_prints(TEXT(SP_ADDRESS, "a+b@c.example"), NULL, "a+b@c.example", "a+b@c.example");
	assert_prints(TEXT(SP_ADDRESS, "a b@c"), NULL, "\"a b@c\"", "a b@c");
	assert_prints(TEXT(SP_ADDRESS, ""), NULL, "<>", "<>");
	assert_prints(set, NULL, "(a.example, \"b c\")", "a.example, b c");
	assert_prints(rate, NULL, "60/min", "60/min");
	assert_int_equal(span_to_net(SPAN_LIT("2001:db8::/32"), &net.u.net), SP_OK);
	assert_prints(net, NULL, "2001:db8::/32", "2001:db8::/32");
}

static void
test_compare(void **state)
{
	struct sp_value a = TEXT(SP_STRING, "Abc"), b = TEXT(SP_STRING, "abc"), c = TEXT(SP_DOMAIN, "ABC");
	struct sp_value ip = { SP_IP, { 0 } }, net = { SP_NET, { 0 } };
	struct sp_value five = NUMBER(SP_INT, 5), more = SCORE(5.5), big = NUMBER(SP_INT, INT64_MAX);
	struct sp_value bigger = NUMBER(SP_INT, INT64_MAX - 1);

	(void)state;
	assert_false(value_eq(&a, &b));
	assert_true(value_eq(&b, &c));
	assert_int_equal(span_to_ip(SPAN_LIT("192.0.2.9"), &ip.u.ip), SP_OK);
	assert_int_equal(span_to_net(SPAN_LIT("192.0.2.0/24"), &net.u.net), SP_OK);
	assert_true(value_eq(&ip, &net));
	assert_true(value_cmp(&five, &more) < 0);
	assert_true(value_cmp(&more, &five) > 0);
	assert_true(value_cmp(&bigger, &big) < 0); /* not by way of a double */
	assert_true(value_eq(&five, &five));
}

/* What is printed reads back as the same condition. */
static void
test_show(void **state)
{
	static const char *const conditions[] = {
		"client.port == 25 and (client.port < 3 or not (probe.seen or probe.pass))",
		"not probe.seen and client.port not in (1, 2, 3)",
		"client.helo !~ /^a\\/b$/i or client.helo ~ /x/",
		"client.ip in nets and client.ip not in nets",
		"probe.result in (pass, fail) or probe.result != none",
		"client.port == 1 or client.port == 2 or client.port == 3 and probe.seen",
		"message.header(\"Subject\") == \"a \\\"b\\\"\"",
		"score >= 5.0",
		"tagged \"x\"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		struct buf text, shown;
		struct policy *p;

		buf_init(&text, 4096);
		buf_init(&shown, 4096);
		buf_printf(&text, "policy 1\ntable nets : net { 10.0.0.0/8 }\nfilter probe { }\nrules {\n"
				  "t : tag \"x\"\na : if %s accept\n reject 550 5.7.1 \"no\"\n}\n",
			conditions[i]);
		p = env_compile(buf_cstr(&text));
		assert_non_null(p);
		show_expr(&shown, p->rules[1]->condition);
		assert_string_equal(buf_cstr(&shown), conditions[i]);
		policy_free(&p);
		buf_fini(&text);
		buf_fini(&shown);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_undecided),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_no_rule),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
