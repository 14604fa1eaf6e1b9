/*
 * net.h - endpoints, sockets and streams.
 */
#ifndef PROXY_NET_NET_H
#define PROXY_NET_NET_H

#include <sys/socket.h>

#include <sallyport/filter.h>

/* ---- endpoints ---------------------------------------------------------------------------- */

/* "127.0.0.1:25", "[::1]:25", "*:25" (any v6 and v4), "host.example:25", "unix:/path". */
struct net_endpoint {
	enum { NET_IP, NET_HOST, NET_UNIX } kind;
	struct sp_ip ip;        /* NET_IP; family 0: any */
	uint16_t port;
	/* NUL-ended: NET_HOST the name, NET_UNIX the path, NET_IP the whole endpoint as printed,
	 * "192.0.2.1:25", "[2001:db8::1]:25", "*:25". */
	char text[256];
};
/* default_port 0: a port must be written. SP_INVALID. */
enum sp_status net_endpoint_parse(struct sp_span text, uint16_t default_port, struct net_endpoint *ret);
bool net_endpoint_is_loopback(const struct net_endpoint *e); /* unix sockets are */

/* A non-blocking, close-on-exec listening socket, or -1 with errno set. */
int net_listen(const struct net_endpoint *e, int backlog);
/* The same for connections to any address that the kernel is told to bring here (Linux's TPROXY); needs CAP_NET_RAW or
 * CAP_NET_ADMIN, as does net_may_borrow() to be true: may this process use addresses that are not its own? */
int net_listen_transparent(const struct net_endpoint *e, int backlog);
bool net_make_transparent(int listener); /* the same of one that listens already */
bool net_may_borrow(void);
/* Is it an address of this machine? */
bool net_is_own(const struct sp_ip *ip);
/* One connection: >= 0, or -1 with errno (EAGAIN when there is none). Fills address and port; TCP_NODELAY is
 * set. */
int net_accept(int listener, struct sp_ip *ret_ip, uint16_t *ret_port);
/* The address and port at our end of a connection; family 0 where it is not IP. */
void net_local(int fd, struct sp_ip *ret_ip, uint16_t *ret_port);
void net_remote(int fd, struct sp_ip *ret_ip, uint16_t *ret_port); /* and at the other */
uint16_t net_local_port(int fd); /* what the kernel chose for port 0 */

/* ---- streams ------------------------------------------------------------------------------- */

/*
 * A connection as the protocol code sees it: buffered both ways, every call with a deadline.
 * Reading: look at stream_input(), consume what was understood, stream_fill() for more.  An idle
 * stream holds no buffer.  Writing: stream_write() queues; stream_flush() sends; the output buffer has
 * a maximum, at which stream_write() sends by itself.
 * Transports are replaced, not layered: when TLS begins, input must be empty (see stream_tls_...).
 */
struct stream;

/* Takes fd over: stream_free() closes it. Null: no memory (fd is then closed). */
struct stream *stream_new(int fd);
void stream_free(struct stream **s);
int stream_fd(const struct stream *s);

/* Connects; each wait suspends. SP_TEMPFAIL: refused or unreachable; SP_TIMEOUT. ip only (no names). */
enum sp_status stream_connect(const struct net_endpoint *e, int64_t deadline_ms, struct stream **ret);
/* The same from an address that need not be ours, with a port that the kernel chooses. SP_INVALID: not from that address:
 * it is of another family, or the right to do so is missing (see net_may_borrow()). */
enum sp_status stream_connect_from(const struct net_endpoint *e, const struct sp_ip *from, int64_t deadline_ms,
	struct stream **ret);

/* Unconsumed input. */
struct sp_span stream_input(const struct stream *s);
void stream_consume(struct stream *s, size_t n);
/* Waits for more input, appended to what there is (STREAM_INPUT octets at most: SP_LIMIT when full).
 * SP_GONE: the peer closed (or reset). SP_TIMEOUT, SP_CANCELED. The span from stream_input() is
 * invalid after this. */
#define STREAM_INPUT 65536
enum sp_status stream_fill(struct stream *s, int64_t deadline_ms);
/* As above, and co_interrupt() ends it: for waits at a command boundary. */
enum sp_status stream_fill_interruptible(struct stream *s, int64_t deadline_ms);

/* Queues a copy; sends when more than STREAM_OUTPUT octets wait. */
#define STREAM_OUTPUT 65536
enum sp_status stream_write(struct stream *s, struct sp_span bytes, int64_t deadline_ms);
enum sp_status stream_flush(struct stream *s, int64_t deadline_ms);
/* Sends head (queued output) and then octets [offset, offset+len) of a file, by sendfile(2) where it can. */
enum sp_status stream_send_file(struct stream *s, int fd, int64_t offset, int64_t len, int64_t deadline_ms);

/* Has the peer closed or broken the connection, or only its sending half, even behind octets that are not
 * read yet? Looks, does not wait, consumes nothing. */
bool stream_peer_gone(struct stream *s);
/* Is there anything to read right now (buffered or in the kernel)? Does not wait. */
bool stream_pending(struct stream *s);
/* Neither is there anything to read nor has the peer gone: one look for both. */
bool stream_quiet(struct stream *s);
/* Octets carried so far. */
int64_t stream_octets_in(const struct stream *s);
int64_t stream_octets_out(const struct stream *s);

#endif
