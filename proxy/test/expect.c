/*
 * expect.c - what must be true when the scene has been played.
 *
 *   expect rule NAME | verdict WORD | stage NAME            of the last transaction, or the connection if there was none
 *   expect log KEY VALUE | log KEY ~ PART | log "TEXT" | log no "TEXT"     in any line
 *   expect transactions N | connections N                    log lines of transactions, of connections
 *   expect backend got N messages | saw [no] TEXT | saw N times TEXT | connections N
 *   expect milter NAME saw [no] TEXT | saw N times TEXT | connections N | peak N      peak: that many open at once, at most
 *   expect message [no] "TEXT" | message is "TEXT"           in what the backend stored; "is": the end of the first, exactly
 *   expect message N times "TEXT"                            in all that it stored together
 *   expect messages are "TEXT"                               the end of each of them, exactly
 *   expect sink got N messages | sink [no] "TEXT"            in the Maildir "{folder}/mail"
 *   expect dns asked NAME N times
 *   expect error "TEXT"                                      the policy does not compile, and says so; names without folder
 *   expect exit N                                            128 + N: killed by signal N
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "proxy/test/play.h"

struct judge {
	struct play *play;
	const struct expectation *e;
};

static struct sp_span
arg(const struct judge *j, size_t i)
{
	return i < j->e->count ? j->e->words[i] : (struct sp_span){ NULL, 0 };
}

static bool
arg_is(const struct judge *j, size_t i, const char *text)
{
	return i < j->e->count && !j->e->quoted[i] && span_eq(j->e->words[i], span_str(text));
}

static bool
has(struct sp_span s, struct sp_span part)
{
	return part.len == 0 || (s.len >= part.len && memmem(s.ptr, s.len, part.ptr, part.len) != NULL);
}

static void
check(struct judge *j, bool ok, const char *what, struct sp_span found)
{
	if (!ok)
		play_fail(j->play, j->e->line, "expected %s '%.*s', found '%.*s'", what, (int)arg(j, j->e->count - 1).len,
			arg(j, j->e->count - 1).len > 0 ? arg(j, j->e->count - 1).ptr : "", (int)found.len,
			found.len > 0 ? found.ptr : "");
}

static void
check_count(struct judge *j, size_t at, size_t found, const char *what)
{
	uint64_t wanted;

	if (span_to_u64(arg(j, at), 1u << 30, &wanted) != SP_OK)
		play_fail(j->play, j->e->line, "a number is expected after '%s'", what);
	else if (wanted != found)
		play_fail(j->play, j->e->line, "expected %s %llu, found %zu", what, (unsigned long long)wanted, found);
}

/* ---- the log -------------------------------------------------------------------------------- */

/* The next line from *at on that has the event; {null,0}: none. */
static struct sp_span
next_event(const struct play *p, const char *event, size_t *at)
{
	struct sp_span rest = span_from(buf_span(&p->child.log), *at);

	while (rest.len > 0) {
		struct sp_span line = span_head(rest, span_find(rest, '\n'));

		rest = span_from(rest, line.len + 1);
		*at = p->child.log.len - rest.len;
		if (event == NULL || span_eq(log_value(p->scene->arena, line, "event"), span_str(event)))
			return line;
	}
	return (struct sp_span){ NULL, 0 };
}

static struct sp_span
last_event(const struct play *p, const char *event)
{
	struct sp_span line, last = { NULL, 0 };
	size_t at = 0;

	while ((line = next_event(p, event, &at)).ptr != NULL)
		last = line;
	return last;
}

static size_t
count_events(const struct play *p, const char *event)
{
	size_t at = 0, n = 0;

	while (next_event(p, event, &at).ptr != NULL)
		n++;
	return n;
}

static void
expect_last(struct judge *j, const char *key)
{
	struct sp_span line = last_event(j->play, "transaction"), value;

	if (line.ptr == NULL)
		line = last_event(j->play, "connection");
	value = log_value(j->play->scene->arena, line, key);
	check(j, span_eq(value, arg(j, 1)), key, value);
}

static void
expect_log(struct judge *j)
{
	bool no = arg_is(j, 1, "no"), part = arg_is(j, 2, "~");
	const char *key;
	size_t at = 0;
	struct sp_span line, value = { NULL, 0 };

	if (j->e->quoted[1] || no) {
		if (has(buf_span(&j->play->child.log), arg(j, no ? 2 : 1)) == no)
			play_fail(j->play, j->e->line, "the log %s '%.*s'", no ? "has" : "lacks", (int)arg(j, no ? 2 : 1).len,
				arg(j, no ? 2 : 1).ptr);
		return;
	}
	key = arena_strdup(j->play->scene->arena, arg(j, 1));
	while ((line = next_event(j->play, NULL, &at)).ptr != NULL) {
		struct sp_span one = log_value(j->play->scene->arena, line, key);

		value = one.ptr != NULL ? one : value;
		if (one.ptr != NULL && (part ? has(one, arg(j, 3)) : span_eq(one, arg(j, 2))))
			return;
	}
	check(j, false, key, value);
}

/* ---- the backend, the DNS, the end ---------------------------------------------------------- */

/* Occurrences that do not overlap. */
static size_t
count_in(struct sp_span s, struct sp_span part)
{
	size_t n = 0;
	const char *at;

	while (part.len > 0 && s.len >= part.len && (at = memmem(s.ptr, s.len, part.ptr, part.len)) != NULL) {
		s = span_from(s, (size_t)(at - s.ptr) + part.len);
		n++;
	}
	return n;
}

/* A text of several words without its quotes would be its first word only. */
static bool
all_read(struct judge *j, size_t words)
{
	if (j->e->count > words)
		play_fail(j->play, j->e->line, "TEXT of several words is written in quotes");
	return j->e->count <= words;
}

static void
expect_backend(struct judge *j)
{
	const struct fake_backend *b = &j->play->backend;
	bool no = arg_is(j, 2, "no");
	struct sp_span wanted = arg(j, no ? 3 : 2);

	if (arg_is(j, 1, "got"))
		check_count(j, 2, b->message_count, "messages at the backend");
	else if (arg_is(j, 1, "connections"))
		check_count(j, 2, b->connections, "connections to the backend");
	else if (!arg_is(j, 1, "saw"))
		play_fail(j->play, j->e->line, "backend got N messages, saw [no] TEXT, saw N times TEXT, or connections N is expected");
	else if (!all_read(j, arg_is(j, 3, "times") ? 5 : no ? 4 : 3))
		return;
	else if (arg_is(j, 3, "times"))
		check_count(j, 2, count_in(buf_span(&b->transcript), arg(j, 4)), "occurrences");
	else if (has(buf_span(&b->transcript), wanted) == no)
		play_fail(j->play, j->e->line, "the backend %s '%.*s'", no ? "saw" : "did not see", (int)wanted.len, wanted.ptr);
}

static void
expect_milter(struct judge *j)
{
	const struct fake_milter *m = fake_milter_named(j->play, arg(j, 1));
	bool no = arg_is(j, 3, "no");
	struct sp_span wanted = arg(j, no ? 4 : 3);

	if (m == NULL)
		play_fail(j->play, j->e->line, "no milter of the scene has this name");
	else if (arg_is(j, 2, "connections"))
		check_count(j, 3, m->connections, "connections to the milter");
	else if (arg_is(j, 2, "peak"))
		check_count(j, 3, m->peak, "connections at once");
	else if (!arg_is(j, 2, "saw"))
		play_fail(j->play, j->e->line, "milter NAME saw [no] TEXT, saw N times TEXT, connections N or peak N is expected");
	else if (!all_read(j, arg_is(j, 4, "times") ? 6 : no ? 5 : 4))
		return;
	else if (arg_is(j, 4, "times"))
		check_count(j, 3, count_in(buf_span(&m->transcript), arg(j, 5)), "occurrences");
	else if (has(buf_span(&m->transcript), wanted) == no)
		play_fail(j->play, j->e->line, "the milter %s '%.*s'", no ? "saw" : "did not see", (int)wanted.len, wanted.ptr);
}

static void
expect_message(struct judge *j)
{
	const struct fake_backend *b = &j->play->backend;
	bool no = arg_is(j, 1, "no"), is = arg_is(j, 1, "is");
	struct sp_span wanted = arg(j, no || is ? 2 : 1), first;
	bool found = false;

	if (b->message_count == 0) {
		play_fail(j->play, j->e->line, "the backend has no message");
		return;
	}
	first = b->messages[0].bytes;
	for (size_t i = 0; i < b->message_count && !is; i++)
		found |= has(b->messages[i].bytes, wanted);
	if (is)
		found = first.len >= wanted.len && span_eq(span_from(first, first.len - wanted.len), wanted);
	if (found == no)
		play_fail(j->play, j->e->line, "what the backend stored %s '%.*s'", no ? "has" : "lacks", (int)wanted.len,
			wanted.ptr);
}

static void
expect_times(struct judge *j)
{
	const struct fake_backend *b = &j->play->backend;
	size_t n = 0;

	for (size_t i = 0; i < b->message_count; i++)
		n += count_in(b->messages[i].bytes, arg(j, 3));
	check_count(j, 1, n, "occurrences");
}

static void
expect_messages(struct judge *j)
{
	const struct fake_backend *b = &j->play->backend;
	struct sp_span wanted = arg(j, 2);
	size_t bad = 0;

	for (size_t i = 0; i < b->message_count; i++) {
		struct sp_span m = b->messages[i].bytes;

		bad += m.len < wanted.len || !span_eq(span_from(m, m.len - wanted.len), wanted);
	}
	if (bad > 0 || b->message_count == 0)
		play_fail(j->play, j->e->line, "of %zu messages that the backend stored %zu do not end in '%.*s'", b->message_count,
			bad, (int)wanted.len, wanted.ptr);
}

static void
expect_sink(struct judge *j)
{
	bool no = arg_is(j, 1, "no");
	struct sp_span wanted = arg(j, no ? 2 : 1);
	struct buf mail;
	size_t n;

	buf_init(&mail, 64u << 20);
	n = site_filed(j->play->child.world.folder, &mail);
	if (arg_is(j, 1, "got"))
		check_count(j, 2, n, "messages in the Maildir");
	else if (has(buf_span(&mail), wanted) == no)
		play_fail(j->play, j->e->line, "the Maildir %s '%.*s':\n%s", no ? "has" : "lacks", (int)wanted.len, wanted.ptr,
			buf_cstr(&mail));
	buf_fini(&mail);
}

static void
expect_exit(struct judge *j)
{
	int status = j->play->child.status;

	check_count(j, 1, (size_t)(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)), "exit");
}

/* What was said, with file names as the scene knows them: without their folder. */
static void
expect_error(struct judge *j)
{
	const struct child *c = &j->play->child;
	struct sp_span rest = buf_span(&c->log);
	char folder[128];
	struct buf said;

	snprintf(folder, sizeof(folder), "%s/", c->world.folder);
	buf_init(&said, SCENE_TRANSCRIPT);
	while (rest.len > 0) {
		bool here = span_starts(rest, span_str(folder));

		if (!here)
			buf_add_char(&said, rest.ptr[0]);
		rest = span_from(rest, here ? strlen(folder) : 1);
	}
	check(j, has(buf_span(&said), arg(j, 1)), "error", buf_span(&said));
	buf_fini(&said);
}

static void
expect_one(struct judge *j)
{
	if (arg_is(j, 0, "rule") || arg_is(j, 0, "verdict") || arg_is(j, 0, "stage"))
		expect_last(j, arena_strdup(j->play->scene->arena, arg(j, 0)));
	else if (arg_is(j, 0, "log"))
		expect_log(j);
	else if (arg_is(j, 0, "transactions"))
		check_count(j, 1, count_events(j->play, "transaction"), "transactions");
	else if (arg_is(j, 0, "connections"))
		check_count(j, 1, count_events(j->play, "connection"), "connections");
	else if (arg_is(j, 0, "backend"))
		expect_backend(j);
	else if (arg_is(j, 0, "milter"))
		expect_milter(j);
	else if (arg_is(j, 0, "sink"))
		expect_sink(j);
	else if (arg_is(j, 0, "message") && arg_is(j, 2, "times"))
		expect_times(j);
	else if (arg_is(j, 0, "messages") && arg_is(j, 1, "are"))
		expect_messages(j);
	else if (arg_is(j, 0, "message"))
		expect_message(j);
	else if (arg_is(j, 0, "dns"))
		check_count(j, 3, fakedns_asked(j->play->dns, arg(j, 2)), "questions");
	else if (arg_is(j, 0, "exit"))
		expect_exit(j);
	else if (arg_is(j, 0, "error"))
		expect_error(j);
	else
		play_fail(j->play, j->e->line, "unknown expectation: rule verdict stage log transactions connections backend milter sink message dns exit "
			"error are known");
}

void
expect_all(struct play *p)
{
	for (size_t i = 0; i < p->scene->expectation_count && !p->failed; i++)
		expect_one(&(struct judge){ p, &p->scene->expectations[i] });
}
