/*
 * fuzz_milter_session.c - a milter that says anything: a whole session of the module with one whose replies are the input.
 *
 * Octet 0 chooses configuration and how large the pieces are that reads give.  Whatever it says, every hook returns, a message
 * has a verdict or the transaction has failed, nothing is edited in one that has failed or is refused, and what the host is asked to write
 * has the form that it promises.  The host here has one connection's memory and an arena.
 */
#include <stdlib.h>
#include <string.h>

#include <libmilter/mfapi.h>

#include "milter/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern const struct sp_filter sp_filter_milter;

#define HOLDS(x) \
	do { \
		if (!(x)) \
			abort(); \
	} while (0)

enum { ARENA = 8 << 20, FIELDS = 3 };

struct sp_conn {
	int dummy;
};
static struct {
	const char *in;
	size_t len, at, piece;
	char *arena;
	size_t arena_used;
	int64_t now;
	unsigned conns, edits, words, verdicts;
} hub;

static void *
hub_alloc(struct sp_ctx *ctx, size_t size)
{
	char *p = hub.arena + hub.arena_used;

	(void)ctx;
	size = (size + 15) & ~(size_t)15;
	if (size > ARENA - hub.arena_used)
		return NULL;
	hub.arena_used += size;
	memset(p, 0, size);
	return p;
}

static void *
hub_load_alloc(struct sp_load *load, size_t size)
{
	(void)load;
	return hub_alloc(NULL, size);
}

static void
hub_load_error(struct sp_load *load, const char *file, unsigned line, unsigned column, const char *fmt, va_list ap)
{
	(void)load, (void)file, (void)line, (void)column, (void)fmt, (void)ap;
	abort();
}

static void
hub_log(struct sp_ctx *ctx, enum sp_log_level level, const char *fmt, va_list ap)
{
	(void)ctx, (void)level, (void)fmt, (void)ap;
}

static int64_t
hub_now(struct sp_ctx *ctx)
{
	(void)ctx;
	return ++hub.now;
}

static enum sp_status
hub_connect(struct sp_ctx *ctx, const char *endpoint, int64_t timeout_ms, struct sp_conn **ret)
{
	(void)ctx, (void)endpoint, (void)timeout_ms;
	if (hub.at >= hub.len)
		return SP_TEMPFAIL;
	*ret = malloc(sizeof(**ret));
	HOLDS(*ret != NULL);
	hub.conns++;
	return SP_OK;
}

static enum sp_status
hub_read(struct sp_conn *c, void *to, size_t max, int64_t timeout_ms, size_t *ret)
{
	size_t n = hub.len - hub.at;

	(void)c, (void)timeout_ms;
	HOLDS(max > 0);
	if (n == 0)
		return SP_GONE;
	n = n < max ? n : max;
	n = hub.piece > 0 && hub.piece < n ? hub.piece : n;
	memcpy(to, hub.in + hub.at, n);
	hub.at += n;
	*ret = n;
	return SP_OK;
}

static enum sp_status
hub_write(struct sp_conn *c, struct sp_span octets, int64_t timeout_ms)
{
	(void)c, (void)timeout_ms;
	while (octets.len > 0) { /* whole packets, always */
		struct wire_packet p;
		size_t used;

		HOLDS(wire_packet_take(octets, 2 << 20, &p, &used) == SP_OK);
		octets = span_of(octets.ptr + used, octets.len - used);
	}
	return SP_OK;
}

static void
hub_close(struct sp_conn **c)
{
	free(*c);
	*c = NULL;
	hub.conns--;
}

static void
hub_keep(struct sp_conn *c)
{
	(void)c;
}

static void
hub_take(struct sp_ctx *ctx, struct sp_conn *c)
{
	(void)ctx, (void)c;
}

static bool
hub_idle(const struct sp_conn *c)
{
	(void)c;
	return true;
}

static void
hub_fact(struct sp_ctx *ctx, int entry, unsigned fact, const struct sp_value *v)
{
	(void)ctx, (void)entry;
	hub.verdicts += fact == 0;
	if (v->type == SP_STRING)
		for (size_t i = 0; i < v->u.text.len; i++)
			HOLDS(v->u.text.ptr[i] != '\0');
}

static enum sp_status
hub_named(struct sp_ctx *ctx, const char *name, struct sp_value *ret)
{
	(void)ctx;
	*ret = (struct sp_value){ SP_STRING, { .text = { name, strlen(name) } } };
	return strstr(name, "ip") != NULL || strstr(name, "bits") != NULL ? SP_NONE : SP_OK;
}

static enum sp_status
hub_refuse(struct sp_ctx *ctx, const struct sp_reply *r)
{
	unsigned lines = 1;

	(void)ctx;
	hub.words++;
	HOLDS(r->code == 250 || (r->code >= 400 && r->code <= 599));
	HOLDS(r->text.len <= WORD_TEXT);
	for (size_t i = 0; i < r->text.len; i++) {
		HOLDS(r->text.ptr[i] == '\n' || (r->text.ptr[i] >= ' ' && r->text.ptr[i] <= '~'));
		lines += r->text.ptr[i] == '\n';
	}
	HOLDS(lines <= WORD_LINES);
	return SP_OK;
}

static bool
hub_wanted(struct sp_ctx *ctx, unsigned fact)
{
	(void)ctx, (void)fact;
	return hub.piece % 2 == 0;
}

static enum sp_status
hub_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	(void)ctx;
	*ret = (struct sp_header){ .name = { "A", 1 }, .value = { " b\r\n c", 6 }, .field = { "A: b\r\n c", 8 }, .index = index };
	return index < FIELDS ? SP_OK : SP_NONE;
}

static enum sp_status
hub_field(struct sp_ctx *ctx, size_t index, struct sp_span field)
{
	size_t line = 0;
	bool bare = false;

	(void)ctx, (void)index;
	hub.edits++;
	HOLDS(memchr(field.ptr, ':', field.len) != NULL);
	for (size_t i = 0; i < field.len; i++) {
		HOLDS(field.ptr[i] != '\n' || field.ptr[i - 1] == '\r');
		bare = bare || (field.ptr[i] == '\r' && (i + 1 == field.len || field.ptr[i + 1] != '\n'));
		line = field.ptr[i] == '\n' ? 0 : line + 1;
		HOLDS(line <= 998 + 1); /* and the CR */
	}
	return bare ? SP_INVALID : SP_OK;
}

static enum sp_status
hub_remove(struct sp_ctx *ctx, size_t index)
{
	(void)ctx, (void)index;
	hub.edits++;
	return SP_OK;
}

static enum sp_status
hub_body(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret)
{
	(void)ctx;
	*ret = span_of("text\r\n", 6);
	return offset < 60 ? SP_OK : SP_NONE;
}

static enum sp_status
hub_new_body(struct sp_ctx *ctx, struct sp_span chunk)
{
	(void)ctx, (void)chunk;
	return SP_OK;
}

static enum sp_status
hub_sender(struct sp_ctx *ctx, struct sp_span address, struct sp_span params)
{
	(void)ctx, (void)address, (void)params;
	hub.edits++;
	return SP_OK;
}

static enum sp_status
hub_unrcpt(struct sp_ctx *ctx, struct sp_span address)
{
	(void)ctx, (void)address;
	hub.edits++;
	return SP_NONE;
}

static enum sp_status
hub_rcpt(struct sp_ctx *ctx, size_t index, struct sp_rcpt *ret)
{
	(void)ctx;
	*ret = (struct sp_rcpt){ .address = span_of("c", 1) };
	return index == 0 ? SP_OK : SP_NONE;
}

static const struct sp_host host = { .load_error = hub_load_error, .load_alloc = hub_load_alloc, .fact_set = hub_fact, .alloc = hub_alloc,
	.log = hub_log, .now_ms = hub_now, .connect = hub_connect, .conn_read = hub_read, .conn_write = hub_write, .conn_close = hub_close,
	.conn_keep = hub_keep, .conn_take = hub_take, .conn_idle = hub_idle, .fact_named = hub_named, .refuse = hub_refuse,
	.fact_wanted = hub_wanted, .draft_get = hub_get, .draft_insert = hub_field, .draft_replace = hub_field, .draft_remove = hub_remove,
	.draft_body = hub_body, .body_replace = hub_new_body, .sender_change = hub_sender, .rcpt_insert = hub_sender,
	.rcpt_delete = hub_unrcpt, .draft_rcpt = hub_rcpt };

static void
wake(struct sp_event *event, bool all)
{
	(void)event, (void)all;
}

static void
message(struct sp_ctx *ctx)
{
	const struct sp_filter *f = &sp_filter_milter;
	const struct milter_conf *conf = ctx->conf;
	struct sp_mail mail = { .address = span_of("a@example.org", 13), .params = span_of("SIZE=1 AUTH=<>", 14), .size = 1 };
	struct sp_rcpt b = { .address = span_of("b", 1) }, c = { .address = span_of("c", 1) };
	struct sp_eom eom = { 60 };
	enum sp_status st;

	ctx->tx = hub_alloc(ctx, f->tx_size);
	hub.edits = hub.words = hub.verdicts = 0;
	st = f->on_mail(ctx, &mail);
	if (st == SP_OK)
		st = f->on_rcpt(ctx, &b);
	if (st == SP_OK)
		st = f->on_rcpt(ctx, &c);
	if (st == SP_OK)
		st = f->on_data(ctx);
	hub.words = 0;
	if (st == SP_OK)
		st = f->on_eom(ctx, &eom);
	HOLDS(st != SP_NONE);
	HOLDS(st != SP_OK || hub.verdicts == 1);
	HOLDS(conf->obey || (hub.words == 0 && hub.edits == 0));
	f->on_reset(ctx);
	ctx->tx = NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sp_filter *f = &sp_filter_milter;
	static char arena[ARENA];
	struct sp_host table = host;
	struct milter_conf conf = { .socket = span_of("/x", 2), .timeout_ms = 1000, .connect_ms = 1000, .content_ms = 1000, .connections = 9 };
	struct sp_connect connect = { .client = { 4, { 192, 0, 2, 1 } }, .port = 25 };
	struct sp_helo helo = { .name = span_of("mx", 2) };
	struct sp_close ev = { false };
	struct sp_ctx ctx = { .host = &table, .conf = &conf };

	if (size == 0)
		return 0;
	memset(&hub, 0, sizeof(hub));
	hub.in = (const char *)data + 1;
	hub.len = size - 1;
	hub.arena = arena;
	hub.piece = data[0] % 16;
	conf.obey = (data[0] & 0x10) == 0;
	conf.reuse = (data[0] & 0x20) == 0;
	conf.protocol = (data[0] & 0x40) == 0 ? 6 : 2;
	table.event_wake = wake;
	HOLDS(f->load(NULL, &table, &conf, NULL, 0) == SP_OK);
	ctx.session = hub_alloc(&ctx, f->session_size);
	for (unsigned session = 0; session < 2; session++) {
		memset(ctx.session, 0, f->session_size);
		(void)f->on_connect(&ctx, &connect);
		(void)f->on_helo(&ctx, &helo);
		message(&ctx);
		message(&ctx);
		f->on_close(&ctx, &ev);
		HOLDS(conf.pool->active == 0 && hub.conns == conf.pool->parked_count);
	}
	f->unload(&conf, NULL, 0);
	HOLDS(hub.conns == 0);
	return 0;
}
