/*
 * arc.h - what the files of the module "arc" share (RFC 8617).
 *
 * set.c reads the ARC Sets of a message and their form; keys.c asks for their keys; validate.c judges them (section 5.2);
 * seal.c adds a set of our own (section 5.1); arc.c is the module.
 */
#ifndef ARC_ARC_H
#define ARC_ARC_H

#include "mailauth/keytable.h"
#include "mailauth/signature.h"

enum {
	ARC_SETS_MAX = 50,   /* RFC 8617 4.2.1 */
	ARC_OLDER_MAX = 10,  /* message signatures below the newest that are looked at for "oldest pass" */
	ARC_KEYS_MAX = ARC_SETS_MAX + 1 + ARC_OLDER_MAX,
	ARC_KEY_BITS_MAX = 4096, /* of RSA */
	ARC_BODIES_MAX = 4,  /* different body hashes that are made of one message */
	ARC_FIELDS_MAX = 10000, /* header fields that are looked at */
};

/* ---- set.c ---------------------------------------------------------------------------------- */

/* Where the fields of one instance are: the index in the header plus 1; 0: it is not there. */
struct arc_set {
	size_t results, message, seal;
};

struct arc_chain {
	struct arc_set sets[ARC_SETS_MAX]; /* sets[0] is instance 1 */
	size_t count;      /* the highest instance */
	const char *wrong; /* what is wrong with the structure (5.2 steps 1 to 3), static; null: nothing */
	bool ended;        /* the newest seal says cv=fail: nobody adds to such a chain */
	bool full;         /* there is no room for another instance */
};

enum arc_cv { ARC_CV_NONE, ARC_CV_PASS, ARC_CV_FAIL };

/* An ARC-Seal. Spans point into the value parsed. */
struct arc_seal {
	enum key_type type;
	enum arc_cv cv;
	struct sp_span domain, selector; /* as written; domain_ok() */
	unsigned char b[SIGNATURE_B64_MAX];
	size_t b_len;
};

/* Finds all ARC fields, and says whether they form a chain. No ARC field at all: count 0, wrong null. */
enum sp_status arc_chain_read(const struct signature_fields *from, struct arc_chain *ret);
/* value: of the field, folded as it came. SP_INVALID: *reterr says why. */
enum sp_status arc_seal_parse(struct sp_span value, struct arc_seal *ret, const char **reterr);
/* Takes "i=N;" off the front of an ARC-Authentication-Results. SP_INVALID: it is not there, or no number from 1 to 50;
 * SP_LIMIT: a number above that. */
enum sp_status arc_results_cut(struct sp_span *value, size_t *ret_instance);
/* The field whose index plus 1 a struct arc_set holds. */
enum sp_status arc_field(const struct signature_fields *from, size_t place, struct sp_header *ret);
/* The header of the transaction at hand, for struct signature_fields; arg: its struct sp_ctx. */
enum sp_status arc_header_get(void *arg, size_t index, struct sp_header *ret);

/* ---- keys.c --------------------------------------------------------------------------------- */

enum arc_found { ARC_KEY_FOUND, ARC_KEY_NONE, ARC_KEY_LATER };

/* The key of one selector and domain. */
struct arc_key {
	struct sp_span name; /* folded */
	enum arc_found found; /* ARC_KEY_LATER: the DNS could not say */
	struct key key;
};
struct arc_keys {
	struct arc_key *items;
	size_t count;
};

/* Notes a key to be asked for, once. A name that nobody can be asked for is not noted. SP_LIMIT: no memory. */
enum sp_status arc_key_note(struct sp_ctx *ctx, struct arc_keys *keys, struct sp_span selector, struct sp_span domain);
/* Asks for all that are noted; may suspend. SP_CANCELED only; what else fails is said of each key. */
enum sp_status arc_keys_ask(struct sp_ctx *ctx, struct arc_keys *keys);
struct arc_key *arc_key_find(const struct arc_keys *keys, struct sp_span selector, struct sp_span domain); /* or null */
void arc_keys_fini(struct arc_keys *keys); /* no harm on a zeroed one */
/* A copy in the transaction's memory; ptr is null where there is none. */
struct sp_span arc_keep(struct sp_ctx *ctx, struct sp_span s);

/* ---- validate.c ----------------------------------------------------------------------------- */

enum arc_result { ARC_NONE, ARC_PASS, ARC_FAIL, ARC_TEMPERROR };
enum arc_stated { ARC_STATED_NONE, ARC_STATED_PASS, ARC_STATED_FAIL, ARC_STATED_TEMPERROR, ARC_STATED_PERMERROR };

/* An ARC-Message-Signature that is right for the header; the body is still to be compared. */
struct arc_message {
	size_t body; /* index in bodies[] */
	unsigned char hash[CANON_HASH];
};

struct arc_body {
	enum canon form;
	int64_t limit;
	struct canon_body canon;
	unsigned char hash[EVP_MAX_MD_SIZE];
	size_t hash_len;
};

/* The judgement of one message, begun at the end of the header and ended with the body. All memory is the transaction's,
 * but for what arc_judge_fini() frees. */
struct arc_judge {
	bool begun, ended;
	enum arc_result result; /* ARC_PASS until it has failed */
	const char *reason;     /* of ARC_FAIL and ARC_TEMPERROR: static */
	size_t instances;       /* the highest instance */
	size_t oldest_pass;     /* RFC 8617 5.2 step 5: 0 all */
	const struct sp_span *sealers; /* d= of the seals, folded, newest first; where the structure was right */
	size_t sealer_count;
	enum arc_stated dmarc;  /* what instance 1 states */
	struct arc_message messages[1 + ARC_OLDER_MAX]; /* newest first */
	size_t message_count;
	struct arc_body bodies[ARC_BODIES_MAX];
	size_t body_count;
};

/* All that can be judged from the header; asks the DNS, so may suspend. Not SP_OK: nothing is known. */
enum sp_status arc_judge_header(struct sp_ctx *ctx, struct arc_judge *j);
void arc_judge_body(struct arc_judge *j, struct sp_span chunk);
enum sp_status arc_judge_end(struct arc_judge *j);
void arc_judge_fini(struct arc_judge *j); /* no harm on a zeroed one, nor twice */

/* ---- seal.c --------------------------------------------------------------------------------- */

struct arc_sealing {
	const struct keytable_key *key; /* RSA */
	struct sp_span domain;          /* d= */
	enum arc_result result;         /* of the message as it came */
	size_t instances;               /* it had so many */
};

/* Puts a set of our own on top of the message, unless its chain has ended or is full. */
enum sp_status arc_seal_add(struct sp_ctx *ctx, const struct arc_sealing *s);

#endif
