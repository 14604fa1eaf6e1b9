/*
 * request.c - the attributes of a question, by Postfix's names for them (SMTPD_POLICY_README) and in its order.
 *
 * All that we cannot know has an empty value, as with Postfix: servers rely on the names. Whatever comes from
 * outside is encoded: no value can begin another line.
 */
#include "policyd/request.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "linewire/text.h"

/* ---- lines ---------------------------------------------------------------------------------- */

static void
put(struct request *r, const char *bytes, size_t len)
{
	if (len > REQUEST_MAX - r->len) {
		r->full = true;
		return;
	}
	memcpy(r->bytes + r->len, bytes, len);
	r->len += len;
}

static void
begin(struct request *r, const char *name)
{
	put(r, name, strlen(name));
	put(r, "=", 1);
}

void
request_add(struct request *r, const char *name, struct sp_span value)
{
	begin(r, name);
	value = text_head(value, REQUEST_VALUE);
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		put(r, c < ' ' || c == 0x7f ? "?" : &value.ptr[i], 1);
	}
	put(r, "\n", 1);
}

void
request_add_xtext(struct request *r, const char *name, struct sp_span value)
{
	begin(r, name);
	value = text_head(value, REQUEST_VALUE);
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];
		char hex[4];

		if (c >= ' ' && c <= '~' && c != '+' && c != '=') {
			put(r, &value.ptr[i], 1);
			continue;
		}
		snprintf(hex, sizeof(hex), "+%02X", c);
		put(r, hex, 3);
	}
	put(r, "\n", 1);
}

static void
add_word(struct request *r, const char *name, const char *value)
{
	request_add(r, name, text_of(value));
}

static void
add_number(struct request *r, const char *name, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)n);
	add_word(r, name, text);
}

/* ---- facts of the program -------------------------------------------------------------------- */

static struct sp_span
fact_text(struct sp_ctx *ctx, const char *name)
{
	struct sp_value v;

	if (sp_fact_named(ctx, name, &v) != SP_OK || (v.type != SP_STRING && v.type != SP_DOMAIN && v.type != SP_ADDRESS))
		return (struct sp_span){ NULL, 0 };
	return v.u.text;
}

static bool
fact_is(struct sp_ctx *ctx, const char *name)
{
	struct sp_value v;

	return sp_fact_named(ctx, name, &v) == SP_OK && v.type == SP_BOOL && v.u.boolean;
}

static int64_t
fact_number(struct sp_ctx *ctx, const char *name)
{
	struct sp_value v;

	return sp_fact_named(ctx, name, &v) == SP_OK && v.type == SP_INT ? v.u.integer : 0;
}

/* A name that is not known is "unknown", whether there is none or it could not be found out. */
static void
add_name(struct sp_ctx *ctx, struct request *r, const char *name, const char *fact)
{
	struct sp_span text = fact_text(ctx, fact);

	request_add(r, name, text.len == 0 ? text_of("unknown") : text);
}

static void
add_client(struct sp_ctx *ctx, struct request *r, const struct request_facts *facts)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (facts->client.family != 0)
		inet_ntop(facts->client.family == 4 ? AF_INET : AF_INET6, facts->client.bytes, text, sizeof(text));
	add_word(r, "client_address", text);
	add_name(ctx, r, "client_name", "client.name");
	add_number(r, "client_port", facts->port);
	add_name(ctx, r, "reverse_client_name", "client.ptr");
}

/* Where the client has come to; neither by a unix socket. */
static void
add_server(struct sp_ctx *ctx, struct request *r)
{
	char text[INET6_ADDRSTRLEN] = "";
	struct sp_value v;

	if (sp_fact_named(ctx, "listener.ip", &v) == SP_OK && v.u.ip.family != 0)
		inet_ntop(v.u.ip.family == 4 ? AF_INET : AF_INET6, v.u.ip.bytes, text, sizeof(text));
	add_word(r, "server_address", text);
	if (text[0] != '\0')
		add_number(r, "server_port", fact_number(ctx, "listener.port"));
	else
		add_word(r, "server_port", "");
}

/* ---- of TLS and of a login ------------------------------------------------------------------- */

/* "ab12" as "AB:12", which is how Postfix writes it. */
static void
add_fingerprint(struct request *r, struct sp_span hex)
{
	char text[3 * 64 + 1];
	size_t len = 0;

	for (size_t i = 0; i < hex.len && len + 3 < sizeof(text); i++) {
		char c = hex.ptr[i];

		if (i > 0 && i % 2 == 0)
			text[len++] = ':';
		text[len++] = c >= 'a' && c <= 'f' ? (char)(c - 'a' + 'A') : c;
	}
	request_add(r, "ccert_fingerprint", (struct sp_span){ text, len });
}

/* Whose name is on a certificate that nobody vouches for says nothing. */
static void
add_tls(struct sp_ctx *ctx, struct request *r)
{
	struct sp_span none = { NULL, 0 };
	bool verified = fact_is(ctx, "tls.client.verified");

	request_add_xtext(r, "ccert_subject", verified ? fact_text(ctx, "tls.client.subject") : none);
	request_add_xtext(r, "ccert_issuer", verified ? fact_text(ctx, "tls.client.issuer") : none);
	add_fingerprint(r, fact_text(ctx, "tls.client.fingerprint"));
	add_word(r, "ccert_pubkey_fingerprint", "");
	request_add(r, "encryption_protocol", fact_text(ctx, "tls.version"));
	request_add(r, "encryption_cipher", fact_text(ctx, "tls.cipher"));
	add_number(r, "encryption_keysize", fact_number(ctx, "tls.bits"));
}

static void
add_login(struct sp_ctx *ctx, struct request *r, const struct request_facts *facts)
{
	request_add(r, "sasl_method", fact_text(ctx, "auth.mechanism"));
	request_add(r, "sasl_username", fact_text(ctx, "auth.user"));
	request_add(r, "sasl_sender", facts->sasl_sender);
}

/* ---- the whole ------------------------------------------------------------------------------- */

void
request_build(struct sp_ctx *ctx, const struct request_facts *facts, struct request *ret)
{
	ret->len = 0;
	ret->full = false;
	add_word(ret, "request", "smtpd_access_policy");
	add_word(ret, "protocol_state", facts->state);
	add_word(ret, "protocol_name", facts->esmtp ? "ESMTP" : "SMTP");
	add_client(ctx, ret, facts);
	add_server(ctx, ret);
	request_add(ret, "helo_name", fact_text(ctx, "client.helo"));
	request_add(ret, "sender", facts->sender);
	request_add(ret, "recipient", facts->recipient);
	add_number(ret, "recipient_count", (int64_t)facts->recipients);
	request_add(ret, "queue_id", fact_text(ctx, "mail.id"));
	add_word(ret, "instance", facts->instance);
	add_number(ret, "size", facts->size);
	add_word(ret, "etrn_domain", "");
	add_word(ret, "stress", "");
	add_login(ctx, ret, facts);
	add_tls(ctx, ret);
	request_add(ret, "policy_context", facts->context);
	add_word(ret, "compatibility_level", "3.7");
	add_word(ret, "mail_version", "3.7.0");
	put(ret, "\n", 1);
}
