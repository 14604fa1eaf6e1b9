/*
 * verify.h - what the files of the verifying half share.
 *
 * A transaction goes through them in this order: parse (each DKIM-Signature as it comes), keys (all that are needed, asked
 * at once), library (libopendkim, which does the cryptography), judge (what each signature is worth, facts and results).
 * Everything hangs on the transaction's memory, but the library's handle and the counters of bodies, which are freed by
 * library_free() and length_free().
 */
#ifndef DKIM_VERIFY_H
#define DKIM_VERIFY_H

#include "dkim/dkim.h"
#include "mailauth/canon.h"

enum {
	VERIFY_HEADER_MAX = 1024 * 1024, /* octets of header that are looked at */
	VERIFY_FIELDS_MAX = 10000,
	VERIFY_SIGNATURES_MAX = 32, /* what may be asked of the DNS at once */
	VERIFY_WORK_MAX = 2000000,  /* names in the h= of all signatures, times fields: each is compared with each */
	VERIFY_DRIFT = 300          /* seconds that a signer's clock may be ahead or behind */
};

/* Results of RFC 8601 section 2.7.1, as the fact "result" has them. */
enum verdict {
	VERDICT_NONE,
	VERDICT_PASS,
	VERDICT_FAIL,
	VERDICT_POLICY,
	VERDICT_NEUTRAL,
	VERDICT_TEMPERROR,
	VERDICT_PERMERROR
};
extern const char *const verdict_words[]; /* null-ended */

enum { FACT_PASS, FACT_DOMAINS, FACT_RESULT, FACT_SIGNATURES, FACT_LENGTH, FACT_SHA1, FACT_WEAK, FACT_EXPIRED, FACT_FROM, FACT_HASH };

/* A key as it is in the DNS; shared by the signatures that name it. */
struct verify_key {
	struct sp_span name;
	bool unknown;      /* it could not be found out whether there is one */
	const char *fault; /* why it cannot be used, in words; null: it can */
	bool weak;         /* RSA, below 1024 bits */
	bool testing, sha256, sha1;
	enum key_type type;
	unsigned bits;
	struct sp_span record; /* written anew from what was understood, for the library */
};

struct verify_sig {
	struct sp_span domain, selector, name; /* d=, s= in lower case, and where the key is; empty: not to be used */
	struct sp_span algorithm, b, bh;       /* a= as a known word; the first 8 octets of b=; bh=; both without blanks */
	enum key_type type;
	bool sha1, from_signed;
	size_t names; /* in h= */
	int64_t limit, expires; /* l=, x=; -1: not given */
	int64_t time;           /* t=; -1: not given */
	enum canon body;
	const char *fault; /* why it cannot be right, in words; null: no reason yet */
	struct verify_key *key;
	bool fed;     /* the library has taken it for a signature */
	void *handle; /* DKIM_SIGINFO */
	enum verdict verdict;
	const char *reason; /* null: none */
};

struct verify_tx {
	void *library;    /* DKIM; null: none yet, or no longer needed */
	bool failed;      /* no memory: nothing can be said */
	bool feeding;     /* the library wants the body */
	const char *fault; /* why no signature of this message can count, in words */
	struct verify_sig *sigs; /* the topmost, conf->max_signatures at most */
	size_t count, total, from_count;
	size_t fields, octets;
	char last; /* octet of the body so far; '\0': none */
	struct canon_body length[2]; /* by enum canon: counts the octets of the body for l= */
	bool counting[2];
	int64_t length_octets[2];
};

/* ---- parse.c ---- */

/* Reads the value of a DKIM-Signature into *s, which is zeroed; what is wrong with it goes to s->fault.
 * SP_LIMIT: no memory. */
enum sp_status sig_parse(struct sp_ctx *ctx, struct sp_span value, struct verify_sig *s);
/* May the library see it? It gives up the whole message for some names, and takes its time for thousands of tags. */
bool sig_bearable(struct sp_span value);
/* Is every CR followed by LF and every LF preceded by CR? *last is the octet before text, '\0' at the beginning. */
bool lines_ok(struct sp_span text, char *last);

/* ---- keys.c ---- */

/* Asks for the keys of all signatures without a fault, each name once, all at once; sets their key. May suspend.
 * SP_LIMIT, SP_SYSTEM: no memory. */
enum sp_status keys_fetch(struct sp_ctx *ctx, struct verify_tx *tx);

/* ---- library.c ---- */

enum sp_status library_load(struct dkim_conf *conf); /* SP_SYSTEM: it does not start */
void library_unload(struct dkim_conf *conf);
/* A field, without its last CRLF; sig: the signature that it is, or null. SP_SYSTEM: no memory. */
enum sp_status library_field(const struct dkim_conf *conf, struct verify_tx *tx, struct sp_span field, struct verify_sig *sig);
/* The header is complete and the keys are there. Sets tx->feeding where the body is needed. */
void library_eoh(const struct dkim_conf *conf, struct verify_tx *tx);
void library_body(struct verify_tx *tx, struct sp_span chunk);
void library_eom(struct verify_tx *tx);
/* Is the signature right? If not, *retverdict and *retreason (static) say what is wrong with it. */
bool library_passed(const struct verify_sig *s, enum verdict *retverdict, const char **retreason);
void library_free(struct verify_tx *tx); /* no harm where there is none */

/* ---- length.c ---- */

/* For those signatures alive that have l=. SP_SYSTEM: OpenSSL failed. */
enum sp_status length_begin(struct verify_tx *tx);
void length_body(struct verify_tx *tx, struct sp_span chunk);
enum sp_status length_eom(struct verify_tx *tx); /* sets tx->length_octets */
void length_free(struct verify_tx *tx);

/* ---- judge.c ---- */

/* May the signature be right, as far as is known without the library? */
bool sig_alive(const struct verify_sig *s);
/* Gives each signature its verdict, states all facts and adds the results. SP_LIMIT: no memory. */
enum sp_status judge(struct sp_ctx *ctx, struct verify_tx *tx);

#endif
