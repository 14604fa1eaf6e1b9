/*
 * policy_priv.h - the compiled form, shared by the compiler's files and the evaluator.
 *
 * Everything hangs on struct policy's arena, but for tables, regexes and filter modules' own state.
 * The compiler (source, lex, parse, check, ...) fills it in; after policy_compile() it is read-only.
 */
#ifndef POLICY_POLICY_PRIV_H
#define POLICY_POLICY_PRIV_H

#include "policy/policy.h"
#include "policy/table/table.h"

/* A place with its length, for carets. file: index into policy.files. */
struct at {
	unsigned file, line, column, len; /* line and column from 1, columns in bytes */
};

struct source_file {
	const char *path; /* as named on the command line or in include, for messages */
	struct sp_span text;
	struct at included_from; /* line 0: nobody */
};

/* ---- expressions -------------------------------------------------------------------------- */

enum expr_op {
	EXPR_CONST,  /* value */
	EXPR_FACT,   /* ref */
	EXPR_SCORE,  /* "score": the sum that rules above have added so far */
	EXPR_TAGGED, /* tagged "name": has a rule above set this tag; value.text */
	EXPR_LOOKUP, /* table[left]: the table's value, or its default */
	EXPR_NOT,
	EXPR_AND,
	EXPR_OR,
	EXPR_EQ, /* left == right; for sets (SP_DOMAINS): left has right */
	EXPR_NE,
	EXPR_LT,
	EXPR_LE,
	EXPR_GT,
	EXPR_GE,
	EXPR_IN,    /* left in table; for a set: any member of left is */
	EXPR_IN_LIST, /* left in (a, b, c): items */
	EXPR_MATCH, /* left ~ /regex/: unknown when the match limit is hit */
	EXPR_TRUTH  /* left as a condition: BOOL itself; text and sets: not empty */
};

struct expr {
	enum expr_op op;
	enum sp_type type; /* of its value; conditions are SP_BOOL */
	struct at at;
	struct expr *left, *right;
	struct sp_value value;              /* CONST, TAGGED; MATCH: see regex */
	const struct sp_fact_ref *ref;      /* FACT */
	const struct policy_table *table;   /* LOOKUP, IN */
	struct expr **items;                /* IN_LIST */
	size_t item_count;
	void *regex;                        /* MATCH: pcre2_code; value.text: as written, /.../i */
};

struct policy_table {
	struct sp_span name;
	struct at at;
	enum sp_type key, value; /* value SP_END: a set */
	bool has_default;
	struct sp_value fallback;
	struct table *table;
	const char *path; /* null: written in the policy itself */
	bool used;
};

/* Can a value of this type be a key of the table? */
bool table_takes(const struct policy_table *t, enum sp_type key);
/* As table_find(); of a set of domains the first member that the table knows counts. */
const struct sp_value *table_hit(const struct policy_table *t, const struct sp_value *key);

/* ---- rules -------------------------------------------------------------------------------- */

/* "too big for {rcpt.domain}": literal and fact parts in turn. */
struct template_part {
	struct sp_span literal;
	const struct sp_fact_ref *ref; /* null: the literal */
};
struct template {
	struct template_part *parts;
	size_t count;
};

enum rule_verb {
	VERB_ACCEPT,
	VERB_DISCARD,
	VERB_DEFER,
	VERB_REJECT,
	VERB_QUARANTINE, /* an accept, but for another backend; up to here: terminal */
	VERB_ADD_HEADER,
	VERB_REMOVE_HEADER,
	VERB_SCORE,
	VERB_TAG,
	VERB_LOG,
	VERB_FILTER,
	VERB_BACKEND
};

enum unknown_mode {
	UNKNOWN_DEFAULT, /* the file's one default */
	UNKNOWN_SKIP,    /* as if the condition were false */
	UNKNOWN_VERDICT  /* rule.unknown */
};

/* A reply, of a terminal verb or of "on unknown". */
struct reply {
	enum policy_class verdict;
	int code;                /* 250 for accept and discard */
	struct sp_span enhanced; /* "5.7.1" */
	struct template text;
};

struct policy_rule {
	size_t index;
	struct sp_span name;
	struct at at;        /* of the name */
	struct expr *condition; /* null: always */
	enum rule_verb verb;
	struct reply reply;  /* terminal verbs */
	struct sp_span arg_name; /* header, tag; filter, backend, quarantine: its name */
	struct template arg;     /* header value, log text */
	double points;           /* VERB_SCORE */
	size_t filter;           /* VERB_FILTER: index of the use */
	enum unknown_mode on_unknown;
	struct reply unknown; /* UNKNOWN_VERDICT */
	bool shadow;
	int pinned;           /* "at STAGE": a stage, or -1 */
	const char *path;     /* for policy_rule_place() */

	/* worked out by plan.c */
	enum sp_stage known;  /* when all of its own facts are known (with the pin) */
	enum sp_stage fires;  /* when it can have effect: no rule above can still decide otherwise */
	const struct policy_rule *waits_for; /* the rule above that makes fires > known; or null */
	const struct sp_fact_ref **reads;    /* facts of condition and templates, each once */
	size_t read_count;
	bool reads_rcpt;      /* reads a fact of one recipient */
	bool awaits;          /* VERB_FILTER: the filter decides; once called, its word is waited for until eom */
	/* While undecided: the classes that it may still decide, as bits (1 << class).  defaults: those
	 * that only matter to an accept or discard below, which must not pass over the file's default
	 * for unknown facts, nor over an effect (bit POLICY_UNDECIDED), nor over a filter's word. */
	unsigned char decides, defaults;
};

struct policy_setting {
	const struct policy_setting_decl *decl;
	struct at at;
	bool given;
	int64_t integer;
	struct sp_span *texts; /* NUL-ended each */
	size_t text_count;
	const char *path;      /* of the file that gave it; null: nobody did */
	struct table *set;     /* DOMAINS, NETS written out in place */
	const struct policy_table **tables; /* DOMAINS, NETS by table */
	size_t table_count;
};

struct policy_block {
	const struct policy_block_decl *decl;
	struct sp_span name;
	struct at at;
	struct policy_setting *settings; /* in the order of decl->settings */
	const char *path;
};

struct policy {
	struct arena *arena;
	const struct policy_env *env;
	struct source_file *files;
	size_t file_count;
	struct policy_block *blocks;
	size_t block_count;
	struct policy_table **tables;
	size_t table_count;
	struct policy_filter *filters;
	size_t filter_count;
	struct sp_fact_ref **facts; /* by id */
	size_t fact_count;
	int **fact_ids; /* [filter][slot]: see policy_fact_id() */
	struct policy_rule **rules;
	size_t rule_count;
	struct reply unknown; /* the file's default for unknown: defer 451 4.7.1 */
	bool reads_rcpt;

	/* what must be given back by policy_free() */
	struct policy_owned *owned;
	bool *filter_loaded;     /* whose load() succeeded */
	struct sp_host load_host; /* env's, with the services of loading */
};

/* A table or a regex (pcre2_code) of a policy. */
struct policy_owned {
	struct table *table;
	void *regex;
	struct policy_owned *next;
};

static inline bool
rule_is_terminal(const struct policy_rule *r)
{
	return r->verb <= VERB_QUARANTINE;
}

/* ---- one function from each file of the compiler that others call --------------------------- */

/* plan.c: stage inference over the checked rules: fills known, fires, waits_for, reads, reads_rcpt, p->reads_rcpt. */
enum sp_status plan_infer(struct policy *p);
/* Must an outcome of class c (POLICY_UNDECIDED: an effect, or PLAN_QUARANTINE) wait for open rules above with these decides
 * and defaults, or'ed together? */
#define PLAN_QUARANTINE (POLICY_REJECT + 1u)
bool plan_blocks(unsigned decides, unsigned defaults, unsigned c);
/* The class of what r does when it fires. */
unsigned plan_class(const struct policy_rule *r);
/* The same for what rule r does when it fires, if its verb is no verdict. */
bool plan_effect_blocks(unsigned decides, const struct policy_rule *r);
/* For warnings: true when rule can never be reached because of a rule above (an unconditional verdict). */
bool plan_unreachable(const struct policy *p, const struct policy_rule *rule, const struct policy_rule **ret_by);

/* value.c */
bool value_eq(const struct sp_value *a, const struct sp_value *b);
/* <0, 0, >0; numbers of one type only. */
int value_cmp(const struct sp_value *a, const struct sp_value *b);
/* As a person reads it: 25M, 30s, "text", 192.0.2.1, pass. words: of an enum, may be null. */
void value_print(struct buf *to, const struct sp_value *v, const char *const *words);

/* The same as it goes into a reply, a header or JSON: a text bare, nothing around it. */
void value_text(struct buf *to, const struct sp_value *v, const char *const *words);

/* show.c: an expression in the language's own words, as explain and plan print it. */
void show_expr(struct buf *to, const struct expr *e);
/* The same; value() is called after each fact, "score", "tagged" and table[...] is written, and after
 * the name of a table, to add what is known of it. */
struct show_values {
	void (*value)(void *arg, struct buf *to, const struct expr *e);
	void *arg;
};
void show_expr_values(struct buf *to, const struct expr *e, const struct show_values *values);
/* What a rule does: reject 550 5.7.1, add-header "X-Spam-Flag", filter scan. */
void show_verb(struct buf *to, const struct policy_rule *r);
/* Its file:line. */
void show_place(struct buf *to, const struct policy_rule *r);
/* Its name, or "-" when it has none. */
void show_name(struct buf *to, const struct policy_rule *r);
/* text, with blanks up to width. */
void show_padded(struct buf *to, struct sp_span text, size_t width);

/* eval.c: what expression e is worth to the rule of this index, as far as is known. */
enum policy_known eval_expr(const struct policy_eval *eval, size_t rule, const struct expr *e,
	const struct policy_host *h, struct sp_value *ret);
/* A fact as that rule sees it: pending until its stage, absent while its on-demand filter has not run. */
enum policy_known eval_fact(const struct policy_eval *eval, size_t rule, const struct sp_fact_ref *ref,
	const struct policy_host *h, struct sp_value *ret);
const struct policy *eval_policy(const struct policy_eval *eval);
/* eval_match.c: KNOWN with *ret, or UNKNOWN when a limit was hit. */
enum policy_known eval_match(const void *regex, struct sp_span text, bool *ret);

#endif
