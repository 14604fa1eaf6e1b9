/*
 * tls_server.c - contexts of listeners: certificates by name and by kind of key, tickets, clients' certificates.
 *
 * The context itself has the certificates of the first one's name; who names another host gets those in the middle of his
 * handshake.  Ticket keys are the SSL_CTX's own, so they live as long as the policy generation and are never another
 * listener's (CASES T11).  RFC 6066 3 (SNI), RFC 8446 4.4.2, 4.6.1; CASES T09, T12, T14.
 */
#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "proxy/net/tls_priv.h"

/* A client that names protocols must name SMTP: no other is to be lured here (ALPACA). */
static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
	unsigned int inlen, void *arg)
{
	static const unsigned char smtp[] = { 4, 's', 'm', 't', 'p' };
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, outlen, smtp, sizeof(smtp), in, inlen) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* ---- which certificate ------------------------------------------------------------------------ */

/* Marks of each kind of key the first that has the name; tells whether there is any. */
static bool
choose_by_name(const struct tls_context *c, const char *host, bool *ret)
{
	bool any = false;

	for (size_t i = 0; i < c->count; i++) {
		int kind = EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(c->pairs[i]));

		ret[i] = X509_check_host(SSL_CTX_get0_certificate(c->pairs[i]), host, 0, 0, NULL) == 1;
		for (size_t j = 0; j < i; j++)
			if (ret[j] && EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(c->pairs[j])) == kind)
				ret[i] = false;
		any |= ret[i];
	}
	return any;
}

void
tls_server_choose(const struct tls_context *c, const char *host, bool ret[static TLS_PAIRS])
{
	if (host == NULL || !choose_by_name(c, host, ret))
		memcpy(ret, c->first, sizeof(c->first));
}

static bool
use_pair(SSL *ssl, SSL_CTX *pair)
{
	STACK_OF(X509) *chain = NULL;

	(void)SSL_CTX_get0_chain_certs(pair, &chain);
	return SSL_use_cert_and_key(ssl, SSL_CTX_get0_certificate(pair), SSL_CTX_get0_privatekey(pair), chain, 1) == 1;
}

static int
choose_certificates(SSL *ssl, void *arg)
{
	const struct tls_context *c = arg;
	bool chosen[TLS_PAIRS] = { false };

	tls_server_choose(c, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), chosen);
	if (memcmp(chosen, c->first, sizeof(chosen)) == 0)
		return 1;
	SSL_certs_clear(ssl);
	for (size_t i = 0; i < c->count; i++)
		if (chosen[i] && !use_pair(ssl, c->pairs[i]))
			return 0;
	return 1;
}

/* A name that the first certificate has: one of its DNS names, else its common name. False: none that is a C string. */
static bool
first_name(const X509 *cert, char *to, int room)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names) && !found; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		int len = name->type == GEN_DNS ? ASN1_STRING_length(name->d.dNSName) : 0;

		if (len <= 0 || len >= room)
			continue;
		memcpy(to, ASN1_STRING_get0_data(name->d.dNSName), (size_t)len);
		to[len] = '\0';
		found = memchr(to, '\0', (size_t)len) == NULL;
	}
	GENERAL_NAMES_free(names);
	return found || X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, to, room) > 0;
}

/* Gives ctx the certificates of the first one's name. */
static bool
set_first(struct tls_context *c, const struct tls_pair *pairs, char *err, size_t err_size)
{
	char name[256];
	bool chosen[TLS_PAIRS] = { false };

	if (first_name(SSL_CTX_get0_certificate(c->pairs[0]), name, sizeof(name)) && choose_by_name(c, name, chosen) && chosen[0])
		memcpy(c->first, chosen, sizeof(chosen));
	else
		c->first[0] = true; /* no name, or a wildcard that does not match itself */
	for (size_t i = 0; i < c->count; i++)
		if (c->first[i] && !tls_pair_read(c->ctx, &pairs[i], err, err_size))
			return false;
	if (c->count > 1)
		SSL_CTX_set_cert_cb(c->ctx, choose_certificates, c);
	return true;
}

/* A signature of RSA-2048 takes 0.4 ms, of ECDSA far less; of RSA-4096 it takes 5 ms. */
static bool
is_slow(const EVP_PKEY *key)
{
	return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) > 2048;
}

static bool
read_pairs(struct tls_context *c, const struct tls_server *from, char *err, size_t err_size)
{
	for (size_t i = 0; i < from->count && i < TLS_PAIRS; i++) {
		c->pairs[i] = SSL_CTX_new(TLS_server_method());
		if (c->pairs[i] == NULL || !tls_pair_read(c->pairs[i], &from->pairs[i], err, err_size))
			return false;
		c->count++;
		c->slow |= is_slow(SSL_CTX_get0_privatekey(c->pairs[i]));
	}
	return set_first(c, from->pairs, err, err_size);
}

bool
tls_server_expired(const struct tls_context *c, size_t index)
{
	return X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(c->pairs[index]))) < 0;
}

/* ---- clients' certificates -------------------------------------------------------------------- */

/* What is wrong with it stays the result of the verification, and the handshake goes on. */
static int
never_mind(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static bool
ask_for_certificates(SSL_CTX *ctx, const struct tls_server *from)
{
	STACK_OF(X509_NAME) *names;

	if (from->ask == TLS_ASK_NOT)
		return true;
	if (from->ca != NULL) {
		names = SSL_load_client_CA_file(from->ca);
		if (names == NULL || SSL_CTX_load_verify_file(ctx, from->ca) != 1) {
			sk_X509_NAME_pop_free(names, X509_NAME_free);
			return false;
		}
		SSL_CTX_set_client_CA_list(ctx, names);
	}
	if (from->ask == TLS_ASK_REQUIRE)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	else
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, never_mind);
	return true;
}

/* ---- the context ------------------------------------------------------------------------------ */

static bool
set_up(SSL_CTX *ctx)
{
	unsigned char id[16];

	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	return SSL_CTX_set_max_early_data(ctx, 0) == 1 && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
		SSL_CTX_set_dh_auto(ctx, 1) == 1 && RAND_bytes(id, sizeof(id)) == 1 &&
		SSL_CTX_set_session_id_context(ctx, id, sizeof(id)) == 1;
}

struct tls_context *
tls_server_new(const struct tls_server *from, char *err, size_t err_size)
{
	struct tls_context *c = tls_context_begin(TLS_server_method(), from->min);

	if (c == NULL || !set_up(c->ctx)) {
		tls_say_why(err, err_size, "TLS");
	} else if (read_pairs(c, from, err, err_size)) {
		if (ask_for_certificates(c->ctx, from))
			return c;
		tls_say_why(err, err_size, from->ca);
	}
	tls_context_free(&c);
	return NULL;
}
