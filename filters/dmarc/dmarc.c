/*
 * dmarc.c - does the From domain stand behind this message, and what does it ask for if not?  facts dmarc.*, result
 * "dmarc" of Authentication-Results.
 *
 * The From field is read as it goes by, the record is looked up when the header is complete, and the verdict follows when
 * SPF and DKIM have spoken, by their results (sp_result_get).  The lists are read at load; per transaction there are a few
 * spans and one domain.  RFC 7489, RFC 8601 2.7.4; the tree walk of RFC 9989 as a setting (org.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "dmarc/dmarc.h"

static const char *const way_words[] = { "psl", "tree", NULL };
static const char *const disposition_words[] = { "none", "quarantine", "reject", NULL }; /* enum policy */
static const char *const from_words[] = { "one", "none", "several", "invalid", NULL };

#define AT(member) .offset = offsetof(struct dmarc_conf, member)
static const struct sp_param dmarc_params[] = {
	{ .name = "discovery",
		.type = SP_ENUM,
		AT(discovery),
		.fallback = "psl",
		.words = way_words,
		.help = "how the organisation of a domain is found: public suffix list, or a walk up the DNS" },
	{ .name = "psl",
		.type = SP_FILE,
		AT(psl),
		.fallback = "none",
		.help = "public suffix list, text or DAFSA; none: the system's" },
	{ .name = "reports",
		.type = SP_FILE,
		AT(reports),
		.fallback = "none",
		.help = "file that gets a line of JSON for each message judged, for aggregate reports" },
	SP_PARAMS_END
};

enum { FACT_RESULT, FACT_POLICY, FACT_DISPOSITION, FACT_ALIGNED_BY, FACT_FROM_DOMAIN, FACT_FROM, FACT_RECORD };
static const struct sp_fact_decl dmarc_facts[] = {
	[FACT_RESULT] = { .name = "result",
		.type = SP_ENUM,
		.stage = SP_EOM,
		.help = "pass: SPF or DKIM passed for the From domain or its organisation",
		.words = result_words },
	[FACT_POLICY] = { .name = "policy",
		.type = SP_ENUM,
		.stage = SP_HEADER,
		.help = "what the record asks for a message from this domain that fails; unpublished: no record",
		.words = policy_words },
	[FACT_DISPOSITION] = { .name = "disposition",
		.type = SP_ENUM,
		.stage = SP_EOM,
		.help = "what the record asks for this message; none unless it failed",
		.words = disposition_words },
	[FACT_ALIGNED_BY] = { .name = "aligned_by",
		.type = SP_ENUM,
		.stage = SP_EOM,
		.help = "what passed for the From domain or its organisation",
		.words = aligned_words },
	[FACT_FROM_DOMAIN] = { .name = "from_domain",
		.type = SP_DOMAIN,
		.stage = SP_HEADER,
		.help = "domain of the one mailbox in From; \"\" when from is not one" },
	[FACT_FROM] = { .name = "from",
		.type = SP_ENUM,
		.stage = SP_HEADER,
		.help = "does From name one mailbox?",
		.words = from_words },
	[FACT_RECORD] = { .name = "record",
		.type = SP_ENUM,
		.stage = SP_HEADER,
		.help = "what is in the DNS: a record, valid or not, several, none",
		.words = record_words },
	SP_FACTS_END
};

/* ---- configuration -------------------------------------------------------------------------- */

static psl_ctx_t *
list_load(const char *path)
{
	psl_ctx_t *list = path != NULL ? psl_load_file(path) : psl_latest(NULL);

	/* a file that is no list at all is read as an empty one; -1: a DAFSA does not tell */
	if (list != NULL && psl_suffix_count(list) == 0) {
		psl_free(list);
		return NULL;
	}
	return list;
}

static void
dmarc_unload(void *arg, struct sp_entry *entries, size_t count)
{
	struct dmarc_conf *conf = arg;

	(void)entries, (void)count;
	if (conf->report_fd >= 0)
		close(conf->report_fd);
	conf->report_fd = -1;
	psl_free(conf->list);
	conf->list = NULL;
}

static enum sp_status
dmarc_load(struct sp_load *load, const struct sp_host *host, void *arg, struct sp_entry *entries, size_t count)
{
	struct dmarc_conf *conf = arg;

	(void)entries, (void)count;
	conf->report_fd = -1;
	if (getrandom(&conf->lots, sizeof(conf->lots), 0) != (ssize_t)sizeof(conf->lots)) {
		sp_load_error(host, load, NULL, 0, 0, "no random number to be had: %s", strerror(errno));
		return SP_SYSTEM;
	}
	if (conf->discovery == ORG_LIST) {
		conf->list = list_load(conf->psl);
		if (conf->list == NULL) {
			sp_load_error(host, load, conf->psl, 0, 0, "%s",
				conf->psl != NULL ? "not readable as a public suffix list"
						  : "there is no public suffix list on this system; name one by \"psl\"");
			return SP_INVALID;
		}
	}
	conf->org = (struct org){ (enum org_way)conf->discovery, conf->list };
	if (conf->reports == NULL)
		return SP_OK;
	conf->report_fd = report_open(conf->reports);
	if (conf->report_fd < 0) {
		sp_load_error(host, load, conf->reports, 0, 0, "cannot be opened to append reports: %s", strerror(errno));
		dmarc_unload(conf, NULL, 0);
		return SP_SYSTEM;
	}
	return SP_OK;
}

/* ---- the envelope --------------------------------------------------------------------------- */

static struct sp_span
copy(struct sp_ctx *ctx, struct sp_span s)
{
	char *memory = s.len > 0 ? sp_alloc(ctx, s.len) : NULL;

	if (memory == NULL)
		return (struct sp_span){ NULL, 0 };
	memcpy(memory, s.ptr, s.len);
	return (struct sp_span){ memory, s.len };
}

/* FNV-1a over what stays when a message is sent again: its sender, its From, its Message-ID.  It begins with a number
 * that nobody knows: else a sender would look for a Message-ID that pct= lets off. */
static void
lot_add(struct dmarc_tx *tx, struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		tx->lot = (tx->lot ^ (unsigned char)s.ptr[i]) * UINT64_C(0x100000001b3);
	tx->lot = (tx->lot ^ 0x100) * UINT64_C(0x100000001b3); /* where one text ends */
}

static enum sp_status
dmarc_on_connect(struct sp_ctx *ctx, const struct sp_connect *ev)
{
	struct dmarc_session *s = ctx->session;

	s->client = ev->client;
	return SP_OK;
}

static enum sp_status
dmarc_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	const struct dmarc_conf *conf = ctx->conf;
	struct dmarc_tx *tx = ctx->tx;

	tx->null_sender = ev->address.len == 0;
	tx->sender = copy(ctx, ev->domain);
	tx->lot = conf->lots;
	lot_add(tx, ev->address);
	return SP_OK;
}

static enum sp_status
dmarc_on_rcpt(struct sp_ctx *ctx, const struct sp_rcpt *ev)
{
	const struct dmarc_conf *conf = ctx->conf;
	struct dmarc_tx *tx = ctx->tx;

	if (conf->report_fd < 0 || tx->rcpt_count == REPORT_RCPTS_MAX)
		return SP_OK;
	for (size_t i = 0; i < tx->rcpt_count; i++)
		if (text_same(tx->rcpts[i], ev->domain))
			return SP_OK;
	tx->rcpts[tx->rcpt_count++] = copy(ctx, ev->domain);
	return SP_OK;
}

/* ---- the header ----------------------------------------------------------------------------- */

static enum sp_status
dmarc_on_header(struct sp_ctx *ctx, const struct sp_header *ev)
{
	struct dmarc_tx *tx = ctx->tx;
	struct sp_span name = text_trim(ev->name);

	if (text_same(name, TEXT("From"))) {
		lot_add(tx, ev->value);
		if (++tx->from_fields > 1)
			tx->from = MAILBOX_SEVERAL;
		else
			tx->from = mailbox_domain(ev->value, tx->from_memory, &tx->from_domain);
	} else if (text_same(name, TEXT("Message-ID"))) {
		lot_add(tx, ev->value);
	}
	return SP_OK;
}

static void
state_number(struct sp_ctx *ctx, unsigned fact, int64_t n)
{
	sp_fact_number(ctx, fact, SP_ENUM, n);
}

static enum sp_status
dmarc_on_eoh(struct sp_ctx *ctx, const struct sp_eoh *ev)
{
	const struct dmarc_conf *conf = ctx->conf;
	struct dmarc_tx *tx = ctx->tx;

	(void)ev;
	if (tx->from_fields == 0)
		tx->from = MAILBOX_NONE;
	if (tx->from != MAILBOX_ONE)
		tx->from_domain = (struct sp_span){ "", 0 };
	state_number(ctx, FACT_FROM, tx->from);
	sp_fact_text(ctx, FACT_FROM_DOMAIN, SP_DOMAIN, tx->from_domain);
	tx->found.policy = POLICY_UNPUBLISHED;
	tx->known = tx->from != MAILBOX_ONE || org_discover(ctx, &conf->org, tx->from_domain, &tx->found) == SP_OK;
	if (!tx->known)
		return SP_OK; /* policy and record stay unknown */
	state_number(ctx, FACT_POLICY, tx->found.policy);
	state_number(ctx, FACT_RECORD, tx->found.record.state);
	return SP_OK;
}

/* ---- the verdict ---------------------------------------------------------------------------- */

/* Why, for people: it is in the field and in the log. */
static void
explain(struct writer *w, const struct dmarc_tx *tx, const struct verdict *v)
{
	static const char *const from[] = { [MAILBOX_NONE] = "From names nobody",
		[MAILBOX_SEVERAL] = "From names several authors", [MAILBOX_INVALID] = "From is malformed" };

	if (tx->from != MAILBOX_ONE)
		writer_add(w, text_of(from[tx->from]));
	else if (!tx->known)
		writer_add(w, TEXT("the DNS gave no answer about the record"));
	else if (v->result == RESULT_PERMERROR)
		writer_add(w, TEXT("the record is malformed"));
	else if (tx->found.record.state == RECORD_SEVERAL)
		writer_add(w, TEXT("there are several records"));
	else if (v->result != RESULT_NONE)
		writer_printf(w, "policy=%s disposition=%s aligned=%s", policy_words[tx->found.policy],
			v->result == RESULT_TEMPERROR ? "unknown" : policy_words[v->disposition], aligned_words[v->by]);
}

static enum sp_status
state_result(struct sp_ctx *ctx, const struct verdict *v)
{
	const struct dmarc_tx *tx = ctx->tx;
	struct sp_auth_prop from = { "header", "from", tx->from_domain };
	struct sp_auth_result r = { "dmarc", result_words[v->result], { NULL, 0 }, &from, tx->from_domain.len > 0 };
	char memory[128];
	struct writer w;

	writer_init(&w, memory, sizeof(memory));
	explain(&w, tx, v);
	r.reason = writer_text(&w);
	state_number(ctx, FACT_RESULT, v->result);
	if (v->result != RESULT_TEMPERROR) { /* else neither is known */
		state_number(ctx, FACT_ALIGNED_BY, v->by);
		state_number(ctx, FACT_DISPOSITION, v->disposition);
	}
	return sp_result_add(ctx, &r);
}

/* One line, in one call, so that lines of several workers do not mix. */
static void
append_report(struct sp_ctx *ctx, const struct verdict *v)
{
	const struct dmarc_conf *conf = ctx->conf;
	const struct dmarc_session *s = ctx->session;
	const struct dmarc_tx *tx = ctx->tx;
	struct report r = { .client = s->client, .header_from = tx->from_domain, .envelope_from = tx->sender,
		.rcpts = tx->rcpts, .rcpt_count = tx->rcpt_count, .way = conf->org.way, .found = &tx->found, .verdict = v };
	char *memory = sp_alloc(ctx, REPORT_MAX);
	struct writer w;
	ssize_t done;

	writer_init(&w, memory, memory != NULL ? REPORT_MAX : 0);
	r.time = (int64_t)time(NULL);
	report_write(&w, ctx, &r);
	if (w.full) {
		sp_log(ctx, SP_LOG_ERROR, "dmarc: a report of this message does not fit into a line");
		return;
	}
	done = write(conf->report_fd, w.ptr, w.len);
	if (done != (ssize_t)w.len)
		sp_log(ctx, SP_LOG_ERROR, "dmarc: %s: %s", conf->reports, done < 0 ? strerror(errno) : "not a whole line");
}

static enum sp_status
dmarc_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	const struct dmarc_conf *conf = ctx->conf;
	struct dmarc_tx *tx = ctx->tx;
	struct judge j = { &conf->org, &tx->found, tx->from_domain, tx->null_sender, tx->lot ^ tx->lot >> 32 };
	struct verdict v = { RESULT_PERMERROR, ALIGNED_NONE, POLICY_NONE, false };

	(void)ev;
	if (tx->from == MAILBOX_ONE && tx->known)
		judge(ctx, &j, &v);
	else if (tx->from == MAILBOX_ONE)
		v.result = RESULT_TEMPERROR;
	if (conf->report_fd >= 0 && !ctx->dry_run && tx->known && record_counts(&tx->found.record))
		append_report(ctx, &v);
	return state_result(ctx, &v);
}

static const char *const dmarc_after[] = { "spf", "dkim", NULL };

SP_FILTER(dmarc) = { SP_FILTER_HEAD, .name = "dmarc", .summary = "DMARC: the From domain's own word on its mail",
	.facts = dmarc_facts, .params = dmarc_params, .conf_size = sizeof(struct dmarc_conf),
	.session_size = sizeof(struct dmarc_session), .tx_size = sizeof(struct dmarc_tx), .load = dmarc_load,
	.unload = dmarc_unload, .on_connect = dmarc_on_connect, .on_mail = dmarc_on_mail, .on_rcpt = dmarc_on_rcpt,
	.on_header = dmarc_on_header, .on_eoh = dmarc_on_eoh, .on_eom = dmarc_on_eom, .states_results = true,
	.after = dmarc_after };
