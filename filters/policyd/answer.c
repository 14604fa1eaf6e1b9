/*
 * answer.c - see answer.h (SMTPD_POLICY_README; access(5) of Postfix for the actions).
 */
#include "policyd/answer.h"

#include "linewire/text.h"

/* ---- lines ---------------------------------------------------------------------------------- */

/* The next line without its end; a server may end lines with CR LF. */
static struct sp_span
next_line(struct sp_span *rest)
{
	struct sp_span line = text_cut(rest, '\n');

	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

size_t
answer_end(struct sp_span came)
{
	struct sp_span rest = came;

	while (text_find(rest, '\n') < rest.len) {
		size_t at = (size_t)(rest.ptr - came.ptr) + text_find(rest, '\n') + 1;

		if (next_line(&rest).len == 0)
			return at;
	}
	return 0;
}

static bool
is_clean(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char)s.ptr[i] < ' ' && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
			return false;
	return true;
}

/* The value of the one "action"; other attributes may come with it. */
static enum sp_status
find_action(struct sp_span text, struct sp_span *ret, const char **retwhy)
{
	bool found = false;

	*retwhy = "it says no action";
	for (struct sp_span line = next_line(&text); line.len > 0; line = next_line(&text)) {
		size_t eq = text_find(line, '=');

		*retwhy = "a line is not name=value";
		if (line.len > ANSWER_LINE || eq == line.len || eq == 0 || !is_clean(line))
			return SP_INVALID;
		*retwhy = "it says two actions";
		if (!text_like(text_head(line, eq), "action"))
			continue;
		if (found)
			return SP_INVALID;
		found = true;
		*ret = text_trim(text_from(line, eq + 1));
	}
	if (!found)
		*retwhy = "it says no action";
	return found && ret->len > 0 ? SP_OK : SP_INVALID;
}

/* ---- actions -------------------------------------------------------------------------------- */

static const struct word {
	const char *word;
	enum action action;
	int code;
} words[] = {
	{ "DUNNO", ACTION_NONE, 0 },
	{ "OK", ACTION_NONE, 0 },
	{ "PERMIT", ACTION_NONE, 0 },
	{ "DEFER_IF_REJECT", ACTION_NONE, 0 }, /* what rules below refuse is theirs to say how */
	{ "REJECT", ACTION_REJECT, 554 },
	{ "DEFER", ACTION_DEFER, 450 },
	{ "DEFER_IF_PERMIT", ACTION_DEFER, 450 },
	{ "DISCARD", ACTION_DISCARD, 0 },
	{ "HOLD", ACTION_HOLD, 0 },
	{ "PREPEND", ACTION_PREPEND, 0 },
	{ "INFO", ACTION_LOG, 0 },
	{ "WARN", ACTION_LOG, 0 },
};

/* 450 or 550: 0 if it is none. */
static int
reply_code(struct sp_span word)
{
	int code = 0;

	if (word.len != 3 || (word.ptr[0] != '4' && word.ptr[0] != '5'))
		return 0;
	for (size_t i = 0; i < 3; i++) {
		if (word.ptr[i] < '0' || word.ptr[i] > '9')
			return 0;
		code = code * 10 + (word.ptr[i] - '0');
	}
	return code;
}

static void
find_word(struct answer *a)
{
	a->action = ACTION_UNKNOWN;
	a->code = reply_code(a->word);
	if (a->code != 0)
		a->action = a->code >= 500 ? ACTION_REJECT : ACTION_DEFER;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (text_like(a->word, words[i].word)) {
			a->action = words[i].action;
			a->code = words[i].code;
		}
}

/* "Name: value" */
static bool
split_field(struct answer *a)
{
	size_t colon = text_find(a->text, ':');

	a->name = text_head(a->text, colon);
	a->value = text_trim(text_from(a->text, colon + 1));
	for (size_t i = 0; i < a->name.len; i++)
		if (a->name.ptr[i] <= ' ' || a->name.ptr[i] > '~')
			return false;
	return a->name.len > 0 && a->value.len > 0;
}

enum sp_status
answer_parse(struct sp_span text, struct answer *ret, const char **retwhy)
{
	struct answer a = { 0 };
	struct sp_span value = { NULL, 0 };

	if (find_action(text, &value, retwhy) != SP_OK)
		return SP_INVALID;
	a.word = text_cut(&value, ' ');
	a.text = text_trim(value);
	find_word(&a);
	if (a.action == ACTION_PREPEND && !split_field(&a)) {
		*retwhy = "PREPEND without a header field";
		return SP_INVALID;
	}
	*ret = a;
	return SP_OK;
}
