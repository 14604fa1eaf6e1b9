/*
 * complete.c - fields that a message of one of our own users lacks, and that are put into it (RFC 6409 section 8).
 *
 * That is a setting's doing and no rule's, so it is done in shadow mode, too.  What filters have put in is there, and what they
 * have removed is not.  The texts are the transaction's arena's.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

/* The field as it goes on; null: it does not. */
static const struct header_field *
goes_on(const struct inspect *i, const struct draft_node *n)
{
	return !i->client.shadow ? draft_field(n) : n->forged ? NULL : n->came;
}

bool
inspect_field(struct inspect *i, struct sp_span name, size_t index, struct sp_span *ret)
{
	const struct draft *d = i->tx == NULL ? NULL : draft_of(i);

	*ret = span_of(NULL, 0);
	for (const struct draft_node *n = d == NULL ? NULL : d->first; n != NULL; n = n->next) {
		const struct header_field *f = goes_on(i, n);

		if (f == NULL || !span_ieq(f->name, name) || index-- > 0)
			continue;
		*ret = header_unfold(i->tx->arena, f->value);
		return true;
	}
	return i->tx != NULL && d == NULL;
}

enum sp_status
inspect_complete(struct inspect *i, struct sp_span name, struct sp_span value)
{
	struct transaction *tx = i->tx;
	struct completion *c = tx == NULL ? NULL : arena_alloc(tx->arena, sizeof(*c));

	if (c == NULL)
		return SP_SYSTEM;
	*c = (struct completion){ .next = tx->completions, .name = arena_copy(tx->arena, name), .value = arena_copy(tx->arena, value) };
	if (c->name.ptr == NULL || c->value.ptr == NULL)
		return SP_SYSTEM;
	tx->completions = c;
	return header_may_write(c->name, c->value) ? SP_OK : SP_INVALID;
}
