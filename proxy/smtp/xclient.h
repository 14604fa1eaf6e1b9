/*
 * xclient.h - the attributes of XCLIENT and XFORWARD (Postfix's XCLIENT_README and XFORWARD_README; xtext: RFC 3461 4).
 */
#ifndef PROXY_SMTP_XCLIENT_H
#define PROXY_SMTP_XCLIENT_H

#include "policy/kit/buf.h"

enum xclient_attribute {
	XCLIENT_NAME,
	XCLIENT_ADDR,
	XCLIENT_PORT,
	XCLIENT_PROTO,
	XCLIENT_HELO,
	XCLIENT_LOGIN,
	XCLIENT_DESTADDR,
	XCLIENT_DESTPORT,
	XCLIENT_IDENT,  /* XFORWARD alone */
	XCLIENT_SOURCE, /* XFORWARD alone */
	XCLIENT_ATTRIBUTES
};
#define XCLIENT_BIT(attribute) (1u << (attribute))
enum { XCLIENT_VALUE = 255 }; /* octets of a value on the wire at most */

/* The set of those that an EHLO line names, "NAME ADDR PORT": bits. What we do not know is left out. */
unsigned xclient_offer(struct sp_span words);
const char *xclient_attribute_name(enum xclient_attribute a);

/* What one XCLIENT line says. Texts are decoded, NUL-ended, free of control characters; "" is [UNAVAILABLE]. */
struct xclient {
	unsigned given;    /* bits of what was named */
	bool name_unknown; /* [TEMPUNAVAIL]: there may be a name */
	char name[XCLIENT_VALUE + 1], helo[XCLIENT_VALUE + 1], login[XCLIENT_VALUE + 1];
	bool esmtp;
	struct sp_ip ip, dest_ip; /* dest_ip of family 0, ports 0: [UNAVAILABLE] */
	uint16_t port, dest_port;
};
/* SP_INVALID: unknown or repeated attributes, values of another form, none at all, or a client without an address. */
enum sp_status xclient_parse(struct sp_span argument, struct xclient *ret);

/* Adds " NAME=value", the value as xtext; [UNAVAILABLE] where it is empty, too long, or has control characters. */
void xclient_add(struct buf *to, enum xclient_attribute a, struct sp_span value);
/* The same of an address: "192.0.2.1", "IPV6:2001:db8::1". */
void xclient_add_ip(struct buf *to, enum xclient_attribute a, const struct sp_ip *ip);

#endif
