/*
 * milter_probe_show.c - what is printed of a session with a milter.  What a milter says is hostile to terminals until it is escaped.
 */
#include <stdarg.h>
#include <stdio.h>

#include <libmilter/mfapi.h>

#include "proxy/cmd/milter_probe_priv.h"
#include "proxy/test/milter_words.h"

enum { SHOWN = 400, LINE_MAX = 1 << 20, WORD = 11 };

static void
add_escaped(struct buf *to, struct sp_span text)
{
	struct sp_span shown = span_head(text, SHOWN);

	for (size_t i = 0; i < shown.len; i++) {
		unsigned char c = (unsigned char)shown.ptr[i];

		if (c == '\r' || c == '\n' || c == '\t')
			buf_printf(to, "\\%c", c == '\r' ? 'r' : c == '\n' ? 'n' : 't');
		else if (c < ' ' || c > '~')
			buf_printf(to, "\\x%02x", c);
		else
			buf_add_char(to, (char)c);
	}
	if (shown.len < text.len)
		buf_printf(to, " ... (%zu octets)", text.len);
}

void
probe_show(const struct probe *p, char arrow, const char *word, struct sp_span text)
{
	struct buf line;

	buf_init(&line, LINE_MAX);
	add_escaped(&line, text);
	printf("%9.1f  %c %-*s%s\n", (double)(rt_now_ns() - p->start_ns) / 1e6, arrow, text.len > 0 ? WORD : 0, word, buf_cstr(&line));
	buf_fini(&line);
}

void
probe_showf(const struct probe *p, char arrow, const char *word, const char *fmt, ...)
{
	struct buf text;
	va_list ap;

	buf_init(&text, LINE_MAX);
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	probe_show(p, arrow, word, buf_span(&text));
	buf_fini(&text);
}

void
probe_more(const char *word, const char *fmt, ...)
{
	va_list ap;

	printf("%11s  %-*s", "", WORD, word);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void
show_bits(const char *word, const struct milter_word *table, uint32_t bits)
{
	struct buf words;

	buf_init(&words, LINE_MAX);
	milter_words_add(&words, table, bits);
	probe_more(word, "%s", buf_cstr(&words));
	buf_fini(&words);
}

void
probe_show_options(const struct probe *p, char arrow, const struct wire_options *o)
{
	struct buf list;

	probe_showf(p, arrow, "negotiate", "version %u", o->version);
	show_bits("actions", milter_actions, o->actions);
	show_bits("protocol", milter_steps, o->protocol);
	buf_init(&list, LINE_MAX);
	for (uint32_t i = 0; i < WIRE_STAGES; i++) {
		if (!o->listed[i])
			continue;
		buf_clear(&list);
		add_escaped(&list, o->lists[i]);
		probe_more("macros", "at %s: %s", milter_word_of(milter_stages, i), buf_cstr(&list));
	}
	buf_fini(&list);
}

/* What came with it. */
static void
add_parts(struct buf *to, const struct wire_reply *r)
{
	switch (r->letter) {
	case SMFIR_REPLYCODE:
		buf_printf(to, "%d %.*s%s", r->code, (int)r->enhanced.len, r->enhanced.ptr, r->enhanced.len > 0 ? " " : "");
		buf_add(to, r->text);
		break;
	case SMFIR_INSHEADER:
		buf_printf(to, "at %u: ", r->index);
		break;
	case SMFIR_CHGHEADER:
		buf_printf(to, "number %u: ", r->index);
		break;
	case SMFIR_REPLBODY:
		buf_printf(to, "%zu octets: ", r->text.len);
		buf_add(to, r->text);
		break;
	case SMFIR_QUARANTINE:
		buf_add(to, r->text);
		break;
	default:
		break;
	}
	if (r->name.len > 0) {
		buf_add(to, r->name);
		buf_add_str(to, r->value.len > 0 ? ": " : "");
		buf_add(to, r->value);
	}
	buf_add(to, r->address);
	if (r->params.len > 0) {
		buf_add_char(to, ' ');
		buf_add(to, r->params);
	}
}

void
probe_show_reply(const struct probe *p, const struct wire_reply *r)
{
	bool gone = r->letter == SMFIR_CHGHEADER && r->value.len == 0;
	const char *word = gone ? "delete" : milter_word_of(milter_replies, (uint32_t)r->letter);
	double took = (double)(rt_now_ns() - p->asked_ns) / 1e6;
	struct buf parts, line;

	buf_init(&parts, PROBE_PACKET);
	buf_init(&line, LINE_MAX);
	add_parts(&parts, r);
	add_escaped(&line, buf_span(&parts));
	printf("%9.1f  < %-*s%s%s(after %.1f ms)\n", (double)(rt_now_ns() - p->start_ns) / 1e6, WORD, word, buf_cstr(&line),
		line.len > 0 ? "  " : "", took);
	buf_fini(&parts);
	buf_fini(&line);
}
