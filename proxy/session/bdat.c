/*
 * bdat.c - BDAT: a message in counted chunks (RFC 3030; CASES B01, B02).
 *
 * A chunk's octets follow its command at once, wanted or not, so before anything is said of a command that was refused they
 * are read and thrown away; where their number is not known, or is more than any message may have, the connection ends.
 * Nothing in a chunk is ever looked at for a command.
 */
#include "proxy/session/upload.h"

#include <stdio.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"

/* Says so and ends the session: octets may follow of which nobody knows how many. */
static void
bdat_close(struct session *s, int code, const char *enhanced, const char *text)
{
	session_reply(s, code, enhanced, text);
	s->done = true;
	s->end = "bdat";
}

/* ---- chunks that are not wanted ---------------------------------------------------------------- */

/* Is it one that is read to its end? */
static bool
chunk_fits(const struct session *s, const struct bdat_command *chunk)
{
	return chunk->size <= s->config->limits.message_size;
}

/* Before the refusal of a chunk: false if there is nobody left to refuse it to. */
static bool
refusal_begin(struct session *s, const struct bdat_command *chunk)
{
	return !chunk_fits(s, chunk) || upload_skip(s, chunk->size);
}

/* Behind it: a client that has been told, and still sends more than anybody takes, is listened to for a while, so that it
 * finds the time to read the reply. */
static void
refusal_end(struct session *s, const struct bdat_command *chunk)
{
	if (s->done || chunk_fits(s, chunk))
		return;
	if (!session_flush(s) || !upload_skip(s, s->config->limits.message_size))
		return;
	s->done = true;
	s->end = "bdat";
}

static void
chunk_misplaced(struct session *s, const struct bdat_command *chunk)
{
	if (!refusal_begin(s, chunk))
		return;
	if (s->state == STATE_MAIL)
		session_error(s, 554, "5.5.1", "no valid recipients");
	else
		session_error(s, 503, "5.5.1", "no message is open for this chunk");
	refusal_end(s, chunk);
}

static void
chunk_too_big(struct session *s, const struct bdat_command *chunk)
{
	if (!refusal_begin(s, chunk))
		return;
	transaction_reply(s, 552, "5.3.4", SPAN_LIT("message too big: more than this server takes"), "limit");
	transaction_end(s);
	refusal_end(s, chunk);
}

/* ---- chunks of a message ----------------------------------------------------------------------- */

/* The first chunk does what DATA does before its 354. False: it is refused. */
static bool
message_begin(struct session *s, const struct bdat_command *chunk)
{
	struct policy_verdict v;

	s->tx->stage = SP_DATA;
	v = inspect_data(s->inspect, rt_deadline(s->config->timeouts.filters));
	if (!verdict_stops(s, &v) && upload_begin(s, true)) {
		s->state = STATE_CHUNKS;
		return true;
	}
	if (!refusal_begin(s, chunk))
		return false;
	if (verdict_stops(s, &v))
		session_reply_verdict(s, &v);
	transaction_end(s);
	refusal_end(s, chunk);
	return false;
}

/* False: the connection is of no more use. */
static bool
chunk_receive(struct upload *u)
{
	const struct data_sink sink = upload_sink(u);
	struct stream *stream = u->s->stream;
	size_t used;
	bool whole = bdat_feed(&u->chunks, &u->parser, span_of(NULL, 0), &sink, &used);

	while (!whole) {
		if (!upload_more(u, u->s->config->timeouts.block))
			return false;
		whole = bdat_feed(&u->chunks, &u->parser, stream_input(stream), &sink, &used);
		stream_consume(stream, used);
	}
	return true;
}

/* More is to come. An empty chunk does no work, so it counts as a command that does none. */
static void
chunk_taken(struct upload *u, const struct bdat_command *chunk)
{
	struct session *s = u->s;
	char text[48];

	if (chunk->size == 0 && ++s->junk > s->config->limits.junk) {
		session_goodbye(s, "4.7.0", "too many commands that do no work", "junk");
		return;
	}
	snprintf(text, sizeof(text), "%lld octets taken", (long long)chunk->size);
	session_reply(s, 250, "2.0.0", text);
	if (!s->done)
		(void)upload_more(u, s->config->timeouts.command);
}

static void
chunk_take(struct session *s, const struct bdat_command *chunk)
{
	struct upload *u = s->tx->upload;

	if (!bdat_begin(&u->chunks, chunk, s->config->limits.message_size)) {
		chunk_too_big(s, chunk);
		return;
	}
	if (!chunk_receive(u))
		return;
	if (!chunk->last) {
		chunk_taken(u, chunk);
		return;
	}
	upload_finish(u);
	transaction_end(s);
}

void
session_bdat(struct session *s, const struct command *c)
{
	/* the line as it came: the command's argument has lost the blanks around it */
	struct sp_span line = span_head(stream_input(s->stream), s->line_used - 2);
	struct bdat_command chunk;

	(void)c;
	if (!session_offered(s, EXT_CHUNKING)) {
		bdat_close(s, 502, "5.5.1", "BDAT was not offered");
		return;
	}
	if (bdat_parse(line, &chunk) != SP_OK) {
		bdat_close(s, 501, "5.5.4", "syntax: BDAT octets, or BDAT octets LAST");
		return;
	}
	stream_consume(s->stream, s->line_used);
	s->line_used = 0;
	if ((s->state & (STATE_RCPT | STATE_CHUNKS)) == 0)
		chunk_misplaced(s, &chunk);
	else if (s->state == STATE_CHUNKS || message_begin(s, &chunk))
		chunk_take(s, &chunk);
}
