/*
 * dkim_host.h - the least host that the module "dkim" runs on, for its fuzz targets: one key for all names, nothing kept.
 */
#ifndef TESTS_FUZZ_DKIM_HOST_H
#define TESTS_FUZZ_DKIM_HOST_H

#include <stdlib.h>
#include <string.h>

#include "dkim/verify.h"
#include "mailauth/domain.h"
#include "mailauth/text.h"

extern const struct sp_filter sp_filter_dkim;

struct host_memory {
	struct host_memory *next;
	_Alignas(16) char bytes[];
};
static struct host_memory *host_memory;
static struct sp_span host_record; /* the text of every key */
static bool host_passed;

static void *
host_alloc(struct sp_ctx *ctx, size_t size)
{
	struct host_memory *m = calloc(1, sizeof(*m) + size);

	(void)ctx;
	if (m == NULL)
		abort();
	m->next = host_memory;
	host_memory = m;
	return m->bytes;
}

static void
host_free(void)
{
	while (host_memory != NULL) {
		struct host_memory *next = host_memory->next;

		free(host_memory);
		host_memory = next;
	}
}

static void
host_fact_set(struct sp_ctx *ctx, int entry, unsigned fact, const struct sp_value *value)
{
	(void)ctx, (void)entry;
	if (fact == FACT_PASS && value->u.boolean)
		host_passed = true;
}

static void
host_log(struct sp_ctx *ctx, enum sp_log_level level, const char *fmt, va_list ap)
{
	(void)ctx, (void)level, (void)fmt, (void)ap;
}

static enum sp_status
host_dns_texts(struct sp_ctx *ctx, const struct sp_span *names, size_t count, struct sp_texts *ret)
{
	(void)ctx;
	for (size_t i = 0; i < count; i++) {
		if (!domain_ok(names[i]))
			abort();
		ret[i] = (struct sp_texts){ SP_OK, { &host_record, 1 } };
	}
	return SP_OK;
}

static enum sp_status
host_result_add(struct sp_ctx *ctx, const struct sp_auth_result *r)
{
	(void)ctx;
	for (size_t i = 0; i < r->prop_count; i++)
		if (strcmp(r->props[i].name, "d") == 0 && !domain_ok(r->props[i].value))
			abort();
	return SP_OK;
}

/* A message with this signature (what follows the colon), From, Subject and a body of one line. */
static void
host_verify(struct sp_span value)
{
	static const struct sp_host host = { .abi_major = SP_ABI_MAJOR,
		.abi_minor = SP_ABI_MINOR,
		.size = sizeof(struct sp_host),
		.fact_set = host_fact_set,
		.alloc = host_alloc,
		.log = host_log,
		.dns_texts = host_dns_texts,
		.result_add = host_result_add };
	static struct dkim_conf conf = { .allow_sha1 = true, .allow_length = true, .allow_expired = true, .min_rsa = 1024,
		.max_signatures = 10 };
	static const char name[] = "DKIM-Signature:";
	const struct sp_filter *f = &sp_filter_dkim;
	struct sp_ctx ctx = { .host = &host, .conf = &conf, .tx = host_alloc(NULL, f->tx_size) };
	char *field = host_alloc(NULL, sizeof(name) + value.len);
	struct sp_header fields[] = { { .name = TEXT("DKIM-Signature") },
		{ TEXT("From"), TEXT(" a@example.org"), TEXT("From: a@example.org"), 1 },
		{ TEXT("Subject"), TEXT(" hello"), TEXT("Subject: hello"), 2 } };
	struct sp_body body = { TEXT("hi\r\n") };
	struct sp_eoh eoh = { 3, 0 };
	struct sp_eom eom = { 0 };

	if (conf.lib == NULL && f->load(NULL, &host, &conf, NULL, 0) != SP_OK)
		abort();
	memcpy(field, name, sizeof(name) - 1);
	if (value.len > 0)
		memcpy(field + sizeof(name) - 1, value.ptr, value.len);
	fields[0].field = (struct sp_span){ field, sizeof(name) - 1 + value.len };
	fields[0].value = text_from(fields[0].field, sizeof(name) - 1);
	for (size_t i = 0; i < 3; i++)
		if (f->on_header(&ctx, &fields[i]) != SP_OK)
			abort();
	if (f->on_eoh(&ctx, &eoh) != SP_OK || f->on_body(&ctx, &body) != SP_OK || f->on_eom(&ctx, &eom) != SP_OK)
		abort();
	f->on_reset(&ctx);
	host_free();
	if (host_passed)
		abort(); /* it would be forged */
}

#endif
