/*
 * record.c - the grammar of SPF records (see record.h; RFC 7208 sections 4.5, 4.6.1, 5, 6 and 12).
 *
 * Strict, since what follows trusts it: every octet of a record is looked at here, and all that the evaluation gets
 * to see are the terms that this file has made.  Names are compared without regard to case, as ABNF strings are.
 */
#include "spf/record.h"

#include <arpa/inet.h>

#include "mailauth/text.h"
#include "spf/macro.h"

enum takes { NEVER, MAY, MUST };

struct mechanism {
	const char *name;
	enum term_kind kind;
	enum takes domain;
	bool cidr;
};
static const struct mechanism mechanisms[] = {
	{ "all", TERM_ALL, NEVER, false },
	{ "include", TERM_INCLUDE, MUST, false },
	{ "a", TERM_A, MAY, true },
	{ "mx", TERM_MX, MAY, true },
	{ "ptr", TERM_PTR, MAY, false },
	{ "ip4", TERM_IP4, MUST, false },
	{ "ip6", TERM_IP6, MUST, false },
	{ "exists", TERM_EXISTS, MUST, false },
};

static bool
is_alpha(char c)
{
	return text_lower(c) >= 'a' && text_lower(c) <= 'z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- domain-spec ----------------------------------------------------------------------------- */

/* toplabel: letters, digits and inner hyphens, not digits only. */
static bool
toplabel_ok(struct sp_span label)
{
	bool other = false;

	if (label.len == 0 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++) {
		if (!is_alpha(label.ptr[i]) && !is_digit(label.ptr[i]) && label.ptr[i] != '-')
			return false;
		other = other || !is_digit(label.ptr[i]);
	}
	return other;
}

/* What stands behind the last macro must be nothing, or end in "." toplabel ["."]. */
static bool
domain_spec_ok(struct sp_span text)
{
	struct sp_span tail;
	size_t macro_end, dot;

	if (text.len == 0 || !macro_check(text, MACRO_DOMAIN, &macro_end))
		return false;
	tail = text_from(text, macro_end);
	if (tail.len == 0)
		return true;
	if (tail.ptr[tail.len - 1] == '.')
		tail.len--;
	for (dot = tail.len; dot > 0 && tail.ptr[dot - 1] != '.'; dot--)
		;
	return dot > 0 && toplabel_ok(text_from(tail, dot));
}

/* ---- prefix lengths --------------------------------------------------------------------------- */

/* "0", or digits that do not begin with it. */
static bool
bits_parse(struct sp_span text, uint8_t max, uint8_t *ret)
{
	uint64_t n;

	if (text_number(text, max, &n) != SP_OK || (text.len > 1 && text.ptr[0] == '0'))
		return false;
	*ret = (uint8_t)n;
	return true;
}

/* dual-cidr-length, "/24", "//64" or "/24//64"; t is changed on success only. */
static bool
dual_cidr_parse(struct sp_span text, struct term *t)
{
	uint8_t bits4 = 32, bits6 = 128;
	size_t slash;

	if (text.len < 2 || text.ptr[0] != '/')
		return false;
	if (text.ptr[1] != '/') {
		slash = 1 + text_find(text_from(text, 1), '/');
		if (!bits_parse(text_from(text_head(text, slash), 1), 32, &bits4))
			return false;
		text = text_from(text, slash);
	}
	if (text.len > 0 && (text.len < 2 || text.ptr[1] != '/' || !bits_parse(text_from(text, 2), 128, &bits6)))
		return false;
	t->bits4 = bits4;
	t->bits6 = bits6;
	return true;
}

/* [":" domain-spec] [dual-cidr-length]. A '/' may also stand in a domain-spec, but not in its last label: so the
 * lengths begin at the first one from which on all is lengths. */
static bool
domain_cidr_parse(struct sp_span text, bool cidr, struct term *t)
{
	size_t at = 0;

	t->bits4 = 32;
	t->bits6 = 128;
	while (at < text.len && !(cidr && dual_cidr_parse(text_from(text, at), t)))
		at++;
	t->domain = text_head(text, at);
	if (at == 0)
		return true;
	t->domain = text_from(t->domain, 1);
	return text.ptr[0] == ':' && domain_spec_ok(t->domain);
}

/* ---- networks --------------------------------------------------------------------------------- */

/* ip4-network or ip6-network, [cidr-length]. */
static bool
network_parse(struct sp_span text, struct term *t)
{
	size_t slash = text_find(text, '/');
	bool v4 = t->kind == TERM_IP4;
	char address[INET6_ADDRSTRLEN];

	t->net.ip.family = v4 ? 4 : 6;
	t->net.bits = v4 ? 32 : 128;
	if (slash >= sizeof(address) || (slash < text.len &&
		!bits_parse(text_from(text, slash + 1), t->net.bits, &t->net.bits)))
		return false;
	memcpy(address, text.ptr, slash);
	address[slash] = '\0';
	return inet_pton(v4 ? AF_INET : AF_INET6, address, t->net.ip.bytes) == 1;
}

/* ---- terms -------------------------------------------------------------------------------------- */

static bool
mechanism_parse(struct sp_span text, size_t name_len, struct term *t)
{
	struct sp_span name = text_head(text, name_len), rest = text_from(text, name_len);
	const struct mechanism *m = NULL;

	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]) && m == NULL; i++)
		if (text_same(name, text_of(mechanisms[i].name)))
			m = &mechanisms[i];
	if (m == NULL)
		return false;
	t->kind = m->kind;
	if (m->domain == NEVER)
		return rest.len == 0;
	if (m->domain == MUST && (rest.len < 2 || rest.ptr[0] != ':'))
		return false;
	if (m->kind == TERM_IP4 || m->kind == TERM_IP6)
		return network_parse(text_from(rest, 1), t);
	return domain_cidr_parse(rest, m->cidr, t);
}

static bool
modifier_parse(struct record *r, struct sp_span name, struct sp_span value, struct term *t)
{
	bool *seen = NULL;
	size_t macro_end;

	t->kind = TERM_UNKNOWN;
	t->domain = value;
	if (text_same(name, TEXT("redirect"))) {
		t->kind = TERM_REDIRECT;
		seen = &r->redirect;
	} else if (text_same(name, TEXT("exp"))) {
		t->kind = TERM_EXP;
		seen = &r->exp;
	}
	if (seen == NULL)
		return macro_check(value, MACRO_ANY, &macro_end);
	if (*seen)
		return false;
	*seen = true;
	return domain_spec_ok(value);
}

/* Length of what may be a name: letters, digits and "-_.", a letter first. */
static size_t
name_len(struct sp_span text)
{
	size_t len = 0;

	if (text.len == 0 || !is_alpha(text.ptr[0]))
		return 0;
	while (len < text.len && (is_alpha(text.ptr[len]) || is_digit(text.ptr[len]) || text.ptr[len] == '-' ||
		text.ptr[len] == '_' || text.ptr[len] == '.'))
		len++;
	return len;
}

static bool
term_parse(struct record *r, struct sp_span text, struct term *t)
{
	size_t len = name_len(text);

	*t = (struct term){ .kind = TERM_UNKNOWN };
	if (len > 0 && len < text.len && text.ptr[len] == '=')
		return modifier_parse(r, text_head(text, len), text_from(text, len + 1), t);
	t->qualifier = '+';
	if (text.ptr[0] != '\0' && strchr("+-?~", text.ptr[0]) != NULL) {
		t->qualifier = text.ptr[0];
		text = text_from(text, 1);
		len = name_len(text);
	}
	return len > 0 && mechanism_parse(text, len, t);
}

bool
record_is_spf(struct sp_span text)
{
	static const struct sp_span version = { "v=spf1", 6 };

	return text_same(text_head(text, version.len), version) && (text.len == version.len || text.ptr[version.len] == ' ');
}

void
record_init(struct record *r, struct sp_span text)
{
	*r = (struct record){ .rest = text_from(text, text_find(text, ' ')) };
}

enum sp_status
record_next(struct record *r, struct term *ret)
{
	struct sp_span text;

	while (r->rest.len > 0 && r->rest.ptr[0] == ' ')
		r->rest = text_from(r->rest, 1);
	if (r->rest.len == 0)
		return SP_NONE;
	text = text_head(r->rest, text_find(r->rest, ' '));
	r->rest = text_from(r->rest, text.len);
	if (text.len > RECORD_TERM_MAX)
		return SP_LIMIT;
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < ' ' || text.ptr[i] > '~')
			return SP_INVALID;
	return term_parse(r, text, ret) ? SP_OK : SP_INVALID;
}

enum sp_status
record_check(struct sp_span text)
{
	enum sp_status st = text.len > RECORD_MAX ? SP_LIMIT : SP_OK;
	struct record r;
	struct term t;

	record_init(&r, text);
	while (st == SP_OK)
		st = record_next(&r, &t);
	return st == SP_NONE ? SP_OK : st;
}
