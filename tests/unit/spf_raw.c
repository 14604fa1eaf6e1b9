/*
 * spf_raw.c - the module spf without a session before it: names and senders that no SMTP client can say.
 *
 * With arguments, "unit_spf_raw RESOLVER CLIENT HELO SENDER", it asks that resolver through the gateway's DNS layer and
 * prints result and explanation; tests/suite/spfsuite.py does so.
 */
#include "tests/unit/spf_env.h"

#include <arpa/inet.h>

#include "policy/kit/arena.h"
#include "policy/kit/span.h"
#include "proxy/dns/dns.h"
#include "proxy/rt/rt.h"

enum { DNS_MS = 10000, ARENA = 4 << 20 };

static void
test_odd_names(void **state)
{
	static const struct spf_env_record zone[] = {
		ZONE("example.net", ZONE_TXT, "v=spf1 -all exp=exp.example.net"),
		ZONE("exp.example.net", ZONE_TXT, "%{l} %{h}"),
		ZONE("example.com", ZONE_TXT, "v=spf1 exists:%{h}.example.com -all"),
	};
	struct spf_env_conf conf = { .check_helo = true };
	static const struct {
		const char *helo, *sender, *result, *explanation;
	} cases[] = {
		{ "mail.example.net", "@example.net", "fail", "postmaster mail.example.net" },
		{ "JUMPIN' JUPITER", "a b@example.net", "fail", "a b JUMPIN' JUPITER" },
		{ "\x01\xff", "a\r\nb@example.net", "fail", "a??b ??" },
		{ "%%%%%%%%%%", "a@example.com", "fail", "" },
		{ "mail.example.net", "a@A...example.com", "none", "" },
		{ "mail.example.net", "a@", "none", "" },
		{ "", "a@example", "none", "" },
	};
	struct spf_env e;

	(void)state;
	spf_env_init(&e, &conf);
	e.zone = zone;
	e.zone_count = sizeof(zone) / sizeof(zone[0]);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sp_span text;

		spf_env_mail(&e, spf_env_ip4(1, 2, 3, 4), cases[i].helo, cases[i].sender);
		assert_string_equal(spf_env_word(&e, SPF_RESULT), cases[i].result);
		text = spf_env_text(&e, SPF_EXPLANATION);
		assert_int_equal(text.len, strlen(cases[i].explanation));
		assert_memory_equal(text.ptr, cases[i].explanation, text.len);
	}
	spf_env_fini(&e, &conf);
}

/* ---- as a program --------------------------------------------------------------------------------- */

struct raw {
	struct spf_env env;
	struct arena *arena;
	struct sp_ip client;
	char **argv;
};

static enum sp_status
raw_txt(struct sp_ctx *ctx, struct sp_span name, struct sp_names *ret)
{
	return dns_txt(name, rt_deadline(DNS_MS), ((struct raw *)(void *)ctx)->arena, ret);
}

static enum sp_status
raw_ips(struct sp_ctx *ctx, struct sp_span name, int family, struct sp_addrs *ret)
{
	struct arena *a = ((struct raw *)(void *)ctx)->arena;

	return family == 4 ? dns_a(name, rt_deadline(DNS_MS), a, ret) : dns_aaaa(name, rt_deadline(DNS_MS), a, ret);
}

static enum sp_status
raw_mx(struct sp_ctx *ctx, struct sp_span name, struct sp_mxs *ret)
{
	return dns_mx(name, rt_deadline(DNS_MS), ((struct raw *)(void *)ctx)->arena, ret);
}

static enum sp_status
raw_ptr(struct sp_ctx *ctx, const struct sp_ip *ip, struct sp_names *ret)
{
	return dns_ptr(ip, rt_deadline(DNS_MS), ((struct raw *)(void *)ctx)->arena, ret);
}

static void
raw_run(void *arg)
{
	struct raw *r = arg;
	struct sp_span text;

	spf_env_mail(&r->env, r->client, r->argv[3], r->argv[4]);
	text = spf_env_text(&r->env, SPF_EXPLANATION);
	printf("%s %.*s\n", spf_env_word(&r->env, SPF_RESULT), (int)text.len, text.ptr);
	rt_stop();
}

static int
raw_main(char **argv)
{
	struct dns_config config = { .resolvers = argv[1], .timeout_ms = 100 };
	struct spf_env_conf conf = { .check_helo = true };
	struct raw r = { .argv = argv };

	if (span_to_ip(span_str(argv[2]), &r.client) != SP_OK || rt_init() != SP_OK || dns_init(&config) != SP_OK)
		return 2;
	r.arena = arena_new(65536, ARENA);
	spf_env_init(&r.env, &conf);
	spf_env_host.dns_txt = raw_txt;
	spf_env_host.dns_ips = raw_ips;
	spf_env_host.dns_mx = raw_mx;
	spf_env_host.dns_ptr = raw_ptr;
	if (r.arena == NULL || co_start(raw_run, &r, NULL) != SP_OK)
		return 2;
	rt_run();
	spf_env_fini(&r.env, &conf);
	arena_free(&r.arena);
	dns_fini();
	rt_fini();
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_odd_names) };

	if (argc == 5)
		return raw_main(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
