/*
 * findings.h - what filters and rules have found, as fields of a transaction's log line; for whoever writes one.
 */
#ifndef PROXY_SESSION_FINDINGS_H
#define PROXY_SESSION_FINDINGS_H

#include "proxy/inspect/inspect.h"

/* auth= where a filter has stated something, score=, rules=, tags=, edits=, and note= where a rule logs a text. */
void log_findings(struct inspect *i);

#endif
