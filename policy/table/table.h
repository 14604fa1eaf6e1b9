/*
 * table.h - tables: sets and maps looked up by exact key, domain suffix or net.
 *
 * Built once, at load, by table_add() for each line of a file or list, then closed by table_close();
 * read-only after that and shared by all workers.  A million entries load in seconds and are found
 * in well under a microsecond.
 */
#ifndef POLICY_TABLE_TABLE_H
#define POLICY_TABLE_TABLE_H

#include <sallyport/filter.h>

#include "policy/kit/arena.h"

/* SP_NET: longest prefix wins.  SP_DOMAIN: "example.com" is that name, ".example.com" all names
 * below it (not itself), "*" any; the most exact wins.  SP_ADDRESS: "a@example.com", "@example.com"
 * (any local part there), exact before domain; no regard to case.  SP_STRING: exact bytes.
 * A domain beyond ASCII and its A-labels are one key (policy/kit/idna.h). */
struct table;

/* key: SP_NET SP_DOMAIN SP_ADDRESS SP_STRING.  value: SP_END for a set, else the type of values. */
struct table *table_new(enum sp_type key, enum sp_type value);
void table_free(struct table **t);

/* Why an entry was refused, for the message: a sentence with static life. */
enum sp_status table_add(struct table *t, struct sp_span key, const struct sp_value *value, const char **reterr);
/* Ends building; SP_INVALID with *ret_dup set to a key given twice with different values. */
enum sp_status table_close(struct table *t, struct sp_span *ret_dup);
size_t table_count(const struct table *t);
enum sp_type table_key_type(const struct table *t);
enum sp_type table_value_type(const struct table *t);

/* The value found, or null; a set gives a value of type SP_BOOL, true. key is of the table's key type
 * (SP_NET tables take an SP_IP or an SP_NET that must be contained whole). */
const struct sp_value *table_find(const struct table *t, const struct sp_value *key);

/* Reads "key" or "key value" lines ('#' comments, blank lines, CRLF allowed).  parse turns the text of
 * a value into one of the table's value type.  On the first bad lines report() is called with line
 * and column (both from 1) and the sentence, at most 20 times.  SP_NONE: no such file (errno set),
 * SP_INVALID: lines were reported. */
struct table_reader {
	enum sp_status (*parse)(void *arg, struct sp_span text, struct sp_value *ret, const char **reterr);
	void (*report)(void *arg, unsigned line, unsigned column, const char *sentence);
	void *arg;
};
enum sp_status table_read_file(struct table *t, const char *path, const struct table_reader *r);

#endif
