/*
 * socket.h - the ways to write where a milter listens.
 */
#ifndef MILTER_SOCKET_H
#define MILTER_SOCKET_H

#include <sallyport/filter.h>

enum { SOCKET_MAX = 256 };

/* "unix:/path", "local:/path", "/path"; "inet:port@host", "inet6:port@host" (Sendmail's), "inet:host:port" (Postfix's), "host:port",
 * where a host is a name, an IPv4 address, or an IPv6 address in brackets.  Writes the host's form, "unix:/path" or "host:port", to
 * ret, SOCKET_MAX octets.  "localhost" is 127.0.0.1, or with inet6 ::1.  SP_INVALID. */
enum sp_status socket_read(struct sp_span text, char *ret);

#endif
