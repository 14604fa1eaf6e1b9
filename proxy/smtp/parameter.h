/*
 * parameter.h - the parameters of MAIL and RCPT, by the extension that each belongs to (RFC 5321 4.1.1.11).
 */
#ifndef PROXY_SMTP_PARAMETER_H
#define PROXY_SMTP_PARAMETER_H

#include "policy/kit/arena.h"
#include "proxy/smtp/command.h"

struct parameter {
	const char *name;
	bool mail;                /* of MAIL, else of RCPT */
	enum extension extension; /* which the client must have been offered */
	bool passes;              /* goes on to the backend as sent, which must offer the extension then; else it is written anew */
	/* Is the value right? Notes in path what the program itself wants to know. value.ptr null: there was no "=". */
	bool (*take)(struct sp_span value, struct command_path *path);
};
/* Null: none that we know. */
const struct parameter *parameter_find(bool mail, struct sp_span name);

/* Of parameters that command_parse_path() took, those that go on, " RET=HDRS ENVID=x", as sent; "": none.
 * {null, 0}: no memory. */
struct sp_span parameter_text(struct arena *a, struct sp_span params, bool mail);

/* RFC 3461 section 4: xtext that stands for plain printable ASCII (no NUL, CR, LF, nor other control). "" is xtext. */
bool parameter_is_xtext(struct sp_span value);

#endif
