/*
 * lines.h - what a filter program writes: lines of words divided by '|' (smtpd-filters(7) of OpenSMTPD, protocol 0.7).
 */
#ifndef FILTERS_SPAWN_LINES_H
#define FILTERS_SPAWN_LINES_H

#include <sallyport/filter.h>

/* Reports that we can make, and questions that we can ask; bit 1 << n of a set. */
enum event {
	EVENT_LINK_CONNECT,
	EVENT_LINK_GREETING,
	EVENT_LINK_IDENTIFY,
	EVENT_LINK_TLS,
	EVENT_LINK_AUTH,
	EVENT_LINK_DISCONNECT,
	EVENT_TX_RESET,
	EVENT_TX_BEGIN,
	EVENT_TX_MAIL,
	EVENT_TX_RCPT,
	EVENT_TX_ENVELOPE,
	EVENT_TX_DATA,
	EVENT_TX_COMMIT,
	EVENT_TX_ROLLBACK,
	EVENT_FILTER_REPORT,
	EVENT_FILTER_RESPONSE,
	EVENTS
};
enum phase {
	PHASE_CONNECT,
	PHASE_HELO,
	PHASE_EHLO,
	PHASE_MAIL_FROM,
	PHASE_RCPT_TO,
	PHASE_DATA,
	PHASE_DATA_LINE,
	PHASE_COMMIT,
	PHASES
};
extern const char *const event_names[EVENTS + 1], *const phase_names[PHASES + 1];

enum decision { DECISION_PROCEED, DECISION_JUNK, DECISION_REJECT, DECISION_DISCONNECT, DECISION_REWRITE, DECISION_REPORT };
extern const char *const decision_names[];

enum line_kind {
	LINE_READY,       /* register|ready */
	LINE_WANTS,       /* register|report|... or register|filter|... */
	LINE_RESULT,      /* filter-result */
	LINE_DATA,        /* filter-dataline */
	LINE_UNCONCERNING /* what we have no use for */
};
struct line {
	enum line_kind kind;
	uint32_t events, phases; /* WANTS */
	uint64_t session, token;
	enum decision decision;
	struct sp_span param; /* of the decision, or the line of the message, its dot still doubled */
};

/* One line without its end. SP_INVALID: no program that keeps the protocol writes that. */
enum sp_status line_parse(struct sp_span text, struct line *ret);

#endif
