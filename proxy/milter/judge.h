/*
 * judge.h - one client's session with the mail server, as filters and policy see it: what the SMTP session is for the gateway.
 *
 * All of these run in a coroutine of the loop's thread, by bridge_call(); the argument is a struct request.
 */
#ifndef PROXY_MILTER_JUDGE_H
#define PROXY_MILTER_JUDGE_H

#include "proxy/milter/answer.h"
#include "proxy/milter/config.h"

struct judge;

/* What the mail server has told, by its call or by a macro; "" where it has said nothing. Lives with the call. */
struct request {
	struct judge *judge; /* judge_connect() makes it */
	struct answer *answer;

	/* connect */
	const struct milter_config *config;
	struct sp_ip ip; /* family 0: the client is a program on that machine */
	uint16_t port;
	const char *client_name; /* the confirmed reverse name; null: it is not known whether there is one */
	const char *daemon, *daemon_addr, *daemon_port;

	/* helo, mail: */
	const char *helo;
	const char *tls_version, *cipher, *cipher_bits, *subject, *issuer;
	bool verified;
	const char *user, *mechanism;

	/* mail, rcpt */
	const char *host;       /* the mail server's name: what an address without a domain gets */
	char *const *words;     /* "<a@example.org>", then parameters, null-ended */

	/* content, end */
	struct sp_span content; /* octets of the message */
	const char *queue_id;

	/* body */
	char *room;             /* of JUDGE_PIECE octets */
	size_t filled;          /* 0: that was all */
	bool failed;            /* it cannot be read any more */
};
enum { JUDGE_PIECE = 60000 };

void judge_connect(void *request);
void judge_helo(void *request);
void judge_mail(void *request);
void judge_rcpt(void *request);
void judge_data(void *request);
/* The next octets of the message; the header is complete with its empty line. */
void judge_content(void *request);
void judge_end(void *request);
/* After an answer that says so: the next piece of the new body. */
void judge_body(void *request);
/* The mail server has done what it was told: ends the transaction.  failed: it could not be done. */
void judge_done(void *request);
void judge_failed(void *request);
/* The transaction has ended in another way. */
void judge_abort(void *request);
/* The session has. Frees the judge. */
void judge_close(void *request);
/* All sessions that are left, when the milter stops. */
void judge_stop(void);

#endif
