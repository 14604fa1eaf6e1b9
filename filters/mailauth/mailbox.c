/*
 * mailbox.c - the domain of a From field's one mailbox (see mailbox.h): RFC 5322 3.2 to 3.4 with UTF-8 (RFC 6532) and
 * without the obsolete forms, but for dots in display names, which half the world writes.  A cursor over the caller's text; nothing is allocated.
 *
 * What two parsers could read in two ways is no mailbox here: routes, unquoted '@' or ',' in display names, text
 * behind an angle bracket, empty places in a list, comments within an address, and encoded words there (RFC 2047 5), and
 * of what is beyond ASCII all that is not UTF-8, not seen, or another form of ASCII's punctuation.
 */
#include "mailauth/mailbox.h"
#include "mailauth/text.h"
#include "mailauth/utf8.h"

static char
peek(struct sp_span s)
{
	return s.len > 0 ? s.ptr[0] : '\0';
}

/* Takes c if it stands first. */
static bool
take_char(struct sp_span *s, char c)
{
	if (s->len == 0 || s->ptr[0] != c)
		return false;
	*s = text_from(*s, 1);
	return true;
}

/* One blank, or a line end that folds; false: none. */
static bool
take_space(struct sp_span *s)
{
	size_t len = 0;

	if (peek(*s) == ' ' || peek(*s) == '\t')
		len = 1;
	else if (s->len >= 3 && memcmp(s->ptr, "\r\n", 2) == 0 && (s->ptr[2] == ' ' || s->ptr[2] == '\t'))
		len = 3;
	*s = text_from(*s, len);
	return len > 0;
}

/* One octet, or a pair with '\', that may stand in quotes or in a comment; false: none. */
static bool
take_text(struct sp_span *s)
{
	size_t at = peek(*s) == '\\' ? 1 : 0;
	unsigned char c = at < s->len ? (unsigned char)s->ptr[at] : '\0';

	if ((c < ' ' && c != '\t') || c == 127)
		return false;
	*s = text_from(*s, at + 1);
	return true;
}

/* A comment, nested ones included. */
static bool
take_comment(struct sp_span *s)
{
	size_t depth = 0;

	do {
		if (take_char(s, '('))
			depth++;
		else if (take_char(s, ')'))
			depth--;
		else if (!take_space(s) && !take_text(s))
			return false;
	} while (depth > 0);
	return true;
}

/* White space and comments, if any; false: a comment is malformed or does not end. */
static bool
skip_cfws(struct sp_span *s)
{
	for (;;)
		if (peek(*s) == '(') {
			if (!take_comment(s))
				return false;
		} else if (!take_space(s)) {
			return true;
		}
}

/* What stands at a '"'. */
static bool
take_quoted(struct sp_span *s)
{
	*s = text_from(*s, 1);
	while (!take_char(s, '"'))
		if (!take_space(s) && !take_text(s))
			return false;
	return true;
}

static bool
is_atom_octet(char c)
{
	return (unsigned char)c > ' ' && c != 127 && strchr("()<>[]:;@\\,.\"", c) == NULL;
}

/* A word of a display name, or one of its dots. */
static bool
take_word(struct sp_span *s)
{
	size_t len = 0;

	if (peek(*s) == '"')
		return take_quoted(s);
	while (len < s->len && (is_atom_octet(s->ptr[len]) || s->ptr[len] == '.'))
		len++;
	*s = text_from(*s, len);
	return len > 0;
}

/* Words up to an octet that none begins with; false: malformed. *words says how many. */
static bool
take_phrase(struct sp_span *s, size_t *words)
{
	for (*words = 0;; ++*words) {
		char c;

		if (!skip_cfws(s))
			return false;
		c = peek(*s);
		if (s->len == 0 || strchr("<>@,:;", c) != NULL)
			return c != '\0' || s->len == 0;
		if (!take_word(s))
			return false;
	}
}

static bool
take_dot_atom(struct sp_span *s, struct sp_span *ret)
{
	size_t len = 0;

	while (len < s->len && (is_atom_octet(s->ptr[len]) || s->ptr[len] == '.'))
		len++;
	*ret = text_head(*s, len);
	*s = text_from(*s, len);
	for (size_t i = 0; i < len; i++)
		if (ret->ptr[i] == '.' && (i == 0 || i + 1 == len || ret->ptr[i + 1] == '.'))
			return false;
	return len > 0;
}

static void
skip_space(struct sp_span *s)
{
	while (take_space(s))
		;
}

/* Has it what is not clear beyond ASCII, or quoted there by '\' (which RFC 6531 does not know), or an encoded word that
 * somebody might decode? */
static bool
is_ambiguous(struct sp_span local)
{
	bool begun = false;

	for (size_t i = 0; i < local.len; i++) {
		struct sp_span two = text_head(text_from(local, i), 2);

		if ((begun && text_is(two, TEXT("?="))) || (two.len == 2 && two.ptr[0] == '\\' && (unsigned char)two.ptr[1] > 127))
			return true;
		begun = begun || text_is(two, TEXT("=?"));
	}
	return !utf8_is_clear(local);
}

/* Beyond ASCII: only whether it may be one. Of a list of a thousand, nobody wants to know more. */
static bool
may_be_domain(struct sp_span name)
{
	return utf8_ascii_only(name) ? domain_ok(name) : utf8_is_clear(name);
}

/* local@domain, with blanks at most between. */
static bool
take_addr_spec(struct sp_span *s, struct sp_span *ret_domain)
{
	struct sp_span local = *s;

	if (peek(*s) == '"' ? !take_quoted(s) : !take_dot_atom(s, &local))
		return false;
	if (is_ambiguous(text_head(local, (size_t)(s->ptr - local.ptr))))
		return false;
	skip_space(s);
	if (!take_char(s, '@'))
		return false;
	skip_space(s);
	return take_dot_atom(s, ret_domain) && may_be_domain(*ret_domain);
}

/* One mailbox. SP_NONE: "<>", with or without a name. */
static enum sp_status
take_mailbox(struct sp_span *s, struct sp_span *ret_domain)
{
	struct sp_span behind = *s;
	size_t words;

	if (!take_phrase(&behind, &words))
		return SP_INVALID;
	if (!take_char(&behind, '<'))
		return skip_cfws(s) && take_addr_spec(s, ret_domain) && skip_cfws(s) ? SP_OK : SP_INVALID;
	*s = behind;
	skip_space(s);
	if (take_char(s, '>'))
		return skip_cfws(s) ? SP_NONE : SP_INVALID;
	if (!take_addr_spec(s, ret_domain))
		return SP_INVALID;
	skip_space(s);
	return take_char(s, '>') && skip_cfws(s) ? SP_OK : SP_INVALID;
}

/* The members of a group, up to its ';'. SP_NONE: it has none. */
static enum sp_status
take_members(struct sp_span *s)
{
	struct sp_span domain;

	if (!skip_cfws(s))
		return SP_INVALID;
	if (take_char(s, ';'))
		return skip_cfws(s) ? SP_NONE : SP_INVALID;
	do
		if (take_mailbox(s, &domain) == SP_INVALID)
			return SP_INVALID;
	while (take_char(s, ','));
	return take_char(s, ';') && skip_cfws(s) ? SP_OK : SP_INVALID;
}

/* A mailbox or a group. */
static enum mailbox_count
take_address(struct sp_span *s, struct sp_span *ret_domain)
{
	struct sp_span behind = *s;
	enum sp_status st;
	size_t words;

	if (take_phrase(&behind, &words) && words > 0 && take_char(&behind, ':')) {
		*s = behind;
		st = take_members(s);
		if (st == SP_OK)
			return MAILBOX_SEVERAL;
	} else {
		st = take_mailbox(s, ret_domain);
		if (st == SP_OK)
			return MAILBOX_ONE;
	}
	return st == SP_NONE ? MAILBOX_NONE : MAILBOX_INVALID;
}

enum mailbox_count
mailbox_domain(struct sp_span value, char memory[static DOMAIN_MAX + 1], struct sp_span *ret)
{
	enum mailbox_count first, next;
	struct sp_span domain, other;

	if (!skip_cfws(&value))
		return MAILBOX_INVALID;
	if (value.len == 0)
		return MAILBOX_NONE;
	first = take_address(&value, &domain);
	for (next = first; next != MAILBOX_INVALID && take_char(&value, ',');) {
		next = take_address(&value, &other);
		first = MAILBOX_SEVERAL;
	}
	if (next == MAILBOX_INVALID || value.len > 0)
		return MAILBOX_INVALID;
	if (first == MAILBOX_ONE && domain_fold_utf8(domain, memory, ret) != SP_OK)
		return MAILBOX_INVALID;
	return first;
}
