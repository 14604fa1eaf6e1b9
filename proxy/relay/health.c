/*
 * health.c - how a backend fares: failures in a row, and how long it takes to answer; and so whether it is spared.
 *
 * Above one of its marks it gets no mail until a probe has found it well; then one more failure is enough to spare it
 * again, until it has taken a MAIL.  A mark of 0 is none.
 */
#include "proxy/relay/relay_priv.h"

enum { LATENCY_SHARE = 4 }; /* the last answer counts for a quarter of what is known of all */

static void
health_judge(struct relay_backend *b)
{
	const struct relay_config *c = &b->config;

	if ((c->max_failures > 0 && b->failures >= c->max_failures) ||
		(c->high_latency_ms > 0 && b->latency_ms > c->high_latency_ms))
		b->spared = true;
}

/* Faults of our own, of one mail or of one client say nothing of the backend. */
static bool
speaks_of_backend(enum relay_fault fault)
{
	switch (fault) {
	case FAULT_NONE:
	case FAULT_EXTENSION:
	case FAULT_REPLAY:
	case FAULT_COMMIT:
	case FAULT_SPOOL:
	case FAULT_DISK:
	case FAULT_LOCAL:
	case FAULT_INTRODUCE:
		return false;
	default:
		return true;
	}
}

void
health_failed(struct relay_backend *b, enum relay_fault fault)
{
	if (!speaks_of_backend(fault))
		return;
	if (b->failures < UINT32_MAX)
		b->failures++;
	health_judge(b);
}

void
health_took(struct relay_backend *b, int64_t ms)
{
	b->latency_ms += (ms - b->latency_ms) / LATENCY_SHARE;
	health_judge(b);
}

void
health_answered(struct relay_backend *b, int code, int64_t ms)
{
	if (reply_class(code) == 2)
		b->failures = 0;
	else if (reply_class(code) == 4)
		b->failures++;
	health_took(b, ms);
}

void
health_probed(struct relay_backend *b, int64_t ms)
{
	const struct relay_config *c = &b->config;

	if (!b->spared || (c->high_latency_ms > 0 && ms > c->high_latency_ms))
		return;
	b->spared = false;
	b->latency_ms = ms;
	b->failures = c->max_failures > 0 ? c->max_failures - 1 : 0;
}

const char *
relay_backend_spared(const struct relay_backend *b)
{
	if (b->config.maintenance)
		return "mail server is under maintenance, try again later";
	return b->spared ? "mail server is overloaded or down, try again later" : NULL;
}
