/*
 * tls.h - TLS on a stream, both sides (RFC 8446, RFC 5246; STARTTLS: RFC 3207; implicit: RFC 8314).
 */
#ifndef PROXY_NET_TLS_H
#define PROXY_NET_TLS_H

#include "proxy/net/net.h"

/* ---- contexts ------------------------------------------------------------------------------- */

/* Who we are and whom we believe, for one listener or one backend.  Made in the master, so that all workers share
 * it, a listener's ticket keys with it: they resume each other's sessions, and no other listener's. */
struct tls_context;
void tls_context_free(struct tls_context **c);

enum { TLS_PAIRS = 32, TLS_PINS = 16, TLS_DIGEST = 32 };
enum tls_min { TLS_MIN_1_2, TLS_MIN_1_3 };

/* Both files are PEM; the first holds the chain, the server's own certificate first. */
struct tls_pair {
	const char *certificate, *key;
};
enum tls_ask {
	TLS_ASK_NOT,
	TLS_ASK,        /* who has no certificate, or one of nobody we know, is served all the same */
	TLS_ASK_REQUIRE /* without one that ca vouches for there is no handshake */
};
struct tls_server {
	const struct tls_pair *pairs; /* at least one, at most TLS_PAIRS; the first is for who names no host that we have */
	size_t count;
	enum tls_ask ask;
	const char *ca; /* PEM: who vouches for clients; null: nobody */
	enum tls_min min;
};
/* Null: a file could not be read, or two do not belong together; err then says why, naming the file. */
struct tls_context *tls_server_new(const struct tls_server *from, char *err, size_t err_size);

/* Which certificates are for a client that named this host (null: none): of each kind of key the first that has the name;
 * if none has, those with the name of the very first. Sets ret[0 .. count). */
void tls_server_choose(const struct tls_context *c, const char *host, bool ret[static TLS_PAIRS]);
/* Whether the certificate index, below count, is past its time. */
bool tls_server_expired(const struct tls_context *c, size_t index);

struct tls_client {
	const char *name;  /* of the server: sent to it, and looked for in its certificate; null: none */
	bool verify;       /* its certificate must be vouched for by ca, and have the name */
	const char *ca;    /* PEM; null: those whom the system believes */
	const unsigned char (*pins)[TLS_DIGEST]; /* the certificate must be one of these, and no one need vouch for it */
	size_t pin_count;  /* at most TLS_PINS */
	enum tls_min min;
	struct tls_pair own; /* to show when asked; null: none */
	bool old;          /* TLS 1.2 and no newer: for scripted dialogues only */
};
/* As above. */
struct tls_context *tls_client_new(const struct tls_client *from, char *err, size_t err_size);

/* "sha256:" and 64 hex digits, colons between pairs of them or not. SP_INVALID. */
enum sp_status tls_pin_parse(struct sp_span text, unsigned char ret[static TLS_DIGEST]);

/* ---- streams -------------------------------------------------------------------------------- */

/* Flushes the output, then shakes hands, and from then on the stream is encrypted; suspends.
 * SP_INVALID, and nothing has happened: input was left from before (RFC 3207 section 4.2), or it is
 * encrypted already. Else the stream is of no use any more: SP_TIMEOUT, SP_CANCELED, SP_GONE, SP_TEMPFAIL
 * (no agreement, or the peer does not speak TLS, or is not who it should be), SP_SYSTEM. */
enum sp_status stream_tls_accept(struct stream *s, struct tls_context *server, int64_t deadline_ms);
/* The same where nothing else was spoken: input that was read with what went before, a PROXY header, is the beginning of TLS. */
enum sp_status stream_tls_accept_first(struct stream *s, struct tls_context *server, int64_t deadline_ms);
enum sp_status stream_tls_connect(struct stream *s, struct tls_context *client, int64_t deadline_ms);

/* "TLSv1.3" and "TLS_AES_256_GCM_SHA384"; null without TLS. Strings of the library, never freed. */
const char *stream_tls_version(const struct stream *s);
const char *stream_tls_cipher(const struct stream *s);
int stream_tls_bits(const struct stream *s); /* of the cipher's key; 0 without TLS */
/* Why TLS failed, in the library's words, which are never freed; null: it did not, or nobody knows. */
const char *stream_tls_error(const struct stream *s);
/* Was an earlier session taken up again? */
bool stream_tls_resumed(const struct stream *s);

/* The certificate that the peer has shown. */
struct tls_peer {
	char fingerprint[2 * TLS_DIGEST + 1]; /* SHA-256 of the certificate, in hex */
	char subject[512], issuer[512];       /* as RFC 2253 has it, escaped, cut off */
	bool verified;                        /* vouched for by whom we believe, and not past its time */
};
/* False: there is none. */
bool stream_tls_peer(const struct stream *s, struct tls_peer *ret);

/* Says close_notify and leaves the connection open: for scripted dialogues only. */
void stream_tls_notify(struct stream *s);

#endif
