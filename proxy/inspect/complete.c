/*
 * complete.c - fields that a message of one of our own users lacks, and that are put into it (RFC 6409 section 8).
 *
 * That is a setting's doing and no rule's, so it is done in shadow mode, too.  The texts are the transaction's arena's.
 */
#include "policy/kit/span.h"
#include "proxy/inspect/inspect_priv.h"

bool
inspect_field(struct inspect *i, struct sp_span name, size_t index, struct sp_span *ret)
{
	const struct header_field *f = i->tx == NULL ? NULL : header_find(&i->tx->header, name, 0);

	while (f != NULL && index-- > 0)
		f = header_find(&i->tx->header, name, (size_t)(f - i->tx->header.fields) + 1);
	if (f != NULL)
		*ret = header_unfold(i->tx->arena, f->value);
	return f != NULL;
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
