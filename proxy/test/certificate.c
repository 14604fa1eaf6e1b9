/*
 * certificate.c - a self-signed certificate for the gateway of a scene (RFC 5280).
 */
#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "proxy/test/play.h"

enum { DAY_SECONDS = 86400 };

static bool
write_pem(const char *folder, const char *name, EVP_PKEY *key, X509 *cert)
{
	char path[512];
	FILE *file;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "we");
	if (file == NULL)
		return false;
	if (cert != NULL)
		ok = PEM_write_X509(file, cert) == 1;
	else
		ok = PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
	return fclose(file) == 0 && ok;
}

static bool
fill_in(X509 *cert, EVP_PKEY *key)
{
	X509_NAME *name = X509_get_subject_name(cert);

	return ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
		X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_SECONDS) != NULL &&
		X509_gmtime_adj(X509_getm_notAfter(cert), DAY_SECONDS) != NULL &&
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"mx.example.com", -1, -1, 0) == 1 &&
		X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
		X509_sign(cert, key, EVP_sha256()) > 0;
}

bool
certificate_make(const char *folder)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	bool ok = key != NULL && cert != NULL && fill_in(cert, key) && write_pem(folder, "cert.pem", NULL, cert) &&
		write_pem(folder, "key.pem", key, NULL);

	X509_free(cert);
	EVP_PKEY_free(key);
	return ok;
}
