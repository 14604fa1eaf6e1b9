/*
 * net_priv.h - what the files of proxy/net share: socket addresses, the stream and its transport.
 */
#ifndef PROXY_NET_NET_PRIV_H
#define PROXY_NET_NET_PRIV_H

#include <sys/uio.h>

#include "policy/kit/buf.h"
#include "proxy/net/net.h"
#include "proxy/rt/rt.h"

/* The address of a NET_IP or NET_UNIX endpoint; "any" is [::]. Returns its length. */
socklen_t net_sockaddr(const struct net_endpoint *e, struct sockaddr_storage *ret);
/* Lets a socket use addresses that are not ours; false: that is not allowed. */
bool net_borrow(int fd, int family);
/* TCP_NODELAY and SO_KEEPALIVE; does nothing to a socket that is not TCP. */
void net_tune(int fd);

struct stream;

/* Would block: *want says for what (CO_READ, CO_WRITE) to wait before the same call again. */
#define IO_WAIT SP_NONE

/*
 * How octets go over the descriptor.  None of these waits.  The first two return SP_OK with *ret > 0,
 * IO_WAIT, SP_GONE, or SP_SYSTEM.
 */
struct transport {
	enum sp_status (*read)(struct stream *s, char *to, size_t room, size_t *ret, int *want);
	/* more: other octets follow at once */
	enum sp_status (*write)(
		struct stream *s, const struct iovec *iov, bool more, size_t *ret, int *want);
	/* Has read() an answer of its own, octets taken already or an end, that the descriptor
	 * would not tell of? */
	bool (*held)(struct stream *s);
	bool (*pending)(struct stream *s); /* would read() yield something now? */
	bool (*quiet)(struct stream *s);   /* neither pending nor gone */
	bool (*gone)(struct stream *s);    /* has the peer ended it, as far as one can see? */
	void (*close)(struct stream *s);
	bool file; /* sendfile(2) may be used */
};
extern const struct transport transport_plain;

/* What errno says about a connection. */
enum sp_status transport_failed(int error);
/* Has the peer closed its end or reset, even behind octets not yet read? */
bool transport_hung_up(int fd);

enum { IOVS = 2 }; /* write() takes so many parts: what is queued, and what follows it */

struct stream {
	const struct transport *transport;
	void *state; /* of the transport */
	struct rt_fd *wait;
	int fd;
	enum sp_status write_status; /* sticky: a span was broken off in its middle */
	/* Input lies in [in_start, in_end) of in; in is null when there is none. */
	char *in;
	size_t in_start, in_end, in_room;
	struct buf out;   /* queued output, of which out_sent octets have gone */
	size_t out_sent;
	int64_t octets_in, octets_out;
};

#endif
