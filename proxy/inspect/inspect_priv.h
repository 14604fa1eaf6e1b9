/*
 * inspect_priv.h - what the files of proxy/inspect share.
 *
 * Memory: struct inspect is the heap's; everything of the session hangs on its arena, what the HELO name brought on a
 * second one (a new EHLO forgets it), and all of a transaction on a third, which is made at MAIL and freed at its end.
 */
#ifndef PROXY_INSPECT_INSPECT_PRIV_H
#define PROXY_INSPECT_INSPECT_PRIV_H

#include <time.h>

#include "proxy/inspect/inspect.h"
#include "proxy/smtp/data.h"

enum {
	INSPECT_BLOCK = 256,               /* octets of an arena block of a session */
	INSPECT_SESSION_MAX = 1 << 20,     /* octets of a session's arena */
	INSPECT_TX_BLOCK = 2048,
	INSPECT_TX_MAX = 16 << 20,         /* octets of a transaction's arena */
	INSPECT_HEADER_OCTETS = 256 * 1024,
	INSPECT_HEADER_FIELDS = 10000,
	INSPECT_DNS_MS = 20000,            /* for all DNS of one message, unless said otherwise */
	INSPECT_DNS_HOOK_MS = 2000,        /* for that of one hook at least, when others have spent the message's */
	INSPECT_LEAVE_MS = 2000            /* for on_reset and on_close */
};

#define AUTHRES_FIELD "Authentication-Results"

/* ---- facts ------------------------------------------------------------------------------ */

/* One fact of a filter; host facts are worked out when they are read. */
struct slot {
	bool set;
	enum sp_stage at; /* at which it was set: forgotten with the HELO name, if then */
	struct sp_value value;
};

/* ---- walks of the policy ------------------------------------------------------------------ */

/* What a rule that fired asks for. */
struct effect {
	struct effect *next; /* older */
	enum policy_act act;
	const struct policy_rule *rule;
	struct sp_span name, value;
};

/* One walk of the policy: of a connection, of a HELO name, of a transaction or of one recipient. */
struct target {
	struct policy_eval *eval; /* null: there was no memory for it, so it defers */
	struct policy_verdict verdict;
	struct effect *effects;
	bool *demanded; /* by filter: a rule of this walk has called for it; null: none */
	struct arena *arena;
};

struct recipient {
	struct recipient *next;
	struct target target; /* eval only when recipients are walked one by one */
	struct address address;
	struct sp_span domain; /* folded */
	struct sp_span params; /* of RCPT, as sent */
	size_t index;
	struct slot *slots; /* facts of stage RCPT; null: none is read */
	const struct policy_said **words; /* by filter: what they have said of him; null: nothing */
};

/* ---- filters ------------------------------------------------------------------------------ */

/* How long a filter that was called for on demand lives; the others, and those that last, live as long as the session. */
enum use_life { USE_IDLE, USE_SESSION, USE_HELO, USE_TX };

/* on_final is called by hooks_final(), since what it returns matters. */
enum hook {
	HOOK_CONNECT,
	HOOK_HELO,
	HOOK_MAIL,
	HOOK_RCPT,
	HOOK_DATA,
	HOOK_HEADER,
	HOOK_EOH,
	HOOK_BODY,
	HOOK_EOM,
	HOOK_UNKNOWN
};

/* One use of a module in the policy, in this session. */
struct use {
	struct sp_ctx ctx; /* first: the services get from it to here */
	struct inspect *in;
	size_t index;
	size_t turn; /* when its on_eom runs, among the others: as in the file, but for those that are called for at the end */
	enum use_life life;
	enum sp_stage stage; /* of the hook that runs: facts of earlier stages can no longer be set */
	bool connect_shown, helo_shown; /* its session knows of them */
	bool tx_begun;
	bool unasked; /* at the end of this message: another has decided */
	bool skip; /* no later hook need be called in this transaction */
	bool lost_connect, lost_helo; /* on_connect or on_helo has failed outside of a transaction: what it thinks of these is unknown */
	bool failed; /* a hook of this transaction has: it edits nothing, neither before nor after, but on_final may */
	struct {
		const struct policy_said *connect, *helo, *tx;
	} word; /* what it has said; null: nothing */
};

/* A connection of a module's; the heap's, closed with the session at the latest, unless the module keeps it. */
struct sp_conn {
	struct use *by; /* null: it is kept */
	struct stream *stream;
	struct sp_conn *next; /* of the same session */
	unsigned busy; /* so many are reading or writing */
	bool closed;   /* meanwhile: the last of them frees it */
};

/* ---- edits -------------------------------------------------------------------------------- */

/* Walks a spool from its wire form to content: stuffed dots are left out. */
struct unstuff {
	int64_t wire, content; /* where the next piece begins, in either count */
	struct data_unstuff line;
};

/* What one filter has made of a field. */
struct edit {
	struct edit *before; /* what was made of it before */
	const struct use *by;
	bool dropped; /* its filter has left */
	bool removes;
	struct header_field field; /* as it is to stand */
};

/* A field of the draft: one that came, or one that a filter has put in; or one of two places that are no field. */
struct draft_node {
	struct draft_node *prev, *next;
	enum { DRAFT_FIELD, DRAFT_TRACE, DRAFT_POLICY } kind; /* where our own fields go, where those that rules add */
	const struct header_field *came;
	bool forged;        /* it came, and claims our name: nobody sees it, and it does not go on */
	struct edit *last;  /* the latest counts whose filter has not failed */
};

/* From top to bottom: above our own fields; those; what filters have added; what rules add; the header that came. */
struct draft {
	struct draft_node trace, policy;
	struct draft_node *first, *last; /* null: it has not begun */
	struct draft_node *came;         /* by field that came; null: they are not in the list yet */
	struct draft_node *at;           /* where the next search may begin, null: at the top */
	size_t at_index;
};

/* A body that a filter has written. */
struct new_body {
	struct new_body *next; /* older */
	const struct use *by;
	bool dropped;
	struct spool *spool;
	int64_t octets;
	bool bol, cr;      /* at the beginning of a line; a CR waits for its LF */
	bool sealed;       /* nothing more is taken */
	struct unstuff at; /* where reading goes on */
};

/* An edit was refused: the message must not go on, unless the filter itself says that it has failed. */
struct edit_fault {
	struct edit_fault *next;
	const struct use *by;
	bool dropped;
	enum sp_status status;
};

struct edits {
	struct draft draft;
	size_t count, octets;     /* of fields that were written */
	struct new_body *bodies;
	struct edit_fault *faults;
	enum sp_status fault;     /* one whose filter there was no memory to note */
};

/* ---- the envelope ------------------------------------------------------------------------- */

/* What one filter has made of the sender or of a recipient. */
struct envelope_edit {
	struct envelope_edit *before;
	const struct use *by;
	bool dropped; /* its filter has left */
	bool removes;
	struct address address; /* of the sender */
	struct sp_span params;  /* "": those that were there stay */
};

struct envelope_rcpt {
	struct envelope_rcpt *next;
	struct address address;
	struct sp_span domain; /* folded */
	const struct recipient *came; /* null: a filter has added him */
	struct envelope_edit *last;   /* the latest counts whose filter has not failed */
};

struct envelope {
	bool begun;
	struct envelope_rcpt *first, **end;
	struct envelope_edit *sender;
	size_t added;
	const struct envelope_rcpt *at; /* where the next search may begin; null: at the first */
	size_t at_index;
};

/* ---- authentication results ----------------------------------------------------------------- */

struct result {
	struct result *next; /* in the order of the filters, then of the calls */
	const struct use *by;
	bool dropped; /* its filter failed or has left */
	struct sp_auth_result r;
};

/* ---- the content -------------------------------------------------------------------------- */

/* A field that the message lacked (RFC 6409 section 8). */
struct completion {
	struct completion *next;
	struct sp_span name, value;
};

/* The message as it goes on, but for its dots. */
struct final {
	struct transaction *tx;
	struct sp_header *fields, *top; /* top: what on_final put there, the lowest first */
	size_t count, room, ours;       /* ours: so many of fields stand above those that came */
	size_t top_count;
	struct new_body *body;          /* instead of the message's; null: its own */
};

/* ---- the transaction ---------------------------------------------------------------------- */

struct transaction {
	struct arena *arena; /* this struct lives in it, too */
	struct target target;
	struct command_path mail;
	struct sp_span domain; /* of the sender, folded */
	struct slot *slots;
	struct recipient *rcpts, **rcpts_end; /* accepted ones */
	struct recipient *pending;            /* inspected, the backend has not spoken yet */
	size_t rcpt_count;
	size_t late; /* so many filters were called for at the end */

	struct header_block header;
	int64_t octets;         /* of content so far */
	int64_t header_octets;
	bool body_wanted;       /* a filter has a body hook */
	bool each;              /* every recipient has a reply of his own */
	bool settled;           /* refused at the header: verdict is the last one */
	struct policy_verdict verdict;
	enum sp_status fault;   /* content was lost: no memory */
	struct sp_span *unfolded; /* by fact: values of message.header("...") once read */
	struct spool *spool;    /* once it is sealed */
	struct unstuff body_at; /* where body_get() goes on */

	struct result *results;
	struct edits edits;
	struct envelope envelope;
	struct completion *completions;
	struct buf head, edit_note;
	struct final *final;    /* while on_final runs: nothing can be edited but on top */

	int64_t budget_ms, spent_ms, filter_ns;
};

struct inspect {
	const struct policy *policy;
	struct inspect_client client;
	struct arena *arena, *helo_arena;
	struct policy_host host;
	struct target connect, helo;

	enum sp_stage stage;      /* the present one */
	struct recipient *rcpt;   /* whom rcpt.* speak of; null: nobody */
	struct target *walking;   /* who is being walked: for the effects of its rules */
	const struct target *last; /* who gave the last verdict */
	int64_t limit_ms;         /* until when filters may take their time at this stage */
	int64_t deadline_ms;      /* of the hook that runs; 0: none runs */
	int64_t dns_spent_ms;     /* waiting for the DNS, since the last message */
	int64_t dns_hook_ms;      /* the same, in the hook that runs */
	bool hook_outlives;       /* what the hook that runs brings lives longer than the transaction */

	bool per_rcpt;            /* recipients are walked one by one */
	struct slot *slots;       /* by fact; null: no filter is wanted */
	struct use *uses;         /* by filter; null: none is wanted */
	struct sp_conn *conns;

	struct sp_span helo_name, tls_version, tls_cipher, user, mechanism;
	unsigned auth_failures;
	struct sp_span tls_fingerprint, tls_subject, tls_issuer; /* of the client's certificate */
	int tls_bits;
	char tx_id[32];           /* how the log calls the transaction */
	bool esmtp, has_helo, tls, tls_verified;
	enum { NAME_UNASKED, NAME_KNOWN, NAME_UNKNOWN } name_state;
	struct sp_span name;      /* confirmed reverse name, "" if there is none */
	bool ptr_asked, ptr_unknown;
	struct sp_span ptr;       /* first name of the address, confirmed or not, "" if there is none */
	time_t when;              /* of the connection, for time.* */
	struct transaction *tx;
};

/* ---- facts.c -------------------------------------------------------------------------------- */

/* Takes over what is known of the client's name when a session begins; false: no memory. */
bool facts_name_given(struct inspect *i, const struct inspect_client *c);
/* A fact that the program itself states, if its stage has come. */
enum policy_known facts_host(struct inspect *i, const struct sp_fact_ref *ref, struct sp_value *ret);
/* sp_host.fact_named */
enum sp_status facts_named(struct sp_ctx *ctx, const char *name, struct sp_value *ret);

/* ---- slots.c -------------------------------------------------------------------------------- */

/* policy_host.fact */
enum policy_known slots_fact(void *arg, const struct sp_fact_ref *ref, struct sp_value *ret);
/* sp_host.fact_set and fact_read */
void slots_set(struct sp_ctx *ctx, int entry, unsigned fact, const struct sp_value *value);
enum sp_status slots_read(struct sp_ctx *ctx, const struct sp_fact_ref *ref, struct sp_value *ret);
/* sp_host.fact_wanted */
bool slots_wanted(struct sp_ctx *ctx, unsigned fact);
/* Room for the facts of a session, if a filter is wanted. False: no memory. */
bool slots_begin(struct inspect *i);
bool slots_begin_tx(struct inspect *i);
bool slots_begin_rcpt(struct inspect *i, struct recipient *r);
/* Forgets the facts that were set at HELO. */
void slots_forget_helo(struct inspect *i);
/* Forgets what a filter has stated in this transaction. */
void slots_forget_filter(struct inspect *i, size_t index);

/* ---- hooks.c -------------------------------------------------------------------------------- */

/* The wanted filters' memory. False: no memory. */
bool hooks_begin(struct inspect *i);
bool hooks_begin_tx(struct inspect *i);
/* The next filter to be called from *index on, in the order of the file; null: no more. */
struct use *hooks_next(const struct inspect *i, size_t *index);
/* Runs one hook of every live filter. */
void hooks_run(struct inspect *i, enum hook hook, const void *event);
/* One hook of one filter. */
void hooks_call(struct use *u, enum hook hook, const void *event);
/* on_final, which the module has. When no time is left for it, what waits in it ends at once. */
enum sp_status hooks_final(struct use *u, const struct sp_final *event);
const struct sp_filter *hooks_module(const struct use *u);
bool hooks_want_body(const struct inspect *i);
/* Starts a filter whose life ends as said, or lets one that lasts begin the transaction. False: no memory. */
bool hooks_start(struct use *u, enum use_life life);
bool hooks_resume(struct use *u);
/* None of its edits is applied, neither those that it has asked for nor those that it will. */
void hooks_fail(struct use *u);
/* Ends a filter before its time: its edits and its facts are forgotten. */
void hooks_leave(struct use *u);
/* on_reset for all that have begun the transaction; ends those called for in it. */
void hooks_end_tx(struct inspect *i);
/* on_close for those that live as said; USE_IDLE: for all. */
void hooks_close(struct inspect *i, enum use_life life);
/* Until when a service may wait. */
int64_t hooks_deadline(const struct inspect *i);
/* The memory of what filters are doing: the transaction's, else the session's. */
struct arena *hooks_arena(const struct inspect *i);
/* The memory of what the hook that runs brings to light: the session's, its HELO's or the transaction's. */
struct arena *hooks_arena_of(const struct use *u);

/* ---- demand.c -------------------------------------------------------------------------------- */

/* A rule calls for a filter: starts it and catches up with all that has happened. */
enum sp_status demand_filter(struct inspect *i, size_t index);
/* Has a rule that counts called for it? */
bool demand_is(const struct inspect *i, size_t index);
/* Has everybody who called for that filter called for this one, too? */
bool demand_covers(const struct inspect *i, size_t index, size_t that);
/* The same as this walk sees it. */
bool demand_seen(const struct inspect *i, size_t index);
/* A recipient has been forgotten: ends the filters that only he had called for. */
void demand_release(struct inspect *i);
/* The verdicts have fallen: what filters have done is not done where only those had called for them who do not get the message. */
void demand_settle(struct inspect *i);

/* ---- said.c ---------------------------------------------------------------------------------- */

/* sp_host.refuse */
enum sp_status said_refuse(struct sp_ctx *ctx, const struct sp_reply *reply);
/* policy_host.said */
enum policy_known said_heard(void *arg, size_t filter, struct policy_said *ret);
/* Need the filter not be asked at the end of the message, since others have refused it? */
bool said_moot(const struct use *u);
/* Forgets what the filter has said in this transaction; what all have said of the HELO name. */
void said_forget_tx(struct use *u);
void said_forget_helo(struct inspect *i);

/* ---- walk.c ---------------------------------------------------------------------------------- */

/* Makes the walk go on from where another stands; null: from the beginning. */
void walk_fork(struct inspect *i, struct target *t, const struct target *from, struct arena *a);
struct policy_verdict walk_target(struct inspect *i, struct target *t, struct recipient *r, enum sp_stage stage);
/* Walks for everybody in the transaction; the strictest speaks. */
struct policy_verdict walk_all(struct inspect *i, enum sp_stage stage);
/* A verdict of our own, without a rule: 451, so that nothing goes on because something failed. */
struct policy_verdict walk_failed(enum sp_stage stage, const char *text);
extern const char walk_no_memory[];
/* policy_host.act */
enum sp_status walk_act(void *arg, const struct policy_action *action);
/* Is it the walk of a recipient who does not get the message, while others do? */
bool walk_goes_without(const struct inspect *i, const struct target *t);
/* What this rule asks for, whoever's walk it fired in first; null: nothing. */
const struct effect *walk_effect(const struct inspect *i, const struct policy_rule *rule);
/* The walks whose effects count: connection, HELO, transaction, accepted recipients, the pending one. Null: no more. */
struct walk_iter {
	size_t step;
	const struct recipient *rcpt;
};
const struct target *walk_next(const struct inspect *i, struct walk_iter *at);

/* ---- content.c ------------------------------------------------------------------------------- */

/* on_header for each field, then on_eoh, of one filter. */
void content_show_header(struct use *u);
/* Content from wire on: SP_OK with at least one octet, SP_NONE at the end. at is moved behind it. */
enum sp_status unstuff_next(struct unstuff *at, struct spool *spool, struct sp_span *ret);
/* Where octet `content` of the content begins in the spool. */
enum sp_status unstuff_find(struct unstuff *at, struct spool *spool, int64_t content);
enum sp_status content_body_get(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret);
/* sp_host.draft_body */
enum sp_status content_draft_body(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret);

/* ---- edits.c --------------------------------------------------------------------------------- */

enum sp_status edits_add(struct sp_ctx *ctx, const char *name, struct sp_span value);
enum sp_status edits_insert(struct sp_ctx *ctx, size_t index, const char *name, struct sp_span value);
enum sp_status edits_replace(struct sp_ctx *ctx, const char *name, int occurrence, struct sp_span value);
enum sp_status edits_remove(struct sp_ctx *ctx, const char *name, int occurrence);
/* Logs that an edit is refused, and why; returns st. */
enum sp_status edits_refuse(struct sp_ctx *ctx, enum sp_status st, const char *what);
/* One more edit of so many octets: SP_OK, or refused. */
enum sp_status edits_count(struct sp_ctx *ctx, size_t octets);
/* Does what this filter has edited count? Not when it has failed or left. */
bool edits_live(const struct use *by, bool dropped);
/* Not SP_OK: an edit of a filter that has not failed was refused. */
enum sp_status edits_fault(const struct edits *e);
/* While on_eom runs, or what follows it. */
bool edits_at_eom(const struct use *u);
/* The filter has failed: none of its edits is applied. */
void edits_drop(struct transaction *tx, const struct use *by);
void edits_fini(struct edits *e);

/* ---- draft.c --------------------------------------------------------------------------------- */

/* The draft with all that has come so far; null: no memory. */
struct draft *draft_of(struct inspect *i);
/* The field as it stands; null: it is none, or not there. */
const struct header_field *draft_field(const struct draft_node *n);
/* Puts a field in before that one (null: below all), and something else in place of one; field null: nothing. */
enum sp_status draft_put(struct sp_ctx *ctx, struct draft_node *before, const struct header_field *field);
enum sp_status draft_change(struct sp_ctx *ctx, struct draft_node *n, const struct header_field *field);
void draft_drop(struct draft *d, const struct use *by);
/* sp_host.draft_get, draft_insert, draft_replace, draft_remove */
enum sp_status draft_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret);
enum sp_status draft_insert(struct sp_ctx *ctx, size_t before, struct sp_span field);
enum sp_status draft_replace(struct sp_ctx *ctx, size_t index, struct sp_span field);
enum sp_status draft_remove(struct sp_ctx *ctx, size_t index);

/* ---- newbody.c ------------------------------------------------------------------------------- */

/* sp_host.body_replace */
enum sp_status newbody_write(struct sp_ctx *ctx, struct sp_span chunk);
/* The body that filters before have left, null: the message's own; by null: that all have left. */
struct new_body *newbody_seen(const struct edits *e, const struct use *by);
/* No more is taken. SP_INVALID: its last line does not end; SP_SYSTEM. */
enum sp_status newbody_seal(struct new_body *b);
void newbody_drop(struct edits *e, const struct use *by);
void newbody_fini(struct edits *e);

/* ---- envelope.c ------------------------------------------------------------------------------ */

/* sp_host.sender_change, rcpt_insert, rcpt_delete, draft_sender, draft_rcpt; sender_replace, rcpt_add */
enum sp_status envelope_sender(struct sp_ctx *ctx, struct sp_span address, struct sp_span params);
enum sp_status envelope_insert(struct sp_ctx *ctx, struct sp_span address, struct sp_span params);
enum sp_status envelope_delete(struct sp_ctx *ctx, struct sp_span address);
enum sp_status envelope_get_sender(struct sp_ctx *ctx, struct sp_mail *ret);
enum sp_status envelope_get_rcpt(struct sp_ctx *ctx, size_t index, struct sp_rcpt *ret);
enum sp_status envelope_sender_replace(struct sp_ctx *ctx, struct sp_span address);
enum sp_status envelope_rcpt_add(struct sp_ctx *ctx, struct sp_span address);
void envelope_drop(struct envelope *v, const struct use *by);
/* For the log line: "~sender,+rcpt*2,-rcpt". */
void envelope_note(const struct inspect *i, struct buf *to);
/* Have filters left nobody to send it to? */
bool envelope_is_empty(const struct inspect *i);

/* ---- results.c ------------------------------------------------------------------------------- */

/* sp_host.result_add, result_get */
enum sp_status results_add(struct sp_ctx *ctx, const struct sp_auth_result *result);
enum sp_status results_get(struct sp_ctx *ctx, size_t index, struct sp_auth_result *ret);
/* Forgets what a filter has added. */
void results_drop(struct transaction *tx, const struct use *by);
/* Does the message get our field? */
bool results_are_written(const struct inspect *i);
/* The field's value in the transaction's arena; {null, 0}: no transaction, or no memory. */
struct sp_span results_compose(struct inspect *i);

/* ---- final.c --------------------------------------------------------------------------------- */

/* room: for so many fields at most. */
enum sp_status final_init(struct final *f, struct transaction *tx, size_t room, struct new_body *body);
/* Below those that are there: a field that came, or one that is made of name and value. */
void final_add_field(struct final *f, const struct header_field *field);
enum sp_status final_add(struct final *f, struct sp_span name, struct sp_span value);
/* "name: value" in the arena; a value that begins with a blank or a fold needs none. SP_SYSTEM: no memory. */
enum sp_status final_make(struct arena *a, struct sp_span name, struct sp_span value, struct header_field *ret);
/* Above all. SP_LIMIT, SP_SYSTEM. */
enum sp_status final_insert(struct final *f, struct sp_span name, struct sp_span value);
enum sp_status final_get(const struct final *f, size_t index, struct sp_header *ret);
/* on_final of every filter that has it, unless it said SP_NONE before. Not SP_OK: the message must not go on. */
enum sp_status final_run(struct inspect *i, struct final *f);

/* ---- notes.c --------------------------------------------------------------------------------- */

/* For the log line: "+Name". */
void inspect_note_edit(struct transaction *tx, char sign, struct sp_span name);

/* ---- host.c ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) void host_log(const struct use *u, enum sp_log_level level, const char *fmt, ...);
/* Until when a question to the DNS may be waited for that is asked now; and what was waited goes off the message's share.
 * A hook has some time whatever the others have spent: else a client who makes the DNS slow for a name of his own could
 * keep from us what another name's owner says. */
int64_t host_dns_begin(const struct inspect *i);
void host_dns_end(struct inspect *i, int64_t began_ms);
/* Closes the connections that a filter has left open. */
void host_close_conns(struct inspect *i, const struct use *by);

static inline struct use *
use_of(struct sp_ctx *ctx)
{
	return (struct use *)ctx;
}

#endif
