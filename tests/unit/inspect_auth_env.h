/*
 * inspect_auth_env.h - modules that authenticate mail, for the tests of results and of on_final.
 *
 * "first" and "second" state results, "sign" only has on_final.  What they do at each hook is the test's script.
 */
#ifndef TESTS_UNIT_INSPECT_AUTH_ENV_H
#define TESTS_UNIT_INSPECT_AUTH_ENV_H

#include "tests/unit/inspect_env.h"

/* who: '1', '2', 's'; hook: 'c'onnect, 'm'ail, 'r'cpt, 'h'eader's end, 'e'nd, 'f'inal. Null: nothing is done. */
static enum sp_status (*script)(struct sp_ctx *ctx, char who, char hook);

static inline enum sp_status
play(struct sp_ctx *ctx, char who, char hook)
{
	return script != NULL ? script(ctx, who, hook) : SP_OK;
}

#define AUTH_HOOK(who, suffix, code, hook, event) \
	static inline enum sp_status hook##_##suffix(struct sp_ctx *ctx, const struct event *ev) \
	{ \
		(void)ev; \
		return play(ctx, who, code); \
	}
#define AUTH_HOOKS(who, suffix) \
	AUTH_HOOK(who, suffix, 'c', on_connect, sp_connect) \
	AUTH_HOOK(who, suffix, 'm', on_mail, sp_mail) \
	AUTH_HOOK(who, suffix, 'r', on_rcpt, sp_rcpt) \
	AUTH_HOOK(who, suffix, 'h', on_eoh, sp_eoh) \
	AUTH_HOOK(who, suffix, 'e', on_eom, sp_eom) \
	AUTH_HOOK(who, suffix, 'f', on_final, sp_final)

AUTH_HOOKS('1', a)
AUTH_HOOKS('2', b)
AUTH_HOOK('s', c, 'f', on_final, sp_final)

static const struct sp_fact_decl auth_facts[] = {
	{ .name = "done", .type = SP_BOOL, .stage = SP_EOM, .help = "it has run" },
	SP_FACTS_END
};
static const struct sp_filter first_module = {
	SP_FILTER_HEAD, .name = "first", .summary = "states results", .facts = auth_facts, .states_results = true,
	.on_connect = on_connect_a, .on_mail = on_mail_a, .on_rcpt = on_rcpt_a, .on_eoh = on_eoh_a, .on_eom = on_eom_a,
	.on_final = on_final_a
};
static const struct sp_filter second_module = {
	SP_FILTER_HEAD, .name = "second", .summary = "states results", .facts = auth_facts, .states_results = true,
	.on_connect = on_connect_b, .on_mail = on_mail_b, .on_rcpt = on_rcpt_b, .on_eoh = on_eoh_b, .on_eom = on_eom_b,
	.on_final = on_final_b
};
static const struct sp_filter sign_module = { SP_FILTER_HEAD, .name = "sign", .summary = "signs", .on_final = on_final_c };
static const struct sp_filter *const auth_modules[] = { &first_module, &second_module, &sign_module, NULL };

#define BOTH "policy 1\nfilter first\nfilter second\nfilter sign\n"
#define ACCEPT "rules {\n accept\n}\n"
#define TRACE "Received: by us\r\n"

/* Up to and with the verdict, which is accept. */
static inline void
auth_begin(struct world *w, const char *policy, const char *message)
{
	enum sp_status (*kept)(struct sp_ctx *, char, char) = script;

	env_modules = auth_modules;
	world_init(w, policy);
	script = kept;
	world_envelope(w);
	assert_int_equal(world_message(w, message, 7), POLICY_ACCEPT);
}

/* What goes on is want, and the log says edits. */
static inline void
auth_check(const char *policy, const char *message, const char *want, const char *edits)
{
	struct world w;
	struct buf note;

	auth_begin(&w, policy, message);
	assert_int_equal(world_apply(&w), SP_OK);
	assert_string_equal(w.wire, want);
	buf_init(&note, 1024);
	inspect_notes(w.in, &(struct inspect_notes){ .edits = &note });
	assert_string_equal(buf_cstr(&note), edits);
	buf_fini(&note);
	world_fini(&w);
}

static inline enum sp_status
auth_add(struct sp_ctx *ctx, const char *method, const char *ptype, const char *name, const char *value)
{
	const struct sp_auth_prop prop = { ptype, name, span_str(value) };

	return sp_result_add(ctx, &(struct sp_auth_result){ method, "pass", SPAN_LIT(""), &prop, 1 });
}

#endif
