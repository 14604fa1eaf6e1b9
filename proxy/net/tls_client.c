/*
 * tls_client.c - contexts of backends: whom we believe to be the mail server (RFC 6125; RFC 7817 4 has the same for mail).
 */
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "policy/kit/span.h"
#include "proxy/net/tls_priv.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum sp_status
tls_pin_parse(struct sp_span text, unsigned char ret[static TLS_DIGEST])
{
	unsigned char digest[TLS_DIGEST];
	size_t n = 0;

	if (!span_istarts(text, SPAN_LIT("sha256:")))
		return SP_INVALID;
	text = span_from(text, 7);
	while (text.len > 0) {
		if (n > 0 && text.ptr[0] == ':')
			text = span_from(text, 1);
		if (n == TLS_DIGEST || text.len < 2 || hex_digit(text.ptr[0]) < 0 || hex_digit(text.ptr[1]) < 0)
			return SP_INVALID;
		digest[n++] = (unsigned char)(hex_digit(text.ptr[0]) * 16 + hex_digit(text.ptr[1]));
		text = span_from(text, 2);
	}
	if (n != TLS_DIGEST)
		return SP_INVALID;
	memcpy(ret, digest, sizeof(digest));
	return SP_OK;
}

/* Instead of looking for who vouches: is it one of those that we know? */
static int
verify_pinned(X509_STORE_CTX *store, void *arg)
{
	const struct tls_context *c = arg;
	const X509 *cert = X509_STORE_CTX_get0_cert(store);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (cert != NULL && X509_digest(cert, EVP_sha256(), digest, &len) == 1 && len == TLS_DIGEST)
		for (size_t i = 0; i < c->pin_count; i++)
			if (memcmp(c->pins[i], digest, TLS_DIGEST) == 0) {
				X509_STORE_CTX_set_error(store, X509_V_OK);
				return 1;
			}
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

static bool
believe(struct tls_context *c, const struct tls_client *from)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(c->ctx);

	if (from->pin_count > 0) {
		c->pin_count = from->pin_count < TLS_PINS ? from->pin_count : TLS_PINS;
		memcpy(c->pins, from->pins, c->pin_count * TLS_DIGEST);
		SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_cert_verify_callback(c->ctx, verify_pinned, c);
		return true;
	}
	if (!from->verify)
		return true; /* a client's default: any */
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* without a name any certificate of the system's authorities would do */
	if (from->name == NULL || X509_VERIFY_PARAM_set1_host(param, from->name, 0) != 1)
		return false;
	return from->ca != NULL ? SSL_CTX_load_verify_file(c->ctx, from->ca) == 1 : SSL_CTX_set_default_verify_paths(c->ctx) == 1;
}

struct tls_context *
tls_client_new(const struct tls_client *from, char *err, size_t err_size)
{
	struct tls_context *c = tls_context_begin(TLS_client_method(), from->min);

	if (c == NULL || (from->name != NULL && (c->name = strdup(from->name)) == NULL) ||
		(from->old && SSL_CTX_set_max_proto_version(c->ctx, TLS1_2_VERSION) != 1)) {
		tls_say_why(err, err_size, "TLS");
	} else if (!believe(c, from)) {
		tls_say_why(err, err_size, from->ca != NULL ? from->ca : "TLS");
	} else if (from->own.certificate == NULL || tls_pair_read(c->ctx, &from->own, err, err_size)) {
		return c;
	}
	tls_context_free(&c);
	return NULL;
}
