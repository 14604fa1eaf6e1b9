/*
 * signing.c - the field of a signature of ours: which fields it is over, how it is written (see signature.h).
 * RFC 6376 3.5, 5.4, 8.15; RFC 8617 4.1.2.  Memory is the caller's.
 */
#include <stdlib.h>
#include <string.h>

#include "mailauth/base64.h"
#include "mailauth/keytable.h"
#include "mailauth/signature.h"
#include "mailauth/text.h"

enum { LINE_MAX_OCTETS = 76, FIELD_MAX = 16384, YIELD_OCTETS = 256 * 1024 /* about a millisecond of hashing */ };

/* ---- the body ---------------------------------------------------------------------------------------------- */

enum sp_status
signing_body_hash(struct sp_ctx *ctx, enum canon form, unsigned char hash[static EVP_MAX_MD_SIZE])
{
	struct canon_body body;
	struct sp_span chunk;
	int64_t offset = 0, turn = YIELD_OCTETS;
	size_t len;
	enum sp_status st = canon_body_init(&body, EVP_sha256(), form, -1);

	if (st != SP_OK)
		return st;
	while ((st = sp_body_get(ctx, offset, &chunk)) == SP_OK && chunk.len > 0) {
		canon_body_add(&body, chunk);
		offset += (int64_t)chunk.len;
		if (offset < turn)
			continue;
		turn = offset + YIELD_OCTETS;
		st = sp_sleep(ctx, 0);
		if (st != SP_OK)
			break;
	}
	if (st == SP_OK || st == SP_NONE)
		st = canon_body_end(&body, hash, &len);
	canon_body_fini(&body);
	return st;
}

/* ---- which fields ------------------------------------------------------------------------------------------ */

/* What RFC 6376 5.4.1 recommends, the structure of the body, and RFC 8058's. over: once more than they are there, so that
 * none can be added unseen. */
static const struct {
	const char *name;
	bool over;
} recommended[] = {
	{ "from", true },
	{ "to", true },
	{ "cc", true },
	{ "subject", true },
	{ "date", true },
	{ "reply-to", true },
	{ "message-id", true },
	{ "mime-version", true },
	{ "content-type", true },
	{ "content-transfer-encoding", true },
	{ "in-reply-to", true },
	{ "references", true },
	{ "resent-date", false },
	{ "resent-from", false },
	{ "resent-to", false },
	{ "resent-cc", false },
	{ "list-id", false },
	{ "list-help", false },
	{ "list-unsubscribe", false },
	{ "list-unsubscribe-post", false },
	{ "list-subscribe", false },
	{ "list-post", false },
	{ "list-owner", false },
	{ "list-archive", false },
};
enum { RECOMMENDED = sizeof(recommended) / sizeof(recommended[0]), EXTRA_MAX = 16 };

struct census {
	const char *const *extra;
	size_t counts[RECOMMENDED], extra_counts[EXTRA_MAX];
};

static void
census_count(struct census *c, struct sp_span name)
{
	for (size_t i = 0; i < RECOMMENDED; i++)
		if (text_same(name, text_of(recommended[i].name))) {
			c->counts[i]++;
			return;
		}
	for (size_t i = 0; i < EXTRA_MAX && c->extra != NULL && c->extra[i] != NULL; i++)
		if (text_same(name, text_of(c->extra[i]))) {
			c->extra_counts[i]++;
			return;
		}
}

static void
write_name(struct writer *w, const char *name, size_t count, size_t *left)
{
	for (; count > 0 && !w->full; count--) {
		if (*left == 0)
			w->full = true;
		else
			(*left)--;
		if (w->len > 0)
			writer_char(w, ':');
		writer_add(w, text_of(name));
	}
}

enum sp_status
signing_names(const struct signature_fields *from, const char *const *extra, char *memory, size_t max,
	struct sp_span *ret)
{
	struct census c = { .extra = extra };
	size_t left = SIGNATURE_FIELDS_MAX;
	enum sp_status st = SP_OK;
	struct sp_header h;
	struct writer w;

	for (size_t i = 0; st == SP_OK; i++) {
		st = from->get(from->arg, i, &h);
		if (st == SP_OK)
			census_count(&c, text_trim(h.name));
	}
	if (st != SP_NONE)
		return SP_SYSTEM;
	writer_init(&w, memory, max);
	for (size_t i = 0; i < RECOMMENDED; i++)
		write_name(&w, recommended[i].name, c.counts[i] + recommended[i].over, &left);
	for (size_t i = 0; i < EXTRA_MAX && extra != NULL && extra[i] != NULL; i++)
		write_name(&w, extra[i], c.extra_counts[i], &left);
	if (w.full)
		return SP_LIMIT;
	*ret = writer_text(&w);
	return SP_OK;
}

/* ---- the field --------------------------------------------------------------------------------------------- */

/* Words are kept whole; a line is ended before one that does not fit. */
struct folder {
	struct writer w;
	size_t column;
	bool begun; /* there is a tag already */
};

static void
fold(struct folder *f)
{
	writer_add(&f->w, TEXT("\r\n\t"));
	f->column = 8;
}

/* sep: what stands before the word unless a fold does; nothing: the word may follow on at once. */
static void
fold_word(struct folder *f, struct sp_span sep, struct sp_span word)
{
	if (f->column + sep.len + word.len > LINE_MAX_OCTETS) {
		fold(f);
	} else {
		writer_add(&f->w, sep);
		f->column += sep.len;
	}
	writer_add(&f->w, word);
	f->column += word.len;
}

static void
fold_tag(struct folder *f, const char *name, struct sp_span value)
{
	char memory[512];
	struct writer w;

	writer_init(&w, memory, sizeof(memory));
	writer_add(&w, text_of(name));
	writer_char(&w, '=');
	writer_add(&w, value);
	writer_char(&w, ';');
	f->w.full = f->w.full || w.full;
	fold_word(f, f->begun ? TEXT(" ") : TEXT(""), writer_text(&w));
	f->begun = true;
}

static void
fold_number(struct folder *f, const char *name, int64_t n)
{
	char memory[24];
	struct writer w;

	writer_init(&w, memory, sizeof(memory));
	writer_printf(&w, "%lld", (long long)n);
	fold_tag(f, name, writer_text(&w));
}

/* "h=from:from:to;": a fold may follow a colon. */
static void
fold_names(struct folder *f, struct sp_span names)
{
	char memory[1024];
	struct sp_span name;
	bool first = true;

	while (text_cut(&names, ':', &name)) {
		struct writer w;

		writer_init(&w, memory, sizeof(memory));
		writer_add(&w, first ? TEXT("h=") : TEXT(""));
		writer_add(&w, name);
		writer_char(&w, names.ptr != NULL ? ':' : ';');
		f->w.full = f->w.full || w.full;
		fold_word(f, first ? TEXT(" ") : TEXT(""), writer_text(&w));
		first = false;
	}
}

static void
fold_base64(struct folder *f, struct sp_span text)
{
	while (text.len > 0) {
		size_t room;

		if (f->column >= LINE_MAX_OCTETS)
			fold(f);
		room = LINE_MAX_OCTETS - f->column;
		if (room > text.len)
			room = text.len;
		writer_add(&f->w, text_head(text, room));
		f->column += room;
		text = text_from(text, room);
	}
}

static struct sp_span
form_text(enum canon header, enum canon body)
{
	if (header == CANON_RELAXED)
		return body == CANON_RELAXED ? TEXT("relaxed/relaxed") : TEXT("relaxed/simple");
	return body == CANON_RELAXED ? TEXT("simple/relaxed") : TEXT("simple/simple");
}

/* All up to "b=". */
static void
write_tags(struct folder *f, const struct signing *s)
{
	char memory[CANON_HASH * 2];
	struct sp_span hash = { NULL, 0 };

	if (s->kind == SIGNATURE_DKIM)
		fold_tag(f, "v", TEXT("1"));
	else
		fold_number(f, "i", s->instance);
	fold_tag(f, "a", s->key->type == KEY_RSA ? TEXT("rsa-sha256") : TEXT("ed25519-sha256"));
	fold_tag(f, "c", form_text(s->header, s->body));
	fold_tag(f, "d", s->domain);
	fold_tag(f, "s", s->key->selector);
	fold_number(f, "t", s->time);
	if (s->expires >= 0)
		fold_number(f, "x", s->expires);
	fold_names(f, s->names);
	if (base64_encode(s->body_hash, CANON_HASH, memory, sizeof(memory), &hash) != SP_OK)
		f->w.full = true;
	fold_tag(f, "bh", hash);
	fold_word(f, TEXT(" "), TEXT("b="));
}

enum sp_status
signing_make(const struct signing *s, const struct signature_fields *from, char *memory, size_t max, struct sp_span *ret)
{
	unsigned char hash[CANON_HASH];
	char sig_memory[SIGNATURE_B64_MAX / 3 * 4 + 8], *own;
	struct sp_span sig, prefix;
	enum sp_status st;
	struct folder f;

	/* the name stands before the value in the same memory: its own field is hashed as it will be written */
	own = malloc(FIELD_MAX);
	if (own == NULL)
		return SP_SYSTEM;
	writer_init(&f.w, own, FIELD_MAX);
	writer_add(&f.w, text_of(s->field));
	writer_add(&f.w, TEXT(": "));
	prefix = writer_text(&f.w);
	f.column = prefix.len;
	f.begun = false;
	write_tags(&f, s);
	st = f.w.full ? SP_LIMIT : signature_hash(from, s->names, s->header, writer_text(&f.w), hash);
	if (st == SP_OK)
		st = signature_make(s->key->pkey, s->key->type, hash, sig_memory, sizeof(sig_memory), &sig);
	if (st == SP_OK) {
		fold_base64(&f, sig);
		st = f.w.full || f.w.len - prefix.len > max ? SP_LIMIT : SP_OK;
	}
	if (st == SP_OK) {
		memcpy(memory, own + prefix.len, f.w.len - prefix.len);
		*ret = (struct sp_span){ memory, f.w.len - prefix.len };
	}
	free(own);
	return st;
}
