/*
 * milter_probe_talk.c - one session with a milter: negotiation, the commands of one message, its answers and edits, the end.
 *
 * Each step returns what the answer means for what follows.  All that the milter sends is checked by filters/milter/wire.h, and
 * against what was agreed on; the first fault ends the session.
 */
#include <stdio.h>
#include <string.h>

#include <libmilter/mfapi.h>

#include "proxy/cmd/milter_probe_priv.h"
#include "proxy/test/milter_words.h"

/* SKIP: no more body, or not this recipient; ENOUGH: the verdict is there, or a fault. */
enum next { GO_ON, SKIP, ENOUGH };

static int64_t
deadline(const struct probe *p)
{
	return rt_deadline(p->timeout_ms);
}

/* ---- verdicts ------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static enum next
end_with(struct probe *p, enum probe_result result, const char *fmt, ...)
{
	va_list ap;

	p->result = result;
	va_start(ap, fmt);
	vsnprintf(p->verdict, sizeof(p->verdict), fmt, ap);
	va_end(ap);
	for (char *at = p->verdict; *at != '\0'; at++)
		if (*at == '\n') /* between lines of a reply */
			*at = ' ';
	return ENOUGH;
}

static enum next
broken(struct probe *p, const char *command, const char *why)
{
	return end_with(p, PROBE_FAILED, "%s after %s", why, command);
}

/* ---- packets -------------------------------------------------------------------------------- */

/* The next reply; spans in it are valid until the next call. */
static enum next
read_reply(struct probe *p, const char *command, struct wire_reply *ret)
{
	struct wire_packet packet;
	enum sp_status st;
	size_t used;
	char *scratch;

	while ((st = wire_packet_take(buf_span(&p->in), PROBE_PACKET, &packet, &used)) == SP_NONE) {
		st = stream_fill(p->stream, deadline(p));
		if (st == SP_TIMEOUT)
			return broken(p, command, "the milter did not answer in time");
		if (st != SP_OK)
			return broken(p, command, p->in.len > 0 ? "the milter closed the connection within a packet" : "the milter closed the connection");
		buf_add(&p->in, stream_input(p->stream));
		stream_consume(p->stream, stream_input(p->stream).len);
	}
	if (st != SP_OK) {
		probe_show(p, '!', "garbage", buf_span(&p->in));
		return broken(p, command, "the milter sent what is no packet");
	}
	buf_clear(&p->scratch);
	scratch = buf_room(&p->scratch, packet.data.len + 1);
	if (scratch == NULL || wire_reply_read(&packet, scratch, ret) != SP_OK) {
		probe_showf(p, '!', "malformed", "'%c' %.*s", packet.letter, (int)packet.data.len, packet.data.len > 0 ? packet.data.ptr : "");
		return broken(p, command, "the milter sent a malformed packet");
	}
	return GO_ON;
}

/* A reply has been understood: its octets go. */
static void
drop_packet(struct probe *p)
{
	struct wire_packet packet;
	size_t used;

	if (wire_packet_take(buf_span(&p->in), PROBE_PACKET, &packet, &used) == SP_OK)
		buf_consume(&p->in, used);
}

static enum next
send_out(struct probe *p, const char *command)
{
	p->asked_ns = rt_now_ns();
	if (p->out.status != SP_OK)
		return broken(p, command, "what is to be said is too long, or holds a NUL,");
	if (stream_write(p->stream, span_of(p->out.ptr, p->out.len), deadline(p)) != SP_OK || stream_flush(p->stream, deadline(p)) != SP_OK)
		return broken(p, command, "the milter closed the connection");
	wire_out_reset(&p->out);
	return GO_ON;
}

/* ---- answers -------------------------------------------------------------------------------- */

/* The action that an edit is; 0: it is none. */
static uint32_t
edit_action(char letter)
{
	static const struct {
		char letter;
		uint32_t action;
	} edits[] = { { SMFIR_ADDHEADER, SMFIF_ADDHDRS }, { SMFIR_INSHEADER, SMFIF_ADDHDRS }, { SMFIR_CHGHEADER, SMFIF_CHGHDRS },
		{ SMFIR_REPLBODY, SMFIF_CHGBODY }, { SMFIR_CHGFROM, SMFIF_CHGFROM }, { SMFIR_ADDRCPT, SMFIF_ADDRCPT },
		{ SMFIR_ADDRCPT_PAR, SMFIF_ADDRCPT_PAR }, { SMFIR_DELRCPT, SMFIF_DELRCPT }, { SMFIR_QUARANTINE, SMFIF_QUARANTINE } };

	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++)
		if (edits[i].letter == letter)
			return edits[i].action;
	return 0;
}

static enum next
take_edit(struct probe *p, char command, const struct wire_reply *r)
{
	if (command != SMFIC_BODYEOB)
		return broken(p, milter_word_of(milter_commands, (uint32_t)command), "the milter edits before the end of the message,");
	if ((p->agreed.actions & edit_action(r->letter)) == 0)
		return broken(p, "end", "the milter made an edit that it had not asked for,");
	p->edits++;
	p->quarantined |= r->letter == SMFIR_QUARANTINE;
	return GO_ON;
}

/* What an answer that is no edit means. */
static enum next
take_answer(struct probe *p, char command, const struct wire_reply *r)
{
	const char *at = milter_word_of(milter_commands, (uint32_t)command);

	switch (r->letter) {
	case SMFIR_CONTINUE:
		return GO_ON;
	case SMFIR_SKIP:
		if ((p->agreed.protocol & SMFIP_SKIP) && command == SMFIC_BODY)
			return SKIP;
		return broken(p, at, "the milter skips where that was not agreed on,");
	case SMFIR_ACCEPT:
		return end_with(p, PROBE_ACCEPTED, "accepted at %s", at);
	case SMFIR_REPLYCODE:
		(void)end_with(p, PROBE_REFUSED, "%s at %s: %d %.*s%s%.*s", r->code < 500 ? "deferred" : "rejected", at, r->code,
			(int)r->enhanced.len, r->enhanced.len > 0 ? r->enhanced.ptr : "", r->enhanced.len > 0 ? " " : "", (int)r->text.len, r->text.ptr);
		return command == SMFIC_RCPT ? SKIP : ENOUGH;
	case SMFIR_REJECT: case SMFIR_TEMPFAIL:
		(void)end_with(p, PROBE_REFUSED, "%s at %s", r->letter == SMFIR_REJECT ? "rejected" : "deferred", at);
		return command == SMFIC_RCPT ? SKIP : ENOUGH;
	case SMFIR_DISCARD:
		return end_with(p, PROBE_REFUSED, "discarded at %s", at);
	case SMFIR_SHUTDOWN: case SMFIR_CONN_FAIL:
		return end_with(p, PROBE_REFUSED, "the client's connection refused at %s", at);
	default:
		return broken(p, at, "the milter gave an answer that does not belong there,");
	}
}

/* Sends what is in p->out and takes the answer, with all edits that come before it. */
static enum next
ask(struct probe *p, char command)
{
	const char *at = milter_word_of(milter_commands, (uint32_t)command);
	struct wire_reply r;
	enum next next = send_out(p, at);

	if (next != GO_ON)
		return next;
	if (p->agreed.protocol & milter_silent_bit(command)) {
		probe_more("", "(no answer is due)");
		return GO_ON;
	}
	for (;;) {
		next = read_reply(p, at, &r);
		if (next != GO_ON)
			return next;
		probe_show_reply(p, &r);
		if (edit_action(r.letter) != 0)
			next = take_edit(p, command, &r);
		else if (r.letter != SMFIR_PROGRESS)
			break;
		drop_packet(p);
		if (next != GO_ON)
			return next;
	}
	next = take_answer(p, command, &r);
	drop_packet(p);
	return next;
}

/* ---- commands ------------------------------------------------------------------------------- */

static bool
unwanted(const struct probe *p, uint32_t bit)
{
	return (p->agreed.protocol & bit) != 0;
}

static void
say_macros(struct probe *p, uint32_t stage, char command)
{
	struct sp_span list = probe_macro_list(p, stage), name;
	struct buf shown, value;

	buf_init(&shown, PROBE_PACKET);
	buf_init(&value, PROBE_PACKET);
	wire_macros_begin(&p->out, command);
	while ((name = probe_macro_next(&list)).ptr != NULL) {
		buf_clear(&value);
		if (!probe_macro_value(p, name, &value))
			continue;
		wire_macro(&p->out, name, buf_span(&value));
		buf_printf(&shown, "%s%.*s=%s", shown.len > 0 ? " " : "", (int)name.len, name.ptr, buf_cstr(&value));
	}
	wire_end(&p->out);
	if (shown.len > 0)
		probe_show(p, '>', "macros", buf_span(&shown));
	buf_fini(&shown);
	buf_fini(&value);
}

static enum next
negotiate(struct probe *p)
{
	struct wire_options mine = { .version = p->version, .actions = wire_version_actions(p->version),
		.protocol = wire_version_protocol(p->version) };
	struct wire_reply r;
	enum next next;

	wire_optneg(&p->out, &mine);
	probe_show_options(p, '>', &mine);
	next = send_out(p, "negotiate");
	if (next == GO_ON)
		next = read_reply(p, "negotiate", &r);
	if (next != GO_ON)
		return next;
	if (r.letter != SMFIC_OPTNEG) {
		probe_show_reply(p, &r);
		return broken(p, "negotiate", "the milter gave an answer that does not belong there,");
	}
	probe_show_options(p, '<', &r.options);
	if (r.options.version < WIRE_VERSION_MIN || r.options.version > p->version)
		return end_with(p, PROBE_FAILED, "the milter speaks version %u, versions %d to %u were offered", r.options.version, WIRE_VERSION_MIN,
			p->version);
	if ((r.options.actions & ~mine.actions) != 0)
		return end_with(p, PROBE_FAILED, "the milter asks for actions that were not offered");
	if ((r.options.protocol & ~mine.protocol) != 0)
		probe_showf(p, '!', "negotiate", "bits 0x%x of the protocol were not offered, and do not count", r.options.protocol & ~mine.protocol);
	p->agreed = r.options;
	p->agreed.protocol &= mine.protocol;
	for (size_t i = 0; i < WIRE_STAGES; i++) /* they are parts of the packet */
		if (r.options.listed[i]) {
			buf_add(&p->lists[i], r.options.lists[i]);
			p->agreed.lists[i] = buf_span(&p->lists[i]);
		}
	drop_packet(p);
	return GO_ON;
}

static enum next
say_connect(struct probe *p)
{
	char ip[46];
	struct sp_span client = span_from_ip(&p->client, ip);

	say_macros(p, SMFIM_CONNECT, SMFIC_CONNECT);
	if (unwanted(p, SMFIP_NOCONNECT))
		return GO_ON;
	wire_connect(&p->out, span_str(p->client_name), &p->client, 40000);
	probe_showf(p, '>', "connect", "%s [%.*s]", p->client_name, (int)client.len, client.ptr);
	return ask(p, SMFIC_CONNECT);
}

static enum next
say_helo(struct probe *p)
{
	if (unwanted(p, SMFIP_NOHELO))
		return GO_ON;
	say_macros(p, SMFIM_HELO, SMFIC_HELO);
	wire_line(&p->out, SMFIC_HELO, span_str(p->helo));
	probe_show(p, '>', "helo", span_str(p->helo));
	return ask(p, SMFIC_HELO);
}

static enum next
say_mail(struct probe *p)
{
	if (unwanted(p, SMFIP_NOMAIL))
		return GO_ON;
	say_macros(p, SMFIM_ENVFROM, SMFIC_MAIL);
	wire_envelope(&p->out, SMFIC_MAIL, span_str(p->from), (struct sp_span){ NULL, 0 });
	probe_showf(p, '>', "mail", "<%s>", p->from);
	return ask(p, SMFIC_MAIL);
}

/* One that is refused says nothing of the others. */
static enum next
say_rcpts(struct probe *p)
{
	size_t refused = 0;

	for (size_t i = 0; i < p->to_count && !unwanted(p, SMFIP_NORCPT); i++) {
		enum next next;

		p->rcpt = p->to[i];
		say_macros(p, SMFIM_ENVRCPT, SMFIC_RCPT);
		wire_envelope(&p->out, SMFIC_RCPT, span_str(p->rcpt), (struct sp_span){ NULL, 0 });
		probe_showf(p, '>', "rcpt", "<%s>", p->rcpt);
		next = ask(p, SMFIC_RCPT);
		if (next == ENOUGH)
			return next;
		refused += next == SKIP;
	}
	return refused == p->to_count ? ENOUGH : GO_ON;
}

static enum next
say_data(struct probe *p)
{
	if (unwanted(p, SMFIP_NODATA) || p->version < 4)
		return GO_ON;
	say_macros(p, SMFIM_DATA, SMFIC_DATA);
	wire_command(&p->out, SMFIC_DATA);
	probe_show(p, '>', "data", (struct sp_span){ NULL, 0 });
	return ask(p, SMFIC_DATA);
}

/* Octets of the first field: up to the line end that no fold follows. */
static size_t
field_len(struct sp_span header)
{
	size_t len = 0;

	do
		len += span_find(span_from(header, len), '\n') + 1;
	while (len < header.len && (header.ptr[len] == ' ' || header.ptr[len] == '\t'));
	return len < header.len ? len : header.len;
}

static enum next
say_header(struct probe *p)
{
	struct sp_span rest = buf_span(&p->header);
	enum next next = GO_ON;

	while (rest.len > 0 && next == GO_ON && !unwanted(p, SMFIP_NOHDRS)) {
		struct sp_span field = span_head(rest, field_len(rest)), name = span_head(field, span_find(field, ':'));
		struct sp_span value = span_from(field, name.len + 1);

		rest = span_from(rest, field.len);
		if (value.len > 0 && value.ptr[value.len - 1] == '\n')
			value.len--;
		if (value.len > 0 && value.ptr[0] == ' ' && !unwanted(p, SMFIP_HDR_LEADSPC))
			value = span_from(value, 1);
		wire_header(&p->out, name, value);
		probe_showf(p, '>', "header", "%.*s: %.*s", (int)name.len, name.ptr, (int)value.len, value.len > 0 ? value.ptr : "");
		next = ask(p, SMFIC_HEADER);
	}
	return next;
}

static enum next
say_eoh(struct probe *p)
{
	if (unwanted(p, SMFIP_NOEOH))
		return GO_ON;
	say_macros(p, SMFIM_EOH, SMFIC_EOH);
	wire_command(&p->out, SMFIC_EOH);
	probe_show(p, '>', "eoh", (struct sp_span){ NULL, 0 });
	return ask(p, SMFIC_EOH);
}

static enum next
say_body(struct probe *p)
{
	struct sp_span rest = buf_span(&p->body);
	enum next next = GO_ON;

	while (rest.len > 0 && next == GO_ON && !unwanted(p, SMFIP_NOBODY)) {
		struct sp_span chunk = span_head(rest, wire_chunk(p->agreed.protocol));

		rest = span_from(rest, chunk.len);
		wire_body(&p->out, chunk);
		probe_showf(p, '>', "body", "%zu octets", chunk.len);
		next = ask(p, SMFIC_BODY);
	}
	return next == ENOUGH ? next : GO_ON;
}

static enum next
say_end(struct probe *p)
{
	enum next next;

	say_macros(p, SMFIM_EOM, SMFIC_BODYEOB);
	wire_command(&p->out, SMFIC_BODYEOB);
	probe_show(p, '>', "end", (struct sp_span){ NULL, 0 });
	next = ask(p, SMFIC_BODYEOB);
	return next == GO_ON ? end_with(p, PROBE_ACCEPTED, "accepted at end") : next;
}

/* ---- the session ---------------------------------------------------------------------------- */

static void
say_goodbye(struct probe *p, bool in_message)
{
	if (in_message) {
		wire_command(&p->out, SMFIC_ABORT);
		probe_show(p, '>', "abort", (struct sp_span){ NULL, 0 });
	}
	wire_command(&p->out, SMFIC_QUIT);
	probe_show(p, '>', "quit", (struct sp_span){ NULL, 0 });
	(void)send_out(p, "quit"); /* who has closed already has heard enough */
}

void
probe_talk(struct probe *p)
{
	static enum next (*const steps[])(struct probe *) = { say_connect, say_helo, say_mail, say_rcpts, say_data, say_header, say_eoh,
		say_body, say_end };
	enum { MAIL = 2, STEPS = sizeof(steps) / sizeof(steps[0]) };
	enum next next = negotiate(p);
	size_t at = 0;

	while (next == GO_ON && at < STEPS)
		next = steps[at++](p);
	if (p->result != PROBE_FAILED)
		say_goodbye(p, at > MAIL && at < STEPS);
	if (p->result == PROBE_ACCEPTED && p->quarantined) {
		p->result = PROBE_REFUSED;
		snprintf(p->verdict, sizeof(p->verdict), "quarantined at end");
	}
}
