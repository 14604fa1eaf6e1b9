/* parse_rule.c - the rules block: names, verbs, replies and suffixes. */
#include "policy/compile.h"

static const char *const verbs[] = { "accept", "discard", "defer", "reject", "quarantine", "add-header", "remove-header",
	"score", "tag", "log", "filter", "backend", NULL };
enum { VERDICTS = 5 }; /* the first of them */
static const char *const reserved[] = { "if", "not", "and", "or", "in", "on", "at", "shadow", NULL };

static bool
one_of(const struct token *t, const char *const *words)
{
	for (size_t i = 0; words[i] != NULL; i++)
		if (lex_is_word(t, words[i]))
			return true;
	return false;
}

static bool
is_code(struct sp_span s)
{
	return s.len == 3 && span_is_digit(s.ptr[0]) && span_is_digit(s.ptr[1]) && span_is_digit(s.ptr[2]);
}

/* "5.7.1", or what was meant to be one */
static bool
is_enhanced(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!span_is_digit(s.ptr[i]) && s.ptr[i] != '.')
			return false;
	return s.len > 0 && span_is_digit(s.ptr[0]);
}

/* reply = VERB [CODE] [ENHANCED] [STRING] */
bool
parse_reply(struct parser *ps, struct ast_reply *ret)
{
	ret->verb = ps->cur;
	parse_next(ps);
	if (ps->cur.kind == TOKEN_WORD && is_enhanced(ps->cur.text) && span_find(ps->cur.text, '.') == ps->cur.text.len) {
		if (!is_code(ps->cur.text)) {
			parse_expected(ps, "a reply code of three digits", NULL);
			return false;
		}
		ret->code = ps->cur;
		parse_next(ps);
	}
	if (ps->cur.kind == TOKEN_WORD && is_enhanced(ps->cur.text)) {
		ret->enhanced = ps->cur;
		parse_next(ps);
	}
	if (ps->cur.kind == TOKEN_STRING && !parse_names(ps)) {
		ret->text = ps->cur;
		parse_next(ps);
	}
	return true;
}

/* unknown = "on" "unknown" ("skip" | reply) */
bool
parse_unknown(struct parser *ps, struct ast_reply *ret, bool skip_allowed)
{
	static const char *const modes[] = { "defer", "skip", "reject", "accept", "discard", NULL };
	struct suggest near;

	parse_next(ps);
	if (!parse_is(ps, "unknown")) {
		suggest_init(&near, ps->cur.kind == TOKEN_WORD ? ps->cur.text : (struct sp_span){ NULL, 0 });
		suggest_word(&near, "unknown");
		parse_expected(ps, "'unknown' after 'on'", suggest_hint(&near, ps->c, NULL));
		return false;
	}
	parse_next(ps);
	if (!one_of(&ps->cur, modes)) {
		suggest_init(&near, ps->cur.kind == TOKEN_WORD ? ps->cur.text : (struct sp_span){ NULL, 0 });
		suggest_words(&near, modes);
		parse_expected(ps, "defer, skip, reject, accept or discard", suggest_hint(&near, ps->c, NULL));
		return false;
	}
	if (!skip_allowed && lex_is_word(&ps->cur, "skip")) {
		parse_expected(ps, "defer, reject, accept or discard",
			"as a default it would let everything through that cannot be found out; say it at a rule");
		return false;
	}
	return parse_reply(ps, ret);
}

static void
unknown_verb(struct parser *ps)
{
	static const char *const operators[] = { "and", "or", "in", NULL };
	const char *hint = "accept, reject, defer, discard, quarantine, add-header, remove-header, score, tag, log, filter or backend";
	struct suggest near;

	if (lex_is_word(&ps->cur, "then")) {
		hint = "leave 'then' out";
	} else if (lex_is_word(&ps->cur, "not")) {
		hint = "write 'not in', or 'and not'";
	} else if (ps->cur.kind == TOKEN_WORD && span_find(ps->cur.text, ':') < ps->cur.text.len) {
		hint = "a blank follows the ':' after a name";
	} else if (ps->cur.kind == TOKEN_WORD) {
		suggest_init(&near, ps->cur.text);
		suggest_words(&near, verbs);
		suggest_words(&near, operators);
		hint = suggest_hint(&near, ps->c, hint);
	}
	parse_expected(ps, "a verb", hint);
}

/* action = reply | "quarantine" NAME | "add-header" STRING STRING | "remove-header" STRING | "score" NUMBER | "tag" NAME |
 *          "log" STRING | "filter" NAME | "backend" NAME */
static bool
parse_action(struct parser *ps, struct ast_rule *r)
{
	struct token verb = ps->cur;

	if (!one_of(&verb, verbs)) {
		unknown_verb(ps);
		return false;
	}
	if (lex_is_word(&verb, "accept") || lex_is_word(&verb, "discard") || lex_is_word(&verb, "defer") ||
		lex_is_word(&verb, "reject"))
		return parse_reply(ps, &r->reply);
	r->reply.verb = verb;
	parse_next(ps);
	if (lex_is_word(&verb, "add-header"))
		return parse_take(ps, TOKEN_STRING, "the header's name in quotes", &r->arg) &&
			parse_take(ps, TOKEN_STRING, "the header's value in quotes", &r->text);
	if (lex_is_word(&verb, "remove-header"))
		return parse_take(ps, TOKEN_STRING, "the header's name in quotes", &r->arg);
	if (lex_is_word(&verb, "score"))
		return parse_take(ps, TOKEN_WORD, "points: 5.0", &r->arg);
	if (lex_is_word(&verb, "log"))
		return parse_take(ps, TOKEN_STRING, "a text in quotes", &r->text);
	if (lex_is_word(&verb, "tag") && ps->cur.kind == TOKEN_STRING)
		return parse_take(ps, TOKEN_STRING, "", &r->arg);
	return parse_take(ps, TOKEN_WORD,
		lex_is_word(&verb, "tag")	      ? "the tag's name"
			: lex_is_word(&verb, "filter") ? "the name of a filter"
						       : "the name of a backend",
		&r->arg);
}

static bool
suffix_again(struct parser *ps, const char *what)
{
	diag_error(ps->c, ps->cur.at, NULL, "'%s' is given twice in one rule", what);
	return false;
}

/* suffix = "shadow" | "at" STAGE | unknown */
static bool
parse_suffixes(struct parser *ps, struct ast_rule *r)
{
	for (;;) {
		if (parse_is(ps, "shadow")) {
			if (r->shadow)
				return suffix_again(ps, "shadow");
			r->shadow = true;
			parse_next(ps);
		} else if (parse_is(ps, "at")) {
			if (r->stage.kind != TOKEN_END)
				return suffix_again(ps, "at");
			parse_next(ps);
			if (!parse_take(ps, TOKEN_WORD, "a stage: connect, helo, mail, rcpt, data, header or eom", &r->stage))
				return false;
		} else if (parse_is(ps, "on")) {
			if (r->unknown.verb.kind != TOKEN_END)
				return suffix_again(ps, "on unknown");
			if (!parse_unknown(ps, &r->unknown, true))
				return false;
		} else {
			return true;
		}
	}
}

/* After a rule comes another, a bare verb, or '}'. */
static bool
rule_ends(struct parser *ps)
{
	static const char *const suffixes[] = { "shadow", "at", "on", NULL };
	struct suggest near;

	if (ps->cur.kind == TOKEN_RBRACE || ps->cur.kind == TOKEN_END || parse_names(ps) || one_of(&ps->cur, verbs) ||
		parse_is(ps, "if"))
		return true;
	suggest_init(&near, ps->cur.kind == TOKEN_WORD ? ps->cur.text : (struct sp_span){ NULL, 0 });
	suggest_words(&near, suffixes);
	suggest_words(&near, verbs);
	parse_expected(ps, "the next rule or '}'", suggest_hint(&near, ps->c, NULL));
	return false;
}

static bool
parse_rule_name(struct parser *ps, struct ast_rule *r)
{
	if (!parse_names(ps))
		return true;
	r->name = ps->cur;
	if (ps->cur.kind != TOKEN_WORD || !lex_is_name(ps->cur.text))
		diag_error(ps->c, ps->cur.at, "a letter, then letters, digits, '_' and '-'", "this is no name");
	else if (one_of(&ps->cur, reserved))
		diag_error(ps->c, ps->cur.at, "choose another name", "'%.*s' is a word of the language", (int)ps->cur.text.len,
			ps->cur.text.ptr);
	parse_next(ps);
	parse_next(ps);
	return true;
}

/* rule = [NAME ":"] ["if" condition] action {suffix} */
static struct ast_rule *
parse_rule(struct parser *ps)
{
	struct ast_rule *r = compile_scratch(ps->c, sizeof(*r));
	struct at start = ps->cur.at;

	if (r == NULL || !parse_rule_name(ps, r))
		return NULL;
	if (parse_is(ps, "if")) {
		parse_next(ps);
		r->condition = parse_condition(ps);
		if (r->condition == NULL)
			return NULL;
	}
	if (!parse_action(ps, r) || !parse_suffixes(ps, r) || !rule_ends(ps))
		return NULL;
	if (r->name.kind == TOKEN_END && (r->condition != NULL || one_of(&r->reply.verb, verbs + VERDICTS))) {
		diag_error(ps->c, start, "every rule has a name: 'name : if ...'", "a rule without a name");
		return NULL;
	}
	return r;
}

/* To the next "name :", or the '}' that closes the rules. */
static void
resync_rule(struct parser *ps, struct at start)
{
	bool moved = ps->cur.at.line != start.line || ps->cur.at.column != start.column;

	while (ps->cur.kind != TOKEN_END && ps->cur.kind != TOKEN_RBRACE) {
		if (moved && (parse_names(ps) || (ps->cur.first && one_of(&ps->cur, verbs))))
			return;
		if (ps->cur.kind == TOKEN_LBRACE) {
			parse_skip_braces(ps);
			continue;
		}
		parse_next(ps);
		moved = true;
	}
}

/* rules = "rules" "{" {rule} "}" */
void
parse_rules(struct parser *ps)
{
	struct compile *c = ps->c;
	struct at open, start;

	if (c->rules_at.line > 0) {
		diag_error(c, ps->cur.at, compile_printf(c, "the first is at %s", diag_place(c, c->rules_at)),
			"more than one 'rules' block");
		return;
	}
	c->rules_at = ps->cur.at;
	parse_next(ps);
	open = ps->cur.at;
	if (!parse_take(ps, TOKEN_LBRACE, "'{'", NULL))
		return;
	while (ps->cur.kind != TOKEN_RBRACE && ps->cur.kind != TOKEN_END && !c->stop && !c->out_of_memory) {
		struct ast_rule *r;

		start = ps->cur.at;
		r = parse_rule(ps);
		if (r == NULL) {
			resync_rule(ps, start);
			continue;
		}
		*c->rules_end = r;
		c->rules_end = &r->next;
	}
	c->rules_close = ps->cur.at;
	if (ps->cur.kind == TOKEN_END)
		diag_error(c, open, NULL, "this '{' is never closed");
	else
		parse_next(ps);
}
