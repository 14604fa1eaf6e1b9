/*
 * facts.c - the facts that the program itself states: the table of them, and what each is at this moment.
 *
 * They are worked out when they are read, so what no rule asks for costs nothing; the few that cost something
 * (the reverse name, unfolded header values) are kept.  Texts lie in the session's or the transaction's arena.
 * The help texts are the manual's: "sallyport facts" prints them.
 */
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/dns/dns.h"
#include "proxy/inspect/inspect_priv.h"
#include "proxy/rt/rt.h"

enum { NAMES_TRIED = 10, NAME_MEMORY = 64 * 1024 };

enum { SPACE_CLIENT, SPACE_LISTENER, SPACE_TLS, SPACE_AUTH, SPACE_MAIL, SPACE_RCPT, SPACE_MESSAGE, SPACE_TIME };

enum { CLIENT_IP, CLIENT_PORT, CLIENT_NAME, CLIENT_PTR, CLIENT_HELO, CLIENT_CONNECTIONS };
static const struct sp_fact_decl client_facts[] = {
	[CLIENT_IP] = { .name = "ip", .type = SP_IP, .stage = SP_CONNECT, .help = "the client's address" },
	[CLIENT_PORT] = { .name = "port", .type = SP_INT, .stage = SP_CONNECT, .help = "the client's port" },
	[CLIENT_NAME] = { .name = "name", .type = SP_DOMAIN, .stage = SP_CONNECT,
		.help = "the client's reverse name, if that name has the client's address; empty if there is none" },
	[CLIENT_PTR] = { .name = "ptr", .type = SP_DOMAIN, .stage = SP_CONNECT,
		.help = "the first reverse name of the client's address, whether it leads back to it or not; empty if there is none" },
	[CLIENT_HELO] = { .name = "helo", .type = SP_STRING, .stage = SP_HELO, .help = "the name given with EHLO or HELO" },
	[CLIENT_CONNECTIONS] = { .name = "connections", .type = SP_INT, .stage = SP_CONNECT,
		.help = "connections that this worker had with the client's address (IPv6: its /64) when this one began, with it" },
	SP_FACTS_END
};

enum { LISTENER_NAME, LISTENER_HOSTNAME, LISTENER_IP, LISTENER_PORT };
static const struct sp_fact_decl listener_facts[] = {
	[LISTENER_NAME] = { .name = "name", .type = SP_STRING, .stage = SP_CONNECT,
		.help = "the listener, as its endpoint is written in the policy" },
	[LISTENER_HOSTNAME] = { .name = "hostname", .type = SP_STRING, .stage = SP_CONNECT, .help = "what it calls itself" },
	[LISTENER_IP] = { .name = "ip", .type = SP_IP, .stage = SP_CONNECT, .help = "the address that the client has connected to" },
	[LISTENER_PORT] = { .name = "port", .type = SP_INT, .stage = SP_CONNECT, .help = "the port of it" },
	SP_FACTS_END
};

/* Of stage mail, not helo: a client says EHLO before STARTTLS, too, and what is so by then is not final. */
enum { TLS_ACTIVE, TLS_VERSION, TLS_CIPHER, TLS_BITS, TLS_FINGERPRINT, TLS_SUBJECT, TLS_ISSUER, TLS_VERIFIED };
static const struct sp_fact_decl tls_facts[] = {
	[TLS_ACTIVE] = { .name = "active", .type = SP_BOOL, .stage = SP_MAIL, .help = "the connection is encrypted" },
	[TLS_VERSION] = { .name = "version", .type = SP_STRING, .stage = SP_MAIL,
		.help = "the version of TLS, as in \"TLSv1.3\"; \"\" without TLS" },
	[TLS_CIPHER] = { .name = "cipher", .type = SP_STRING, .stage = SP_MAIL,
		.help = "the cipher suite; \"\" without TLS" },
	[TLS_BITS] = { .name = "bits", .type = SP_INT, .stage = SP_MAIL, .help = "the length of the cipher's key; 0 without TLS" },
	[TLS_FINGERPRINT] = { .name = "client.fingerprint", .type = SP_STRING, .stage = SP_MAIL,
		.help = "SHA-256 of the certificate that the client has shown, in hex; \"\" if it has shown none" },
	[TLS_SUBJECT] = { .name = "client.subject", .type = SP_STRING, .stage = SP_MAIL,
		.help = "the subject of that certificate, as in \"CN=mail.example.org,O=Example\"; anybody can write there what he likes" },
	[TLS_ISSUER] = { .name = "client.issuer", .type = SP_STRING, .stage = SP_MAIL,
		.help = "who has issued that certificate, as it says itself" },
	[TLS_VERIFIED] = { .name = "client.verified", .type = SP_BOOL, .stage = SP_MAIL,
		.help = "that certificate is vouched for by \"tls ca\" of the listener" },
	SP_FACTS_END
};

enum { AUTH_USER, AUTH_MECHANISM, AUTH_FAILURES };
static const struct sp_fact_decl auth_facts[] = {
	[AUTH_USER] = { .name = "user", .type = SP_STRING, .stage = SP_MAIL, .help = "who has logged in; \"\" for nobody" },
	[AUTH_MECHANISM] = { .name = "mechanism", .type = SP_STRING, .stage = SP_MAIL,
		.help = "how, as in \"PLAIN\"; \"\" for nobody" },
	[AUTH_FAILURES] = { .name = "failures", .type = SP_INT, .stage = SP_MAIL,
		.help = "logins that the mail server has refused in this session" },
	SP_FACTS_END
};

enum { PATH_ADDRESS, PATH_LOCAL, PATH_DOMAIN, PATH_PARAMS, MAIL_SIZE, MAIL_SMTPUTF8, MAIL_ID, RCPT_COUNT = MAIL_SIZE };
static const struct sp_fact_decl mail_facts[] = {
	[PATH_ADDRESS] = { .name = "address", .type = SP_ADDRESS, .stage = SP_MAIL, .help = "the sender; \"\" for <>" },
	[PATH_LOCAL] = { .name = "local", .type = SP_STRING, .stage = SP_MAIL, .help = "the sender's local part, as sent" },
	[PATH_DOMAIN] = { .name = "domain", .type = SP_DOMAIN, .stage = SP_MAIL,
		.help = "the sender's domain; \"\" for <>" },
	[PATH_PARAMS] = { .name = "params", .type = SP_STRING, .stage = SP_MAIL,
		.help = "the parameters of MAIL as sent, as in \"SIZE=100 BODY=8BITMIME\"" },
	[MAIL_SIZE] = { .name = "size", .type = SP_SIZE, .stage = SP_MAIL,
		.help = "the size that SIZE= announced; without it rules that read this do not fire" },
	[MAIL_SMTPUTF8] = { .name = "smtputf8", .type = SP_BOOL, .stage = SP_MAIL,
		.help = "addresses and header may be beyond ASCII: SMTPUTF8 was given" },
	[MAIL_ID] = { .name = "id", .type = SP_STRING, .stage = SP_MAIL, .help = "the transaction, as the log calls it in \"tx\"" },
	SP_FACTS_END
};
static const struct sp_fact_decl rcpt_facts[] = {
	[PATH_ADDRESS] = { .name = "address", .type = SP_ADDRESS, .stage = SP_RCPT, .help = "the recipient" },
	[PATH_LOCAL] = { .name = "local", .type = SP_STRING, .stage = SP_RCPT, .help = "its local part, as sent" },
	[PATH_DOMAIN] = { .name = "domain", .type = SP_DOMAIN, .stage = SP_RCPT,
		.help = "its domain; \"\" for a bare <postmaster>" },
	[PATH_PARAMS] = { .name = "params", .type = SP_STRING, .stage = SP_RCPT, .help = "the parameters of RCPT as sent" },
	[RCPT_COUNT] = { .name = "count", .type = SP_INT, .stage = SP_RCPT,
		.help = "which recipient of the transaction it is: 1 for the first" },
	SP_FACTS_END
};

enum { MESSAGE_SIZE, MESSAGE_HEADER, MESSAGE_HAS_HEADER, MESSAGE_HEADER_COUNT, MESSAGE_HEADER_SIZE, MESSAGE_RECEIVED };
static const struct sp_fact_decl message_facts[] = {
	[MESSAGE_SIZE] = { .name = "size", .type = SP_SIZE, .stage = SP_EOM, .help = "octets of header and body" },
	[MESSAGE_HEADER] = { .name = "header", .type = SP_STRING, .stage = SP_HEADER, .takes_name = true,
		.help = "value of the first header field of that name, unfolded; \"\" if there is none" },
	[MESSAGE_HAS_HEADER] = { .name = "has_header", .type = SP_BOOL, .stage = SP_HEADER, .takes_name = true,
		.help = "there is a header field of that name" },
	[MESSAGE_HEADER_COUNT] = { .name = "header_count", .type = SP_INT, .stage = SP_HEADER,
		.help = "number of header fields" },
	[MESSAGE_HEADER_SIZE] = { .name = "header_size", .type = SP_SIZE, .stage = SP_HEADER,
		.help = "octets of the header, with its empty line" },
	[MESSAGE_RECEIVED] = { .name = "received", .type = SP_INT, .stage = SP_HEADER,
		.help = "number of Received fields: hops so far" },
	SP_FACTS_END
};

enum { TIME_HOUR, TIME_WEEKDAY, TIME_NOW };
static const char *const weekdays[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun", NULL };
static const struct sp_fact_decl time_facts[] = {
	[TIME_HOUR] = { .name = "hour", .type = SP_INT, .stage = SP_CONNECT,
		.help = "hour of the connection, local time: 0 to 23" },
	[TIME_WEEKDAY] = { .name = "weekday", .type = SP_ENUM, .stage = SP_CONNECT, .words = weekdays,
		.help = "day of the connection, local time" },
	[TIME_NOW] = { .name = "now", .type = SP_TIME, .stage = SP_CONNECT, .help = "time of the connection" },
	SP_FACTS_END
};

const struct policy_space inspect_spaces[] = {
	[SPACE_CLIENT] = { "client", client_facts },
	[SPACE_LISTENER] = { "listener", listener_facts },
	[SPACE_TLS] = { "tls", tls_facts },
	[SPACE_AUTH] = { "auth", auth_facts },
	[SPACE_MAIL] = { "mail", mail_facts },
	[SPACE_RCPT] = { "rcpt", rcpt_facts },
	[SPACE_MESSAGE] = { "message", message_facts },
	[SPACE_TIME] = { "time", time_facts },
	{ NULL, NULL }
};

/* ---- the confirmed reverse name --------------------------------------------------------------- */

/* Does name lead back to the client? */
static enum sp_status
name_confirm(const struct inspect *i, struct sp_span name, struct arena *a)
{
	struct sp_addrs addrs;
	enum sp_status st = dns_addrs(name, host_dns_begin(i), a, &addrs);

	if (st != SP_OK)
		return st;
	return sp_addrs_have(&addrs, i->client.ip) ? SP_OK : SP_NONE;
}

/* SP_OK with a name, SP_NONE: there surely is none; else it could not be found out. */
static enum sp_status
name_find(const struct inspect *i, struct arena *a, struct sp_span *ret)
{
	struct sp_names names;
	enum sp_status st = dns_ptr(&i->client.ip, host_dns_begin(i), a, &names);
	enum sp_status worst = SP_NONE;

	if (st != SP_OK)
		return st;
	for (size_t n = 0; n < names.count && n < NAMES_TRIED; n++) {
		if (!address_domain_ok(names.items[n])) /* it goes into logs and replies */
			continue;
		st = name_confirm(i, names.items[n], a);
		if (st == SP_OK) {
			*ret = names.items[n];
			return SP_OK;
		}
		if (st != SP_NONE && st != SP_INVALID)
			worst = st;
	}
	return worst;
}

/* Asks once in a session. May suspend. */
static void
name_ask(struct inspect *i)
{
	struct arena *a = arena_new(1024, NAME_MEMORY);
	int64_t began = rt_now_ms();
	struct sp_span name;
	char *to;
	enum sp_status st;

	if (a == NULL)
		return;
	st = name_find(i, a, &name);
	host_dns_end(i, began);
	i->name_state = st == SP_OK || st == SP_NONE ? NAME_KNOWN : NAME_UNKNOWN;
	if (st == SP_OK) {
		to = arena_alloc(i->arena, name.len + 1);
		if (to != NULL)
			i->name = address_domain_fold(name, to);
		else
			i->name_state = NAME_UNKNOWN;
	}
	arena_free(&a);
}

/* The first name of the address, whatever it leads to. */
static enum sp_status
ptr_find(const struct inspect *i, struct arena *a, struct sp_span *ret)
{
	struct sp_names names;
	enum sp_status st = dns_ptr(&i->client.ip, host_dns_begin(i), a, &names);

	for (size_t n = 0; st == SP_OK && n < names.count; n++)
		if (address_domain_ok(names.items[n])) {
			*ret = names.items[n];
			return SP_OK;
		}
	return st == SP_OK ? SP_NONE : st;
}

/* Asks once in a session; the DNS's cache spares name_ask() the same question. May suspend. */
static void
ptr_ask(struct inspect *i)
{
	struct arena *a = arena_new(1024, NAME_MEMORY);
	int64_t began = rt_now_ms();
	struct sp_span name;
	enum sp_status st;
	char *to;

	if (a == NULL)
		return;
	st = ptr_find(i, a, &name);
	host_dns_end(i, began);
	to = st == SP_OK ? arena_alloc(i->arena, name.len + 1) : NULL;
	if (to != NULL)
		i->ptr = address_domain_fold(name, to);
	i->ptr_asked = true;
	i->ptr_unknown = st != SP_NONE && to == NULL;
	arena_free(&a);
}

/* What somebody has told us we do not ask the DNS; but that there is no confirmed name says nothing of others. */
bool
facts_name_given(struct inspect *i, const struct inspect_client *c)
{
	char *to;

	if (c->name == NULL)
		return true;
	i->name_state = c->name_unknown ? NAME_UNKNOWN : NAME_KNOWN;
	if (c->name[0] == '\0')
		return true;
	to = arena_alloc(i->arena, strlen(c->name) + 1);
	if (to != NULL)
		i->name = i->ptr = address_domain_fold(span_str(c->name), to);
	i->ptr_asked = true;
	return to != NULL;
}

enum sp_status
inspect_client_name(struct inspect *i, int64_t deadline_ms, struct sp_span *ret)
{
	int64_t limit = i->limit_ms;

	if (i->name_state == NAME_UNASKED) {
		i->limit_ms = deadline_ms;
		name_ask(i);
		i->limit_ms = limit;
	}
	if (i->name_state != NAME_KNOWN)
		return SP_TEMPFAIL;
	*ret = i->name;
	return SP_OK;
}

/* ---- one function for each space ------------------------------------------------------------------- */

static enum policy_known
known_text(struct sp_value *ret, struct sp_span text)
{
	ret->u.text = text;
	return POLICY_KNOWN;
}

static enum policy_known
known_number(struct sp_value *ret, int64_t n)
{
	ret->u.integer = n;
	return POLICY_KNOWN;
}

static enum policy_known
fact_client(struct inspect *i, unsigned fact, struct sp_value *ret)
{
	switch (fact) {
	case CLIENT_IP:
		ret->u.ip = i->client.ip;
		return POLICY_KNOWN;
	case CLIENT_PORT:
		return known_number(ret, i->client.port);
	case CLIENT_CONNECTIONS:
		if (i->client.connections == 0)
			return POLICY_UNKNOWN;
		return known_number(ret, i->client.connections);
	case CLIENT_NAME:
		if (i->name_state == NAME_UNASKED)
			name_ask(i);
		return i->name_state == NAME_KNOWN ? known_text(ret, i->name) : POLICY_UNKNOWN;
	case CLIENT_PTR:
		if (!i->ptr_asked)
			ptr_ask(i);
		return i->ptr_asked && !i->ptr_unknown ? known_text(ret, i->ptr) : POLICY_UNKNOWN;
	default:
		return known_text(ret, i->helo_name);
	}
}

static enum policy_known
fact_listener(const struct inspect *i, unsigned fact, struct sp_value *ret)
{
	switch (fact) {
	case LISTENER_NAME:
		return known_text(ret, i->client.listener);
	case LISTENER_HOSTNAME:
		return known_text(ret, span_str(i->client.hostname));
	case LISTENER_IP:
		ret->u.ip = i->client.local_ip;
		break;
	default:
		ret->u.integer = i->client.local_port;
	}
	return i->client.local_ip.family == 0 ? POLICY_ABSENT : POLICY_KNOWN;
}

static enum policy_known
fact_tls(const struct inspect *i, unsigned fact, struct sp_value *ret)
{
	switch (fact) {
	case TLS_ACTIVE:
		ret->u.boolean = i->tls;
		return POLICY_KNOWN;
	case TLS_VERSION:
		return known_text(ret, i->tls_version);
	case TLS_BITS:
		return known_number(ret, i->tls_bits);
	case TLS_ISSUER:
		return known_text(ret, i->tls_issuer);
	case TLS_FINGERPRINT:
		return known_text(ret, i->tls_fingerprint);
	case TLS_SUBJECT:
		return known_text(ret, i->tls_subject);
	case TLS_VERIFIED:
		ret->u.boolean = i->tls_verified;
		return POLICY_KNOWN;
	default:
		return known_text(ret, i->tls_cipher);
	}
}

static enum policy_known
fact_auth(const struct inspect *i, unsigned fact, struct sp_value *ret)
{
	if (fact == AUTH_FAILURES)
		return known_number(ret, i->auth_failures);
	return known_text(ret, fact == AUTH_USER ? i->user : i->mechanism);
}

static enum policy_known
fact_path(const struct address *a, struct sp_span domain, unsigned fact, struct sp_value *ret)
{
	return known_text(ret, fact == PATH_ADDRESS ? a->text : fact == PATH_LOCAL ? a->local : domain);
}

static enum policy_known
fact_mail(const struct inspect *i, unsigned fact, struct sp_value *ret)
{
	const struct transaction *tx = i->tx;

	if (tx == NULL)
		return POLICY_PENDING;
	if (fact == MAIL_SMTPUTF8) {
		ret->u.boolean = tx->mail.smtputf8;
		return POLICY_KNOWN;
	}
	if (fact == MAIL_ID || fact == PATH_PARAMS)
		return known_text(ret, fact == MAIL_ID ? span_str(i->tx_id) : tx->mail.params);
	if (fact != MAIL_SIZE)
		return fact_path(&tx->mail.address, tx->domain, fact, ret);
	return tx->mail.size < 0 ? POLICY_ABSENT : known_number(ret, tx->mail.size);
}

static enum policy_known
fact_rcpt(const struct recipient *r, unsigned fact, struct sp_value *ret)
{
	if (r == NULL)
		return POLICY_UNKNOWN;
	if (fact == RCPT_COUNT)
		return known_number(ret, (int64_t)r->index + 1);
	if (fact == PATH_PARAMS)
		return known_text(ret, r->params);
	return fact_path(&r->address, r->domain, fact, ret);
}

/* The value of a field, unfolded once. */
static enum policy_known
message_header(const struct inspect *i, const struct sp_fact_ref *ref, struct sp_value *ret)
{
	struct transaction *tx = i->tx;
	const struct header_field *field = header_find(&tx->header, ref->name, 0);
	struct sp_span *kept;

	if (field == NULL)
		return known_text(ret, SPAN_LIT(""));
	if (tx->unfolded == NULL)
		tx->unfolded = arena_alloc(tx->arena, policy_fact_count(i->policy) * sizeof(*tx->unfolded));
	if (tx->unfolded == NULL)
		return POLICY_UNKNOWN;
	kept = &tx->unfolded[ref->id];
	if (kept->ptr == NULL)
		*kept = header_unfold(tx->arena, field->value);
	return kept->ptr == NULL ? POLICY_UNKNOWN : known_text(ret, *kept);
}

static enum policy_known
fact_message(const struct inspect *i, const struct sp_fact_ref *ref, struct sp_value *ret)
{
	const struct transaction *tx = i->tx;

	if (tx == NULL)
		return POLICY_PENDING;
	if (tx->fault != SP_OK)
		return POLICY_UNKNOWN;
	switch (ref->fact) {
	case MESSAGE_SIZE:
		return known_number(ret, tx->octets);
	case MESSAGE_HEADER:
		return message_header(i, ref, ret);
	case MESSAGE_HAS_HEADER:
		ret->u.boolean = header_find(&tx->header, ref->name, 0) != NULL;
		return POLICY_KNOWN;
	case MESSAGE_HEADER_COUNT:
		return known_number(ret, (int64_t)tx->header.count);
	case MESSAGE_HEADER_SIZE:
		return known_number(ret, tx->header_octets);
	default:
		return known_number(ret, tx->header.received);
	}
}

static enum policy_known
fact_time(const struct inspect *i, unsigned fact, struct sp_value *ret)
{
	struct tm tm;

	if (fact == TIME_NOW)
		return known_number(ret, i->when);
	if (localtime_r(&i->when, &tm) == NULL)
		return POLICY_UNKNOWN;
	return known_number(ret, fact == TIME_HOUR ? tm.tm_hour : (tm.tm_wday + 6) % 7);
}

/* What it is at this moment, whether rules may know it yet or not. */
static enum policy_known
fact_now(struct inspect *i, const struct sp_fact_ref *ref, struct sp_value *ret)
{
	*ret = (struct sp_value){ .type = ref->decl->type };
	switch (ref->space - inspect_spaces) {
	case SPACE_CLIENT:
		return fact_client(i, ref->fact, ret);
	case SPACE_LISTENER:
		return fact_listener(i, ref->fact, ret);
	case SPACE_TLS:
		return fact_tls(i, ref->fact, ret);
	case SPACE_AUTH:
		return fact_auth(i, ref->fact, ret);
	case SPACE_MAIL:
		return fact_mail(i, ref->fact, ret);
	case SPACE_RCPT:
		return fact_rcpt(i->rcpt, ref->fact, ret);
	case SPACE_MESSAGE:
		return fact_message(i, ref, ret);
	case SPACE_TIME:
		return fact_time(i, ref->fact, ret);
	default:
		return POLICY_UNKNOWN;
	}
}

enum policy_known
facts_host(struct inspect *i, const struct sp_fact_ref *ref, struct sp_value *ret)
{
	return ref->stage > i->stage ? POLICY_PENDING : fact_now(i, ref, ret);
}

/* ---- by its name -------------------------------------------------------------------------------------- */

/* "client.name" or "tls.client.subject": the name of a space, a dot, and that of a fact. */
static bool
named(const char *name, struct sp_fact_ref *ret)
{
	for (const struct policy_space *s = inspect_spaces; s->name != NULL; s++) {
		size_t len = strlen(s->name);

		if (strncmp(s->name, name, len) != 0 || name[len] != '.')
			continue;
		for (unsigned n = 0; s->facts[n].type != SP_END; n++)
			if (strcmp(s->facts[n].name, name + len + 1) == 0) {
				*ret = (struct sp_fact_ref){ .decl = &s->facts[n], .stage = s->facts[n].stage, .space = s,
					.fact = n, .filter = -1, .entry = -1 };
				return true;
			}
	}
	return false;
}

/* Rules must not know what STARTTLS and AUTH may still change; a filter is told of a new HELO, and asks anew. */
static bool
may_change(const struct sp_fact_ref *ref)
{
	return ref->space == &inspect_spaces[SPACE_TLS] || ref->space == &inspect_spaces[SPACE_AUTH];
}

enum sp_status
facts_named(struct sp_ctx *ctx, const char *name, struct sp_value *ret)
{
	struct inspect *i = use_of(ctx)->in;
	struct sp_fact_ref ref;
	struct sp_value value;

	if (!named(name, &ref) || ref.decl->takes_name)
		return SP_INVALID;
	if (ref.stage > i->stage && !may_change(&ref))
		return SP_TEMPFAIL;
	switch (fact_now(i, &ref, &value)) {
	case POLICY_KNOWN:
		*ret = value;
		return SP_OK;
	case POLICY_ABSENT:
		return SP_NONE;
	default:
		return SP_TEMPFAIL;
	}
}
