/*
 * tell.c - the lines that are said to the program (smtpd-filters(7) of OpenSMTPD, protocol 0.7).
 *
 * Whatever comes from outside can neither end a line nor, but for the last word, divide it.
 */
#include <stdio.h>
#include <time.h>

#include "linewire/text.h"
#include "spawn/spawn.h"

enum { TOLD = 4096, WORD_MAX = 1024 };

const char *
tell_text(struct sp_ctx *ctx, struct sp_span text)
{
	char *copy;

	text = text_head(text, WORD_MAX);
	copy = sp_alloc(ctx, text.len + 1);
	if (copy == NULL)
		return "";
	for (size_t i = 0; i < text.len; i++)
		copy[i] = (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f || text.ptr[i] == '|' ? '?' : text.ptr[i];
	return copy;
}

/* "report|0.7|1576146008.006099|smtp-in|" */
static size_t
head(char *to, size_t room, const char *stream)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (size_t)snprintf(to, room, "%s|0.7|%lld.%06ld|smtp-in|", stream, (long long)now.tv_sec, now.tv_nsec / 1000);
}

/* What does not fit is cut, so that it stays one line. */
__attribute__((format(printf, 3, 0))) static struct sp_span
finish(char line[TOLD], size_t len, const char *fmt, va_list ap)
{
	size_t room = TOLD - 2 - len; /* for '|', the words and the line's end */
	int more = vsnprintf(line + len + 1, room, fmt, ap);

	line[len++] = '|';
	if (more > 0)
		len += (size_t)more < room ? (size_t)more : room - 1;
	line[len++] = '\n';
	return (struct sp_span){ line, len };
}

/* A report without words has no '|' for them. */
static struct sp_span
bare(char line[TOLD], struct sp_span text)
{
	if (text.len >= 2 && line[text.len - 2] == '|') {
		line[text.len - 2] = '\n';
		text.len--;
	}
	return text;
}

void
tell(struct sp_ctx *ctx, enum event event, const char *fmt, ...)
{
	const struct spawn_session *s = ctx->session;
	struct hub *hub = spawn_hub(ctx);
	char line[TOLD];
	struct sp_span text;
	size_t len;
	va_list ap;

	if ((hub->events & 1u << event) == 0 || !hub_runs(hub, s->incarnation))
		return;
	len = head(line, sizeof(line), "report");
	len += (size_t)snprintf(line + len, sizeof(line) - len, "%s|%016llx", event_names[event], (unsigned long long)s->id);
	va_start(ap, fmt);
	text = finish(line, len, fmt, ap);
	va_end(ap);
	hub_say(ctx, hub, event == EVENT_LINK_DISCONNECT ? bare(line, text) : text);
}

size_t
tell_prefix(const struct ask *a, enum phase phase, char *to, size_t room)
{
	size_t len = head(to, room, "filter");

	return len + (size_t)snprintf(to + len, room - len, "%s|%016llx|%016llx", phase_names[phase], (unsigned long long)a->session,
		(unsigned long long)a->token);
}

enum sp_status
tell_ask(struct sp_ctx *ctx, struct ask *a, enum phase phase, const char *fmt, ...)
{
	const struct spawn_session *s = ctx->session;
	struct hub *hub = spawn_hub(ctx);
	char line[TOLD];
	enum sp_status st;
	size_t len;
	va_list ap;

	if (!hub_runs(hub, s->incarnation))
		return SP_NONE;
	if ((hub->phases & 1u << phase) == 0)
		return SP_NONE;
	*a = (struct ask){ .session = s->id, .token = hub_id(hub) };
	hub_open(hub, a);
	len = tell_prefix(a, phase, line, sizeof(line));
	va_start(ap, fmt);
	st = hub_say(ctx, hub, finish(line, len, fmt, ap));
	va_end(ap);
	return st == SP_OK ? hub_wait(ctx, hub, a, spawn_deadline(ctx)) : st;
}

void
tell_close(struct sp_ctx *ctx, struct ask *a)
{
	hub_close(ctx, spawn_hub(ctx), a);
}
