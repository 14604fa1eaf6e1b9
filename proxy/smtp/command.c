/*
 * command.c - see command.h.  Holds no memory: all spans point into the command line (RFC 5321 4.1.1, 4.1.2).
 */
#include "proxy/smtp/command.h"

#include "policy/kit/span.h"
#include "policy/kit/utf8.h"
#include "proxy/smtp/parameter.h"

static const struct {
	const char *word;
	enum command_verb verb;
} verbs[] = {
	{ "HELO", COMMAND_HELO },
	{ "EHLO", COMMAND_EHLO },
	{ "MAIL", COMMAND_MAIL },
	{ "RCPT", COMMAND_RCPT },
	{ "DATA", COMMAND_DATA },
	{ "RSET", COMMAND_RSET },
	{ "NOOP", COMMAND_NOOP },
	{ "VRFY", COMMAND_VRFY },
	{ "EXPN", COMMAND_EXPN },
	{ "HELP", COMMAND_HELP },
	{ "QUIT", COMMAND_QUIT },
	{ "STARTTLS", COMMAND_STARTTLS },
	{ "AUTH", COMMAND_AUTH },
	{ "BDAT", COMMAND_BDAT },
	{ "XCLIENT", COMMAND_XCLIENT },
	{ "ETRN", COMMAND_ETRN },
	{ "ATRN", COMMAND_ATRN },
	{ "PROXY", COMMAND_PROXY },
	{ "GET", COMMAND_HTTP },
	{ "POST", COMMAND_HTTP },
	{ "CONNECT", COMMAND_HTTP },
	{ "PUT", COMMAND_HTTP },
	{ "HEAD", COMMAND_HTTP },
	{ "OPTIONS", COMMAND_HTTP },
};

struct command
command_parse(struct sp_span line)
{
	struct command cmd = { COMMAND_UNKNOWN, { NULL, 0 }, { NULL, 0 } };
	size_t len = 0;

	while (len < line.len && line.ptr[len] != ' ' && line.ptr[len] != '\t')
		len++;
	cmd.word = span_head(line, len);
	cmd.argument = span_trim(span_from(line, len));
	if (line.len > 0 && !span_is_alpha(line.ptr[0]))
		cmd.verb = COMMAND_HTTP;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (span_ieq(cmd.word, span_str(verbs[i].word)))
			cmd.verb = verbs[i].verb;
	return cmd;
}

static struct command_error
address_error(enum address_error err, bool mail)
{
	const char *syntax = mail ? "5.1.7" : "5.1.3";

	switch (err) {
	case ADDRESS_OK:
		break;
	case ADDRESS_SYNTAX:
		return (struct command_error){ 501, syntax, "bad address syntax" };
	case ADDRESS_BRACKETS:
		return (struct command_error){ 501, "5.5.4", "address must be written as <local@domain>" };
	case ADDRESS_ROUTE:
		return (struct command_error){ 553, syntax, "source routes are not supported" };
	case ADDRESS_LENGTH:
		return (struct command_error){ 501, syntax, "address too long" };
	case ADDRESS_NOT_UTF8:
		return (struct command_error){ 501, "5.5.2", "address is not UTF-8" };
	}
	return (struct command_error){ 0 };
}

static const struct command_error bad_param = { 501, "5.5.4", "bad parameter syntax" };
static const struct command_error bad_value = { 501, "5.5.4", "bad parameter value" };
static const struct command_error not_ascii = { 553, "5.6.7", "an address beyond ASCII goes with SMTPUTF8 only" };
static const struct command_error unknown_param = { 555, "5.5.4", "parameter not supported" };

/* name[=value]: esmtp-keyword and esmtp-value of RFC 5321 4.1.2, with utf8 also of RFC 6531 3.3; without "=" value.ptr is null. */
static bool
parse_param(struct sp_span word, bool utf8, struct command_param *ret)
{
	size_t len = span_find(word, '=');

	ret->name = span_head(word, len);
	ret->value = span_of(NULL, 0);
	if (len == 0 || word.ptr[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!span_is_alpha(word.ptr[i]) && !span_is_digit(word.ptr[i]) && word.ptr[i] != '-')
			return false;
	if (len == word.len)
		return true;
	ret->value = span_from(word, len + 1);
	for (size_t i = 0; i < ret->value.len; i++)
		if (ret->value.ptr[i] == ' ' || ret->value.ptr[i] == '=')
			return false;
	return ret->value.len > 0 && utf8_is_plain(ret->value) && (utf8 || utf8_is_ascii(ret->value));
}

static bool
has_param(const struct command_param *params, size_t count, struct sp_span name)
{
	for (size_t i = 0; i < count; i++)
		if (span_ieq(params[i].name, name))
			return true;
	return false;
}

/* Splits at blanks into params, room for COMMAND_PARAMS. False: bad syntax, twice the same, too many. */
static bool
split_params(struct sp_span text, bool utf8, struct command_param *params, size_t *ret_count)
{
	size_t count = 0;

	for (text = span_trim(text); text.len > 0; text = span_trim(text)) {
		size_t len = span_find(text, ' ');

		if (count == COMMAND_PARAMS || !parse_param(span_head(text, len), utf8, &params[count]) ||
			has_param(params, count, params[count].name))
			return false;
		count++;
		text = span_from(text, len);
	}
	*ret_count = count;
	return true;
}

static struct command_error
take_param(const struct command_param *param, const struct command_limits *limits, struct command_path *path)
{
	const struct parameter *p = parameter_find(limits->mail, param->name);

	if (p == NULL || (limits->offered & EXT_BIT(p->extension)) == 0)
		return unknown_param;
	if (!p->take(param->value, path))
		return bad_value;
	if (p->passes)
		path->needs |= EXT_BIT(p->extension);
	if ((path->needs & ~limits->offered) != 0) /* BODY=BINARYMIME */
		return bad_value;
	return (struct command_error){ 0 };
}

static struct command_error
parse_params(struct sp_span text, const struct command_limits *limits, struct command_path *path)
{
	struct command_param params[COMMAND_PARAMS];
	struct command_error err = { 0 };
	size_t count;

	if (!split_params(text, limits->utf8, params, &count))
		return bad_param;
	for (size_t i = 0; i < count && err.code == 0; i++)
		err = take_param(&params[i], limits, path);
	path->params = span_trim(text);
	return err;
}

/* Beyond ASCII, and nobody said that it may be. What was not offered cannot be said, so that is told first. */
static bool
lacks_smtputf8(const struct command_path *path, const struct command_limits *limits)
{
	if (!path->address.utf8)
		return false;
	if (!limits->mail)
		return !limits->utf8;
	return (limits->offered & EXT_BIT(EXT_SMTPUTF8)) == 0;
}

struct command_error
command_parse_path(struct sp_span argument, const struct command_limits *limits, struct command_path *ret)
{
	struct sp_span prefix = limits->mail ? SPAN_LIT("FROM:") : SPAN_LIT("TO:");
	struct address_rules rules = { .null_ok = limits->mail, .bare_postmaster = !limits->mail };
	struct command_path path = { .size = -1 };
	struct command_error err;
	size_t used = 0;

	if (!span_istarts(argument, prefix))
		return (struct command_error){ 501, "5.5.4",
			limits->mail ? "syntax: MAIL FROM:<address>" : "syntax: RCPT TO:<address>" };
	argument = span_from(argument, prefix.len);
	if (argument.len > 0 && argument.ptr[0] == ' ')
		argument = span_from(argument, 1);
	err = address_error(address_parse(argument, rules, &path.address, &used), limits->mail);
	if (err.code == 0 && path.address.quoted && !limits->quoted_local)
		err = (struct command_error){ 553, limits->mail ? "5.1.7" : "5.1.3", "quoted local parts are not taken" };
	if (err.code == 0 && path.address.literal && !limits->literals)
		err = (struct command_error){ 550, limits->mail ? "5.1.7" : "5.1.2", "address literals are not taken" };
	if (err.code == 0 && lacks_smtputf8(&path, limits))
		err = not_ascii;
	if (err.code == 0)
		err = parse_params(span_from(argument, used), limits, &path);
	if (err.code == 0 && limits->mail && path.address.utf8 && !path.smtputf8)
		err = not_ascii;
	if (err.code == 0)
		*ret = path;
	return err;
}
