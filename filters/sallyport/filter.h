/*
 * sallyport/filter.h - all that a filter module may include of Sallyport.
 *
 * A module is one shared object with one const descriptor, SP_FILTER(name).  It looks at sessions
 * and messages, states typed facts and may ask for edits; the policy file decides what a fact
 * means.  A module never sees the policy, another module or the insides of the host.
 *
 * Memory: whatever an event or a service hands out belongs to the host and lives until the
 * hook returns, unless a comment here says more.  Whatever a module hands in is copied.
 *
 * Waiting: services marked "may suspend" look like plain calls; meanwhile other sessions run on
 * the same thread.  So no thread-local, no errno and no lock may be relied on across one.
 *
 * Version rule, the only one: the host takes a module whose major equals its own; a module of a
 * higher minor is refused, since it may call services that this host lacks; a lower minor has the
 * smaller struct size of its time, never smaller than SP_FILTER_SIZE_MIN.
 *
 * C11, and C++ with designated initialisers (C++20).
 */
#ifndef SALLYPORT_FILTER_H
#define SALLYPORT_FILTER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SP_ABI_MAJOR 0 /* raised when a member is moved, dropped or retyped; 0.x: not yet frozen */
#define SP_ABI_MINOR 3 /* raised when a member or service is added at an end */

/* ---- values ---------------------------------------------------------------------------- */

/* The one status of the whole program. 0 is success; results are set on success only. */
enum sp_status {
	SP_OK = 0,
	SP_NONE,     /* it surely does not exist (NXDOMAIN, no such key, end of input) */
	SP_TEMPFAIL, /* could not be found out now (SERVFAIL, refused connection, full disk) */
	SP_TIMEOUT,  /* the deadline or the transaction's budget has passed */
	SP_GONE,     /* the other end has closed */
	SP_LIMIT,    /* a limit set at birth was reached */
	SP_INVALID,  /* the input breaks its grammar */
	SP_CANCELED, /* the session is being ended */
	SP_SYSTEM    /* the operating system refused: memory, descriptors, disk */
};

/* Stages, in the order in which a transaction passes them. */
enum sp_stage {
	SP_CONNECT,
	SP_HELO,
	SP_MAIL,
	SP_RCPT,
	SP_DATA,
	SP_HEADER, /* the header block is complete ("eoh") */
	SP_EOM,    /* the message is complete, the backend has not seen DATA yet */
	SP_STAGES
};

/* Bytes with a length; not NUL-ended; ptr may be null where len is 0. */
struct sp_span {
	const char *ptr;
	size_t len;
};

/* An address of the network. family 4: bytes[0..3]; 6: all 16; 0: none. v4-mapped is always 4. */
struct sp_ip {
	uint8_t family;
	uint8_t bytes[16];
};

struct sp_net {
	struct sp_ip ip;
	uint8_t bits; /* 0..32 or 0..128 */
};

/* count per period_ms; burst 0: as large as count. */
struct sp_rate {
	uint64_t count;
	uint64_t period_ms;
	uint64_t burst;
};

enum sp_type {
	SP_END = 0, /* ends a table */
	SP_BOOL,
	SP_INT,
	SP_SIZE,     /* integer: octets */
	SP_DURATION, /* integer: milliseconds */
	SP_TIME,     /* integer: seconds since the epoch (facts only) */
	SP_ENUM,     /* integer: index into the declared words */
	SP_SCORE,    /* real */
	SP_STRING,
	SP_DOMAIN,  /* text, lower case, no trailing dot */
	SP_ADDRESS, /* text: local@domain as received; compared without regard to case; "" = <> */
	SP_IP,
	SP_NET,
	SP_RATE,
	SP_DOMAINS, /* a set of domains */
	SP_REGEX,   /* parameters only: text of a PCRE2 expression between slashes; flags follow it */
	SP_FILE,    /* parameters only: a path, made absolute by the host */
	SP_FACT,    /* parameters only: a fact of the policy, to be read by sp_fact_read() */
	SP_TABLE    /* parameters only: a table of the policy, to be asked by sp_table_has() (0.2) */
};

struct sp_value {
	enum sp_type type;
	union {
		bool boolean;
		int64_t integer; /* INT SIZE DURATION TIME ENUM */
		double real;     /* SCORE */
		struct sp_span text; /* STRING DOMAIN ADDRESS */
		struct sp_ip ip;
		struct sp_net net;
		struct sp_rate rate;
		struct {
			const struct sp_span *items;
			size_t count;
		} set; /* DOMAINS */
	} u;
};

/* ---- declarations: what the policy compiler knows of a module -------------------------- */

/* A fact that the module states: NAME.fact in the policy (NAME.entry.fact for an entry's). */
struct sp_fact_decl {
	const char *name;
	enum sp_type type;
	enum sp_stage stage; /* known when all hooks of this stage have returned */
	const char *help;
	const char *const *words; /* SP_ENUM: null-ended list, index = value */
	bool takes_name;          /* host facts only: written with an argument, header("Subject") */
};
#define SP_FACTS_END { 0 }

/* A parameter in the module's block. The host parses and range-checks it and stores it at offset:
 * BOOL: bool; INT SIZE DURATION ENUM: int64_t; SCORE: double; STRING DOMAIN ADDRESS REGEX: struct
 * sp_span; FILE: const char * (NUL-ended); IP NET RATE: their structs; FACT: struct sp_keys, one or
 * more facts joined by commas; TABLE: const struct sp_table *.  Where the fallback of a FILE or TABLE is
 * "none", that word gives null; else they are never null.  All of it lives as long as the configuration. */
struct sp_param {
	const char *name;
	enum sp_type type;
	size_t offset;
	const char *fallback; /* as written in a policy; null: the parameter must be given */
	const char *help;
	const char *const *words; /* SP_ENUM */
	int64_t min, max;         /* INT SIZE DURATION; both 0: not limited. TABLE: min is the enum sp_type of
				   * the keys that will be asked for, NET or IP, DOMAIN, ADDRESS, STRING; 0: any */
	bool bare;                /* written as a value without its name (60/min) */
};
#define SP_PARAMS_END { 0 }

struct sp_table;    /* opaque: a table of the policy */
struct sp_fact_ref; /* opaque: a fact of the policy */
struct sp_keys {
	const struct sp_fact_ref *const *refs;
	size_t count;
};

/* One "name : parameters" line of the module's block, for modules that declare entry_params. */
struct sp_entry {
	const char *name;
	const void *conf;    /* as laid out by entry_params */
	enum sp_stage stage; /* when its facts are known: see entry_stage */
};

/* ---- what a hook is called with -------------------------------------------------------- */

struct sp_host;

/* One use of the module in one transaction or session. Only the host makes these. */
struct sp_ctx {
	const struct sp_host *host;
	const void *conf;              /* as laid out by params; shared, const */
	const struct sp_entry *entries;
	size_t entry_count;
	void *session; /* session_size bytes, zeroed at connect */
	void *tx;      /* tx_size bytes, zeroed at MAIL; null outside a transaction */
	bool dry_run;  /* "sallyport explain": leave no trace in shared state */
};

struct sp_connect {
	struct sp_ip client;
	uint16_t port;
	struct sp_span listener;
};
struct sp_helo {
	struct sp_span name;
	bool esmtp;
	struct sp_ip client;
};
struct sp_mail {
	struct sp_span address; /* between < and >, as sent, but for a domain beyond ASCII, which is A-labels; empty: <> */
	struct sp_span local, domain;
	int64_t size; /* SIZE=, -1: not given */
	struct sp_span params; /* of MAIL, as sent, divided by single blanks: "SIZE=100 BODY=8BITMIME" (0.3) */
};
struct sp_rcpt {
	struct sp_span address;
	struct sp_span local, domain;
	size_t index; /* 0 for the first recipient of the transaction */
	struct sp_span params; /* of RCPT, as sent (0.3) */
};
struct sp_header {
	struct sp_span name;
	struct sp_span value; /* after the colon, folded as sent, without the last CRLF */
	struct sp_span field; /* the whole field, without the last CRLF */
	size_t index;         /* 0 for the topmost */
};
struct sp_eoh {
	size_t headers;
	int64_t octets;
};
/* A piece of the body: dots unstuffed, line ends CRLF; pieces may end anywhere. */
struct sp_body {
	struct sp_span chunk;
};
struct sp_eom {
	int64_t octets; /* header and body, dots unstuffed */
};
/* The message as it will go on: verdict and edits are settled (0.2). Within this hook header_get()
 * gives the final fields, our own trace too, body_get() the final body, and header_insert() with
 * index 0, the only edit that is allowed, puts a field on top of all, those of earlier calls too. */
struct sp_final {
	size_t headers;
	int64_t octets; /* of the message that came */
};
struct sp_close {
	bool in_transaction;
};
/* A command that is not offered: the client is told so, whatever is made of it (0.3). */
struct sp_unknown {
	struct sp_span line; /* without its CRLF */
};

/* ---- services -------------------------------------------------------------------------- */

enum sp_log_level { SP_LOG_ERROR, SP_LOG_WARNING, SP_LOG_INFO, SP_LOG_DEBUG };

struct sp_addrs {
	const struct sp_ip *items;
	size_t count;
};
struct sp_names {
	const struct sp_span *items;
	size_t count;
};
struct sp_mx {
	uint16_t preference;
	struct sp_span name;
};
struct sp_mxs {
	const struct sp_mx *items;
	size_t count;
};
struct sp_conn; /* a connection made by connect() */

/* One of several questions asked at once (0.2): status as of the single call. */
struct sp_texts {
	enum sp_status status;
	struct sp_names names;
};

/* An authentication result (RFC 8601 section 2.2; 0.2): "spf=pass smtp.mailfrom=example.org". The
 * words are keywords of that RFC; reason and values may hold any octets, the host encodes them. */
struct sp_auth_prop {
	const char *ptype, *name; /* "smtp", "mailfrom" */
	struct sp_span value;
};
struct sp_auth_result {
	const char *method, *result;
	struct sp_span reason; /* "": none */
	const struct sp_auth_prop *props;
	size_t prop_count;
};

/* What a filter has to say of a connection, a message or a recipient (0.3): see sp_refuse(). */
struct sp_reply {
	int code;                /* 4xx: defer; 5xx: reject; 250: take the message, and throw it away */
	struct sp_span enhanced; /* "5.7.1", of the code's class; "": one is made */
	struct sp_span text;     /* printable ASCII, "\n" between lines */
};

/* A thing that sessions of one worker wait for (0.3); zeroed memory is a valid one, of the module's own. */
struct sp_event {
	void *first, *last;
};

/* Positions in the draft beside its indexes, for sp_draft_insert() (0.3). */
#define SP_DRAFT_END SIZE_MAX       /* below all fields */
#define SP_DRAFT_TOP (SIZE_MAX - 1) /* above all, our own trace field too, which the draft does not show */

struct sp_load; /* the loading of a configuration: errors go here */

/* Reached through the inline functions below, never by symbol. Members are only ever added. */
struct sp_host {
	uint16_t abi_major, abi_minor;
	uint32_t size;

	/* load time */
	void (*load_error)(struct sp_load *, const char *file, unsigned line, unsigned column,
		const char *fmt, va_list);
	/* a table of size bytes, zeroed when new, shared by all workers and kept over reloads as
	 * long as name and size stay; null when it cannot be had */
	void *(*load_shared)(struct sp_load *, const char *name, size_t size);
	void *(*load_alloc)(struct sp_load *, size_t); /* zeroed, lives with the configuration */

	/* facts; entry -1: the module's own */
	void (*fact_set)(struct sp_ctx *, int entry, unsigned fact, const struct sp_value *);
	/* SP_OK, SP_NONE (absent), SP_TEMPFAIL (unknown, or not yet known) */
	enum sp_status (*fact_read)(struct sp_ctx *, const struct sp_fact_ref *, struct sp_value *ret);

	/* memory of the transaction (of the session before MAIL); zeroed; null at its limit */
	void *(*alloc)(struct sp_ctx *, size_t);
	void (*log)(struct sp_ctx *, enum sp_log_level, const char *fmt, va_list);
	int64_t (*now_ms)(struct sp_ctx *); /* monotonic */

	/* DNS; may suspend; results live as long as alloc()'s. SP_NONE: no such name or data */
	enum sp_status (*dns_addrs)(struct sp_ctx *, struct sp_span name, struct sp_addrs *ret);
	enum sp_status (*dns_txt)(struct sp_ctx *, struct sp_span name, struct sp_names *ret);
	enum sp_status (*dns_mx)(struct sp_ctx *, struct sp_span name, struct sp_mxs *ret);
	enum sp_status (*dns_ptr)(struct sp_ctx *, const struct sp_ip *, struct sp_names *ret);

	/* network and time; may suspend; timeout in ms, cut to what the transaction has left */
	enum sp_status (*connect)(struct sp_ctx *, const char *endpoint, int64_t timeout_ms,
		struct sp_conn **ret);
	enum sp_status (*conn_read)(struct sp_conn *, void *, size_t max, int64_t timeout_ms, size_t *ret);
	enum sp_status (*conn_write)(struct sp_conn *, struct sp_span, int64_t timeout_ms);
	void (*conn_close)(struct sp_conn **);
	enum sp_status (*sleep)(struct sp_ctx *, int64_t ms);
	/* runs fn on a thread of a small pool; fn must touch nothing of the host's */
	enum sp_status (*blocking)(struct sp_ctx *, void (*fn)(void *), void *arg);

	/* edits, collected and applied all together after the verdict, or not at all.
	 * occurrence counts from 0 at the top; -1: all of that name */
	enum sp_status (*header_add)(struct sp_ctx *, const char *name, struct sp_span value);
	enum sp_status (*header_insert)(struct sp_ctx *, size_t index, const char *name, struct sp_span value);
	enum sp_status (*header_replace)(struct sp_ctx *, const char *name, int occurrence, struct sp_span value);
	enum sp_status (*header_remove)(struct sp_ctx *, const char *name, int occurrence);
	enum sp_status (*sender_replace)(struct sp_ctx *, struct sp_span address);
	enum sp_status (*rcpt_add)(struct sp_ctx *, struct sp_span address);
	enum sp_status (*rcpt_remove)(struct sp_ctx *, struct sp_span address);
	/* the first call begins a new body, later ones append; lines must end in CRLF */
	enum sp_status (*body_replace)(struct sp_ctx *, struct sp_span chunk);

	/* the message, from on_eoh on: header fields by index; SP_NONE past the last */
	enum sp_status (*header_get)(struct sp_ctx *, size_t index, struct sp_header *ret);
	/* at eom: the raw body piece by piece from offset; SP_NONE at the end; may suspend */
	enum sp_status (*body_get)(struct sp_ctx *, int64_t offset, struct sp_span *ret);

	/* ---- 0.2 ---- */
	/* addresses of one family, 4 or 6; may suspend */
	enum sp_status (*dns_ips)(struct sp_ctx *, struct sp_span name, int family, struct sp_addrs *ret);
	/* texts of up to 32 names, asked all at once; may suspend. Not SP_OK: nothing was asked */
	enum sp_status (*dns_texts)(struct sp_ctx *, const struct sp_span *names, size_t count,
		struct sp_texts *ret);
	/* is the key (of the table's key type) in the table? At any time, in load() too */
	bool (*table_has)(const struct sp_table *, const struct sp_value *key);
	/* Adds a result to the transaction's Authentication-Results. Copied. SP_LIMIT: more than 64 */
	enum sp_status (*result_add)(struct sp_ctx *, const struct sp_auth_result *);
	/* What filters above this one in the policy, or this one, have added; SP_NONE past the last */
	enum sp_status (*result_get)(struct sp_ctx *, size_t index, struct sp_auth_result *ret);
	/* How we call ourselves in Authentication-Results (RFC 8601 section 2.5) */
	struct sp_span (*auth_id)(struct sp_ctx *);
	/* The value of an Authentication-Results field with all results so far, "id; spf=pass ...",
	 * encoded and folded; without the name */
	struct sp_span (*results_text)(struct sp_ctx *);

	/* ---- 0.3 ---- */
	/* At load time: a program that the service starts whenever a worker connects to the endpoint that is returned, which is
	 * then the program's standard input and output.  command: a path and arguments, divided by blanks; no shell.  Null:
	 * no memory.  "sallyport check" starts nothing. */
	const char *(*load_program)(struct sp_load *, const char *command);
	/* The filter's word, for modules whose use decides: said in on_connect or on_helo it is about the session, in on_rcpt about
	 * that recipient, else about the message; the first word counts.  The rule "filter NAME" that called for it carries it
	 * out.  SP_INVALID: this may not be said to a client; nothing was noted. */
	enum sp_status (*refuse)(struct sp_ctx *, const struct sp_reply *);
	/* Does a rule read this fact of the module's own? */
	bool (*fact_wanted)(struct sp_ctx *, unsigned fact);
	/* A fact of the program's own by its name, "client.name". SP_NONE: absent; SP_TEMPFAIL: not known, or not yet; SP_INVALID: there
	 * is no such fact, or it takes an argument. May suspend (client.name asks the DNS). */
	enum sp_status (*fact_named)(struct sp_ctx *, const char *name, struct sp_value *ret);

	/* The draft: the message as filters above this one, and this one, have left it; in on_eom only.  index counts its
	 * fields from 0 at the top. A field is "Name: value", folded by CRLF, without the last CRLF, and is written as given.
	 * To insert one past the last is to insert it at the end. */
	enum sp_status (*draft_get)(struct sp_ctx *, size_t index, struct sp_header *ret); /* SP_NONE past the last */
	enum sp_status (*draft_insert)(struct sp_ctx *, size_t before, struct sp_span field);
	enum sp_status (*draft_replace)(struct sp_ctx *, size_t index, struct sp_span field);
	enum sp_status (*draft_remove)(struct sp_ctx *, size_t index);
	/* As body_get(), as filters above this one have left it: what this one writes meanwhile is not seen */
	enum sp_status (*draft_body)(struct sp_ctx *, int64_t offset, struct sp_span *ret);
	/* The envelope as edited so far; recipients in the order of RCPT, then those added. SP_NONE past the last.
	 * draft_rcpt() may be called in on_data, too: those whom nobody has refused */
	enum sp_status (*draft_sender)(struct sp_ctx *, struct sp_mail *ret);
	enum sp_status (*draft_rcpt)(struct sp_ctx *, size_t index, struct sp_rcpt *ret);
	/* Edits of it, in on_eom only; params "": those of the client stay (sender), or none (a new recipient).
	 * SP_INVALID: no address, or no parameters; SP_NONE: no such recipient.  Adding one that is there is SP_OK. */
	enum sp_status (*sender_change)(struct sp_ctx *, struct sp_span address, struct sp_span params);
	enum sp_status (*rcpt_insert)(struct sp_ctx *, struct sp_span address, struct sp_span params);
	enum sp_status (*rcpt_delete)(struct sp_ctx *, struct sp_span address);

	/* Connections that outlive a session, within one worker.  keep: it is no session's any more, and stays open until
	 * conn_close(); take: it serves this session, and is closed with it unless it is kept again; idle: nothing waits to be
	 * read from it, and it is open.  Closed while another session reads or writes it, it is SP_GONE there, and is no more. */
	void (*conn_keep)(struct sp_conn *);
	void (*conn_take)(struct sp_ctx *, struct sp_conn *);
	bool (*conn_idle)(const struct sp_conn *);
	/* Until it is woken: SP_OK, SP_TIMEOUT, SP_CANCELED. May suspend */
	enum sp_status (*event_wait)(struct sp_ctx *, struct sp_event *, int64_t timeout_ms);
	void (*event_wake)(struct sp_event *, bool all); /* the one that has waited longest, or all */
};

/* ---- the descriptor --------------------------------------------------------------------- */

struct sp_filter {
	/* these three come first, protect the rest and never move */
	uint16_t abi_major, abi_minor;
	uint32_t size;

	const char *name;
	const char *summary;
	const struct sp_fact_decl *facts;   /* null: none; else ended by SP_FACTS_END */
	const struct sp_param *params;      /* null: none */
	size_t conf_size;
	const struct sp_param *entry_params; /* null: the block takes no "name : ..." lines */
	size_t entry_size;
	const struct sp_fact_decl *entry_facts;
	size_t session_size, tx_size;

	/* When an entry's facts are known, given its configuration and the latest stage of its
	 * SP_FACT parameters; null: the later of that and the declared stage. */
	enum sp_stage (*entry_stage)(const void *entry_conf, enum sp_stage keys);
	/* Once for each use in a policy, in the master, before workers start: read files, compile
	 * expressions, store results in conf (writable here and only here).  Call sp_load_error()
	 * for each fault found; any status but SP_OK refuses the policy. */
	enum sp_status (*load)(struct sp_load *, const struct sp_host *, void *conf,
		struct sp_entry *entries, size_t entry_count);
	void (*unload)(void *conf, struct sp_entry *entries, size_t entry_count);

	/* Hooks; null: nothing to do.  SP_OK: done.  Any other status leaves the facts of this stage
	 * that were not set unknown; SP_NONE says besides that no later hook need be called in this
	 * transaction.  A fact not set by the end of its stage is unknown. */
	enum sp_status (*on_connect)(struct sp_ctx *, const struct sp_connect *);
	enum sp_status (*on_helo)(struct sp_ctx *, const struct sp_helo *);
	enum sp_status (*on_mail)(struct sp_ctx *, const struct sp_mail *);
	enum sp_status (*on_rcpt)(struct sp_ctx *, const struct sp_rcpt *);
	enum sp_status (*on_data)(struct sp_ctx *);
	enum sp_status (*on_header)(struct sp_ctx *, const struct sp_header *);
	enum sp_status (*on_eoh)(struct sp_ctx *, const struct sp_eoh *);
	enum sp_status (*on_body)(struct sp_ctx *, const struct sp_body *);
	enum sp_status (*on_eom)(struct sp_ctx *, const struct sp_eom *);
	void (*on_reset)(struct sp_ctx *); /* the transaction ends, however it ends */
	void (*on_close)(struct sp_ctx *, const struct sp_close *);

	/* ---- 0.2 ---- */
	/* The module adds authentication results: it runs whether or not a rule reads its facts. */
	bool states_results;
	/* Null-ended names of modules whose facts or results this one reads: where a policy uses them
	 * they must stand above it. Null: none. */
	const char *const *after;
	/* Once the verdict is accept and all edits are made; for signing. Called even where an earlier
	 * hook has failed. Any status but SP_OK, and the message is deferred. */
	enum sp_status (*on_final)(struct sp_ctx *, const struct sp_final *);
	/* Should a use of this configuration run for those messages only that a rule calls it for? If so and no
	 * rule does, the operator is warned. Null: never. */
	bool (*by_rule)(const void *conf);

	/* ---- 0.3 ---- */
	/* Does a use of this configuration decide?  Then a rule "filter NAME" carries out what the filter says by sp_refuse(), at the
	 * stage at which it says it, and is unknown when a hook of the transaction fails.  Null: never. */
	bool (*decides)(const void *conf);
	/* Once called for, its session lasts as long as the client's, and each further call begins with on_mail; else
	 * a filter that is called for within a transaction begins with on_connect each time. */
	bool lasts;
	/* When a fact of the module's own is known, given its configuration and the stage at which it would be without this;
	 * null: as declared. */
	enum sp_stage (*fact_stage)(const void *conf, unsigned fact, enum sp_stage declared);
	/* Between two commands, for filters that run then: it may state and refuse nothing, but it may fail. */
	enum sp_status (*on_unknown)(struct sp_ctx *, const struct sp_unknown *);
};
#define SP_FILTER_SIZE_MIN ((uint32_t)(offsetof(struct sp_filter, on_close) + sizeof(void *)))

#define SP_FILTER_HEAD \
	.abi_major = SP_ABI_MAJOR, .abi_minor = SP_ABI_MINOR, .size = (uint32_t)sizeof(struct sp_filter)

#ifdef __cplusplus
#define SP_EXTERN extern "C"
#else
#define SP_EXTERN extern
#endif
/* SP_FILTER(spf) = { SP_FILTER_HEAD, .name = "spf", ... };   the file is then spf.so */
#define SP_FILTER(ident) \
	SP_EXTERN __attribute__((visibility("default"))) const struct sp_filter sp_filter_##ident; \
	const struct sp_filter sp_filter_##ident

#include <sallyport/services.h>

#ifdef __cplusplus
}
#endif
#endif
