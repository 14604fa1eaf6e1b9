/*
 * fuzz_milterwire_reply.c - what a milter sends: packets are split the same in one piece and in many, and whatever is taken
 * for a reply keeps what wire.h promises of it.
 */
#include <stdlib.h>
#include <string.h>

#include "milter/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PACKET_MAX = 65536 };

#define HOLDS(x) \
	do { \
		if (!(x)) \
			abort(); \
	} while (0)

static void
part_check(struct sp_span part, const struct wire_packet *p)
{
	HOLDS(part.len <= p->data.len);
	HOLDS(part.len == 0 || memchr(part.ptr, '\0', part.len) == NULL);
	HOLDS(part.len == 0 || (part.ptr >= p->data.ptr && part.ptr + part.len <= p->data.ptr + p->data.len));
}

static void
code_check(const struct wire_reply *r)
{
	size_t lines = 1;

	HOLDS(r->code >= 400 && r->code <= 599);
	HOLDS(r->enhanced.len == 0 || r->enhanced.ptr[0] == '0' + r->code / 100);
	for (size_t i = 0; i < r->text.len; i++) {
		HOLDS(r->text.ptr[i] == '\n' || (r->text.ptr[i] >= ' ' && r->text.ptr[i] <= '~'));
		lines += r->text.ptr[i] == '\n';
	}
	HOLDS(lines <= WIRE_REPLY_LINES);
}

static void
reply_check(const struct wire_packet *p)
{
	char *scratch = malloc(p->data.len > 0 ? p->data.len : 1); /* no more than is promised to be enough */
	struct wire_reply r;

	HOLDS(scratch != NULL);
	if (wire_reply_read(p, scratch, &r) == SP_OK) {
		HOLDS(wire_reply_name(r.letter) != NULL && r.index <= INT32_MAX);
		part_check(r.name, p);
		part_check(r.value, p);
		part_check(r.address, p);
		part_check(r.params, p);
		for (unsigned i = 0; i < WIRE_STAGES; i++)
			part_check(r.options.lists[i], p);
		if (r.letter == 'y')
			code_check(&r);
	}
	free(scratch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span in = { (const char *)data, size };

	for (;;) {
		struct wire_packet p, again;
		size_t used, more;
		enum sp_status st = wire_packet_take(in, PACKET_MAX, &p, &used);

		if (st != SP_OK)
			return 0;
		HOLDS(used <= in.len && used == p.data.len + 5);
		for (size_t part = 0; part < used; part++) /* a part of it is never a packet */
			HOLDS(wire_packet_take((struct sp_span){ in.ptr, part }, PACKET_MAX, &again, &more) == SP_NONE);
		reply_check(&p);
		in = (struct sp_span){ in.ptr + used, in.len - used };
	}
}
