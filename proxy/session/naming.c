/*
 * naming.c - the name that we go by: our own, or the backend's; and the banner that says it (RFC 5321 3.1, 4.3.1).
 *
 * The backend's name is the first word of the banner with which it last greeted us; until it has, we go by our own.  What
 * a session is told first stays its name.
 */
#include "proxy/session/session_priv.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"

enum { BANNER_WAIT_MS = 10000, BANNER_TEXT = 400 };

const char *
session_hostname(const struct session *s)
{
	return s->hostname[0] != '\0' ? s->hostname : s->config->hostname;
}

/* The first word of what the backend said, and the rest. */
static struct sp_span
backend_banner(const struct session *s, struct sp_span *ret_rest)
{
	struct sp_span banner;
	size_t end;

	relay_backend_await(s->backend, rt_deadline(BANNER_WAIT_MS));
	banner = relay_backend_banner(s->backend);
	end = span_find(banner, ' ');
	*ret_rest = span_trim(span_from(banner, end));
	return span_head(banner, end);
}

void
session_banner(struct session *s)
{
	const struct session_config *c = s->config;
	struct sp_span name = { NULL, 0 }, rest = { NULL, 0 };
	char text[sizeof(s->hostname) + BANNER_TEXT];

	if (c->hostname_backend || c->banner_backend)
		name = backend_banner(s, &rest);
	if (c->hostname_backend && name.len < sizeof(s->hostname) && address_helo_ok(name))
		snprintf(s->hostname, sizeof(s->hostname), "%.*s", (int)name.len, name.ptr);
	inspect_hostname(s->inspect, session_hostname(s));
	if (!c->banner_backend || rest.len == 0)
		rest = span_str(c->banner);
	snprintf(text, sizeof(text), "%s %.*s", session_hostname(s), (int)(rest.len < BANNER_TEXT ? rest.len : BANNER_TEXT - 2),
		rest.len > 0 ? rest.ptr : "");
	session_reply(s, 220, NULL, text);
	s->banner_code = 220;
}
