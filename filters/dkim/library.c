/*
 * library.c - libopendkim, as far as we let it: fields and body in, right or wrong for each signature out.
 *
 * It is given keys by us only and asks nobody; it writes no file, and what has expired is for us to say.  No call to it
 * suspends.  Its handle for a message is the heap's and freed by library_free().
 */
#include <opendkim/dkim.h>
#include <string.h>
#include <time.h>

#include "dkim/verify.h"
#include "mailauth/text.h"

/* ---- its questions to us ------------------------------------------------------------------------------- */

static struct verify_sig *
sig_of(struct verify_tx *tx, const DKIM_SIGINFO *handle)
{
	for (size_t i = 0; i < tx->count; i++)
		if (tx->sigs[i].handle == handle)
			return &tx->sigs[i];
	return NULL;
}

static bool
same_text(const unsigned char *theirs, struct sp_span ours)
{
	return theirs != NULL && text_same(text_of((const char *)theirs), ours);
}

/* Has the library read what we have read? A signature that two parsers take for different ones is none. */
static bool
same_sig(DKIM_SIGINFO *theirs, const struct verify_sig *ours)
{
	if (dkim_sig_geterror(theirs) != DKIM_SIGERROR_UNKNOWN)
		return true; /* it will not be verified anyway */
	return same_text(dkim_sig_getdomain(theirs), ours->domain) && same_text(dkim_sig_getselector(theirs), ours->selector);
}

/* All signatures that the library knows, in the order of the header: those of ours that it took. What is beyond our
 * maximum, or known to be of no use, is put aside before any key is asked for. */
static DKIM_CBSTAT
on_prescreen(DKIM *dkim, DKIM_SIGINFO **sigs, int count)
{
	struct verify_tx *tx = dkim_get_user_context(dkim);
	size_t at = 0;

	for (int i = 0; i < count; i++) {
		while (at < tx->count && !tx->sigs[at].fed)
			at++;
		if (at == tx->count) {
			dkim_sig_ignore(sigs[i]);
			continue;
		}
		tx->sigs[at].handle = sigs[i];
		if (!same_sig(sigs[i], &tx->sigs[at]) && tx->sigs[at].fault == NULL)
			tx->sigs[at].fault = "the signature can be read in two ways";
		if (!sig_alive(&tx->sigs[at]))
			dkim_sig_ignore(sigs[i]);
		at++;
	}
	return DKIM_CBSTAT_CONTINUE;
}

/* Never "try again" nor "use your own resolver": the one ends all signatures, the other blocks the process. */
static DKIM_CBSTAT
on_key(DKIM *dkim, DKIM_SIGINFO *sig, u_char *buf, size_t size)
{
	const struct verify_sig *s = sig_of(dkim_get_user_context(dkim), sig);

	if (s == NULL || !sig_alive(s) || s->key->record.len >= size)
		return DKIM_CBSTAT_NOTFOUND;
	memcpy(buf, s->key->record.ptr, s->key->record.len);
	buf[s->key->record.len] = '\0';
	return DKIM_CBSTAT_CONTINUE;
}

enum sp_status
library_load(struct dkim_conf *conf)
{
	/* no files, no cache, no leniency for line ends, all signatures at the end of the header */
	unsigned flags = DKIM_LIBFLAGS_NONE;
	DKIM_LIB *lib = dkim_init(NULL, NULL);

	conf->lib = lib;
	if (lib == NULL)
		return SP_SYSTEM;
	if (dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof(flags)) != DKIM_STAT_OK ||
		dkim_set_key_lookup(lib, on_key) != DKIM_STAT_OK || dkim_set_prescreen(lib, on_prescreen) != DKIM_STAT_OK) {
		library_unload(conf);
		return SP_SYSTEM;
	}
	return SP_OK;
}

void
library_unload(struct dkim_conf *conf)
{
	if (conf->lib != NULL)
		dkim_close(conf->lib);
	conf->lib = NULL;
}

/* ---- the message ----------------------------------------------------------------------------------------- */

static enum sp_status
begin(const struct dkim_conf *conf, struct verify_tx *tx)
{
	static const unsigned char id[] = "-";
	DKIM_STAT st;

	tx->library = dkim_verify(conf->lib, id, NULL, &st);
	if (tx->library == NULL)
		return SP_SYSTEM;
	return dkim_set_user_context(tx->library, tx) == DKIM_STAT_OK ? SP_OK : SP_SYSTEM;
}

enum sp_status
library_field(const struct dkim_conf *conf, struct verify_tx *tx, struct sp_span field, struct verify_sig *sig)
{
	DKIM_STAT st;

	if (tx->library == NULL && begin(conf, tx) != SP_OK)
		return SP_SYSTEM;
	/* It copies the field and changes nothing in it, though its prototype does not say so. */
	st = dkim_header(tx->library, (u_char *)(uintptr_t)field.ptr, field.len);
	if (sig != NULL)
		sig->fed = st == DKIM_STAT_OK;
	if (sig != NULL && !sig->fed && sig->fault == NULL)
		sig->fault = "the signature is malformed";
	return st == DKIM_STAT_NORESOURCE ? SP_SYSTEM : SP_OK; /* a field that is none is not signed by anybody */
}

/* The library refuses what has expired, and we want to know whether it was right once; so it is told that clocks
 * may differ by as much as the oldest expiry needs, and ours says what has expired.  More than the time since the epoch of
 * the oldest signature is too much for its arithmetic: beyond that its own word holds. */
static void
set_drift(DKIM_LIB *lib, const struct verify_tx *tx)
{
	int64_t now = (int64_t)time(NULL), want = VERIFY_DRIFT, most = INT64_MAX;
	uint64_t drift;

	for (size_t i = 0; i < tx->count; i++) {
		const struct verify_sig *s = &tx->sigs[i];

		if (!sig_alive(s))
			continue;
		if (s->expires >= 0 && now - s->expires + VERIFY_DRIFT > want)
			want = now - s->expires + VERIFY_DRIFT;
		if (s->time >= 0 && s->time < most)
			most = s->time;
	}
	drift = (uint64_t)(want < most ? want : most);
	(void)dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_CLOCKDRIFT, &drift, sizeof(drift));
}

static void
fault_all(struct verify_tx *tx, const char *fault)
{
	for (size_t i = 0; i < tx->count; i++)
		if (tx->sigs[i].fault == NULL)
			tx->sigs[i].fault = fault;
}

void
library_eoh(const struct dkim_conf *conf, struct verify_tx *tx)
{
	DKIM_STAT st;

	set_drift(conf->lib, tx);
	st = dkim_eoh(tx->library);
	if (st == DKIM_STAT_SYNTAX)
		fault_all(tx, "From is missing or malformed");
	for (size_t i = 0; i < tx->count && st == DKIM_STAT_OK; i++) {
		struct verify_sig *s = &tx->sigs[i];

		if (!sig_alive(s) || s->handle == NULL || dkim_sig_geterror(s->handle) != DKIM_SIGERROR_UNKNOWN)
			continue;
		tx->feeding = true;
	}
}

void
library_body(struct verify_tx *tx, struct sp_span chunk)
{
	if (dkim_body(tx->library, (u_char *)(uintptr_t)chunk.ptr, chunk.len) != DKIM_STAT_OK)
		fault_all(tx, "the body could not be hashed");
}

void
library_eom(struct verify_tx *tx)
{
	bool testing;

	(void)dkim_eom(tx->library, &testing); /* what it returns is that of the first good signature only */
}

/* What went wrong with a signature that did not pass. */
static const char *
library_fault(DKIM_SIGINFO *sig, enum verdict *ret)
{
	DKIM_SIGERROR error = dkim_sig_geterror(sig);

	*ret = VERDICT_PERMERROR;
	switch (error) {
	case DKIM_SIGERROR_BADSIG:
		*ret = VERDICT_FAIL;
		return dkim_sig_getbh(sig) == DKIM_SIGBH_MISMATCH ? "the body was altered" : "the signature does not match";
	case DKIM_SIGERROR_EXPIRED: /* see set_drift() */
		return "the signature has expired";
	case DKIM_SIGERROR_UNKNOWN:
	case DKIM_SIGERROR_OK:
		return "the signature could not be verified";
	default:
		return dkim_sig_geterrorstr(error);
	}
}

bool
library_passed(const struct verify_sig *s, enum verdict *retverdict, const char **retreason)
{
	DKIM_SIGINFO *sig = s->handle;

	if (sig == NULL) {
		*retverdict = VERDICT_PERMERROR;
		*retreason = "the signature could not be verified";
		return false;
	}
	/* An unfit i= leaves its mark in the error only. */
	if ((dkim_sig_getflags(sig) & DKIM_SIGFLAG_PASSED) != 0 && dkim_sig_getbh(sig) == DKIM_SIGBH_MATCH &&
		dkim_sig_geterror(sig) == DKIM_SIGERROR_OK)
		return true;
	*retreason = library_fault(sig, retverdict);
	return false;
}

void
library_free(struct verify_tx *tx)
{
	if (tx->library != NULL)
		(void)dkim_free(tx->library);
	tx->library = NULL;
	tx->feeding = false;
}
