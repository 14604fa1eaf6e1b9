/*
 * record.c - DMARC policy records (see record.h).  Nothing is allocated; spans point into the text.
 *
 * RFC 7489 6.3: v= comes first and is exact; unknown tags are ignored, and so are known ones with a malformed value, but
 * for those that name a policy, see 6.6.3.  A tag given twice has no value that one could rely on, so it is malformed.
 */
#include "dmarc/record.h"
#include "mailauth/text.h"

const char *const policy_words[] = { "none", "quarantine", "reject", "unpublished", NULL };
const char *const record_words[] = { "none", "valid", "faulty", "unusable", "several", NULL };

enum verdict { VALUE_GOOD, VALUE_BAD, VALUE_POLICY_BAD };

static enum verdict
take_policy(struct sp_span value, enum policy *ret)
{
	for (enum policy p = POLICY_NONE; p < POLICY_UNPUBLISHED; p++)
		if (text_same(value, text_of(policy_words[p]))) {
			*ret = p;
			return VALUE_GOOD;
		}
	return VALUE_POLICY_BAD;
}

static enum verdict
take_p(struct record *r, struct sp_span value)
{
	return take_policy(value, &r->p);
}

static enum verdict
take_sp(struct record *r, struct sp_span value)
{
	return take_policy(value, &r->sp);
}

static enum verdict
take_np(struct record *r, struct sp_span value)
{
	return take_policy(value, &r->np);
}

/* One letter out of two; *ret is whether it is the first. */
static enum verdict
take_letter(struct sp_span value, const char *letters, bool *ret)
{
	if (value.len != 1 || (text_lower(value.ptr[0]) != letters[0] && text_lower(value.ptr[0]) != letters[1]))
		return VALUE_BAD;
	*ret = text_lower(value.ptr[0]) == letters[0];
	return VALUE_GOOD;
}

static enum verdict
take_adkim(struct record *r, struct sp_span value)
{
	return take_letter(value, "sr", &r->strict_dkim);
}

static enum verdict
take_aspf(struct record *r, struct sp_span value)
{
	return take_letter(value, "sr", &r->strict_spf);
}

static enum verdict
take_t(struct record *r, struct sp_span value)
{
	return take_letter(value, "yn", &r->testing);
}

static enum verdict
take_psd(struct record *r, struct sp_span value)
{
	bool yes;

	if (text_same(value, TEXT("u")))
		return VALUE_GOOD;
	if (take_letter(value, "yn", &yes) != VALUE_GOOD)
		return VALUE_BAD;
	r->psd = yes ? PSD_YES : PSD_NO;
	return VALUE_GOOD;
}

static enum verdict
take_pct(struct record *r, struct sp_span value)
{
	uint64_t n;

	if (value.len > 3 || text_number(value, 100, &n) != SP_OK)
		return VALUE_BAD;
	r->percent = (unsigned)n;
	return VALUE_GOOD;
}

static enum verdict
take_ri(struct record *r, struct sp_span value)
{
	uint64_t n;

	(void)r;
	return text_number(value, UINT32_MAX, &n) == SP_OK ? VALUE_GOOD : VALUE_BAD;
}

/* A list of words, joined by colons. */
static bool
is_list_of(struct sp_span value, const char *const *words)
{
	struct sp_span piece;

	while (text_cut(&value, ':', &piece)) {
		size_t i = 0;

		while (words[i] != NULL && !text_same(text_trim(piece), text_of(words[i])))
			i++;
		if (words[i] == NULL)
			return false;
	}
	return true;
}

static enum verdict
take_rf(struct record *r, struct sp_span value)
{
	static const char *const words[] = { "afrf", NULL };

	(void)r;
	return is_list_of(value, words) ? VALUE_GOOD : VALUE_BAD;
}

static enum verdict
take_fo(struct record *r, struct sp_span value)
{
	static const char *const words[] = { "0", "1", "d", "s", NULL };

	if (!is_list_of(value, words))
		return VALUE_BAD;
	r->fo = value;
	return VALUE_GOOD;
}

/* A scheme, ':' and at least one octet more (RFC 3986 3); '!' begins the size limit of RFC 7489 6.2. */
static bool
is_uri(struct sp_span s)
{
	size_t scheme = text_find(s, ':'), end = text_find(s, '!');

	if (scheme == 0 || scheme + 1 >= end)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool alpha = text_lower(c) >= 'a' && text_lower(c) <= 'z', digit = c >= '0' && c <= '9';

		if (i < scheme && !alpha && !(i > 0 && (digit || c == '+' || c == '-' || c == '.')))
			return false;
		if (c <= ' ' || c > '~')
			return false;
	}
	return true;
}

/* One good address is enough to be reported to. */
static bool
is_uri_list(struct sp_span value)
{
	struct sp_span piece;

	while (text_cut(&value, ',', &piece))
		if (is_uri(text_trim(piece)))
			return true;
	return false;
}

static enum verdict
take_rua(struct record *r, struct sp_span value)
{
	if (!is_uri_list(value))
		return VALUE_BAD;
	r->rua = value;
	return VALUE_GOOD;
}

static enum verdict
take_ruf(struct record *r, struct sp_span value)
{
	(void)r;
	return is_uri_list(value) ? VALUE_GOOD : VALUE_BAD;
}

static const struct {
	const char *name;
	enum verdict (*take)(struct record *, struct sp_span);
	enum verdict twice;
} record_tags[] = { { "p", take_p, VALUE_POLICY_BAD }, { "sp", take_sp, VALUE_POLICY_BAD },
	{ "np", take_np, VALUE_POLICY_BAD }, { "adkim", take_adkim, VALUE_BAD }, { "aspf", take_aspf, VALUE_BAD },
	{ "pct", take_pct, VALUE_BAD }, { "t", take_t, VALUE_BAD }, { "psd", take_psd, VALUE_BAD },
	{ "fo", take_fo, VALUE_BAD }, { "rf", take_rf, VALUE_BAD }, { "ri", take_ri, VALUE_BAD },
	{ "rua", take_rua, VALUE_BAD }, { "ruf", take_ruf, VALUE_BAD } };

enum { TAGS = sizeof(record_tags) / sizeof(*record_tags) };

/* One "name = value"; seen: a bit for each known tag. */
static enum verdict
take_tag(struct record *r, struct sp_span piece, unsigned *seen)
{
	size_t sign = text_find(piece, '=');
	struct sp_span name = text_trim(text_head(piece, sign)), value = text_trim(text_from(piece, sign + 1));

	if (sign == piece.len || name.len == 0)
		return VALUE_BAD;
	for (unsigned i = 0; i < TAGS; i++) {
		if (!text_same(name, text_of(record_tags[i].name)))
			continue;
		if (*seen & 1U << i)
			return record_tags[i].twice;
		*seen |= 1U << i;
		return record_tags[i].take(r, value);
	}
	return VALUE_GOOD;
}

static bool
is_version(struct sp_span piece)
{
	size_t sign = text_find(piece, '=');

	return sign < piece.len && text_is(text_trim(text_head(piece, sign)), TEXT("v")) &&
		text_is(text_trim(text_from(piece, sign + 1)), TEXT("DMARC1"));
}

bool
record_parse(struct sp_span text, struct record *ret)
{
	struct record r = { RECORD_VALID, POLICY_UNPUBLISHED, POLICY_UNPUBLISHED, POLICY_UNPUBLISHED, .percent = 100 };
	bool good = true, policy_good = true;
	struct sp_span piece;
	unsigned seen = 0;

	if (!text_cut(&text, ';', &piece) || !is_version(piece))
		return false;
	while (text_cut(&text, ';', &piece)) {
		enum verdict v;

		if (text.ptr == NULL && text_trim(piece).len == 0)
			break; /* behind the last ';' */
		v = take_tag(&r, piece, &seen);
		good = good && v == VALUE_GOOD;
		policy_good = policy_good && v != VALUE_POLICY_BAD;
	}
	if (!good)
		r.state = RECORD_FAULTY;
	if (r.p == POLICY_UNPUBLISHED || !policy_good) { /* RFC 7489 6.6.3, step 6 */
		r.state = r.rua.len > 0 ? RECORD_FAULTY : RECORD_UNUSABLE;
		r.p = POLICY_NONE;
		r.sp = r.np = POLICY_UNPUBLISHED;
	}
	*ret = r;
	return true;
}

void
record_choose(const struct sp_names *texts, struct record *ret)
{
	struct record one;
	size_t found = 0;

	*ret = (struct record){ .state = RECORD_NONE };
	for (size_t i = 0; i < texts->count; i++)
		if (record_parse(texts->items[i], &one) && ++found == 1)
			*ret = one;
	if (found > 1)
		*ret = (struct record){ .state = RECORD_SEVERAL };
}
