/*
 * relay.h - the backend's side of a transaction (RFC 5321 4.5.3.2; CASES A.7, B.1, B.2, E.2).
 *
 * A struct relay_backend is one "backend NAME { }" in one worker: its addresses, what it offered at the last
 * EHLO, and a pool of idle connections.  A struct relay belongs to one client session and holds at
 * most one connection of it; the connection stays for the client's next transaction and goes to the pool after.
 *
 * What the backend says is untrusted text: every reply is parsed, classed and rebuilt.  No reply is upgraded, 421
 * never reaches a client, and after our final dot nothing is ever sent again (P4, P6).
 */
#ifndef PROXY_RELAY_RELAY_H
#define PROXY_RELAY_RELAY_H

#include "policy/kit/arena.h"
#include "proxy/net/net.h"
#include "proxy/smtp/extension.h"
#include "proxy/spool/spool.h"

struct relay_timeouts { /* milliseconds */
	int64_t connect, banner, ehlo, mail, rcpt, data, block, dot, quit;
};
extern const struct relay_timeouts relay_timeouts_default; /* CASES B.2: 10 s, 60, 60, 120, 120, 60, 180, 590, 5 */

struct relay_config {
	const char *name;
	const char *helo;               /* our own name */
	const struct net_endpoint *endpoints; /* tried in order; NET_HOST is looked up (A and AAAA) */
	size_t endpoint_count;
	const char *mx;                 /* instead: the domain whose MX hosts are tried, port 25; or null */
	const char *sink;               /* instead: file messages as Maildir in this folder (made if its parent is there),
	                                 * with Return-Path and Delivered-To put in front; or null */
	size_t pool;                    /* idle connections kept, default 20; 0: none are kept over sessions */
	int64_t pool_idle_ms;           /* default 30 s */
	bool maintenance;               /* it gets nothing, not even probes */
	unsigned max_failures;          /* in a row, above which it is spared; 0: none */
	int64_t high_latency_ms;        /* the same for how long it takes to answer */
	bool lmtp;                      /* RFC 2033: LHLO, and after the dot a reply for each recipient */
	enum { RELAY_TLS_OFF, RELAY_TLS_MAY, RELAY_TLS_REQUIRE } tls; /* MAY: where it is offered */
	bool tls_implicit;              /* TLS before the banner (RFC 8314), unless OFF */
	struct tls_context *tls_context; /* whom we believe; lives with the policy; null only with OFF */
	/* What it is told of each client, so that a connection is one client's alone: */
	bool xclient;                   /* XCLIENT; where that cannot be, no mail goes there */
	int proxy;                      /* a PROXY header of version 1 or 2; 0: none */
	bool as_client;                 /* it sees the client's own address (IP_TRANSPARENT) */
	bool xforward;                  /* and for its log: XFORWARD before each mail, where it is offered */
	struct relay_timeouts timeouts;
};

struct relay_backend;
/* Copies the configuration. Null: no memory. */
struct relay_backend *relay_backend_new(const struct relay_config *c);
/* Closes pooled connections with QUIT. No relay may be left, and rt_fini() must not have been called. */
void relay_backend_free(struct relay_backend **b);
/* Closes idle connections that are past their time: to be called every few seconds. */
void relay_backend_sweep(struct relay_backend *b);

/* What EHLO said when last asked. */
struct relay_offer {
	bool known;          /* asked with success at least once */
	uint32_t extensions; /* EXT_BIT() of each that we know */
	int64_t size_max;    /* 0: no limit named */
	char auth[256];      /* mechanisms, as written */
	char xclient[160], xforward[160]; /* attributes, as written */
	char deliverby[16], mt_priority[32], futurerelease[48]; /* as written */
	int64_t mail_max, rcpt_max, domain_max; /* LIMITS (RFC 9422); 0: not named */
};
static inline bool
relay_offers(const struct relay_offer *o, enum extension e)
{
	return (o->extensions & EXT_BIT(e)) != 0;
}
struct relay_offer relay_backend_offer(const struct relay_backend *b);
/* The first line of the banner with which it last greeted us, printable ASCII, without the code; "" before that. */
struct sp_span relay_backend_banner(const struct relay_backend *b);
/* Asks now, if not known or older than max_age_ms; a failure leaves what was known. Suspends, but
 * for when it is being asked already: then nothing is done. */
void relay_backend_probe(struct relay_backend *b, int64_t max_age_ms);

/* Why it should get no mail now; null: it can have it. */
const char *relay_backend_spared(const struct relay_backend *b);

/* A reply fit for the client: class as the backend's or 451; text clean, "\n" between lines, in the relay's memory
 * until the next call. */
struct relay_reply {
	int code;
	char enhanced[12];
	struct sp_span text;
	bool backend;      /* the backend's own words; else ours about it */
};

/* If nothing is known yet, but the first probe is under way, waits for its end, at most until the deadline. Suspends. */
void relay_backend_await(struct relay_backend *b, int64_t deadline_ms);

/* Who the client is, for backends that are to be told. Spans are copied; "" where something is not known. */
struct relay_client {
	struct sp_ip ip;       /* family 0: nobody, it is our own errand */
	uint16_t port;
	struct sp_ip local_ip; /* where the client had connected to */
	uint16_t local_port;
	struct sp_span name;   /* confirmed reverse name */
	bool name_unknown;     /* it cannot be found out now */
	struct sp_span helo;
	struct sp_span user;   /* who has logged in */
	bool esmtp, tls;
};

struct relay;
struct relay *relay_new(struct relay_backend *b); /* null: no memory */
/* The session ends: the connection goes to the pool if it is clean, else QUIT or close. Never suspends. */
void relay_free(struct relay **r);

/* Does the backend want to know who the client is? Else nothing need be found out for relay_introduce(). */
bool relay_names_client(const struct relay *r);
/* Says who the client is, before the first transaction and whenever it changes.  Where the backend was told otherwise, the
 * connection is not used any more.  SP_SYSTEM: no memory. */
enum sp_status relay_introduce(struct relay *r, const struct relay_client *c);

/* ETRN (RFC 1985), outside of a transaction: the backend's own reply, or 458 where it cannot be asked. */
void relay_etrn(struct relay *r, struct sp_span node, struct relay_reply *ret);

/* ATRN (RFC 2645), outside of a transaction and after a login; domains {null, 0}: none.  250: the backend waits to be spoken to as by
 * a server, and relay_turn() or relay_free() must come next.  Else its refusal, or 451 where it was lost. */
void relay_atrn(struct relay *r, struct sp_span domains, struct relay_reply *ret);
/* Takes its stream out of the relay; the caller frees it. */
struct stream *relay_turn(struct relay *r);
/* A backend that is at the other end of this stream and nowhere else: its banner is awaited, EHLO said to it. Takes the stream over.
 * If it does not greet us, its offer is not known, and it takes nothing. Suspends. Null: no memory. */
struct relay_backend *relay_backend_given(const struct relay_config *config, struct stream *s, const char *peer,
	int64_t deadline_ms);

/* AUTH (RFC 4954), outside of a transaction.  The reply's code is 334 (text: the challenge, base64 of at most SASL_LINE octets), to
 * be answered by relay_auth_continue(); 235: from now on the connection is this client's; or a refusal, 454 4.7.0 where
 * the backend was lost.  initial null: none; "=": empty. An answer of "*" cancels. */
void relay_auth_begin(struct relay *r, struct sp_span mechanism, struct sp_span initial, struct relay_reply *ret);
void relay_auth_continue(struct relay *r, struct sp_span answer, struct relay_reply *ret);
/* The client had logged in, and that connection is no more. Looks, does not wait. */
bool relay_auth_lost(struct relay *r);

/* Begins a transaction. Nothing is sent yet. deadline: the transaction's time budget; every later wait ends by it. */
struct relay_envelope {
	struct sp_span sender;  /* verbatim, "" for <> */
	int64_t size;           /* -1: not given */
	const char *body;       /* BODY=, static: 7BIT, which is said where it may be; 8BITMIME, BINARYMIME; null: not given */
	struct sp_span params;  /* of MAIL but for SIZE and BODY, as they are to be written: " RET=HDRS ENVID=x"; "": none */
	struct sp_span ident;   /* our name for the transaction, for the backend's log; "": none */
	uint32_t needs;         /* EXT_BIT() of what the backend must offer for this message */
	bool each;              /* a reply for each recipient is wanted (PRDR), where the backend offers it */
};
enum sp_status relay_begin(struct relay *r, const struct relay_envelope *e, int64_t deadline_ms);
/* The next recipient needs these extensions, too (EXT_BIT()). False: the backend that has our MAIL lacks one. */
bool relay_need(struct relay *r, uint32_t needs);
/* One recipient. At the first: connects (or reuses), and sends MAIL and RCPT together where PIPELINING was offered.
 * ret is always set: 250 class, or what the client is to be told. If MAIL was refused, each recipient gets that.
 * A reused connection that turns out dead before any reply is replaced once.  params: " NOTIFY=NEVER", as they are to be
 * written; "": none. */
void relay_rcpt(struct relay *r, struct sp_span address, struct sp_span params, struct relay_reply *ret);
/* From now on the transaction's waits end by this instead. */
void relay_limit(struct relay *r, int64_t deadline_ms);
/* While the client uploads: sends NOOP when the connection has been idle for long (default 60 s), so that it lives.
 * If it has gone, that is noted, and relay_send() replays the envelope once: all verdicts in the same class, else 451. */
void relay_tick(struct relay *r);

struct relay_message {
	struct sp_span head;    /* wire form (dots stuffed): trace header, edited header */
	struct spool *spool;    /* wire form, sealed; null: head is all */
	int64_t from;           /* first octet of the spool to send */
	bool unended;           /* the last octets are no CRLF: goes by BDAT where that can be, else DATA puts one behind it */
	/* Asked just before the final dot (P8): false means do not commit; the reply is then 451 4.3.0 with B0. */
	bool (*commit)(void *arg);
	void *arg;
	int64_t reply_deadline_ms; /* until when the client can be told */
};
enum relay_outcome {
	RELAY_NOT_SENT,  /* no dot was written: the backend has nothing */
	RELAY_ANSWERED,  /* the backend answered our dot */
	RELAY_UNKNOWN    /* dot written, no answer: it may or may not have it */
};
/* DATA, the message, the final dot, the backend's answer; or, for an envelope that needs BINARYMIME and a message that is unended,
 * BDAT with "LAST". Neither DATA nor BDAT is sent before this is called. */
enum relay_outcome relay_send(struct relay *r, const struct relay_message *m, struct relay_reply *ret);
/* Ends the transaction without a message (refused, aborted, RSET): the connection is reset when next used. */
void relay_abort(struct relay *r);
/* Recipients of this transaction that the backend accepted. It stays so when the backend is lost afterwards;
 * relay_send() then gives the 451. */
size_t relay_accepted(const struct relay *r);

/* For the log line; valid until the next relay_begin(). */
struct relay_facts {
	const char *name;        /* of the backend, as in the policy */
	char peer[64];           /* address:port of the backend used; "-" */
	struct sp_span queue_id; /* "" */
	bool reused;             /* an idle connection served */
	bool replayed;
	bool chunked;            /* the message went by BDAT */
	bool completed;          /* it got the CRLF that it lacked */
	bool sender_refused;     /* the backend has refused MAIL */
	bool partly;             /* of several recipients some have the message, and the client was told that it is not taken */
	const char *fault;       /* what went wrong, one word; or null: refused timeout closed garbage 421 desync limit dns
	                          * noroute greeting extension replay commit spool disk local tls introduce */
	const char *tls;         /* version to the backend, or null; of the library, as the next */
	const char *tls_error;   /* with fault tls: why, or null */
	int64_t connect_ns;      /* how long connecting and greeting took; 0: nothing was connected */
	int64_t dot_ns, reply_ns; /* by rt_now_ns(): when our dot was written; when its reply came (or was given up) */
};
const struct relay_facts *relay_facts(const struct relay *r);
/* What a backend with a reply for each recipient (LMTP, PRDR) said of them, in their order; until the next relay_begin(). SP_NONE past the last. */
struct relay_result {
	struct sp_span address, text; /* as in a struct relay_reply */
	int code; /* 0: it is not known what became of this one */
	char enhanced[12];
};
enum sp_status relay_result(const struct relay *r, size_t index, struct relay_result *ret);

#endif
