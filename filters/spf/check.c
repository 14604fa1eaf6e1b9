/*
 * check.c - one check of a domain against a client, on libspf2 (see check.h; RFC 7208 sections 4 and 6).
 *
 * libspf2 walks the records: it tries terms in order, applies qualifiers, descends into include and redirect and
 * hands results up.  What it walks is of rewrite.c's making, and whatever it asks is answered here from the host's
 * DNS, by hooks that may suspend.  It never learns who the client or the sender is: faults of its parsers, its macro
 * expander and its limits, which any sender could reach through a TXT record, are out of reach.  Limits are counted
 * here, over the whole check.  A hook that has to end the check notes the verdict and tells libspf2 that the DNS does
 * not answer, at which it unwinds.
 *
 * libspf2 calls abort() where one of its pointers is null.  That needs a hook that returns none, or malloc() to fail
 * in the midst of it: the hooks never do, and one answer lies ready from the start.
 *
 * Memory: struct check and libspf2's objects live for one call of check_host().
 */
#include <netinet/in.h>

#include <arpa/nameser.h>
#include <netdb.h>
#include <stdlib.h>

#include <spf2/spf.h>
#include <spf2/spf_dns.h>

#include "spf/check_priv.h"

/* What a check holds of libspf2's. */
struct library {
	struct check check; /* first: the hooks find it by the same address */
	SPF_dns_server_t resolver;
	SPF_server_t *server;
	SPF_request_t *request;
	SPF_response_t *response;
	SPF_dns_rr_t *ready; /* an answer for when there is no memory */
};

/* Names and an address that mean nothing, for what libspf2 wants to know of a request. */
#define DUMMY_SENDER "x@0.t" /* entry 0 is the domain that is checked */
#define DUMMY_HELO "x.t"
static const struct in_addr dummy_client = { 0xffffffff };

/* ---- the check ------------------------------------------------------------------------------------ */

void
check_stop(struct check *c, enum verdict verdict, const char *reason)
{
	if (c->stopped)
		return;
	c->stopped = true;
	c->verdict = verdict;
	c->reason = reason;
}

bool
check_count_term(struct check *c)
{
	if (++c->terms > CHECK_TERMS_MAX)
		check_stop(c, VERDICT_PERMERROR, "too many terms that ask the DNS");
	return !c->stopped;
}

bool
check_in_time(struct check *c)
{
	if (sp_now_ms(c->ctx) >= c->end_ms)
		check_stop(c, VERDICT_TEMPERROR, "the look-ups took too long");
	return !c->stopped;
}

/* ---- records --------------------------------------------------------------------------------------- */

/* The one SPF record among a name's texts (section 4.5). SP_NONE: there is none; SP_INVALID: several. */
static enum sp_status
record_select(const struct sp_names *texts, struct sp_span *ret)
{
	size_t found = 0;

	for (size_t i = 0; i < texts->count; i++)
		if (record_is_spf(texts->items[i])) {
			*ret = texts->items[i];
			found++;
		}
	return found == 1 ? SP_OK : found == 0 ? SP_NONE : SP_INVALID;
}

/* The record of a domain, its grammar checked; false: the check is stopped. first: of the domain that is checked. */
static bool
record_fetch(struct check *c, struct sp_span domain, bool first, struct sp_span *ret)
{
	struct sp_names texts;
	enum sp_status st = check_in_time(c) ? sp_dns_txt(c->ctx, domain, &texts) : SP_TIMEOUT;

	if (st != SP_OK && st != SP_NONE && st != SP_INVALID) {
		check_stop(c, VERDICT_TEMPERROR, "a record could not be looked up");
		return false;
	}
	if (st == SP_OK)
		st = record_select(&texts, ret);
	else
		st = SP_NONE; /* what cannot be asked for has no record */
	if (st == SP_NONE)
		check_stop(c, first ? VERDICT_NONE : VERDICT_PERMERROR, first ? NULL : "a domain referred to has no record");
	else if (st == SP_INVALID)
		check_stop(c, VERDICT_PERMERROR, "several records");
	else if (record_check(*ret) != SP_OK)
		check_stop(c, VERDICT_PERMERROR, "syntax error in a record");
	return !c->stopped;
}

/* A frame for the domain that an entry leads to. */
static size_t
frame_add(struct check *c, const struct entry *e, struct sp_span domain)
{
	size_t frame = c->frame_count++;

	c->frames[frame] = (struct frame){ .domain = domain };
	if (e->term.kind == TERM_REDIRECT && e->frame == c->speaker)
		c->speaker = frame;
	return frame;
}

/* The domain that an entry leads to, kept; false: stopped. */
static bool
entry_domain(struct check *c, const struct entry *e, struct sp_span *ret)
{
	char memory[MACRO_DOMAIN_ROOM], *copy;
	struct sp_span name;

	if (c->frame_count == 0) {
		*ret = c->in->domain;
		return true;
	}
	if (!check_count_term(c))
		return false;
	name = term_domain(c, e->frame, e->term.domain, memory);
	copy = sp_alloc(c->ctx, name.len + 1);
	if (copy == NULL) {
		check_stop(c, VERDICT_TEMPERROR, "out of memory");
		return false;
	}
	memcpy(copy, name.ptr, name.len);
	*ret = (struct sp_span){ copy, name.len };
	return true;
}

/* ---- hooks of libspf2 ----------------------------------------------------------------------------- */

static SPF_errcode_t
hook_get_spf(SPF_server_t *server, SPF_request_t *request, SPF_response_t *response, SPF_record_t **ret)
{
	struct check *c = server->resolver->hook;
	const struct entry *e = rewrite_entry(c, text_of(request->cur_dom));
	bool first = c->frame_count == 0;
	struct sp_span domain, record;
	char text[CHECK_LIBRARY_MAX + 1];
	struct writer w;
	size_t count;

	*ret = NULL;
	if (e == NULL)
		check_stop(c, VERDICT_TEMPERROR, "libspf2 asked for what it was not given");
	if (c->stopped || !entry_domain(c, e, &domain) || !record_fetch(c, domain, first, &record))
		return SPF_E_DNS_ERROR;
	writer_init(&w, text, CHECK_LIBRARY_MAX);
	count = rewrite_record(c, frame_add(c, e, domain), record, &w);
	text[w.len] = '\0';
	if (!w.full && SPF_record_compile(server, response, ret, text) == SPF_E_SUCCESS && (*ret)->num_mech == count)
		return SPF_E_SUCCESS;
	check_stop(c, VERDICT_TEMPERROR, "libspf2 did not take a record");
	return SPF_E_DNS_ERROR;
}

/* No record that libspf2 gets has an explanation. */
static SPF_errcode_t
hook_get_exp(SPF_server_t *server, const char *domain, char **buf, size_t *len)
{
	(void)server;
	(void)domain;
	(void)buf;
	(void)len;
	return SPF_E_NOT_SPF;
}

/* An answer with one address or none; never null. */
static SPF_dns_rr_t *
answer_new(struct library *l, const char *name, ns_type type, enum outcome outcome)
{
	SPF_dns_stat_t herrno = outcome == OUTCOME_MATCH ? NETDB_SUCCESS : outcome == OUTCOME_NO ? HOST_NOT_FOUND : TRY_AGAIN;
	SPF_dns_rr_t *rr = SPF_dns_rr_new_init(&l->resolver, name, type, 0, herrno);

	if (rr == NULL) {
		check_stop(&l->check, VERDICT_TEMPERROR, "out of memory");
		rr = l->ready;
		l->ready = NULL; /* stopped: this was the last question */
	} else if (outcome == OUTCOME_MATCH) {
		if (SPF_dns_rr_buf_realloc(rr, 0, sizeof(rr->rr[0]->a)) != SPF_E_SUCCESS) {
			check_stop(&l->check, VERDICT_TEMPERROR, "out of memory");
			rr->herrno = TRY_AGAIN;
			return rr;
		}
		rr->rr[0]->a = dummy_client;
		rr->num_rr = 1;
	}
	return rr;
}

static SPF_dns_rr_t *
hook_lookup(SPF_dns_server_t *resolver, const char *name, ns_type type, int should_cache)
{
	struct library *l = resolver->hook;
	struct check *c = &l->check;
	const struct entry *e = rewrite_entry(c, text_of(name));
	enum outcome outcome = OUTCOME_STOPPED;

	(void)should_cache;
	if (e == NULL || type != ns_t_a)
		check_stop(c, VERDICT_TEMPERROR, "libspf2 asked for what it was not given");
	if (!c->stopped)
		outcome = term_match(c, e);
	return answer_new(l, name, type, outcome);
}

/* ---- libspf2 itself --------------------------------------------------------------------------------- */

static bool
library_init(struct library *l)
{
	l->resolver = (SPF_dns_server_t){ .lookup = hook_lookup, .get_spf = hook_get_spf, .get_exp = hook_get_exp,
		.name = "sallyport", .hook = l };
	l->ready = SPF_dns_rr_new_init(&l->resolver, "", ns_t_a, 0, TRY_AGAIN);
	l->server = l->ready != NULL ? SPF_server_new_dns(&l->resolver, 0) : NULL;
	l->request = l->server != NULL ? SPF_request_new(l->server) : NULL;
	return l->request != NULL && SPF_request_set_ipv4(l->request, dummy_client) == SPF_E_SUCCESS &&
		SPF_request_set_helo_dom(l->request, DUMMY_HELO) == SPF_E_SUCCESS &&
		SPF_request_set_env_from(l->request, DUMMY_SENDER) == SPF_E_SUCCESS;
}

static void
library_fini(struct library *l)
{
	if (l->response != NULL)
		SPF_response_free(l->response);
	if (l->request != NULL)
		SPF_request_free(l->request);
	if (l->server != NULL)
		SPF_server_free(l->server);
	if (l->ready != NULL)
		SPF_dns_rr_free(l->ready);
}

static enum verdict
library_verdict(struct library *l)
{
	static const enum verdict verdicts[] = { [SPF_RESULT_INVALID] = VERDICT_TEMPERROR,
		[SPF_RESULT_NEUTRAL] = VERDICT_NEUTRAL, [SPF_RESULT_PASS] = VERDICT_PASS, [SPF_RESULT_FAIL] = VERDICT_FAIL,
		[SPF_RESULT_SOFTFAIL] = VERDICT_SOFTFAIL, [SPF_RESULT_NONE] = VERDICT_TEMPERROR,
		[SPF_RESULT_TEMPERROR] = VERDICT_TEMPERROR, [SPF_RESULT_PERMERROR] = VERDICT_PERMERROR };
	SPF_result_t result;

	(void)SPF_request_query_mailfrom(l->request, &l->response);
	result = l->response != NULL ? SPF_response_result(l->response) : SPF_RESULT_INVALID;
	return (size_t)result < sizeof(verdicts) / sizeof(verdicts[0]) ? verdicts[result] : VERDICT_TEMPERROR;
}

void
check_host(struct sp_ctx *ctx, const struct check_input *in, struct check_answer *ret)
{
	struct library *l = calloc(1, sizeof(*l));

	*ret = (struct check_answer){ .verdict = VERDICT_TEMPERROR, .reason = "out of memory" };
	if (l != NULL && library_init(l)) {
		struct check *c = &l->check;

		c->ctx = ctx;
		c->in = in;
		c->end_ms = sp_now_ms(ctx) + CHECK_TIME_MS;
		c->entry_count = 1;
		ret->verdict = library_verdict(l);
		ret->reason = NULL;
		if (c->stopped) {
			ret->verdict = c->verdict;
			ret->reason = c->reason;
		}
		if (ret->verdict == VERDICT_FAIL)
			term_explain(c, ret);
	}
	if (l != NULL)
		library_fini(l);
	free(l);
}

/* ---- what libspf2 would print ------------------------------------------------------------------------ */

static void
quiet(const char *file, int line, const char *text)
{
	(void)file;
	(void)line;
	(void)text;
}

__attribute__((noreturn)) static void
quiet_abort(const char *file, int line, const char *text)
{
	quiet(file, line, text);
	abort();
}

void
check_init(void)
{
	SPF_error_handler = quiet_abort;
	SPF_warning_handler = quiet;
	SPF_info_handler = quiet;
	SPF_debug_handler = quiet;
}
