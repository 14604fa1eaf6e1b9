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

/* Of the listener's endpoint as the policy has it: "192.0.2.1:25", "[::]:25", "*:25", "unix:/path". */
static void
add_server(struct sp_ctx *ctx, struct request *r)
{
	struct sp_span name = fact_text(ctx, "listener.name"), host = name, port = { NULL, 0 };

	for (size_t i = name.len; i > 0; i--)
		if (name.ptr[i - 1] == ':') {
			host = text_head(name, i - 1);
			port = text_from(name, i);
			break;
		}
	if (host.len > 1 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = text_head(text_from(host, 1), host.len - 2);
	if (text_is(host, "*") || text_is(host, "0.0.0.0") || text_is(host, "::") || text_is(host, "unix"))
		host.len = 0;
	if (port.len > 0 && port.ptr[0] == '/')
		port.len = 0;
	request_add(r, "server_address", host);
	request_add(r, "server_port", port);
}

/* ---- of TLS and of a login ------------------------------------------------------------------- */

static bool
contains(struct sp_span s, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i + len <= s.len; i++)
		if (memcmp(s.ptr + i, word, len) == 0)
			return true;
	return false;
}

static const char *
key_bits(struct sp_span cipher)
{
	if (contains(cipher, "256") || contains(cipher, "CHACHA20"))
		return "256";
	return contains(cipher, "128") ? "128" : "0";
}

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

static void
add_tls(struct sp_ctx *ctx, struct request *r)
{
	struct sp_span cipher = fact_text(ctx, "tls.cipher"), subject = { NULL, 0 };

	if (fact_is(ctx, "tls.client.verified"))
		subject = fact_text(ctx, "tls.client.subject");
	request_add_xtext(r, "ccert_subject", subject);
	add_word(r, "ccert_issuer", "");
	add_fingerprint(r, fact_text(ctx, "tls.client.fingerprint"));
	add_word(r, "ccert_pubkey_fingerprint", "");
	request_add(r, "encryption_protocol", fact_text(ctx, "tls.version"));
	request_add(r, "encryption_cipher", cipher);
	add_word(r, "encryption_keysize", key_bits(cipher));
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
	add_word(ret, "queue_id", "");
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
