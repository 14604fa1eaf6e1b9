/* Connections that outlive a session, and events: several sessions, each in a coroutine of its own. */
#include "tests/unit/inspect_env.h"

#include <unistd.h>

#include "proxy/net/net.h"

enum { SESSIONS = 3, LONG = 20000 };

/* ---- a server that says back what it is told; "bye" closes --------------------------------------- */

static int listener;
static char endpoint[64];
static int accepted, closed;
static bool stopping;

static void
echo(void *arg)
{
	struct stream *s = arg;
	struct sp_span in;

	while (stream_fill(s, RT_NEVER) == SP_OK) {
		in = stream_input(s);
		if (span_eq(in, SPAN_LIT("bye")))
			break;
		assert_int_equal(stream_write(s, in, RT_NEVER), SP_OK);
		assert_int_equal(stream_flush(s, RT_NEVER), SP_OK);
		stream_consume(s, in.len);
	}
	stream_free(&s);
	closed++;
	if (stopping && closed == accepted)
		rt_stop();
}

static void
on_client(void *arg)
{
	struct sp_ip ip;
	uint16_t port;
	int fd = net_accept(listener, &ip, &port);

	(void)arg;
	if (fd == -1)
		return;
	accepted++;
	assert_int_equal(co_start(echo, stream_new(fd), NULL), SP_OK);
}

/* ---- sessions ------------------------------------------------------------------------------------- */

struct actor {
	void (*fn)(struct sp_ctx *ctx);
	int64_t budget_ms;
	struct co *co;
};
static struct actor actors[SESSIONS];
static size_t running;
static struct sp_conn *shared;
static struct sp_event event; /* zeroed memory is one */
static char order[16];

static enum sp_status
conns_on_mail(struct sp_ctx *ctx, const struct sp_mail *ev)
{
	actors[ev->local.ptr[0] - '0'].fn(ctx);
	return SP_OK;
}

static const struct sp_filter conns_module = { SP_FILTER_HEAD, .name = "conns", .facts = edit_facts, .on_mail = conns_on_mail };
static const struct sp_filter *const modules[] = { &conns_module, NULL };

static void
session(void *arg)
{
	const struct inspect_client c = { .ip = { 4, { 192, 0, 2, 1 } }, .listener = SPAN_LIT("*:25") };
	struct policy *p = env_policy("policy 1\nfilter conns\nrules {\n a : if conns.done reject 550 5.7.1 \"no\" on unknown skip\n accept\n}\n");
	struct inspect *in = inspect_new(p, &c);
	struct actor *a = arg;
	struct command_path mail = { .size = -1 };
	char sender[16];

	snprintf(sender, sizeof(sender), "%d@x.example", (int)(a - actors));
	assert_int_equal(address_parse_bare(span_str(sender), &mail.address), ADDRESS_OK);
	inspect_connect(in, RT_NEVER);
	inspect_mail(in, &mail, a->budget_ms);
	inspect_free(&in);
	policy_free(&p);
	if (--running > 0)
		return;
	if (shared == NULL && closed == accepted)
		rt_stop();
	stopping = true;
}

/* Runs the sessions side by side, until all have ended and the server has seen the end of all connections. */
static void
run(const struct actor *list, size_t count)
{
	struct net_endpoint e;
	struct rt_watch *watch;

	assert_int_equal(rt_init(), SP_OK);
	assert_int_equal(net_endpoint_parse(SPAN_LIT("127.0.0.1:0"), 25, &e), SP_OK);
	listener = net_listen(&e, 5);
	assert_true(listener >= 0);
	snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", net_local_port(listener));
	watch = rt_watch_new(listener, on_client, NULL);
	inspect_log_to(env_keep_log, logged);
	accepted = closed = 0;
	stopping = false;
	shared = NULL;
	order[0] = '\0';
	running = count;
	memcpy(actors, list, count * sizeof(*list));
	for (size_t n = 0; n < count; n++)
		assert_int_equal(co_start(session, &actors[n], &actors[n].co), SP_OK);
	rt_run();
	assert_int_equal(running, 0);
	assert_null(event.first);
	rt_watch_free(&watch);
	close(listener);
	rt_fini();
}

/* ---- what they do ------------------------------------------------------------------------------------ */

static void
note(char c)
{
	size_t len = strlen(order);

	assert_true(len + 1 < sizeof(order));
	order[len] = c;
	order[len + 1] = '\0';
}

static void
talk(struct sp_ctx *ctx, const char *text)
{
	char back[16];
	size_t len, all = 0;

	assert_int_equal(sp_conn_write(ctx, shared, span_str(text), LONG), SP_OK);
	while (all < strlen(text)) {
		assert_int_equal(sp_conn_read(ctx, shared, back + all, sizeof(back) - all, LONG, &len), SP_OK);
		all += len;
	}
	assert_memory_equal(back, text, strlen(text));
}

static void
wait_for(struct sp_ctx *ctx)
{
	assert_int_equal(sp_event_wait(ctx, &event, LONG), SP_OK);
}

static void
connect_and_keep(struct sp_ctx *ctx)
{
	assert_int_equal(sp_connect(ctx, endpoint, LONG, &shared), SP_OK);
	talk(ctx, "one");
	assert_true(sp_conn_idle(ctx, shared));
	sp_conn_keep(ctx, shared);
	sp_conn_keep(ctx, shared); /* no matter */
	sp_event_wake(ctx, &event, true);
}

static void
take_and_keep(struct sp_ctx *ctx)
{
	wait_for(ctx);
	assert_int_equal(sp_sleep(ctx, 1), SP_OK); /* its first session has ended */
	assert_int_equal(closed, 0);
	sp_conn_take(ctx, shared);
	sp_conn_take(ctx, shared);
	talk(ctx, "two");
	sp_conn_keep(ctx, shared);
	sp_event_wake(ctx, &event, true);
}

static void
close_kept(struct sp_ctx *ctx)
{
	wait_for(ctx);
	wait_for(ctx);
	assert_int_equal(sp_sleep(ctx, 1), SP_OK);
	assert_int_equal(closed, 0);
	talk(ctx, "three"); /* nobody's, and open */
	sp_conn_close(ctx, &shared);
	assert_null(shared);
}

static void
from_session_to_session(void **state)
{
	(void)state;
	run((struct actor[]){ { connect_and_keep, LONG, NULL }, { take_and_keep, LONG, NULL }, { close_kept, LONG, NULL } }, 3);
	assert_int_equal(accepted, 1);
	assert_int_equal(closed, 1);
}

/* What is not kept again is closed with the session. */
static void
take_and_forget(struct sp_ctx *ctx)
{
	wait_for(ctx);
	assert_int_equal(sp_sleep(ctx, 1), SP_OK);
	sp_conn_take(ctx, shared);
	shared = NULL;
}

static void
forgotten(void **state)
{
	(void)state;
	run((struct actor[]){ { connect_and_keep, LONG, NULL }, { take_and_forget, LONG, NULL } }, 2);
	assert_int_equal(closed, 1);
}

/* Something to read, or the other end gone: not idle. */
static void
look_at_it(struct sp_ctx *ctx)
{
	assert_int_equal(sp_connect(ctx, endpoint, LONG, &shared), SP_OK);
	assert_true(sp_conn_idle(ctx, shared));
	assert_int_equal(sp_conn_write(ctx, shared, SPAN_LIT("x"), LONG), SP_OK);
	for (int n = 0; sp_conn_idle(ctx, shared); n++) {
		assert_true(n < LONG);
		assert_int_equal(sp_sleep(ctx, 1), SP_OK);
	}
	assert_false(sp_conn_idle(ctx, shared));
	sp_conn_close(ctx, &shared);
	assert_int_equal(sp_connect(ctx, endpoint, LONG, &shared), SP_OK);
	assert_int_equal(sp_conn_write(ctx, shared, SPAN_LIT("bye"), LONG), SP_OK);
	sp_conn_keep(ctx, shared);
	for (int n = 0; sp_conn_idle(ctx, shared); n++) {
		assert_true(n < LONG);
		assert_int_equal(sp_sleep(ctx, 1), SP_OK);
	}
	sp_conn_close(ctx, &shared);
	sp_conn_close(ctx, &shared);
}

static void
idle(void **state)
{
	(void)state;
	run((struct actor[]){ { look_at_it, LONG, NULL } }, 1);
	assert_int_equal(closed, 2);
}

/* One session reads from what another has taken, which then ends: its memory is gone, and so is the connection. */
static void
take_and_leave(struct sp_ctx *ctx)
{
	assert_int_equal(sp_connect(ctx, endpoint, LONG, &shared), SP_OK);
	sp_event_wake(ctx, &event, true);
	assert_int_equal(sp_sleep(ctx, 5), SP_OK);
	note('a');
}

static void
read_anothers(struct sp_ctx *ctx)
{
	char text[8];
	size_t len;

	wait_for(ctx);
	assert_int_equal(sp_conn_read(ctx, shared, text, sizeof(text), LONG, &len), SP_GONE);
	shared = NULL;
	note('b');
}

static void
closed_while_read(void **state)
{
	(void)state;
	run((struct actor[]){ { take_and_leave, LONG, NULL }, { read_anothers, LONG, NULL } }, 2);
	assert_string_equal(order, "ab");
	assert_int_equal(closed, 1);
}

/* How long one may wait: whoever has taken it says so; nobody's, the caller. */
static void
budgets(struct sp_ctx *ctx)
{
	char text[8];
	size_t len;
	int64_t began = sp_now_ms(ctx);

	assert_int_equal(sp_connect(ctx, endpoint, LONG, &shared), SP_OK);
	sp_conn_keep(ctx, shared);
	assert_int_equal(sp_conn_read(ctx, shared, text, sizeof(text), 3, &len), SP_TIMEOUT);
	sp_conn_take(ctx, shared);
	assert_int_equal(sp_conn_read(ctx, shared, text, sizeof(text), LONG, &len), SP_TIMEOUT);
	assert_true(sp_now_ms(ctx) - began < LONG / 2);
	shared = NULL;
}

static void
deadlines(void **state)
{
	(void)state;
	run((struct actor[]){ { budgets, 500, NULL } }, 1);
	assert_int_equal(closed, 1);
}

/* ---- events --------------------------------------------------------------------------------------------- */

static void
wait_a(struct sp_ctx *ctx)
{
	wait_for(ctx);
	note('a');
	wait_for(ctx);
	note('A');
}

static void
wait_b(struct sp_ctx *ctx)
{
	wait_for(ctx);
	note('b');
	wait_for(ctx);
	note('B');
}

static void
wake_all_of_them(struct sp_ctx *ctx)
{
	sp_event_wake(ctx, &event, false); /* the one that has waited longest */
	assert_int_equal(sp_sleep(ctx, 1), SP_OK);
	assert_string_equal(order, "a");
	sp_event_wake(ctx, &event, false);
	assert_int_equal(sp_sleep(ctx, 1), SP_OK);
	assert_string_equal(order, "ab");
	sp_event_wake(ctx, &event, true);
	assert_int_equal(sp_sleep(ctx, 1), SP_OK);
	assert_string_equal(order, "abAB");
	sp_event_wake(ctx, &event, true); /* nobody waits: nothing is remembered */
	assert_int_equal(sp_event_wait(ctx, &event, 1), SP_TIMEOUT);
	assert_int_equal(sp_event_wait(ctx, &event, 0), SP_TIMEOUT);
}

static void
events(void **state)
{
	(void)state;
	run((struct actor[]){ { wait_a, LONG, NULL }, { wait_b, LONG, NULL }, { wake_all_of_them, LONG, NULL } }, 3);
}

/* A session that is ended, or whose time is up, waits no longer. */
static void
wait_for_the_end(struct sp_ctx *ctx)
{
	assert_int_equal(sp_event_wait(ctx, &event, LONG), SP_CANCELED);
}

static void
wait_out_the_budget(struct sp_ctx *ctx)
{
	assert_int_equal(sp_event_wait(ctx, &event, LONG), SP_TIMEOUT);
}

static void
end_the_first(struct sp_ctx *ctx)
{
	(void)ctx;
	co_cancel(actors[0].co);
}

static void
waits_that_end(void **state)
{
	(void)state;
	run((struct actor[]){ { wait_for_the_end, LONG, NULL }, { wait_out_the_budget, 20, NULL }, { end_the_first, LONG, NULL } }, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_session_to_session),
		cmocka_unit_test(forgotten),
		cmocka_unit_test(idle),
		cmocka_unit_test(closed_while_read),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(events),
		cmocka_unit_test(waits_that_end),
	};

	env_modules = modules;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
