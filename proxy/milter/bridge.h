/*
 * bridge.h - from libmilter's threads to the one thread that has the loop, and back.
 *
 * libmilter calls us in threads of its own; the filters and the policy know one thread and its coroutines.  A call goes over as
 * it is: the function runs in a coroutine of the loop's thread, and the thread that asked sleeps until it has returned.
 */
#ifndef PROXY_MILTER_BRIDGE_H
#define PROXY_MILTER_BRIDGE_H

#include <stdbool.h>

/* In the loop's thread, after rt_init().  last: runs in a coroutine when all calls have returned after bridge_close(), and the
 * loop stops behind it. False: the system refuses. */
bool bridge_open(void (*last)(void));
/* In the loop's thread, after rt_run(). */
void bridge_fini(void);

/* What a thread does while it waits for a call: every few seconds; fn null: nothing. */
struct bridge_meanwhile {
	void (*fn)(void *arg);
	void *arg;
};
/* From any thread but the loop's: runs fn(arg) over there, and returns when that has. False: it has not run, since the bridge is
 * closed, or there is no memory. */
bool bridge_call(void (*fn)(void *arg), void *arg, struct bridge_meanwhile meanwhile);
/* From any thread: no call is taken any more; those that run are cancelled. */
void bridge_close(void);

#endif
