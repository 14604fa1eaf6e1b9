/*
 * privilege.c - see privilege.h (capabilities(7); of the two capabilities that allow it CAP_NET_RAW opens less).
 */
#include "proxy/master/privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DESCRIPTORS = 65536 };

/* What setuid() has left permitted is cut down to the one, which is then in force again. */
static bool
keep_one(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	data[0].permitted = data[0].effective = 1u << CAP_NET_RAW;
	return syscall(SYS_capset, &head, data) == 0 && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == 0;
}

bool
privilege_drop(const char *user, bool keep)
{
	const struct passwd *pw;

	if (user == NULL || geteuid() != 0)
		return true;
	pw = getpwnam(user);
	if (pw == NULL) {
		fprintf(stderr, "sallyport: no user named '%s'\n", user);
		return false;
	}
	if ((keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) || initgroups(pw->pw_name, pw->pw_gid) != 0 ||
		setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0 || (keep && pw->pw_uid != 0 && !keep_one())) {
		fprintf(stderr, "sallyport: cannot become user '%s': %s\n", user, strerror(errno));
		return false;
	}
	return true;
}

bool
privilege_wanted(const struct config *c)
{
	for (size_t i = 0; i < c->listener_count; i++)
		if (c->listeners[i].transparent)
			return true;
	for (size_t i = 0; i < c->backend_count; i++)
		if (c->backends[i].relay.as_client)
			return true;
	return false;
}

bool
privilege_suffices(const struct config *c)
{
	static const char how[] = "needs the capability CAP_NET_RAW: start as root, or with AmbientCapabilities=CAP_NET_RAW in the "
				  "unit of systemd; it is not gained by a reload";

	if (!privilege_wanted(c) || net_may_borrow())
		return true;
	for (size_t i = 0; i < c->listener_count; i++)
		if (c->listeners[i].transparent)
			fprintf(stderr, "sallyport: 'transparent yes' of listener %s %s\n", c->listeners[i].session.listener.ptr, how);
	for (size_t i = 0; i < c->backend_count; i++)
		if (c->backends[i].relay.as_client)
			fprintf(stderr, "sallyport: 'source client' of backend %s %s\n", c->backends[i].relay.name, how);
	return false;
}

void
privilege_limit(void)
{
	struct rlimit files, core = { 0, 0 };

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < DESCRIPTORS) {
		files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setrlimit(RLIMIT_CORE, &core);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
