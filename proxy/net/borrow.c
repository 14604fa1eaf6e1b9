/*
 * borrow.c - addresses that are not ours: the client's, towards a backend, and the backend's, towards a client (Linux's
 * IP_TRANSPARENT, ip(7)).
 */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/net/net_priv.h"

#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif

bool
net_borrow(int fd, int family)
{
	int on = 1;

	/* a v6 socket may carry v4, for which the other option counts */
	if (setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) != 0)
		return false;
	return family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)) == 0;
}

bool
net_make_transparent(int listener)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	return getsockname(listener, (struct sockaddr *)&sa, &len) == 0 && net_borrow(listener, sa.ss_family);
}

bool
net_may_borrow(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool may = fd >= 0 && net_borrow(fd, AF_INET);

	if (fd >= 0)
		close(fd);
	return may;
}

/* Nobody may bind to an address of others without being told so. */
bool
net_is_own(const struct sp_ip *ip)
{
	const struct net_endpoint e = { .kind = NET_IP, .ip = *ip };
	struct sockaddr_storage sa;
	socklen_t len = net_sockaddr(&e, &sa);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool own = fd >= 0 && bind(fd, (struct sockaddr *)&sa, len) == 0;

	if (fd >= 0)
		close(fd);
	return own;
}
