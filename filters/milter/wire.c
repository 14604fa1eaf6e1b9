/*
 * wire.c - packets of the milter protocol: building commands, taking apart what comes.
 *
 * Memory: a struct wire_out owns its octets until wire_out_fini(). Packets that come are parts of the caller's input.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <libmilter/mfapi.h>

#include "milter/wire.h"

enum { LENGTH = MILTER_LEN_BYTES, OUT_FIRST = 512 };

/* ---- octets --------------------------------------------------------------------------------- */

void
wire_out_init(struct wire_out *o, size_t max)
{
	*o = (struct wire_out){ .max = max };
}

void
wire_out_fini(struct wire_out *o)
{
	free(o->ptr);
	*o = (struct wire_out){ 0 };
}

void
wire_out_reset(struct wire_out *o)
{
	o->len = o->begun = 0;
	o->status = SP_OK;
}

static bool
out_grow(struct wire_out *o, size_t more)
{
	size_t size = o->size > 0 ? o->size : OUT_FIRST;
	char *p;

	if (more > o->max - o->len) {
		o->status = SP_LIMIT;
		return false;
	}
	while (size < o->len + more)
		size *= 2;
	if (size > o->max)
		size = o->max;
	if (size <= o->size)
		return true;
	p = realloc(o->ptr, size);
	if (p == NULL) {
		o->status = SP_SYSTEM;
		return false;
	}
	o->ptr = p;
	o->size = size;
	return true;
}

void
wire_octets(struct wire_out *o, struct sp_span octets)
{
	if (octets.len == 0 || o->status != SP_OK || !out_grow(o, octets.len))
		return;
	memcpy(o->ptr + o->len, octets.ptr, octets.len);
	o->len += octets.len;
}

void
wire_octet(struct wire_out *o, char octet)
{
	wire_octets(o, (struct sp_span){ &octet, 1 });
}

static void
u32_write(char *to, uint32_t n)
{
	n = htonl(n);
	memcpy(to, &n, sizeof(n));
}

void
wire_u32(struct wire_out *o, uint32_t n)
{
	char octets[4];

	u32_write(octets, n);
	wire_octets(o, (struct sp_span){ octets, sizeof(octets) });
}

void
wire_text(struct wire_out *o, struct sp_span text)
{
	if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL && o->status == SP_OK)
		o->status = SP_INVALID; /* what follows it would be read as the next text */
	wire_octets(o, text);
	wire_octet(o, '\0');
}

void
wire_begin(struct wire_out *o, char letter)
{
	o->begun = o->len;
	wire_u32(o, 0);
	wire_octet(o, letter);
}

void
wire_end(struct wire_out *o)
{
	if (o->status == SP_OK)
		u32_write(o->ptr + o->begun, (uint32_t)(o->len - o->begun - LENGTH));
	else
		o->len = o->begun;
}

/* ---- commands ------------------------------------------------------------------------------- */

uint32_t
wire_version_actions(uint32_t version)
{
	return version >= 6 ? SMFI_CURR_ACTS : SMFI_V2_ACTS;
}

uint32_t
wire_version_protocol(uint32_t version)
{
	if (version >= 6)
		return SMFI_CURR_PROT | SMFIP_MDS_256K | SMFIP_MDS_1M;
	return SMFI_V2_PROT | (version >= 3 ? SMFIP_NOUNKNOWN : 0) | (version >= 4 ? SMFIP_NODATA : 0);
}

size_t
wire_chunk(uint32_t protocol)
{
	if (protocol & SMFIP_MDS_1M)
		return WIRE_CHUNK_1M;
	return protocol & SMFIP_MDS_256K ? WIRE_CHUNK_256K : WIRE_CHUNK_64K;
}

void
wire_optneg(struct wire_out *o, const struct wire_options *options)
{
	wire_begin(o, SMFIC_OPTNEG);
	wire_u32(o, options->version);
	wire_u32(o, options->actions);
	wire_u32(o, options->protocol);
	for (uint32_t i = 0; i < WIRE_STAGES; i++) {
		if (!options->listed[i])
			continue;
		wire_u32(o, i);
		wire_text(o, options->lists[i]);
	}
	wire_end(o);
}

void
wire_command(struct wire_out *o, char letter)
{
	wire_begin(o, letter);
	wire_end(o);
}

void
wire_line(struct wire_out *o, char letter, struct sp_span text)
{
	wire_begin(o, letter);
	wire_text(o, text);
	wire_end(o);
}

void
wire_connect(struct wire_out *o, struct sp_span name, const struct sp_ip *ip, uint16_t port)
{
	char text[INET6_ADDRSTRLEN];
	uint16_t net_port = htons(port);

	wire_begin(o, SMFIC_CONNECT);
	wire_text(o, name);
	if (ip->family == 0) {
		wire_octet(o, SMFIA_UNKNOWN);
	} else {
		wire_octet(o, ip->family == 4 ? SMFIA_INET : SMFIA_INET6);
		wire_octets(o, (struct sp_span){ (const char *)&net_port, sizeof(net_port) });
		inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, text, sizeof(text));
		wire_text(o, (struct sp_span){ text, strlen(text) });
	}
	wire_end(o);
}

void
wire_envelope(struct wire_out *o, char letter, struct sp_span address, struct sp_span params)
{
	wire_begin(o, letter);
	wire_octet(o, '<');
	wire_octets(o, address);
	wire_text(o, (struct sp_span){ ">", 1 });
	while (params.len > 0) {
		const char *blank = memchr(params.ptr, ' ', params.len);
		size_t len = blank != NULL ? (size_t)(blank - params.ptr) : params.len;

		if (len > 0)
			wire_text(o, (struct sp_span){ params.ptr, len });
		len += blank != NULL;
		params = (struct sp_span){ params.ptr + len, params.len - len };
	}
	wire_end(o);
}

void
wire_header(struct wire_out *o, struct sp_span name, struct sp_span value)
{
	wire_begin(o, SMFIC_HEADER);
	wire_text(o, name);
	wire_text(o, value);
	wire_end(o);
}

void
wire_body(struct wire_out *o, struct sp_span chunk)
{
	wire_begin(o, SMFIC_BODY);
	wire_octets(o, chunk);
	wire_end(o);
}

void
wire_macros_begin(struct wire_out *o, char letter)
{
	wire_begin(o, SMFIC_MACRO);
	wire_octet(o, letter);
}

void
wire_macro(struct wire_out *o, struct sp_span name, struct sp_span value)
{
	wire_text(o, name);
	wire_text(o, value);
}

/* ---- what comes ------------------------------------------------------------------------------ */

enum sp_status
wire_take_u32(struct sp_span *data, uint32_t *ret)
{
	uint32_t n;

	if (data->len < sizeof(n))
		return SP_INVALID;
	memcpy(&n, data->ptr, sizeof(n));
	*ret = ntohl(n);
	*data = (struct sp_span){ data->ptr + sizeof(n), data->len - sizeof(n) };
	return SP_OK;
}

enum sp_status
wire_take_text(struct sp_span *data, struct sp_span *ret)
{
	const char *nul = data->len > 0 ? memchr(data->ptr, '\0', data->len) : NULL;

	if (nul == NULL)
		return SP_INVALID;
	*ret = (struct sp_span){ data->ptr, (size_t)(nul - data->ptr) };
	*data = (struct sp_span){ nul + 1, data->len - ret->len - 1 };
	return SP_OK;
}

enum sp_status
wire_packet_take(struct sp_span in, size_t max, struct wire_packet *ret, size_t *ret_used)
{
	uint32_t len;

	if (wire_take_u32(&in, &len) != SP_OK)
		return SP_NONE;
	if (len == 0 || len > max)
		return SP_INVALID;
	if (in.len < len)
		return SP_NONE;
	*ret = (struct wire_packet){ in.ptr[0], { in.ptr + 1, len - 1 } };
	*ret_used = LENGTH + (size_t)len;
	return SP_OK;
}
