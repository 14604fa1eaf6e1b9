/* A message goes to a program and comes back changed at random: what the edits make of it is what has come back, and only
 * what has changed is edited. */
#include "tests/unit/wire_host.h"

#include "spawn/hub.h"
#include "spawn/lines.h"

extern const struct sp_filter sp_filter_spawn;

enum { FIELDS = 64, TEXT = 1 << 16, ROUNDS = 3000 };

/* ---- the draft ---------------------------------------------------------------------------------- */

static char fields[FIELDS][256];
static size_t field_count;
static unsigned edits;
static char body[TEXT], new_body[TEXT];
static bool body_is_new;
static size_t piece;

static enum sp_status
draft_get(struct sp_ctx *ctx, size_t index, struct sp_header *ret)
{
	(void)ctx;
	if (index >= field_count)
		return SP_NONE;
	*ret = (struct sp_header){ .field = box_span(fields[index]), .index = index };
	return SP_OK;
}

static enum sp_status
draft_insert(struct sp_ctx *ctx, size_t before, struct sp_span field)
{
	(void)ctx;
	edits++;
	assert_true(field_count < FIELDS && field.len < sizeof(fields[0]));
	if (before == SP_DRAFT_END)
		before = field_count;
	assert_true(before <= field_count);
	memmove(fields[before + 1], fields[before], (field_count - before) * sizeof(fields[0]));
	snprintf(fields[before], sizeof(fields[0]), "%.*s", (int)field.len, field.ptr);
	field_count++;
	return SP_OK;
}

static enum sp_status
draft_remove(struct sp_ctx *ctx, size_t index)
{
	(void)ctx;
	edits++;
	assert_true(index < field_count);
	field_count--;
	memmove(fields[index], fields[index + 1], (field_count - index) * sizeof(fields[0]));
	return SP_OK;
}

static enum sp_status
draft_replace(struct sp_ctx *ctx, size_t index, struct sp_span field)
{
	(void)ctx;
	edits++;
	assert_true(index < field_count);
	snprintf(fields[index], sizeof(fields[0]), "%.*s", (int)field.len, field.ptr);
	return SP_OK;
}

static enum sp_status
draft_body(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret)
{
	size_t len = strlen(body), at = (size_t)offset;

	(void)ctx;
	if (at >= len)
		return SP_NONE;
	*ret = (struct sp_span){ body + at, piece < len - at ? piece : len - at };
	return SP_OK;
}

static enum sp_status
body_replace(struct sp_ctx *ctx, struct sp_span chunk)
{
	size_t len = body_is_new ? strlen(new_body) : 0;

	(void)ctx;
	body_is_new = true;
	if (chunk.len > 0)
		memcpy(new_body + len, chunk.ptr, chunk.len);
	new_body[len + chunk.len] = '\0';
	return SP_OK;
}

/* ---- the program -------------------------------------------------------------------------------- */

static char answer[4 * TEXT], back[TEXT]; /* what it writes; the message as it gives it back, dots single */
static size_t answer_at;
static unsigned chance; /* per cent of lines that it changes */
static const char *dropped, *changed, *preceded; /* lines, whatever the chance */

static unsigned
draw(unsigned n)
{
	static uint32_t state = 1;

	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

static void
give(const char *ids, size_t ids_len, const char *line)
{
	size_t len = strlen(answer);

	snprintf(answer + len, sizeof(answer) - len, "filter-dataline%.*s%s\n", (int)ids_len, ids, line);
	if (strcmp(line, ".") != 0) {
		len = strlen(back);
		snprintf(back + len, sizeof(back) - len, "%s\r\n", line[0] == '.' ? line + 1 : line);
	}
}

enum what { AS_IT_IS, DROP, TWICE, ANOTHER_BEFORE, LATER, OTHERWISE, WHATS };

static enum what
choose(const char *line)
{
	if (dropped != NULL && strcmp(line, dropped) == 0)
		return DROP;
	if (changed != NULL && strcmp(line, changed) == 0)
		return OTHERWISE;
	if (preceded != NULL && strcmp(line, preceded) == 0)
		return ANOTHER_BEFORE;
	return draw(100) < chance ? (enum what)(1 + draw(WHATS - 1)) : AS_IT_IS;
}

/* One line of the message. Folds go with their field, or are lost. */
static void
treat(const char *ids, size_t ids_len, const char *line, bool in_header)
{
	static char later[256];
	static bool lost;
	char other[512];
	bool plain = line[0] == '\0' || strcmp(line, ".") == 0;
	enum what what = plain || line[0] == ' ' ? AS_IT_IS : choose(line);

	if (line[0] == ' ' && lost)
		return;
	lost = what == DROP || (what == LATER && later[0] == '\0');
	if (plain && later[0] != '\0') {
		give(ids, ids_len, later);
		later[0] = '\0';
	}
	snprintf(other, sizeof(other), in_header ? "X-%s" : "%s changed", line);
	if (what == TWICE || what == ANOTHER_BEFORE)
		give(ids, ids_len, what == TWICE ? line : other);
	if (lost && what == LATER)
		snprintf(later, sizeof(later), "%s", line);
	if (lost)
		return;
	give(ids, ids_len, what == OTHERWISE ? other : line);
	if (later[0] != '\0') {
		give(ids, ids_len, later);
		later[0] = '\0';
	}
}

/* Answers to all that was written since; false: nothing was. */
static bool
run_program(void)
{
	static bool in_header;
	char *line, *rest = wire.written;

	answer[0] = '\0';
	answer_at = 0;
	while (*rest != '\0') {
		char *end = strchr(rest, '\n');

		if (end == NULL)
			break;
		*end = '\0';
		line = rest;
		rest = end + 1;
		if (strcmp(line, "config|ready") == 0) {
			snprintf(answer, sizeof(answer), "register|filter|smtp-in|data-line\nregister|ready\n");
		} else if (strstr(line, "|smtp-in|data-line|") != NULL) {
			char *ids = strstr(line, "|data-line|") + 10;

			if (back[0] == '\0' && answer[0] == '\0')
				in_header = true;
			treat(ids, 35, ids + 35, in_header);
			in_header = in_header && ids[35] != '\0';
		}
	}
	wire.written_len = 0;
	wire.written[0] = '\0';
	return answer[0] != '\0';
}

static enum sp_status
program_read(struct sp_conn *conn, void *to, size_t max, int64_t timeout_ms, size_t *ret)
{
	size_t len;

	(void)timeout_ms;
	assert_true(conn->open && !conn->kept);
	if (answer[answer_at] == '\0' && !run_program())
		return SP_TIMEOUT;
	len = strlen(answer + answer_at);
	len = len < max ? len : max;
	len = 1 + draw((unsigned)len); /* it may come in any pieces */
	memcpy(to, answer + answer_at, len);
	answer_at += len;
	*ret = len;
	return SP_OK;
}

/* Others may write while it is nobody's. */
static enum sp_status
program_write(struct sp_conn *conn, struct sp_span bytes, int64_t timeout_ms)
{
	bool kept = conn->kept;
	enum sp_status st;

	conn->kept = false;
	st = wire_write(conn, bytes, timeout_ms);
	conn->kept = kept;
	return st;
}

static void
event_wake(struct sp_event *event, bool all)
{
	(void)event;
	(void)all;
}

static struct sp_span
auth_id(struct sp_ctx *ctx)
{
	(void)ctx;
	return box_span("mx.example.com");
}

/* ---- rounds ---------------------------------------------------------------------------------------- */

static void
make_message(void)
{
	size_t lines = draw(30), len = 0;

	field_count = draw(20);
	for (size_t i = 0; i < field_count; i++)
		snprintf(fields[i], sizeof(fields[0]), "Name-%u: value %u%s", draw(6), draw(9), draw(4) == 0 ? "\r\n fold" : "");
	body[0] = '\0';
	for (size_t i = 0; i < lines; i++)
		len += (size_t)snprintf(body + len, sizeof(body) - len, "%sline %u\r\n", draw(5) == 0 ? "." : "", draw(4));
	body_is_new = false;
	back[0] = new_body[0] = '\0';
	edits = 0;
	piece = 1 + draw(40);
}

/* Is the message as edited what the program gave back? */
static void
compare(void)
{
	static char is[TEXT];
	size_t len = 0;

	is[0] = '\0';
	for (size_t i = 0; i < field_count; i++)
		len += (size_t)snprintf(is + len, sizeof(is) - len, "%s\r\n", fields[i]);
	snprintf(is + len, sizeof(is) - len, "\r\n%s", body_is_new ? new_body : body);
	assert_string_equal(is, back);
}

static struct sp_host host;
static const char *
load_program(struct sp_load *load, const char *command)
{
	(void)load;
	assert_string_equal(command, "/bin/filter -x");
	return "unix:/x";
}

static void
message(struct box *box)
{
	struct sp_mail mail = { .address = box_span("a@example.org") };
	struct sp_eom eom = { 100 };

	box->ctx.tx = calloc(1, sp_filter_spawn.tx_size);
	assert_int_equal(sp_filter_spawn.on_mail(&box->ctx, &mail), SP_OK);
	assert_int_equal(sp_filter_spawn.on_eom(&box->ctx, &eom), SP_OK);
	sp_filter_spawn.on_reset(&box->ctx);
	free(box->ctx.tx);
}

static void
set(char *conf, const char *name, const void *value, size_t len)
{
	for (const struct sp_param *p = sp_filter_spawn.params; p->type != SP_END; p++)
		if (strcmp(p->name, name) == 0)
			memcpy(conf + p->offset, value, len);
}

static void
setup(struct box *box, char *conf, bool obey)
{
	struct sp_span command = box_span("/bin/filter -x");
	struct sp_load load = { box };
	struct sp_connect connect = { .client = { 4, { 192, 0, 2, 1 } }, .port = 25 };
	int64_t timeout = 30000;

	set(conf, "command", &command, sizeof(command));
	set(conf, "timeout", &timeout, sizeof(timeout));
	set(conf, "obey", &obey, sizeof(obey));
	memset(box, 0, sizeof(*box));
	box->filter = &sp_filter_spawn;
	box->now_ms = 1000;
	memset(&wire, 0, sizeof(wire));
	host = *wire_table();
	host.load_program = load_program;
	host.conn_read = program_read;
	host.conn_write = program_write;
	host.event_wake = event_wake;
	host.auth_id = auth_id;
	host.draft_get = draft_get;
	host.draft_insert = draft_insert;
	host.draft_remove = draft_remove;
	host.draft_replace = draft_replace;
	host.draft_body = draft_body;
	host.body_replace = body_replace;
	box->ctx = (struct sp_ctx){ .host = &host, .conf = conf, .session = box_take(box, sp_filter_spawn.session_size) };
	assert_int_equal(sp_filter_spawn.load(&load, &host, conf, NULL, 0), SP_OK);
	assert_int_equal(sp_filter_spawn.on_connect(&box->ctx, &connect), SP_OK);
}

static void
edited(void **state)
{
	static _Alignas(16) char conf[512];
	static struct box box;

	(void)state;
	setup(&box, conf, true);
	for (int round = 0; round < ROUNDS; round++) {
		chance = round % 3 == 0 ? 0 : (unsigned)(round % 40);
		make_message();
		message(&box);
		compare();
		if (chance == 0)
			assert_true(edits == 0 && !body_is_new);
	}
	wire_fini();
	box_fini(&box, conf, NULL);
}

/* One field removed, one changed, one new: three edits. */
static void
few_edits(void **state)
{
	static _Alignas(16) char conf[512];
	static struct box box;

	(void)state;
	setup(&box, conf, true);
	chance = 0;
	make_message();
	field_count = 12;
	for (size_t i = 0; i < field_count; i++)
		snprintf(fields[i], sizeof(fields[0]), "Name-%zu: v", i);
	dropped = "Name-3: v";
	changed = "Name-7: v";
	preceded = "Name-10: v";
	message(&box);
	compare();
	assert_int_equal(edits, 3);
	assert_false(body_is_new);
	dropped = changed = preceded = NULL;
	wire_fini();
	box_fini(&box, conf, NULL);
}

static void
not_obeyed(void **state)
{
	static _Alignas(16) char conf[512];
	static struct box box;

	(void)state;
	setup(&box, conf, false);
	chance = 50;
	for (int round = 0; round < 50; round++) {
		make_message();
		message(&box);
		assert_true(edits == 0 && !body_is_new);
	}
	wire_fini();
	box_fini(&box, conf, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(edited), cmocka_unit_test(few_edits), cmocka_unit_test(not_obeyed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
