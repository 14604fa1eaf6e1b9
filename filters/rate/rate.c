/*
 * rate.c - counts connections, messages or recipients by keys made of facts; facts rate.NAME.over,
 * .level.
 *
 * One "NAME : key ... RATE" line is one entry.  An event is tested and added in the hook of the
 * stage at which its key is complete.  The counters are in memory shared by all workers (table.c)
 * and live on over reloads; nothing else outlasts a session.
 */
#include <string.h>

#include <sallyport/filter.h>

#include "table.h"

enum { KEY_MAX = 1024, NS_PER_MS = 1000000 };

enum count { COUNT_CONNECTIONS, COUNT_MESSAGES, COUNT_RECIPIENTS };
static const char *const count_words[] = { "connections", "messages", "recipients", NULL };

struct rate_conf {
	int64_t entries;
	struct rate_table *table; /* by load */
};
static const struct sp_param rate_params[] = {
	{ .name = "entries",
		.type = SP_INT,
		.offset = offsetof(struct rate_conf, entries),
		.fallback = "65536",
		.min = 64,
		.max = 16777216,
		.help = "keys remembered at a time; 16 octets each" },
	SP_PARAMS_END
};

struct rate_entry {
	struct sp_keys key;
	struct sp_rate rate;
	int64_t burst, count, v4, v6;
};
#define AT(member) .offset = offsetof(struct rate_entry, member)
static const struct sp_param rate_entry_params[] = {
	{ .name = "key",
		.type = SP_FACT,
		AT(key),
		.help = "facts that tell one counter from another" },
	{ .name = "rate",
		.type = SP_RATE,
		AT(rate),
		.bare = true,
		.help = "events per time that may go on for ever" },
	{ .name = "burst",
		.type = SP_INT,
		AT(burst),
		.fallback = "0",
		.min = 0,
		.max = 1000000000,
		.help = "events at once; 0: as many as the rate counts" },
	{ .name = "count",
		.type = SP_ENUM,
		AT(count),
		.fallback = "messages",
		.words = count_words,
		.help = "what an event is" },
	{ .name = "v4",
		.type = SP_INT,
		AT(v4),
		.fallback = "32",
		.min = 1,
		.max = 32,
		.help = "bits of an IPv4 address that count" },
	{ .name = "v6",
		.type = SP_INT,
		AT(v6),
		.fallback = "64",
		.min = 1,
		.max = 128,
		.help = "bits of an IPv6 address that count" },
	SP_PARAMS_END
};

enum { FACT_OVER, FACT_LEVEL };
static const struct sp_fact_decl rate_entry_facts[] = { [FACT_OVER] = { .name = "over",
								.type = SP_BOOL,
								.stage = SP_CONNECT,
								.help = "the rate is exceeded" },
	[FACT_LEVEL] = { .name = "level",
		.type = SP_SCORE,
		.stage = SP_CONNECT,
		.help = "share of the burst used up, 0 to 1; above 1 when over" },
	SP_FACTS_END };

struct rate_session {
	struct rate_answer *connections; /* one per entry; null until the first is counted */
	bool *counted;
};

/* ---- configuration -------------------------------------------------------------------------- */

static enum sp_stage
rate_entry_stage(const void *conf, enum sp_stage keys)
{
	static const enum sp_stage first[] = { [COUNT_CONNECTIONS] = SP_CONNECT,
		[COUNT_MESSAGES] = SP_MAIL,
		[COUNT_RECIPIENTS] = SP_RCPT };
	const struct rate_entry *e = conf;

	return keys > first[e->count] ? keys : first[e->count];
}

static enum sp_status
rate_entry_check(struct sp_load *load, const struct sp_host *host, const struct sp_entry *entry)
{
	const struct rate_entry *e = entry->conf;

	if (e->rate.count == 0 || e->rate.period_ms == 0)
		sp_load_error(host, load, NULL, 0, 0, "%s: a rate of nothing is always exceeded",
			entry->name);
	else if (e->count == COUNT_CONNECTIONS && entry->stage > SP_HELO)
		sp_load_error(host, load, NULL, 0, 0,
			"%s: connections are counted by facts known at connect or helo; its key is "
			"known later",
			entry->name);
	else if (e->count == COUNT_RECIPIENTS && entry->stage > SP_RCPT)
		sp_load_error(host, load, NULL, 0, 0,
			"%s: recipients are counted by facts known at rcpt or before; its key is "
			"known later",
			entry->name);
	else
		return SP_OK;
	return SP_INVALID;
}

static enum sp_status
rate_load(struct sp_load *load, const struct sp_host *host, void *data, struct sp_entry *entries,
	size_t count)
{
	struct rate_conf *conf = data;
	enum sp_status st = SP_OK;

	for (size_t i = 0; i < count; i++)
		if (rate_entry_check(load, host, &entries[i]) != SP_OK)
			st = SP_INVALID;
	if (st != SP_OK)
		return st;
	conf->table = host->load_shared(load, "rate", rate_table_size(conf->entries));
	if (conf->table == NULL || rate_table_init(conf->table, conf->entries) != SP_OK) {
		sp_load_error(host, load, NULL, 0, 0, "no memory for %lld entries",
			(long long)conf->entries);
		return SP_SYSTEM;
	}
	return SP_OK;
}

/* ---- keys ----------------------------------------------------------------------------------- */

struct key {
	size_t len;
	unsigned char bytes[KEY_MAX];
};

/* Each part with its length before it, so that ("a", "bc") is not ("ab", "c"). */
static bool
key_add(struct key *k, const void *bytes, size_t len)
{
	if (len > UINT16_MAX || len + 2 > KEY_MAX - k->len)
		return false;
	k->bytes[k->len++] = (unsigned char)(len >> 8);
	k->bytes[k->len++] = (unsigned char)(len & 0xff);
	if (len > 0)
		memcpy(k->bytes + k->len, bytes, len);
	k->len += len;
	return true;
}

static bool
key_add_ip(struct key *k, const struct sp_ip *ip, unsigned bits)
{
	unsigned char masked[17] = { ip->family };

	for (unsigned i = 0; i < 16 && bits > 0; i++) {
		unsigned here = bits < 8 ? bits : 8;

		masked[i + 1] = (unsigned char)(ip->bytes[i] & (0xff00u >> here));
		bits -= here;
	}
	return key_add(k, masked, sizeof(masked));
}

/* Names of domains and addresses are compared without regard to case. */
static bool
key_add_folded(struct key *k, struct sp_span text)
{
	size_t at = k->len + 2;

	if (!key_add(k, text.ptr, text.len))
		return false;
	for (; at < k->len; at++)
		if (k->bytes[at] >= 'A' && k->bytes[at] <= 'Z')
			k->bytes[at] = (unsigned char)(k->bytes[at] + ('a' - 'A'));
	return true;
}

static bool
key_add_value(struct key *k, const struct sp_value *v, const struct rate_entry *e)
{
	bool ok = true;

	switch (v->type) {
	case SP_IP:
		return key_add_ip(k, &v->u.ip, (unsigned)(v->u.ip.family == 4 ? e->v4 : e->v6));
	case SP_NET:
		return key_add_ip(k, &v->u.net.ip, v->u.net.bits);
	case SP_STRING:
		return key_add(k, v->u.text.ptr, v->u.text.len);
	case SP_DOMAIN:
	case SP_ADDRESS:
		return key_add_folded(k, v->u.text);
	case SP_BOOL:
		return key_add(k, v->u.boolean ? "1" : "0", 1);
	case SP_SCORE:
		return key_add(k, &v->u.real, sizeof(v->u.real));
	case SP_DOMAINS:
		for (size_t i = 0; i < v->u.set.count && ok; i++)
			ok = key_add_folded(k, v->u.set.items[i]);
		return ok;
	default:
		return key_add(k, &v->u.integer, sizeof(v->u.integer));
	}
}

/* SP_NONE: one of the facts does not apply, so there is nothing to count by. */
static enum sp_status
key_build(struct sp_ctx *ctx, const struct sp_entry *entry, struct key *k)
{
	const struct rate_entry *e = entry->conf;

	k->len = 0;
	key_add(k, entry->name, strlen(entry->name));
	for (size_t i = 0; i < e->key.count; i++) {
		struct sp_value v;
		enum sp_status st = sp_fact_read(ctx, e->key.refs[i], &v);

		if (st != SP_OK)
			return st;
		if (!key_add_value(k, &v, e)) {
			sp_log(ctx, SP_LOG_WARNING,
				"%s: a key of more than %d octets cannot be counted", entry->name,
				KEY_MAX);
			return SP_LIMIT;
		}
	}
	return SP_OK;
}

/* ---- counting ------------------------------------------------------------------------------- */

static int64_t
saturated_product(int64_t a, int64_t b)
{
	const int64_t most = INT64_MAX / 4;

	return a > most / b ? most : a * b;
}

static int64_t
saturated(uint64_t n)
{
	return n < INT64_MAX ? (int64_t)n : INT64_MAX;
}

static struct rate_limit
rate_limit_of(const struct rate_entry *e)
{
	int64_t count = saturated(e->rate.count), period = saturated(e->rate.period_ms);
	int64_t burst = e->burst > 0        ? e->burst
			: e->rate.burst > 0 ? saturated(e->rate.burst)
					    : count;
	struct rate_limit limit;

	limit.step = saturated_product(period, NS_PER_MS) / count;
	if (limit.step == 0)
		limit.step = 1; /* more than one in a nanosecond */
	limit.room = saturated_product(limit.step, burst);
	return limit;
}

static void
rate_state(struct sp_ctx *ctx, size_t index, struct rate_answer answer)
{
	struct sp_value v = { .type = SP_SCORE, .u.real = answer.level };

	sp_entry_fact_bool(ctx, index, FACT_OVER, answer.over);
	sp_entry_fact_value(ctx, index, FACT_LEVEL, &v);
}

/* Tests and adds one event of an entry. Any status but SP_OK: its facts are unknown. */
static enum sp_status
rate_event(struct sp_ctx *ctx, size_t index, struct rate_answer *ret)
{
	const struct rate_conf *conf = ctx->conf;
	const struct sp_entry *entry = &ctx->entries[index];
	struct key key;
	enum sp_status st = key_build(ctx, entry, &key);

	if (st == SP_NONE)
		*ret = (struct rate_answer){ false, 0 };
	else if (st == SP_OK)
		*ret = rate_table_add(conf->table, rate_table_hash(conf->table, key.bytes, key.len),
			rate_limit_of(entry->conf), sp_now_ms(ctx) * NS_PER_MS, ctx->dry_run);
	return st == SP_NONE ? SP_OK : st;
}

/* A connection is one event, even if its client says EHLO again: then what was found is stated
 * again. */
static enum sp_status
rate_connection(struct sp_ctx *ctx, size_t index, struct rate_answer *ret)
{
	struct rate_session *s = ctx->session;
	enum sp_status st = SP_OK;

	if (s->counted == NULL) {
		s->connections = sp_alloc(ctx, ctx->entry_count * sizeof(*s->connections));
		s->counted = sp_alloc(ctx, ctx->entry_count * sizeof(*s->counted));
		if (s->connections == NULL || s->counted == NULL) {
			s->counted = NULL;
			return SP_LIMIT;
		}
	}
	if (!s->counted[index]) {
		st = rate_event(ctx, index, &s->connections[index]);
		s->counted[index] = st == SP_OK;
	}
	*ret = s->connections[index];
	return st;
}

/* Does what is due at a stage. An entry whose key is unknown states nothing; the others go on. */
static enum sp_status
rate_stage(struct sp_ctx *ctx, enum sp_stage stage)
{
	for (size_t i = 0; i < ctx->entry_count; i++) {
		const struct rate_entry *e = ctx->entries[i].conf;
		struct rate_answer answer;
		enum sp_status st;

		if (ctx->entries[i].stage != stage)
			continue;
		st = e->count == COUNT_CONNECTIONS ? rate_connection(ctx, i, &answer)
						   : rate_event(ctx, i, &answer);
		if (st == SP_OK)
			rate_state(ctx, i, answer);
	}
	return SP_OK;
}

static enum sp_status
rate_on_connect(struct sp_ctx *ctx, const struct sp_connect *ev)
{
	(void)ev;
	return rate_stage(ctx, SP_CONNECT);
}

static enum sp_status
rate_on_helo(struct sp_ctx *ctx, const struct sp_helo *ev)
{
	(void)ev;
	return rate_stage(ctx, SP_HELO);
}

static enum sp_status
rate_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	(void)ev;
	return rate_stage(ctx, SP_MAIL);
}

static enum sp_status
rate_on_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	(void)ev;
	return rate_stage(ctx, SP_RCPT);
}

static enum sp_status
rate_on_data(struct sp_ctx *ctx)
{
	return rate_stage(ctx, SP_DATA);
}

static enum sp_status
rate_on_eoh(struct sp_ctx *ctx, const struct sp_eoh *ev)
{
	(void)ev;
	return rate_stage(ctx, SP_HEADER);
}

static enum sp_status
rate_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	(void)ev;
	return rate_stage(ctx, SP_EOM);
}

SP_FILTER(rate) = { SP_FILTER_HEAD, .name = "rate",
	.summary = "how often: connections, messages or recipients by any fact",
	.params = rate_params, .conf_size = sizeof(struct rate_conf),
	.entry_params = rate_entry_params, .entry_size = sizeof(struct rate_entry),
	.entry_facts = rate_entry_facts, .session_size = sizeof(struct rate_session),
	.entry_stage = rate_entry_stage, .load = rate_load, .on_connect = rate_on_connect,
	.on_helo = rate_on_helo, .on_mail = rate_on_mail, .on_rcpt = rate_on_rcpt,
	.on_data = rate_on_data, .on_eoh = rate_on_eoh, .on_eom = rate_on_eom };
