/*
 * tls.c - the transport with TLS, over OpenSSL.
 *
 * It replaces the plain one for good: after close_notify or an error the stream only says SP_GONE,
 * so that nothing sent in the clear behind it can pass as input.  OpenSSL's queue of errors is one for
 * all coroutines: it is cleared before each call and read before anything can suspend.
 */
#include "proxy/net/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/net/net_priv.h"

struct tls_context {
	SSL_CTX *ctx;
};

/* ---- the context ------------------------------------------------------------------------------ */

/* A key with a passphrase must not make the daemon ask for it. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return 0;
}

/* A client that names protocols must name SMTP: no other is to be lured here (ALPACA). */
static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
	unsigned int inlen, void *arg)
{
	static const unsigned char smtp[] = { 4, 's', 'm', 't', 'p' };
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, outlen, smtp, sizeof(smtp), in, inlen) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static bool
context_set_up(SSL_CTX *ctx)
{
	unsigned char id[16];

	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
		SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* tickets only: a cache would be one for each worker, and memory */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
		SSL_CTX_set_max_early_data(ctx, 0) == 1 && SSL_CTX_set_dh_auto(ctx, 1) == 1 &&
		RAND_bytes(id, sizeof(id)) == 1 &&
		SSL_CTX_set_session_id_context(ctx, id, sizeof(id)) == 1;
}

static void
say_why(char *err, size_t err_size, const char *file)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(err, err_size, "%s: %s", file, reason != NULL ? reason : "cannot be used");
	ERR_clear_error();
}

struct tls_context *
tls_context_new(const char *cert_file, const char *key_file, char *err, size_t err_size)
{
	struct tls_context *c = calloc(1, sizeof(*c));
	const char *blame = cert_file;

	ERR_clear_error();
	if (c == NULL)
		goto failed;
	c->ctx = SSL_CTX_new(TLS_server_method());
	if (c->ctx == NULL || !context_set_up(c->ctx))
		goto failed;
	if (SSL_CTX_use_certificate_chain_file(c->ctx, cert_file) != 1)
		goto failed;
	blame = key_file;
	if (SSL_CTX_use_PrivateKey_file(c->ctx, key_file, SSL_FILETYPE_PEM) == 1 &&
		SSL_CTX_check_private_key(c->ctx) == 1)
		return c;
failed:
	say_why(err, err_size, blame);
	tls_context_free(&c);
	return NULL;
}

void
tls_context_free(struct tls_context **c)
{
	if (*c == NULL)
		return;
	SSL_CTX_free((*c)->ctx);
	free(*c);
	*c = NULL;
}

/* ---- the transport ------------------------------------------------------------------------------ */

struct tls {
	SSL *ssl;
	bool read_ended; /* by close_notify or an error */
	bool broken;     /* by an error: nothing may be sent, not even close_notify */
};

static bool
eof_unexpected(void)
{
	return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

/* What the call that gave result means; before any other call, and before errno can change. */
static enum sp_status
tls_result(struct tls *t, int result, int *want)
{
	int error = errno;
	enum sp_status st;

	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_NONE:
		return SP_OK;
	case SSL_ERROR_WANT_READ:
		*want = CO_READ;
		return IO_WAIT;
	case SSL_ERROR_WANT_WRITE:
		*want = CO_WRITE;
		return IO_WAIT;
	case SSL_ERROR_ZERO_RETURN:
		t->read_ended = true;
		return SP_GONE;
	case SSL_ERROR_SYSCALL:
		st = error == 0 ? SP_GONE : transport_failed(error);
		break;
	default:
		st = eof_unexpected() ? SP_GONE : SP_INVALID;
		break;
	}
	ERR_clear_error();
	t->read_ended = t->broken = true;
	return st;
}

/* Only the handshake tells broken TLS from a broken connection. */
static enum sp_status
tls_io_result(struct tls *t, int result, int *want)
{
	enum sp_status st = tls_result(t, result, want);

	return st == SP_INVALID ? SP_GONE : st;
}

static enum sp_status
tls_read(struct stream *s, char *to, size_t room, size_t *ret, int *want)
{
	struct tls *t = s->state;

	if (t->read_ended)
		return SP_GONE;
	ERR_clear_error();
	errno = 0;
	return tls_io_result(t, SSL_read_ex(t->ssl, to, room, ret), want);
}

static enum sp_status
tls_write(struct stream *s, const struct iovec *iov, bool more, size_t *ret, int *want)
{
	const struct iovec *part = iov[0].iov_len > 0 ? &iov[0] : &iov[1];
	struct tls *t = s->state;

	(void)more;
	if (t->broken)
		return SP_GONE;
	ERR_clear_error();
	errno = 0;
	return tls_io_result(t, SSL_write_ex(t->ssl, part->iov_base, part->iov_len, ret), want);
}

static bool
tls_held(struct stream *s)
{
	struct tls *t = s->state;

	return t->read_ended || SSL_pending(t->ssl) > 0;
}

static bool
tls_pending(struct stream *s)
{
	struct tls *t = s->state;
	int want;
	size_t n;
	char c;

	if (t->read_ended)
		return false;
	ERR_clear_error();
	errno = 0;
	return tls_io_result(t, SSL_peek_ex(t->ssl, &c, 1, &n), &want) == SP_OK;
}

static bool
tls_gone(struct stream *s)
{
	struct tls *t = s->state;

	if (transport_hung_up(s->fd))
		return true;
	tls_pending(s); /* which meets a close_notify, if that is next */
	return t->read_ended;
}

static bool
tls_quiet(struct stream *s)
{
	return !tls_pending(s) && !tls_gone(s);
}

/* Says close_notify, as far as that goes without waiting. */
static void
tls_close(struct stream *s)
{
	struct tls *t = s->state;

	ERR_clear_error();
	if (!t->broken && SSL_is_init_finished(t->ssl))
		SSL_shutdown(t->ssl);
	ERR_clear_error();
	SSL_free(t->ssl);
	free(t);
}

static const struct transport transport_tls = {
	.read = tls_read,
	.write = tls_write,
	.held = tls_held,
	.pending = tls_pending,
	.quiet = tls_quiet,
	.gone = tls_gone,
	.close = tls_close,
	.file = false,
};

/* ---- beginning -------------------------------------------------------------------------------- */

static enum sp_status
tls_begin(struct stream *s, SSL_CTX *ctx, bool server)
{
	struct tls *t = calloc(1, sizeof(*t));

	ERR_clear_error();
	if (t == NULL || (t->ssl = SSL_new(ctx)) == NULL || SSL_set_fd(t->ssl, s->fd) != 1) {
		if (t != NULL)
			SSL_free(t->ssl);
		free(t);
		ERR_clear_error();
		return SP_SYSTEM;
	}
	if (server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	s->transport->close(s);
	s->transport = &transport_tls;
	s->state = t;
	return SP_OK;
}

static enum sp_status
tls_handshake(struct stream *s, int64_t deadline_ms)
{
	struct tls *t = s->state;
	enum sp_status st;
	int want;

	do {
		ERR_clear_error();
		errno = 0;
		st = tls_result(t, SSL_do_handshake(t->ssl), &want);
		if (st != IO_WAIT)
			break;
		st = rt_fd_wait(s->wait, want, deadline_ms);
	} while (st == SP_OK);
	if (st != SP_OK)
		t->read_ended = t->broken = true; /* never in the clear again */
	return st == SP_INVALID ? SP_TEMPFAIL : st;
}

static enum sp_status
tls_start(struct stream *s, SSL_CTX *ctx, bool server, int64_t deadline_ms)
{
	enum sp_status st;

	if (s->transport != &transport_plain || stream_input(s).len > 0)
		return SP_INVALID;
	st = stream_flush(s, deadline_ms);
	if (st == SP_OK)
		st = tls_begin(s, ctx, server);
	return st == SP_OK ? tls_handshake(s, deadline_ms) : st;
}

enum sp_status
stream_tls_accept(struct stream *s, struct tls_context *c, int64_t deadline_ms)
{
	return tls_start(s, c->ctx, true, deadline_ms);
}

enum sp_status
stream_tls_connect_unverified(struct stream *s, int64_t deadline_ms)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	enum sp_status st = ctx == NULL ? SP_SYSTEM : tls_start(s, ctx, false, deadline_ms);

	SSL_CTX_free(ctx); /* the SSL keeps its own reference */
	return st;
}

const char *
stream_tls_version(const struct stream *s)
{
	const struct tls *t = s->state;

	return s->transport == &transport_tls ? SSL_get_version(t->ssl) : NULL;
}

const char *
stream_tls_cipher(const struct stream *s)
{
	const struct tls *t = s->state;

	return s->transport == &transport_tls ? SSL_get_cipher_name(t->ssl) : NULL;
}
