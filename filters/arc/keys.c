/*
 * keys.c - the keys of a chain, each asked for once and all at the same time.
 *
 * Names are the transaction's memory; keys are freed by arc_keys_fini().  RFC 8617 4.1.2 and 4.1.3: they are found as
 * those of DKIM are, RFC 6376 3.6.2.
 */
#include <stdio.h>
#include <string.h>

#include "arc/arc.h"
#include "mailauth/text.h"

enum { ASK_MAX = 32 /* names in one question of the host's */ };

struct sp_span
arc_keep(struct sp_ctx *ctx, struct sp_span s)
{
	char *copy = sp_alloc(ctx, s.len + 1);

	if (copy == NULL)
		return (struct sp_span){ NULL, 0 };
	memcpy(copy, s.ptr, s.len);
	return (struct sp_span){ copy, s.len };
}

/* "selector._domainkey.domain", folded; SP_INVALID: no name that could be asked for. */
static enum sp_status
key_name(struct sp_span selector, struct sp_span domain, char memory[static DOMAIN_MAX + 1], struct sp_span *ret)
{
	char text[DOMAIN_MAX + 1];
	int len = snprintf(text, sizeof(text), "%.*s._domainkey.%.*s", (int)selector.len, selector.ptr, (int)domain.len,
		domain.ptr);

	if (len < 0 || (size_t)len >= sizeof(text))
		return SP_INVALID;
	return domain_fold((struct sp_span){ text, (size_t)len }, memory, ret);
}

struct arc_key *
arc_key_find(const struct arc_keys *keys, struct sp_span selector, struct sp_span domain)
{
	char memory[DOMAIN_MAX + 1];
	struct sp_span name;

	if (selector.len > DOMAIN_MAX || key_name(selector, domain, memory, &name) != SP_OK)
		return NULL;
	for (size_t i = 0; i < keys->count; i++)
		if (text_is(keys->items[i].name, name))
			return &keys->items[i];
	return NULL;
}

enum sp_status
arc_key_note(struct sp_ctx *ctx, struct arc_keys *keys, struct sp_span selector, struct sp_span domain)
{
	char memory[DOMAIN_MAX + 1];
	struct sp_span name;

	if (keys->items == NULL)
		keys->items = sp_alloc(ctx, ARC_KEYS_MAX * sizeof(*keys->items));
	if (keys->items == NULL)
		return SP_LIMIT;
	if (selector.len > DOMAIN_MAX || key_name(selector, domain, memory, &name) != SP_OK ||
		arc_key_find(keys, selector, domain) != NULL || keys->count == ARC_KEYS_MAX)
		return SP_OK;
	name = arc_keep(ctx, name);
	if (name.ptr == NULL)
		return SP_LIMIT;
	keys->items[keys->count++] = (struct arc_key){ .name = name, .found = ARC_KEY_NONE };
	return SP_OK;
}

/* One that may be used here, too: a chain may ask for 72 verifications. */
static bool
is_usable(const struct key *k)
{
	return k->email && k->sha256 && (k->type != KEY_RSA || k->bits <= ARC_KEY_BITS_MAX);
}

/* Of several records the first that is a key. */
static void
key_take(struct arc_key *k, const struct sp_texts *texts)
{
	if (texts->status != SP_OK) {
		k->found = texts->status == SP_NONE || texts->status == SP_INVALID ? ARC_KEY_NONE : ARC_KEY_LATER;
		return;
	}
	for (size_t i = 0; i < texts->names.count && k->found != ARC_KEY_FOUND; i++) {
		key_fini(&k->key);
		if (key_parse(texts->names.items[i], &k->key) == KEY_OK && is_usable(&k->key))
			k->found = ARC_KEY_FOUND;
	}
}

enum sp_status
arc_keys_ask(struct sp_ctx *ctx, struct arc_keys *keys)
{
	struct sp_span names[ASK_MAX];
	struct sp_texts texts[ASK_MAX];

	for (size_t at = 0; at < keys->count; at += ASK_MAX) {
		size_t count = keys->count - at < ASK_MAX ? keys->count - at : ASK_MAX;
		enum sp_status st;

		for (size_t i = 0; i < count; i++)
			names[i] = keys->items[at + i].name;
		memset(texts, 0, sizeof(texts));
		st = sp_dns_texts(ctx, names, count, texts);
		if (st == SP_CANCELED)
			return st;
		for (size_t i = 0; i < count; i++) {
			if (st != SP_OK)
				texts[i].status = st;
			key_take(&keys->items[at + i], &texts[i]);
		}
	}
	return SP_OK;
}

void
arc_keys_fini(struct arc_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		key_fini(&keys->items[i].key);
	keys->count = 0;
}
