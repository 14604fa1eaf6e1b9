/*
 * prefilter.c - a hashed filter over four octets at a time, then a comparison.
 *
 * Of each literal the four octets that look rarest are its mark.  A bitmap of 65,536 bits (it stays
 * in the first-level cache) says for the hash of each four octets of the text whether any literal
 * could be here; only then is a table looked up and the literal compared.  Octets are folded by
 * setting bit 0x20: that makes letters lower case, and confuses some others, which the comparison
 * sorts out.  The filter owns its memory and is not changed once closed.
 */
#include "prefilter.h"

#include <stdlib.h>
#include <string.h>

enum { BITMAP_BITS = 1 << 16 };
#define NONE UINT32_MAX

struct entry {
	uint32_t next; /* in the chain of its hash */
	uint32_t owner;
	uint32_t gram;
	uint8_t at; /* of the mark in the literal */
	struct literal literal;
};

struct prefilter {
	uint8_t bitmap[BITMAP_BITS / 8];
	struct entry *entries;
	size_t count, room;
	uint32_t *heads;
	uint32_t mask;
};

/* Four octets, folded, in the order of this machine. */
static inline uint32_t
gram_at(const char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return x | UINT32_C(0x20202020);
}

static inline uint32_t
gram_hash(uint32_t gram)
{
	return gram * UINT32_C(0x9e3779b1) >> 16;
}

static inline char
fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* How often an octet is met in mail, very roughly. */
static int
octet_weight(char c)
{
	static const char common[] = "etaoinsrhl dcu=\r\n-<>/\"";
	const char *p = c != '\0' ? strchr(common, c) : NULL;

	if (p != NULL)
		return p - common < 10 ? 4 : 3;
	return c >= 'a' && c <= 'z' ? 2 : 1;
}

static uint8_t
mark_choose(const struct literal *l)
{
	int best = 1000;
	uint8_t at = 0;

	for (uint8_t i = 0; i + 4 <= l->len; i++) {
		int weight = 0;

		for (int j = 0; j < 4; j++)
			weight += octet_weight(l->text[i + j]);
		if (weight < best) {
			best = weight;
			at = i;
		}
	}
	return at;
}

struct prefilter *
prefilter_new(void)
{
	return calloc(1, sizeof(struct prefilter));
}

void
prefilter_free(struct prefilter **f)
{
	if (*f == NULL)
		return;
	free((*f)->entries);
	free((*f)->heads);
	free(*f);
	*f = NULL;
}

bool
prefilter_add(struct prefilter *f, const struct literal *l, uint32_t owner)
{
	struct entry *e;

	if (f->count == f->room) {
		size_t room = f->room > 0 ? f->room * 2 : 64;

		e = realloc(f->entries, room * sizeof(*e));
		if (e == NULL)
			return false;
		f->entries = e;
		f->room = room;
	}
	e = &f->entries[f->count++];
	*e = (struct entry){ .owner = owner, .literal = *l, .at = mark_choose(l) };
	e->gram = gram_at(l->text + e->at);
	return true;
}

bool
prefilter_close(struct prefilter *f)
{
	size_t heads = 64;

	while (heads < f->count * 2)
		heads *= 2;
	f->heads = malloc(heads * sizeof(*f->heads));
	if (f->heads == NULL)
		return false;
	f->mask = (uint32_t)(heads - 1);
	memset(f->heads, 0xff, heads * sizeof(*f->heads));
	for (size_t i = 0; i < f->count; i++) {
		uint32_t hash = gram_hash(f->entries[i].gram);

		f->bitmap[hash >> 3] = (uint8_t)(f->bitmap[hash >> 3] | 1u << (hash & 7));
		f->entries[i].next = f->heads[hash & f->mask];
		f->heads[hash & f->mask] = (uint32_t)i;
	}
	return true;
}

static bool
literal_here(const struct literal *l, const char *p)
{
	for (uint8_t i = 0; i < l->len; i++)
		if (fold(p[i]) != l->text[i])
			return false;
	return true;
}

/* Compares the literals whose mark may be at text.ptr + at. */
static void
look_closer(const struct prefilter *f, struct sp_span text, size_t at, uint8_t *found)
{
	uint32_t gram = gram_at(text.ptr + at);

	for (uint32_t i = f->heads[gram_hash(gram) & f->mask]; i != NONE; i = f->entries[i].next) {
		const struct entry *e = &f->entries[i];

		if (e->gram == gram && !found[e->owner] && at >= e->at &&
			text.len - (at - e->at) >= e->literal.len &&
			literal_here(&e->literal, text.ptr + (at - e->at)))
			found[e->owner] = 1;
	}
}

void
prefilter_run(const struct prefilter *f, struct sp_span text, uint8_t *found)
{
	const uint8_t *bitmap = f->bitmap;

	if (f->count == 0)
		return;
	for (size_t at = 0; at + 4 <= text.len; at++) {
		uint32_t hash = gram_hash(gram_at(text.ptr + at));

		if (bitmap[hash >> 3] >> (hash & 7) & 1)
			look_closer(f, text, at, found);
	}
}
