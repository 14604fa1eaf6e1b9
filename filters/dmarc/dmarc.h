/*
 * dmarc.h - what one use of the module "dmarc" and one transaction of it hold.
 */
#ifndef DMARC_DMARC_H
#define DMARC_DMARC_H

#include "dmarc/judge.h"
#include "dmarc/report.h"
#include "mailauth/mailbox.h"

struct dmarc_conf {
	int64_t discovery; /* enum org_way */
	const char *psl, *reports;
	psl_ctx_t *list; /* by load */
	int report_fd;   /* by load; -1: no reports */
	struct org org;  /* by load */
	uint64_t lots;   /* by load: a random number, what lots begin with */
};

struct dmarc_session {
	struct sp_ip client;
};

struct dmarc_tx {
	struct sp_span sender; /* its domain; "": <>, or HELO names it */
	bool null_sender;
	struct sp_span rcpts[REPORT_RCPTS_MAX]; /* domains, each once; kept for reports only */
	size_t rcpt_count;

	size_t from_fields;
	enum mailbox_count from; /* MAILBOX_SEVERAL for several fields too */
	char from_memory[DOMAIN_MAX + 1];
	struct sp_span from_domain;
	uint64_t lot; /* a hash of what a message has in common with its retry */

	bool known; /* the record could be asked for */
	struct org_found found;
};

#endif
