/*
 * answer.c - the parser of DNS answers (RFC 1035 4.1, RFC 2181 5.2 and 8, RFC 2308 2 and 5).
 *
 * Strict: anything out of bounds makes the whole answer a temporary failure, so that half of a record
 * set is never taken for all of it.  Compression pointers must point backwards, each further than the
 * one before, which ends every chain.  Names are compared in wire form, where a dot inside a label
 * cannot be mistaken for one between labels.
 */
#include "proxy/dns/answer.h"

#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

enum { HEADER = 12, WIRE_NAME_MAX = 255, POINTERS_MAX = 64, CLASS_IN = 1, RCODE_NXDOMAIN = 3 };

/* Length octets and labels without the last zero, in lower case. */
struct wire_name {
	uint8_t len;
	uint8_t bytes[WIRE_NAME_MAX];
};

struct reader {
	const uint8_t *bytes;
	size_t len, at;
	bool bad; /* sticky */
};

struct rr {
	size_t owner; /* offset */
	uint16_t type, class;
	uint32_t ttl;
	size_t data, data_len;
};

/* The answer section, and the name at which the records are looked for. */
struct section {
	struct rr items[DNS_RECORDS_MAX];
	size_t count;
	struct wire_name name;
};

void
dns_answer_init(struct dns_answer *a)
{
	*a = (struct dns_answer){ .status = SP_TEMPFAIL };
	buf_init(&a->records, DNS_ANSWER_MAX);
}

void
dns_answer_fini(struct dns_answer *a)
{
	buf_fini(&a->records);
}

/* ---- reading --------------------------------------------------------------------------------- */

static uint32_t
read_number(struct reader *r, size_t octets)
{
	uint32_t n = 0;

	if (r->bad || r->len - r->at < octets) {
		r->bad = true;
		return 0;
	}
	while (octets-- > 0)
		n = n << 8 | r->bytes[r->at++];
	return n;
}

static uint16_t
read_u16(struct reader *r)
{
	return (uint16_t)read_number(r, 2);
}

/* One label at *at; false at the end of the name or when bad. */
static bool
read_label(struct reader *r, size_t *at, struct wire_name *name)
{
	size_t len = r->bytes[*at];

	if (len == 0)
		return false;
	/* with the zero of the root that is not stored: 255 in all */
	if (len > DNS_LABEL_MAX || r->len - *at <= len || name->len + 1 + len >= WIRE_NAME_MAX) {
		r->bad = true;
		return false;
	}
	name->bytes[name->len++] = (uint8_t)len;
	for (size_t i = 1; i <= len; i++)
		name->bytes[name->len++] = (uint8_t)span_lower((char)r->bytes[*at + i]);
	*at += 1 + len;
	return true;
}

/* The name at the reader's place, which then is behind it. */
static void
read_name(struct reader *r, struct wire_name *ret)
{
	size_t at = r->at, bound = r->at, end = 0, target;

	ret->len = 0;
	for (unsigned pointers = 0; !r->bad;) {
		if (at >= r->len) {
			r->bad = true;
		} else if (r->bytes[at] < 0xc0) {
			if (!read_label(r, &at, ret))
				break;
		} else {
			target = r->len - at < 2 ? SIZE_MAX
						 : (size_t)(r->bytes[at] & 0x3f) << 8 | r->bytes[at + 1];
			if (end == 0)
				end = at + 2;
			r->bad = target >= bound || ++pointers > POINTERS_MAX;
			at = bound = target;
		}
	}
	r->at = end != 0 ? end : at + 1;
}

static void
read_rr(struct reader *r, struct rr *ret)
{
	struct wire_name owner;

	ret->owner = r->at;
	read_name(r, &owner);
	ret->type = read_u16(r);
	ret->class = read_u16(r);
	ret->ttl = read_number(r, 4);
	ret->data_len = read_u16(r);
	ret->data = r->at;
	if (r->bad || r->len - r->at < ret->data_len)
		r->bad = true;
	else
		r->at += ret->data_len;
	/* RFC 2181 8: the sign bit makes it zero */
	if (ret->ttl > INT32_MAX)
		ret->ttl = 0;
}

static bool
name_is(const struct wire_name *a, const struct wire_name *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static void
name_to_wire(const struct dns_name *name, struct wire_name *ret)
{
	struct sp_span rest = span_of(name->text, name->len);

	ret->len = 0;
	while (rest.len > 0) {
		size_t len = span_find(rest, '.');

		ret->bytes[ret->len++] = (uint8_t)len;
		memcpy(ret->bytes + ret->len, rest.ptr, len);
		ret->len = (uint8_t)(ret->len + len);
		rest = span_from(rest, len + 1);
	}
}

/* As text; false: a label is not as it must be. */
static bool
name_to_text(const struct wire_name *name, bool (*label_ok)(struct sp_span), struct dns_name *ret)
{
	size_t len;

	ret->len = 0;
	for (size_t at = 0; at < name->len; at += 1 + len) {
		const char *label = (const char *)&name->bytes[at + 1];

		len = name->bytes[at];
		if (!label_ok(span_of(label, len)))
			return false;
		if (at > 0)
			ret->text[ret->len++] = '.';
		memcpy(ret->text + ret->len, label, len);
		ret->len = (uint8_t)(ret->len + len);
	}
	ret->text[ret->len] = '\0';
	return true;
}

/* ---- records --------------------------------------------------------------------------------- */

static void
record_add(struct dns_answer *a, uint16_t preference, const void *data, size_t len)
{
	uint16_t head[2] = { preference, (uint16_t)len };

	buf_add(&a->records, span_of((const char *)head, sizeof(head)));
	buf_add(&a->records, span_of(data, len));
	a->count++;
}

bool
dns_record_next(struct sp_span *packed, struct dns_record *ret)
{
	uint16_t head[2];

	if (packed->len == 0)
		return false;
	MUST(packed->len >= sizeof(head));
	memcpy(head, packed->ptr, sizeof(head));
	*packed = span_from(*packed, sizeof(head));
	MUST(packed->len >= head[1]);
	ret->preference = head[0];
	ret->data = span_head(*packed, head[1]);
	*packed = span_from(*packed, head[1]);
	return true;
}

static bool
record_add_name(struct dns_answer *a, struct reader r, size_t end, bool mx)
{
	uint16_t preference = mx ? read_u16(&r) : 0;
	struct wire_name wire;
	struct dns_name name;

	read_name(&r, &wire);
	if (r.bad || r.at != end)
		return false;
	if (name_to_text(&wire, mx ? dns_label_is_visible : dns_label_is_host, &name) && (mx || name.len > 0))
		record_add(a, preference, name.text, name.len);
	return true;
}

/* An empty RDATA is taken for an empty text. */
static bool
record_add_txt(struct dns_answer *a, const uint8_t *data, size_t len)
{
	uint16_t head[2] = { 0, 0 };
	size_t total = 0;

	for (size_t at = 0; at < len; at += 1u + data[at]) {
		if (len - at <= data[at])
			return false;
		total += data[at];
	}
	head[1] = (uint16_t)total;
	buf_add(&a->records, span_of((const char *)head, sizeof(head)));
	for (size_t at = 0; at < len; at += 1u + data[at])
		buf_add(&a->records, span_of((const char *)&data[at + 1], data[at]));
	a->count++;
	return true;
}

static bool
record_add_any(struct dns_answer *a, const struct reader *whole, const struct rr *rr)
{
	const uint8_t *data = whole->bytes + rr->data;
	struct reader r = *whole;

	r.at = rr->data;
	switch (rr->type) {
	case DNS_A:
	case DNS_AAAA:
		if (rr->data_len != (rr->type == DNS_A ? 4 : 16))
			return false;
		record_add(a, 0, data, rr->data_len);
		return true;
	case DNS_TXT:
		return record_add_txt(a, data, rr->data_len);
	case DNS_MX:
	case DNS_PTR:
		return record_add_name(a, r, rr->data + rr->data_len, rr->type == DNS_MX);
	default:
		return false;
	}
}

/* ---- the sections ---------------------------------------------------------------------------- */

static bool
owner_is(const struct reader *whole, const struct rr *rr, const struct wire_name *name)
{
	struct reader r = *whole;
	struct wire_name owner;

	r.at = rr->owner;
	read_name(&r, &owner);
	return name_is(&owner, name);
}

static bool
question_is(struct reader *r, const struct wire_name *name, enum dns_type type)
{
	struct wire_name asked;
	uint16_t asked_type, asked_class;

	read_name(r, &asked);
	asked_type = read_u16(r);
	asked_class = read_u16(r);
	return !r->bad && name_is(&asked, name) && asked_type == type && asked_class == CLASS_IN;
}

static const struct rr *
cname_find(const struct section *s, const struct reader *whole)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->items[i].type == DNS_CNAME && s->items[i].class == CLASS_IN
		    && owner_is(whole, &s->items[i], &s->name))
			return &s->items[i];
	return NULL;
}

/* Goes to the end of the chain that begins at s->name; false: broken or a loop. */
static bool
cnames_follow(struct section *s, const struct reader *whole, uint32_t *ttl)
{
	const struct rr *rr;

	for (unsigned hops = 0; (rr = cname_find(s, whole)) != NULL; hops++) {
		struct reader r = *whole;

		r.at = rr->data;
		read_name(&r, &s->name);
		if (r.bad || r.at != rr->data + rr->data_len || hops == DNS_CNAMES_MAX)
			return false;
		*ttl = rr->ttl < *ttl ? rr->ttl : *ttl;
	}
	return true;
}

/* The records at the end of the chain; false: malformed. ret_found: the name has some, of whatever worth. */
static bool
records_collect(struct dns_answer *a, const struct section *s, const struct reader *whole,
	enum dns_type type, bool *ret_found)
{
	*ret_found = false;
	for (size_t i = 0; i < s->count; i++) {
		const struct rr *rr = &s->items[i];

		if (rr->type != type || rr->class != CLASS_IN || !owner_is(whole, rr, &s->name))
			continue;
		if (!record_add_any(a, whole, rr))
			return false;
		a->ttl = rr->ttl < a->ttl ? rr->ttl : a->ttl;
		*ret_found = true;
	}
	a->status = a->count > 0 ? SP_OK : SP_NONE;
	return buf_status(&a->records) == SP_OK;
}

/* How long that there is nothing may be believed (RFC 2308 5); false: malformed, or a referral. */
static bool
negative_ttl(struct dns_answer *a, struct reader *r, size_t authorities, bool nxdomain)
{
	struct wire_name skipped;
	struct rr rr;
	bool referral = false;

	for (size_t i = 0; i < authorities && i < DNS_RECORDS_MAX; i++) {
		uint32_t minimum;
		struct reader soa = *r;

		read_rr(r, &rr);
		referral = referral || rr.type == DNS_NS;
		if (r->bad || rr.type != DNS_SOA)
			continue;
		soa.at = rr.data;
		read_name(&soa, &skipped);
		read_name(&soa, &skipped);
		for (int field = 0; field < 4; field++)
			read_number(&soa, 4);
		minimum = read_number(&soa, 4);
		if (soa.bad || soa.at != rr.data + rr.data_len)
			return false;
		a->ttl = rr.ttl < a->ttl ? rr.ttl : a->ttl;
		a->ttl = minimum < a->ttl ? minimum : a->ttl;
		a->ttl = a->ttl < DNS_TTL_NEGATIVE_MAX ? a->ttl : DNS_TTL_NEGATIVE_MAX;
		return true;
	}
	a->ttl = 0;
	return !r->bad && (nxdomain || !referral);
}

static bool
message_parse(struct dns_answer *a, struct reader *r, const struct dns_name *name, enum dns_type type)
{
	struct section s = { .count = 0 };
	uint16_t flags, questions, answers, authorities;
	bool nxdomain, found;

	r->at = 2;
	flags = read_u16(r);
	questions = read_u16(r);
	answers = read_u16(r);
	authorities = read_u16(r);
	(void)read_u16(r);
	nxdomain = (flags & 15) == RCODE_NXDOMAIN;
	/* QR set, opcode 0, not truncated, NOERROR or NXDOMAIN, one question: ours */
	name_to_wire(name, &s.name);
	if (r->bad || (flags & 0xfa00) != 0x8000 || ((flags & 15) != 0 && !nxdomain) || questions != 1
	    || !question_is(r, &s.name, type))
		return false;
	if (answers > DNS_RECORDS_MAX && type != DNS_PTR)
		return false;
	for (; s.count < answers && s.count < DNS_RECORDS_MAX; s.count++)
		read_rr(r, &s.items[s.count]);
	if (r->bad || !cnames_follow(&s, r, &a->ttl) || !records_collect(a, &s, r, type, &found))
		return false;
	if (found)
		return !nxdomain;
	/* nothing among those looked at, and not all were */
	if (answers > DNS_RECORDS_MAX)
		return false;
	return negative_ttl(a, r, authorities, nxdomain);
}

void
dns_answer_parse(struct dns_answer *a, struct sp_span message, const struct dns_name *name,
	enum dns_type type)
{
	struct reader r = { (const uint8_t *)message.ptr, message.len, 0, message.len < HEADER };

	buf_clear(&a->records);
	a->count = 0;
	a->ttl = DNS_TTL_MAX;
	if (message_parse(a, &r, name, type))
		return;
	buf_clear(&a->records);
	a->status = SP_TEMPFAIL;
	a->count = 0;
	a->ttl = 0;
}
