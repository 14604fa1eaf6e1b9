/*
 * policy_env.h - a small world for the tests of the policy language: facts, blocks and modules.
 *
 * Everything is static: each test program has its own.  Modules: "probe" has a parameter of every
 * type and facts of every stage, "rate" takes entries, "scan" is one to be run on demand, "picky"
 * refuses its configuration in load() whenever its level is 13, "guard" asks tables, "judge" states results
 * and reads those of "guard" and "probe", "arbiter" decides, unless it is told not to obey it.
 */
#ifndef TESTS_UNIT_POLICY_ENV_H
#define TESTS_UNIT_POLICY_ENV_H

#include <stdlib.h>

#include "policy/kit/span.h"
#include "policy/policy.h"

/* ---- facts of the host ------------------------------------------------------------------- */

enum { CLIENT_IP, CLIENT_PORT, CLIENT_NAME, CLIENT_HELO };
static const struct sp_fact_decl env_client[] = {
	[CLIENT_IP] = { .name = "ip", .type = SP_IP, .stage = SP_CONNECT, .help = "the client's address" },
	[CLIENT_PORT] = { .name = "port", .type = SP_INT, .stage = SP_CONNECT, .help = "its port" },
	[CLIENT_NAME] = { .name = "name", .type = SP_DOMAIN, .stage = SP_CONNECT, .help = "its confirmed name" },
	[CLIENT_HELO] = { .name = "helo", .type = SP_STRING, .stage = SP_HELO, .help = "its name in HELO" },
	SP_FACTS_END
};

enum { TLS_ACTIVE, TLS_CIPHER };
static const struct sp_fact_decl env_tls[] = {
	[TLS_ACTIVE] = { .name = "active", .type = SP_BOOL, .stage = SP_MAIL, .help = "the session is encrypted" },
	[TLS_CIPHER] = { .name = "cipher", .type = SP_STRING, .stage = SP_MAIL, .help = "by what" },
	SP_FACTS_END
};

enum { AUTH_USER };
static const struct sp_fact_decl env_auth[] = {
	[AUTH_USER] = { .name = "user", .type = SP_STRING, .stage = SP_MAIL, .help = "who logged in; empty: nobody" },
	SP_FACTS_END
};

enum { MAIL_ADDRESS, MAIL_LOCAL, MAIL_DOMAIN, MAIL_SIZE };
static const struct sp_fact_decl env_mail[] = {
	[MAIL_ADDRESS] = { .name = "address", .type = SP_ADDRESS, .stage = SP_MAIL, .help = "the sender" },
	[MAIL_LOCAL] = { .name = "local", .type = SP_STRING, .stage = SP_MAIL, .help = "its local part" },
	[MAIL_DOMAIN] = { .name = "domain", .type = SP_DOMAIN, .stage = SP_MAIL, .help = "its domain" },
	[MAIL_SIZE] = { .name = "size", .type = SP_SIZE, .stage = SP_MAIL, .help = "SIZE= as announced" },
	SP_FACTS_END
};

enum { RCPT_ADDRESS, RCPT_LOCAL, RCPT_DOMAIN, RCPT_COUNT };
static const struct sp_fact_decl env_rcpt[] = {
	[RCPT_ADDRESS] = { .name = "address", .type = SP_ADDRESS, .stage = SP_RCPT, .help = "the recipient" },
	[RCPT_LOCAL] = { .name = "local", .type = SP_STRING, .stage = SP_RCPT, .help = "its local part" },
	[RCPT_DOMAIN] = { .name = "domain", .type = SP_DOMAIN, .stage = SP_RCPT, .help = "its domain" },
	[RCPT_COUNT] = { .name = "count", .type = SP_INT, .stage = SP_RCPT, .help = "recipients so far" },
	SP_FACTS_END
};

enum { MESSAGE_SIZE, MESSAGE_HEADER, MESSAGE_HEADER_COUNT };
static const struct sp_fact_decl env_message[] = {
	[MESSAGE_SIZE] = { .name = "size", .type = SP_SIZE, .stage = SP_EOM, .help = "octets of header and body" },
	[MESSAGE_HEADER] = { .name = "header", .type = SP_STRING, .stage = SP_HEADER, .help = "a field's value",
		.takes_name = true },
	[MESSAGE_HEADER_COUNT] = { .name = "header_count", .type = SP_INT, .stage = SP_HEADER, .help = "fields" },
	SP_FACTS_END
};

enum { LISTENER_NAME };
static const struct sp_fact_decl env_listener[] = {
	[LISTENER_NAME] = { .name = "name", .type = SP_STRING, .stage = SP_CONNECT, .help = "the listener's name" },
	SP_FACTS_END
};

enum { TIME_HOUR, TIME_WEEKDAY };
static const char *const env_weekdays[] = { "sunday", "monday", "tuesday", "wednesday", "thursday", "friday",
	"saturday", NULL };
static const struct sp_fact_decl env_time[] = {
	[TIME_HOUR] = { .name = "hour", .type = SP_INT, .stage = SP_CONNECT, .help = "0 to 23" },
	[TIME_WEEKDAY] = { .name = "weekday", .type = SP_ENUM, .stage = SP_CONNECT, .help = "day of the week",
		.words = env_weekdays },
	SP_FACTS_END
};

static const struct policy_space env_spaces[] = {
	{ "client", env_client },
	{ "tls", env_tls },
	{ "auth", env_auth },
	{ "mail", env_mail },
	{ "rcpt", env_rcpt },
	{ "message", env_message },
	{ "listener", env_listener },
	{ "time", env_time },
	{ NULL, NULL }
};

/* ---- blocks ------------------------------------------------------------------------------ */

static const char *const env_relay_words[] = { "early", "late", NULL };
static const char *const env_backend_kind[] = { "backend", NULL };

static const struct policy_setting_decl env_listen_settings[] = {
	{ .key = "hostname", .type = POLICY_SET_STRING, .fallback = "localhost", .help = "name in the banner" },
	{ .key = "relay to", .type = POLICY_SET_DOMAINS, .repeat = true, .help = "domains served" },
	{ .key = "relay for", .type = POLICY_SET_NETS, .repeat = true, .help = "own nets" },
	{ .key = "relay", .type = POLICY_SET_ENUM, .fallback = "early", .words = env_relay_words, .help = "when" },
	{ .key = "backend", .type = POLICY_SET_NAME, .words = env_backend_kind, .help = "where mail goes" },
	{ .key = "certificate", .type = POLICY_SET_FILE, .help = "PEM" },
	{ .key = "max recipients", .type = POLICY_SET_INT, .fallback = "100", .min = 1, .max = 1000, .help = "limit" },
	{ .key = NULL }
};
static const struct policy_setting_decl env_backend_settings[] = {
	{ .key = "address", .type = POLICY_SET_ENDPOINT, .list = true, .help = "where it listens" },
	{ .key = "xclient", .type = POLICY_SET_BOOL, .fallback = "no", .help = "pass the client's address" },
	{ .key = "timeout", .type = POLICY_SET_DURATION, .fallback = "30s", .min = 1000, .max = 600000, .help = "wait" },
	{ .key = NULL }
};
static const struct policy_setting_decl env_spool_settings[] = {
	{ .key = "memory", .type = POLICY_SET_SIZE, .fallback = "256K", .min = 4096, .max = 1 << 20, .help = "in memory" },
	{ .key = "directory", .type = POLICY_SET_FILE, .fallback = "/var/tmp", .help = "then here" },
	{ .key = NULL }
};
static const struct policy_setting_decl env_top_settings[] = {
	{ .key = "user", .type = POLICY_SET_STRING, .fallback = "nobody", .help = "runs as" },
	{ .key = "resolver", .type = POLICY_SET_ENDPOINT, .list = true, .help = "DNS servers" },
	{ .key = NULL }
};
static const struct policy_block_decl env_blocks[] = {
	{ "listen", POLICY_HEAD_ENDPOINT, false, env_listen_settings, "where clients connect" },
	{ "backend", POLICY_HEAD_NAME, false, env_backend_settings, "where mail goes" },
	{ "spool", POLICY_HEAD_NONE, true, env_spool_settings, "where bytes wait" },
	{ "", POLICY_HEAD_NONE, true, env_top_settings, "outside of all blocks" },
	{ NULL, POLICY_HEAD_NONE, false, NULL, NULL }
};

/* ---- filter modules ---------------------------------------------------------------------- */

static const char *const env_mode_words[] = { "gentle", "harsh", NULL };
static const char *const env_result_words[] = { "none", "neutral", "pass", "fail", "softfail", "temperror",
	"permerror", NULL };

struct env_probe {
	bool strict;
	int64_t level, limit, wait, mode;
	double points;
	struct sp_span text, domain, address, pattern;
	const char *file;
	struct sp_ip ip;
	struct sp_net net;
	struct sp_rate rate;
	struct sp_keys keys;
};
#define ENV_PARAM(m) .offset = offsetof(struct env_probe, m)
static const struct sp_param env_probe_params[] = {
	{ .name = "strict", .type = SP_BOOL, ENV_PARAM(strict), .fallback = "no" },
	{ .name = "level", .type = SP_INT, ENV_PARAM(level), .fallback = "3", .min = 1, .max = 20 },
	{ .name = "limit", .type = SP_SIZE, ENV_PARAM(limit), .fallback = "1M" },
	{ .name = "wait", .type = SP_DURATION, ENV_PARAM(wait), .fallback = "30s" },
	{ .name = "mode", .type = SP_ENUM, ENV_PARAM(mode), .fallback = "gentle", .words = env_mode_words },
	{ .name = "points", .type = SP_SCORE, ENV_PARAM(points), .fallback = "1.5" },
	{ .name = "text", .type = SP_STRING, ENV_PARAM(text), .fallback = "\"\"" },
	{ .name = "domain", .type = SP_DOMAIN, ENV_PARAM(domain), .fallback = "example.com" },
	{ .name = "address", .type = SP_ADDRESS, ENV_PARAM(address), .fallback = "\"\"" },
	{ .name = "pattern", .type = SP_REGEX, ENV_PARAM(pattern), .fallback = "/x/" },
	{ .name = "file", .type = SP_FILE, ENV_PARAM(file), .fallback = "\"/dev/null\"" },
	{ .name = "ip", .type = SP_IP, ENV_PARAM(ip), .fallback = "127.0.0.1" },
	{ .name = "net", .type = SP_NET, ENV_PARAM(net), .fallback = "127.0.0.0/8" },
	{ .name = "rate", .type = SP_RATE, ENV_PARAM(rate), .fallback = "60/min" },
	{ .name = "keys", .type = SP_FACT, ENV_PARAM(keys), .fallback = "client.ip" },
	SP_PARAMS_END
};
enum { PROBE_SEEN, PROBE_RESULT, PROBE_NAME, PROBE_SCORE, PROBE_PASS, PROBE_DOMAINS, PROBE_COUNT };
static const struct sp_fact_decl env_probe_facts[] = {
	[PROBE_SEEN] = { .name = "seen", .type = SP_BOOL, .stage = SP_CONNECT, .help = "known client" },
	[PROBE_RESULT] = { .name = "result", .type = SP_ENUM, .stage = SP_MAIL, .help = "as SPF has it",
		.words = env_result_words },
	[PROBE_NAME] = { .name = "name", .type = SP_STRING, .stage = SP_RCPT, .help = "a text" },
	[PROBE_SCORE] = { .name = "score", .type = SP_SCORE, .stage = SP_EOM, .help = "points" },
	[PROBE_PASS] = { .name = "pass", .type = SP_BOOL, .stage = SP_EOM, .help = "as DKIM has it" },
	[PROBE_DOMAINS] = { .name = "domains", .type = SP_DOMAINS, .stage = SP_EOM, .help = "who signed" },
	[PROBE_COUNT] = { .name = "count", .type = SP_INT, .stage = SP_HEADER, .help = "a number" },
	SP_FACTS_END
};
static const struct sp_filter env_probe = {
	SP_FILTER_HEAD, .name = "probe", .summary = "everything", .facts = env_probe_facts,
	.params = env_probe_params, .conf_size = sizeof(struct env_probe)
};

struct env_rate_entry {
	struct sp_keys key;
	struct sp_rate rate;
	int64_t burst;
};
static const struct sp_param env_rate_params[] = {
	{ .name = "key", .type = SP_FACT, .offset = offsetof(struct env_rate_entry, key) },
	{ .name = "rate", .type = SP_RATE, .offset = offsetof(struct env_rate_entry, rate), .bare = true },
	{ .name = "burst", .type = SP_INT, .offset = offsetof(struct env_rate_entry, burst), .fallback = "0",
		.min = 0, .max = 1000000 },
	SP_PARAMS_END
};
enum { RATE_OVER, RATE_COUNT };
static const struct sp_fact_decl env_rate_facts[] = {
	[RATE_OVER] = { .name = "over", .type = SP_BOOL, .stage = SP_CONNECT, .help = "the rate is exceeded" },
	[RATE_COUNT] = { .name = "count", .type = SP_INT, .stage = SP_CONNECT, .help = "events counted" },
	SP_FACTS_END
};
static const struct sp_filter env_rate = {
	SP_FILTER_HEAD, .name = "rate", .summary = "counts", .entry_params = env_rate_params,
	.entry_size = sizeof(struct env_rate_entry), .entry_facts = env_rate_facts
};

struct env_scan {
	struct sp_span socket;
	int64_t timeout;
};
static const struct sp_param env_scan_params[] = {
	{ .name = "socket", .type = SP_STRING, .offset = offsetof(struct env_scan, socket) },
	{ .name = "timeout", .type = SP_DURATION, .offset = offsetof(struct env_scan, timeout), .fallback = "30s",
		.min = 1000, .max = 600000 },
	SP_PARAMS_END
};
enum { SCAN_VIRUS, SCAN_NAME };
static const struct sp_fact_decl env_scan_facts[] = {
	[SCAN_VIRUS] = { .name = "virus", .type = SP_BOOL, .stage = SP_EOM, .help = "something was found" },
	[SCAN_NAME] = { .name = "name", .type = SP_STRING, .stage = SP_EOM, .help = "its name" },
	SP_FACTS_END
};
static const struct sp_filter env_scan = {
	SP_FILTER_HEAD, .name = "scan", .summary = "asks another", .facts = env_scan_facts,
	.params = env_scan_params, .conf_size = sizeof(struct env_scan)
};

struct env_picky {
	int64_t level;
	void *memory, *shared;
};
static const struct sp_param env_picky_params[] = {
	{ .name = "level", .type = SP_INT, .offset = offsetof(struct env_picky, level), .fallback = "1" },
	SP_PARAMS_END
};
static int env_picky_loaded; /* loads less unloads */

static inline enum sp_status
env_picky_load(struct sp_load *load, const struct sp_host *host, void *conf, struct sp_entry *entries,
	size_t count)
{
	struct env_picky *picky = conf;

	(void)entries;
	(void)count;
	if (picky->level == 13) {
		sp_load_error(host, load, NULL, 0, 0, "level %d brings bad luck", 13);
		return SP_INVALID;
	}
	picky->memory = host->load_alloc(load, 64);
	picky->shared = host->load_shared(load, "picky", 128);
	env_picky_loaded++;
	return SP_OK;
}

static inline void
env_picky_unload(void *conf, struct sp_entry *entries, size_t count)
{
	(void)conf;
	(void)entries;
	(void)count;
	env_picky_loaded--;
}

static const struct sp_filter env_picky = {
	SP_FILTER_HEAD, .name = "picky", .summary = "refuses", .params = env_picky_params,
	.conf_size = sizeof(struct env_picky), .load = env_picky_load, .unload = env_picky_unload
};

struct env_guard {
	const struct sp_table *nets, *names, *people, *words, *any;
	const char *file;
	bool local; /* what nets said of 127.0.0.1 in load() */
};
#define ENV_TABLE(m, key) .name = #m, .type = SP_TABLE, .offset = offsetof(struct env_guard, m), .min = (key), .fallback = "none"
static const struct sp_param env_guard_params[] = {
	{ ENV_TABLE(nets, SP_IP) },
	{ ENV_TABLE(names, SP_DOMAIN) },
	{ ENV_TABLE(people, SP_ADDRESS) },
	{ ENV_TABLE(words, SP_STRING) },
	{ ENV_TABLE(any, 0) },
	{ .name = "file", .type = SP_FILE, .offset = offsetof(struct env_guard, file), .fallback = "none" },
	SP_PARAMS_END
};

static inline enum sp_status
env_guard_load(struct sp_load *load, const struct sp_host *host, void *conf, struct sp_entry *entries, size_t count)
{
	const struct sp_value local = { SP_IP, { .ip = { 4, { 127, 0, 0, 1 } } } };
	struct env_guard *guard = conf;

	(void)load;
	(void)entries;
	(void)count;
	guard->local = host->table_has(guard->nets, &local);
	return SP_OK;
}

static const struct sp_filter env_guard = {
	SP_FILTER_HEAD, .name = "guard", .summary = "asks tables", .params = env_guard_params,
	.conf_size = sizeof(struct env_guard), .load = env_guard_load
};

struct env_judge {
	const struct sp_table *keys;
};
static const struct sp_param env_judge_params[] = {
	{ .name = "keys", .type = SP_TABLE, .offset = offsetof(struct env_judge, keys), .min = SP_DOMAIN },
	SP_PARAMS_END
};
static const struct sp_fact_decl env_judge_facts[] = {
	{ .name = "result", .type = SP_ENUM, .stage = SP_EOM, .help = "as SPF has it", .words = env_result_words },
	SP_FACTS_END
};
static const char *const env_judge_after[] = { "judge", "guard", "probe", NULL };
static const struct sp_filter env_judge = {
	SP_FILTER_HEAD, .name = "judge", .summary = "reads others' results", .facts = env_judge_facts,
	.params = env_judge_params, .conf_size = sizeof(struct env_judge), .states_results = true, .after = env_judge_after
};

static inline bool
env_stamp_by_rule(const void *conf)
{
	(void)conf;
	return true;
}

static const struct sp_filter env_stamp = {
	SP_FILTER_HEAD, .name = "stamp", .summary = "for messages of some only", .states_results = true,
	.by_rule = env_stamp_by_rule
};

struct env_arbiter {
	bool obey;
};
static const struct sp_param env_arbiter_params[] = {
	{ .name = "obey", .type = SP_BOOL, .offset = offsetof(struct env_arbiter, obey), .fallback = "yes" },
	SP_PARAMS_END
};
static const struct sp_fact_decl env_arbiter_facts[] = {
	{ .name = "kept", .type = SP_STRING, .stage = SP_EOM, .help = "why it is to be kept back" },
	SP_FACTS_END
};

static inline bool
env_arbiter_decides(const void *conf)
{
	return ((const struct env_arbiter *)conf)->obey;
}

static const struct sp_filter env_arbiter = {
	SP_FILTER_HEAD, .name = "arbiter", .summary = "decides", .params = env_arbiter_params, .facts = env_arbiter_facts,
	.conf_size = sizeof(struct env_arbiter), .by_rule = env_arbiter_decides, .decides = env_arbiter_decides
};

static const struct sp_filter *const env_modules[] = { &env_probe, &env_rate, &env_scan, &env_picky, &env_guard, &env_judge, &env_stamp,
	&env_arbiter };

static inline enum sp_status
env_filter_find(void *arg, const char *name, const struct sp_filter **ret, const char **reterr)
{
	(void)arg;
	for (size_t i = 0; i < sizeof(env_modules) / sizeof(env_modules[0]); i++)
		if (strcmp(env_modules[i]->name, name) == 0) {
			*ret = env_modules[i];
			return SP_OK;
		}
	*reterr = "no such module is installed";
	return SP_NONE;
}

static inline const char *const *
env_filter_names(void *arg)
{
	static const char *const names[] = { "probe", "rate", "scan", "picky", "guard", "judge", NULL };

	(void)arg;
	return names;
}

static inline void *
env_shared(void *arg, const char *name, size_t size)
{
	static _Alignas(16) char memory[4096];

	(void)arg;
	(void)name;
	return size <= sizeof(memory) ? memory : NULL;
}

static const struct policy_env test_env = {
	.spaces = env_spaces,
	.blocks = env_blocks,
	.filter_find = env_filter_find,
	.filter_names = env_filter_names,
	.shared = env_shared
};

/* Compiles text; a failure prints its diagnostics to stderr. Null on error. */
static inline struct policy *
env_compile(const char *text)
{
	struct policy_diag d;
	struct policy *p;

	policy_diag_init(&d);
	p = policy_compile_text("test.policy", span_str(text), &test_env, &d);
	if (p == NULL)
		fprintf(stderr, "%s", buf_cstr(&d.text));
	policy_diag_fini(&d);
	return p;
}

#endif
