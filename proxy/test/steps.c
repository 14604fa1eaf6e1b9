/*
 * steps.c - the steps of a dialogue: what one client sends, what it must read, and when.
 */
#include <string.h>

#include "proxy/test/parse.h"

static struct sp_span
rest_of_line(struct reader *r)
{
	struct sp_span line = span_head(r->rest, span_find(r->rest, '\n'));

	reader_advance(r, line.len);
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* "S: 550 5.7.1 ~ part of its text", "S: 250 !~ what its text lacks" */
static bool
expect_step(struct reader *r, struct step *st)
{
	struct sp_span line = span_trim(rest_of_line(r));
	size_t tilde = span_find(line, '~');

	st->kind = STEP_EXPECT;
	st->text = span_trim(span_head(line, tilde));
	st->number = st->text.len > 0 && tilde < line.len && st->text.ptr[st->text.len - 1] == '!';
	if (st->number != 0)
		st->text = span_trim(span_head(st->text, st->text.len - 1));
	st->more = span_trim(span_from(line, tilde + 1));
	if (span_eq(st->text, SPAN_LIT("close")))
		st->kind = STEP_CLOSED;
	return st->text.len > 0 || reader_fail(r, st->line, "a reply code is expected after 'S:'");
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
		if (i + 1 >= line.len || reader_hex_digit(line.ptr[i]) < 0 || reader_hex_digit(line.ptr[i + 1]) < 0)
			return reader_fail(r, st->line, "pairs of hex digits are expected");
		out[n++] = (char)(reader_hex_digit(line.ptr[i]) * 16 + reader_hex_digit(line.ptr[i + 1]));
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
	if (!reader_word(r, &st->text, &quoted))
		return false;
	return !span_eq(st->text, SPAN_LIT("POLICY")) || reader_braces(r, &st->more, &line);
}

static bool
backend_step(struct reader *r, struct step *st)
{
	bool quoted;

	st->kind = STEP_BACKEND;
	return reader_word(r, &st->text, &quoted) && (span_eq(st->text, SPAN_LIT("DOWN")) || span_eq(st->text, SPAN_LIT("UP")) ||
		reader_fail(r, st->line, "DOWN or UP is expected after backend"));
}

/* milter NAME DOWN | UP, wait-milter NAME "text" */
static bool
milter_step(struct reader *r, struct step *st, enum step_kind kind)
{
	bool quoted;

	st->kind = kind;
	if (!reader_word(r, &st->text, &quoted) || !reader_word(r, &st->more, &quoted))
		return false;
	if (kind == STEP_WAIT_MILTER)
		return quoted || reader_fail(r, st->line, "wait-milter NAME \"text\" is expected");
	return span_eq(st->more, SPAN_LIT("DOWN")) || span_eq(st->more, SPAN_LIT("UP")) ||
		reader_fail(r, st->line, "milter NAME DOWN or UP is expected");
}

static bool
string_step(struct reader *r, struct step *st, enum step_kind kind)
{
	bool quoted;

	st->kind = kind;
	return reader_word(r, &st->text, &quoted) && (quoted || reader_fail(r, st->line, "a quoted string is expected"));
}

struct step_word {
	const char *word;
	enum step_kind kind;
	bool number;
};
static const struct step_word step_words[] = {
	{ "pause", STEP_PAUSE, true }, { "within", STEP_WITHIN, true }, { "silence", STEP_SILENCE, true }, { "chunk", STEP_CHUNK, true },
	{ "fill", STEP_FILL, true }, { "line", STEP_LINE, true }, { "text", STEP_TEXT, true },
	{ "repeat", STEP_REPEAT, true }, { "hold", STEP_HOLD, true }, { "close", STEP_CLOSE, false }, { "reset", STEP_RESET, false },
	{ "shutdown", STEP_SHUTDOWN, false }, { "notify", STEP_NOTIFY, false }, { "}", STEP_END, false },
};

/* many N "text" */
static bool
many_step(struct reader *r, struct step *st)
{
	return reader_number(r, &st->number) && string_step(r, st, STEP_MANY);
}

/* "100", or "100+n": then the round of the repeat is added. */
static bool
count_step(struct reader *r, struct step *st)
{
	if (!reader_number(r, &st->number))
		return false;
	if (span_starts(r->rest, SPAN_LIT("+n"))) {
		st->more = span_head(r->rest, 2);
		reader_advance(r, 2);
	}
	return true;
}

/* Its words are read when it is played. */
static bool
starttls_step(struct reader *r, struct step *st)
{
	struct sp_span word;
	bool quoted;

	st->kind = STEP_STARTTLS;
	for (;;) {
		if (!reader_word(r, &word, &quoted))
			return false;
		if (word.len == 0)
			return true;
		if (st->text.len == 0)
			st->text = word;
		else
			st->text.len = (size_t)(word.ptr + word.len - st->text.ptr);
	}
}

static bool
word_step(struct reader *r, struct sp_span name, struct step *st)
{
	if (span_eq(name, SPAN_LIT("send")))
		return string_step(r, st, STEP_RAW);
	if (span_eq(name, SPAN_LIT("many")))
		return many_step(r, st);
	if (span_eq(name, SPAN_LIT("sendhex")))
		return hex_step(r, st);
	if (span_eq(name, SPAN_LIT("plain")))
		return string_step(r, st, STEP_PLAIN);
	if (span_eq(name, SPAN_LIT("starttls")))
		return starttls_step(r, st);
	if (span_eq(name, SPAN_LIT("gateway")))
		return gateway_step(r, st);
	if (span_eq(name, SPAN_LIT("wait-log")))
		return string_step(r, st, STEP_WAIT_LOG);
	if (span_eq(name, SPAN_LIT("wait-backend")))
		return string_step(r, st, STEP_WAIT_BACKEND);
	if (span_eq(name, SPAN_LIT("backend")))
		return backend_step(r, st);
	if (span_eq(name, SPAN_LIT("milter")))
		return milter_step(r, st, STEP_MILTER);
	if (span_eq(name, SPAN_LIT("wait-milter")))
		return milter_step(r, st, STEP_WAIT_MILTER);
	for (size_t i = 0; i < sizeof(step_words) / sizeof(step_words[0]); i++)
		if (span_eq(name, span_str(step_words[i].word))) {
			st->kind = step_words[i].kind;
			return !step_words[i].number || count_step(r, st);
		}
	return reader_fail(r, st->line, "unknown step '%.*s': C: S: upto send sendhex many chunk pause within silence fill line text repeat hold "
		"close reset shutdown starttls notify plain gateway backend milter wait-log wait-backend wait-milter are known", (int)name.len, name.ptr);
}

/* hold N [from IP] */
static bool
hold_from(struct reader *r, struct step *st)
{
	bool quoted;

	reader_skip(r, false);
	if (!span_starts(r->rest, SPAN_LIT("from")))
		return true;
	reader_advance(r, 4);
	return reader_word(r, &st->text, &quoted);
}

/* One line of a dialogue. "C:text" keeps blanks after the one that follows the colon. */
static bool
dialogue_line(struct reader *r, struct step *st)
{
	struct sp_span name;
	bool quoted;

	st->line = r->line;
	if (span_starts(r->rest, SPAN_LIT("C:"))) {
		reader_advance(r, 2);
		st->kind = STEP_SEND;
		st->text = rest_of_line(r);
		if (st->text.len > 0 && st->text.ptr[0] == ' ')
			st->text = span_from(st->text, 1);
		return true;
	}
	if (span_starts(r->rest, SPAN_LIT("S:"))) {
		reader_advance(r, 2);
		return expect_step(r, st);
	}
	if (span_starts(r->rest, SPAN_LIT("}"))) {
		reader_advance(r, 1);
		st->kind = STEP_END;
		return true;
	}
	if (!reader_word(r, &name, &quoted) || !word_step(r, name, st))
		return false;
	if (st->kind == STEP_HOLD && !hold_from(r, st))
		return false;
	reader_skip(r, false);
	if (st->kind == STEP_REPEAT || st->kind == STEP_HOLD) {
		if (!span_starts(r->rest, SPAN_LIT("{")))
			return reader_fail(r, st->line, "'{' is expected after repeat and hold");
		reader_advance(r, 1);
	}
	return true;
}

/* ---- the opening ----------------------------------------------------------------------------- */

static const struct {
	const char *until, *say, *code; /* say null: only listen */
} opening[] = {
	{ "banner", NULL, "220" },
	{ "ready", "EHLO client.example.org", "250" },
	{ "mail", "MAIL FROM:<a@example.org>", "250" },
	{ "rcpt", "RCPT TO:<b@example.com>", "250" },
	{ "data", "DATA", "354" },
};

static bool
opening_step(struct reader *r, struct dialogue *d, enum step_kind kind, const char *text)
{
	if (d->count == SCENE_STEPS)
		return reader_fail(r, d->line, "too many steps");
	d->steps[d->count++] = (struct step){ .kind = kind, .line = r->line, .text = span_str(text) };
	return true;
}

/* "upto data": the ordinary opening, up to and with this step. */
static bool
upto(struct reader *r, struct dialogue *d)
{
	struct sp_span last;
	bool quoted, found = false;

	reader_advance(r, 4);
	if (!reader_word(r, &last, &quoted))
		return false;
	for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]) && !found; i++) {
		if (opening[i].say != NULL && !opening_step(r, d, STEP_SEND, opening[i].say))
			return false;
		if (!opening_step(r, d, STEP_EXPECT, opening[i].code))
			return false;
		found = span_eq(last, span_str(opening[i].until));
	}
	return found || reader_fail(r, r->line, "banner ready mail rcpt or data is expected after upto");
}

/* ---- the client ----------------------------------------------------------------------------- */

/* "0,1,7" */
static bool
chunk_list(struct reader *r, struct dialogue *d)
{
	struct sp_span list;
	bool quoted;

	if (!reader_word(r, &list, &quoted))
		return false;
	while (list.len > 0 && d->chunk_count < sizeof(d->chunks) / sizeof(d->chunks[0])) {
		size_t len = span_find(list, ',');
		uint64_t n;

		if (span_to_u64(span_head(list, len), 1 << 20, &n) != SP_OK)
			break;
		d->chunks[d->chunk_count++] = (int64_t)n;
		list = span_from(list, len + 1);
	}
	return (list.len == 0 && d->chunk_count > 0) ||
		reader_fail(r, r->line, "numbers with commas between them are expected after chunks");
}

static bool
client_head(struct reader *r, struct dialogue *d)
{
	struct sp_span name;
	bool quoted, ok = true;

	while (ok && reader_word(r, &name, &quoted) && name.len > 0) {
		if (span_eq(name, SPAN_LIT("from")))
			ok = reader_word(r, &d->from, &quoted);
		else
			ok = span_eq(name, SPAN_LIT("chunks")) && chunk_list(r, d);
	}
	reader_skip(r, true);
	if (!ok || !span_starts(r->rest, SPAN_LIT("{")))
		return reader_fail(r, r->line, "'{' is expected after client [from IP] [chunks 0,1,...]");
	reader_advance(r, 1);
	return true;
}

bool
reader_client(struct reader *r)
{
	struct scene *s = r->scene;
	struct dialogue *d = &s->dialogues[s->dialogue_count];
	size_t depth = 1;

	if (s->dialogue_count == sizeof(s->dialogues) / sizeof(s->dialogues[0]))
		return reader_fail(r, r->line, "too many clients");
	d->line = r->line;
	d->steps = arena_alloc(s->arena, SCENE_STEPS * sizeof(*d->steps));
	if (d->steps == NULL || !client_head(r, d))
		return reader_fail(r, r->line, "no memory");
	while (depth > 0) {
		struct step *st = &d->steps[d->count];

		reader_skip(r, true);
		if (r->rest.len == 0 || d->count == SCENE_STEPS)
			return reader_fail(r, d->line, "this dialogue has no end, or too many steps");
		if (span_starts(r->rest, SPAN_LIT("upto "))) {
			if (!upto(r, d))
				return false;
			continue;
		}
		if (!dialogue_line(r, st))
			return false;
		depth += st->kind == STEP_REPEAT || st->kind == STEP_HOLD;
		depth -= st->kind == STEP_END;
		d->count++;
	}
	s->dialogue_count++;
	return true;
}
