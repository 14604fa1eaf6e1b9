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
static int64_t
size_max(const struct session *s, const struct relay_offer *backend)
{
	int64_t own = s->config->limits.message_size;

	return backend->known && backend->size_max > 0 && backend->size_max < own ? backend->size_max : own;
}

int64_t
session_size_max(const struct session *s)
{
	struct relay_offer backend = session_offer(s);

	return size_max(s, &backend);
}

static void
words_size(const struct session *s, const struct relay_offer *backend, struct buf *to)
{
	buf_printf(to, " %lld", (long long)size_max(s, backend));
}

static bool
may_starttls(const struct session *s, const struct relay_offer *backend)
{
	(void)backend;
	return s->config->tls != NULL && !session_encrypted(s);
}

static bool
may_xclient(const struct session *s, const struct relay_offer *backend)
{
	(void)backend;
	return session_may_xclient(s);
}

static void
words_xclient(const struct session *s, const struct relay_offer *backend, struct buf *to)
{
	(void)s;
	(void)backend;
	buf_add_str(to, " NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT");
}

/* Such a message goes on by BDAT or not at all (RFC 3030 3). */
static bool
may_binarymime(const struct session *s, const struct relay_offer *backend)
{
	const uint32_t all = EXT_BIT(EXT_8BITMIME) | EXT_BIT(EXT_CHUNKING) | EXT_BIT(EXT_BINARYMIME);

	return (backend->extensions & all) == all && (s->config->withhold & all) == 0;
}

/* The operator asks for it, and the backend has it. */
static bool
passes(const struct session *s, const struct relay_offer *backend, enum extension e)
{
	return (s->config->pass & EXT_BIT(e)) != 0 && relay_offers(backend, e);
}

static void
words_passed(struct buf *to, const char *words)
{
	if (words[0] != '\0')
		buf_printf(to, " %s", words);
}

static bool
may_deliverby(const struct session *s, const struct relay_offer *backend)
{
	return passes(s, backend, EXT_DELIVERBY);
}

static void
words_deliverby(const struct session *s, const struct relay_offer *backend, struct buf *to)
{
	(void)s;
	words_passed(to, backend->deliverby);
}

static bool
may_priority(const struct session *s, const struct relay_offer *backend)
{
	return passes(s, backend, EXT_MT_PRIORITY);
}

static void
words_priority(const struct session *s, const struct relay_offer *backend, struct buf *to)
{
	(void)s;
	words_passed(to, backend->mt_priority);
}

static bool
may_futurerelease(const struct session *s, const struct relay_offer *backend)
{
	return passes(s, backend, EXT_FUTURERELEASE);
}

static void
words_futurerelease(const struct session *s, const struct relay_offer *backend, struct buf *to)
{
	(void)s;
	words_passed(to, backend->futurerelease);
}

/* Under TLS only (RFC 8689 2). */
static bool
may_requiretls(const struct session *s, const struct relay_offer *backend)
{
	return session_encrypted(s) && passes(s, backend, EXT_REQUIRETLS);
}

/* We have limits of our own to name (RFC 9422). */
static bool
may_limits(const struct session *s, const struct relay_offer *backend)
{
	(void)backend;
	return (s->config->pass & EXT_BIT(EXT_LIMITS)) != 0;
}

static void
words_limits(const struct session *s, const struct relay_offer *backend, struct buf *to)
{
	int64_t rcpts = (int64_t)s->config->limits.recipients;

	if (backend->mail_max > 0)
		buf_printf(to, " MAILMAX=%lld", (long long)backend->mail_max);
	buf_printf(to, " RCPTMAX=%lld", (long long)(backend->rcpt_max > 0 && backend->rcpt_max < rcpts ? backend->rcpt_max : rcpts));
	if (backend->domain_max > 0)
		buf_printf(to, " RCPTDOMAINMAX=%lld", (long long)backend->domain_max);
}

static const struct offer_row rows[] = {
	{ EXT_PIPELINING, may_always, NULL },
	{ EXT_SIZE, may_always, words_size },
	{ EXT_8BITMIME, NULL, NULL },
	{ EXT_SMTPUTF8, NULL, NULL },
	{ EXT_DSN, NULL, NULL },
	{ EXT_DELIVERBY, may_deliverby, words_deliverby },
	{ EXT_MT_PRIORITY, may_priority, words_priority },
	{ EXT_FUTURERELEASE, may_futurerelease, words_futurerelease },
	{ EXT_REQUIRETLS, may_requiretls, NULL },
	{ EXT_LIMITS, may_limits, words_limits },
	{ EXT_ETRN, session_etrn_may, NULL },
	{ EXT_ATRN, session_atrn_may, NULL },
	{ EXT_STARTTLS, may_starttls, NULL },
	{ EXT_ENHANCED, may_always, NULL },
	{ EXT_AUTH, session_auth_may, session_auth_words },
	{ EXT_XCLIENT, may_xclient, words_xclient },
	{ EXT_CHUNKING, may_always, NULL }, /* for a backend without it, it is turned into DATA */
	{ EXT_BINARYMIME, may_binarymime, NULL },
	{ EXT_PRDR, prdr_may, NULL },
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
	backend = session_offer(s);
	buf_init(&text, REPLY_MAX);
	buf_add_str(&text, session_hostname(s));
	offer_write(s, &backend, &text, &s->offered);
	buf_add_str(&text, "\nHELP");
	if (buf_status(&text) == SP_OK)
		session_reply_span(s, 250, NULL, buf_span(&text));
	else
		session_goodbye(s, "4.3.0", "out of memory, try again later", "memory");
	buf_fini(&text);
}
