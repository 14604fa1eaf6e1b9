/*
 * connect.c - outgoing connections.
 */
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "proxy/net/net_priv.h"

/* What errno says about an attempt to connect. */
static enum sp_status
connect_failed(int error)
{
	switch (error) {
	case ETIMEDOUT:
		return SP_TIMEOUT;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return SP_SYSTEM;
	default:
		return SP_TEMPFAIL;
	}
}

/* Suspends until the connection that was begun is there or has failed. */
static enum sp_status
connect_finish(struct stream *s, int64_t deadline_ms)
{
	enum sp_status st = rt_fd_wait(s->wait, CO_WRITE, deadline_ms);
	socklen_t len = sizeof(int);
	int error = 0;

	if (st != SP_OK)
		return st;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	return error == 0 ? SP_OK : connect_failed(error);
}

/* The port is chosen when it is known where to, so that all of them are to be had towards each backend. */
static bool
connect_as(int fd, const struct sp_ip *from)
{
	const struct net_endpoint e = { .kind = NET_IP, .ip = *from };
	struct sockaddr_storage sa;
	socklen_t len = net_sockaddr(&e, &sa);
	int on = 1;

	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return net_borrow(fd, sa.ss_family) && bind(fd, (struct sockaddr *)&sa, len) == 0;
}

enum sp_status
stream_connect(const struct net_endpoint *e, int64_t deadline_ms, struct stream **ret)
{
	return stream_connect_from(e, NULL, deadline_ms, ret);
}

enum sp_status
stream_connect_from(const struct net_endpoint *e, const struct sp_ip *from, int64_t deadline_ms, struct stream **ret)
{
	enum sp_status st = SP_OK;
	struct sockaddr_storage sa;
	struct stream *s;
	socklen_t len;
	int fd;

	if (e->kind == NET_HOST || (e->kind == NET_IP && e->ip.family == 0))
		return SP_INVALID;
	if (from != NULL && (e->kind != NET_IP || e->ip.family != from->family))
		return SP_INVALID;
	len = net_sockaddr(e, &sa);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return connect_failed(errno);
	if (e->kind == NET_IP)
		net_tune(fd);
	s = stream_new(fd);
	if (s == NULL)
		return SP_SYSTEM;
	if (from != NULL && !connect_as(fd, from))
		st = SP_INVALID;
	else if (connect(fd, (struct sockaddr *)&sa, len) != 0)
		st = errno == EINPROGRESS ? connect_finish(s, deadline_ms) : connect_failed(errno);
	if (st == SP_OK)
		*ret = s;
	else
		stream_free(&s);
	return st;
}
