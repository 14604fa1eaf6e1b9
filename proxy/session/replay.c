/*
 * replay.c - the envelope as it goes on, once the verdict has fallen.
 *
 * Recipients that "relay late" held back are said to the backend now.  An envelope that filters have edited is said anew: the
 * transaction that the backend is in is reset, on the same connection, and all of it is said once more.  A message
 * that goes into quarantine takes its envelope with it to another backend.
 *
 * The client knows what became of each of its recipients, and has one reply left.  So what a backend takes otherwise now is
 * 451, and it gets no message (P2, P6).  All of it is done before our final dot, and ends at the commit deadline (P8).
 * What is made here is the transaction's arena's.  RFC 5321 3.3, 4.1.1.5; 1870 6.1; 3461 4; 6531 3.4; 8689 4.1.
 */
#include "proxy/session/session_priv.h"

#include "policy/kit/span.h"
#include "policy/kit/utf8.h"
#include "proxy/rt/rt.h"
#include "proxy/session/log.h"
#include "proxy/smtp/parameter.h"

/* What the message goes with. */
struct outgoing {
	struct relay_envelope mail;
	struct held_rcpt *rcpts;
	size_t count;
	bool promised;        /* the client has been told of the recipients that came what this backend says of them */
	bool sender_changed;
	bool rcpts_changed;   /* there are others, or fewer, or more */
};

static const struct command_error no_memory = { 451, "4.3.0", "out of memory, try again later" };
static const struct command_error no_envelope = { 451, "4.3.0", "an edit of the envelope failed, try again later" };
static const struct command_error no_error;

/* ---- parameters --------------------------------------------------------------------------------- */

static bool
has_word(struct sp_span params, struct sp_span word)
{
	for (params = span_trim(params); params.len > 0; params = span_trim(params)) {
		size_t len = span_find(params, ' ');

		if (span_ieq(span_head(params, len), word))
			return true;
		params = span_from(params, len);
	}
	return false;
}

/* {null, 0}: no memory. */
static struct sp_span
with_word(struct arena *a, struct sp_span params, struct sp_span word)
{
	char *text;

	if (has_word(params, word))
		return params;
	text = arena_printf(a, "%.*s %.*s", (int)params.len, params.len > 0 ? params.ptr : "", (int)word.len, word.ptr);
	return span_str(text);
}

/* A path and its parameters as a filter has written them, read as strictly as a client's. */
static struct command_error
path_parse(struct arena *a, bool mail, const struct inspect_path *p, struct command_path *ret)
{
	const struct command_limits limits = { .mail = mail, .offered = UINT32_MAX, .quoted_local = true, .literals = true, .utf8 = true };
	char *text;

	if (p->address.len > 0 && span_find(p->address, '\0') < p->address.len)
		return no_envelope;
	text = arena_printf(a, "%s<%.*s> %.*s", mail ? "FROM:" : "TO:", (int)p->address.len,
		p->address.len > 0 ? p->address.ptr : "", (int)p->params.len, p->params.len > 0 ? p->params.ptr : "");
	if (text == NULL)
		return no_memory;
	return command_parse_path(span_str(text), &limits, ret).code == 0 ? no_error : no_envelope;
}

/* ---- the sender ----------------------------------------------------------------------------------- */

/* Filters see a domain beyond ASCII as A-labels; what they leave alone goes on as it came. */
static bool
is_same(const struct address *came, struct sp_span edited)
{
	char folded[DOMAIN_OCTETS];
	size_t at = span_rfind(edited, '@');

	if (span_eq(came->text, edited))
		return true;
	return !utf8_is_ascii(came->domain) && span_eq(span_head(edited, at), came->local) &&
		span_eq(span_from(edited, at + 1), address_domain_fold(came->domain, folded));
}

/* The filter's parameters instead of the client's: but what these say of the message itself, and how safely it must travel, stays true. */
static struct command_error
take_params(struct session *s, const struct command_path *path, struct relay_envelope *to)
{
	const struct command_path *came = &s->tx->mail;
	const uint32_t body = EXT_BIT(EXT_8BITMIME) | EXT_BIT(EXT_BINARYMIME) | EXT_BIT(EXT_CHUNKING);

	to->needs = path->needs;
	if (path->size >= 0)
		to->size = path->size;
	if (path->body_given && !came->body_binary)
		to->body = envelope_body(path);
	else
		to->needs |= came->needs & body;
	to->params = parameter_text(s->tx->arena, path->params, true);
	if (to->params.ptr != NULL)
		to->params = session_auth_params(s, s->tx->arena, to->params);
	return to->params.ptr != NULL ? no_error : no_memory;
}

static struct command_error
edit_sender(struct session *s, struct outgoing *o)
{
	struct inspect_path p = inspect_sender(s->inspect);
	const struct command_path *came = &s->tx->mail;
	struct arena *a = s->tx->arena;
	struct command_path path;
	struct command_error e;

	o->sender_changed = !is_same(&came->address, p.address);
	if (!o->sender_changed && !p.params_given)
		return no_error;
	if (!p.params_given)
		p.params = span_of("", 0);
	if (came->smtputf8 || !utf8_is_ascii(p.address))
		p.params = with_word(a, p.params, SPAN_LIT("SMTPUTF8"));
	if (p.params.ptr != NULL && (came->needs & EXT_BIT(EXT_REQUIRETLS)) != 0)
		p.params = with_word(a, p.params, SPAN_LIT("REQUIRETLS"));
	if (p.params.ptr == NULL)
		return no_memory;
	e = path_parse(a, true, &p, &path);
	if (e.code == 0 && p.params_given)
		e = take_params(s, &path, &o->mail);
	if (e.code == 0 && o->sender_changed)
		o->mail.sender = path.address.text;
	return e;
}

/* ---- the recipients ------------------------------------------------------------------------------- */

static struct command_error
edit_rcpt(struct session *s, const struct inspect_path *p, struct held_rcpt *to)
{
	struct command_path path;
	struct command_error e;

	if (p->came >= 0)
		*to = s->tx->held[p->came];
	if (p->came >= 0 && !p->params_given)
		return no_error;
	e = path_parse(s->tx->arena, false, p, &path);
	if (e.code != 0)
		return e;
	if (p->came < 0)
		*to = (struct held_rcpt){ .address = path.address.text, .came = -1 };
	to->needs = path.needs;
	to->params = parameter_text(s->tx->arena, path.params, false);
	return to->params.ptr != NULL ? no_error : no_memory;
}

static struct command_error
edit_rcpts(struct session *s, struct outgoing *o)
{
	struct inspect_path p;
	struct command_error e = no_error;

	o->count = 0;
	while (inspect_recipient(s->inspect, o->count, &p) == SP_OK)
		o->count++;
	o->rcpts = arena_alloc(s->tx->arena, (o->count + 1) * sizeof(*o->rcpts));
	if (o->rcpts == NULL)
		return no_memory;
	o->rcpts_changed = o->count != s->tx->held_count;
	for (size_t i = 0; i < o->count && e.code == 0; i++) {
		if (inspect_recipient(s->inspect, i, &p) != SP_OK || p.came >= (int)s->tx->held_count)
			return no_envelope;
		o->rcpts_changed = o->rcpts_changed || p.came != (int)i;
		e = edit_rcpt(s, &p, &o->rcpts[i]);
	}
	return e;
}

/* Whoever is beyond ASCII makes the whole mail so. */
static struct command_error
settle_needs(struct session *s, struct outgoing *o)
{
	bool ascii = utf8_is_ascii(o->mail.sender);

	for (size_t i = 0; i < o->count; i++) {
		o->mail.needs |= o->rcpts[i].needs;
		ascii = ascii && utf8_is_ascii(o->rcpts[i].address);
	}
	if (ascii)
		return no_error;
	o->mail.needs |= EXT_BIT(EXT_SMTPUTF8);
	o->mail.params = with_word(s->tx->arena, o->mail.params, SPAN_LIT("SMTPUTF8"));
	return o->mail.params.ptr != NULL ? no_error : no_memory;
}

static struct command_error
edit(struct session *s, struct outgoing *o)
{
	struct command_error e = edit_sender(s, o);

	if (e.code == 0)
		e = edit_rcpts(s, o);
	s->tx->readdressed = o->rcpts_changed;
	if (o->rcpts_changed)
		o->mail.each = false;
	return e;
}

/* Those whom the policy has refused, and who will be told so, do not get the message (PRDR). */
static struct command_error
leave_out(struct session *s, struct outgoing *o)
{
	struct held_rcpt *rest = arena_alloc(s->tx->arena, (o->count + 1) * sizeof(*rest));
	struct policy_verdict v;
	size_t count = 0;

	if (rest == NULL)
		return no_memory;
	for (size_t i = 0; i < o->count; i++)
		if (o->rcpts[i].came < 0 || !prdr_refuses(s, (size_t)o->rcpts[i].came, &v))
			rest[count++] = o->rcpts[i];
	o->rcpts = rest;
	o->count = count;
	return no_error;
}

/* ---- saying it ------------------------------------------------------------------------------------ */

static void
log_refused(const struct session *s, const struct held_rcpt *rcpt, const struct relay_reply *reply)
{
	log_begin("recipient");
	log_text("tx", span_str(s->tx->id));
	log_text("to", rcpt->address);
	log_int("code", reply->code);
	log_text("by", SPAN_LIT("backend"));
	log_text("rule", SPAN_LIT(""));
	log_text("reply", reply->text);
	log_end();
}

/* Is it refused by the words of a backend that nobody has promised anything for, about what the client itself has said? */
static bool
is_clients(const struct session *s, const struct outgoing *o, const struct held_rcpt *rcpt)
{
	if (o->promised)
		return false;
	return relay_facts(s->relay)->sender_refused ? !o->sender_changed : rcpt->came >= 0;
}

/* One that cannot be had now says so itself; all else is a change of mind, which is not the client's to hear of. */
static void
refuse(struct session *s, const struct held_rcpt *rcpt, const struct relay_reply *reply)
{
	if (relay_facts(s->relay)->fault != NULL) {
		transaction_reply(s, reply->code, reply->enhanced, reply->text, co_cancelled() ? "drain" : "backend");
		return;
	}
	log_refused(s, rcpt, reply);
	transaction_reply(s, 451, "4.3.0", s->tx->quarantine.len > 0
		? SPAN_LIT("the message cannot be stored now, try again later")
		: SPAN_LIT("mail server does not take the envelope as a filter has changed it, try again later"), "backend");
}

/* SMTP has one reply left, so the strictest refusal of what the client has said speaks for all. */
static bool
say_rcpts(struct session *s, const struct outgoing *o)
{
	struct relay_reply worst = { 0 };

	for (size_t i = 0; i < o->count; i++) {
		struct relay_reply reply;

		relay_rcpt(s->relay, o->rcpts[i].address, o->rcpts[i].params, &reply);
		if (reply_class(reply.code) == 2)
			continue;
		if (!is_clients(s, o, &o->rcpts[i])) {
			refuse(s, &o->rcpts[i], &reply);
			return false;
		}
		if (reply_class(reply.code) > reply_class(worst.code)) {
			worst = reply;
			worst.text = arena_copy(s->tx->arena, reply.text);
		}
	}
	if (worst.code == 0)
		return true;
	if (!prdr_answer(s, RELAY_NOT_SENT, &worst))
		transaction_reply(s, worst.code, worst.enhanced, worst.text, "backend");
	return false;
}

/* Not even begun: the backend, and the connection that a user has logged in on, must not suffer for who was slow. */
static bool
too_late(struct session *s)
{
	const char *by = message_withheld(s);

	if (by == NULL)
		return false;
	transaction_reply(s, 451, "4.3.0", SPAN_LIT("not passed on in time, try again later"), by);
	if (strcmp(by, "client") == 0)
		s->tx->outcome = "abort";
	return true;
}

static bool
say(struct session *s, const struct outgoing *o)
{
	if (too_late(s))
		return false;
	if (!envelope_begin(s, &o->mail, s->tx->dot_ms + s->config->timeouts.commit)) {
		transaction_reply(s, no_memory.code, no_memory.enhanced, span_str(no_memory.text), "limit");
		return false;
	}
	if (!say_rcpts(s, o))
		return false;
	relay_limit(s->relay, envelope_deadline());
	return true;
}

/* Filters have left nobody to send it to. */
static void
discard(struct session *s)
{
	const struct relay_reply ok = { .code = 250, .enhanced = "2.0.0", .text = SPAN_LIT("ok") };

	if (!s->tx->split || !prdr_answer(s, RELAY_ANSWERED, &ok))
		transaction_reply(s, ok.code, ok.enhanced, ok.text, "filter");
	s->tx->by = "filter";
	s->tx->outcome = "discard";
}

/* Makes the envelope, and finds the backend. *ret_again: it is to be said, all of it. */
static struct command_error
prepare(struct session *s, struct outgoing *o, bool *ret_again)
{
	const struct policy_verdict *v = &s->tx->verdict;
	bool edited = !s->config->shadow && inspect_envelope_edited(s->inspect);
	size_t route = s->tx->route;
	struct command_error e = no_error;

	*o = (struct outgoing){ .mail = envelope_came(s), .rcpts = s->tx->held, .count = s->tx->held_count };
	if (edited)
		e = edit(s, o);
	if (e.code == 0 && s->tx->split)
		e = leave_out(s, o);
	if (e.code == 0)
		e = settle_needs(s, o);
	if (e.code == 0 && o->count > 0 && !s->config->shadow && v->backend.len > 0)
		e = session_quarantine(s, v->backend);
	o->promised = !s->config->relay_late || s->tx->route != route;
	*ret_again = edited || s->tx->split || !s->tx->relay_begun;
	return e;
}

static const char *
whose(const struct command_error *e)
{
	if (e->text == no_memory.text)
		return "limit";
	return e->text == no_envelope.text ? "filter" : "backend";
}

bool
replay_envelope(struct session *s)
{
	struct outgoing o;
	bool again;
	struct command_error e = prepare(s, &o, &again);

	if (e.code != 0) {
		transaction_reply(s, e.code, e.enhanced, span_str(e.text), whose(&e));
		return false;
	}
	if (o.count == 0) {
		discard(s);
		return false;
	}
	return !again || say(s, &o);
}
