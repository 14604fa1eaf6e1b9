/*
 * keytable.h - which key signs for which domain: a file that dkim and arc share.
 *
 *     # domain        selector   key file (relative: beside the table)
 *     example.com     s2026      example.com.rsa.pem
 *     example.com     e2026      example.com.ed25519.pem
 *     *               s2026      fallback.pem          # any other; d= is the domain itself
 *
 * A domain also speaks for those below it that have no line of their own: mail.example.com is signed with
 * d=example.com.  Domains beyond ASCII stand there as A-labels.
 */
#ifndef MAILAUTH_KEYTABLE_H
#define MAILAUTH_KEYTABLE_H

#include "mailauth/key.h"

struct keytable_key {
	struct sp_span domain, selector; /* domain "*": of the fallback */
	enum key_type type;
	EVP_PKEY *pkey;
	const struct keytable_key *next; /* of the same domain, in the order of the file */
};
struct keytable;

/* Reads the table and all its keys. Each fault is told by sp_load_error() with file and line; null then. */
struct keytable *keytable_load(struct sp_load *load, const struct sp_host *host, const char *path);
void keytable_free(struct keytable **t);
/* The keys for mail from this (folded) domain, or of its nearest parent that has any, or of "*"; null: none. */
const struct keytable_key *keytable_find(const struct keytable *t, struct sp_span domain);

#endif
