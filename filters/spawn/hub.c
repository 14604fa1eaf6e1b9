/*
 * hub.c - see hub.h.
 *
 * At most one session reads and at most one writes at a time.  Whoever writes reads in between if nobody else does: a program
 * that cannot get rid of its answers reads no more questions.  Memory: the queues are the worker's; answers are of those who asked.
 */
#include "spawn/hub.h"

#include <stdio.h>
#include <time.h>

#include "linewire/text.h"

enum { PIECE = 8192, STALL_MS = 4, SLICE_MS = 1000, READ_AT_ONCE = 16384, LATE_MS = 200 };

static int64_t
left_ms(struct sp_ctx *ctx, int64_t deadline_ms)
{
	int64_t left = deadline_ms - sp_now_ms(ctx);

	return left > 0 ? left : 0;
}

bool
hub_runs(const struct hub *hub, unsigned incarnation)
{
	return hub->conn != NULL && hub->ready && hub->incarnation == incarnation;
}

uint64_t
hub_id(struct hub *hub)
{
	/* not to be mistaken for one of another worker's program, or of the next one */
	if (hub->last_id == 0)
		hub->last_id = (uint64_t)time(NULL) << 32;
	return ++hub->last_id;
}

/* ---- its end ----------------------------------------------------------------------------------- */

static void
fail_all(struct sp_ctx *ctx, struct hub *hub)
{
	for (struct ask *a = hub->asks; a != NULL; a = a->next) {
		if (a->failed == SP_OK)
			a->failed = SP_GONE;
		sp_event_wake(ctx, &a->event, false);
	}
}

static void
hub_down(struct sp_ctx *ctx, struct hub *hub, const char *why)
{
	int64_t now = sp_now_ms(ctx);

	if (hub->conn == NULL)
		return;
	sp_conn_close(ctx, &hub->conn);
	hub->ready = false;
	hub->in.len = hub->out.len = 0;
	hub->pause_ms = hub->pause_ms == 0 ? HUB_PAUSE_MS : hub->pause_ms * 2;
	if (now - hub->started_ms >= HUB_LIFE_MS)
		hub->pause_ms = 0;
	if (hub->pause_ms > HUB_PAUSE_MAX_MS)
		hub->pause_ms = HUB_PAUSE_MAX_MS;
	hub->not_before_ms = now + hub->pause_ms;
	sp_log(ctx, SP_LOG_WARNING, "the program is given up: %s", why);
	fail_all(ctx, hub);
}

/* ---- what it says -------------------------------------------------------------------------------- */

static struct ask *
ask_of(const struct hub *hub, const struct line *l)
{
	struct ask *a = hub->asks;

	while (a != NULL && (a->session != l->session || a->token != l->token))
		a = a->next;
	return a;
}

static bool
ask_put(struct hub *hub, struct ask *a, struct sp_span bytes)
{
	size_t room = a->text.room;
	bool ok = hub->held <= HUB_ANSWERS && heap_add(&a->text, bytes, HUB_ANSWER);

	hub->held += a->text.room - room;
	return ok;
}

static enum sp_status
put_line(struct hub *hub, struct ask *a, struct sp_span line)
{
	if (text_is(line, ".")) {
		a->done = true;
		return SP_OK;
	}
	if (line.len > 0 && line.ptr[0] == '.')
		line = text_from(line, 1);
	return ask_put(hub, a, line) && ask_put(hub, a, text_of("\r\n")) ? SP_OK : SP_LIMIT;
}

/* An answer for a session that has gone is nobody's. */
static void
answer(struct sp_ctx *ctx, struct hub *hub, const struct line *l)
{
	struct ask *a = ask_of(hub, l);

	if (a == NULL || a->done || a->failed != SP_OK)
		return;
	if (a->data != (l->kind == LINE_DATA)) {
		a->failed = SP_INVALID;
	} else if (a->data) {
		a->failed = put_line(hub, a, l->param);
	} else {
		a->failed = ask_put(hub, a, l->param) ? SP_OK : SP_LIMIT;
		a->decision = l->decision;
		a->done = true;
	}
	if (a->done || a->failed != SP_OK)
		sp_event_wake(ctx, &a->event, false);
}

static enum sp_status
take_line(struct sp_ctx *ctx, struct hub *hub, struct sp_span text)
{
	struct line l;

	if (line_parse(text, &l) != SP_OK)
		return SP_INVALID;
	if (!hub->ready && (l.kind == LINE_RESULT || l.kind == LINE_DATA))
		return SP_INVALID;
	hub->events |= l.events;
	hub->phases |= l.phases;
	if (l.kind == LINE_READY)
		hub->ready = true;
	else if (l.kind == LINE_RESULT || l.kind == LINE_DATA)
		answer(ctx, hub, &l);
	return SP_OK;
}

static enum sp_status
take_lines(struct sp_ctx *ctx, struct hub *hub)
{
	struct sp_span rest = heap_span(&hub->in);
	enum sp_status st = SP_OK;

	while (st == SP_OK && text_find(rest, '\n') < rest.len)
		st = take_line(ctx, hub, text_cut(&rest, '\n'));
	heap_drop(&hub->in, hub->in.len - rest.len);
	return st;
}

/* Reads once, for all. SP_TIMEOUT: nothing has come. */
static enum sp_status
hub_read(struct sp_ctx *ctx, struct hub *hub, int64_t timeout_ms)
{
	enum sp_status st;
	size_t n = 0;

	if (!heap_grow(&hub->in, READ_AT_ONCE, HUB_LINE)) {
		hub_down(ctx, hub, "it writes a line that is too long");
		return SP_LIMIT;
	}
	hub->reading = true;
	sp_conn_take(ctx, hub->conn);
	st = sp_conn_read(ctx, hub->conn, hub->in.ptr + hub->in.len, READ_AT_ONCE, timeout_ms, &n);
	hub->reading = false;
	sp_event_wake(ctx, &hub->freed, true);
	if (hub->conn == NULL)
		return SP_GONE;
	sp_conn_keep(ctx, hub->conn);
	if (st == SP_TIMEOUT || st == SP_CANCELED)
		return st;
	hub->in.len += n;
	hub->heard_ms = sp_now_ms(ctx);
	if (st != SP_OK) {
		hub_down(ctx, hub, "it has ended");
		return SP_GONE;
	}
	st = take_lines(ctx, hub);
	if (st != SP_OK)
		hub_down(ctx, hub, "it writes what is no answer");
	return st;
}

/* ---- what is said to it ------------------------------------------------------------------------------ */

/* A piece that could not be sent at once waits in the connection, and goes with the next, which may be empty. */
static enum sp_status
push(struct sp_ctx *ctx, struct hub *hub, struct sp_span piece, int64_t deadline_ms)
{
	enum sp_status st = sp_conn_write(ctx, hub->conn, piece, STALL_MS);

	while (st == SP_TIMEOUT) {
		if (left_ms(ctx, deadline_ms) == 0)
			return SP_TIMEOUT;
		if (!hub->reading) {
			st = hub_read(ctx, hub, 1);
			if (st != SP_OK && st != SP_TIMEOUT)
				return st;
		}
		st = sp_sleep(ctx, 1); /* which says when the transaction's time is over */
		if (st != SP_OK || hub->conn == NULL)
			return st != SP_OK ? st : SP_GONE;
		st = sp_conn_write(ctx, hub->conn, (struct sp_span){ NULL, 0 }, STALL_MS);
	}
	return st;
}

static enum sp_status
write_queue(struct sp_ctx *ctx, struct hub *hub, int64_t deadline_ms)
{
	unsigned incarnation = hub->incarnation;
	enum sp_status st = SP_OK;
	char piece[PIECE];

	hub->writing = true;
	while (st == SP_OK && hub->conn != NULL && hub->out.len > 0) {
		struct sp_span first;

		st = push(ctx, hub, (struct sp_span){ NULL, 0 }, deadline_ms);
		if (st != SP_OK || hub->conn == NULL)
			break;
		first = text_head(heap_span(&hub->out), PIECE);
		memcpy(piece, first.ptr, first.len); /* the queue may be moved by who adds to it, whenever this waits */
		heap_drop(&hub->out, first.len);
		st = push(ctx, hub, (struct sp_span){ piece, first.len }, deadline_ms);
	}
	hub->writing = false;
	if (st != SP_OK && st != SP_TIMEOUT && st != SP_CANCELED && hub->incarnation == incarnation)
		hub_down(ctx, hub, "it cannot be written to");
	sp_event_wake(ctx, &hub->freed, true);
	return st == SP_OK && hub->conn == NULL ? SP_GONE : st;
}

enum sp_status
hub_drain(struct sp_ctx *ctx, struct hub *hub, int64_t deadline_ms)
{
	unsigned incarnation = hub->incarnation;
	enum sp_status st = SP_OK;

	while (st == SP_OK && hub->out.len > PIECE) {
		st = hub->writing ? sp_event_wait(ctx, &hub->freed, left_ms(ctx, deadline_ms)) : write_queue(ctx, hub, deadline_ms);
		if (hub->conn == NULL || hub->incarnation != incarnation)
			return SP_GONE;
	}
	return st;
}

/* Who writes now writes this, too. */
enum sp_status
hub_say(struct sp_ctx *ctx, struct hub *hub, struct sp_span line)
{
	if (hub->conn == NULL)
		return SP_GONE;
	if (!heap_add(&hub->out, line, HUB_OUT)) {
		hub_down(ctx, hub, "it does not read what it is told");
		return SP_LIMIT;
	}
	if (!hub->writing)
		write_queue(ctx, hub, sp_now_ms(ctx) + LATE_MS);
	return hub->conn != NULL ? SP_OK : SP_GONE;
}

/* ---- asking --------------------------------------------------------------------------------------------- */

void
hub_open(struct hub *hub, struct ask *a)
{
	a->next = hub->asks;
	hub->asks = a;
}

void
hub_close(struct sp_ctx *ctx, struct hub *hub, struct ask *a)
{
	struct ask **at = &hub->asks;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	hub->held -= a->text.room;
	heap_fini(&a->text);
	if (hub->asks != NULL && !hub->reading) /* somebody else must read now */
		sp_event_wake(ctx, &hub->asks->event, false);
}

/* One wait. SP_OK: look again; SP_TIMEOUT: the transaction's time is over. */
static enum sp_status
wait_once(struct sp_ctx *ctx, struct hub *hub, struct ask *a, int64_t left)
{
	int64_t slice = left < SLICE_MS ? left : SLICE_MS, began = sp_now_ms(ctx);
	enum sp_status st;

	if (hub->out.len > 0 && !hub->writing)
		return write_queue(ctx, hub, began + left);
	st = hub->reading ? sp_event_wait(ctx, &a->event, slice) : hub_read(ctx, hub, slice);
	return st == SP_TIMEOUT && sp_now_ms(ctx) - began >= slice ? SP_OK : st;
}

enum sp_status
hub_wait(struct sp_ctx *ctx, struct hub *hub, struct ask *a, int64_t deadline_ms)
{
	int64_t began = sp_now_ms(ctx);
	enum sp_status st = SP_OK;

	while (st == SP_OK && !a->done && a->failed == SP_OK) {
		int64_t left = left_ms(ctx, deadline_ms);

		if (left == 0) {
			/* slow for one is not dead; but it has said nothing to anybody */
			if (hub->heard_ms < began)
				hub_down(ctx, hub, "it is silent");
			return SP_TIMEOUT;
		}
		st = hub->conn == NULL ? SP_GONE : wait_once(ctx, hub, a, left);
	}
	if (a->failed != SP_OK)
		return a->failed;
	return a->done ? SP_OK : st;
}

/* ---- its beginning ----------------------------------------------------------------------------------------- */

static enum sp_status
handshake(struct sp_ctx *ctx, struct hub *hub, int64_t deadline_ms)
{
	char text[512];
	struct sp_span id = sp_auth_id(ctx);
	enum sp_status st;
	int len = snprintf(text, sizeof(text),
		"config|smtpd-version|7.5.0\nconfig|protocol|0.7\nconfig|smtp-session-timeout|300\nconfig|subsystem|smtp-in\n"
		"config|admd|%.*s\nconfig|ready\n",
		(int)(id.len < 255 ? id.len : 255), id.ptr);

	st = hub_say(ctx, hub, (struct sp_span){ text, (size_t)len });
	while (st == SP_OK && !hub->ready) {
		int64_t left = left_ms(ctx, deadline_ms);

		st = left == 0 ? SP_TIMEOUT : hub_read(ctx, hub, left);
	}
	if (st == SP_TIMEOUT)
		hub_down(ctx, hub, "it does not say \"register|ready\"");
	if (st == SP_CANCELED) {
		hub_down(ctx, hub, "the client for whom it was started has gone");
		hub->not_before_ms = hub->pause_ms = 0;
	}
	return st;
}

static enum sp_status
start(struct sp_ctx *ctx, struct hub *hub, int64_t deadline_ms)
{
	enum sp_status st;

	hub->started_ms = sp_now_ms(ctx);
	st = sp_connect(ctx, hub->endpoint, left_ms(ctx, deadline_ms), &hub->conn);
	if (st != SP_OK) {
		hub->conn = NULL;
		hub->not_before_ms = sp_now_ms(ctx) + HUB_PAUSE_MS;
		sp_log(ctx, SP_LOG_WARNING, "the program cannot be had at %s", hub->endpoint);
		return st;
	}
	sp_conn_keep(ctx, hub->conn);
	hub->incarnation++;
	hub->events = hub->phases = 0;
	return handshake(ctx, hub, deadline_ms);
}

/* Nobody may be left who waits for the connection before. */
static enum sp_status
start_alone(struct sp_ctx *ctx, struct hub *hub, int64_t deadline_ms)
{
	enum sp_status st = SP_OK;

	hub->starting = true;
	while (st == SP_OK && (hub->reading || hub->writing))
		st = sp_event_wait(ctx, &hub->freed, left_ms(ctx, deadline_ms));
	if (st == SP_OK)
		st = start(ctx, hub, deadline_ms);
	hub->starting = false;
	sp_event_wake(ctx, &hub->started, true);
	return st;
}

/* It may have ended while nobody was looking. */
static void
look(struct sp_ctx *ctx, struct hub *hub)
{
	if (hub->conn != NULL && hub->ready && !hub->reading && !hub->writing && !sp_conn_idle(ctx, hub->conn))
		hub_read(ctx, hub, 1);
}

enum sp_status
hub_ready(struct sp_ctx *ctx, struct hub *hub)
{
	int64_t deadline = sp_now_ms(ctx) + hub->timeout_ms;
	enum sp_status st = SP_OK;

	look(ctx, hub);
	while (st == SP_OK && (hub->conn == NULL || !hub->ready)) {
		if (hub->starting)
			st = sp_event_wait(ctx, &hub->started, left_ms(ctx, deadline));
		else if (sp_now_ms(ctx) < hub->not_before_ms)
			st = SP_TEMPFAIL;
		else
			st = start_alone(ctx, hub, deadline);
	}
	return st;
}
