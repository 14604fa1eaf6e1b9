/*
 * check_rule.c - rules: verbs and what they take, replies, pins, names, and the last verdict.
 *
 * RFC 5321 section 4.2 for reply codes, RFC 3463 section 2 for enhanced ones, RFC 5322 section 2.2 for
 * names of header fields.
 */
#include "policy/compile.h"

#define HEADER_VALUE_MAX 900 /* octets; with the name below 998 */
#define LOG_MAX 1000

/* ---- replies -------------------------------------------------------------------------------------- */

static enum policy_class
class_of(const struct token *verb)
{
	if (lex_is_word(verb, "accept"))
		return POLICY_ACCEPT;
	if (lex_is_word(verb, "discard"))
		return POLICY_DISCARD;
	return lex_is_word(verb, "defer") ? POLICY_DEFER : POLICY_REJECT;
}

static bool
literal_template(struct compile *c, const char *text, struct template *ret)
{
	ret->parts = compile_alloc(c, sizeof(struct template_part));
	if (ret->parts == NULL || text == NULL)
		return false;
	ret->parts[0].literal = span_str(text);
	ret->count = 1;
	return true;
}

/* What a verb says when the rule does not. */
static bool
default_reply(struct compile *c, enum policy_class verdict, struct reply *ret)
{
	static const struct {
		int code;
		const char *enhanced, *text;
	} defaults[] = {
		[POLICY_ACCEPT] = { 250, "2.0.0", "accepted" },
		[POLICY_DISCARD] = { 250, "2.0.0", "accepted" },
		[POLICY_DEFER] = { 451, "4.7.1", "deferred by policy, try again later" },
		[POLICY_REJECT] = { 550, "5.7.1", "refused by policy" },
	};
	const char *text = defaults[verdict].text;

	ret->verdict = verdict;
	ret->code = defaults[verdict].code;
	ret->enhanced = span_str(defaults[verdict].enhanced);
	if (c->rule != NULL && verdict >= POLICY_DEFER)
		text = arena_printf(c->p->arena, "%s (%.*s)", text, (int)c->rule->name.len, c->rule->name.ptr);
	else if (verdict == POLICY_DEFER)
		text = "cannot be decided now, try again later";
	return literal_template(c, text, &ret->text);
}

static bool
check_code(struct compile *c, const struct ast_reply *ast, struct reply *ret)
{
	const char *verb = policy_class_name(ret->verdict);
	char first = ret->verdict == POLICY_REJECT ? '5' : ret->verdict == POLICY_DEFER ? '4' : '2';
	const char *text = ast->code.text.ptr;

	if (ast->code.kind == TOKEN_END)
		return true;
	if (text[0] != first) {
		diag_error(c, ast->code.at,
			ret->verdict == POLICY_DISCARD ? "expected 250"
						       : compile_printf(c, "expected %cxx, or '%s'", first, first == '5' ? "defer" : "reject"),
			"'%s' does not go with code %.3s", verb, text);
		return false;
	}
	if (text[1] > '5') {
		diag_error(c, ast->code.at, "the second digit is 0 to 5", "this is no reply code of SMTP");
		return false;
	}
	ret->code = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
	return true;
}

static bool
enhanced_good(struct sp_span s)
{
	unsigned dots = 0, digits = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '.') {
			if (digits == 0 || i + 1 == s.len)
				return false;
			dots++;
			digits = 0;
		} else if (++digits > (dots == 0 ? 1u : 3u)) {
			return false;
		}
	}
	return dots == 2 && digits > 0;
}

static bool
check_enhanced(struct compile *c, const struct ast_reply *ast, struct reply *ret)
{
	struct sp_span s = ast->enhanced.text;

	if (ast->enhanced.kind == TOKEN_END)
		return true;
	if (!enhanced_good(s)) {
		diag_error(c, ast->enhanced.at, "expected three numbers: 5.7.1", "this is no enhanced status code");
		return false;
	}
	if (s.ptr[0] - '0' != ret->code / 100) {
		diag_error(c, ast->enhanced.at, compile_printf(c, "expected %d.x.x", ret->code / 100),
			"enhanced status %.*s does not go with code %d", (int)s.len, s.ptr, ret->code);
		return false;
	}
	ret->enhanced = s;
	return true;
}

static bool
check_reply_text(struct compile *c, const struct ast_reply *ast, struct reply *ret)
{
	if (ast->text.kind == TOKEN_END)
		return true;
	return check_printable(c, &ast->text, COMPILE_TEXT_MAX, "the text of a reply") &&
		check_template(c, &ast->text, c->rule != NULL, &ret->text);
}

bool
check_reply(struct compile *c, const struct ast_reply *ast, struct reply *ret)
{
	enum policy_class verdict = class_of(&ast->verb);
	const struct token *extra = ast->code.kind != TOKEN_END ? &ast->code
		: ast->enhanced.kind != TOKEN_END		? &ast->enhanced
								: &ast->text;
	bool good;

	if (!default_reply(c, verdict, ret))
		return false;
	if (verdict == POLICY_ACCEPT && extra->kind != TOKEN_END) {
		diag_error(c, extra->at, "the client gets the backend's own answer", "'accept' takes no code and no text");
		return false;
	}
	good = check_code(c, ast, ret);
	good = good && check_enhanced(c, ast, ret);
	return check_reply_text(c, ast, ret) && good;
}

/* ---- verbs ------------------------------------------------------------------------------------------- */

static bool
header_name(struct compile *c, const struct token *t)
{
	for (size_t i = 0; i < t->text.len; i++)
		if (t->text.ptr[i] <= ' ' || t->text.ptr[i] > '~' || strchr(":\\\"", t->text.ptr[i]) != NULL) {
			diag_error(c, t->at, "letters, digits and '-'", "this is no name of a header field");
			return false;
		}
	return check_printable(c, t, 70, "the name of a header field");
}

static bool
check_filter_verb(struct compile *c, const struct token *name, struct policy_rule *r)
{
	struct suggest near;

	suggest_init(&near, name->text);
	for (size_t i = 0; i < c->p->filter_count; i++) {
		suggest_offer(&near, c->p->filters[i].name, c->infos[i].at);
		if (!span_eq(c->p->filters[i].name, name->text))
			continue;
		r->filter = i;
		c->p->filters[i].on_demand = true;
		if (c->infos[i].runs_at == SIZE_MAX)
			c->infos[i].runs_at = r->index;
		return true;
	}
	diag_error(c, name->at, suggest_hint(&near, c, "declare it: filter MODULE [NAME]"), "no filter named '%.*s'",
		(int)name->text.len, name->text.ptr);
	return false;
}

static bool
check_points(struct compile *c, const struct token *t, struct policy_rule *r)
{
	struct sp_value v;
	const char *wrong = literal_parse(c, SP_SCORE, NULL, t->text, &v);

	if (wrong == NULL)
		r->points = v.u.real;
	else
		diag_error(c, t->at, wrong, "'%.*s' is %s, no score", (int)t->text.len, t->text.ptr, literal_looks(t->text));
	return wrong == NULL;
}

static bool
check_tag(struct compile *c, const struct token *t)
{
	if (lex_is_name(t->text))
		return true;
	diag_error(c, t->at, "a letter, then letters, digits, '_' and '-'", "this is no name of a tag");
	return false;
}

static bool
check_verb(struct compile *c, const struct ast_rule *ast, struct policy_rule *r)
{
	r->arg_name = ast->arg.text;
	switch (r->verb) {
	case VERB_ADD_HEADER:
		return header_name(c, &ast->arg) &&
			check_printable(c, &ast->text, HEADER_VALUE_MAX, "the value of a header field") &&
			check_template(c, &ast->text, true, &r->arg);
	case VERB_REMOVE_HEADER:
		return header_name(c, &ast->arg);
	case VERB_SCORE:
		return check_points(c, &ast->arg, r);
	case VERB_TAG:
		return check_tag(c, &ast->arg);
	case VERB_LOG:
		return check_printable(c, &ast->text, LOG_MAX, "the text of a log line") &&
			check_template(c, &ast->text, true, &r->arg);
	case VERB_FILTER:
		return check_filter_verb(c, &ast->arg, r);
	case VERB_BACKEND:
		return check_backend_verb(c, &ast->arg);
	case VERB_QUARANTINE:
		return default_reply(c, POLICY_ACCEPT, &r->reply) &&
			(compile_refused(c, SPAN_LIT("backend")) != NULL || check_backend_verb(c, &ast->arg));
	default:
		return check_reply(c, &ast->reply, &r->reply);
	}
}

static enum rule_verb
verb_of(const struct token *t)
{
	static const struct {
		const char *name;
		enum rule_verb verb;
	} verbs[] = { { "accept", VERB_ACCEPT }, { "discard", VERB_DISCARD }, { "defer", VERB_DEFER },
		{ "reject", VERB_REJECT }, { "add-header", VERB_ADD_HEADER }, { "remove-header", VERB_REMOVE_HEADER },
		{ "score", VERB_SCORE }, { "tag", VERB_TAG }, { "log", VERB_LOG }, { "filter", VERB_FILTER },
		{ "backend", VERB_BACKEND }, { "quarantine", VERB_QUARANTINE } };
	size_t i = 0;

	while (i + 1 < sizeof(verbs) / sizeof(verbs[0]) && !lex_is_word(t, verbs[i].name))
		i++;
	return verbs[i].verb;
}

/* ---- rules --------------------------------------------------------------------------------------------- */

static void
check_stage(struct compile *c, const struct token *t, struct policy_rule *r)
{
	struct suggest near;

	r->pinned = -1;
	if (t->kind == TOKEN_END)
		return;
	suggest_init(&near, t->text);
	for (int s = SP_CONNECT; s < SP_STAGES; s++) {
		suggest_word(&near, policy_stage_name((enum sp_stage)s));
		if (lex_is_word(t, policy_stage_name((enum sp_stage)s)))
			r->pinned = s;
	}
	if (r->pinned < 0)
		diag_error(c, t->at, suggest_hint(&near, c, "expected connect, helo, mail, rcpt, data, header or eom"),
			"no stage named '%.*s'", (int)t->text.len, t->text.ptr);
}

static void
check_on_unknown(struct compile *c, const struct ast_reply *ast, struct policy_rule *r)
{
	if (ast->verb.kind == TOKEN_END)
		return;
	if (lex_is_word(&ast->verb, "skip")) {
		r->on_unknown = UNKNOWN_SKIP;
		if (ast->code.kind != TOKEN_END || ast->enhanced.kind != TOKEN_END || ast->text.kind != TOKEN_END)
			diag_error(c, ast->verb.at, "the rule is passed over as if its condition were false",
				"'skip' takes no code and no text");
	} else {
		r->on_unknown = UNKNOWN_VERDICT;
		check_reply(c, ast, &r->unknown);
	}
}

static void
check_rule_name(struct compile *c, const struct ast_rule *ast, struct policy_rule *r)
{
	const struct token *t = ast->name.kind != TOKEN_END ? &ast->name : &ast->reply.verb;

	r->name = t->text;
	r->at = t->at;
	r->path = c->p->files[t->at.file].path;
	for (size_t i = 0; i < c->p->rule_count; i++)
		if (span_eq(c->p->rules[i]->name, r->name)) {
			check_twice(c, r->at, c->p->rules[i]->at, "rule", r->name);
			break;
		}
}

static void
check_rule(struct compile *c, const struct ast_rule *ast)
{
	struct policy_rule *r = compile_alloc(c, sizeof(*r));

	if (r == NULL)
		return;
	r->index = c->p->rule_count;
	check_rule_name(c, ast, r);
	r->verb = verb_of(&ast->reply.verb);
	r->shadow = ast->shadow;
	check_stage(c, &ast->stage, r);
	c->rule = r;
	c->rule_stage = ast->stage.at;
	c->p->rules[c->p->rule_count++] = r;
	if (ast->condition != NULL)
		r->condition = check_condition(c, ast->condition);
	check_verb(c, ast, r);
	check_on_unknown(c, &ast->unknown, r);
	c->rule = NULL;
}

static void
check_last(struct compile *c)
{
	const struct ast_rule *last = c->rules;

	while (last != NULL && last->next != NULL)
		last = last->next;
	if (last != NULL && verb_of(&last->reply.verb) <= VERB_QUARANTINE && last->condition == NULL && !last->shadow)
		return;
	diag_error(c, c->rules_close, "add 'accept' as the last line",
		"the rules must end in a verdict without a condition");
}

void
check_rules(struct compile *c)
{
	size_t count = 0;

	for (const struct ast_rule *r = c->rules; r != NULL; r = r->next)
		count++;
	c->p->rules = compile_alloc(c, (count + 1) * sizeof(struct policy_rule *));
	if (c->p->rules == NULL)
		return;
	for (const struct ast_rule *r = c->rules; r != NULL && !c->stop; r = r->next)
		check_rule(c, r);
	if (c->syntax_errors)
		return; /* the rules may be incomplete: what is missing would be a second mistake */
	if (c->rules_at.line == 0)
		diag_error(c, (struct at){ 0 }, "the least is 'rules { accept }'", "the policy has no 'rules' block");
	else
		check_last(c);
}
