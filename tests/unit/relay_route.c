/* relay_route.c - which addresses a backend has when it is given by name, against a resolver of the
 * same process. */
#include "tests/unit/relay_env.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/dns/dns.h"
#include "proxy/relay/relay_priv.h"

enum { TYPE_A = 1, TYPE_MX = 15, NXDOMAIN = 3, SERVFAIL = 2 };

/* ---- the resolver ------------------------------------------------------------------------------
 */

struct record {
	const char *name; /* as on the wire, lengths and all, without the root */
	int type;
	int rcode; /* instead of an answer */
	const char *data;
	size_t len;
};

#define DATA(s) "" s, sizeof(s) - 1
#define ZONE "\4zone"

static const struct record zone[] = {
	{ "\4host" ZONE, TYPE_A, 0, DATA("\x7f\0\0\x01") },
	{ "\4host" ZONE, TYPE_A, 0, DATA("\x7f\0\0\x02") },
	{ "\3bad" ZONE, TYPE_A, SERVFAIL, NULL, 0 },
	{ "\3bad" ZONE, TYPE_MX, SERVFAIL, NULL, 0 },
	{ "\4mail" ZONE, TYPE_MX, 0, DATA("\0\x14\4host" ZONE "\0") },
	{ "\4mail" ZONE, TYPE_MX, 0, DATA("\0\x0a\5first" ZONE "\0") },
	{ "\4mail" ZONE, TYPE_MX, 0, DATA("\0\x0f\7nowhere" ZONE "\0") },
	{ "\5first" ZONE, TYPE_A, 0, DATA("\x7f\0\0\x03") },
	{ "\6nomail" ZONE, TYPE_MX, 0, DATA("\0\0\0") },
	{ "\6nomail" ZONE, TYPE_A, 0, DATA("\x7f\0\0\x04") },
};

static int resolver;
static struct rt_watch *resolver_watch;

static size_t
add_answer(char *to, const struct record *r)
{
	const char head[] = { (char)0xc0, 12, 0, (char)r->type, 0, 1, 0, 0, 0, 60, 0,
		(char)r->len };

	memcpy(to, head, sizeof(head));
	memcpy(to + sizeof(head), r->data, r->len);
	return sizeof(head) + r->len;
}

static bool
same_name(const char *asked, size_t len, const char *name)
{
	return len == strlen(name) && span_ieq(span_of(asked, len), span_of(name, len));
}

static size_t
answer_question(char *packet, size_t question)
{
	size_t len = 12 + question, name_len = question - 5;
	int type = packet[12 + question - 3];
	bool known = false;

	packet[2] = (char)0x81;
	packet[3] = (char)0x80;
	memset(packet + 6, 0, 6);
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		if (!same_name(packet + 12, name_len, zone[i].name))
			continue;
		known = true;
		if (zone[i].type != type)
			continue;
		if (zone[i].rcode != 0)
			packet[3] = (char)(0x80 | zone[i].rcode);
		else {
			packet[7]++;
			len += add_answer(packet + len, &zone[i]);
		}
	}
	if (!known)
		packet[3] = (char)(0x80 | NXDOMAIN);
	return len;
}

static void
asked(void *arg)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	char packet[1024];
	ssize_t n = recvfrom(resolver, packet, sizeof(packet) / 2, MSG_DONTWAIT,
		(struct sockaddr *)&from, &from_len);
	size_t len;

	(void)arg;
	if (n < 17)
		return;
	/* a query has one question; what follows it (EDNS) is dropped */
	len = answer_question(packet, strlen(packet + 12) + 5);
	(void)sendto(resolver, packet, len, 0, (struct sockaddr *)&from, from_len);
}

static int
set_up(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	char address[32];
	struct dns_config config = { .resolvers = address };

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	resolver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (resolver < 0 || bind(resolver, (struct sockaddr *)&sin, sizeof(sin)) != 0 ||
		env_set_up(state) != 0)
		return -1;
	(void)snprintf(
		address, sizeof(address), "127.0.0.1:%u", (unsigned)net_local_port(resolver));
	resolver_watch = rt_watch_new(resolver, asked, NULL);
	return resolver_watch != NULL && dns_init(&config) == SP_OK ? 0 : -1;
}

static int
tear_down(void **state)
{
	dns_fini();
	close(resolver);
	return env_tear_down(state);
}

/* ---- routes ------------------------------------------------------------------------------------
 */

struct row {
	const char *hosts[3];
	const char *mx;
	const char *expected; /* each address and a blank */
	enum relay_fault fault;
};

static const struct row rows[] = {
	{ { "host.zone:2525" }, NULL, "127.0.0.1:2525 127.0.0.2:2525 ", FAULT_NONE },
	{ { "nowhere.zone:25", "127.0.0.9:26" }, NULL, "127.0.0.9:26 ", FAULT_NOROUTE },
	{ { "127.0.0.9:26", "bad.zone:25", "first.zone:27" }, NULL, "127.0.0.9:26 127.0.0.3:27 ",
		FAULT_DNS },
	{ { NULL }, "mail.zone", "127.0.0.3:25 127.0.0.1:25 127.0.0.2:25 ", FAULT_NOROUTE },
	{ { NULL }, "first.zone", "127.0.0.3:25 ", FAULT_NONE },
	{ { NULL }, "nomail.zone", "", FAULT_NOROUTE },
	{ { NULL }, "bad.zone", "", FAULT_DNS },
	{ { NULL }, "nowhere.zone", "", FAULT_NOROUTE },
};

static void
walk(const struct row *row)
{
	struct net_endpoint endpoints[3], e;
	struct relay_config config = { .endpoints = endpoints, .mx = row->mx };
	struct route route;
	struct buf text;

	while (config.endpoint_count < 3 && row->hosts[config.endpoint_count] != NULL) {
		size_t i = config.endpoint_count++;
		assert_int_equal(
			net_endpoint_parse(span_str(row->hosts[i]), 0, &endpoints[i]), SP_OK);
	}
	buf_init(&text, 1024);
	route_init(&route, &config);
	while (route_next(&route, rt_deadline(1000000), &e))
		buf_printf(&text, "%s ", e.text);
	assert_string_equal(buf_cstr(&text), row->expected);
	assert_int_equal(route.fault, row->fault);
	route_fini(&route);
	buf_fini(&text);
}

static void
walks(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		walk(&rows[i]);
	rt_watch_free(&resolver_watch);
}

static void
names_become_addresses_in_order(void **state)
{
	(void)state;
	assert_int_equal(co_start(walks, NULL, NULL), SP_OK);
	rt_run();
	assert_null(resolver_watch);
}

static const char *reply;

static void
by_name(struct env *e)
{
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), reply);
	rt_watch_free(&resolver_watch);
}

static void
a_named_backend_is_reached(void **state)
{
	static const struct fake_profile usual = { 0 };
	struct net_endpoint named;
	char text[64];
	struct env e;

	(void)state;
	reply = "250 2.1.5 Ok";
	env_init(&e, &usual, 1);
	(void)snprintf(text, sizeof(text), "host.zone:%u", (unsigned)e.fake.endpoint.port);
	assert_int_equal(net_endpoint_parse(span_str(text), 0, &named), SP_OK);
	e.config.endpoints = &named;
	env_run(&e, by_name);
	assert_int_equal(e.fake.connections, 1);
}

static void
a_domain_without_mail_defers(void **state)
{
	static const struct fake_profile usual = { 0 };
	struct env e;

	(void)state;
	reply = "451 4.4.4 mail server has no address, try again later";
	env_init(&e, &usual, 1);
	e.config.endpoint_count = 0;
	e.config.mx = "nomail.zone";
	env_run(&e, by_name);
	assert_int_equal(e.fake.connections, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_become_addresses_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_named_backend_is_reached, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_domain_without_mail_defers, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
