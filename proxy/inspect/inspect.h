/*
 * inspect.h - the search itself: one client's session and its transactions as filters and policy see them.
 *
 * It has no socket and no SMTP syntax: the SMTP session calls it stage by stage, and so does "sallyport explain".
 * At each stage it runs the hooks of the filters that the policy wants, then asks the policy.  It owns the facts,
 * the filters' memory, the evaluation of each recipient, and the edits, which are applied all together or not at all.
 *
 * Everything here may suspend (filters ask the DNS).
 */
#ifndef PROXY_INSPECT_INSPECT_H
#define PROXY_INSPECT_INSPECT_H

#include "policy/policy.h"
#include "proxy/smtp/command.h"
#include "proxy/smtp/header.h"
#include "proxy/spool/spool.h"

/* The facts that the program itself states (client.*, mail.* ...), for struct policy_env. */
extern const struct policy_space inspect_spaces[];
/* The services that modules get, for struct policy_env and each sp_ctx. */
extern const struct sp_host inspect_host;
/* Where the log lines of filters go: whole lines without an end, "filter rate: ...". Default: stderr. */
void inspect_log_to(void (*fn)(void *arg, enum sp_log_level level, const char *line), void *arg);

struct inspect_client {
	struct sp_ip ip;
	uint16_t port;
	struct sp_span listener; /* its name: the endpoint as written in the policy */
	unsigned connections;    /* that this worker has with it, this one among them; 0: not known */
	struct sp_ip local_ip;   /* where it has connected to; family 0: not known */
	uint16_t local_port;
	const char *hostname;    /* what we call ourselves; null: "localhost". Lives with the session */
	size_t header_octets;    /* of a message's header at most; 0: 256 KiB */
	int64_t dns_ms;          /* for all DNS of one message together, its HELO's too; 0: 20 s */
	bool dry_run;            /* no trace in shared state; DNS is still asked */
	const char *auth_id;     /* who we are in Authentication-Results; null: "localhost". Lives with the policy */
	const char *name;        /* the confirmed reverse name, "": it has none, as somebody has told us; null: we ask the DNS.
	                          * Needed while inspect_new() runs only */
	bool name_unknown;       /* ... or could not find out, and we do not ask either */
	bool write_results;      /* our Authentication-Results are written */
	bool shadow;             /* the whole policy is to have no effect: nothing is settled early, nothing is edited */
};

struct inspect;
/* One client session under one policy. Null: no memory. The policy must outlive it. */
struct inspect *inspect_new(const struct policy *p, const struct inspect_client *c);
void inspect_free(struct inspect **i); /* runs on_reset and on_close */

/* Deadlines: until when filters may take their time at this stage. At expiry their facts are unknown. */
struct policy_verdict inspect_connect(struct inspect *i, int64_t deadline_ms);
struct policy_verdict inspect_helo(struct inspect *i, struct sp_span name, bool esmtp, int64_t deadline_ms);
/* Facts tls.* and auth.*; texts are copied. inspect_tls also forgets the HELO name (RFC 3207 4.2). */
void inspect_tls(struct inspect *i, struct sp_span version, struct sp_span cipher);
/* Facts tls.client.*: the certificate that the client has shown; after inspect_tls. */
void inspect_tls_client(struct inspect *i, struct sp_span fingerprint, struct sp_span subject, bool verified);
void inspect_tls_bits(struct inspect *i, int bits); /* of the cipher's key; after inspect_tls */
void inspect_tls_issuer(struct inspect *i, struct sp_span issuer); /* of that certificate; after inspect_tls_client */
/* What we call ourselves, once that has changed; lives with the session. */
void inspect_hostname(struct inspect *i, const char *name);
void inspect_auth(struct inspect *i, struct sp_span user, struct sp_span mechanism);
struct sp_span inspect_user(const struct inspect *i); /* "" for nobody */
/* The client's confirmed reverse name, as in the fact client.name; "" if there is none. Asks the DNS if need be, until then;
 * not SP_OK: it cannot be found out. Valid as long as the session. */
enum sp_status inspect_client_name(struct inspect *i, int64_t deadline_ms, struct sp_span *ret);
/* One more login was refused. */
void inspect_auth_failed(struct inspect *i);

/* How the transaction that begins next is called in the log, for the fact mail.id; copied. */
void inspect_name_tx(struct inspect *i, struct sp_span id);
/* The client has said what is no command here; the filters may want to know. */
void inspect_unknown(struct inspect *i, struct sp_span line, int64_t deadline_ms);

/* Begins a transaction: budget_ms is for all of its filters together. */
struct policy_verdict inspect_mail(struct inspect *i, const struct command_path *mail, int64_t budget_ms);
/* A verdict on one recipient: undecided or accept means that it may go on to the backend. */
struct policy_verdict inspect_rcpt_path(struct inspect *i, const struct command_path *rcpt, int64_t deadline_ms);
struct policy_verdict inspect_rcpt(struct inspect *i, const struct address *rcpt, int64_t deadline_ms); /* without parameters */
/* The backend that the rules name for the recipient just inspected; {null, 0}: none. */
struct sp_span inspect_backend(const struct inspect *i);
/* What became of the recipient just inspected: taken by the backend, or not (then it is forgotten). */
void inspect_rcpt_result(struct inspect *i, bool accepted);
struct policy_verdict inspect_data(struct inspect *i, int64_t deadline_ms);

/* Content octets as they come (dots unstuffed).
 * Runs on_header, on_eoh, on_body. When the header is complete the policy is asked; see inspect_settled(). */
enum sp_status inspect_content(struct inspect *i, struct sp_span bytes);
/* Has the policy refused already (at the header)? Then the rest need not be spooled nor shown. */
bool inspect_settled(const struct inspect *i);
/* Header faults found so far, bits of enum header_fault; number of Received fields. */
unsigned inspect_header_faults(const struct inspect *i);
unsigned inspect_received(const struct inspect *i);

/* The message is complete: on_eom, then the verdict; with several recipients who disagree the strictest speaks
 * for all. spool: sealed, wire form. Always decided. */
struct policy_verdict inspect_end(struct inspect *i, struct spool *spool);

/* What is to be sent when the verdict is accept.  May suspend: once all is settled the filters' on_final runs.
 * head is wire form (what on_final put on top, our Authentication-Results, the trace, added fields, and the edited header if
 * any field was removed or replaced); from: first octet of the spool that follows it; body: a spool to send instead of
 * the message's, or null (from then counts in it, and head holds the whole header). All of it lives until inspect_reset().
 * Fields that came and claim our auth_id, or whose claim is unclear, are removed whatever the policy says.
 * SP_LIMIT, SP_SYSTEM, SP_INVALID, or what on_final returned: the message must be deferred, nothing is half-done. */
struct inspect_output {
	struct sp_span head;
	int64_t from;
	struct spool *body;
};
enum sp_status inspect_apply(struct inspect *i, struct sp_span trace, struct inspect_output *ret);

/* After inspect_mail(): each recipient will have a reply of his own (PRDR).  So the mildest verdict speaks for all, none that refuses
 * some only ends the message early, and what a rule does for those who do not get it is not done. */
void inspect_each(struct inspect *i);
/* After inspect_end(): the verdict on one of those that the backend has taken, from 0. SP_NONE: past the last, or all have one verdict. */
enum sp_status inspect_verdict(const struct inspect *i, size_t index, struct policy_verdict *ret);

/* After inspect_end(): the envelope as filters have edited it.  params: as they are to be written, without a blank in front; lives
 * until inspect_reset(). */
struct inspect_path {
	struct sp_span address;
	struct sp_span params;
	bool params_given; /* by a filter: they replace the client's */
	int came;          /* recipients: which of those that the backend has taken, from 0; -1: a filter has added it */
};
bool inspect_envelope_edited(const struct inspect *i);
struct inspect_path inspect_sender(const struct inspect *i);
enum sp_status inspect_recipient(const struct inspect *i, size_t index, struct inspect_path *ret); /* SP_NONE past the last */

/* The value of the field of that name, unfolded, index of them standing above it. False: there is none; *ret null: no memory. */
bool inspect_field(struct inspect *i, struct sp_span name, size_t index, struct sp_span *ret);
/* Before inspect_apply(): puts a field below our trace field. SP_SYSTEM: no memory; SP_INVALID: it cannot be written. */
enum sp_status inspect_complete(struct inspect *i, struct sp_span name, struct sp_span value);

/* What filters have stated so far (RFC 8601), in the order of the file. SP_NONE past the last. */
enum sp_status inspect_result(const struct inspect *i, size_t index, struct sp_auth_result *ret);
/* All of it as the value of an Authentication-Results field, folded. {null, 0}: nothing was stated, or no memory. */
struct sp_span inspect_results_text(struct inspect *i);

/* Ends the transaction: on_reset, memory back. No effect outside of one. */
void inspect_reset(struct inspect *i);

/* ---- for the log line and for explain ---- */
const struct policy_eval *inspect_eval(const struct inspect *i); /* of the last verdict; of the recipient it was for */
const struct policy_host *inspect_policy_host(struct inspect *i); /* reads facts as the last evaluation did */
/* Names of rules that fired without deciding: "mark,words(shadow)"; tags; log texts; edits "+X-Spam-Flag,-Subject";
 * appended to the buffers given, null to leave out. */
struct inspect_notes {
	struct buf *rules, *tags, *logs, *edits;
};
void inspect_notes(const struct inspect *i, const struct inspect_notes *to);
double inspect_score(const struct inspect *i);
int64_t inspect_filter_ns(const struct inspect *i); /* time in hooks in this transaction */
struct sp_span inspect_message_id(const struct inspect *i); /* value of Message-ID, "" if none */

#endif
