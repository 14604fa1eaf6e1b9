/*
 * macros.h - what a mail server tells a milter beside the commands: macros, by stage.
 */
#ifndef MILTER_MACROS_H
#define MILTER_MACROS_H

#include "milter/link.h"

/* Puts the macros of that stage in front of a command: those the milter has asked for, else those that mail servers send unasked.
 * May suspend, since a client's name is one of them. */
void macros_put(struct sp_ctx *ctx, struct link *l, enum milter_stage stage);

#endif
