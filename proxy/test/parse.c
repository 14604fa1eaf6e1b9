/*
 * parse.c - the text of a .sally file to a struct scene.  Spans point into the text or the scene's arena.
 *
 *   test "TITLE"          policy { ... } | policy file "PATH"      listen { settings of the listener }
 *   clock N               dns { NAME TYPE VALUE ... }              backend { on WHEN [MATCH] ACTION ... }
 *   client [from IP] { C: ... S: ... }                             expect ...
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/test/scene.h"

enum { ARENA_BLOCK = 16384, ARENA_MAX = 32 << 20, WORDS = 8 };

struct reader {
	struct scene *scene;
	struct sp_span rest;
	unsigned line;
};

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

__attribute__((format(printf, 3, 4))) static bool
fail(struct reader *r, unsigned line, const char *fmt, ...)
{
	va_list ap;

	if (r->scene->error.len > 0)
		return false;
	buf_printf(&r->scene->error, "%s:%u: ", r->scene->path, line);
	va_start(ap, fmt);
	buf_vprintf(&r->scene->error, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- words ---------------------------------------------------------------------------------- */

static void
advance(struct reader *r, size_t n)
{
	for (size_t i = 0; i < n && i < r->rest.len; i++)
		r->line += r->rest.ptr[i] == '\n';
	r->rest = span_from(r->rest, n);
}

/* Blanks and comments; over line ends only when lines is true. */
static void
skip(struct reader *r, bool lines)
{
	while (r->rest.len > 0) {
		char c = r->rest.ptr[0];

		if (c == '#')
			advance(r, span_find(r->rest, '\n'));
		else if (c == ' ' || c == '\t' || c == '\r' || (c == '\n' && lines))
			advance(r, 1);
		else
			return;
	}
}

static int
hex_digit(char c)
{
	if (span_is_digit(c))
		return c - '0';
	c = span_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* C escapes: \r \n \t \0 \\ \" \xHH. */
static bool
unescape(struct reader *r, struct sp_span in, struct sp_span *ret)
{
	char *out = arena_alloc(r->scene->arena, in.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		static const char from[] = "rnt0\\\"", to[] = "\r\n\t\0\\\"";
		const char *at;

		if (in.ptr[i] != '\\' || i + 1 == in.len) {
			out[n++] = in.ptr[i];
			continue;
		}
		i++;
		at = strchr(from, in.ptr[i]);
		if (at != NULL) {
			out[n++] = to[at - from];
		} else if (in.ptr[i] == 'x' && i + 2 < in.len && hex_digit(in.ptr[i + 1]) >= 0 && hex_digit(in.ptr[i + 2]) >= 0) {
			out[n++] = (char)(hex_digit(in.ptr[i + 1]) * 16 + hex_digit(in.ptr[i + 2]));
			i += 2;
		} else {
			return fail(r, r->line, "unknown escape \\%c", in.ptr[i]);
		}
	}
	*ret = span_of(out, n);
	return true;
}

static bool
quoted_word(struct reader *r, struct sp_span *ret)
{
	size_t end = 1;

	while (end < r->rest.len && r->rest.ptr[end] != '"' && r->rest.ptr[end] != '\n')
		end += r->rest.ptr[end] == '\\' ? 2 : 1;
	if (end >= r->rest.len || r->rest.ptr[end] != '"')
		return fail(r, r->line, "a string that does not end");
	if (!unescape(r, span_of(r->rest.ptr + 1, end - 1), ret))
		return false;
	advance(r, end + 1);
	return true;
}

/* The next word on this line: bare, or a quoted string. Empty bare word: the line's end, '{' or '}'. */
static bool
word(struct reader *r, struct sp_span *ret, bool *quoted)
{
	size_t len = 0;

	skip(r, false);
	*quoted = r->rest.len > 0 && r->rest.ptr[0] == '"';
	if (*quoted)
		return quoted_word(r, ret);
	while (len < r->rest.len && strchr(" \t\r\n{}\"", r->rest.ptr[len]) == NULL)
		len++;
	*ret = span_head(r->rest, len);
	advance(r, len);
	return true;
}

/* The inside of { ... }, with nested braces; strings, comments and /regexes/ of policies may hold braces in pairs only. */
static bool
braces(struct reader *r, struct sp_span *ret, unsigned *ret_line)
{
	size_t depth = 0, i;
	bool string = false;

	skip(r, true);
	*ret_line = r->line;
	if (r->rest.len == 0 || r->rest.ptr[0] != '{')
		return fail(r, r->line, "'{' is expected");
	for (i = 0; i < r->rest.len; i++) {
		char c = r->rest.ptr[i];

		if (c == '"' && (i == 0 || r->rest.ptr[i - 1] != '\\'))
			string = !string;
		else if (c == '\n')
			string = false;
		else if (!string && c == '#')
			i += span_find(span_from(r->rest, i), '\n') - 1;
		else if (!string && c == '{')
			depth++;
		else if (!string && c == '}' && --depth == 0)
			break;
	}
	if (i >= r->rest.len)
		return fail(r, *ret_line, "'{' without its '}'");
	*ret = span_of(r->rest.ptr + 1, i - 1);
	advance(r, i + 1);
	return true;
}

/* "180s", "5m", "100ms", "100": ms for times, plain for counts. */
static bool
number(struct reader *r, struct sp_span text, int64_t *ret)
{
	static const struct {
		const char *suffix;
		int64_t factor;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "K", 1024 }, { "M", 1 << 20 } };
	uint64_t n;
	int64_t factor = 1;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct sp_span suffix = span_str(units[i].suffix);

		if (text.len > suffix.len && span_eq(span_from(text, text.len - suffix.len), suffix)) {
			factor = units[i].factor;
			text.len -= suffix.len;
			break;
		}
	}
	if (span_to_u64(text, 1u << 30, &n) != SP_OK)
		return fail(r, r->line, "a number is expected, not '%.*s'", (int)text.len, text.ptr);
	*ret = (int64_t)n * factor;
	return true;
}

static bool
number_word(struct reader *r, int64_t *ret)
{
	struct sp_span text;
	bool quoted;

	return word(r, &text, &quoted) && number(r, text, ret);
}

/* ---- dialogues ------------------------------------------------------------------------------ */

static struct sp_span
rest_of_line(struct reader *r)
{
	struct sp_span line = span_head(r->rest, span_find(r->rest, '\n'));

	advance(r, line.len);
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* "S: 550 5.7.1 ~ part of its text" */
static bool
expect_step(struct reader *r, struct step *st)
{
	struct sp_span line = span_trim(rest_of_line(r));
	size_t tilde = span_find(line, '~');

	st->kind = STEP_EXPECT;
	st->text = span_trim(span_head(line, tilde));
	st->more = span_trim(span_from(line, tilde + 1));
	if (span_eq(st->text, SPAN_LIT("close")))
		st->kind = STEP_CLOSED;
	return st->text.len > 0 || fail(r, st->line, "a reply code is expected after 'S:'");
}

static bool
hex_step(struct reader *r, struct step *st)
{
	struct sp_span line = span_trim(rest_of_line(r));
	char *out = arena_alloc(r->scene->arena, line.len / 2 + 1);
	size_t n = 0, i = 0;

	while (i < line.len) {
		if (line.ptr[i] == ' ') {
			i++;
			continue;
		}
		if (i + 1 >= line.len || hex_digit(line.ptr[i]) < 0 || hex_digit(line.ptr[i + 1]) < 0)
			return fail(r, st->line, "pairs of hex digits are expected");
		out[n++] = (char)(hex_digit(line.ptr[i]) * 16 + hex_digit(line.ptr[i + 1]));
		i += 2;
	}
	st->kind = STEP_RAW;
	st->text = span_of(out, n);
	return true;
}

static bool
gateway_step(struct reader *r, struct step *st)
{
	bool quoted;
	unsigned line;

	st->kind = STEP_GATEWAY;
	if (!word(r, &st->text, &quoted))
		return false;
	return !span_eq(st->text, SPAN_LIT("POLICY")) || braces(r, &st->more, &line);
}

static bool
string_step(struct reader *r, struct step *st, enum step_kind kind)
{
	bool quoted;

	st->kind = kind;
	return word(r, &st->text, &quoted) && (quoted || fail(r, st->line, "a quoted string is expected"));
}

struct step_word {
	const char *word;
	enum step_kind kind;
	bool number;
};
static const struct step_word step_words[] = {
	{ "pause", STEP_PAUSE, true }, { "silence", STEP_SILENCE, true }, { "chunk", STEP_CHUNK, true },
	{ "fill", STEP_FILL, true }, { "line", STEP_LINE, true }, { "text", STEP_TEXT, true },
	{ "repeat", STEP_REPEAT, true }, { "close", STEP_CLOSE, false }, { "reset", STEP_RESET, false },
	{ "shutdown", STEP_SHUTDOWN, false }, { "starttls", STEP_STARTTLS, false }, { "}", STEP_END, false },
};

static bool
word_step(struct reader *r, struct sp_span name, struct step *st)
{
	if (span_eq(name, SPAN_LIT("send")))
		return string_step(r, st, STEP_RAW);
	if (span_eq(name, SPAN_LIT("sendhex")))
		return hex_step(r, st);
	if (span_eq(name, SPAN_LIT("gateway")))
		return gateway_step(r, st);
	if (span_eq(name, SPAN_LIT("wait-log")))
		return string_step(r, st, STEP_WAIT_LOG);
	for (size_t i = 0; i < sizeof(step_words) / sizeof(step_words[0]); i++)
		if (span_eq(name, span_str(step_words[i].word))) {
			st->kind = step_words[i].kind;
			return !step_words[i].number || number_word(r, &st->number);
		}
	return fail(r, st->line, "unknown step '%.*s': C: S: send sendhex chunk pause silence fill line text repeat close "
		"reset shutdown starttls gateway wait-log are known", (int)name.len, name.ptr);
}

/* One line of a dialogue. "C:text" keeps blanks after the one that follows the colon. */
static bool
dialogue_line(struct reader *r, struct step *st)
{
	struct sp_span name;
	bool quoted;

	st->line = r->line;
	if (span_starts(r->rest, SPAN_LIT("C:"))) {
		advance(r, 2);
		st->kind = STEP_SEND;
		st->text = rest_of_line(r);
		if (st->text.len > 0 && st->text.ptr[0] == ' ')
			st->text = span_from(st->text, 1);
		return true;
	}
	if (span_starts(r->rest, SPAN_LIT("S:"))) {
		advance(r, 2);
		return expect_step(r, st);
	}
	if (span_starts(r->rest, SPAN_LIT("}"))) {
		advance(r, 1);
		st->kind = STEP_END;
		return true;
	}
	if (!word(r, &name, &quoted) || !word_step(r, name, st))
		return false;
	skip(r, false);
	if (st->kind == STEP_REPEAT) {
		if (!span_starts(r->rest, SPAN_LIT("{")))
			return fail(r, st->line, "'{' is expected after repeat");
		advance(r, 1);
	}
	return true;
}

static bool
parse_client(struct reader *r)
{
	struct scene *s = r->scene;
	struct dialogue *d = &s->dialogues[s->dialogue_count];
	struct sp_span name;
	size_t depth = 1;
	bool quoted;

	if (s->dialogue_count == sizeof(s->dialogues) / sizeof(s->dialogues[0]))
		return fail(r, r->line, "too many clients");
	d->line = r->line;
	d->steps = arena_alloc(s->arena, SCENE_STEPS * sizeof(*d->steps));
	if (d->steps == NULL || !word(r, &name, &quoted))
		return fail(r, r->line, "no memory");
	if (span_eq(name, SPAN_LIT("from")) && !word(r, &d->from, &quoted))
		return false;
	skip(r, true);
	if (!span_starts(r->rest, SPAN_LIT("{")))
		return fail(r, r->line, "'{' is expected after client [from IP]");
	advance(r, 1);
	while (depth > 0) {
		struct step *st = &d->steps[d->count];

		skip(r, true);
		if (r->rest.len == 0 || d->count == SCENE_STEPS)
			return fail(r, d->line, "this dialogue has no end, or too many steps");
		if (!dialogue_line(r, st))
			return false;
		depth += st->kind == STEP_REPEAT;
		depth -= st->kind == STEP_END;
		d->count++;
	}
	s->dialogue_count++;
	return true;
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
	{ "delay", TRICK_DELAY, NUMBER }, { "stall", TRICK_STALL, NOTHING },
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
			return word(r, &t->text, &quoted);
		return trick_words[i].takes == NOTHING || number_word(r, &t->number);
	}
	return fail(r, r->line, "unknown action '%.*s': reply raw close reset silent drip delay stall are known",
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
		return fail(r, r->line, "too many tricks");
	t->times = -1;
	if (!word(r, &t->when, &quoted) || !word(r, &name, &quoted))
		return false;
	if (quoted) {
		t->match = name;
		if (!word(r, &name, &quoted))
			return false;
	}
	if (!trick_action(r, name, t))
		return false;
	skip(r, false);
	if (span_starts(r->rest, SPAN_LIT("times"))) {
		advance(r, 5);
		if (!number_word(r, &t->times))
			return false;
	}
	s->trick_count++;
	return true;
}

static bool
parse_backend(struct reader *outer)
{
	struct reader r = *outer;
	struct sp_span name;
	bool quoted, ok = true;

	if (!braces(outer, &r.rest, &r.line))
		return false;
	for (skip(&r, true); ok && r.rest.len > 0; skip(&r, true)) {
		ok = word(&r, &name, &quoted);
		if (ok && span_eq(name, SPAN_LIT("on")))
			ok = parse_trick(&r);
		else if (ok && span_eq(name, SPAN_LIT("offers")))
			ok = word(&r, &r.scene->offers, &quoted);
		else if (ok && span_eq(name, SPAN_LIT("refuses")))
			r.scene->backend_refuses = true;
		else if (ok)
			ok = fail(&r, r.line, "'on', 'offers' or 'refuses' is expected in backend { }");
	}
	return ok;
}

/* NAME TYPE VALUE..., each on a line of its own or separated by ';' */
static bool
parse_record(struct reader *r)
{
	struct scene *s = r->scene;
	struct record *rec = &s->records[s->record_count];
	struct buf value;
	struct sp_span part;
	bool quoted;

	if (s->record_count == sizeof(s->records) / sizeof(s->records[0]))
		return fail(r, r->line, "too many records");
	if (!word(r, &rec->name, &quoted) || !word(r, &rec->type, &quoted))
		return false;
	buf_init(&value, 1 << 17);
	while (word(r, &part, &quoted) && (part.len > 0 || quoted) && !span_eq(part, SPAN_LIT(";"))) {
		if (value.len > 0)
			buf_add_char(&value, ' ');
		buf_add(&value, part);
	}
	rec->value = arena_copy(s->arena, buf_span(&value));
	buf_fini(&value);
	s->record_count++;
	return rec->type.len > 0 || fail(r, r->line, "NAME TYPE VALUE is expected in dns { }");
}

static bool
parse_dns(struct reader *outer)
{
	struct reader r = *outer;
	bool ok = true;

	r.scene->has_dns = true;
	if (!braces(outer, &r.rest, &r.line))
		return false;
	for (skip(&r, true); ok && r.rest.len > 0; skip(&r, true))
		ok = parse_record(&r);
	return ok;
}

static bool
parse_policy(struct reader *r)
{
	struct scene *s = r->scene;
	unsigned line;
	bool quoted;

	s->has_policy = true;
	skip(r, true);
	if (span_starts(r->rest, SPAN_LIT("file"))) {
		advance(r, 4);
		return word(r, &s->policy_file, &quoted) && (quoted || fail(r, r->line, "policy file \"PATH\" is expected"));
	}
	return braces(r, &s->policy, &line);
}

static bool
parse_expect(struct reader *r)
{
	struct scene *s = r->scene;
	struct expectation *e = &s->expectations[s->expectation_count];

	if (s->expectation_count == sizeof(s->expectations) / sizeof(s->expectations[0]))
		return fail(r, r->line, "too many expectations");
	e->line = r->line;
	while (e->count < sizeof(e->words) / sizeof(e->words[0])) {
		if (!word(r, &e->words[e->count], &e->quoted[e->count]))
			return false;
		if (e->words[e->count].len == 0 && !e->quoted[e->count])
			break;
		e->count++;
	}
	s->expectation_count++;
	return e->count > 0 || fail(r, e->line, "what is expected?");
}

/* ---- the file ------------------------------------------------------------------------------- */

static bool
parse_statement(struct reader *r)
{
	struct scene *s = r->scene;
	struct sp_span name;
	unsigned line = r->line;
	bool quoted;

	if (!word(r, &name, &quoted))
		return false;
	if (span_eq(name, SPAN_LIT("test")))
		return word(r, &s->title, &quoted) && (quoted || fail(r, line, "test \"TITLE\" is expected"));
	if (span_eq(name, SPAN_LIT("policy")))
		return parse_policy(r);
	if (span_eq(name, SPAN_LIT("listen")))
		return braces(r, &s->listen, &line);
	if (span_eq(name, SPAN_LIT("dns")))
		return parse_dns(r);
	if (span_eq(name, SPAN_LIT("backend")))
		return parse_backend(r);
	if (span_eq(name, SPAN_LIT("client")))
		return parse_client(r);
	if (span_eq(name, SPAN_LIT("expect")))
		return parse_expect(r);
	if (!span_eq(name, SPAN_LIT("clock")))
		return fail(r, line, "unknown statement '%.*s': test policy listen dns backend client clock expect are known",
			(int)name.len, name.ptr);
	return number_word(r, &s->clock) && (s->clock > 0 || fail(r, line, "clock takes a factor of 1 or more"));
}

bool
scene_parse(struct scene *s, struct sp_span text)
{
	struct reader r = { .scene = s, .rest = text, .line = 1 };

	for (skip(&r, true); r.rest.len > 0; skip(&r, true))
		if (!parse_statement(&r))
			return false;
	return s->title.len > 0 || fail(&r, 1, "test \"TITLE\" is missing");
}
