/* rt_streamtls.c - TLS on a stream, against OpenSSL's own client in another coroutine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "policy/kit/span.h"
#include "proxy/net/tls.h"
#include "proxy/rt/rt.h"

static char directory[] = "/tmp/rt_streamtls.XXXXXX";
static char cert_file[64], key_file[64], other_file[64];
static struct tls_context *context;

/* ---- a certificate ---------------------------------------------------------------------------- */

static void
write_key(const char *file, EVP_PKEY *key)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
}

static void
write_cert(const char *file, EVP_PKEY *key)
{
	X509 *cert = X509_new();
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
		(const unsigned char *)"mx.example.com", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(f, cert), 1);
	fclose(f);
	X509_free(cert);
}

static int
make_certificate(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(cert_file, sizeof(cert_file), "%s/cert", directory);
	snprintf(key_file, sizeof(key_file), "%s/key", directory);
	snprintf(other_file, sizeof(other_file), "%s/other", directory);
	write_key(key_file, key);
	write_key(other_file, other);
	write_cert(cert_file, key);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	return 0;
}

static int
remove_certificate(void **state)
{
	(void)state;
	unlink(cert_file);
	unlink(key_file);
	unlink(other_file);
	rmdir(directory);
	return 0;
}

static struct tls_context *
context_of(const char *cert, const char *key, char *err, size_t err_size)
{
	return tls_server_new(&(struct tls_server){ .pairs = &(struct tls_pair){ cert, key }, .count = 1 }, err, err_size);
}

static void
test_context_errors_name_the_file(void **state)
{
	struct tls_context *c;
	char err[256];

	(void)state;
	assert_null(context_of("/nonexistent/cert", key_file, err, sizeof(err)));
	assert_non_null(strstr(err, "/nonexistent/cert: "));
	assert_null(context_of(cert_file, "/nonexistent/key", err, sizeof(err)));
	assert_non_null(strstr(err, "/nonexistent/key: "));
	assert_null(context_of(cert_file, other_file, err, sizeof(err)));
	assert_non_null(strstr(err, other_file));
	c = context_of(cert_file, key_file, err, sizeof(err));
	assert_non_null(c);
	tls_context_free(&c);
	assert_null(c);
}

/* ---- the client ------------------------------------------------------------------------------- */

static struct stream *server;
static struct {
	SSL_CTX *ctx;
	SSL *ssl;
	struct rt_fd *wait;
	int fd;
} client;

static int
set_up(void **state)
{
	char err[256];
	int fds[2];

	(void)state;
	rt_clock_scale(100.);
	assert_int_equal(rt_init(), SP_OK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	server = stream_new(fds[0]);
	context = context_of(cert_file, key_file, err, sizeof(err));
	assert_non_null(context);
	client.fd = fds[1];
	client.wait = rt_fd_new(fds[1]);
	client.ctx = SSL_CTX_new(TLS_client_method());
	client.ssl = SSL_new(client.ctx);
	SSL_set_fd(client.ssl, fds[1]);
	return 0;
}

static void
client_close(void)
{
	if (client.fd < 0)
		return;
	rt_fd_free(&client.wait);
	close(client.fd);
	client.fd = -1;
}

static int
tear_down(void **state)
{
	(void)state;
	assert_int_equal(co_count(), 0);
	SSL_free(client.ssl);
	SSL_CTX_free(client.ctx);
	client_close();
	stream_free(&server);
	tls_context_free(&context);
	rt_fini();
	return 0;
}

static int64_t
soon(void)
{
	return rt_deadline(2000000);
}

/* Waits as the last call asked for; false: it failed for good. */
static bool
client_again(int result)
{
	int error = SSL_get_error(client.ssl, result);

	ERR_clear_error();
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		return false;
	return rt_fd_wait(client.wait, error == SSL_ERROR_WANT_READ ? CO_READ : CO_WRITE, soon()) == SP_OK;
}

static bool
client_connect(void)
{
	int n;

	do
		ERR_clear_error();
	while ((n = SSL_connect(client.ssl)) != 1 && client_again(n));
	return n == 1;
}

static bool
client_write(const char *text, size_t len)
{
	size_t n = 0;
	int r;

	while (len > 0) {
		ERR_clear_error();
		r = SSL_write_ex(client.ssl, text, len, &n);
		if (r != 1 && !client_again(r))
			return false;
		if (r == 1) {
			text += n;
			len -= n;
		}
	}
	return true;
}

static bool
client_read(char *to, size_t len)
{
	size_t n = 0;
	int r;

	while (len > 0) {
		ERR_clear_error();
		r = SSL_read_ex(client.ssl, to, len, &n);
		if (r != 1 && !client_again(r))
			return false;
		if (r == 1) {
			to += n;
			len -= n;
		}
	}
	return true;
}

static void
run(void (*a)(void *), void (*b)(void *))
{
	assert_int_equal(co_start(a, NULL, NULL), SP_OK);
	if (b != NULL)
		assert_int_equal(co_start(b, NULL, NULL), SP_OK);
	rt_run();
}

/* ---- a conversation ----------------------------------------------------------------------------- */

static void
serve(void *arg)
{
	(void)arg;
	assert_null(stream_tls_version(server));
	assert_int_equal(stream_tls_accept(server, context, soon()), SP_OK);
	assert_int_equal(stream_tls_accept(server, context, soon()), SP_INVALID);
	assert_false(stream_peer_gone(server));
	while (stream_input(server).len < 6)
		assert_int_equal(stream_fill(server, soon()), SP_OK);
	assert_true(span_eq(stream_input(server), SPAN_LIT("EHLO\r\n")));
	stream_consume(server, 6);
	assert_int_equal(stream_write(server, SPAN_LIT("250 "), soon()), SP_OK);
	assert_int_equal(stream_write(server, SPAN_LIT("ok\r\n"), soon()), SP_OK);
	assert_int_equal(stream_flush(server, soon()), SP_OK);
	assert_int_equal(stream_fill(server, soon()), SP_GONE);
	assert_true(stream_peer_gone(server));
	assert_int_equal(stream_octets_in(server), 6);
	assert_int_equal(stream_octets_out(server), 8);
}

static void
talk(void *arg)
{
	char reply[8];

	(void)arg;
	assert_true(client_connect());
	co_sleep(1000); /* nothing is pending at first */
	assert_true(client_write("EHLO\r\n", 6));
	assert_true(client_read(reply, 8));
	assert_memory_equal(reply, "250 ok\r\n", 8);
	assert_int_equal(SSL_shutdown(client.ssl), 0);
}

static void
test_conversation_1_3(void **state)
{
	(void)state;
	run(serve, talk);
	assert_string_equal(stream_tls_version(server), "TLSv1.3");
	assert_string_equal(stream_tls_cipher(server), SSL_get_cipher_name(client.ssl));
	stream_free(&server);
	assert_true(SSL_get_shutdown(client.ssl) & SSL_SENT_SHUTDOWN);
	assert_int_equal(SSL_shutdown(client.ssl), 1); /* our close_notify came */
}

static void
test_conversation_1_2(void **state)
{
	(void)state;
	SSL_set_max_proto_version(client.ssl, TLS1_2_VERSION);
	run(serve, talk);
	assert_string_equal(stream_tls_version(server), "TLSv1.2");
}

static void
test_protocol_smtp_is_agreed(void **state)
{
	(void)state;
	SSL_set_alpn_protos(client.ssl, (const unsigned char *)"\2h2\4smtp", 8);
	run(serve, talk);
}

/* ---- what is refused ------------------------------------------------------------------------------ */

static enum sp_status wanted;

static void
refuse(void *arg)
{
	(void)arg;
	assert_int_equal(stream_tls_accept(server, context, rt_deadline(5000)), wanted);
	/* nothing may be said in the clear after that, nor heard */
	assert_int_equal(stream_write(server, SPAN_LIT("250 ok\r\n"), soon()), SP_OK);
	assert_int_equal(stream_flush(server, soon()), SP_GONE);
	assert_int_equal(stream_fill(server, soon()), SP_GONE);
	assert_int_equal(stream_input(server).len, 0);
}

static void
fail_to_connect(void *arg)
{
	(void)arg;
	assert_false(client_connect());
}

static void
test_old_versions_are_refused(void **state)
{
	(void)state;
	wanted = SP_TEMPFAIL;
	SSL_set_security_level(client.ssl, 0);
	SSL_set_min_proto_version(client.ssl, TLS1_VERSION);
	SSL_set_max_proto_version(client.ssl, TLS1_1_VERSION);
	run(refuse, fail_to_connect);
}

static void
test_other_protocols_are_refused(void **state)
{
	(void)state;
	wanted = SP_TEMPFAIL;
	SSL_set_alpn_protos(client.ssl, (const unsigned char *)"\x8http/1.1", 9);
	run(refuse, fail_to_connect);
}

static void
talk_plain(void *arg)
{
	char c[100];

	(void)arg;
	assert_int_equal(send(client.fd, "EHLO evil\r\n", 11, MSG_NOSIGNAL), 11);
	co_sleep(1000);
	/* an alert at most, never a reply */
	assert_true(recv(client.fd, c, sizeof(c), MSG_DONTWAIT) < 10);
}

static void
test_plain_text_is_no_handshake(void **state)
{
	(void)state;
	wanted = SP_TEMPFAIL;
	run(refuse, talk_plain);
}

static void
refuse_silence(void *arg)
{
	(void)arg;
	assert_int_equal(stream_tls_accept(server, context, rt_deadline(5000)), SP_TIMEOUT);
	assert_int_equal(stream_fill(server, soon()), SP_GONE);
}

static void
test_handshake_deadline(void **state)
{
	(void)state;
	run(refuse_silence, NULL);
}

static void
close_early(void *arg)
{
	(void)arg;
	client_close();
}

static void
test_handshake_with_nobody(void **state)
{
	(void)state;
	wanted = SP_GONE;
	run(refuse, close_early);
}

static void
refuse_left_over(void *arg)
{
	(void)arg;
	assert_int_equal(stream_fill(server, soon()), SP_OK);
	stream_consume(server, 10);
	assert_int_equal(stream_tls_accept(server, context, soon()), SP_INVALID);
	assert_null(stream_tls_version(server));
	stream_consume(server, 5);
	assert_int_equal(stream_write(server, SPAN_LIT("554\r\n"), soon()), SP_OK);
	assert_int_equal(stream_flush(server, soon()), SP_OK);
}

static void
pipeline_starttls(void *arg)
{
	char reply[5];

	(void)arg;
	assert_int_equal(send(client.fd, "STARTTLS\r\nEHLO\n", 15, MSG_NOSIGNAL), 15);
	assert_int_equal(rt_fd_wait(client.wait, CO_READ, soon()), SP_OK);
	assert_int_equal(recv(client.fd, reply, 5, MSG_DONTWAIT), 5);
	assert_memory_equal(reply, "554\r\n", 5);
}

static void
test_left_over_input_is_refused(void **state)
{
	(void)state;
	run(refuse_left_over, pipeline_starttls);
}

/* ---- the end, and what follows it ------------------------------------------------------------------ */

static void
serve_to_the_end(void *arg)
{
	(void)arg;
	assert_int_equal(stream_tls_accept(server, context, soon()), SP_OK);
	assert_int_equal(stream_fill(server, soon()), SP_OK);
	assert_true(span_eq(stream_input(server), SPAN_LIT("DATA\r\n")));
	co_sleep(1000);
	assert_true(stream_peer_gone(server));
	for (int i = 0; i < 3; i++)
		assert_int_equal(stream_fill(server, soon()), SP_GONE);
	assert_int_equal(stream_input(server).len, 6);
	assert_int_equal(stream_octets_in(server), 6);
}

static void
end_and_go_on_plain(void *arg)
{
	(void)arg;
	assert_true(client_connect());
	assert_true(client_write("DATA\r\n", 6));
	co_sleep(300);
	SSL_shutdown(client.ssl);
	assert_int_equal(send(client.fd, "x\r\n.\r\n", 6, MSG_NOSIGNAL), 6);
	co_sleep(3000);
}

static void
test_plain_text_after_close_notify_is_never_seen(void **state)
{
	(void)state;
	run(serve_to_the_end, end_and_go_on_plain);
}

static void
inject_plain(void *arg)
{
	(void)arg;
	assert_true(client_connect());
	assert_true(client_write("DATA\r\n", 6));
	co_sleep(300);
	assert_int_equal(send(client.fd, "x\r\n.\r\n", 6, MSG_NOSIGNAL), 6);
	co_sleep(3000);
}

static void
test_plain_text_inside_breaks_the_stream(void **state)
{
	(void)state;
	run(serve_to_the_end, inject_plain);
}

/* ---- much ------------------------------------------------------------------------------------------ */

enum { LARGE = 1 << 20 };
static char large[LARGE], back[LARGE];

static void
serve_large(void *arg)
{
	FILE *f = tmpfile();
	size_t got = 0;

	(void)arg;
	assert_non_null(f);
	assert_int_equal(fwrite(large, 1, LARGE, f), LARGE);
	fflush(f);
	assert_int_equal(stream_tls_accept(server, context, soon()), SP_OK);
	while (got < LARGE) {
		assert_int_equal(stream_fill(server, soon()), SP_OK);
		assert_memory_equal(stream_input(server).ptr, large + got, stream_input(server).len);
		got += stream_input(server).len;
		stream_consume(server, stream_input(server).len);
	}
	assert_int_equal(stream_write(server, span_of(large, 100), soon()), SP_OK);
	assert_int_equal(stream_write(server, span_of(large + 100, LARGE / 2), soon()), SP_OK);
	assert_int_equal(stream_send_file(server, fileno(f), LARGE / 2 + 100, LARGE / 2 - 100, soon()), SP_OK);
	fclose(f);
}

static void
talk_large(void *arg)
{
	(void)arg;
	assert_true(client_connect());
	assert_true(client_write(large, LARGE));
	for (size_t at = 0; at < LARGE; at += LARGE / 16) {
		co_sleep(200); /* a slow reader */
		assert_true(client_read(back + at, LARGE / 16));
	}
	assert_memory_equal(back, large, LARGE);
}

static void
test_much_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)(i * 11 + i / 241);
	run(serve_large, talk_large);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_context_errors_name_the_file),
		TEST(test_conversation_1_3),
		TEST(test_conversation_1_2),
		TEST(test_protocol_smtp_is_agreed),
		TEST(test_old_versions_are_refused),
		TEST(test_other_protocols_are_refused),
		TEST(test_plain_text_is_no_handshake),
		TEST(test_handshake_deadline),
		TEST(test_handshake_with_nobody),
		TEST(test_left_over_input_is_refused),
		TEST(test_plain_text_after_close_notify_is_never_seen),
		TEST(test_plain_text_inside_breaks_the_stream),
		TEST(test_much_both_ways),
	};

	return cmocka_run_group_tests_name("rt_streamtls", tests, make_certificate, remove_certificate);
}
