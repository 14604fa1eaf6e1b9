/*
 * org.h - whose organisation a domain belongs to, and which record speaks for it.
 *
 * Two ways: the public suffix list (RFC 7489 3.2), or a walk up the DNS (RFC 9989 4.10).
 */
#ifndef DMARC_ORG_H
#define DMARC_ORG_H

#include <libpsl.h>

#include "dmarc/record.h"
#include "mailauth/domain.h"

enum org_way { ORG_LIST, ORG_TREE };

struct org {
	enum org_way way;
	const psl_ctx_t *list; /* null with ORG_TREE */
};

/* The domain itself and what is above it, as far as one asks: never more than eight names. */
enum { WALK_MAX = 8, WALK_LABELS = 7 };
struct walk {
	struct sp_span names[WALK_MAX]; /* the first is the domain where it starts; each is above the one before */
	struct record records[WALK_MAX];
	size_t count;
};

/* What was found out about a From domain. Spans point into the domain asked about. */
struct org_found {
	struct record record;      /* state NONE or SEVERAL: there is none */
	struct sp_span at;         /* the domain that the record stands at */
	struct sp_span org;        /* the organisational domain */
	enum policy policy;        /* that applies to this domain: p=, sp= or np=; UNPUBLISHED: none does */
};

/* The registrable part of a domain by the list, "" if it has none. domain: UTF-8 or A-labels, any case; *ret points
 * into it. */
struct sp_span org_registrable(const psl_ctx_t *list, struct sp_span domain);

/* The names of a walk, its records not yet read. */
void walk_init(struct walk *w, struct sp_span domain);
/* The organisational domain by its records. A record that stops the walk hides those above it. */
struct sp_span walk_org(const struct walk *w);

/* The record and policy for a From domain (folded); may suspend. Not SP_OK: the DNS failed. */
enum sp_status org_discover(struct sp_ctx *ctx, const struct org *o, struct sp_span from, struct org_found *ret);
/* Do the From domain and this one (folded) belong to one organisation? May suspend. Not SP_OK: the DNS failed. */
enum sp_status org_same(struct sp_ctx *ctx, const struct org *o, const struct org_found *from, struct sp_span domain,
	bool *ret);

#endif
