/*
 * milter_words.c - see milter_words.h.  Only tables.
 */
#include <libmilter/mfapi.h>

#include "policy/kit/span.h"
#include "proxy/test/milter_words.h"

const struct milter_word milter_commands[] = {
	{ "negotiate", SMFIC_OPTNEG }, { "connect", SMFIC_CONNECT }, { "helo", SMFIC_HELO }, { "mail", SMFIC_MAIL }, { "rcpt", SMFIC_RCPT },
	{ "data", SMFIC_DATA }, { "header", SMFIC_HEADER }, { "eoh", SMFIC_EOH }, { "body", SMFIC_BODY }, { "end", SMFIC_BODYEOB },
	{ "abort", SMFIC_ABORT }, { "unknown", SMFIC_UNKNOWN }, { "macros", SMFIC_MACRO }, { "quit", SMFIC_QUIT },
	{ "quit-nc", SMFIC_QUIT_NC }, { NULL, 0 },
};
const struct milter_word milter_replies[] = {
	{ "continue", SMFIR_CONTINUE }, { "accept", SMFIR_ACCEPT }, { "reject", SMFIR_REJECT }, { "tempfail", SMFIR_TEMPFAIL },
	{ "discard", SMFIR_DISCARD }, { "skip", SMFIR_SKIP }, { "progress", SMFIR_PROGRESS }, { "conn-fail", SMFIR_CONN_FAIL },
	{ "shutdown", SMFIR_SHUTDOWN }, { "reply", SMFIR_REPLYCODE }, { "add", SMFIR_ADDHEADER }, { "insert", SMFIR_INSHEADER },
	{ "change", SMFIR_CHGHEADER }, { "from", SMFIR_CHGFROM }, { "rcpt", SMFIR_ADDRCPT }, { "rcpt-args", SMFIR_ADDRCPT_PAR },
	{ "unrcpt", SMFIR_DELRCPT }, { "body", SMFIR_REPLBODY }, { "quarantine", SMFIR_QUARANTINE }, { "negotiate", SMFIC_OPTNEG },
	{ NULL, 0 },
};
const struct milter_word milter_actions[] = {
	{ "add-header", SMFIF_ADDHDRS }, { "change-header", SMFIF_CHGHDRS }, { "change-body", SMFIF_CHGBODY }, { "change-from", SMFIF_CHGFROM },
	{ "add-rcpt", SMFIF_ADDRCPT }, { "add-rcpt-args", SMFIF_ADDRCPT_PAR }, { "delete-rcpt", SMFIF_DELRCPT },
	{ "quarantine", SMFIF_QUARANTINE }, { "macro-list", SMFIF_SETSYMLIST }, { NULL, 0 },
};
const struct milter_word milter_steps[] = {
	{ "no-connect", SMFIP_NOCONNECT }, { "no-helo", SMFIP_NOHELO }, { "no-mail", SMFIP_NOMAIL }, { "no-rcpt", SMFIP_NORCPT },
	{ "no-data", SMFIP_NODATA }, { "no-header", SMFIP_NOHDRS }, { "no-eoh", SMFIP_NOEOH }, { "no-body", SMFIP_NOBODY },
	{ "no-unknown", SMFIP_NOUNKNOWN }, { "mute-connect", SMFIP_NR_CONN }, { "mute-helo", SMFIP_NR_HELO }, { "mute-mail", SMFIP_NR_MAIL },
	{ "mute-rcpt", SMFIP_NR_RCPT }, { "mute-data", SMFIP_NR_DATA }, { "mute-header", SMFIP_NR_HDR }, { "mute-eoh", SMFIP_NR_EOH },
	{ "mute-body", SMFIP_NR_BODY }, { "mute-unknown", SMFIP_NR_UNKN }, { "skip", SMFIP_SKIP }, { "refused-rcpt", SMFIP_RCPT_REJ },
	{ "leading-blank", SMFIP_HDR_LEADSPC }, { "chunk-256k", SMFIP_MDS_256K }, { "chunk-1m", SMFIP_MDS_1M }, { NULL, 0 },
};
const struct milter_word milter_stages[] = {
	{ "connect", SMFIM_CONNECT }, { "helo", SMFIM_HELO }, { "mail", SMFIM_ENVFROM }, { "rcpt", SMFIM_ENVRCPT }, { "data", SMFIM_DATA },
	{ "eoh", SMFIM_EOH }, { "end", SMFIM_EOM }, { NULL, 0 },
};

const char *
milter_word_of(const struct milter_word *table, uint32_t value)
{
	for (; table->word != NULL; table++)
		if (table->value == value)
			return table->word;
	return "unknown";
}

bool
milter_value_of(const struct milter_word *table, struct sp_span word, uint32_t *ret)
{
	for (; table->word != NULL; table++)
		if (span_eq(span_str(table->word), word)) {
			*ret = table->value;
			return true;
		}
	return false;
}

void
milter_words_add(struct buf *to, const struct milter_word *table, uint32_t bits)
{
	const char *blank = "";

	if (bits == 0)
		buf_add_str(to, "none");
	for (; table->word != NULL; table++) {
		if ((bits & table->value) == 0)
			continue;
		buf_printf(to, "%s%s", blank, table->word);
		bits &= ~table->value;
		blank = " ";
	}
	if (bits != 0)
		buf_printf(to, "%s0x%x", blank, bits);
}

uint32_t
milter_silent_bit(char command)
{
	static const struct {
		char command;
		uint32_t bit;
	} bits[] = { { SMFIC_CONNECT, SMFIP_NR_CONN }, { SMFIC_HELO, SMFIP_NR_HELO }, { SMFIC_MAIL, SMFIP_NR_MAIL },
		{ SMFIC_RCPT, SMFIP_NR_RCPT }, { SMFIC_DATA, SMFIP_NR_DATA }, { SMFIC_HEADER, SMFIP_NR_HDR },
		{ SMFIC_EOH, SMFIP_NR_EOH }, { SMFIC_BODY, SMFIP_NR_BODY }, { SMFIC_UNKNOWN, SMFIP_NR_UNKN } };

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (bits[i].command == command)
			return bits[i].bit;
	return 0;
}
