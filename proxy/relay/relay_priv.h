/*
 * relay_priv.h - what the parts of the relay share: answers, connections, the backend with its
 * pool.
 *
 * answer.c words what the client is told; conn.c speaks on one connection; route.c says which
 * addresses there are; open.c greets; backend.c keeps idle connections; relay.c runs the
 * transaction, batch.c its envelope, send.c its message (chunks.c if by BDAT), lmtp.c what it gets in reply from LMTP; sink.c files it on disk instead.
 */
#ifndef PROXY_RELAY_RELAY_PRIV_H
#define PROXY_RELAY_RELAY_PRIV_H

#include "policy/kit/arena.h"
#include "policy/kit/buf.h"
#include "proxy/relay/relay.h"
#include "proxy/rt/rt.h"
#include "proxy/smtp/reply.h"

/* What can go wrong at the backend. Each has a word for the log and a reply of ours (answer.c). */
enum relay_fault {
	FAULT_NONE,
	FAULT_REFUSED,  /* no connection, on any address */
	FAULT_NOANSWER, /* an address does not answer at all */
	FAULT_TIMEOUT,
	FAULT_CLOSED,    /* EOF or reset */
	FAULT_GARBAGE,   /* not a reply, or one of a class that does not fit the command */
	FAULT_BUSY,      /* 421 */
	FAULT_DESYNC,    /* it spoke unasked */
	FAULT_LIMIT,     /* its reply is too long */
	FAULT_DNS,       /* its name could not be looked up now */
	FAULT_NOROUTE,   /* its name has no address, or says that it takes no mail */
	FAULT_GREETING,  /* it refuses our banner or EHLO exchange for good */
	FAULT_TLS,       /* no TLS where it must be, or not with whom it must be */
	FAULT_EXTENSION, /* it no longer offers what the client was offered */
	FAULT_INTRODUCE, /* it cannot be told, or shown, who the client is */
	FAULT_REPLAY,    /* asked again after a lost connection, it answered otherwise */
	FAULT_COMMIT,    /* we were told not to commit */
	FAULT_SPOOL,     /* the message cannot be read back */
	FAULT_DISK,      /* the sink cannot write */
	FAULT_LOCAL,     /* memory, or the session is being ended */
	FAULTS
};

/* The last answer, and the memory of its text. */
struct answer {
	int code;
	char enhanced[12];
	bool backend;
	struct buf text;
};
void answer_init(struct answer *a);
void answer_fini(struct answer *a);
void answer_own(struct answer *a, int code, const char *enhanced, struct sp_span text);
void answer_fault(struct answer *a, enum relay_fault fault);
/* The backend's own code and text, but for 421, which becomes 451. */
void answer_backend(struct answer *a, const struct smtp_reply *reply);
/* Its text under our 451; its enhanced code too, if that is a temporary one. */
void answer_deferred(struct answer *a, const struct smtp_reply *reply, const char *enhanced);
void answer_out(const struct answer *a, struct relay_reply *ret);
const char *fault_word(enum relay_fault fault);

/* One connection to a backend, between two commands except inside a call. */
struct conn {
	struct conn *next; /* in the pool */
	struct stream *stream;
	struct reply_parser parser; /* the last reply is in parser.reply until the next is read */
	bool replied;               /* parser holds a reply that is used up */
	struct relay_offer offer;
	bool dirty; /* a MAIL was sent since the last end of a transaction: RSET before the next */
	bool alone; /* AUTH was said on it: it is one client's, and never pooled */
	bool introduced; /* XCLIENT was said */
	int64_t idle_ms; /* since when it has been in the pool */
	char peer[64];
};
/* Takes the stream over, null included. Null: no memory. */
struct conn *conn_new(struct stream *s, const char *peer);
/* Closes at once, without a word. Accepts null. */
void conn_free(struct conn **c);
/* Writes QUIT and closes; does not wait for the answer. Only between commands; from any stack,
 * before rt_fini(). */
void conn_quit(struct conn **c);
enum relay_fault conn_write(struct conn *c, struct sp_span bytes, int64_t deadline_ms);
enum relay_fault conn_flush(struct conn *c, int64_t deadline_ms);
/* Reads one whole reply by the deadline, however slowly it drips in. */
enum relay_fault conn_reply(struct conn *c, int64_t deadline_ms);
/* The same for EHLO: lines past the 64th are thrown away. */
enum relay_fault conn_reply_ehlo(struct conn *c, int64_t deadline_ms);
/* Has it spoken unasked, or gone? Looks, does not wait. */
bool conn_stirred(struct conn *c);
/* Before a command: if it has stirred, what that is: CLOSED, BUSY (its goodbye), or DESYNC. */
enum relay_fault conn_quiet(struct conn *c);
enum relay_fault fault_of(enum sp_status st);

static inline const struct smtp_reply *
conn_last(const struct conn *c)
{
	return &c->parser.reply;
}

static inline int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

struct relay_backend {
	struct arena *arena; /* the configuration's */
	struct relay_config config;
	struct relay_offer offer;
	int64_t asked_ms;    /* when EHLO last said it */
	int64_t quiet_until; /* no probe before, since the last one failed */
	bool probing;
	struct rt_event probed;
	struct conn *idle; /* newest first */
	size_t idle_count;
	size_t relays;
	const char *tls_error; /* why the last handshake failed, or null */
	uint64_t filed; /* messages in the sink */
	char banner[512];   /* the first line that it greeted us with last */
	bool spared;        /* it is not well, see health.c */
	unsigned failures;  /* in a row */
	int64_t latency_ms; /* smoothed */
	bool only;          /* it is at the other end of one connection, and nowhere else */
	struct conn *given; /* that connection, until a relay takes it */
};

/* ---- health.c: how it fares ---- */

/* Something went wrong at it. */
void health_failed(struct relay_backend *b, enum relay_fault fault);
/* It answered MAIL so, and took so long over it. */
void health_answered(struct relay_backend *b, int code, int64_t ms);
/* So long it took over the final dot. */
void health_took(struct relay_backend *b, int64_t ms);
/* A probe was greeted; so long did that take. */
void health_probed(struct relay_backend *b, int64_t ms);

/* Connects to the first address that greets us, in the client's name where that is asked for. On failure why says what the
 * client is told. */
struct opening {
	struct relay_backend *backend;
	const struct relay_client *client; /* null: our own errand */
	int64_t deadline_ms;
	struct answer *why;
};
enum relay_fault backend_open(const struct opening *o, struct conn **ret);
/* The same on a connection that stands: banner, EHLO, and what changes the connection so that EHLO is due again: TLS, the
 * client's name. */
enum relay_fault open_greet(const struct opening *o, struct conn *c);

/* ---- introduce.c: whose connection it is ---- */

/* Before the first octet from the backend: PROXY. */
enum relay_fault introduce_first(const struct opening *o, struct conn *c);
/* Once EHLO is answered: XCLIENT. *ret_again: EHLO must be said once more. */
enum relay_fault introduce_greeted(const struct opening *o, struct conn *c, bool *ret_again);
/* Before each MAIL: XFORWARD. */
enum relay_fault introduce_mail(struct relay *r, int64_t limit_ms);
/* The address that the backend is to see; null: ours. */
const struct sp_ip *introduce_from(const struct opening *o);
/* The name that EHLO says: the client's once the backend knows the client, else ours. */
struct sp_span introduce_helo(const struct opening *o, const struct conn *c);
/* Is a connection to this backend one client's alone? */
bool introduce_binds(const struct relay_config *config);

/* ---- secure.c: TLS to the backend ---- */

/* Right after connecting, where TLS comes before everything (RFC 8314). */
enum relay_fault secure_first(const struct opening *o, struct conn *c);
/* Once EHLO is answered: STARTTLS (RFC 3207). *ret_again: EHLO must be said once more. */
enum relay_fault secure_greeted(const struct opening *o, struct conn *c, bool *ret_again);

/* ---- backend.c ---- */

/* An idle connection that is still good, or null. */
struct conn *backend_take(struct relay_backend *b);
/* Keeps it, or closes it with QUIT. */
void backend_give(struct relay_backend *b, struct conn **c);

/* The addresses of a backend, one after the other. */
struct route {
	const struct relay_config *config;
	size_t host; /* next endpoint, or next MX */
	bool mx_asked;
	struct sp_mxs mxs;
	struct sp_addrs addrs; /* of the present host */
	size_t addr;
	uint16_t port;
	struct arena *arena;    /* made when a name is looked up */
	enum relay_fault fault; /* of the last look-up that failed */
};
void route_init(struct route *r, const struct relay_config *config);
void route_fini(struct route *r);
/* False: there are no more. May suspend (DNS). */
bool route_next(struct route *r, int64_t deadline_ms, struct net_endpoint *ret);

struct rcpt {
	struct rcpt *next;
	struct sp_span address, params;
	int code; /* the backend's last answer */
	struct sp_span text; /* LMTP: what it said of this one after the dot */
	char enhanced[12];
};

struct relay {
	struct relay_backend *backend;
	struct relay_client client;
	struct arena *client_arena; /* its texts */
	struct conn *conn;   /* null: none, or (when open) lost and noted by relay_tick() */
	struct arena *arena; /* the transaction's */
	struct relay_envelope envelope;
	int64_t deadline_ms;
	struct rcpt *first, **last; /* accepted */
	const struct rcpt *results; /* LMTP: those that were answered after the dot */
	size_t accepted;
	bool open;          /* the backend took MAIL */
	bool failed;        /* answer goes to every later call of the transaction */
	bool mail_answered; /* since the connection was last taken up */
	int64_t spoke_ms;   /* when the backend last answered */
	enum { LOGIN_NONE, LOGIN_GOING, LOGIN_DONE } login; /* DONE: conn is the only one that will do */
	struct answer answer;
	struct relay_facts facts;
	char queue_id[160];
};

/* What of an envelope is still to be sent, or still to be answered. */
struct batch {
	bool rset, mail;
	struct rcpt *rcpt; /* this one and those after it */
};
/* Sends the batch on r->conn and takes the replies into r and the recipients. Stops at a refused
 * MAIL: r->failed is then set, and no fault returned. On a fault r->answer is set. */
enum relay_fault batch_run(struct relay *r, struct batch send, int64_t limit_ms);

/* The transaction fails: r->answer is what every later call gets; the connection is closed. */
void relay_fail(struct relay *r, enum relay_fault fault);
/* Says a command outside of all transactions, argument {null, 0}: without one, and reads its reply. */
enum relay_fault relay_ask(struct relay *r, struct sp_span verb, struct sp_span argument);
/* One reply within the time-out of its kind. On a fault r->answer is set. */
enum relay_fault relay_await(struct relay *r, int64_t timeout_ms, int64_t limit_ms);
/* Connects anew and says MAIL and the accepted RCPTs again. On a fault r->answer is set. */
enum relay_fault relay_replay(struct relay *r, int64_t limit_ms);
/* Milliseconds for which a backend that waits in a transaction is left alone. */
enum { RELAY_NOOP_MS = 60000 };

/* ---- lmtp.c ---- */

/* The replies to our dot, one for each accepted recipient, folded into r->answer. On a fault r->answer is set, too. */
enum relay_fault lmtp_replies(struct relay *r, int64_t limit_ms);
/* After 353 to our dot: the same, then the one reply that speaks for the message. */
enum relay_fault prdr_replies(struct relay *r, int64_t limit_ms);

/* ---- auth.c ---- */

/* Is a new connection, or another than the one that the client has logged in on, asked for? r->answer is set then. */
bool login_bars(struct relay *r, bool fresh);

/* ---- atrn.c ---- */

/* The relay takes the only connection of its backend, or is without one for good. */
void given_take(struct relay *r);

/* ---- send.c and chunks.c: the message ---- */

/* How far a relay_send() has come. */
enum step {
	STEP_DONE,  /* go on */
	STEP_FAILED /* r->answer is set, and the connection closed if it had to be */
};
enum step send_fail(struct relay *r, enum relay_fault fault);
/* The backend spoke (or went) before it had all: a refusal is passed on, all else is a fault. */
enum step send_early(struct relay *r);
/* A write failed: a backend that refuses and closes may have left its reason. */
enum step send_broken(struct relay *r, enum relay_fault fault);
/* The last question before the message counts (P8). */
enum step send_commit(struct relay *r, const struct relay_message *m);
/* For the next piece. */
int64_t send_deadline(const struct relay *r);
/* All of the message by BDAT, up to but without the reply to the last chunk. */
enum step chunks_send(struct relay *r, const struct relay_message *m);

/* Sink: the same three steps on disk. */
void sink_rcpt(struct relay *r, struct rcpt *rcpt);
enum relay_outcome sink_send(struct relay *r, const struct relay_message *m);

#endif
