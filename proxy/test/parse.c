/*
 * parse.c - the text of a .sally file to a struct scene.  Spans point into the text or the scene's arena.
 *
 *   test "TITLE"          policy { ... } | policy file "PATH"      listen [tls] { settings of the listener }
 *   fails "TEXT"          the scene passes if it fails for this reason: for tests of the runner
 *   clock N               dns { NAME TYPE [many N] VALUE ... }              backend { on WHEN [MATCH] ACTION ... }
 *   client [from IP] [chunks N,N...] { C: ... S: ... }      expect ...
 *   milter NAME { ... }   see parse_milter.c
 *   certificate NAME "HOST,HOST" [rsa [large]] [expired] [by NAME]
 *   file "NAME" { ... }   beside the policy                       options "--shadow"   for the gateway
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/test/parse.h"

enum { ARENA_BLOCK = 16384, ARENA_MAX = 32 << 20, VALUE_MAX = 1 << 17 };

struct scene *
scene_new(const char *path)
{
	struct arena *a = arena_new(ARENA_BLOCK, ARENA_MAX);
	struct scene *s = a == NULL ? NULL : arena_alloc(a, sizeof(*s));

	if (s == NULL) {
		arena_free(&a);
		return NULL;
	}
	s->arena = a;
	s->path = path;
	s->clock = 1;
	buf_init(&s->error, SCENE_TRANSCRIPT);
	return s;
}

void
scene_free(struct scene **s)
{
	struct arena *a;

	if (*s == NULL)
		return;
	buf_fini(&(*s)->error);
	a = (*s)->arena; /* *s lives in it */
	arena_free(&a);
	*s = NULL;
}

/* ---- the world ------------------------------------------------------------------------------ */

struct trick_word {
	const char *word;
	enum trick_kind kind;
	enum { NOTHING, STRING, NUMBER } takes;
};
static const struct trick_word trick_words[] = {
	{ "reply", TRICK_REPLY, STRING }, { "raw", TRICK_RAW, STRING }, { "close", TRICK_CLOSE, NOTHING },
	{ "reset", TRICK_RESET, NOTHING }, { "silent", TRICK_SILENT, NOTHING }, { "drip", TRICK_DRIP, STRING },
	{ "delay", TRICK_DELAY, NUMBER }, { "stall", TRICK_STALL, NOTHING }, { "plain", TRICK_PLAIN, STRING },
};

static bool
trick_action(struct reader *r, struct sp_span name, struct trick *t)
{
	bool quoted;

	for (size_t i = 0; i < sizeof(trick_words) / sizeof(trick_words[0]); i++) {
		if (!span_eq(name, span_str(trick_words[i].word)))
			continue;
		t->kind = trick_words[i].kind;
		if (trick_words[i].takes == STRING)
			return reader_word(r, &t->text, &quoted);
		return trick_words[i].takes == NOTHING || reader_number(r, &t->number);
	}
	return reader_fail(r, r->line, "unknown action '%.*s': reply raw close reset silent drip delay stall plain are known",
		(int)name.len, name.ptr);
}

/* on WHEN ["MATCH"] ACTION [times N] */
static bool
parse_trick(struct reader *r)
{
	struct scene *s = r->scene;
	struct trick *t = &s->tricks[s->trick_count];
	struct sp_span name;
	bool quoted;

	if (s->trick_count == sizeof(s->tricks) / sizeof(s->tricks[0]))
		return reader_fail(r, r->line, "too many tricks");
	t->times = -1;
	if (!reader_word(r, &t->when, &quoted) || !reader_word(r, &name, &quoted))
		return false;
	if (quoted) {
		t->match = name;
		if (!reader_word(r, &name, &quoted))
			return false;
	}
	if (!trick_action(r, name, t))
		return false;
	reader_skip(r, false);
	if (span_starts(r->rest, SPAN_LIT("times"))) {
		reader_advance(r, 5);
		if (!reader_number(r, &t->times))
			return false;
	}
	s->trick_count++;
	return true;
}

/* tls NAME [implicit] */
static bool
backend_tls(struct reader *r)
{
	struct sp_span word;
	bool quoted;

	if (!reader_word(r, &r->scene->backend_tls, &quoted) || !reader_word(r, &word, &quoted))
		return false;
	r->scene->backend_tls_implicit = span_eq(word, SPAN_LIT("implicit"));
	return r->scene->backend_tls.len > 0 || reader_fail(r, r->line, "tls NAME [implicit] is expected");
}

static bool
parse_backend(struct reader *outer)
{
	struct reader r = *outer;
	struct sp_span name;
	bool quoted, ok = true;

	if (!reader_braces(outer, &r.rest, &r.line))
		return false;
	for (reader_skip(&r, true); ok && r.rest.len > 0; reader_skip(&r, true)) {
		ok = reader_word(&r, &name, &quoted);
		if (ok && span_eq(name, SPAN_LIT("on")))
			ok = parse_trick(&r);
		else if (ok && span_eq(name, SPAN_LIT("offers")))
			ok = reader_word(&r, &r.scene->offers, &quoted);
		else if (ok && span_eq(name, SPAN_LIT("tls")))
			ok = backend_tls(&r);
		else if (ok && span_eq(name, SPAN_LIT("refuses")))
			r.scene->backend_refuses = true;
		else if (ok && span_eq(name, SPAN_LIT("drops")))
			r.scene->backend_drops = true;
		else if (ok && span_eq(name, SPAN_LIT("own")))
			r.scene->backend_own = true;
		else if (ok)
			ok = reader_fail(&r, r.line, "'on', 'offers', 'refuses', 'drops', 'tls' or 'own' is expected in backend { }");
	}
	return ok;
}

/* The next part of a value behind a blank; "many N PART": so many of them. */
static bool
add_part(struct reader *r, struct sp_span part, bool quoted, struct buf *value)
{
	int64_t times = 1;

	if (!quoted && span_eq(part, SPAN_LIT("many")) &&
		(!reader_number(r, &times) || !reader_word(r, &part, &quoted)))
		return false;
	for (int64_t i = 0; i < times && buf_status(value) == SP_OK; i++) {
		if (value->len > 0)
			buf_add_char(value, ' ');
		buf_add(value, part);
	}
	return buf_status(value) == SP_OK || reader_fail(r, r->line, "a value of more than %d octets", VALUE_MAX);
}

/* NAME TYPE VALUE..., each on a line of its own or separated by ';' */
static bool
parse_record(struct reader *r)
{
	struct scene *s = r->scene;
	struct record *rec = &s->records[s->record_count];
	struct buf value;
	struct sp_span part;
	bool quoted, ok = true;

	if (s->record_count == sizeof(s->records) / sizeof(s->records[0]))
		return reader_fail(r, r->line, "too many records");
	if (!reader_word(r, &rec->name, &quoted) || !reader_word(r, &rec->type, &quoted))
		return false;
	buf_init(&value, VALUE_MAX);
	while (ok && reader_word(r, &part, &quoted) && (part.len > 0 || quoted) && !span_eq(part, SPAN_LIT(";")))
		ok = add_part(r, part, quoted, &value);
	rec->value = arena_copy(s->arena, buf_span(&value));
	buf_fini(&value);
	s->record_count++;
	return ok && (rec->type.len > 0 || reader_fail(r, r->line, "NAME TYPE VALUE is expected in dns { }"));
}

static bool
parse_dns(struct reader *outer)
{
	struct reader r = *outer;
	bool ok = true;

	r.scene->has_dns = true;
	if (!reader_braces(outer, &r.rest, &r.line))
		return false;
	for (reader_skip(&r, true); ok && r.rest.len > 0; reader_skip(&r, true))
		ok = parse_record(&r);
	return ok;
}

static bool
names(struct sp_span text, const char *part)
{
	return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

/* A policy that says where the fake backend is, has backends of its own. */
static bool
parse_policy(struct reader *r)
{
	struct scene *s = r->scene;
	unsigned line;
	bool quoted;

	s->has_policy = true;
	reader_skip(r, true);
	if (span_starts(r->rest, SPAN_LIT("file"))) {
		reader_advance(r, 4);
		return reader_word(r, &s->policy_file, &quoted) && (quoted || reader_fail(r, r->line, "policy file \"PATH\" is expected"));
	}
	if (!reader_braces(r, &s->policy, &line))
		return false;
	s->backend_own |= names(s->policy, "{backend}") || names(s->policy, "{nobody}") || names(s->policy, "{port}");
	s->backend_local = names(s->policy, "/backend.sock");
	s->backend_own |= s->backend_local;
	return true;
}

/* With "tls" the runner makes a certificate. */
static bool
parse_listen(struct reader *r)
{
	struct sp_span name;
	unsigned line;
	bool quoted;

	if (!reader_word(r, &name, &quoted))
		return false;
	r->scene->tls = span_eq(name, SPAN_LIT("tls"));
	if (name.len > 0 && !r->scene->tls)
		return reader_fail(r, r->line, "'{' is expected after listen [tls]");
	return reader_braces(r, &r->scene->listen, &line);
}

/* The text begins on the line below the brace. */
static bool
parse_file(struct reader *r)
{
	struct scene *s = r->scene;
	struct scene_file *f = &s->files[s->file_count];
	unsigned line;
	bool quoted;

	if (s->file_count == sizeof(s->files) / sizeof(s->files[0]))
		return reader_fail(r, r->line, "too many files");
	if (!reader_word(r, &f->name, &quoted) || !reader_braces(r, &f->text, &line))
		return false;
	if (!quoted || f->name.len == 0 || span_find(f->name, '/') < f->name.len)
		return reader_fail(r, line, "file \"NAME\" { } is expected, without a folder");
	if (span_starts(f->text, SPAN_LIT("\n")))
		f->text = span_from(f->text, 1);
	s->file_count++;
	return true;
}

/* NAME "HOST,HOST" [rsa] [expired] [by NAME] */
static bool
parse_certificate(struct reader *r)
{
	struct scene *s = r->scene;
	struct scene_certificate *c = &s->certificates[s->certificate_count];
	struct sp_span word;
	bool quoted;

	if (s->certificate_count == sizeof(s->certificates) / sizeof(s->certificates[0]))
		return reader_fail(r, r->line, "too many certificates");
	if (!reader_word(r, &c->name, &quoted) || !reader_word(r, &c->hosts, &quoted))
		return false;
	if (!quoted || c->name.len == 0 || c->hosts.len == 0)
		return reader_fail(r, r->line, "certificate NAME \"HOST,HOST\" [rsa] [expired] [by NAME] is expected");
	while (reader_word(r, &word, &quoted) && word.len > 0) {
		if (span_eq(word, SPAN_LIT("rsa")))
			c->rsa = true;
		else if (span_eq(word, SPAN_LIT("large")))
			c->large = true;
		else if (span_eq(word, SPAN_LIT("expired")))
			c->expired = true;
		else if (!span_eq(word, SPAN_LIT("by")) || !reader_word(r, &c->by, &quoted))
			return reader_fail(r, r->line, "rsa, large, expired or by NAME is expected");
	}
	s->certificate_count++;
	return true;
}

static bool
parse_options(struct reader *r)
{
	struct scene *s = r->scene;
	struct sp_span word;
	bool quoted;

	for (;;) {
		if (!reader_word(r, &word, &quoted))
			return false;
		if (!quoted)
			return s->option_count > 0 || reader_fail(r, r->line, "options \"--shadow\" ... is expected");
		if (s->option_count == SCENE_OPTIONS)
			return reader_fail(r, r->line, "too many options");
		s->options[s->option_count++] = arena_strdup(s->arena, word);
	}
}

static bool
parse_expect(struct reader *r)
{
	struct scene *s = r->scene;
	struct expectation *e = &s->expectations[s->expectation_count];

	if (s->expectation_count == sizeof(s->expectations) / sizeof(s->expectations[0]))
		return reader_fail(r, r->line, "too many expectations");
	e->line = r->line;
	while (e->count < sizeof(e->words) / sizeof(e->words[0])) {
		if (!reader_word(r, &e->words[e->count], &e->quoted[e->count]))
			return false;
		if (e->words[e->count].len == 0 && !e->quoted[e->count])
			break;
		e->count++;
	}
	s->expectation_count++;
	return e->count > 0 || reader_fail(r, e->line, "what is expected?");
}

/* ---- the file ------------------------------------------------------------------------------- */

static bool
parse_statement(struct reader *r)
{
	struct scene *s = r->scene;
	struct sp_span name;
	unsigned line = r->line;
	bool quoted;

	if (!reader_word(r, &name, &quoted))
		return false;
	if (span_eq(name, SPAN_LIT("test")))
		return reader_word(r, &s->title, &quoted) && (quoted || reader_fail(r, line, "test \"TITLE\" is expected"));
	if (span_eq(name, SPAN_LIT("fails")))
		return reader_word(r, &s->fails, &quoted) && (quoted || reader_fail(r, line, "fails \"TEXT\" is expected"));
	if (span_eq(name, SPAN_LIT("policy")))
		return parse_policy(r);
	if (span_eq(name, SPAN_LIT("listen")))
		return parse_listen(r);
	if (span_eq(name, SPAN_LIT("dns")))
		return parse_dns(r);
	if (span_eq(name, SPAN_LIT("backend")))
		return parse_backend(r);
	if (span_eq(name, SPAN_LIT("client")))
		return reader_client(r);
	if (span_eq(name, SPAN_LIT("milter")))
		return reader_milter(r);
	if (span_eq(name, SPAN_LIT("expect")))
		return parse_expect(r);
	if (span_eq(name, SPAN_LIT("file")))
		return parse_file(r);
	if (span_eq(name, SPAN_LIT("certificate")))
		return parse_certificate(r);
	if (span_eq(name, SPAN_LIT("options")))
		return parse_options(r);
	if (!span_eq(name, SPAN_LIT("clock")))
		return reader_fail(r, line, "unknown statement '%.*s': test fails policy listen dns backend milter client clock file certificate options expect are known",
			(int)name.len, name.ptr);
	return reader_number(r, &s->clock) && (s->clock > 0 || reader_fail(r, line, "clock takes a factor of 1 or more"));
}

bool
scene_parse(struct scene *s, struct sp_span text)
{
	struct reader r = { .scene = s, .rest = text, .line = 1 };

	for (reader_skip(&r, true); r.rest.len > 0; reader_skip(&r, true))
		if (!parse_statement(&r))
			return false;
	return s->title.len > 0 || reader_fail(&r, 1, "test \"TITLE\" is missing");
}
