/*
 * key.h - public keys from the DNS (RFC 6376 3.6.1, RFC 8463) and private keys from files.
 */
#ifndef MAILAUTH_KEY_H
#define MAILAUTH_KEY_H

#include <openssl/evp.h>

#include <sallyport/filter.h>

enum key_type { KEY_RSA, KEY_ED25519 };

enum key_fault {
	KEY_OK,
	KEY_SYNTAX,  /* no key record, or one of another version */
	KEY_REVOKED, /* p= is empty */
	KEY_TYPE,    /* k= is neither rsa nor ed25519 */
	KEY_UNUSABLE /* p= holds no such key, or an RSA key below 1024 or above 8192 bits, or with more than 32 of exponent */
};

struct key {
	EVP_PKEY *pkey; /* null unless KEY_OK */
	enum key_type type;
	unsigned bits;
	bool bare;     /* RSA: p= is the RSAPublicKey alone, without the wrapping of X.509 */
	bool testing;  /* t=y */
	bool strict;   /* t=s: i= must have the very domain d= */
	bool email;    /* s= allows mail */
	bool sha256, sha1; /* h= allows */
};

/* record: the joined text of one TXT record. *ret is to be freed by key_fini() whatever comes out. */
enum key_fault key_parse(struct sp_span record, struct key *ret);
void key_fini(struct key *k);

/* A PEM private key, RSA of 1024 bits or more, or Ed25519. Null: *reterr is one sentence (static or of OpenSSL). A file
 * that others than owner and group may read is refused. */
EVP_PKEY *key_load_private(const char *path, enum key_type *ret_type, const char **reterr);

#endif
