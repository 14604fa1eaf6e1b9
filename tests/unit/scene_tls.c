/* scene_tls.c - certificates by name, pins, tickets of one listener only, renegotiation: over a pair of sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "policy/kit/span.h"
#include "proxy/net/tls.h"
#include "proxy/test/play.h"

static char folder[] = "/tmp/scene_tls.XXXXXX";

/* name, hosts, by, rsa, large, expired */
static const struct scene_certificate made[] = {
	{ SPAN_LIT("ca"), SPAN_LIT("ca.example"), { NULL, 0 }, false, false, false },
	{ SPAN_LIT("ecdsa"), SPAN_LIT("mx.example.com,smtp.example.com"), { NULL, 0 }, false, false, false },
	{ SPAN_LIT("rsa"), SPAN_LIT("mx.example.com"), { NULL, 0 }, true, false, false },
	{ SPAN_LIT("net"), SPAN_LIT("mx.example.net"), SPAN_LIT("ca"), true, false, false },
	{ SPAN_LIT("wild"), SPAN_LIT("*.example.org"), { NULL, 0 }, false, false, false },
	{ SPAN_LIT("old"), SPAN_LIT("old.example.net"), SPAN_LIT("ca"), false, false, true },
};

static int
make_all(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		if (!certificate_make(folder, &made[i]))
			return -1;
	return 0;
}

static int
remove_all(void **state)
{
	(void)state;
	site_remove(folder);
	return 0;
}

static char paths[16][2][64];
static size_t path_count;

static struct tls_pair
pair(const char *name)
{
	char(*p)[64] = paths[path_count++ % 16];

	snprintf(p[0], sizeof(p[0]), "%s/%s.pem", folder, name);
	snprintf(p[1], sizeof(p[1]), "%s/%s.key", folder, name);
	return (struct tls_pair){ p[0], p[1] };
}

static struct tls_context *
server_of(const char *const *names)
{
	struct tls_pair pairs[TLS_PAIRS];
	struct tls_server from = { .pairs = pairs };
	char why[256] = "";
	struct tls_context *c;

	for (; names[from.count] != NULL; from.count++)
		pairs[from.count] = pair(names[from.count]);
	c = tls_server_new(&from, why, sizeof(why));
	assert_string_equal(why, "");
	assert_non_null(c);
	return c;
}

/* ---- the choice ------------------------------------------------------------------------------ */

static const char *
chosen(const struct tls_context *c, size_t count, const char *host)
{
	static char text[TLS_PAIRS + 1];
	bool which[TLS_PAIRS];

	tls_server_choose(c, host, which);
	for (size_t i = 0; i < count; i++)
		text[i] = which[i] ? 'x' : '.';
	text[count] = '\0';
	for (size_t i = count; i < TLS_PAIRS; i++)
		assert_false(which[i]);
	return text;
}

static void
test_choice(void **state)
{
	static const char *const names[] = { "ecdsa", "rsa", "net", "wild", "ecdsa", NULL };
	struct tls_context *c = server_of(names);

	(void)state;
	assert_string_equal(chosen(c, 5, NULL), "xx...");
	assert_string_equal(chosen(c, 5, "mx.example.com"), "xx...");
	assert_string_equal(chosen(c, 5, "MX.Example.Com"), "xx...");
	assert_string_equal(chosen(c, 5, "smtp.example.com"), "x....");
	assert_string_equal(chosen(c, 5, "mx.example.net"), "..x..");
	assert_string_equal(chosen(c, 5, "a.example.org"), "...x.");
	assert_string_equal(chosen(c, 5, "a.b.example.org"), "xx...");
	assert_string_equal(chosen(c, 5, "example.org"), "xx...");
	assert_string_equal(chosen(c, 5, "nobody.example"), "xx...");
	assert_string_equal(chosen(c, 5, ""), "xx...");
	tls_context_free(&c);
}

static void
test_choice_where_the_first_is_a_wildcard(void **state)
{
	static const char *const names[] = { "wild", "net", "ecdsa", NULL };
	struct tls_context *c = server_of(names);

	(void)state;
	assert_string_equal(chosen(c, 3, NULL), "x..");
	assert_string_equal(chosen(c, 3, "mx.example.com"), "..x");
	tls_context_free(&c);
}

static void
test_expired(void **state)
{
	static const char *const names[] = { "ecdsa", "old", NULL };
	struct tls_context *c = server_of(names);

	(void)state;
	assert_false(tls_server_expired(c, 0));
	assert_true(tls_server_expired(c, 1));
	tls_context_free(&c);
}

/* ---- pins ------------------------------------------------------------------------------------- */

static void
test_pin_text(void **state)
{
	static const char *const wrong[] = { "", "sha256:", "sha1:00", "sha256:00", "0",
		"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
		"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
		"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1",
		"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g",
		"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f:",
		"sha256::00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" };
	unsigned char pin[TLS_DIGEST] = { 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(tls_pin_parse(span_str(wrong[i]), pin), SP_INVALID);
	assert_int_equal(pin[0], 7);
	assert_int_equal(tls_pin_parse(SPAN_LIT("SHA256:00:01:02:03:04:05:06:07:08:09:0A:0b:0c:0d:0e:0f:"
						"10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:Ff"), pin), SP_OK);
	for (unsigned char i = 0; i < TLS_DIGEST - 1; i++)
		assert_int_equal(pin[i], i);
	assert_int_equal(pin[TLS_DIGEST - 1], 0xff);
}

/* ---- handshakes ------------------------------------------------------------------------------- */

static struct {
	struct stream *server, *client;
	struct tls_context *from, *to;
	enum sp_status accepted, connected;
	struct tls_peer peer;
} shake;

static void
accept_one(void *arg)
{
	(void)arg;
	shake.accepted = stream_tls_accept(shake.server, shake.from, rt_deadline(5000));
}

static void
connect_one(void *arg)
{
	(void)arg;
	shake.connected = stream_tls_connect(shake.client, shake.to, rt_deadline(5000));
	if (shake.connected == SP_OK)
		assert_true(stream_tls_peer(shake.client, &shake.peer));
}

/* What the client makes of a server with this certificate; why in error. */
static enum sp_status
connect_to(const char *name, const struct tls_client *client, char error[static 128])
{
	const char *const names[] = { name, NULL };
	char why[256];
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(rt_init(), SP_OK);
	shake.server = stream_new(fds[0]);
	shake.client = stream_new(fds[1]);
	shake.from = server_of(names);
	shake.to = tls_client_new(client, why, sizeof(why));
	assert_non_null(shake.to);
	assert_int_equal(co_start(accept_one, NULL, NULL), SP_OK);
	assert_int_equal(co_start(connect_one, NULL, NULL), SP_OK);
	rt_run();
	snprintf(error, 128, "%s", stream_tls_error(shake.client) != NULL ? stream_tls_error(shake.client) : "");
	stream_free(&shake.server);
	stream_free(&shake.client);
	tls_context_free(&shake.from);
	tls_context_free(&shake.to);
	rt_fini();
	return shake.connected;
}

static void
test_pinned(void **state)
{
	unsigned char pins[2][TLS_DIGEST] = { { 0 } };
	struct tls_client client = { .verify = true, .pins = (const unsigned char (*)[TLS_DIGEST])pins, .pin_count = 2 };
	char text[80] = "sha256:", error[128];

	(void)state;
	assert_true(certificate_fingerprint(folder, SPAN_LIT("rsa"), text + 7));
	assert_int_equal(tls_pin_parse(span_str(text), pins[1]), SP_OK);
	assert_int_equal(connect_to("rsa", &client, error), SP_OK);
	assert_string_equal(shake.peer.fingerprint, text + 7);
	assert_string_equal(shake.peer.subject, "CN=mx.example.com");
	assert_true(shake.peer.verified);
	assert_int_equal(connect_to("ecdsa", &client, error), SP_TEMPFAIL);
	assert_string_equal(error, "certificate rejected");
	pins[1][31] ^= 1;
	assert_int_equal(connect_to("rsa", &client, error), SP_TEMPFAIL);
}

static void
test_verified(void **state)
{
	char ca[64], error[128], why[256];
	struct tls_client client = { .verify = true, .name = "mx.example.net", .ca = ca };

	(void)state;
	snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
	assert_int_equal(connect_to("net", &client, error), SP_OK);
	assert_true(shake.peer.verified);
	client.name = "mx.example.com";
	assert_int_equal(connect_to("net", &client, error), SP_TEMPFAIL);
	assert_string_equal(error, "hostname mismatch");
	assert_int_equal(connect_to("ecdsa", &client, error), SP_TEMPFAIL);
	client.name = "old.example.net";
	assert_int_equal(connect_to("old", &client, error), SP_TEMPFAIL);
	assert_string_equal(error, "certificate has expired");
	client.verify = false;
	assert_int_equal(connect_to("old", &client, error), SP_OK);
	assert_false(shake.peer.verified);
	client = (struct tls_client){ .verify = true };
	assert_null(tls_client_new(&client, why, sizeof(why))); /* any certificate of the system's authorities would do */
	client = (struct tls_client){ .verify = true, .name = "x", .ca = "/nonexistent" };
	assert_null(tls_client_new(&client, why, sizeof(why)));
	assert_non_null(strstr(why, "/nonexistent"));
}

/* ---- a client of OpenSSL's own ------------------------------------------------------------------ */

static struct {
	struct stream *server;
	struct tls_context *at;
	SSL_CTX *ctx;
	SSL *ssl;
	struct rt_fd *wait;
	int fd;
	SSL_SESSION *session;
	unsigned renegotiated, ends;
	bool resumed, refused;
} own;

static bool
own_again(int result)
{
	int error = SSL_get_error(own.ssl, result);

	ERR_clear_error();
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		return false;
	return rt_fd_wait(own.wait, error == SSL_ERROR_WANT_READ ? CO_READ : CO_WRITE, rt_deadline(5000)) == SP_OK;
}

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(own.session);
	own.session = session;
	return 1;
}

static void
own_talk(void *arg)
{
	bool renegotiate = arg != NULL;
	char c[4];
	int n;

	while ((n = SSL_connect(own.ssl)) != 1 && own_again(n))
		;
	assert_int_equal(n, 1);
	own.resumed = SSL_session_reused(own.ssl) == 1;
	while ((n = SSL_read(own.ssl, c, 4)) <= 0 && own_again(n)) /* takes the ticket, too */
		;
	n = 1;
	for (unsigned i = 0; renegotiate && n == 1 && i < 1000; i++) {
		ERR_clear_error();
		assert_int_equal(SSL_renegotiate(own.ssl), 1);
		while ((n = SSL_do_handshake(own.ssl)) != 1 && SSL_get_error(own.ssl, n) == SSL_ERROR_WANT_READ && own_again(n))
			;
		own.renegotiated += n == 1;
		own.refused = ERR_GET_REASON(ERR_peek_error()) == SSL_R_NO_RENEGOTIATION;
	}
	ERR_clear_error();
	SSL_shutdown(own.ssl);
	rt_fd_free(&own.wait);
	close(own.fd);
}

static void
own_serve(void *arg)
{
	(void)arg;
	assert_int_equal(stream_tls_accept(own.server, own.at, rt_deadline(5000)), SP_OK);
	assert_int_equal(stream_write(own.server, SPAN_LIT("220\n"), rt_deadline(5000)), SP_OK);
	(void)stream_flush(own.server, rt_deadline(5000));
	while (stream_fill(own.server, rt_deadline(5000)) == SP_OK)
		stream_consume(own.server, stream_input(own.server).len);
	own.ends++;
}

/* One connection to the context; a session that was kept is offered. */
static void
own_visit(struct tls_context *at, int version, bool renegotiate)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(rt_init(), SP_OK);
	own.server = stream_new(fds[0]);
	own.at = at;
	own.fd = fds[1];
	own.wait = rt_fd_new(fds[1]);
	own.ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(own.ctx, version);
	SSL_CTX_set_session_cache_mode(own.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(own.ctx, keep_session);
	own.ssl = SSL_new(own.ctx);
	SSL_set_fd(own.ssl, fds[1]);
	if (own.session != NULL)
		assert_int_equal(SSL_set_session(own.ssl, own.session), 1);
	assert_int_equal(co_start(own_serve, NULL, NULL), SP_OK);
	assert_int_equal(co_start(own_talk, renegotiate ? &own : NULL, NULL), SP_OK);
	rt_run();
	SSL_free(own.ssl);
	SSL_CTX_free(own.ctx);
	stream_free(&own.server);
	rt_fini();
}

static void
forget_session(void)
{
	SSL_SESSION_free(own.session);
	own.session = NULL;
}

static void
tickets(int version)
{
	static const char *const names[] = { "ecdsa", "rsa", NULL };
	struct tls_context *one = server_of(names), *two = server_of(names);

	forget_session();
	own_visit(one, version, false);
	assert_false(own.resumed);
	assert_non_null(own.session);
	assert_int_equal(SSL_SESSION_get_max_early_data(own.session), 0); /* T12 */
	own_visit(one, version, false);
	assert_true(own.resumed);
	own_visit(two, version, false);
	assert_false(own.resumed);
	forget_session();
	tls_context_free(&one);
	tls_context_free(&two);
}

static void
test_T11_tickets_are_of_one_listener(void **state)
{
	(void)state;
	tickets(TLS1_3_VERSION);
	tickets(TLS1_2_VERSION);
}

static void
test_T09_no_renegotiation(void **state)
{
	static const char *const names[] = { "ecdsa", NULL };
	struct tls_context *c = server_of(names);

	(void)state;
	own.renegotiated = own.ends = 0;
	own_visit(c, TLS1_2_VERSION, true);
	assert_int_equal(own.renegotiated, 0);
	assert_true(own.refused);
	assert_int_equal(own.ends, 1);
	forget_session();
	tls_context_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_choice_where_the_first_is_a_wildcard),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_pin_text),
		cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_verified),
		cmocka_unit_test(test_T11_tickets_are_of_one_listener),
		cmocka_unit_test(test_T09_no_renegotiation),
	};

	return cmocka_run_group_tests_name("scene_tls", tests, make_all, remove_all);
}
