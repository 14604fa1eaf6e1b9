/*
 * lines.c - see lines.h.
 */
#include "spawn/lines.h"

#include "linewire/text.h"

const char *const event_names[EVENTS + 1] = { "link-connect", "link-greeting", "link-identify", "link-tls", "link-auth",
	"link-disconnect", "tx-reset", "tx-begin", "tx-mail", "tx-rcpt", "tx-envelope", "tx-data", "tx-commit", "tx-rollback",
	"filter-report", "filter-response", NULL };
const char *const phase_names[PHASES + 1] = { "connect", "helo", "ehlo", "mail-from", "rcpt-to", "data", "data-line", "commit", NULL };
const char *const decision_names[] = { "proceed", "junk", "reject", "disconnect", "rewrite", "report", NULL };

/* SIZE_MAX: none of them. */
static size_t
find_word(const char *const *words, struct sp_span word)
{
	for (size_t i = 0; words[i] != NULL; i++)
		if (text_is(word, words[i]))
			return i;
	return SIZE_MAX;
}

/* Up to 16 hex digits. */
static bool
take_id(struct sp_span *rest, uint64_t *ret)
{
	struct sp_span word = text_cut(rest, '|');
	uint64_t id = 0;

	for (size_t i = 0; i < word.len; i++) {
		char c = text_lower(word.ptr[i]);

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
		id = id << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret = id;
	return word.len > 0 && word.len <= 16;
}

/* register|report|smtp-in|EVENT, register|filter|smtp-in|PHASE, register|ready.  What we cannot tell or ask is not an error: a program
 * may know more than we do. */
static enum sp_status
parse_register(struct sp_span rest, struct line *ret)
{
	struct sp_span stream = text_cut(&rest, '|'), subsystem = text_cut(&rest, '|');
	bool report = text_is(stream, "report");
	size_t n;

	if (text_is(stream, "ready") && subsystem.len == 0) {
		ret->kind = LINE_READY;
		return SP_OK;
	}
	if ((!report && !text_is(stream, "filter")) || rest.len == 0)
		return SP_INVALID;
	if (!text_is(subsystem, "smtp-in"))
		return SP_OK;
	ret->kind = LINE_WANTS;
	n = find_word(report ? event_names : phase_names, rest);
	if (report && text_is(rest, "*"))
		ret->events = (1u << EVENTS) - 1;
	else if (n == SIZE_MAX)
		ret->kind = LINE_UNCONCERNING;
	else
		*(report ? &ret->events : &ret->phases) = 1u << n;
	return SP_OK;
}

static enum sp_status
parse_result(struct sp_span rest, struct line *ret)
{
	struct sp_span word;
	size_t n;

	if (!take_id(&rest, &ret->session) || !take_id(&rest, &ret->token))
		return SP_INVALID;
	word = text_cut(&rest, '|');
	n = find_word(decision_names, word);
	if (n == SIZE_MAX || (n >= DECISION_REJECT && rest.len == 0))
		return SP_INVALID;
	ret->kind = LINE_RESULT;
	ret->decision = (enum decision)n;
	ret->param = rest;
	return SP_OK;
}

enum sp_status
line_parse(struct sp_span text, struct line *ret)
{
	struct sp_span rest = text, word = text_cut(&rest, '|');

	*ret = (struct line){ .kind = LINE_UNCONCERNING };
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] == '\0' || text.ptr[i] == '\r')
			return SP_INVALID;
	if (text_is(word, "register"))
		return parse_register(rest, ret);
	if (text_is(word, "filter-result"))
		return parse_result(rest, ret);
	if (text_is(word, "report"))
		return SP_OK;
	if (!text_is(word, "filter-dataline") || !take_id(&rest, &ret->session) || !take_id(&rest, &ret->token))
		return SP_INVALID;
	ret->kind = LINE_DATA;
	ret->param = rest;
	return SP_OK;
}
