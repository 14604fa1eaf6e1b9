/*
 * backend.h - a mail server for unit tests: a listener of the same process, one coroutine a
 * connection.
 *
 * It speaks plain SMTP; a profile says what it answers otherwise.  Answers are texts without their
 * last CRLF, and a
 * '!' ends one with an act: "!eof" closes, "!rst" resets, "!silent" says nothing more, "!drip" says
 * "2" "5" "0"
 * "-" "x" "x" ... one octet a second, for ever.  "250 ok!eof" says it and closes.
 */
#ifndef TESTS_SUPPORT_BACKEND_H
#define TESTS_SUPPORT_BACKEND_H

#include "policy/kit/buf.h"
#include "proxy/net/net.h"
#include "proxy/rt/rt.h"

/* Null: the usual answer. */
struct fake_profile {
	const char *banner, *ehlo, *helo, *rset, *mail, *rcpt, *noop, *data, *dot;
	const char *rcpt_bad;  /* to a recipient that begins with "bad" */
	const char *rcpt_next; /* to the second recipient and those after it */
	const char *early;     /* said once early_after octets of a message have come */
	size_t early_after;
	size_t stop_after;   /* octets of a message after which it reads no more; 0: reads all */
	int64_t patience_ms; /* a wait for a command longer than this ends in 421 and close; 0: none
			      */
	bool bytewise;       /* writes octet by octet */
};

struct fake_backend {
	const struct fake_profile
		*profiles; /* of the first connection, the second ...; the last for all more */
	size_t profile_count;
	struct net_endpoint endpoint;
	int listener;
	struct rt_watch *watch;
	unsigned connections, quits, dots;
	unsigned batch;      /* most commands that lay there at once */
	struct buf log;      /* commands, one a line */
	struct buf message;  /* the last one, as on the wire, without the dot's line */
	int64_t data_octets; /* received after 354, in all */
};

/* Listens on a free port of 127.0.0.1; the loop must be there. */
bool fake_start(struct fake_backend *f, const struct fake_profile *profiles, size_t count);
/* Listens no longer: new connections are refused. */
void fake_stop(struct fake_backend *f);
/* After the loop has ended. */
void fake_fini(struct fake_backend *f);
/* How many lines of the log begin with this? */
unsigned fake_count(const struct fake_backend *f, const char *prefix);

#endif
