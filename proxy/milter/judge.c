/*
 * judge.c - see judge.h: from connect to DATA, and the ends of transactions and sessions.
 *
 * Who may send to whom, and whether an address can be delivered to, the mail server has decided before it asks; what the rules
 * say is told in the words that the gateway has for it (session/session.c, session/envelope.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/milter/judge_priv.h"
#include "proxy/rt/rt.h"
#include "proxy/smtp/parameter.h"

enum { MATTER_BLOCK = 2048, MATTER_MAX = 4 << 20, LOGGED_RCPTS = 1024 };

static const struct command_error no_memory = { 451, "4.3.0", "out of memory, try again later" };
static struct judge *judges;

static void
make_id(char to[static JUDGE_ID])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t n;

	MUST(getrandom(&n, sizeof(n), 0) == sizeof(n));
	for (int i = 0; i < JUDGE_ID - 1; i++, n >>= 5)
		to[i] = digits[n & 31];
	to[JUDGE_ID - 1] = '\0';
}

/* ---- verdicts ------------------------------------------------------------------------------- */

bool
judge_stops(const struct judge *j, const struct policy_verdict *v)
{
	return !j->config->shadow && (v->verdict == POLICY_REJECT || v->verdict == POLICY_DEFER);
}

static void
note(struct judge *j, int code, struct sp_span text, const char *by)
{
	j->tx->code = code;
	j->tx->by = by;
	j->tx->reply = arena_copy(j->tx->arena, text);
	j->tx->outcome = code >= 500 ? "reject" : "defer";
}

void
judge_refuse(struct request *r, const struct command_error *e, const char *by)
{
	struct judge *j = r->judge;

	if (j != NULL && j->tx != NULL)
		note(j, e->code, span_str(e->text), by);
	answer_refuse(r->answer, e->code, span_str(e->enhanced), span_str(e->text), j != NULL && j->tx != NULL ? j->tx->id : NULL);
}

void
judge_refuse_verdict(struct request *r, const struct policy_verdict *v)
{
	struct judge *j = r->judge;

	if (j->tx != NULL) {
		j->tx->verdict = *v;
		note(j, v->code, v->text, "policy");
	} else {
		j->verdict = v->verdict;
		j->rule = v->rule != NULL ? policy_rule_name(v->rule) : j->rule;
	}
	answer_refuse(r->answer, v->code, v->enhanced, v->text, j->tx != NULL ? j->tx->id : NULL);
}

/* ---- the session ---------------------------------------------------------------------------- */

static void
copy(char *to, size_t room, const char *text)
{
	snprintf(to, room, "%s", text != NULL ? text : "");
}

static struct inspect *
begin_inspection(const struct judge *j, const struct request *r)
{
	struct inspect_client client = { .ip = r->ip, .port = r->port, .listener = span_str(j->listener), .name = r->client_name,
		.auth_id = j->config->auth_id, .write_results = j->config->write_results, .dns_ms = j->config->dns_ms,
		.header_octets = j->config->header_size, .shadow = j->config->shadow, .hostname = j->config->hostname };
	uint64_t port;

	if (span_to_ip(span_str(r->daemon_addr), &client.local_ip) == SP_OK &&
		span_to_u64(span_str(r->daemon_port), UINT16_MAX, &port) == SP_OK)
		client.local_port = (uint16_t)port;
	return inspect_new(j->config->policy, &client);
}

static bool
begin_session(struct request *r)
{
	struct judge *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return false;
	j->config = r->config;
	j->ip = r->ip;
	j->port = r->port;
	j->begin_ns = rt_now_ns();
	make_id(j->id);
	copy(j->listener, sizeof(j->listener), r->daemon);
	j->inspect = begin_inspection(j, r);
	if (j->inspect == NULL) {
		free(j);
		return false;
	}
	j->next = judges;
	j->self = &judges;
	if (judges != NULL)
		judges->self = &j->next;
	judges = j;
	r->judge = j;
	return true;
}

/* A banner knows two codes. */
void
judge_connect(void *request)
{
	struct request *r = request;
	struct policy_verdict v;

	if (!begin_session(r)) {
		judge_refuse(r, &(struct command_error){ 421, "4.3.0", "out of memory, try again later" }, "limit");
		return;
	}
	v = inspect_connect(r->judge->inspect, rt_deadline(r->config->filter_ms));
	if (!judge_stops(r->judge, &v))
		return;
	v.code = v.verdict == POLICY_DEFER ? 421 : 554;
	v.enhanced = v.verdict == POLICY_DEFER ? SPAN_LIT("4.7.0") : SPAN_LIT("5.7.1");
	judge_refuse_verdict(r, &v);
}

/* What the mail server says of TLS now; true: it is news, and the HELO from before is forgotten. */
static bool
note_tls(struct judge *j, const struct request *r)
{
	uint64_t bits;

	if (r->tls_version[0] == '\0' || j->tls[0] != '\0')
		return false;
	copy(j->tls, sizeof(j->tls), r->tls_version);
	inspect_tls(j->inspect, span_str(j->tls), span_str(r->cipher));
	if (span_to_u64(span_str(r->cipher_bits), 100000, &bits) == SP_OK)
		inspect_tls_bits(j->inspect, (int)bits);
	if (r->subject[0] != '\0') {
		inspect_tls_client(j->inspect, SPAN_LIT(""), span_str(r->subject), r->verified);
		inspect_tls_issuer(j->inspect, span_str(r->issuer));
	}
	return true;
}

static bool
hear_helo(struct request *r)
{
	struct judge *j = r->judge;
	struct policy_verdict v = inspect_helo(j->inspect, span_str(j->helo), true, rt_deadline(j->config->filter_ms));

	if (judge_stops(j, &v))
		judge_refuse_verdict(r, &v);
	return !judge_stops(j, &v);
}

void
judge_helo(void *request)
{
	struct request *r = request;

	judge_end_matter(r->judge);
	(void)note_tls(r->judge, r);
	copy(r->judge->helo, sizeof(r->judge->helo), r->helo);
	(void)hear_helo(r);
}

void
judge_close(void *request)
{
	struct request *r = request;
	struct judge *j = r->judge;

	judge_end_matter(j);
	account_session(j);
	*j->self = j->next;
	if (j->next != NULL)
		j->next->self = j->self;
	inspect_free(&j->inspect);
	free(j);
}

void
judge_stop(void)
{
	while (judges != NULL) {
		struct request r = { .judge = judges };

		judges->end = "stop";
		judge_close(&r);
	}
}

/* ---- the envelope --------------------------------------------------------------------------- */

/* The mail server completes an address without a domain by its own name. */
static struct sp_span
complete(struct arena *a, const char *word, const char *host)
{
	struct sp_span s = span_str(word);

	if (s.len <= 2 || span_find(s, '@') < s.len || host[0] == '\0')
		return s;
	return span_str(arena_printf(a, "%.*s@%s>", (int)(s.len - 1), s.ptr, host));
}

/* The address alone: what parameters there may be the mail server knows. */
static struct command_error
parse_path(struct arena *a, const struct request *r, bool mail, struct command_path *ret)
{
	struct command_limits limits = { .mail = mail, .offered = UINT32_MAX, .quoted_local = true, .literals = true, .utf8 = true };
	struct sp_span path = complete(a, r->words[0], r->host);
	struct command_error e;
	char *text = arena_printf(a, "%s%.*s%s", mail ? "FROM:" : "TO:", (int)path.len, path.ptr != NULL ? path.ptr : "",
		mail ? " SMTPUTF8" : "");

	if (text == NULL)
		return no_memory;
	e = command_parse_path(span_str(text), &limits, ret);
	ret->smtputf8 = false;
	ret->params = SPAN_LIT("");
	return e;
}

static void
take_params(struct arena *a, const struct request *r, bool mail, struct command_path *path)
{
	for (size_t i = 1; r->words[i] != NULL; i++) {
		struct sp_span word = span_str(r->words[i]), name = span_head(word, span_find(word, '='));
		const struct parameter *p = parameter_find(mail, name);
		const char *all = arena_printf(a, "%.*s%s%s", (int)path->params.len, path->params.len > 0 ? path->params.ptr : "",
			path->params.len > 0 ? " " : "", r->words[i]);

		if (all != NULL)
			path->params = span_str(all);
		if (p != NULL)
			(void)p->take(span_from(word, name.len + 1), path);
	}
}

/* Should it end now, then because the client ended it. */
static void
undecided(struct matter *tx)
{
	tx->verdict = (struct policy_verdict){ 0 };
	tx->outcome = "abort";
	tx->by = "client";
	tx->code = 0;
	tx->reply = SPAN_LIT("");
}

static struct command_error
begin_matter(struct request *r)
{
	struct judge *j = r->judge;
	struct arena *arena = arena_new(MATTER_BLOCK, MATTER_MAX);
	struct matter *tx = arena == NULL ? NULL : arena_alloc(arena, sizeof(*tx));
	struct command_error e = no_memory;

	if (tx != NULL)
		e = parse_path(arena, r, true, &tx->mail);
	if (e.code != 0) {
		arena_free(&arena);
		return e;
	}
	take_params(arena, r, true, &tx->mail);
	tx->arena = arena;
	tx->begin_ns = rt_now_ns();
	undecided(tx);
	make_id(tx->id);
	j->tx = tx;
	j->transactions++;
	return e;
}

static void
note_login(struct judge *j, const struct request *r)
{
	if (strcmp(j->user, r->user) == 0)
		return;
	copy(j->user, sizeof(j->user), r->user);
	copy(j->mechanism, sizeof(j->mechanism), r->mechanism);
	inspect_auth(j->inspect, span_str(j->user), span_str(j->mechanism));
}

void
judge_mail(void *request)
{
	struct request *r = request;
	struct judge *j = r->judge;
	struct command_error e;
	struct policy_verdict v;

	judge_end_matter(j);
	if (note_tls(j, r) && j->helo[0] != '\0' && !hear_helo(r)) /* it did not say it again */
		return;
	note_login(j, r);
	e = begin_matter(r);
	if (e.code != 0) {
		judge_refuse(r, &e, "syntax");
		return;
	}
	j->tx->stage = SP_MAIL;
	inspect_name_tx(j->inspect, span_str(j->tx->id));
	v = inspect_mail(j->inspect, &j->tx->mail, j->config->filter_ms);
	if (!judge_stops(j, &v))
		return;
	judge_refuse_verdict(r, &v);
	judge_end_matter(j);
}

/* False: no memory. */
static bool
keep_rcpt(struct matter *tx, const char *word)
{
	struct sp_span *came = tx->came;

	if ((tx->accepted & (tx->accepted + 1)) == 0) { /* room for 1, 3, 7, ... */
		came = arena_alloc(tx->arena, (2 * tx->accepted + 1) * sizeof(*came));
		if (came == NULL)
			return false;
		if (tx->accepted > 0)
			memcpy(came, tx->came, tx->accepted * sizeof(*came));
		tx->came = came;
	}
	came[tx->accepted] = arena_copy(tx->arena, span_str(word));
	return came[tx->accepted].ptr != NULL;
}

static void
note_rcpt(struct matter *tx, struct sp_span address)
{
	char *text;

	tx->accepted++;
	undecided(tx);
	if (tx->rcpts.len > LOGGED_RCPTS)
		return;
	text = arena_printf(tx->arena, "%.*s%s<%.*s>", (int)tx->rcpts.len, tx->rcpts.len > 0 ? tx->rcpts.ptr : "",
		tx->rcpts.len > 0 ? "," : "", (int)address.len, address.ptr);
	if (text != NULL)
		tx->rcpts = span_str(text);
}

/* It goes on without this one: what was decided was his alone. */
static void
refused_rcpt(struct judge *j, struct sp_span to, const struct policy_verdict *v)
{
	struct matter *tx = j->tx;

	tx->refused++;
	account_recipient(j, to, v);
	if (tx->accepted > 0)
		undecided(tx);
}

static void
inspect_recipient_of(struct request *r, const struct command_path *path)
{
	struct judge *j = r->judge;
	struct policy_verdict v = inspect_rcpt_path(j->inspect, path, rt_deadline(j->config->filter_ms));
	bool taken = !judge_stops(j, &v) && keep_rcpt(j->tx, r->words[0]);

	j->tx->stage = SP_RCPT;
	inspect_rcpt_result(j->inspect, taken);
	if (taken) {
		note_rcpt(j->tx, path->address.text);
		return;
	}
	if (judge_stops(j, &v))
		judge_refuse_verdict(r, &v);
	else
		judge_refuse(r, &no_memory, "limit");
	refused_rcpt(j, path->address.text, &v);
}

void
judge_rcpt(void *request)
{
	static const struct command_error too_many = { 452, "4.5.3", "too many recipients" };
	static const struct command_error no_mail = { 503, "5.5.1", "MAIL first" };
	struct request *r = request;
	struct judge *j = r->judge;
	struct command_path path;
	struct command_error e;

	if (j->tx == NULL) { /* it was refused, and the server goes on all the same */
		judge_refuse(r, &no_mail, "syntax");
		return;
	}
	e = parse_path(j->tx->arena, r, false, &path);
	if (e.code == 0 && j->tx->accepted >= j->config->recipients)
		e = too_many;
	if (e.code == 0) {
		take_params(j->tx->arena, r, false, &path);
		inspect_recipient_of(r, &path);
		return;
	}
	judge_refuse(r, &e, "syntax");
	refused_rcpt(j, span_str(r->words[0]), NULL);
}

/* ---- the end of a transaction --------------------------------------------------------------- */

void
judge_end_matter(struct judge *j)
{
	struct matter *tx = j->tx;
	struct arena *arena;

	if (tx == NULL)
		return;
	tx->done_ns = rt_now_ns();
	account_matter(j);
	if (tx->spool != NULL)
		spool_free(&tx->spool);
	inspect_reset(j->inspect);
	arena = tx->arena; /* tx itself lives in it */
	j->tx = NULL;
	arena_free(&arena);
}

void
judge_abort(void *request)
{
	judge_end_matter(((struct request *)request)->judge);
}

void
judge_done(void *request)
{
	struct judge *j = ((struct request *)request)->judge;

	if (j->tx != NULL && strcmp(j->tx->outcome, "accept") == 0)
		j->accepted++;
	judge_end_matter(j);
}

void
judge_failed(void *request)
{
	static const struct command_error failed = { 451, "4.3.0", "an edit of the message failed" };
	struct request *r = request;

	if (r->judge->tx == NULL)
		return;
	judge_refuse(r, &failed, "filter");
	judge_end_matter(r->judge);
}
