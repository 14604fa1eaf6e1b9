/*
 * signature.h - signatures over a message: DKIM-Signature (RFC 6376) and ARC-Message-Signature (RFC 8617 4.1.2), which
 * has the same tags but for v= and i=.  Parsing, the header hash, signing and verifying.
 */
#ifndef MAILAUTH_SIGNATURE_H
#define MAILAUTH_SIGNATURE_H

#include "mailauth/canon.h"
#include "mailauth/domain.h"
#include "mailauth/key.h"

enum { SIGNATURE_B64_MAX = 1024, SIGNATURE_FIELDS_MAX = 256 };

/* Spans point into the value parsed or into the struct; do not copy it. */
struct signature {
	enum key_type type;
	bool sha1; /* a=rsa-sha1: parsed so that it can be told; never verified */
	enum canon header, body;
	bool forms;                      /* c= says so; else both are simple, as RFC 6376 has it */
	struct sp_span domain, selector; /* as written; domain_ok() */
	struct sp_span names;            /* h=, as written, colons and FWS inside */
	struct sp_span identity;         /* i= of DKIM; instance of ARC */
	int64_t limit, time, expires;    /* l=, t=, x=; -1: not given */
	unsigned char b[SIGNATURE_B64_MAX], bh[64];
	size_t b_len, bh_len;
};

enum signature_kind { SIGNATURE_DKIM, SIGNATURE_ARC_MESSAGE };

/* value: of the field, folded as it came. SP_INVALID: a tag is missing, twice or malformed (a= unknown, d= or s= no
 * domain, i= not within d=, From not in h= of DKIM, ARC-Seal in h= of ARC); *reterr says which, a static sentence. */
enum sp_status signature_parse(struct sp_span value, enum signature_kind kind, struct signature *ret, const char **reterr);

/* Where the fields of the message come from: field index 0 is the topmost. SP_NONE past the last. */
struct signature_fields {
	enum sp_status (*get)(void *arg, size_t index, struct sp_header *ret);
	void *arg;
};

/* Hashes the fields that names lists, each taken from the bottom up (RFC 6376 5.4.2), then own, the field of the
 * signature itself without its b=, into *hash (SHA-256). SP_INVALID: more than SIGNATURE_FIELDS_MAX names; SP_SYSTEM. */
enum sp_status signature_hash(const struct signature_fields *from, struct sp_span names, enum canon form,
	struct sp_span own, unsigned char hash[static CANON_HASH]);

/* Is sig right for this hash? False as well when the key does not fit the signature's algorithm. */
bool signature_verify(EVP_PKEY *key, enum key_type type, const unsigned char hash[static CANON_HASH],
	const unsigned char *sig, size_t len);

/* A signature over the hash in base64, written to memory. SP_SYSTEM: OpenSSL failed; SP_LIMIT: no room. */
enum sp_status signature_make(EVP_PKEY *key, enum key_type type, const unsigned char hash[static CANON_HASH],
	char *memory, size_t max, struct sp_span *ret);

/* What to sign with; the result is the value of the field, complete, folded with CR LF and tabs. */
struct signing {
	const struct keytable_key *key;
	struct sp_span domain;     /* d= */
	enum canon header, body;
	struct sp_span names;      /* h=, "from:from:to:subject"; see signing_names() */
	const unsigned char *body_hash; /* CANON_HASH octets */
	int64_t time, expires;     /* x=; -1: none */
	enum signature_kind kind;
	unsigned instance;         /* of ARC */
	const char *field;         /* "DKIM-Signature" */
};
enum sp_status signing_make(const struct signing *s, const struct signature_fields *from, char *memory, size_t max,
	struct sp_span *ret);
/* The h= for this message: every field of it that RFC 6376 5.4.1 recommends, as often as it is there (and RFC 8058's
 * List-Unsubscribe-Post), and once more (oversigned) From, To, Cc, Subject, Date, Reply-To, Message-ID, MIME-Version,
 * Content-Type, Content-Transfer-Encoding, In-Reply-To, References; extra: further names, null-ended, signed where they
 * are. SP_LIMIT: no room, or more than SIGNATURE_FIELDS_MAX names. */
enum sp_status signing_names(const struct signature_fields *from, const char *const *extra, char *memory, size_t max,
	struct sp_span *ret);
/* The hash of the body as it goes on, read by sp_body_get() in on_final; other sessions get their turn while a large one is
 * hashed. */
enum sp_status signing_body_hash(struct sp_ctx *ctx, enum canon form, unsigned char hash[static EVP_MAX_MD_SIZE]);

#endif
