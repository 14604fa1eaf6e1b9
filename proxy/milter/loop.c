/*
 * loop.c - see loop.h.
 */
#include "proxy/milter/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "policy/policy.h"
#include "proxy/inspect/inspect.h"
#include "proxy/milter/bridge.h"
#include "proxy/milter/judge.h"
#include "proxy/rt/rt.h"

static struct {
	pthread_t thread;
	const struct milter_config *config;
	pthread_mutex_t lock; /* guards state */
	pthread_cond_t told;
	enum { LOOP_STARTING, LOOP_READY, LOOP_FAILED } state;
} loop = { .lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER };

static void
tell(bool ready)
{
	pthread_mutex_lock(&loop.lock);
	loop.state = ready ? LOOP_READY : LOOP_FAILED;
	pthread_cond_signal(&loop.told);
	pthread_mutex_unlock(&loop.lock);
}

static void
filter_logged(void *arg, enum sp_log_level level, const char *line)
{
	(void)arg;
	log_message(level, "%s", line);
}

static void
flush(void *arg)
{
	(void)arg;
	log_flush();
}

static void
reopen(void *arg)
{
	(void)arg;
	log_reopen();
}

static bool
open_all(const struct milter_config *c)
{
	if (rt_init() != SP_OK)
		return false;
	if (dns_init(&c->dns) != SP_OK) {
		rt_fini();
		return false;
	}
	spool_configure(&c->spool);
	inspect_log_to(filter_logged, NULL);
	rt_on_idle(flush, NULL);
	if (bridge_open(judge_stop) && rt_on_signal(SIGUSR1, reopen, NULL) == SP_OK)
		return true;
	bridge_fini();
	dns_fini();
	rt_fini();
	return false;
}

static void *
run(void *arg)
{
	sigset_t ours;

	(void)arg;
	if (!open_all(loop.config)) {
		tell(false);
		return NULL;
	}
	sigemptyset(&ours);
	sigaddset(&ours, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
	log_message(SP_LOG_INFO, "ready: %s, %zu rules", loop.config->socket, policy_rule_count(loop.config->policy));
	tell(true);
	rt_run();
	log_message(SP_LOG_INFO, "stopped");
	bridge_fini();
	dns_fini();
	log_flush();
	rt_fini();
	return NULL;
}

bool
loop_start(const struct milter_config *c)
{
	sigset_t all, old, usr1;
	bool ready = false;

	loop.config = c;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL); /* in libmilter's threads, too, which are made of this one */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&loop.thread, NULL, run, NULL) == 0) {
		pthread_mutex_lock(&loop.lock);
		while (loop.state == LOOP_STARTING)
			pthread_cond_wait(&loop.told, &loop.lock);
		ready = loop.state == LOOP_READY;
		pthread_mutex_unlock(&loop.lock);
		if (!ready)
			pthread_join(loop.thread, NULL);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!ready)
		fprintf(stderr, "sallyport-milter: cannot start: no memory or descriptors, or a resolver that is no address\n");
	return ready;
}

void
loop_stop(void)
{
	bridge_close();
	pthread_join(loop.thread, NULL);
}
