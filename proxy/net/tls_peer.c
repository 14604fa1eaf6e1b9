/*
 * tls_peer.c - the certificate that the peer has shown: its fingerprint, its subject and issuer, and whether it was vouched for.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "proxy/net/tls_priv.h"

static bool
write_fingerprint(const X509 *cert, struct tls_peer *to)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (X509_digest(cert, EVP_sha256(), digest, &len) != 1 || len != TLS_DIGEST)
		return false;
	for (size_t i = 0; i < TLS_DIGEST; i++)
		(void)snprintf(to->fingerprint + 2 * i, 3, "%02x", digest[i]);
	return true;
}

/* Whatever a stranger has written there comes out as printable ASCII. */
static void
write_name(const X509_NAME *name, char *to, size_t size)
{
	BIO *text = BIO_new(BIO_s_mem());
	char *at;
	long len;

	to[0] = '\0';
	if (text != NULL && X509_NAME_print_ex(text, name, 0, XN_FLAG_RFC2253) >= 0) {
		len = BIO_get_mem_data(text, &at);
		if (len > 0)
			(void)snprintf(to, size, "%.*s", (int)len, at);
	}
	BIO_free(text);
}

bool
stream_tls_peer(const struct stream *s, struct tls_peer *ret)
{
	const SSL *ssl = tls_of(s);
	const X509 *cert = ssl == NULL ? NULL : SSL_get0_peer_certificate(ssl);

	ERR_clear_error();
	if (cert == NULL || !write_fingerprint(cert, ret))
		return false;
	write_name(X509_get_subject_name(cert), ret->subject, sizeof(ret->subject));
	write_name(X509_get_issuer_name(cert), ret->issuer, sizeof(ret->issuer));
	ret->verified = SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE && SSL_get_verify_result(ssl) == X509_V_OK;
	ERR_clear_error();
	return true;
}
