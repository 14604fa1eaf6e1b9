/* slot_config.c - what a milter's policy may say, and what is refused and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/milter/config.h"

#define RULES "rules { accept }\n"

static void
refused(const char *text, const char *message)
{
	struct policy_diag d;
	struct milter_config *c;

	policy_diag_init(&d);
	c = milter_config_load_text("site.policy", span_str(text), &d);
	if (c != NULL || d.errors != 1 || strstr(buf_cstr(&d.text), message) == NULL)
		fail_msg("%s\n%u errors: %s", text, d.errors, buf_cstr(&d.text));
	milter_config_free(&c);
	policy_diag_fini(&d);
}

static struct milter_config *
taken(const char *text)
{
	struct policy_diag d;
	struct milter_config *c;

	policy_diag_init(&d);
	c = milter_config_load_text("site.policy", span_str(text), &d);
	if (c == NULL)
		fail_msg("%s\n%s", text, buf_cstr(&d.text));
	policy_diag_fini(&d);
	return c;
}

static void
what_a_milter_cannot_do(void **state)
{
	(void)state;
	refused("policy 1\n\nbackend mail { address 127.0.0.1:25 }\n" RULES,
		"site.policy:3:1: error: a milter has no backend: the mail server that asks it has\n");
	refused("policy 1\nlisten 0.0.0.0:25 {\n relay to example.com\n}\n" RULES,
		"site.policy:2:1: error: a milter serves no clients: the mail server that asks it does");
	refused("policy 1\natrn turned { backend mail }\n" RULES, "site.policy:2:1: error: a milter serves no clients");
	refused("policy 1\nrelay to example.com\n" RULES, "site.policy:2:1: error: a milter does not say who may relay");
	refused("policy 1\nworkers 4\n" RULES, "site.policy:2:1: error: a milter is one process");
	refused("policy 1\nrules {\n r : if rcpt.domain == example.com backend other\n accept\n}\n",
		"site.policy:3:44: error: a milter has no backend: the mail server that asks it has\n");
	refused("policy 1\nrules {\n r : if auth.failures > 2 log \"x\"\n accept\n}\n",
		"site.policy:3:9: error: a milter is not told of refused logins");
	refused("policy 1\nrules {\n r : log \"{tls.client.fingerprint}\"\n accept\n}\n",
		"error: a milter is not told the fingerprint of a client's certificate");
	refused("policy 1\nworker 4\n" RULES, "site.policy:2:1: error: unknown statement 'worker'");
	refused("policy 1\nauthserv-id \"a b\"\n" RULES, "site.policy:2:1: error: 'a b' cannot name us");
	refused("policy 1\nhostname \"a b\"\n" RULES, "site.policy:2:1: error: 'a b' is no host name");
}

static void
what_it_can(void **state)
{
	struct milter_config *c = taken("policy 1\nsocket 127.0.0.1:8891\nuser \"milter\"\nhostname \"mx.example.com\"\n"
		"dns timeout 2s\nbudget 9s\ndns budget 3s\nresolver 127.0.0.1:53, 127.0.0.2:53\nbare line ends take\nspool { memory 64K }\n"
		"table own : net { 192.0.2.0/24 }\nrules {\n h : if message.header(\"X\") == \"y\" quarantine jail\n"
		" o : if client.ip in own accept\n accept\n}\n");

	(void)state;
	assert_string_equal(c->socket, "inet:8891@127.0.0.1");
	assert_string_equal(c->user, "milter");
	assert_string_equal(c->auth_id, "mx.example.com");
	assert_string_equal(c->dns.resolvers, "127.0.0.1:53,127.0.0.2:53");
	assert_int_equal(c->dns.timeout_ms, 2000);
	assert_int_equal(c->filter_ms, 9000);
	assert_int_equal(c->dns_ms, 3000);
	assert_int_equal(c->spool.memory, 65536);
	assert_true(c->bare && c->write_results && !c->several_from);
	assert_string_equal(milter_config_socket(c, "[2001:db8::1]:99"), "inet6:99@2001:db8::1");
	assert_string_equal(milter_config_socket(c, "*:99"), "inet:99");
	assert_string_equal(milter_config_socket(c, "unix:/run/x"), "unix:/run/x");
	assert_string_equal(milter_config_socket(c, "inet:1@host"), "inet:1@host");
	assert_null(milter_config_socket(c, "tcp:1@host"));
	assert_null(milter_config_socket(c, "mail.example.com:99"));
	milter_config_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_a_milter_cannot_do), cmocka_unit_test(what_it_can) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
