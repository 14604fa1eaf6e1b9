/*
 * sasl.c - see sasl.h.  Answers are decoded on the stack, and wiped there: they hold passwords.
 *
 * RFC 4616 (PLAIN), 5802 (SCRAM), 7628 (OAUTHBEARER), 2195 (CRAM-MD5), 4422 appendix A (EXTERNAL); LOGIN and XOAUTH2 are as
 * their makers describe them.
 */
#include "proxy/smtp/sasl.h"

#include <string.h>

#include "policy/kit/span.h"
#include "policy/kit/utf8.h"

enum { OTHER, PLAIN, LOGIN, CRAM_MD5, SCRAM, XOAUTH2, OAUTHBEARER, EXTERNAL };

enum { MD5_DIGITS = 32, DECODED = SASL_LINE / 4 * 3 };

bool
sasl_mechanism_ok(struct sp_span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!span_is_alpha(name.ptr[i]) && !span_is_digit(name.ptr[i]) && name.ptr[i] != '-' && name.ptr[i] != '_')
			return false;
	return name.len > 0 && name.len <= SASL_MECHANISM;
}

/* ---- base64 --------------------------------------------------------------------------------------------------- */

/* 0 to 63; -1: no digit of base64. */
static int
digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four into out; octets in it, 0: no such group. last: it may end in "=". */
static size_t
group(const char *in, bool last, unsigned char out[3])
{
	int a = digit(in[0]), b = digit(in[1]), c = digit(in[2]), d = digit(in[3]);

	if (a < 0 || b < 0)
		return 0;
	out[0] = (unsigned char)(a << 2 | b >> 4);
	if (last && in[2] == '=' && in[3] == '=')
		return (b & 15) == 0 ? 1 : 0;
	if (c < 0)
		return 0;
	out[1] = (unsigned char)((b & 15) << 4 | c >> 2);
	if (last && in[3] == '=')
		return (c & 3) == 0 ? 2 : 0;
	if (d < 0)
		return 0;
	out[2] = (unsigned char)((c & 3) << 6 | d);
	return 3;
}

/* to null: only looks. */
static enum sp_status
decode(struct sp_span text, char *to, size_t *ret_len)
{
	unsigned char out[3];
	size_t len = 0;

	if (text.len % 4 != 0)
		return SP_INVALID;
	for (size_t i = 0; i < text.len; i += 4) {
		size_t n = group(text.ptr + i, i + 4 == text.len, out);

		if (n == 0)
			return SP_INVALID;
		if (to != NULL)
			memcpy(to + len, out, n);
		len += n;
	}
	*ret_len = len;
	return SP_OK;
}

bool
sasl_base64_ok(struct sp_span text)
{
	size_t len;

	return decode(text, NULL, &len) == SP_OK;
}

enum sp_status
sasl_base64_decode(struct sp_span text, char *to, size_t *ret_len)
{
	return decode(text, to, ret_len);
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static bool
is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

static bool
has_control(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (is_control(s.ptr[i]))
			return true;
	return false;
}

/* A name goes into logs, facts and tables. */
static enum sp_status
take_name(struct sasl *s, struct sp_span name)
{
	if (name.len == 0 || name.len > SASL_NAME || !utf8_is_plain(name))
		return SP_INVALID;
	memcpy(s->name, name.ptr, name.len);
	s->name[name.len] = '\0';
	return SP_OK;
}

/* Cuts off the front up to the first c, and c; {null, 0}: there is no c. */
static struct sp_span
cut(struct sp_span *rest, char c)
{
	size_t len = span_find(*rest, c);
	struct sp_span front = span_head(*rest, len);

	if (len == rest->len)
		return span_of(NULL, 0);
	*rest = span_of(rest->ptr + len + 1, rest->len - len - 1);
	return front;
}

/* saslname of RFC 5802: "=2C" and "=3D" stand for comma and equals. */
static enum sp_status
take_escaped(struct sasl *s, struct sp_span text)
{
	char name[SASL_NAME];
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (len == sizeof(name))
			return SP_INVALID;
		if (c == '=') {
			bool comma = span_istarts(span_from(text, i), SPAN_LIT("=2C"));

			if (!comma && !span_istarts(span_from(text, i), SPAN_LIT("=3D")))
				return SP_INVALID;
			c = comma ? ',' : '=';
			i += 2;
		}
		name[len++] = c;
	}
	return take_name(s, span_of(name, len));
}

/* ---- the mechanisms ----------------------------------------------------------------------------------------------- */

/* [authzid] NUL authcid NUL passwd */
static enum sp_status
answer_plain(struct sasl *s, struct sp_span text)
{
	struct sp_span authzid = cut(&text, '\0'), authcid = cut(&text, '\0');

	if (s->answers > 0 || authzid.ptr == NULL || authcid.ptr == NULL || has_control(authzid) || has_control(text))
		return SP_INVALID;
	return take_name(s, authcid);
}

/* The name, then the password. */
static enum sp_status
answer_login(struct sasl *s, struct sp_span text)
{
	if (s->answers == 0)
		return take_name(s, text);
	return s->answers > 1 || has_control(text) ? SP_INVALID : SP_OK;
}

/* name SP digest; the name may hold blanks. */
static enum sp_status
answer_cram(struct sasl *s, struct sp_span text)
{
	size_t blank = span_rfind(text, ' ');

	if (s->answers > 0 || text.len - blank != MD5_DIGITS + 1)
		return SP_INVALID;
	for (size_t i = blank + 1; i < text.len; i++) {
		char c = span_lower(text.ptr[i]);

		if (!span_is_digit(c) && (c < 'a' || c > 'f'))
			return SP_INVALID;
	}
	return take_name(s, span_head(text, blank));
}

/* "n,", "y," or "p=...,", then "[a=authzid],". False: no such thing. */
static bool
gs2_header(struct sp_span *text, struct sp_span *ret_authzid)
{
	struct sp_span flag = cut(text, ','), authzid = cut(text, ',');

	if (flag.ptr == NULL || authzid.ptr == NULL)
		return false;
	if (!span_eq(flag, SPAN_LIT("n")) && !span_eq(flag, SPAN_LIT("y")) && !span_starts(flag, SPAN_LIT("p=")))
		return false;
	*ret_authzid = span_from(authzid, 2);
	return authzid.len == 0 || (span_starts(authzid, SPAN_LIT("a=")) && authzid.len > 2);
}

/* gs2-header "n=" saslname ",r=" nonce; then "c=..."; then nothing more than a nod. An extension "m=" is one that we would have
 * to know. */
static enum sp_status
answer_scram(struct sasl *s, struct sp_span text)
{
	struct sp_span authzid, name;

	if (has_control(text))
		return SP_INVALID;
	if (s->answers == 1)
		return span_starts(text, SPAN_LIT("c=")) ? SP_OK : SP_INVALID;
	if (s->answers > 1)
		return s->answers == 2 && text.len == 0 ? SP_OK : SP_INVALID;
	if (!gs2_header(&text, &authzid))
		return SP_INVALID;
	name = cut(&text, ',');
	if (!span_starts(name, SPAN_LIT("n=")) || !span_starts(text, SPAN_LIT("r=")))
		return SP_INVALID;
	return take_escaped(s, span_from(name, 2));
}

/* Fields of text, each ended by ^A, and one more ^A at the end of all. */
static bool
fields_ok(struct sp_span text)
{
	if (text.len < 2 || text.ptr[text.len - 1] != 1 || text.ptr[text.len - 2] != 1)
		return false;
	for (size_t i = 0; i + 1 < text.len; i++)
		if (is_control(text.ptr[i]) && (text.ptr[i] != 1 || (text.ptr[i + 1] == 1 && i + 2 != text.len)))
			return false;
	return true;
}

/* "user=" name ^A "auth=Bearer " token ^A ^A, and no field more: some servers take the last "user=". Where that is refused, the
 * client nods. */
static enum sp_status
answer_xoauth2(struct sasl *s, struct sp_span text)
{
	struct sp_span name;

	if (s->answers > 0)
		return s->answers == 1 && text.len == 0 ? SP_OK : SP_INVALID;
	name = fields_ok(text) ? cut(&text, 1) : span_of(NULL, 0);
	if (!span_starts(name, SPAN_LIT("user=")) || !span_starts(text, SPAN_LIT("auth=")) || span_find(text, 1) + 2 != text.len)
		return SP_INVALID;
	return take_name(s, span_from(name, 5));
}

/* gs2-header ^A fields; the token itself says who it is for, so the name is told only where the header has it. */
static enum sp_status
answer_oauthbearer(struct sasl *s, struct sp_span text)
{
	struct sp_span authzid;

	if (s->answers > 0)
		return s->answers == 1 && (text.len == 0 || span_eq(text, SPAN_LIT("\x01"))) ? SP_OK : SP_INVALID;
	if (!gs2_header(&text, &authzid) || text.len < 3 || text.ptr[0] != 1 || !fields_ok(span_from(text, 1)))
		return SP_INVALID;
	return authzid.len > 0 ? take_escaped(s, authzid) : SP_OK;
}

static enum sp_status
answer_external(struct sasl *s, struct sp_span text)
{
	if (s->answers > 0)
		return SP_INVALID;
	return text.len > 0 ? take_name(s, text) : SP_OK;
}

void
sasl_init(struct sasl *s, struct sp_span mechanism)
{
	static const struct {
		const char *name;
		unsigned kind;
	} known[] = { { "PLAIN", PLAIN }, { "LOGIN", LOGIN }, { "CRAM-MD5", CRAM_MD5 }, { "XOAUTH2", XOAUTH2 },
		{ "OAUTHBEARER", OAUTHBEARER }, { "EXTERNAL", EXTERNAL } };

	*s = (struct sasl){ .kind = span_istarts(mechanism, SPAN_LIT("SCRAM-")) ? SCRAM : OTHER };
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (span_ieq(mechanism, span_str(known[i].name)))
			s->kind = known[i].kind;
}

static enum sp_status
answer_read(struct sasl *s, struct sp_span text)
{
	switch (s->kind) {
	case PLAIN:
		return answer_plain(s, text);
	case LOGIN:
		return answer_login(s, text);
	case CRAM_MD5:
		return answer_cram(s, text);
	case SCRAM:
		return answer_scram(s, text);
	case XOAUTH2:
		return answer_xoauth2(s, text);
	case OAUTHBEARER:
		return answer_oauthbearer(s, text);
	case EXTERNAL:
		return answer_external(s, text);
	default:
		return SP_OK;
	}
}

enum sp_status
sasl_answer(struct sasl *s, struct sp_span base64)
{
	char text[DECODED];
	size_t len = 0;
	enum sp_status st = base64.len > SASL_LINE ? SP_INVALID : decode(base64, text, &len);

	if (st == SP_OK)
		st = answer_read(s, span_of(text, len));
	explicit_bzero(text, sizeof(text));
	s->answers++;
	return st;
}

struct sp_span
sasl_name(const struct sasl *s)
{
	return s->name[0] != '\0' ? span_str(s->name) : SPAN_LIT("unknown");
}
