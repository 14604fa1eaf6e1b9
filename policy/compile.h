/*
 * compile.h - what the files of the policy compiler share: source, tokens, syntax tree, messages.
 *
 * Life of a compilation: source_* reads files, lex_* cuts them into tokens, parse_* builds the tree
 * (in compile.scratch), check_* turns the tree into struct policy (in policy.arena), warn_* looks
 * at the result.  A function that returns null or a status has already said why, so its caller
 * stays silent: one mistake gives one message.
 */
#ifndef POLICY_COMPILE_H
#define POLICY_COMPILE_H

#include "policy/kit/span.h"
#include "policy/policy_priv.h"

#define POLICY_VERSION 1
#define COMPILE_FILES_MAX 101         /* the file itself and 100 includes */
#define COMPILE_FILE_MAX (1u << 20)   /* octets */
#define COMPILE_ERRORS_MAX 20         /* printed */
#define COMPILE_DEPTH_MAX 32          /* nested brackets and "not" */
#define COMPILE_OPERANDS_MAX 1024     /* in one condition */
#define COMPILE_TEXT_MAX 400          /* octets of a reply text */
#define COMPILE_ARENA_MAX (64u << 20) /* octets of one compiled policy, tables apart */

/* ---- tokens ------------------------------------------------------------------------------- */

enum token_kind {
	TOKEN_END, /* end of file; also "none" where a token is optional */
	TOKEN_WORD,
	TOKEN_STRING, /* text: between the quotes, escapes not yet undone */
	TOKEN_REGEX,  /* text: with slashes and flags */
	TOKEN_LBRACE,
	TOKEN_RBRACE,
	TOKEN_LPAREN,
	TOKEN_RPAREN,
	TOKEN_LBRACKET,
	TOKEN_RBRACKET,
	TOKEN_COMMA,
	TOKEN_COLON,
	TOKEN_ARROW,
	TOKEN_EQ,
	TOKEN_NE,
	TOKEN_LT,
	TOKEN_LE,
	TOKEN_GT,
	TOKEN_GE,
	TOKEN_MATCH,
	TOKEN_NOT_MATCH,
	TOKEN_COMMENT, /* only when lexer.comments is set */
	TOKEN_ERROR    /* error: what is wrong; said when the parser reaches it */
};

struct token {
	enum token_kind kind;
	struct at at;
	struct sp_span text;
	const char *error, *hint;
	bool first;     /* on its line */
	size_t newlines; /* before it */
};

struct lexer {
	struct sp_span text;
	unsigned file, line;
	size_t pos, line_start;
	bool comments; /* give comments as tokens (for the formatter) */
};

void lex_init(struct lexer *l, unsigned file, struct sp_span text);
struct token lex_next(struct lexer *l);
/* Reads the regex literal that begins where token t (of l) does. */
struct token lex_regex(struct lexer *l, const struct token *t);
/* Like lex_regex() when one line holds what looks like a whole regex, else t itself. */
struct token lex_regex_maybe(struct lexer *l, const struct token *t);
/* What a token is called in "expected ..., found ...". */
const char *lex_kind_name(enum token_kind kind);
bool lex_is_word(const struct token *t, const char *word);
bool lex_is_name(struct sp_span s); /* a letter, then letters, digits, '_' and '-' */

/* ---- syntax tree --------------------------------------------------------------------------- */

enum ast_op {
	AST_WORD,
	AST_STRING,
	AST_REGEX,
	AST_CALL,   /* token(arg) */
	AST_INDEX,  /* token[left] */
	AST_TAGGED, /* tagged arg */
	AST_NOT,
	AST_AND,
	AST_OR,
	AST_EQ,
	AST_NE,
	AST_LT,
	AST_LE,
	AST_GT,
	AST_GE,
	AST_IN,
	AST_MATCH,
	AST_LIST /* (a, b): items by next */
};

struct ast_expr {
	enum ast_op op;
	struct at at; /* from its first byte to its last, on the first line */
	struct token token, arg;
	struct ast_expr *left, *right, *items, *next;
	bool negated; /* not in, !~ */
};

/* A value of a setting or parameter; arg: of message.header("Subject"). */
struct ast_value {
	struct token token, arg;
	struct ast_value *next;
};

struct ast_setting {
	struct at at;
	size_t index; /* into the block's settings or the module's parameters */
	struct ast_value *values;
	struct ast_setting *next;
};

struct ast_block {
	struct token kind, head;
	const struct policy_block_decl *decl;
	struct ast_setting *settings;
	struct ast_block *next;
};

struct ast_item {
	struct token key, value;
	struct ast_item *next;
};

struct ast_table {
	struct token name, key, value, file, fallback;
	struct ast_item *items;
	struct ast_table *next;
};

struct ast_entry {
	struct token name;
	struct ast_setting *params;
	struct ast_entry *next;
};

struct ast_filter {
	struct token module_name, name;
	const struct sp_filter *module; /* null: not found, already said */
	struct ast_setting *params;
	struct ast_entry *entries;
	struct ast_filter *next;
};

struct ast_reply {
	struct token verb, code, enhanced, text;
};

struct ast_rule {
	struct token name; /* END: a bare verdict */
	struct ast_expr *condition;
	struct ast_reply reply; /* of any verb */
	struct token arg, text;
	struct ast_reply unknown;
	struct token stage;
	bool shadow;
	struct ast_rule *next;
};

/* ---- the compilation ------------------------------------------------------------------------ */

struct message {
	struct at at; /* line 0: no line to show */
	bool warning;
	const char *text, *hint;
	struct message *next;
};

/* A fact that was named somewhere; it gets an id when something that runs reads it. */
struct fact_link {
	struct sp_fact_ref ref;
	bool read;
	struct fact_link *next;
};

/* What is known of a filter's use besides struct policy_filter. */
struct filter_info {
	struct at at; /* of its name */
	enum sp_stage keys;          /* latest stage of its own SP_FACT parameters */
	enum sp_stage *entry_keys;   /* and of each entry's */
	struct at *entry_at;
	const struct sp_keys **lists; /* all of these */
	size_t list_count, list_room;
	size_t runs_at; /* index of the first rule "filter NAME", SIZE_MAX: none */
	bool broken;    /* its module was not found */
	bool incomplete; /* a parameter has no value, and that has been said */
};

/* A fact read by a rule, in the order of the file. */
struct fact_use {
	const struct policy_rule *rule;
	const struct sp_fact_ref *ref;
	struct at at;
	struct fact_use *next;
};

struct compile {
	struct policy *p;
	const struct policy_env *env; /* null: only syntax is looked at */
	struct arena *scratch;
	bool out_of_memory, stop; /* stop: so many messages that more would not be printed */

	struct message *messages, **messages_end;
	unsigned errors, warnings;

	struct source_id {
		unsigned long long device, inode;
	} source_ids[COMPILE_FILES_MAX];
	bool too_many_files;

	struct ast_block *blocks, **blocks_end;
	struct ast_setting *settings, **settings_end; /* outside of all blocks */
	const struct policy_block_decl *top;          /* their schema */
	struct ast_table *tables, **tables_end;
	struct ast_filter *filters, **filters_end;
	struct ast_rule *rules, **rules_end;
	struct at rules_at, rules_close; /* line 0: no rules block so far */
	struct ast_reply unknown;        /* verb END: not given */

	/* while checking */
	const struct policy_rule *rule; /* null: not inside of one */
	struct at rule_stage;           /* of its "at STAGE" */
	struct arena *values;           /* where literals go: the policy's arena, but while a table is read */
	struct fact_link *links, **links_end;
	struct filter_info *infos;      /* beside policy.filters */
	size_t key_of;                  /* the filter whose parameters are looked at, SIZE_MAX: none */
	bool syntax_errors;             /* some statements may be missing */
	struct fact_use *uses, **uses_end;
};

/* Zeroed memory of the policy / of the compilation; null has been reported. */
void *compile_alloc(struct compile *c, size_t size);
void *compile_scratch(struct compile *c, size_t size);
__attribute__((format(printf, 2, 3))) const char *compile_printf(struct compile *c, const char *fmt, ...);
/* Why this program cannot have that (policy_env.refused); null: it can. */
const char *compile_refused(const struct compile *c, struct sp_span word);
bool compile_init(struct compile *c, const struct policy_env *env); /* false: out of memory */
void compile_fini(struct compile *c); /* the policy stays, compile.p is the caller's to free */

/* ---- diag.c, suggest.c ------------------------------------------------------------------------ */

/* hint: printed after the carets; may be null. A second message at one place is dropped. */
__attribute__((format(printf, 4, 5))) void diag_error(struct compile *c, struct at at, const char *hint,
	const char *fmt, ...);
__attribute__((format(printf, 4, 5))) void diag_warning(struct compile *c, struct at at, const char *hint,
	const char *fmt, ...);
/* "site.policy:6:7", in scratch memory; never null. */
const char *diag_place(struct compile *c, struct at at);
/* Sorts all messages and prints them. */
void diag_flush(struct compile *c, struct policy_diag *to);
/* From the start of a to the end of b, when both are on one line. */
struct at at_join(struct at a, struct at b);

/* Looks for the name that was meant. */
struct suggest {
	struct sp_span name, best;
	struct at at; /* where best is defined, line 0: nowhere */
	size_t distance;
};
void suggest_init(struct suggest *s, struct sp_span name);
void suggest_offer(struct suggest *s, struct sp_span candidate, struct at at);
void suggest_word(struct suggest *s, const char *candidate);
void suggest_words(struct suggest *s, const char *const *words); /* null-ended; may be null */
/* "did you mean 'x'? (defined at ...)", else otherwise (which may be null). */
const char *suggest_hint(const struct suggest *s, struct compile *c, const char *otherwise);
/* "a, b or c" */
const char *suggest_list(struct compile *c, const char *const *words);

/* ---- source.c ----------------------------------------------------------------------------------- */

/* Adds a file; its index, or -1 (reported at from, line 0: nowhere). */
int source_open(struct compile *c, const char *path, struct at from);
int source_text(struct compile *c, const char *path, struct sp_span text);
/* All that an include means, in order; each is handed to parse_file(). */
void source_include(struct compile *c, const struct token *pattern);
/* path as it is meant in the file of at; absolute when the flag says so. Null: reported. */
const char *source_path(struct compile *c, struct at at, struct sp_span path, bool absolute);

/* ---- parse*.c -------------------------------------------------------------------------------------- */

struct parser {
	struct compile *c;
	struct lexer lex;
	struct token cur;
	unsigned depth, operands;
};

void parse_file(struct compile *c, unsigned file);

/* for the parser's own files */
void parse_next(struct parser *ps);
struct token parse_peek(const struct parser *ps, unsigned ahead); /* 1: the token after cur */
bool parse_is(const struct parser *ps, const char *word);         /* cur is this word, and no name */
bool parse_names(const struct parser *ps);                        /* "word :" comes next */
/* Says what was expected instead of cur. */
void parse_expected(struct parser *ps, const char *what, const char *hint);
bool parse_take(struct parser *ps, enum token_kind kind, const char *what, struct token *ret);
void parse_skip_braces(struct parser *ps); /* cur is '{'; to after its '}' */
void parse_block(struct parser *ps, const struct policy_block_decl *decl);
struct ast_setting *parse_setting(struct parser *ps, const struct policy_block_decl *decl, bool top);
void parse_table(struct parser *ps);
void parse_filter(struct parser *ps);
void parse_rules(struct parser *ps);
bool parse_reply(struct parser *ps, struct ast_reply *ret);
bool parse_unknown(struct parser *ps, struct ast_reply *ret, bool skip_allowed);
struct ast_expr *parse_condition(struct parser *ps);
bool parse_starts_statement(const struct parser *ps, const struct token *t);

/* ---- literal.c --------------------------------------------------------------------------------------- */

/* Turns a text into a value of type; null, or what is wrong (in scratch memory or static).
 * Texts of the value live in the policy. words: of an enum. */
const char *literal_parse(struct compile *c, enum sp_type type, const char *const *words, struct sp_span text,
	struct sp_value *ret);
/* What a bare word looks like: "a size", "an int", ...; for messages about mixed types. */
const char *literal_looks(struct sp_span text);
const char *literal_type(enum sp_type type); /* "a size": the type with its article */
/* The text of a STRING token, escapes undone, or of a WORD; in the policy's memory. */
struct sp_span literal_text(struct compile *c, const struct token *t);
bool literal_type_named(struct sp_span name, enum sp_type *ret); /* types that a table can hold */

/* ---- check*.c ------------------------------------------------------------------------------------------ */

void check_all(struct compile *c);
void check_tables(struct compile *c);
const struct policy_table *check_table_find(struct compile *c, struct sp_span name); /* marks it used */
/* The table that a token names; null: reported. */
const struct policy_table *check_table_of(struct compile *c, const struct token *name);
void check_tables_offer(struct compile *c, struct suggest *s);
void check_filters(struct compile *c);
void check_blocks(struct compile *c);
void check_rules(struct compile *c);
bool check_backend_verb(struct compile *c, const struct token *name);
/* After plan_infer(): is each "backend NAME" decided by RCPT? */
void check_backend_stages(struct compile *c);
struct expr *check_condition(struct compile *c, const struct ast_expr *ast);
bool check_reply(struct compile *c, const struct ast_reply *ast, struct reply *ret);
/* The parts of "text {fact}", a STRING token. facts false: only literal text may stand there. */
bool check_template(struct compile *c, const struct token *t, bool facts, struct template *ret);
/* The later of two places shows the earlier: "first given at ...". */
void check_twice(struct compile *c, struct at at, struct at first, const char *what, struct sp_span name);
/* Number in [min, max], both 0: any. Reports at. */
bool check_range(struct compile *c, struct at at, const struct sp_value *v, int64_t min, int64_t max);
/* Compiles a REGEX token; ret_code null: only to see whether it is right. */
bool check_regex(struct compile *c, const struct token *t, void **ret_code);
/* A string for the wire: printable ASCII, at most max octets, not empty. kind: "a reply". */
bool check_printable(struct compile *c, const struct token *t, size_t max, const char *kind);

/* ---- facts.c ---------------------------------------------------------------------------------------------- */

/* Finds a fact by its name as written. Null: reported. Interned: one object for one fact and argument. */
struct sp_fact_ref *fact_find(struct compile *c, const struct token *name, const struct token *arg);
/* The same for a rule: notes that the current rule reads it, and holds it against its pin. */
const struct sp_fact_ref *fact_read(struct compile *c, const struct token *name, const struct token *arg);
/* Whether a word can only be meant as a fact: its first part is a space's or a filter's name. */
bool fact_looks(struct compile *c, struct sp_span word);
void fact_offer(struct compile *c, struct suggest *s); /* all names of facts */
void fact_number(struct compile *c);                   /* wanted filters, ids, policy.facts, policy.fact_ids */
void fact_check_demand(struct compile *c);

void fact_mark(const struct sp_fact_ref *ref);
size_t fact_decl_count(const struct sp_fact_decl *decls); /* accepts null */

void warn_all(struct compile *c);

#endif
