/*
 * socket.c - the ways to write where a milter listens.  No memory of its own.
 */
#include <stdio.h>

#include "milter/milter.h"
#include "milter/socket.h"

static bool
cut(struct sp_span *s, const char *prefix)
{
	size_t len = strlen(prefix);

	if (s->len < len || memcmp(s->ptr, prefix, len) != 0)
		return false;
	*s = span_of(s->ptr + len, s->len - len);
	return true;
}

static size_t
find_last(struct sp_span s, char c)
{
	for (size_t i = s.len; i > 0; i--)
		if (s.ptr[i - 1] == c)
			return i - 1;
	return s.len;
}

static bool
port_ok(struct sp_span s)
{
	unsigned port = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9' || (i == 0 && s.ptr[i] == '0'))
			return false;
		port = port * 10 + (unsigned)(s.ptr[i] - '0');
		if (port > 65535)
			return false;
	}
	return s.len > 0;
}

static bool
host_ok(struct sp_span s)
{
	bool bracketed = s.len > 2 && s.ptr[0] == '[' && s.ptr[s.len - 1] == ']';

	for (size_t i = bracketed; i < s.len - bracketed; i++) {
		char c = s.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
			    (bracketed && c == ':')))
			return false;
	}
	return s.len > 0;
}

static enum sp_status
unix_write(struct sp_span path, char *ret)
{
	int len = snprintf(ret, SOCKET_MAX, "unix:%.*s", (int)path.len, path.ptr);

	if (path.len == 0 || path.ptr[0] != '/' || len >= SOCKET_MAX || strlen(ret) != path.len + 5)
		return SP_INVALID;
	return SP_OK;
}

static enum sp_status
inet_write(struct sp_span host, struct sp_span port, bool six, char *ret)
{
	int len;

	if (span_is(host, span_str("localhost")))
		host = span_str(six ? "[::1]" : "127.0.0.1");
	if (!host_ok(host) || !port_ok(port))
		return SP_INVALID;
	/* brackets are for IPv6 only there */
	if (host.ptr[0] == '[' && memchr(host.ptr, ':', host.len) == NULL)
		host = span_of(host.ptr + 1, host.len - 2);
	len = snprintf(ret, SOCKET_MAX, "%.*s:%.*s", (int)host.len, host.ptr, (int)port.len, port.ptr);
	return len < SOCKET_MAX ? SP_OK : SP_INVALID;
}

enum sp_status
socket_read(struct sp_span s, char *ret)
{
	bool six;
	size_t at;

	if (s.len >= SOCKET_MAX - 8)
		return SP_INVALID;
	if (cut(&s, "unix:") || cut(&s, "local:") || (s.len > 0 && s.ptr[0] == '/'))
		return unix_write(s, ret);
	six = cut(&s, "inet6:");
	if (!six)
		(void)cut(&s, "inet:");
	at = find_last(s, '@');
	if (at < s.len)
		return inet_write(span_of(s.ptr + at + 1, s.len - at - 1), span_of(s.ptr, at), six, ret);
	at = find_last(s, ':');
	if (at == s.len)
		return SP_INVALID;
	return inet_write(span_of(s.ptr, at), span_of(s.ptr + at + 1, s.len - at - 1), six, ret);
}
