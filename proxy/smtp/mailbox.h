/*
 * mailbox.h - the addresses in a field such as From or Sender, read strictly (RFC 5322 3.4).
 */
#ifndef PROXY_SMTP_MAILBOX_H
#define PROXY_SMTP_MAILBOX_H

#include "proxy/smtp/address.h"

/* The next address of an unfolded value; display names, comments and groups are seen through. *rest moves behind it.  SP_NONE: there
 * are no more. SP_INVALID: this is no list of addresses, or readers may differ over it. */
enum sp_status mailbox_next(struct sp_span *rest, struct address *ret);

#endif
