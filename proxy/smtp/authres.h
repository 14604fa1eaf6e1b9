/*
 * authres.h - whose is an Authentication-Results field that came with a message (RFC 8601 sections 2.2, 2.5 and 5).
 */
#ifndef PROXY_SMTP_AUTHRES_H
#define PROXY_SMTP_AUTHRES_H

#include <sallyport/filter.h>

enum authres_claim {
	AUTHRES_OTHER,   /* another server's, or one that names no server ("dkim=none; ...") */
	AUTHRES_OURS,    /* it claims our id, whatever follows */
	AUTHRES_UNCLEAR  /* readers may differ over whose it is: none that was written as the RFC says */
};

/* value: of the field, folded as sent. id: ours, as it is written, without quotes.  Ids are compared without regard to case
 * and to a dot at their end; quotes, comments and folds are seen through. */
enum authres_claim authres_claims(struct sp_span value, struct sp_span id);

#endif
