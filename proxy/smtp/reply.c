/*
 * reply.c - see reply.h.  A parser owns the text of its reply (RFC 5321 4.2, RFC 2034 4, RFC 3463 2).
 */
#include "proxy/smtp/reply.h"

#include "policy/kit/must.h"
#include "policy/kit/span.h"

enum { REPLY_CODE_MIN = 200, REPLY_CODE_MAX = 599, QUEUE_ID_MAX = 128 };

/* ---- building ------------------------------------------------------------------------------ */

static void
add_line(struct buf *to, int code, const char *enhanced, struct sp_span text, bool last)
{
	bool with = enhanced != NULL && enhanced[0] != '\0';

	text = span_head(text, REPLY_TEXT);
	buf_printf(to, "%d%c%s%s", code, last ? ' ' : '-', with ? enhanced : "", with && text.len > 0 ? " " : "");
	for (size_t i = 0; i < text.len; i++)
		buf_add_char(to, text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?');
	buf_add_str(to, "\r\n");
}

void
reply_add(struct buf *to, int code, const char *enhanced, struct sp_span text)
{
	MUST(code >= REPLY_CODE_MIN && code <= REPLY_CODE_MAX);
	for (unsigned lines = 1;; lines++) {
		size_t len = span_find(text, '\n');
		struct sp_span line = span_head(text, len);

		text = span_from(text, len + 1);
		if (text.len == 0 || lines == REPLY_LINES) {
			add_line(to, code, enhanced, line, true);
			break;
		}
		add_line(to, code, enhanced, line, false);
	}
}

/* ---- reading ------------------------------------------------------------------------------- */

void
reply_parser_init(struct reply_parser *p)
{
	*p = (struct reply_parser){ 0 };
	buf_init(&p->reply.text, REPLY_OCTETS);
}

void
reply_parser_fini(struct reply_parser *p)
{
	buf_fini(&p->reply.text);
}

void
reply_parser_next(struct reply_parser *p)
{
	struct buf text = p->reply.text;

	buf_clear(&text);
	*p = (struct reply_parser){ .reply = { .text = text } };
}

static enum reply_result
bad(struct reply_parser *p, const char *why)
{
	p->error = why;
	return REPLY_BAD;
}

/* Digits at s[at], at most max of them; 0: none. */
static size_t
digits(struct sp_span s, size_t at, size_t max)
{
	size_t n = 0;

	while (n < max && at + n < s.len && span_is_digit(s.ptr[at + n]))
		n++;
	return n;
}

/* Octets of an enhanced code "c.sss.ddd" of that class at the front; 0: none. */
static size_t
enhanced_len(struct sp_span text, int class)
{
	size_t subject, detail, len;

	if (text.len < 5 || text.ptr[0] != '0' + class || text.ptr[1] != '.')
		return 0;
	subject = digits(text, 2, 3);
	if (subject == 0 || 2 + subject >= text.len || text.ptr[2 + subject] != '.')
		return 0;
	detail = digits(text, 3 + subject, 3);
	len = 3 + subject + detail;
	return detail > 0 && (len == text.len || text.ptr[len] == ' ') ? len : 0;
}

static void
add_text(struct smtp_reply *reply, struct sp_span text)
{
	size_t enhanced = enhanced_len(text, reply_class(reply->code));
	size_t from;

	if (enhanced > 0) {
		if (reply->lines == 0) {
			memcpy(reply->enhanced, text.ptr, enhanced);
			reply->enhanced[enhanced] = '\0';
		}
		text = span_from(text, enhanced + 1);
	}
	if (reply->lines > 0)
		buf_add_char(&reply->text, '\n');
	from = reply->text.len;
	buf_add(&reply->text, text);
	for (size_t i = from; i < reply->text.len; i++)
		if (reply->text.ptr[i] == '\r' || reply->text.ptr[i] == '\0')
			reply->text.ptr[i] = '?';
}

/* One line without its end. REPLY_OK: the last of its reply. */
static enum reply_result
take_line(struct reply_parser *p, struct sp_span line)
{
	struct smtp_reply *reply = &p->reply;
	uint64_t code;
	char sep;

	if (span_to_u64(span_head(line, 3), REPLY_CODE_MAX, &code) != SP_OK || code < REPLY_CODE_MIN || line.len < 3)
		return bad(p, "reply without a code of 200 to 599");
	sep = line.len > 3 ? line.ptr[3] : ' ';
	if (sep != ' ' && sep != '-')
		return bad(p, "reply code not followed by a blank or hyphen");
	if (reply->lines > 0 && reply->code != (int)code)
		return bad(p, "reply with different codes");
	if (reply->lines == REPLY_LINES)
		return bad(p, "reply of too many lines");
	reply->code = (int)code;
	add_text(reply, span_from(line, 4));
	reply->lines++;
	if (buf_status(&reply->text) != SP_OK)
		return bad(p, "no memory for a reply");
	return sep == ' ' ? REPLY_OK : REPLY_MORE;
}

enum reply_result
reply_parse(struct reply_parser *p, struct sp_span in, size_t *used)
{
	enum reply_result result = REPLY_MORE;

	*used = 0;
	if (p->error != NULL)
		return REPLY_BAD;
	while (result == REPLY_MORE) {
		struct sp_span rest = span_from(in, *used);
		size_t len = span_find(rest, '\n');
		size_t all = len + (len < rest.len); /* an unfinished line needs one more octet at least */

		if (p->octets + all + (len == rest.len) > REPLY_OCTETS)
			return bad(p, "reply of too many octets");
		if (len == rest.len)
			break;
		p->octets += all;
		*used += all;
		if (len > 0 && rest.ptr[len - 1] == '\r')
			len--;
		result = take_line(p, span_head(rest, len));
	}
	return result;
}

/* ---- queue ids ----------------------------------------------------------------------------- */

/* What follows the last `mark` in text; empty when it is not there. */
static struct sp_span
after_last(struct sp_span text, struct sp_span mark)
{
	for (size_t i = text.len; i-- > 0;)
		if (span_istarts(span_from(text, i), mark))
			return span_from(text, i + mark.len);
	return span_of(NULL, 0);
}

static bool
is_id_octet(char c)
{
	return span_is_alpha(c) || span_is_digit(c) || (c != '\0' && strchr("-_.+/=@", c) != NULL);
}

/* The id at the front of s, if it is one: no octets that could trouble a log line. */
static struct sp_span
id_at(struct sp_span s)
{
	size_t len = 0;

	while (len < s.len && len < QUEUE_ID_MAX && is_id_octet(s.ptr[len]))
		len++;
	while (len > 0 && s.ptr[len - 1] == '.')
		len--;
	return span_head(s, len);
}

/* The word before " Message accepted", which begins the text. */
static struct sp_span
id_before_accepted(struct sp_span text)
{
	struct sp_span id = id_at(text);

	if (id.len == 0 || !span_istarts(span_from(text, id.len), SPAN_LIT(" Message accepted")))
		return span_of(NULL, 0);
	return id;
}

struct sp_span
reply_queue_id(struct sp_span text)
{
	static const struct sp_span marks[] = { { "queued as ", 10 }, { "[InternalId=", 12 }, { " id=", 4 } };

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		struct sp_span id = id_at(after_last(text, marks[i]));

		if (id.len > 0)
			return id;
	}
	return id_before_accepted(text);
}
