/*
 * macros.c - macros, as facts of the host.
 *
 * Names and meaning are Sendmail's and Postfix's; where these differ, Postfix's.  A macro that has no value now is not sent.
 * Memory: none; each value goes straight into the packet.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include <libmilter/mfapi.h>

#include "milter/macros.h"

enum { VALUE_MAX = 1024 };

struct value {
	size_t len;
	char text[VALUE_MAX];
};

/* ---- facts ------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool
value_print(struct value *v, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(v->text, sizeof(v->text), fmt, ap);
	va_end(ap);
	v->len = len < 0 ? 0 : (size_t)len < sizeof(v->text) ? (size_t)len : sizeof(v->text) - 1;
	return true;
}

static bool
value_text(struct value *v, struct sp_span s)
{
	v->len = s.len < sizeof(v->text) ? s.len : sizeof(v->text);
	if (v->len > 0)
		memcpy(v->text, s.ptr, v->len);
	return true;
}

/* A fact as text; false: it is empty, absent or not known. */
static bool
fact_get(struct sp_ctx *ctx, const char *name, struct value *v)
{
	struct sp_value fact;
	char ip[INET6_ADDRSTRLEN];

	if (sp_fact_named(ctx, name, &fact) != SP_OK)
		return false;
	switch (fact.type) {
	case SP_INT: case SP_SIZE: case SP_DURATION: case SP_TIME:
		return value_print(v, "%lld", (long long)fact.u.integer);
	case SP_IP:
		if (fact.u.ip.family == 0)
			return false;
		inet_ntop(fact.u.ip.family == 4 ? AF_INET : AF_INET6, fact.u.ip.bytes, ip, sizeof(ip));
		return value_print(v, "%s", ip);
	case SP_STRING: case SP_DOMAIN: case SP_ADDRESS:
		return value_text(v, fact.u.text) && v->len > 0;
	default:
		return false;
	}
}

/* ---- macros that are more than a fact ------------------------------------------------------------ */

static bool
get_or_unknown(struct sp_ctx *ctx, const char *fact, struct value *v)
{
	return fact_get(ctx, fact, v) || value_print(v, "unknown");
}

static bool
get_client_name(struct sp_ctx *ctx, struct value *v)
{
	return get_or_unknown(ctx, "client.name", v);
}

static bool
get_client_ptr(struct sp_ctx *ctx, struct value *v)
{
	return get_or_unknown(ctx, "client.ptr", v);
}

static bool
get_client_resolve(struct sp_ctx *ctx, struct value *v)
{
	struct sp_value name;
	enum sp_status st = sp_fact_named(ctx, "client.name", &name);

	if (st != SP_OK && st != SP_NONE)
		return value_print(v, "TEMP");
	if (st == SP_OK && name.u.text.len > 0)
		return value_print(v, "OK");
	return value_print(v, "%s", fact_get(ctx, "client.ptr", v) ? "FORGED" : "FAIL");
}

/* "mx.example.org [192.0.2.1]": the reverse name, and whether it leads back. */
static bool
get_client(struct sp_ctx *ctx, struct value *v)
{
	struct value name, ptr, ip;
	bool same;

	get_client_name(ctx, &name);
	get_client_ptr(ctx, &ptr);
	if (!fact_get(ctx, "client.ip", &ip))
		return false;
	same = span_is(span_of(name.text, name.len), span_of(ptr.text, ptr.len));
	return value_print(v, "%.*s [%.*s]%s", (int)ptr.len, ptr.text, (int)ip.len, ip.text, same ? "" : " (may be forged)");
}

static bool
get_cipher_bits(struct sp_ctx *ctx, struct value *v)
{
	return fact_get(ctx, "tls.bits", v) && !(v->len == 1 && v->text[0] == '0'); /* 0: there is no TLS */
}

static bool
get_version(struct sp_ctx *ctx, struct value *v)
{
	(void)ctx;
	return value_print(v, "Sallyport");
}

static bool
get_mailer(struct sp_ctx *ctx, struct value *v)
{
	(void)ctx;
	return value_print(v, "smtp");
}

static struct sp_span
domain_of(struct sp_span address)
{
	for (size_t i = address.len; i > 0; i--)
		if (address.ptr[i - 1] == '@')
			return span_of(address.ptr + i, address.len - i);
	return span_of("", 0);
}

static bool
get_mail_addr(struct sp_ctx *ctx, struct value *v)
{
	const struct tx *tx = ctx->tx;

	return tx != NULL && tx->begun && value_text(v, tx->sender);
}

static bool
get_mail_host(struct sp_ctx *ctx, struct value *v)
{
	const struct tx *tx = ctx->tx;

	return tx != NULL && tx->begun && value_text(v, domain_of(tx->sender)) && v->len > 0;
}

/* What MAIL says of who has submitted the message first (RFC 4954 section 5). */
static bool
get_author(struct sp_ctx *ctx, struct value *v)
{
	const struct tx *tx = ctx->tx;
	struct sp_span rest = tx != NULL ? tx->params : span_of("", 0);

	while (rest.len > 0) {
		const char *blank = memchr(rest.ptr, ' ', rest.len);
		size_t len = blank != NULL ? (size_t)(blank - rest.ptr) : rest.len;

		if (len > 5 && span_is(span_of(rest.ptr, 5), span_str("AUTH=")))
			return value_text(v, span_of(rest.ptr + 5, len - 5));
		len += blank != NULL;
		rest = span_of(rest.ptr + len, rest.len - len);
	}
	return false;
}

static bool
get_rcpt_addr(struct sp_ctx *ctx, struct value *v)
{
	const struct tx *tx = ctx->tx;

	if (tx == NULL || tx->rcpt == NULL)
		return false;
	return value_text(v, tx->rcpt->stands ? tx->rcpt->address : span_str("Recipient refused"));
}

static bool
get_rcpt_host(struct sp_ctx *ctx, struct value *v)
{
	const struct tx *tx = ctx->tx;

	if (tx == NULL || tx->rcpt == NULL)
		return false;
	if (!tx->rcpt->stands)
		return value_print(v, "5.7.1");
	return value_text(v, domain_of(tx->rcpt->address)) && v->len > 0;
}

static bool
get_rcpt_mailer(struct sp_ctx *ctx, struct value *v)
{
	const struct tx *tx = ctx->tx;

	if (tx == NULL || tx->rcpt == NULL)
		return false;
	return value_print(v, "%s", tx->rcpt->stands ? "smtp" : "error");
}

/* ---- the table ----------------------------------------------------------------------------------- */

static const struct macro {
	const char *name, *fact;
	bool (*get)(struct sp_ctx *ctx, struct value *v);
} macros[] = {
	{ "i", "mail.id", NULL },
	{ "j", "listener.hostname", NULL },
	{ "v", NULL, get_version },
	{ "_", NULL, get_client },
	{ "auth_authen", "auth.user", NULL },
	{ "auth_author", NULL, get_author },
	{ "auth_type", "auth.mechanism", NULL },
	{ "cert_issuer", "tls.client.issuer", NULL },
	{ "cert_subject", "tls.client.subject", NULL },
	{ "cipher", "tls.cipher", NULL },
	{ "cipher_bits", NULL, get_cipher_bits },
	{ "client_addr", "client.ip", NULL },
	{ "client_connections", "client.connections", NULL },
	{ "client_name", NULL, get_client_name },
	{ "client_port", "client.port", NULL },
	{ "client_ptr", NULL, get_client_ptr },
	{ "client_resolve", NULL, get_client_resolve },
	{ "daemon_addr", "listener.ip", NULL },
	{ "daemon_name", "listener.hostname", NULL },
	{ "daemon_port", "listener.port", NULL },
	{ "if_addr", "listener.ip", NULL },
	{ "if_name", "listener.hostname", NULL },
	{ "mail_addr", NULL, get_mail_addr },
	{ "mail_host", NULL, get_mail_host },
	{ "mail_mailer", NULL, get_mailer },
	{ "rcpt_addr", NULL, get_rcpt_addr },
	{ "rcpt_host", NULL, get_rcpt_host },
	{ "rcpt_mailer", NULL, get_rcpt_mailer },
	{ "tls_version", "tls.version", NULL },
};

/* What is sent unasked, by list. */
static const char *const defaults[WIRE_STAGES] = {
	[SMFIM_CONNECT] = "j _ v {daemon_name} {daemon_addr} {daemon_port} {if_name} {if_addr} {client_addr} {client_name} {client_port} "
			  "{client_ptr} {client_resolve}",
	[SMFIM_HELO] = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
	[SMFIM_ENVFROM] = "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer} {tls_version} {cipher} "
			  "{cipher_bits} {cert_subject} {cert_issuer}",
	[SMFIM_ENVRCPT] = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
	[SMFIM_DATA] = "i",
	[SMFIM_EOM] = "i",
	[SMFIM_EOH] = "i",
};

static const struct {
	int list;
	char letter;
} stages[STAGE_COUNT] = {
	[STAGE_CONNECT] = { SMFIM_CONNECT, SMFIC_CONNECT },
	[STAGE_HELO] = { SMFIM_HELO, SMFIC_HELO },
	[STAGE_MAIL] = { SMFIM_ENVFROM, SMFIC_MAIL },
	[STAGE_RCPT] = { SMFIM_ENVRCPT, SMFIC_RCPT },
	[STAGE_DATA] = { SMFIM_DATA, SMFIC_DATA },
	[STAGE_HEADER] = { -1, 0 },
	[STAGE_EOH] = { SMFIM_EOH, SMFIC_EOH },
	[STAGE_BODY] = { -1, 0 },
	[STAGE_EOM] = { SMFIM_EOM, SMFIC_BODYEOB },
};

static const struct macro *
macro_find(struct sp_span name)
{
	if (name.len > 2 && name.ptr[0] == '{' && name.ptr[name.len - 1] == '}')
		name = span_of(name.ptr + 1, name.len - 2);
	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
		if (span_is(name, span_str(macros[i].name)))
			return &macros[i];
	return NULL;
}

static bool
is_between(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

/* Takes the next name off a list; false: there is none. */
static bool
name_next(struct sp_span *list, struct sp_span *ret)
{
	size_t start = 0, end;

	while (start < list->len && is_between(list->ptr[start]))
		start++;
	for (end = start; end < list->len && !is_between(list->ptr[end]); end++)
		;
	*ret = span_of(list->ptr + start, end - start);
	*list = span_of(list->ptr + end, list->len - end);
	return end > start;
}

void
macros_put(struct sp_ctx *ctx, struct link *l, enum milter_stage stage)
{
	int at = stages[stage].list;
	struct sp_span list, name;
	struct value v;
	bool any = false;

	if (at < 0)
		return;
	list = l->agreed.listed[at] ? l->agreed.lists[at] : span_str(defaults[at]);
	while (name_next(&list, &name)) {
		const struct macro *m = macro_find(name);

		if (m == NULL || !(m->get != NULL ? m->get(ctx, &v) : fact_get(ctx, m->fact, &v)))
			continue;
		if (!any)
			wire_macros_begin(&l->out, stages[stage].letter);
		any = true;
		wire_macro(&l->out, name, span_of(v.text, v.len));
	}
	if (any)
		wire_end(&l->out);
}
