/*
 * format.c - "sallyport fmt": a policy file in its one layout.
 *
 * The file is parsed first, without an environment: only its syntax counts.  Then it is cut into
 * tokens again, comments too, and these are set anew:
 *
 *   - two blanks of indent for each brace, four more for a rule that goes on;
 *   - one blank between tokens, none inside of brackets and before commas;
 *   - a block that takes several lines has its braces at the ends of lines; each rule has its own;
 *   - the colons of names stand below each other, up to an empty line or a comment;
 *   - at most one empty line in a row, comments where they were, two blanks before one behind text.
 *
 * Where the author broke a line between settings, it stays broken.
 */
#include "policy/compile.h"

#include <stdlib.h>

#define FORMAT_DEPTH_MAX 16
#define FORMAT_NAME_MAX 24 /* longer names do not widen the column */
#define FORMAT_TEXT_MAX ((size_t)4 << 20)

enum block_kind { BLOCK_OTHER, BLOCK_RULES, BLOCK_FILTER };

/* A colon to be lined up, by its place in the output. */
struct mark {
	size_t offset, name;
	unsigned depth, group; /* lined up with others of the same */
};

struct format {
	struct compile *c;
	struct lexer lex;
	struct token *tokens; /* all of the file, ended by END */
	size_t count;
	struct buf out;
	struct mark *marks;
	size_t mark_count;

	unsigned depth;
	enum block_kind kinds[FORMAT_DEPTH_MAX];
	bool multiline[FORMAT_DEPTH_MAX]; /* the block is set over several lines */
	bool entry;                       /* an entry of a filter has begun */
	struct sp_span statement;         /* first word of the statement */
	unsigned group;                   /* grows with each empty line, comment line and other statement */
};

/* ---- reading ------------------------------------------------------------------------------------- */

static struct token
read_token(struct format *f, enum token_kind before)
{
	struct token t = lex_next(&f->lex);

	if (t.kind == TOKEN_WORD && t.text.ptr[0] == '/')
		t = before == TOKEN_MATCH || before == TOKEN_NOT_MATCH ? lex_regex(&f->lex, &t)
								       : lex_regex_maybe(&f->lex, &t);
	return t;
}

static bool
read_tokens(struct format *f)
{
	enum token_kind before = TOKEN_END;
	struct lexer start = f->lex;
	struct token t;

	do {
		t = read_token(f, before);
		before = t.kind;
		f->count++;
	} while (t.kind != TOKEN_END && t.kind != TOKEN_ERROR);
	f->lex = start;
	f->tokens = calloc(f->count, sizeof(*f->tokens));
	f->marks = calloc(f->count, sizeof(*f->marks));
	if (f->tokens == NULL || f->marks == NULL)
		return false;
	before = TOKEN_END;
	for (size_t i = 0; i < f->count; i++) {
		f->tokens[i] = read_token(f, before);
		before = f->tokens[i].kind;
	}
	return t.kind == TOKEN_END;
}

static bool
same_token(const struct token *a, const struct token *b)
{
	return a->kind == b->kind && a->at.line == b->at.line && a->at.column == b->at.column;
}

static bool
starts_rule(const struct format *f, const struct token *t)
{
	for (const struct ast_rule *r = f->c->rules; r != NULL; r = r->next)
		if (same_token(r->name.kind != TOKEN_END ? &r->name : &r->reply.verb, t))
			return true;
	return false;
}

/* Whether the block that opens at tokens[i] has a line end or several rules inside. */
static bool
block_multiline(const struct format *f, size_t i, bool rules)
{
	size_t starts = 0;
	unsigned depth = 0;

	for (; i < f->count; i++) {
		const struct token *t = &f->tokens[i];

		if (depth > 0 && (t->newlines > 0 || t->kind == TOKEN_COMMENT))
			return true;
		if (rules && depth > 0 && starts_rule(f, t) && ++starts > 1)
			return true;
		if (t->kind == TOKEN_LBRACE)
			depth++;
		else if (t->kind == TOKEN_RBRACE && --depth == 0)
			return false;
	}
	return false;
}

/* ---- setting --------------------------------------------------------------------------------------- */

static bool
in_kind(const struct format *f, enum block_kind kind)
{
	return f->depth > 0 && f->depth <= FORMAT_DEPTH_MAX && f->kinds[f->depth - 1] == kind;
}

static bool
names(const struct format *f, size_t i)
{
	return f->tokens[i].kind == TOKEN_WORD && i + 1 < f->count && f->tokens[i + 1].kind == TOKEN_COLON;
}

/* Does this token go on with what the lines above began? */
static bool
continues(const struct format *f, size_t i)
{
	const struct token *t = &f->tokens[i];

	if (t->kind == TOKEN_COMMENT || t->kind == TOKEN_RBRACE)
		return false;
	if (f->depth == 0)
		return t->kind != TOKEN_WORD || lex_is_word(t, "file") || lex_is_word(t, "default");
	if (in_kind(f, BLOCK_RULES))
		return !starts_rule(f, t);
	return in_kind(f, BLOCK_FILTER) && f->entry && !names(f, i);
}

static bool
breaks_before(const struct format *f, size_t i)
{
	const struct token *t = &f->tokens[i], *before = &f->tokens[i - 1];
	bool multiline = f->depth > 0 && f->depth <= FORMAT_DEPTH_MAX && f->multiline[f->depth - 1];

	if (before->kind == TOKEN_COMMENT)
		return true;
	if (t->kind == TOKEN_COMMENT)
		return t->newlines > 0;
	if (t->kind == TOKEN_LBRACE)
		return false;
	if (multiline && (before->kind == TOKEN_LBRACE || t->kind == TOKEN_RBRACE))
		return true;
	if (in_kind(f, BLOCK_RULES) && starts_rule(f, t))
		return multiline;
	return t->newlines > 0;
}

static bool
is_operator_word(const struct token *t)
{
	return lex_is_word(t, "in") || lex_is_word(t, "and") || lex_is_word(t, "or") || lex_is_word(t, "not") ||
		lex_is_word(t, "if");
}

static bool
spaced(const struct format *f, size_t i)
{
	const struct token *t = &f->tokens[i], *before = &f->tokens[i - 1];

	switch (t->kind) {
	case TOKEN_COMMA:
	case TOKEN_RPAREN:
	case TOKEN_RBRACKET:
	case TOKEN_LBRACKET:
		return false;
	case TOKEN_LPAREN:
		return before->kind != TOKEN_LPAREN &&
			(before->kind != TOKEN_WORD || is_operator_word(before) ||
				before->text.ptr + before->text.len != t->text.ptr);
	default:
		return before->kind != TOKEN_LPAREN && before->kind != TOKEN_LBRACKET;
	}
}

static void
set_break(struct format *f, size_t i)
{
	const struct token *t = &f->tokens[i], *before = &f->tokens[i - 1];
	unsigned depth = f->depth - (t->kind == TOKEN_RBRACE && f->depth > 0 ? 1 : 0);
	unsigned indent = depth * 2;

	buf_add_char(&f->out, '\n');
	if (t->newlines > 1 && before->kind != TOKEN_LBRACE && t->kind != TOKEN_RBRACE) {
		buf_add_char(&f->out, '\n');
		f->group++;
	}
	if (t->kind == TOKEN_COMMENT || (f->depth == 0 && !continues(f, i) && !lex_is_word(t, "table")))
		f->group++;
	if (continues(f, i))
		indent += f->depth == 0 ? 2 : 4;
	for (; indent > 0; indent--)
		buf_add_char(&f->out, ' ');
}

static void
set_text(struct format *f, const struct token *t)
{
	struct sp_span text = t->text;

	if (t->kind == TOKEN_STRING)
		text = span_of(text.ptr - 1, text.len + 2);
	while (t->kind == TOKEN_COMMENT && text.len > 0 && strchr(" \t\r", text.ptr[text.len - 1]) != NULL)
		text.len--;
	buf_add(&f->out, text);
}

static void
open_brace(struct format *f, size_t i)
{
	bool rules = f->depth == 0 && span_eq(f->statement, SPAN_LIT("rules"));

	if (f->depth < FORMAT_DEPTH_MAX) {
		f->kinds[f->depth] = rules ? BLOCK_RULES
			: f->depth == 0 && span_eq(f->statement, SPAN_LIT("filter")) ? BLOCK_FILTER
										      : BLOCK_OTHER;
		f->multiline[f->depth] = block_multiline(f, i, rules);
	}
	f->depth++;
	f->entry = false;
}

/* Notes a "name :" whose name begins a line, or stands behind a "table" that does. */
static void
set_colon(struct format *f, size_t i, bool line_start)
{
	if (line_start || (f->depth == 0 && i > 1 && lex_is_word(&f->tokens[i - 2], "table")))
		f->marks[f->mark_count++] = (struct mark){ f->out.len, f->tokens[i - 1].text.len, f->depth, f->group };
	f->entry = f->entry || in_kind(f, BLOCK_FILTER);
}

static void
set_tokens(struct format *f)
{
	bool broke = true, name_first = false;

	for (size_t i = 0; i + 1 < f->count && buf_status(&f->out) == SP_OK; i++) {
		const struct token *t = &f->tokens[i];

		name_first = broke && t->kind == TOKEN_COLON;
		broke = i == 0 || breaks_before(f, i);
		if (f->depth == 0 && broke && t->kind == TOKEN_WORD && !(i > 0 && continues(f, i)))
			f->statement = t->text;
		if (i > 0 && broke)
			set_break(f, i);
		else if (i > 0 && t->kind == TOKEN_COMMENT)
			buf_add_str(&f->out, "  ");
		else if (t->kind == TOKEN_COLON)
			set_colon(f, i, name_first);
		if (i > 0 && !broke && t->kind != TOKEN_COMMENT && spaced(f, i))
			buf_add_char(&f->out, ' ');
		set_text(f, t);
		if (t->kind == TOKEN_LBRACE)
			open_brace(f, i);
		else if (t->kind == TOKEN_RBRACE && f->depth > 0)
			f->depth--;
	}
	if (f->out.len > 0)
		buf_add_char(&f->out, '\n');
}

/* ---- lining up ---------------------------------------------------------------------------------------- */

static bool
neighbours(const struct mark *a, const struct mark *b)
{
	return a->depth == b->depth && a->group == b->group;
}

static void
line_up(const struct format *f, struct buf *ret)
{
	size_t done = 0;

	for (size_t first = 0, last; first < f->mark_count; first = last) {
		size_t width = 0;

		for (last = first; last < f->mark_count; last++) {
			if (last > first && !neighbours(&f->marks[last - 1], &f->marks[last]))
				break;
			if (f->marks[last].name > width && f->marks[last].name <= FORMAT_NAME_MAX)
				width = f->marks[last].name;
		}
		for (size_t i = first; i < last; i++) {
			buf_add(ret, span_of(f->out.ptr + done, f->marks[i].offset - done));
			done = f->marks[i].offset;
			for (size_t pad = f->marks[i].name; pad < width; pad++)
				buf_add_char(ret, ' ');
		}
	}
	buf_add(ret, span_from(buf_span(&f->out), done));
}

/* ---- the whole ------------------------------------------------------------------------------------------- */

static enum sp_status
format_text(struct compile *c, struct buf *ret)
{
	struct format f = { .c = c };
	enum sp_status st = SP_SYSTEM;

	lex_init(&f.lex, 0, c->p->files[0].text);
	f.lex.comments = true;
	buf_init(&f.out, FORMAT_TEXT_MAX);
	if (read_tokens(&f)) {
		set_tokens(&f);
		line_up(&f, ret);
		st = buf_status(&f.out) != SP_OK ? buf_status(&f.out) : buf_status(ret);
	}
	free(f.tokens);
	free(f.marks);
	buf_fini(&f.out);
	return st;
}

enum sp_status
policy_format(const char *name, struct sp_span text, struct buf *ret, struct policy_diag *d)
{
	struct compile c;
	enum sp_status st = SP_INVALID;

	if (!compile_init(&c, NULL))
		return SP_SYSTEM;
	if (source_text(&c, name, text) >= 0)
		parse_file(&c, 0);
	if (c.errors == 0 && !c.out_of_memory)
		st = format_text(&c, ret);
	diag_flush(&c, d);
	policy_free(&c.p);
	compile_fini(&c);
	return st;
}
