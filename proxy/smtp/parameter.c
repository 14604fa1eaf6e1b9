/*
 * parameter.c - see parameter.h: the table, and what each value must look like.  Holds no memory.
 *
 * RFC 1870 (SIZE), 6152 and 3030 (BODY), 6531 (SMTPUTF8), 3461 and 6533 (RET, ENVID, NOTIFY, ORCPT), 4954 (AUTH), 2852 (BY),
 * 4865 (HOLDFOR, HOLDUNTIL), 6710 (MT-PRIORITY), 8689 (REQUIRETLS).  What goes on is looked at all the same: the next server
 * may be less careful, above all with what xtext stands for (CASES AD11).
 */
#include "proxy/smtp/parameter.h"

#include "policy/kit/span.h"
#include "policy/kit/utf8.h"

enum { ENVID_MAX = 100, ORCPT_MAX = 500, BY_DIGITS = 9, HOLD_DIGITS = 9 };

/* ---- xtext -------------------------------------------------------------------------------------- */

/* 0 to 15; only upper case is a digit of xtext. -1: none */
static int
hex_digit(char c)
{
	return span_is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The octet that xtext has at *at, which moves behind it; -1: it is no xtext. */
static int
xtext_octet(struct sp_span s, size_t *at)
{
	char c = s.ptr[(*at)++];
	int high, low;

	if (c < '!' || c > '~' || c == '=')
		return -1;
	if (c != '+')
		return (unsigned char)c;
	if (s.len - *at < 2)
		return -1;
	high = hex_digit(s.ptr[*at]);
	low = hex_digit(s.ptr[*at + 1]);
	*at += 2;
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool
parameter_is_xtext(struct sp_span value)
{
	for (size_t at = 0; at < value.len;) {
		int octet = xtext_octet(value, &at);

		if (octet < ' ' || octet > '~')
			return false;
	}
	return true;
}

/* ---- addresses in ORCPT --------------------------------------------------------------------- */

/* RFC 6533 section 3, at "\x{": HEXPOINT of a character that is no control, and "}". 0: it is none. */
static size_t
embedded_len(struct sp_span s)
{
	uint32_t code = 0;
	size_t at = 3;

	if (!span_starts(s, SPAN_LIT("\\x{")))
		return 0;
	for (; at < s.len && at < 9 && hex_digit(s.ptr[at]) >= 0; at++)
		code = code << 4 | (uint32_t)hex_digit(s.ptr[at]);
	if (at < 5 || at == s.len || s.ptr[at] != '}')
		return 0;
	if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ||
		code == 0x2028 || code == 0x2029)
		return 0;
	return at + 1;
}

/* utf-8-addr-xtext and utf-8-addr-unitext: also what xtext could say is taken, since senders mix them. */
static bool
utf8_address_ok(struct sp_span s)
{
	for (size_t at = 0; at < s.len;) {
		uint32_t code;
		size_t len;

		if ((unsigned char)s.ptr[at] >= 0x80) {
			len = utf8_next(span_from(s, at), &code);
			if (len == 0 || !utf8_is_plain(span_of(s.ptr + at, len)))
				return false;
			at += len;
		} else if (s.ptr[at] == '\\') {
			len = embedded_len(span_from(s, at));
			if (len == 0)
				return false;
			at += len;
		} else {
			int octet = xtext_octet(s, &at);

			if (octet < ' ' || octet > '~')
				return false;
		}
	}
	return true;
}

/* xtext of any octets but controls: Postfix so writes an address beyond ASCII that was not given to it as "utf-8;". */
static bool
eight_bit_xtext_ok(struct sp_span s)
{
	for (size_t at = 0; at < s.len;) {
		int octet = xtext_octet(s, &at);

		if (octet < ' ' || octet == 0x7f)
			return false;
	}
	return true;
}

static bool
is_address_type(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!span_is_alpha(s.ptr[i]) && !span_is_digit(s.ptr[i]) && s.ptr[i] != '-')
			return false;
	return s.len > 0;
}

/* ---- values of MAIL ------------------------------------------------------------------------- */

static bool
take_size(struct sp_span value, struct command_path *path)
{
	uint64_t size;

	if (span_to_u64(value, INT64_MAX, &size) != SP_OK)
		return false;
	path->size = (int64_t)size;
	return true;
}

static bool
take_body(struct sp_span value, struct command_path *path)
{
	path->body_given = true;
	path->body_8bit = span_ieq(value, SPAN_LIT("8BITMIME"));
	path->body_binary = span_ieq(value, SPAN_LIT("BINARYMIME"));
	if (path->body_8bit)
		path->needs |= EXT_BIT(EXT_8BITMIME);
	if (path->body_binary)
		path->needs |= EXT_BIT(EXT_BINARYMIME) | EXT_BIT(EXT_CHUNKING);
	return path->body_8bit || path->body_binary || span_ieq(value, SPAN_LIT("7BIT"));
}

static bool
take_smtputf8(struct sp_span value, struct command_path *path)
{
	path->smtputf8 = true;
	return value.ptr == NULL;
}

static bool
take_prdr(struct sp_span value, struct command_path *path)
{
	path->prdr = true;
	return value.ptr == NULL;
}

static bool
take_ret(struct sp_span value, struct command_path *path)
{
	(void)path;
	return span_ieq(value, SPAN_LIT("FULL")) || span_ieq(value, SPAN_LIT("HDRS"));
}

static bool
take_envid(struct sp_span value, struct command_path *path)
{
	(void)path;
	return value.len > 0 && value.len <= ENVID_MAX && parameter_is_xtext(value);
}

/* RFC 4954 section 5: <> for nobody, or a mailbox. */
static bool
take_auth(struct sp_span value, struct command_path *path)
{
	(void)path;
	return value.len > 0 && value.len <= ORCPT_MAX && parameter_is_xtext(value);
}

/* by-time ";" by-mode [by-trace] (RFC 2852 section 4): to be returned in no time at all cannot be asked. */
static bool
take_by(struct sp_span value, struct command_path *path)
{
	size_t end = span_find(value, ';');
	struct sp_span time = span_head(value, end), mode = span_from(value, end + 1);
	bool minus = span_starts(time, SPAN_LIT("-"));
	uint64_t seconds;

	(void)path;
	if (minus || span_starts(time, SPAN_LIT("+")))
		time = span_from(time, 1);
	if (time.len > BY_DIGITS || span_to_u64(time, UINT32_MAX, &seconds) != SP_OK)
		return false;
	if (span_ieq(mode, SPAN_LIT("R")) || span_ieq(mode, SPAN_LIT("RT")))
		return !minus && seconds > 0;
	return span_ieq(mode, SPAN_LIT("N")) || span_ieq(mode, SPAN_LIT("NT"));
}

static bool
take_priority(struct sp_span value, struct command_path *path)
{
	(void)path;
	if (span_starts(value, SPAN_LIT("-")))
		return value.len == 2 && value.ptr[1] >= '1' && value.ptr[1] <= '9';
	return value.len == 1 && span_is_digit(value.ptr[0]);
}

static bool
take_requiretls(struct sp_span value, struct command_path *path)
{
	(void)path;
	return value.ptr == NULL;
}

/* One of the two (RFC 4865 section 4). */
static bool
take_hold(struct command_path *path)
{
	bool first = !path->held;

	path->held = true;
	return first;
}

static bool
take_holdfor(struct sp_span value, struct command_path *path)
{
	uint64_t seconds;

	return take_hold(path) && value.len <= HOLD_DIGITS && span_to_u64(value, UINT32_MAX, &seconds) == SP_OK && seconds > 0;
}

/* "2026-11-22T10:00:00Z", "...+01:00" (RFC 3339): d is a digit. */
static bool
take_holduntil(struct sp_span value, struct command_path *path)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	struct sp_span zone = span_from(value, sizeof(form) - 1);

	if (!take_hold(path) || value.len < sizeof(form))
		return false;
	for (size_t i = 0; i < sizeof(form) - 1; i++)
		if (form[i] == 'd' ? !span_is_digit(value.ptr[i]) : span_lower(value.ptr[i]) != span_lower(form[i]))
			return false;
	if (span_ieq(zone, SPAN_LIT("Z")))
		return true;
	return zone.len == 6 && (zone.ptr[0] == '+' || zone.ptr[0] == '-') && span_is_digit(zone.ptr[1]) &&
		span_is_digit(zone.ptr[2]) && zone.ptr[3] == ':' && span_is_digit(zone.ptr[4]) && span_is_digit(zone.ptr[5]);
}

/* ---- values of RCPT ------------------------------------------------------------------------- */

static bool
take_notify(struct sp_span value, struct command_path *path)
{
	(void)path;
	if (span_ieq(value, SPAN_LIT("NEVER")))
		return true;
	do {
		size_t end = span_find(value, ',');
		struct sp_span word = span_head(value, end);

		if (!span_ieq(word, SPAN_LIT("SUCCESS")) && !span_ieq(word, SPAN_LIT("FAILURE")) &&
			!span_ieq(word, SPAN_LIT("DELAY")))
			return false;
		if (end == value.len)
			return true;
		value = span_from(value, end + 1);
	} while (value.len > 0);
	return false;
}

static bool
take_orcpt(struct sp_span value, struct command_path *path)
{
	size_t end = span_find(value, ';');
	struct sp_span type = span_head(value, end), text = span_from(value, end + 1);

	(void)path;
	if (value.len > ORCPT_MAX || text.len == 0 || !is_address_type(type))
		return false;
	return span_ieq(type, SPAN_LIT("utf-8")) ? utf8_address_ok(text) : eight_bit_xtext_ok(text);
}

/* ---- the table ------------------------------------------------------------------------------ */

static const struct parameter parameters[] = {
	{ "SIZE", true, EXT_SIZE, false, take_size },
	{ "BODY", true, EXT_8BITMIME, false, take_body },
	{ "SMTPUTF8", true, EXT_SMTPUTF8, true, take_smtputf8 },
	{ "PRDR", true, EXT_PRDR, false, take_prdr },
	{ "RET", true, EXT_DSN, true, take_ret },
	{ "ENVID", true, EXT_DSN, true, take_envid },
	{ "AUTH", true, EXT_AUTH, true, take_auth },
	{ "BY", true, EXT_DELIVERBY, true, take_by },
	{ "MT-PRIORITY", true, EXT_MT_PRIORITY, true, take_priority },
	{ "REQUIRETLS", true, EXT_REQUIRETLS, true, take_requiretls },
	{ "HOLDFOR", true, EXT_FUTURERELEASE, true, take_holdfor },
	{ "HOLDUNTIL", true, EXT_FUTURERELEASE, true, take_holduntil },
	{ "NOTIFY", false, EXT_DSN, true, take_notify },
	{ "ORCPT", false, EXT_DSN, true, take_orcpt },
};

const struct parameter *
parameter_find(bool mail, struct sp_span name)
{
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		if (parameters[i].mail == mail && span_ieq(name, span_str(parameters[i].name)))
			return &parameters[i];
	return NULL;
}

struct sp_span
parameter_text(struct arena *a, struct sp_span params, bool mail)
{
	char *text = arena_alloc(a, params.len + 1);
	size_t used = 0;

	if (text == NULL)
		return span_of(NULL, 0);
	for (params = span_trim(params); params.len > 0; params = span_trim(params)) {
		struct sp_span word = span_head(params, span_find(params, ' '));
		const struct parameter *p = parameter_find(mail, span_head(word, span_find(word, '=')));

		params = span_from(params, word.len);
		if (p == NULL || !p->passes)
			continue;
		text[used++] = ' ';
		memcpy(text + used, word.ptr, word.len);
		used += word.len;
	}
	return span_of(text, used);
}
