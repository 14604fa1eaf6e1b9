/*
 * milter_host.h - a milter in a box, for the module's unit tests: what the box of filter_host.h gets besides, connections to a
 * milter that answers by a script, and a draft.
 *
 * The milter reads what is written to it at once, notes it as a letter and its texts ("M<a@example.org>|SIZE=1|"), and has its
 * answers ready for the next read.  It says "continue" to every command that it has not agreed not to answer; a deed says
 * otherwise.  Nothing waits: a read without an answer is SP_TIMEOUT.
 */
#ifndef TESTS_UNIT_MILTER_HOST_H
#define TESTS_UNIT_MILTER_HOST_H

#include "tests/unit/filter_host.h"

#include <libmilter/mfapi.h>

#include "milter/milter.h"
#include "milter/pool.h"

extern const struct sp_filter sp_filter_milter;

enum { HUB_CONNS = 64, HUB_TEXT = 1 << 18, HUB_FIELDS = 64 };

/* What it does instead at the nth such command (0: each) of all connections; data may hold NULs. */
struct deed {
	char on;
	unsigned nth;
	struct sp_span send; /* packets, ready made */
	bool close, silent;
};
struct sp_conn {
	unsigned number; /* from 1 */
	struct sp_span in;
	char buffer[1 << 18], unread[1 << 17];
	size_t len, have, at;
	bool closed, kept;
};

static struct hub {
	const struct deed *deeds; /* ended by on 0 */
	struct wire_options options;
	bool raw_options; /* a deed answers 'O' */
	enum sp_status connect_status;
	unsigned connects, closes, seen[256];
	bool dead_parked; /* connections that wait die without a sign */
	char said[HUB_TEXT]; /* commands, one a line: "1 C..." */
	bool with_macros, no_rcpts, whole_reads;
	struct sp_conn *last;
	/* host */
	int code;
	char enhanced[32], text[1024];
	unsigned refusals;
	bool wanted;
	char fields[HUB_FIELDS][4096]; /* "@" is our own trace field */
	size_t field_count;
	char envelope[4096], body[HUB_TEXT];
	size_t body_len;
	enum sp_status edit_status;
	struct sp_rcpt rcpts[8];
	size_t rcpt_count;
	unsigned waits;
	enum sp_status wait_status;
	struct pool *wait_frees; /* waiting for a place gives one free */
} hub;

/* ---- packets ----------------------------------------------------------------------------------- */

/* "c", data */
#define PACK(letter, data) hub_pack(letter, data, sizeof(data) - 1)
static inline struct sp_span
hub_pack(char letter, const char *data, size_t len)
{
	static char ring[64][4096];
	static unsigned at;
	char *to = ring[at++ % 64];
	uint32_t n = (uint32_t)len + 1;

	assert_true(len < 4000);
	to[0] = to[1] = 0;
	to[2] = (char)(n >> 8);
	to[3] = (char)n;
	to[4] = letter;
	memcpy(to + 5, data, len);
	return (struct sp_span){ to, len + 5 };
}

static inline struct sp_span
hub_join(struct sp_span a, struct sp_span b)
{
	static char ring[16][8192];
	static unsigned at;
	char *to = ring[at++ % 16];

	assert_true(a.len + b.len <= 8192);
	memcpy(to, a.ptr, a.len);
	memcpy(to + a.len, b.ptr, b.len);
	return (struct sp_span){ to, a.len + b.len };
}

static inline void
hub_note(const struct sp_conn *c, char letter, struct sp_span data)
{
	size_t len = strlen(hub.said);

	if (letter == SMFIC_MACRO && !hub.with_macros)
		return;
	len += (size_t)snprintf(hub.said + len, HUB_TEXT - len, "%u %c", c->number, letter);
	for (size_t i = 0; i < data.len && i < 2000; i++) {
		char x = data.ptr[i];

		assert_true(len + 3 < HUB_TEXT);
		hub.said[len++] = x == '\0' ? '|' : x == '\n' ? '~' : x < ' ' || x == 0x7f ? '?' : x; /* beyond ASCII, too */
	}
	hub.said[len++] = '\n';
	hub.said[len] = '\0';
}

static inline void
hub_answer(struct sp_conn *c, struct sp_span packet)
{
	assert_true(c->have + packet.len <= sizeof(c->unread));
	memcpy(c->unread + c->have, packet.ptr, packet.len);
	c->have += packet.len;
}

static inline bool
hub_unanswered(char letter)
{
	static const struct {
		char letter;
		uint32_t bit;
	} bits[] = { { 'C', SMFIP_NR_CONN }, { 'H', SMFIP_NR_HELO }, { 'M', SMFIP_NR_MAIL }, { 'R', SMFIP_NR_RCPT },
		{ 'T', SMFIP_NR_DATA }, { 'L', SMFIP_NR_HDR }, { 'N', SMFIP_NR_EOH }, { 'B', SMFIP_NR_BODY } };

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (bits[i].letter == letter)
			return (hub.options.protocol & bits[i].bit) != 0;
	return strchr("ADKQ", letter) != NULL;
}

static inline void
hub_optneg(struct sp_conn *c)
{
	struct wire_out o;

	wire_out_init(&o, 4096);
	wire_optneg(&o, &hub.options);
	hub_answer(c, (struct sp_span){ o.ptr, o.len });
	wire_out_fini(&o);
}

static inline void
hub_command(struct sp_conn *c, const struct wire_packet *p)
{
	unsigned nth = ++hub.seen[(unsigned char)p->letter];

	hub_note(c, p->letter, p->data);
	for (const struct deed *d = hub.deeds; d != NULL && d->on != '\0'; d++) {
		if (d->on != p->letter || (d->nth != 0 && d->nth != nth))
			continue;
		if (d->send.len > 0)
			hub_answer(c, d->send);
		c->closed = c->closed || d->close;
		return;
	}
	if (p->letter == SMFIC_OPTNEG)
		hub_optneg(c);
	else if (!hub_unanswered(p->letter))
		hub_answer(c, (struct sp_span){ "\0\0\0\1c", 5 });
}

/* ---- connections --------------------------------------------------------------------------------- */

static inline enum sp_status
hub_connect(struct sp_ctx *ctx, const char *endpoint, int64_t timeout_ms, struct sp_conn **ret)
{
	(void)ctx, (void)endpoint;
	assert_true(timeout_ms > 0);
	if (hub.connect_status != SP_OK)
		return hub.connect_status;
	*ret = calloc(1, sizeof(**ret));
	assert_non_null(*ret);
	(*ret)->number = ++hub.connects;
	hub.last = *ret;
	return SP_OK;
}

static inline enum sp_status
hub_read(struct sp_conn *c, void *to, size_t max, int64_t timeout_ms, size_t *ret)
{
	size_t left = c->have - c->at;

	assert_true(timeout_ms > 0 && !c->kept);
	if (left == 0)
		return c->closed ? SP_GONE : SP_TIMEOUT;
	left = left < max ? left : max;
	left = left > 3 && !hub.whole_reads ? left / 2 : left; /* in pieces */
	memcpy(to, c->unread + c->at, left);
	c->at += left;
	*ret = left;
	return SP_OK;
}

static inline enum sp_status
hub_write(struct sp_conn *c, struct sp_span bytes, int64_t timeout_ms)
{
	struct wire_packet p;
	size_t used;

	assert_true(timeout_ms > 0 && !c->kept);
	if (c->closed)
		return SP_GONE;
	assert_true(c->len + bytes.len <= sizeof(c->buffer));
	memcpy(c->buffer + c->len, bytes.ptr, bytes.len);
	c->len += bytes.len;
	while (wire_packet_take((struct sp_span){ c->buffer, c->len }, sizeof(c->buffer), &p, &used) == SP_OK) {
		hub_command(c, &p);
		memmove(c->buffer, c->buffer + used, c->len - used);
		c->len -= used;
	}
	return SP_OK;
}

static inline void
hub_close(struct sp_conn **c)
{
	free(*c);
	*c = NULL;
	hub.closes++;
}

static inline void
hub_keep(struct sp_conn *c)
{
	c->kept = true;
	c->closed = c->closed || hub.dead_parked;
}

static inline void
hub_take(struct sp_ctx *ctx, struct sp_conn *c)
{
	(void)ctx;
	c->kept = false;
}

static inline bool
hub_idle(const struct sp_conn *c)
{
	return c->at == c->have && (!c->closed || hub.dead_parked);
}

static inline enum sp_status
hub_wait(struct sp_ctx *ctx, struct sp_event *event, int64_t timeout_ms)
{
	(void)ctx, (void)event;
	assert_true(timeout_ms > 0);
	hub.waits++;
	if (hub.wait_frees != NULL)
		hub.wait_frees->active--;
	return hub.wait_status;
}

static inline void
hub_wake(struct sp_event *event, bool all)
{
	(void)event, (void)all;
}

/* ---- the host's other services --------------------------------------------------------------------- */

static inline enum sp_status
hub_refuse(struct sp_ctx *ctx, const struct sp_reply *r)
{
	(void)ctx;
	assert_true(r->text.len <= WORD_TEXT);
	hub.refusals++;
	hub.code = r->code;
	snprintf(hub.enhanced, sizeof(hub.enhanced), "%.*s", (int)r->enhanced.len, r->enhanced.ptr);
	snprintf(hub.text, sizeof(hub.text), "%.*s", (int)r->text.len, r->text.ptr);
	return SP_OK;
}

static inline bool
hub_wanted(struct sp_ctx *ctx, unsigned fact)
{
	(void)ctx, (void)fact;
	return hub.wanted;
}

static inline enum sp_status
hub_named(struct sp_ctx *ctx, const char *name, struct sp_value *ret)
{
	static const struct {
		const char *name, *text;
	} facts[] = { { "client.name", "mx.example.org" }, { "client.ptr", "mx.example.org" }, { "listener.hostname", "gw.example.net" },
		{ "listener.name", "in" }, { "mail.id", "ID1" }, { "tls.version", "TLSv1.3" } };

	(void)ctx;
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if (strcmp(facts[i].name, name) == 0) {
			*ret = (struct sp_value){ SP_STRING, { .text = box_span(facts[i].text) } };
			return SP_OK;
		}
	if (strcmp(name, "client.ip") == 0) {
		*ret = (struct sp_value){ SP_IP, { .ip = { 4, { 192, 0, 2, 1 } } } };
		return SP_OK;
	}
	if (strcmp(name, "client.port") == 0 || strcmp(name, "tls.bits") == 0) {
		*ret = (struct sp_value){ SP_INT, { .integer = strcmp(name, "tls.bits") == 0 ? 0 : 40000 } };
		return SP_OK;
	}
	return SP_NONE;
}

/* ---- the draft --------------------------------------------------------------------------------------- */

/* Where the field of that index is; field_count: nowhere. */
static inline size_t
hub_place(size_t index)
{
	size_t at = 0;

	for (; at < hub.field_count; at++)
		if (strcmp(hub.fields[at], "@") != 0 && index-- == 0)
			break;
	return at;
}

static inline enum sp_status
hub_draft_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	size_t at = hub_place(index);
	const char *f = hub.fields[at], *colon;

	(void)ctx;
	if (at == hub.field_count)
		return SP_NONE;
	colon = strchr(f, ':');
	assert_non_null(colon);
	*ret = (struct sp_header){ .name = { f, (size_t)(colon - f) }, .value = box_span(colon + 1), .field = box_span(f), .index = index };
	return SP_OK;
}

static inline enum sp_status
hub_draft_insert(struct sp_ctx *ctx, size_t before, struct sp_span field)
{
	size_t at = before == SP_DRAFT_TOP ? 0 : before == SP_DRAFT_END ? hub.field_count : hub_place(before);

	(void)ctx;
	assert_true(hub.field_count + 1 < HUB_FIELDS && field.len < sizeof(hub.fields[0]));
	if (hub.edit_status != SP_OK)
		return hub.edit_status;
	memmove(hub.fields[at + 1], hub.fields[at], (hub.field_count - at) * sizeof(hub.fields[0]));
	snprintf(hub.fields[at], sizeof(hub.fields[at]), "%.*s", (int)field.len, field.ptr);
	hub.field_count++;
	return SP_OK;
}

static inline enum sp_status
hub_draft_replace(struct sp_ctx *ctx, size_t index, struct sp_span field)
{
	size_t at = hub_place(index);

	(void)ctx;
	if (at == hub.field_count)
		return SP_NONE;
	snprintf(hub.fields[at], sizeof(hub.fields[at]), "%.*s", (int)field.len, field.ptr);
	return SP_OK;
}

static inline enum sp_status
hub_draft_remove(struct sp_ctx *ctx, size_t index)
{
	size_t at = hub_place(index);

	(void)ctx;
	if (at == hub.field_count)
		return SP_NONE;
	hub.field_count--;
	memmove(hub.fields[at], hub.fields[at + 1], (hub.field_count - at) * sizeof(hub.fields[0]));
	return SP_OK;
}

/* "A: 1 | @ | B: 2" */
static inline void
hub_fields_set(const char *text)
{
	hub.field_count = 0;
	while (*text != '\0') {
		const char *end = strstr(text, " | ");
		size_t len = end != NULL ? (size_t)(end - text) : strlen(text);

		snprintf(hub.fields[hub.field_count++], sizeof(hub.fields[0]), "%.*s", (int)len, text);
		text += len + (end != NULL ? 3 : 0);
	}
}

static inline const char *
hub_fields_get(void)
{
	static char text[8192];

	text[0] = '\0';
	for (size_t i = 0; i < hub.field_count; i++) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%s%s", i > 0 ? " | " : "", hub.fields[i]);
	}
	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\r' ? '^' : *c == '\n' ? '~' : *c;
	return text;
}

static inline enum sp_status
hub_body(struct sp_ctx *ctx, struct sp_span chunk)
{
	(void)ctx;
	assert_true(hub.body_len + chunk.len < sizeof(hub.body));
	if (chunk.len > 0)
		memcpy(hub.body + hub.body_len, chunk.ptr, chunk.len);
	hub.body_len += chunk.len;
	for (size_t i = 0; i < hub.body_len; i++) /* as the real one */
		if (hub.body[i] == '\n' && (i == 0 || hub.body[i - 1] != '\r'))
			return SP_INVALID;
	return SP_OK;
}

static inline enum sp_status
hub_envelope(const char *what, struct sp_span address, struct sp_span params)
{
	size_t len = strlen(hub.envelope);

	snprintf(hub.envelope + len, sizeof(hub.envelope) - len, "%s%.*s[%.*s] ", what, (int)address.len, address.ptr, (int)params.len,
		params.len > 0 ? params.ptr : "");
	return SP_OK;
}

static inline enum sp_status
hub_sender(struct sp_ctx *ctx, struct sp_span address, struct sp_span params)
{
	(void)ctx;
	return hub_envelope("=", address, params);
}

static inline enum sp_status
hub_rcpt_insert(struct sp_ctx *ctx, struct sp_span address, struct sp_span params)
{
	(void)ctx;
	return hub_envelope("+", address, params);
}

static inline enum sp_status
hub_rcpt_delete(struct sp_ctx *ctx, struct sp_span address)
{
	(void)ctx;
	hub_envelope("-", address, box_span(""));
	return strncmp(address.ptr, "none", 4) == 0 ? SP_NONE : SP_OK;
}

static inline enum sp_status
hub_rcpt(struct sp_ctx *ctx, size_t index, struct sp_rcpt *ret)
{
	(void)ctx;
	if (hub.no_rcpts)
		return SP_INVALID;
	if (index >= hub.rcpt_count)
		return SP_NONE;
	*ret = hub.rcpts[index];
	return SP_OK;
}

/* ---- a use ------------------------------------------------------------------------------------------ */

struct use {
	struct box box; /* first */
	struct milter_conf conf;
	struct sp_host host;
};

/* One session's; several may share a pool: the first one's. */
static inline void
use_init(struct use *u, const struct use *other)
{
	memset(u, 0, sizeof(*u));
	u->conf = (struct milter_conf){ .socket = box_span("unix:/milter"), .timeout_ms = 30000, .connect_ms = 10000,
		.content_ms = 120000, .protocol = 6, .connections = 100, .queue = 10, .obey = true, .reuse = true };
	assert_int_equal(box_init(&u->box, &sp_filter_milter, &u->conf, NULL, 0), SP_OK);
	u->host = box_host;
	u->host.connect = hub_connect;
	u->host.conn_read = hub_read;
	u->host.conn_write = hub_write;
	u->host.conn_close = hub_close;
	u->host.conn_keep = hub_keep;
	u->host.conn_take = hub_take;
	u->host.conn_idle = hub_idle;
	u->host.event_wait = hub_wait;
	u->host.event_wake = hub_wake;
	u->host.fact_named = hub_named;
	u->host.refuse = hub_refuse;
	u->host.fact_wanted = hub_wanted;
	u->host.draft_get = hub_draft_get;
	u->host.draft_insert = hub_draft_insert;
	u->host.draft_replace = hub_draft_replace;
	u->host.draft_remove = hub_draft_remove;
	u->host.draft_body = box_body_get;
	u->host.draft_rcpt = hub_rcpt;
	u->host.sender_change = hub_sender;
	u->host.rcpt_insert = hub_rcpt_insert;
	u->host.rcpt_delete = hub_rcpt_delete;
	u->host.body_replace = hub_body;
	u->box.ctx.host = &u->host;
	u->conf.pool->host = &u->host;
	if (other != NULL)
		u->conf.pool = other->conf.pool;
}

static inline void
use_fini(struct use *u, const struct use *other)
{
	if (other != NULL)
		u->conf.pool = NULL;
	box_fini(&u->box, &u->conf, NULL);
}

static inline void
hub_reset(const struct deed *deeds)
{
	memset(&hub, 0, sizeof(hub));
	hub.deeds = deeds;
	hub.options = (struct wire_options){ .version = 6, .actions = SMFI_CURR_ACTS, .protocol = 0 };
	hub.no_rcpts = true;
	hub_fields_set("@ | Subject: hello");
}

static inline enum sp_status
use_rcpt(struct use *u, const char *address)
{
	struct sp_rcpt ev = { .address = box_span(address) };

	return sp_filter_milter.on_rcpt(&u->box.ctx, &ev);
}

static inline enum sp_status
use_mail(struct use *u, const char *address, const char *params)
{
	struct sp_mail ev = { .address = box_span(address), .params = box_span(params), .size = -1 };

	u->box.ctx.tx = box_take(&u->box, sp_filter_milter.tx_size);
	return sp_filter_milter.on_mail(&u->box.ctx, &ev);
}

static inline enum sp_status
use_eom(struct use *u, const char *body)
{
	struct sp_eom ev = { 0 };

	u->box.body = box_span(body);
	u->box.piece = 7;
	return sp_filter_milter.on_eom(&u->box.ctx, &ev);
}

static inline void
use_reset(struct use *u)
{
	sp_filter_milter.on_reset(&u->box.ctx);
	u->box.ctx.tx = NULL;
}

static inline void
use_close(struct use *u)
{
	struct sp_close ev = { u->box.ctx.tx != NULL };

	if (u->box.ctx.tx != NULL)
		use_reset(u);
	sp_filter_milter.on_close(&u->box.ctx, &ev);
	memset(u->box.ctx.session, 0, sp_filter_milter.session_size);
}

/* From connect to the end of a message; the status of the first hook that fails. */
static inline enum sp_status
use_message(struct use *u)
{
	struct sp_connect connect = { .client = { 4, { 192, 0, 2, 1 } }, .port = 40000 };
	enum sp_status st;

	(void)sp_filter_milter.on_connect(&u->box.ctx, &connect);
	(void)box_helo(&u->box, "mx");
	st = use_mail(u, "a@example.org", "SIZE=9");
	if (st == SP_OK)
		st = use_rcpt(u, "b@example.com");
	if (st == SP_OK)
		st = box_data(&u->box);
	return st == SP_OK ? use_eom(u, "text\r\n") : st;
}

#endif
