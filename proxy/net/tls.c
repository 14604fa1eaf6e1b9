/*
 * tls.c - the transport with TLS, over OpenSSL, and the handshake.
 *
 * It replaces the plain one for good: after close_notify or an error the stream only says SP_GONE,
 * so that nothing sent in the clear behind it can pass as input.  OpenSSL's queue of errors is one for
 * all coroutines: it is cleared before each call and read before anything can suspend.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/net/net_priv.h"
#include "proxy/net/tls_priv.h"

/* ---- contexts --------------------------------------------------------------------------------- */

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

struct tls_context *
tls_context_begin(const SSL_METHOD *method, enum tls_min min)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	ERR_clear_error();
	if (c == NULL)
		return NULL;
	c->ctx = SSL_CTX_new(method);
	if (c->ctx == NULL ||
		SSL_CTX_set_min_proto_version(c->ctx, min == TLS_MIN_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) != 1) {
		tls_context_free(&c);
		return NULL;
	}
	SSL_CTX_set_options(c->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* tickets only: a cache would be one for each worker, and memory */
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	return c;
}

void
tls_context_free(struct tls_context **c)
{
	if (*c == NULL)
		return;
	SSL_CTX_free((*c)->ctx);
	for (size_t i = 0; i < TLS_PAIRS; i++)
		SSL_CTX_free((*c)->pairs[i]);
	free((*c)->name);
	free(*c);
	*c = NULL;
}

void
tls_say_why(char *err, size_t err_size, const char *file)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(err, err_size, "%s: %s", file, reason != NULL ? reason : "cannot be used");
	ERR_clear_error();
}

bool
tls_pair_read(SSL_CTX *ctx, const struct tls_pair *pair, char *err, size_t err_size)
{
	ERR_clear_error();
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(ctx, pair->certificate) != 1) {
		tls_say_why(err, err_size, pair->certificate);
		return false;
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, pair->key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
		tls_say_why(err, err_size, pair->key);
		return false;
	}
	return true;
}

/* ---- the transport ------------------------------------------------------------------------------ */

struct tls {
	SSL *ssl;
	bool read_ended; /* by close_notify or an error */
	bool broken;     /* by an error: nothing may be sent, not even close_notify */
	bool early;      /* it reads what the stream had read, not the socket yet */
	const char *why; /* the error, in the library's words, or null */
};

static bool
eof_unexpected(void)
{
	return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

/* The first error of the queue, or, where the peer is not believed, why. */
static const char *
reason_of(const SSL *ssl)
{
	long verified = SSL_get_verify_result(ssl);

	if (verified != X509_V_OK && ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return X509_verify_cert_error_string(verified);
	return ERR_reason_error_string(ERR_peek_error());
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
	t->why = reason_of(t->ssl);
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

static bool
tls_prepare(SSL *ssl, const struct tls_context *c, bool server)
{
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return c->name == NULL || SSL_set_tlsext_host_name(ssl, c->name) == 1;
}

static enum sp_status
tls_begin(struct stream *s, const struct tls_context *c, bool server)
{
	struct tls *t = calloc(1, sizeof(*t));

	ERR_clear_error();
	if (t == NULL || (t->ssl = SSL_new(c->ctx)) == NULL || SSL_set_fd(t->ssl, s->fd) != 1 ||
		!tls_prepare(t->ssl, c, server)) {
		if (t != NULL)
			SSL_free(t->ssl);
		free(t);
		ERR_clear_error();
		return SP_SYSTEM;
	}
	s->transport->close(s);
	s->transport = &transport_tls;
	s->state = t;
	return SP_OK;
}

/* Octets that the stream has read already are read first. */
static bool
early_begin(struct tls *t, struct sp_span early)
{
	BIO *copy = BIO_new(BIO_s_mem());

	if (copy == NULL || BIO_write(copy, early.ptr, (int)early.len) != (int)early.len) {
		BIO_free(copy);
		return false;
	}
	BIO_set_mem_eof_return(copy, -1); /* its end is not the connection's */
	SSL_set0_rbio(t->ssl, copy);
	t->early = true;
	return true;
}

/* From now on from the socket; to be called when the library wants more than there was. */
static bool
early_end(struct stream *s)
{
	struct tls *t = s->state;
	BIO *socket = BIO_new_socket(s->fd, BIO_NOCLOSE);

	t->early = false;
	if (socket != NULL)
		SSL_set0_rbio(t->ssl, socket);
	return socket != NULL;
}

/* As far as the handshake goes without waiting for the peer. The queue of errors and errno are the thread's, so
 * both are read here. */
struct shake {
	struct tls *tls;
	enum sp_status status;
	int want;
};

static void
tls_shake(void *arg)
{
	struct shake *k = arg;

	ERR_clear_error();
	errno = 0;
	k->status = tls_result(k->tls, SSL_do_handshake(k->tls->ssl), &k->want);
}

/* Where the key's work is long another thread does it, and this session alone waits. */
static enum sp_status
tls_shake_somewhere(struct shake *k, bool slow)
{
	enum sp_status st = SP_OK;

	if (slow)
		st = rt_blocking(tls_shake, k);
	else
		tls_shake(k);
	return st == SP_OK ? k->status : st;
}

static enum sp_status
tls_handshake(struct stream *s, bool slow, int64_t deadline_ms)
{
	struct tls *t = s->state;
	struct shake k = { .tls = t };
	enum sp_status st;

	do {
		st = tls_shake_somewhere(&k, slow);
		if (st != IO_WAIT)
			break;
		if (t->early && k.want == CO_READ)
			st = early_end(s) ? SP_OK : SP_SYSTEM;
		else
			st = rt_fd_wait(s->wait, k.want, deadline_ms);
	} while (st == SP_OK);
	if (st == SP_OK && t->early)
		st = SP_INVALID; /* it cannot be done without an answer to ours */
	if (st != SP_OK)
		t->read_ended = t->broken = true; /* never in the clear again */
	if (st == SP_TIMEOUT)
		t->why = "timed out";
	return st == SP_INVALID ? SP_TEMPFAIL : st;
}

static enum sp_status
tls_start(struct stream *s, const struct tls_context *c, bool server, int64_t deadline_ms)
{
	enum sp_status st;

	if (s->transport != &transport_plain || stream_input(s).len > 0)
		return SP_INVALID;
	st = stream_flush(s, deadline_ms);
	if (st == SP_OK)
		st = tls_begin(s, c, server);
	return st == SP_OK ? tls_handshake(s, c->slow, deadline_ms) : st;
}

enum sp_status
stream_tls_accept(struct stream *s, struct tls_context *server, int64_t deadline_ms)
{
	return tls_start(s, server, true, deadline_ms);
}

enum sp_status
stream_tls_connect(struct stream *s, struct tls_context *client, int64_t deadline_ms)
{
	return tls_start(s, client, false, deadline_ms);
}

enum sp_status
stream_tls_accept_first(struct stream *s, struct tls_context *server, int64_t deadline_ms)
{
	struct sp_span early = stream_input(s);
	enum sp_status st;

	if (early.len == 0 || s->transport != &transport_plain)
		return stream_tls_accept(s, server, deadline_ms);
	st = tls_begin(s, server, true);
	if (st == SP_OK && !early_begin(s->state, early))
		st = SP_SYSTEM;
	stream_consume(s, early.len);
	return st == SP_OK ? tls_handshake(s, server->slow, deadline_ms) : st;
}

/* ---- what one may ask --------------------------------------------------------------------------- */

SSL *
tls_of(const struct stream *s)
{
	const struct tls *t = s->state;

	return s->transport == &transport_tls ? t->ssl : NULL;
}

const char *
stream_tls_version(const struct stream *s)
{
	const SSL *ssl = tls_of(s);

	return ssl != NULL ? SSL_get_version(ssl) : NULL;
}

const char *
stream_tls_cipher(const struct stream *s)
{
	const SSL *ssl = tls_of(s);

	return ssl != NULL ? SSL_get_cipher_name(ssl) : NULL;
}

int
stream_tls_bits(const struct stream *s)
{
	const SSL *ssl = tls_of(s);

	return ssl != NULL ? SSL_get_cipher_bits(ssl, NULL) : 0;
}

const char *
stream_tls_error(const struct stream *s)
{
	const struct tls *t = s->state;

	return s->transport == &transport_tls ? t->why : NULL;
}

bool
stream_tls_resumed(const struct stream *s)
{
	const SSL *ssl = tls_of(s);

	return ssl != NULL && SSL_session_reused(ssl) == 1;
}

void
stream_tls_notify(struct stream *s)
{
	SSL *ssl = tls_of(s);

	ERR_clear_error();
	if (ssl != NULL)
		(void)SSL_shutdown(ssl);
	ERR_clear_error();
}
