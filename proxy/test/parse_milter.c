/*
 * parse_milter.c - the block of a fake milter:
 *
 *   milter NAME {
 *     version N   actions WORD ...   steps WORD ...       what it says when it is asked, instead of: as you like (no steps)
 *     macros STAGE "NAME NAME"                            it wants these macros at this stage
 *     refuses                                             nobody listens
 *     at WHEN ["PART"] ACTION [times N]
 *   }
 *
 * WHEN is open, or a command's word (milter_commands); PART a part of it as the transcript shows it.  Spans point into the text
 * or the scene's arena.
 */
#include <arpa/inet.h>
#include <string.h>

#include <libmilter/mfapi.h>

#include "proxy/test/milter_words.h"
#include "proxy/test/parse.h"

enum { PACKET_MAX = 4 << 20 };

/* What packets are made of, a letter a part: n a number of 4 octets, t a text and its NUL, o the same where one is written, e
 * an empty text, r octets; "many N" before a string writes it so many times. */
struct deed_word {
	const char *word;
	char letter;
	const char *parts;
	bool answers;
};
static const struct deed_word deed_words[] = {
	{ "continue", SMFIR_CONTINUE, "", true }, { "accept", SMFIR_ACCEPT, "", true }, { "reject", SMFIR_REJECT, "", true },
	{ "tempfail", SMFIR_TEMPFAIL, "", true }, { "discard", SMFIR_DISCARD, "", true }, { "skip", SMFIR_SKIP, "", true },
	{ "conn-fail", SMFIR_CONN_FAIL, "", true }, { "shutdown", SMFIR_SHUTDOWN, "", true }, { "reply", SMFIR_REPLYCODE, "t", true },
	{ "progress", SMFIR_PROGRESS, "", false }, { "quarantine", SMFIR_QUARANTINE, "t", false }, { "add", SMFIR_ADDHEADER, "tt", false },
	{ "insert", SMFIR_INSHEADER, "ntt", false }, { "change", SMFIR_CHGHEADER, "ntt", false }, { "delete", SMFIR_CHGHEADER, "nte", false },
	{ "from", SMFIR_CHGFROM, "to", false }, { "rcpt", SMFIR_ADDRCPT, "t", false }, { "rcpt-args", SMFIR_ADDRCPT_PAR, "tt", false },
	{ "unrcpt", SMFIR_DELRCPT, "t", false }, { "body", SMFIR_REPLBODY, "r", false },
};

/* ["many" N] "text"; false also where no string stands. */
static bool
add_text(struct reader *r, struct buf *to, bool optional)
{
	struct sp_span word;
	int64_t times = 1;
	bool quoted;

	reader_skip(r, false);
	if (optional && !span_starts(r->rest, SPAN_LIT("\"")) && !span_starts(r->rest, SPAN_LIT("many ")))
		return true;
	if (!reader_word(r, &word, &quoted))
		return false;
	if (!quoted && span_eq(word, SPAN_LIT("many")) && (!reader_number(r, &times) || !reader_word(r, &word, &quoted)))
		return false;
	for (int64_t i = 0; i < times && buf_status(to) == SP_OK; i++)
		buf_add(to, word);
	return (quoted && buf_status(to) == SP_OK) || reader_fail(r, r->line, "a quoted string is expected");
}

static bool
add_number(struct reader *r, struct buf *to)
{
	int64_t number;
	uint32_t n;

	if (!reader_number(r, &number))
		return false;
	n = htonl((uint32_t)number);
	buf_add(to, span_of((const char *)&n, sizeof(n)));
	return true;
}

static bool
add_parts(struct reader *r, const char *parts, struct buf *to)
{
	for (; *parts != '\0'; parts++) {
		size_t before = to->len;

		if (*parts == 'n' && !add_number(r, to))
			return false;
		if ((*parts == 't' || *parts == 'o' || *parts == 'r') && !add_text(r, to, *parts == 'o'))
			return false;
		if (*parts == 't' || *parts == 'e' || (*parts == 'o' && to->len > before))
			buf_add_char(to, '\0');
	}
	return true;
}

/* Length, letter, parts. */
static bool
packet(struct reader *r, char letter, const char *parts, struct milter_deed *d)
{
	struct buf b;
	uint32_t len = 0;
	bool ok;

	buf_init(&b, PACKET_MAX);
	buf_add(&b, span_of((const char *)&len, sizeof(len)));
	buf_add_char(&b, letter);
	ok = add_parts(r, parts, &b);
	if (ok && buf_status(&b) == SP_OK) {
		len = htonl((uint32_t)(b.len - sizeof(len)));
		memcpy(b.ptr, &len, sizeof(len));
		d->octets = arena_copy(r->scene->arena, buf_span(&b));
	}
	buf_fini(&b);
	return ok;
}

/* raw "octets", packet "X" "data" */
static bool
odd_packet(struct reader *r, bool raw, struct milter_deed *d)
{
	struct sp_span word;
	bool quoted;

	d->answers = d->verdict = true;
	if (!reader_word(r, &word, &quoted))
		return false;
	if (!quoted || (!raw && word.len != 1))
		return reader_fail(r, r->line, raw ? "raw \"octets\" is expected" : "packet \"X\" \"data\" is expected");
	d->octets = word;
	return raw || packet(r, word.ptr[0], "r", d);
}

/* Those that send no packet of the protocol's. */
static bool
other_action(struct reader *r, struct sp_span name, struct milter_deed *d)
{
	static const struct {
		const char *word;
		enum deed_kind kind;
		bool number;
	} others[] = { { "close", DEED_CLOSE, false }, { "reset", DEED_RESET, false }, { "hang", DEED_HANG, false },
		{ "none", DEED_SEND, false }, { "delay", DEED_DELAY, true }, { "fill", DEED_FILL, true } };

	if (span_eq(name, SPAN_LIT("raw")) || span_eq(name, SPAN_LIT("packet")))
		return odd_packet(r, span_eq(name, SPAN_LIT("raw")), d);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (span_eq(name, span_str(others[i].word))) {
			d->kind = others[i].kind;
			d->answers = !others[i].number;
			return !others[i].number || reader_number(r, &d->number);
		}
	return reader_fail(r, r->line, "unknown action '%.*s': continue accept reject tempfail discard skip conn-fail shutdown reply progress "
		"quarantine add insert change delete from rcpt rcpt-args unrcpt body fill packet raw none close reset hang delay are known",
		(int)name.len, name.ptr);
}

static bool
action(struct reader *r, struct sp_span name, struct milter_deed *d)
{
	for (size_t i = 0; i < sizeof(deed_words) / sizeof(deed_words[0]); i++)
		if (span_eq(name, span_str(deed_words[i].word))) {
			d->answers = d->verdict = deed_words[i].answers;
			return packet(r, deed_words[i].letter, deed_words[i].parts, d);
		}
	return other_action(r, name, d);
}

/* at WHEN ["PART"] ACTION [times N] */
static bool
deed(struct reader *r, struct scene_milter *m)
{
	struct milter_deed *d = &m->deeds[m->deed_count];
	struct sp_span name;
	const char *start;
	bool quoted;

	if (m->deed_count == MILTER_DEEDS)
		return reader_fail(r, r->line, "too many deeds of one milter");
	d->times = -1;
	if (!reader_word(r, &name, &quoted))
		return false;
	if (!span_eq(name, SPAN_LIT("open")) && !milter_value_of(milter_commands, name, &d->command))
		return reader_fail(r, r->line, "'%.*s' is no command: open negotiate connect helo mail rcpt data header eoh body end abort unknown "
			"macros quit quit-nc are known", (int)name.len, name.ptr);
	if (!reader_word(r, &name, &quoted))
		return false;
	if (quoted) {
		d->match = name;
		if (!reader_word(r, &name, &quoted))
			return false;
	}
	start = name.ptr;
	if (!action(r, name, d))
		return false;
	d->shown = span_of(start, (size_t)(r->rest.ptr - start));
	reader_skip(r, false);
	if (span_starts(r->rest, SPAN_LIT("times"))) {
		reader_advance(r, 5);
		if (!reader_number(r, &d->times))
			return false;
	}
	m->deed_count++;
	return true;
}

static bool
bits(struct reader *r, const struct milter_word *table, uint32_t *ret)
{
	struct sp_span word;
	uint32_t bit;
	bool quoted;

	while (reader_word(r, &word, &quoted) && word.len > 0) {
		if (!span_eq(word, SPAN_LIT("none")) && !milter_value_of(table, word, &bit))
			return reader_fail(r, r->line, "'%.*s' is no word of the negotiation", (int)word.len, word.ptr);
		*ret |= span_eq(word, SPAN_LIT("none")) ? 0 : bit;
	}
	return true;
}

static bool
macro_list(struct reader *r, struct scene_milter *m)
{
	struct sp_span word;
	uint32_t stage;
	bool quoted;

	if (!reader_word(r, &word, &quoted))
		return false;
	if (!milter_value_of(milter_stages, word, &stage))
		return reader_fail(r, r->line, "'%.*s' is no stage: connect helo mail rcpt data eoh end are known", (int)word.len, word.ptr);
	return reader_word(r, &m->lists[stage], &quoted) && (quoted || reader_fail(r, r->line, "macros STAGE \"names\" is expected"));
}

static bool
version(struct reader *r, struct scene_milter *m)
{
	int64_t n;

	if (!reader_number(r, &n))
		return false;
	m->says_version = true;
	m->version = (uint32_t)n;
	return true;
}

static bool
statement(struct reader *r, struct scene_milter *m)
{
	struct sp_span name;
	bool quoted;

	if (!reader_word(r, &name, &quoted))
		return false;
	if (span_eq(name, SPAN_LIT("at")))
		return deed(r, m);
	if (span_eq(name, SPAN_LIT("version")))
		return version(r, m);
	if (span_eq(name, SPAN_LIT("macros")))
		return macro_list(r, m);
	if (span_eq(name, SPAN_LIT("steps")))
		return bits(r, milter_steps, &m->steps);
	if (span_eq(name, SPAN_LIT("actions"))) {
		m->says_actions = true;
		return bits(r, milter_actions, &m->actions);
	}
	m->refuses = span_eq(name, SPAN_LIT("refuses"));
	return m->refuses || reader_fail(r, r->line, "'at', 'version', 'actions', 'steps', 'macros' or 'refuses' is expected in milter { }");
}

bool
reader_milter(struct reader *outer)
{
	struct scene *s = outer->scene;
	struct scene_milter *m = &s->milters[s->milter_count];
	struct reader r;
	bool quoted, ok = true;

	if (s->milter_count == SCENE_MILTERS)
		return reader_fail(outer, outer->line, "too many milters");
	if (!reader_word(outer, &m->name, &quoted))
		return false;
	if (m->name.len == 0 || span_find(m->name, '/') < m->name.len)
		return reader_fail(outer, outer->line, "milter NAME { } is expected");
	r = *outer;
	if (!reader_braces(outer, &r.rest, &r.line))
		return false;
	s->milter_count++;
	for (reader_skip(&r, true); ok && r.rest.len > 0; reader_skip(&r, true))
		ok = statement(&r, m);
	return ok;
}
