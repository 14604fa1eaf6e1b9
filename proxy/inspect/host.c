/*
 * host.c - the services that filter modules get.
 *
 * Memory handed out is the transaction's, or the session's before MAIL.  Whatever waits ends at the hook's deadline at the
 * latest.  A connection is closed with the filter's session if the filter has neither done so nor kept it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/dns/dns.h"
#include "proxy/inspect/inspect_priv.h"
#include "proxy/net/net.h"
#include "proxy/rt/rt.h"

enum { LOG_LINE = 512 };

/* ---- log ---------------------------------------------------------------------------------------------- */

static void
log_stderr(void *arg, enum sp_log_level level, const char *line)
{
	(void)arg;
	if (level != SP_LOG_DEBUG)
		fprintf(stderr, "%s\n", line);
}

static void (*log_fn)(void *arg, enum sp_log_level level, const char *line) = log_stderr;
static void *log_arg;

void
inspect_log_to(void (*fn)(void *arg, enum sp_log_level level, const char *line), void *arg)
{
	log_fn = fn != NULL ? fn : log_stderr;
	log_arg = arg;
}

__attribute__((format(printf, 3, 0))) static void
log_line(const struct use *u, enum sp_log_level level, const char *fmt, va_list ap)
{
	struct sp_span name = policy_filter(u->in->policy, u->index)->name;
	char line[LOG_LINE];
	int len = snprintf(line, sizeof(line), "filter %.*s: ", (int)(name.len < 64 ? name.len : 64), name.ptr);

	vsnprintf(line + len, sizeof(line) - (size_t)len, fmt, ap);
	for (char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?'; /* one line, whatever a client has sent */
	log_fn(log_arg, level, line);
}

void
host_log(const struct use *u, enum sp_log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(u, level, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 3, 0))) static void
service_log(struct sp_ctx *ctx, enum sp_log_level level, const char *fmt, va_list ap)
{
	log_line(use_of(ctx), level, fmt, ap);
}

/* ---- memory and time ------------------------------------------------------------------------------------ */

static void *
service_alloc(struct sp_ctx *ctx, size_t size)
{
	return arena_alloc(hooks_arena(use_of(ctx)->in), size);
}

static int64_t
service_now_ms(struct sp_ctx *ctx)
{
	(void)ctx;
	return rt_now_ms();
}

/* The end of a wait of at most timeout_ms. */
static int64_t
deadline_in(const struct inspect *i, int64_t timeout_ms)
{
	int64_t mine = rt_deadline(timeout_ms > 0 ? timeout_ms : 0), all = hooks_deadline(i);

	return mine < all ? mine : all;
}

static enum sp_status
service_sleep(struct sp_ctx *ctx, int64_t ms)
{
	int64_t left = hooks_deadline(use_of(ctx)->in) - rt_now_ms();
	enum sp_status st;

	if (ms <= left)
		return co_sleep(ms > 0 ? ms : 0);
	st = co_sleep(left > 0 ? left : 0);
	return st == SP_OK ? SP_TIMEOUT : st;
}

static enum sp_status
service_blocking(struct sp_ctx *ctx, void (*fn)(void *), void *arg)
{
	(void)ctx;
	return rt_blocking(fn, arg);
}

/* ---- DNS ------------------------------------------------------------------------------------------------- */

int64_t
host_dns_begin(const struct inspect *i)
{
	int64_t total = i->client.dns_ms, left = total - i->dns_spent_ms;
	int64_t own = (total < INSPECT_DNS_HOOK_MS ? total : INSPECT_DNS_HOOK_MS) - i->dns_hook_ms;

	return deadline_in(i, left > own ? left : own);
}

void
host_dns_end(struct inspect *i, int64_t began_ms)
{
	i->dns_spent_ms += rt_now_ms() - began_ms;
	i->dns_hook_ms += rt_now_ms() - began_ms;
}

static enum sp_status
service_dns_addrs(struct sp_ctx *ctx, struct sp_span name, struct sp_addrs *ret)
{
	struct inspect *i = use_of(ctx)->in;
	int64_t began = rt_now_ms();
	enum sp_status st = dns_addrs(name, host_dns_begin(i), hooks_arena(i), ret);

	host_dns_end(i, began);
	return st;
}

static enum sp_status
service_dns_txt(struct sp_ctx *ctx, struct sp_span name, struct sp_names *ret)
{
	struct inspect *i = use_of(ctx)->in;
	int64_t began = rt_now_ms();
	enum sp_status st = dns_txt(name, host_dns_begin(i), hooks_arena(i), ret);

	host_dns_end(i, began);
	return st;
}

static enum sp_status
service_dns_mx(struct sp_ctx *ctx, struct sp_span name, struct sp_mxs *ret)
{
	struct inspect *i = use_of(ctx)->in;
	int64_t began = rt_now_ms();
	enum sp_status st = dns_mx(name, host_dns_begin(i), hooks_arena(i), ret);

	host_dns_end(i, began);
	return st;
}

static enum sp_status
service_dns_ptr(struct sp_ctx *ctx, const struct sp_ip *ip, struct sp_names *ret)
{
	struct inspect *i = use_of(ctx)->in;
	int64_t began = rt_now_ms();
	enum sp_status st = dns_ptr(ip, host_dns_begin(i), hooks_arena(i), ret);

	host_dns_end(i, began);
	return st;
}

static enum sp_status
service_dns_ips(struct sp_ctx *ctx, struct sp_span name, int family, struct sp_addrs *ret)
{
	struct inspect *i = use_of(ctx)->in;
	int64_t began = rt_now_ms();
	enum sp_status st;

	if (family != 4 && family != 6)
		return SP_INVALID;
	st = (family == 4 ? dns_a : dns_aaaa)(name, host_dns_begin(i), hooks_arena(i), ret);
	host_dns_end(i, began);
	return st;
}

static enum sp_status
service_dns_texts(struct sp_ctx *ctx, const struct sp_span *names, size_t count, struct sp_texts *ret)
{
	struct inspect *i = use_of(ctx)->in;
	int64_t began = rt_now_ms();
	enum sp_status st = dns_texts(&(struct dns_batch){ names, count }, host_dns_begin(i), hooks_arena(i), ret);

	host_dns_end(i, began);
	return st;
}

/* ---- connections --------------------------------------------------------------------------------------------- */

/* Tries the addresses of a host name in turn. */
static enum sp_status
connect_host(struct inspect *i, struct net_endpoint *e, int64_t deadline, struct stream **ret)
{
	struct sp_addrs addrs;
	enum sp_status st = dns_addrs(span_str(e->text), deadline, hooks_arena(i), &addrs);

	if (st != SP_OK)
		return st;
	st = SP_NONE;
	for (size_t n = 0; n < addrs.count && st != SP_OK && st != SP_CANCELED; n++) {
		struct net_endpoint one = { .kind = NET_IP, .ip = addrs.items[n], .port = e->port };

		span_from_ip(&one.ip, one.text);
		st = stream_connect(&one, deadline, ret);
	}
	return st;
}

static void
service_conn_keep(struct sp_conn *conn)
{
	struct sp_conn **at;

	if (conn->by == NULL)
		return;
	at = &conn->by->in->conns;
	while (*at != conn)
		at = &(*at)->next;
	*at = conn->next;
	conn->by = NULL;
}

static void
service_conn_take(struct sp_ctx *ctx, struct sp_conn *conn)
{
	struct use *u = use_of(ctx);

	service_conn_keep(conn);
	conn->by = u;
	conn->next = u->in->conns;
	u->in->conns = conn;
}

static enum sp_status
service_connect(struct sp_ctx *ctx, const char *endpoint, int64_t timeout_ms, struct sp_conn **ret)
{
	struct use *u = use_of(ctx);
	struct net_endpoint e;
	struct stream *stream;
	int64_t deadline = deadline_in(u->in, timeout_ms);
	enum sp_status st = net_endpoint_parse(span_str(endpoint), 0, &e);
	struct sp_conn *conn;

	if (st == SP_OK)
		st = e.kind == NET_HOST ? connect_host(u->in, &e, deadline, &stream)
					: stream_connect(&e, deadline, &stream);
	if (st != SP_OK)
		return st;
	conn = calloc(1, sizeof(*conn));
	if (conn == NULL) {
		stream_free(&stream);
		return SP_SYSTEM;
	}
	conn->stream = stream;
	service_conn_take(ctx, conn);
	*ret = conn;
	return SP_OK;
}

/* Whose a connection is says how long one may wait for it; nobody's: as long as the caller says. */
static int64_t
conn_deadline(const struct sp_conn *conn, int64_t timeout_ms)
{
	return conn->by != NULL ? deadline_in(conn->by->in, timeout_ms) : rt_deadline(timeout_ms > 0 ? timeout_ms : 0);
}

/* Somebody may wait for a connection that another closes: then it is his to free, once he has been woken. */
static enum sp_status
conn_leave(struct sp_conn *conn, enum sp_status st)
{
	if (--conn->busy > 0 || !conn->closed)
		return conn->closed ? SP_GONE : st;
	stream_free(&conn->stream);
	free(conn);
	return SP_GONE;
}

static enum sp_status
fill(struct sp_conn *conn, int64_t deadline)
{
	enum sp_status st = SP_OK;

	conn->busy++;
	while (st == SP_OK && !conn->closed && stream_input(conn->stream).len == 0)
		st = stream_fill(conn->stream, deadline);
	return conn_leave(conn, st);
}

static enum sp_status
service_conn_read(struct sp_conn *conn, void *to, size_t max, int64_t timeout_ms, size_t *ret)
{
	enum sp_status st = fill(conn, conn_deadline(conn, timeout_ms));
	struct sp_span in;

	if (st != SP_OK)
		return st;
	in = span_head(stream_input(conn->stream), max);
	if (in.len > 0)
		memcpy(to, in.ptr, in.len);
	stream_consume(conn->stream, in.len);
	*ret = in.len;
	return SP_OK;
}

static enum sp_status
service_conn_write(struct sp_conn *conn, struct sp_span bytes, int64_t timeout_ms)
{
	int64_t deadline = conn_deadline(conn, timeout_ms);
	enum sp_status st;

	conn->busy++;
	st = stream_write(conn->stream, bytes, deadline);
	if (st == SP_OK && !conn->closed)
		st = stream_flush(conn->stream, deadline);
	return conn_leave(conn, st);
}

static bool
service_conn_idle(const struct sp_conn *conn)
{
	return stream_quiet(conn->stream);
}

static void
service_conn_close(struct sp_conn **conn)
{
	struct sp_conn *c = *conn;

	if (c == NULL)
		return;
	*conn = NULL;
	service_conn_keep(c);
	if (c->busy > 0) {
		c->closed = true;
		shutdown(stream_fd(c->stream), SHUT_RDWR);
		return;
	}
	stream_free(&c->stream);
	free(c);
}

void
host_close_conns(struct inspect *i, const struct use *by)
{
	struct sp_conn *conn = i->conns;

	while (conn != NULL) {
		struct sp_conn *next = conn->next;

		if (conn->by == by)
			service_conn_close(&conn);
		conn = next;
	}
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

/* The module's memory is ours to use, as the loop's kind of event. */
_Static_assert(sizeof(struct sp_event) == sizeof(struct rt_event) && sizeof(void *) == sizeof(struct rt_waiter *) &&
	offsetof(struct sp_event, first) == offsetof(struct rt_event, first) &&
	offsetof(struct sp_event, last) == offsetof(struct rt_event, last), "an event is two pointers");

static enum sp_status
service_event_wait(struct sp_ctx *ctx, struct sp_event *event, int64_t timeout_ms)
{
	return rt_event_wait((struct rt_event *)event, deadline_in(use_of(ctx)->in, timeout_ms));
}

static void
service_event_wake(struct sp_event *event, bool all)
{
	if (all)
		rt_event_wake_all((struct rt_event *)event);
	else
		rt_event_wake_one((struct rt_event *)event);
}

/* ---- the message and its edits ---------------------------------------------------------------------------------- */

static enum sp_status
service_header_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	const struct transaction *tx = use_of(ctx)->in->tx;
	const struct header_field *f;

	if (tx == NULL || !tx->header.complete)
		return SP_INVALID;
	if (tx->final != NULL)
		return final_get(tx->final, index, ret);
	if (index >= tx->header.count)
		return SP_NONE;
	f = &tx->header.fields[index];
	*ret = (struct sp_header){ .name = f->name, .value = f->value, .field = f->field, .index = index };
	return SP_OK;
}

static enum sp_status
service_body_get(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret)
{
	return content_body_get(ctx, offset, ret);
}

/* ---- results --------------------------------------------------------------------------------------------------- */

static struct sp_span
service_auth_id(struct sp_ctx *ctx)
{
	return span_str(use_of(ctx)->in->client.auth_id);
}

static struct sp_span
service_results_text(struct sp_ctx *ctx)
{
	return results_compose(use_of(ctx)->in);
}

const struct sp_host inspect_host = {
	.abi_major = SP_ABI_MAJOR,
	.abi_minor = SP_ABI_MINOR,
	.size = (uint32_t)sizeof(struct sp_host),
	/* load_error, load_shared, load_alloc: the compiler's; it hands load() a table with its own */
	.fact_set = slots_set,
	.fact_read = slots_read,
	.alloc = service_alloc,
	.log = service_log,
	.now_ms = service_now_ms,
	.dns_addrs = service_dns_addrs,
	.dns_txt = service_dns_txt,
	.dns_mx = service_dns_mx,
	.dns_ptr = service_dns_ptr,
	.connect = service_connect,
	.conn_read = service_conn_read,
	.conn_write = service_conn_write,
	.conn_close = service_conn_close,
	.sleep = service_sleep,
	.blocking = service_blocking,
	.header_add = edits_add,
	.header_insert = edits_insert,
	.header_replace = edits_replace,
	.header_remove = edits_remove,
	.sender_replace = envelope_sender_replace,
	.rcpt_add = envelope_rcpt_add,
	.rcpt_remove = envelope_delete,
	.body_replace = newbody_write,
	.header_get = service_header_get,
	.body_get = service_body_get,
	.dns_ips = service_dns_ips,
	.dns_texts = service_dns_texts,
	.table_has = policy_table_has,
	.result_add = results_add,
	.result_get = results_get,
	.auth_id = service_auth_id,
	.results_text = service_results_text,
	.draft_get = draft_get,
	.draft_insert = draft_insert,
	.draft_replace = draft_replace,
	.draft_remove = draft_remove,
	.draft_body = content_draft_body,
	.draft_sender = envelope_get_sender,
	.draft_rcpt = envelope_get_rcpt,
	.sender_change = envelope_sender,
	.rcpt_insert = envelope_insert,
	.rcpt_delete = envelope_delete,
	.conn_keep = service_conn_keep,
	.conn_take = service_conn_take,
	.conn_idle = service_conn_idle,
	.event_wait = service_event_wait,
	.event_wake = service_event_wake,
	.refuse = said_refuse,
	.fact_wanted = slots_wanted,
	.fact_named = facts_named,
};
