/*
 * term.c - what one term of a record says of the client (see check_priv.h; RFC 7208 sections 4.6.4, 5.3 to 5.7, 6.2, 7.3).
 *
 * Addresses are asked for in the client's family only.  A name that cannot be asked for matches nothing, and costs
 * nothing.  DNS answers are memory of the transaction.
 */
#include "spf/check_priv.h"

#include <time.h>

#include "mailauth/domain.h"

/* ---- addresses --------------------------------------------------------------------------------- */

bool
term_ip_within(const struct sp_ip *ip, const struct sp_ip *net, unsigned bits)
{
	unsigned octets = bits / 8, rest = bits % 8;

	if (ip->family != net->family || memcmp(ip->bytes, net->bytes, octets) != 0)
		return false;
	return rest == 0 || ((ip->bytes[octets] ^ net->bytes[octets]) & (0xff00u >> rest) & 0xffu) == 0;
}

/* The family's addresses of a host. SP_NONE: it has none; SP_INVALID: no such name can be; else stopped. */
static enum sp_status
host_ips(struct check *c, struct sp_span name, int family, struct sp_addrs *ret)
{
	enum sp_status st = check_in_time(c) ? sp_dns_ips(c->ctx, name, family, ret) : SP_TIMEOUT;

	if (st != SP_OK && st != SP_NONE && st != SP_INVALID)
		check_stop(c, VERDICT_TEMPERROR, "addresses of a host could not be looked up");
	return st;
}

/* Has one of them the client's prefix? */
static bool
ips_match(const struct check *c, const struct sp_addrs *addrs, const struct term *t)
{
	unsigned bits = c->in->client.family == 4 ? t->bits4 : t->bits6;

	for (size_t i = 0; i < addrs->count; i++)
		if (term_ip_within(&c->in->client, &addrs->items[i], bits))
			return true;
	return false;
}

/* The term found nothing in the DNS. */
static enum outcome
void_answer(struct check *c)
{
	if (++c->voids <= CHECK_VOIDS_MAX)
		return OUTCOME_NO;
	check_stop(c, VERDICT_PERMERROR, "too many DNS look-ups that find nothing");
	return OUTCOME_STOPPED;
}

/* ---- names of the client --------------------------------------------------------------------------- */

/* Fills in those of its PTR names that have its address. Errors only make it fewer (section 5.5). */
static void
client_names(struct check *c)
{
	struct sp_names names = { NULL, 0 };

	if (c->names_asked)
		return;
	c->names_asked = true;
	c->names_status = sp_now_ms(c->ctx) < c->end_ms ? sp_dns_ptr(c->ctx, &c->in->client, &names) : SP_TIMEOUT;
	if (c->names_status != SP_OK)
		return;
	for (size_t i = 0; i < names.count && i < CHECK_NAMES_MAX; i++) {
		struct sp_addrs addrs;

		if (sp_now_ms(c->ctx) < c->end_ms
			&& sp_dns_ips(c->ctx, names.items[i], c->in->client.family, &addrs) == SP_OK
			&& sp_addrs_have(&addrs, c->in->client))
			c->names[c->name_count++] = names.items[i];
	}
}

/* %{p}: the domain itself, one below it, any, in this order of liking (section 7.3). */
static struct sp_span
client_name(void *arg, struct sp_span domain)
{
	struct check *c = arg;
	struct sp_span best = TEXT("unknown");
	int rank = 0;

	client_names(c);
	for (size_t i = 0; i < c->name_count; i++) {
		int r = text_same(c->names[i], domain) ? 3 : domain_within(c->names[i], domain) ? 2 : 1;

		if (r > rank) {
			rank = r;
			best = c->names[i];
		}
	}
	return best;
}

/* ---- macros ------------------------------------------------------------------------------------------ */

static struct macro_values
values_of(struct check *c, size_t frame)
{
	return (struct macro_values){ .client = c->in->client,
		.local = c->in->local,
		.sender_domain = c->in->sender_domain,
		.domain = c->frames[frame].domain,
		.helo = c->in->helo,
		.receiver = c->in->receiver.len > 0 ? c->in->receiver : TEXT("unknown"),
		.time = (int64_t)time(NULL),
		.client_name = client_name,
		.arg = c };
}

struct sp_span
term_domain(struct check *c, size_t frame, struct sp_span spec, char memory[static MACRO_DOMAIN_ROOM])
{
	struct macro_values values = values_of(c, frame);

	return spec.len > 0 ? macro_domain(&values, spec, memory) : c->frames[frame].domain;
}

/* ---- mechanisms ---------------------------------------------------------------------------------------- */

static enum outcome
match_a(struct check *c, const struct term *t, struct sp_span name, int family)
{
	struct sp_addrs addrs;
	enum sp_status st = host_ips(c, name, family, &addrs);

	if (st == SP_NONE)
		return void_answer(c);
	if (st != SP_OK)
		return st == SP_INVALID ? OUTCOME_NO : OUTCOME_STOPPED;
	return t->kind == TERM_EXISTS || ips_match(c, &addrs, t) ? OUTCOME_MATCH : OUTCOME_NO;
}

static enum outcome
match_mx(struct check *c, const struct term *t, struct sp_span name)
{
	struct sp_mxs mxs;
	struct sp_addrs addrs;
	enum sp_status st = check_in_time(c) ? sp_dns_mx(c->ctx, name, &mxs) : SP_TIMEOUT;

	if (st == SP_NONE)
		return void_answer(c);
	if (st == SP_INVALID)
		return OUTCOME_NO;
	if (st != SP_OK) {
		check_stop(c, VERDICT_TEMPERROR, "mail exchangers could not be looked up");
		return OUTCOME_STOPPED;
	}
	for (size_t i = 0; i < mxs.count && i < CHECK_NAMES_MAX; i++) {
		st = mxs.items[i].name.len > 0 ? host_ips(c, mxs.items[i].name, c->in->client.family, &addrs) : SP_NONE;
		if (c->stopped)
			return OUTCOME_STOPPED;
		if (st == SP_OK && ips_match(c, &addrs, t))
			return OUTCOME_MATCH;
	}
	if (mxs.count <= CHECK_NAMES_MAX)
		return OUTCOME_NO;
	check_stop(c, VERDICT_PERMERROR, "too many mail exchangers");
	return OUTCOME_STOPPED;
}

static enum outcome
match_ptr(struct check *c, struct sp_span domain)
{
	if (!check_in_time(c))
		return OUTCOME_STOPPED;
	client_names(c);
	if (c->names_status == SP_NONE)
		return void_answer(c);
	for (size_t i = 0; i < c->name_count; i++)
		if (domain_within(c->names[i], domain))
			return OUTCOME_MATCH;
	return OUTCOME_NO;
}

enum outcome
term_match(struct check *c, const struct entry *e)
{
	char memory[MACRO_DOMAIN_ROOM];
	struct sp_span name;

	if (!check_count_term(c))
		return OUTCOME_STOPPED;
	name = term_domain(c, e->frame, e->term.domain, memory);
	switch (e->term.kind) {
	case TERM_A:
		return match_a(c, &e->term, name, c->in->client.family);
	case TERM_EXISTS: /* section 5.7: an A record, whatever the client's family */
		return match_a(c, &e->term, name, 4);
	case TERM_MX:
		return match_mx(c, &e->term, name);
	default:
		return match_ptr(c, name);
	}
}

/* ---- explanation ------------------------------------------------------------------------------------------ */

void
term_explain(struct check *c, struct check_answer *ret)
{
	const struct frame *f = &c->frames[c->speaker];
	struct macro_values values = values_of(c, c->speaker);
	char memory[MACRO_DOMAIN_ROOM];
	struct sp_names texts;
	struct sp_span text;
	size_t end;

	if (f->exp.len == 0 || sp_now_ms(c->ctx) >= c->end_ms)
		return;
	if (sp_dns_txt(c->ctx, macro_domain(&values, f->exp, memory), &texts) != SP_OK || texts.count != 1 ||
		!macro_check(texts.items[0], MACRO_EXPLAIN, &end))
		return;
	text = macro_explanation(&values, texts.items[0], ret->explanation, sizeof(ret->explanation));
	for (size_t i = 0; i < text.len; i++) /* a macro may stand for anything that a client says */
		if (text.ptr[i] < ' ' || text.ptr[i] > '~')
			ret->explanation[i] = '?';
	ret->explanation_len = text.len;
}
