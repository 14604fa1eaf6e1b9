/*
 * fuzz_arc_set.c - headers of any octets as a message with ARC Sets: structure, seals and message signatures are judged with a
 * DNS that has a key for every name.
 *
 * No signature of a fuzzer's is right, so nothing may pass; and whatever is said of a chain must fit together.
 */
#include <stdlib.h>
#include <string.h>

#include "arc/arc.h"
#include "mailauth/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS = 400, ALLOCATIONS = 512 };

struct fuzz {
	struct sp_ctx ctx; /* first: services find the rest by it */
	struct sp_header fields[FIELDS];
	size_t count;
	void *taken[ALLOCATIONS];
	size_t taken_count;
	uint8_t dice;
};

static const char record[] =
	"v=DKIM1; k=rsa; p="
	"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDKZz7j7zG3gVVfDcAKk6w8HQcBra5F69ChhaxKxxU/G0wuUUeKaCsDqR/Xiked"
	"UD44CB9bDfoWaxBVfEhV4db6wXX4A1KM4Oj2PMFyM0TUAw9Vv6afaZObQEc1F7gek+BwhSmEkhxT7mbn796qTqdCWPWDT6xGfvpS"
	"XazHSLqZ2QIDAQAB";

static struct fuzz *
fuzz_of(struct sp_ctx *ctx)
{
	return (struct fuzz *)(void *)ctx;
}

static void *
fuzz_alloc(struct sp_ctx *ctx, size_t size)
{
	struct fuzz *f = fuzz_of(ctx);

	if (f->taken_count == ALLOCATIONS)
		return NULL;
	f->taken[f->taken_count] = calloc(1, size);
	return f->taken[f->taken_count++];
}

static enum sp_status
fuzz_header_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	struct fuzz *f = fuzz_of(ctx);

	if (index >= f->count)
		return SP_NONE;
	*ret = f->fields[index];
	return SP_OK;
}

static enum sp_status
fuzz_dns_texts(struct sp_ctx *ctx, const struct sp_span *names, size_t count, struct sp_texts *ret)
{
	static const struct sp_span text = { record, sizeof(record) - 1 };
	static const enum sp_status statuses[] = { SP_OK, SP_OK, SP_NONE, SP_TEMPFAIL };

	for (size_t i = 0; i < count; i++) {
		if (names[i].len == 0 || names[i].len > DOMAIN_MAX || !domain_ok(names[i]))
			abort();
		ret[i].status = statuses[fuzz_of(ctx)->dice >> (2 * (i % 4)) & 3];
		ret[i].names.items = &text;
		ret[i].names.count = 1;
	}
	return SP_OK;
}

static enum sp_status
fuzz_sleep(struct sp_ctx *ctx, int64_t ms)
{
	(void)ctx;
	return ms == 0 ? SP_OK : SP_TIMEOUT;
}

static const struct sp_host host = { .abi_major = SP_ABI_MAJOR,
	.abi_minor = SP_ABI_MINOR,
	.size = sizeof(struct sp_host),
	.alloc = fuzz_alloc,
	.sleep = fuzz_sleep,
	.header_get = fuzz_header_get,
	.dns_texts = fuzz_dns_texts };

/* Fields as a host would find them: folded lines go on, a line without a colon ends the header. */
static struct sp_span
split(struct fuzz *f, struct sp_span text)
{
	while (text.len > 0 && f->count < FIELDS) {
		struct sp_header *h = &f->fields[f->count];
		size_t end = 0, colon;

		do
			end += text_find(text_from(text, end), '\n') + 1;
		while (end < text.len && (text.ptr[end] == ' ' || text.ptr[end] == '\t'));
		h->field = text_trim(text_head(text, end < text.len ? end : text.len));
		colon = text_find(h->field, ':');
		if (colon == h->field.len)
			break;
		h->name = text_head(h->field, colon);
		h->value = text_from(h->field, colon + 1);
		h->index = f->count++;
		text = text_from(text, end);
	}
	return text;
}

static void
check(const struct arc_judge *j, enum sp_status st)
{
	if (st != SP_OK)
		return;
	if (j->instances > ARC_SETS_MAX || j->sealer_count > j->instances || j->body_count > ARC_BODIES_MAX)
		abort();
	if (j->result == ARC_PASS || (j->result == ARC_NONE) != (j->instances == 0 && j->reason == NULL))
		abort();
	for (size_t i = 0; i < j->sealer_count; i++)
		if (!domain_ok(j->sealers[i]))
			abort();
}

#define B64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define SET(i, cv) \
	"ARC-Seal: i=" i "; a=rsa-sha256; cv=" cv "; d=s" i ".example; s=k;\r\n t=1; b=" B64 "\r\n" \
	"ARC-Message-Signature: i=" i "; a=rsa-sha256; c=relaxed/simple; d=m" i ".example;\r\n s=k; h=from:to; bh=" B64 "; b=" B64 \
	"\r\nARC-Authentication-Results: i=" i "; mx.example; spf=none; dmarc=pass header.from=a.example\r\n"
static const char template[] = SET("3", "pass") SET("2", "pass") SET("1", "none") "From: a@a.example\r\n\r\nHello\r\n";

/* A chain that is well formed, with an octet changed for every three of the input. */
static struct sp_span
write_over(char text[static sizeof(template)], const uint8_t *data, size_t size)
{
	memcpy(text, template, sizeof(template));
	for (size_t i = 0; i + 3 <= size; i += 3)
		text[(data[i] | (unsigned)data[i + 1] << 8) % (sizeof(template) - 1)] = (char)data[i + 2];
	return (struct sp_span){ text, sizeof(template) - 1 };
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .ctx = { .host = &host } };
	struct arc_judge j = { .begun = false };
	struct sp_span text = { (const char *)data, size };
	char memory[sizeof(template)];
	enum sp_status st;

	if (size < 2)
		return 0;
	f.dice = data[0];
	text = data[1] & 1 ? text_from(text, 2) : write_over(memory, data + 2, size - 2);
	text = split(&f, text);
	st = arc_judge_header(&f.ctx, &j);
	if (st == SP_OK) {
		arc_judge_body(&j, text);
		st = arc_judge_end(&j);
	}
	check(&j, st);
	arc_judge_fini(&j);
	for (size_t i = 0; i < f.taken_count; i++)
		free(f.taken[i]);
	return 0;
}
