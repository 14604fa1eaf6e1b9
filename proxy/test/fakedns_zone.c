/*
 * fakedns_zone.c - the zone of the fake DNS server and the answers out of it (RFC 1035 4.1, RFC 2308).
 *
 * All memory is the zone's arena.  It shares the check of names with proxy/dns, but none of its parser,
 * so that both are not wrong in the same way.
 */
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/test/fakedns_priv.h"

enum { ZONE_MAX = 8 << 20, CNAMES_SENT_MAX = 20, HEADER = 12, TYPE_OPT = 41 };
enum { FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5 };

static const struct {
	struct sp_span word;
	enum dns_type type;
} types[] = {
	{ SPAN_LIT("A"), DNS_A },
	{ SPAN_LIT("AAAA"), DNS_AAAA },
	{ SPAN_LIT("CNAME"), DNS_CNAME },
	{ SPAN_LIT("MX"), DNS_MX },
	{ SPAN_LIT("PTR"), DNS_PTR },
	{ SPAN_LIT("TXT"), DNS_TXT },
};

enum sp_status
zone_init(struct zone *z)
{
	*z = (struct zone){ .arena = arena_new(4096, ZONE_MAX), .ttl = 60 };
	return z->arena != NULL ? SP_OK : SP_SYSTEM;
}

void
zone_fini(struct zone *z)
{
	arena_free(&z->arena);
}

static enum sp_status
zone_name_text(struct sp_span text, struct dns_name *ret)
{
	struct sp_ip ip;

	if (span_to_ip(text, &ip) == SP_OK)
		return dns_name_reverse(&ip, ret);
	return dns_name_check(text, ret);
}

const struct zone_name *
zone_name_find(const struct zone *z, struct sp_span text)
{
	struct dns_name name;

	if (zone_name_text(text, &name) != SP_OK)
		return NULL;
	for (const struct zone_name *n = z->names; n != NULL; n = n->next)
		if (n->name.len == name.len && memcmp(n->name.text, name.text, name.len) == 0)
			return n;
	return NULL;
}

struct zone_name *
zone_name_at(struct zone *z, struct sp_span text)
{
	const struct zone_name *found = zone_name_find(z, text);
	struct dns_name name;
	struct zone_name *n;

	for (n = z->names; n != NULL; n = n->next)
		if (n == found)
			return n;
	if (zone_name_text(text, &name) != SP_OK)
		return NULL;
	n = arena_alloc(z->arena, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->name = name;
	n->next = z->names;
	z->names = n;
	return n;
}

/* ---- writing ------------------------------------------------------------------------------------- */

static void
put_number(struct buf *b, uint32_t n, unsigned octets)
{
	while (octets-- > 0)
		buf_add_char(b, (char)(n >> (8 * octets)));
}

/* text has been checked; empty: the root. */
static void
put_name(struct buf *b, struct sp_span text)
{
	while (text.len > 0) {
		size_t len = span_find(text, '.');

		put_number(b, (uint32_t)len, 1);
		buf_add(b, span_head(text, len));
		text = span_from(text, len + 1);
	}
	put_number(b, 0, 1);
}

static enum sp_status
put_checked_name(struct buf *b, struct sp_span text, bool root)
{
	struct dns_name name = { 0 };

	if (!(root && span_eq(text, SPAN_LIT("."))) && dns_name_check(text, &name) != SP_OK)
		return SP_INVALID;
	put_name(b, span_of(name.text, name.len));
	return SP_OK;
}

static enum sp_status
put_mx(struct buf *b, struct sp_span value)
{
	size_t space = span_find(value, ' ');
	uint64_t preference;

	if (span_to_u64(span_head(value, space), UINT16_MAX, &preference) != SP_OK)
		return SP_INVALID;
	put_number(b, (uint32_t)preference, 2);
	return put_checked_name(b, span_trim(span_from(value, space)), true);
}

static enum sp_status
put_ip(struct buf *b, struct sp_span value, uint8_t family)
{
	struct sp_ip ip;

	if (span_to_ip(value, &ip) != SP_OK || ip.family != family)
		return SP_INVALID;
	return buf_add(b, span_of((const char *)ip.bytes, family == 4 ? 4 : 16));
}

static enum sp_status
put_data(struct buf *b, enum dns_type type, struct sp_span value)
{
	switch (type) {
	case DNS_A:
		return put_ip(b, value, 4);
	case DNS_AAAA:
		return put_ip(b, value, 6);
	case DNS_MX:
		return put_mx(b, value);
	case DNS_TXT:
		do {
			struct sp_span string = span_head(value, 255);

			put_number(b, (uint32_t)string.len, 1);
			buf_add(b, string);
			value = span_from(value, string.len);
		} while (value.len > 0);
		return SP_OK;
	default:
		return put_checked_name(b, value, false);
	}
}

enum sp_status
zone_add(struct zone *z, struct sp_span name, struct sp_span word, struct sp_span value)
{
	struct zone_name *n = zone_name_at(z, name);
	struct zone_record *r, **at;
	enum sp_status st = SP_INVALID;
	struct buf data;

	if (n == NULL)
		return SP_INVALID;
	r = arena_alloc(z->arena, sizeof(*r));
	if (r == NULL)
		return SP_SYSTEM;
	buf_init(&data, UINT16_MAX);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (span_ieq(word, types[i].word)) {
			r->type = types[i].type;
			st = put_data(&data, r->type, value);
		}
	if (st == SP_OK)
		st = buf_status(&data);
	if (st == SP_OK) {
		r->data = arena_copy(z->arena, buf_span(&data));
		for (at = &n->records; *at != NULL; at = &(*at)->next)
			continue;
		if (r->data.ptr != NULL)
			*at = r;
		else
			st = SP_SYSTEM;
	}
	buf_fini(&data);
	return st;
}

/* ---- answers --------------------------------------------------------------------------------------- */

struct question {
	struct dns_name name;
	uint16_t type;
	struct sp_span raw; /* QNAME, QTYPE, QCLASS */
	size_t udp_max;
	bool edns;
};

static uint16_t
number_at(struct sp_span s, size_t at)
{
	if (at + 2 > s.len)
		return 0;
	return (uint16_t)((uint8_t)s.ptr[at] << 8 | (uint8_t)s.ptr[at + 1]);
}

static bool
question_parse(struct sp_span query, struct question *q)
{
	size_t at = HEADER;
	struct sp_span text;
	char bytes[256];
	size_t len = 0;

	*q = (struct question){ .udp_max = 512 };
	if (query.len < HEADER || number_at(query, 4) != 1)
		return false;
	while (at < query.len && query.ptr[at] != 0) {
		size_t label = (uint8_t)query.ptr[at];

		if (label > DNS_LABEL_MAX || query.len - at <= label || len + label + 1 >= sizeof(bytes))
			return false;
		memcpy(bytes + len, query.ptr + at + 1, label);
		len += label;
		bytes[len++] = '.';
		at += label + 1;
	}
	text = span_of(bytes, len);
	if (query.len < at + 5 || dns_name_check(text, &q->name) != SP_OK)
		return false;
	q->type = number_at(query, at + 1);
	q->raw = span_of(query.ptr + HEADER, at + 5 - HEADER);
	/* an OPT record right behind it: root, type, size */
	if (number_at(query, 10) == 1 && number_at(query, at + 6) == TYPE_OPT) {
		q->edns = true;
		q->udp_max = number_at(query, at + 8);
	}
	return true;
}

struct sections {
	struct buf answer, authority;
	uint16_t answers, authorities;
	unsigned rcode;
};

static void
put_rr(struct buf *b, const struct dns_name *owner, enum dns_type type, uint32_t ttl, struct sp_span data)
{
	put_name(b, span_of(owner->text, owner->len));
	put_number(b, type, 2);
	put_number(b, 1, 2);
	put_number(b, ttl, 4);
	put_number(b, (uint32_t)data.len, 2);
	buf_add(b, data);
}

/* The SOA that says how long there is nothing. */
static void
put_negative(const struct zone *z, struct sections *s, unsigned rcode)
{
	struct dns_name root = { 0 };
	struct buf soa;

	buf_init(&soa, 512);
	put_name(&soa, SPAN_LIT("ns.fake.test"));
	put_name(&soa, SPAN_LIT("postmaster.fake.test"));
	for (int field = 0; field < 4; field++)
		put_number(&soa, 3600, 4);
	put_number(&soa, z->ttl, 4);
	put_rr(&s->authority, &root, DNS_SOA, 3600, buf_span(&soa));
	buf_fini(&soa);
	s->authorities = 1;
	s->rcode = rcode;
}

static const struct zone_record *
record_first(const struct zone_name *n, enum dns_type type)
{
	const struct zone_record *r = n->records;

	while (r != NULL && r->type != type)
		r = r->next;
	return r;
}

/* The name in an RDATA that we made. */
static struct dns_name
data_name(struct sp_span data)
{
	struct dns_name name = { 0 };

	while (data.len > 0 && data.ptr[0] != 0) {
		size_t label = (uint8_t)data.ptr[0];

		if (name.len > 0)
			name.text[name.len++] = '.';
		memcpy(name.text + name.len, data.ptr + 1, label);
		name.len = (uint8_t)(name.len + label);
		data = span_from(data, label + 1);
	}
	return name;
}

static void
sections_fill(const struct zone *z, const struct question *q, struct sections *s)
{
	struct dns_name name = q->name;
	const struct zone_name *n = zone_name_find(z, span_of(name.text, name.len));

	for (unsigned hops = 0; n != NULL && hops < CNAMES_SENT_MAX; hops++) {
		const struct zone_record *cname = record_first(n, DNS_CNAME);

		if (cname == NULL || q->type == DNS_CNAME)
			break;
		put_rr(&s->answer, &n->name, DNS_CNAME, z->ttl, cname->data);
		s->answers++;
		name = data_name(cname->data);
		n = zone_name_find(z, span_of(name.text, name.len));
	}
	for (const struct zone_record *r = n != NULL ? n->records : NULL; r != NULL; r = r->next)
		if (r->type == q->type) {
			put_rr(&s->answer, &n->name, r->type, z->ttl, r->data);
			s->answers++;
		}
	if (n == NULL || n->records == NULL)
		put_negative(z, s, NXDOMAIN);
	else if (record_first(n, q->type) == NULL)
		put_negative(z, s, 0);
}

/* How it is to fail, or -1. */
static int
failure_of(const struct zone_name *n, const struct zone_name *all)
{
	if (n->fails)
		return (int)n->kind;
	return all != NULL && all->fails ? (int)all->kind : -1;
}

static void
sections_fail(const struct zone *z, const struct question *q, struct sections *s, int kind)
{
	switch (kind) {
	case FAKEDNS_NXDOMAIN:
		put_negative(z, s, NXDOMAIN);
		break;
	case FAKEDNS_NODATA:
		put_negative(z, s, 0);
		break;
	case FAKEDNS_SERVFAIL:
		s->rcode = SERVFAIL;
		break;
	case FAKEDNS_REFUSED:
		s->rcode = REFUSED;
		break;
	case FAKEDNS_GARBAGE:
		put_name(&s->answer, span_of(q->name.text, q->name.len));
		s->answers = 1;
		break;
	case FAKEDNS_NOEDNS:
		if (q->edns)
			s->rcode = FORMERR;
		else
			sections_fill(z, q, s);
		break;
	default:
		sections_fill(z, q, s);
	}
}

static void
message_put(struct buf *out, uint16_t id, const struct question *q, const struct sections *s, bool cut)
{
	put_number(out, id, 2);
	/* QR, TC, RD, RA */
	put_number(out, 0x8180u | (cut ? 0x0200u : 0u) | s->rcode, 2);
	put_number(out, 1, 2);
	put_number(out, cut ? 0 : s->answers, 2);
	put_number(out, cut ? 0 : s->authorities, 2);
	put_number(out, q->edns ? 1 : 0, 2);
	buf_add(out, q->raw);
	if (!cut) {
		buf_add(out, buf_span(&s->answer));
		buf_add(out, buf_span(&s->authority));
	}
	if (q->edns) {
		put_number(out, 0, 1);
		put_number(out, TYPE_OPT, 2);
		put_number(out, 1232, 2);
		put_number(out, 0, 4);
		put_number(out, 0, 2);
	}
}

void
zone_answer(struct zone *z, struct sp_span query, bool udp, struct buf *out, int64_t *ret_delay_ms)
{
	struct sections s = { .rcode = 0 };
	const struct zone_name *all = zone_name_find(z, SPAN_LIT("*"));
	struct question q;
	struct zone_name *n;
	int kind;
	bool cut;

	*ret_delay_ms = 0;
	if (!question_parse(query, &q) || (n = zone_name_at(z, span_of(q.name.text, q.name.len))) == NULL)
		return;
	z->asked++;
	n->asked++;
	kind = failure_of(n, all);
	*ret_delay_ms = n->delay_ms > 0 || all == NULL ? n->delay_ms : all->delay_ms;
	if (kind == FAKEDNS_TIMEOUT || (kind == FAKEDNS_CUT && !udp))
		return;
	buf_init(&s.answer, UINT16_MAX);
	buf_init(&s.authority, 1024);
	sections_fail(z, &q, &s, kind);
	/* nothing may follow what breaks off, nor does a server say OPT that does not know it */
	q.edns = q.edns && kind != FAKEDNS_GARBAGE && kind != FAKEDNS_NOEDNS;
	cut = udp && (kind == FAKEDNS_TRUNCATED || kind == FAKEDNS_CUT
		      || HEADER + q.raw.len + s.answer.len + s.authority.len + 11 > q.udp_max);
	message_put(out, number_at(query, 0), &q, &s, cut);
	buf_fini(&s.answer);
	buf_fini(&s.authority);
}
