/* Lines of a filter program: what is understood, what is passed over, and what no program may write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "linewire/text.h"
#include "spawn/lines.h"

static const struct line_case {
	const char *text;
	enum line_kind kind;
	uint32_t events, phases;
	uint64_t session, token;
	enum decision decision;
	const char *param;
} good[] = {
	{ "register|ready", LINE_READY, 0, 0, 0, 0, 0, "" },
	{ "register|report|smtp-in|link-connect", LINE_WANTS, 1u << EVENT_LINK_CONNECT, 0, 0, 0, 0, "" },
	{ "register|report|smtp-in|tx-rollback", LINE_WANTS, 1u << EVENT_TX_ROLLBACK, 0, 0, 0, 0, "" },
	{ "register|report|smtp-in|*", LINE_WANTS, (1u << EVENTS) - 1, 0, 0, 0, 0, "" },
	{ "register|filter|smtp-in|data-line", LINE_WANTS, 0, 1u << PHASE_DATA_LINE, 0, 0, 0, "" },
	{ "register|filter|smtp-in|starttls", LINE_UNCONCERNING, 0, 0, 0, 0, 0, "" },
	{ "register|report|smtp-in|protocol-client", LINE_UNCONCERNING, 0, 0, 0, 0, 0, "" },
	{ "register|report|smtp-out|tx-mail", LINE_UNCONCERNING, 0, 0, 0, 0, 0, "" },
	{ "report|0.7|1.2|smtp-in|anything", LINE_UNCONCERNING, 0, 0, 0, 0, 0, "" },
	{ "filter-result|7641df9771b4ed00|1EF1c203cc576e5d|proceed", LINE_RESULT, 0, 0, 0x7641df9771b4ed00, 0x1ef1c203cc576e5d,
		DECISION_PROCEED, "" },
	{ "filter-result|1|2|junk", LINE_RESULT, 0, 0, 1, 2, DECISION_JUNK, "" },
	{ "filter-result|1|2|reject|550 a|b", LINE_RESULT, 0, 0, 1, 2, DECISION_REJECT, "550 a|b" },
	{ "filter-result|1|2|disconnect|421 x", LINE_RESULT, 0, 0, 1, 2, DECISION_DISCONNECT, "421 x" },
	{ "filter-result|1|2|rewrite|<a@b>", LINE_RESULT, 0, 0, 1, 2, DECISION_REWRITE, "<a@b>" },
	{ "filter-result|1|2|report|x", LINE_RESULT, 0, 0, 1, 2, DECISION_REPORT, "x" },
	{ "filter-dataline|1|2|..a|b", LINE_DATA, 0, 0, 1, 2, 0, "..a|b" },
	{ "filter-dataline|1|2|", LINE_DATA, 0, 0, 1, 2, 0, "" },
	{ "filter-dataline|1|2|.", LINE_DATA, 0, 0, 1, 2, 0, "." },
};

static void
understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const struct line_case *c = &good[i];
		struct line l;

		if (line_parse(text_of(c->text), &l) != SP_OK)
			fail_msg("refused: %s", c->text);
		if (l.kind != c->kind || l.events != c->events || l.phases != c->phases || l.session != c->session ||
			l.token != c->token || l.decision != c->decision || !text_is(l.param, c->param))
			fail_msg("otherwise: %s", c->text);
	}
}

static void
refused(void **state)
{
	static const char *const bad[] = { "", "|", "hello", "register", "register|", "register|maybe", "register|ready|x|y",
		"register|report", "register|report|smtp-in", "register|filter|smtp-in|", "filter-result", "filter-result|1|2",
		"filter-result||2|proceed", "filter-result|1||proceed", "filter-result|g|2|proceed", "filter-result|1|2|",
		"filter-result|1|2|reject", "filter-result|1|2|reject|", "filter-result|1|2|rewrite", "filter-result|1|2|maybe|x",
		"filter-result|12345678901234567|2|proceed", "filter-dataline|x|2|a", "filter-dataline", "filter-dataline|1|2|a\r",
		"filter|0.7|1|smtp-in|connect|1|2", "config|ready", "FILTER-RESULT|1|2|proceed" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct line l;

		if (line_parse(text_of(bad[i]), &l) != SP_INVALID)
			fail_msg("taken: %s", bad[i]);
	}
	{
		struct line l;
		const char nul[] = "filter-dataline|1|2|a\0b";

		assert_int_equal(line_parse((struct sp_span){ nul, sizeof(nul) - 1 }, &l), SP_INVALID);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(understood), cmocka_unit_test(refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
