/*
 * session_priv.h - the session's insides, for its own files.
 *
 *   session.c    its life: banner, lines, limits, farewell
 *   command.c    the table of commands {verb, states, check, proceed} and the simple ones
 *   ehlo.c       the reply to EHLO
 *   starttls.c   TLS with the client
 *   auth.c       AUTH
 *   guesses.c    who tries names and passwords
 *   submission.c what RFC 6409 asks of a message of our own users
 *   etrn.c       ETRN
 *   atrn.c       ATRN
 *   envelope.c   MAIL and RCPT
 *   naming.c     our name, and the banner
 *   prdr.c       a reply for each recipient
 *   replay.c     the envelope as it goes on, once the verdict has fallen
 *   relaying.c   who may relay
 *   routing.c    which backend a recipient goes to
 *   client.c     who the client is, and what the backend is told of it
 *   xclient.c    XCLIENT from peers that speak for others
 *   message.c    DATA, from 354 to the reply to the final dot; bdat.c: BDAT (see upload.h)
 *   account.c    what is logged
 */
#ifndef PROXY_SESSION_SESSION_PRIV_H
#define PROXY_SESSION_SESSION_PRIV_H

#include "proxy/inspect/inspect.h"
#include "proxy/net/tls.h"
#include "proxy/session/session.h"
#include "proxy/smtp/line.h"
#include "proxy/smtp/reply.h"
#include "proxy/smtp/sasl.h"

enum session_state { /* bits, so that a command's row can name several */
	STATE_NEW = 1,     /* no HELO yet */
	STATE_READY = 2,   /* HELO given, no transaction */
	STATE_MAIL = 4,    /* MAIL taken, no recipient yet */
	STATE_RCPT = 8,    /* at least one recipient taken */
	STATE_CHUNKS = 32, /* a first BDAT was taken: nothing but more of them until the last */
	STATE_REFUSED = 16 /* 554 was our banner: nothing but QUIT (RFC 5321 3.1) */
};

enum { SESSION_LINE = 2048, SESSION_TXID = 11 };

struct held_rcpt {
	struct sp_span address, params; /* of the transaction's arena */
	uint32_t needs;                 /* EXT_BIT() of what the backend must offer for it */
	int came;                       /* which of the client's it is, from 0; -1: a filter has added it */
};

/* What a transaction has come to; born at MAIL, logged and gone at its end, whichever way. */
struct transaction {
	char id[SESSION_TXID];
	struct arena *arena;
	struct command_path mail;
	struct sp_span rcpts;      /* first recipients, for the log: "<a>,<b>,..." */
	size_t accepted, refused;  /* recipients */
	size_t postponed;          /* of the refused: those whose turn comes in another transaction */
	const struct command_path *rcpt; /* the RCPT that is being decided, else null */
	struct held_rcpt *held;    /* recipients that were taken, in their order; with "relay late" the backend has not seen them */
	size_t held_count, held_room;
	bool split;                /* the verdicts on them differ, and each is told his own (PRDR) */
	bool readdressed;          /* filters have changed who gets it: the backend's word on each is not about the client's */
	bool relay_begun;
	bool routed;               /* route says where its recipients go: an index of config->routes */
	size_t route;
	struct sp_span quarantine; /* the backend that the message went to instead; "": none */
	struct relay *aside;       /* the session's own relay meanwhile, and whose it is */
	size_t aside_route;
	int64_t begin_ns, dot_ns, done_ns; /* rt_now_ns(); MAIL, the client's dot, the reply */
	int64_t dot_ms;            /* rt_now_ms() of the client's dot */
	int64_t octets;
	struct upload *upload;     /* the message on its way in; null: it has not begun */
	struct policy_verdict verdict; /* the one that decided; rule null: not the policy */
	const char *withheld_by;   /* why our final dot was not sent: drain, limit, client; null: it was, or was not reached */
	unsigned spaced;           /* bits of enum data_fault: what "bare line ends space" turned into spaces */
	const char *by;            /* who decided: policy, limit, syntax, relay, backend, client, drain */
	enum sp_stage stage;
	int code;                  /* of the last reply that mattered */
	struct sp_span reply;      /* its text, in arena */
	const char *outcome;       /* accept reject defer discard abort unknown */
	bool dup;                  /* the backend may have it, or has it, and the client was not told so */
};

/* What a peer that may speak for others has said by XCLIENT of its client beside the address. */
struct given {
	bool may;          /* the peer may */
	bool addressed;    /* an address has come */
	unsigned fresh;    /* bits of what came since, or before the first: the next address does not end it */
	bool named, name_unknown; /* name is what is known of its name; name_unknown: nothing, for now */
	bool esmtp;
	uint16_t port;
	char name[256], helo[256], login[256]; /* "" where nothing was said */
};

/* Who has logged in; "": nobody. */
struct session_login {
	char user[SASL_NAME + 1], mechanism[SASL_MECHANISM + 1];
	unsigned failures; /* by the backend's word */
};

struct session {
	const struct session_config *config;
	const struct session_start *start;
	struct relay_backend *backend;
	struct stream *stream;
	struct inspect *inspect;
	struct relay_backend *const *backends;
	struct relay *relay;     /* made at the first recipient */
	size_t relay_route;      /* whose it is: an index of config->routes */
	struct line_reader lines;
	size_t line_used;        /* octets of the present command line, not consumed yet */
	size_t line_max;         /* of that line */
	struct session_login login;
	bool past_dot;           /* our final dot is out: nothing may cut this session off now */
	struct buf reply;        /* scratch for one reply */
	enum session_state state;
	struct transaction *tx;  /* null outside of one */
	struct sp_ip ip;
	uint16_t port;
	struct sp_ip local_ip;   /* where the client has connected to */
	uint16_t local_port;
	struct given given;
	char helo[256];
	char hostname[256];      /* "hostname backend": what it is called; "" until the banner, or if nobody knows */
	bool esmtp;
	uint32_t offered;        /* EXT_BIT() of each extension that our last reply to EHLO named; 0 after HELO */
	bool done;               /* nothing more is read */
	bool peer_gone;
	struct stream *turned;   /* after ATRN the backend's, to be served next; else null */
	unsigned errors, junk, bad_recipients, strict_faults;
	unsigned transactions, accepted;
	int64_t begin_ns;
	const char *end;         /* why the connection ended, one word */
	const char *tls_error;   /* why the handshake failed, or null */
	int banner_code;
	struct sp_span banner_rule;
	enum policy_class verdict; /* of the connection itself */
	char id[SESSION_TXID];
};

/* ---- session.c ---- */
/* Queues a reply. text may have "\n" between lines. */
void session_reply(struct session *s, int code, const char *enhanced, const char *text);
void session_reply_span(struct session *s, int code, const char *enhanced, struct sp_span text);
/* As above, and counts an error; the 21st says 421 and ends the session. */
void session_error(struct session *s, int code, const char *enhanced, const char *text);
/* 421, then the end. */
void session_goodbye(struct session *s, const char *enhanced, const char *text, const char *why);
/* Sends what is queued; false: the session is over. */
bool session_flush(struct session *s);
int64_t session_command_deadline(const struct session *s);
/* Is room for connections getting scarce? Then clients are waited for less long (CASES T10, SL01). */
bool session_is_crowded(const struct session *s);
void session_id(char to[static SESSION_TXID]);
/* Is there more input behind the present command line? Groups must end at EHLO, DATA, STARTTLS (RFC 2920 3.1). */
bool session_group_goes_on(const struct session *s);
bool session_hurrying(void);
static inline bool
session_encrypted(const struct session *s)
{
	return stream_tls_version(s->stream) != NULL;
}

/* Another client, or the same with another login, has the connection now; anew: it is admitted and inspected as one that has
 * just connected. Greets it. */
void session_restart(struct session *s, bool anew);

/* ---- client.c ---- */
/* Who has connected to what; waits for a PROXY header where one is due. False: the connection is over, without a word. */
bool client_open(struct session *s);
/* A PROXY header from a peer that may not speak for others. */
void session_stray_header(struct session *s, const struct command *c);
/* Is XCLIENT offered to this peer? */
bool session_may_xclient(const struct session *s);
/* Notes the HELO name: the one that XCLIENT gave, else this. */
void client_note_helo(struct session *s, struct sp_span name);
/* Tells the relay who the client is, if its backend wants to know. May suspend (DNS). False: no memory. */
bool client_tell(struct session *s, struct relay *r);

/* Says, now and then, that a backend is told of no client and so gets no mail; at the end of a transaction. */
void client_alarm(const struct session *s);

/* ---- xclient.c ---- */
struct command_error session_check_xclient(const struct session *s, const struct command *c);
void session_xclient(struct session *s, const struct command *c);

/* ---- command.c ---- */
void session_command(struct session *s, struct sp_span line);

/* ---- ehlo.c ---- */
/* Says what is offered, and notes it in s->offered. */
void session_reply_ehlo(struct session *s);
static inline bool
session_offered(const struct session *s, enum extension e)
{
	return (s->offered & EXT_BIT(e)) != 0;
}

/* ---- starttls.c ---- */
struct command_error starttls_check(const struct session *s, const struct command *c);
void starttls_proceed(struct session *s, const struct command *c);
/* States the facts of the encryption, if there is one. */
void starttls_facts(struct session *s);
/* The client's own; that of a peer that has named another client by XCLIENT is not. False: there is none. */
bool starttls_client_certificate(const struct session *s, struct tls_peer *ret);
/* 530 where TLS must come first. */
struct command_error starttls_check_mail(const struct session *s, const struct command *c);
/* Implicit TLS, where the listener has it; false: the session is over. */
bool session_secure_first(struct session *s);

/* ---- auth.c ---- */
static inline bool
session_authenticated(const struct session *s)
{
	return s->login.user[0] != '\0';
}
/* For the reply to EHLO: is AUTH offered, and with which mechanisms, each behind a blank? */
bool session_auth_may(const struct session *s, const struct relay_offer *backend);
void session_auth_words(const struct session *s, const struct relay_offer *backend, struct buf *to);
struct command_error session_auth_check(const struct session *s, const struct command *c);
void session_auth(struct session *s, const struct command *c);
/* Who the client is by his login, or by the word of a peer that XCLIENT is taken from; "": nobody. */
static inline struct sp_span
session_user(const struct session *s)
{
	return inspect_user(s->inspect);
}
/* Parameters of MAIL as they may go on: on whose behalf the mail is sent is taken from nobody unknown (RFC 4954 5.). {null, 0}: no memory. */
struct sp_span session_auth_params(const struct session *s, struct arena *a, struct sp_span params);
/* May the client say MAIL? False: it has been told what is in the way. */
bool session_auth_ready(struct session *s);
/* Octets of the command line that begins now, at most. */
size_t session_line_max(const struct session *s);
/* Another client has the connection. */
void session_auth_forget(struct session *s);

/* ---- guesses.c ---- */
/* Logins refused to that client in the last hour. */
unsigned guesses_count(const struct sp_ip *ip);
void guesses_note(const struct sp_ip *ip);

/* ---- submission.c ---- */
/* May the user send as that? code 0: yes. */
struct command_error submission_check_sender(const struct session *s, const struct address *sender);
/* The same of the addresses in the message's header. */
struct command_error submission_check_message(struct session *s);
/* Puts in what the message lacks. Not SP_OK: it must not go on. */
enum sp_status submission_complete(struct session *s);

/* ---- etrn.c ---- */
bool session_etrn_may(const struct session *s, const struct relay_offer *backend);
struct command_error session_etrn_check(const struct session *s, const struct command *c);
void session_etrn(struct session *s, const struct command *c);

/* ---- atrn.c ---- */
bool session_atrn_may(const struct session *s, const struct relay_offer *backend);
struct command_error session_atrn_check(const struct session *s, const struct command *c);
void session_atrn(struct session *s, const struct command *c);
/* After the session: the two ends have changed roles. Frees both streams. */
void atrn_serve(struct session *s);

/* ---- envelope.c ---- */
void session_mail(struct session *s, const struct command *c);
void session_rcpt(struct session *s, const struct command *c);
/* Ends the transaction, if there is one: logs it, tells the filters, leaves the backend clean. */
void transaction_end(struct session *s);
/* Replies with the verdict of the policy and notes it as what decided. */
void session_reply_verdict(struct session *s, const struct policy_verdict *v);
/* Is it a verdict that stops (reject, defer), taking the shadow setting into account? */
bool verdict_stops(const struct session *s, const struct policy_verdict *v);
/* Replies code and text, adds the transaction's id, and notes who decided. */
void transaction_reply(struct session *s, int code, const char *enhanced, struct sp_span text, const char *by);
/* The envelope of the transaction as the client has given it, but for its recipients. */
struct relay_envelope envelope_came(const struct session *s);
/* BODY= as it is said; null: not given. */
const char *envelope_body(const struct command_path *mail);
/* Begins a transaction with the backend that it is routed to. False: no memory. */
bool envelope_begin(struct session *s, const struct relay_envelope *e, int64_t deadline_ms);
/* For all that a transaction may take. */
int64_t envelope_deadline(void);

/* ---- replay.c ---- */
/* After the verdict: says to the backend what it has not heard yet of the envelope that the message goes with.  False: a reply has
 * been given. */
bool replay_envelope(struct session *s);

/* ---- naming.c ---- */
const char *session_hostname(const struct session *s);
/* Says 220. */
void session_banner(struct session *s);

/* ---- prdr.c ---- */
/* Can there be a reply for each recipient? */
bool prdr_may(const struct session *s, const struct relay_offer *backend);
/* After inspect_end(), if the client has asked for it: do the verdicts on its recipients differ, so that not all get the message? */
bool prdr_splits(const struct session *s);
/* Is that recipient, by his place among those taken, not to get it? */
bool prdr_refuses(const struct session *s, size_t index, struct policy_verdict *ret);
/* Nobody is to get it, for reasons that differ: tells each his own, then the mildest. */
void prdr_refuse(struct session *s);
/* After relay_send(): tells each recipient's reply, then the last one, if the client has asked for it and they are known; all: the
 * one that speaks for all. False: nothing was said. */
bool prdr_answer(struct session *s, enum relay_outcome outcome, const struct relay_reply *all);

/* ---- relaying.c ---- */
/* May this client send to this recipient? Else 550 5.7.1. */
bool session_relays(const struct session *s, const struct address *rcpt);

/* ---- routing.c ---- */
/* Notes where the transaction goes when this recipient, which all else lets pass, is taken. code 0: it may join; else it is to
 * come again in another transaction. */
struct command_error session_route(struct session *s, const struct address *rcpt);
/* At MAIL: is the one backend that this session's mail can go to not to have any now? code 0: it is, or there are several, and
 * session_route() tells. */
struct command_error session_backend_spared(const struct session *s);
/* The relay to that backend, made if need be; null: no memory. */
struct relay *session_relay(struct session *s);
/* The verdict sends the message there instead; the session's own relay waits aside. code 0: so be it; else what is in the way. */
struct command_error session_quarantine(struct session *s, struct sp_span backend);
/* At the end of the transaction: the relay comes back. */
void session_quarantine_end(struct session *s);
/* Makes s->relay the one to the listener's own backend, which is told of the client; false: no memory. */
bool session_relay_own(struct session *s);
/* After relay_send(): where recipients were answered one by one and not alike, notes it and logs each of them. */
void session_results(struct session *s);
/* What all backends that this session's mail may go to offer. */
struct relay_offer session_offer(const struct session *s);
/* Octets that a message may have: the smaller of our limit and the backends'. */
int64_t session_size_max(const struct session *s);

/* ---- message.c ---- */
void session_data(struct session *s, const struct command *c);
/* Why the message must not be committed now: drain, limit, client; null: it may. */
const char *message_withheld(const struct session *s);

/* ---- bdat.c ---- */
void session_bdat(struct session *s, const struct command *c);

/* ---- account.c ---- */
void account_transaction(const struct session *s);
void account_connection(const struct session *s);

#endif
