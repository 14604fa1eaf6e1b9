/*
 * log.h - exactly one line per connection and per transaction, and a few others.
 *
 * logfmt ("key=value key="quoted value"") or JSON, one object a line.  A full disk or a blocked reader never blocks
 * mail: lines are dropped and counted, and the count is logged when writing works again.
 */
#ifndef PROXY_SESSION_LOG_H
#define PROXY_SESSION_LOG_H

#include "policy/kit/buf.h"

enum log_format { LOG_LOGFMT, LOG_JSON };

/* to: "stderr", "syslog", or a file's path (opened for appending). SP_SYSTEM: errno says why. */
enum sp_status log_open(const char *to, enum log_format format);
void log_flush(void); /* to be called at the end of each round of the loop */
void log_reopen(void); /* after a rotation */

/* A line is made of an event and fields, in this order: log_begin, log_text/log_int/..., log_end. One at a time. */
void log_begin(const char *event);
void log_text(const char *key, struct sp_span value); /* empty: "-" */
void log_int(const char *key, int64_t value);
void log_seconds(const char *key, int64_t ns); /* 0.412 */
void log_real(const char *key, double value);
void log_end(void);

/* event=message level=... text=... */
__attribute__((format(printf, 2, 3))) void log_message(enum sp_log_level level, const char *fmt, ...);

#endif
