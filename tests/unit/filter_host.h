/*
 * filter_host.h - a host in a box for the unit tests of filter modules: fake facts, clock and
 * message.
 *
 * One struct box is one client session with one use of one module.  The test owns configuration and
 * entries; the box owns what the module allocates and the facts that it states, until box_fini().
 */
#ifndef TESTS_UNIT_FILTER_HOST_H
#define TESTS_UNIT_FILTER_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sallyport/filter.h>

/* A fact of the policy: what it is now. */
struct sp_fact_ref {
	enum sp_status status;
	struct sp_value value;
};

enum { BOX_STATED_MAX = 256, BOX_FIELDS_MAX = 256, BOX_TEXT = 16384 };

struct box_stated {
	int entry;
	unsigned fact;
	struct sp_value value;
};
struct box_memory {
	struct box_memory *next;
	_Alignas(16) char bytes[];
};

struct box {
	struct sp_ctx ctx; /* first: services find the box by it */
	const struct sp_filter *filter;
	int64_t now_ms;
	struct box_stated stated[BOX_STATED_MAX];
	size_t stated_count;
	struct box_memory *memory;
	char errors[BOX_TEXT], logs[BOX_TEXT];
	void *shared; /* one table is enough for a module */
	size_t shared_size;
	struct sp_header fields[BOX_FIELDS_MAX];
	size_t field_count;
	struct sp_span header, body;
	size_t piece; /* octets that body_get() gives at a time, 0: all */
};
struct sp_load {
	struct box *box;
};

static inline struct box *
box_of(struct sp_ctx *ctx)
{
	return (struct box *)(void *)ctx;
}

/* ---- services ------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static inline void
box_append(char *text, const char *fmt, va_list ap)
{
	size_t len = strlen(text);

	vsnprintf(text + len, BOX_TEXT - len, fmt, ap);
	len = strlen(text);
	snprintf(text + len, BOX_TEXT - len, "\n");
}

__attribute__((format(printf, 5, 0))) static inline void
box_load_error(struct sp_load *load, const char *file, unsigned line, unsigned column,
	const char *fmt, va_list ap)
{
	char *text = load->box->errors;
	size_t len = strlen(text);

	if (file != NULL)
		snprintf(text + len, BOX_TEXT - len, "%s:%u:%u: ", file, line, column);
	box_append(text, fmt, ap);
}

static inline void *
box_take(struct box *box, size_t size)
{
	struct box_memory *m = calloc(1, sizeof(*m) + size);

	assert_non_null(m);
	m->next = box->memory;
	box->memory = m;
	return m->bytes;
}

static inline void *
box_load_alloc(struct sp_load *load, size_t size)
{
	return box_take(load->box, size);
}

static inline void *
box_load_shared(struct sp_load *load, const char *name, size_t size)
{
	assert_non_null(name);
	if (load->box->shared == NULL) {
		load->box->shared = calloc(1, size);
		load->box->shared_size = size;
	}
	assert_int_equal(load->box->shared_size, size);
	return load->box->shared;
}

static inline void
box_fact_set(struct sp_ctx *ctx, int entry, unsigned fact, const struct sp_value *value)
{
	struct box *box = box_of(ctx);
	struct box_stated *s = NULL;

	for (size_t i = 0; i < box->stated_count && s == NULL; i++)
		if (box->stated[i].entry == entry && box->stated[i].fact == fact)
			s = &box->stated[i];
	if (s == NULL) {
		assert_true(box->stated_count < BOX_STATED_MAX);
		s = &box->stated[box->stated_count++];
	}
	*s = (struct box_stated){ entry, fact, *value };
	if (value->type == SP_STRING || value->type == SP_DOMAIN || value->type == SP_ADDRESS) {
		char *copy = box_take(box, value->u.text.len + 1);

		if (value->u.text.len > 0)
			memcpy(copy, value->u.text.ptr, value->u.text.len);
		s->value.u.text.ptr = copy;
	}
}

static inline enum sp_status
box_fact_read(struct sp_ctx *ctx, const struct sp_fact_ref *ref, struct sp_value *ret)
{
	(void)ctx;
	if (ref->status == SP_OK)
		*ret = ref->value;
	return ref->status;
}

static inline void *
box_alloc(struct sp_ctx *ctx, size_t size)
{
	return box_take(box_of(ctx), size);
}

__attribute__((format(printf, 3, 0))) static inline void
box_log(struct sp_ctx *ctx, enum sp_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	box_append(box_of(ctx)->logs, fmt, ap);
}

static inline int64_t
box_now_ms(struct sp_ctx *ctx)
{
	return box_of(ctx)->now_ms;
}

static inline enum sp_status
box_header_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	struct box *box = box_of(ctx);

	if (index >= box->field_count)
		return SP_NONE;
	*ret = box->fields[index];
	return SP_OK;
}

static inline enum sp_status
box_body_get(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret)
{
	struct box *box = box_of(ctx);
	size_t at = (size_t)offset, left;

	if (at >= box->body.len)
		return SP_NONE;
	left = box->body.len - at;
	ret->ptr = box->body.ptr + at;
	ret->len = box->piece != 0 && box->piece < left ? box->piece : left;
	return SP_OK;
}

static const struct sp_host box_host = { .abi_major = SP_ABI_MAJOR,
	.abi_minor = SP_ABI_MINOR,
	.size = sizeof(struct sp_host),
	.load_error = box_load_error,
	.load_shared = box_load_shared,
	.load_alloc = box_load_alloc,
	.fact_set = box_fact_set,
	.fact_read = box_fact_read,
	.alloc = box_alloc,
	.log = box_log,
	.now_ms = box_now_ms,
	.header_get = box_header_get,
	.body_get = box_body_get };

/* ---- the life of a use ---------------------------------------------------------------------- */

/* Calls load(); conf and entries stay the test's. */
static inline enum sp_status
box_init(struct box *box, const struct sp_filter *f, void *conf, struct sp_entry *entries,
	size_t count)
{
	struct sp_load load = { box };

	memset(box, 0, sizeof(*box));
	box->filter = f;
	box->now_ms = 1000000;
	box->ctx = (struct sp_ctx){
		.host = &box_host, .conf = conf, .entries = entries, .entry_count = count
	};
	box->ctx.session = f->session_size > 0 ? box_take(box, f->session_size) : NULL;
	return f->load != NULL ? f->load(&load, &box_host, conf, entries, count) : SP_OK;
}

static inline void
box_fini(struct box *box, void *conf, struct sp_entry *entries)
{
	if (box->filter->unload != NULL)
		box->filter->unload(conf, entries, box->ctx.entry_count);
	while (box->memory != NULL) {
		struct box_memory *next = box->memory->next;

		free(box->memory);
		box->memory = next;
	}
	free(box->shared);
	box->shared = NULL;
}

/* A fact that the module stated, or null. */
static inline const struct sp_value *
box_fact(const struct box *box, int entry, unsigned fact)
{
	for (size_t i = 0; i < box->stated_count; i++)
		if (box->stated[i].entry == entry && box->stated[i].fact == fact)
			return &box->stated[i].value;
	return NULL;
}

static inline struct sp_span
box_span(const char *text)
{
	return (struct sp_span){ text, strlen(text) };
}

static inline enum sp_status
box_connect(struct box *box)
{
	struct sp_connect ev = { .port = 40000, .listener = box_span("test") };

	box->stated_count = 0;
	return box->filter->on_connect != NULL ? box->filter->on_connect(&box->ctx, &ev) : SP_OK;
}

static inline enum sp_status
box_helo(struct box *box, const char *name)
{
	struct sp_helo ev = { .name = box_span(name), .esmtp = true };

	return box->filter->on_helo != NULL ? box->filter->on_helo(&box->ctx, &ev) : SP_OK;
}

static inline enum sp_status
box_mail(struct box *box, int64_t size)
{
	struct sp_mail ev = { .address = box_span("a@example.org"),
		.local = box_span("a"),
		.domain = box_span("example.org"),
		.size = size };

	box->ctx.tx = box->filter->tx_size > 0 ? box_take(box, box->filter->tx_size) : NULL;
	return box->filter->on_mail != NULL ? box->filter->on_mail(&box->ctx, &ev) : SP_OK;
}

static inline enum sp_status
box_rcpt(struct box *box, const char *address, size_t index)
{
	const char *at = strrchr(address, '@');
	struct sp_rcpt ev = { .address = box_span(address), .index = index };

	assert_non_null(at);
	ev.local = (struct sp_span){ address, (size_t)(at - address) };
	ev.domain = box_span(at + 1);
	return box->filter->on_rcpt != NULL ? box->filter->on_rcpt(&box->ctx, &ev) : SP_OK;
}

static inline enum sp_status
box_data(struct box *box)
{
	return box->filter->on_data != NULL ? box->filter->on_data(&box->ctx) : SP_OK;
}

/* Splits text with CRLF line ends into fields and body. It must outlive the box's use of it. */
static inline void
box_set_message(struct box *box, struct sp_span text)
{
	size_t at = 0;

	box->field_count = 0;
	while (at < text.len && !(text.len - at >= 2 && memcmp(text.ptr + at, "\r\n", 2) == 0)) {
		struct sp_header *h = &box->fields[box->field_count];
		size_t end = at, colon;

		do {
			const char *lf = memchr(text.ptr + end, '\n', text.len - end);

			end = lf != NULL ? (size_t)(lf - text.ptr) + 1 : text.len;
		} while (end < text.len && (text.ptr[end] == ' ' || text.ptr[end] == '\t'));
		h->field = (struct sp_span){ text.ptr + at, end - at - (end - at >= 2 ? 2 : 0) };
		for (colon = 0; colon < h->field.len && h->field.ptr[colon] != ':'; colon++)
			;
		h->name = (struct sp_span){ h->field.ptr, colon };
		h->value = colon < h->field.len ? (struct sp_span){ h->field.ptr + colon + 1,
			h->field.len - colon - 1 }
						: (struct sp_span){ NULL, 0 };
		h->index = box->field_count;
		if (colon < h->field.len && box->field_count + 1 < BOX_FIELDS_MAX)
			box->field_count++;
		at = end;
	}
	box->header = (struct sp_span){ text.ptr, at };
	if (text.len - at >= 2)
		at += 2;
	box->body = (struct sp_span){ text.ptr + at, text.len - at };
}

/* From the header to the end of the message; the body in pieces of box->piece octets. */
static inline enum sp_status
box_message(struct box *box, struct sp_span text)
{
	const struct sp_filter *f = box->filter;
	struct sp_eoh eoh;
	struct sp_eom eom = { (int64_t)text.len };
	enum sp_status st = SP_OK;

	box_set_message(box, text);
	eoh = (struct sp_eoh){ box->field_count, (int64_t)box->header.len };
	for (size_t i = 0; i < box->field_count && st == SP_OK && f->on_header != NULL; i++)
		st = f->on_header(&box->ctx, &box->fields[i]);
	if (st == SP_OK && f->on_eoh != NULL)
		st = f->on_eoh(&box->ctx, &eoh);
	for (size_t at = 0; at < box->body.len && st == SP_OK && f->on_body != NULL;) {
		struct sp_body ev;

		st = box_body_get(&box->ctx, (int64_t)at, &ev.chunk);
		at += ev.chunk.len;
		if (st == SP_OK)
			st = f->on_body(&box->ctx, &ev);
	}
	return st == SP_OK && f->on_eom != NULL ? f->on_eom(&box->ctx, &eom) : st;
}

#endif
