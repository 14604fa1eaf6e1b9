/*
 * reply.c - see reply.h (RFC 5321 section 4.2, RFC 3463 section 2).
 */
#include "linewire/reply.h"

#include "linewire/text.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* One to three digits. */
static size_t
number_len(struct sp_span s)
{
	size_t n = 0;

	while (n < s.len && n < 3 && is_digit(s.ptr[n]))
		n++;
	return n;
}

/* The length of "5.7.1" at the beginning of the text; 0: none stands there. */
static size_t
enhanced_len(struct sp_span s)
{
	size_t subject, detail, len;

	if (s.len < 5 || (s.ptr[0] != '2' && s.ptr[0] != '4' && s.ptr[0] != '5') || s.ptr[1] != '.')
		return 0;
	subject = number_len(text_from(s, 2));
	len = 2 + subject;
	if (subject == 0 || len >= s.len || s.ptr[len] != '.')
		return 0;
	detail = number_len(text_from(s, len + 1));
	len += 1 + detail;
	return detail > 0 && (len == s.len || s.ptr[len] == ' ') ? len : 0;
}

static struct sp_span
printable(struct sp_ctx *ctx, struct sp_span text)
{
	char *copy;

	text = text_head(text, WIRE_REPLY_TEXT);
	copy = sp_alloc(ctx, text.len + 1);
	for (size_t i = 0; copy != NULL && i < text.len; i++)
		copy[i] = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
	return (struct sp_span){ copy, text.len };
}

enum sp_status
wire_reply(struct sp_ctx *ctx, int code, struct sp_span text, struct sp_reply *ret)
{
	size_t len;
	char *enhanced;

	text = text_trim(text);
	len = enhanced_len(text);
	enhanced = sp_alloc(ctx, len + 1);
	if (enhanced == NULL)
		return SP_LIMIT;
	if (len > 0) {
		memcpy(enhanced, text.ptr, len);
		enhanced[0] = (char)('0' + code / 100);
	}
	text = text_trim(text_from(text, len));
	*ret = (struct sp_reply){ .code = code, .enhanced = { enhanced, len },
		.text = printable(ctx, text.len == 0 ? text_of("Access denied") : text) };
	return ret->text.ptr == NULL ? SP_LIMIT : SP_OK;
}

enum sp_status
wire_reply_line(struct sp_ctx *ctx, struct sp_span line, struct sp_reply *ret)
{
	if (line.len < 3 || (line.ptr[0] != '4' && line.ptr[0] != '5') || !is_digit(line.ptr[1]) || !is_digit(line.ptr[2]) ||
		(line.len > 3 && line.ptr[3] != ' '))
		return SP_INVALID;
	return wire_reply(ctx, (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + (line.ptr[2] - '0'), text_from(line, 4), ret);
}
