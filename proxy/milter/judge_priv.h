/*
 * judge_priv.h - a session's and a transaction's memory, for judge.c (stages), message.c (content to verdict), account.c (log).
 */
#ifndef PROXY_MILTER_JUDGE_PRIV_H
#define PROXY_MILTER_JUDGE_PRIV_H

#include "proxy/inspect/inspect.h"
#include "proxy/milter/judge.h"
#include "proxy/smtp/data.h"

enum { JUDGE_ID = 11, JUDGE_TEXT = 256 };

/* A transaction; lives in its arena. */
struct matter {
	char id[JUDGE_ID], queue_id[64];
	struct arena *arena;
	struct command_path mail;
	struct sp_span rcpts;     /* first recipients, for the log */
	struct sp_span *came;     /* recipients that may have it, "<a@example.com>", as the server wrote them */
	size_t accepted, refused;
	bool begun;               /* DATA has been inspected */
	struct spool *spool;      /* the heap's */
	struct data_parser parser;
	bool crowded;             /* there was no room for it in time */
	struct inspect_output out;
	struct data_unstuff body; /* where judge_body() goes on */
	int64_t body_at;
	int64_t begin_ns, done_ns;
	struct policy_verdict verdict;
	enum sp_stage stage;
	int code;                 /* of the last reply that mattered */
	struct sp_span reply;
	const char *outcome, *by; /* as in the gateway's log */
};

struct judge {
	struct judge *next, **self;
	const struct milter_config *config;
	struct inspect *inspect;
	struct matter *tx;        /* null outside of a transaction */
	char id[JUDGE_ID];
	struct sp_ip ip;
	uint16_t port;
	char listener[JUDGE_TEXT], helo[JUDGE_TEXT], tls[64], user[JUDGE_TEXT], mechanism[64];
	unsigned transactions, accepted;
	enum policy_class verdict; /* of the session itself */
	struct sp_span rule;
	int64_t begin_ns;
	const char *end;
};

/* judge.c */
bool judge_stops(const struct judge *j, const struct policy_verdict *v);
/* Tells a refusal of the transaction, and notes who decided. */
void judge_refuse(struct request *r, const struct command_error *e, const char *by);
void judge_refuse_verdict(struct request *r, const struct policy_verdict *v);
/* Logs the transaction and frees it, if there is one. */
void judge_end_matter(struct judge *j);

/* account.c */
void account_matter(const struct judge *j);
void account_recipient(const struct judge *j, struct sp_span to, const struct policy_verdict *v);
void account_session(const struct judge *j);

#endif
