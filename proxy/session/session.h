/*
 * session.h - one client's SMTP session (RFC 5321, 1870, 2034, 2920, 6152), written straight down as a coroutine.
 *
 * It owns the bytes and the state automaton; it asks proxy/inspect what filters and policy say and proxy/relay
 * what the backend says, and carries out the strictest of them.
 */
#ifndef PROXY_SESSION_SESSION_H
#define PROXY_SESSION_SESSION_H

#include "policy/policy.h"
#include "proxy/net/net.h"
#include "proxy/relay/relay.h"

struct tls_context;
struct address;

struct session_limits {
	int64_t message_size;  /* octets */
	size_t header_size, text_line;
	size_t recipients;     /* of one transaction: 452 4.5.3 above */
	unsigned errors, junk, bad_recipients; /* per session: then 421 4.7.0 */
	unsigned hops;         /* Received fields: 554 5.4.6 above */
};

struct session_timeouts { /* milliseconds */
	int64_t command;    /* a whole command line */
	int64_t block;      /* between two pieces of a message */
	int64_t slow;       /* over so long a time at least min_rate octets a second must come */
	int64_t min_rate;
	int64_t commit;     /* from the client's dot to ours: else 451 */
	int64_t reply;      /* from the client's dot until which it can be told */
	int64_t filters;    /* all filters of a transaction together */
	int64_t dns;        /* all their questions to the DNS */
	int64_t greet;      /* silence before the banner; 0: none */
};

/* A backend as sessions see it. Shared, const, lives with the policy. */
struct session_route {
	const struct policy_block *block; /* for its name and "for" */
	bool alone;                       /* it takes one recipient in a transaction */
	bool lmtp;                        /* it has a reply for each recipient */
};

struct session_auth {
	enum { AUTH_OFF, AUTH_OFFER, AUTH_REQUIRE } mode; /* REQUIRE: before MAIL */
	bool plaintext;   /* without TLS, too */
	bool relays;      /* who has logged in may send to any domain */
	bool submission;  /* RFC 6409: what a message lacks is put into it */
	bool owned;       /* "senders" says who may use which addresses */
	unsigned max_failures; /* in a session: 421 4.7.0 for the next AUTH */
	unsigned max_client_failures; /* of a client in an hour */
};

/* A listener as its sessions see it. Shared, const, lives with the policy. */
struct session_config {
	struct sp_span listener; /* as written in the policy: its name */
	const char *hostname;
	bool hostname_backend, banner_backend; /* the backend's name and words, once it has greeted us */
	const char *banner; /* what follows the name in ours */
	bool received;      /* a Received field is written */
	const char *auth_id;     /* how we call ourselves in Authentication-Results: a token, or the hostname */
	const struct policy *policy;
	const struct policy_block *block; /* for "relay to" and "relay for" */
	bool relay_as_backend; /* what the backend takes, is taken: it knows whom it has before it */
	bool relay_all;   /* what the backend takes, is taken: only from loopback to where the operator said so */
	const struct session_route *const *routes; /* all backends */
	size_t route_count, route; /* and the listener's own among them */
	bool relay_late;  /* the backend sees no RCPT before the verdict */
	bool space;       /* bare CR, LF, NUL become spaces; else refused */
	bool quoted_local;
	bool write_results;      /* our Authentication-Results go onto the message; forged ones are removed in any case */
	uint32_t withhold;       /* EXT_BIT() of what is never offered */
	uint32_t pass;           /* and of what is offered only because the operator said so */
	bool several_from;       /* a message with several From fields is taken; else 550 5.7.1 */
	struct tls_context *tls; /* null: there is no TLS */
	bool tls_required;       /* MAIL before TLS is refused */
	bool tls_implicit;       /* TLS before the banner (RFC 8314); a client that is refused at once is told nothing */
	struct session_auth auth;
	struct session_limits limits;
	struct session_timeouts timeouts;
	unsigned generation;     /* of the policy, for the log */
	bool shadow;             /* the whole policy only reports */
	const struct session_config *atrn; /* for what "atrn from" clients fetch; null: there is no ATRN */
	struct sp_net trust_proxy; /* beside "proxy protocol from": given on the command line; family 0: none */
};

/* Why a client is not served: told with 421. text null: it is. */
struct session_refusal {
	const char *enhanced, *text;
};

struct session_start {
	const struct session_config *config;
	struct relay_backend *backend;
	struct relay_backend *const *backends; /* all, in the order of config->routes */
	struct sp_ip ip;
	uint16_t port;
	const char *turned; /* after ATRN it is a backend that is served: the id of the session that said so; else null */
	/* Asked once, as soon as it is known who the client is: behind a PROXY line that is not the peer. */
	struct session_refusal (*admit)(void *arg, const struct sp_ip *client);
	/* Is room for connections getting scarce? Null: never. */
	bool (*crowded)(void *arg);
	/* Connections of this client that we have, this one among them; known once it is admitted. Null: one. */
	unsigned (*connections)(void *arg);
	void *arg;
};

/* Where mail for this domain goes, an index of c->routes; named: the backend that a rule has named, or "". */
size_t session_route_of(const struct session_config *c, struct sp_span named, struct sp_span domain);
/* Is it a client's certificate that opens "relay for certificates"?  fingerprint: as tls.client.fingerprint has it. */
bool session_may_relay_by(const struct session_config *c, struct sp_span fingerprint);
/* May a client at ip send to this recipient on this listener?  Else 550 5.7.1. */
bool session_may_relay(const struct session_config *c, const struct sp_ip *ip, const struct address *rcpt);

/* Serves until the client or we end it; frees the stream. Runs in a coroutine. */
void session_serve(struct stream *stream, const struct session_start *start);

/* From now on sessions are told 421 4.3.2 at the next command boundary outside of a transaction. */
void session_drain(void);
bool session_draining(void);
/* After this, transactions that have not reached our final dot are cut off too. */
void session_hurry(void);

#endif
