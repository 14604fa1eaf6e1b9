/*
 * rules.c - scored expressions over header and body; facts rules.score, rules.hits, rules.count.
 *
 * All work is done at the end of the message, from the header fields and the raw body that the host
 * keeps: nothing is gathered on the way.  Memory per message: two octets per rule from the host,
 * and one window of the body from the heap if the host does not have it in one piece.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sallyport/filter.h>

#include "match.h"

enum { FIELD_MAX = 1 << 20, HITS_MAX = 2000 };

struct rules_conf {
	const char *file;
	int64_t body_limit, time_limit;
	/* by load */
	char *text;
	struct rule_set *set;
};
#define AT(member) .offset = offsetof(struct rules_conf, member)
static const struct sp_param rules_params[] = {
	{ .name = "file", .type = SP_FILE, AT(file), .help = "the rules, one a line" },
	{ .name = "body_limit",
		.type = SP_SIZE,
		AT(body_limit),
		.fallback = "1M",
		.min = 0,
		.max = 1 << 30,
		.help = "octets of the body that are looked at" },
	{ .name = "time_limit",
		.type = SP_DURATION,
		AT(time_limit),
		.fallback = "1s",
		.min = 1,
		.max = 60000,
		.help = "time for the expressions on one message; beyond it the facts are "
			"unknown" },
	SP_PARAMS_END
};

enum { FACT_SCORE, FACT_HITS, FACT_COUNT };
static const struct sp_fact_decl rules_facts[] = {
	[FACT_SCORE] = { .name = "score",
		.type = SP_SCORE,
		.stage = SP_EOM,
		.help = "sum of the scores of all hits" },
	[FACT_HITS] = { .name = "hits",
		.type = SP_STRING,
		.stage = SP_EOM,
		.help = "their names, joined by commas" },
	[FACT_COUNT] = { .name = "count", .type = SP_INT, .stage = SP_EOM, .help = "how many" },
	SP_FACTS_END
};

/* ---- loading -------------------------------------------------------------------------------- */

struct loading {
	struct sp_load *load;
	const struct sp_host *host;
	const char *file;
};

__attribute__((format(printf, 4, 0))) static void
loading_error(void *arg, unsigned line, unsigned column, const char *fmt, va_list ap)
{
	const struct loading *l = arg;

	l->host->load_error(l->load, l->file, line, column, fmt, ap);
}

/* The whole file, on the heap; null: the error was reported. */
static char *
file_read(const struct loading *l, size_t *ret_len)
{
	FILE *f = fopen(l->file, "re");
	char *text = malloc(RULES_FILE_MAX + 1);
	bool bad;

	if (f == NULL || text == NULL) {
		sp_load_error(
			l->host, l->load, l->file, 0, 0, "it cannot be read: %s", strerror(errno));
		if (f != NULL)
			fclose(f);
		free(text);
		return NULL;
	}
	*ret_len = fread(text, 1, RULES_FILE_MAX + 1, f);
	bad = ferror(f) != 0;
	fclose(f);
	if (!bad && *ret_len <= RULES_FILE_MAX)
		return text;
	sp_load_error(l->host, l->load, l->file, 0, 0,
		bad ? "it cannot be read" : "it has more than 4 MiB");
	free(text);
	return NULL;
}

static enum sp_status
rules_load(struct sp_load *load, const struct sp_host *host, void *data, struct sp_entry *entries,
	size_t count)
{
	struct rules_conf *conf = data;
	struct loading l = { load, host, conf->file };
	struct rules_report report = { loading_error, &l };
	enum sp_status st;
	size_t len = 0;
	char *smaller;

	(void)entries;
	(void)count;
	conf->text = file_read(&l, &len);
	if (conf->text == NULL)
		return SP_INVALID;
	smaller = realloc(conf->text, len + 1);
	if (smaller != NULL)
		conf->text = smaller;
	conf->set = rule_set_new((struct sp_span){ conf->text, len }, &report, &st);
	if (conf->set != NULL)
		return SP_OK;
	if (st == SP_SYSTEM)
		sp_load_error(host, load, conf->file, 0, 0, "out of memory");
	free(conf->text);
	conf->text = NULL;
	return st;
}

static void
rules_unload(void *data, struct sp_entry *entries, size_t count)
{
	struct rules_conf *conf = data;

	(void)entries;
	(void)count;
	rule_set_free(&conf->set);
	free(conf->text);
	conf->text = NULL;
}

/* ---- the header ----------------------------------------------------------------------------- */

/* Unfolded fields; one per process, since nothing suspends while it is in use. */
static struct {
	char *bytes;
	size_t room;
} unfolded;

/* RFC 5322 section 2.2.3: takes out each CRLF that blanks follow. Null pointer: no memory. */
static struct sp_span
field_unfold(struct sp_span field)
{
	size_t len = 0;

	if (field.len > unfolded.room) {
		char *more = realloc(unfolded.bytes, field.len);

		if (more == NULL)
			return (struct sp_span){ NULL, 0 };
		unfolded.bytes = more;
		unfolded.room = field.len;
	}
	for (size_t i = 0; i < field.len; i++)
		if (field.ptr[i] != '\r' && field.ptr[i] != '\n')
			unfolded.bytes[len++] = field.ptr[i];
	return (struct sp_span){ unfolded.bytes, len };
}

static enum sp_status
scan_header(struct sp_ctx *ctx, struct rule_scan *scan)
{
	struct sp_header h;
	enum sp_status st;

	for (size_t i = 0; (st = sp_header_get(ctx, i, &h)) == SP_OK; i++) {
		struct sp_span field = h.field;

		if (field.len > FIELD_MAX) {
			sp_log(ctx, SP_LOG_WARNING,
				"rules: a header field of %zu octets is not looked at", field.len);
			return SP_LIMIT;
		}
		if (field.len > 0 && memchr(field.ptr, '\n', field.len) != NULL)
			field = field_unfold(field);
		if (field.ptr == NULL && field.len < h.field.len)
			return SP_SYSTEM;
		st = rule_scan_field(scan, field, h.name.len);
		if (st != SP_OK)
			return st;
	}
	return st == SP_NONE ? SP_OK : st;
}

/* ---- the body ------------------------------------------------------------------------------- */

struct window {
	char *bytes;
	size_t len, room;
	int64_t offset; /* of the next octet of the body */
	bool first, last;
};

/* Fills the window up. w->last is set when there is no more, or no more to be looked at. */
static enum sp_status
window_fill(struct sp_ctx *ctx, struct window *w, int64_t limit)
{
	while (w->len < w->room && w->offset < limit) {
		struct sp_span piece;
		enum sp_status st = sp_body_get(ctx, w->offset, &piece);
		size_t len = w->room - w->len;

		if (st == SP_NONE || (st == SP_OK && piece.len == 0)) {
			w->last = true;
			return SP_OK;
		}
		if (st != SP_OK)
			return st;
		if (len > piece.len)
			len = piece.len;
		if ((int64_t)len > limit - w->offset)
			len = (size_t)(limit - w->offset);
		memcpy(w->bytes + w->len, piece.ptr, len);
		w->len += len;
		w->offset += (int64_t)len;
	}
	w->last = w->offset >= limit;
	return SP_OK;
}

static enum sp_status
scan_windows(struct sp_ctx *ctx, struct rule_scan *scan, struct window *w)
{
	const struct rules_conf *conf = ctx->conf;
	enum sp_status st;

	for (;;) {
		st = window_fill(ctx, w, conf->body_limit);
		if (st == SP_OK)
			st = rule_scan_window(
				scan, (struct sp_span){ w->bytes, w->len }, w->first, w->last);
		if (st != SP_OK || w->last)
			return st;
		memmove(w->bytes, w->bytes + w->len - RULES_CONTEXT - RULES_OVERLAP,
			RULES_CONTEXT + RULES_OVERLAP);
		w->len = RULES_CONTEXT + RULES_OVERLAP;
		w->first = false;
	}
}

/* On the heap and not from sp_alloc(), which keeps it to the end of the transaction. One octet more
 * than the message has tells a full window from the last; more than what is carried over keeps
 * windows moving. */
static enum sp_status
scan_body(struct sp_ctx *ctx, struct rule_scan *scan, int64_t octets)
{
	struct window w = { .room = RULES_WINDOW, .first = true };
	enum sp_status st;

	if (octets >= 0 && octets < RULES_FRESH)
		w.room = (size_t)octets + 1 + RULES_CONTEXT + RULES_OVERLAP;
	w.bytes = malloc(w.room);
	if (w.bytes == NULL)
		return SP_SYSTEM;
	st = scan_windows(ctx, scan, &w);
	free(w.bytes);
	return st;
}

/* ---- the result ----------------------------------------------------------------------------- */

/* Names in the order of the file; cut at HITS_MAX octets, which "..." shows: no name ends in a dot.
 */
static size_t
hits_add(char *text, size_t len, struct sp_span name)
{
	if (len > 0 && text[len - 1] == '.')
		return len;
	if (len + name.len + 1 > HITS_MAX - 4) {
		memcpy(text + len, ",...", 4);
		return len + 4;
	}
	if (len > 0)
		text[len++] = ',';
	memcpy(text + len, name.ptr, name.len);
	return len + name.len;
}

static void
rules_state(struct sp_ctx *ctx, const struct rule_scan *scan)
{
	char hits[HITS_MAX];
	size_t len = 0;
	double score = 0;
	int64_t count = 0;

	for (size_t i = 0; i < rule_set_count(scan->set); i++) {
		const struct rule *r = rule_set_rule(scan->set, i);

		if (!scan->hit[i])
			continue;
		score += r->score;
		count++;
		len = hits_add(hits, len, r->name);
	}
	sp_fact_score(ctx, FACT_SCORE, score);
	sp_fact_text(ctx, FACT_HITS, SP_STRING, (struct sp_span){ hits, len });
	sp_fact_number(ctx, FACT_COUNT, SP_INT, count);
}

static enum sp_status
rules_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	const struct rules_conf *conf = ctx->conf;
	size_t count = rule_set_count(conf->set);
	struct rule_scan scan = { .set = conf->set, .budget_ns = conf->time_limit * 1000000 };
	enum sp_status st = SP_OK;

	scan.hit = sp_alloc(ctx, 2 * count + 1);
	if (scan.hit == NULL)
		return SP_LIMIT;
	scan.candidate = scan.hit + count;
	if (rule_set_has(conf->set, RULE_HEADER))
		st = scan_header(ctx, &scan);
	if (st == SP_OK && rule_set_has(conf->set, RULE_BODY))
		st = scan_body(ctx, &scan, ev->octets);
	if (st == SP_OK)
		rules_state(ctx, &scan);
	else if (scan.failed != NULL)
		sp_log(ctx, SP_LOG_WARNING, "rule %.*s: %s", (int)scan.failed->name.len,
			scan.failed->name.ptr, scan.why);
	return st;
}

SP_FILTER(rules) = { SP_FILTER_HEAD, .name = "rules",
	.summary = "scored expressions over header and body", .facts = rules_facts,
	.params = rules_params, .conf_size = sizeof(struct rules_conf), .load = rules_load,
	.unload = rules_unload, .on_eom = rules_on_eom };
