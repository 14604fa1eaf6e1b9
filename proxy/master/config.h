/*
 * config.h - what a policy file may say about the gateway itself, and that turned into structs.
 *
 * The tables here are the one list of settings: the compiler checks a file against them, and the manual
 * lists them.  A struct config belongs to one policy generation and lives as long as it.
 */
#ifndef PROXY_MASTER_CONFIG_H
#define PROXY_MASTER_CONFIG_H

#include "policy/policy.h"
#include "proxy/dns/dns.h"
#include "proxy/net/net.h"
#include "proxy/relay/relay.h"
#include "proxy/session/log.h"
#include "proxy/session/session.h"
#include "proxy/spool/spool.h"

/* Block kinds "", listen, backend, spool, with their settings: for struct policy_env. */
extern const struct policy_block_decl config_blocks[];

/* The environment in which every policy of this program is compiled: facts, blocks, modules, services. */
const struct policy_env *config_env(void);

struct config_listener {
	struct net_endpoint endpoint;
	struct session_config session;
	size_t backend; /* index */
	bool open;      /* not only programs of this machine reach it */
	bool transparent;    /* each connection goes to the server that it was meant for */
	unsigned per_client; /* connections of one address (IPv6: of one /64) */
	unsigned connections; /* of the listener in one worker */
};

struct config_backend {
	struct relay_config relay;
	struct session_route route;
};

/* What the command line says instead of the policy; null: as the policy says. */
struct config_override {
	const char *listen;   /* all listeners' endpoints */
	const char *backend;  /* all backends' only address */
	const char *resolver, *log;
	struct sp_net trust_proxy;
};

struct config {
	struct policy *policy;
	struct arena *arena;
	struct config_listener *listeners;
	size_t listener_count;
	struct config_backend *backends;
	struct config_listener *atrns; /* the atrn blocks; they have no socket */
	size_t atrn_count;
	const struct session_route **routes; /* those of the backends, in their order */
	size_t backend_count;
	struct dns_config dns;
	struct spool_config spool;
	const char *log;
	enum log_format log_format;
	const char *user; /* null: as started */
	unsigned workers;
	int64_t drain_ms, hurry_ms; /* after SIGTERM: idle ones at once; transactions are cut off after drain_ms; the end after hurry_ms */
	unsigned generation;
	struct config_override override;
};

/* Compiles path and checks what only the program can know (a listener's backend, never an open relay).
 * Null when there was an error; d has the messages. Freed by config_free(). */
struct config *config_load(const char *path, unsigned generation, const struct config_override *o,
	struct policy_diag *d);
struct config *config_load_text(const char *name, struct sp_span text, unsigned generation, struct policy_diag *d);
void config_free(struct config **c);
/* logins.c: AUTH and submission of a listener. */
void config_logins(const struct config *c, const struct policy_block *b, struct config_listener *l, struct policy_diag *d);
/* What a listener's session is by its block alone, wherever it is served. */
void config_session(struct config *c, const struct policy_block *b, struct config_listener *l, struct policy_diag *d);
/* atrn.c: the atrn blocks, told to the listeners. */
void config_atrn(struct config *c, struct policy_diag *d);
/* naming.c: the banner, and whether we go by the backend's name. */
void config_naming(const struct config *c, const struct policy_block *b, struct session_config *ret, struct policy_diag *d);
/* routes.c: which backend takes what and how, told to the listeners; what of that cannot be. */
void config_routes(struct config *c, struct policy_diag *d);
/* secure.c: the TLS settings of a block. */
void config_listener_tls(struct config *c, const struct policy_block *b, struct config_listener *l, struct policy_diag *d);
void config_backend_tls(struct config *c, const struct policy_block *b, struct relay_config *r, struct policy_diag *d);
void config_tls_free(struct config *c);
/* Applies "run --shadow" to all listeners. */
void config_shadow(struct config *c);

#endif
