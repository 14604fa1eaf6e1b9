/*
 * open.c - a new connection: address, banner, EHLO (RFC 5321 3.1, 4.2.4, 5.1; CASES F01-F10, R03,
 * R08).
 *
 * An address that does not greet us is left for the next; the last one's fault is what the client
 * hears of.
 */
#include "proxy/relay/relay_priv.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/net/tls.h"

/*
 * Octets that the kernel takes before the peer has room for them.  Without a bound it takes
 * megabytes, and says that it has room again only when a third of them has gone: a slow backend
 * would look like one that stands still.
 */
enum { OPEN_UNSENT = 262144 };

static void
offer_text(char *to, size_t room, struct sp_span rest)
{
	(void)snprintf(to, room, "%.*s", (int)rest.len, rest.len > 0 ? rest.ptr : "");
}

/* It is said on to clients: letters, digits and what such words are made of, else nothing. */
static void
offer_words(char *to, size_t room, struct sp_span rest)
{
	for (size_t i = 0; i < rest.len; i++)
		if (!span_is_alpha(rest.ptr[i]) && !span_is_digit(rest.ptr[i]) && memchr(" -+:.", rest.ptr[i], 5) == NULL)
			return;
	if (rest.len < room)
		offer_text(to, room, rest);
}

/* "RCPTMAX=100 MAILMAX=5": what is no number limits nothing (RFC 9422 4). */
static void
offer_limits(struct relay_offer *offer, struct sp_span rest)
{
	for (rest = span_trim(rest); rest.len > 0; rest = span_trim(rest)) {
		struct sp_span word = span_head(rest, span_find(rest, ' '));
		struct sp_span name = span_head(word, span_find(word, '='));
		uint64_t n = 0;

		rest = span_from(rest, word.len);
		if (span_to_u64(span_from(word, name.len + 1), 999999, &n) != SP_OK)
			continue;
		if (span_ieq(name, SPAN_LIT("MAILMAX")))
			offer->mail_max = (int64_t)n;
		else if (span_ieq(name, SPAN_LIT("RCPTMAX")))
			offer->rcpt_max = (int64_t)n;
		else if (span_ieq(name, SPAN_LIT("RCPTDOMAINMAX")))
			offer->domain_max = (int64_t)n;
	}
}

/* RFC 8689: to promise it, the next hop must be one whose certificate is good; and it may be offered under TLS only. */
static void
offer_check_tls(struct relay_offer *offer, const struct stream *s)
{
	struct tls_peer peer;

	if (!stream_tls_peer(s, &peer) || !peer.verified)
		offer->extensions &= ~EXT_BIT(EXT_REQUIRETLS);
}

/* The word at the front of an EHLO line, and the rest. */
static void
offer_line(struct relay_offer *offer, struct sp_span line)
{
	size_t end = span_find(line, ' ');
	struct sp_span rest = span_trim(span_from(line, end));
	enum extension e = extension_find(span_head(line, end));
	uint64_t size = 0;

	if (e == EXTENSIONS)
		return;
	offer->extensions |= EXT_BIT(e);
	/* a number that we cannot hold limits nothing */
	if (e == EXT_SIZE && span_to_u64(rest, INT64_MAX, &size) == SP_OK)
		offer->size_max = (int64_t)size;
	else if (e == EXT_AUTH)
		offer_text(offer->auth, sizeof(offer->auth), rest);
	else if (e == EXT_XCLIENT)
		offer_text(offer->xclient, sizeof(offer->xclient), rest);
	else if (e == EXT_XFORWARD)
		offer_text(offer->xforward, sizeof(offer->xforward), rest);
	else if (e == EXT_DELIVERBY)
		offer_words(offer->deliverby, sizeof(offer->deliverby), rest);
	else if (e == EXT_MT_PRIORITY)
		offer_words(offer->mt_priority, sizeof(offer->mt_priority), rest);
	else if (e == EXT_FUTURERELEASE)
		offer_words(offer->futurerelease, sizeof(offer->futurerelease), rest);
	else if (e == EXT_LIMITS)
		offer_limits(offer, rest);
}

static struct relay_offer
offer_parse(struct sp_span text)
{
	struct relay_offer offer = { .known = true };
	size_t end = span_find(text, '\n');

	/* the first line is the greeting */
	while (end < text.len) {
		text = span_from(text, end + 1);
		end = span_find(text, '\n');
		offer_line(&offer, span_trim(span_head(text, end)));
	}
	return offer;
}

/* A banner or greeting that is not a 2xx: temporary in its own words, permanent in ours. */
static enum relay_fault
open_refused(const struct conn *c, struct answer *why)
{
	enum relay_fault fault = FAULT_GREETING;

	switch (reply_class(conn_last(c)->code)) {
	case 4:
		fault = conn_last(c)->code == 421 ? FAULT_BUSY : FAULT_GREETING;
		answer_deferred(why, conn_last(c), "4.3.2");
		return fault;
	case 5:
		break;
	default:
		fault = FAULT_GARBAGE;
	}
	answer_fault(why, fault);
	return fault;
}

/* Says EHLO, HELO or LHLO; FAULT_NONE when any reply came. */
static enum relay_fault
open_hello(const struct opening *o, struct conn *c, struct sp_span verb)
{
	int64_t deadline = earlier(o->deadline_ms, rt_deadline(o->backend->config.timeouts.ehlo));
	enum relay_fault fault = stream_input(c->stream).len > 0 ? FAULT_DESYNC : FAULT_NONE;

	if (fault == FAULT_NONE)
		fault = conn_write(c, verb, deadline);
	if (fault == FAULT_NONE)
		fault = conn_write(c, introduce_helo(o, c), deadline);
	if (fault == FAULT_NONE)
		fault = conn_write(c, SPAN_LIT("\r\n"), deadline);
	if (fault == FAULT_NONE)
		fault = conn_flush(c, deadline);
	if (fault == FAULT_NONE)
		fault = conn_reply_ehlo(c, deadline);
	return fault;
}

/* EHLO, or HELO where that is not known; LMTP has LHLO only. The offer goes to c. */
static enum relay_fault
open_offer(const struct opening *o, struct conn *c)
{
	const struct relay_config *config = &o->backend->config;
	enum relay_fault fault = open_hello(o, c, config->lmtp ? SPAN_LIT("LHLO ") : SPAN_LIT("EHLO "));

	if (fault == FAULT_NONE && reply_class(conn_last(c)->code) == 2) {
		c->offer = offer_parse(buf_span(&conn_last(c)->text));
		offer_check_tls(&c->offer, c->stream);
		return FAULT_NONE;
	}
	if (fault == FAULT_NONE && reply_class(conn_last(c)->code) == 5 && !config->lmtp)
		fault = open_hello(o, c, SPAN_LIT("HELO "));
	if (fault != FAULT_NONE) {
		answer_fault(o->why, fault);
		return fault;
	}
	if (reply_class(conn_last(c)->code) != 2)
		return open_refused(c, o->why);
	c->offer = (struct relay_offer){ .known = true };
	return FAULT_NONE;
}

static void
note_banner(struct relay_backend *b, const struct conn *c)
{
	struct sp_span text = buf_span(&conn_last(c)->text);

	(void)snprintf(b->banner, sizeof(b->banner), "%.*s", (int)span_find(text, '\n'), text.len > 0 ? text.ptr : "");
	for (char *at = b->banner; *at != '\0'; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
}

enum relay_fault
open_greet(const struct opening *o, struct conn *c)
{
	enum relay_fault fault;
	bool again = false;

	fault = conn_reply(c, earlier(o->deadline_ms, rt_deadline(o->backend->config.timeouts.banner)));
	if (fault != FAULT_NONE) {
		answer_fault(o->why, fault);
		return fault;
	}
	if (reply_class(conn_last(c)->code) != 2)
		return open_refused(c, o->why);
	note_banner(o->backend, c);
	fault = open_offer(o, c);
	if (fault == FAULT_NONE)
		fault = secure_greeted(o, c, &again);
	if (fault == FAULT_NONE && again)
		fault = open_offer(o, c);
	again = false;
	if (fault == FAULT_NONE)
		fault = introduce_greeted(o, c, &again);
	if (fault == FAULT_NONE && again)
		fault = open_offer(o, c);
	return fault;
}

static enum relay_fault
open_one(const struct opening *o, const struct net_endpoint *e, struct conn **ret)
{
	struct stream *s = NULL;
	struct conn *c;
	enum relay_fault fault;
	enum sp_status st = stream_connect_from(e, introduce_from(o), earlier(o->deadline_ms, rt_deadline(o->backend->config.timeouts.connect)), &s);

	if (st != SP_OK) {
		fault = st == SP_CANCELED || st == SP_SYSTEM ? FAULT_LOCAL
			: st == SP_TIMEOUT                   ? FAULT_NOANSWER
			: st == SP_INVALID                   ? FAULT_INTRODUCE
							     : FAULT_REFUSED;
		answer_fault(o->why, fault);
		return fault;
	}
	if (e->kind == NET_IP) {
		int unsent = OPEN_UNSENT;
		(void)setsockopt(
			stream_fd(s), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	}
	c = conn_new(s, e->text);
	if (c == NULL) {
		answer_fault(o->why, FAULT_LOCAL);
		return FAULT_LOCAL;
	}
	fault = introduce_first(o, c);
	if (fault == FAULT_NONE)
		fault = secure_first(o, c);
	if (fault == FAULT_NONE)
		fault = open_greet(o, c);
	if (fault == FAULT_NONE)
		*ret = c;
	else if (fault == FAULT_GREETING)
		conn_quit(&c);
	else
		conn_free(&c);
	return fault;
}

enum relay_fault
backend_open(const struct opening *o, struct conn **ret)
{
	struct relay_backend *b = o->backend;
	struct route route;
	struct net_endpoint e;
	enum relay_fault fault = FAULT_NONE;
	bool tried = false;

	route_init(&route, &b->config);
	while (route_next(&route, o->deadline_ms, &e)) {
		tried = true;
		fault = open_one(o, &e, ret);
		if (fault == FAULT_NONE || fault == FAULT_LOCAL || rt_now_ms() >= o->deadline_ms)
			break;
	}
	if (!tried) {
		fault = route.fault != FAULT_NONE ? route.fault : FAULT_NOROUTE;
		answer_fault(o->why, fault);
	}
	route_fini(&route);
	/* what is offered to one client's address says nothing of what others would be */
	if (fault == FAULT_NONE && (o->client == NULL || !introduce_binds(&b->config) || !b->offer.known)) {
		b->offer = (*ret)->offer;
		b->asked_ms = rt_now_ms();
	}
	return fault;
}
