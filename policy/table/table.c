/*
 * table.c - building a table and finding a text in it; see table.h.
 *
 * The hash is open addressing with linear probing at a load of at most two thirds.  It reads a key
 * from its last byte to its first, so that one pass over a domain name yields the hashes of all
 * its parents too.  It starts from a number drawn once per process: keys come from the postmaster
 * and only look-ups from senders, so nothing stronger is called for.
 *
 * Keys and texts lie in the table's own arena; entries, values and slots are plain arrays.
 */
#include "policy/table/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "policy/kit/idna.h"
#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "policy/kit/utf8.h"
#include "policy/table/table_priv.h"

#define POOL_SIZE 65536

enum { KEY_SCRATCH = TABLE_KEY_MAX + DOMAIN_OCTETS };

static const struct sp_value yes = { SP_BOOL, { .boolean = true } };

/* ---- the hash ------------------------------------------------------------------------------ */

static uint64_t
hash_seed(void)
{
	static uint64_t seed;

	while (seed == 0)
		if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
			seed = (uint64_t)(uintptr_t)&seed | 1; /* early boot: the address has to do */
	return seed;
}

static inline uint64_t
hash_step(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline uint32_t
hash_end(uint64_t h)
{
	h ^= h >> 29;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	return (uint32_t)(h >> 32);
}

static uint32_t
hash_of(struct sp_span key)
{
	uint64_t h = hash_seed();

	for (size_t i = key.len; i > 0; i--)
		h = hash_step(h, key.ptr[i - 1]);
	return hash_end(h);
}

static bool
key_is(const struct entry *e, struct sp_span key, bool fold)
{
	if (e->len != key.len)
		return false;
	return fold ? span_ieq(span_of(e->key, e->len), key) : span_eq(span_of(e->key, e->len), key);
}

static uint32_t
slot_find(const struct table *t, uint32_t hash, struct sp_span key, bool fold)
{
	size_t mask = t->slot_count - 1;

	if (t->slot_count == 0)
		return TABLE_NO_ENTRY;
	for (size_t i = hash & mask; t->slots[i].entry != 0; i = (i + 1) & mask)
		if (t->slots[i].hash == hash && key_is(&t->entries[t->slots[i].entry - 1], key, fold))
			return t->slots[i].entry - 1;
	return TABLE_NO_ENTRY;
}

static void
slot_put(struct table *t, uint32_t entry)
{
	size_t mask = t->slot_count - 1;
	size_t i = t->entries[entry].hash & mask;

	while (t->slots[i].entry != 0)
		i = (i + 1) & mask;
	t->slots[i] = (struct slot){ t->entries[entry].hash, entry + 1 };
}

static enum sp_status
slots_grow(struct table *t)
{
	size_t count = t->slot_count == 0 ? 16 : t->slot_count * 2;
	struct slot *slots = calloc(count, sizeof(*slots));

	if (slots == NULL)
		return SP_SYSTEM;
	free(t->slots);
	t->slots = slots;
	t->slot_count = count;
	for (size_t i = 0; i < t->count; i++)
		slot_put(t, (uint32_t)i);
	return SP_OK;
}

static enum sp_status
entries_grow(struct table *t)
{
	size_t room = t->room == 0 ? 8 : t->room * 2;
	struct entry *entries = reallocarray(t->entries, room, sizeof(*entries));
	struct sp_value *values;

	if (entries == NULL)
		return SP_SYSTEM;
	t->entries = entries;
	if (t->value != SP_END) {
		values = reallocarray(t->values, room, sizeof(*values));
		if (values == NULL)
			return SP_SYSTEM;
		t->values = values;
	}
	t->room = room;
	return SP_OK;
}

/* ---- keys ---------------------------------------------------------------------------------- */

static bool
is_label_byte(char c)
{
	return span_is_alpha(c) || span_is_digit(c) || c == '-' || c == '_' || (unsigned char)c >= 0x80;
}

/* name: without a leading or trailing dot. RFC 1035 section 2.3.4 for the lengths. */
static const char *
domain_fault(struct sp_span name)
{
	if (name.len == 0)
		return "a domain is missing";
	if (name.len > 253)
		return "a domain has at most 253 characters";
	while (name.len > 0) {
		size_t dot = span_find(name, '.');

		if (dot == 0)
			return "two dots in a row in a domain";
		if (dot > 63)
			return "a part of a domain has at most 63 characters";
		for (size_t i = 0; i < dot; i++)
			if (!is_label_byte(name.ptr[i]))
				return "not a domain: letters, digits, '-', '_' and dots only";
		name = span_from(name, dot + 1);
	}
	return NULL;
}

static struct sp_span
without_last_dot(struct sp_span name)
{
	return name.len > 1 && name.ptr[name.len - 1] == '.' ? span_head(name, name.len - 1) : name;
}

/* A name beyond ASCII is kept as A-labels, which is how such names are looked up. */
static const char *
international(struct sp_span *name, char *to)
{
	if (!utf8_is_ascii(*name) && idna_fold(*name, to, name) != SP_OK)
		return "not a domain name in any language (RFC 5891)";
	return NULL;
}

/* The same for what stands behind the octet at. */
static const char *
international_part(struct sp_span *key, size_t at, char scratch[static KEY_SCRATCH])
{
	struct sp_span domain = span_from(*key, at + 1);
	const char *wrong;

	if (at >= TABLE_KEY_MAX || utf8_is_ascii(domain))
		return NULL;
	wrong = international(&domain, scratch + at + 1);
	if (wrong == NULL) {
		memcpy(scratch, key->ptr, at + 1);
		*key = span_of(scratch, at + 1 + domain.len);
	}
	return wrong;
}

static const char *
domain_key(struct sp_span *key, char scratch[static KEY_SCRATCH])
{
	const char *wrong = international(key, scratch);

	if (wrong != NULL)
		return wrong;
	*key = without_last_dot(*key);
	if (span_eq(*key, SPAN_LIT("*")))
		return NULL;
	if (span_starts(*key, SPAN_LIT("*.")))
		return "write .example.com for all names below example.com";
	return domain_fault(span_starts(*key, SPAN_LIT(".")) ? span_from(*key, 1) : *key);
}

static const char *
address_key(struct sp_span *key, char scratch[static KEY_SCRATCH])
{
	const char *wrong;
	size_t at;

	if (span_eq(*key, SPAN_LIT("<>"))) { /* the null sender is the empty address */
		*key = span_of("", 0);
		return NULL;
	}
	at = span_rfind(*key, '@');
	if (at == key->len)
		return "not an address: write a@example.com, or @example.com for all of a domain";
	wrong = international_part(key, at, scratch);
	if (wrong != NULL)
		return wrong;
	*key = without_last_dot(*key);
	return domain_fault(span_from(*key, at + 1));
}

static const char *
net_key(struct sp_span *key, char bytes[static NET_KEY_SIZE])
{
	struct sp_net net;
	struct sp_ip ip;
	uint64_t bits;
	size_t slash = span_find(*key, '/');

	if (span_to_net(*key, &net) == SP_OK) {
		nets_key(&net, bytes);
		*key = span_of(bytes, NET_KEY_SIZE);
		return NULL;
	}
	if (span_to_ip(span_head(*key, slash), &ip) != SP_OK)
		return "not an IPv4 or IPv6 address or net";
	if (span_to_u64(span_from(*key, slash + 1), ip.family == 4 ? 32 : 128, &bits) != SP_OK)
		return "the length of a net is a number from 0 to 32, for IPv6 to 128";
	return "the address has bits set that the net's length leaves out";
}

/* Brings key into the form in which it is kept, all but its case. */
static const char *
key_check(const struct table *t, struct sp_span *key, char scratch[static KEY_SCRATCH])
{
	if (key->len > TABLE_KEY_MAX)
		return "a key has at most 1024 bytes";
	switch (t->key) {
	case SP_NET:
		return net_key(key, scratch);
	case SP_DOMAIN:
		return domain_key(key, scratch);
	case SP_ADDRESS:
		return address_key(key, scratch);
	default:
		return NULL;
	}
}

/* Many short keys: cut from pieces, since the arena rounds each allocation up. */
static char *
key_room(struct table *t, size_t len)
{
	char *key;

	if (t->pool == NULL || t->pool_left < len) {
		t->pool = arena_alloc(t->arena, POOL_SIZE);
		t->pool_left = POOL_SIZE;
	}
	if (t->pool == NULL)
		return NULL;
	key = t->pool;
	t->pool += len;
	t->pool_left -= len;
	return key;
}

static char *
key_copy(struct table *t, struct sp_span key)
{
	char *copy = key_room(t, key.len);
	bool fold = t->key == SP_DOMAIN || t->key == SP_ADDRESS;

	for (size_t i = 0; copy != NULL && i < key.len; i++)
		copy[i] = fold ? span_lower(key.ptr[i]) : key.ptr[i];
	return copy;
}

/* ---- values -------------------------------------------------------------------------------- */

static bool
value_is_text(enum sp_type type)
{
	return type == SP_STRING || type == SP_DOMAIN || type == SP_ADDRESS;
}

static bool
value_same(const struct sp_value *a, const struct sp_value *b)
{
	switch (a->type) {
	case SP_BOOL:
		return a->u.boolean == b->u.boolean;
	case SP_SCORE:
		return !(a->u.real < b->u.real) && !(a->u.real > b->u.real);
	case SP_STRING:
	case SP_DOMAIN:
	case SP_ADDRESS:
		return span_eq(a->u.text, b->u.text);
	case SP_IP:
		return ip_eq(&a->u.ip, &b->u.ip);
	case SP_NET:
		return a->u.net.bits == b->u.net.bits && ip_eq(&a->u.net.ip, &b->u.net.ip);
	case SP_RATE:
		return a->u.rate.count == b->u.rate.count && a->u.rate.period_ms == b->u.rate.period_ms &&
			a->u.rate.burst == b->u.rate.burst;
	default:
		return a->u.integer == b->u.integer;
	}
}

static bool
value_copy(struct table *t, const struct sp_value *value, struct sp_value *to)
{
	*to = *value;
	if (value_is_text(value->type)) {
		to->u.text = arena_copy(t->arena, value->u.text);
		return to->u.text.ptr != NULL;
	}
	return true;
}

/* ---- building ------------------------------------------------------------------------------ */

struct table *
table_new(enum sp_type key, enum sp_type value)
{
	struct table *t = calloc(1, sizeof(*t));

	MUST(key == SP_NET || key == SP_DOMAIN || key == SP_ADDRESS || key == SP_STRING);
	if (t == NULL)
		return NULL;
	t->key = key;
	t->value = value;
	t->arena = arena_new(POOL_SIZE, SIZE_MAX / 2);
	if (t->arena == NULL) {
		free(t);
		return NULL;
	}
	return t;
}

void
table_free(struct table **t)
{
	if (*t == NULL)
		return;
	nets_fini(*t);
	free((*t)->slots);
	free((*t)->entries);
	free((*t)->values);
	arena_free(&(*t)->arena);
	free(*t);
	*t = NULL;
}

/* key: checked, not there yet. */
static enum sp_status
entry_new(struct table *t, struct sp_span key, uint32_t hash, const struct sp_value *value)
{
	char *copy;

	if (t->count == t->room && entries_grow(t) != SP_OK)
		return SP_SYSTEM;
	if ((t->count + 1) * 3 > t->slot_count * 2 && slots_grow(t) != SP_OK)
		return SP_SYSTEM;
	copy = key_copy(t, key);
	if (copy == NULL || (t->value != SP_END && !value_copy(t, value, &t->values[t->count])))
		return SP_SYSTEM;
	t->entries[t->count] = (struct entry){ copy, (uint32_t)key.len, hash };
	slot_put(t, (uint32_t)t->count++);
	return SP_OK;
}

static uint32_t
key_hash(const struct table *t, struct sp_span key)
{
	uint64_t h = hash_seed();

	if (t->key != SP_DOMAIN && t->key != SP_ADDRESS)
		return hash_of(key);
	for (size_t i = key.len; i > 0; i--)
		h = hash_step(h, span_lower(key.ptr[i - 1]));
	return hash_end(h);
}

enum sp_status
table_insert(struct table *t, struct sp_span key, const struct sp_value *value, const char **reterr,
	bool *ret_dup)
{
	char scratch[KEY_SCRATCH];
	uint32_t hash, old;

	MUST(!t->closed);
	MUST(t->value == SP_END || (value != NULL && value->type == t->value));
	*ret_dup = false;
	*reterr = key_check(t, &key, scratch);
	if (*reterr != NULL)
		return SP_INVALID;
	hash = key_hash(t, key);
	old = slot_find(t, hash, key, t->key != SP_STRING && t->key != SP_NET);
	if (old != TABLE_NO_ENTRY) {
		*ret_dup = t->value != SP_END && !value_same(&t->values[old], value);
		return SP_OK;
	}
	*reterr = "a table has at most 67108864 entries";
	if (t->count == TABLE_ENTRIES_MAX)
		return SP_LIMIT;
	*reterr = "out of memory";
	return entry_new(t, key, hash, value);
}

enum sp_status
table_add(struct table *t, struct sp_span key, const struct sp_value *value, const char **reterr)
{
	bool dup;
	enum sp_status st = table_insert(t, key, value, reterr, &dup);

	if (st == SP_OK && dup && t->dup.ptr == NULL)
		t->dup = arena_copy(t->arena, key);
	return st;
}

enum sp_status
table_close(struct table *t, struct sp_span *ret_dup)
{
	if (t->dup.ptr != NULL) {
		*ret_dup = t->dup;
		return SP_INVALID;
	}
	if (!t->closed && t->key == SP_NET) {
		enum sp_status st = nets_build(t);

		if (st != SP_OK)
			return st;
		free(t->slots);
		t->slots = NULL;
		t->slot_count = 0;
	}
	t->closed = true;
	return SP_OK;
}

size_t
table_count(const struct table *t)
{
	return t->count;
}

enum sp_type
table_key_type(const struct table *t)
{
	return t->key;
}

enum sp_type
table_value_type(const struct table *t)
{
	return t->value;
}

/* ---- finding ------------------------------------------------------------------------------- */

/* From the shortest suffix to the whole name; the last hit is the most exact. */
static uint32_t
domain_find(const struct table *t, struct sp_span name)
{
	uint64_t h = hash_seed();
	uint32_t found, hit;

	name = without_last_dot(name);
	if (name.len == 0)
		return TABLE_NO_ENTRY;
	found = slot_find(t, hash_of(SPAN_LIT("*")), SPAN_LIT("*"), false);
	if (name.len > 253)
		return found;
	for (size_t i = name.len; i > 0; i--) {
		h = hash_step(h, span_lower(name.ptr[i - 1]));
		if (name.ptr[i - 1] != '.' && i > 1)
			continue;
		hit = slot_find(t, hash_end(h), span_from(name, i - 1), true);
		if (hit != TABLE_NO_ENTRY && (i == 1) == (t->entries[hit].key[0] != '.'))
			found = hit;
	}
	return found;
}

static uint32_t
address_find(const struct table *t, struct sp_span address)
{
	size_t at;
	uint32_t hit;

	address = without_last_dot(address);
	if (address.len > TABLE_KEY_MAX)
		return TABLE_NO_ENTRY;
	hit = slot_find(t, key_hash(t, address), address, true);
	at = span_rfind(address, '@');
	if (hit != TABLE_NO_ENTRY || at == address.len)
		return hit;
	address = span_from(address, at);
	return slot_find(t, key_hash(t, address), address, true);
}

/* What is no name in any language is looked for as it stands, and not found. */
static uint32_t
text_find(const struct table *t, struct sp_span key)
{
	char scratch[KEY_SCRATCH];

	switch (t->key) {
	case SP_DOMAIN:
		(void)international(&key, scratch);
		return domain_find(t, key);
	case SP_ADDRESS:
		(void)international_part(&key, span_rfind(key, '@'), scratch);
		return address_find(t, key);
	default:
		return slot_find(t, hash_of(key), key, false);
	}
}

const struct sp_value *
table_find(const struct table *t, const struct sp_value *key)
{
	uint32_t hit = TABLE_NO_ENTRY;

	MUST(t->closed);
	if (t->key == SP_NET && key->type == SP_IP)
		hit = nets_find(t, &key->u.ip, key->u.ip.family == 4 ? 32 : 128);
	else if (t->key == SP_NET && key->type == SP_NET)
		hit = nets_find(t, &key->u.net.ip, key->u.net.bits);
	else if (t->key != SP_NET && value_is_text(key->type))
		hit = text_find(t, key->u.text);
	if (hit == TABLE_NO_ENTRY)
		return NULL;
	return t->value == SP_END ? &yes : &t->values[hit];
}
