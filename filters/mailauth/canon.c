/*
 * canon.c - canonical header fields and bodies, hashed as they are made (see canon.h): RFC 6376 3.4, 3.5, 3.7.
 *
 * Canonical octets pass through a small buffer on the stack, so that OpenSSL is not called for every word; nothing of
 * the message is kept but counts and flags.
 */
#include "mailauth/canon.h"

#include <openssl/err.h>
#include <string.h>

#include "mailauth/text.h"

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

static bool
digest(EVP_MD_CTX *md, const char *text, size_t len)
{
	bool done;

	ERR_clear_error();
	done = EVP_DigestUpdate(md, text, len) == 1;
	ERR_clear_error();
	return done;
}

/* ---- fields --------------------------------------------------------------------------------------- */

/* A field in relaxed form; its text may come in several pieces. */
struct relaxing {
	EVP_MD_CTX *md;
	char buf[256];
	size_t len;
	bool named;     /* behind the colon */
	bool any;       /* an octet of the value was written */
	bool space, cr; /* held back */
	bool failed;
};

static void
relaxing_put(struct relaxing *r, char c)
{
	if (r->len == sizeof(r->buf)) {
		r->failed = !digest(r->md, r->buf, r->len) || r->failed;
		r->len = 0;
	}
	r->buf[r->len++] = c;
}

static void
relaxing_octet(struct relaxing *r, char c)
{
	if (!r->named && c == ':') {
		r->named = true;
		r->space = false;
		relaxing_put(r, c);
		return;
	}
	if (is_wsp(c)) {
		r->space = true;
		return;
	}
	if (r->space && (r->any || !r->named))
		relaxing_put(r, ' ');
	r->space = false;
	r->any = r->any || r->named;
	relaxing_put(r, r->named ? c : text_lower(c));
}

static void
relaxing_add(struct relaxing *r, struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (r->cr && c == '\n') {
			r->cr = false; /* a fold: the blank behind it stays */
			continue;
		}
		if (r->cr)
			relaxing_octet(r, '\r');
		r->cr = c == '\r';
		if (!r->cr)
			relaxing_octet(r, c);
	}
}

static bool
relaxing_end(struct relaxing *r, bool end)
{
	if (r->cr)
		relaxing_octet(r, '\r');
	if (end) {
		relaxing_put(r, '\r');
		relaxing_put(r, '\n');
	}
	return digest(r->md, r->buf, r->len) && !r->failed;
}

bool
canon_field(EVP_MD_CTX *md, enum canon form, struct sp_span field, bool end)
{
	struct relaxing r;

	if (form == CANON_SIMPLE)
		return digest(md, field.ptr, field.len) && (!end || digest(md, "\r\n", 2));
	memset(&r, 0, sizeof(r));
	r.md = md;
	relaxing_add(&r, field);
	return relaxing_end(&r, end);
}

/* Where the value of the first tag b= begins and ends, the white space around it included. */
static void
find_b(struct sp_span field, size_t *start, size_t *end)
{
	size_t at = text_find(field, ':') + 1;

	*start = *end = field.len;
	while (at < field.len) {
		size_t len = text_find(text_from(field, at), ';');
		struct sp_span tag = text_head(text_from(field, at), len);
		size_t sign = text_find(tag, '=');

		if (sign < len && text_is(text_trim(text_head(tag, sign)), TEXT("b"))) {
			*start = at + sign + 1;
			*end = at + len;
			return;
		}
		at += len + 1;
	}
}

bool
canon_unsigned_field(EVP_MD_CTX *md, enum canon form, struct sp_span field)
{
	struct relaxing r;
	struct sp_span before, behind;
	size_t start, end;

	find_b(field, &start, &end);
	before = text_head(field, start);
	behind = text_from(field, end);
	if (form == CANON_SIMPLE)
		return digest(md, before.ptr, before.len) && digest(md, behind.ptr, behind.len);
	memset(&r, 0, sizeof(r));
	r.md = md;
	relaxing_add(&r, before);
	relaxing_add(&r, behind);
	return relaxing_end(&r, false);
}

/* ---- the body ------------------------------------------------------------------------------------- */

/* What one call hashes, gathered. */
struct out {
	struct canon_body *body;
	size_t len;
	char buf[2048];
};

static void
hash(struct canon_body *b, const char *text, size_t len)
{
	b->octets += (int64_t)len;
	if (b->left >= 0) {
		if (len > (size_t)b->left)
			len = (size_t)b->left;
		b->left -= (int64_t)len;
	}
	if (len > 0 && !b->failed)
		b->failed = !digest(b->md, text, len);
}

static void
out_flush(struct out *o)
{
	hash(o->body, o->buf, o->len);
	o->len = 0;
}

static void
out_add(struct out *o, const char *text, size_t len)
{
	if (len > sizeof(o->buf) - o->len)
		out_flush(o);
	if (len > sizeof(o->buf)) {
		hash(o->body, text, len);
		return;
	}
	memcpy(o->buf + o->len, text, len);
	o->len += len;
}

/* What was held back turns out to have text behind it. */
static void
out_held(struct out *o)
{
	struct canon_body *b = o->body;

	for (; b->blank_lines > 0; b->blank_lines--)
		out_add(o, "\r\n", 2);
	if (b->space)
		out_add(o, " ", 1);
	b->space = false;
	b->any = true;
}

static void
out_text(struct out *o, const char *text, size_t len)
{
	out_held(o);
	out_add(o, text, len);
}

/* Octets of s that are neither CR nor, in relaxed form, blank. */
static size_t
plain_len(enum canon form, struct sp_span s)
{
	size_t len = 0;

	if (form == CANON_SIMPLE)
		return text_find(s, '\r');
	while (len < s.len && s.ptr[len] != '\r' && !is_wsp(s.ptr[len]))
		len++;
	return len;
}

/* CR was seen: is it the end of a line? */
static void
out_after_cr(struct out *o, struct sp_span *s)
{
	struct canon_body *b = o->body;

	b->cr = false;
	if (s->ptr[0] != '\n') {
		out_text(o, "\r", 1);
		return;
	}
	b->space = false;
	b->blank_lines++; /* the end of the last line of text too: only what follows says whether it is hashed now */
	*s = text_from(*s, 1);
}

void
canon_body_add(struct canon_body *b, struct sp_span chunk)
{
	struct out o;

	o.body = b;
	o.len = 0;
	while (chunk.len > 0) {
		size_t len;

		if (b->cr)
			out_after_cr(&o, &chunk);
		len = plain_len(b->form, chunk);
		if (len > 0)
			out_text(&o, chunk.ptr, len);
		chunk = text_from(chunk, len);
		if (chunk.len == 0)
			break;
		if (chunk.ptr[0] == '\r')
			b->cr = true;
		else
			b->space = true;
		chunk = text_from(chunk, 1);
	}
	out_flush(&o);
}

enum sp_status
canon_body_init(struct canon_body *b, const EVP_MD *md, enum canon form, int64_t limit)
{
	*b = (struct canon_body){ .form = form, .left = limit };
	ERR_clear_error();
	b->md = EVP_MD_CTX_new();
	if (b->md == NULL || EVP_DigestInit_ex(b->md, md, NULL) != 1)
		b->failed = true;
	ERR_clear_error();
	if (!b->failed)
		return SP_OK;
	canon_body_fini(b);
	return SP_SYSTEM;
}

enum sp_status
canon_body_end(struct canon_body *b, unsigned char ret[static EVP_MAX_MD_SIZE], size_t *len)
{
	struct out o;
	unsigned got = 0;

	o.body = b;
	o.len = 0;
	if (b->cr)
		out_text(&o, "\r", 1);
	b->cr = false;
	/* One line end behind the last text, whether it was there or not; the blanks before it are dropped. */
	if (b->any || b->form == CANON_SIMPLE)
		out_add(&o, "\r\n", 2);
	out_flush(&o);
	ERR_clear_error();
	if (b->failed || EVP_DigestFinal_ex(b->md, ret, &got) != 1)
		b->failed = true;
	ERR_clear_error();
	if (b->failed)
		return SP_SYSTEM;
	*len = got;
	return SP_OK;
}

void
canon_body_fini(struct canon_body *b)
{
	EVP_MD_CTX_free(b->md);
	b->md = NULL;
}
