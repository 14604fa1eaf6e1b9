/*
 * extension.c - the table of extension.h.
 */
#include "proxy/smtp/extension.h"

#include "policy/kit/span.h"

static const char *const keywords[EXTENSIONS] = {
	[EXT_PIPELINING] = "PIPELINING",
	[EXT_SIZE] = "SIZE",
	[EXT_8BITMIME] = "8BITMIME",
	[EXT_ENHANCED] = "ENHANCEDSTATUSCODES",
	[EXT_STARTTLS] = "STARTTLS",
	[EXT_AUTH] = "AUTH",
	[EXT_SMTPUTF8] = "SMTPUTF8",
	[EXT_DSN] = "DSN",
	[EXT_CHUNKING] = "CHUNKING",
	[EXT_BINARYMIME] = "BINARYMIME",
	[EXT_DELIVERBY] = "DELIVERBY",
	[EXT_MT_PRIORITY] = "MT-PRIORITY",
	[EXT_REQUIRETLS] = "REQUIRETLS",
	[EXT_LIMITS] = "LIMITS",
	[EXT_FUTURERELEASE] = "FUTURERELEASE",
	[EXT_ETRN] = "ETRN",
	[EXT_ATRN] = "ATRN",
	[EXT_PRDR] = "PRDR",
	[EXT_XCLIENT] = "XCLIENT",
	[EXT_XFORWARD] = "XFORWARD",
};

enum extension
extension_find(struct sp_span keyword)
{
	for (unsigned e = 0; e < EXTENSIONS; e++)
		if (span_ieq(keyword, span_str(keywords[e])))
			return (enum extension)e;
	return EXTENSIONS;
}

const char *
extension_keyword(enum extension e)
{
	return keywords[e];
}
