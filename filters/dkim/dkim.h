/*
 * dkim.h - what the files of the module "dkim" share.
 *
 * One use of the module either verifies (the default) or, where "keys" is given, signs.
 */
#ifndef DKIM_DKIM_H
#define DKIM_DKIM_H

#include "mailauth/keytable.h"

struct dkim_conf {
	/* signing */
	const char *keys; /* table of keys; null: this use verifies */
	int64_t header, body; /* enum canon */
	int64_t lifetime;     /* x= - t=, in ms; 0: no x= */
	struct keytable *table;
	/* verifying */
	bool allow_sha1, allow_length, allow_expired; /* such a signature may count as a pass */
	int64_t min_rsa;       /* bits */
	int64_t max_signatures;
	void *lib; /* DKIM_LIB */
};

/* ---- sign.c: only where conf->keys is set ---- */

/* Reads the key table. */
enum sp_status sign_load(struct sp_load *load, const struct sp_host *host, struct dkim_conf *conf);
void sign_unload(struct dkim_conf *conf);
/* One DKIM-Signature for each key of the From domain, on top of the message; a message that there is no key for, or
 * without exactly one From mailbox, goes on unsigned (logged). */
enum sp_status sign_final(struct sp_ctx *ctx, const struct sp_final *ev);

#endif
