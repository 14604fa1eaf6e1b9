/*
 * size.c - sizes and counts that the program's own facts do not have: of fields, lines, body,
 * recipients.
 *
 * An entry limits header fields of one name, or the recipients of one domain, by octets, by count
 * or by both; its fact "over" is known at the header or at RCPT.  Everything is counted as it
 * comes; the message is never gathered.  Memory: a few numbers per transaction, one per entry, and
 * the names of the recipients' domains, all of it the host's.  RFC 5321 section 4.5.3.1, RFC 5322
 * section 2.1.1.
 */
#include <string.h>

#include <sallyport/filter.h>

struct size_entry {
	struct sp_span header, rcpt;
	int64_t limit, count;
};
#define AT(member) .offset = offsetof(struct size_entry, member)
static const struct sp_param size_entry_params[] = {
	{ .name = "header",
		.type = SP_STRING,
		AT(header),
		.fallback = "\"\"",
		.help = "header fields of this name are meant; \"*\": all fields" },
	{ .name = "rcpt",
		.type = SP_STRING,
		AT(rcpt),
		.fallback = "\"\"",
		.help = "recipients: \"a@example.com\", \"example.com\", \".example.com\" (all "
			"below), \"*\"" },
	{ .name = "limit",
		.type = SP_SIZE,
		AT(limit),
		.fallback = "0",
		.min = 0,
		.max = INT64_MAX,
		.bare = true,
		.help = "octets: of the largest such field, or that MAIL announced; 0: no limit" },
	{ .name = "count",
		.type = SP_INT,
		AT(count),
		.fallback = "0",
		.min = 0,
		.max = 1000000,
		.help = "how many there may be; 0: no limit" },
	SP_PARAMS_END
};

enum { ENTRY_OVER, ENTRY_OCTETS, ENTRY_COUNT };
static const struct sp_fact_decl size_entry_facts[] = {
	[ENTRY_OVER] = { .name = "over",
		.type = SP_BOOL,
		.stage = SP_RCPT,
		.help = "a limit of the entry is exceeded" },
	[ENTRY_OCTETS] = { .name = "octets",
		.type = SP_SIZE,
		.stage = SP_RCPT,
		.help = "the largest such field; or what MAIL announced for such a recipient" },
	[ENTRY_COUNT] = { .name = "count",
		.type = SP_INT,
		.stage = SP_RCPT,
		.help = "how many so far" },
	SP_FACTS_END
};

enum { FACT_DOMAINS, FACT_FIELD, FACT_BODY, FACT_LINE };
static const struct sp_fact_decl size_facts[] = {
	[FACT_DOMAINS] = { .name = "domains",
		.type = SP_INT,
		.stage = SP_RCPT,
		.help = "different domains among the recipients so far" },
	[FACT_FIELD] = { .name = "largest_field",
		.type = SP_SIZE,
		.stage = SP_HEADER,
		.help = "octets of the largest header field" },
	[FACT_BODY] = { .name = "body",
		.type = SP_SIZE,
		.stage = SP_EOM,
		.help = "octets of the body" },
	[FACT_LINE] = { .name = "longest_line",
		.type = SP_SIZE,
		.stage = SP_EOM,
		.help = "octets of the longest line, without its CRLF" },
	SP_FACTS_END
};

struct size_domain {
	struct size_domain *next;
	size_t len;
	char name[];
};

struct size_sum {
	int64_t octets, count;
};

struct size_tx {
	struct size_sum *entries; /* one per entry */
	int64_t declared;         /* SIZE= of MAIL; -1: not given */
	struct size_domain *domains;
	int64_t domain_count;
	int64_t field_max, body;
	int64_t line, line_max; /* octets of the line at hand, of the longest */
	char last;              /* octet before */
};

/* ---- text ----------------------------------------------------------------------------------- */

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool
text_is(struct sp_span a, struct sp_span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}

static bool
text_ends(struct sp_span s, struct sp_span end)
{
	return s.len > end.len &&
	       text_is((struct sp_span){ s.ptr + s.len - end.len, end.len }, end);
}

static bool
is_any(struct sp_span s)
{
	return s.len == 1 && s.ptr[0] == '*';
}

/* ---- configuration -------------------------------------------------------------------------- */

static enum sp_stage
size_entry_stage(const void *conf, enum sp_stage keys)
{
	const struct size_entry *e = conf;

	(void)keys;
	return e->header.len > 0 ? SP_HEADER : SP_RCPT;
}

static enum sp_status
size_load(struct sp_load *load, const struct sp_host *host, void *conf, struct sp_entry *entries,
	size_t count)
{
	enum sp_status st = SP_OK;

	(void)conf;
	for (size_t i = 0; i < count; i++) {
		const struct size_entry *e = entries[i].conf;
		const char *wrong = NULL;

		if ((e->header.len > 0) == (e->rcpt.len > 0))
			wrong = "it is either for a 'header' or for a 'rcpt'";
		else if (e->limit == 0 && e->count == 0)
			wrong = "it needs a limit in octets, a 'count' or both";
		if (wrong == NULL)
			continue;
		sp_load_error(host, load, NULL, 0, 0, "%s: %s", entries[i].name, wrong);
		st = SP_INVALID;
	}
	return st;
}

/* ---- entries -------------------------------------------------------------------------------- */

static void
entry_state(struct sp_ctx *ctx, size_t index, struct size_sum sum)
{
	const struct size_entry *e = ctx->entries[index].conf;
	struct sp_value octets = { .type = SP_SIZE, .u.integer = sum.octets };
	struct sp_value count = { .type = SP_INT, .u.integer = sum.count };

	sp_entry_fact_bool(ctx, index, ENTRY_OVER,
		(e->limit > 0 && sum.octets > e->limit) || (e->count > 0 && sum.count > e->count));
	sp_entry_fact_value(ctx, index, ENTRY_OCTETS, &octets);
	sp_entry_fact_value(ctx, index, ENTRY_COUNT, &count);
}

static bool
rcpt_meant(struct sp_span pattern, const struct sp_rcpt *ev)
{
	if (is_any(pattern))
		return true;
	if (memchr(pattern.ptr, '@', pattern.len) != NULL)
		return text_is(pattern, ev->address);
	return pattern.ptr[0] == '.' ? text_ends(ev->domain, pattern)
				     : text_is(pattern, ev->domain);
}

static void
entries_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	struct size_tx *tx = ctx->tx;

	for (size_t i = 0; i < ctx->entry_count; i++) {
		const struct size_entry *e = ctx->entries[i].conf;
		struct size_sum sum = { 0, 0 };

		if (e->rcpt.len == 0)
			continue;
		if (rcpt_meant(e->rcpt, ev)) {
			sum.count = ++tx->entries[i].count;
			sum.octets = tx->declared > 0 ? tx->declared : 0;
		}
		entry_state(ctx, i, sum); /* of this recipient */
	}
}

static void
entries_header(struct sp_ctx *ctx, const struct sp_header *ev)
{
	struct size_tx *tx = ctx->tx;

	for (size_t i = 0; i < ctx->entry_count; i++) {
		const struct size_entry *e = ctx->entries[i].conf;

		if (e->header.len == 0 || !(is_any(e->header) || text_is(e->header, ev->name)))
			continue;
		tx->entries[i].count++;
		if ((int64_t)ev->field.len > tx->entries[i].octets)
			tx->entries[i].octets = (int64_t)ev->field.len;
	}
}

/* ---- recipients' domains --------------------------------------------------------------------- */

static enum sp_status
domain_count(struct sp_ctx *ctx, struct sp_span name)
{
	struct size_tx *tx = ctx->tx;
	struct size_domain *d;

	for (d = tx->domains; d != NULL; d = d->next)
		if (text_is((struct sp_span){ d->name, d->len }, name))
			return SP_OK;
	d = sp_alloc(ctx, sizeof(*d) + name.len);
	if (d == NULL)
		return SP_LIMIT;
	if (name.len > 0)
		memcpy(d->name, name.ptr, name.len);
	d->len = name.len;
	d->next = tx->domains;
	tx->domains = d;
	tx->domain_count++;
	return SP_OK;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void
line_end(struct size_tx *tx)
{
	int64_t len = tx->line - (tx->last == '\r');

	if (len > tx->line_max)
		tx->line_max = len;
	tx->line = 0;
}

/* Text may end anywhere: in a line, between CR and LF. */
static void
lines_add(struct size_tx *tx, struct sp_span text)
{
	while (text.len > 0) {
		const char *lf = memchr(text.ptr, '\n', text.len);
		size_t len = lf != NULL ? (size_t)(lf - text.ptr) : text.len;

		tx->line += (int64_t)len;
		if (len > 0)
			tx->last = text.ptr[len - 1];
		if (lf == NULL)
			return;
		line_end(tx);
		tx->last = '\n';
		text.ptr += len + 1;
		text.len -= len + 1;
	}
}

/* ---- hooks ---------------------------------------------------------------------------------- */

static enum sp_status
size_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	struct size_tx *tx = ctx->tx;

	tx->declared = ev->size;
	tx->entries = sp_alloc(ctx, (ctx->entry_count + 1) * sizeof(*tx->entries));
	return tx->entries != NULL ? SP_OK : SP_LIMIT;
}

static enum sp_status
size_on_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	struct size_tx *tx = ctx->tx;
	enum sp_status st;

	if (tx->entries == NULL)
		return SP_LIMIT;
	entries_rcpt(ctx, ev);
	st = domain_count(ctx, ev->domain);
	if (st == SP_OK)
		sp_fact_number(ctx, FACT_DOMAINS, SP_INT, tx->domain_count);
	return st;
}

static enum sp_status
size_on_header(struct sp_ctx *ctx, const struct sp_header *ev)
{
	struct size_tx *tx = ctx->tx;

	if (tx->entries == NULL)
		return SP_LIMIT;
	entries_header(ctx, ev);
	if ((int64_t)ev->field.len > tx->field_max)
		tx->field_max = (int64_t)ev->field.len;
	lines_add(tx, ev->field);
	line_end(tx);
	tx->last = '\n';
	return SP_OK;
}

static enum sp_status
size_on_eoh(struct sp_ctx *ctx, const struct sp_eoh *ev)
{
	struct size_tx *tx = ctx->tx;

	(void)ev;
	if (tx->entries == NULL)
		return SP_LIMIT;
	for (size_t i = 0; i < ctx->entry_count; i++)
		if (ctx->entries[i].stage == SP_HEADER)
			entry_state(ctx, i, tx->entries[i]);
	sp_fact_number(ctx, FACT_FIELD, SP_SIZE, tx->field_max);
	return SP_OK;
}

static enum sp_status
size_on_body(struct sp_ctx *ctx, const struct sp_body *ev)
{
	struct size_tx *tx = ctx->tx;

	tx->body += (int64_t)ev->chunk.len;
	lines_add(tx, ev->chunk);
	return SP_OK;
}

static enum sp_status
size_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	struct size_tx *tx = ctx->tx;

	(void)ev;
	line_end(tx); /* a last line without its CRLF */
	sp_fact_number(ctx, FACT_BODY, SP_SIZE, tx->body);
	sp_fact_number(ctx, FACT_LINE, SP_SIZE, tx->line_max);
	return SP_OK;
}

SP_FILTER(size) = { SP_FILTER_HEAD, .name = "size",
	.summary = "sizes and counts of header fields, lines, body and recipients",
	.facts = size_facts, .entry_params = size_entry_params,
	.entry_size = sizeof(struct size_entry), .entry_facts = size_entry_facts,
	.tx_size = sizeof(struct size_tx), .entry_stage = size_entry_stage, .load = size_load,
	.on_mail = size_on_mail, .on_rcpt = size_on_rcpt, .on_header = size_on_header,
	.on_eoh = size_on_eoh, .on_body = size_on_body, .on_eom = size_on_eom };
