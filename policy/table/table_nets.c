/*
 * table_nets.c - finding the most exact net that holds an address.
 *
 * Closing a table sorts its nets by first address and length and walks them once with a stack of
 * those that are open, which cuts the addresses into ranges with one owner each.  A look-up takes
 * the upper 16 bits as one radix step (in a large table) and then halves what is left: three or four
 * misses of the cache for a million nets.  Each net knows the next wider one, so that a whole net is found by
 * going up from the owner of its first address.
 *
 * All arrays belong to the table.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "policy/table/table_priv.h"

#define RADIX 65536
#define RADIX_FROM 1024 /* ranges; fewer are halved faster than the step is fetched */
#define DEPTH 129 /* lengths that a net can have, all open at once */

struct net_line {
	struct net_point from;
	uint32_t entry;
	uint8_t bits;
};

struct sweep {
	struct table *t;
	struct net_ranges *to;
	struct net_line open[DEPTH];
	size_t depth;
};

void
nets_key(const struct sp_net *net, char key[static NET_KEY_SIZE])
{
	key[0] = (char)net->ip.family;
	key[1] = (char)net->bits;
	memcpy(key + 2, net->ip.bytes, 16);
}

struct sp_net
nets_unkey(const struct entry *e)
{
	struct sp_net net = { .bits = (uint8_t)e->key[1] };

	net.ip.family = (uint8_t)e->key[0];
	memcpy(net.ip.bytes, e->key + 2, 16);
	return net;
}

static struct net_point
point_of(const struct sp_ip *ip)
{
	struct net_point p = { 0, 0 };

	for (size_t i = 0; i < (ip->family == 4 ? 4 : 8); i++)
		p.high |= (uint64_t)ip->bytes[i] << (56 - 8 * i);
	for (size_t i = 0; ip->family == 6 && i < 8; i++)
		p.low |= (uint64_t)ip->bytes[8 + i] << (56 - 8 * i);
	return p;
}

static int
point_cmp(struct net_point a, struct net_point b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	return (a.low > b.low) - (a.low < b.low);
}

/* The first address after the net; false when there is none. */
static bool
point_after(const struct net_line *line, struct net_point *ret)
{
	struct net_point p = line->from;

	if (line->bits == 0)
		return false;
	if (line->bits <= 64) {
		p.high += UINT64_C(1) << (64 - line->bits);
		*ret = p;
		return p.high != 0;
	}
	p.low += UINT64_C(1) << (128 - line->bits);
	p.high += p.low == 0;
	*ret = p;
	return p.high != 0 || p.low != 0;
}

static int
line_cmp(const void *a, const void *b)
{
	const struct net_line *x = a, *y = b;
	int diff = point_cmp(x->from, y->from);

	return diff != 0 ? diff : (int)x->bits - (int)y->bits;
}

static void
range_begin(struct net_ranges *to, struct net_point at, uint32_t owner)
{
	if (to->count > 0 && point_cmp(to->points[to->count - 1], at) == 0) {
		to->owners[to->count - 1] = owner;
		return;
	}
	to->points[to->count] = at;
	to->owners[to->count++] = owner;
}

/* Closes what ends at or before at; null: everything. */
static void
sweep_close(struct sweep *s, const struct net_point *at)
{
	struct net_point end;

	while (s->depth > 0) {
		if (!point_after(&s->open[s->depth - 1], &end)) {
			if (at != NULL)
				return;
			s->depth--;
			continue;
		}
		if (at != NULL && point_cmp(end, *at) > 0)
			return;
		s->depth--;
		range_begin(s->to, end, s->depth == 0 ? TABLE_NO_ENTRY : s->open[s->depth - 1].entry);
	}
}

static void
sweep_lines(struct sweep *s, const struct net_line *lines, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		sweep_close(s, &lines[i].from);
		MUST(s->depth < DEPTH);
		s->t->parents[lines[i].entry] =
			s->depth == 0 ? TABLE_NO_ENTRY : s->open[s->depth - 1].entry;
		range_begin(s->to, lines[i].from, lines[i].entry);
		s->open[s->depth++] = lines[i];
	}
	sweep_close(s, NULL);
}

static enum sp_status
radix_fill(struct net_ranges *r)
{
	size_t at = 0;

	r->first = calloc(RADIX + 1, sizeof(*r->first));
	if (r->first == NULL)
		return SP_SYSTEM;
	for (size_t i = 0; i <= RADIX; i++) {
		while (at < r->count && (size_t)(r->points[at].high >> 48) < i)
			at++;
		r->first[i] = (uint32_t)at;
	}
	return SP_OK;
}

/* lines: room for the whole table, of which those of one family are used. */
static enum sp_status
ranges_build(struct table *t, uint8_t family, struct net_ranges *to, struct net_line *lines)
{
	struct sweep s = { .t = t, .to = to };
	size_t count = 0;

	for (size_t i = 0; i < t->count; i++) {
		struct sp_net net = nets_unkey(&t->entries[i]);

		if (net.ip.family == family)
			lines[count++] = (struct net_line){ point_of(&net.ip), (uint32_t)i, net.bits };
	}
	if (count == 0)
		return SP_OK;
	to->points = calloc(2 * count, sizeof(*to->points));
	to->owners = calloc(2 * count, sizeof(*to->owners));
	if (to->points == NULL || to->owners == NULL)
		return SP_SYSTEM;
	qsort(lines, count, sizeof(*lines), line_cmp);
	sweep_lines(&s, lines, count);
	return to->count < RADIX_FROM ? SP_OK : radix_fill(to);
}

enum sp_status
nets_build(struct table *t)
{
	struct net_line *lines = calloc(t->count + 1, sizeof(*lines));
	enum sp_status st = SP_SYSTEM;

	t->parents = calloc(t->count + 1, sizeof(*t->parents));
	if (lines == NULL || t->parents == NULL)
		goto out;
	st = ranges_build(t, 4, &t->v4, lines);
	if (st == SP_OK)
		st = ranges_build(t, 6, &t->v6, lines);
out:
	free(lines);
	if (st != SP_OK)
		nets_fini(t);
	return st;
}

static void
ranges_fini(struct net_ranges *r)
{
	free(r->points);
	free(r->owners);
	free(r->first);
	*r = (struct net_ranges){ 0 };
}

void
nets_fini(struct table *t)
{
	ranges_fini(&t->v4);
	ranges_fini(&t->v6);
	free(t->parents);
	t->parents = NULL;
}

/* The owner of the last range that begins at or before p. */
static uint32_t
ranges_find(const struct net_ranges *r, struct net_point p)
{
	size_t low = 0, high = r->count;

	if (r->first != NULL) {
		low = r->first[p.high >> 48];
		high = r->first[(p.high >> 48) + 1];
	}
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (point_cmp(r->points[middle], p) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? TABLE_NO_ENTRY : r->owners[low - 1];
}

uint32_t
nets_find(const struct table *t, const struct sp_ip *ip, unsigned bits)
{
	uint32_t hit;

	if (ip->family != 4 && ip->family != 6)
		return TABLE_NO_ENTRY;
	hit = ranges_find(ip->family == 4 ? &t->v4 : &t->v6, point_of(ip));
	while (hit != TABLE_NO_ENTRY && (uint8_t)t->entries[hit].key[1] > bits)
		hit = t->parents[hit];
	return hit;
}
