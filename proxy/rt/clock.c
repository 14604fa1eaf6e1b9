/*
 * clock.c - the monotonic clock, and its scale for tests.
 *
 * Inside the loop the time is read once a round, when first asked for.  libev's own cached time is
 * that of the wall clock, which may jump.
 */
#include <time.h>

#include "policy/kit/must.h"
#include "proxy/rt/rt_priv.h"

static double scale = 1.;

int64_t
rt_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
rt_now_ms(void)
{
	if (rt.now_valid)
		return rt.now_ms;
	rt.now_ms = (int64_t)((double)rt_now_ns() / 1e6 * scale);
	rt.now_valid = rt.running;
	return rt.now_ms;
}

void
rt_clock_forget(void)
{
	rt.now_valid = false;
}

void
rt_clock_scale(double factor)
{
	MUST(factor > 0.);
	scale = factor;
}

int64_t
rt_deadline(int64_t ms)
{
	int64_t now = rt_now_ms();

	return ms > RT_NEVER - now ? RT_NEVER : now + ms;
}

/* Never more than a day, so that no arithmetic of the loop can lose precision; the timers look again
 * when they fire. */
double
rt_clock_seconds(int64_t ms)
{
	double seconds = (double)ms / 1e3 / scale;

	return seconds < 0. ? 0. : seconds > 86400. ? 86400. : seconds;
}
