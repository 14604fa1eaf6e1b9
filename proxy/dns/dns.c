/*
 * dns.c - the questions that sessions and filters ask (see dns.h).
 *
 * A question is an entry of the cache.  Whoever finds it pending waits for it like the one who asked
 * first.  There is no coroutine behind a question: those who wait drive it, each waking at the end of
 * the present try to begin the next; when the last of them leaves, the question is dropped.
 *
 * Results are copied into the asker's arena, so none points into the cache.
 */
#include "proxy/dns/dns.h"

#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/dns/cache.h"
#include "proxy/dns/wire.h"

static struct {
	bool ready;
	struct dns_stats stats;
} dns;

enum sp_status
dns_init(const struct dns_config *c)
{
	struct dns_wire_config wire = {
		.resolvers = c->resolvers,
		.timeout_ms = c->timeout_ms > 0 ? c->timeout_ms : 5000,
		.tries = c->tries > 0 ? c->tries : 2,
	};
	enum sp_status st = dns_wire_init(&wire);

	if (st != SP_OK)
		return st;
	st = dns_cache_init(c->cache_entries > 0 ? c->cache_entries : 10000);
	if (st != SP_OK) {
		dns_wire_fini();
		return st;
	}
	dns.stats = (struct dns_stats){ 0 };
	dns.ready = true;
	return SP_OK;
}

void
dns_fini(void)
{
	struct dns_answer canceled;
	struct dns_entry *e;

	if (!dns.ready)
		return;
	dns_answer_init(&canceled);
	canceled.status = SP_CANCELED;
	while ((e = dns_cache_pending()) != NULL) {
		dns_query_free(&e->query);
		dns_entry_settle(e, &canceled, 0);
	}
	dns_answer_fini(&canceled);
	dns_cache_fini();
	dns_wire_fini();
	dns.ready = false;
}

struct dns_stats
dns_stats(void)
{
	struct dns_stats stats = dns.stats;

	stats.sent = dns_wire_sent();
	stats.entries = dns_cache_count();
	return stats;
}

/* ---- asking and waiting --------------------------------------------------------------------------- */

static void
question_done(void *arg, const struct dns_answer *a, uint32_t ttl)
{
	if (a->status != SP_OK && a->status != SP_NONE)
		dns.stats.failed++;
	dns_entry_settle(arg, a, ttl);
}

/* The entry for it, asked for now if it was not before; null: no memory. */
static struct dns_entry *
question_ask(const struct dns_name *name, enum dns_type type)
{
	struct dns_entry *e;

	MUST(dns.ready);
	dns.stats.questions++;
	e = dns_cache_find(name, type);
	if (e != NULL) {
		*(e->pending ? &dns.stats.merged : &dns.stats.hits) += 1;
		return e;
	}
	e = dns_cache_add(name, type);
	if (e == NULL)
		return NULL;
	dns_query_new(name, type, question_done, e, &e->query);
	if (e->pending && e->query == NULL)
		dns_entry_unref(&e);
	return e;
}

/* Begins the next try if the present one has had its time. Returns when that will be, or deadline_ms. */
static int64_t
question_drive(struct dns_entry *e, int64_t deadline_ms)
{
	if (e != NULL && e->pending && rt_now_ms() >= dns_query_deadline(e->query))
		dns_query_next(e->query);
	if (e == NULL || !e->pending || dns_query_deadline(e->query) > deadline_ms)
		return deadline_ms;
	return dns_query_deadline(e->query);
}

/* Questions asked together; items may be null: there was no memory for them. */
struct batch {
	struct dns_entry *const *items;
	size_t count;
};

/* Waits until e, one of the batch, is settled or the time is up, and drives all of them meanwhile. */
static enum sp_status
question_wait(struct dns_entry *e, struct batch all, int64_t deadline_ms)
{
	enum sp_status st = SP_OK;

	while (e->pending && st != SP_CANCELED) {
		int64_t end = deadline_ms;

		if (rt_now_ms() >= deadline_ms)
			return SP_TIMEOUT;
		for (size_t n = 0; n < all.count; n++)
			end = question_drive(all.items[n], end);
		if (e->pending)
			st = rt_event_wait(&e->settled, end);
	}
	return e->pending ? st : e->status;
}

static void
question_leave(struct dns_entry **e)
{
	if ((*e)->pending && (*e)->refs == 1)
		dns_query_free(&(*e)->query);
	dns_entry_unref(e);
}

/* Asks, waits, and leaves in *ret an entry that is to be left by the caller, on SP_OK only. */
static enum sp_status
question_answer(const struct dns_name *name, enum dns_type type, int64_t deadline_ms,
	struct dns_entry **ret)
{
	struct dns_entry *e = question_ask(name, type);
	enum sp_status st;

	if (e == NULL)
		return SP_TEMPFAIL;
	st = question_wait(e, (struct batch){ &e, 1 }, deadline_ms);
	if (st != SP_OK)
		question_leave(&e);
	*ret = e;
	return st;
}

/* ---- addresses --------------------------------------------------------------------------------------- */

static void
addrs_copy(const struct dns_entry *e, struct sp_ip *items, size_t *count)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct sp_span packed = span_of(e->records, e->records_len);
	struct dns_record r;

	while (dns_record_next(&packed, &r)) {
		struct sp_ip *ip = &items[(*count)++];

		MUST(r.data.len == 4 || r.data.len == 16);
		if (r.data.len == 16 && memcmp(r.data.ptr, mapped, sizeof(mapped)) == 0)
			r.data = span_from(r.data, sizeof(mapped));
		ip->family = r.data.len == 4 ? 4 : 6;
		memcpy(ip->bytes, r.data.ptr, r.data.len);
	}
}

/* Those of one or two settled entries. */
static enum sp_status
addrs_join(const struct dns_entry *v4, const struct dns_entry *v6, struct arena *a, struct sp_addrs *ret)
{
	size_t total = (v4 != NULL ? v4->count : 0) + (v6 != NULL ? v6->count : 0), count = 0;
	struct sp_ip *items = arena_alloc(a, total * sizeof(*items));

	if (items == NULL)
		return SP_LIMIT;
	if (v4 != NULL)
		addrs_copy(v4, items, &count);
	if (v6 != NULL)
		addrs_copy(v6, items, &count);
	*ret = (struct sp_addrs){ items, count };
	return SP_OK;
}

static enum sp_status
addrs_of_type(struct sp_span text, enum dns_type type, int64_t deadline_ms, struct arena *a,
	struct sp_addrs *ret)
{
	struct dns_name name;
	struct dns_entry *e;
	enum sp_status st = dns_name_check(text, &name);

	if (st == SP_OK)
		st = question_answer(&name, type, deadline_ms, &e);
	if (st != SP_OK)
		return st;
	st = addrs_join(e, NULL, a, ret);
	question_leave(&e);
	return st;
}

enum sp_status
dns_a(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_addrs *ret)
{
	return addrs_of_type(name, DNS_A, deadline_ms, a, ret);
}

enum sp_status
dns_aaaa(struct sp_span name, int64_t deadline_ms, struct arena *a, struct sp_addrs *ret)
{
	return addrs_of_type(name, DNS_AAAA, deadline_ms, a, ret);
}

/* Neither family has any: that is sure only when both say so. */
static enum sp_status
addrs_failure(enum sp_status st4, enum sp_status st6)
{
	if (st4 == SP_CANCELED || st6 == SP_CANCELED)
		return SP_CANCELED;
	return st4 != SP_NONE ? st4 : st6;
}

enum sp_status
dns_addrs(struct sp_span text, int64_t deadline_ms, struct arena *a, struct sp_addrs *ret)
{
	struct dns_name name;
	struct dns_entry *e[2] = { NULL, NULL };
	const struct batch both = { e, 2 };
	enum sp_status st4 = SP_TEMPFAIL, st6 = SP_TEMPFAIL, st = dns_name_check(text, &name);

	if (st != SP_OK)
		return st;
	e[0] = question_ask(&name, DNS_A);
	e[1] = question_ask(&name, DNS_AAAA);
	if (e[0] != NULL)
		st4 = question_wait(e[0], both, deadline_ms);
	if (e[1] != NULL)
		st6 = question_wait(e[1], both, deadline_ms);
	if (st4 == SP_OK || st6 == SP_OK)
		st = addrs_join(st4 == SP_OK ? e[0] : NULL, st6 == SP_OK ? e[1] : NULL, a, ret);
	else
		st = addrs_failure(st4, st6);
	for (size_t n = 0; n < 2; n++)
		if (e[n] != NULL)
			question_leave(&e[n]);
	return st;
}

/* ---- texts, names, mail exchangers ----------------------------------------------------------------- */

static enum sp_status
names_copy(const struct dns_entry *e, struct arena *a, struct sp_names *ret)
{
	struct sp_span packed = span_of(e->records, e->records_len);
	struct sp_span *items = arena_alloc(a, e->count * sizeof(*items));
	struct dns_record r;
	size_t count = 0;

	while (items != NULL && dns_record_next(&packed, &r)) {
		items[count] = arena_copy(a, r.data);
		if (items[count++].ptr == NULL)
			items = NULL;
	}
	if (items == NULL)
		return SP_LIMIT;
	*ret = (struct sp_names){ items, count };
	return SP_OK;
}

static enum sp_status
names_of_type(const struct dns_name *name, enum dns_type type, int64_t deadline_ms, struct arena *a,
	struct sp_names *ret)
{
	struct dns_entry *e;
	enum sp_status st = question_answer(name, type, deadline_ms, &e);

	if (st != SP_OK)
		return st;
	st = names_copy(e, a, ret);
	question_leave(&e);
	return st;
}

enum sp_status
dns_txt(struct sp_span text, int64_t deadline_ms, struct arena *a, struct sp_names *ret)
{
	struct dns_name name;
	enum sp_status st = dns_name_check(text, &name);

	return st != SP_OK ? st : names_of_type(&name, DNS_TXT, deadline_ms, a, ret);
}

enum sp_status
dns_texts(const struct dns_batch *ask, int64_t deadline_ms, struct arena *a, struct sp_texts *ret)
{
	struct dns_entry *asked[DNS_BATCH_MAX] = { NULL };
	const struct batch all = { asked, ask->count };

	if (ask->count > DNS_BATCH_MAX)
		return SP_LIMIT;
	for (size_t n = 0; n < ask->count; n++) {
		struct dns_name name;
		enum sp_status st = dns_name_check(ask->names[n], &name);

		ret[n] = (struct sp_texts){ .status = st == SP_OK ? SP_TEMPFAIL : st };
		if (st == SP_OK)
			asked[n] = question_ask(&name, DNS_TXT);
	}
	for (size_t n = 0; n < ask->count; n++) {
		if (asked[n] == NULL)
			continue;
		ret[n].status = question_wait(asked[n], all, deadline_ms);
		if (ret[n].status == SP_OK)
			ret[n].status = names_copy(asked[n], a, &ret[n].names);
	}
	for (size_t n = 0; n < ask->count; n++)
		if (asked[n] != NULL)
			question_leave(&asked[n]);
	return SP_OK;
}

enum sp_status
dns_ptr(const struct sp_ip *ip, int64_t deadline_ms, struct arena *a, struct sp_names *ret)
{
	struct dns_name name;
	enum sp_status st = dns_name_reverse(ip, &name);

	return st != SP_OK ? st : names_of_type(&name, DNS_PTR, deadline_ms, a, ret);
}

/* By preference; each goes to a random place among its equals (RFC 5321 5.1). */
static void
mx_insert(struct sp_mx *items, size_t count, struct sp_mx mx)
{
	size_t last = 0, equals = 0, at;

	while (last < count && items[last].preference <= mx.preference)
		equals = items[last++].preference == mx.preference ? equals + 1 : 0;
	at = last - (size_t)(dns_cache_random() % (equals + 1));
	memmove(&items[at + 1], &items[at], (count - at) * sizeof(*items));
	items[at] = mx;
}

enum sp_status
dns_mx(struct sp_span text, int64_t deadline_ms, struct arena *a, struct sp_mxs *ret)
{
	struct dns_name name;
	struct dns_entry *e;
	struct sp_span packed;
	struct sp_mx *items;
	struct dns_record r;
	size_t count = 0;
	enum sp_status st = dns_name_check(text, &name);

	if (st == SP_OK)
		st = question_answer(&name, DNS_MX, deadline_ms, &e);
	if (st != SP_OK)
		return st;
	packed = span_of(e->records, e->records_len);
	items = arena_alloc(a, e->count * sizeof(*items));
	while (items != NULL && dns_record_next(&packed, &r)) {
		struct sp_mx mx = { r.preference, arena_copy(a, r.data) };

		if (mx.name.ptr == NULL)
			items = NULL;
		else
			mx_insert(items, count++, mx);
	}
	question_leave(&e);
	if (items == NULL)
		return SP_LIMIT;
	*ret = (struct sp_mxs){ items, count };
	return SP_OK;
}
