/* The queue of one program for many sessions: what is said while another session is stuck writing stands behind it, octet by octet. */
#include "tests/unit/wire_host.h"

#include "spawn/hub.h"

enum { PART = 1000, PARTS = 40 };

static struct hub hub;
static struct box box;
static struct sp_host host;
static unsigned stuck;   /* so many writes do not get rid of anything */
static bool others_say;  /* while the one who writes sleeps */
static char said[PART * (PARTS + 2) + 1];

static void
say(char c)
{
	char part[PART];

	memset(part, c, sizeof(part));
	memset(said + strlen(said), c, sizeof(part));
	assert_int_equal(hub_say(&box.ctx, &hub, (struct sp_span){ part, sizeof(part) }), SP_OK);
}

static enum sp_status
stuck_write(struct sp_conn *conn, struct sp_span bytes, int64_t timeout_ms)
{
	bool kept = conn->kept;
	enum sp_status st;

	if (stuck > 0 && stuck-- > 0)
		return SP_TIMEOUT;
	conn->kept = false;
	st = wire_write(conn, bytes, timeout_ms);
	conn->kept = kept;
	return st;
}

static enum sp_status
silent_read(struct sp_conn *conn, void *to, size_t max, int64_t timeout_ms, size_t *ret)
{
	(void)conn;
	(void)to;
	(void)max;
	(void)timeout_ms;
	(void)ret;
	return SP_TIMEOUT;
}

static enum sp_status
sleep_among_others(struct sp_ctx *ctx, int64_t ms)
{
	((struct box *)(void *)ctx)->now_ms += ms;
	for (int i = 0; others_say && i < PARTS; i++)
		say((char)('A' + i % 26));
	others_say = false;
	return SP_OK;
}

static void
event_wake(struct sp_event *event, bool all)
{
	(void)event;
	(void)all;
}

static void
setup(void)
{
	memset(&box, 0, sizeof(box));
	memset(&hub, 0, sizeof(hub));
	memset(said, 0, sizeof(said));
	wire_init(&box, NULL);
	box.now_ms = 1000;
	host = *wire_table();
	host.conn_write = stuck_write;
	host.conn_read = silent_read;
	host.sleep = sleep_among_others;
	host.event_wake = event_wake;
	box.ctx.host = &host;
	assert_int_equal(wire_connect(&box.ctx, "unix:/x", 1, &hub.conn), SP_OK);
	hub.ready = true;
	hub.incarnation = 1;
}

/* The queue grows, and moves, while its first piece waits for its turn. */
static void
moved(void **state)
{
	(void)state;
	setup();
	stuck = 1000; /* until the time to be late is over */
	say('a');
	assert_int_equal(wire.written_len, 0);
	stuck = 1;
	others_say = true;
	say('b');
	assert_int_equal(hub.out.len, 0);
	assert_string_equal(wire.written, said);
	heap_fini(&hub.in);
	heap_fini(&hub.out);
	wire_fini();
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(moved) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
