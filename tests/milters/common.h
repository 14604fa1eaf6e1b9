/*
 * common.h - what the test milters that are linked with libmilter share.
 *
 * A SOCKET is libmilter's: "unix:/path" or "inet:port@127.0.0.1".  Who starts one knows that it is ready when it can connect.
 */
#ifndef TESTS_MILTERS_COMMON_H
#define TESTS_MILTERS_COMMON_H

#include <stdbool.h>
#include <stddef.h>

#include <libmilter/mfapi.h>

/* Serves until SIGTERM; the exit status of the program. */
int milter_serve(const char *socket_name, struct smfiDesc *d);

/* Splits off the first word at one blank, and moves *rest behind it; "" at the end. In place. */
char *milter_word(char **rest);
/* Whole numbers below 2^31 only; false: it is none. */
bool milter_number(const char *text, int *ret);
/* \r \n \t \s (a blank) \\ \xHH, in place. */
void milter_unescape(char *text);

/* A verdict by its name: continue accept reject tempfail discard skip, or "reply CODE ENHANCED TEXT", whose TEXT may hold "\n"
 * between up to four lines. False: no such verdict, or libmilter does not take the reply. text is written into. */
bool milter_verdict(SMFICTX *ctx, char *text, sfsistat *ret);

#endif
