/*
 * table_priv.h - the insides of a table, shared by table.c, table_nets.c and table_read.c.
 *
 * Every entry goes into one hash of its folded key (for nets: of family, length and bits), which is
 * what finds a key given twice.  Texts are looked up in that hash; nets are turned into sorted
 * ranges when the table is closed, and their hash is dropped.
 */
#ifndef POLICY_TABLE_TABLE_PRIV_H
#define POLICY_TABLE_TABLE_PRIV_H

#include "policy/table/table.h"

#define TABLE_ENTRIES_MAX ((uint32_t)1 << 26)
#define TABLE_KEY_MAX 1024
#define TABLE_NO_ENTRY UINT32_MAX

/* A key of a net table as the hash sees it: family, prefix length, address. */
#define NET_KEY_SIZE 18

struct entry {
	const char *key; /* folded; not NUL-ended */
	uint32_t len;
	uint32_t hash;
};

struct slot {
	uint32_t hash;
	uint32_t entry; /* plus one; 0: free */
};

/* An address as a number; IPv4 in the upper 32 bits. */
struct net_point {
	uint64_t high, low;
};

/* From points[i] up to points[i + 1] the most exact net is owners[i]. */
struct net_ranges {
	struct net_point *points;
	uint32_t *owners; /* an entry, or TABLE_NO_ENTRY */
	uint32_t *first;  /* by the upper 16 bits: how many points lie below, and one more; null: few points */
	size_t count;
};

struct table {
	enum sp_type key, value;
	struct arena *arena; /* keys and texts of values */
	char *pool;          /* what is left of a piece of the arena, for keys */
	size_t pool_left;
	struct entry *entries;
	struct sp_value *values; /* null for a set */
	size_t count, room;
	struct slot *slots;
	size_t slot_count; /* a power of two */
	bool closed;
	struct sp_span dup;     /* the first key given twice with different values */
	uint32_t *parents;      /* nets: the next wider net that holds this one */
	struct net_ranges v4, v6;
};

/* As table_add(), and tells a key that was given before with another value. */
enum sp_status table_insert(struct table *t, struct sp_span key, const struct sp_value *value,
	const char **reterr, bool *ret_dup);

/* table_nets.c */
void nets_key(const struct sp_net *net, char key[static NET_KEY_SIZE]);
struct sp_net nets_unkey(const struct entry *e);
enum sp_status nets_build(struct table *t);
void nets_fini(struct table *t);
uint32_t nets_find(const struct table *t, const struct sp_ip *ip, unsigned bits);

#endif
