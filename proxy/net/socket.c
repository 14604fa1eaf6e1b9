/*
 * socket.c - listening sockets and what comes in by them.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/net/net_priv.h"

/* A peer that does not even acknowledge for so long is gone, whatever the kernel's retries say. */
enum { USER_TIMEOUT_MS = 60000 };

socklen_t
net_sockaddr(const struct net_endpoint *e, struct sockaddr_storage *ret)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ret;
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (e->kind == NET_UNIX) {
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, e->text, strnlen(e->text, sizeof(un->sun_path) - 1));
		return sizeof(*un);
	}
	if (e->ip.family == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(e->port);
		memcpy(&in->sin_addr, e->ip.bytes, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(e->port);
	memcpy(&in6->sin6_addr, e->ip.bytes, 16); /* family 0: all zero, any */
	return sizeof(*in6);
}

void
net_tune(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* A socket file that nobody listens on is what a dead process left. */
static bool
remove_stale(const struct sockaddr_storage *sa, socklen_t len)
{
	const char *path = ((const struct sockaddr_un *)sa)->sun_path;
	struct stat st;
	bool stale;
	int fd;

	if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)sa, len) != 0 && errno == ECONNREFUSED;
	close(fd);
	return stale && unlink(path) == 0;
}

static int
bind_to(int fd, const struct sockaddr_storage *sa, socklen_t len)
{
	int error;

	if (bind(fd, (const struct sockaddr *)sa, len) == 0)
		return 0;
	error = errno;
	if (error == EADDRINUSE && sa->ss_family == AF_UNIX && remove_stale(sa, len))
		return bind(fd, (const struct sockaddr *)sa, len);
	errno = error;
	return -1;
}

static int
listen_on(const struct net_endpoint *e, int backlog, bool borrow)
{
	struct net_endpoint any4 = { .kind = NET_IP, .ip = { .family = 4 }, .port = e->port };
	struct sockaddr_storage sa;
	socklen_t len;
	unsigned timeout = USER_TIMEOUT_MS;
	int on = 1, only6 = e->ip.family == 6, fd, error;

	if (e->kind == NET_HOST) {
		errno = EINVAL;
		return -1;
	}
	len = net_sockaddr(e, &sa);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && e->kind == NET_IP && e->ip.family == 0)
		return listen_on(&any4, backlog, borrow); /* a system without IPv6 */
	if (fd < 0)
		return -1;
	if (e->kind == NET_IP) { /* accepted sockets inherit the latter three: tcp(7), Linux */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		net_tune(fd);
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	}
	if (sa.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6));
	if ((!borrow || net_borrow(fd, sa.ss_family)) && bind_to(fd, &sa, len) == 0 && listen(fd, backlog) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

int
net_listen(const struct net_endpoint *e, int backlog)
{
	return listen_on(e, backlog, false);
}

int
net_listen_transparent(const struct net_endpoint *e, int backlog)
{
	return listen_on(e, backlog, true);
}

/* v4-mapped becomes v4; anything but IP is family 0. */
static void
ip_of(const struct sockaddr_storage *sa, struct sp_ip *ip, uint16_t *port)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

	*ip = (struct sp_ip){ 0 };
	*port = 0;
	if (sa->ss_family == AF_INET) {
		ip->family = 4;
		memcpy(ip->bytes, &in->sin_addr, 4);
		*port = ntohs(in->sin_port);
	} else if (sa->ss_family == AF_INET6) {
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		ip->family = mapped ? 4 : 6;
		memcpy(ip->bytes, in6->sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
		*port = ntohs(in6->sin6_port);
	}
}

int
net_accept(int listener, struct sp_ip *ret_ip, uint16_t *ret_port)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	int fd;

	/* These are about the connection that was lost in the queue, not about the listener. */
	do
		fd = accept4(listener, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EPROTO));
	if (fd < 0)
		return -1;
	ip_of(&sa, ret_ip, ret_port);
	return fd;
}

void
net_local(int fd, struct sp_ip *ret_ip, uint16_t *ret_port)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
		sa.ss_family = AF_UNSPEC;
	ip_of(&sa, ret_ip, ret_port);
}

void
net_remote(int fd, struct sp_ip *ret_ip, uint16_t *ret_port)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	if (getpeername(fd, (struct sockaddr *)&sa, &len) != 0)
		sa.ss_family = AF_UNSPEC;
	ip_of(&sa, ret_ip, ret_port);
}

uint16_t
net_local_port(int fd)
{
	struct sp_ip ip;
	uint16_t port;

	net_local(fd, &ip, &port);
	return port;
}
