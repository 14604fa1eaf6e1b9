/*
 * wire_reply.c - what a milter answers, checked to the last octet before anybody acts on it.
 *
 * A packet has exactly the parts of its kind: a text without its NUL, a part too few and an octet too many are all
 * SP_INVALID.  The reply code is text that a client will read, so it is taken apart here: libmilter doubles
 * percent signs, divides lines by CR LF, and gives each line the code (RFC 5321 section 4.2, RFC 3463).
 */
#include <string.h>

#include <libmilter/mfapi.h>

#include "milter/wire.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- negotiation ----------------------------------------------------------------------------- */

static enum sp_status
optneg_read(struct sp_span data, struct wire_options *ret)
{
	enum sp_status st = wire_take_u32(&data, &ret->version);
	struct sp_span list;
	uint32_t stage;

	if (st == SP_OK)
		st = wire_take_u32(&data, &ret->actions);
	if (st == SP_OK)
		st = wire_take_u32(&data, &ret->protocol);
	while (st == SP_OK && data.len > 0) {
		st = wire_take_u32(&data, &stage);
		if (st == SP_OK)
			st = wire_take_text(&data, &list);
		if (st != SP_OK || stage >= WIRE_STAGES)
			continue; /* stages of a later protocol do not concern us */
		ret->listed[stage] = true;
		ret->lists[stage] = list;
	}
	return st;
}

/* ---- reply codes ------------------------------------------------------------------------------ */

/* "5.7.1" at the front: its length, or 0. */
static size_t
enhanced_len(struct sp_span s)
{
	size_t at = 0;

	for (unsigned part = 0; part < 3; part++) {
		size_t start = at;

		while (at < s.len && at - start < 3 && is_digit(s.ptr[at]))
			at++;
		if (at == start || (part == 0 && at != 1))
			return 0;
		if (part < 2 && (at == s.len || s.ptr[at++] != '.'))
			return 0;
	}
	return at == s.len || s.ptr[at] == ' ' ? at : 0;
}

static struct sp_span
span_from(struct sp_span s, size_t start)
{
	return (struct sp_span){ s.ptr + start, s.len - start };
}

/* The text of one line as a client may read it: percent signs single, 8-bit octets masked. False: a control character. */
static bool
line_clean(struct sp_span in, char *to, size_t *len)
{
	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];

		if (c == '%' && i + 1 < in.len && in.ptr[i + 1] == '%')
			i++;
		if (c == '\t')
			c = ' ';
		if ((unsigned char)c < ' ' || c == 0x7f)
			return false;
		to[(*len)++] = (unsigned char)c > '~' ? '?' : c;
	}
	return true;
}

/* One line, "550 5.7.1 text" or "550-5.7.1 text". */
static bool
line_read(struct sp_span line, bool last, struct wire_reply *r, char *scratch)
{
	struct sp_span enhanced;
	bool first = r->code == 0;
	size_t len;
	int code;

	if (line.len < 3 || line.len > WIRE_REPLY_LINE || (line.ptr[0] != '4' && line.ptr[0] != '5') ||
		!is_digit(line.ptr[1]) || !is_digit(line.ptr[2]))
		return false;
	code = (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + (line.ptr[2] - '0');
	if ((!first && code != r->code) || (line.len == 3 ? !last : line.ptr[3] != (last ? ' ' : '-')))
		return false;
	r->code = code;
	line = span_from(line, line.len > 3 ? 4 : 3);
	enhanced = (struct sp_span){ line.ptr, enhanced_len(line) };
	if (enhanced.len > 0 && enhanced.ptr[0] != '0' + code / 100)
		return false;
	if (first)
		r->enhanced = enhanced;
	else
		scratch[r->text.len++] = '\n';
	len = enhanced.len + (enhanced.len > 0 && enhanced.len < line.len);
	return line_clean(span_from(line, len), scratch, &r->text.len);
}

static enum sp_status
replycode_read(struct sp_span data, char *scratch, struct wire_reply *r)
{
	struct sp_span text;
	enum sp_status st = wire_take_text(&data, &text);
	unsigned lines = 0;
	bool last = false;

	if (st != SP_OK || data.len > 0)
		return SP_INVALID;
	r->text = (struct sp_span){ scratch, 0 };
	while (!last) {
		const char *cr = memchr(text.ptr, '\r', text.len);
		struct sp_span line = { text.ptr, cr != NULL ? (size_t)(cr - text.ptr) : text.len };

		last = cr == NULL;
		if (++lines > WIRE_REPLY_LINES || !line_read(line, last, r, scratch))
			return SP_INVALID;
		if (last)
			break;
		if (line.len + 2 > text.len || cr[1] != '\n')
			return SP_INVALID;
		text = span_from(text, line.len + 2);
	}
	return SP_OK;
}

/* ---- edits ------------------------------------------------------------------------------------ */

static enum sp_status
field_read(struct sp_span *data, bool indexed, struct wire_reply *r)
{
	enum sp_status st = indexed ? wire_take_u32(data, &r->index) : SP_OK;

	if (st == SP_OK && r->index > INT32_MAX)
		st = SP_INVALID; /* it was negative */
	if (st == SP_OK)
		st = wire_take_text(data, &r->name);
	if (st == SP_OK)
		st = wire_take_text(data, &r->value);
	return st == SP_OK && r->name.len == 0 ? SP_INVALID : st;
}

static enum sp_status
address_read(struct sp_span *data, bool with_params, struct wire_reply *r)
{
	enum sp_status st = wire_take_text(data, &r->address);

	if (st == SP_OK && with_params && data->len > 0)
		st = wire_take_text(data, &r->params);
	return st == SP_OK && r->address.len == 0 ? SP_INVALID : st;
}

/* ---- all of them ------------------------------------------------------------------------------ */

enum sp_status
wire_reply_read(const struct wire_packet *p, char *scratch, struct wire_reply *ret)
{
	struct wire_reply r = { .letter = p->letter };
	struct sp_span data = p->data;
	enum sp_status st = SP_OK;

	switch (p->letter) {
	case SMFIC_OPTNEG:
		st = optneg_read(data, &r.options);
		data.len = 0;
		break;
	case SMFIR_ACCEPT: case SMFIR_CONTINUE: case SMFIR_REJECT: case SMFIR_TEMPFAIL: case SMFIR_DISCARD:
	case SMFIR_SHUTDOWN: case SMFIR_CONN_FAIL: case SMFIR_SKIP: case SMFIR_PROGRESS:
		break;
	case SMFIR_REPLYCODE:
		st = replycode_read(data, scratch, &r);
		data.len = 0;
		break;
	case SMFIR_QUARANTINE:
		st = wire_take_text(&data, &r.text);
		break;
	case SMFIR_REPLBODY:
		r.text = data;
		data.len = 0;
		break;
	case SMFIR_ADDHEADER:
		st = field_read(&data, false, &r);
		break;
	case SMFIR_INSHEADER: case SMFIR_CHGHEADER:
		st = field_read(&data, true, &r);
		break;
	case SMFIR_CHGFROM: case SMFIR_ADDRCPT_PAR:
		st = address_read(&data, true, &r);
		break;
	case SMFIR_ADDRCPT: case SMFIR_DELRCPT:
		st = address_read(&data, false, &r);
		break;
	default:
		return SP_INVALID;
	}
	if (st != SP_OK || data.len > 0)
		return SP_INVALID;
	*ret = r;
	return SP_OK;
}

const char *
wire_reply_name(char letter)
{
	static const struct {
		char letter;
		const char *name;
	} names[] = { { SMFIC_OPTNEG, "OPTNEG" }, { SMFIR_ACCEPT, "ACCEPT" }, { SMFIR_CONTINUE, "CONTINUE" },
		{ SMFIR_REJECT, "REJECT" }, { SMFIR_TEMPFAIL, "TEMPFAIL" }, { SMFIR_DISCARD, "DISCARD" },
		{ SMFIR_SHUTDOWN, "SHUTDOWN" }, { SMFIR_CONN_FAIL, "CONN_FAIL" }, { SMFIR_SKIP, "SKIP" },
		{ SMFIR_PROGRESS, "PROGRESS" }, { SMFIR_REPLYCODE, "REPLYCODE" }, { SMFIR_QUARANTINE, "QUARANTINE" },
		{ SMFIR_REPLBODY, "REPLBODY" }, { SMFIR_ADDHEADER, "ADDHEADER" }, { SMFIR_INSHEADER, "INSHEADER" },
		{ SMFIR_CHGHEADER, "CHGHEADER" }, { SMFIR_CHGFROM, "CHGFROM" }, { SMFIR_ADDRCPT, "ADDRCPT" },
		{ SMFIR_ADDRCPT_PAR, "ADDRCPT_PAR" }, { SMFIR_DELRCPT, "DELRCPT" } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].letter == letter)
			return names[i].name;
	return NULL;
}
