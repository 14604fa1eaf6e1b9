/*
 * fuzz_spf_record.c - a record through the grammar, the rewriting and libspf2: nothing dies, limits hold, and what is
 * said of it may be printed.
 *
 * Octet 0 chooses client, sender and how the DNS answers; the rest are the texts that it gives, one a line.
 */
#include <stdlib.h>
#include <string.h>

#include <sallyport/filter.h>

#include "spf/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXTS_MAX = 8, ASKED_MAX = 1 + 10 * 11 + 11 + 1, MEMORY_MAX = 1024 };

struct fuzz {
	struct sp_ctx ctx; /* first: services find the rest by it */
	struct sp_span texts[TEXTS_MAX];
	size_t text_count;
	uint8_t seed;
	unsigned asked;
	void *memory[MEMORY_MAX];
	size_t memory_count;
	struct sp_ip ip;
	struct sp_span name;
	struct sp_mx mxs[12];
	struct sp_span ptrs[12];
};

static void
must(bool yes)
{
	if (!yes)
		abort();
}

/* ---- the host ----------------------------------------------------------------------------------- */

static struct fuzz *
fuzz_of(struct sp_ctx *ctx)
{
	return (struct fuzz *)(void *)ctx;
}

static void *
fuzz_alloc(struct sp_ctx *ctx, size_t size)
{
	struct fuzz *f = fuzz_of(ctx);

	if (f->memory_count == MEMORY_MAX)
		return NULL;
	f->memory[f->memory_count] = calloc(1, size);
	return f->memory[f->memory_count++];
}

static int64_t
fuzz_now_ms(struct sp_ctx *ctx)
{
	return fuzz_of(ctx)->asked * ((fuzz_of(ctx)->seed & 0xc0) == 0xc0 ? 3000 : 1);
}

/* Counts, and says how the question fares. */
static enum sp_status
question(struct sp_ctx *ctx, struct sp_span name)
{
	struct fuzz *f = fuzz_of(ctx);
	unsigned dice = (f->seed * 31u + f->asked++ * 7u + (name.len > 0 ? (uint8_t)name.ptr[0] : 0u)) % 16;

	must(f->asked <= ASKED_MAX && name.len <= 253);
	if (name.len == 0)
		return SP_INVALID;
	return dice == 0 ? SP_NONE : dice == 1 && (f->seed & 1) != 0 ? SP_TEMPFAIL : SP_OK;
}

static enum sp_status
fuzz_txt(struct sp_ctx *ctx, struct sp_span name, struct sp_names *ret)
{
	struct fuzz *f = fuzz_of(ctx);
	enum sp_status st = question(ctx, name);

	if (st == SP_OK)
		*ret = (struct sp_names){ &f->texts[(f->asked - 1) % f->text_count], 1 };
	return st;
}

static enum sp_status
fuzz_ips(struct sp_ctx *ctx, struct sp_span name, int family, struct sp_addrs *ret)
{
	struct fuzz *f = fuzz_of(ctx);
	enum sp_status st = question(ctx, name);

	f->ip = (struct sp_ip){ (uint8_t)family, { 192, 0, 2, (uint8_t)(1 + f->asked % 2) } };
	*ret = (struct sp_addrs){ &f->ip, 1 };
	return st;
}

static enum sp_status
fuzz_mx(struct sp_ctx *ctx, struct sp_span name, struct sp_mxs *ret)
{
	struct fuzz *f = fuzz_of(ctx);
	enum sp_status st = question(ctx, name);

	for (size_t i = 0; i < 12; i++)
		f->mxs[i].name = (struct sp_span){ "mx.example.org", i % 3 == 2 ? 0 : 14 };
	*ret = (struct sp_mxs){ f->mxs, name.len % 13 };
	return st;
}

static enum sp_status
fuzz_ptr(struct sp_ctx *ctx, const struct sp_ip *ip, struct sp_names *ret)
{
	struct fuzz *f = fuzz_of(ctx);

	(void)ip;
	for (size_t i = 0; i < 12; i++)
		f->ptrs[i] = (struct sp_span){ "a.example.org", 13 };
	*ret = (struct sp_names){ f->ptrs, f->seed % 13 };
	return question(ctx, f->ptrs[0]);
}

static const struct sp_host fuzz_host = { .abi_major = SP_ABI_MAJOR, .abi_minor = SP_ABI_MINOR,
	.size = sizeof(struct sp_host), .alloc = fuzz_alloc, .now_ms = fuzz_now_ms, .dns_txt = fuzz_txt, .dns_ips = fuzz_ips,
	.dns_mx = fuzz_mx, .dns_ptr = fuzz_ptr };

/* ---- one input -------------------------------------------------------------------------------------- */

static void
cut(struct fuzz *f, const char *text, size_t len)
{
	do {
		const char *end = len > 0 ? memchr(text, '\n', len) : NULL;
		size_t piece = end != NULL && f->text_count + 1 < TEXTS_MAX ? (size_t)(end - text) : len;

		f->texts[f->text_count++] = (struct sp_span){ text, piece };
		piece += piece < len;
		text += piece;
		len -= piece;
	} while (len > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f;
	struct check_input in = { .client = { 4, { 192, 0, 2, 1 } }, .domain = { "example.org", 11 }, .local = { "a+b=\"c", 6 },
		.sender_domain = { "Example.org", 11 }, .helo = { "h\xff;.org", 7 } };
	struct check_answer answer;

	if (size < 2)
		return 0;
	memset(&f, 0, sizeof(f));
	f.ctx.host = &fuzz_host;
	f.seed = data[0];
	if ((f.seed & 2) != 0)
		in.client.family = 6;
	cut(&f, (const char *)data + 1, size - 1);
	check_init();
	check_host(&f.ctx, &in, &answer);
	must(answer.verdict <= VERDICT_PERMERROR && answer.explanation_len <= CHECK_EXPLANATION_MAX);
	must(answer.verdict == VERDICT_FAIL || answer.explanation_len == 0);
	for (size_t i = 0; i < answer.explanation_len; i++)
		must(answer.explanation[i] >= ' ' && answer.explanation[i] <= '~');
	while (f.memory_count > 0)
		free(f.memory[--f.memory_count]);
	return 0;
}
