/*
 * tls_priv.h - what the files of TLS share.
 *
 *   tls.c         the transport, the handshake
 *   tls_server.c  contexts of listeners: certificates by name, tickets
 *   tls_client.c  contexts of backends: whom we believe
 *   tls_peer.c    the certificate that the peer has shown
 */
#ifndef PROXY_NET_TLS_PRIV_H
#define PROXY_NET_TLS_PRIV_H

#include <openssl/ssl.h>

#include "proxy/net/tls.h"

struct tls_context {
	SSL_CTX *ctx;
	SSL_CTX *pairs[TLS_PAIRS]; /* each holds one certificate with its key and chain */
	size_t count;
	bool first[TLS_PAIRS];     /* those that ctx has itself */
	bool slow;                 /* a key whose work would hold up all others of this process */
	char *name;                /* of the server to whom we connect, or null */
	unsigned char pins[TLS_PINS][TLS_DIGEST];
	size_t pin_count;
};

/* A context with what both sides have in common. Null: no memory. */
struct tls_context *tls_context_begin(const SSL_METHOD *method, enum tls_min min);
/* Reads a pair into ctx; err says why not. */
bool tls_pair_read(SSL_CTX *ctx, const struct tls_pair *pair, char *err, size_t err_size);
/* Writes "FILE: REASON" of what has just failed, and forgets that it has. */
void tls_say_why(char *err, size_t err_size, const char *file);

/* Of a stream that is encrypted; else null. */
SSL *tls_of(const struct stream *s);

#endif
