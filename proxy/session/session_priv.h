/*
 * session_priv.h - the session's insides, for its own files.
 *
 *   session.c    its life: banner, lines, limits, farewell
 *   command.c    the table of commands {verb, states, check, proceed} and the simple ones
 *   ehlo.c       the reply to EHLO
 *   auth.c       AUTH
 *   submission.c what RFC 6409 asks of a message of our own users
 *   envelope.c   MAIL and RCPT
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

/* What a transaction has come to; born at MAIL, logged and gone at its end, whichever way. */
struct transaction {
	char id[SESSION_TXID];
	struct arena *arena;
	struct command_path mail;
	struct sp_span rcpts;      /* first recipients, for the log: "<a>,<b>,..." */
	size_t accepted, refused;  /* recipients */
	struct sp_span *held;      /* recipients that "relay late" holds back */
	size_t held_count;
	bool relay_begun;
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

/* Who has logged in; "": nobody. */
struct session_login {
	char user[SASL_NAME + 1], mechanism[SASL_MECHANISM + 1];
	unsigned failures; /* by the backend's word */
};

struct session {
	const struct session_config *config;
	struct relay_backend *backend;
	struct stream *stream;
	struct inspect *inspect;
	struct relay *relay;     /* made at the first recipient */
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
	char helo[256];
	bool esmtp;
	uint32_t offered;        /* EXT_BIT() of each extension that our last reply to EHLO named; 0 after HELO */
	bool done;               /* nothing more is read */
	bool peer_gone;
	unsigned errors, junk, bad_recipients, strict_faults;
	unsigned transactions, accepted;
	int64_t begin_ns;
	const char *end;         /* why the connection ended, one word */
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
void session_id(char to[static SESSION_TXID]);
/* Is there more input behind the present command line? Groups must end at EHLO, DATA, STARTTLS (RFC 2920 3.1). */
bool session_group_goes_on(const struct session *s);
bool session_hurrying(void);
static inline bool
session_encrypted(const struct session *s)
{
	return stream_tls_version(s->stream) != NULL;
}

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
/* May the client say MAIL? False: it has been told what is in the way. */
bool session_auth_ready(struct session *s);
/* Octets of the command line that begins now, at most. */
size_t session_line_max(const struct session *s);
/* Another client has the connection. */
void session_auth_forget(struct session *s);

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
/* The recipients that relay late held back go to the backend now; false: a reply has been given. */
bool envelope_relay_late(struct session *s);

/* ---- message.c ---- */
void session_data(struct session *s, const struct command *c);

/* ---- bdat.c ---- */
void session_bdat(struct session *s, const struct command *c);

/* ---- account.c ---- */
void account_transaction(const struct session *s);
void account_connection(const struct session *s);

#endif
