/*
 * literal.c - turns text into typed values: "30s", 25M, 60/min, 192.0.2.0/24, example.com.
 *
 * RFC 5321 section 4.1.2 for domains and addresses.  Sentences about faults are static or live in
 * scratch memory; texts of values live in the policy.
 */
#include "policy/compile.h"

#include <inttypes.h>

#include "policy/kit/idna.h"
#include "policy/kit/utf8.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = { { "", 1 }, { "K", 1024 }, { "M", 1024 * 1024 },
	{ "G", 1024 * 1024 * 1024 }, { NULL, 0 } };
static const struct unit duration_units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 },
	{ "h", 3600 * 1000 }, { "d", 86400 * 1000 }, { NULL, 0 } };
static const struct unit rate_units[] = { { "s", 1000 }, { "min", 60 * 1000 }, { "h", 3600 * 1000 },
	{ "d", 86400 * 1000 }, { NULL, 0 } };

static size_t
digits(struct sp_span s)
{
	size_t n = 0;

	while (n < s.len && span_is_digit(s.ptr[n]))
		n++;
	return n;
}

static const struct unit *
unit_find(const struct unit *units, struct sp_span name)
{
	for (; units->name != NULL; units++)
		if (span_eq(span_str(units->name), name))
			return units;
	return NULL;
}

/* "25M": a number with one of units. */
static const char *
number_parse(struct sp_span s, const struct unit *units, const char *expected, int64_t *ret)
{
	size_t n = digits(s);
	const struct unit *unit = unit_find(units, span_from(s, n));
	uint64_t number;

	if (n == 0 || unit == NULL)
		return expected;
	if (span_to_u64(span_head(s, n), INT64_MAX / unit->factor, &number) != SP_OK)
		return "the number is too large";
	*ret = (int64_t)(number * unit->factor);
	return NULL;
}

static const char *
int_parse(struct sp_span s, int64_t *ret)
{
	static const struct unit none[] = { { "", 1 }, { NULL, 0 } };
	bool minus = s.len > 0 && s.ptr[0] == '-';
	const char *wrong = number_parse(span_from(s, minus), none, "expected a whole number", ret);

	if (wrong == NULL && minus)
		*ret = -*ret;
	return wrong;
}

static const char *
duration_parse(struct sp_span s, int64_t *ret)
{
	if (s.len > 0 && digits(s) == s.len)
		return "a duration needs its unit: 30s (ms, s, m, h, d)";
	return number_parse(s, duration_units, "expected a duration: 30s (ms, s, m, h, d)", ret);
}

static const char *
score_parse(struct sp_span s, double *ret)
{
	bool minus = s.len > 0 && s.ptr[0] == '-';
	struct sp_span number = span_from(s, minus), fraction = span_from(number, span_find(number, '.') + 1);
	uint64_t whole, part = 0;
	double scale = 1;

	if (span_find(number, '.') + 1 == number.len || fraction.len > 6 ||
		(fraction.len > 0 && span_to_u64(fraction, 999999, &part) != SP_OK) ||
		span_to_u64(span_head(number, span_find(number, '.')), 1000000000, &whole) != SP_OK)
		return "expected a score: 5.0";
	for (size_t i = 0; i < fraction.len; i++)
		scale *= 10;
	*ret = (double)whole + (double)part / scale;
	if (minus)
		*ret = -*ret;
	return NULL;
}

/* "60/min", "1/4h" */
static const char *
rate_parse(struct sp_span s, struct sp_rate *ret)
{
	size_t slash = span_find(s, '/');
	struct sp_span period = span_from(s, slash + 1);
	size_t n = digits(period);
	const struct unit *unit = slash < s.len ? unit_find(rate_units, span_from(period, n)) : NULL;
	uint64_t count, units = 1;

	if (unit == NULL || digits(s) != slash)
		return "expected a rate: 60/min or 1/4h (s, min, h, d)";
	if (span_to_u64(span_head(s, slash), 1000000000, &count) != SP_OK || count == 0)
		return "a rate counts from 1 to 1000000000";
	if (n > 0 && (span_to_u64(span_head(period, n), 1000, &units) != SP_OK || units == 0))
		return "a rate is counted over 1 to 1000 of its unit";
	*ret = (struct sp_rate){ .count = count, .period_ms = units * unit->factor };
	return NULL;
}

/* ---- names ---------------------------------------------------------------------------------- */

static bool
label_good(struct sp_span label)
{
	if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!span_is_alpha(label.ptr[i]) && !span_is_digit(label.ptr[i]) && label.ptr[i] != '-' &&
			label.ptr[i] != '_')
			return false;
	return true;
}

static bool
domain_good(struct sp_span s)
{
	if (s.len == 0 || s.len > 253)
		return false;
	while (s.len > 0) {
		size_t dot = span_find(s, '.');

		if (!label_good(span_head(s, dot)) || dot + 1 == s.len)
			return false;
		s = span_from(s, dot + 1);
	}
	return true;
}

static const char *
domain_parse(struct compile *c, struct sp_span s, struct sp_span *ret)
{
	char folded[DOMAIN_OCTETS];

	if (idna_fold(s, folded, &s) != SP_OK || !domain_good(s))
		return "expected a domain: example.com";
	s = arena_copy(c->values, s);
	if (s.ptr == NULL)
		return "out of memory";
	*ret = s;
	return NULL;
}

/* As sent, but for a domain beyond ASCII: mail.address and rcpt.address have that as A-labels, too. */
static const char *
address_parse(struct compile *c, struct sp_span s, struct sp_span *ret)
{
	size_t at = span_rfind(s, '@');
	struct sp_span domain = span_from(s, at + 1);
	char folded[DOMAIN_OCTETS];

	if (span_eq(s, SPAN_LIT("<>")))
		s.len = 0;
	if (!utf8_is_ascii(domain) && idna_fold(domain, folded, &domain) != SP_OK)
		domain.len = 0;
	if (s.len > 0 && (at == 0 || at > 64 || at >= s.len || !domain_good(domain)))
		return "expected an address: user@example.com";
	if (s.len > 0 && domain.ptr == folded)
		s = span_str(arena_printf(c->values, "%.*s@%.*s", (int)at, s.ptr, (int)domain.len, domain.ptr));
	else
		s = arena_copy(c->values, s);
	if (s.ptr == NULL)
		return "out of memory";
	*ret = s;
	return NULL;
}

static const char *
enum_parse(struct compile *c, const char *const *words, struct sp_span s, int64_t *ret)
{
	struct suggest near;

	for (size_t i = 0; words != NULL && words[i] != NULL; i++)
		if (span_eq(span_str(words[i]), s)) {
			*ret = (int64_t)i;
			return NULL;
		}
	suggest_init(&near, s);
	suggest_words(&near, words);
	return suggest_hint(&near, c, compile_printf(c, "expected %s", suggest_list(c, words)));
}

static const char *
net_parse(struct sp_span s, struct sp_net *ret)
{
	struct sp_ip ip;

	if (span_to_net(s, ret) == SP_OK)
		return NULL;
	if (span_find(s, '/') < s.len && span_to_ip(span_head(s, span_find(s, '/')), &ip) == SP_OK)
		return "the address has bits set beyond the length of the prefix, or the length is too large";
	return "expected a net: 192.0.2.0/24";
}

const char *
literal_parse(struct compile *c, enum sp_type type, const char *const *words, struct sp_span s, struct sp_value *ret)
{
	static const char *const boolean[] = { "no", "yes", NULL };
	const char *wrong;

	ret->type = type;
	switch (type) {
	case SP_BOOL:
		wrong = enum_parse(c, boolean, s, &ret->u.integer);
		if (wrong == NULL)
			ret->u.boolean = ret->u.integer != 0;
		return wrong;
	case SP_INT:
	case SP_TIME:
		return int_parse(s, &ret->u.integer);
	case SP_SIZE:
		return number_parse(s, size_units, "expected a size: 25M (K, M, G; alone: octets)", &ret->u.integer);
	case SP_DURATION:
		return duration_parse(s, &ret->u.integer);
	case SP_ENUM:
		return enum_parse(c, words, s, &ret->u.integer);
	case SP_SCORE:
		return score_parse(s, &ret->u.real);
	case SP_STRING:
		ret->u.text = arena_copy(c->values, s);
		return NULL;
	case SP_DOMAIN:
		return domain_parse(c, s, &ret->u.text);
	case SP_ADDRESS:
		return address_parse(c, s, &ret->u.text);
	case SP_IP:
		return span_to_ip(s, &ret->u.ip) == SP_OK ? NULL : "expected an IP address: 192.0.2.1";
	case SP_NET:
		return net_parse(s, &ret->u.net);
	case SP_RATE:
		return rate_parse(s, &ret->u.rate);
	case SP_END:
	case SP_DOMAINS:
	case SP_REGEX:
	case SP_FILE:
	case SP_FACT:
	case SP_TABLE:
		break;
	}
	return "no value of this type can be written";
}

/* ---- types in messages ------------------------------------------------------------------------- */

const char *
literal_looks(struct sp_span s)
{
	struct sp_span rest = span_from(s, digits(s));
	struct sp_ip ip;
	struct sp_net net;
	double real;
	struct sp_rate rate;

	if (span_to_ip(s, &ip) == SP_OK)
		return "an ip";
	if (span_to_net(s, &net) == SP_OK || span_to_ip(span_head(s, span_find(s, '/')), &ip) == SP_OK)
		return "a net";
	if (s.len > 0 && rest.len == 0)
		return "an int";
	if (rest.len < s.len && unit_find(duration_units, rest) != NULL)
		return "a duration";
	if (rest.len < s.len && unit_find(size_units, rest) != NULL)
		return "a size";
	if (score_parse(s, &real) == NULL)
		return "a score";
	if (rate_parse(s, &rate) == NULL)
		return "a rate";
	if (span_find(s, '@') < s.len)
		return "an address";
	return domain_good(s) && span_find(s, '.') < s.len ? "a domain" : "a word";
}

const char *
literal_type(enum sp_type type)
{
	static const char *const names[] = { [SP_END] = "nothing", [SP_BOOL] = "a bool", [SP_INT] = "an int",
		[SP_SIZE] = "a size", [SP_DURATION] = "a duration", [SP_TIME] = "a time", [SP_ENUM] = "an enum",
		[SP_SCORE] = "a score", [SP_STRING] = "a string", [SP_DOMAIN] = "a domain",
		[SP_ADDRESS] = "an address", [SP_IP] = "an ip", [SP_NET] = "a net", [SP_RATE] = "a rate",
		[SP_DOMAINS] = "a set of domains", [SP_REGEX] = "a regex", [SP_FILE] = "a file", [SP_FACT] = "a fact",
		[SP_TABLE] = "a table" };

	return names[type];
}

bool
literal_type_named(struct sp_span name, enum sp_type *ret)
{
	static const enum sp_type types[] = { SP_BOOL, SP_INT, SP_SIZE, SP_DURATION, SP_SCORE, SP_STRING, SP_DOMAIN,
		SP_ADDRESS, SP_IP, SP_NET };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (span_eq(span_str(policy_type_name(types[i])), name)) {
			*ret = types[i];
			return true;
		}
	return false;
}

struct sp_span
literal_text(struct compile *c, const struct token *t)
{
	char *text;
	size_t len = 0;

	if (t->kind != TOKEN_STRING)
		return arena_copy(c->values, t->text);
	text = compile_alloc(c, t->text.len + 1);
	if (text == NULL)
		return (struct sp_span){ NULL, 0 };
	for (size_t i = 0; i < t->text.len; i++) {
		if (t->text.ptr[i] == '\\')
			i++;
		text[len++] = t->text.ptr[i];
	}
	return span_of(text, len);
}
