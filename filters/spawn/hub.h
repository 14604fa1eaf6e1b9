/*
 * hub.h - the one program that all sessions of a worker share, by one connection.
 *
 * Sessions put whole lines into one queue; whoever waits for an answer reads for all, and wakes those whose answers have come.
 * When the program ends, all open questions fail, and the next one starts it anew.
 */
#ifndef FILTERS_SPAWN_HUB_H
#define FILTERS_SPAWN_HUB_H

#include "spawn/heap.h"
#include "spawn/lines.h"

enum {
	HUB_LINE = 4 << 20,      /* octets of a line that the program writes */
	HUB_TOLD = 2 << 20,      /* of a line of a message that it is told, so that it can give it back */
	HUB_OUT = 4 << 20,       /* that wait to be written */
	HUB_ANSWER = 72 << 20,   /* of one answer: a whole message */
	HUB_ANSWERS = 256 << 20, /* of all that are open */
	HUB_PAUSE_MS = 500,      /* before a program that has ended is started again; doubled each time */
	HUB_PAUSE_MAX_MS = 30000,
	HUB_LIFE_MS = 10000      /* a program that lives longer has not failed to start */
};

/* An open question; on the stack of the one who asks. */
struct ask {
	struct ask *next;
	struct sp_event event;
	uint64_t session, token;
	bool data;          /* it is answered by lines of a message */
	bool done;
	enum sp_status failed;
	enum decision decision;
	struct heap text;   /* its parameter; or the message, dots single, lines ended by CRLF */
};

/* Zeroed memory is a valid one, but for endpoint and timeout. */
struct hub {
	const char *endpoint;
	int64_t timeout_ms;
	struct sp_conn *conn; /* null: it does not run */
	bool starting, ready, reading, writing;
	unsigned incarnation; /* how often it was started */
	uint32_t events, phases;
	struct sp_event started, freed; /* freed: nobody reads or writes now */
	struct ask *asks;
	struct heap in, out;
	size_t held; /* octets of answers */
	int64_t started_ms, heard_ms, not_before_ms, pause_ms;
	uint64_t last_id;
};

/* The program runs and has said what it wants; else it is started. SP_TEMPFAIL: it has ended just now. */
enum sp_status hub_ready(struct sp_ctx *ctx, struct hub *hub);
bool hub_runs(const struct hub *hub, unsigned incarnation);
uint64_t hub_id(struct hub *hub);

/* Puts a line, which ends in LF, into the queue, and writes what can be written at once. */
enum sp_status hub_say(struct sp_ctx *ctx, struct hub *hub, struct sp_span line);
/* Waits until less than a piece waits to be written. */
enum sp_status hub_drain(struct sp_ctx *ctx, struct hub *hub, int64_t deadline_ms);

/* A question is opened before its line is said, and closed however it ends. */
void hub_open(struct hub *hub, struct ask *a);
enum sp_status hub_wait(struct sp_ctx *ctx, struct hub *hub, struct ask *a, int64_t deadline_ms);
void hub_close(struct sp_ctx *ctx, struct hub *hub, struct ask *a);

#endif
