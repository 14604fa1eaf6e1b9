/*
 * milter_probe_macros.c - the macros that are sent with each stage, and what they stand for in a made-up session.
 */
#include <string.h>

#include <libmilter/mfapi.h>

#include "proxy/cmd/milter_probe_priv.h"

/* What Sendmail and Postfix send to a milter that asks for nothing. */
static const char *const usual[WIRE_STAGES] = {
	[SMFIM_CONNECT] = "j _ v {daemon_name} {daemon_addr} {daemon_port} {client_name} {client_addr} {client_port} {client_ptr} {client_resolve}",
	[SMFIM_HELO] = "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer} {verify}",
	[SMFIM_ENVFROM] = "i {auth_type} {auth_authen} {auth_author} {auth_ssf} {mail_mailer} {mail_host} {mail_addr}",
	[SMFIM_ENVRCPT] = "i {rcpt_mailer} {rcpt_host} {rcpt_addr}",
	[SMFIM_DATA] = "i",
	[SMFIM_EOH] = "i",
	[SMFIM_EOM] = "i",
};

struct sp_span
probe_macro_list(const struct probe *p, uint32_t stage)
{
	return p->agreed.listed[stage] ? p->agreed.lists[stage] : span_str(usual[stage]);
}

struct sp_span
probe_macro_next(struct sp_span *list)
{
	struct sp_span name;

	while (list->len > 0 && (list->ptr[0] == ' ' || list->ptr[0] == ','))
		*list = span_from(*list, 1);
	name = span_head(*list, span_find(*list, ' '));
	name = span_head(name, span_find(name, ','));
	*list = span_from(*list, name.len);
	return name.len > 0 ? name : (struct sp_span){ NULL, 0 };
}

static struct sp_span
without_braces(struct sp_span name)
{
	return name.len > 2 && name.ptr[0] == '{' && name.ptr[name.len - 1] == '}' ? span_of(name.ptr + 1, name.len - 2) : name;
}

static struct sp_span
domain_of(const char *address)
{
	struct sp_span a = span_str(address);

	return span_from(a, span_rfind(a, '@') + 1);
}

/* From "name=value" of the command line. */
static bool
own_value(const struct probe *p, struct sp_span name, struct buf *to)
{
	for (size_t i = 0; i < p->macro_count; i++) {
		struct sp_span m = span_str(p->macros[i]);
		size_t at = span_find(m, '=');

		if (span_eq(without_braces(span_head(m, at)), name)) {
			buf_add(to, span_from(m, at + 1));
			return true;
		}
	}
	return false;
}

bool
probe_macro_value(const struct probe *p, struct sp_span name, struct buf *to)
{
	char ip[46];
	struct sp_span client = span_from_ip(&p->client, ip), rcpt = span_str(p->rcpt);
	const struct {
		const char *name;
		struct sp_span value;
	} all[] = {
		{ "j", SPAN_LIT("gateway.example.com") }, { "v", SPAN_LIT("sallyport milter-probe") }, { "i", SPAN_LIT("PROBE1") },
		{ "daemon_name", SPAN_LIT("gateway.example.com") }, { "daemon_addr", SPAN_LIT("192.0.2.25") },
		{ "daemon_port", SPAN_LIT("25") }, { "if_name", SPAN_LIT("gateway.example.com") },
		{ "if_addr", SPAN_LIT("192.0.2.25") },
		{ "client_name", span_str(p->client_name) }, { "client_ptr", span_str(p->client_name) }, { "client_addr", client },
		{ "client_port", SPAN_LIT("40000") }, { "client_resolve", SPAN_LIT("OK") }, { "mail_mailer", SPAN_LIT("smtp") },
		{ "mail_host", domain_of(p->from) }, { "mail_addr", span_str(p->from) }, { "rcpt_mailer", SPAN_LIT("smtp") },
		{ "rcpt_host", p->rcpt != NULL ? domain_of(p->rcpt) : (struct sp_span){ NULL, 0 } }, { "rcpt_addr", rcpt },
	};

	name = without_braces(name);
	if (own_value(p, name, to))
		return true;
	if (span_eq(name, SPAN_LIT("_"))) {
		buf_printf(to, "%s [%.*s]", p->client_name, (int)client.len, client.ptr);
		return true;
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (span_eq(span_str(all[i].name), name) && all[i].value.len > 0) {
			buf_add(to, all[i].value);
			return true;
		}
	return false;
}
