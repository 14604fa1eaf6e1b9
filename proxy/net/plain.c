/*
 * plain.c - the transport without encryption: a socket as it is.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/net/net_priv.h"

enum sp_status
transport_failed(int error)
{
	switch (error) {
	case ECONNRESET:
	case EPIPE:
	case ETIMEDOUT:
	case ECONNABORTED:
	case ENOTCONN:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case ESHUTDOWN:
		return SP_GONE;
	default:
		return SP_SYSTEM;
	}
}

static enum sp_status
plain_read(struct stream *s, char *to, size_t room, size_t *ret, int *want)
{
	ssize_t n;

	do
		n = recv(s->fd, to, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return SP_GONE;
	if (n > 0) {
		*ret = (size_t)n;
		return SP_OK;
	}
	*want = CO_READ;
	return errno == EAGAIN ? IO_WAIT : transport_failed(errno);
}

static enum sp_status
plain_write(struct stream *s, const struct iovec *iov, bool more, size_t *ret, int *want)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = IOVS };
	ssize_t n;

	do
		n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0));
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		*ret = (size_t)n;
		return SP_OK;
	}
	*want = CO_WRITE;
	return errno == EAGAIN ? IO_WAIT : transport_failed(errno);
}

static bool
plain_held(struct stream *s)
{
	(void)s;
	return false;
}

static bool
plain_pending(struct stream *s)
{
	char c;

	return recv(s->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool
transport_hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

static bool
plain_gone(struct stream *s)
{
	return transport_hung_up(s->fd);
}

static bool
plain_quiet(struct stream *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN | POLLRDHUP };

	return poll(&p, 1, 0) == 0;
}

static void
plain_close(struct stream *s)
{
	(void)s;
}

const struct transport transport_plain = {
	.read = plain_read,
	.write = plain_write,
	.held = plain_held,
	.pending = plain_pending,
	.quiet = plain_quiet,
	.gone = plain_gone,
	.close = plain_close,
	.file = true,
};
