/*
 * inspect_env.h - a small world for the tests of proxy/inspect: two modules, and a client that sends messages.
 *
 * "watch" writes down each hook it is called by and states a fact at each stage; "edit" does at the end of the
 * message whatever the test says.  Everything is static: each test program has its own.
 */
#ifndef TESTS_UNIT_INSPECT_ENV_H
#define TESTS_UNIT_INSPECT_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/inspect/inspect.h"
#include "proxy/rt/rt.h"
#include "proxy/smtp/data.h"

/* ---- module "watch" ------------------------------------------------------------------------- */

static char seen[4096]; /* "connect helo mail ..." */
static enum sp_status watch_status[SP_STAGES]; /* what its hooks return; SP_OK by default */
static bool watch_silent; /* it states no facts */

enum { WATCH_CONNECT, WATCH_HELO, WATCH_MAIL, WATCH_RCPT, WATCH_HEADER, WATCH_EOM, WATCH_WORD };
static const char *const watch_words[] = { "good", "bad", NULL };
static const struct sp_fact_decl watch_facts[] = {
	[WATCH_CONNECT] = { .name = "connect", .type = SP_IP, .stage = SP_CONNECT, .help = "the client" },
	[WATCH_HELO] = { .name = "helo", .type = SP_STRING, .stage = SP_HELO, .help = "its name" },
	[WATCH_MAIL] = { .name = "mail", .type = SP_DOMAIN, .stage = SP_MAIL, .help = "the sender's domain" },
	[WATCH_RCPT] = { .name = "rcpt", .type = SP_STRING, .stage = SP_RCPT, .help = "the recipient's local part" },
	[WATCH_HEADER] = { .name = "header", .type = SP_INT, .stage = SP_HEADER, .help = "number of fields" },
	[WATCH_EOM] = { .name = "eom", .type = SP_BOOL, .stage = SP_EOM, .help = "the body has the word virus" },
	[WATCH_WORD] = { .name = "word", .type = SP_ENUM, .stage = SP_EOM, .help = "a word", .words = watch_words },
	SP_FACTS_END
};

struct watch_session {
	int hellos;
};
struct watch_tx {
	char body[2048];
	size_t len;
	int fields;
};

__attribute__((format(printf, 1, 2))) static inline void
saw(const char *fmt, ...)
{
	size_t len = strlen(seen);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(seen + len, sizeof(seen) - len, fmt, ap);
	va_end(ap);
}

static inline enum sp_status
watch_on_connect(struct sp_ctx *ctx, const struct sp_connect *ev)
{
	struct sp_value v = { SP_IP, { .ip = ev->client } };

	saw("connect ");
	if (!watch_silent)
		sp_fact_value(ctx, WATCH_CONNECT, &v);
	return watch_status[SP_CONNECT];
}

static inline enum sp_status
watch_on_helo(struct sp_ctx *ctx, const struct sp_helo *ev)
{
	struct watch_session *s = ctx->session;

	saw("helo%d ", ++s->hellos);
	if (!watch_silent)
		sp_fact_text(ctx, WATCH_HELO, SP_STRING, ev->name);
	return watch_status[SP_HELO];
}

static inline enum sp_status
watch_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	saw("mail ");
	if (!watch_silent)
		sp_fact_text(ctx, WATCH_MAIL, SP_DOMAIN, ev->domain);
	return watch_status[SP_MAIL];
}

static inline enum sp_status
watch_on_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	saw("rcpt(%zu:%.*s) ", ev->index, (int)ev->local.len, ev->local.ptr);
	if (!watch_silent)
		sp_fact_text(ctx, WATCH_RCPT, SP_STRING, ev->local);
	return watch_status[SP_RCPT];
}

static inline enum sp_status
watch_on_data(struct sp_ctx *ctx)
{
	(void)ctx;
	saw("data ");
	return watch_status[SP_DATA];
}

static inline enum sp_status
watch_on_header(struct sp_ctx *ctx, const struct sp_header *ev)
{
	struct watch_tx *tx = ctx->tx;

	tx->fields++;
	saw("%.*s ", (int)ev->name.len, ev->name.ptr);
	return SP_OK;
}

static inline enum sp_status
watch_on_eoh(struct sp_ctx *ctx, const struct sp_eoh *ev)
{
	struct watch_tx *tx = ctx->tx;

	saw("eoh(%d) ", (int)ev->octets);
	if (!watch_silent)
		sp_fact_number(ctx, WATCH_HEADER, SP_INT, tx->fields);
	return watch_status[SP_HEADER];
}

static inline enum sp_status
watch_on_body(struct sp_ctx *ctx, const struct sp_body *ev)
{
	struct watch_tx *tx = ctx->tx;
	size_t n = ev->chunk.len < sizeof(tx->body) - tx->len ? ev->chunk.len : sizeof(tx->body) - tx->len;

	memcpy(tx->body + tx->len, ev->chunk.ptr, n);
	tx->len += n;
	return SP_OK;
}

static inline enum sp_status
watch_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	struct watch_tx *tx = ctx->tx;

	saw("eom(%d,%.*s) ", (int)ev->octets, (int)tx->len, tx->body);
	if (watch_silent)
		return watch_status[SP_EOM];
	sp_fact_bool(ctx, WATCH_EOM, memmem(tx->body, tx->len, "virus", 5) != NULL);
	sp_fact_number(ctx, WATCH_WORD, SP_ENUM, memmem(tx->body, tx->len, "virus", 5) != NULL);
	return watch_status[SP_EOM];
}

static inline void
watch_on_reset(struct sp_ctx *ctx)
{
	(void)ctx;
	saw("reset ");
}

static inline void
watch_on_close(struct sp_ctx *ctx, const struct sp_close *ev)
{
	(void)ctx;
	saw("close%s ", ev->in_transaction ? "!" : "");
}

static const struct sp_filter watch_module = {
	SP_FILTER_HEAD, .name = "watch", .summary = "writes down what it sees", .facts = watch_facts,
	.session_size = sizeof(struct watch_session), .tx_size = sizeof(struct watch_tx),
	.on_connect = watch_on_connect, .on_helo = watch_on_helo, .on_mail = watch_on_mail, .on_rcpt = watch_on_rcpt,
	.on_data = watch_on_data, .on_header = watch_on_header, .on_eoh = watch_on_eoh, .on_body = watch_on_body,
	.on_eom = watch_on_eom, .on_reset = watch_on_reset, .on_close = watch_on_close
};

/* ---- module "edit" ---------------------------------------------------------------------------- */

static enum sp_status (*edit_fn)(struct sp_ctx *ctx);
static enum sp_status edit_eoh; /* what its on_eoh returns */

static inline enum sp_status
edit_on_eoh(struct sp_ctx *ctx, const struct sp_eoh *ev)
{
	(void)ctx;
	(void)ev;
	return edit_eoh;
}

static inline enum sp_status
edit_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	(void)ev;
	return edit_fn != NULL ? edit_fn(ctx) : SP_OK;
}

static const struct sp_fact_decl edit_facts[] = {
	{ .name = "done", .type = SP_BOOL, .stage = SP_EOM, .help = "it has run" },
	SP_FACTS_END
};
static const struct sp_filter edit_module = {
	SP_FILTER_HEAD, .name = "edit", .summary = "edits", .facts = edit_facts, .on_eoh = edit_on_eoh, .on_eom = edit_on_eom
};

/* ---- the environment ---------------------------------------------------------------------------- */

static const struct sp_filter *const *env_modules; /* the test's own, null-ended */
static struct inspect_client env_client;            /* what the test says: auth_id, write_results, shadow */

static inline enum sp_status
env_find(void *arg, const char *name, const struct sp_filter **ret, const char **reterr)
{
	(void)arg;
	*ret = strcmp(name, "watch") == 0 ? &watch_module : strcmp(name, "edit") == 0 ? &edit_module : NULL;
	for (size_t n = 0; env_modules != NULL && env_modules[n] != NULL; n++)
		if (strcmp(name, env_modules[n]->name) == 0)
			*ret = env_modules[n];
	*reterr = "no such module";
	return *ret != NULL ? SP_OK : SP_NONE;
}

static inline const char *const *
env_names(void *arg)
{
	static const char *const names[] = { "watch", "edit", NULL };

	(void)arg;
	return names;
}

static const struct policy_setting_decl env_settings[] = { { .key = NULL } };
static const struct policy_block_decl env_blocks[] = {
	{ "", POLICY_HEAD_NONE, true, env_settings, "outside of all blocks" },
	{ NULL, POLICY_HEAD_NONE, false, NULL, NULL }
};

static inline struct policy *
env_policy(const char *text)
{
	const struct policy_env env = { .spaces = inspect_spaces, .blocks = env_blocks, .filter_find = env_find,
		.filter_names = env_names, .host = &inspect_host };
	static struct policy_env kept;
	struct policy_diag d;
	struct policy *p;

	kept = env;
	policy_diag_init(&d);
	p = policy_compile_text("test.policy", span_str(text), &kept, &d);
	if (p == NULL)
		fail_msg("%s", buf_cstr(&d.text));
	policy_diag_fini(&d);
	return p;
}

/* ---- a client -------------------------------------------------------------------------------------- */

struct world {
	struct policy *policy;
	struct inspect *in;
	struct spool *spool;
	struct policy_verdict verdict;
	char wire[65536]; /* what went on: head and spool */
	size_t len;
};

static inline void
env_keep_log(void *arg, enum sp_log_level level, const char *line)
{
	(void)level;
	snprintf(arg, 512, "%s", line);
}
static char logged[512]; /* the last log line of a filter */

static inline void
world_init(struct world *w, const char *policy)
{
	const struct inspect_client c = { .ip = { 4, { 192, 0, 2, 1 } }, .port = 4711, .listener = SPAN_LIT("*:25"),
		.auth_id = env_client.auth_id, .write_results = env_client.write_results, .shadow = env_client.shadow };

	*w = (struct world){ .policy = env_policy(policy) };
	seen[0] = logged[0] = '\0';
	memset(watch_status, 0, sizeof(watch_status));
	watch_silent = false;
	edit_fn = NULL;
	inspect_log_to(env_keep_log, logged);
	w->in = inspect_new(w->policy, &c);
	assert_non_null(w->in);
}

static inline void
world_fini(struct world *w)
{
	inspect_free(&w->in);
	spool_free(&w->spool);
	policy_free(&w->policy);
}

static inline enum policy_class
world_connect(struct world *w)
{
	w->verdict = inspect_connect(w->in, RT_NEVER);
	return w->verdict.verdict;
}

static inline enum policy_class
world_helo(struct world *w, const char *name)
{
	w->verdict = inspect_helo(w->in, span_str(name), true, RT_NEVER);
	return w->verdict.verdict;
}

static inline enum policy_class
world_mail(struct world *w, const char *sender, int64_t size)
{
	struct command_path mail = { .size = size };

	if (sender[0] != '\0')
		assert_int_equal(address_parse_bare(span_str(sender), &mail.address), ADDRESS_OK);
	w->verdict = inspect_mail(w->in, &mail, 60000);
	return w->verdict.verdict;
}

static inline enum policy_class
world_rcpt(struct world *w, const char *rcpt)
{
	struct address a;

	assert_int_equal(address_parse_bare(span_str(rcpt), &a), ADDRESS_OK);
	w->verdict = inspect_rcpt(w->in, &a, RT_NEVER);
	inspect_rcpt_result(w->in, w->verdict.verdict == POLICY_UNDECIDED || w->verdict.verdict == POLICY_ACCEPT ||
		w->verdict.verdict == POLICY_DISCARD);
	return w->verdict.verdict;
}

/* Up to DATA: one recipient. */
static inline void
world_envelope(struct world *w)
{
	world_connect(w);
	world_helo(w, "mx.example.org");
	world_mail(w, "a@example.org", -1);
	world_rcpt(w, "bob@example.com");
	w->verdict = inspect_data(w->in, RT_NEVER);
}

static inline enum sp_status
world_wire(void *arg, struct sp_span bytes)
{
	return spool_write(((struct world *)arg)->spool, bytes);
}

static inline enum sp_status
world_content(void *arg, struct sp_span bytes)
{
	struct world *w = arg;

	return inspect_content(w->in, bytes);
}

/* text: wire form with its final dot; chunk: octets in a piece, 0: all at once. */
static inline enum policy_class
world_message(struct world *w, const char *text, size_t chunk)
{
	const struct data_sink sink = { world_wire, world_content, w };
	struct data_parser p;
	struct sp_span rest = span_str(text);
	size_t used;
	bool end = false;

	spool_free(&w->spool);
	w->spool = spool_new();
	data_init(&p, &(struct data_config){ 0 });
	while (!end && rest.len > 0) {
		end = data_feed(&p, span_head(rest, chunk == 0 ? rest.len : chunk), &sink, &used);
		rest = span_from(rest, used);
	}
	assert_true(end);
	assert_int_equal(p.faults, 0);
	assert_int_equal(spool_seal(w->spool), SP_OK);
	w->verdict = inspect_end(w->in, w->spool);
	return w->verdict.verdict;
}

static inline void
world_take(struct world *w, struct sp_span bytes)
{
	assert_true(w->len + bytes.len < sizeof(w->wire));
	if (bytes.len > 0)
		memcpy(w->wire + w->len, bytes.ptr, bytes.len);
	w->len += bytes.len;
	w->wire[w->len] = '\0';
}

/* What would go to the backend, without the final dot. */
static inline enum sp_status
world_apply(struct world *w)
{
	struct inspect_output out;
	enum sp_status st = inspect_apply(w->in, SPAN_LIT("Received: by us\r\n"), &out);
	struct sp_span piece;

	w->len = 0;
	w->wire[0] = '\0';
	if (st != SP_OK)
		return st;
	world_take(w, out.head);
	for (int64_t at = out.from;; at += (int64_t)piece.len) {
		if (spool_read(out.body != NULL ? out.body : w->spool, at, &piece) != SP_OK)
			return SP_OK;
		world_take(w, piece);
	}
}

static inline const char *
world_rule(const struct world *w)
{
	static char name[64];
	struct sp_span s = w->verdict.rule == NULL ? SPAN_LIT("-") : policy_rule_name(w->verdict.rule);

	snprintf(name, sizeof(name), "%.*s", (int)s.len, s.ptr);
	return name;
}

#endif
