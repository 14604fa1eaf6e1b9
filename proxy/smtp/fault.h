/*
 * fault.h - what is wrong with a message whatever any rule says.
 */
#ifndef PROXY_SMTP_FAULT_H
#define PROXY_SMTP_FAULT_H

#include <stdbool.h>

#include "proxy/smtp/command.h"

/* The reply to a message with these faults, bits of enum data_fault and of enum header_fault; code 0: there is none. */
struct command_error fault_reply(unsigned data, unsigned header, bool several_from);

#endif
