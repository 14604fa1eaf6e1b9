/*
 * wire.h - the milter protocol as octets, from the mail server's side: no connection, no session, no host.
 *
 * Commands go out, replies come in, each as a packet: length (4 octets, counting what follows it), one letter, data.
 * The letters and bits are those of <libmilter/mfdef.h> and <libmilter/mfapi.h> (SMFIC_*, SMFIR_*, SMFIP_*, SMFIF_*).
 * All that comes is distrusted: what breaks the grammar of its packet is SP_INVALID.
 */
#ifndef MILTER_WIRE_H
#define MILTER_WIRE_H

#include <sallyport/filter.h>

enum {
	WIRE_VERSION_MIN = 2,
	WIRE_VERSION_MAX = 6,
	WIRE_STAGES = 7,            /* lists of macros: SMFIM_CONNECT .. SMFIM_EOH */
	WIRE_CHUNK_64K = 65535,     /* octets of a body chunk, by the size that was negotiated */
	WIRE_CHUNK_256K = 262143,
	WIRE_CHUNK_1M = 1048575,
	WIRE_REPLY_LINES = 32,      /* of a reply code; as many as libmilter gives */
	WIRE_REPLY_LINE = 980       /* octets of one, code and all */
};

/* ---- what we send --------------------------------------------------------------------------- */

/* Packets one after the other, in memory of its own; zeroed with a max it is empty.  status is not SP_OK once a packet was
 * too long for max (SP_LIMIT), held a NUL where a text must not (SP_INVALID), or memory was short (SP_SYSTEM); then
 * nothing more is added. */
struct wire_out {
	char *ptr;
	size_t len, size, max;
	size_t begun; /* where the packet at hand begins */
	enum sp_status status;
};
void wire_out_init(struct wire_out *o, size_t max);
void wire_out_fini(struct wire_out *o);
void wire_out_reset(struct wire_out *o); /* empty again, status SP_OK; memory is kept */

/* A packet by hand: begin, any of the four, end. */
void wire_begin(struct wire_out *o, char letter);
void wire_u32(struct wire_out *o, uint32_t n);
void wire_octets(struct wire_out *o, struct sp_span octets);
void wire_octet(struct wire_out *o, char octet);
void wire_text(struct wire_out *o, struct sp_span text); /* and the NUL behind it */
void wire_end(struct wire_out *o);

/* What both sides say of themselves when they meet: SMFIC_OPTNEG. */
struct wire_options {
	uint32_t version, actions, protocol;
	bool listed[WIRE_STAGES];
	struct sp_span lists[WIRE_STAGES]; /* names of macros, divided by blanks; where listed */
};
/* The actions and the bits of protocol that exist in a version. */
uint32_t wire_version_actions(uint32_t version);
uint32_t wire_version_protocol(uint32_t version);
/* How many octets of body go into one chunk, by the bits of protocol that were agreed on. */
size_t wire_chunk(uint32_t protocol);

void wire_optneg(struct wire_out *o, const struct wire_options *options);
void wire_command(struct wire_out *o, char letter); /* without data: T N A Q K, and E */
void wire_line(struct wire_out *o, char letter, struct sp_span text); /* with one text: H U */
/* family 0: unknown, and neither port nor address is said. */
void wire_connect(struct wire_out *o, struct sp_span name, const struct sp_ip *ip, uint16_t port);
/* M and R: the address without its < and >, params as they stood in the command, divided by blanks. */
void wire_envelope(struct wire_out *o, char letter, struct sp_span address, struct sp_span params);
void wire_header(struct wire_out *o, struct sp_span name, struct sp_span value);
void wire_body(struct wire_out *o, struct sp_span chunk);
/* D: begin with the letter of the command that the macros are for, add each, wire_end().  A name is as in a list:
 * "j", "{client_addr}". */
void wire_macros_begin(struct wire_out *o, char letter);
void wire_macro(struct wire_out *o, struct sp_span name, struct sp_span value);

/* ---- what comes ------------------------------------------------------------------------------ */

struct wire_packet {
	char letter;
	struct sp_span data;
};
/* The first packet of in, of at most max octets without its length.  SP_NONE: there is not all of it yet; SP_INVALID: no
 * packet has such a length.  ret_used: octets of the packet with its length. */
enum sp_status wire_packet_take(struct sp_span in, size_t max, struct wire_packet *ret, size_t *ret_used);
/* Takes a part off the front of a packet's data.  SP_INVALID: it is not there whole. */
enum sp_status wire_take_u32(struct sp_span *data, uint32_t *ret);
enum sp_status wire_take_text(struct sp_span *data, struct sp_span *ret); /* without its NUL */

/* The reply of a milter; which members are set depends on its letter. Spans are parts of the packet, or of scratch. */
struct wire_reply {
	char letter;
	struct wire_options options;   /* O */
	uint32_t index;                /* i m */
	struct sp_span name, value;    /* h i m: a header field; value as it came, folded by LF, CR LF or both mixed */
	struct sp_span address, params; /* e + 2 -: params may be empty */
	struct sp_span text;           /* q: the reason; b: octets of body; y: lines, "\n" between them */
	int code;                      /* y: 400..599 */
	struct sp_span enhanced;       /* y: "5.7.1", or empty */
};
/* scratch has room for the packet's data; it holds the text of a reply code.  SP_INVALID: no such reply, or not well formed. */
enum sp_status wire_reply_read(const struct wire_packet *p, char *scratch, struct wire_reply *ret);
/* "ADDHEADER" for 'h', or null. */
const char *wire_reply_name(char letter);

#endif
