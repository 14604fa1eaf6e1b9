/*
 * extension.h - the service extensions that we know, by their EHLO keywords (IANA's registry; RFC 5321 2.2, 4.1.1.1).
 */
#ifndef PROXY_SMTP_EXTENSION_H
#define PROXY_SMTP_EXTENSION_H

#include <sallyport/filter.h>

enum extension {
	EXT_PIPELINING,    /* RFC 2920 */
	EXT_SIZE,          /* RFC 1870 */
	EXT_8BITMIME,      /* RFC 6152 */
	EXT_ENHANCED,      /* ENHANCEDSTATUSCODES, RFC 2034 */
	EXT_STARTTLS,      /* RFC 3207 */
	EXT_AUTH,          /* RFC 4954 */
	EXT_SMTPUTF8,      /* RFC 6531 */
	EXT_DSN,           /* RFC 3461 */
	EXT_CHUNKING,      /* RFC 3030 */
	EXT_BINARYMIME,    /* RFC 3030 */
	EXT_DELIVERBY,     /* RFC 2852 */
	EXT_MT_PRIORITY,   /* RFC 6710 */
	EXT_REQUIRETLS,    /* RFC 8689 */
	EXT_LIMITS,        /* RFC 9422 */
	EXT_FUTURERELEASE, /* RFC 4865 */
	EXT_ETRN,          /* RFC 1985 */
	EXT_ATRN,          /* RFC 2645 */
	EXT_PRDR,          /* per-recipient data responses */
	EXT_XCLIENT,       /* Postfix's */
	EXT_XFORWARD,      /* Postfix's */
	EXTENSIONS
};

#define EXT_BIT(extension) (UINT32_C(1) << (extension))
/* What asks more of the backend than to store mail: offered only where the operator says so ("pass"). */
#define EXTENSIONS_ON_REQUEST (EXT_BIT(EXT_DELIVERBY) | EXT_BIT(EXT_MT_PRIORITY) | EXT_BIT(EXT_REQUIRETLS) | \
	EXT_BIT(EXT_LIMITS) | EXT_BIT(EXT_FUTURERELEASE))

/* By keyword, whatever its case; EXTENSIONS: none that we know. */
enum extension extension_find(struct sp_span keyword);
const char *extension_keyword(enum extension e);

#endif
