/*
 * master.h - the process that reads the policy, opens listeners, and keeps workers running.
 */
#ifndef PROXY_MASTER_MASTER_H
#define PROXY_MASTER_MASTER_H

#include "proxy/master/config.h"

struct master_options {
	const char *path;      /* of the policy; read again at SIGHUP; null: text */
	struct sp_span text;   /* a policy without a file */
	struct config_override override;
	bool shadow;           /* the whole policy only reports */
	double time_scale;     /* 1; tests let time run faster */
};

/* Runs until SIGTERM or SIGINT. Returns the exit status: 0 ended in order, 1 the policy has errors, 2 the system
 * refused something.  SIGHUP reloads, SIGUSR1 reopens the log. */
int master_run(const struct master_options *o);

/* One worker: serves the listeners until told to leave. Never returns.
 * alive: a pipe whose other end the master holds; its end of file means that the master is gone. */
struct worker_start {
	const struct config *config;
	const int *listeners; /* descriptors, in the order of config->listeners */
	int alive;
	int ready; /* a pipe into which each worker writes its process id (an int) when it serves */
};
_Noreturn void worker_run(const struct worker_start *start);

/* Signals from the master to a worker, beside SIGTERM (drain) and SIGUSR1 (reopen the log). */
#define WORKER_LEAVE SIGUSR2 /* accept no more, finish sessions, then exit: after a reload */

#endif
