/* rt_net.c - endpoints, listeners, connecting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/net/net.h"
#include "proxy/rt/rt.h"

/* ---- endpoints ----------------------------------------------------------------------------- */

static enum sp_status
parse(const char *text, uint16_t port, struct net_endpoint *e)
{
	memset(e, 0xa5, sizeof(*e));
	return net_endpoint_parse(span_str(text), port, e);
}

static void
test_endpoints(void **state)
{
	static const struct {
		const char *text;
		uint16_t default_port;
		int kind, family;
		uint16_t port;
		const char *printed;
		bool loopback;
	} good[] = {
		{ "127.0.0.1:25", 0, NET_IP, 4, 25, "127.0.0.1:25", true },
		{ "127.8.9.1", 25, NET_IP, 4, 25, "127.8.9.1:25", true },
		{ "128.0.0.1:65535", 0, NET_IP, 4, 65535, "128.0.0.1:65535", false },
		{ "0.0.0.0:0", 25, NET_IP, 4, 0, "0.0.0.0:0", false },
		{ "[::1]:25", 0, NET_IP, 6, 25, "[::1]:25", true },
		{ "[2001:db8:0::2]", 587, NET_IP, 6, 587, "[2001:db8::2]:587", false },
		{ "[::ffff:127.0.0.1]:25", 0, NET_IP, 4, 25, "127.0.0.1:25", true },
		{ "*:25", 0, NET_IP, 0, 25, "*:25", false },
		{ "*", 2525, NET_IP, 0, 2525, "*:2525", false },
		{ "host.example:25", 0, NET_HOST, 0, 25, "host.example", false },
		{ "mx-1.3com.example", 24, NET_HOST, 0, 24, "mx-1.3com.example", false },
		{ "localhost:25", 0, NET_HOST, 0, 25, "localhost", false },
		{ "unix:/run/x:y.sock", 25, NET_UNIX, 0, 0, "/run/x:y.sock", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct net_endpoint e;

		assert_int_equal(parse(good[i].text, good[i].default_port, &e), SP_OK);
		assert_int_equal(e.kind, good[i].kind);
		assert_int_equal(e.ip.family, good[i].family);
		assert_int_equal(e.port, good[i].port);
		assert_string_equal(e.text, good[i].printed);
		assert_int_equal(net_endpoint_is_loopback(&e), good[i].loopback);
	}
}

static void
test_endpoints_refused(void **state)
{
	static const char *const bad[] = { "", ":", ":25", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
		"127.0.0.1:025", "127.0.0.1:+5", "127.0.0.1:-1", "127.0.0.1:2 5", " 127.0.0.1:25",
		"127.0.0.1:25 ", "127.0.0:25", "127.0.0.256:25", "1.2.3:25", "::1:25", "[::1]", "[::1]25",
		"[::1:25", "::1]:25", "[127.0.0.1]:25", "[host]:25", "[]:25", "[*]:25", "[fe80::1%eth0]:25",
		"host..example:25", ".host:25", "host.:25", "-host:25", "host-:25", "ho_st:25", "h\xc3\xb6st:25",
		"host:25:25", "**:25", "host:99999999999999999999999", "unix:", "unix:x", "unix:25",
		"123456789012345678901234567890123456789012345678901234567890abcd.example:25" };
	struct net_endpoint e;
	char path[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i], 0, &e) != SP_INVALID)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(net_endpoint_parse(span_of("host\0x:25", 9), 0, &e), SP_INVALID);
	assert_int_equal(net_endpoint_parse(span_of("unix:/a\0b", 9), 0, &e), SP_INVALID);
	memset(path, 'x', sizeof(path));
	memcpy(path, "unix:/", 6);
	assert_int_equal(net_endpoint_parse(span_of(path, 5 + 107), 0, &e), SP_OK);
	assert_int_equal(net_endpoint_parse(span_of(path, 5 + 108), 0, &e), SP_INVALID);
}

static void
test_host_length(void **state)
{
	char name[300];
	struct net_endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 10 == 9 ? '.' : 'a';
	assert_int_equal(net_endpoint_parse(span_of(name, 253), 25, &e), SP_OK);
	assert_int_equal(strlen(e.text), 253);
	assert_int_equal(net_endpoint_parse(span_of(name, 254), 25, &e), SP_INVALID);
}

/* ---- connections ----------------------------------------------------------------------------- */

static int
set_up(void **state)
{
	(void)state;
	rt_clock_scale(100.);
	return rt_init() == SP_OK ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	assert_int_equal(co_count(), 0);
	rt_fini();
	return 0;
}

struct meeting {
	struct net_endpoint to;
	enum sp_status st;
	int64_t ms;
	int listener;
	int taken; /* accepted descriptor */
	struct sp_ip ip;
	uint16_t port;
	struct rt_watch *watch;
};

static void
take_one(void *arg)
{
	struct meeting *m = arg;

	m->taken = net_accept(m->listener, &m->ip, &m->port);
	assert_true(m->taken >= 0);
	errno = 0;
	assert_int_equal(net_accept(m->listener, &m->ip, &m->port), -1);
	assert_int_equal(errno, EAGAIN);
	rt_watch_free(&m->watch);
	assert_null(m->watch);
}

static void
call(void *arg)
{
	struct meeting *m = arg;
	struct stream *s = NULL;

	m->st = stream_connect(&m->to, rt_deadline(m->ms != 0 ? m->ms : 1000000), &s);
	if (m->st != SP_OK) {
		assert_null(s);
		return;
	}
	assert_int_equal(stream_write(s, SPAN_LIT("hi"), RT_NEVER), SP_OK);
	assert_int_equal(stream_flush(s, RT_NEVER), SP_OK);
	if (m->to.kind == NET_IP)
		assert_int_equal(net_local_port(stream_fd(s)), m->port);
	stream_free(&s);
}

static void
meet(struct meeting *m)
{
	m->watch = rt_watch_new(m->listener, take_one, m);
	assert_non_null(m->watch);
	assert_int_equal(co_start(call, m, NULL), SP_OK);
	rt_run();
	assert_int_equal(m->st, SP_OK);
	close(m->listener);
}

static int
option(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void
test_listen_and_connect_v4(void **state)
{
	struct meeting m = { 0 };

	(void)state;
	parse("127.0.0.1:0", 0, &m.to);
	m.listener = net_listen(&m.to, 5);
	assert_true(m.listener >= 0);
	assert_true(fcntl(m.listener, F_GETFD) & FD_CLOEXEC);
	m.to.port = net_local_port(m.listener);
	assert_true(m.to.port > 0);
	meet(&m);
	assert_int_equal(m.ip.family, 4);
	assert_memory_equal(m.ip.bytes, "\177\0\0\1", 4);
	assert_true(fcntl(m.taken, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(m.taken, F_GETFL) & O_NONBLOCK);
	assert_true(option(m.taken, IPPROTO_TCP, TCP_NODELAY));
	assert_true(option(m.taken, SOL_SOCKET, SO_KEEPALIVE));
	assert_int_equal(option(m.taken, IPPROTO_TCP, TCP_USER_TIMEOUT), 60000);
	close(m.taken);
}

static void
test_listen_any_takes_v4_as_v4(void **state)
{
	struct meeting m = { 0 };
	struct net_endpoint any;

	(void)state;
	parse("*:0", 0, &any);
	m.listener = net_listen(&any, 5);
	assert_true(m.listener >= 0);
	parse("127.0.0.1:0", 0, &m.to);
	m.to.port = net_local_port(m.listener);
	meet(&m);
	assert_int_equal(m.ip.family, 4);
	close(m.taken);
}

static void
test_listen_and_connect_v6(void **state)
{
	struct meeting m = { 0 };

	(void)state;
	parse("[::1]:0", 0, &m.to);
	m.listener = net_listen(&m.to, 5);
	if (m.listener < 0)
		skip(); /* a system without IPv6 */
	assert_true(option(m.listener, IPPROTO_IPV6, IPV6_V6ONLY));
	m.to.port = net_local_port(m.listener);
	meet(&m);
	assert_int_equal(m.ip.family, 6);
	assert_int_equal(m.ip.bytes[15], 1);
	close(m.taken);
}

static void
test_listen_and_connect_unix(void **state)
{
	char directory[] = "/tmp/rt_net.XXXXXX", text[64];
	struct meeting m = { 0 };
	int again;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(text, sizeof(text), "unix:%s/socket", directory);
	assert_int_equal(parse(text, 0, &m.to), SP_OK);
	m.listener = net_listen(&m.to, 5);
	assert_true(m.listener >= 0);
	again = net_listen(&m.to, 5); /* in use: not stolen */
	assert_int_equal(again, -1);
	assert_int_equal(errno, EADDRINUSE);
	close(net_accept(m.listener, &m.ip, &m.port)); /* the probe */
	meet(&m);
	assert_int_equal(m.ip.family, 0);
	close(m.taken);
	again = net_listen(&m.to, 5); /* left behind by a dead one */
	assert_true(again >= 0);
	close(again);
	unlink(m.to.text);
	assert_int_equal(co_start(call, &m, NULL), SP_OK);
	rt_run();
	assert_int_equal(m.st, SP_TEMPFAIL);
	rmdir(directory);
}

static void
test_connect_refused(void **state)
{
	struct meeting m = { 0 };
	int fd;

	(void)state;
	/* bound, but not listening: nobody else can take the port meanwhile */
	parse("127.0.0.1:0", 0, &m.to);
	fd = net_listen(&m.to, 1);
	m.to.port = net_local_port(fd);
	shutdown(fd, SHUT_RDWR);
	assert_int_equal(co_start(call, &m, NULL), SP_OK);
	rt_run();
	assert_int_equal(m.st, SP_TEMPFAIL);
	close(fd);
	parse("host.example:25", 0, &m.to);
	assert_int_equal(co_start(call, &m, NULL), SP_OK);
	assert_int_equal(m.st, SP_INVALID);
}

/* A listener with a full queue drops SYNs: the connection is never made. */
static void
test_connect_times_out(void **state)
{
	struct meeting m = { .ms = 5000 };
	int fds[4];

	(void)state;
	parse("127.0.0.1:0", 0, &m.to);
	m.listener = net_listen(&m.to, 0);
	m.to.port = net_local_port(m.listener);
	for (size_t i = 0; i < 4; i++) {
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(m.to.port) };

		sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fds[i], (struct sockaddr *)&sa, sizeof(sa));
	}
	assert_int_equal(co_start(call, &m, NULL), SP_OK);
	rt_run();
	assert_int_equal(m.st, SP_TIMEOUT);
	for (size_t i = 0; i < 4; i++)
		close(fds[i]);
	close(m.listener);
}

static void
reset_seen(void *arg)
{
	struct stream *s = arg;

	assert_true(stream_peer_gone(s));
	assert_int_equal(stream_fill(s, RT_NEVER), SP_GONE);
	assert_int_equal(stream_write(s, SPAN_LIT("x"), RT_NEVER), SP_OK);
	assert_int_equal(stream_flush(s, RT_NEVER), SP_GONE);
	stream_free(&s);
}

static void
test_reset_is_gone(void **state)
{
	struct linger at_once = { 1, 0 };
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct net_endpoint e;
	struct stream *s;
	struct sp_ip ip;
	uint16_t port;
	int listener, fd, taken;

	(void)state;
	parse("127.0.0.1:0", 0, &e);
	listener = net_listen(&e, 5);
	sa.sin_port = htons(net_local_port(listener));
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	taken = net_accept(listener, &ip, &port);
	assert_true(taken >= 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
	s = stream_new(taken);
	assert_non_null(s);
	assert_int_equal(co_start(reset_seen, s, NULL), SP_OK);
	rt_run();
	close(listener);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_endpoints_refused),
		cmocka_unit_test(test_host_length),
		TEST(test_listen_and_connect_v4),
		TEST(test_listen_any_takes_v4_as_v4),
		TEST(test_listen_and_connect_v6),
		TEST(test_listen_and_connect_unix),
		TEST(test_connect_refused),
		TEST(test_connect_times_out),
		TEST(test_reset_is_gone),
	};

	return cmocka_run_group_tests_name("rt_net", tests, NULL, NULL);
}
