/*
 * macro.h - macros of SPF: their grammar and what they stand for (RFC 7208 section 7).
 *
 * Nothing is allocated.
 */
#ifndef SPF_MACRO_H
#define SPF_MACRO_H

#include <sallyport/filter.h>

enum { MACRO_DOMAIN_MAX = 253, MACRO_DOMAIN_ROOM = 1024 };

/* Where the text stands: which letters it may have, and whether blanks. */
enum macro_use {
	MACRO_DOMAIN, /* a domain-spec: not %{c}, %{r}, %{t} */
	MACRO_ANY,    /* the value of an unknown modifier */
	MACRO_EXPLAIN /* the text that exp= leads to: blanks, too */
};

/* What the letters stand for. */
struct macro_values {
	struct sp_ip client;
	struct sp_span local, sender_domain; /* %{l}, %{o}; together %{s} */
	struct sp_span domain;               /* %{d}: the current one */
	struct sp_span helo, receiver;       /* %{h}, %{r} */
	int64_t time;                        /* %{t} */
	/* %{p}, asked for only where it is used; may suspend */
	struct sp_span (*client_name)(void *arg, struct sp_span domain);
	void *arg;
};

/* Does the text keep the grammar? *ret_end: just behind its last macro, 0 when it has none. */
bool macro_check(struct sp_span text, enum macro_use use, size_t *ret_end);

/* Both take texts that macro_check() has passed. */
/* A domain-spec as a name of at most MACRO_DOMAIN_MAX octets, cut at the left where it is longer, without a dot at
 * the end; empty when nothing is left.  Lives in memory. */
struct sp_span macro_domain(const struct macro_values *v, struct sp_span text, char memory[static MACRO_DOMAIN_ROOM]);
/* An explanation in at most max octets, cut at the right. */
struct sp_span macro_explanation(const struct macro_values *v, struct sp_span text, char *memory, size_t max);

#endif
