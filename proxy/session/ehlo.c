/*
 * ehlo.c - the reply to EHLO: what is offered to this client now (RFC 5321 4.1.1.1).
 *
 * An extension is offered if our parser, the filters and the backend can bear it, each extension by a row of one
 * table; the listener's "withhold" takes any of them away.  What a client was offered stays its offer until it asks
 * again: if the backend loses an extension in between, the one mail that needs it gets a 451 (CASES F16).
 */
#include "proxy/session/session_priv.h"

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"

enum { OFFER_WAIT_MS = 10000, REPLY_MAX = 4096 };

struct offer_row {
	enum extension extension;
	/* null: the backend's offer is all that it takes */
	bool (*may)(const struct session *s, const struct relay_offer *backend);
	/* what follows the keyword, with its blank; null: nothing */
	void (*words)(const struct session *s, const struct relay_offer *backend, struct buf *to);
};

/* It lies with us alone. */
static bool
may_always(const struct session *s, const struct relay_offer *backend)
{
	(void)s;
	(void)backend;
	return true;
}

/* The smaller of both (RFC 1870). */
static void
words_size(const struct session *s, const struct relay_offer *backend, struct buf *to)
{
	int64_t own = s->config->limits.message_size;
	bool smaller = backend->known && backend->size_max > 0 && backend->size_max < own;

	buf_printf(to, " %lld", (long long)(smaller ? backend->size_max : own));
}

static bool
may_starttls(const struct session *s, const struct relay_offer *backend)
{
	(void)backend;
	return s->config->tls != NULL && !session_encrypted(s);
}

static const struct offer_row rows[] = {
	{ EXT_PIPELINING, may_always, NULL },
	{ EXT_SIZE, may_always, words_size },
	{ EXT_8BITMIME, NULL, NULL },
	{ EXT_STARTTLS, may_starttls, NULL },
	{ EXT_ENHANCED, may_always, NULL },
	{ EXT_AUTH, session_auth_may, session_auth_words },
	{ EXT_XCLIENT, may_xclient, words_xclient },
	{ EXT_CHUNKING, may_always, NULL }, /* for a backend without it, it is turned into DATA */
};

static bool
row_stands(const struct offer_row *row, const struct session *s, const struct relay_offer *backend)
{
	if ((s->config->withhold & EXT_BIT(row->extension)) != 0)
		return false;
	return row->may != NULL ? row->may(s, backend) : relay_offers(backend, row->extension);
}

/* One line each, behind our name; *ret_offered is the set. */
static void
offer_write(const struct session *s, const struct relay_offer *backend, struct buf *to, uint32_t *ret_offered)
{
	*ret_offered = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!row_stands(&rows[i], s, backend))
			continue;
		*ret_offered |= EXT_BIT(rows[i].extension);
		buf_printf(to, "\n%s", extension_keyword(rows[i].extension));
		if (rows[i].words != NULL)
			rows[i].words(s, backend, to);
	}
}

void
session_reply_ehlo(struct session *s)
{
	struct relay_offer backend;
	struct buf text;

	/* a worker's first clients must not be told less than the others: to miss 8BITMIME makes senders bounce mail */
	relay_backend_await(s->backend, rt_deadline(OFFER_WAIT_MS));
	backend = relay_backend_offer(s->backend);
	buf_init(&text, REPLY_MAX);
	buf_add_str(&text, s->config->hostname);
	offer_write(s, &backend, &text, &s->offered);
	buf_add_str(&text, "\nHELP");
	if (buf_status(&text) == SP_OK)
		session_reply_span(s, 250, NULL, buf_span(&text));
	else
		session_goodbye(s, "4.3.0", "out of memory, try again later", "memory");
	buf_fini(&text);
}
