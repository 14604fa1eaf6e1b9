/*
 * check_text.c - strings that leave the program, their templates, and regular expressions.
 */
#include "policy/compile.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define REGEX_MAX 4096 /* octets of a pattern */

void
check_twice(struct compile *c, struct at at, struct at first, const char *what, struct sp_span name)
{
	diag_error(c, at, compile_printf(c, "first given at %s", diag_place(c, first)), "%s '%.*s' is given twice", what,
		(int)name.len, name.ptr);
}

static const char *
number_text(struct compile *c, enum sp_type type, int64_t n)
{
	struct sp_value v = { type, { .integer = n } };
	const char *text;
	struct buf b;

	buf_init(&b, 64);
	value_print(&b, &v, NULL);
	text = compile_printf(c, "%s", buf_cstr(&b));
	buf_fini(&b);
	return text;
}

bool
check_range(struct compile *c, struct at at, const struct sp_value *v, int64_t min, int64_t max)
{
	bool number = v->type == SP_INT || v->type == SP_SIZE || v->type == SP_DURATION;

	if (!number || (min == 0 && max == 0) || (v->u.integer >= min && v->u.integer <= max))
		return true;
	diag_error(c, at,
		max == INT64_MAX ? compile_printf(c, "expected at least %s", number_text(c, v->type, min))
				 : compile_printf(c, "expected %s to %s", number_text(c, v->type, min), number_text(c, v->type, max)),
		"this is out of range");
	return false;
}

/* ---- strings -------------------------------------------------------------------------------- */

static struct at
inside(const struct token *t, size_t offset, size_t len)
{
	unsigned quote = t->kind == TOKEN_STRING ? 1 : 0;

	return (struct at){ t->at.file, t->at.line, t->at.column + quote + (unsigned)offset, (unsigned)len };
}

bool
check_printable(struct compile *c, const struct token *t, size_t max, const char *kind)
{
	for (size_t i = 0; i < t->text.len; i++) {
		char byte = t->text.ptr[i];

		if (byte >= ' ' && byte < 0x7f)
			continue;
		diag_error(c, inside(t, i, 1), "it must be printable ASCII", "%s cannot hold this character", kind);
		return false;
	}
	if (t->text.len > 0 && t->text.len <= max)
		return true;
	if (t->text.len == 0)
		diag_error(c, t->at, NULL, "%s cannot be empty", kind);
	else
		diag_error(c, t->at, NULL, "%s is longer than %zu octets", kind, max);
	return false;
}

/* ---- templates ------------------------------------------------------------------------------- */

struct templating {
	struct compile *c;
	const struct token *t;
	bool facts;
	struct template *ret;
	size_t room;
	char *literal; /* decoded text, one buffer for all parts */
	size_t start, len;
};

static bool
part_add(struct templating *tp, struct template_part part)
{
	struct template_part *parts;

	if (tp->ret->count == tp->room) {
		tp->room = tp->room == 0 ? 4 : tp->room * 2;
		parts = compile_alloc(tp->c, tp->room * sizeof(*parts));
		if (parts == NULL)
			return false;
		for (size_t i = 0; i < tp->ret->count; i++)
			parts[i] = tp->ret->parts[i];
		tp->ret->parts = parts;
	}
	tp->ret->parts[tp->ret->count++] = part;
	return true;
}

static bool
literal_end(struct templating *tp)
{
	struct sp_span literal = span_of(tp->literal + tp->start, tp->len - tp->start);

	tp->start = tp->len;
	return literal.len == 0 || part_add(tp, (struct template_part){ .literal = literal });
}

/* {message.header(\"Subject\")}: the quotes are escaped, or left out */
static bool
split_argument(struct token *name, struct token *arg)
{
	size_t open = span_find(name->text, '(');
	struct sp_span s;

	*arg = (struct token){ 0 };
	if (open == name->text.len || name->text.ptr[name->text.len - 1] != ')')
		return open == name->text.len;
	s = span_of(name->text.ptr + open + 1, name->text.len - open - 2);
	if (s.len >= 4 && span_starts(s, SPAN_LIT("\\\"")) && span_iends(s, SPAN_LIT("\\\"")))
		s = span_of(s.ptr + 2, s.len - 4);
	*arg = *name;
	arg->text = s;
	arg->kind = TOKEN_WORD;
	name->text.len = open;
	return true;
}

/* The inside of the braces, at offset in the string. */
static bool
part_fact(struct templating *tp, size_t offset, size_t len)
{
	struct token name = { .kind = TOKEN_WORD, .text = span_of(tp->t->text.ptr + offset, len),
		.at = inside(tp->t, offset, len) };
	struct token arg;
	const struct sp_fact_ref *ref;

	if (len > 0 && tp->facts && tp->c->rule != NULL && span_eq(name.text, SPAN_LIT("rule")))
		return literal_end(tp) && part_add(tp, (struct template_part){ .literal = tp->c->rule->name });
	if (len == 0 || !tp->facts) {
		diag_error(tp->c, inside(tp->t, offset - 1, len + 2), "a literal brace is written '{{'",
			len == 0 ? "expected a fact in the braces" : "no fact can stand here");
		return false;
	}
	if (!split_argument(&name, &arg)) {
		diag_error(tp->c, name.at, "write {fact} or {fact(name)}", "this is no fact");
		return false;
	}
	ref = fact_read(tp->c, &name, arg.kind == TOKEN_END ? NULL : &arg);
	return ref != NULL && literal_end(tp) && part_add(tp, (struct template_part){ .ref = ref });
}

bool
check_template(struct compile *c, const struct token *t, bool facts, struct template *ret)
{
	struct templating tp = { .c = c, .t = t, .facts = facts, .ret = ret };
	struct sp_span s = t->text;
	bool good = true;

	*ret = (struct template){ 0 };
	tp.literal = compile_alloc(c, s.len + 1);
	if (tp.literal == NULL)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		size_t close = span_find(span_from(s, i), '}');

		if (s.ptr[i] == '\\')
			i++;
		else if (s.ptr[i] == '{' && i + 1 < s.len && s.ptr[i + 1] == '{')
			i++;
		else if (s.ptr[i] == '{' && close == s.len - i) {
			diag_error(c, inside(t, i, 1), "a literal brace is written '{{'", "this '{' is never closed");
			return false;
		} else if (s.ptr[i] == '{') {
			good &= part_fact(&tp, i + 1, close - 1);
			i += close;
			continue;
		}
		tp.literal[tp.len++] = s.ptr[i];
	}
	return literal_end(&tp) && good;
}

/* ---- regular expressions ------------------------------------------------------------------------- */

static bool
regex_flags(struct compile *c, const struct token *t, size_t close, uint32_t *ret)
{
	for (size_t i = close + 1; i < t->text.len; i++)
		switch (t->text.ptr[i]) {
		case 'i':
			*ret |= PCRE2_CASELESS;
			break;
		case 'm':
			*ret |= PCRE2_MULTILINE;
			break;
		case 's':
			*ret |= PCRE2_DOTALL;
			break;
		case 'x':
			*ret |= PCRE2_EXTENDED;
			break;
		default:
			diag_error(c, inside(t, i, 1), "expected i, m, s or x", "unknown flag of a regular expression");
			return false;
		}
	return true;
}

static bool
regex_keep(struct compile *c, pcre2_code *code, void **ret_code)
{
	struct policy_owned *own;

	if (ret_code == NULL) {
		pcre2_code_free(code);
		return true;
	}
	own = compile_alloc(c, sizeof(*own));
	if (own == NULL) {
		pcre2_code_free(code);
		return false;
	}
	/* without JIT the interpreter serves */
	(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	own->regex = code;
	own->next = c->p->owned;
	c->p->owned = own;
	*ret_code = code;
	return true;
}

bool
check_regex(struct compile *c, const struct token *t, void **ret_code)
{
	size_t close = span_rfind(t->text, '/'), offset;
	uint32_t options = PCRE2_NEVER_BACKSLASH_C;
	unsigned char why[160];
	pcre2_code *code;
	int error;

	if (!regex_flags(c, t, close, &options))
		return false;
	if (close < 2 || close > REGEX_MAX) {
		diag_error(c, t->at, NULL, close < 2 ? "the regular expression is empty" : "the regular expression is too long");
		return false;
	}
	code = pcre2_compile((PCRE2_SPTR)(const void *)(t->text.ptr + 1), close - 1, options, &error, &offset, NULL);
	if (code != NULL)
		return regex_keep(c, code, ret_code);
	if (pcre2_get_error_message(error, why, sizeof(why)) < 0)
		why[0] = '\0';
	diag_error(c, inside(t, 1 + (offset < close ? offset : close - 1), 1), (const char *)arena_strdup(c->scratch,
			span_str((const char *)why)), "the regular expression is wrong here");
	return false;
}
