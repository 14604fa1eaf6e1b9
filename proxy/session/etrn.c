/*
 * etrn.c - ETRN for clients that may start the backend's queue (RFC 1985): "etrn from".
 */
#include "proxy/session/session_priv.h"

#include "policy/kit/span.h"
#include "proxy/session/log.h"

bool
session_etrn_may(const struct session *s, const struct relay_offer *backend)
{
	return policy_setting_has_ip(s->config->block, "etrn from", &s->ip) && relay_offers(backend, EXT_ETRN);
}

/* "#" and a queue's name: of the server's own making, but a word. */
static bool
is_queue_name(struct sp_span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!span_is_alpha(name.ptr[i]) && !span_is_digit(name.ptr[i]) && memchr("-._", name.ptr[i], 3) == NULL)
			return false;
	return name.len > 0 && name.len <= DOMAIN_OCTETS;
}

/* RFC 1985 5.3: a domain, "@" and one for all that is below it, or "#" and a queue. */
static bool
is_node(struct sp_span node)
{
	if (span_starts(node, SPAN_LIT("#")))
		return is_queue_name(span_from(node, 1));
	return address_domain_ok(span_starts(node, SPAN_LIT("@")) ? span_from(node, 1) : node);
}

struct command_error
session_etrn_check(const struct session *s, const struct command *c)
{
	if (!session_offered(s, EXT_ETRN))
		return (struct command_error){ 502, "5.5.1", "this command is not offered here" };
	if (!is_node(c->argument))
		return (struct command_error){ 501, "5.5.4", "syntax: ETRN domain" };
	return (struct command_error){ 0, NULL, NULL };
}

void
session_etrn(struct session *s, const struct command *c)
{
	struct relay_reply reply = { .code = 458, .enhanced = "4.3.0", .text = SPAN_LIT("out of memory, try again later") };

	if (session_relay_own(s))
		relay_etrn(s->relay, c->argument, &reply);
	log_begin("etrn");
	log_text("conn", span_str(s->id));
	log_text("node", c->argument);
	log_int("code", reply.code);
	log_text("reply", reply.text);
	log_end();
	session_reply_span(s, reply.code, reply.enhanced[0] != '\0' ? reply.enhanced : NULL, reply.text);
}
