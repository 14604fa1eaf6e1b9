/*
 * fault.c - see fault.h: what breaks the form of a message or our limits (RFC 5321 2.3.8, 4.5.2; RFC 5322 2.2, 3.6; CASES A.1, A.3).
 */
#include "proxy/smtp/fault.h"

#include "proxy/smtp/data.h"
#include "proxy/smtp/header.h"

struct command_error
fault_reply(unsigned data, unsigned header, bool several_from)
{
	if (data & (DATA_BARE_LF | DATA_BARE_CR))
		return (struct command_error){ 550, "5.5.2", "bare CR or LF in the message: lines end in CR LF" };
	if (data & DATA_NUL)
		return (struct command_error){ 550, "5.6.0", "NUL in the message" };
	if (data & DATA_TOO_BIG)
		return (struct command_error){ 552, "5.3.4", "message too big: more than this server takes" };
	if (data & DATA_LONG_LINE)
		return (struct command_error){ 550, "5.6.0", "a line of the message is too long" };
	if (header & (HEADER_TOO_BIG | HEADER_TOO_MANY))
		return (struct command_error){ 552, "5.3.4", "message header too big" };
	if (header & HEADER_MEMORY)
		return (struct command_error){ 451, "4.3.0", "out of memory, try again later" };
	if (header & HEADER_BAD_NAME)
		return (struct command_error){ 550, "5.6.0", "a header field has blanks before its colon" };
	if ((header & HEADER_SEVERAL_FROM) && !several_from)
		return (struct command_error){ 550, "5.7.1", "more than one From field" };
	return (struct command_error){ 0, NULL, NULL };
}
