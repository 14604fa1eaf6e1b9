/*
 * sign.c - signing what goes out (see dkim.h): RFC 6376 5, RFC 8463.
 *
 * Runs as the last hook of a message, over what the backend will be given: so it reads the body once more, one hash for
 * all keys, piece by piece.  Memory is the transaction's.
 */
#include "dkim/dkim.h"

#include <time.h>

#include "mailauth/mailbox.h"
#include "mailauth/signature.h"
#include "mailauth/text.h"

enum { NAMES_OCTETS = 8192, FIELD_OCTETS = 16384 };

enum sp_status
sign_load(struct sp_load *load, const struct sp_host *host, struct dkim_conf *conf)
{
	conf->table = keytable_load(load, host, conf->keys);
	return conf->table != NULL ? SP_OK : SP_INVALID;
}

void
sign_unload(struct dkim_conf *conf)
{
	keytable_free(&conf->table);
}

static enum sp_status
field_get(void *arg, size_t index, struct sp_header *ret)
{
	return sp_header_get(arg, index, ret);
}

/* ---- whose mail it is -------------------------------------------------------------------------------------- */

static const char *
from_fault(enum mailbox_count count)
{
	switch (count) {
	case MAILBOX_NONE:
		return "From names nobody";
	case MAILBOX_SEVERAL:
		return "From names several";
	case MAILBOX_INVALID:
		return "From cannot be parsed";
	case MAILBOX_ONE:
		break;
	}
	return NULL;
}

/* The domain of the one From mailbox; *ret_fault says why there is none. */
static enum sp_status
from_domain(struct sp_ctx *ctx, char memory[static DOMAIN_MAX + 1], struct sp_span *ret, const char **ret_fault)
{
	enum sp_status st = SP_OK;
	size_t count = 0;
	struct sp_header h;

	*ret_fault = NULL;
	for (size_t i = 0; st == SP_OK; i++) {
		st = sp_header_get(ctx, i, &h);
		if (st != SP_OK || !text_same(text_trim(h.name), TEXT("From")))
			continue;
		count++;
		*ret_fault = from_fault(mailbox_domain(h.value, memory, ret));
	}
	if (count != 1)
		*ret_fault = count == 0 ? "there is no From" : "there are several From fields";
	return st == SP_NONE ? SP_OK : st;
}

/* ---- signing ----------------------------------------------------------------------------------------------- */

static enum sp_status
sign_each(struct sp_ctx *ctx, struct signing *s, const struct signature_fields *fields, struct sp_span from)
{
	char *memory = sp_alloc(ctx, FIELD_OCTETS);
	enum sp_status st = memory != NULL ? SP_OK : SP_SYSTEM;

	for (; s->key != NULL && st == SP_OK; s->key = s->key->next) {
		struct sp_span value;

		s->domain = text_is(s->key->domain, TEXT("*")) ? from : s->key->domain;
		st = signing_make(s, fields, memory, FIELD_OCTETS, &value);
		if (st == SP_OK)
			st = ctx->host->header_insert(ctx, 0, s->field, value);
	}
	return st;
}

static enum sp_status
sign_message(struct sp_ctx *ctx, const struct keytable_key *key, struct sp_span from)
{
	const struct dkim_conf *conf = ctx->conf;
	struct signature_fields fields = { field_get, ctx };
	char *names = sp_alloc(ctx, NAMES_OCTETS);
	unsigned char hash[EVP_MAX_MD_SIZE];
	struct signing s = { .key = key,
		.header = (enum canon)conf->header,
		.body = (enum canon)conf->body,
		.body_hash = hash,
		.time = (int64_t)time(NULL),
		.expires = -1,
		.kind = SIGNATURE_DKIM,
		.field = "DKIM-Signature" };
	enum sp_status st;

	if (names == NULL)
		return SP_SYSTEM;
	if (conf->lifetime > 0)
		s.expires = s.time + (conf->lifetime + 999) / 1000;
	st = signing_names(&fields, NULL, names, NAMES_OCTETS, &s.names);
	if (st == SP_LIMIT) {
		sp_log(ctx, SP_LOG_WARNING, "not signed: there are too many fields to sign");
		return SP_OK;
	}
	if (st == SP_OK)
		st = signing_body_hash(ctx, s.body, hash);
	if (st == SP_OK)
		st = sign_each(ctx, &s, &fields, from);
	if (st != SP_OK)
		sp_log(ctx, SP_LOG_ERROR, "signing failed");
	return st;
}

enum sp_status
sign_final(struct sp_ctx *ctx, const struct sp_final *ev)
{
	const struct dkim_conf *conf = ctx->conf;
	const struct keytable_key *key;
	char memory[DOMAIN_MAX + 1];
	struct sp_span from;
	const char *fault;
	enum sp_status st = from_domain(ctx, memory, &from, &fault);

	(void)ev;
	if (st != SP_OK)
		return st;
	if (fault != NULL) {
		sp_log(ctx, SP_LOG_WARNING, "not signed: %s", fault);
		return SP_OK;
	}
	key = keytable_find(conf->table, from);
	if (key == NULL) {
		sp_log(ctx, SP_LOG_INFO, "not signed: there is no key for %.*s", (int)from.len, from.ptr);
		return SP_OK;
	}
	return sign_message(ctx, key, from);
}
