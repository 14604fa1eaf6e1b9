/*
 * policy.h - the policy language: compile a file, ask it at each stage, read what it decided.
 *
 * The language knows no SMTP.  What a policy can speak of is handed in as tables (struct
 * policy_env): fact namespaces, the settings that each kind of block takes, and a way to find
 * filter modules by name.  A compiled policy is immutable and is shared by all workers after fork.
 *
 * Order of use:   policy_compile -> policy_eval_new -> policy_eval_stage ... -> policy_free
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdio.h>

#include <sallyport/filter.h>

#include "policy/kit/arena.h"
#include "policy/kit/buf.h"

/* ---- what the language may speak of ---------------------------------------------------- */

/* Facts that the program itself states: space.fact */
struct policy_space {
	const char *name;
	const struct sp_fact_decl *facts;
};

/* What a setting's values look like. */
enum policy_setting_type {
	POLICY_SET_END = 0,
	POLICY_SET_BOOL, /* yes | no */
	POLICY_SET_INT,
	POLICY_SET_SIZE,
	POLICY_SET_DURATION,
	POLICY_SET_ENUM,
	POLICY_SET_STRING,   /* "quoted", or a bare word */
	POLICY_SET_NAME,     /* the name of another block, of kind .words[0] */
	POLICY_SET_ENDPOINT, /* 127.0.0.1:25, [::1]:25, host.example:25, unix:/path */
	POLICY_SET_DOMAINS,  /* domains, ".example.com" for all below, "*" for any; or tables of domains */
	POLICY_SET_NETS,     /* nets, or tables of nets */
	POLICY_SET_FILE,     /* a path, made absolute against the file that names it */
	POLICY_SET_TABLE     /* the name of a table from .words[0] to .words[1]: "string", "string" */
};

struct policy_setting_decl {
	const char *key; /* one or more words: "relay to" */
	enum policy_setting_type type;
	bool list;        /* several values, joined by commas; DOMAINS and NETS always are */
	bool repeat;      /* may be given more than once; values add up */
	const char *fallback; /* as written; null: none */
	const char *const *words; /* ENUM: null-ended */
	int64_t min, max;         /* INT SIZE DURATION; both 0: any */
	const char *help;
};

enum policy_block_head { POLICY_HEAD_NONE, POLICY_HEAD_NAME, POLICY_HEAD_ENDPOINT };

/* "listen 0.0.0.0:25 { ... }".  Kind "" holds the settings that stand outside of all blocks. */
struct policy_block_decl {
	const char *kind;
	enum policy_block_head head;
	bool once; /* at most one such block in a policy */
	const struct policy_setting_decl *settings;
	const char *help;
};

/* What the language has and a program cannot do: a statement ("listen"), a verb ("backend"), a fact ("auth.failures"). */
struct policy_refused {
	const char *word, *why; /* why: the sentence that refuses it */
};

struct policy_env {
	const struct policy_space *spaces; /* ended by a null name */
	const struct policy_block_decl *blocks; /* ended by a null kind */
	/* Finds the module: SP_OK, or SP_NONE with *reterr set to a sentence for the user. */
	enum sp_status (*filter_find)(void *arg, const char *name, const struct sp_filter **ret,
		const char **reterr);
	/* names of all modules that filter_find would find, for "did you mean"; null-ended */
	const char *const *(*filter_names)(void *arg);
	const struct sp_host *host; /* services for sp_filter.load */
	/* memory that outlives the policy, see sp_host.load_shared; may be null */
	void *(*shared)(void *arg, const char *name, size_t size);
	/* the endpoint of a program, see sp_host.load_program; null: *reterr says why it cannot be run; may be null */
	const char *(*program)(void *arg, const char *command, const char **reterr);
	/* ended by a null word; may be null. Where "backend" is refused there are no backends, and "quarantine" takes any name */
	const struct policy_refused *refused;
	void *arg;
};

/* ---- compiling ------------------------------------------------------------------------- */

struct policy;

/* All errors and warnings of one run, in the order of files and lines, ready to print. */
struct policy_diag {
	struct buf text;
	unsigned errors, warnings;
};
void policy_diag_init(struct policy_diag *d);
void policy_diag_fini(struct policy_diag *d);

/* Reads path and all that it includes, and compiles it.  Diagnostics are appended to d.
 * Null when there was an error (d->errors > 0). The result is freed by policy_free(). */
struct policy *policy_compile(const char *path, const struct policy_env *env, struct policy_diag *d);
/* The same from memory; name stands for the path in messages, relative paths go by the current
 * directory. */
struct policy *policy_compile_text(const char *name, struct sp_span text, const struct policy_env *env,
	struct policy_diag *d);
void policy_free(struct policy **p); /* calls each filter's unload */

/* Rewrites a file in the one canonical layout (comments kept). SP_INVALID: it does not parse. */
enum sp_status policy_format(const char *name, struct sp_span text, struct buf *ret, struct policy_diag *d);

/* "sallyport plan": per stage which rules fire, which facts they read, for whom they wait. */
void policy_plan(const struct policy *p, FILE *to);
/* "sallyport facts": all facts of env and of the filters named (null: none), with type, stage, help. */
void policy_facts(const struct policy_env *env, const char *const *filters, FILE *to);

const char *policy_stage_name(enum sp_stage stage); /* connect helo mail rcpt data header eom */
const char *policy_type_name(enum sp_type type);    /* bool int size ... */

/* ---- blocks and settings ---------------------------------------------------------------- */

struct policy_block;
struct policy_place { /* for messages about what the program finds wrong later */
	const char *file;
	unsigned line, column;
};

/* Blocks of a kind in file order; null past the last. Kind "": index 0 only, never null. */
const struct policy_block *policy_block(const struct policy *p, const char *kind, size_t index);
const struct policy_block *policy_block_named(const struct policy *p, const char *kind, struct sp_span name);
struct sp_span policy_block_name(const struct policy_block *b); /* name or endpoint as written */
struct policy_place policy_block_place(const struct policy_block *b);

/* How many values a setting has, counting its fallback; 0: not given. key must be declared. */
size_t policy_setting_count(const struct policy_block *b, const char *key);
bool policy_setting_given(const struct policy_block *b, const char *key); /* by the file itself */
struct policy_place policy_setting_place(const struct policy_block *b, const char *key);
int64_t policy_setting_int(const struct policy_block *b, const char *key); /* BOOL INT SIZE DURATION(ms) ENUM */
/* STRING NAME ENDPOINT FILE: NUL-ended, lives with the policy; {null,0} past the last. */
struct sp_span policy_setting_text(const struct policy_block *b, const char *key, size_t index);
/* DOMAINS, NETS: is it in one of the values? */
bool policy_setting_has_domain(const struct policy_block *b, const char *key, struct sp_span domain);
bool policy_setting_has_ip(const struct policy_block *b, const char *key, const struct sp_ip *ip);
/* TABLE: what it has for this text; {null,0}: nothing. For tables from string to string. */
struct sp_span policy_setting_find(const struct policy_block *b, const char *key, struct sp_span text);

/* Appends an error in the form of the compiler's own, with line and caret, and counts it. */
__attribute__((format(printf, 5, 6))) void policy_diag_at(struct policy_diag *d, const struct policy *p,
	struct policy_place at, bool warning, const char *fmt, ...);

/* ---- facts and filters that a policy uses ------------------------------------------------ */

/* One fact with one argument as used in the policy; its id is an index below policy_fact_count().
 * Only facts that are read somewhere have one: what has none need not be computed. */
struct sp_fact_ref {
	unsigned id;
	struct sp_span text; /* as written: client.ip, message.header("Subject"), rate.per_client.over */
	const struct sp_fact_decl *decl;
	enum sp_stage stage; /* decl's, or the entry's */
	const struct policy_space *space; /* null: a filter's */
	unsigned fact;                    /* index in the space's, filter's or entry's table */
	int filter;                       /* index of the use, -1: not a filter's */
	int entry;                        /* -1: the filter's own fact */
	struct sp_span name;              /* the argument, {null,0}: none */
};
size_t policy_fact_count(const struct policy *p);
const struct sp_fact_ref *policy_fact(const struct policy *p, unsigned id);
/* The id of a fact by use, entry and index: -1 when no rule reads it. Constant time. */
int policy_fact_id(const struct policy *p, int filter, int entry, unsigned fact);

/* One "filter NAME { }" of the policy ("filter milter scan { }": module milter, name scan). */
struct policy_filter {
	const struct sp_filter *module;
	struct sp_span name;
	const void *conf;
	const struct sp_entry *entries;
	size_t entry_count;
	/* it runs only when a rule "filter NAME" fires; until then its facts are absent */
	bool on_demand;
	/* some rule, template or key reads one of its facts, or it has none, or states results, or is on demand */
	bool wanted;
};
size_t policy_filter_count(const struct policy *p);
const struct policy_filter *policy_filter(const struct policy *p, size_t index);
/* Does every rule that calls this filter stand above all that call that one? */
bool policy_calls_first(const struct policy *p, size_t index, size_t that);

/* Is the key in a table that a parameter of type SP_TABLE gave? A net has ips and nets, a domain its patterns as "in" has
 * them, a set of domains is in if any member is. False: a null table, a key of another type. For sp_host.table_has. */
bool policy_table_has(const struct sp_table *t, const struct sp_value *key);

/* ---- evaluation -------------------------------------------------------------------------- */

enum policy_class { POLICY_UNDECIDED, POLICY_ACCEPT, POLICY_DISCARD, POLICY_DEFER, POLICY_REJECT };
const char *policy_class_name(enum policy_class c); /* accept discard defer reject */

/* What a fact is at this moment. */
enum policy_known {
	POLICY_KNOWN,
	POLICY_PENDING, /* its stage has not come */
	POLICY_UNKNOWN, /* it could not be found out: the rule's "on unknown" speaks */
	POLICY_ABSENT   /* it does not apply (its on-demand filter was not run): the rule does not fire */
};

struct policy_rule;
struct sp_span policy_rule_name(const struct policy_rule *r);
struct policy_place policy_rule_place(const struct policy_rule *r);
bool policy_rule_shadow(const struct policy_rule *r);
size_t policy_rule_count(const struct policy *p);
const struct policy_rule *policy_rule(const struct policy *p, size_t index);
/* Can a rule send mail there, by "backend NAME" or "quarantine NAME"? And by the first, which chooses for a recipient? */
bool policy_routes_to(const struct policy *p, struct sp_span backend);
bool policy_chooses(const struct policy *p, struct sp_span backend);
/* Does any rule that is decided after RCPT read a fact of one recipient? Else one walk serves all. */
bool policy_reads_rcpt(const struct policy *p);

struct policy_verdict {
	enum policy_class verdict;
	const struct policy_rule *rule; /* null when undecided */
	enum sp_stage stage;            /* at which it was decided */
	bool unknown;                   /* by "on unknown", not by the condition */
	int code;                       /* 250 for accept and discard */
	struct sp_span enhanced;        /* "5.7.1" */
	struct sp_span text;            /* with templates filled in; one line, a filter's own may have several; in the eval's arena */
	struct sp_span backend;         /* an accept by "quarantine NAME": where the message goes instead; {null, 0}: where it was going */
};

enum policy_act {
	POLICY_ACT_ADD_HEADER, /* name, value */
	POLICY_ACT_REMOVE_HEADER, /* name */
	POLICY_ACT_TAG,        /* name */
	POLICY_ACT_LOG,        /* value */
	POLICY_ACT_FILTER,     /* filter: index of the use; may suspend */
	POLICY_ACT_BACKEND     /* name: of a block of kind "backend"; at RCPT at the latest. Of several rules that fire the
	                        * first in the file counts, whichever was called first */
};
struct policy_action {
	enum policy_act act;
	const struct policy_rule *rule;
	struct sp_span name, value;
	size_t filter;
};

struct policy_said {
	enum policy_class verdict; /* DISCARD, DEFER or REJECT */
	int code;
	struct sp_span enhanced, text; /* live as long as the walk */
};

/* The caller's half. */
struct policy_host {
	enum policy_known (*fact)(void *arg, const struct sp_fact_ref *ref, struct sp_value *ret);
	/* Carries out one non-terminal action; called once for each rule that fires, in file order,
	 * never for a shadow rule. Any status but SP_OK makes the rule unknown. */
	enum sp_status (*act)(void *arg, const struct policy_action *action);
	/* What has the filter said that a rule "filter NAME" of this walk has called, for filters that decide (sp_filter.decides)?
	 * KNOWN: *ret; PENDING: nothing so far, and it may yet; UNKNOWN: it failed. Asked at each stage until it is known. */
	enum policy_known (*said)(void *arg, size_t filter, struct policy_said *ret);
	void *arg;
};

/* The memory of one walk: what each rule came to. Lives in the arena. Null: no memory. */
struct policy_eval;
struct policy_eval *policy_eval_new(const struct policy *p, struct arena *a);
/* A copy that goes on by itself: from connection to transaction, from transaction to recipient. */
struct policy_eval *policy_eval_fork(const struct policy_eval *e, struct arena *a);
/* Walks the rules that are still open, as far as facts of stages up to this one allow.
 * Once a verdict is given, later calls return it unchanged. At SP_EOM there always is one. */
struct policy_verdict policy_eval_stage(struct policy_eval *e, enum sp_stage stage, const struct policy_host *h);
/* Sum of "score" so far. */
double policy_eval_score(const struct policy_eval *e);

enum policy_outcome {
	POLICY_RULE_WAITS,   /* not decided yet, or never reached */
	POLICY_RULE_NO,
	POLICY_RULE_FIRED,
	POLICY_RULE_UNKNOWN, /* a fact was unknown */
	POLICY_RULE_SKIPPED  /* a verdict above made it moot */
};
struct policy_trace {
	const struct policy_rule *rule;
	enum policy_outcome outcome;
	enum sp_stage stage; /* of the outcome */
};
/* Trace of rule index (below policy_rule_count()). */
struct policy_trace policy_eval_trace(const struct policy_eval *e, size_t index);

/* "sallyport explain": the verdict in one line, then each rule with file:line, the values that it
 * read and yes/no/unknown.  Values are read again through h. */
void policy_explain(const struct policy_eval *e, const struct policy_verdict *v, const struct policy_host *h,
	bool json, FILE *to);

#endif
