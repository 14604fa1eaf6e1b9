/*
 * report.h - what a reporter needs to know for aggregate reports (RFC 7489 7.2, appendix C): one JSON object a line.
 */
#ifndef DMARC_REPORT_H
#define DMARC_REPORT_H

#include "dmarc/judge.h"
#include "mailauth/text.h"

enum { REPORT_MAX = 32768, REPORT_RCPTS_MAX = 64 };

struct report {
	int64_t time; /* seconds since the epoch */
	struct sp_ip client;
	struct sp_span header_from, envelope_from; /* domains; envelope_from "": <> */
	const struct sp_span *rcpts; /* domains */
	size_t rcpt_count;
	enum org_way way;
	const struct org_found *found;
	const struct verdict *verdict;
};

/* Opens the file of reports to append to it; where it is made, by root, it becomes its folder's owner's. -1: errno. */
int report_open(const char *path);
/* A JSON string: octets that are no UTF-8 become U+FFFD each. */
void report_string(struct writer *w, struct sp_span s);
/* One line with its line end. w->full: it does not fit. The results are read from the transaction. */
void report_write(struct writer *w, struct sp_ctx *ctx, const struct report *r);

#endif
