/*
 * rewrite.c - an SPF record as libspf2 gets it: of our own making (see check_priv.h; RFC 7208 sections 4.6 and 5 to 6.1).
 *
 * What is known without the DNS is decided here: networks that hold the client become "all", others nothing, as does
 * all behind an "all".  Each term that asks the DNS becomes one whose domain is its number, "~exists:7.t" or
 * "include:8.t"; term.c and check.c know what it stands for.  So libspf2 never sees a macro, an address, a prefix
 * length or any other text of a sender, and its records stay below the 511 octets, compiled, from which on it drops
 * mechanisms in silence (64 networks are enough for that).
 */
#include "spf/check_priv.h"

/* Notes the term under the next number. */
static size_t
entry_add(struct check *c, const struct term *t, size_t frame)
{
	c->entries[c->entry_count] = (struct entry){ *t, frame };
	return c->entry_count++;
}

/* The words of libspf2 for a term; null: none is needed. */
static const char *
word_of(const struct check *c, const struct term *t)
{
	switch (t->kind) {
	case TERM_ALL:
		return "all";
	case TERM_IP4:
	case TERM_IP6:
		return term_ip_within(&c->in->client, &t->net.ip, t->net.bits) ? "all" : NULL;
	case TERM_INCLUDE:
		return "include";
	case TERM_A:
	case TERM_MX:
	case TERM_PTR:
	case TERM_EXISTS:
		return "exists";
	default:
		return NULL;
	}
}

size_t
rewrite_record(struct check *c, size_t frame, struct sp_span record, struct writer *w)
{
	struct term t, redirect = { .kind = TERM_UNKNOWN };
	size_t count = 0, asking = 0;
	bool decided = false;
	struct record r;

	writer_add(w, TEXT("v=spf1"));
	for (record_init(&r, record); record_next(&r, &t) == SP_OK;) {
		const char *word = decided ? NULL : word_of(c, &t);

		if (t.kind == TERM_REDIRECT)
			redirect = t;
		if (t.kind == TERM_EXP)
			c->frames[frame].exp = t.domain;
		if (word == NULL)
			continue;
		count++;
		decided = t.kind == TERM_ALL || t.kind == TERM_IP4 || t.kind == TERM_IP6;
		if (decided) {
			writer_printf(w, " %call", t.qualifier);
			continue;
		}
		writer_printf(w, " %c%s:%zu.t", t.qualifier, word, entry_add(c, &t, frame));
		decided = ++asking > CHECK_TERMS_MAX; /* this one ends the check if nothing before it does */
	}
	if (!decided && redirect.kind == TERM_REDIRECT) {
		writer_printf(w, " redirect=%zu.t", entry_add(c, &redirect, frame));
		count++;
	}
	return count;
}

const struct entry *
rewrite_entry(const struct check *c, struct sp_span name)
{
	size_t dot = text_find(name, '.');
	uint64_t number;

	if (!text_is(text_from(name, dot), TEXT(".t")) || text_number(text_head(name, dot), CHECK_ENTRIES_MAX, &number) != SP_OK)
		return NULL;
	return number < c->entry_count ? &c->entries[number] : NULL;
}
