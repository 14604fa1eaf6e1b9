/*
 * sallyport/services.h - the services of struct sp_host as functions; included by <sallyport/filter.h>, which says what each does.
 */
#ifndef SALLYPORT_SERVICES_H
#define SALLYPORT_SERVICES_H

#ifndef SALLYPORT_FILTER_H
#error "include <sallyport/filter.h>"
#endif

static inline bool
sp_addrs_have(const struct sp_addrs *addrs, struct sp_ip ip)
{
	size_t len = ip.family == 4 ? 4 : 16;

	for (size_t i = 0; i < addrs->count; i++) {
		const struct sp_ip *a = &addrs->items[i];
		size_t same = 0;

		while (same < len && a->bytes[same] == ip.bytes[same])
			same++;
		if (a->family == ip.family && same == len)
			return true;
	}
	return false;
}

static inline void
sp_fact_value(struct sp_ctx *ctx, unsigned fact, const struct sp_value *value)
{
	ctx->host->fact_set(ctx, -1, fact, value);
}

static inline void
sp_entry_fact_value(struct sp_ctx *ctx, size_t entry, unsigned fact, const struct sp_value *value)
{
	ctx->host->fact_set(ctx, (int)entry, fact, value);
}

static inline void
sp_fact_bool(struct sp_ctx *ctx, unsigned fact, bool yes)
{
	struct sp_value v = { SP_BOOL, { 0 } };

	v.u.boolean = yes;
	sp_fact_value(ctx, fact, &v);
}

/* for SP_INT, SP_SIZE, SP_DURATION, SP_TIME and SP_ENUM: type says which */
static inline void
sp_fact_number(struct sp_ctx *ctx, unsigned fact, enum sp_type type, int64_t n)
{
	struct sp_value v = { type, { 0 } };

	v.u.integer = n;
	sp_fact_value(ctx, fact, &v);
}

static inline void
sp_fact_score(struct sp_ctx *ctx, unsigned fact, double points)
{
	struct sp_value v = { SP_SCORE, { 0 } };

	v.u.real = points;
	sp_fact_value(ctx, fact, &v);
}

/* for SP_STRING, SP_DOMAIN and SP_ADDRESS */
static inline void
sp_fact_text(struct sp_ctx *ctx, unsigned fact, enum sp_type type, struct sp_span text)
{
	struct sp_value v = { type, { 0 } };

	v.u.text = text;
	sp_fact_value(ctx, fact, &v);
}

static inline void
sp_entry_fact_bool(struct sp_ctx *ctx, size_t entry, unsigned fact, bool yes)
{
	struct sp_value v = { SP_BOOL, { 0 } };

	v.u.boolean = yes;
	sp_entry_fact_value(ctx, entry, fact, &v);
}

static inline enum sp_status
sp_fact_read(struct sp_ctx *ctx, const struct sp_fact_ref *ref, struct sp_value *ret)
{
	return ctx->host->fact_read(ctx, ref, ret);
}

static inline void *
sp_alloc(struct sp_ctx *ctx, size_t size)
{
	return ctx->host->alloc(ctx, size);
}

static inline int64_t
sp_now_ms(struct sp_ctx *ctx)
{
	return ctx->host->now_ms(ctx);
}

__attribute__((format(printf, 3, 4))) static inline void
sp_log(struct sp_ctx *ctx, enum sp_log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ctx->host->log(ctx, level, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 6, 7))) static inline void
sp_load_error(const struct sp_host *host, struct sp_load *load, const char *file, unsigned line,
	unsigned column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	host->load_error(load, file, line, column, fmt, ap);
	va_end(ap);
}

static inline enum sp_status
sp_dns_addrs(struct sp_ctx *ctx, struct sp_span name, struct sp_addrs *ret)
{
	return ctx->host->dns_addrs(ctx, name, ret);
}

static inline enum sp_status
sp_dns_txt(struct sp_ctx *ctx, struct sp_span name, struct sp_names *ret)
{
	return ctx->host->dns_txt(ctx, name, ret);
}

static inline enum sp_status
sp_dns_mx(struct sp_ctx *ctx, struct sp_span name, struct sp_mxs *ret)
{
	return ctx->host->dns_mx(ctx, name, ret);
}

static inline enum sp_status
sp_dns_ptr(struct sp_ctx *ctx, const struct sp_ip *ip, struct sp_names *ret)
{
	return ctx->host->dns_ptr(ctx, ip, ret);
}

static inline enum sp_status
sp_dns_ips(struct sp_ctx *ctx, struct sp_span name, int family, struct sp_addrs *ret)
{
	return ctx->host->dns_ips(ctx, name, family, ret);
}

static inline enum sp_status
sp_dns_texts(struct sp_ctx *ctx, const struct sp_span *names, size_t count, struct sp_texts *ret)
{
	return ctx->host->dns_texts(ctx, names, count, ret);
}

static inline bool
sp_table_has(struct sp_ctx *ctx, const struct sp_table *table, const struct sp_value *key)
{
	return table != NULL && ctx->host->table_has(table, key);
}

static inline enum sp_status
sp_result_add(struct sp_ctx *ctx, const struct sp_auth_result *result)
{
	return ctx->host->result_add(ctx, result);
}

static inline enum sp_status
sp_result_get(struct sp_ctx *ctx, size_t index, struct sp_auth_result *ret)
{
	return ctx->host->result_get(ctx, index, ret);
}

static inline struct sp_span
sp_auth_id(struct sp_ctx *ctx)
{
	return ctx->host->auth_id(ctx);
}

static inline struct sp_span
sp_results_text(struct sp_ctx *ctx)
{
	return ctx->host->results_text(ctx);
}

static inline enum sp_status
sp_connect(struct sp_ctx *ctx, const char *endpoint, int64_t timeout_ms, struct sp_conn **ret)
{
	return ctx->host->connect(ctx, endpoint, timeout_ms, ret);
}

static inline enum sp_status
sp_sleep(struct sp_ctx *ctx, int64_t ms)
{
	return ctx->host->sleep(ctx, ms);
}

static inline enum sp_status
sp_blocking(struct sp_ctx *ctx, void (*fn)(void *), void *arg)
{
	return ctx->host->blocking(ctx, fn, arg);
}

static inline enum sp_status
sp_header_add(struct sp_ctx *ctx, const char *name, struct sp_span value)
{
	return ctx->host->header_add(ctx, name, value);
}

static inline enum sp_status
sp_header_insert(struct sp_ctx *ctx, size_t index, const char *name, struct sp_span value)
{
	return ctx->host->header_insert(ctx, index, name, value);
}

static inline enum sp_status
sp_header_remove(struct sp_ctx *ctx, const char *name, int occurrence)
{
	return ctx->host->header_remove(ctx, name, occurrence);
}

static inline enum sp_status
sp_header_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	return ctx->host->header_get(ctx, index, ret);
}

static inline enum sp_status
sp_body_get(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret)
{
	return ctx->host->body_get(ctx, offset, ret);
}

static inline const char *
sp_load_program(const struct sp_host *host, struct sp_load *load, const char *command)
{
	return host->load_program(load, command);
}

static inline enum sp_status
sp_refuse(struct sp_ctx *ctx, const struct sp_reply *reply)
{
	return ctx->host->refuse(ctx, reply);
}

static inline bool
sp_fact_wanted(struct sp_ctx *ctx, unsigned fact)
{
	return ctx->host->fact_wanted(ctx, fact);
}

static inline enum sp_status
sp_fact_named(struct sp_ctx *ctx, const char *name, struct sp_value *ret)
{
	return ctx->host->fact_named(ctx, name, ret);
}

static inline enum sp_status
sp_draft_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	return ctx->host->draft_get(ctx, index, ret);
}

static inline enum sp_status
sp_draft_insert(struct sp_ctx *ctx, size_t before, struct sp_span field)
{
	return ctx->host->draft_insert(ctx, before, field);
}

static inline enum sp_status
sp_draft_replace(struct sp_ctx *ctx, size_t index, struct sp_span field)
{
	return ctx->host->draft_replace(ctx, index, field);
}

static inline enum sp_status
sp_draft_remove(struct sp_ctx *ctx, size_t index)
{
	return ctx->host->draft_remove(ctx, index);
}

static inline enum sp_status
sp_draft_body(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret)
{
	return ctx->host->draft_body(ctx, offset, ret);
}

static inline enum sp_status
sp_draft_sender(struct sp_ctx *ctx, struct sp_mail *ret)
{
	return ctx->host->draft_sender(ctx, ret);
}

static inline enum sp_status
sp_draft_rcpt(struct sp_ctx *ctx, size_t index, struct sp_rcpt *ret)
{
	return ctx->host->draft_rcpt(ctx, index, ret);
}

static inline enum sp_status
sp_sender_change(struct sp_ctx *ctx, struct sp_span address, struct sp_span params)
{
	return ctx->host->sender_change(ctx, address, params);
}

static inline enum sp_status
sp_rcpt_insert(struct sp_ctx *ctx, struct sp_span address, struct sp_span params)
{
	return ctx->host->rcpt_insert(ctx, address, params);
}

static inline enum sp_status
sp_rcpt_delete(struct sp_ctx *ctx, struct sp_span address)
{
	return ctx->host->rcpt_delete(ctx, address);
}

static inline enum sp_status
sp_body_replace(struct sp_ctx *ctx, struct sp_span chunk)
{
	return ctx->host->body_replace(ctx, chunk);
}

static inline enum sp_status
sp_conn_read(struct sp_ctx *ctx, struct sp_conn *conn, void *to, size_t max, int64_t timeout_ms, size_t *ret)
{
	return ctx->host->conn_read(conn, to, max, timeout_ms, ret);
}

static inline enum sp_status
sp_conn_write(struct sp_ctx *ctx, struct sp_conn *conn, struct sp_span bytes, int64_t timeout_ms)
{
	return ctx->host->conn_write(conn, bytes, timeout_ms);
}

static inline void
sp_conn_close(struct sp_ctx *ctx, struct sp_conn **conn)
{
	ctx->host->conn_close(conn);
}

static inline void
sp_conn_keep(struct sp_ctx *ctx, struct sp_conn *conn)
{
	ctx->host->conn_keep(conn);
}

static inline void
sp_conn_take(struct sp_ctx *ctx, struct sp_conn *conn)
{
	ctx->host->conn_take(ctx, conn);
}

static inline bool
sp_conn_idle(struct sp_ctx *ctx, const struct sp_conn *conn)
{
	return ctx->host->conn_idle(conn);
}

static inline enum sp_status
sp_event_wait(struct sp_ctx *ctx, struct sp_event *event, int64_t timeout_ms)
{
	return ctx->host->event_wait(ctx, event, timeout_ms);
}

static inline void
sp_event_wake(struct sp_ctx *ctx, struct sp_event *event, bool all)
{
	ctx->host->event_wake(event, all);
}

#endif
