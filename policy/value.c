/*
 * value.c - comparing values and writing them down.
 *
 * Domains and addresses are compared without regard to ASCII case, strings byte by byte (RFC 5321
 * section 2.4 leaves a local part's case to its owner; a policy is not the place to be strict).
 * Nothing here allocates but the caller's buffers.
 */
#include <inttypes.h>
#include <time.h>

#include "policy/kit/span.h"
#include "policy/policy_priv.h"

struct unit {
	int64_t factor;
	const char *name;
};

static bool
is_folded(enum sp_type type)
{
	return type == SP_DOMAIN || type == SP_ADDRESS;
}

static double
number_of(const struct sp_value *v)
{
	return v->type == SP_SCORE ? v->u.real : (double)v->u.integer;
}

static bool
set_eq(const struct sp_value *a, const struct sp_value *b)
{
	if (a->u.set.count != b->u.set.count)
		return false;
	for (size_t i = 0; i < a->u.set.count; i++)
		if (!span_ieq(a->u.set.items[i], b->u.set.items[i]))
			return false;
	return true;
}

bool
value_eq(const struct sp_value *a, const struct sp_value *b)
{
	switch (a->type) {
	case SP_BOOL:
		return a->u.boolean == b->u.boolean;
	case SP_STRING:
	case SP_DOMAIN:
	case SP_ADDRESS:
		if (is_folded(a->type) || is_folded(b->type))
			return span_ieq(a->u.text, b->u.text);
		return span_eq(a->u.text, b->u.text);
	case SP_IP:
		if (b->type == SP_NET)
			return net_has(&b->u.net, &a->u.ip);
		return ip_eq(&a->u.ip, &b->u.ip);
	case SP_NET:
		return a->u.net.bits == b->u.net.bits && ip_eq(&a->u.net.ip, &b->u.net.ip);
	case SP_RATE:
		return a->u.rate.count == b->u.rate.count && a->u.rate.period_ms == b->u.rate.period_ms;
	case SP_DOMAINS:
		return set_eq(a, b);
	default:
		return value_cmp(a, b) == 0;
	}
}

int
value_cmp(const struct sp_value *a, const struct sp_value *b)
{
	double x, y;

	if (a->type != SP_SCORE && b->type != SP_SCORE)
		return (a->u.integer > b->u.integer) - (a->u.integer < b->u.integer);
	x = number_of(a);
	y = number_of(b);
	return (x > y) - (x < y);
}

/* ---- writing ------------------------------------------------------------------------------- */

/* In the largest unit that leaves nothing over. units: largest first. */
static void
print_units(struct buf *to, int64_t n, const struct unit *units)
{
	while (units->factor > 1 && (n == 0 || n % units->factor != 0))
		units++;
	buf_printf(to, "%" PRId64 "%s", n / units->factor, units->name);
}

static void
print_size(struct buf *to, int64_t n)
{
	static const struct unit units[] = { { 1 << 30, "G" }, { 1 << 20, "M" }, { 1 << 10, "K" }, { 1, "" } };

	print_units(to, n, units);
}

static void
print_duration(struct buf *to, int64_t ms)
{
	static const struct unit units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" },
		{ 1, "ms" } };

	if (ms == 0)
		buf_add_str(to, "0s");
	else
		print_units(to, ms, units);
}

static void
print_rate(struct buf *to, const struct sp_rate *rate)
{
	static const struct unit units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "min" }, { 1000, "s" },
		{ 1, "ms" } };
	const struct unit *u = units;

	while (u->factor > 1 && rate->period_ms % (uint64_t)u->factor != 0)
		u++;
	buf_printf(to, "%" PRIu64 "/", rate->count);
	if (rate->period_ms != (uint64_t)u->factor)
		buf_printf(to, "%" PRIu64, rate->period_ms / (uint64_t)u->factor);
	buf_add_str(to, u->name);
}

static void
print_time(struct buf *to, int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	char text[40];

	if (gmtime_r(&t, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		buf_printf(to, "%" PRId64, seconds);
	else
		buf_add_str(to, text);
}

static void
print_enum(struct buf *to, int64_t n, const char *const *words)
{
	if (words != NULL)
		for (int64_t i = 0; words[i] != NULL; i++)
			if (i == n) {
				buf_add_str(to, words[i]);
				return;
			}
	buf_printf(to, "%" PRId64, n);
}

/* Five or five and a half, never 5.500000: as one writes scores. */
static void
print_score(struct buf *to, double points)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "%.6f", points);
	size_t end = len > 0 && (size_t)len < sizeof(text) ? (size_t)len : 0;

	if (end == 0 || span_find(span_of(text, end), '.') == end) {
		buf_printf(to, "%g", points);
		return;
	}
	while (text[end - 1] == '0' && text[end - 2] != '.')
		end--;
	buf_add(to, span_of(text, end));
}

static void
print_ip(struct buf *to, const struct sp_ip *ip)
{
	char text[46];

	buf_add(to, span_from_ip(ip, text));
}

static void
print_set(struct buf *to, const struct sp_value *v)
{
	for (size_t i = 0; i < v->u.set.count; i++) {
		if (i > 0)
			buf_add_str(to, ", ");
		buf_add(to, v->u.set.items[i]);
	}
}

void
value_text(struct buf *to, const struct sp_value *v, const char *const *words)
{
	switch (v->type) {
	case SP_BOOL:
		buf_add_str(to, v->u.boolean ? "yes" : "no");
		break;
	case SP_SIZE:
		print_size(to, v->u.integer);
		break;
	case SP_DURATION:
		print_duration(to, v->u.integer);
		break;
	case SP_TIME:
		print_time(to, v->u.integer);
		break;
	case SP_ENUM:
		print_enum(to, v->u.integer, words);
		break;
	case SP_SCORE:
		print_score(to, v->u.real);
		break;
	case SP_ADDRESS:
		buf_add(to, v->u.text.len == 0 ? SPAN_LIT("<>") : v->u.text);
		break;
	case SP_STRING:
	case SP_DOMAIN:
		buf_add(to, v->u.text);
		break;
	case SP_IP:
		print_ip(to, &v->u.ip);
		break;
	case SP_NET:
		print_ip(to, &v->u.net.ip);
		buf_printf(to, "/%u", v->u.net.bits);
		break;
	case SP_RATE:
		print_rate(to, &v->u.rate);
		break;
	case SP_DOMAINS:
		print_set(to, v);
		break;
	default:
		buf_printf(to, "%" PRId64, v->u.integer);
	}
}

/* Can it stand without quotes and be taken for nothing else? */
static bool
is_plain(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!span_is_alpha(s.ptr[i]) && !span_is_digit(s.ptr[i]) &&
			span_find(SPAN_LIT(".-_@+="), s.ptr[i]) == 6)
			return false;
	return s.len > 0;
}

static void
print_quoted(struct buf *to, struct sp_span s)
{
	buf_add_char(to, '"');
	buf_add_quoted(to, s);
	buf_add_char(to, '"');
}

void
value_print(struct buf *to, const struct sp_value *v, const char *const *words)
{
	if (v->type == SP_STRING || (is_folded(v->type) && v->u.text.len > 0 && !is_plain(v->u.text)) ||
		(v->type == SP_DOMAIN && v->u.text.len == 0)) {
		print_quoted(to, v->u.text);
	} else if (v->type == SP_DOMAINS) {
		buf_add_char(to, '(');
		for (size_t i = 0; i < v->u.set.count; i++) {
			struct sp_value item = { SP_DOMAIN, { .text = v->u.set.items[i] } };

			if (i > 0)
				buf_add_str(to, ", ");
			value_print(to, &item, NULL);
		}
		buf_add_char(to, ')');
	} else {
		value_text(to, v, words);
	}
}
