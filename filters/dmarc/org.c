/*
 * org.c - organisational domains and the discovery of records (see org.h).
 *
 * RFC 7489 3.2 and 6.6.3 over libpsl; RFC 9989 4.10, the tree walk, whose names are asked all at once: there are at most
 * eight, and one wait is shorter than eight.  np= counts in both (RFC 9091).  Spans point into the domain asked about.
 */
#include "dmarc/org.h"
#include "mailauth/text.h"

enum { NAME_MAX_OCTETS = DOMAIN_MAX + 8 }; /* "_dmarc." and a domain */

/* ---- the list ------------------------------------------------------------------------------- */

struct sp_span
org_registrable(const psl_ctx_t *list, struct sp_span domain)
{
	char lower[4 * DOMAIN_MAX + 1]; /* U-labels are longer than what they stand for */
	const char *part;

	if (domain.len == 0 || domain.len >= sizeof(lower) || memchr(domain.ptr, '\0', domain.len) != NULL)
		return (struct sp_span){ NULL, 0 };
	for (size_t i = 0; i < domain.len; i++)
		lower[i] = text_lower(domain.ptr[i]); /* the list knows no capitals */
	lower[domain.len] = '\0';
	part = psl_registrable_domain(list, lower);
	return part != NULL ? text_from(domain, (size_t)(part - lower)) : (struct sp_span){ NULL, 0 };
}

/* A public suffix that sends mail is its own organisation. */
static struct sp_span
list_org(const psl_ctx_t *list, struct sp_span domain)
{
	struct sp_span part = org_registrable(list, domain);

	return part.len > 0 ? part : domain;
}

/* ---- the walk ------------------------------------------------------------------------------- */

void
walk_init(struct walk *w, struct sp_span domain)
{
	struct sp_span name = domain_parent(domain);
	size_t labels = 0;

	for (struct sp_span s = domain; s.len > 0; s = domain_parent(s))
		labels++;
	for (; labels > WALK_LABELS + 1; labels--)
		name = domain_parent(name);
	w->count = 0;
	w->names[w->count++] = domain;
	for (; name.len > 0 && w->count < WALK_MAX; name = domain_parent(name))
		w->names[w->count++] = name;
}

/* How many of its names the walk sees: psd=y and psd=n stop it, also where it starts (RFC 9989 4.10, steps 2 and 6). */
static size_t
walk_end(const struct walk *w)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->records[i].psd != PSD_UNSAID)
			return i + 1;
	return w->count;
}

/* The domain one label below a name that the walk from domain passed. */
static struct sp_span
one_below(struct sp_span domain, struct sp_span name)
{
	while (domain_parent(domain).len > name.len)
		domain = domain_parent(domain);
	return domain;
}

static bool
is_record(const struct record *r)
{
	return r->state != RECORD_NONE && r->state != RECORD_SEVERAL;
}

struct sp_span
walk_org(const struct walk *w)
{
	for (size_t i = walk_end(w); i-- > 0;) {
		if (!is_record(&w->records[i]))
			continue;
		if (w->records[i].psd == PSD_YES && i > 0)
			return one_below(w->names[0], w->names[i]);
		return w->names[i];
	}
	return w->names[0];
}

/* The record that speaks for where the walk starts: its own, its organisation's, that of the public suffix. */
static size_t
walk_policy(const struct walk *w)
{
	struct sp_span org = walk_org(w);
	size_t end = walk_end(w), i = 0;

	if (is_record(&w->records[0]))
		return 0;
	while (i < end && w->names[i].len != org.len)
		i++;
	if (i < end && is_record(&w->records[i]))
		return i;
	return end > 0 && w->records[end - 1].psd == PSD_YES ? end - 1 : 0;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* "_dmarc." before a domain; "" when that would be no name, so nothing can stand there. */
static struct sp_span
record_name(char memory[static NAME_MAX_OCTETS], struct sp_span domain)
{
	struct writer w;

	writer_init(&w, memory, NAME_MAX_OCTETS);
	writer_add(&w, TEXT("_dmarc."));
	writer_add(&w, domain);
	return w.full || w.len > DOMAIN_MAX ? (struct sp_span){ NULL, 0 } : writer_text(&w);
}

static enum sp_status
ask_one(struct sp_ctx *ctx, struct sp_span domain, struct record *ret)
{
	struct sp_names texts = { NULL, 0 };
	char memory[NAME_MAX_OCTETS];
	struct sp_span name = record_name(memory, domain);
	enum sp_status st = name.len > 0 ? sp_dns_txt(ctx, name, &texts) : SP_NONE;

	if (st != SP_OK && st != SP_NONE)
		return st;
	if (st == SP_NONE)
		texts.count = 0;
	record_choose(&texts, ret);
	return SP_OK;
}

/* All records of a walk. A name that could not be asked matters only if the walk gets that far. */
static enum sp_status
ask_all(struct sp_ctx *ctx, struct walk *w)
{
	char memory[WALK_MAX][NAME_MAX_OCTETS];
	struct sp_span names[WALK_MAX];
	struct sp_texts texts[WALK_MAX];
	size_t first = 0, end;
	enum sp_status st;

	for (size_t i = 0; i < w->count; i++) {
		names[i] = record_name(memory[i], w->names[i]);
		w->records[i] = (struct record){ .state = RECORD_NONE };
	}
	while (names[first].len == 0) /* a name below which no record can stand; the last has one label */
		first++;
	st = sp_dns_texts(ctx, names + first, w->count - first, texts + first);
	if (st != SP_OK)
		return st;
	for (size_t i = first; i < w->count; i++)
		if (texts[i].status == SP_OK)
			record_choose(&texts[i].names, &w->records[i]);
	end = walk_end(w);
	for (size_t i = first; i < end; i++)
		if (texts[i].status != SP_OK && texts[i].status != SP_NONE)
			return texts[i].status;
	return SP_OK;
}

/* Has the name neither addresses nor mail exchangers? Not SP_OK: the DNS failed. */
static enum sp_status
is_missing(struct sp_ctx *ctx, struct sp_span domain, bool *ret)
{
	struct sp_addrs addrs;
	struct sp_mxs mxs;
	enum sp_status st = sp_dns_mx(ctx, domain, &mxs);

	if (st == SP_NONE)
		st = sp_dns_addrs(ctx, domain, &addrs);
	if (st != SP_OK && st != SP_NONE)
		return st;
	*ret = st == SP_NONE;
	return SP_OK;
}

/* ---- what modules of this folder ask --------------------------------------------------------- */

/* Which of the record's policies is meant for the domain. */
static enum sp_status
choose_policy(struct sp_ctx *ctx, struct sp_span from, struct org_found *f)
{
	const struct record *r = &f->record;
	enum policy below = r->sp != POLICY_UNPUBLISHED ? r->sp : r->p;
	enum sp_status st = SP_OK;
	bool missing = false;

	f->policy = POLICY_UNPUBLISHED;
	if (!record_counts(r))
		return SP_OK;
	if (f->at.len == from.len) {
		f->policy = r->p;
		return SP_OK;
	}
	if (r->np != POLICY_UNPUBLISHED && r->np != below)
		st = is_missing(ctx, from, &missing);
	if (st == SP_OK)
		f->policy = missing ? r->np : below;
	return st;
}

static enum sp_status
discover_by_list(struct sp_ctx *ctx, const struct org *o, struct sp_span from, struct org_found *f)
{
	enum sp_status st = ask_one(ctx, from, &f->record);

	f->org = list_org(o->list, from);
	f->at = from;
	if (st != SP_OK || f->record.state != RECORD_NONE || f->org.len == from.len)
		return st;
	f->at = f->org;
	return ask_one(ctx, f->org, &f->record);
}

static enum sp_status
discover_by_walk(struct sp_ctx *ctx, struct sp_span from, struct org_found *f)
{
	struct walk w;
	enum sp_status st;
	size_t at;

	walk_init(&w, from);
	st = ask_all(ctx, &w);
	if (st != SP_OK)
		return st;
	at = walk_policy(&w);
	f->org = walk_org(&w);
	f->record = w.records[at];
	f->at = w.names[at];
	return SP_OK;
}

enum sp_status
org_discover(struct sp_ctx *ctx, const struct org *o, struct sp_span from, struct org_found *ret)
{
	struct org_found f = { .at = from, .org = from };
	enum sp_status st = o->way == ORG_LIST ? discover_by_list(ctx, o, from, &f) : discover_by_walk(ctx, from, &f);

	if (st == SP_OK)
		st = choose_policy(ctx, from, &f);
	if (st == SP_OK)
		*ret = f;
	return st;
}

enum sp_status
org_same(struct sp_ctx *ctx, const struct org *o, const struct org_found *from, struct sp_span domain, bool *ret)
{
	struct walk w;
	enum sp_status st;

	*ret = false;
	if (o->way == ORG_LIST) {
		*ret = text_is(list_org(o->list, domain), from->org);
		return SP_OK;
	}
	/* An organisation is above its domains.  So who stands elsewhere is not asked: a DNS of his that fails would leave
	 * open what is known. */
	if (!record_counts(&from->record) || !domain_within(domain, from->org))
		return SP_OK;
	walk_init(&w, domain);
	st = ask_all(ctx, &w);
	if (st == SP_OK)
		*ret = text_is(walk_org(&w), from->org);
	return st;
}
