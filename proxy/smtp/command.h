/*
 * command.h - one command line taken apart (RFC 5321 4.1.1; 1870 SIZE; 6152 BODY).
 */
#ifndef PROXY_SMTP_COMMAND_H
#define PROXY_SMTP_COMMAND_H

#include "proxy/smtp/address.h"
#include "proxy/smtp/extension.h"

enum command_verb {
	COMMAND_UNKNOWN,
	COMMAND_HELO,
	COMMAND_EHLO,
	COMMAND_MAIL,
	COMMAND_RCPT,
	COMMAND_DATA,
	COMMAND_RSET,
	COMMAND_NOOP,
	COMMAND_VRFY,
	COMMAND_EXPN,
	COMMAND_HELP,
	COMMAND_QUIT,
	COMMAND_STARTTLS,
	COMMAND_AUTH,
	COMMAND_BDAT,
	COMMAND_XCLIENT,
	COMMAND_ETRN,
	COMMAND_ATRN,
	COMMAND_PROXY, /* a PROXY header where none is expected */
	COMMAND_HTTP /* GET, POST, CONNECT, PUT, HEAD, OPTIONS, or a first octet that is no letter */
};

struct command {
	enum command_verb verb;
	struct sp_span word; /* as sent */
	struct sp_span argument; /* after the verb, blanks at both ends cut off */
};
struct command command_parse(struct sp_span line);

/* A reply in three parts; text is static. */
struct command_error {
	int code; /* 0: no error */
	const char *enhanced, *text;
};

struct command_param {
	struct sp_span name, value;
};
enum { COMMAND_PARAMS = 16 };

/* MAIL FROM:<...> [params] and RCPT TO:<...> [params], from "FROM:" or "TO:" on. One blank after the colon is taken, since
 * common clients write it; nothing else beside the grammar is.  Parameters: those of parameter.h whose extension was offered;
 * all others are 555 5.5.4; twice the same, too many, or a bad value 501 5.5.4.  An address beyond ASCII needs SMTPUTF8 with
 * MAIL, else it is 553 5.6.7. */
struct command_path {
	struct address address;
	struct sp_span params; /* as sent, blanks around them cut off: see parameter_text() */
	uint32_t needs;      /* EXT_BIT() of what the backend must offer to take it with its parameters */
	int64_t size;        /* SIZE=, -1 */
	bool body_given, body_8bit, body_binary; /* BODY=; neither: 7BIT */
	bool smtputf8;       /* MAIL: SMTPUTF8 was given */
	bool prdr;           /* MAIL: a reply for each recipient is asked for */
	bool held;           /* HOLDFOR or HOLDUNTIL was given */
};
struct command_limits {
	bool mail;         /* MAIL, else RCPT */
	uint32_t offered;  /* EXT_BIT() of what the client was offered */
	bool quoted_local; /* else a quoted local part is 553 5.1.3 (MAIL: 5.1.7) */
	bool literals;     /* else an address literal is 550 5.1.2 (MAIL: 5.1.7) */
	bool utf8;         /* RCPT: its MAIL had SMTPUTF8 */
};
/* *ret is set when the code is 0. */
struct command_error command_parse_path(struct sp_span argument, const struct command_limits *limits,
	struct command_path *ret);

#endif
