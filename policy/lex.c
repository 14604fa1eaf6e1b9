/*
 * lex.c - cuts a policy file into tokens.
 *
 * A token is a view into the file's text; nothing is allocated.  A fault becomes a TOKEN_ERROR, which
 * the parser reports when it reaches it, so that a regex can be read again from where it starts
 * after its slash was first taken for a word.
 *
 * Words hold what needs no quotes: names, numbers with units, addresses, nets, endpoints.  A ':' is
 * part of a word unless white space (or nothing of a word) follows it, so "net : if" and
 * "net: if" are the same and 0.0.0.0:25 is one word.
 */
#include "policy/compile.h"

void
lex_init(struct lexer *l, unsigned file, struct sp_span text)
{
	*l = (struct lexer){ .text = text, .file = file, .line = 1 };
	if (span_starts(text, SPAN_LIT("\xef\xbb\xbf")))
		l->pos = 3;
}

static char
at_offset(const struct lexer *l, size_t pos)
{
	return pos < l->text.len ? l->text.ptr[pos] : '\0';
}

static bool
is_word_char(char c)
{
	return c > ' ' && c < 0x7f && strchr("{}()[],\"#=!<>~:", c) == NULL;
}

static struct token
token_at(const struct lexer *l, enum token_kind kind, size_t len)
{
	return (struct token){ .kind = kind, .text = span_of(l->text.ptr + l->pos, len),
		.at = { l->file, l->line, (unsigned)(l->pos - l->line_start) + 1, (unsigned)(len > 0 ? len : 1) } };
}

static struct token
lex_error(struct lexer *l, size_t len, const char *error, const char *hint)
{
	struct token t = token_at(l, TOKEN_ERROR, len);

	t.error = error;
	t.hint = hint;
	l->pos += len;
	return t;
}

static size_t
line_end(const struct lexer *l)
{
	size_t len = span_find(span_from(l->text, l->pos), '\n');

	return l->pos + len > 0 && at_offset(l, l->pos + len - 1) == '\r' && len > 0 ? len - 1 : len;
}

/* To the next token; counts the line ends that were passed. */
static size_t
skip_space(struct lexer *l)
{
	size_t newlines = 0;

	for (; l->pos < l->text.len; l->pos++) {
		char c = at_offset(l, l->pos);

		if (c == '#' && !l->comments) {
			l->pos += line_end(l);
			c = at_offset(l, l->pos);
		}
		if (c == '\n') {
			l->line++;
			l->line_start = l->pos + 1;
			newlines++;
		} else if (c != ' ' && c != '\t' && c != '\r') {
			break;
		}
	}
	return newlines;
}

/* "[::]:25": brackets that hold an IPv6 address and start a word. */
static size_t
bracketed(const struct lexer *l)
{
	size_t pos = l->pos + 1;
	bool colon = false;

	for (;; pos++) {
		char c = span_lower(at_offset(l, pos));

		if (c == ']')
			return colon ? pos + 1 - l->pos : 0;
		if (c == ':')
			colon = true;
		else if (!span_is_digit(c) && c != '.' && (c < 'a' || c > 'f'))
			return 0;
	}
}

static size_t
word_length(const struct lexer *l)
{
	size_t pos = l->pos;
	bool spaced = l->pos == 0 || strchr(" \t\r\n{,:", at_offset(l, l->pos - 1)) != NULL;

	if (at_offset(l, pos) == '[' && spaced)
		pos += bracketed(l);
	for (; pos < l->text.len; pos++) {
		char c = at_offset(l, pos), next = at_offset(l, pos + 1);

		if (c == '-' && next == '>')
			break;
		if (c == ':' && !is_word_char(next) && next != ':') {
			/* "2001:db8::" ends in colons that are its own */
			if (pos > l->pos && at_offset(l, pos - 1) == ':')
				pos++;
			break;
		}
		if (c != ':' && !is_word_char(c))
			break;
	}
	return pos - l->pos;
}

static struct token
lex_string(struct lexer *l)
{
	size_t len = line_end(l), end = 1;
	struct token t;

	for (; end < len && at_offset(l, l->pos + end) != '"'; end++) {
		if (at_offset(l, l->pos + end) != '\\')
			continue;
		end++;
		if (end < len && strchr("\"\\", at_offset(l, l->pos + end)) == NULL) {
			l->pos += end - 1;
			t = lex_error(l, 2, "unknown escape in a string", "only \\\" and \\\\ are known");
			l->pos += span_find(span_from(l->text, l->pos), '\n');
			return t;
		}
	}
	if (end >= len)
		return lex_error(l, len, "the string does not end on its line", "expected a closing '\"'");
	t = token_at(l, TOKEN_STRING, end + 1);
	t.text = span_of(l->text.ptr + l->pos + 1, end - 1);
	l->pos += end + 1;
	return t;
}

static struct token
lex_symbol(struct lexer *l)
{
	static const struct {
		const char *text;
		enum token_kind kind;
	} symbols[] = {
		{ "->", TOKEN_ARROW }, { "==", TOKEN_EQ }, { "!=", TOKEN_NE }, { "!~", TOKEN_NOT_MATCH },
		{ "<=", TOKEN_LE }, { ">=", TOKEN_GE }, { "<", TOKEN_LT }, { ">", TOKEN_GT },
		{ "~", TOKEN_MATCH }, { "{", TOKEN_LBRACE }, { "}", TOKEN_RBRACE }, { "(", TOKEN_LPAREN },
		{ ")", TOKEN_RPAREN }, { "[", TOKEN_LBRACKET }, { "]", TOKEN_RBRACKET },
		{ ",", TOKEN_COMMA }, { ":", TOKEN_COLON },
	};
	struct sp_span rest = span_from(l->text, l->pos);
	struct token t;

	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		if (!span_starts(rest, span_str(symbols[i].text)))
			continue;
		t = token_at(l, symbols[i].kind, strlen(symbols[i].text));
		l->pos += t.text.len;
		return t;
	}
	if (rest.ptr[0] == '=')
		return lex_error(l, 1, "'=' is no operator", "write '==' to compare, and a blank between a key and its value");
	if (rest.ptr[0] == '!')
		return lex_error(l, 1, "'!' is no operator", "write 'not'");
	return lex_error(l, 1, "this cannot stand outside of a string", "names, numbers and addresses are ASCII");
}

static struct token
lex_token(struct lexer *l)
{
	char c = at_offset(l, l->pos);
	size_t len;
	struct token t;

	if (l->pos >= l->text.len)
		return token_at(l, TOKEN_END, 0);
	if (c == '#') {
		t = token_at(l, TOKEN_COMMENT, line_end(l));
		l->pos += t.text.len;
		return t;
	}
	if (c == '"')
		return lex_string(l);
	/* only IPv6 begins with a colon, and with two */
	len = c == ':' && at_offset(l, l->pos + 1) != ':' ? 0 : word_length(l);
	if (len == 0)
		return lex_symbol(l);
	t = token_at(l, TOKEN_WORD, len);
	if (span_eq(t.text, SPAN_LIT("&&")) || span_eq(t.text, SPAN_LIT("||")))
		return lex_error(l, 2, "this is no operator here", c == '&' ? "write 'and'" : "write 'or'");
	l->pos += len;
	return t;
}

struct token
lex_next(struct lexer *l)
{
	size_t newlines = skip_space(l);
	bool first = newlines > 0 || l->pos == 0;
	struct token t = lex_token(l);

	t.first = first;
	t.newlines = newlines;
	return t;
}

/* Length of the regex at pos with its flags, 0: not closed on its line. */
static size_t
regex_length(const struct lexer *l)
{
	size_t len = line_end(l), end = 1;

	while (end < len && at_offset(l, l->pos + end) != '/')
		end += at_offset(l, l->pos + end) == '\\' ? 2 : 1;
	if (end >= len)
		return 0;
	for (end++; span_is_alpha(at_offset(l, l->pos + end)); end++)
		;
	return end;
}

static void
lex_back(struct lexer *l, const struct token *t)
{
	l->pos = (size_t)(t->text.ptr - l->text.ptr);
	l->line = t->at.line;
	l->line_start = l->pos - (t->at.column - 1);
}

struct token
lex_regex(struct lexer *l, const struct token *t)
{
	struct token regex;
	size_t len;

	lex_back(l, t);
	len = regex_length(l);
	if (len == 0)
		return lex_error(l, line_end(l), "the regular expression does not end on its line",
			"expected a closing '/'");
	regex = token_at(l, TOKEN_REGEX, len);
	regex.first = t->first;
	regex.newlines = t->newlines;
	l->pos += len;
	return regex;
}

struct token
lex_regex_maybe(struct lexer *l, const struct token *t)
{
	struct lexer back = *l;
	size_t len;

	lex_back(&back, t);
	len = regex_length(&back);
	if (len < t->text.len || is_word_char(at_offset(&back, back.pos + len)))
		return *t;
	return lex_regex(l, t);
}

const char *
lex_kind_name(enum token_kind kind)
{
	static const char *const names[] = { [TOKEN_END] = "the end of the file", [TOKEN_WORD] = "a word",
		[TOKEN_STRING] = "a text", [TOKEN_REGEX] = "a regular expression", [TOKEN_LBRACE] = "'{'",
		[TOKEN_RBRACE] = "'}'", [TOKEN_LPAREN] = "'('", [TOKEN_RPAREN] = "')'",
		[TOKEN_LBRACKET] = "'['", [TOKEN_RBRACKET] = "']'", [TOKEN_COMMA] = "','",
		[TOKEN_COLON] = "':'", [TOKEN_ARROW] = "'->'", [TOKEN_EQ] = "'=='", [TOKEN_NE] = "'!='",
		[TOKEN_LT] = "'<'", [TOKEN_LE] = "'<='", [TOKEN_GT] = "'>'", [TOKEN_GE] = "'>='",
		[TOKEN_MATCH] = "'~'", [TOKEN_NOT_MATCH] = "'!~'", [TOKEN_COMMENT] = "a comment",
		[TOKEN_ERROR] = "an error" };

	return names[kind];
}

bool
lex_is_word(const struct token *t, const char *word)
{
	return t->kind == TOKEN_WORD && span_eq(t->text, span_str(word));
}

bool
lex_is_name(struct sp_span s)
{
	if (s.len == 0 || s.len > 64 || !span_is_alpha(s.ptr[0]))
		return false;
	for (size_t i = 1; i < s.len; i++)
		if (!span_is_alpha(s.ptr[i]) && !span_is_digit(s.ptr[i]) && s.ptr[i] != '_' && s.ptr[i] != '-')
			return false;
	return true;
}
