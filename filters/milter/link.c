/*
 * link.c - one connection to a milter: negotiation, packets out, replies in.
 *
 * Packets wait in out until a reply is needed, so that commands that the milter answers with nothing cost no system call
 * each.  Nothing that a milter sends can make us wait beyond what the host leaves us, nor hold more than one packet.
 */
#include <stdlib.h>

#include <libmilter/mfapi.h>

#include "milter/link.h"

enum {
	REPLY_EXTRA = 65536,   /* octets of a reply beyond a chunk of body */
	OUT_EXTRA = 131072,    /* the same of what we send */
	OUT_MUCH = 65536,
	IN_FIRST = 1024,
	KEEP_MAX = 8192,       /* octets of a buffer that a waiting connection keeps */
	PROGRESS_MAX = 10000   /* signs of progress for one command */
};

static size_t
packet_max(const struct link *l)
{
	return REPLY_EXTRA + wire_chunk(l->agreed.protocol);
}

void
link_free(const struct sp_host *host, struct link **l)
{
	if (*l == NULL)
		return;
	if ((*l)->conn != NULL)
		host->conn_close(&(*l)->conn);
	wire_out_fini(&(*l)->out);
	free((*l)->in);
	free((*l)->scratch);
	free((*l)->list_text);
	free(*l);
	*l = NULL;
}

void
link_trim(struct link *l)
{
	size_t max = l->out.max;

	if (l->out.size > KEEP_MAX) {
		wire_out_fini(&l->out);
		wire_out_init(&l->out, max);
	}
	if (l->in_size > KEEP_MAX && l->in_at == l->in_len) {
		free(l->in);
		l->in = NULL;
		l->in_at = l->in_len = l->in_size = 0;
	}
	free(l->scratch);
	l->scratch = NULL;
	l->scratch_size = 0;
}

/* ---- out -------------------------------------------------------------------------------------- */

static enum sp_status
room_make(struct link *l)
{
	size_t max = packet_max(l) + MILTER_LEN_BYTES, size;
	char *p;

	if (l->in_at > 0) {
		memmove(l->in, l->in + l->in_at, l->in_len - l->in_at);
		l->in_len -= l->in_at;
		l->in_at = 0;
	}
	if (l->in_len < l->in_size)
		return SP_OK;
	size = l->in_size > 0 ? l->in_size * 2 : IN_FIRST;
	if (size > max)
		size = max;
	if (size <= l->in_size)
		return SP_LIMIT;
	p = realloc(l->in, size);
	if (p == NULL)
		return SP_SYSTEM;
	l->in = p;
	l->in_size = size;
	return SP_OK;
}

/* Has it said what nobody has asked for?  That it has gone is seen soon enough. */
static bool
has_spoken(struct sp_ctx *ctx, struct link *l)
{
	size_t n;

	if (l->in_at < l->in_len)
		return true;
	if (!l->muted || sp_conn_idle(ctx, l->conn))
		return false;
	if (room_make(l) != SP_OK || sp_conn_read(ctx, l->conn, l->in + l->in_len, l->in_size - l->in_len, 1, &n) != SP_OK)
		return false;
	l->in_len += n;
	return true;
}

enum sp_status
link_quiet(struct sp_ctx *ctx, struct link *l)
{
	if (!has_spoken(ctx, l))
		return SP_OK;
	sp_log(ctx, SP_LOG_WARNING, "the milter has answered what was not to be answered");
	return SP_INVALID;
}

enum sp_status
link_send(struct sp_ctx *ctx, struct link *l)
{
	const struct milter_conf *conf = ctx->conf;
	enum sp_status st = l->out.status;

	if (st == SP_OK && l->out.len == 0)
		return SP_OK;
	if (st == SP_OK)
		st = link_quiet(ctx, l);
	if (st == SP_OK)
		st = sp_conn_write(ctx, l->conn, span_of(l->out.ptr, l->out.len), conf->timeout_ms);
	wire_out_reset(&l->out);
	return st;
}

enum sp_status
link_send_much(struct sp_ctx *ctx, struct link *l)
{
	return l->out.len >= OUT_MUCH || l->out.status != SP_OK ? link_send(ctx, l) : SP_OK;
}

enum sp_status
link_mute(struct sp_ctx *ctx, struct link *l)
{
	l->muted = true;
	return link_send_much(ctx, l);
}

/* ---- in --------------------------------------------------------------------------------------- */

static enum sp_status
packet_read(struct sp_ctx *ctx, struct link *l, int64_t deadline_ms, struct wire_packet *ret)
{
	size_t used, n = 0;
	enum sp_status st;

	for (;;) {
		st = wire_packet_take(span_of(l->in != NULL ? l->in + l->in_at : NULL, l->in_len - l->in_at), packet_max(l), ret,
			&used);
		if (st != SP_NONE)
			break;
		st = room_make(l);
		if (st == SP_OK)
			st = sp_conn_read(ctx, l->conn, l->in + l->in_len, l->in_size - l->in_len, deadline_ms - sp_now_ms(ctx), &n);
		if (st != SP_OK)
			return st == SP_NONE ? SP_GONE : st;
		l->in_len += n;
	}
	if (st == SP_OK)
		l->in_at += used;
	return st;
}

/* A reply that is no sign of progress. */
static enum sp_status
reply_read(struct sp_ctx *ctx, struct link *l, int64_t timeout_ms, struct wire_reply *ret)
{
	struct wire_packet p;
	enum sp_status st;

	for (unsigned n = 0; n < PROGRESS_MAX; n++) {
		st = packet_read(ctx, l, sp_now_ms(ctx) + timeout_ms, &p);
		if (st != SP_OK)
			return st;
		l->replied = true;
		if (p.data.len > l->scratch_size) {
			free(l->scratch);
			l->scratch = malloc(p.data.len);
			l->scratch_size = l->scratch != NULL ? p.data.len : 0;
			if (l->scratch == NULL)
				return SP_SYSTEM;
		}
		st = wire_reply_read(&p, l->scratch, ret);
		if (st != SP_OK || p.letter != SMFIR_PROGRESS)
			return st;
	}
	return SP_LIMIT;
}

static const char *
status_words(enum sp_status st)
{
	switch (st) {
	case SP_TIMEOUT: return "does not answer in time";
	case SP_GONE: return "has closed the connection";
	case SP_INVALID: return "has sent what is no reply";
	case SP_LIMIT: return "sends too much";
	case SP_NONE: return "has no address";
	default: return "cannot be reached";
	}
}

enum sp_status
link_reply(struct sp_ctx *ctx, struct link *l, int64_t timeout_ms, struct wire_reply *ret)
{
	enum sp_status st = link_send(ctx, l);

	if (st == SP_OK)
		st = reply_read(ctx, l, timeout_ms, ret);
	if (st != SP_OK && st != SP_CANCELED && !(l->reused && !l->replied))
		sp_log(ctx, SP_LOG_WARNING, "the milter %s", status_words(st));
	return st;
}

/* ---- negotiation ------------------------------------------------------------------------------ */

/* Keeps the lists of macros, which lie in a packet. */
static enum sp_status
lists_keep(struct link *l, const struct wire_options *said)
{
	size_t len = 0, at = 0;

	for (unsigned i = 0; i < WIRE_STAGES; i++)
		len += said->lists[i].len;
	l->list_text = malloc(len + 1);
	if (l->list_text == NULL)
		return SP_SYSTEM;
	for (unsigned i = 0; i < WIRE_STAGES; i++) {
		if (said->lists[i].len > 0)
			memcpy(l->list_text + at, said->lists[i].ptr, said->lists[i].len);
		l->agreed.lists[i] = span_of(l->list_text + at, said->lists[i].len);
		at += said->lists[i].len;
	}
	return SP_OK;
}

static enum sp_status
options_agree(struct sp_ctx *ctx, struct link *l, const struct wire_options *mine, const struct wire_options *said)
{
	if (said->version < WIRE_VERSION_MIN || said->version > mine->version) {
		sp_log(ctx, SP_LOG_ERROR, "the milter speaks version %u of the protocol, we offer %u", said->version, mine->version);
		return SP_INVALID;
	}
	if (said->actions & ~mine->actions) {
		sp_log(ctx, SP_LOG_ERROR, "the milter wants to do what version %u does not know: actions 0x%x", mine->version,
			said->actions);
		return SP_INVALID;
	}
	l->agreed = *said;
	l->agreed.protocol &= mine->protocol & wire_version_protocol(said->version);
	return lists_keep(l, said);
}

static enum sp_status
negotiate(struct sp_ctx *ctx, struct link *l)
{
	const struct milter_conf *conf = ctx->conf;
	uint32_t version = (uint32_t)conf->protocol;
	struct wire_options mine = { .version = version,
		.actions = wire_version_actions(version),
		.protocol = wire_version_protocol(version) };
	struct wire_reply r;
	enum sp_status st;

	wire_optneg(&l->out, &mine);
	st = link_reply(ctx, l, conf->timeout_ms, &r);
	if (st == SP_OK && r.letter != SMFIC_OPTNEG) {
		sp_log(ctx, SP_LOG_ERROR, "the milter answers the negotiation by %s", wire_reply_name(r.letter));
		st = SP_INVALID;
	}
	if (st == SP_OK)
		st = options_agree(ctx, l, &mine, &r.options);
	if (st == SP_OK)
		l->out.max = wire_chunk(l->agreed.protocol) + OUT_EXTRA;
	return st;
}

enum sp_status
link_open(struct sp_ctx *ctx, struct link **ret)
{
	const struct milter_conf *conf = ctx->conf;
	struct link *l = calloc(1, sizeof(*l));
	enum sp_status st;

	if (l == NULL)
		return SP_SYSTEM;
	wire_out_init(&l->out, OUT_EXTRA);
	st = sp_connect(ctx, conf->endpoint, conf->connect_ms, &l->conn);
	if (st == SP_OK)
		st = negotiate(ctx, l);
	else if (st != SP_CANCELED)
		sp_log(ctx, SP_LOG_WARNING, "the milter at %s %s", conf->endpoint, status_words(st));
	if (st != SP_OK) {
		link_free(ctx->host, &l);
		return st == SP_NONE ? SP_TEMPFAIL : st;
	}
	l->replied = false;
	*ret = l;
	return SP_OK;
}
