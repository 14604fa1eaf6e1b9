/*
 * decider.h - a filter that decides what its parameters tell it, at the stage that they tell; decider.c and lasting.c are made of it.
 *
 *     filter decider scan { at rcpt  say "550 5.7.1 not him|second line"  of "carol" }
 *
 * at: where it says so, "none" for nowhere; of: only of the recipient with that local part; fail: where a hook fails;
 * decide no: it only states facts.  scan.hooks is what it has been called with in its session, a block for each transaction.
 */
#ifndef TESTS_MODULES_DECIDER_H
#define TESTS_MODULES_DECIDER_H

#include <stdio.h>
#include <string.h>

#include <sallyport/filter.h>

enum { AT_NONE, AT_CONNECT, AT_HELO, AT_MAIL, AT_RCPT, AT_DATA, AT_HEADER, AT_EOH, AT_BODY, AT_EOM };
static const char *const decider_stages[] = { "none", "connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom", NULL };

struct decider_conf {
	int64_t at, fail;
	struct sp_span say, of, name;
	bool decide;
};
static const struct sp_param decider_params[] = {
	{ .name = "at", .type = SP_ENUM, .offset = offsetof(struct decider_conf, at), .fallback = "none", .words = decider_stages,
		.help = "where it decides" },
	{ .name = "fail", .type = SP_ENUM, .offset = offsetof(struct decider_conf, fail), .fallback = "none", .words = decider_stages,
		.help = "where it fails" },
	{ .name = "say", .type = SP_STRING, .offset = offsetof(struct decider_conf, say), .fallback = "\"550 5.7.1 no\"",
		.help = "code, enhanced code or -, and lines divided by |" },
	{ .name = "of", .type = SP_STRING, .offset = offsetof(struct decider_conf, of), .fallback = "\"\"", .help = "local part" },
	{ .name = "name", .type = SP_STRING, .offset = offsetof(struct decider_conf, name), .fallback = "\"\"",
		.help = "a fact of the program's, to be asked for by its name" },
	{ .name = "decide", .type = SP_BOOL, .offset = offsetof(struct decider_conf, decide), .fallback = "yes", .help = "or not" },
	SP_PARAMS_END
};

enum { DECIDER_HELO, DECIDER_HOOKS, DECIDER_NAMED };
static const struct sp_fact_decl decider_facts[] = {
	[DECIDER_HELO] = { .name = "helo", .type = SP_STRING, .stage = SP_HELO, .help = "the HELO name" },
	[DECIDER_HOOKS] = { .name = "hooks", .type = SP_STRING, .stage = SP_EOM, .help = "what it has been called with" },
	[DECIDER_NAMED] = { .name = "named", .type = SP_STRING, .stage = SP_EOM, .help = "the fact that it asked for" },
	SP_FACTS_END
};

struct decider_session {
	char hooks[1024];
};

__attribute__((format(printf, 2, 3))) static inline void
decider_note(struct sp_ctx *ctx, const char *fmt, ...)
{
	struct decider_session *s = ctx->session;
	size_t len = strlen(s->hooks);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->hooks + len, sizeof(s->hooks) - len, fmt, ap);
	va_end(ap);
}

static inline enum sp_status
decider_say(struct sp_ctx *ctx)
{
	const struct decider_conf *conf = ctx->conf;
	struct sp_span say = conf->say;
	struct sp_reply r = { 0 };
	char text[1024];
	size_t n = 0, from;

	for (; n < say.len && say.ptr[n] != ' '; n++)
		r.code = r.code * 10 + (say.ptr[n] - '0');
	for (from = ++n; n < say.len && say.ptr[n] != ' '; n++)
		;
	if (n < say.len && say.ptr[from] != '-')
		r.enhanced = (struct sp_span){ say.ptr + from, n - from };
	for (n++; n < say.len && r.text.len < sizeof(text); n++)
		text[r.text.len++] = say.ptr[n] == '|' ? '\n' : say.ptr[n] == '~' ? '\r' : say.ptr[n];
	r.text.ptr = text;
	return sp_refuse(ctx, &r);
}

static inline enum sp_status
decider_hook(struct sp_ctx *ctx, int64_t at)
{
	const struct decider_conf *conf = ctx->conf;

	if (conf->at == at && decider_say(ctx) != SP_OK)
		decider_note(ctx, "refused ");
	return conf->fail == at ? SP_TEMPFAIL : SP_OK;
}

static inline enum sp_status
decider_on_connect(struct sp_ctx *ctx, const struct sp_connect *ev)
{
	(void)ev;
	decider_note(ctx, "connect ");
	return decider_hook(ctx, AT_CONNECT);
}

static inline enum sp_status
decider_on_helo(struct sp_ctx *ctx, const struct sp_helo *ev)
{
	decider_note(ctx, "helo:%.*s ", (int)ev->name.len, ev->name.ptr);
	sp_fact_text(ctx, DECIDER_HELO, SP_STRING, ev->name);
	return decider_hook(ctx, AT_HELO);
}

static inline enum sp_status
decider_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	decider_note(ctx, "mail[%.*s] ", (int)ev->params.len, ev->params.len > 0 ? ev->params.ptr : "");
	return decider_hook(ctx, AT_MAIL);
}

static inline enum sp_status
decider_on_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	const struct decider_conf *conf = ctx->conf;
	bool his = conf->of.len == 0 || (conf->of.len == ev->local.len && memcmp(conf->of.ptr, ev->local.ptr, ev->local.len) == 0);

	decider_note(ctx, "%.*s[%.*s] ", (int)ev->local.len, ev->local.ptr, (int)ev->params.len,
		ev->params.len > 0 ? ev->params.ptr : "");
	return his ? decider_hook(ctx, AT_RCPT) : SP_OK;
}

static inline enum sp_status
decider_on_data(struct sp_ctx *ctx)
{
	return decider_hook(ctx, AT_DATA);
}

static inline enum sp_status
decider_on_header(struct sp_ctx *ctx, const struct sp_header *ev)
{
	return ev->index == 0 ? decider_hook(ctx, AT_HEADER) : SP_OK;
}

static inline enum sp_status
decider_on_eoh(struct sp_ctx *ctx, const struct sp_eoh *ev)
{
	(void)ev;
	return decider_hook(ctx, AT_EOH);
}

static inline enum sp_status
decider_on_body(struct sp_ctx *ctx, const struct sp_body *ev)
{
	(void)ev;
	return decider_hook(ctx, AT_BODY);
}

static inline void
decider_name(struct sp_ctx *ctx)
{
	const struct decider_conf *conf = ctx->conf;
	char name[64], text[64];
	struct sp_value v;
	enum sp_status st;

	snprintf(name, sizeof(name), "%.*s", (int)conf->name.len, conf->name.ptr);
	st = sp_fact_named(ctx, name, &v);
	snprintf(text, sizeof(text), "status %d", (int)st);
	if (st == SP_OK && (v.type == SP_STRING || v.type == SP_DOMAIN || v.type == SP_ADDRESS))
		snprintf(text, sizeof(text), "%.*s", (int)v.u.text.len, v.u.text.len > 0 ? v.u.text.ptr : "");
	else if (st == SP_OK && v.type == SP_BOOL)
		snprintf(text, sizeof(text), "%s", v.u.boolean ? "yes" : "no");
	else if (st == SP_OK && v.type == SP_IP)
		snprintf(text, sizeof(text), "ipv%d %d", v.u.ip.family, v.u.ip.bytes[0]);
	else if (st == SP_OK)
		snprintf(text, sizeof(text), "%lld", (long long)v.u.integer);
	sp_fact_text(ctx, DECIDER_NAMED, SP_STRING, (struct sp_span){ text, strlen(text) });
}

static inline enum sp_status
decider_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	const struct decider_session *s = ctx->session;
	enum sp_status st = decider_hook(ctx, AT_EOM);

	(void)ev;
	decider_note(ctx, "eom%s ", sp_fact_wanted(ctx, DECIDER_NAMED) ? "" : "(none asks)");
	sp_fact_text(ctx, DECIDER_HOOKS, SP_STRING, (struct sp_span){ s->hooks, strlen(s->hooks) });
	if (sp_fact_wanted(ctx, DECIDER_NAMED))
		decider_name(ctx);
	return st;
}

static inline void
decider_on_reset(struct sp_ctx *ctx)
{
	decider_note(ctx, "/ ");
}

static inline void
decider_on_close(struct sp_ctx *ctx, const struct sp_close *ev)
{
	const struct decider_session *s = ctx->session;

	(void)ev;
	sp_log(ctx, SP_LOG_INFO, "closed after: %s", s->hooks);
}

static inline bool
decider_decides(const void *conf)
{
	return ((const struct decider_conf *)conf)->decide;
}

#define DECIDER(what) \
	SP_FILTER_HEAD, .name = what, .summary = "decides what it is told to", .facts = decider_facts, .params = decider_params, \
		.conf_size = sizeof(struct decider_conf), .session_size = sizeof(struct decider_session), \
		.on_connect = decider_on_connect, .on_helo = decider_on_helo, .on_mail = decider_on_mail, \
		.on_rcpt = decider_on_rcpt, .on_data = decider_on_data, .on_header = decider_on_header, .on_eoh = decider_on_eoh, \
		.on_body = decider_on_body, .on_eom = decider_on_eom, .on_reset = decider_on_reset, .on_close = decider_on_close, \
		.decides = decider_decides

#endif
