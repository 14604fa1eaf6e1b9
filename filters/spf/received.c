/*
 * received.c - writes Received-SPF (see received.h; RFC 7208 section 9.1, RFC 5322 section 3.2.4).
 *
 * Each key has a line of its own.  A value is a dot-atom or a quoted-string, so nothing that a client says can end
 * it; octets that neither can hold become '?'.  The comment has words of ours only.
 */
#include "spf/received.h"

#include <arpa/inet.h>

#include "mailauth/text.h"

static bool
is_atext(char c)
{
	return (text_lower(c) >= 'a' && text_lower(c) <= 'z') || (c >= '0' && c <= '9') ||
		(c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool
is_dot_atom(struct sp_span s)
{
	bool atom = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '.' ? !atom : !is_atext(s.ptr[i]))
			return false;
		atom = s.ptr[i] != '.';
	}
	return atom;
}

static void
add_quoted(struct writer *w, struct sp_span s)
{
	writer_char(w, '"');
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i] >= ' ' && s.ptr[i] <= '~' ? s.ptr[i] : '?';

		if (c == '"' || c == '\\')
			writer_char(w, '\\');
		writer_char(w, c);
	}
	writer_char(w, '"');
}

static void
add_pair(struct writer *w, const char *key, struct sp_span value)
{
	writer_printf(w, "\r\n\t%s=", key);
	if (is_dot_atom(value))
		writer_add(w, value);
	else
		add_quoted(w, value);
	writer_char(w, ';');
}

struct sp_span
received_text(const struct received_spf *r, struct sp_span receiver, char memory[static RECEIVED_MAX])
{
	char address[INET6_ADDRSTRLEN] = "";
	struct writer w;

	writer_init(&w, memory, RECEIVED_MAX);
	(void)inet_ntop(r->client.family == 4 ? AF_INET : AF_INET6, r->client.bytes, address, sizeof(address));
	writer_add(&w, text_of(r->result));
	if (r->reason != NULL)
		writer_printf(&w, " (%s)", r->reason);
	add_pair(&w, "receiver", receiver);
	add_pair(&w, "identity", text_of(r->identity));
	add_pair(&w, "client-ip", text_of(address));
	add_pair(&w, "envelope-from", r->sender);
	add_pair(&w, "helo", r->helo);
	return writer_text(&w);
}
