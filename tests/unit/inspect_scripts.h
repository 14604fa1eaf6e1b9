/*
 * Three filters, "one", "two" and "three", that each run a script at the end of the message: words joined by ";".  What a word
 * means is the test's business, but for two: "!" the filter fails, "f1" filter 1 does so now, after the fact.
 */
#ifndef TESTS_UNIT_INSPECT_SCRIPTS_H
#define TESTS_UNIT_INSPECT_SCRIPTS_H

#include "proxy/inspect/inspect_priv.h"
#include "tests/unit/inspect_env.h"

#define POLICY_TOP "policy 1\nfilter one\nfilter two\nfilter three\n"
#define POLICY_ASK " a : if one.done reject 550 5.7.1 \"no\" on unknown skip\n b : if two.done reject 550 5.7.1 \"no\" on unknown skip\n" \
	" c : if three.done reject 550 5.7.1 \"no\" on unknown skip\n accept\n}\n"
#define POLICY POLICY_TOP "rules {\n" POLICY_ASK

enum { FILTERS = 3 };
static const char *scripts[FILTERS];
static struct sp_ctx *contexts[FILTERS];
static enum sp_status (*run_word)(struct sp_ctx *ctx, struct sp_span word);

static inline enum sp_status
run(struct sp_ctx *ctx, size_t n)
{
	struct sp_span rest = span_str(scripts[n] != NULL ? scripts[n] : "");

	contexts[n] = ctx;
	while (rest.len > 0) {
		struct sp_span word = span_head(rest, span_find(rest, ';'));

		if (word.ptr[0] == '!')
			return SP_GONE;
		if (word.ptr[0] == 'f')
			hooks_fail(use_of(contexts[word.ptr[1] - '1']));
		else
			assert_int_equal(run_word(ctx, word), SP_OK);
		rest = span_from(rest, word.len + 1);
	}
	return SP_OK;
}

static enum sp_status (*instead)(struct sp_ctx *ctx); /* of the first filter's script */

static inline enum sp_status
one_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	(void)ev;
	return instead != NULL ? instead(ctx) : run(ctx, 0);
}

static inline enum sp_status
two_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	(void)ev;
	return run(ctx, 1);
}

static inline enum sp_status
three_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	(void)ev;
	return run(ctx, 2);
}

static enum sp_status (*early)(struct sp_ctx *ctx); /* the first filter's, before the end */

static inline enum sp_status
one_on_eoh(struct sp_ctx *ctx, const struct sp_eoh *ev)
{
	(void)ev;
	return early != NULL ? early(ctx) : SP_OK;
}

static const struct sp_filter one = { SP_FILTER_HEAD, .name = "one", .facts = edit_facts, .on_eoh = one_on_eoh, .on_eom = one_on_eom };
static const struct sp_filter two = { SP_FILTER_HEAD, .name = "two", .facts = edit_facts, .on_eom = two_on_eom };
static const struct sp_filter three = { SP_FILTER_HEAD, .name = "three", .facts = edit_facts, .on_eom = three_on_eom };
static const struct sp_filter *const script_modules[] = { &one, &two, &three, NULL };

#endif
