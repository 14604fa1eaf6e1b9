/*
 * set.c - the ARC Sets of a message: which header fields they are, and whether they form a chain.
 *
 * Only indices are kept; fields are read from the host when they are needed.  Nothing is allocated.  RFC 8617 4.1
 * (the three fields), 4.2.1 (instances), 5.2 steps 1 to 3 (structure); RFC 6376 3.5 for the tags they share with DKIM.
 */
#include <string.h>

#include "arc/arc.h"
#include "mailauth/authres.h"
#include "mailauth/base64.h"
#include "mailauth/tags.h"
#include "mailauth/text.h"

static const char twice[] = "an instance has a field twice";

enum sp_status
arc_header_get(void *arg, size_t index, struct sp_header *ret)
{
	return sp_header_get(arg, index, ret);
}

enum sp_status
arc_field(const struct signature_fields *from, size_t place, struct sp_header *ret)
{
	return place == 0 ? SP_NONE : from->get(from->arg, place - 1, ret);
}

/* ---- instances ------------------------------------------------------------------------------ */

static enum sp_status
instance_of(struct sp_span text, size_t *ret)
{
	uint64_t n = 0;
	enum sp_status st = text_number(text, ARC_SETS_MAX, &n);

	if (st == SP_OK && n == 0)
		st = SP_INVALID;
	if (st == SP_OK)
		*ret = (size_t)n;
	return st;
}

static bool
take_char(struct sp_span *s, char c)
{
	if (!authres_skip_cfws(s) || s->len == 0 || s->ptr[0] != c)
		return false;
	*s = text_from(*s, 1);
	return authres_skip_cfws(s);
}

enum sp_status
arc_results_cut(struct sp_span *value, size_t *ret_instance)
{
	struct sp_span s = *value, number;
	size_t digits = 0, instance = 0;
	enum sp_status st;

	if (!take_char(&s, 'i') || !take_char(&s, '='))
		return SP_INVALID;
	while (digits < s.len && s.ptr[digits] >= '0' && s.ptr[digits] <= '9')
		digits++;
	number = text_head(s, digits);
	s = text_from(s, digits);
	if (!take_char(&s, ';'))
		return SP_INVALID;
	st = instance_of(number, &instance);
	if (st == SP_OK) {
		*ret_instance = instance;
		*value = s;
	}
	return st;
}

/* The instance of a field that is a list of tags. */
static enum sp_status
tagged_instance(struct sp_span value, size_t *ret)
{
	struct tags tags;
	struct sp_span text;

	if (tags_parse(&tags, value) != SP_OK || !tags_get(&tags, "i", &text))
		return SP_INVALID;
	return instance_of(text, ret);
}

/* ---- the seal ------------------------------------------------------------------------------- */

static const char *
seal_algorithm(const struct tags *tags, struct arc_seal *ret)
{
	struct sp_span text;

	if (!tags_get(tags, "a", &text))
		return "a= is missing";
	if (text_is(text, TEXT("rsa-sha256")))
		ret->type = KEY_RSA;
	else if (text_is(text, TEXT("ed25519-sha256")))
		ret->type = KEY_ED25519;
	else
		return "a= is no algorithm of seals";
	return NULL;
}

static const char *
seal_status(const struct tags *tags, struct arc_seal *ret)
{
	struct sp_span text;

	if (!tags_get(tags, "cv", &text))
		return "cv= is missing";
	if (text_same(text, TEXT("none")))
		ret->cv = ARC_CV_NONE;
	else if (text_same(text, TEXT("pass")))
		ret->cv = ARC_CV_PASS;
	else if (text_same(text, TEXT("fail")))
		ret->cv = ARC_CV_FAIL;
	else
		return "cv= is neither none, pass nor fail";
	return NULL;
}

static const char *
seal_rest(const struct tags *tags, struct arc_seal *ret)
{
	struct sp_span text;
	uint64_t when;

	if (!tags_get(tags, "d", &ret->domain) || !domain_ok(ret->domain))
		return "d= is no domain";
	if (!tags_get(tags, "s", &ret->selector) || ret->selector.len == 0)
		return "s= is no selector";
	if (!tags_get(tags, "b", &text) || base64_decode(text, ret->b, sizeof(ret->b), &ret->b_len) != SP_OK)
		return "b= is no base64";
	if (tags_get(tags, "t", &text) && text_number(text, INT64_MAX, &when) != SP_OK)
		return "t= is no time";
	if (tags_get(tags, "h", &text))
		return "h= has no place in a seal";
	return NULL;
}

enum sp_status
arc_seal_parse(struct sp_span value, struct arc_seal *ret, const char **reterr)
{
	struct tags tags;

	if (tags_parse(&tags, value) != SP_OK) {
		*reterr = "it is no list of tags";
		return SP_INVALID;
	}
	*reterr = seal_algorithm(&tags, ret);
	if (*reterr == NULL)
		*reterr = seal_status(&tags, ret);
	if (*reterr == NULL)
		*reterr = seal_rest(&tags, ret);
	return *reterr == NULL ? SP_OK : SP_INVALID;
}

/* ---- the chain ------------------------------------------------------------------------------ */

static void
chain_wrong(struct arc_chain *c, const char *what)
{
	if (c->wrong == NULL)
		c->wrong = what;
}

static void
chain_put(struct arc_chain *c, size_t index, size_t instance, size_t *place)
{
	if (*place != 0)
		chain_wrong(c, twice);
	else
		*place = index + 1;
	if (instance > c->count)
		c->count = instance;
}

/* Which of the three is it? */
enum field { FIELD_OTHER, FIELD_RESULTS, FIELD_MESSAGE, FIELD_SEAL };

static enum field
field_of(struct sp_span name)
{
	name = text_trim(name); /* "ARC-Seal :" */
	return text_same(name, TEXT("ARC-Seal")) ? FIELD_SEAL
		: text_same(name, TEXT("ARC-Message-Signature")) ? FIELD_MESSAGE
		: text_same(name, TEXT("ARC-Authentication-Results")) ? FIELD_RESULTS : FIELD_OTHER;
}

static void
chain_add(struct arc_chain *c, const struct sp_header *h)
{
	enum field field = field_of(h->name);
	struct sp_span value = h->value;
	size_t instance = 0;
	enum sp_status st;

	if (field == FIELD_OTHER)
		return;
	st = field == FIELD_RESULTS ? arc_results_cut(&value, &instance) : tagged_instance(value, &instance);
	if (st == SP_LIMIT) {
		c->full = true;
		chain_wrong(c, "more than 50 instances");
	} else if (st != SP_OK) {
		chain_wrong(c, "a field without a valid instance");
	} else {
		struct arc_set *set = &c->sets[instance - 1];

		chain_put(c, h->index, instance, field == FIELD_RESULTS ? &set->results
			: field == FIELD_MESSAGE ? &set->message : &set->seal);
	}
}

/* Steps 2 and 3 of RFC 8617 5.2, as far as one instance tells. */
static void
chain_check_set(const struct signature_fields *from, struct arc_chain *c, size_t instance)
{
	const struct arc_set *set = &c->sets[instance - 1];
	struct arc_seal seal;
	struct sp_header h;
	const char *why;

	if (set->results == 0 || set->message == 0 || set->seal == 0)
		chain_wrong(c, "an instance lacks a field");
	if (arc_field(from, set->seal, &h) != SP_OK)
		return;
	if (arc_seal_parse(h.value, &seal, &why) != SP_OK)
		chain_wrong(c, "a seal is malformed");
	else if (seal.cv == ARC_CV_FAIL)
		chain_wrong(c, "a seal says that the chain had failed");
	else if (seal.cv != (instance == 1 ? ARC_CV_NONE : ARC_CV_PASS))
		chain_wrong(c, "a seal's cv= does not fit its instance");
}

/* The cv= counts even where another tag of that seal is wrong: its sealer meant to end the chain. */
static bool
chain_ended(const struct signature_fields *from, const struct arc_chain *c)
{
	struct sp_header h;
	struct sp_span cv;
	struct tags tags;

	return c->count > 0 && arc_field(from, c->sets[c->count - 1].seal, &h) == SP_OK &&
		tags_parse(&tags, h.value) == SP_OK && tags_get(&tags, "cv", &cv) && text_same(cv, TEXT("fail"));
}

enum sp_status
arc_chain_read(const struct signature_fields *from, struct arc_chain *ret)
{
	struct sp_header h;
	enum sp_status st = SP_OK;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; st == SP_OK; i++) {
		st = i < ARC_FIELDS_MAX ? from->get(from->arg, i, &h) : SP_NONE;
		if (st == SP_OK) {
			h.index = i;
			chain_add(ret, &h);
		}
	}
	if (st != SP_NONE)
		return st;
	for (size_t instance = ret->count; instance > 0; instance--)
		chain_check_set(from, ret, instance);
	ret->ended = chain_ended(from, ret);
	ret->full = ret->full || ret->count == ARC_SETS_MAX;
	return SP_OK;
}
