/*
 * certificate.c - certificates made for a scene: of the gateway, of the fake backend, of clients (RFC 5280).
 *
 * Each is a file NAME.pem with its key NAME.key in the scene's folder.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "proxy/test/play.h"

enum { DAY_SECONDS = 86400, RSA_BITS = 2048, LARGE_BITS = 4096, PATH = 512, HOSTS = 1024 };

/* ---- files ---------------------------------------------------------------------------------- */

static FILE *
file_open(const char *folder, struct sp_span name, const char *end, const char *mode)
{
	char path[PATH];

	if (snprintf(path, sizeof(path), "%s/%.*s%s", folder, (int)name.len, name.ptr, end) >= (int)sizeof(path))
		return NULL;
	return fopen(path, mode);
}

static X509 *
read_certificate(const char *folder, struct sp_span name)
{
	FILE *file = file_open(folder, name, ".pem", "re");
	X509 *cert = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;

	if (file != NULL)
		(void)fclose(file);
	return cert;
}

static EVP_PKEY *
read_key(const char *folder, struct sp_span name)
{
	FILE *file = file_open(folder, name, ".key", "re");
	EVP_PKEY *key = file != NULL ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;

	if (file != NULL)
		(void)fclose(file);
	return key;
}

static bool
write_both(const char *folder, struct sp_span name, EVP_PKEY *key, X509 *cert)
{
	FILE *pem = file_open(folder, name, ".pem", "we"), *secret = file_open(folder, name, ".key", "we");
	bool ok = pem != NULL && secret != NULL && PEM_write_X509(pem, cert) == 1 &&
		PEM_write_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1;

	if (pem != NULL)
		ok = fclose(pem) == 0 && ok;
	if (secret != NULL)
		ok = fclose(secret) == 0 && ok;
	return ok;
}

/* ---- what is in it -------------------------------------------------------------------------- */

static bool
add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool ok = e != NULL && X509_add_ext(cert, e, -1) == 1;

	X509_EXTENSION_free(e);
	return ok;
}

/* The first host is the common name, too. */
static bool
add_hosts(X509 *cert, struct sp_span hosts)
{
	X509_NAME *name = X509_get_subject_name(cert);
	struct sp_span first = span_head(hosts, span_find(hosts, ','));
	char text[HOSTS] = "";
	size_t at = 0;

	if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)first.ptr, (int)first.len, -1, 0) != 1)
		return false;
	while (hosts.len > 0 && at < sizeof(text)) {
		struct sp_span one = span_head(hosts, span_find(hosts, ','));

		at += (size_t)snprintf(text + at, sizeof(text) - at, "%sDNS:%.*s", at > 0 ? "," : "", (int)one.len, one.ptr);
		hosts = span_from(hosts, one.len + 1);
	}
	return at < sizeof(text) && add_extension(cert, NID_subject_alt_name, text);
}

static bool
fill_in(X509 *cert, EVP_PKEY *key, const struct scene_certificate *c)
{
	static long serial;

	return X509_set_version(cert, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial) == 1 &&
		X509_gmtime_adj(X509_getm_notBefore(cert), -2 * DAY_SECONDS) != NULL &&
		X509_gmtime_adj(X509_getm_notAfter(cert), c->expired ? -DAY_SECONDS : DAY_SECONDS) != NULL &&
		X509_set_pubkey(cert, key) == 1 && add_hosts(cert, c->hosts) &&
		add_extension(cert, NID_basic_constraints, c->by.len > 0 ? "CA:FALSE" : "critical,CA:TRUE");
}

static bool
sign(X509 *cert, EVP_PKEY *key, const struct scene_certificate *c, const char *folder)
{
	X509 *issuer = c->by.len > 0 ? read_certificate(folder, c->by) : NULL;
	EVP_PKEY *by = c->by.len > 0 ? read_key(folder, c->by) : NULL;
	bool ok = (issuer != NULL && by != NULL) || c->by.len == 0;

	ok = ok && X509_set_issuer_name(cert, X509_get_subject_name(issuer != NULL ? issuer : cert)) == 1 &&
		X509_sign(cert, by != NULL ? by : key, EVP_sha256()) > 0;
	X509_free(issuer);
	EVP_PKEY_free(by);
	return ok;
}

bool
certificate_make(const char *folder, const struct scene_certificate *c)
{
	EVP_PKEY *key = c->rsa ? EVP_RSA_gen(c->large ? LARGE_BITS : RSA_BITS) : EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	bool ok = key != NULL && cert != NULL && fill_in(cert, key, c) && sign(cert, key, c, folder) &&
		write_both(folder, c->name, key, cert);

	X509_free(cert);
	EVP_PKEY_free(key);
	return ok;
}

/* ---- its fingerprint ------------------------------------------------------------------------ */

bool
certificate_fingerprint(const char *folder, struct sp_span name, char ret[static CERTIFICATE_PRINT])
{
	X509 *cert = read_certificate(folder, name);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	bool ok = cert != NULL && X509_digest(cert, EVP_sha256(), digest, &len) == 1 && 2 * len < CERTIFICATE_PRINT;

	for (unsigned int i = 0; ok && i < len; i++)
		snprintf(ret + (size_t)2 * i, 3, "%02x", digest[i]);
	X509_free(cert);
	return ok;
}

size_t
certificate_placeholder(struct buf *to, struct sp_span rest, const char *folder)
{
	struct sp_span name = span_from(rest, 13);
	char print[CERTIFICATE_PRINT];

	if (!span_starts(rest, SPAN_LIT("{fingerprint:")))
		return 0;
	name = span_head(name, span_find(name, '}'));
	if (!certificate_fingerprint(folder, name, print))
		return 0;
	buf_add_str(to, print);
	return 13 + name.len + 1;
}
