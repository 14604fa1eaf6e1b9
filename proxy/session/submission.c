/*
 * submission.c - messages of our own users: who may use which address, and what a message lacks is put into it (RFC 6409 6.1, 8).
 *
 * Whose address is whose stands in the listener's table "senders"; a user that is not in it has none.
 */
#include "proxy/session/session_priv.h"

#include <stdio.h>
#include <time.h>

#include "policy/kit/span.h"
#include "proxy/smtp/mailbox.h"

enum { FIELD_MAX = 1024, FROM_MAX = 100 };

/* ---- whose address ------------------------------------------------------------------------------ */

/* Either may be written beyond ASCII or in A-labels. */
static bool
same_domain(struct sp_span a, struct sp_span b)
{
	char to_a[DOMAIN_OCTETS], to_b[DOMAIN_OCTETS];

	if (a.len > sizeof(to_a) || b.len > sizeof(to_b))
		return false;
	return span_eq(address_domain_fold(a, to_a), address_domain_fold(b, to_b));
}

static bool
fits(struct sp_span pattern, const struct address *a)
{
	size_t at = span_rfind(pattern, '@');

	if (span_eq(pattern, SPAN_LIT("*")))
		return true;
	if (at == pattern.len || a->domain.len == 0)
		return span_ieq(pattern, a->text);
	return same_domain(span_from(pattern, at + 1), a->domain) && (at == 0 || span_ieq(span_head(pattern, at), a->local));
}

static bool
owns(const struct session *s, const struct address *a)
{
	struct sp_span all = policy_setting_find(s->config->block, "senders", session_user(s));

	while (all.len > 0) {
		size_t len = 0;

		while (len < all.len && all.ptr[len] != ',' && all.ptr[len] != ' ' && all.ptr[len] != '\t')
			len++;
		if (len > 0 && fits(span_head(all, len), a))
			return true;
		all = span_from(all, len + 1);
	}
	return false;
}

/* Nobody's address, as bounces and receipts have it, is everybody's. */
struct command_error
submission_check_sender(const struct session *s, const struct address *sender)
{
	if (s->config->auth.owned && session_user(s).len > 0 && sender->text.len > 0 && !owns(s, sender))
		return (struct command_error){ 553, "5.7.1", "this sender address is not yours" };
	return (struct command_error){ 0, NULL, NULL };
}

/* All addresses of a field, of which there is one at least. */
static bool
owns_all(const struct session *s, struct sp_span value)
{
	struct address a;
	enum sp_status st;
	size_t count = 0;

	while ((st = mailbox_next(&value, &a)) == SP_OK) {
		if (!owns(s, &a))
			return false;
		count++;
	}
	return st == SP_NONE && count > 0;
}

static bool
owns_fields(struct session *s, struct sp_span name)
{
	struct sp_span value;

	for (size_t n = 0; inspect_field(s->inspect, name, n, &value); n++)
		if (!owns_all(s, value))
			return false;
	return true;
}

struct command_error
submission_check_message(struct session *s)
{
	if (!s->config->auth.owned || session_user(s).len == 0)
		return (struct command_error){ 0, NULL, NULL };
	if (!owns_fields(s, SPAN_LIT("From")))
		return (struct command_error){ 550, "5.7.1", "the address in From is not yours" };
	if (!owns_fields(s, SPAN_LIT("Sender")))
		return (struct command_error){ 550, "5.7.1", "the address in Sender is not yours" };
	return (struct command_error){ 0, NULL, NULL };
}

/* ---- what is lacking ----------------------------------------------------------------------------- */

static bool
lacks(struct session *s, const char *name)
{
	struct sp_span value;

	return !inspect_field(s->inspect, span_str(name), 0, &value);
}

static enum sp_status
add(struct session *s, const char *name, const char *value)
{
	return inspect_complete(s->inspect, span_str(name), span_str(value));
}

/* Several authors need a sender (RFC 5322 3.6.2). */
static bool
has_authors(struct session *s)
{
	struct sp_span value;
	struct address a;
	size_t count = 0;

	if (!inspect_field(s->inspect, SPAN_LIT("From"), 0, &value))
		return false;
	while (count < FROM_MAX && mailbox_next(&value, &a) == SP_OK)
		count++;
	return count > 1;
}

static enum sp_status
add_names(struct session *s, time_t now)
{
	const struct address *sender = &s->tx->mail.address;
	char value[FIELD_MAX];
	enum sp_status st = SP_OK;

	if (lacks(s, "Message-ID")) {
		snprintf(value, sizeof(value), "<%s.%lld@%s>", s->tx->id, (long long)now, s->config->hostname);
		st = add(s, "Message-ID", value);
	}
	snprintf(value, sizeof(value), "<%.*s>", (int)sender->text.len, sender->text.len > 0 ? sender->text.ptr : "");
	if (st == SP_OK && sender->text.len > 0 && lacks(s, "Sender") && has_authors(s))
		st = add(s, "Sender", value);
	if (st == SP_OK && sender->text.len > 0 && lacks(s, "From"))
		st = add(s, "From", value);
	return st;
}

enum sp_status
submission_complete(struct session *s)
{
	time_t now = time(NULL);
	struct tm tm;
	char date[64];
	enum sp_status st;

	if (!s->config->auth.submission)
		return SP_OK;
	st = add_names(s, now);
	if (st != SP_OK || !lacks(s, "Date"))
		return st;
	if (gmtime_r(&now, &tm) == NULL || strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm) == 0)
		return SP_SYSTEM;
	return add(s, "Date", date);
}
