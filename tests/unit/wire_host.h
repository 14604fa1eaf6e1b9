/*
 * wire_host.h - what the box of filter_host.h gets besides, for modules that talk to a server: connections by a script, facts by name,
 * the filter's word, fields on top.
 *
 * A script is a list of things that happen to reads, in order, over all connections. What was written is kept in one text.
 */
#ifndef TESTS_UNIT_WIRE_HOST_H
#define TESTS_UNIT_WIRE_HOST_H

#include "tests/unit/filter_host.h"

enum { WIRE_CONNS = 64, WIRE_TEXT = 1 << 16 };

struct wire_step {
	const char *text;      /* null: status */
	enum sp_status status; /* of the read; of connect where connect is true */
	bool connect;          /* this step is for a connect that fails */
};
struct sp_conn {
	bool kept, open;
};
struct wire_fact {
	const char *name;
	struct sp_value value;
};

static struct wire {
	const struct wire_step *script;
	size_t at, offset; /* of the step */
	char written[WIRE_TEXT];
	size_t written_len;
	struct sp_conn *conns[WIRE_CONNS]; /* by their connect */
	unsigned connects, closes, write_fails; /* so many writes fail first */
	bool idle_broken;                       /* kept connections are not idle any more */
	const char *endpoint;
	const struct wire_fact *facts;
	int code; /* the filter's word */
	char enhanced[32], text[1024], fields[WIRE_TEXT];
	bool wanted;
	const char *rcpts[4]; /* who stands */
} wire;

static inline enum sp_status
wire_connect(struct sp_ctx *ctx, const char *endpoint, int64_t timeout_ms, struct sp_conn **ret)
{
	const struct wire_step *step = wire.script == NULL ? NULL : &wire.script[wire.at];

	(void)ctx;
	assert_true(timeout_ms > 0);
	wire.endpoint = endpoint;
	wire.connects++;
	if (step != NULL && step->connect) {
		wire.at++;
		return step->status;
	}
	*ret = calloc(1, sizeof(**ret));
	assert_non_null(*ret);
	(*ret)->open = true;
	assert_true(wire.connects <= WIRE_CONNS);
	wire.conns[wire.connects - 1] = *ret;
	return SP_OK;
}

static inline enum sp_status
wire_read(struct sp_conn *conn, void *to, size_t max, int64_t timeout_ms, size_t *ret)
{
	const struct wire_step *step = &wire.script[wire.at];
	size_t len;

	(void)timeout_ms;
	assert_true(conn->open && !conn->kept);
	if (step->text == NULL) {
		wire.at++;
		return step->status;
	}
	len = strlen(step->text) - wire.offset;
	len = len < max ? len : max;
	memcpy(to, step->text + wire.offset, len);
	wire.offset += len;
	if (step->text[wire.offset] == '\0') {
		wire.at++;
		wire.offset = 0;
	}
	*ret = len;
	return SP_OK;
}

static inline enum sp_status
wire_write(struct sp_conn *conn, struct sp_span bytes, int64_t timeout_ms)
{
	(void)timeout_ms;
	assert_true(conn->open && !conn->kept);
	if (wire.write_fails > 0) {
		wire.write_fails--;
		return SP_GONE;
	}
	assert_true(bytes.len < WIRE_TEXT - wire.written_len);
	if (bytes.len > 0)
		memcpy(wire.written + wire.written_len, bytes.ptr, bytes.len);
	wire.written_len += bytes.len;
	wire.written[wire.written_len] = '\0';
	return SP_OK;
}

static inline void
wire_close(struct sp_conn **conn)
{
	for (unsigned i = 0; i < wire.connects; i++)
		if (*conn != NULL && wire.conns[i] == *conn) {
			wire.conns[i] = NULL;
			wire.closes++;
		}
	free(*conn);
	*conn = NULL;
}

static inline void
wire_keep(struct sp_conn *conn)
{
	conn->kept = true;
}

static inline void
wire_take(struct sp_ctx *ctx, struct sp_conn *conn)
{
	(void)ctx;
	conn->kept = false;
}

static inline bool
wire_idle(const struct sp_conn *conn)
{
	return conn->open && !wire.idle_broken;
}

static inline enum sp_status
wire_named(struct sp_ctx *ctx, const char *name, struct sp_value *ret)
{
	(void)ctx;
	for (const struct wire_fact *f = wire.facts; f != NULL && f->name != NULL; f++)
		if (strcmp(f->name, name) == 0) {
			*ret = f->value;
			return SP_OK;
		}
	return SP_TEMPFAIL;
}

static inline enum sp_status
wire_refuse(struct sp_ctx *ctx, const struct sp_reply *reply)
{
	(void)ctx;
	if (wire.code != 0)
		return SP_OK;
	wire.code = reply->code;
	snprintf(wire.enhanced, sizeof(wire.enhanced), "%.*s", (int)reply->enhanced.len, reply->enhanced.ptr);
	snprintf(wire.text, sizeof(wire.text), "%.*s", (int)reply->text.len, reply->text.ptr);
	return SP_OK;
}

static inline bool
wire_wanted(struct sp_ctx *ctx, unsigned fact)
{
	(void)ctx;
	(void)fact;
	return wire.wanted;
}

static inline enum sp_status
wire_insert(struct sp_ctx *ctx, size_t index, const char *name, struct sp_span value)
{
	size_t len = strlen(wire.fields);

	(void)ctx;
	assert_int_equal(index, 0);
	snprintf(wire.fields + len, sizeof(wire.fields) - len, "%s: %.*s\n", name, (int)value.len, value.ptr);
	return SP_OK;
}

/* Those who stand: NUL-ended, null past the last. */
static inline enum sp_status
wire_draft_rcpt(struct sp_ctx *ctx, size_t index, struct sp_rcpt *ret)
{
	(void)ctx;
	if (index >= sizeof(wire.rcpts) / sizeof(wire.rcpts[0]) || wire.rcpts[index] == NULL)
		return SP_NONE;
	*ret = (struct sp_rcpt){ .address = { wire.rcpts[index], strlen(wire.rcpts[index]) }, .index = index };
	return SP_OK;
}

/* The table with all of it; the box is then made by box_init() and told of it by wire_init(). */
static inline const struct sp_host *
wire_table(void)
{
	static struct sp_host host;

	host = box_host;
	host.connect = wire_connect;
	host.conn_read = wire_read;
	host.conn_write = wire_write;
	host.conn_close = wire_close;
	host.conn_keep = wire_keep;
	host.conn_take = wire_take;
	host.conn_idle = wire_idle;
	host.fact_named = wire_named;
	host.draft_rcpt = wire_draft_rcpt;
	host.refuse = wire_refuse;
	host.fact_wanted = wire_wanted;
	host.header_insert = wire_insert;
	return &host;
}

static inline void
wire_init(struct box *box, const struct wire_step *script)
{
	memset(&wire, 0, sizeof(wire));
	wire.script = script;
	box->ctx.host = wire_table();
}

/* Those that were kept end with the worker. */
static inline void
wire_fini(void)
{
	for (unsigned i = 0; i < wire.connects; i++)
		free(wire.conns[i]);
	wire.connects = 0;
}

static inline struct sp_value
wire_text(const char *text)
{
	return (struct sp_value){ .type = SP_STRING, .u.text = box_span(text) };
}

#endif
