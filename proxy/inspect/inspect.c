/*
 * inspect.c - see inspect.h: a session's life, stage by stage, and a transaction's up to DATA.
 *
 * Each stage notes what the client has said, runs the filters' hooks, and walks the policy.  A session between
 * transactions holds only its own small arenas.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/kit/span.h"
#include "policy/kit/utf8.h"
#include "proxy/inspect/inspect_priv.h"
#include "proxy/rt/rt.h"

/* ---- the session ------------------------------------------------------------------------------------- */

/* Do recipients differ for the policy? Also when no rule after RCPT reads a recipient's facts: an "accept" for one
 * of them at RCPT is not the others'. */
static bool
reads_rcpt(const struct policy *p)
{
	bool any = policy_reads_rcpt(p);

	for (size_t n = 0; n < policy_fact_count(p); n++)
		any = any || policy_fact(p, (unsigned)n)->stage == SP_RCPT;
	return any;
}

struct inspect *
inspect_new(const struct policy *p, const struct inspect_client *c)
{
	struct inspect *i = calloc(1, sizeof(*i));

	if (i == NULL)
		return NULL;
	i->policy = p;
	i->client = *c;
	i->client.listener = span_of(NULL, 0);
	i->client.name = NULL;
	if (i->client.auth_id == NULL)
		i->client.auth_id = "localhost";
	if (i->client.hostname == NULL)
		i->client.hostname = "localhost";
	if (i->client.dns_ms == 0)
		i->client.dns_ms = INSPECT_DNS_MS;
	i->host = (struct policy_host){ .fact = slots_fact, .act = walk_act, .said = said_heard, .arg = i };
	i->per_rcpt = reads_rcpt(p);
	i->limit_ms = RT_NEVER;
	i->when = time(NULL);
	i->arena = arena_new(INSPECT_BLOCK, INSPECT_SESSION_MAX);
	if (i->arena != NULL)
		i->client.listener = arena_copy(i->arena, c->listener);
	if (i->client.listener.ptr == NULL || !facts_name_given(i, c) || !hooks_begin(i) || !slots_begin(i)) {
		arena_free(&i->arena);
		free(i);
		return NULL;
	}
	return i;
}

static void
forget_helo(struct inspect *i)
{
	hooks_close(i, USE_HELO);
	slots_forget_helo(i);
	said_forget_helo(i);
	i->helo = (struct target){ 0 };
	i->helo_name = span_of(NULL, 0);
	i->has_helo = i->esmtp = false;
	i->last = &i->connect;
	arena_free(&i->helo_arena);
}

void
inspect_free(struct inspect **i)
{
	if (*i == NULL)
		return;
	inspect_reset(*i);
	hooks_close(*i, USE_IDLE);
	forget_helo(*i);
	arena_free(&(*i)->arena);
	free(*i);
	*i = NULL;
}

struct policy_verdict
inspect_connect(struct inspect *i, int64_t deadline_ms)
{
	struct sp_connect event = { .client = i->client.ip, .port = i->client.port, .listener = i->client.listener };

	i->stage = SP_CONNECT;
	i->limit_ms = deadline_ms;
	walk_fork(i, &i->connect, NULL, i->arena);
	hooks_run(i, HOOK_CONNECT, &event);
	return walk_target(i, &i->connect, NULL, SP_CONNECT);
}

/* The walk that the next stage goes on from; null: there was none. */
static const struct target *
session_walk(const struct inspect *i)
{
	if (i->has_helo)
		return &i->helo;
	return i->connect.arena != NULL ? &i->connect : NULL;
}

struct policy_verdict
inspect_helo(struct inspect *i, struct sp_span name, bool esmtp, int64_t deadline_ms)
{
	struct sp_helo event = { .esmtp = esmtp, .client = i->client.ip };

	inspect_reset(i);
	forget_helo(i);
	i->stage = SP_HELO;
	i->limit_ms = deadline_ms;
	i->helo_arena = arena_new(INSPECT_BLOCK, INSPECT_SESSION_MAX);
	if (i->helo_arena != NULL)
		i->helo_name = arena_copy(i->helo_arena, name);
	if (i->helo_name.ptr == NULL)
		return walk_failed(SP_HELO, walk_no_memory);
	walk_fork(i, &i->helo, session_walk(i), i->helo_arena);
	i->has_helo = true;
	i->esmtp = esmtp;
	event.name = i->helo_name;
	hooks_run(i, HOOK_HELO, &event);
	return walk_target(i, &i->helo, NULL, SP_HELO);
}

void
inspect_tls(struct inspect *i, struct sp_span version, struct sp_span cipher)
{
	inspect_reset(i);
	forget_helo(i);
	i->stage = SP_CONNECT;
	i->tls = true;
	i->tls_version = arena_copy(i->arena, version);
	i->tls_cipher = arena_copy(i->arena, cipher);
}

void
inspect_tls_client(struct inspect *i, struct sp_span fingerprint, struct sp_span subject, bool verified)
{
	i->tls_fingerprint = arena_copy(i->arena, fingerprint);
	i->tls_subject = arena_copy(i->arena, subject);
	i->tls_verified = verified;
}

void
inspect_tls_bits(struct inspect *i, int bits)
{
	i->tls_bits = bits;
}

void
inspect_tls_issuer(struct inspect *i, struct sp_span issuer)
{
	i->tls_issuer = arena_copy(i->arena, issuer);
}

void
inspect_hostname(struct inspect *i, const char *name)
{
	i->client.hostname = name;
}

void
inspect_auth(struct inspect *i, struct sp_span user, struct sp_span mechanism)
{
	i->user = arena_copy(i->arena, user);
	i->mechanism = arena_copy(i->arena, mechanism);
}

struct sp_span
inspect_user(const struct inspect *i)
{
	return i->user;
}

void
inspect_auth_failed(struct inspect *i)
{
	i->auth_failures++;
}

void
inspect_unknown(struct inspect *i, struct sp_span line, int64_t deadline_ms)
{
	struct sp_unknown event = { .line = line };

	i->limit_ms = i->tx != NULL ? RT_NEVER : deadline_ms;
	i->rcpt = NULL;
	hooks_run(i, HOOK_UNKNOWN, &event);
}

/* ---- the transaction ----------------------------------------------------------------------------------- */

/* A name beyond ASCII is A-labels from here on, so that rules, tables and filters know one name for one domain. */
static bool
copy_international(struct arena *a, struct address *to)
{
	char *folded = arena_alloc(a, DOMAIN_OCTETS);
	char *text;

	if (folded == NULL)
		return false;
	to->domain = address_domain_fold(to->domain, folded);
	text = arena_printf(a, "%.*s@%.*s", (int)to->local.len, to->local.ptr, (int)to->domain.len, to->domain.ptr);
	to->text = span_str(text);
	return text != NULL;
}

static bool
copy_address(struct arena *a, const struct address *from, struct address *to, struct sp_span *ret_domain)
{
	char *folded = arena_alloc(a, from->domain.len + 1);

	*to = *from;
	to->text = arena_copy(a, from->text);
	to->local = arena_copy(a, from->local);
	to->domain = arena_copy(a, from->domain);
	if (folded == NULL || to->text.ptr == NULL || to->local.ptr == NULL || to->domain.ptr == NULL)
		return false;
	*ret_domain = span_of(folded, 0);
	if (!utf8_is_ascii(from->domain)) {
		if (!copy_international(a, to))
			return false;
		*ret_domain = to->domain;
	} else if (from->domain.len > 0) {
		*ret_domain = address_domain_fold(from->domain, folded);
	}
	return true;
}

/* With single blanks between them. */
static bool
copy_params(struct arena *a, struct sp_span from, struct sp_span *to)
{
	char *text = arena_alloc(a, from.len + 1);
	size_t len = 0;

	if (text == NULL)
		return false;
	for (from = span_trim(from); from.len > 0; from = span_trim(from)) {
		size_t word = 0;

		while (word < from.len && from.ptr[word] != ' ' && from.ptr[word] != '\t')
			word++;
		if (len > 0)
			text[len++] = ' ';
		memcpy(text + len, from.ptr, word);
		len += word;
		from = span_from(from, word);
	}
	*to = span_of(text, len);
	return true;
}

/* False: no memory; what was begun ends with inspect_reset(). */
static bool
begin(struct inspect *i, const struct command_path *mail, int64_t budget_ms)
{
	size_t octets = i->client.header_octets > 0 ? i->client.header_octets : INSPECT_HEADER_OCTETS;
	const struct header_config header = { octets, INSPECT_HEADER_FIELDS };
	struct arena *arena = arena_new(INSPECT_TX_BLOCK, INSPECT_TX_MAX);
	struct transaction *tx = arena == NULL ? NULL : arena_alloc(arena, sizeof(*tx));

	if (tx == NULL) {
		arena_free(&arena);
		return false;
	}
	*tx = (struct transaction){ .arena = arena, .mail = *mail, .budget_ms = budget_ms };
	tx->rcpts_end = &tx->rcpts;
	header_init(&tx->header, &header);
	i->tx = tx;
	if (!copy_address(arena, &mail->address, &tx->mail.address, &tx->domain) ||
		!copy_params(arena, mail->params, &tx->mail.params))
		return false;
	return slots_begin_tx(i) && hooks_begin_tx(i);
}

void
inspect_name_tx(struct inspect *i, struct sp_span id)
{
	id = span_head(id, sizeof(i->tx_id) - 1);
	memset(i->tx_id, 0, sizeof(i->tx_id));
	if (id.len > 0)
		memcpy(i->tx_id, id.ptr, id.len);
}

struct policy_verdict
inspect_mail(struct inspect *i, const struct command_path *mail, int64_t budget_ms)
{
	struct sp_mail event = { .size = mail->size };

	inspect_reset(i);
	i->stage = SP_MAIL;
	i->limit_ms = RT_NEVER;
	if (!begin(i, mail, budget_ms)) {
		inspect_reset(i);
		return walk_failed(SP_MAIL, walk_no_memory);
	}
	walk_fork(i, &i->tx->target, session_walk(i), i->tx->arena);
	event.address = i->tx->mail.address.text;
	event.local = i->tx->mail.address.local;
	event.domain = i->tx->mail.address.domain;
	event.params = i->tx->mail.params;
	hooks_run(i, HOOK_MAIL, &event);
	return walk_target(i, &i->tx->target, NULL, SP_MAIL);
}

static struct recipient *
recipient_new(struct inspect *i, const struct command_path *rcpt)
{
	struct transaction *tx = i->tx;
	struct recipient *r = arena_alloc(tx->arena, sizeof(*r));

	if (r == NULL || !copy_address(tx->arena, &rcpt->address, &r->address, &r->domain) ||
		!copy_params(tx->arena, rcpt->params, &r->params) || !slots_begin_rcpt(i, r))
		return NULL;
	r->index = tx->rcpt_count;
	r->target.arena = tx->arena;
	return r;
}

struct policy_verdict
inspect_rcpt_path(struct inspect *i, const struct command_path *rcpt, int64_t deadline_ms)
{
	struct sp_rcpt event = { 0 };
	struct recipient *r;

	inspect_rcpt_result(i, false);
	r = i->tx == NULL ? NULL : recipient_new(i, rcpt);
	if (r == NULL)
		return walk_failed(SP_RCPT, i->tx == NULL ? "no transaction" : walk_no_memory);
	i->stage = SP_RCPT;
	i->limit_ms = deadline_ms;
	i->rcpt = i->tx->pending = r;
	if (i->per_rcpt)
		walk_fork(i, &r->target, &i->tx->target, i->tx->arena);
	event.address = r->address.text;
	event.local = r->address.local;
	event.domain = r->address.domain;
	event.index = r->index;
	event.params = r->params;
	hooks_run(i, HOOK_RCPT, &event);
	return walk_target(i, i->per_rcpt ? &r->target : &i->tx->target, r, SP_RCPT);
}

struct policy_verdict
inspect_rcpt(struct inspect *i, const struct address *rcpt, int64_t deadline_ms)
{
	struct command_path path = { .address = *rcpt };

	return inspect_rcpt_path(i, &path, deadline_ms);
}

void
inspect_rcpt_result(struct inspect *i, bool accepted)
{
	struct transaction *tx = i->tx;
	struct recipient *r = tx == NULL ? NULL : tx->pending;

	if (r == NULL)
		return;
	tx->pending = NULL;
	if (accepted) {
		*tx->rcpts_end = r;
		tx->rcpts_end = &r->next;
		tx->rcpt_count++;
	} else if (r->target.demanded != NULL) {
		demand_release(i);
	}
}

struct policy_verdict
inspect_data(struct inspect *i, int64_t deadline_ms)
{
	if (i->tx == NULL)
		return walk_failed(SP_DATA, "no transaction");
	inspect_rcpt_result(i, false);
	i->stage = SP_DATA;
	i->limit_ms = deadline_ms;
	i->rcpt = NULL;
	hooks_run(i, HOOK_DATA, NULL);
	return walk_all(i, SP_DATA);
}

void
inspect_reset(struct inspect *i)
{
	struct transaction *tx = i->tx;
	struct arena *arena;

	if (tx == NULL)
		return;
	hooks_end_tx(i);
	edits_fini(&tx->edits);
	header_fini(&tx->header);
	buf_fini(&tx->head);
	buf_fini(&tx->edit_note);
	arena = tx->arena; /* tx itself lives in it */
	i->tx = NULL;
	i->dns_spent_ms = 0;
	i->rcpt = NULL;
	i->last = i->has_helo ? &i->helo : &i->connect;
	i->stage = i->has_helo ? SP_HELO : SP_CONNECT;
	arena_free(&arena);
}
