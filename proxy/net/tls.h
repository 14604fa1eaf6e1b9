/*
 * tls.h - TLS on a stream, the server's side (RFC 8446, RFC 5246; STARTTLS: RFC 3207).
 */
#ifndef PROXY_NET_TLS_H
#define PROXY_NET_TLS_H

#include "proxy/net/net.h"

/* A certificate with its key, and what goes with them: ticket keys of its own. Made in the master, so
 * that all workers resume each other's sessions. */
struct tls_context;

/* Both files are PEM; the first holds the chain, the server's own certificate first. Null: could not be
 * read or do not belong together; err then says why, naming the file. */
struct tls_context *tls_context_new(
	const char *cert_file, const char *key_file, char *err, size_t err_size);
void tls_context_free(struct tls_context **c);

/* Flushes the output, then shakes hands, and from then on the stream is encrypted; suspends.
 * SP_INVALID, and nothing has happened: input was left from before (RFC 3207 section 4.2), or it is
 * encrypted already. Else the stream is of no use any more: SP_TIMEOUT, SP_CANCELED, SP_GONE, SP_TEMPFAIL
 * (no agreement, or the peer does not speak TLS), SP_SYSTEM. */
enum sp_status stream_tls_accept(struct stream *s, struct tls_context *c, int64_t deadline_ms);

/* The client's side, believing any certificate: for scripted dialogues only. Results as above. */
enum sp_status stream_tls_connect_unverified(struct stream *s, int64_t deadline_ms);

/* "TLSv1.3" and "TLS_AES_256_GCM_SHA384"; null without TLS. Strings of the library, never freed. */
const char *stream_tls_version(const struct stream *s);
const char *stream_tls_cipher(const struct stream *s);

#endif
