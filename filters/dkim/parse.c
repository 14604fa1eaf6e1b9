/*
 * parse.c - what we read in a DKIM-Signature ourselves, before the library and before the DNS: RFC 6376 3.5, 6.1.1.
 *
 * The library reads all tags again and has the last word on those that are left out here.  What matters is that no name
 * is asked for, and none printed, that is not a domain name (s= and d= are the sender's text), and that the facts do not
 * hang on what the library happens to tell.  Memory: copies in the transaction's.
 */
#include <string.h>
#include <time.h>

#include "dkim/verify.h"
#include "mailauth/domain.h"
#include "mailauth/tags.h"
#include "mailauth/text.h"

enum { B_SHOWN = 8, BH_MAX = 64 };
static const uint64_t time_max = 999999999999; /* 12 digits: RFC 6376 3.5, t= */

static bool
copy(struct sp_ctx *ctx, struct sp_span s, struct sp_span *ret)
{
	char *memory = sp_alloc(ctx, s.len + 1);

	if (memory == NULL)
		return false;
	memcpy(memory, s.ptr, s.len);
	*ret = (struct sp_span){ memory, s.len };
	return true;
}

/* ---- tags ------------------------------------------------------------------------------------------- */

static const char *
read_algorithm(const struct tags *t, struct verify_sig *s)
{
	static const struct {
		struct sp_span word;
		enum key_type type;
		bool sha1;
	} known[] = {
		{ TEXT("rsa-sha256"), KEY_RSA, false },
		{ TEXT("ed25519-sha256"), KEY_ED25519, false },
		{ TEXT("rsa-sha1"), KEY_RSA, true },
	};
	struct sp_span a;

	if (!tags_get(t, "a", &a))
		return "a= is missing";
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (text_same(a, known[i].word)) {
			s->algorithm = known[i].word;
			s->type = known[i].type;
			s->sha1 = known[i].sha1;
			return NULL;
		}
	return "a= is no known algorithm";
}

/* How many names h= has, and whether From is one of them. */
static const char *
read_names(const struct tags *t, struct verify_sig *s)
{
	struct sp_span names, name;

	if (!tags_get(t, "h", &names) || names.len == 0)
		return "h= is missing or empty";
	while (text_cut(&names, ':', &name)) {
		s->from_signed = s->from_signed || text_same(text_trim(name), TEXT("from"));
		s->names++;
	}
	return s->from_signed ? NULL : "From is not signed";
}

static bool
read_number(const struct tags *t, const char *name, uint64_t max, int64_t *ret)
{
	struct sp_span text;
	uint64_t n;

	*ret = -1;
	if (!tags_get(t, name, &text))
		return true;
	if (text_number(text, max, &n) != SP_OK)
		return false;
	*ret = (int64_t)n;
	return true;
}

static const char *
read_numbers(const struct tags *t, struct verify_sig *s)
{
	if (!read_number(t, "l", INT64_MAX, &s->limit))
		return "l= is no length";
	if (!read_number(t, "t", time_max, &s->time) || !read_number(t, "x", time_max, &s->expires))
		return "t= or x= is no time";
	if (s->time > (int64_t)time(NULL) + VERIFY_DRIFT)
		return "signed in the future";
	return NULL;
}

/* The body's half of c=, whose fallback is simple. What else c= says is the library's to judge. */
static enum canon
read_body_form(const struct tags *t)
{
	struct sp_span c;
	size_t slash;

	if (!tags_get(t, "c", &c) || (slash = text_find(c, '/')) == c.len)
		return CANON_SIMPLE;
	return text_same(text_trim(text_from(c, slash + 1)), TEXT("relaxed")) ? CANON_RELAXED : CANON_SIMPLE;
}

/* The first octets of a base64 value, at most max of them, without the blanks in it. */
static bool
read_front(struct sp_ctx *ctx, const struct tags *t, const char *name, size_t max, struct sp_span *ret)
{
	char front[BH_MAX];
	struct sp_span value;
	size_t len = 0;

	if (!tags_get(t, name, &value))
		return true;
	for (size_t i = 0; i < value.len && len < max; i++)
		if (text_trim((struct sp_span){ &value.ptr[i], 1 }).len == 1)
			front[len++] = value.ptr[i];
	return copy(ctx, (struct sp_span){ front, len }, ret);
}

/* ---- names ------------------------------------------------------------------------------------------ */

/* d=, and where its key is: SELECTOR._domainkey.DOMAIN. */
struct key_name {
	char domain_memory[DOMAIN_MAX + 1], memory[DOMAIN_MAX + 1];
	struct sp_span domain, name;
	size_t selector_len;
};

static const char *
read_key_name(const struct tags *t, struct key_name *ret)
{
	char text[2 * DOMAIN_MAX];
	struct sp_span d, s;
	struct writer w;

	if (!tags_get(t, "d", &d) || !domain_ok(d) || domain_fold(d, ret->domain_memory, &ret->domain) != SP_OK)
		return "d= is no domain name";
	writer_init(&w, text, sizeof(text));
	if (tags_get(t, "s", &s))
		writer_add(&w, s);
	ret->selector_len = w.len;
	writer_add(&w, TEXT("._domainkey."));
	writer_add(&w, ret->domain);
	if (w.full || domain_fold(writer_text(&w), ret->memory, &ret->name) != SP_OK)
		return "s= is no selector"; /* an empty one too: no label is empty */
	return NULL;
}

static enum sp_status
take_key_name(struct sp_ctx *ctx, const struct tags *t, struct verify_sig *s, const char **ret_fault)
{
	struct key_name k = { .domain = { NULL, 0 } };

	*ret_fault = read_key_name(t, &k);
	if (k.domain.len > 0 && !copy(ctx, k.domain, &s->domain))
		return SP_LIMIT;
	if (*ret_fault != NULL)
		return SP_OK;
	if (!copy(ctx, k.name, &s->name))
		return SP_LIMIT;
	s->selector = text_head(s->name, k.selector_len);
	return SP_OK;
}

bool
sig_bearable(struct sp_span value)
{
	struct key_name k;
	struct tags t;

	return tags_parse(&t, value) == SP_OK && read_key_name(&t, &k) == NULL;
}

enum sp_status
sig_parse(struct sp_ctx *ctx, struct sp_span value, struct verify_sig *s)
{
	const char *faults[4];
	struct tags t;

	s->limit = s->time = s->expires = -1;
	s->from_signed = true; /* it cannot be told yet */
	if (tags_parse(&t, value) != SP_OK) {
		s->fault = "the signature is no list of tags";
		return SP_OK;
	}
	s->from_signed = false;
	if (!read_front(ctx, &t, "b", B_SHOWN, &s->b) || !read_front(ctx, &t, "bh", BH_MAX, &s->bh) ||
		take_key_name(ctx, &t, s, &faults[0]) != SP_OK)
		return SP_LIMIT;
	faults[1] = read_algorithm(&t, s);
	faults[2] = read_names(&t, s);
	faults[3] = read_numbers(&t, s);
	s->body = read_body_form(&t);
	for (size_t i = 0; i < 4 && s->fault == NULL; i++)
		s->fault = faults[i];
	return SP_OK;
}

/* ---- line ends -------------------------------------------------------------------------------------- */

bool
lines_ok(struct sp_span text, char *last)
{
	const char *end = text.ptr + text.len, *at = text.ptr, *cr;

	if (text.len == 0)
		return true;
	if (*last == '\r' && text.ptr[0] != '\n')
		return false;
	for (; at < end && (cr = memchr(at, '\r', (size_t)(end - at))) != NULL; at = cr + 1)
		if (cr + 1 < end && cr[1] != '\n')
			return false;
	for (at = text.ptr; at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
		if ((at > text.ptr ? at[-1] : *last) != '\r')
			return false;
	*last = text.ptr[text.len - 1];
	return true;
}
