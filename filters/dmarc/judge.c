/*
 * judge.c - alignment, result and disposition (see judge.h).  RFC 7489 3.1.1, 3.1.2, 4.2, 6.6.2, 6.6.4; t= of RFC 9989.
 *
 * Memory: none but the caller's.  In the tree walk an identity may cost a wait for the DNS, so nothing is asked about one
 * whose kind has been found aligned.
 */
#include "dmarc/judge.h"
#include "mailauth/text.h"

const char *const result_words[] = { "none", "pass", "fail", "temperror", "permerror", NULL };
const char *const aligned_words[] = { "none", "spf", "dkim", "both", NULL };

/* ---- identities ------------------------------------------------------------------------------ */

struct sp_span
result_prop(const struct sp_auth_result *r, const char *ptype, const char *name)
{
	for (size_t i = 0; i < r->prop_count; i++)
		if (strcmp(r->props[i].ptype, ptype) == 0 && strcmp(r->props[i].name, name) == 0)
			return r->props[i].value;
	return (struct sp_span){ NULL, 0 };
}

/* The domain of an address, or of what is a domain already. */
static struct sp_span
domain_of(struct sp_span s)
{
	for (size_t i = s.len; i > 0; i--)
		if (s.ptr[i - 1] == '@')
			return text_from(s, i);
	return s;
}

struct sp_span
result_domain(const struct sp_auth_result *r, bool *ret_helo)
{
	struct sp_span domain = { NULL, 0 };

	*ret_helo = false;
	if (strcmp(r->method, "dkim") == 0)
		return result_prop(r, "header", "d");
	if (strcmp(r->method, "spf") == 0)
		domain = domain_of(result_prop(r, "smtp", "mailfrom"));
	if (domain.len > 0)
		return domain;
	*ret_helo = true;
	return result_prop(r, "smtp", "helo");
}

bool
identity_read(const struct sp_auth_result *r, bool null_sender, struct identity *ret)
{
	bool dkim = strcmp(r->method, "dkim") == 0, helo;

	if (!dkim && strcmp(r->method, "spf") != 0)
		return false;
	ret->kind = dkim ? ALIGNED_DKIM : ALIGNED_SPF;
	ret->passed = strcmp(r->result, "pass") == 0;
	ret->unsure = strcmp(r->result, "temperror") == 0;
	return domain_fold_utf8(result_domain(r, &helo), ret->memory, &ret->domain) == SP_OK && (!helo || null_sender);
}

/* ---- alignment ------------------------------------------------------------------------------- */

static enum sp_status
is_aligned(struct sp_ctx *ctx, const struct judge *j, const struct identity *id, bool *ret)
{
	const struct record *r = &j->found->record;
	bool strict = id->kind == ALIGNED_SPF ? r->strict_spf : r->strict_dkim;

	*ret = text_is(id->domain, j->from);
	if (*ret || strict)
		return SP_OK;
	return org_same(ctx, j->org, j->found, id->domain, ret);
}

/* All that passed and is aligned; *unsure: something aligned may pass the next time. */
static enum aligned
align_all(struct sp_ctx *ctx, const struct judge *j, bool *unsure)
{
	unsigned by = ALIGNED_NONE;
	struct sp_auth_result r;
	struct identity id;

	*unsure = false;
	for (size_t i = 0; sp_result_get(ctx, i, &r) == SP_OK; i++) {
		enum sp_status st;
		bool aligned;

		if (!identity_read(&r, j->null_sender, &id) || !(id.passed || id.unsure) || by & id.kind)
			continue;
		st = is_aligned(ctx, j, &id, &aligned);
		if (st != SP_OK || (aligned && id.unsure))
			*unsure = true;
		else if (aligned)
			by |= id.kind;
	}
	return (enum aligned)by;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

enum policy
judge_disposition(const struct org_found *found, enum org_way way, uint64_t lot, bool *ret_sampled_out)
{
	const struct record *r = &found->record;
	bool milder = way == ORG_TREE ? r->testing : lot % 100 >= r->percent;

	*ret_sampled_out = false;
	if (found->policy == POLICY_UNPUBLISHED || found->policy == POLICY_NONE)
		return POLICY_NONE;
	*ret_sampled_out = milder;
	if (!milder)
		return found->policy;
	return found->policy == POLICY_REJECT ? POLICY_QUARANTINE : POLICY_NONE;
}

void
judge(struct sp_ctx *ctx, const struct judge *j, struct verdict *ret)
{
	bool unsure;
	struct verdict v = { RESULT_NONE, align_all(ctx, j, &unsure), POLICY_NONE, false };

	if (j->found->record.state == RECORD_UNUSABLE)
		v.result = RESULT_PERMERROR;
	else if (!record_counts(&j->found->record))
		v.result = RESULT_NONE;
	else if (v.by != ALIGNED_NONE)
		v.result = RESULT_PASS;
	else if (unsure)
		v.result = RESULT_TEMPERROR;
	else
		v.result = RESULT_FAIL;
	if (v.result == RESULT_FAIL)
		v.disposition = judge_disposition(j->found, j->org->way, j->lot, &v.sampled_out);
	*ret = v;
}
