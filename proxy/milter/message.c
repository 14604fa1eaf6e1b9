/*
 * message.c - the message as the mail server shows it, put together again, judged, and what it is to become.
 *
 * What came over the wire is rebuilt octet by octet (fields with their leading blanks, lines with CRLF), so that signatures hold;
 * it goes through the parser that BDAT's content goes through, into the spool and past the filters. The mail server's own Received
 * field is not among what it shows.
 */
#include "proxy/milter/judge_priv.h"

#include <stdio.h>
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/rt/rt.h"
#include "proxy/smtp/fault.h"

enum { ROOM_MS = 60 * 1000, HEAD_OCTETS = 24 << 20, HEAD_FIELDS = 20000 };

/* ---- content -------------------------------------------------------------------------------- */

static enum sp_status
to_spool(void *arg, struct sp_span bytes)
{
	struct judge *j = arg;

	return inspect_settled(j->inspect) ? SP_OK : spool_write(j->tx->spool, bytes);
}

static enum sp_status
to_filters(void *arg, struct sp_span bytes)
{
	(void)inspect_content(((struct judge *)arg)->inspect, bytes); /* what went wrong is told at the end, by inspect_end() */
	return SP_OK;
}

/* False: it is over, the answer has been given. */
static bool
begin_content(struct request *r)
{
	static const struct command_error no_memory = { 451, "4.3.0", "out of memory, try again later" };
	static const struct command_error no_mail = { 451, "4.3.0", "a message without a sender" };
	struct judge *j = r->judge;
	struct matter *tx = j->tx;
	struct policy_verdict v;

	if (tx == NULL) { /* a server that goes on with what was refused gets no message by that */
		judge_refuse(r, &no_mail, "syntax");
		return false;
	}
	if (tx->begun)
		return true;
	tx->begun = true;
	tx->stage = SP_DATA;
	v = inspect_data(j->inspect, rt_deadline(j->config->filter_ms));
	if (judge_stops(j, &v)) {
		judge_refuse_verdict(r, &v);
		judge_end_matter(j);
		return false;
	}
	data_init(&tx->parser, &(struct data_config){ .max_octets = j->config->message_size, .max_line = j->config->text_line,
		.counted = true, .binary = j->config->bare });
	tx->spool = spool_new();
	if (tx->spool != NULL)
		return true;
	judge_refuse(r, &no_memory, "limit");
	judge_end_matter(j);
	return false;
}

void
judge_data(void *request)
{
	(void)begin_content(request);
}

static struct command_error
fault_of(const struct judge *j)
{
	const struct matter *tx = j->tx;
	struct command_error e = fault_reply(tx->parser.faults, inspect_header_faults(j->inspect), j->config->several_from);

	if (e.code == 0 && (tx->parser.sink_status != SP_OK || tx->crowded))
		e = (struct command_error){ 452, "4.3.1", "not enough disk space, try again later" };
	return e;
}

static void
feed(struct judge *j, struct sp_span bytes)
{
	const struct data_sink sink = { .wire = to_spool, .content = to_filters, .arg = j };
	struct matter *tx = j->tx;
	enum sp_status st;
	size_t used;

	st = spool_reserve(tx->spool, bytes.len, rt_deadline(ROOM_MS));
	tx->crowded = tx->crowded || (st != SP_OK && st != SP_SYSTEM); /* a spool that failed says so when it is sealed */
	if (!tx->crowded)
		(void)data_feed(&tx->parser, bytes, &sink, &used);
}

static void judge_message(struct request *r);

void
judge_content(void *request)
{
	struct request *r = request;

	if (!begin_content(r))
		return;
	feed(r->judge, r->content);
	if (inspect_settled(r->judge->inspect)) /* what is left of it need not be shown */
		judge_message(r);
}

/* ---- the verdict ---------------------------------------------------------------------------- */

/* The header of the message, from the spool; to is initialised. SP_SYSTEM, SP_LIMIT. */
static enum sp_status
read_header(struct spool *spool, struct header_block *to)
{
	struct data_unstuff at = { .bol = true };
	struct sp_span piece, content, held;
	int64_t offset = 0;
	enum sp_status st;
	size_t used, n;

	while ((st = spool_read(spool, offset, &piece)) == SP_OK) {
		content = data_unstuff(&at, piece, &used);
		offset += (int64_t)used;
		if (content.len > 0 && header_feed(to, content, &n))
			return SP_OK;
	}
	header_end(to, &held);
	return st == SP_NONE ? SP_OK : st;
}

/* The head in wire form, as fields. */
static void
read_head(struct sp_span head, struct header_block *to)
{
	struct data_unstuff at = { .bol = true };
	struct sp_span held;
	size_t used, n;
	bool complete = false;

	while (head.len > 0 && !complete) {
		struct sp_span content = data_unstuff(&at, head, &used);

		complete = content.len > 0 && header_feed(to, content, &n);
		head = span_from(head, used);
	}
	header_end(to, &held);
}

/* Nothing but new fields on top: what came stays as it is. */
static enum sp_status
say_top(struct answer *a, const struct header_block *head)
{
	enum sp_status st = SP_OK;

	for (size_t n = head->count; n > 0 && st == SP_OK; n--)
		st = answer_change(a, CHANGE_INSERT, 0, head->fields[n - 1].name, head->fields[n - 1].value);
	return st;
}

static enum sp_status
say_header(struct request *r)
{
	const struct header_config config = { HEAD_OCTETS, HEAD_FIELDS };
	struct matter *tx = r->judge->tx;
	struct header_block came, goes;
	enum sp_status st = SP_OK;

	header_init(&came, &config);
	header_init(&goes, &config);
	read_head(tx->out.head, &goes);
	if (tx->out.from == 0 && tx->out.body == NULL) {
		st = say_top(r->answer, &goes);
	} else {
		st = read_header(tx->spool, &came);
		if (st == SP_OK)
			st = answer_header(r->answer, &came, &goes);
	}
	if ((came.faults | goes.faults) & HEADER_MEMORY)
		st = SP_SYSTEM;
	header_fini(&came);
	header_fini(&goes);
	return st;
}

static struct sp_span
bracketed(struct arena *a, struct sp_span address)
{
	return span_str(arena_printf(a, "<%.*s>", (int)address.len, address.len > 0 ? address.ptr : ""));
}

static enum sp_status
say_rcpts(struct request *r)
{
	const struct matter *tx = r->judge->tx;
	bool *kept = arena_alloc(tx->arena, tx->accepted + 1);
	enum sp_status st = kept == NULL ? SP_SYSTEM : SP_OK;
	struct inspect_path path;

	for (size_t i = 0; st == SP_OK && inspect_recipient(r->judge->inspect, i, &path) == SP_OK; i++) {
		if (path.came >= 0 && (size_t)path.came < tx->accepted)
			kept[path.came] = true;
		else
			st = answer_change(r->answer, CHANGE_RCPT_ADD, 0, bracketed(tx->arena, path.address), path.params);
	}
	for (size_t i = 0; st == SP_OK && i < tx->accepted; i++)
		if (!kept[i])
			st = answer_change(r->answer, CHANGE_RCPT_DELETE, 0, tx->came[i], SPAN_LIT(""));
	return st;
}

static enum sp_status
say_envelope(struct request *r)
{
	const struct judge *j = r->judge;
	struct inspect_path sender;
	enum sp_status st = SP_OK;

	if (j->config->shadow || !inspect_envelope_edited(j->inspect))
		return SP_OK;
	sender = inspect_sender(j->inspect);
	if (sender.params_given || !span_eq(sender.address, j->tx->mail.address.text))
		st = answer_change(r->answer, CHANGE_SENDER, 0, bracketed(j->tx->arena, sender.address),
			sender.params_given ? sender.params : SPAN_LIT(""));
	return st == SP_OK ? say_rcpts(r) : st;
}

static enum sp_status
say_quarantine(struct request *r, const struct policy_verdict *v)
{
	struct sp_span rule = v->rule != NULL ? policy_rule_name(v->rule) : SPAN_LIT("");
	const char *why;

	if (v->backend.len == 0 || r->judge->config->shadow)
		return SP_OK;
	why = arena_printf(r->judge->tx->arena, "%.*s (rule %.*s, tx=%s)", (int)v->backend.len, v->backend.ptr, (int)rule.len,
		rule.len > 0 ? rule.ptr : "", r->judge->tx->id);
	return why == NULL ? SP_SYSTEM : answer_change(r->answer, CHANGE_QUARANTINE, 0, SPAN_LIT(""), span_str(why));
}

/* All edits, or none: then the message is deferred. */
static void
accept_message(struct request *r, const struct policy_verdict *v)
{
	static const struct command_error failed = { 451, "4.3.0", "an edit of the message failed" };
	struct judge *j = r->judge;
	struct matter *tx = j->tx;
	enum sp_status st = inspect_apply(j->inspect, SPAN_LIT(""), &tx->out);

	if (st == SP_OK)
		st = say_header(r);
	if (st == SP_OK)
		st = say_envelope(r);
	if (st == SP_OK)
		st = say_quarantine(r, v);
	if (st != SP_OK) {
		judge_refuse(r, &failed, "filter");
		judge_end_matter(j);
		return;
	}
	r->answer->body = tx->out.body != NULL;
	tx->body = (struct data_unstuff){ .bol = true };
	tx->code = 250;
	tx->by = "policy";
	tx->outcome = v->backend.len > 0 ? "quarantine" : "accept";
}

static void
judge_message(struct request *r)
{
	static const struct command_error full = { 452, "4.3.1", "not enough disk space, try again later" };
	struct judge *j = r->judge;
	struct command_error fault = fault_of(j);
	struct policy_verdict v;

	if (fault.code == 0 && spool_seal(j->tx->spool) != SP_OK)
		fault = full;
	if (fault.code != 0) {
		judge_refuse(r, &fault, "limit");
		judge_end_matter(j);
		return;
	}
	v = inspect_end(j->inspect, j->tx->spool);
	j->tx->verdict = v;
	if (judge_stops(j, &v)) {
		judge_refuse_verdict(r, &v);
		judge_end_matter(j);
	} else if (v.verdict == POLICY_DISCARD && !j->config->shadow) {
		r->answer->word = ANSWER_DISCARD;
		j->tx->outcome = "discard";
		j->tx->by = "policy";
		j->tx->code = 250;
		judge_end_matter(j);
	} else {
		accept_message(r, &v);
	}
}

void
judge_end(void *request)
{
	const struct data_sink sink = { .wire = to_spool, .content = to_filters, .arg = ((struct request *)request)->judge };
	struct request *r = request;
	struct judge *j = r->judge;

	if (!begin_content(r))
		return;
	snprintf(j->tx->queue_id, sizeof(j->tx->queue_id), "%s", r->queue_id);
	feed(j, r->content);
	(void)data_end(&j->tx->parser, &sink);
	j->tx->stage = SP_EOM;
	judge_message(r);
}

/* ---- the new body --------------------------------------------------------------------------- */

void
judge_body(void *request)
{
	struct request *r = request;
	struct matter *tx = r->judge->tx;
	struct sp_span piece, content;
	enum sp_status st = tx != NULL ? SP_OK : SP_GONE;
	size_t used;

	r->filled = 0;
	while (st == SP_OK && r->filled < JUDGE_PIECE && (st = spool_read(tx->out.body, tx->body_at, &piece)) == SP_OK) {
		content = data_unstuff(&tx->body, span_head(piece, JUDGE_PIECE - r->filled), &used);
		tx->body_at += (int64_t)used;
		if (content.len > 0)
			memcpy(r->room + r->filled, content.ptr, content.len);
		r->filled += content.len;
	}
	r->failed = st != SP_OK && st != SP_NONE;
}
