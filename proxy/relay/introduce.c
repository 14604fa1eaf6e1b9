/*
 * introduce.c - whose connection it is: what a backend is told of the client, by the PROXY protocol, XCLIENT or XFORWARD, or
 * by the address that it sees (Postfix's XCLIENT_README and XFORWARD_README; CASES X02 to X06).
 *
 * A backend that judges by the client's address must never take ours for it: where it does not let itself be told, nothing
 * is sent.  XFORWARD is for its log alone, so a mail goes on without.
 */
#include "proxy/relay/relay_priv.h"

#include "policy/kit/span.h"
#include "proxy/net/proxy.h"
#include "proxy/smtp/xclient.h"

enum {
	LINE_OCTETS = 510, /* of a command, without CR LF (RFC 5321 4.5.3.1.4) */
	ITEMS_OCTETS = 4096
};

bool
introduce_binds(const struct relay_config *config)
{
	return config->xclient || config->proxy != 0 || config->as_client;
}

bool
relay_names_client(const struct relay *r)
{
	return introduce_binds(&r->backend->config) || r->backend->config.xforward;
}

/* Null: it is our own errand, or that of a program on this machine. */
static const struct relay_client *
whose(const struct opening *o)
{
	return o->client != NULL && o->client->ip.family != 0 ? o->client : NULL;
}

static enum relay_fault
refused(const struct opening *o, enum relay_fault fault)
{
	answer_fault(o->why, fault);
	return fault;
}

const struct sp_ip *
introduce_from(const struct opening *o)
{
	return o->backend->config.as_client && whose(o) != NULL ? &whose(o)->ip : NULL;
}

struct sp_span
introduce_helo(const struct opening *o, const struct conn *c)
{
	return c->introduced && whose(o) != NULL && whose(o)->helo.len > 0 ? whose(o)->helo
									   : span_str(o->backend->config.helo);
}

/* ---- PROXY ---------------------------------------------------------------------------------- */

/* Who it is that the header names.  False: a connection of our own, and there is a way to say that: Postfix and others know no
 * UNKNOWN in version 1. */
static bool
header_ends(const struct opening *o, const struct conn *c, struct proxy_ends *ret)
{
	const struct relay_client *client = whose(o);

	if (client != NULL) {
		*ret = (struct proxy_ends){ client->ip, client->local_ip, client->port, client->local_port };
		return true;
	}
	net_local(stream_fd(c->stream), &ret->ip, &ret->port);
	net_remote(stream_fd(c->stream), &ret->local_ip, &ret->local_port);
	return o->backend->config.proxy == 1 && ret->ip.family != 0;
}

enum relay_fault
introduce_first(const struct opening *o, struct conn *c)
{
	int64_t deadline = earlier(o->deadline_ms, rt_deadline(o->backend->config.timeouts.ehlo));
	struct proxy_ends ends;
	char header[PROXY_FORMATTED];
	enum relay_fault fault;
	size_t len;

	if (o->backend->config.proxy == 0)
		return FAULT_NONE;
	len = proxy_format(o->backend->config.proxy, header_ends(o, c, &ends) ? &ends : NULL, header);
	fault = conn_write(c, span_of(header, len), deadline);
	if (fault == FAULT_NONE)
		fault = conn_flush(c, deadline);
	return fault == FAULT_NONE ? FAULT_NONE : refused(o, fault);
}

/* ---- attributes ----------------------------------------------------------------------------- */

static void
add_number(struct buf *to, enum xclient_attribute a, uint16_t n)
{
	if (n == 0)
		xclient_add(to, a, span_of(NULL, 0));
	else
		buf_printf(to, " %s=%u", xclient_attribute_name(a), (unsigned)n);
}

static void
add_name(struct buf *to, const struct relay_client *c)
{
	if (c->name_unknown)
		xclient_add(to, XCLIENT_NAME, SPAN_LIT("[TEMPUNAVAIL]"));
	else
		xclient_add(to, XCLIENT_NAME, c->name);
}

static void
add_item(struct buf *to, enum xclient_attribute a, const struct relay_client *c, struct sp_span ident)
{
	switch (a) {
	case XCLIENT_NAME:
		add_name(to, c);
		break;
	case XCLIENT_ADDR:
		xclient_add_ip(to, a, &c->ip);
		break;
	case XCLIENT_PORT:
		add_number(to, a, c->port);
		break;
	case XCLIENT_PROTO:
		xclient_add(to, a, c->esmtp ? SPAN_LIT("ESMTP") : SPAN_LIT("SMTP"));
		break;
	case XCLIENT_HELO:
		xclient_add(to, a, c->helo);
		break;
	case XCLIENT_LOGIN:
		xclient_add(to, a, c->user);
		break;
	case XCLIENT_DESTADDR:
		xclient_add_ip(to, a, &c->local_ip);
		break;
	case XCLIENT_DESTPORT:
		add_number(to, a, c->local_port);
		break;
	case XCLIENT_IDENT:
		xclient_add(to, a, ident);
		break;
	case XCLIENT_SOURCE:
		xclient_add(to, a, SPAN_LIT("REMOTE"));
		break;
	case XCLIENT_ATTRIBUTES:
		break;
	}
}

/* The address last: what comes before it is the new client's. */
static const enum xclient_attribute xclient_order[] = { XCLIENT_NAME, XCLIENT_DESTADDR, XCLIENT_DESTPORT, XCLIENT_PORT,
	XCLIENT_PROTO, XCLIENT_HELO, XCLIENT_LOGIN, XCLIENT_ADDR };
static const enum xclient_attribute xforward_order[] = { XCLIENT_NAME, XCLIENT_PORT, XCLIENT_PROTO, XCLIENT_HELO,
	XCLIENT_IDENT, XCLIENT_SOURCE, XCLIENT_ADDR };
enum { ORDER_MAX = sizeof(xclient_order) / sizeof(xclient_order[0]) };

/* What is to be said, each item " NAME=value", one behind the other in text; item i ends at end[i]. */
struct items {
	const char *verb;
	struct buf text;
	size_t end[ORDER_MAX], count;
};

static size_t
item_start(const struct items *items, size_t i)
{
	return i == 0 ? 0 : items->end[i - 1];
}

static void
item_put(struct items *items, enum xclient_attribute a, const struct relay_client *c, struct sp_span ident)
{
	add_item(&items->text, a, c, ident);
	items->end[items->count++] = items->text.len;
}

/* The first of the items, up to but without last, that share its line.  Lines are filled from the last on, since some servers
 * forget with each command what they were told of the HELO name and the login. */
static size_t
line_start(const struct items *items, size_t last)
{
	size_t first = last - 1, room = LINE_OCTETS - strlen(items->verb);

	while (first > 0 && items->end[last - 1] - item_start(items, first - 1) <= room)
		first--;
	return first;
}

/* One command, and its reply, which is then the last. */
static enum relay_fault
say(struct conn *c, const struct items *items, size_t first, size_t last, int64_t deadline)
{
	size_t start = item_start(items, first);
	enum relay_fault fault = conn_quiet(c);

	if (fault == FAULT_NONE)
		fault = conn_write(c, span_str(items->verb), deadline);
	if (fault == FAULT_NONE)
		fault = conn_write(c, span_of(items->text.ptr + start, items->end[last - 1] - start), deadline);
	if (fault == FAULT_NONE)
		fault = conn_write(c, SPAN_LIT("\r\n"), deadline);
	if (fault == FAULT_NONE)
		fault = conn_flush(c, deadline);
	if (fault == FAULT_NONE)
		fault = conn_reply(c, deadline);
	return fault;
}

/* All of it, first the lines that come first.  FAULT_INTRODUCE: the backend said no. */
static enum relay_fault
say_all(struct conn *c, const struct items *items, int64_t deadline)
{
	size_t starts[ORDER_MAX], lines = 0, last = items->count;
	enum relay_fault fault = buf_status(&items->text) == SP_OK ? FAULT_NONE : FAULT_LOCAL;

	for (size_t at = last; at > 0; at = starts[lines - 1])
		starts[lines++] = line_start(items, at);
	while (lines > 0 && fault == FAULT_NONE) {
		size_t first = starts[--lines];
		size_t end = lines > 0 ? starts[lines - 1] : last;

		fault = say(c, items, first, end, deadline);
		if (fault == FAULT_NONE && reply_class(conn_last(c)->code) != 2)
			fault = FAULT_INTRODUCE;
	}
	return fault;
}

/* ---- XCLIENT -------------------------------------------------------------------------------- */

enum relay_fault
introduce_greeted(const struct opening *o, struct conn *c, bool *ret_again)
{
	int64_t deadline = earlier(o->deadline_ms, rt_deadline(o->backend->config.timeouts.ehlo));
	unsigned offered = xclient_offer(span_str(c->offer.xclient));
	struct items items = { .verb = "XCLIENT" };
	enum relay_fault fault;

	*ret_again = false;
	if (!o->backend->config.xclient || whose(o) == NULL)
		return FAULT_NONE;
	if ((offered & XCLIENT_BIT(XCLIENT_ADDR)) == 0)
		return refused(o, FAULT_INTRODUCE);
	buf_init(&items.text, ITEMS_OCTETS);
	for (size_t i = 0; i < ORDER_MAX; i++)
		if ((offered & XCLIENT_BIT(xclient_order[i])) != 0)
			item_put(&items, xclient_order[i], whose(o), span_of(NULL, 0));
	fault = say_all(c, &items, deadline);
	buf_fini(&items.text);
	c->introduced = fault == FAULT_NONE;
	*ret_again = c->introduced;
	return fault == FAULT_NONE ? FAULT_NONE : refused(o, fault);
}

/* ---- XFORWARD ------------------------------------------------------------------------------- */

/* What the last transaction left must go first: XFORWARD has no place within one. */
static enum relay_fault
clean(struct relay *r, int64_t limit_ms)
{
	int64_t timeout = r->backend->config.timeouts.mail;
	enum relay_fault fault;

	if (!r->conn->dirty)
		return FAULT_NONE;
	fault = conn_write(r->conn, SPAN_LIT("RSET\r\n"), limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_flush(r->conn, limit_ms);
	if (fault == FAULT_NONE)
		fault = conn_reply(r->conn, earlier(limit_ms, rt_deadline(timeout)));
	if (fault == FAULT_NONE && conn_last(r->conn)->code == 421)
		return FAULT_BUSY;
	if (fault == FAULT_NONE && reply_class(conn_last(r->conn)->code) != 2)
		return FAULT_GARBAGE;
	r->conn->dirty = fault != FAULT_NONE;
	return fault;
}

enum relay_fault
introduce_mail(struct relay *r, int64_t limit_ms)
{
	int64_t deadline = earlier(limit_ms, rt_deadline(r->backend->config.timeouts.mail));
	unsigned offered = xclient_offer(span_str(r->conn->offer.xforward));
	struct items items = { .verb = "XFORWARD" };
	enum relay_fault fault;

	if (!r->backend->config.xforward || offered == 0 || r->client.ip.family == 0)
		return FAULT_NONE;
	buf_init(&items.text, ITEMS_OCTETS);
	for (size_t i = 0; i < sizeof(xforward_order) / sizeof(xforward_order[0]); i++)
		if ((offered & XCLIENT_BIT(xforward_order[i])) != 0)
			item_put(&items, xforward_order[i], &r->client, r->envelope.ident);
	fault = clean(r, limit_ms);
	if (fault == FAULT_NONE)
		fault = say_all(r->conn, &items, deadline);
	buf_fini(&items.text);
	if (fault == FAULT_INTRODUCE)
		fault = conn_last(r->conn)->code == 421 ? FAULT_BUSY : FAULT_NONE;
	if (fault == FAULT_BUSY)
		answer_backend(&r->answer, conn_last(r->conn));
	else if (fault != FAULT_NONE)
		answer_fault(&r->answer, fault);
	return fault;
}
