/*
 * milter.c - fake milters: each says continue to everything but what the scene tells it to do otherwise, and writes down what it
 * was told and what it said.
 *
 * It judges nothing: what the gateway says may be anything but a packet that has no end. A call's memory is its own until the
 * other end closes, or fake_milters_stop().
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmilter/mfapi.h>

#include "milter/wire.h"
#include "policy/kit/must.h"
#include "proxy/test/milter_words.h"
#include "proxy/test/play.h"

enum { REAL_WAIT_MS = 60000, PACKET_MAX = 2 << 20, LINE_MAX = 4 << 20, END_MS = 5000, SHOWN_WIDTH = 2000 };

/* One connection. */
struct call {
	struct call *next, **self;
	struct fake_milter *milter;
	struct stream *stream;
	struct buf in;
	uint32_t steps; /* agreed on */
	bool over;
};

static int64_t
call_deadline(const struct call *c)
{
	return rt_deadline(REAL_WAIT_MS * c->milter->scene->clock);
}

static void
note(struct fake_milter *m, const char *arrow, struct sp_span text)
{
	char who[64];

	snprintf(who, sizeof(who), "%.*s%s", (int)m->script->name.len, m->script->name.ptr, arrow);
	transcript_add_wide(&m->transcript, who, text, SHOWN_WIDTH);
}

static void
call_send(struct call *c, struct sp_span octets, struct sp_span shown)
{
	note(c->milter, ">", shown);
	if (stream_write(c->stream, octets, call_deadline(c)) != SP_OK || stream_flush(c->stream, call_deadline(c)) != SP_OK)
		c->over = true;
}

/* ---- deeds ---------------------------------------------------------------------------------- */

/* Until the other end closes. */
static void
hang(struct call *c)
{
	while (stream_fill(c->stream, rt_deadline(7200 * 1000)) == SP_OK)
		stream_consume(c->stream, stream_input(c->stream).len);
	c->over = true;
}

/* A body of so many octets in lines, in pieces as libmilter sends them. */
static void
fill(struct call *c, int64_t octets, struct sp_span shown)
{
	static const char line[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk\r\n";
	struct wire_out o;

	wire_out_init(&o, PACKET_MAX);
	while (octets > 0 && !c->over) {
		int64_t piece = octets < MILTER_CHUNK_SIZE ? octets : MILTER_CHUNK_SIZE;

		wire_out_reset(&o);
		wire_begin(&o, SMFIR_REPLBODY);
		for (int64_t i = 0; i < piece; i++)
			wire_octet(&o, line[(size_t)i % (sizeof(line) - 1)]);
		wire_end(&o);
		call_send(c, span_of(o.ptr, o.len), shown);
		octets -= piece;
	}
	wire_out_fini(&o);
}

static void
deed_do(struct call *c, const struct milter_deed *d)
{
	struct linger now = { 1, 0 };

	switch (d->kind) {
	case DEED_SEND:
		if (d->octets.len > 0)
			call_send(c, d->octets, d->shown);
		break;
	case DEED_FILL:
		fill(c, d->number, d->shown);
		break;
	case DEED_DELAY:
		(void)rt_event_wait(&c->milter->ending, rt_deadline(d->number));
		break;
	case DEED_HANG:
		hang(c);
		break;
	case DEED_RESET:
		(void)setsockopt(stream_fd(c->stream), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		c->over = true;
		break;
	case DEED_CLOSE:
		c->over = true;
		break;
	}
}

/* Does all that is to be done at this command, in the order of the file; true: there was an answer among it. */
static bool
deeds_do(struct call *c, uint32_t command, struct sp_span line)
{
	struct fake_milter *m = c->milter;
	bool answered = false, judged = false;

	for (size_t i = 0; i < m->script->deed_count && !c->over; i++) {
		struct milter_deed *d = &m->deeds[i];

		if (d->times == 0 || d->command != command || (judged && d->verdict))
			continue;
		if (d->match.len > 0 && (line.len < d->match.len || memmem(line.ptr, line.len, d->match.ptr, d->match.len) == NULL))
			continue;
		d->times -= d->times > 0;
		answered |= d->answers;
		judged |= d->verdict;
		deed_do(c, d);
	}
	return answered || c->over;
}

/* ---- commands ------------------------------------------------------------------------------- */

/* What it says of itself: by the scene, else what was offered, as far as its version goes. */
static void
negotiate(struct call *c, struct sp_span data)
{
	const struct scene_milter *s = c->milter->script;
	struct wire_options mine = { .version = s->version, .actions = s->actions, .protocol = s->steps };
	uint32_t version = 0, actions = 0;
	struct wire_out o;
	struct buf shown;

	(void)wire_take_u32(&data, &version);
	(void)wire_take_u32(&data, &actions);
	if (!s->says_version)
		mine.version = version < WIRE_VERSION_MAX ? version : WIRE_VERSION_MAX;
	if (!s->says_actions)
		mine.actions = actions & SMFI_CURR_ACTS;
	for (size_t i = 0; i < MILTER_LISTS; i++) {
		mine.listed[i] = s->lists[i].ptr != NULL;
		mine.lists[i] = s->lists[i];
	}
	c->steps = mine.protocol;
	buf_init(&shown, LINE_MAX);
	buf_printf(&shown, "negotiate version %u actions ", mine.version);
	milter_words_add(&shown, milter_actions, mine.actions);
	buf_add_str(&shown, " steps ");
	milter_words_add(&shown, milter_steps, mine.protocol);
	wire_out_init(&o, PACKET_MAX);
	wire_optneg(&o, &mine);
	call_send(c, span_of(o.ptr, o.len), buf_span(&shown));
	wire_out_fini(&o);
	buf_fini(&shown);
}

/* The answer where the scene has none. */
static void
answer(struct call *c, const struct wire_packet *p)
{
	static const char yes[] = { 0, 0, 0, 1, SMFIR_CONTINUE };

	if (p->letter == SMFIC_OPTNEG)
		negotiate(c, p->data);
	else if (p->letter == SMFIC_QUIT)
		c->over = true;
	else if (p->letter != SMFIC_ABORT && p->letter != SMFIC_MACRO && p->letter != SMFIC_QUIT_NC &&
		(c->steps & milter_silent_bit(p->letter)) == 0)
		call_send(c, span_of(yes, sizeof(yes)), SPAN_LIT("continue"));
}

/* ---- what it was told, readable ------------------------------------------------------------- */

static void
show_options(struct buf *to, struct sp_span data)
{
	uint32_t version = 0, actions = 0, steps = 0;

	(void)wire_take_u32(&data, &version);
	(void)wire_take_u32(&data, &actions);
	(void)wire_take_u32(&data, &steps);
	buf_printf(to, " version %u actions ", version);
	milter_words_add(to, milter_actions, actions);
	buf_add_str(to, " steps ");
	milter_words_add(to, milter_steps, steps);
}

/* "name address", as far as it is there; the port is another each time. */
static void
show_connect(struct buf *to, struct sp_span data)
{
	struct sp_span name;

	if (wire_take_text(&data, &name) != SP_OK)
		return;
	buf_printf(to, " %.*s %c", (int)name.len, name.ptr, data.len > 0 ? data.ptr[0] : '?');
	if (wire_take_text(&(struct sp_span){ span_from(data, 3).ptr, span_from(data, 3).len }, &name) == SP_OK)
		buf_printf(to, " %.*s", (int)name.len, name.ptr);
}

/* "stage name=value name=value" */
static void
show_macros(struct buf *to, struct sp_span data)
{
	struct sp_span name, value;

	buf_printf(to, " %s", milter_word_of(milter_commands, data.len > 0 ? (uint32_t)data.ptr[0] : 0));
	data = span_from(data, 1);
	while (wire_take_text(&data, &name) == SP_OK && wire_take_text(&data, &value) == SP_OK)
		buf_printf(to, " %.*s=%.*s", (int)name.len, name.ptr, (int)value.len, value.len > 0 ? value.ptr : "");
}

/* The command's word in capitals and what came with it. */
static void
show(struct buf *to, const struct wire_packet *p)
{
	struct sp_span data = p->data, text;
	const char *word = milter_word_of(milter_commands, (uint32_t)p->letter), *between = " ";

	for (; *word != '\0'; word++)
		buf_add_char(to, (char)(*word >= 'a' && *word <= 'z' ? *word - 0x20 : *word));
	if (p->letter == SMFIC_OPTNEG) {
		show_options(to, data);
	} else if (p->letter == SMFIC_CONNECT) {
		show_connect(to, data);
	} else if (p->letter == SMFIC_MACRO) {
		show_macros(to, data);
	} else if (p->letter == SMFIC_BODY) {
		buf_printf(to, " %zu ", data.len);
		buf_add(to, data);
	} else {
		while (wire_take_text(&data, &text) == SP_OK) {
			buf_add_str(to, between);
			buf_add(to, text);
			between = p->letter == SMFIC_HEADER ? ": " : " ";
		}
	}
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* The next packet, which stays in c->in until the length is consumed; false: none comes. */
static bool
next_packet(struct call *c, struct wire_packet *ret, size_t *ret_used)
{
	enum sp_status st;

	while ((st = wire_packet_take(buf_span(&c->in), PACKET_MAX, ret, ret_used)) == SP_NONE) {
		if (stream_fill(c->stream, call_deadline(c)) != SP_OK)
			return false;
		buf_add(&c->in, stream_input(c->stream));
		stream_consume(c->stream, stream_input(c->stream).len);
	}
	return st == SP_OK;
}

static void
call_end(struct call *c)
{
	note(c->milter, "<", SPAN_LIT("(closed)"));
	c->milter->open--;
	*c->self = c->next;
	if (c->next != NULL)
		c->next->self = c->self;
	buf_fini(&c->in);
	stream_free(&c->stream);
	free(c);
}

static void
serve(void *arg)
{
	struct call *c = arg;
	struct wire_packet p;
	struct buf line;
	size_t used;

	buf_init(&line, LINE_MAX);
	note(c->milter, "<", SPAN_LIT("(connection)"));
	(void)deeds_do(c, 0, (struct sp_span){ NULL, 0 });
	while (!c->over && next_packet(c, &p, &used)) {
		buf_clear(&line);
		show(&line, &p);
		note(c->milter, "<", buf_span(&line));
		if (!deeds_do(c, (uint32_t)p.letter, buf_span(&line)))
			answer(c, &p);
		buf_consume(&c->in, used);
	}
	buf_fini(&line);
	call_end(c);
}

static void
caller(void *arg)
{
	struct fake_milter *m = arg;
	struct sp_ip ip;
	uint16_t port;
	int fd = net_accept(m->listener, &ip, &port);
	struct call *c = fd < 0 ? NULL : calloc(1, sizeof(*c));

	if (c == NULL)
		return;
	c->milter = m;
	c->stream = stream_new(fd);
	buf_init(&c->in, PACKET_MAX + 65536);
	c->next = m->calls;
	c->self = &m->calls;
	if (c->next != NULL)
		c->next->self = &c->next;
	m->calls = c;
	m->connections++;
	m->open++;
	m->peak = m->open > m->peak ? m->open : m->peak;
	MUST(c->stream != NULL && co_start(serve, c, NULL) == SP_OK);
}

/* ---- all of them ---------------------------------------------------------------------------- */

struct fake_milter *
fake_milter_named(struct play *p, struct sp_span name)
{
	for (size_t i = 0; i < p->scene->milter_count; i++)
		if (span_eq(p->scene->milters[i].name, name))
			return &p->milters[i];
	return NULL;
}

bool
fake_milter_up(struct fake_milter *m, const char *folder)
{
	struct net_endpoint e = { .kind = NET_UNIX };

	if (snprintf(e.text, sizeof(e.text), "%s/%.*s.sock", folder, (int)m->script->name.len, m->script->name.ptr) >= (int)sizeof(e.text))
		return false;
	m->listener = net_listen(&e, 1024);
	if (m->listener < 0)
		return false;
	m->watch = rt_watch_new(m->listener, caller, m);
	return m->watch != NULL;
}

void
fake_milter_down(struct fake_milter *m)
{
	rt_watch_free(&m->watch);
	if (m->listener >= 0)
		close(m->listener);
	m->listener = -1;
	for (struct call *c = m->calls; c != NULL; c = c->next)
		(void)shutdown(stream_fd(c->stream), SHUT_RDWR);
}

bool
fake_milters_start(struct play *p, const char *folder)
{
	for (size_t i = 0; i < p->scene->milter_count; i++) {
		struct fake_milter *m = &p->milters[i];

		m->script = &p->scene->milters[i];
		m->scene = p->scene;
		m->listener = -1;
		memcpy(m->deeds, m->script->deeds, sizeof(m->deeds));
		buf_init(&m->transcript, SCENE_TRANSCRIPT);
		if (!m->script->refuses && !fake_milter_up(m, folder))
			return false;
	}
	return true;
}

void
fake_milters_stop(struct play *p)
{
	int64_t deadline = rt_deadline(END_MS * p->scene->clock);

	for (size_t i = 0; i < p->scene->milter_count; i++) {
		struct fake_milter *m = &p->milters[i];

		while (m->open > 0 && rt_now_ms() < deadline) {
			rt_event_wake_all(&m->ending);
			(void)co_sleep(p->scene->clock);
		}
		fake_milter_down(m);
	}
}
