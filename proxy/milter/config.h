/*
 * config.h - what a policy file may say when the program behind it is a milter, and that turned into a struct.
 *
 * The rules, tables and filters are those of the gateway; listeners and backends are the mail server's own affair, and are refused.
 */
#ifndef PROXY_MILTER_CONFIG_H
#define PROXY_MILTER_CONFIG_H

#include "policy/policy.h"
#include "proxy/dns/dns.h"
#include "proxy/session/log.h"
#include "proxy/spool/spool.h"

/* Const once it is built; all threads read it. */
struct milter_config {
	struct policy *policy;
	struct arena *arena;
	const char *socket; /* as libmilter wants it: "inet:8891@127.0.0.1", "unix:/path"; null: none was named */
	const char *socket_group, *user; /* null: none */
	const char *log;
	enum log_format log_format;
	const char *hostname, *auth_id;
	bool write_results;
	bool several_from;  /* a message with several From fields is taken */
	bool bare;          /* so are bare CR, bare LF and NUL in a body */
	bool shadow;
	int64_t message_size; /* octets at most */
	size_t header_size, text_line, recipients;
	int64_t filter_ms, dns_ms;
	struct dns_config dns;
	struct spool_config spool;
};

/* The environment in which its policies are compiled. */
const struct policy_env *milter_env(void);
/* Null when there was an error; d has the messages. Freed by milter_config_free(). */
struct milter_config *milter_config_load(const char *path, struct policy_diag *d);
struct milter_config *milter_config_load_text(const char *name, struct sp_span text, struct policy_diag *d);
void milter_config_free(struct milter_config **c);
/* An endpoint as libmilter wants it, "127.0.0.1:8891" or "unix:/path"; what begins with "inet:", "inet6:", "unix:" or "local:" is
 * taken as it is. In c's memory; null: it is neither. */
const char *milter_config_socket(struct milter_config *c, const char *text);

#endif
